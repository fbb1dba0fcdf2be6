"""The pace at which a node appends to the log and reads it: append, read back, append."""

from __future__ import annotations

import random
from collections.abc import Container, Iterable

from chorus.mesh.limits import Limits


class Tail:
    """Where a node stands in the log, and what of it is under way.

    One append and one reading are under way at a time. After an append nothing is appended until it was read back, or a
    pause has passed; after one of unknown outcome the pause doubles.
    """

    def __init__(self, now: float, limits: Limits, rng: random.Random) -> None:
        self.cursor = 0  # position of the last record that was read
        self.trouble = ""  # why the outcome of the last append is unknown
        self.unread = ""  # why the log could not be read last
        self.appending = False
        self._sent: tuple[bytes, ...] = ()  # the entries that the append under way, or the last one, is of
        self.reading = False
        self.caught_up = False  # the log was read to its end once
        self._again = False
        self._limits = limits
        self._rng = rng
        self._pause = limits.retry
        self._hold_until = now
        self._next_poll = now

    def may_append(self, now: float) -> bool:
        """Say whether it is time to append what waits."""
        return self.caught_up and not self.appending and now >= self._hold_until

    def begin_appending(self, entries: Iterable[bytes]) -> None:
        """Note the identities of the entries that are appended now."""
        self.appending = True
        self._sent = tuple(entries)

    def appended(self, now: float, unknown: str, outbox: Container[bytes]) -> bool:
        """Take the outcome of an append; say whether to read it back.

        A log that tells its readers at once may be read before it answers its writer. Then nothing is unknown, and
        there is nothing to pause for.
        """
        self.appending = False
        if not any(entry in outbox for entry in self._sent):
            self.trouble = ""
            self._pause = self._limits.retry
            self._hold_until = now
            return False
        self.trouble = unknown
        self._again = self.reading
        if unknown:
            self._hold_until = now + self._pause * (0.5 + self._rng.random())
            self._pause = min(self._limits.retry_most, 2 * self._pause)
        else:
            self._pause = self._limits.retry
            self._hold_until = now + self._pause
        return True

    def read_back(self, now: float) -> None:
        """Note that something appended was seen committed: more may be appended at once."""
        self._hold_until = now

    def readable(self, now: float) -> None:
        """Note that the log could be read: if it could not before, what waits may be appended at once."""
        if self.unread:
            self.unread = ""
            self._pause = self._limits.retry
            self._hold_until = now

    def poll_due(self, now: float) -> bool:
        """Say whether the log should be looked at although nothing was heard of it."""
        return now >= self._next_poll

    def begin_reading(self, now: float) -> bool:
        """Say whether to read now, which begins it."""
        if self.reading:
            return False
        self.reading = True
        self._next_poll = now + self._limits.poll
        return True

    def end_reading(self, more: bool) -> bool:
        """Say whether to read on at once: there is more, or there was an append meanwhile."""
        again, self._again = self._again, False
        self.caught_up = self.caught_up or not more
        return more or again
