"""One client's connection, bounded in time and memory whatever the client does or leaves undone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a connection may take; times in seconds."""

    connections: int  # open at a time; one more is closed as it comes
    timeout: float  # in which a request's head must have come, whole
    stall: float  # in which what is written must be taken


class Connection(H11Protocol):
    """HTTP/1.1, with what uvicorn leaves open: a time-out for heads, one for readers, and a bound on connections.

    Nothing is buffered here for a client beyond the piece being written (and 64 KiB under TLS): the transport tells of
    anything the kernel has not taken, and the answer waits. A client that does not take it within `stall` is cut off,
    whatever state its connection is in, and its question is withdrawn.
    """

    def __init__(
        self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any], bounds: Bounds
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._bounds = bounds
        self._head = _Timer(self.loop, bounds.timeout)
        self._stalled = _Timer(self.loop, bounds.stall)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > self._bounds.connections:
            transport.abort()
            return
        # Plain transports pause a writer above the limit, TLS transports already at it.
        transport.set_write_buffer_limits(high=int(self.scheme == "https"))
        self._head.start(transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take what came; until it makes a whole head the time runs on."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head.stop()
        else:
            self._head.start(self.transport.abort)

    def pause_writing(self) -> None:
        """Have the answer wait for its reader, but not for ever."""
        super().pause_writing()
        self._stalled.start(self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the kernel has taken everything."""
        super().resume_writing()
        self._stalled.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        super().connection_lost(exc)
        self._head.stop()
        self._stalled.stop()


class _Timer:
    """Calls something once after so many seconds, unless it is stopped before; starting it again changes nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._handle: asyncio.TimerHandle | None = None

    def start(self, then: Callable[[], None]) -> None:
        if self._handle is None:
            self._handle = self._loop.call_later(self._seconds, then)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
