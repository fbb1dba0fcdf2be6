"""The door to the commit plane: an ordered log that everyone reads alike.

`OrderedLog` is all the mesh asks of an engine. It must never lose or reorder what a reading has returned. It may
store what it said it could not, store a record twice, or store part of a batch: the fold sees to that. A time-out is
`Unknown`, never "failed".
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from chorus.errors import ChorusError, InputError
from chorus.mesh.merkle import leaf_hash
from chorus.mesh.writes import Writes

_SETTLES = 0.25  # seconds within which a write to the file is committed, on a disk that is not overloaded

T = TypeVar("T")


class Unknown(NamedTuple):
    """The records may be in the log, now or later, or not; and why that is not known."""

    reason: str


class LogUnavailableError(ChorusError):
    """The log could not be read now."""


class WrongLogError(ChorusError):
    """This is not the log it was, or not one log: whoever relies on it must stop."""


class OrderedLog(Protocol):
    """An append-only sequence of records, agreed upon by everyone who reads it."""

    async def append(self, records: Sequence[bytes]) -> int | Unknown:
        """Append records in this order; return the position of the last, once it is durable."""

    async def read(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` records after a position (0: from the start); none when there were none.

        The first answer of fewer than `limit` goes to the end, as it was when that reading began.

        Raises `LogUnavailableError`, or `WrongLogError` when records that were read before are there no more.
        """

    async def watch(self, after: int) -> None:
        """Return once there may be a record after this position."""

    async def members(self) -> list[str]:
        """Return the engine's own replicas, for people to look at."""

    async def look(self) -> list[str]:
        """Return in words what is wrong with the engine or looks as if it were, for people to read."""

    async def close(self) -> None:
        """Let go of files and connections."""


def _use_wal(db: sqlite3.Connection, timeout: float) -> None:
    """Switch a file to WAL; SQLite itself does not wait when several processes that make the file do so at once."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


class SqliteLog:
    """The embedded log: one SQLite file shared by the processes of one host, WAL, synchronous=FULL.

    Args:
        path: the file; made if absent.
        timeout: seconds an append waits for other writers before its outcome is `Unknown`.
        watch_every: seconds between looks at whether another process has written; where the system tells of writes,
            there are looks for a while after each, and none in silence.

    >>> import tempfile
    >>> async def example():
    ...     log = SqliteLog(Path(tempfile.mkdtemp()) / "mesh.log")
    ...     await log.append([b"one", b"two", b"one"])
    ...     return await log.read(after=1, limit=10)
    >>> asyncio.run(example())
    [(2, b'two')]

    """

    def __init__(self, path: Path, timeout: float = 2.0, watch_every: float = 0.004) -> None:
        self.path = path
        self._watch_every = watch_every
        # Writing may block for as long as `timeout`; reading must not wait for it.
        self._writing = ThreadPoolExecutor(1, "log-append")
        self._reading = ThreadPoolExecutor(1, "log-read")
        try:
            self._writer = self._open(timeout)
            _use_wal(self._writer, timeout)
            self._writer.execute("PRAGMA synchronous=FULL")
            self._writer.execute(
                "CREATE TABLE IF NOT EXISTS log (position INTEGER PRIMARY KEY, leaf BLOB UNIQUE, record BLOB NOT NULL)"
            )
            self._reader = self._open(timeout)
            self._watcher = self._open(0.0)
        except sqlite3.Error as error:
            raise InputError(f"{path}: cannot open the log ({error})") from error
        self._version = -1
        self._writes: Writes | None = None
        with contextlib.suppress(OSError):
            self._writes = Writes(path.with_name(f"{path.name}-wal"))
        self._awake_until = time.monotonic() + _SETTLES

    def _open(self, timeout: float) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None, timeout=timeout, check_same_thread=False)

    async def append(self, records: Sequence[bytes]) -> int | Unknown:
        """Append records in one transaction; a record that is there already keeps its place."""
        return await self._in(self._writing, lambda: self._append(records))

    def _append(self, records: Sequence[bytes]) -> int | Unknown:
        db = self._writer
        try:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                "INSERT INTO log (leaf, record) VALUES (?, ?) ON CONFLICT (leaf) DO NOTHING",
                [(leaf_hash(record), record) for record in records],
            )
            last = db.execute("SELECT max(position) FROM log").fetchone()[0]
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            return Unknown(str(error))
        return int(last or 0)

    async def read(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` records after a position."""
        return await self._in(self._reading, lambda: self._read(after, limit))

    def _read(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        query = "SELECT position, record FROM log WHERE position > ? ORDER BY position LIMIT ?"
        try:
            return self._reader.execute(query, (after, limit)).fetchall()
        except sqlite3.Error as error:
            raise LogUnavailableError(f"{self.path}: {error}") from error

    async def watch(self, after: int) -> None:
        """Return once this or another process has written since the last look."""
        while True:
            try:
                version = int(self._watcher.execute("PRAGMA data_version").fetchone()[0])
            except sqlite3.Error:
                version = self._version
            if version != self._version:
                self._version = version
                return
            if self._writes is not None and time.monotonic() > self._awake_until:
                await self._writes.wait()  # a write to the file comes before the commit that makes it count
                self._awake_until = time.monotonic() + _SETTLES
                await asyncio.sleep(self._watch_every / 4)
            else:
                await asyncio.sleep(self._watch_every)

    async def members(self) -> list[str]:
        """Return the one file."""
        return [str(self.path)]

    async def look(self) -> list[str]:
        """Find nothing wrong: a file that was opened is the log."""
        return []

    async def close(self) -> None:
        """Wait for what is under way, then close the file."""
        for pool in (self._writing, self._reading):
            pool.shutdown(wait=True)
        if self._writes is not None:
            self._writes.close()
        for db in (self._writer, self._reader, self._watcher):
            db.close()

    @staticmethod
    async def _in(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)
