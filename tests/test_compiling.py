"""Compiled loops: kept on disk where that can be written and read, compiled in memory where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import chorus.compiling

LOOP = """
from compiling import njit

@njit
def total(count):
    found = 0
    for k in range(count):
        found += k
    return found

print(total(5))
"""


def loop(place: Path) -> str:
    """Run the loop in a process of its own, whose home and cache folder are no folders, and return what it says."""
    blocked = place / "a file, not a folder"
    blocked.touch()
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    environment |= {"HOME": str(blocked), "XDG_CACHE_HOME": str(blocked), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(place / "loop.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_code_is_kept_beside_the_source_and_in_memory_where_nothing_can_be_written(tmp_path: Path) -> None:
    shutil.copy(chorus.compiling.__file__, tmp_path / "compiling.py")
    (tmp_path / "loop.py").write_text(LOOP)
    assert loop(tmp_path) == "10\n"
    assert list((tmp_path / "__pycache__").glob("loop.total-*.nbc"))
    shutil.rmtree(tmp_path / "__pycache__")
    (tmp_path / "__pycache__").touch()  # a file in the folder's place stops root as well, whom permissions do not
    assert loop(tmp_path) == "10\n"


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [lambda x: b"", lambda x: x[: len(x) // 2], lambda x: x[:-900] + bytes(900)])
def test_damaged_code_is_compiled_again(ending: str, damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    shutil.copy(chorus.compiling.__file__, tmp_path / "compiling.py")
    (tmp_path / "loop.py").write_text(LOOP)
    assert loop(tmp_path) == "10\n"
    (kept,) = (tmp_path / "__pycache__").glob(f"loop.total-*.{ending}")
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    assert loop(tmp_path) == "10\n"
    assert len(kept.read_bytes()) == len(whole)  # mended, for the next process


def test_no_room_for_code_is_no_failure(tmp_path: Path) -> None:
    shutil.copy(chorus.compiling.__file__, tmp_path / "compiling.py")
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"  # as on a full disk
    (tmp_path / "loop.py").write_text(limit + LOOP)
    assert loop(tmp_path) == "10\n"
    assert not list((tmp_path / "__pycache__").glob("*.nbc"))
