"""Answers while they are being written: pieces are gathered, and told with their place in the answer."""

from __future__ import annotations

from collections.abc import Iterator

from chorus.mesh.gossip import Text

_PIECE = 4096  # characters of one piece
_CHARACTERS = 4 * _PIECE  # of one message; in UTF-8, with what surrounds them, below what a bus carries
_PIECES = 128  # of one message


class Streams:
    """What a node's member is writing, by round.

    >>> streams = Streams()
    >>> streams.add(b"r", "for"), streams.add(b"r", "ty")
    (0, 3)
    >>> list(streams.take()), list(streams.take()), streams.add(b"r", "-two")
    ([(Text(round=b'r', offset=0, text='forty'),)], [], 5)
    """

    def __init__(self) -> None:
        self._written: dict[bytes, tuple[int, str]] = {}  # round → (characters told, text not told yet)

    def add(self, round_: bytes, text: str) -> int:
        """Add a piece; return how many characters came before it."""
        told, waiting = self._written.get(round_, (0, ""))
        self._written[round_] = (told, waiting + text)
        return told + len(waiting)

    def take(self) -> Iterator[tuple[Text, ...]]:
        """Yield what has not been told yet, as the pieces of one message after another.

        Many streams share a message: each has a signature, which costs more than all that they say.
        """
        pieces: list[Text] = []
        characters = 0
        for round_, (told, waiting) in self._written.items():
            for start in range(0, len(waiting), _PIECE):
                text = waiting[start : start + _PIECE]
                if pieces and (characters + len(text) > _CHARACTERS or len(pieces) == _PIECES):
                    yield tuple(pieces)
                    pieces, characters = [], 0
                pieces.append(Text(round_, told + start, text))
                characters += len(text)
            self._written[round_] = (told + len(waiting), "")
        if pieces:
            yield tuple(pieces)

    def end(self, round_: bytes) -> None:
        """Forget a round whose answer is written, or given up."""
        self._written.pop(round_, None)
