"""The engines of many hosts: etcd orders, Zenoh gossips, both under mutual TLS, and nodes that use them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import chorus
from chorus.errors import ChorusError, InputError
from chorus.mesh.config import load
from chorus.mesh.control import request
from chorus.mesh.etcd_log import EtcdLog
from chorus.mesh.etcd_servers import why_not
from chorus.mesh.founding import found_here, places_from
from chorus.mesh.hosts import why_not as why_no_hosts
from chorus.mesh.log import LogUnavailableError, Unknown
from chorus.mesh.transcript import audit_log
from chorus.mesh.zenoh_bus import ZenohBus

_spec = spec_from_file_location("cluster", Path(__file__).with_name("cluster.py"))
assert _spec is not None
assert _spec.loader is not None
cluster = module_from_spec(_spec)
_spec.loader.exec_module(cluster)

needs_etcd = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")
LONG = 300.0  # seconds after which a test gives up; nothing is measured against it


@pytest.fixture
def authority(tmp_path: Path):
    return cluster.Authority(tmp_path / "mesh")


@pytest.fixture
def etcd(tmp_path: Path, authority) -> Iterator:
    running = cluster.etcd(tmp_path / "etcd", authority)
    yield running
    running.stop()


async def appended(log: EtcdLog, records: list[bytes]) -> int:
    """Append until it is known to be there."""
    async with asyncio.timeout(LONG):
        while isinstance(position := await log.append(records), Unknown):
            await asyncio.sleep(0.05)
    return position


async def whole(log: EtcdLog, after: int = 0) -> list[tuple[int, bytes]]:
    """Read on until the end, as often as it takes."""
    records: list[tuple[int, bytes]] = []
    async with asyncio.timeout(LONG):
        while True:
            try:
                page = await log.read(records[-1][0] if records else after, 7)
            except LogUnavailableError:
                continue
            records += page
            if len(page) < 7:
                return records


@needs_etcd
def test_etcd_gives_everyone_one_order_through_time_outs_compaction_and_the_death_of_members(etcd, authority) -> None:
    async def play() -> None:
        logs = [EtcdLog(etcd.endpoints[i:] + etcd.endpoints[:i], b"m" * 32, authority.issue(f"n{i}")) for i in (0, 1)]
        log, other = logs
        assert await whole(other) == []
        first = await appended(log, [b"one", b"two"])
        assert await log.append([b"one", b"two"]) == first  # what is there keeps its place
        big = [bytes([i]) * 90_000 for i in range(30)]  # more than etcd takes at once
        last = await appended(log, big)
        await asyncio.gather(*(appended(one, [b"%d/%d" % (n, i)]) for i in range(20) for n, one in enumerate(logs)))
        records = await whole(log)
        assert await whole(other) == records
        assert [record for _, record in records[:32]] == [b"one", b"two", *big]
        assert dict(records)[last] == big[-1]
        positions = [position for position, _ in records]
        assert positions == sorted(set(positions))
        assert sorted(r for _, r in records[32:]) == sorted(b"%d/%d" % (n, i) for i in range(20) for n in (0, 1))
        assert await whole(log, after=positions[33]) == records[34:]  # anew from the middle of the log

        etcd.control(0, "compaction", "--physical", str(positions[-1] // 256))
        newcomer = EtcdLog(etcd.endpoints, b"m" * 32, authority.issue("late"))
        assert await whole(newcomer) == records
        stranger = EtcdLog(etcd.endpoints, b"x" * 32, authority.issue("other-mesh"))
        assert await whole(stranger) == []

        await log.watch(0)
        waiting = asyncio.create_task(log.watch(positions[-1]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await appended(other, [b"news"])
        await asyncio.wait_for(waiting, LONG)

        etcd.kill(0)
        await appended(log, [b"with two of three"])
        etcd.kill(1)
        outcomes = [await log.append([b"alone"]) for _ in range(3)]
        assert all(isinstance(outcome, Unknown) for outcome in outcomes)
        with pytest.raises(LogUnavailableError, match="etcd at 127"):
            await log.read(positions[-1], 10)
        etcd.start(0)
        await appended(log, [b"alone"])
        expected = [b"news", b"with two of three", b"alone"]
        for one in (log, other, newcomer):
            assert [record for _, record in await whole(one, positions[-1])] == expected  # each of them once
        for one in (*logs, newcomer, stranger):
            await one.close()

    asyncio.run(play())


@needs_etcd
def test_appends_at_the_same_time_share_transactions_and_each_keeps_its_own_place(etcd, authority) -> None:
    async def play() -> None:
        log = EtcdLog(etcd.endpoints, b"m" * 32, authority.issue("ana"))
        early = await appended(log, [b"early"])
        batches = [[b"%d/%d" % (n, i) for i in range(n % 9 + 1)] for n in range(120)]
        batches[50] = [bytes([1]) * 700_000]  # two of these are too much for one transaction
        batches[60] = [bytes([2]) * 700_000]
        impatient = asyncio.create_task(log.append([b"not waited for"]))
        tasks = [asyncio.create_task(appended(log, batch)) for batch in [*batches, [b"early"], batches[7]]]
        await asyncio.sleep(0)
        impatient.cancel()
        *places, again, twin = await asyncio.gather(*tasks)
        assert again == early  # what was there keeps its place in company too
        assert twin == places[7]
        records = await whole(log)
        expected = [b"early", b"not waited for", *(record for batch in batches for record in batch)]
        assert [record for _, record in records] == expected  # each once, in the order of asking
        assert [dict(records)[place] for place in places] == [batch[-1] for batch in batches]
        assert await asyncio.gather(*(appended(log, batch) for batch in reversed(batches))) == places[::-1]
        assert await whole(log) == records
        assert len({place // 256 for place in places}) < 10  # the transactions

        etcd.control(0, "compaction", "--physical", str(places[-1] // 256))
        newcomer = EtcdLog(etcd.endpoints, b"m" * 32, authority.issue("late"))
        assert await whole(newcomer) == records

        for member in (0, 1):
            etcd.kill(member)
        began = asyncio.get_running_loop().time()
        first = asyncio.create_task(log.append([b"late"]))
        await asyncio.sleep(0.5)
        outcomes = await asyncio.gather(first, *(log.append([b"later %d" % n]) for n in range(9)))
        assert all(isinstance(outcome, Unknown) and "etcd at 127" in outcome.reason for outcome in outcomes)
        assert asyncio.get_running_loop().time() - began < 1.9 * log.client.timeout  # not one time-out after another
        for member in (0, 1):
            etcd.start(member)
        await asyncio.gather(*(appended(log, [b"later %d" % n]) for n in range(9)), appended(log, [b"late"]))
        late = [record for _, record in await whole(log, records[-1][0])]
        assert sorted(late) == [b"late", *(b"later %d" % n for n in range(9))]  # each once
        await newcomer.close()
        await log.close()

    asyncio.run(play())


@needs_etcd
def test_who_has_no_certificate_of_the_authority_gets_neither_log_nor_bus(etcd, authority, tmp_path: Path) -> None:
    forger = cluster.Authority(tmp_path / "forger").issue("ana")
    ours, theirs, liar = (f"127.0.0.1:{port}" for port in cluster.free_ports(3))

    async def play() -> None:
        log = EtcdLog(etcd.endpoints[:1], b"m" * 32, authority.issue("ana"))
        await appended(log, [b"one"])
        outcome = await EtcdLog(etcd.endpoints[:1], b"m" * 32, forger).append([b"forged"])
        assert isinstance(outcome, Unknown)
        assert "TLS" in outcome.reason
        assert [r for _, r in await whole(log)] == [b"one"]
        await log.close()

        ana = ZenohBus(ours, [theirs], b"m" * 32, authority.issue("ana"))
        ben = ZenohBus(theirs, [ours], b"m" * 32, authority.issue("ben"))
        forged = ZenohBus(liar, [ours, theirs], b"m" * 32, forger)
        other = ZenohBus(f"127.0.0.1:{cluster.free_ports(1)[0]}", [ours], b"x" * 32, authority.issue("other"))
        for _ in range(40):
            forged.send(b"forged")
            other.send(b"another mesh")
        await heard(ben, ana, b"to ana")
        await heard(ana, ben, b"to ben")
        for bus in (ana, ben, forged, other):
            await bus.close()

    asyncio.run(play())


async def heard(sender: ZenohBus, receiver: ZenohBus, data: bytes) -> None:
    """Say it until it is heard; nothing else may be heard."""
    listening = asyncio.create_task(receiver.receive())
    async with asyncio.timeout(LONG):
        while not listening.done():
            sender.send(data)
            await asyncio.sleep(0.02)
    assert listening.result() == data


def test_a_receiver_that_is_behind_loses_messages_and_not_its_memory() -> None:
    ours, theirs = (f"127.0.0.1:{port}" for port in cluster.free_ports(2))

    async def play() -> None:
        ana, ben = ZenohBus(ours, [theirs], b"m" * 32), ZenohBus(theirs, [ours], b"m" * 32)
        await heard(ana, ben, b"x" * 100)
        async with asyncio.timeout(LONG):
            while not ben.dropped:  # nobody receives
                for _ in range(500):
                    ana.send(b"x" * 100)
                await asyncio.sleep(0)
        assert len(ben._waiting) <= 4096
        await heard(ana, ben, b"x" * 100)
        for bus in (ana, ben):
            await bus.close()

    asyncio.run(play())


@pytest.mark.parametrize(("begins", "ends", "message"), [(-9, -2, "expired on"), (4, 9, "is this machine's clock")])
def test_certificates_out_of_date_are_told_before_anything_is_connected(begins, ends, message, authority) -> None:
    with pytest.raises(InputError, match=message):
        authority.issue("ana", begins, ends).read()


def test_a_key_that_is_not_the_certificates_is_told(authority) -> None:
    ana, ben = authority.issue("ana"), authority.issue("ben")
    with pytest.raises(InputError, match=r"ben-tls\.key: not the key of the certificate .*ana\.pem"):
        ana._replace(key=ben.key).read()
    with pytest.raises(InputError, match="cannot read it"):
        ana._replace(ca=ana.ca.with_name("none")).read()


@pytest.mark.skipif(bool(why_no_hosts()), reason=why_no_hosts() or "-")
def test_the_bus_opens_where_shared_memory_cannot_be_written_to() -> None:
    opening = f"""
