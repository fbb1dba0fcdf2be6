"""What must hold after every schedule, checked by other means than the code under test.

The referee sees what the world saw: when each entry was journalled, when each was first reported committed, what
each life of each node reported, and the entries themselves. It recounts every vote from scratch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chorus.errors import ChorusError
from chorus.mesh.entries import Ask, Cancel, Done, Entry, Membership, Name, Proposal, Vote, identity

if TYPE_CHECKING:
    from chorus.mesh.simulation.world import Host, World


class ViolationError(ChorusError):
    """Something that must hold did not; the message names the seed, the rule and the entry."""


def check(world: World) -> list[bytes]:
    """Check everything; return the transcript (identities in order). Raises `ViolationError` without the seed."""
    transcript = max((life for host in world.hosts for life in host.transcripts), key=len)
    _one_log(world, transcript)
    _exactly_once(world, transcript)
    _causes_first(world, transcript)
    _real_time(world, transcript)
    _votes(world, transcript)
    _nothing_lost(world, transcript)
    _paid_for_once(world)
    _artifacts(world, transcript)
    return transcript


def _fail(rule: str, detail: str) -> None:
    raise ViolationError(f"{rule}: {detail}")


def _one_log(world: World, transcript: list[bytes]) -> None:
    for host in world.hosts:
        for number, life in enumerate(host.transcripts):
            if life != transcript[: len(life)]:
                _fail("every replica is a prefix of one log", f"life {number} of node {host.number} is not")
    folds = {host.node.fold.fingerprint() for host in world.hosts if host.node is not None}
    if len(folds) != 1:
        _fail("replicas of the same log are in the same state", f"{len(folds)} states after healing")


def _exactly_once(world: World, transcript: list[bytes]) -> None:
    if len(set(transcript)) != len(transcript):
        _fail("every acknowledged entry exactly once", "an entry is committed twice")
    numbers = [(world.entries[i].author, world.entries[i].seq) for i in transcript]
    if len(set(numbers)) != len(numbers):
        _fail("every acknowledged entry exactly once", "an author's number is committed twice")
    for own in world.acknowledged:
        if own not in world.born:
            _fail("every acknowledged entry was said by its author", f"{own.hex()[:12]} was forged")
    if world.acknowledged.keys() - set(transcript):
        _fail("every acknowledged entry exactly once", "an acknowledged entry is missing after healing")


def _causes_first(world: World, transcript: list[bytes]) -> None:
    seen: dict[bytes, int] = {}
    for own in transcript:
        entry = world.entries[own]
        for parent in entry.parents:
            if parent not in seen or seen[parent] >= entry.clock:
                _fail("causal parents first", f"{own.hex()[:12]} comes before its cause or is stamped before it")
        seen[own] = entry.clock


def _real_time(world: World, transcript: list[bytes]) -> None:
    # If a was acknowledged before b came into being, a stands before b.
    earliest_after = float("inf")
    for own in reversed(transcript):
        if earliest_after < world.born[own]:
            _fail("real-time order", f"{own.hex()[:12]} was made after a later entry had been acknowledged")
        earliest_after = min(earliest_after, world.acknowledged[own])


def _votes(world: World, transcript: list[bytes]) -> None:
    """Recount: walk the transcript, and at every step count from scratch everything said before it."""
    members = set(world.hosts[0].genesis.members)
    left: set[bytes] = set()
    epoch = 0
    said: list[tuple[bytes, Entry]] = []
    open_at: dict[bytes, int] = {}  # round → where this epoch's counting began
    closed: dict[bytes, tuple[str, bytes | None]] = {}
    accepted: dict[bytes, None] = {}
    began: dict[bytes, int] = {}
    epoch_began = 0
    for own in transcript:
        entry = world.entries[own]
        said.append((own, entry))
        payload = entry.payload
        majority = len(members) / 2
        if isinstance(payload, Ask):
            open_at[own] = len(said)
            began[own] = len(said)
        for round_ in list(open_at):
            proposals = _proposals(said, round_)
            for proposal, author in proposals.items():
                voters = _voters(said, proposal, author, members, epoch, epoch_began)
                voters[author] = True
                if sum(voters[m] for m in members & voters.keys()) > majority:
                    accepted[proposal] = None
            done = {
                e.author
                for _, e in said[epoch_began:]
                if isinstance(e.payload, Done) and e.payload.round == round_ and e.payload.epoch == epoch
            } & members
            cancelled = isinstance(payload, Cancel) and payload.round == round_
            if cancelled and entry.author == world.entries[round_].author:
                closed[round_] = ("cancelled", None)
                del open_at[round_]
            elif len(done) > majority:
                candidates = [p for p in proposals if p in accepted]
                closed[round_] = ("accepted" if candidates else "undecided", None)
                del open_at[round_]
        for motion, e in said[epoch_began:]:
            if not isinstance(e.payload, Membership) or left & set(e.payload.members):
                continue  # a key that has left does not come back
            if e.payload.epoch == epoch and e.author in members:
                yes = {e.author} | {
                    v.author
                    for _, v in said[epoch_began:]
                    if isinstance(v.payload, Vote) and v.payload.proposal == motion and v.payload.epoch == epoch
                }
                if len(yes & members) > majority:
                    left |= members - set(e.payload.members)
                    members, epoch, epoch_began = set(e.payload.members), epoch + 1, len(said)
                    break
    for host in world.hosts:
        if host.node is not None:
            _compare(host, epoch, members, closed, set(accepted))


def _proposals(said: list[tuple[bytes, Entry]], round_: bytes) -> dict[bytes, bytes]:
    """First answer of each member to a round: proposal → author."""
    answered: set[bytes] = set()
    proposals: dict[bytes, bytes] = {}
    for own, entry in said:
        if getattr(entry.payload, "round", None) != round_ or isinstance(entry.payload, Done | Cancel):
            continue
        if entry.author not in answered and isinstance(entry.payload, Proposal):
            proposals[own] = entry.author
        answered.add(entry.author)
    return proposals


def _voters(
    said: list[tuple[bytes, Entry]], proposal: bytes, author: bytes, members: set[bytes], epoch: int, began: int
) -> dict[bytes, bool]:
    """First vote of each member, cast in this epoch for this epoch."""
    voters: dict[bytes, bool] = {}
    for _, entry in said[began:]:
        payload = entry.payload
        if not isinstance(payload, Vote) or (payload.proposal, payload.epoch) != (proposal, epoch):
            continue
        if entry.author in members and entry.author != author:
            voters.setdefault(entry.author, payload.approve)
    return voters


def _compare(
    host: Host, epoch: int, members: set[bytes], closed: dict[bytes, tuple[str, bytes | None]], accepted: set[bytes]
) -> None:
    assert host.node is not None
    fold = host.node.fold
    if (fold.epoch, set(fold.members)) != (epoch, members):
        _fail("votes only from the epoch", f"node {host.number} is in epoch {fold.epoch}, the recount in {epoch}")
    counted = {c.id for r in fold.rounds.values() for c in r.candidates.values() if c.accepted is not None}
    if counted != accepted:
        _fail("nothing accepted without a majority", f"node {host.number} differs from the recount")
    outcomes = {r.id: r.outcome for r in fold.rounds.values() if r.closed is not None}
    if outcomes != {round_: outcome for round_, (outcome, _) in closed.items()}:
        _fail("a round closes once, by majority", f"node {host.number} differs from the recount")
    for round_ in fold.rounds.values():
        if round_.answer is not None and round_.answer not in accepted:
            _fail("nothing accepted without a majority", f"node {host.number} answers with what was not accepted")


def _nothing_lost(world: World, transcript: list[bytes]) -> None:
    there = set(transcript)
    node = world.hosts[0].node
    assert node is not None
    for host in world.hosts:
        if host.key.public in node.fold.members:
            for (kind, _), value in host.disk.items():
                if kind == "entry" and identity(value) not in there:
                    _fail(
                        "nothing lost after healing", f"{identity(value).hex()[:12]} of node {host.number} never came"
                    )
    if node.fold.open:
        _fail("every round ends", f"{len(node.fold.open)} still open after healing")


def _paid_for_once(world: World) -> None:
    for host in world.hosts:
        for key, count in host.calls.items():
            if count > 1:
                _fail("no model call is repeated", f"node {host.number} made call {key.hex()[:12]} {count} times")


def _artifacts(world: World, transcript: list[bytes]) -> None:
    names: dict[str, tuple[bytes, int]] = {}
    for own in transcript:
        payload = world.entries[own].payload
        if isinstance(payload, Name):
            names[payload.name] = (payload.digest, payload.size)
    for host in world.hosts:
        if host.node is not None and host.node.fold.names != names:
            _fail("a name means its last binding", f"node {host.number} differs from the recount")
        if host.shelf.wrong:
            _fail("an artifact is what its digest says", f"node {host.number} was brought something else")
        if host.shelf.fetching:
            _fail("every fetch ends", f"node {host.number} is still fetching after healing")
    for number, digest in world.owed:
        if digest not in world.hosts[number].shelf.kept:
            _fail("what an honest member keeps can be fetched", f"{digest.hex()[:12]} never came to node {number}")
