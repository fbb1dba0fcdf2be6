"""The newest of what was committed: what a new entry names as its causes."""

from __future__ import annotations

from collections.abc import Iterable

from chorus.mesh.entries import MAX_PARENTS


class Frontier:
    """Committed entries that no later one cites, bounded: the oldest are cited by their authors' chains anyway.

    >>> frontier = Frontier()
    >>> for identity, parents in ((b"a", ()), (b"b", ()), (b"c", (b"a",))):
    ...     frontier.add(identity, parents)
    >>> frontier.newest()
    [b'c', b'b']
    """

    def __init__(self) -> None:
        self._open: dict[bytes, None] = {}

    def add(self, identity: bytes, parents: Iterable[bytes]) -> None:
        """Take the next committed entry."""
        for parent in parents:
            self._open.pop(parent, None)
        self._open[identity] = None
        if len(self._open) > 4 * MAX_PARENTS:
            del self._open[next(iter(self._open))]

    def newest(self) -> list[bytes]:
        """Return identities, newest first."""
        return list(reversed(self._open))
