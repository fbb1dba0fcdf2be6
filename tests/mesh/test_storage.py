"""The journal and the embedded log keep what they took, across processes and crashes."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import chorus
from chorus.errors import InputError
from chorus.mesh.effects import Write
from chorus.mesh.journal import Journal, JournalError
from chorus.mesh.log import SqliteLog, Unknown

MESH, PUBLIC = b"m" * 32, b"p" * 32
WRITER = """
import sys
from pathlib import Path
from chorus.mesh.effects import Write
from chorus.mesh.journal import Journal
journal = Journal(Path(sys.argv[1]), b"m" * 32, b"p" * 32)
for n in range(10**9):
    key = n.to_bytes(8, "big")
    journal.write([Write("entry", key, key * 50), Write("call", key, b"")])
    print(n, flush=True)
"""


def test_a_journal_remembers_and_counts_its_lives(tmp_path: Path) -> None:
    path = tmp_path / "j"
    for boot in (1, 2, 3):
        journal = Journal(path, MESH, PUBLIC)
        assert journal.recover().boot == boot
        journal.write([Write("entry", boot.to_bytes(8, "big"), b"%d" % boot), Write("leaf", b"%d" % boot, b"x")])
        journal.close()
    recovered = Journal(path, MESH, PUBLIC).recover()
    assert recovered.entries == [b"1", b"2", b"3"]
    assert len(recovered.leaves) == 3


def test_killed_while_writing_it_has_all_that_was_acknowledged_and_nothing_torn(tmp_path: Path) -> None:
    path = tmp_path / "j"
    environment = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, env=environment, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        acknowledged = [int(line) for line in process.stdout.read().splitlines() if line.strip()]
        process.wait()
        journal = Journal(path, MESH, PUBLIC)
        recovered = journal.recover()
        journal.close()
        assert len(recovered.entries) > max(acknowledged, default=0)
        assert all(entry == n.to_bytes(8, "big") * 50 for n, entry in enumerate(recovered.entries))
        assert len(recovered.calls) == len(recovered.entries)  # a transaction is there as a whole or not at all


def test_every_transaction_is_synced_before_it_counts(tmp_path: Path) -> None:
    async def play() -> list[tuple[int, str]]:
        journal, log = Journal(tmp_path / "j", MESH, PUBLIC), SqliteLog(tmp_path / "log")
        found = []
        for db in (journal._db, log._writer):
            synchronous, mode = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode"))
            found.append((synchronous, mode))
        journal.close()
        await log.close()
        return found

    full = 2  # https://www.sqlite.org/pragma.html#pragma_synchronous: in WAL mode, every commit is synced
    assert asyncio.run(play()) == [(full, "wal")] * 2


def test_a_journal_of_another_mesh_or_key_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "j", MESH, PUBLIC).close()
    with pytest.raises(InputError, match="belongs to another mesh"):
        Journal(tmp_path / "j", b"x" * 32, PUBLIC)
    with pytest.raises(InputError, match="belongs to another key"):
        Journal(tmp_path / "j", MESH, b"x" * 32)


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to look like one" * 100, b"SQLite format 3\0"]
)
def test_what_is_no_journal_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(content)
    with pytest.raises(InputError, match="not a journal"):
        Journal(tmp_path / "j", MESH, PUBLIC)
    with pytest.raises(InputError, match="cannot keep a journal here"):
        Journal(tmp_path / "no" / "such" / "place", MESH, PUBLIC)


def test_a_full_disk_leaves_nothing_of_a_transaction(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", MESH, PUBLIC)
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(JournalError, match="full"):
        journal.write([Write("entry", n.to_bytes(8, "big"), bytes(4000)) for n in range(10)])
    assert journal.recover().entries == []
    journal._db.execute("PRAGMA max_page_count=1000")
    journal.write([Write("entry", bytes(8), b"fits")])
    assert journal.recover().entries == [b"fits"]


def test_nodes_that_start_together_all_open_a_new_log(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def opens(path: Path) -> SqliteLog:
        together.wait()
        return SqliteLog(path)

    with ThreadPoolExecutor(8) as pool:
        for number in range(100):
            for log in pool.map(opens, [tmp_path / f"{number}.log"] * 8):
                asyncio.run(log.close())


def test_writers_of_several_processes_share_one_order(tmp_path: Path) -> None:
    async def play() -> None:
        logs = [SqliteLog(tmp_path / "log", timeout=300) for _ in range(3)]
        await asyncio.gather(*(log.append([b"%d/%d" % (n, i)]) for i in range(20) for n, log in enumerate(logs)))
        orders = [await log.read(0, 1000) for log in logs]
        assert orders[0] == orders[1] == orders[2]
        assert sorted(record for _, record in orders[0]) == sorted(
            b"%d/%d" % (n, i) for i in range(20) for n in range(3)
        )
        assert [position for position, _ in orders[0]] == list(range(1, 61))
        for log in logs:
            await log.close()

    asyncio.run(play())


def test_an_append_that_cannot_wait_longer_is_unknown_and_reading_goes_on(tmp_path: Path) -> None:
    async def play() -> None:
        log = SqliteLog(tmp_path / "log", timeout=0.1)
        await log.append([b"one"])
        holder = sqlite3.connect(tmp_path / "log", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        outcome = await log.append([b"two"])
        assert isinstance(outcome, Unknown)
        assert "locked" in outcome.reason
        assert await log.read(0, 10) == [(1, b"one")]
        holder.execute("ROLLBACK")
        assert await log.append([b"two"]) == 2
        assert await log.append([b"one"]) == 2  # it is there already, and keeps its place
        await log.close()

    asyncio.run(play())


def test_watching_tells_of_other_processes_appends(tmp_path: Path) -> None:
    async def play() -> None:
        mine, theirs = SqliteLog(tmp_path / "log"), SqliteLog(tmp_path / "log")
        await mine.watch(0)  # the first look
        waiting = asyncio.create_task(mine.watch(0))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await theirs.append([b"news"])
        await asyncio.wait_for(waiting, 300)
        for log in (mine, theirs):
            await log.close()

    asyncio.run(play())


def test_a_log_at_rest_is_not_looked_at_and_still_heard(tmp_path: Path) -> None:
    async def play() -> None:
        mine, other = SqliteLog(tmp_path / "mesh.log"), SqliteLog(tmp_path / "mesh.log")
        if mine._writes is None:
            pytest.skip("this system does not tell of writes")
        looks: list[str] = []
        mine._watcher.set_trace_callback(looks.append)
        while True:  # until what came before has settled
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(mine.watch(0), 0.5)
                continue
            break
        looks.clear()
        watching = asyncio.ensure_future(mine.watch(0))
        await asyncio.sleep(0.5)
        assert not watching.done()
        assert len(looks) < 10  # of 125 at one each 4 ms
        assert await other.append([b"one"]) == 1
        await asyncio.wait_for(watching, 2)
        assert await mine.read(0, 10) == [(1, b"one")]
        await mine.close()
        await other.close()

    asyncio.run(play())
