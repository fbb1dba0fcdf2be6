"""Artifacts in the simulated world: who keeps what, who serves something else, and what comes of every fetch."""

from __future__ import annotations

import random
from hashlib import sha256

from chorus.mesh.fetching import MAX_ARTIFACT
from chorus.mesh.gossip import PIECE


class Shelf:
    """One machine's artifacts, which survive a crash, and its fetches, which do not."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.lies = rng.random() < 0.2
        self.kept: dict[bytes, bytes] = {}
        self.fetching: set[bytes] = set()
        self.wrong: set[bytes] = set()  # digests under which something else was brought

    def piece(self, digest: bytes, offset: int) -> tuple[int, bytes]:
        """Return the size of an artifact and a piece of it; whoever lies tells one thing now and another then."""
        data = self.kept.get(digest, b"")
        true = (len(data), data[offset : offset + PIECE])
        if not self.lies:
            return true
        return self._rng.choice(
            (
                true,
                (len(data) or 1000, self._rng.randbytes(max(1, len(true[1])))),  # other bytes
                (offset + 1, b"x"),  # too few
                (MAX_ARTIFACT + 1, bytes(PIECE)),  # too many
                (len(data) + PIECE, b""),  # none
            )
        )

    def brought(self, digest: bytes, data: bytes | None) -> None:
        """Take the end of a fetch."""
        self.fetching.discard(digest)
        if data is not None:
            self.kept[digest] = data
            if sha256(data).digest() != digest:
                self.wrong.add(digest)
