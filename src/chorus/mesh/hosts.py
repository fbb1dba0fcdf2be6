"""Several hosts on this one machine: Linux network namespaces, and two switches with one cable between them.

Each host has a network stack of its own, with the address 10.77.0.N, and hears the others only through a switch.
A cut plugs the hosts of one side into the second switch and takes the cable between the two down: hosts of one side
go on hearing each other, and what was on its way across is gone, as when somebody pulls a cable.

No namespace has a name and none outlives its owner. Each is held open by a process that ends when its standard input
does, and everything started on a host is killed by the kernel when the thread that started it ends. So nothing is left
behind, not even by SIGKILL, and any number of such networks are there at the same time without meeting.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any

from chorus.errors import ChorusError, InputError

_TOOLS = {"ip": "iproute2", "nsenter": "util-linux", "setpriv": "util-linux", "unshare": "util-linux"}
_NEAR, _FAR = "near", "far"  # the two switches


def why_not() -> str:
    """Say why there can be no such hosts here, or nothing."""
    if sys.platform != "linux":
        return "network namespaces are a part of Linux"
    for tool, package in _TOOLS.items():
        if shutil.which(tool) is None:
            return f"{tool!r} is not installed (Debian's package {package})"
    if os.geteuid() != 0:
        return "network namespaces are root's to make: run this as root"
    made = subprocess.run(
        ["unshare", "--net", "ip", "link", "add", "name", "near", "type", "bridge"], capture_output=True
    )
    if made.returncode != 0:
        words = " ".join(made.stderr.decode(errors="replace").split())
        return f"this kernel or container allows no network namespaces ({words})"
    return ""


class Hosts:
    """A network of hosts, numbered from 0; leave it, or end this process, and it is gone.

    Args:
        count: how many, up to 200.

    Raises `InputError` where there can be none.

    """

    def __init__(self, count: int) -> None:
        reason = why_not()
        if reason:
            raise InputError(f"cannot set up hosts on this machine: {reason}")
        if not 0 < count <= 200:
            raise InputError(f"{count} hosts: expected 1 to 200")
        self.addresses = [f"10.77.0.{number + 1}" for number in range(count)]
        self._started: list[subprocess.Popen[Any]] = []
        self._holders: list[subprocess.Popen[bytes]] = []
        try:
            self._holders += [_hold() for _ in range(count + 1)]
            self._wire()
        except BaseException:
            self.close()
            raise

    def _wire(self) -> None:
        *hosts, switches = self._holders
        lines = [f"link add name {side} type bridge" for side in (_NEAR, _FAR)]
        lines += ["link add name cable type veth peer name elbac", f"link set cable master {_NEAR}"]
        lines += [f"link set elbac master {_FAR}"]
        lines += [f"link set {link} up" for link in (_NEAR, _FAR, "cable", "elbac")]
        for number, host in enumerate(hosts):
            _ip(host, [f"link add name eth0 type veth peer name port{number} netns {switches.pid}"])
            _ip(host, [f"address add {self.addresses[number]}/24 dev eth0", "link set lo up", "link set eth0 up"])
            lines += [f"link set port{number} master {_NEAR}", f"link set port{number} up"]
        _ip(switches, lines)

    def command(self, host: int, command: Sequence[str]) -> list[str]:
        """Return the command that runs another on a host."""
        return [
            # The shell looks whether the owner has ended before the kernel was told to kill what it started.
            *("setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"', str(os.getpid())),
            *("nsenter", f"--net=/proc/{self._holders[host].pid}/ns/net", "--", *command),
        ]

    def start(self, host: int, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a process on a host; `options` are those of `subprocess.Popen`.

        It is killed when the network is left, or when the thread ends that called this.
        """
        process = subprocess.Popen(self.command(host, command), **options)
        self._started = [one for one in self._started if one.poll() is None]
        self._started.append(process)
        return process

    def run(self, host: int, command: Sequence[str], env: Mapping[str, str] | None = None) -> str:
        """Run a command on a host to its end; return what it printed. Raises `ChorusError` when it fails."""
        done = subprocess.run(self.command(host, command), capture_output=True, text=True, env=env)
        if done.returncode != 0:
            raise ChorusError(f"{' '.join(command[:3])} failed on {self.addresses[host]}: {done.stderr.strip()}")
        return done.stdout

    def cut(self, far: Collection[int]) -> None:
        """Cut these hosts off from the others, together."""
        for number in range(len(self.addresses)):
            _ip(self._holders[-1], [f"link set port{number} master {_FAR if number in far else _NEAR}"])
        _ip(self._holders[-1], ["link set cable down"])

    def heal(self) -> None:
        """Mend the cut."""
        _ip(self._holders[-1], ["link set cable up"])

    def close(self) -> None:
        """Kill what runs on the hosts, and take the network away."""
        for process in self._started:
            process.kill()
        for process in self._started:
            process.wait()
        self._started.clear()
        for holder in self._holders:
            assert holder.stdin is not None
            holder.stdin.close()
            holder.wait()
        self._holders.clear()

    def __enter__(self) -> Hosts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _hold() -> subprocess.Popen[bytes]:
    """Hold a network namespace open for as long as this process lives."""
    # In a session of its own, Ctrl-C does not take the network away from those who are still tidying up.
    holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, start_new_session=True)
    own = os.readlink("/proc/self/ns/net")
    while os.readlink(f"/proc/{holder.pid}/ns/net") == own:
        if holder.poll() is not None:
            raise ChorusError("a network namespace could not be made")
        time.sleep(0.001)
    return holder


def _ip(where: subprocess.Popen[bytes], lines: Sequence[str]) -> None:
    command = ["nsenter", f"--net=/proc/{where.pid}/ns/net", "ip", "-batch", "-"]
    done = subprocess.run(command, input="\n".join(lines).encode(), capture_output=True)
    if done.returncode != 0:
        raise ChorusError(f"the network could not be changed: {done.stderr.decode(errors='replace').strip()}")
