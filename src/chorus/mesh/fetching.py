"""Artifacts on their way between nodes: a piece at a time, from one holder at a time.

An artifact is asked for by its digest and believed only when all of it hashes to that, so a holder can withhold but not
lie. Each attempt takes every piece from one holder, so that it is known who sent what did not fit: it is asked no more.
Gossip may lose anything; what does not come is asked for again, then of another. Like all gossip, nothing waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from chorus.mesh.effects import Effect, Fetched, Serve
from chorus.mesh.gossip import Piece, Want
from chorus.mesh.limits import RefusedError

MAX_ARTIFACT = 64 * 1024 * 1024  # bytes that travel over the bus and are held in memory meanwhile
_AT_ONCE = 8  # artifacts on their way at a time
_PATIENCE = 1.0  # seconds until a piece is asked for again
_TRIES = 3  # of one holder, and rounds through all of them


@dataclass(slots=True)
class _Fetch:
    digest: bytes
    holders: deque[bytes]  # the first is asked
    due: float = 0.0
    tries: int = 0  # for this piece
    silent: int = 0  # holders that did not answer since one last did
    data: bytearray = field(default_factory=bytearray)
    hash: Any = field(default_factory=sha256)

    def start_anew(self) -> None:
        self.tries = 0
        self.data = bytearray()
        self.hash = sha256()


class Fetches:
    """What a node is fetching, and whom it is serving.

    Args:
        me: the node's public key.
        say: sends a message to every peer.
        do: has an effect carried out.

    """

    def __init__(self, me: bytes, say: Callable[[Want | Piece], None], do: Callable[[Effect], None]) -> None:
        self._me = me
        self._say = say
        self._do = do
        self._wanted: dict[bytes, _Fetch] = {}
        self._serving: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._wanted)

    def begin(self, now: float, digest: bytes, holders: Iterable[bytes]) -> None:
        """Fetch an artifact from whichever of the holders has it; `Fetched` tells what came of it.

        Raises `RefusedError` when too many are on their way.
        """
        if digest in self._wanted:
            return
        if len(self._wanted) >= _AT_ONCE:
            raise RefusedError(f"{_AT_ONCE} artifacts are on their way: wait for one to arrive")
        fetch = _Fetch(digest, deque(holder for holder in holders if holder != self._me))
        self._wanted[digest] = fetch
        self._ask(fetch, now)

    def overdue(self, now: float) -> None:
        """Ask again, or somebody else, for what has not come."""
        for fetch in list(self._wanted.values()):
            if now >= fetch.due:
                if fetch.tries >= _TRIES:
                    fetch.silent += 1
                    fetch.holders.rotate(-1)
                    fetch.start_anew()
                self._ask(fetch, now)

    def wanted(self, sender: bytes, want: Want) -> None:
        """Serve a peer, unless it is being served: nobody gets more than one reading of the disk at a time."""
        if want.holder == self._me and sender not in self._serving:
            self._serving.add(sender)
            self._do(Serve(sender, want.digest, want.offset))

    def served(self, serve: Serve, size: int, data: bytes) -> None:
        """Send what was read for a peer; a size of 0 says that there is no such artifact here."""
        self._serving.discard(serve.to)
        self._say(Piece(serve.digest, serve.offset, size, data))

    def arrived(self, now: float, sender: bytes, piece: Piece) -> None:
        """Take a piece, if it is the next one of an artifact on its way and from whom it was asked."""
        fetch = self._wanted.get(piece.digest)
        if fetch is None or sender != fetch.holders[0] or piece.offset != len(fetch.data):
            return
        fetch.tries = fetch.silent = 0
        fetch.data += piece.data
        fetch.hash.update(piece.data)
        whole = len(fetch.data) >= piece.size
        if whole and fetch.hash.digest() == fetch.digest:
            del self._wanted[fetch.digest]
            self._do(Fetched(fetch.digest, bytes(fetch.data)))
        elif whole or not piece.data or piece.size > MAX_ARTIFACT:  # not here, or not it
            fetch.holders.popleft()
            fetch.start_anew()
            self._ask(fetch, now)
        else:
            self._ask(fetch, now)

    def _ask(self, fetch: _Fetch, now: float) -> None:
        if not fetch.holders or fetch.silent >= _TRIES * len(fetch.holders):
            del self._wanted[fetch.digest]
            self._do(Fetched(fetch.digest, None))
            return
        fetch.tries += 1
        fetch.due = now + _PATIENCE
        self._say(Want(fetch.holders[0], fetch.digest, len(fetch.data)))
