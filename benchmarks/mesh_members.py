"""Members with fixed delays, and meshes of them in this process, for the benchmarks of the mesh."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chorus.mesh.bus import Hub
from chorus.mesh.core import Node
from chorus.mesh.fold import Fold
from chorus.mesh.identity import Genesis, Key
from chorus.mesh.journal import Journal
from chorus.mesh.limits import Limits
from chorus.mesh.log import SqliteLog
from chorus.mesh.member import Answer, Judgement
from chorus.mesh.runtime import Runtime


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


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

    def __init__(self, members: list[Any], directory: Path, limits: Limits | None = None) -> None:
        keys = [Key.generate() for _ in members]
        genesis = Genesis.of([key.public for key in keys])
        hub = Hub()
        self.directory = directory
        self.runtimes = []
        for number, (key, member) in enumerate(zip(keys, members, strict=True)):
            journal = Journal(directory / f"{number}.journal", genesis.hash, key.public)
            node = Node(key, Fold(genesis), journal.recover(), now=time.monotonic(), limits=limits)
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
