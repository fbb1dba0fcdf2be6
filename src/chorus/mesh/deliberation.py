"""How a node takes part in rounds: when its member thinks, what it then says, and when it need not wait longer.

Everything here is level-triggered: `consider` looks at what is known of a round and does what is missing, so that
it may be called at any time, any number of times, and after a restart. Thinking starts on what gossip brings;
speaking waits until what is spoken about is committed, so that an entry never cites what might not come to be.

A node's model calls are made once. The intent is on disk before a call starts; a call whose outcome never reached
the disk is not made again after a restart, it counts as failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from chorus.errors import InputError
from chorus.mesh.entries import AnyPayload, Ask, Done, Entry, Membership, Pass, Proposal, Vote
from chorus.mesh.fold import MAX_OPEN, Fold
from chorus.mesh.limits import Limits
from chorus.mesh.member import Answer, Failure, Judgement, Outcome
from chorus.mesh.rhythm import Turns
from chorus.mesh.rounds import Round

Readers = Callable[[tuple[bytes, ...]], Mapping[bytes, frozenset[bytes]]]


def everyone(members: tuple[bytes, ...]) -> Mapping[bytes, frozenset[bytes]]:
    """Return the complete topology: every member reads every member's proposals."""
    all_of_them = frozenset(members)
    return dict.fromkeys(members, all_of_them)


@dataclass(slots=True)
class Local:
    """A round as this node lives it."""

    id: bytes
    question: str
    budget: int
    deadline: float  # by this node's own clock
    proposals: dict[bytes, tuple[bytes, str]] = field(default_factory=dict)  # identity → (author, answer)


class Voice(Protocol):
    """What deliberation asks of its node."""

    def speak(self, payload: AnyPayload, because: tuple[bytes, ...] = ()) -> bytes:
        """Make an entry, journal it, send it."""

    def begin(self, key: bytes, round_: bytes, question: str, answer: str | None, seed: int, budget: int) -> None:
        """Journal the intent of a call, then make it."""

    def stop(self, key: bytes, why: Failure) -> None:
        """Give a call up."""


