"""Tokens of several writers, told as lines that a person can follow."""

from __future__ import annotations


class Telling:
    r"""Gathers what each writer writes into lines of its own.

    A line is told when its writer ends it, when it is `width` characters long, or `pause` seconds after it was begun,
    so that what is slow is seen while it comes.

    >>> telling = Telling(width=5, pause=1.0)
    >>> telling.take("ana", "4", 0.0), telling.take("ben", "forty", 0.1), telling.take("ana", "2\nso", 0.2)
    ([], ['ben: forty'], ['ana: 42'])
    >>> telling.take("ben", "-two", 1.5), telling.rest()
    (['ana: so'], ['ben: -two'])
    """

    def __init__(self, width: int = 81, pause: float = 0.5) -> None:
        self._width = width
        self._pause = pause
        self._begun: dict[str, tuple[str, float]] = {}  # writer → (its line so far, when that was begun)

    def take(self, who: str, text: str, now: float) -> list[str]:
        """Take a piece; return the lines that are to be told now."""
        line, begun = self._begun.pop(who, ("", now))
        *ended, line = (line + text).split("\n")
        told = [f"{who}: {printable(line)}" for line in ended if line]
        while len(line) >= self._width:
            told.append(f"{who}: {printable(line[: self._width])}")
            line = line[self._width :]
        if line:
            self._begun[who] = (line, now if ended else begun)
        for other, (line, begun) in list(self._begun.items()):
            if now - begun >= self._pause:
                told.append(f"{other}: {printable(line)}")
                del self._begun[other]
        return told

    def rest(self) -> list[str]:
        """Return the lines that were begun and not told."""
        told = [f"{who}: {printable(line)}" for who, (line, _) in self._begun.items()]
        self._begun.clear()
        return told


def printable(text: str, keep: str = "") -> str:
    r"""Return text that others wrote without what would drive our terminal.

    >>> printable("forty\x1b[2J-two\n"), printable("forty\ntwo", keep="\n")
    ('forty [2J-two ', 'forty\ntwo')
    """
    return "".join(c if c.isprintable() or c in keep else " " for c in text)
