"""A node's own write-ahead log: a SQLite file in WAL mode with synchronous=FULL.

What `write` returned from is on disk. SQLite checksums every frame of its write-ahead log, so that a transaction
torn by a crash is not there at all. The file belongs to one key of one mesh, and to one process at a time.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from chorus.errors import ChorusError, InputError
from chorus.mesh.effects import Write
from chorus.mesh.limits import Recovered
from chorus.mesh.member import decode_outcome

_SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (mesh BLOB NOT NULL, public BLOB NOT NULL, boot INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rows (kind TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key))
WITHOUT ROWID;
"""


class JournalError(ChorusError):
    """The journal could not be written; nothing of the transaction is in it."""


class Journal:
    """The journal of one node.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "ana.journal"
    >>> journal = Journal(path, mesh=bytes(32), public=bytes(32))
    >>> journal.write([Write("call", b"key", b"")])
    >>> journal.close()
    >>> Journal(path, mesh=bytes(32), public=bytes(32)).recover().calls
    {b'key': None}
    """

    def __init__(self, path: Path, mesh: bytes, public: bytes) -> None:
        self.path = path
        self._lock = _lock(path)
        try:
            self._db, self._boot = _open(path, mesh, public)
        except BaseException:
            os.close(self._lock)
            raise

    def recover(self) -> Recovered:
        """Return what earlier lives wrote."""
        select = "SELECT key, value FROM rows WHERE kind = ? ORDER BY key"
        entries = [value for _, value in self._db.execute(select, ("entry",))]
        calls = {key: decode_outcome(value) if value else None for key, value in self._db.execute(select, ("call",))}
        leaves = [value for _, value in self._db.execute(select, ("leaf",))]
        return Recovered(boot=self._boot, entries=entries, calls=calls, leaves=leaves)

    def write(self, writes: Sequence[Write]) -> None:
        """Write rows in one transaction and sync it; raises `JournalError` with nothing written."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", writes)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise JournalError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Close the file and let others have it."""
        self._db.close()
        os.close(self._lock)


def _lock(path: Path) -> int:
    """Hold a lock as long as this process lives: a second node on one journal would fork its history."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InputError(f"{path}: cannot keep a journal here ({error.strerror})") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise InputError(f"{path}: another process has this journal open; a node runs once") from error
    return lock


def _open(path: Path, mesh: bytes, public: bytes) -> tuple[sqlite3.Connection, int]:
    """Open the file for this key of this mesh; return the number of this boot, which is on disk by then."""
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=0.5, check_same_thread=False)
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot open the journal ({error})") from error
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.executescript(_SCHEMA)
        found = db.execute("SELECT mesh, public, boot FROM identity").fetchone()
        if found is not None and (found[0], found[1]) != (mesh, public):
            whose = "another mesh" if found[0] != mesh else "another key"
            raise InputError(f"{path}: this journal belongs to {whose}; give this node a journal of its own")
        boot = 1 if found is None else found[2] + 1
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM identity")
        db.execute("INSERT INTO identity VALUES (?, ?, ?)", (mesh, public, boot))
        db.execute("COMMIT")
    except sqlite3.OperationalError as error:
        db.close()
        raise ChorusError(f"{path}: cannot write the journal ({error})") from error
    except sqlite3.DatabaseError as error:
        db.close()
        raise InputError(f"{path}: not a journal, or damaged ({error})") from error
    except InputError:
        db.close()
        raise
    return db, boot
