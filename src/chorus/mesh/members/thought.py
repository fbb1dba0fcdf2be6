"""The shipped model as a member: every node thinks with its own seeds, and weighs what others found.

A probe of the leading thought is streamed while the mind thinks. It is for people to look at: whole answers, one a
line, each as tentative as all gossip.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import msgspec
from msgspec import Meta

from chorus.mesh.member import Answer, Judgement
from chorus.thought import ThinkConfig, Thinker, Trace


class ThoughtOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[member]` with `kind = "thought"`."""

    model: str = "sudoku"  # a shipped model, a folder, or a Hugging Face model id
    thoughts: Annotated[int, Meta(ge=1)] = 8
    steps: Annotated[int, Meta(ge=1)] = 160
    judge_steps: Annotated[int, Meta(ge=1)] = 16
    approve: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5  # probabilities from here on approve
    threads: Annotated[int, Meta(ge=1)] = 1  # of the arithmetic; nodes on one host share its cores


class Cancelled(Exception):  # noqa: N818 - not an error: the round went on without this answer
    """The round is over, or the budget spent: the thread stops thinking at its next look."""


class ThoughtMember:
    """Proposes what its mind thinks, with the mind's energy; judges by the mind's probability.

    Thinking runs in a thread of its own, one question at a time. The node's tokens, votes and heartbeats go on.
    """

    def __init__(self, options: ThoughtOptions) -> None:
        import torch

        torch.set_num_threads(options.threads)
        self._options = options
        self._thinker = Thinker.from_pretrained(options.model)
        self._thread = ThreadPoolExecutor(1, "thought")

    async def propose(self, question: str, seed: int, budget: int, emit: Callable[[str], None]) -> Answer:
        """Think with a seed of one's own."""
        loop = asyncio.get_running_loop()
        over = threading.Event()
        looks = 0

        def show(text: str) -> None:
            try:
                emit(text)
            except Exception:  # the budget is spent
                over.set()

        def watch(trace: Trace) -> None:
            nonlocal looks
            if over.is_set():
                raise Cancelled
            frame = trace.frames[-1]
            looks += 1
            leading = min(range(len(frame.energy)), key=frame.energy.__getitem__)
            loop.call_soon_threadsafe(show, frame.probes[leading] + "\n")

        options = self._options
        config = ThinkConfig(thoughts=options.thoughts, steps=options.steps, seed=seed % 2**31)
        try:
            found, _ = await loop.run_in_executor(self._thread, lambda: self._thinker.trace(question, config, watch))
        except Cancelled as stopped:
            raise TimeoutError("the budget was spent before the mind had come to rest") from stopped
        finally:
            over.set()
        return Answer(found.answer, found.energy, looks)

    async def judge(self, question: str, answer: str) -> Judgement:
        """Weigh somebody's answer: the probability, by this mind's estimate, that it is right."""
        weigh = lambda: self._thinker.judge(question, answer, self._options.judge_steps)  # noqa: E731
        score = await asyncio.get_running_loop().run_in_executor(self._thread, weigh)
        return Judgement(min(1.0, max(0.0, score)), score >= self._options.approve)

    async def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)
