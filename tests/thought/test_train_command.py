"""`chorus train`, `chorus eval` and `chorus info` as a person calls them, and what they say to bad input."""

import json

import pytest
from small_minds import QUESTIONS, TINY_RUN
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from chorus.thought import load_checkpoint
from chorus.thought.tasks import make_task

PAIRS = "question,answer\n" + "\n".join(f"{a}.{b},{a}{max(a, b)}{b}" for a in "123" for b in "123") + "\n"
OWN = ["--data", "pairs.csv", "--updates", "1"]


@pytest.fixture
def settings(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(TINY_RUN)
    return file


def smoothed(events):
    """The loss as the progress line shows it: a running average."""
    value = events[0].value
    for event in events[1:]:
        value = 0.95 * value + 0.05 * event.value
    return value


def test_train_then_ask_then_measure_then_resume(command, tmp_path, settings):
    data, out = tmp_path / "pairs.csv", tmp_path / "mind"
    data.write_text(PAIRS)
    code, printed, err = command("train", "--data", data, "--config", settings, "--out", out, "--device", "cpu")
    assert (code, printed) == (0, "")
    assert "pairs: 4 problems to train on, 5 held out" in err
    assert "update 4/4  loss" in err
    assert "held out: " in err
    assert f"chorus think --model {out} FILE" in err
    curves = EventAccumulator(str(out)).Reload()  # TensorBoard's own reader
    assert [event.step for event in curves.Scalars("loss")] == [1, 2, 3, 4]
    assert f"update 4/4  loss {smoothed(curves.Scalars('loss')):.3f}" in err

    code, printed, _ = command("think", "--model", out, "--json", stdin=b"1.3\n1x3\n2.2\n")
    values = [json.loads(line) for line in printed.splitlines()]
    assert code == 2
    assert [value["question"] for value in values] == ["1.3", "1x3", "2.2"]
    assert "valid" not in values[0]  # nobody knows this task's rules
    assert "character 'x' at position 2" in values[1]["error"]

    code, printed, _ = command("eval", out, data, "--json", "-k", 2, "--steps", 4)
    assert (code, json.loads(printed)["problems"]) == (0, 9)
    code, printed, _ = command("eval", out, data, "--sweep", "steps=1,4", "--plot", tmp_path / "sweep.png")
    assert code == 0
    assert "steps=1" in printed
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")

    code, printed, err = command("train", "--out", out, "--resume", "--updates", 6, "--device", "cpu")
    assert code == 0
    assert "update 4 of 6" in err
    assert load_checkpoint(out).record["updates"] == 6
    code, printed, _ = command("info", out)
    assert code == 0
    assert "task: pairs" in printed
    assert "updates: 6" in printed


def test_relations_and_interchangeable_symbols_of_a_persons_own_task(command, tmp_path, settings):
    data, relations = tmp_path / "squares.csv", tmp_path / "relations.txt"
    data.write_text("question,answer\n12..,1221\n.1.2,2112\n2..2,2112\n")
    relations.write_text("# a square\nrows(2, 2)\n\ncolumns(2, 2)\n")
    arguments = ["--data", data, "--relations", relations, "--config", settings, "--device", "cpu"]
    assert command("train", *arguments, "--interchangeable", "--out", tmp_path / "a")[0] == 0
    mind = load_checkpoint(tmp_path / "a")
    assert mind.task.interchangeable
    assert mind.mind.config.symbols == 2
    assert mind.task.relations == ("rows(2, 2)", "columns(2, 2)")
    assert mind.mind.config.kept == (-1, 0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "chess"], "no task is called 'chess'"),
        ([], "say what to train on"),
        (["--task", "sudoku4", "--data", "x.csv"], "either --task or --data"),
        (["--data", "missing.csv"], "missing.csv: cannot be read: No such file"),
        (["--task", "maze", "--size", "10"], "the size of a maze is odd"),
        (["--task", "sudoku4", "--updates", "0"], "updates must be a whole number of 1 or more; got 0"),
        (["--task", "sudoku4", "--updates", "x"], "Invalid value for '--updates'"),
        (["--task", "sudoku4", "--resume"], "nothing to resume there"),
        (["--task", "sudoku4", "--start", "nowhere"], "nowhere: no such model"),
        (["--task", "sudoku4", "--exclude", "missing.txt"], "missing.txt: cannot be read"),
        (["--task", "sudoku4", "--device", "abacus"], "device must be"),
        (["--task", "sudoku4", "--precision", "float8"], "precision must be"),
        (["--task", "sudoku4", "--config", "missing.toml"], "missing.toml: cannot be read"),
        (["--config", "bad.toml"], "bad.toml: not TOML"),
        (["--task", "sudoku4", "--config", "alien.toml"], "unknown setting 'updats'"),
        (["--data", "no_answer.csv"], "no_answer.csv, line 2: no answer"),
        (["--data", "ragged.csv"], "ragged.csv, line 3: 1 columns where the header has 2"),
        (["--data", "pairs.csv", "--relations", "none.txt"], "none.txt: cannot be read"),
        (["--data", "pairs.csv", "--relations", "large.txt"], "large.txt, line 1"),
        (["--data", "uneven.csv", "--interchangeable"], "interchangeable characters need one length"),
        ([*OWN, "--relations", "lonely.txt"], "lonely.txt, line 2: cell 2 may read nobody"),
        (
            ["--task", "sudoku4", "--updates", "1", "--relations", "large.txt"],
            "relations is for a task with its own data",
        ),
        (
            ["--task", "sudoku4", "--updates", "1", "--interchangeable"],
            "interchangeable is for a task with its own data",
        ),
        ([*OWN, "--size", "11"], "size is for a task of the package"),
        ([*OWN, "--config", "named.toml"], "name is for a task of the package"),
        ([*OWN, "--config", "mirrored.toml"], "shape is [height, width]; got [-1, -3]"),
        ([*OWN, "--config", "number.toml"], "only must be a text"),
        ([*OWN, "--config", "files.toml"], "[bank]: exclude cannot be [3]"),
        (["--task", "sudoku", "--updates", "1", "--config", "shares.toml"], "[bank]: shares cannot be ['a'"),
        ([*OWN, "--config", "huge.toml"], "this needs more memory than there is"),
    ],
)
def test_bad_settings(command, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text("[task\n")
    (tmp_path / "alien.toml").write_text("[training]\nupdats = 4\n[bank]\nproblems = 100\n")
    (tmp_path / "pairs.csv").write_text(PAIRS)
    (tmp_path / "no_answer.csv").write_text("question,answer\n1.3,\n")
    (tmp_path / "ragged.csv").write_text("question,answer\n1.3,133\n1.3\n")
    (tmp_path / "uneven.csv").write_text("question,answer\n1.,12\n1..,123\n")
    (tmp_path / "large.txt").write_text("rows(5, 5)\n")
    (tmp_path / "lonely.txt").write_text("full()\ngraph([[0, 1]]).symmetric()\n")
    for name, text in [
        ("named", '[task]\nname = "sudoku4"\n'),
        ("mirrored", "[task]\nshape = [-1, -3]\n"),
        ("number", "[training]\nonly = 3\n"),
        ("files", "[bank]\nexclude = [3]\n"),
        ("shares", '[bank]\nshares = ["a", "b", "c", "d", "e"]\n'),
        ("huge", "[model]\nchannels = 100_000_000_000\n"),
    ]:
        (tmp_path / f"{name}.toml").write_text(text)
    code, out, err = command("train", *arguments, "--out", "mind")
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "mind").exists()


