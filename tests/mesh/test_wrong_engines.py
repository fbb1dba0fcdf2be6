"""Engines and nodes that are not what they should be: each is told in words, and nothing is lost."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import chorus
from chorus.errors import ChorusError, InputError
from chorus.mesh import etcd_servers, testbed
from chorus.mesh.config import load
from chorus.mesh.control import request
from chorus.mesh.demo import questions_for
from chorus.mesh.engines import committed, open_bus, open_log
from chorus.mesh.etcd_api import MEMBERS, message
from chorus.mesh.etcd_client import EtcdClient
from chorus.mesh.etcd_log import EtcdLog
from chorus.mesh.etcd_servers import EtcdServers, Place
from chorus.mesh.founding import found_here, places_from
from chorus.mesh.log import Unknown, WrongLogError
from chorus.mesh.testbed import Testbed, printed, wait_for


def loaded(name: str):
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cluster, trial = loaded("cluster"), loaded("trial")
LONG = trial.LONG
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}
needs_etcd = pytest.mark.skipif(bool(etcd_servers.why_not()), reason=etcd_servers.why_not() or "-")
needs_hosts = pytest.mark.skipif(bool(testbed.why_not()), reason=f"no hosts here: {testbed.why_not()}")
needs_faketime = pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed")


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServers]:
    client, peer = cluster.free_ports(2)
    running = EtcdServers(tmp_path / "etcd", [Place("127.0.0.1", client, peer)])
    yield running
    running.stop()


def mesh_with(directory: Path, log: str, bus: str = "zenoh:127.0.0.1:7447") -> Path:
    names = ["ana", "ben", "cem"]
    return found_here(directory, names, member='kind = "sudoku"', log=log, places=places_from(bus, names))[0]


@pytest.mark.parametrize("place", ["10.0.0.1", "10.0.0.1:2379,:2379", "http://10.0.0.1:2379", "10.0.0.1:99999"])
def test_an_address_that_is_none_is_told_with_its_file_and_line(place: str, tmp_path: Path) -> None:
    path = mesh_with(tmp_path / "m", f"etcd:{place}")
    line = path.read_text().splitlines().index(next(x for x in path.read_text().splitlines() if "log =" in x)) + 1

    async def play() -> None:
        open_log(load(path))

    with pytest.raises(InputError, match=rf"ana\.toml:{line}: mesh\.log: .* is no address of an etcd member"):
        asyncio.run(play())


def test_a_bus_that_cannot_be_opened_is_told_with_its_file_and_line(tmp_path: Path) -> None:
    path = mesh_with(tmp_path / "m", "sqlite:log", "zenoh:192.0.2.1:7447")  # an address of nobody's

    async def play() -> None:
        open_bus(load(path))

    with pytest.raises(InputError, match=r"ana\.toml:11: mesh\.bus: 192\.0\.2\.1:7447: cannot open the Zenoh bus"):
        asyncio.run(play())


def test_an_etcd_that_is_not_there_or_is_something_else_is_told_with_file_and_line(tmp_path: Path) -> None:
    (closed,) = cluster.free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        there = silent.getsockname()[1]
        path = mesh_with(tmp_path / "m", f"etcd:127.0.0.1:{closed},127.0.0.1:{there}")
        with pytest.raises(ChorusError, match=r"ana\.toml:10: mesh\.log: etcd at 127\.0\.0\.1") as caught:
            list(committed(load(path)))
    assert re.search(rf"etcd at 127.0.0.1:{there}: (no answer in time|it cannot be reached)", str(caught.value))
    assert f"etcd at 127.0.0.1:{closed}: unavailable" in str(caught.value)


@needs_etcd
def test_a_member_that_says_nothing_is_passed_over_within_one_request(etcd: EtcdServers) -> None:
    async def play(silent: str) -> None:
        client = EtcdClient([silent, *etcd.endpoints], timeout=LONG)
        assert client.endpoint == silent
        await client.call(MEMBERS, message("MemberListRequest"))
        assert client.endpoint == etcd.endpoints[0]
        await client.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        asyncio.run(play(f"127.0.0.1:{server.getsockname()[1]}"))


@needs_etcd
def test_members_of_two_clusters_are_no_log(etcd: EtcdServers, tmp_path: Path) -> None:
    client, peer = cluster.free_ports(2)
    other = EtcdServers(tmp_path / "other", [Place("127.0.0.1", client, peer)])

    async def play() -> None:
        for one in (etcd, other):
            alone = EtcdLog(one.endpoints, b"m" * 32, timeout=LONG)
            assert await alone.read(0, 9) == []  # it is up
            await alone.close()
        log = EtcdLog([*etcd.endpoints, *other.endpoints], b"m" * 32, timeout=LONG)
        with pytest.raises(WrongLogError, match=r"belong to different clusters: 127.*; correct mesh.log"):
            await log.read(0, 9)
        await log.close()

        log = EtcdLog(etcd.endpoints, b"m" * 32)
        assert await log.read(0, 9) == []
        log.client.endpoints[:] = other.endpoints  # as if the other had taken its address
        log.client.move_on()
        await log.client.close()
        outcome = await log.append([b"one"])
        assert isinstance(outcome, Unknown)
        assert "belongs to another cluster" in outcome.reason
        await log.close()

    asyncio.run(play())
    other.stop()


@needs_etcd
def test_a_cluster_made_anew_takes_nothing_and_is_told(etcd: EtcdServers) -> None:
    async def play() -> None:
        log = EtcdLog(etcd.endpoints, b"m" * 32, timeout=LONG)
        for number in range(9):
            assert not isinstance(await log.append([b"%d" % number]), Unknown)
        assert len(await log.read(0, 99)) == 9
        etcd.stop()
        shutil.rmtree(etcd.directory / "m0")
        etcd.start(0)
        outcome = await log.append([b"more"])
        assert isinstance(outcome, Unknown)
        assert "has lost the log" in outcome.reason
        with pytest.raises(WrongLogError, match="has lost the log: it reaches revision 0 and had told of 1"):
            await log.read(0, 99)
        newcomer = EtcdLog(etcd.endpoints, b"m" * 32, timeout=LONG)
        assert await newcomer.read(0, 99) == []
        for one in (log, newcomer):
            await one.close()

    asyncio.run(play())


@needs_etcd
def test_a_running_node_tells_each_thing_that_is_wrong_once_and_when_it_is_over(tmp_path: Path) -> None:
    client, peer, other, gossip = cluster.free_ports(4)
    etcd = EtcdServers(tmp_path / "etcd", [Place("127.0.0.1", client, peer)])
    places = places_from(f"zenoh:127.0.0.1:{gossip}", ["ana"])
    log = f"etcd:127.0.0.1:{client}"
    path = found_here(tmp_path / "m", ["ana"], member='kind = "sudoku"', log=log, places=places)[0]
    config = load(path)
    command = [sys.executable, "-m", "chorus", "mesh", "node", "--config", str(path)]
    with open(tmp_path / "said", "wb") as said:
        node = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, env=ENVIRONMENT)

    def told(words: str) -> None:
        wait_for(lambda: words in (tmp_path / "said").read_text(), LONG, f"it was not told: {words}")

    try:
        assert node.stdout is not None
        assert b"is running" in node.stdout.readline()
        assert list(request(config.control_path, LONG, op="name", name="x", digest="00" * 32, size=1))
        etcd.stop()
        told("unavailable")
        another = EtcdServers(tmp_path / "another", [Place("127.0.0.1", client, other)])
        told("it belongs to another cluster")
        another.stop()
        etcd.start(0)
        told("the log answers again")
    finally:
        node.terminate()
        node.wait(LONG)
        etcd.stop()
    lines = (tmp_path / "said").read_text().splitlines()
    assert len(lines) == len(set(lines))


@needs_etcd
def test_an_etcd_with_an_expired_certificate_is_told(tmp_path: Path) -> None:
    authority = cluster.Authority(tmp_path / "m")
    client, peer = cluster.free_ports(2)
    etcd = EtcdServers(tmp_path / "etcd", [Place("127.0.0.1", client, peer)], authority.issue("etcd", -9, -2))

    async def play() -> None:
        log = EtcdLog(etcd.endpoints, b"m" * 32, authority.issue("ana"))
        async with asyncio.timeout(LONG):
            while "certificate has expired" not in (told := " ".join(await log.look())):
                await asyncio.sleep(0.05)  # it is not up yet
        assert "the TLS handshake failed; check the [tls] files and the server's certificate" in told
        await log.close()

    asyncio.run(play())
    etcd.stop()


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    with Testbed(tmp_path_factory.mktemp("b") / "m", 3) as made:
        made.wait_until_up()
        yield made


def ask(bed: Testbed, number: int, seed: int = 0) -> str:
    question = questions_for(None)[seed].text
    told = list(request(bed.configs[number].control_path, LONG, op="ask", question=question, patience=60.0))
    return str(told[-1]["outcome"])


@needs_hosts
@needs_faketime
def test_nodes_whose_clocks_are_years_apart_are_one_mesh(bed: Testbed) -> None:
    for number, clock in ((1, "+3y"), (2, "-4y")):
        bed.kill_node(number)
        bed.start_node(number, ["faketime", "-f", clock])
    bed.wait_until_up()
    assert [ask(bed, number, number) for number in range(3)] == ["accepted"] * 3
    trial.settle(bed)
    assert len(trial.check(bed, None)) > 27


@needs_hosts
def test_a_second_node_under_one_key_stops_and_the_mesh_goes_on(bed: Testbed, tmp_path: Path) -> None:
    assert ask(bed, 0) == "accepted"
    config = bed.configs[2]
    text = config.path.read_text().replace("10.77.0.3:7447", "10.77.0.2:7448").replace("cem.journal", "other.journal")
    (tmp_path / "cem.toml").write_text(text)
    shutil.copy(config.at("cem.key"), tmp_path / "cem.key")
    second = load(tmp_path / "cem.toml")
    assert bed.run_node(1, second).wait(LONG) == 1
    assert re.search(r"error: .* under this node's key.*give (this|each) node a key of its own", printed(second))
    assert [ask(bed, number, 1) for number in range(3)] == ["accepted"] * 3


@needs_hosts
def test_a_node_of_a_foreign_genesis_is_told_and_changes_nothing(bed: Testbed, tmp_path: Path) -> None:
    assert ask(bed, 0) == "accepted"
    path = mesh_with(tmp_path / "x", "etcd:10.77.0.1:2379", "zenoh:10.77.0.1:7450")
    path.write_text(path.read_text().replace("10.77.0.1:7451", "10.77.0.2:7447"))  # a peer of the other mesh
    before = bed.records(1)
    foreign = load(path)
    process = bed.run_node(0, foreign)
    ours = bed.configs[0].mesh.genesis[:16]
    expected = f"ana.toml:10: mesh.log: the cluster holds no log of this mesh yet, and those of {ours}"
    wait_for(lambda: expected in printed(foreign), LONG, "the node said nothing")
    assert [ask(bed, number, 1) for number in range(3)] == ["accepted"] * 3
    process.kill()
    assert bed.records(1)[: len(before)] == before
    assert all(bed.status(number)["void"].keys() <= {"repeat"} for number in range(3))


@needs_hosts
def test_a_cluster_made_anew_stops_the_nodes_and_with_the_old_data_they_go_on(bed: Testbed) -> None:
    assert ask(bed, 0) == "accepted"
    trial.settle(bed)
    bed.etcd.stop()
    wait_for(lambda: all(bed.status(n)["log"] != "fine" for n in range(3)), LONG, "nobody missed etcd")
    for member in range(3):
        (bed.etcd.directory / f"m{member}").rename(bed.etcd.directory / f"kept{member}")
        bed.etcd.start(member)
    for number in range(3):
        assert bed.nodes[number].wait(LONG) == 1
        assert "has lost the log" in printed(bed.configs[number])
    bed.start_node(0)
    assert bed.nodes[0].wait(LONG) == 1
    assert "the log has lost its tail" in printed(bed.configs[0])
    bed.etcd.stop()
    for member in range(3):
        shutil.rmtree(bed.etcd.directory / f"m{member}")
        (bed.etcd.directory / f"kept{member}").rename(bed.etcd.directory / f"m{member}")
        bed.etcd.start(member)
    for number in range(3):
        bed.start_node(number)
    bed.wait_until_up()
    assert ask(bed, 1, 1) == "accepted"
    trial.settle(bed)
    assert len(trial.check(bed, None)) > 18
