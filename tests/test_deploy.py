"""What deploy/ holds: manifests and units against their own schemas, and the walkthrough of docs/mesh.md for real."""

import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

import chorus
from chorus.cli import main
from chorus.errors import InputError
from chorus.mesh.config import load
from chorus.mesh.tls import Credentials

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
SOLVED = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"


def documents() -> Iterator[Any]:
    yaml = pytest.importorskip("yaml")
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_manifests_are_what_kubernetes_takes(version: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    kinds = []
    for document in documents():
        kubernetes_validate.validate(document, version, strict=True)
        kinds.append(document["kind"])
        if document["kind"] == "StatefulSet":
            pod = document["spec"]["template"]["spec"]
            for container in [*pod["containers"], *pod.get("initContainers", [])]:
                assert container["image"] == f"chorus:{VERSION}"
                assert container["securityContext"]["allowPrivilegeEscalation"] is False
                assert {mount["name"] for mount in container["volumeMounts"]} <= {
                    *(volume["name"] for volume in pod["volumes"]),
                    *(claim["metadata"]["name"] for claim in document["spec"]["volumeClaimTemplates"]),
                }
            document["spec"]["replica"] = 1  # a key that is not there
            with pytest.raises(kubernetes_validate.ValidationError):
                kubernetes_validate.validate(document, version, strict=True)
    assert sorted(kinds) == ["PodDisruptionBudget"] * 2 + ["Service"] * 2 + ["StatefulSet"] * 2


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    def verified(text: str) -> str:
        path = tmp_path / "chorus@ana.service"
        path.write_text(text.replace("/opt/chorus/bin/chorus", sys.executable))
        run = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True)
        return "\n".join(line for line in run.stderr.splitlines() if path.name in line)

    text = (DEPLOY / "chorus@.service").read_text()
    assert verified(text) == ""
    assert "ProtectSistem" in verified(text.replace("ProtectSystem", "ProtectSistem"))


def test_the_container_is_of_locked_versions() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    torch = re.search(r"torch==[\d.]+", text)
    assert torch is not None
    assert torch.group() in (ROOT / "requirements.lock").read_text().splitlines()
    assert f"chorus:{VERSION}" in text
    assert set(re.findall(r"^FROM (\S+)", text, re.M)) == {"python:3.11.7-slim-bookworm"}
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M):
        assert all((ROOT / name).exists() for name in source.split())
        allowed = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
        assert all(f"!{name}" in allowed for name in source.split())


