"""Hosts in network namespaces: who hears whom, and that nothing is left of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import chorus
from chorus.errors import ChorusError, InputError
from chorus.mesh import hosts
from chorus.mesh.hosts import Hosts

pytestmark = pytest.mark.skipif(bool(hosts.why_not()), reason=f"no hosts here: {hosts.why_not()}")

HEARS = "import socket,sys; socket.create_connection((sys.argv[1], 99), float(sys.argv[2]))"
LISTENS = "import socket; s = socket.create_server(('', 99)); print('ready', flush=True)\nwhile True: s.accept()"
OWNER = """
import subprocess, sys, time
from chorus.mesh.hosts import Hosts
with Hosts(2) as network:
    process = network.start(0, ["sleep", "600"])
    print(*(holder.pid for holder in network._holders), process.pid, flush=True)
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        pass
"""


def hears(network: Hosts, one: int, other: int, within: float = 60.0) -> bool:
    try:
        network.run(one, [sys.executable, "-c", HEARS, network.addresses[other], str(within)])
    except ChorusError:
        return False
    return True


def listening(network: Hosts, number: int) -> None:
    process = network.start(number, [sys.executable, "-c", LISTENS], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def test_each_side_of_a_cut_hears_itself_and_two_networks_do_not_meet() -> None:
    with Hosts(3) as network, Hosts(1) as other:
        listening(network, 2)
        assert other.addresses[0] == network.addresses[0]
        assert not hears(other, 0, 0)  # nobody listens there, though somebody does at this address elsewhere
        assert hears(network, 0, 2)
        network.cut([1, 2])
        assert not hears(network, 0, 2, 0.5)
        assert hears(network, 1, 2)
        network.heal()
        network.cut([1])
        assert [hears(network, 0, 2), hears(network, 1, 2, 0.5)] == [True, False]
        network.heal()
        assert [hears(network, n, 2) for n in (0, 1)] == [True, True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_owner_ends_in_any_way(number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, env=environment)
    assert owner.stdout is not None
    pids = list(map(int, owner.stdout.readline().split()))
    assert len(pids) == 4
    namespaces = {os.readlink(f"/proc/{pid}/ns/net") for pid in [*pids[:3], os.getpid()]}
    assert len(namespaces) == 4
    owner.send_signal(number)
    owner.wait(60)
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}/ns").exists() and alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "something is left"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(InputError, match="0 hosts: expected 1 to 200"):
        Hosts(0)
    with Hosts(1) as network, pytest.raises(ChorusError, match=r"ls /nowhere failed on 10\.77\.0\.1: .*No such file"):
        network.run(0, ["ls", "/nowhere"])


def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(InputError, match=r"cannot set up hosts on this machine: .* run this as root"):
        Hosts(2)
