"""What the fold keeps of a round: its candidates, their votes, and how the best of them is chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(slots=True)
class Candidate:
    """A proposal and the votes on it."""

    id: bytes
    author: bytes
    answer: str
    energy: float | None
    tokens: int
    index: int  # its place in the transcript
    votes: dict[bytes, tuple[bool, float | None]] = field(default_factory=dict)
    accepted: int | None = None  # the place of the entry that made the majority

    def approvals(self, members: frozenset[bytes]) -> int:
        """Count the members who approve; proposing is approving."""
        return sum(approve for approve, _ in self.votes.values()) + (self.author in members)

    def judgement(self) -> float:
        """Return the mean score others gave it, in [0, 1]; 0 where nobody could judge."""
        scores = [score for _, score in self.votes.values() if score is not None]
        return math.fsum(scores) / len(scores) if scores else 0.0


@dataclass(slots=True)
class Round:
    """A question, and what became of it."""

    id: bytes
    asker: bytes
    question: str
    budget: int
    patience: float
    index: int
    candidates: dict[bytes, Candidate] = field(default_factory=dict)
    answered: set[bytes] = field(default_factory=set)  # who has proposed or passed
    done: set[bytes] = field(default_factory=set)  # who need not wait longer
    closed: int | None = None  # the place of the entry that closed it
    outcome: str = "open"  # open, accepted, undecided, cancelled
    answer: bytes | None = None  # the chosen proposal

    def best(self) -> Candidate | None:
        """Return the accepted candidate with the best judgement, the earliest among equals."""
        accepted = [c for c in self.candidates.values() if c.accepted is not None]
        return max(accepted, key=lambda c: (c.judgement(), -c.index), default=None)

    def chosen(self) -> Candidate | None:
        """Return the answer of a closed round."""
        return self.candidates[self.answer] if self.answer is not None else None

    def summary(self) -> tuple[object, ...]:
        """Return everything replicas must agree on, in a fixed order."""
        candidates = [
            (c.id, c.accepted, [(voter, *c.votes[voter]) for voter in sorted(c.votes)])
            for c in self.candidates.values()
        ]
        return (self.id, candidates, sorted(self.answered), sorted(self.done), self.closed, self.outcome, self.answer)


@dataclass(slots=True)
class Motion:
    """A proposed membership and who approves it."""

    members: tuple[bytes, ...]
    approvals: set[bytes]