class Deliberation:
    """The rounds a node takes part in.

    Args:
        me: the node's public key.
        fold: the committed state.
        calls: outcomes by call key; None where a call has begun and not ended.
        voice: what carries out decisions.
        readers: from the epoch's sorted members to whose proposals each of them reads.
        limits: how many calls of each kind may run at a time.
        turns: whose proposal is judged first when there are more than may be judged at a time.

    """

    def __init__(
        self,
        me: bytes,
        fold: Fold,
        calls: dict[bytes, Outcome | None],
        voice: Voice,
        readers: Readers,
        limits: Limits,
        turns: Turns,
    ) -> None:
        self._me = me
        self._fold = fold
        self._voice = voice
        self._readers = readers
        self._slots = {b"p": limits.proposals, b"j": limits.judgements}
        self._turns = turns
        self._waiting: dict[bytes, Local] = {}  # proposals to be judged when there is a slot, and their rounds
        self._reads: tuple[int, Mapping[bytes, frozenset[bytes]]] = (-1, {})
        self.calls = calls
        self.running: set[bytes] = set()
        self.locals: dict[bytes, Local] = {}
        self._dirty: dict[bytes, None] = {}  # rounds to consider, oldest first
        # What this node has said, from its journal and since, so that it says nothing twice.
        self._answered: set[bytes] = set()
        self._voted: dict[bytes, int] = {}  # proposal or motion → the epoch of the vote
        self._done: dict[bytes, int] = {}  # round → the epoch of the word

    def hear(self, identity: bytes, entry: Entry, now: float) -> None:
        """Take note of an entry: heard in gossip, just spoken, or committed."""
        payload = entry.payload
        mine = entry.author == self._me
        if isinstance(payload, Ask):
            self._open(identity, payload, now)
        elif isinstance(payload, Proposal):
            local = self.locals.get(payload.round)
            heard = local is not None and any(author == entry.author for author, _ in local.proposals.values())
            if local is not None and (identity in self._fold.candidates or not heard):
                local.proposals[identity] = (entry.author, payload.answer)
            if mine and not self._over(payload.round):
                self._answered.add(payload.round)
            self._dirty[payload.round] = None
        elif isinstance(payload, Vote):
            found = self._fold.candidates.get(payload.proposal)
            if mine and (found is not None or payload.proposal not in self._fold.applied):
                self._voted[payload.proposal] = payload.epoch
            if found is not None:
                self._dirty[found[0].id] = None
        elif isinstance(payload, Done | Pass):
            if mine and not self._over(payload.round):
                if isinstance(payload, Done):
                    self._done[payload.round] = payload.epoch
                else:
                    self._answered.add(payload.round)
            self._dirty[payload.round] = None
        elif isinstance(payload, Membership):
            self._turns.keep(self._fold.members)
            self.touch_all()
        else:
            self._dirty.update(dict.fromkeys(self.locals.keys() - self._fold.open.keys()))

    def touch_all(self) -> None:
        """Have every round considered again: a slot fell free, time has passed, or the epoch changed."""
        self._dirty.update(dict.fromkeys(self.locals))

    def settle(self, now: float) -> None:
        """Consider every round that something happened to."""
        while self._dirty:
            identity = next(iter(self._dirty))
            del self._dirty[identity]
            self.consider(identity, now)
        for _ in range(min(len(self._waiting), self._free(b"j"))):
            proposal = next(iter(self._waiting))
            if len(self._waiting) > self._free(b"j"):
                proposal = self._turns.first(now, [(p, local.proposals[p][0]) for p, local in self._waiting.items()])
            local = self._waiting.pop(proposal)
            self._begin(b"j" + proposal, local, local.proposals[proposal][1])

    def overdue(self, now: float) -> None:
        """Have the rounds considered whose deadline has passed."""
        for identity, local in self.locals.items():
            if now >= local.deadline:
                self._dirty[identity] = None

    def consider(self, identity: bytes, now: float) -> None:
        """Do what is missing in a round."""
        local = self.locals.get(identity)
        if local is None:
            return
        for proposal in local.proposals:
            self._waiting.pop(proposal, None)
        state = self._fold.open.get(identity)
        late = now >= local.deadline
        over = self._over(identity)
        if over or (state is None and late):
            self._forget(local, closed=over)
        elif self._me in self._fold.members:
            self._answer(local, state, late)
            self._judge(local, late)
            if state is not None:
                self._finish(local, state, late)

    def reads(self, reader: bytes, author: bytes) -> bool:
        """Say whether the topology lets `reader` read the proposals of `author`."""
        if self._reads[0] != self._fold.epoch:
            self._reads = (self._fold.epoch, self._readers(tuple(sorted(self._fold.members))))
        return author in self._reads[1].get(reader, ())

    def _open(self, identity: bytes, ask: Ask, now: float) -> None:
        room = identity in self._fold.open or len(self.locals) < 2 * MAX_OPEN  # what is only heard of keeps nothing out
        if identity not in self.locals and room and not self._over(identity):
            self.locals[identity] = Local(identity, ask.question, ask.budget, now + ask.patience)
        self._dirty[identity] = None

    def _over(self, round_: bytes) -> bool:
        """Say whether a round is committed and not open: closed, or never opened where too many were open."""
        return round_ in self._fold.applied and round_ not in self._fold.open

    def _free(self, kind: bytes) -> int:
        """Return how many more calls of this kind may run."""
        return self._slots[kind] - sum(other[:1] == kind for other in self.running)

    def _begin(self, key: bytes, local: Local, answer: str | None) -> None:
        seed = int.from_bytes(sha256(self._me + key).digest()[:7], "big")
        self._voice.begin(key, local.id, local.question, answer, seed, local.budget)

    def _outcome(self, key: bytes, late: bool) -> Outcome | None:
        """Return what a call brought; None while it runs, or waits with time left."""
        if key not in self.calls:
            return Failure("no time was left") if late else None
        outcome = self.calls[key]
        if outcome is None and key not in self.running:
            outcome = Failure("interrupted by a restart")
        elif outcome is None and late:
            outcome = Failure("the deadline passed")
            self._voice.stop(key, outcome)
        return outcome

    def _answer(self, local: Local, state: Round | None, late: bool) -> None:
        if local.id in self._answered:
            return
        key = b"p" + local.id
        if key not in self.calls and not late and self._free(b"p") > 0:
            self._begin(key, local, None)
        outcome = self._outcome(key, late)
        if outcome is None or state is None:
            return
        if isinstance(outcome, Answer):
            try:
                self._voice.speak(Proposal(local.id, outcome.text, outcome.energy, outcome.tokens), (local.id,))
                return
            except InputError as error:  # too long, not text, not a number
                outcome = Failure(str(error))
        reason = outcome.reason if isinstance(outcome, Failure) else "no answer"
        printable = reason.encode("ascii", "backslashreplace").decode()[:200]
        self._voice.speak(Pass(local.id, printable), (local.id,))

    def _judge(self, local: Local, late: bool) -> None:
        epoch = self._fold.epoch
        for identity, (author, _) in local.proposals.items():
            if not self._owes_vote(identity, author):
                continue
            key = b"j" + identity
            if key not in self.calls and not late:
                self._waiting[identity] = local
            outcome = self._outcome(key, late)
            if outcome is None or identity not in self._fold.candidates:
                continue
            if isinstance(outcome, Judgement):
                vote = Vote(identity, outcome.approve, outcome.score, epoch)
            else:
                vote = Vote(identity, False, None, epoch)
            self._voice.speak(vote, (identity,))

    def _owes_vote(self, identity: bytes, author: bytes) -> bool:
        if author == self._me or not self.reads(self._me, author):
            return False
        voted = self._voted.get(identity, -1)
        if voted == self._fold.epoch:
            return False
        found = self._fold.candidates.get(identity)
        return voted < 0 or found is None or found[1].accepted is None

    def _finish(self, local: Local, state: Round, late: bool) -> None:
        epoch = self._fold.epoch
        if self._done.get(local.id) != epoch and (late or self._settled(state)):
            self._voice.speak(Done(local.id, epoch), (local.id,))

    def _settled(self, state: Round) -> bool:
        """Say whether waiting longer is needless.

        Either a majority has answered, something is accepted and this node has judged all that is committed; or
        everyone has answered and nothing can be accepted any more. A silent minority is waited for by nobody, and
        neither is one that can be heard and cannot reach the log.
        """
        fold = self._fold
        if any(self._owes_vote(candidate.id, candidate.author) for candidate in state.candidates.values()):
            return False
        answered = state.answered & fold.members
        if any(c.accepted is not None for c in state.candidates.values()):
            return len(answered) >= fold.quorum
        if answered != fold.members:
            return False
        for candidate in state.candidates.values():
            undecided = sum(
                1
                for member in fold.members - candidate.votes.keys() - {candidate.author}
                if self.reads(member, candidate.author)
            )
            if fold.approved(candidate.approvals(fold.members) + undecided):
                return False
        return True

    def _forget(self, local: Local, *, closed: bool) -> None:
        del self.locals[local.id]
        keys = [b"p" + local.id, *(b"j" + identity for identity in local.proposals)]
        for key in keys:
            if key in self.running:
                self._voice.stop(key, Failure("the round is over" if closed else "the deadline passed"))
        if closed:  # what is over is never considered again
            for key in keys:
                self.calls.pop(key, None)
            self._answered.discard(local.id)
            self._done.pop(local.id, None)
            for identity in local.proposals:
                self._voted.pop(identity, None)
