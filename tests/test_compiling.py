"""Compiled loops: kept on disk where that can be written, compiled in memory where nothing can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

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
