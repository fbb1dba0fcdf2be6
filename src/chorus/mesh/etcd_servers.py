"""An etcd cluster of real processes on this machine, for tests, measurements and demonstrations."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from chorus.errors import ChorusError
from chorus.mesh.hosts import Hosts
from chorus.mesh.tls import Credentials


def why_not() -> str:
    """Say why there can be no cluster here, or nothing."""
    missing = [tool for tool in ("etcd", "etcdctl") if shutil.which(tool) is None]
    return f"{' and '.join(missing)} not installed (Debian's packages etcd-server and etcd-client)" if missing else ""


class Place(NamedTuple):
    """Where a member listens for clients and for its peers."""

    address: str
    client: int = 2379
    peer: int = 2380


class EtcdServers:
    """A cluster, whose members start at once, are killed, and come back with what is on their disks.

    Args:
        directory: for each member's data and what it printed; made if absent.
        places: where the members listen.
        credentials: one certificate for all of them; with it, clients and peers must show one too.
        hosts: with it, member N runs on host N.

    """

    def __init__(
        self,
        directory: Path,
        places: Sequence[Place],
        credentials: Credentials | None = None,
        hosts: Hosts | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.endpoints = [f"{place.address}:{place.client}" for place in places]
        self._places = list(places)
        self._credentials = credentials
        self._scheme = "http" if credentials is None else "https"
        self._hosts = hosts
        self._processes: dict[int, subprocess.Popen[Any]] = {}
        for member in range(len(places)):
            self.start(member)

    def start(self, member: int) -> None:
        """Start a member, anew or again."""
        place = self._places[member]
        client, peer = (f"{self._scheme}://{place.address}:{port}" for port in (place.client, place.peer))
        everyone = ",".join(f"m{n}={self._scheme}://{p.address}:{p.peer}" for n, p in enumerate(self._places))
        command = [
            *("etcd", f"--name=m{member}", f"--data-dir={self.directory / f'm{member}'}", "--log-level=error"),
            *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster={everyone}"),
        ]
        if self._credentials is not None:
            named = zip(("trusted-ca-file", "cert-file", "key-file"), self._credentials, strict=True)
            command += [f"--{prefix}{option}={path}" for option, path in named for prefix in ("", "peer-")]
            command += ["--client-cert-auth", "--peer-client-cert-auth"]
        with open(self.directory / f"m{member}.log", "ab") as said:
            if self._hosts is None:
                self._processes[member] = subprocess.Popen(command, stdout=said, stderr=said)
            else:
                self._processes[member] = self._hosts.start(member, command, stdout=said, stderr=said)

    def kill(self, member: int) -> None:
        """Kill a member with SIGKILL."""
        process = self._processes.pop(member, None)
        if process is not None:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """Kill them all."""
        for member in range(len(self._places)):
            self.kill(member)

    def control(self, member: int, *arguments: str) -> str:
        """Have `etcdctl` ask a member; return what it printed. Raises `ChorusError` when it fails."""
        command = ["etcdctl", f"--endpoints={self._scheme}://{self.endpoints[member]}"]
        if self._credentials is not None:
            named = zip(("cacert", "cert", "key"), self._credentials, strict=True)
            command += [f"--{option}={path}" for option, path in named]
        environment = {**os.environ, "ETCDCTL_API": "3"}
        if self._hosts is not None:
            return self._hosts.run(member, [*command, *arguments], environment)
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise ChorusError(f"etcdctl {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def leader(self, member: int = 0) -> int | None:
        """Return the number of the member that leads, as another knows; None while none does, or it does not tell."""
        try:
            told = json.loads(self.control(member, "endpoint", "status", "--write-out=json"))[0]["Status"]
            members = json.loads(self.control(member, "member", "list", "--write-out=json"))["members"]
        except (ChorusError, ValueError, LookupError):
            return None
        names = {one["ID"]: one.get("name", "") for one in members}
        name = names.get(told.get("leader", 0), "")
        return int(name[1:]) if name else None