def certify(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([DEPLOY / "certificates.sh", *arguments], cwd=directory, capture_output=True, text=True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_certificates_are_issued_once_for_an_authority_and_any_number_of_machines(tmp_path: Path) -> None:
    from cryptography.x509 import DNSName, IPAddress, SubjectAlternativeName, load_pem_x509_certificate

    assert certify(tmp_path, "ana").returncode == 2
    assert certify(tmp_path, "ana", "10.0.0.1", "fd00::1", "ana.example").returncode == 0
    authority = (tmp_path / "ca.pem").read_bytes()
    assert certify(tmp_path, "ben", "10.0.0.2").returncode == 0
    assert (tmp_path / "ca.pem").read_bytes() == authority
    for name in ("ana", "ben"):
        _, certificate, _ = Credentials(*(tmp_path / n for n in ("ca.pem", f"{name}.pem", f"{name}-tls.key"))).read()
        load_pem_x509_certificate(certificate).verify_directly_issued_by(load_pem_x509_certificate(authority))
    names = load_pem_x509_certificate((tmp_path / "ana.pem").read_bytes()).extensions
    found = names.get_extension_for_class(SubjectAlternativeName).value
    assert [str(ip) for ip in found.get_values_for_type(IPAddress)] == ["10.0.0.1", "fd00::1"]
    assert found.get_values_for_type(DNSName) == ["ana.example"]
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("ca.key", "ana-tls.key")} == {0o600}


class Machines:
    """Four machines, as loopback addresses of one network: each with an etcd and a node, which can be lost."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.network = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}."
        self.numbers = {"ana": 1, "ben": 2, "cem": 3, "dia": 4}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in self.numbers:
            # 127.0.0.1 as well: it is what connections between loopback addresses come from
            assert certify(directory, name, self.address(name), "127.0.0.1").returncode == 0

    def address(self, name: str) -> str:
        return self.network + str(self.numbers[name])

    def start_etcd(self, name: str) -> None:
        text = (DEPLOY / "etcd.env").read_text()
        for old, new in {
            "MACHINE": name,
            "ADDRESS": self.address(name),
            "10.0.0.": self.network,
            "/etc/etcd": str(self.directory),
            "/var/lib/etcd": str(self.directory / f"etcd-{name}"),
        }.items():
            text = text.replace(old, new)
        settings = dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))
        with open(self.directory / f"etcd-{name}.out", "ab") as out:
            command = ["etcd", "--log-level=error"]
            self.processes[f"etcd {name}"] = subprocess.Popen(
                command, env=os.environ | settings, stdout=out, stderr=out
            )

    def start_node(self, name: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}
        command = [sys.executable, "-m", "chorus", "mesh", "node", "--config", self.directory / f"{name}.toml"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        self.processes[f"node {name}"] = process
        assert process.stdout is not None
        assert b"is running" in process.stdout.readline()

    def lose(self, name: str) -> None:
        for what in ("node", "etcd"):
            process = self.processes.pop(f"{what} {name}")
            process.send_signal(signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    for needed in ("etcd", "openssl"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed")
    running = Machines(tmp_path)
    yield running
    running.stop()


def cli(*arguments: object) -> tuple[int, str]:
    """Run `chorus mesh …` in this process."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(io.StringIO()):
        patch.setattr(sys, "argv", ["chorus", "mesh", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), out.getvalue()
    return 0, out.getvalue()


def done(*arguments: object) -> str:
    """Run a command, again while its node is not ready for it."""
    for _ in range(600):
        code, out = cli(*arguments)
        if code == 0:
            return out
        time.sleep(0.1)
    raise AssertionError(arguments)


def test_the_walkthrough_starts_adds_loses_recovers_and_lets_go(machines: Machines) -> None:
    here = machines.directory
    config = {name: here / f"{name}.toml" for name in machines.numbers}
    founders = []
    for name in ("ana", "ben", "cem"):
        machines.start_etcd(name)
        founders += [
            "--founder",
            f"{name}={done('keygen', here / f'{name}.key').strip()}@{machines.address(name)}:7447",
        ]
    log = "etcd:" + ",".join(f"{machines.address(name)}:2379" for name in ("ana", "ben", "cem"))
    done("init", here, "--tls", "--log", log, *founders)
    for name in ("ana", "ben", "cem"):
        machines.start_node(name)
    assert done("ask", PUZZLE, "--config", config["ana"]).strip() == SOLVED

    done("join", "dia", "--like", config["ana"], "--at", f"{machines.address('dia')}:7447")
    machines.start_node("dia")
    motion = done("members", "--config", config["ana"], "--add", load(config["dia"]).key().public.hex()).strip()
    done("members", "--config", config["ben"], "--approve", motion)
    assert "epoch 1, majority 3" in done("members", "--config", config["cem"])
    assert done("ask", PUZZLE, "--config", config["dia"]).strip() == SOLVED

    machines.lose("cem")
    assert done("ask", PUZZLE, "--config", config["ben"]).strip() == SOLVED
    machines.start_etcd("cem")
    machines.start_node("cem")
    assert done("ask", PUZZLE, "--config", config["cem"]).strip() == SOLVED

    motion = done("members", "--config", config["ana"], "--remove", "cem").strip()
    for name in ("ben", "dia"):
        done("members", "--config", config[name], "--approve", motion)
    assert "epoch 2, majority 2" in done("members", "--config", config["ana"])
    assert cli("ask", PUZZLE, "--config", config["cem"])[0] == 1  # no member any more
    for name in ("ana", "dia"):
        assert cli("log", "verify", "--config", config[name], "--every-signature")[0] == 0


def test_who_cannot_join_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    from chorus.mesh.founding import found_here, member_lines, places_from
    from chorus.mesh.joining import join

    names = ["ana", "ben"]
    local = load(found_here(tmp_path / "local", names, member=member_lines("chat"))[0])
    zenoh = found_here(tmp_path / "far", names, member='kind = "sudoku"', places=places_from("zenoh:h:7447", names))[0]
    zenoh.write_text(zenoh.read_text().replace('peers = ["h:7448"]', 'peers = [\n  "h:7448",\n]'))
    for config, name, place, words in (
        (local, "ben", None, "is the name of a member"),
        (local, "../dia", None, "is no name for a node"),
        (local, "dia", "h:7449", "--at is for a Zenoh bus"),
        (load(zenoh), "dia", None, "--at HOST:PORT"),
        (load(zenoh), "dia", "h", "--at HOST:PORT"),
        (load(zenoh), "dia", "h:7449", r"change node\.name, .*mesh\.peers by hand"),
    ):
        with pytest.raises(InputError, match=words):
            join(config, name, place)
    assert not list(tmp_path.rglob("dia*"))
    path, key = join(local, "dia", None)
    made = load(path)
    assert made.key().public == key
    assert (made.mesh, made.member, made.node.journal) == (local.mesh, local.member, "dia.journal")
    with pytest.raises(InputError, match="exists already"):
        join(local, "dia", None)
