"""One seed, one schedule: chaos, then healing, then the referee."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from chorus.mesh.core import Node
from chorus.mesh.entries import Ask, Entry, seal
from chorus.mesh.fold import LEAP, Fold
from chorus.mesh.gossip import PIECE
from chorus.mesh.identity import Genesis
from chorus.mesh.limits import RefusedError
from chorus.mesh.simulation.referee import ViolationError, check
from chorus.mesh.simulation.world import CheapKey, Faults, Host, World

CHAOS = 5.0  # seconds of virtual time in which everything may go wrong
HEALED = 60.0  # seconds after which, with nothing wrong any more, everything must be settled


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The code under test; a test passes a version with one rule broken."""

    node: type[Node] = Node
    fold: type[Fold] = Fold
    unsynced_disk: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a schedule came to."""

    seed: int
    nodes: int
    events: int
    entries: int
    accepted: int
    crashes: int


def run(seed: int, rules: Rules | None = None) -> Outcome:
    """Play one schedule; raises `ViolationError` naming the seed.

    >>> outcome = run(7)
    >>> outcome == run(7)
    True
    """
    try:
        return _play(seed, rules or Rules())
    except ViolationError as violation:
        raise ViolationError(f"seed {seed}: {violation}") from None


def _play(seed: int, rules: Rules) -> Outcome:
    world = World(seed)
    rng = world.rng
    founders = rng.choice((1, 2, 3, 3, 3, 4, 5))
    spare = rng.random() < 0.4  # a machine that is no member yet
    keys = [CheapKey(b"%d/%d" % (seed, i)) for i in range(founders + spare)]
    genesis = Genesis.of([key.public for key in keys[:founders]], b"simulated")
    kinds = rng.choices(("good", "slow", "silent", "failing", "rubbish", "fickle"), (8, 1, 1, 1, 1, 1), k=len(keys))
    for number, (key, kind) in enumerate(zip(keys, kinds, strict=True)):
        host = Host(world, number, key, genesis, kind)
        host.node_class, host.fold_class = rules.node, rules.fold
        world.hosts.append(host)
        host.start()
    world.faults.unsynced = rules.unsynced_disk
    _plan(world, rng)
    world.run_until(CHAOS)
    world.faults = Faults(delay=0.01, unsynced=rules.unsynced_disk)
    for host in world.hosts:
        host.fuse = -1
        host.start()
    world.at(CHAOS + 5.0, _last_errand, world)
    world.errands = 1
    world.run_until(CHAOS + HEALED, quiet=lambda: _quiet(world))
    for host in world.hosts:
        if host.node is not None and host.node.halted:
            raise ViolationError(f"no node stops in good faith: node {host.number}: {host.node.halted}")
    transcript = check(world)
    node = world.hosts[0].node
    assert node is not None
    accepted = sum(round_.answer is not None for round_ in node.fold.rounds.values())
    crashes = sum(host.boots - 1 for host in world.hosts)
    return Outcome(seed, founders, world.events, len(transcript), accepted, crashes)


def _quiet(world: World) -> bool:
    for host in world.hosts:
        node = host.node
        if node is None or node.fold.open or node.deliberation.locals or node.busy() or host.shelf.fetching:
            return False
        if node.outbox and node.me in node.fold.members:
            return False
    return not world.errands and len({host.node.fold.size for host in world.hosts if host.node}) == 1


def _plan(world: World, rng: random.Random) -> None:
    """Decide everything that will happen to this world."""
    hosts = world.hosts
    for number in range(rng.randint(1, 3)):
        world.at(rng.uniform(0, 0.8 * CHAOS), _ask, world, rng.choice(hosts), number, rng.uniform(0.5, 3.0))
    for _ in range(rng.randint(1, 3)):
        world.at(rng.uniform(0, CHAOS), _weather, world)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        host = rng.choice(hosts)
        how: Callable[..., None] = host.crash if rng.random() < 0.3 else _light_fuse
        when = rng.uniform(0.2, CHAOS)
        world.at(when, how, *(() if how == host.crash else (host, rng.randrange(12))))
        world.at(when + rng.uniform(0.3, 2.0), host.start)
    who = rng.choice(hosts).key.public
    for _ in range(rng.choice((0, 0, 0, 1, 2))):  # the second time often takes the first back
        world.at(
            rng.uniform(0.2, CHAOS), _reorganise, world, who if rng.random() < 0.7 else rng.choice(hosts).key.public
        )
    if rng.random() < 0.3:
        for _ in range(rng.randint(1, 2)):
            world.at(rng.uniform(0, 0.6 * CHAOS), _keep, world, rng.choice(hosts))
        for _ in range(rng.randint(0, 2)):
            world.at(rng.uniform(0, CHAOS), _fetch, world, rng.choice(hosts))
    if rng.random() < 0.3:
        world.at(rng.uniform(0.2, CHAOS), _mischief, world)


def _light_fuse(host: Host, effects: int) -> None:
    host.fuse = effects


def _ask(world: World, host: Host, number: int, patience: float) -> None:
    node = host.node
    if node is None:
        return
    try:
        round_ = node.ask(host.clock(), f"question {number}", 100, patience)
    except RefusedError:
        return
    host.carry_out()
    if world.rng.random() < 0.1:
        world.after(0.5, _cancel, host, host.life, round_)


def _cancel(host: Host, life: int, round_: bytes) -> None:
    if host.node is not None and host.life == life and round_ in host.node.fold.open:
        host.node.cancel(host.clock(), round_)
        host.carry_out()


def _weather(world: World) -> None:
    """Change what is wrong with the world."""
    rng = world.rng
    numbers = range(len(world.hosts))
    faults = Faults(delay=rng.choice((0.005, 0.02, 0.2)), unsynced=world.faults.unsynced)
    faults.drop, faults.repeat = rng.choice((0.0, 0.1, 0.6)), rng.choice((0.0, 0.2))
    faults.corrupt, faults.unknown = rng.choice((0.0, 0.1)), rng.choice((0.0, 0.3, 0.7))
    faults.unread = rng.choice((0.0, 0.2))
    if rng.random() < 0.5:  # a partition, asymmetric half of the time; a side may lose the log, or only its replies
        side = {i for i in numbers if rng.random() < 0.5}
        faults.links = {(a, b) for a in side for b in numbers if b not in side}
        if rng.random() < 0.5:
            faults.links |= {(b, a) for a, b in faults.links}
        cut = rng.choice((faults.log_requests, faults.log_replies))
        cut |= side
    if rng.random() < 0.2:
        faults.full = {rng.choice(numbers)}
    world.faults = faults


def _keep(world: World, host: Host) -> None:
    """Have a machine keep an artifact, and name it if its node is up."""
    data = world.rng.randbytes(world.rng.randint(1, 2 * PIECE + 100))
    digest = sha256(data).digest()
    world.artifacts.add(digest)
    host.shelf.kept[digest] = data
    if host.node is not None:
        try:
            host.node.name(host.clock(), world.rng.choice(("a", "b")), digest, len(data))
        except RefusedError:
            return
        host.carry_out()


def _fetch(world: World, host: Host) -> None:
    for digest in sorted(world.artifacts - host.shelf.kept.keys()):
        host.fetch(digest)


def _last_errand(world: World) -> None:
    """When all is well again, have a member fetch everything: what an honest member keeps must come."""
    world.errands = 0
    node = world.hosts[0].node
    assert node is not None
    members = [host for host in world.hosts if host.key.public in node.fold.members]
    reader = world.rng.choice(members)
    missing = world.artifacts - reader.shelf.kept.keys()
    honest = [host.shelf.kept for host in members if not host.shelf.lies]
    world.owed = {(reader.number, digest) for digest in missing if any(digest in kept for kept in honest)}
    _fetch(world, reader)


def _reorganise(world: World, who: bytes) -> None:
    """Have a member propose other members: somebody joins, or somebody leaves."""
    proposer = world.rng.choice(world.hosts)
    node = proposer.node
    if node is None or node.me not in node.fold.members:
        return
    members = set(node.fold.members)
    members ^= {who}
    if members:
        try:
            node.propose_members(proposer.clock(), sorted(members))
        except RefusedError:
            return
        proposer.carry_out()


def _mischief(world: World) -> None:
    """Have strangers, and a member's wrong program, write to the log, and repeat what others wrote.

    All of it is void: whatever of it is applied breaks a rule.
    """
    stranger = CheapKey(b"stranger")
    victim = world.rng.choice(world.hosts)
    member = victim.key
    number, tip = -1, b""
    if victim.node is not None:
        number, tip = victim.node.fold.tips.get(member.public, (number, tip))
    mesh, parents, stamp, ask = victim.genesis.hash, (tip,) if tip else (), 10_000, Ask("forged", 1, 1.0)

    def written(key: CheapKey, author: CheapKey, *changes: tuple[str, object]) -> bytes:
        """Return the author's next entry, signed by a key; `changes` are (field, value) pairs."""
        fields = {"mesh": mesh, "author": author.public, "seq": number + 1, "clock": stamp, "parents": parents}
        return seal(Entry(**{**fields, **dict(changes), "payload": ask}), key)  # type: ignore[arg-type]

    forged = written(stranger, member)
    records = [
        b"",
        bytes(70),
        forged,
        written(stranger, stranger, ("seq", 0), ("parents", ())),
        written(member, member, ("mesh", bytes(32))),
        written(member, member, ("parents", (*parents, bytes(32)))),
        written(member, member, ("clock", stamp + 2 * LEAP)),
        *world.log[-2:],
    ]
    if tip:
        records += [written(member, member, ("clock", 0)), written(member, member, ("seq", number))]
    world.log += records
    world.broadcast(victim.number, forged)
