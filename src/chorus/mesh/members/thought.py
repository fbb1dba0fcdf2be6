"""The shipped model as a member: every node thinks with its own seeds, and weighs what others found.

A probe of the leading thought is streamed while the mind thinks. It is for people to look at: whole answers, one a
line, each as tentative as all gossip.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import msgspec
from msgspec import Meta

from chorus.mesh.member import Answer, BudgetSpentError, Judgement
from chorus.thought import ThinkConfig, Thinker, Trace

_REMEMBERED = 512  # answers of its own that a member judges by


class ThoughtOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[member]` with `kind = "thought"`."""

    model: str = "sudoku"  # a shipped model, a folder, or a Hugging Face model id
    thoughts: Annotated[int, Meta(ge=1)] = 8
    steps: Annotated[int, Meta(ge=1)] = 160
    approve: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5  # probabilities from here on approve
    threads: Annotated[int, Meta(ge=1)] = 1  # of the arithmetic; nodes on one host share its cores


class ThoughtMember:
    """Proposes what its mind thinks, with the mind's energy; judges by what it has thought itself.

    A mind's energy is −log p, p being its own estimate that its answer is right. Somebody else's answer, when it is the
    same, is right with probability p. When it differs, it is right with some probability between 0 and 1 − p, as only
    one of two can be; the middle of that is its score, so that a mind unsure of itself does not approve of just
    anything. The judgement is thus an independent mind's (its seeds are its own), not a second look by the same one.

    Thinking runs in a thread of its own, one question at a time; the node's tokens, votes and heartbeats go on.
    """

    def __init__(self, options: ThoughtOptions) -> None:
        import torch

        torch.set_num_threads(options.threads)
        self._options = options
        self._thinker = Thinker.from_pretrained(options.model)
        self._thread = ThreadPoolExecutor(1, "thought")
        self._mine: dict[str, tuple[str, float]] = {}  # question → own answer, probability that it is right

    async def propose(self, question: str, seed: int, budget: int, emit: Callable[[str], None]) -> Answer:
        """Think with a seed of one's own; each look at the leading thought counts as one token."""
        loop = asyncio.get_running_loop()
        over = threading.Event()
        looks = 0

        def show(text: str) -> None:
            try:
                emit(text)
            except BudgetSpentError:
                over.set()

        def watch(trace: Trace) -> None:
            nonlocal looks
            if over.is_set():  # the budget is spent, or the round went on without this answer
                raise BudgetSpentError("stopped before the mind had come to rest")
            looks += 1
            frame = trace.frames[-1]
            leading = min(range(len(frame.energy)), key=frame.energy.__getitem__)
            loop.call_soon_threadsafe(show, frame.probes[leading] + "\n")

        try:
            answer, energy = await loop.run_in_executor(self._thread, self._think, question, seed, watch)
        finally:
            over.set()
        return Answer(answer, energy, looks)

    async def judge(self, question: str, answer: str) -> Judgement:
        """Weigh somebody's answer by one's own, thinking first where that has not been done."""
        if question not in self._mine:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._think, question, 0, None)
        mine, sure = self._mine[question]
        score = sure if answer == mine else (1.0 - sure) / 2
        return Judgement(score, score >= self._options.approve)

    async def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _think(self, question: str, seed: int, watch: Callable[[Trace], None] | None) -> tuple[str, float]:
        options = self._options
        config = ThinkConfig(thoughts=options.thoughts, steps=options.steps, seed=seed % 2**31)
        if watch is None:
            found = self._thinker.answer([question], config)[0]
        else:
            found, _ = self._thinker.trace(question, config, watch)
        self._mine[question] = (found.answer, math.exp(-max(0.0, found.energy)))
        if len(self._mine) > _REMEMBERED:
            del self._mine[next(iter(self._mine))]
        return found.answer, found.energy
