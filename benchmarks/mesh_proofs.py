"""How fast a log is audited and an entry proved, and what committing on acknowledgement would do, in simulation."""

from __future__ import annotations

import random
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from chorus.mesh.core import Node
from chorus.mesh.entries import Ask, Done, Entry, Proposal, Vote, identity, seal
from chorus.mesh.fold import Fold
from chorus.mesh.heads import open_head, sign_head
from chorus.mesh.identity import Genesis, Key
from chorus.mesh.merkle import verify_inclusion
from chorus.mesh.simulation import Rules, ViolationError, run
from chorus.mesh.simulation.world import CheapKey
from chorus.mesh.verification import audit, read_log
from mesh_members import percentile


def written_log(path: Path, keys: list[Any], genesis: Genesis, count: int) -> None:
    """Write a log of whole rounds."""
    said: dict[bytes, list[bytes]] = {key.public: [] for key in keys}
    records: list[bytes] = []

    def say(key: Any, payload: Any, *because: bytes) -> bytes:
        mine = said[key.public]
        parents = tuple(dict.fromkeys([*mine[-1:], *because]))
        record = seal(Entry(genesis.hash, key.public, len(mine), len(records) + 1, parents, payload), key)
        mine.append(identity(record))
        records.append(record)
        return mine[-1]

    while len(records) < count:
        asked = say(keys[0], Ask("q" * 81, 100, 5.0))
        proposals = [say(key, Proposal(asked, "1" * 81, 0.5, 81), asked) for key in keys]
        for number, key in enumerate(keys):
            for other, proposal in enumerate(proposals):
                if other != number:
                    say(key, Vote(proposal, True, 0.9, 0), proposal)
        for key in keys[:2]:
            say(key, Done(asked, 0), asked)
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE log (position INTEGER PRIMARY KEY, leaf BLOB UNIQUE, record BLOB NOT NULL)")
    db.executemany("INSERT INTO log (record) VALUES (?)", ((record,) for record in records[:count]))
    db.commit()
    db.close()


def verification(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as text:
        place = Path(text)
        cheap = [CheapKey(b"%d" % n) for n in range(3)]
        genesis = Genesis.of([key.public for key in cheap])
        written_log(place / "large", cheap, genesis, count)
        fold = Fold(genesis, CheapKey.verify)
        for _, record in read_log(place / "large"):
            fold.apply(record, verified=True)
        head = open_head(sign_head(fold, cheap[0]), genesis, CheapKey.verify)
        began = time.process_time()
        report = audit(lambda: read_log(place / "large"), genesis, heads=[head], check=CheapKey.verify)
        work = time.process_time() - began
        assert report.ok
        assert report.size == count
        rng = random.Random(0)
        times = []
        for _ in range(1000):
            index = rng.randrange(count)
            began = time.perf_counter()
            path = fold.tree.inclusion(index)
            times.append(time.perf_counter() - began)
            assert verify_inclusion(fold.tree.leaf(index), index, count, path, fold.tree.root())
        real = [Key.generate() for _ in range(3)]
        small = Genesis.of([key.public for key in real])
        written_log(place / "small", real, small, 5000)
        began = time.process_time()
        each = audit(lambda: read_log(place / "small"), small)
        each_work = time.process_time() - began
        assert each.ok
        assert each.signatures == 5000
    return {
        "entries in the log": float(count),
        "entries a second of processor time, against a signed head (goal 50,000)": count / work,
        "entries a second by the clock on the wall, against a signed head": count / report.seconds,
        "entries a second of processor time, every Ed25519 signature anew": 5000 / each_work,
        "inclusion proof, p50 µs (goal 1,000)": 1e6 * statistics.median(times),
        "inclusion proof, p99 µs": 1e6 * percentile(times, 0.99),
    }


class TrustsAcknowledgements(Node):
    """What the mesh does not do: commit what was acknowledged, without reading what came before it."""

    def appended(self, now: float, unknown: str = "") -> None:
        if not unknown:
            for record in list(self.outbox.values()):
                self._apply(now, record)
        super().appended(now, unknown)


def split_brain(count: int) -> dict[str, float]:
    def incidents(rules: Rules) -> int:
        found = 0
        for seed in range(count):
            try:
                run(seed, rules)
            except ViolationError:
                found += 1
        return found

    return {
        "simulated schedules of faults": float(count),
        "schedules in which replicas differ: committing on acknowledgement": incidents(
            Rules(node=TrustsAcknowledgements)
        ),
        "schedules in which replicas differ: the mesh": incidents(Rules()),
    }
