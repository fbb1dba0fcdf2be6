"""What the engines of many hosts cost: `python benchmarks/mesh_network.py` (about two minutes; `--quick` for less).

Commits are compared with bare puts to the same three etcd members, on loopback and in turn with them, through the same
client library; gossip with bare Zenoh sessions between the same two processes. Tokens through a cut are measured on
three hosts in network namespaces, where root allows them. How long commits stall around a cut is measured by
`make test-partition`, beside bare puts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc.aio
import zenoh

from chorus.errors import ChorusError
from chorus.mesh.bus import Hub
from chorus.mesh.config import Config
from chorus.mesh.control import request
from chorus.mesh.core import Node
from chorus.mesh.effects import Committed
from chorus.mesh.etcd_api import MEMBERS, PUT, codec, message
from chorus.mesh.etcd_client import EtcdClient
from chorus.mesh.etcd_log import EtcdLog
from chorus.mesh.etcd_servers import EtcdServers, Place
from chorus.mesh.fold import Fold
from chorus.mesh.identity import Genesis, Key
from chorus.mesh.journal import Journal
from chorus.mesh.log import Unknown
from chorus.mesh.members.sudoku import puzzle
from chorus.mesh.runtime import Runtime
from chorus.mesh.testbed import Testbed, why_not
from chorus.mesh.zenoh_bus import ZenohBus, zenoh_config
from mesh_members import Talks, percentile

RESULTS: dict[str, Any] = {}
SIZE = 300  # bytes of a record: a signed vote
AT_ONCE = 64


def show(section: str, rows: dict[str, float]) -> None:
    RESULTS[section] = rows
    print(f"\n{section}")
    for name, value in rows.items():
        print(f"  {name:<72} {value:>12,.2f}")


def free_ports(count: int) -> list[int]:
    import socket

    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


async def timed(work: Callable[[], Coroutine[Any, Any, Any]]) -> float:
    began = time.perf_counter()
    outcome = await work()
    assert not isinstance(outcome, Unknown), outcome
    return time.perf_counter() - began


async def rate(work: Callable[[int], Coroutine[Any, Any, Any]], count: int) -> float:
    """Return how many are done in a second with so many under way at a time."""
    numbers = iter(range(count))

    async def one_after_the_other() -> None:
        for number in numbers:
            outcome = await work(number)
            assert not isinstance(outcome, Unknown), outcome

    began = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - began)


async def commits(directory: Path, count: int) -> dict[str, float]:
    ports = free_ports(6)
    places = [Place("127.0.0.1", client, peer) for client, peer in zip(ports[:3], ports[3:], strict=True)]
    etcd = EtcdServers(directory / "etcd", places)
    key = Key.generate()
    genesis = Genesis.of([key.public])
    client = EtcdClient(etcd.endpoints, timeout=60.0)
    await client.call(MEMBERS, message("MemberListRequest"))
    await client.close()
    channel = grpc.aio.insecure_channel(etcd.endpoints[0])
    put = channel.unary_unary(PUT[0], **codec(PUT))
    log = EtcdLog(etcd.endpoints, b"x" * 32, timeout=60.0)
    journal = Journal(directory / "journal", genesis.hash, key.public)
    node = Node(key, Fold(genesis), journal.recover(), now=time.monotonic())
    runtime = Runtime(node, journal, EtcdLog(etcd.endpoints, genesis.hash, timeout=60.0), Hub().join(), Talks())
    running = asyncio.create_task(runtime.run())
    made = random.Random(0)

    async def bare() -> None:
        await put(message("PutRequest", key=made.randbytes(32), value=made.randbytes(SIZE)), timeout=60.0)

    async def append() -> Any:
        return await log.append([made.randbytes(SIZE)])

    while not node.tail.caught_up:
        await asyncio.sleep(0.01)
    times: dict[str, list[float]] = {"bare": [], "append": [], "node": []}
    with runtime.watching() as feed:
        events = aiter(feed)

        async def commit() -> None:
            own = runtime.name(f"name {made.random()}", made.randbytes(32), 1)
            while not (isinstance(event := await anext(events), Committed) and event.id == own):
                pass

        for number in range(count + 20):  # in turn, so that a busy machine is busy for all of them
            for name, work in (("bare", bare), ("append", append), ("node", commit)):
                seconds = await timed(work)
                if number >= 20:
                    times[name].append(seconds)
        rates: dict[str, list[float]] = {"bare": [], "append": [], "node": []}
        for _ in range(3):
            rates["bare"].append(await rate(lambda _: bare(), 5 * count))
            rates["append"].append(await rate(lambda _: append(), 5 * count))
            start, began = node.fold.size, time.perf_counter()
            for number in range(5 * count):
                runtime.name(f"name {start} {number}", made.randbytes(32), 1)
            while node.fold.size < start + 5 * count:
                await anext(events)
            rates["node"].append(5 * count / (time.perf_counter() - began))
    runtime.stop()
    await running
    await log.close()
    await channel.close()
    etcd.stop()
    middle = {name: 1000 * statistics.median(values) for name, values in times.items()}
    most = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "a bare put, p50 ms": middle["bare"],
        "a bare put, p99 ms": 1000 * percentile(times["bare"], 0.99),
        "OrderedLog.append of one record, p50 ms": middle["append"],
        "OrderedLog.append of one record, p99 ms": 1000 * percentile(times["append"], 0.99),
        "OrderedLog.append / bare put, p50 (goal 1.3)": middle["append"] / middle["bare"],
        "a node: said, synced, committed, read back, p50 ms": middle["node"],
        "a node / bare put, p50": middle["node"] / middle["bare"],
        f"bare puts a second, {AT_ONCE} at a time": most["bare"],
        f"OrderedLog.append a second, {AT_ONCE} at a time": most["append"],
        "bare puts / OrderedLog.append, a second (goal 1.3)": most["bare"] / most["append"],
        "a node under load: entries a second": most["node"],
    }


ECHO = """
import asyncio, sys, zenoh
from chorus.mesh.zenoh_bus import ZenohBus, zenoh_config
kind, listen, peer = sys.argv[1:]
if kind == "bare":
    session = zenoh.open(zenoh_config(listen, [peer], None))
    back = session.declare_publisher("back", express=True)
    ears = session.declare_subscriber("there", lambda sample: back.put(sample.payload.to_bytes()))
    sys.stdin.read()
    session.close()
