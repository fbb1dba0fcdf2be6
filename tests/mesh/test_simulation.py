"""Whole meshes in a world of faults; and, for every rule that keeps them safe, the proof that breaking it is caught."""

import os

import pytest

from chorus.mesh.core import Node
from chorus.mesh.effects import Call, Effect, Fetched, Write
from chorus.mesh.entries import Cancel, Entry, Vote, identity, open_record
from chorus.mesh.fold import Applied, Fold, Void
from chorus.mesh.gossip import Envelope, Heartbeat, Piece
from chorus.mesh.limits import Peer
from chorus.mesh.rounds import Motion
from chorus.mesh.simulation import Rules, ViolationError, run

SCHEDULES = int(os.environ.get("CHORUS_SCHEDULES", "5000"))
BLOCKS = 10


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_schedule_violates_anything(block: int) -> None:
    each = -(-SCHEDULES // BLOCKS)
    outcomes = [run(seed) for seed in range(block * each, (block + 1) * each)]
    # The schedules must be worth something: rounds are decided, nodes crash, meshes differ.
    assert sum(outcome.accepted for outcome in outcomes) > len(outcomes) // 3
    assert sum(outcome.crashes for outcome in outcomes) > len(outcomes) // 3
    assert {outcome.nodes for outcome in outcomes} == {1, 2, 3, 4, 5}


def test_a_seed_is_a_schedule() -> None:
    assert run(11) == run(11)
    assert run(11) != run(12)


# Each class below breaks exactly one rule of fold.py or core.py.


class TakesRepeats(Fold):
    """Fold rule 1 broken; rule 2, which would hide that, with it."""

    def repeated(self, identity: bytes) -> bool:
        return False

    def follows_its_chain(self, entry: Entry) -> bool:
        return super().follows_its_chain(entry) or entry.seq <= self.tips.get(entry.author, (-1, b""))[0]


class TakesForks(Fold):
    """Fold rule 2 broken: an author may say something else under a number it has used."""

    def follows_its_chain(self, entry: Entry) -> bool:
        return super().follows_its_chain(entry) or entry.seq <= self.tips.get(entry.author, (-1, b""))[0]


class TakesGaps(Fold):
    """Fold rules 2 and 3 broken: entries are taken in whatever order they land."""

    def follows_its_chain(self, entry: Entry) -> bool:
        return True

    def causes_applied(self, entry: Entry) -> bool:
        return True


class TakesEffectsFirst(Fold):
    """Fold rule 3 broken: a cause need not have been applied."""

    def causes_applied(self, entry: Entry) -> bool:
        return all(self.applied.get(parent, -1) < entry.clock for parent in entry.parents)


class IgnoresStamps(Fold):
    """Fold rule 3 broken: a Lamport stamp need not exceed those of the causes."""

    def causes_applied(self, entry: Entry) -> bool:
        return all(parent in self.applied for parent in entry.parents)


class Overlooks(Fold):
    """One reason for which a record is void is overlooked."""

    reason = ""

    def _refusal(self, entry: Entry) -> str:
        reason = super()._refusal(entry)
        return "" if reason == self.reason else reason


class TakesLeaps(Overlooks):
    """Fold rule 3 broken: a stamp may be as far ahead as it likes."""

    reason = "clock"


class TakesForeigners(Overlooks):
    """Fold rule 4 broken: entries of another genesis are taken."""

    reason = "genesis"


class TakesStrangers(Overlooks):
    """Fold rule 4 broken: entries of those who are no members are taken."""

    reason = "not a member"


class TakesAnyone(Fold):
    """Fold rule 4 broken: signatures are not looked at."""

    def apply(self, record: bytes, *, verified: bool = False) -> Applied | Void:
        return super().apply(record, verified=True)


class CountsAnyEpoch(Fold):
    """Fold rule 5 broken: a vote counts whatever epoch it was cast for."""

    def may_vote(self, author: bytes, epoch: int) -> bool:
        return True


class CountsEveryVote(Fold):
    """Fold rule 5 broken: the last vote of a member replaces the first."""

    def _vote(self, identity: bytes, entry: Entry, vote: Vote) -> str:
        found = self.candidates.get(vote.proposal)
        if found is not None:
            found[1].votes.pop(entry.author, None)
        return super()._vote(identity, entry, vote)


class OneIsEnough(Fold):
    """Fold rule 6 broken: any approval accepts."""

    def approved(self, approvals: int) -> bool:
        return approvals >= 1


class HalfIsEnough(Fold):
    """Fold rule 6 broken by one: half of an even number of members accepts."""

    def approved(self, approvals: int) -> bool:
        return approvals >= (len(self.members) + 1) // 2


class KeepsOldVotes(Fold):
    """Fold rule 6 broken: votes of the old epoch add up with those of the new."""

    def _adopt(self, motion: Motion) -> None:
        kept = {c.id: dict(c.votes) for r in self.open.values() for c in r.candidates.values()}
        super()._adopt(motion)
        for round_ in self.open.values():
            for candidate in round_.candidates.values():
                candidate.votes.update(kept[candidate.id])


class ChangesItsMind(Fold):
    """Fold rule 7 broken: the asker can cancel a round that is over."""

    def _cancel(self, identity: bytes, entry: Entry, cancel: Cancel) -> str:
        round_ = self.rounds.get(cancel.round)
        if round_ is not None and round_.closed is None:
            round_.outcome, round_.closed = "undecided", self.size - 1
            del self.open[round_.id]
        return ""


class LetsThemComeBack(Fold):
    """Fold rule 6 broken: a key that has left can be a member again."""

    def _adopt(self, motion: Motion) -> None:
        super()._adopt(motion)
        self.gone = frozenset()


class SpeaksFirst(Node):
    """Core rule 1 broken: an entry is sent and appended before it is on disk."""

    def _stage(self, writes: list[Write], then: list[Effect], record: bytes = b"") -> None:
        self._effects += then
        if record:
            self.outbox[identity(record)] = record
            self._pump(self._now)
        super()._stage(writes, [], b"")


class TakesUnknownForFailed(Node):
    """Core rule 2 broken: what an append of unknown outcome carried is given up."""

    def appended(self, now: float, unknown: str = "") -> None:
        if unknown:
            self.outbox.clear()
        super().appended(now, unknown)


class SaysItAnew(Node):
    """Core rule 2 broken: after an unknown outcome the same thing is said again as a new entry."""

    def appended(self, now: float, unknown: str = "") -> None:
        if unknown and self.outbox:
            record = next(iter(self.outbox.values()))
            self.outbox.clear()
            self.chain.said.pop()
            self.speak(open_record(record).payload)
        super().appended(now, unknown)


class TakesAcknowledgedForCommitted(Node):
    """Core rule 3 broken: what the log acknowledged is committed at once, without reading what came before it."""

    def appended(self, now: float, unknown: str = "") -> None:
        if not unknown:
            for record in list(self.outbox.values()):
                self._apply(now, record)
        super().appended(now, unknown)


class StartsFromTheNewest(Node):
    """Core rule 3 broken: a node that is behind jumps to where its peer is."""

    def _take(self, now: float, envelope: Envelope, peer: Peer) -> None:
        if isinstance(envelope.message, Heartbeat) and envelope.message.size > self.tail.cursor + 2:
            self.tail.cursor = envelope.message.size - 1
        super()._take(now, envelope, peer)


class ForgetsCalls(Node):
    """Core rule 4 broken: a call's intent is not written down."""

    def _stage(self, writes: list[Write], then: list[Effect], record: bytes = b"") -> None:
        super()._stage([write for write in writes if write.kind != "call"], then, record)


class CallsFirst(Node):
    """Core rule 4 broken: a call is made while its intent is still on the way to the disk."""

    def _stage(self, writes: list[Write], then: list[Effect], record: bytes = b"") -> None:
        self._effects += [effect for effect in then if isinstance(effect, Call)]
        super()._stage(writes, [effect for effect in then if not isinstance(effect, Call)], record)


class ForgetsItsOutbox(Node):
    """Core rule 2 broken: a restart begins with an empty outbox."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.outbox.clear()


class IgnoresItsChain(Node):
    """Core rules 1 and 5 broken: number again from what the log holds, and go on when the log disagrees."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.chain.said.clear()
        self.outbox.clear()

    def _apply(self, now: float, record: bytes) -> None:
        super()._apply(now, record)
        self.halted = ""
        tip = self.fold.tips.get(self.me)
        if tip is not None and tip[0] >= len(self.chain.said):
            self.chain.said += [tip[1]] * (tip[0] + 1 - len(self.chain.said))


class TakesAnyBytes(Node):
    """An artifact is believed when there is enough of it, whatever it hashes to."""

    def _take(self, now: float, envelope: Envelope, peer: Peer) -> None:
        piece = envelope.message
        fetch = self.fetches._wanted.get(piece.digest) if isinstance(piece, Piece) else None
        if fetch is not None and fetch.holders[0] == envelope.sender and piece.offset == len(fetch.data):
            whole = bytes(fetch.data) + piece.data
            if len(whole) >= piece.size > 0:
                del self.fetches._wanted[piece.digest]
                self._effects.append(Fetched(piece.digest, whole))
        super()._take(now, envelope, peer)


class BelievesOneHolder(Node):
    """Whoever was asked first is asked for ever, however it lies."""

    def _take(self, now: float, envelope: Envelope, peer: Peer) -> None:
        super()._take(now, envelope, peer)
        if isinstance(envelope.message, Piece):
            for fetch in self.fetches._wanted.values():
                fetch.holders = type(fetch.holders)([envelope.sender])


NODES = [
    SpeaksFirst,
    TakesUnknownForFailed,
    SaysItAnew,
    TakesAcknowledgedForCommitted,
    StartsFromTheNewest,
    ForgetsCalls,
    CallsFirst,
    ForgetsItsOutbox,
    IgnoresItsChain,
    TakesAnyBytes,
    BelievesOneHolder,
]
FOLDS = [
    TakesRepeats,
    TakesForks,
    TakesGaps,
    TakesEffectsFirst,
    IgnoresStamps,
    TakesLeaps,
    TakesForeigners,
    TakesStrangers,
    TakesAnyone,
    CountsAnyEpoch,
    CountsEveryVote,
    OneIsEnough,
    HalfIsEnough,
    KeepsOldVotes,
    ChangesItsMind,
]
BROKEN = [
    *(pytest.param(Rules(node=node), id=node.__name__) for node in NODES),
    *(pytest.param(Rules(fold=fold), id=fold.__name__) for fold in FOLDS),
    pytest.param(Rules(unsynced_disk=True), id="a disk that does not sync"),
]


def play(rules: Rules, first: int = 0) -> None:
    for seed in range(first, first + 2000):
        run(seed, rules)


@pytest.mark.parametrize("rules", BROKEN)
def test_a_broken_rule_is_caught(rules: Rules) -> None:
    with pytest.raises(ViolationError, match=r"^seed \d+: ") as caught:
        play(rules)
    print(caught.value)


def test_a_key_that_comes_back_is_caught() -> None:
    with pytest.raises(ViolationError, match=r"^seed \d+: votes only from the epoch") as caught:
        play(Rules(fold=LetsThemComeBack), first=400)  # it takes a rare schedule: look where one is near
    print(caught.value)
