"""The order in which things reach the disk, and what may happen only after they have."""

from __future__ import annotations

from collections import deque

from chorus.mesh.effects import Effect, Persist, Write
from chorus.mesh.entries import identity


class Scribe:
    """Gathers rows for the journal into transactions, one under way at a time.

    Everything staged while a transaction is under way goes into the next, so that a slow disk makes transactions
    larger, not more. A transaction that failed is kept whole and tried again: nothing that waits for it has happened.
    """

    def __init__(self) -> None:
        self.trouble = ""  # why the disk refused last, until it takes a transaction again
        self._staged: deque[tuple[list[Write], list[Effect], bytes]] = deque()
        self._writing = 0  # how many of the staged are in the transaction under way
        self._idle: list[Write] = []

    def __len__(self) -> int:
        return len(self._staged)

    def stage(self, writes: list[Write], then: list[Effect], record: bytes = b"") -> None:
        """Have rows written; once they are synced, `then` happens and `record` may be appended to the log."""
        self._staged.append((writes, then, record))

    def with_the_next(self, write: Write) -> None:
        """Have a row written with whatever is written next: losing it costs time, never truth."""
        self._idle.append(write)

    def next(self, *, force: bool = False) -> Persist | None:
        """Return the next transaction, unless one is under way, nothing waits, or the disk refuses.

        `force` tries a refusing disk again, and writes what waits for company.
        """
        if self._writing or (self.trouble and not force) or not (self._staged or (force and self._idle)):
            return None
        if self._idle:
            self._staged.append((self._idle, [], b""))
            self._idle = []
        self._writing = len(self._staged)
        return Persist(tuple(write for writes, _, _ in self._staged for write in writes))

    def written(self) -> tuple[list[Effect], dict[bytes, bytes]]:
        """Return what may happen now that the transaction is synced, and the records that may be appended."""
        self.trouble = ""
        effects: list[Effect] = []
        records: dict[bytes, bytes] = {}
        for _ in range(self._writing):
            _, then, record = self._staged.popleft()
            effects += then
            if record:
                records[identity(record)] = record
        self._writing = 0
        return effects, records

    def failed(self, reason: str) -> None:
        """Keep a transaction that the disk refused, for another try."""
        self.trouble = reason
        self._writing = 0
