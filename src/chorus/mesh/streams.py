"""Answers while they are being written: pieces are gathered, and told with their place in the answer."""

from __future__ import annotations

from collections.abc import Iterator

_PIECE = 4096  # characters of one message


class Streams:
    """What a node's member is writing, by round.

    >>> streams = Streams()
    >>> streams.add(b"r", "for"), streams.add(b"r", "ty")
    (0, 3)
    >>> list(streams.take()), list(streams.take()), streams.add(b"r", "-two")
    ([(b'r', 0, 'forty')], [], 5)
    """

    def __init__(self) -> None:
        self._written: dict[bytes, tuple[int, str]] = {}  # round → (characters told, text not told yet)

    def add(self, round_: bytes, text: str) -> int:
        """Add a piece; return how many characters came before it."""
        told, waiting = self._written.get(round_, (0, ""))
        self._written[round_] = (told, waiting + text)
        return told + len(waiting)

    def take(self) -> Iterator[tuple[bytes, int, str]]:
        """Yield what has not been told yet: round, offset, text."""
        for round_, (told, waiting) in self._written.items():
            for start in range(0, len(waiting), _PIECE):
                yield round_, told + start, waiting[start : start + _PIECE]
            self._written[round_] = (told + len(waiting), "")

    def end(self, round_: bytes) -> None:
        """Forget a round whose answer is written, or given up."""
        self._written.pop(round_, None)
