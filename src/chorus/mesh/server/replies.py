"""Answers on their way to clients: one feed of the node, told apart by round.

A stream follows the first member that is heard. What it holds is the tentative text of one answer, at most
`MAX_TEXT` characters, and where its reader is: a reader that is slow, or stops, holds up nothing and costs no more.
When a piece of gossip was lost the tentative text ends there; the committed answer is always whole.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from chorus.mesh.control import describe_round
from chorus.mesh.effects import Closed, Said
from chorus.mesh.entries import MAX_TEXT
from chorus.mesh.limits import RefusedError
from chorus.mesh.rounds import Round
from chorus.mesh.runtime import Runtime
from chorus.mesh.server.errors import HttpError


class Reply:
    """One round as its client sees it."""

    def __init__(self, round_: bytes) -> None:
        self.round = round_
        self.author = b""
        self.text = ""  # tentative
        self.closed: Round | None = None
        self._broken = False
        self._news = asyncio.Event()

    def said(self, event: Said) -> None:
        """Take a piece of somebody's answer."""
        self.author = self.author or event.author
        if event.author != self.author or self._broken:
            return
        if event.offset != len(self.text) or len(self.text) + len(event.text) > MAX_TEXT:
            self._broken = True
            return
        self.text += event.text
        self._news.set()

    def close(self, round_: Round) -> None:
        """Take what became of the round."""
        self.closed = round_
        self._news.set()

    async def news(self) -> None:
        """Wait until there is more text, or the round is closed."""
        await self._news.wait()
        self._news.clear()


class Replies:
    """The rounds that clients wait for.

    Args:
        runtime: the node.
        names: the members' names.
        most: rounds at a time; more are refused with 429.

    """

    def __init__(self, runtime: Runtime, names: dict[bytes, str], most: int) -> None:
        self.runtime = runtime
        self.names = names
        self._most = most
        self._open: dict[bytes, Reply] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def listen(self) -> None:
        """Hand every event to the reply it belongs to, until cancelled."""
        rounds = self.runtime.node.fold.rounds
        with self.runtime.watching() as feed:
            lost = 0
            async for event in feed:
                if isinstance(event, Said) and event.round in self._open:
                    self._open[event.round].said(event)
                elif isinstance(event, Closed) and event.round.id in self._open:
                    self._open[event.round.id].close(event.round)
                if feed.lost > lost:  # events were lost: look at the rounds themselves
                    lost = feed.lost
                    for reply in self._open.values():
                        if reply.round in rounds and rounds[reply.round].closed is not None:
                            reply.close(rounds[reply.round])

    @contextlib.asynccontextmanager
    async def asking(self, question: str, budget: int, patience: float) -> AsyncIterator[Reply]:
        """Ask, and withdraw the question when the block ends before its answer; raises `HttpError` 429 or 503."""
        if len(self._open) >= self._most:
            raise HttpError(429, f"{self._most} answers are being written: try again", "too_many_streams")
        try:
            round_ = self.runtime.ask(question, budget, patience)
        except RefusedError as error:
            raise HttpError(503, str(error), "node_not_ready") from error
        reply = self._open[round_] = Reply(round_)
        try:
            yield reply
        finally:
            del self._open[round_]
            if reply.closed is None:
                self.runtime.cancel(round_)

    def tell(self, reply: Reply) -> dict[str, Any]:
        """Return the `chorus` extension: whether, and where, the answer was committed."""
        fold = self.runtime.node.fold
        told: dict[str, Any] = {"committed": False, "round": reply.round.hex(), "epoch": fold.epoch}
        if reply.closed is None:
            reason = self.runtime.node.tail.trouble or "no majority closed the round in time; the question is withdrawn"
            return told | {"outcome": "open", "reason": reason}
        round_ = reply.closed
        assert round_.closed is not None
        size = round_.closed + 1
        told |= {"outcome": round_.outcome, "head": {"size": size, "root": fold.tree.root(size).hex()}}
        chosen = round_.chosen()
        if chosen is None:
            return told
        described = describe_round(round_, self.names)
        return told | {
            "committed": True,
            "position": chosen.index,
            "entry": chosen.id.hex(),
            "closed_at": round_.closed,
            "answer": chosen.answer,
            **{key: described[key] for key in ("author", "score", "approvals", "proposals")},
        }
