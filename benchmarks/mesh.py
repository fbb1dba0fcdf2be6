"""What the mesh costs and what it buys: `python benchmarks/mesh.py` (about three minutes; `--quick` for one).

Every comparison is against something measured in the same run: bare SQLite for commits, and a lock-step coordinator
for rounds, which asks the same members with the same delays, waits for all of them, and only then shows an answer.
The members are stand-ins with fixed delays, so that both sides pay the same for thinking; nothing here is a claim about
any language model. The four published rows are reproduced as far as they can be, each with what it measures here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chorus.mesh.bus import Hub
from chorus.mesh.core import Node
from chorus.mesh.effects import Committed, Said, Write
from chorus.mesh.entries import Ask, Done, Entry, Proposal, Vote, identity, seal
from chorus.mesh.fold import Fold
from chorus.mesh.heads import open_head, sign_head
from chorus.mesh.identity import Genesis, Key
from chorus.mesh.journal import Journal
from chorus.mesh.log import SqliteLog
from chorus.mesh.member import Answer, Judgement
from chorus.mesh.merkle import verify_inclusion
from chorus.mesh.runtime import Runtime
from chorus.mesh.simulation import Rules, ViolationError, run
from chorus.mesh.simulation.world import CheapKey
from chorus.mesh.verification import audit, read_log

RESULTS: dict[str, Any] = {}


def show(section: str, rows: dict[str, Any]) -> None:
    RESULTS[section] = rows
    print(f"\n{section}")
    for name, value in rows.items():
        text = f"{value:,.3f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"
        print(f"  {name:<72} {text:>14}")


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


# Members with the same delays on both sides.


class Delayed:
    """Writes 40 tokens: the first after `first` seconds, the others `between` apart; judges in 20 ms."""

    def __init__(self, number: int, scale: float = 1.0) -> None:
        self.number = number
        self.scale = scale

    async def propose(self, question: str, seed: int, budget: int, emit: Callable[[str], None]) -> Answer:
        rng = random.Random(f"{self.number}/{question}")
        await asyncio.sleep(self.scale * rng.uniform(0.05, 0.15))
        between = self.scale * rng.choice((0.004, 0.006, 0.008, 0.025))  # now and then, one is slow
        for _ in range(40):
            await asyncio.sleep(between)
            emit("token ")
        return Answer(f"answer to {question}", 0.0, 40)

    async def judge(self, question: str, answer: str) -> Judgement:
        await asyncio.sleep(0.02 * self.scale)
        return Judgement(0.9, True)

    async def close(self) -> None: ...


class Talks:
    """Never stops writing."""

    async def propose(self, question: str, seed: int, budget: int, emit: Callable[[str], None]) -> Answer:
        while True:
            await asyncio.sleep(0.002)
            emit("token ")

    async def judge(self, question: str, answer: str) -> Judgement:
        return Judgement(1.0, True)

    async def close(self) -> None: ...


class Mesh:
    """A mesh in this process, on real journals and a real log."""

    def __init__(self, members: list[Any], directory: Path) -> None:
        keys = [Key.generate() for _ in members]
        genesis = Genesis.of([key.public for key in keys])
        hub = Hub()
        self.directory = directory
        self.runtimes = []
        for number, (key, member) in enumerate(zip(keys, members, strict=True)):
            journal = Journal(directory / f"{number}.journal", genesis.hash, key.public)
            node = Node(key, Fold(genesis), journal.recover(), now=time.monotonic())
            log = SqliteLog(directory / "mesh.log", timeout=0.5)
            self.runtimes.append(Runtime(node, journal, log, hub.join(), member))

    async def __aenter__(self) -> Mesh:
        self._tasks = [asyncio.create_task(runtime.run()) for runtime in self.runtimes]
        while not all(runtime.node.tail.caught_up for runtime in self.runtimes):
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        for runtime in self.runtimes:
            runtime.stop()
        await asyncio.gather(*self._tasks)


async def mesh_round(mesh: Mesh, question: str) -> tuple[float, float, int]:
    """Ask; return seconds to the first token, seconds to the committed answer, and tokens seen until then."""
    asker = mesh.runtimes[0]
    started = time.perf_counter()
    first, tokens = 0.0, 0
    with asker.watching() as feed:
        round_ = asker.ask(question, 1000, 60.0)
        async for event in feed:
            if isinstance(event, Said) and event.round == round_:
                first = first or time.perf_counter() - started
                tokens += event.text.count(" ")
            elif isinstance(event, Committed):
                found = asker.node.fold.rounds.get(round_)
                if found is not None and found.closed is not None:
                    return first, time.perf_counter() - started, tokens
    raise AssertionError


async def lock_step_round(members: list[Any], log: SqliteLog, question: str, lock: asyncio.Lock | None) -> float:
    """Ask everybody, wait for everybody, have everybody judge everything, write it down, show it."""
    started = time.perf_counter()

    async def one(member: Any) -> Answer:
        if lock is None:
            return await member.propose(question, 0, 1000, lambda _: None)
        async with lock:
            return await member.propose(question, 0, 1000, lambda _: None)

    answers = await asyncio.gather(*map(one, members))
    await asyncio.gather(*(m.judge(question, a.text) for m in members for a in answers))
    await log.append([b"%s %f" % (question.encode(), random.random())])
    return time.perf_counter() - started


async def rounds(nodes: int, count: int) -> dict[str, float]:
    members = [Delayed(number) for number in range(nodes)]
    with tempfile.TemporaryDirectory() as place:
        async with Mesh(members, Path(place)) as mesh:
            began, worked = time.perf_counter(), time.process_time()
            played = [await mesh_round(mesh, f"question {n}") for n in range(count)]
            mesh_seconds, work = time.perf_counter() - began, time.process_time() - worked
        log = SqliteLog(Path(place) / "lock-step.log")
        began = time.perf_counter()
        waits = [await lock_step_round(members, log, f"question {n}", None) for n in range(count)]
        lock_step_seconds = time.perf_counter() - began
        one_lock = asyncio.Lock()
        serial = [await lock_step_round(members, log, f"question {n}", one_lock) for n in range(min(count, 2))]
        await log.close()
    return {
        "lock-step: seconds until anything is seen, p50": statistics.median(waits),
        "one lock for all members: the same, p50": statistics.median(serial),
        "mesh: seconds until the first token is seen, p50": statistics.median(p[0] for p in played),
        "mesh: seconds until the answer is committed, p50": statistics.median(p[1] for p in played),
        "mesh: processor seconds a round, all nodes together": work / count,
        "lock-step: tokens a second reaching the asker": 40 * nodes * count / lock_step_seconds,
        "mesh: tokens a second reaching the asker": sum(p[2] for p in played) / mesh_seconds,
    }


async def stalled(seconds: float) -> dict[str, float]:
    """Token rate at one node while commits go on, and while another process holds the log."""
    with tempfile.TemporaryDirectory() as place:
        async with Mesh([Talks(), Talks(), Talks()], Path(place)) as mesh:
            asker = mesh.runtimes[0]
            asker.ask("talk", 10_000_000, 3600.0)
            await asyncio.sleep(0.5)

            async def measure() -> tuple[float, float]:
                began = last = time.perf_counter()
                tokens, gap = 0, 0.0
                with asker.watching() as feed:
                    names = 0
                    async for event in feed:
                        now = time.perf_counter()
                        if now - began > seconds:
                            return tokens / (now - began), gap
                        if isinstance(event, Said):
                            gap, last = max(gap, now - last), now
                            tokens += event.text.count(" ")
                        if names < 50 * (now - began):  # commits to keep the plane busy, or to be held up
                            names += 1
                            asker.name(f"name {names}", bytes(32), names)
                raise AssertionError

            running, usual = await measure()
            holder = sqlite3.connect(Path(place) / "mesh.log", isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(0.3)  # what was committed before is read
            size = asker.node.fold.size
            held, gap = await measure()
            committed = asker.node.fold.size - size
            holder.execute("ROLLBACK")
    return {
        "tokens a second, commits running": running,
        "tokens a second, the log held by another process": held,
        "ratio (goal 0.95)": held / running,
        "longest pause between tokens, commits running, s": usual,
        "longest pause between tokens, log held, s": gap,
        "entries committed while the log was held": float(committed),
    }


async def commits(count: int) -> dict[str, float]:
    key = Key.generate()
    genesis = Genesis.of([key.public])
    record = seal(Entry(genesis.hash, key.public, 0, 1, (), Ask("q" * 100, 100, 5.0)), key)
    with tempfile.TemporaryDirectory() as text:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller, for a look")
    parser.add_argument("--cut", type=float, default=10.0, help="seconds for which the log is held")
    arguments = parser.parse_args()
    quick = arguments.quick
    show("machine", {"cores": float(os.cpu_count() or 0), "load average at the start": os.getloadavg()[0]})
    show("commits on one host", asyncio.run(commits(100 if quick else 300)))
    sizes = {}
    for nodes in (3, 5) if quick else (3, 5, 9, 17):
        sizes[nodes] = asyncio.run(rounds(nodes, 5 if nodes < 9 and not quick else 3))
        show(f"rounds among {nodes} members, the same delays on both sides", sizes[nodes])
    cut = asyncio.run(stalled(2.0 if quick else arguments.cut))
    show("tokens while the commit plane is stalled, 3 nodes", cut)
    brains = split_brain(100 if quick else 500)
    show("split brain, in simulation", brains)
    show("verification", verification(100_000 if quick else 1_000_000))

    five = sizes[5]
    print("\nthe four published rows (synchronous → asynchronous), and what was measured here")
    rows = [
        (
            "latency, 1450 → 320 ms",
            f"{1000 * five['lock-step: seconds until anything is seen, p50']:.0f} → "
            f"{1000 * five['mesh: seconds until the first token is seen, p50']:.0f} ms to the first token, "
            f"{1000 * five['mesh: seconds until the answer is committed, p50']:.0f} ms to the committed answer; "
            "stand-in members",
        ),
        (
            "throughput, 45.2 → 185.6 tokens/s",
            f"{five['lock-step: tokens a second reaching the asker']:.0f} → "
            f"{five['mesh: tokens a second reaching the asker']:.0f} tokens/s; counted until the answer is committed, "
            "which took most of a round in this run; the mesh also stops slow members early",
        ),
        (
            "partition tolerance, 2.1 → > 60 s",
            f"0 → {2.0 if quick else arguments.cut:.0f} s tried (--cut): lock-step shows nothing without its commit; "
            f"the mesh's longest pause was {1000 * cut['longest pause between tokens, log held, s']:.0f} ms",
        ),
        (
            "split-brain, 12 → 0 a year",
            f"{brains['schedules in which replicas differ: committing on acknowledgement']} → "
            f"{brains['schedules in which replicas differ: the mesh']} of "
            f"{brains['simulated schedules of faults']:.0f} simulated schedules of faults; years cannot be measured",
        ),
    ]
    for claim, measured in rows:
        print(f"  {claim:<36} {measured}")
    RESULTS["published rows"] = dict(rows)
    target = Path(__file__).parent / "results" / "mesh.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(RESULTS, indent=2, ensure_ascii=False) + "\n")
    print(f"\nwritten to {target}")


if __name__ == "__main__":
    main()