def test_pairs_that_repeat_themselves_are_not_all_held_out(command, tmp_path, settings):
    settings.write_text(TINY_RUN.replace("held_out = 5", ""))
    data = tmp_path / "repeated.csv"
    data.write_text("question,answer\n" + 10 * "1.3,113\n2.3,223\n2.1,221\n1.2,112\n")
    code, _, err = command("train", "--data", data, "--config", settings, "--out", tmp_path / "mind", "--device", "cpu")
    assert (code, "repeated: 40 problems to train on, 0 held out" in err) == (0, True), err
    code, _, err = command("train", "--out", tmp_path / "mind", "--resume", "--device", "cpu")
    assert (code, "all 4 updates are done" in err) == (0, True), err


def test_a_folder_that_cannot_be_written(command, tmp_path, settings):
    (tmp_path / "file").write_text("")
    code, _, err = command(
        "train", "--task", "sudoku4", "--config", settings, "--out", tmp_path / "file" / "mind", "--device", "cpu"
    )
    assert code == 1
    assert "cannot be written" in err


def test_eval_by_rating_and_bad_input(command, tmp_path, trained_folder):
    task = make_task("sudoku4")
    data = tmp_path / "rated.csv"
    rows = [f"{q},{task.solve(q)},{'easy' if i % 2 else 'hard'}" for i, q in enumerate(QUESTIONS)]
    data.write_text("question,answer,rating\n" + "\n".join(rows) + "\n")
    code, printed, _ = command("eval", trained_folder, data, "--json")
    values = [json.loads(line) for line in printed.splitlines()]
    assert code == 0
    assert [(value["name"], value["problems"]) for value in values] == [
        ("all", 4),
        ("rating easy", 2),
        ("rating hard", 2),
    ]
    assert values[0]["exact"] == 1.0
    assert values[0]["interval"][0] == pytest.approx(4 / (4 + 1.959964**2), abs=1e-6)
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(QUESTIONS) + "\n")  # a Sudoku's answer can be found by search
    code, printed, _ = command("eval", trained_folder, listed, "--no-competition")
    assert code == 0
    assert "100.00%" in printed
    for arguments, message in [
        ((data, "--sweep", "width=1"), "over thoughts or steps"),
        ((data, "--sweep", "thoughts=a"), "write thoughts=1,4,16"),
        ((data, "--plot", "x.png"), "--plot draws a --sweep"),
        ((data, "--thoughts", 0), "thoughts must be 1 or more"),
        ((tmp_path / "missing.csv",), "cannot be read"),
    ]:
        code, _, err = command("eval", trained_folder, *arguments)
        assert (code, message in err) == (2, True), err
    listed.write_text("." * 16 + "\n")
    code, _, err = command("eval", trained_folder, listed)
    assert (code, "line 1: this puzzle has several solutions" in err) == (2, True)


def test_info(command, trained_folder, tmp_path):
    code, printed, _ = command("info", trained_folder, "--json")
    value = json.loads(printed)
    assert code == 0
    assert value["task"] == "sudoku4"
    assert value["parameters"] == sum(p.numel() for p in load_checkpoint(trained_folder).mind.parameters())
    assert value["training"]["held_out"]["exact"] >= 0.95
    code, _, err = command("info", tmp_path)
    assert (code, "no config.json there" in err) == (2, True)
