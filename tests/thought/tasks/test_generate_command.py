"""`chorus generate` as a person calls it."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import chorus
from chorus.thought.tasks import load_pairs, make_task, sudoku
from chorus.thought.tasks.sudoku_solver import count_solutions

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}


def generate(*arguments):
    command = [sys.executable, "-m", "chorus", "generate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=200)


def rows(done):
    assert done.returncode == 0, done.stderr
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    assert all(list(row) == ["question", "answer"] for row in found)
    return [(row["question"], row["answer"]) for row in found]


def test_sudokus_on_standard_output():
    task = sudoku()
    pairs = rows(generate("sudoku", "-n", "8", "--givens", "26..30", "--seed", "4"))
    assert len(pairs) == 8
    for question, answer in pairs:
        assert 26 <= 81 - question.count(".") <= 30
        assert task.check(question, answer)
        assert count_solutions(task.encode(question)) == 1


@pytest.mark.parametrize("options", [("sudoku4", "--minimal"), ("sudoku6", "--givens", "10"), ("maze", "--size", "7")])
def test_other_tasks(options):
    task = make_task(options[0], size=7 if options[0] == "maze" else None)
    pairs = rows(generate(*options, "-n", "4"))
    assert len(pairs) == 4
    assert all(task.check(question, answer) for question, answer in pairs)


def test_file_that_can_be_read_back(tmp_path):
    path = tmp_path / "puzzles.csv"
    done = generate("sudoku4", "-n", "1500", "--out", str(path))
    assert (done.returncode, done.stdout) == (0, "")
    assert load_pairs(sudoku("sudoku4"), path).questions.shape == (1500, 16)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["chess"], "no task is called 'chess'"),
        (["sudoku", "--givens", "16"], "within 17..81"),
        (["sudoku", "--givens", "many"], "24..36"),
        (["sudoku", "--givens", "30..20"], "30..20"),
        (["sudoku", "--givens", "30", "--minimal"], "either givens or minimal"),
        (["sudoku", "--size", "9"], "only a maze has a size"),
        (["sudoku", "-n", "0"], "greater than or equal to"),
        (["maze", "--size", "10"], "odd"),
        (["maze", "--givens", "30"], "for Sudokus"),
        (["sudoku4", "--out", "no/such/folder/x.csv"], "cannot be written"),
    ],
)
def test_bad_values_are_usage_errors(options, message):
    done = generate(*options)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_full_disk():
    command = [sys.executable, "-m", "chorus", "generate", "sudoku4", "-n", "10"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, timeout=200)
    assert done.returncode == 1
    assert "writing failed: No space left" in done.stderr
    assert "Traceback" not in done.stderr
