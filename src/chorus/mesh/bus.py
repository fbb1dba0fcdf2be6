"""The door to the gossip plane: messages to every peer, any of which may be lost.

`Bus` is all the mesh asks of an engine. Sending never waits: a peer that is slow loses messages, nobody else does.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from chorus.errors import InputError
from chorus.mesh.gossip import MAX_MESSAGE

_BACKLOG = 4096  # messages kept for a receiver that is behind


class Bus(Protocol):
    """Fire-and-forget messages among peers."""

    def send(self, data: bytes) -> None:
        """Send to every peer, without waiting and without promise."""

    async def receive(self) -> bytes:
        """Return the next message."""

    async def close(self) -> None:
        """Leave."""


class Hub:
    """A bus within one process.

    >>> async def example():
    ...     hub = Hub()
    ...     ana, ben = hub.join(), hub.join()
    ...     ana.send(b"hello")
    ...     return await ben.receive()
    >>> asyncio.run(example())
    b'hello'
    """

    def __init__(self) -> None:
        self._joined: list[_Seat] = []

    def join(self) -> _Seat:
        """Return one peer's end of the bus."""
        seat = _Seat(self._joined)
        self._joined.append(seat)
        return seat


class _Seat:
    def __init__(self, joined: list[_Seat]) -> None:
        self._joined = joined
        self._waiting: deque[bytes] = deque(maxlen=_BACKLOG)
        self._arrived = asyncio.Event()

    def send(self, data: bytes) -> None:
        for seat in self._joined:
            if seat is not self:
                seat._waiting.append(data)
                seat._arrived.set()

    async def receive(self) -> bytes:
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    async def close(self) -> None:
        self._joined.remove(self)


class SocketBus:
    """A bus among the processes of one host: a directory of Unix datagram sockets, one for each node.

    The directory is readable by its owner only. A datagram that does not fit into a peer's buffer is dropped and
    counted. A socket whose process has died stays until that node starts again: whoever removed it for the dead could
    remove the living one's.

    Args:
        directory: where the sockets live; made if absent.
        name: this node's name in it.

    """

    def __init__(self, directory: Path, name: str) -> None:
        if not hasattr(socket, "AF_UNIX"):
            raise InputError("the local bus needs Unix sockets, which this system does not have")
        self.directory = directory
        self.dropped = 0
        self._own = directory / f"{sha256(name.encode()).hexdigest()[:12]}.sock"
        if len(os.fsencode(self._own)) > 100:
            raise InputError(
                f"{directory}: too long a path for sockets (100 bytes); use a shorter one, such as in /tmp"
            )
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                self._socket.setsockopt(socket.SOL_SOCKET, option, 8 * MAX_MESSAGE)
            self._own.unlink(missing_ok=True)
            self._socket.bind(str(self._own))
        except OSError as error:
            raise InputError(f"{directory}: cannot open the local bus here ({error.strerror})") from error

    def send(self, data: bytes) -> None:
        """Send to every socket in the directory but our own."""
        for peer in self._peers():
            try:
                self._socket.sendto(data, peer)
            except ConnectionRefusedError:  # nobody listens any more; the socket is its owner's to replace
                pass
            except OSError:  # full, too large, or gone in this moment
                self.dropped += 1

    def _peers(self) -> list[str]:
        try:
            with os.scandir(self.directory) as files:
                return [file.path for file in files if file.name.endswith(".sock") and file.path != str(self._own)]
        except OSError:
            return []

    async def receive(self) -> bytes:
        """Return the next datagram."""
        return await asyncio.get_running_loop().sock_recv(self._socket, MAX_MESSAGE + 1)

    async def close(self) -> None:
        """Remove the socket."""
        self._socket.close()
        self._own.unlink(missing_ok=True)
