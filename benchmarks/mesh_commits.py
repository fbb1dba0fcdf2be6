"""What a commit costs, beside bare SQLite on the same disk and in the same run."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from chorus.mesh.effects import Committed, Write
from chorus.mesh.entries import Ask, Entry, seal
from chorus.mesh.identity import Genesis, Key
from chorus.mesh.journal import Journal
from chorus.mesh.log import SqliteLog
from mesh_members import Delayed, Mesh, percentile


async def commits(count: int, where: str | None = None) -> dict[str, float]:
    """Measure in a temporary directory, or in one under `where`."""
    key = Key.generate()
    genesis = Genesis.of([key.public])
    record = seal(Entry(genesis.hash, key.public, 0, 1, (), Ask("q" * 100, 100, 5.0)), key)
    with tempfile.TemporaryDirectory(dir=where) as text:
        place = Path(text)
        bare = sqlite3.connect(place / "bare", isolation_level=None)
        bare.execute("PRAGMA journal_mode=WAL")
        bare.execute("PRAGMA synchronous=FULL")
        bare.execute("CREATE TABLE log (position INTEGER PRIMARY KEY, record BLOB)")
        log = SqliteLog(place / "log")
        journal = Journal(place / "journal", genesis.hash, key.public)
        times: dict[str, list[float]] = {"bare": [], "log": [], "both": []}
        for number in range(count):  # in turn, so that a busy disk is busy for all of them
            fresh = record[:64] + number.to_bytes(8, "big") + record[72:]
            began = time.perf_counter()
            bare.execute("INSERT INTO log (record) VALUES (?)", (fresh,))
            times["bare"].append(time.perf_counter() - began)
            began = time.perf_counter()
            await log.append([fresh])
            times["log"].append(time.perf_counter() - began)
            began = time.perf_counter()
            journal.write([Write("entry", number.to_bytes(8, "big"), fresh)])
            await log.append([b"x" + fresh])
            times["both"].append(time.perf_counter() - began)
        await log.close()
        journal.close()
        (place / "mesh").mkdir()
        async with Mesh([Delayed(0)], place / "mesh") as mesh:
            one = mesh.runtimes[0]
            single = []
            with one.watching() as feed:
                events = aiter(feed)
                for number in range(count // 2):
                    began = time.perf_counter()
                    own = one.name(f"single {number}", bytes(32), 1)
                    while not (isinstance(event := await anext(events), Committed) and event.id == own):
                        pass
                    single.append(time.perf_counter() - began)
                many = 4000
                start, began, worked = one.node.fold.size, time.perf_counter(), time.process_time()
                for number in range(many):
                    one.name(f"many {number}", bytes(32), 1)
                while one.node.fold.size < start + many:
                    await anext(events)
                rate = many / (time.perf_counter() - began)
                work = time.process_time() - worked
    milli = 1000.0
    return {
        "bare SQLite insert, WAL, synchronous=FULL, p50 ms": milli * statistics.median(times["bare"]),
        "bare SQLite insert, p99 ms": milli * percentile(times["bare"], 0.99),
        "OrderedLog.append of one record, p50 ms (goal 1)": milli * statistics.median(times["log"]),
        "OrderedLog.append, p99 ms": milli * percentile(times["log"], 0.99),
        "journal and log, one after the other, p50 ms": milli * statistics.median(times["both"]),
        "a node: from saying to reading it back committed, p50 ms": milli * statistics.median(single),
        "a node: entries a second, signed, journalled, committed, folded (goal 2,000)": rate,
        "the same, entries a second of processor time": many / work,
        "bare SQLite: entries a second, one transaction each": 1 / statistics.median(times["bare"]),
        "OrderedLog.append against bare SQLite, ratio of p50": statistics.median(times["log"])
        / statistics.median(times["bare"]),
    }
