"""Who belongs to a mesh is changed from the command line, by a majority, and a newcomer then takes part."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import chorus

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}
COMMAND = [sys.executable, "-m", "chorus", "mesh"]


def cli(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert result.returncode == code, result.stdout + result.stderr
    return result


@pytest.fixture
def start() -> Iterator[Callable[[Path], None]]:
    """Return what starts a node, which is stopped in the end."""
    running = []

    def node(config: Path) -> None:
        process = subprocess.Popen([*COMMAND, "node", "-c", str(config)], stdout=subprocess.PIPE, env=ENVIRONMENT)
        running.append(process)
        assert process.stdout is not None
        assert b"is running" in process.stdout.readline()

    yield node
    for process in running:
        process.terminate()
    for process in running:
        process.wait(120)


def test_a_newcomer_is_voted_in_and_takes_part(start: Callable[[Path], None], tmp_path: Path) -> None:
    mesh = tmp_path / "m"
    cli("init", mesh, "--nodes", 2)
    key = cli("keygen", mesh / "dia.key").stdout.strip()
    text = (mesh / "ana.toml").read_text()
    (mesh / "dia.toml").write_text(text.replace('name = "ana"', 'name = "dia"').replace("ana.", "dia."))
    for name in ("ana", "ben", "dia"):
        start(mesh / f"{name}.toml")
    assert "is no member of epoch 0" in cli("ask", PUZZLE, "-c", mesh / "dia.toml", code=1).stderr
    motion = cli("members", "-c", mesh / "ana.toml", "--add", key).stdout.strip()
    deadline = time.monotonic() + 60
    while f"proposed {motion}, 1 approve" not in (listed := cli("members", "-c", mesh / "ben.toml").stdout):
        assert time.monotonic() < deadline, listed
    assert re.search(r"^epoch 0, majority 2$", listed, re.MULTILINE)
    assert "epoch 1 now" in cli("members", "-c", mesh / "ben.toml", "--approve", motion).stderr
    while "epoch 1" not in (listed := cli("members", "-c", mesh / "dia.toml").stdout):
        assert time.monotonic() < deadline, listed
    assert key in listed
    assert "committed at entry" in cli("ask", PUZZLE, "-c", mesh / "dia.toml").stderr
    assert "no proposal of this epoch" in cli("members", "-c", mesh / "ana.toml", "--approve", motion, code=2).stderr
    for who in ("ab" * 32, "nobody"):
        refused = cli("members", "-c", mesh / "ana.toml", "--remove", who, code=2).stderr
        assert f"neither a member's name nor its key: {who}" in refused
    # A newcomer has no name; the list shows the beginning of its key, which will do.
    assert "epoch 1 now" in cli("members", "-c", mesh / "ana.toml", "--remove", key[:8]).stderr
