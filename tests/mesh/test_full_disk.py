"""A node whose disk is really full: it refuses, says so, loses nothing, and goes on when there is room again."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import chorus
from chorus.errors import ChorusError
from chorus.mesh.config import load
from chorus.mesh.control import request
from chorus.mesh.transcript import audit_log

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}


def mesh(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chorus", "mesh", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)


def test_a_full_disk_refuses_loses_nothing_and_says_so(small_disk: Path, fill: Callable[[Path], None]) -> None:
    config = mesh("init", small_disk / "m", "--nodes", 1).stdout.strip()
    settings = load(Path(config))
    node = subprocess.Popen(
        [sys.executable, "-m", "chorus", "mesh", "node", "-c", config], stdout=subprocess.PIPE, env=ENVIRONMENT
    )
    try:
        assert node.stdout is not None
        node.stdout.readline()
        assert mesh("ask", PUZZLE, "-c", config).returncode == 0
        fill(small_disk / "everything")
        # What was under way when the disk filled up may still be taken; soon nothing is.
        refusal = ""
        for _ in range(50):
            try:
                list(request(settings.control_path, 1.0, op="ask", question=PUZZLE))
            except ChorusError as error:
                refusal = str(error)
            if "the journal cannot be written" in refusal:
                break
        assert "no new entries until it can" in refusal
        told = next(iter(request(settings.control_path, op="status")))
        assert "full" in told["disk"]
        kept = mesh("artifact", "put", Path(__file__), "-c", config)
        assert (kept.returncode, kept.stdout) == (1, "")
        assert "No space left on device" in kept.stderr
        (small_disk / "everything").unlink()
        for _ in range(50):
            result = mesh("ask", PUZZLE, "-c", config)
            if result.returncode == 0:
                break
        assert result.returncode == 0, result.stderr
        told = next(iter(request(settings.control_path, op="status")))
        assert (told["disk"], told["log"], told["tentative"]) == ("fine", "fine", 0)
    finally:
        node.terminate()
        node.wait(60)
    report = audit_log(settings, None, every_signature=True)
    assert report.ok, report.findings
