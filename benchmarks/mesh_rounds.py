"""Rounds, throughput, and tokens through a stalled commit plane, beside a lock-step coordinator of the same members."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from chorus.mesh.effects import Closed, Committed, Said
from chorus.mesh.limits import Limits
from chorus.mesh.log import SqliteLog
from chorus.mesh.member import Answer
from mesh_members import Delayed, Mesh, Talks


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
            worked = time.process_time()
            played = [await mesh_round(mesh, f"question {n}") for n in range(count)]
            work = time.process_time() - worked
        log = SqliteLog(Path(place) / "lock-step.log")
        waits = [await lock_step_round(members, log, f"question {n}", None) for n in range(count)]
        one_lock = asyncio.Lock()
        serial = [await lock_step_round(members, log, f"question {n}", one_lock) for n in range(min(count, 2))]
        await log.close()
    return {
        "lock-step: seconds until anything is seen, p50": statistics.median(waits),
        "one lock for all members: the same, p50": statistics.median(serial),
        "mesh: seconds until the first token is seen, p50": statistics.median(p[0] for p in played),
        "mesh: seconds until the answer is committed, p50": statistics.median(p[1] for p in played),
        "mesh: processor seconds a round, all nodes together": work / count,
    }


async def throughput(nodes: int, count: int) -> dict[str, float]:
    """Tokens a second that reach the asker of a queue of questions; each member writes one answer at a time.

    The lock-step coordinator begins a question when the one before is committed. The mesh is asked all of them: a
    member that has answered one goes on to the next, while the others still write, and judgements and commits go on.
    """
    members = [Delayed(number) for number in range(nodes)]
    questions = [f"question {n}" for n in range(count)]
    with tempfile.TemporaryDirectory() as place:
        async with Mesh(members, Path(place), Limits(proposals=1)) as mesh:
            asker = mesh.runtimes[0]
            began, tokens, last = time.perf_counter(), 0, 0.0
            with asker.watching() as feed:
                open_ = {asker.ask(question, 1000, 600.0) for question in questions}
                async for event in feed:
                    if isinstance(event, Said):
                        tokens += event.text.count(" ")
                        last = time.perf_counter()
                    elif isinstance(event, Closed):
                        open_.discard(event.round.id)
                        if not open_:
                            break
            all_committed = time.perf_counter()
        log = SqliteLog(Path(place) / "lock-step.log")
        started = time.perf_counter()
        for question in questions:
            await lock_step_round(members, log, question, None)
        lock_step = time.perf_counter() - started
        await log.close()
    slow, fast = 40 * nodes * count / lock_step, tokens / (all_committed - began)
    return {
        "lock-step: tokens a second": slow,
        "mesh: tokens a second, until the last answer is committed": fast,
        "ratio of tokens a second, mesh to lock-step": fast / slow,
        "mesh: tokens a second, until the last token": tokens / (last - began),
        "lock-step: tokens written": 40.0 * nodes * count,
        "mesh: tokens written; slow members are stopped when a round is over": float(tokens),
        "lock-step: committed answers a second": count / lock_step,
        "mesh: committed answers a second": count / (all_committed - began),
    }


async def stalled(usual_seconds: float, held_seconds: float) -> dict[str, float]:
    """Token rate at one node while commits go on, and while another process holds the log."""
    with tempfile.TemporaryDirectory() as place:
        async with Mesh([Talks(), Talks(), Talks()], Path(place)) as mesh:
            asker = mesh.runtimes[0]
            asker.ask("talk", 10_000_000, 3600.0)
            await asyncio.sleep(0.5)

            async def measure(seconds: float) -> tuple[float, float]:
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

            running, usual = await measure(usual_seconds)
            holder = sqlite3.connect(Path(place) / "mesh.log", isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(0.3)  # what was committed before is read
            size = asker.node.fold.size
            held, gap = await measure(held_seconds)
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