else:
    async def echo():
        bus = ZenohBus(listen, [peer], b"m" * 32)
        while True:
            bus.send(await bus.receive())
    asyncio.run(echo())
"""


def echoing(kind: str, listen: str, peer: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", ECHO, kind, listen, peer], stdin=subprocess.PIPE)


def bare_trips(count: int) -> list[float]:
    ours, theirs = (f"127.0.0.1:{port}" for port in free_ports(2))
    echo = echoing("bare", theirs, ours)
    session = zenoh.open(zenoh_config(ours, [theirs], None))
    there, back = session.declare_publisher("there", express=True), threading.Event()
    ears = session.declare_subscriber("back", lambda _: back.set())
    times = []
    there.put(bytes(SIZE))
    while not back.wait(0.2):  # not connected yet
        there.put(bytes(SIZE))
    for _ in range(count):
        back.clear()
        began = time.perf_counter()
        there.put(bytes(SIZE))
        assert back.wait(60.0)
        times.append(time.perf_counter() - began)
    ears.undeclare()
    session.close()
    echo.kill()
    echo.wait()
    return times[count // 10 :]


async def bus_trips(count: int) -> list[float]:
    ours, theirs = (f"127.0.0.1:{port}" for port in free_ports(2))
    echo = echoing("bus", theirs, ours)
    bus = ZenohBus(ours, [theirs], b"m" * 32)
    times = []
    connected = False
    while not connected:
        bus.send(bytes(SIZE))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                connected = bool(await bus.receive())
    async with asyncio.timeout(60.0):
        for number in range(1, count + 1):
            sent = number.to_bytes(8, "big") + bytes(SIZE - 8)
            began = time.perf_counter()
            bus.send(sent)
            while await bus.receive() != sent:
                pass
            times.append(time.perf_counter() - began)
    await bus.close()
    echo.kill()
    echo.wait()
    return times[count // 10 :]


def gossip(count: int) -> dict[str, float]:
    bare: list[float] = []
    bus: list[float] = []
    for _ in range(3):  # in turn
        bare += bare_trips(count)
        bus += asyncio.run(bus_trips(count))
    middle = {name: 1000 * statistics.median(times) for name, times in (("bare", bare), ("bus", bus))}
    return {
        "bare Zenoh, there and back, p50 ms": middle["bare"],
        "bare Zenoh, p99 ms": 1000 * percentile(bare, 0.99),
        "the bus, there and back, p50 ms": middle["bus"],
        "the bus, p99 ms": 1000 * percentile(bus, 0.99),
        "the bus / bare Zenoh, p50 (goal 2)": middle["bus"] / middle["bare"],
    }


class Writing:
    """Keeps every node's member writing, and counts its tokens."""

    def __init__(self, bed: Testbed) -> None:
        self.tokens = {config.node.name: 0 for config in bed.configs}
        self.over = threading.Event()
        self.kept: list[Any] = []  # open until the end, so that nothing is withdrawn meanwhile
        for config in bed.configs:
            for work in (self._ask, self._ask, self._count):
                threading.Thread(target=work, args=(config,), daemon=True).start()

    def _ask(self, config: Config) -> None:
        for seed in range(10_000):
            fields = {"op": "ask", "question": puzzle(seed % 10, clues=45), "patience": 600.0}
            try:
                events = request(config.control_path, 600.0, **fields)
                written = 0
                for event in events:
                    written += event["event"] == "said" and event["who"] == config.node.name
                    if written == 81 or self.over.is_set():
                        break
                self.kept.append(events)
            except ChorusError:
                return

    def _count(self, config: Config) -> None:
        try:
            for event in request(config.control_path, 600.0, op="watch"):
                self.tokens[config.node.name] += event["event"] == "said" and event["who"] == config.node.name
        except ChorusError:
            return

    def rate(self, names: list[str], seconds: float) -> float:
        began, before = time.monotonic(), sum(self.tokens[name] for name in names)
        time.sleep(seconds)
        return (sum(self.tokens[name] for name in names) - before) / (time.monotonic() - began)


