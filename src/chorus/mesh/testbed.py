"""A whole mesh of many hosts on this one machine: on each a real etcd member and a real node, and cuts between them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import chorus
from chorus.errors import ChorusError, InputError
from chorus.mesh import etcd_servers, hosts
from chorus.mesh.config import Config, load
from chorus.mesh.control import request
from chorus.mesh.etcd_servers import EtcdServers, Place
from chorus.mesh.founding import found_here, names_for

_PORT = 7447
_DUMP = """
import sys
from pathlib import Path
from chorus.mesh.config import load
from chorus.mesh.engines import committed
for position, record in committed(load(Path(sys.argv[1]))):
    print(position, record.hex())
"""
_START = 120.0  # seconds within which everything must be up


def why_not() -> str:
    """Say why there can be no testbed here, or nothing."""
    return hosts.why_not() or etcd_servers.why_not()


class Testbed:
    """Hosts, each with an etcd member and a node, numbered from 0. Left, all of it is gone but its files.

    Args:
        directory: for keys, configurations, journals and etcd's data.
        nodes: how many hosts.
        member: the lines of the nodes' `[member]` tables.
        more: further lines of the nodes' configurations.

    Raises `InputError` where there can be none.

    """

    __test__ = False  # for pytest: no test, in spite of its name

    def __init__(self, directory: Path, nodes: int, member: str = 'kind = "sudoku"', more: str = "") -> None:
        reason = why_not()
        if reason:
            raise InputError(f"cannot set up hosts on this machine: {reason}")
        self.directory = directory
        self.hosts = hosts.Hosts(nodes)
        try:
            names = names_for(nodes)
            places = [Place(address) for address in self.hosts.addresses]
            log = "etcd:" + ",".join(f"{place.address}:{place.client}" for place in places)
            buses = {name: f"{place.address}:{_PORT}" for name, place in zip(names, places, strict=True)}
            paths = found_here(directory, names, member=member, log=log, places=buses)
            for path in paths:
                path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
            self.configs: list[Config] = [load(path) for path in paths]
            self.etcd = EtcdServers(directory / "etcd", places, hosts=self.hosts)
            self.nodes: dict[int, subprocess.Popen[Any]] = {}
            for number in range(nodes):
                self.start_node(number)
        except BaseException:
            self.close()
            raise

    def start_node(self, number: int, before: Sequence[str] = ()) -> None:
        """Start a node, anew or again; `before` is put before its command."""
        self.nodes[number] = self.run_node(number, self.configs[number], before)

    def run_node(self, host: int, config: Config, before: Sequence[str] = ()) -> subprocess.Popen[Any]:
        """Run a node of any configuration on a host; what it prints goes into a file beside the configuration."""
        command = [*before, sys.executable, "-m", "chorus", "mesh", "node", "--config", str(config.path)]
        with config.path.with_suffix(".out").open("ab") as out:
            return self.hosts.start(host, command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=_environment())

    def kill_node(self, number: int) -> None:
        """Kill a node with SIGKILL."""
        process = self.nodes.pop(number)
        process.kill()
        process.wait()

    def status(self, number: int, timeout: float = 10.0) -> dict[str, Any] | None:
        """Return a node's status, or None when it is not there."""
        try:
            return next(iter(request(self.configs[number].control_path, timeout, op="status")), None)
        except ChorusError:
            return None

    def wait_until_up(self, numbers: Collection[int] | None = None) -> None:
        """Wait until the nodes answer, hear one another and read the log; raises `ChorusError` when one cannot."""
        wanted = range(len(self.configs)) if numbers is None else numbers

        def up() -> bool:
            for number in wanted:
                if self.nodes[number].poll() is not None:
                    name = self.configs[number].node.name
                    raise ChorusError(f"node {name} did not start: {printed(self.configs[number])}")
            told = [self.status(number) for number in wanted]
            return all(one and one["log"] == "fine" and hears(one) == len(self.configs) for one in told)

        wait_for(up, _START, "the nodes did not start")

    def leader(self, among: Collection[int] | None = None) -> int:
        """Wait until these etcd members have a leader among them; return its number."""
        asked = sorted(range(len(self.configs)) if among is None else among)
        found: list[int] = []

        def led() -> bool:
            leader = self.etcd.leader(asked[0])
            found.extend([leader] if leader in asked else [])
            return bool(found)

        wait_for(led, _START, "etcd has no leader")
        return found[0]

    def records(self, host: int) -> list[tuple[int, bytes]]:
        """Read the whole log on a host, by a process that knows nothing yet; return positions and records."""
        command = [sys.executable, "-c", _DUMP, str(self.configs[host].path)]
        lines = self.hosts.run(host, command, _environment()).splitlines()
        return [(int(position), bytes.fromhex(record)) for position, record in map(str.split, lines)]

    def close(self) -> None:
        """Kill everything and take the network away."""
        self.hosts.close()

    def __enter__(self) -> Testbed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}


def printed(config: Config) -> str:
    """Return what a node on a testbed has printed."""
    return config.path.with_suffix(".out").read_text(encoding="utf-8").strip()


def hears(status: dict[str, Any], within: float = 2.0) -> int:
    """Return how many members a node has heard lately, itself included, from its status."""
    return sum(1 for member in status["members"] if member["heard"] is not None and member["heard"] < within)


def wait_for(true: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait until something is true; raises `ChorusError` when it does not come to be."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise ChorusError(f"{otherwise} within {seconds:.0f} s")
        time.sleep(0.05)
