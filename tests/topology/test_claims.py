"""docs/claims.md is what its command writes, and its commands run in a shell as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chorus.errors import ChorusError
from chorus.topology import claims

PAGE = Path(__file__).parents[2] / "docs" / "claims.md"


def test_the_committed_page_is_what_the_command_writes():
    assert PAGE.read_text(encoding="utf-8") == claims.page(), "run: chorus topology --claims docs/claims.md"


def test_a_command_runs_in_a_shell_as_printed():
    shown = re.findall(r"^\$ python (-c \".*\")\n(.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(shown) == sum(len(c.shown) for c in claims.CLAIMS)
    assert not any(re.search(r"[`$!\\]", re.sub(r"^-c ", "", command)) for command, _ in shown)
    here = os.environ | {"PYTHONPATH": str(PAGE.parents[1] / "src")}
    for command, result in (shown[0], shown[-1]):
        line = f"{sys.executable} {command}"
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True, env=here)
        assert done.stdout.strip() == result


def test_a_verdict_that_no_longer_holds_is_refused(monkeypatch):
    broken = claims.Claim("one and one are three", "True", "", (("print(1 + 1)", "3"),))
    monkeypatch.setattr(claims, "CLAIMS", (broken,))
    with pytest.raises(ChorusError, match="printed '2', and the verdict rests on '3'"):
        claims.page()
