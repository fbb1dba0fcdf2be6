"""What a member of the mesh can do: propose an answer, and judge another's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from chorus.errors import ChorusError


class Answer(msgspec.Struct, frozen=True, tag=str.lower):
    """A member's answer to a question."""

    text: str
    energy: float | None = None  # the member's own estimate, lower is better
    tokens: int = 0


class Judgement(msgspec.Struct, frozen=True, tag=str.lower):
    """A member's opinion of an answer: a score in [0, 1], and whether it would have it committed."""

    score: float
    approve: bool


class Failure(msgspec.Struct, frozen=True, tag=str.lower):
    """A call that brought nothing, and why. It is journalled like an outcome, and not repeated."""

    reason: str


class BudgetSpentError(ChorusError):
    """The round's token budget is used up: the member stops writing."""


Outcome = Answer | Judgement | Failure

encode_outcome = msgspec.msgpack.Encoder().encode
decode_outcome = msgspec.msgpack.Decoder(Answer | Judgement | Failure).decode


class Member(Protocol):
    """Anything that thinks: a local model, a remote endpoint, a solver.

    Both calls may be cancelled at any `await`. `emit` streams a piece of the answer while it is being written and
    raises `BudgetSpentError` once the round's token budget is used up.
    """

    async def propose(self, question: str, seed: int, budget: int, emit: Callable[[str], None]) -> Answer:
        """Answer a question."""

    async def judge(self, question: str, answer: str) -> Judgement:
        """Judge another member's answer."""

    async def close(self) -> None:
        """Let go of connections and memory."""