import asyncio
from chorus.mesh.zenoh_bus import ZenohBus

async def play():
    await ZenohBus("127.0.0.1:{cluster.free_ports(1)[0]}", ["127.0.0.1:1"], b"m" * 32).close()

asyncio.run(play())
"""
    without = 'mount -t tmpfs -o ro none /dev/shm && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", without, "sh", sys.executable, "-c", opening]
    environment = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONG)
    assert done.returncode == 0, done.stderr


@needs_etcd
def test_nodes_on_etcd_and_zenoh_go_on_when_a_node_and_an_etcd_member_are_killed(etcd, authority) -> None:
    names = ["ana", "ben", "cem"]
    port = min(cluster.free_ports(1)[0], 65_000)
    paths = found_here(
        authority.directory,
        names,
        member='kind = "sudoku"',
        log="etcd:" + ",".join(etcd.endpoints),
        places=places_from(f"zenoh:127.0.0.1:{port}", names),
        tls=True,
    )
    for name in names:
        authority.issue(name)
    processes = [start(path) for path in paths]
    try:
        configs = [load(path) for path in paths]
        assert answer(configs[0], 0)["outcome"] == "accepted"
        etcd.kill(1)
        processes[2].send_signal(signal.SIGKILL)
        assert processes[2].wait() == -signal.SIGKILL
        assert answer(configs[1], 1)["outcome"] == "accepted"
        etcd.start(1)
        processes[2] = start(paths[2])
        assert answer(configs[2], 2)["outcome"] == "accepted"
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    for config in configs:
        report = audit_log(config, None, every_signature=True)
        assert report.ok, report.findings
        assert report.size > 9


def start(path: Path) -> subprocess.Popen[str]:
    """Start a node and wait until it says that it runs."""
    environment = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-m", "chorus", "mesh", "node", "--config", str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert "is running" in process.stdout.readline()
    return process


def answer(config, seed: int) -> dict:
    """Ask until the node is ready and the round is over."""
    from chorus.mesh.demo import questions_for

    question = questions_for(None)[seed].text
    while True:
        try:
            told = list(request(config.control_path, LONG, op="ask", question=question, patience=60.0))
        except ChorusError:
            continue
        closed = [event for event in told if event["event"] == "closed"]
        if closed:
            return closed[0]
