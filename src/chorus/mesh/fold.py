"""The fold: a pure function from the ordered log to the state of the mesh.

Every replica that has read the same prefix of the log is in the same state, bit for bit, because nothing enters
here but the records, in order: no clock, no randomness, no network. What makes the mesh safe is decided here and
nowhere else, so that it holds whatever nodes, engines and networks do:

1. *Exactly once.* An entry whose identity was applied before is void. A time-out of the log means Unknown, so
   nodes append again until they see an entry applied, and the repeats end here.
2. *One history for each author.* An entry is applied only as the next of its author's chain (`seq`, and the
   previous entry's hash as first parent). What a node said twice under one number is applied once at most.
3. *Causes first.* An entry is void until all its parents have been applied; its author appends it again.
   Its Lamport stamp exceeds its parents', and leaps no further ahead of what was applied than `LEAP`.
4. *Members only.* Unsigned, wrongly signed, foreign (another genesis) and strangers' entries are void.
5. *One member, one vote, in its epoch.* A vote counts if its author belongs to the epoch in which it is applied
   and was cast for that epoch; the first vote counts.
6. *Majority.* A proposal, or an epoch's membership, is accepted when more than half of the epoch's members approve.
   Two majorities of one epoch share a member, and that member's one vote: no two sides accept different things.
   A key that has left never comes back: what it had on its way to the log was void where it landed, and engines
   that keep a record's first place would leave a hole in its chain for good.
7. *A round closes once*, where a majority has said it need not wait longer; its answer never changes after.

A void record changes nothing and is counted by reason. An applied entry that comes too late to matter keeps its
place in the transcript with a note of why it had no effect ("superseded").

Questions and answers lie in the log. Here they are kept while their round is open, and of the last closed rounds for
those who look; of older ones the digest of what they came to is left, so that a node does not grow with what was said.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from chorus.mesh.artifacts import valid_name
from chorus.mesh.entries import (
    Ask,
    Cancel,
    Done,
    Entry,
    Membership,
    Name,
    Pass,
    Proposal,
    Vote,
    open_record,
    signed_by_author,
)
from chorus.mesh.identity import SIGNATURE, Genesis, Verify
from chorus.mesh.identity import verify as verify_ed25519
from chorus.mesh.merkle import MerkleTree, leaf_hash
from chorus.mesh.rounds import Candidate, Motion, Round

LEAP = 1 << 20  # Lamport ticks an entry may be ahead of everything applied so far
MAX_OPEN = 256  # rounds open at a time; an Ask beyond them has no effect
KEPT = MAX_OPEN  # closed rounds that a fold keeps unless told otherwise


class Applied(NamedTuple):
    """An entry that took its place in the transcript; `note` says why it had no effect, if it had none."""

    place: int
    id: bytes
    entry: Entry
    note: str


class Void(NamedTuple):
    """A record that changed nothing, and why."""

    reason: str


class Fold:
    """The state after a prefix of the log.

    Args:
        genesis: the pinned founding.
        verify: the signature check.
        keep: how many closed rounds stay in `rounds`, the last ones; None for all. Nothing else depends on it.

    >>> from chorus.mesh.entries import Ask, Entry, seal
    >>> from chorus.mesh.identity import Genesis, Key
    >>> key = Key.from_seed(bytes(32))
    >>> fold = Fold(Genesis.of([key.public], nonce=b""))
    >>> record = seal(Entry(fold.genesis.hash, key.public, 0, 1, (), Ask("2 + 2?", 100, 5.0)), key)
    >>> fold.apply(record).place, fold.apply(record).reason, fold.size
    (0, 'repeat', 1)
    """

    def __init__(self, genesis: Genesis, verify: Verify = verify_ed25519, *, keep: int | None = KEPT) -> None:
        self.genesis = genesis
        self._keep = keep
        self._mesh = genesis.hash
        self._verify = verify
        self.epoch = 0
        self.members = frozenset(genesis.members)
        self.gone: frozenset[bytes] = frozenset()  # keys that were members once
        self.tree = MerkleTree()
        self.applied: dict[bytes, int] = {}  # identity → Lamport stamp
        self.tips: dict[bytes, tuple[int, bytes]] = {}  # author → its last (seq, identity)
        self.clock = 0
        self.rounds: dict[bytes, Round] = {}  # the open ones, and the last that were closed
        self.open: dict[bytes, Round] = {}
        self.outcomes: Counter[str] = Counter()  # of all closed rounds
        self._closed: deque[bytes] = deque()  # the closed ones in `rounds`, oldest first
        self._history = b""  # digest of all closed rounds, in the order in which they closed
        self.candidates: dict[bytes, tuple[Round, Candidate]] = {}  # of the open rounds
        self.motions: dict[bytes, Motion] = {}
        self.names: dict[str, tuple[bytes, int]] = {}
        self.voids: Counter[str] = Counter()
        self._effects: dict[type, Callable[[bytes, Entry, Any], str]] = {
            Ask: self._ask,
            Proposal: self._proposal,
            Pass: self._pass,
            Vote: self._vote,
            Done: self._done,
            Cancel: self._cancel,
            Membership: self._membership,
            Name: self._name,
        }

    @property
    def size(self) -> int:
        """Number of entries in the transcript."""
        return len(self.tree)

    @property
    def quorum(self) -> int:
        """The smallest majority of the epoch's members."""
        return len(self.members) // 2 + 1

    def apply(self, record: bytes, *, verified: bool = False) -> Applied | Void:
        """Apply the next record of the log.

        `verified` skips the signature of a record whose exact bytes this node has verified before.
        """
        identity = sha256(record[SIGNATURE:]).digest()
        reason = "repeat" if self.repeated(identity) else ""
        if not reason:
            try:
                entry = open_record(record)
            except ValueError:  # msgspec's errors are ValueErrors
                reason = "malformed"
            else:
                reason = self._refusal(entry)
                if not reason and not verified and not signed_by_author(record, entry, self._verify):
                    reason = "signature"
        if reason:
            self.voids[reason] += 1
            return Void(reason)
        index = len(self.tree)
        self.tree.append(leaf_hash(record))
        self.applied[identity] = entry.clock
        self.tips[entry.author] = (entry.seq, identity)
        if entry.clock > self.clock:
            self.clock = entry.clock
        note = self._effects[type(entry.payload)](identity, entry, entry.payload)
        return Applied(index, identity, entry, note)

    def fingerprint(self) -> bytes:
        """Return a digest of the whole state, for comparing replicas."""
        rounds = [r.summary() for r in self.open.values()]
        motions = [(i, m.members, sorted(m.approvals)) for i, m in self.motions.items()]
        state = (
            self.epoch,
            sorted(self.members),
            sorted(self.gone),
            self.tree.root(),
            self.clock,
            self._history,
            rounds,
            motions,
            list(self.names.items()),
        )
        return sha256(msgspec.msgpack.encode(state)).digest()

    # The rules. Each is a method of its own, so that a test can break one and watch the simulation catch it.

    def repeated(self, identity: bytes) -> bool:
        """Rule 1."""
        return identity in self.applied

    def follows_its_chain(self, entry: Entry) -> bool:
        """Rule 2."""
        tip = self.tips.get(entry.author)
        if tip is None:
            return entry.seq == 0
        return entry.seq == tip[0] + 1 and bool(entry.parents) and entry.parents[0] == tip[1]

    def causes_applied(self, entry: Entry) -> bool:
        """Rule 3."""
        applied, clock = self.applied, entry.clock
        return all(parent in applied and applied[parent] < clock for parent in entry.parents)

    def may_vote(self, author: bytes, epoch: int) -> bool:
        """Rule 5."""
        return epoch == self.epoch and author in self.members

    def approved(self, approvals: int) -> bool:
        """Rule 6."""
        return approvals >= self.quorum

    def _refusal(self, entry: Entry) -> str:
        if entry.mesh != self._mesh:
            return "genesis"
        if entry.author not in self.members:
            return "not a member"
        if entry.clock > self.clock + LEAP:
            return "clock"
        if not self.follows_its_chain(entry):
            return "chain"
        return "" if self.causes_applied(entry) else "parents"

    def _ask(self, identity: bytes, entry: Entry, ask: Ask) -> str:
        if len(self.open) >= MAX_OPEN:
            return "too many open rounds"
        opened = Round(identity, entry.author, ask.question, ask.budget, ask.patience, self.size - 1)
        self.rounds[identity] = self.open[identity] = opened
        return ""

    def _proposal(self, identity: bytes, entry: Entry, proposal: Proposal) -> str:
        round_ = self.open.get(proposal.round)
        if round_ is None:
            return "superseded: the round is not open"
        if entry.author in round_.answered:
            return "superseded: one answer for each member"
        round_.answered.add(entry.author)
        candidate = Candidate(identity, entry.author, proposal.answer, proposal.energy, proposal.tokens, self.size - 1)
        round_.candidates[identity] = candidate
        self.candidates[identity] = (round_, candidate)
        self._count(candidate)
        return ""

    def _pass(self, identity: bytes, entry: Entry, passed: Pass) -> str:
        round_ = self.open.get(passed.round)
        if round_ is None:
            return "superseded: the round is not open"
        round_.answered.add(entry.author)
        return ""

    def _vote(self, identity: bytes, entry: Entry, vote: Vote) -> str:
        if not self.may_vote(entry.author, vote.epoch):
            return "superseded: cast for another epoch"
        motion = self.motions.get(vote.proposal)
        if motion is not None:
            if vote.approve:
                motion.approvals.add(entry.author)
                self._adopt(motion)
            return ""
        found = self.candidates.get(vote.proposal)
        if found is None:
            return "superseded: nothing open to vote on"
        candidate = found[1]
        if entry.author in candidate.votes or entry.author == candidate.author:
            return "superseded: one vote for each member"
        candidate.votes[entry.author] = (vote.approve, vote.score)
        self._count(candidate)
        return ""

    def _done(self, identity: bytes, entry: Entry, done: Done) -> str:
        if not self.may_vote(entry.author, done.epoch):
            return "superseded: cast for another epoch"
        round_ = self.open.get(done.round)
        if round_ is None:
            return "superseded: the round is not open"
        round_.done.add(entry.author)
        if self.approved(len(round_.done)):
            self._close(round_, "")
        return ""

    def _cancel(self, identity: bytes, entry: Entry, cancel: Cancel) -> str:
        round_ = self.open.get(cancel.round)
        if round_ is None:
            return "superseded: the round is not open"
        if round_.asker != entry.author:
            return "only the asker can cancel"
        self._close(round_, "cancelled")
        return ""

    def _membership(self, identity: bytes, entry: Entry, proposed: Membership) -> str:
        if proposed.epoch != self.epoch:
            return "superseded: proposed in another epoch"
        if not self.gone.isdisjoint(proposed.members):
            return "a key that has left does not come back"
        motion = Motion(tuple(sorted(set(proposed.members))), {entry.author})
        self.motions[identity] = motion
        self._adopt(motion)
        return ""

    def _name(self, identity: bytes, entry: Entry, name: Name) -> str:
        if not valid_name(name.name):
            return "not a name"
        self.names[name.name] = (name.digest, name.size)
        return ""

    def _count(self, candidate: Candidate) -> None:
        if candidate.accepted is None and self.approved(candidate.approvals(self.members)):
            candidate.accepted = self.size - 1

    def _close(self, round_: Round, reason: str) -> None:
        round_.closed = self.size - 1
        best = None if reason else round_.best()
        round_.answer = best.id if best else None
        round_.outcome = reason or ("accepted" if best else "undecided")
        del self.open[round_.id]
        self.outcomes[round_.outcome] += 1
        self._history = sha256(self._history + msgspec.msgpack.encode(round_.summary())).digest()
        for candidate in round_.candidates:
            del self.candidates[candidate]
        self._closed.append(round_.id)
        if self._keep is not None and len(self._closed) > self._keep:
            del self.rounds[self._closed.popleft()]

    def _adopt(self, motion: Motion) -> None:
        if not self.approved(len(motion.approvals & self.members)):
            return
        self.epoch += 1
        self.gone |= self.members - set(motion.members)
        self.members = frozenset(motion.members)
        self.motions.clear()
        # Votes of the old epoch cannot add up with those of the new one: what is still open is voted on anew.
        for round_ in self.open.values():
            round_.done.clear()
            for candidate in round_.candidates.values():
                if candidate.accepted is None:
                    candidate.votes.clear()
                    self._count(candidate)
