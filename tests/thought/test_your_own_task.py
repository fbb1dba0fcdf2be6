"""docs/your-own-task.md, followed command by command: from data to answers."""

import json
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "your-own-task.md"


def commands():
    """The guide's commands, in order: lines that begin with `$ `, and those they are continued on."""
    text = re.sub(r" \\\n *", " ", GUIDE.read_text())
    return re.findall(r"^\$ (.+)$", text, re.MULTILINE)


@pytest.fixture
def walk(command, monkeypatch, tmp_path):
    """Run one line of the guide in a folder that holds the examples; gives stdout and stderr."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)

    def run(line):
        stdin = b""
        if line.startswith("echo "):
            said, line = line.split(" | ", 1)
            stdin = (said.removeprefix("echo ").strip() + "\n").encode()
        program, *arguments = shlex.split(line)
        if program == "python":
            monkeypatch.setattr(sys, "argv", arguments)
            runpy.run_path(arguments[0], run_name="__main__")
            return "", ""
        if program == "head":
            count, file = int(arguments[0].removeprefix("-")), arguments[1]
            return "".join(Path(file).read_text().splitlines(keepends=True)[:count]), ""
        assert program == "chorus", line
        code, out, err = command(*arguments, stdin=stdin)
        assert code == 0, err
        return out, err

    return run


def test_the_guide_leads_from_data_to_answers(walk, command, tmp_path):
    lines = commands()
    for verb in ("python examples/graph_colouring.py", "chorus train", "chorus eval", "chorus think"):
        assert any(verb in line for line in lines), verb
    for line in lines:
        walk(line)

    code, out, _ = command("eval", "colouring/mind", "colouring/test.csv", "--json")
    assert code == 0
    assert json.loads(out)["exact"] >= 0.95

    edges = runpy.run_path(str(ROOT / "examples" / "graph_colouring.py"))["EDGES"]
    rows = [line.split(",") for line in (tmp_path / "colouring" / "test.csv").read_text().splitlines()[1:]]
    _, out, _ = command("think", "--model", "colouring/mind", "colouring/test.csv")
    answers = out.splitlines()
    assert len(answers) == len(rows) == 200
    proper = sum(all(answer[a] != answer[b] for a, b in edges) for answer in answers)
    assert proper >= 190
    for answer, (question, _) in zip(answers, rows, strict=True):
        assert all(q in (".", a) for q, a in zip(question, answer, strict=True))


def test_puzzles_have_one_answer():
    script = runpy.run_path(str(ROOT / "examples" / "graph_colouring.py"))
    import random

    rng = random.Random(1)
    for _ in range(20):
        question, answer = script["puzzle"](rng)
        assert script["completions"](list(question), 3, rng) == [list(answer)]
        assert all(answer[a] != answer[b] for a, b in script["EDGES"])