def tokens_through_a_cut(directory: Path, seconds: float) -> dict[str, float]:
    with Testbed(directory, 3, 'kind = "sudoku"\npace = 0.02', "\n[limits]\nproposals = 1\n") as bed:
        bed.wait_until_up()
        leader = bed.leader()
        names = [config.node.name for config in bed.configs]
        writing = Writing(bed)
        time.sleep(3.0)
        usual = writing.rate(names, seconds)
        bed.hosts.cut([leader])
        cut = writing.rate(names, seconds)
        bed.hosts.heal()
        healed = writing.rate(names, seconds)
        writing.over.set()
    return {
        "tokens a second, all three nodes": usual,
        "tokens a second, etcd's leader and its node cut off": cut,
        "tokens a second, after healing": healed,
        "cut / usual (goal 0.95)": cut / usual,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller, for a look")
    quick = parser.parse_args().quick
    show("machine", {"cores": float(os.cpu_count() or 0), "load average at the start": os.getloadavg()[0]})
    with tempfile.TemporaryDirectory() as place:
        rows = asyncio.run(commits(Path(place), 100 if quick else 400))
    show("commits to three etcd members on loopback, on this machine's disk", rows)
    show("gossip between two processes, 300 bytes", gossip(300 if quick else 2000))
    if why_not():
        print(f"\ntokens through a cut are not measured: {why_not()}")
    else:
        with tempfile.TemporaryDirectory() as place:
            rows = tokens_through_a_cut(Path(place) / "m", 5.0 if quick else 20.0)
        show("tokens of three nodes on three hosts", rows)
    target = Path(__file__).parent / "results" / "mesh_network.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(RESULTS, indent=2) + "\n")
    print(f"\nwritten to {target}")


if __name__ == "__main__":
    main()
