"""Training runs on disk: a real one from scratch, going on later, stopping, failing and being killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_minds import CONFIGS

import chorus
from chorus.errors import ChorusError, InputError
from chorus.thought import Thinker, evaluate, load_checkpoint
from chorus.thought.checkpoint import CONFIG, TRAINING, WEIGHTS, read_tensors
from chorus.thought.runs import RunSettings, TrainingRun
from chorus.thought.tasks import make_task

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}
TINY = {
    "task": {"name": "sudoku4"},
    "model": {"channels": 8, "key_channels": 4, "value_channels": 4, "hidden": 8},
    "training": {"updates": 6, "problems": 4, "segment": 2, "segments": 2},
    "bank": {"problems": 300, "held_out": 20},
}


def new_run(out, resume=False, **training):
    settings = RunSettings(**{**TINY, "training": {**TINY["training"], **training}})
    return TrainingRun(settings, out, resume=resume, device="cpu", precision="float32")


def finish(run):
    return [report.loss for report in run.updates()]


def test_a_mind_trained_from_scratch_solves_unseen_sudokus(trained_folder):
    """The issue of it all: 4×4 puzzles that are no symmetric copies of any it was trained on."""
    checkpoint = load_checkpoint(trained_folder)
    assert checkpoint.record["held_out"]["problems"] == 300
    assert checkpoint.record["held_out"]["exact"] >= 0.95
    task = make_task("sudoku4")
    questions, answers = task.generate(200, seed=99)
    texts = [task.decode_question(question) for question in questions]
    score = evaluate(Thinker(checkpoint, torch.float32), texts, [task.decode(answer) for answer in answers])
    assert score.accuracy >= 0.95
    assert checkpoint.record["settings"]["training"]["updates"] == 120


def test_what_is_held_out_is_not_trained_on_in_any_disguise(tmp_path):
    run = new_run(tmp_path / "run")
    task = run.task
    trained = {row.tobytes() for row in task.canonical(run.trainer.source.questions)}
    held_out = task.canonical(torch.tensor([task.encode(q).tolist() for q, _ in run.test]).numpy().astype("uint8"))
    assert len(held_out) == 20
    assert not trained & {row.tobytes() for row in held_out}
    assert run.problems == len(run.trainer.source.questions) < 280


def test_excluded_problems_are_not_trained_on(tmp_path):
    task = make_task("sudoku4")
    first = new_run(tmp_path / "a").trainer.source.questions[:40]
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(task.decode_question(question) for question in first) + "\n")
    settings = RunSettings(**{**TINY, "bank": {**TINY["bank"], "exclude": [str(listed)]}})
    run = TrainingRun(settings, tmp_path / "b", device="cpu")
    kept = {row.tobytes() for row in task.canonical(run.trainer.source.questions)}
    assert not kept & {row.tobytes() for row in task.canonical(first)}


def test_resume_goes_on_with_the_same_weights_moments_and_settings(tmp_path):
    out = tmp_path / "run"
    first = new_run(out)
    for update, _ in enumerate(first.updates(), start=1):
        if update == 3:
            break
    stopped = first.trainer.state()
    again = TrainingRun(RunSettings(), out, resume=True, device="cpu", precision="float32")
    assert again.trainer.update == 3
    for name, value in again.trainer.state().items():
        if name != "generator":  # a new batch was drawn
            assert torch.equal(value, stopped[name]), name
    assert again.settings == first.settings
    finish(again)
    assert again.trainer.update == 6
    longer = TrainingRun(RunSettings(training={"updates": 8}), out, resume=True, device="cpu", precision="float32")
    assert len(finish(longer)) == 2
    assert load_checkpoint(out).record["settings"]["training"] == {**TINY["training"], "updates": 8}


def test_what_cannot_be_resumed_or_begun(tmp_path):
    with pytest.raises(InputError, match=r"nothing to resume there \(no training\.safetensors\)"):
        new_run(tmp_path / "run", resume=True)
    finish(new_run(tmp_path / "run"))
    with pytest.raises(InputError, match="holds a run already; add --resume"):
        new_run(tmp_path / "run")
    with pytest.raises(InputError, match="does not belong to this model"):
        TrainingRun(RunSettings(model={"channels": 16}), tmp_path / "run", resume=True, device="cpu")
    state = tmp_path / "run" / TRAINING
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"training\.safetensors: damaged"):
        TrainingRun(RunSettings(), tmp_path / "run", resume=True, device="cpu")


def test_start_from_another_model(tmp_path):
    finish(new_run(tmp_path / "first"))
    settings = RunSettings(**TINY)
    second = TrainingRun(settings, tmp_path / "second", start=str(tmp_path / "first"), device="cpu")
    kept = load_checkpoint(tmp_path / "first").mind.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in second.trainer.mind.state_dict().items())
    other = RunSettings(**{**TINY, "model": {}})
    with pytest.raises(InputError, match="another architecture"):
        TrainingRun(other, tmp_path / "third", start=str(tmp_path / "first"), device="cpu")


def test_a_run_that_diverges_keeps_what_it_had(tmp_path):
    out = tmp_path / "run"
    finish(new_run(out))
    before = {name: (out / name).read_bytes() for name in (CONFIG, WEIGHTS, TRAINING)}
    run = TrainingRun(RunSettings(training={"updates": 20}), out, resume=True, device="cpu", precision="float32")
    with torch.no_grad():
        run.trainer.mind.decoder.linear.weight.fill_(float("nan"))
    with pytest.raises(ChorusError, match="the loss is nan"):
        finish(run)
    assert {name: (out / name).read_bytes() for name in before} == before


def test_stop_ends_after_the_update_at_hand_and_saves(tmp_path):
    run = new_run(tmp_path / "run", updates=1000)
    for number, _ in enumerate(run.updates(), start=1):
        if number == 2:
            run.stop()
    assert run.trainer.update == 2
    assert int(read_tensors(tmp_path / "run" / TRAINING)["update"]) == 2


def start_training(out, *more):
    """Train without end in a process of its own, with a few problems, saving at every update."""
    settings = out.with_suffix(".toml")
    plain = (CONFIGS / "sudoku4.toml").read_text()
    settings.write_text(plain.replace("updates = 120", "updates = 1000000").replace("= 3000", "= 300"))
    code = (
        "from chorus.thought import runs; from chorus.cli import main; updates = runs.TrainingRun.updates;"
        "runs.TrainingRun.updates = lambda run: updates(run, save_every=0.0); main()"
    )
    command = [sys.executable, "-c", code, "train", "--config", str(settings), "--out", str(out), *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**ENVIRONMENT, "PYTHONUNBUFFERED": "1"})


def wait_for(path, process, seconds=200):
    until = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until, "no checkpoint in time"
        time.sleep(0.05)


def test_kill_9_leaves_a_whole_checkpoint_and_ctrl_c_saves_one(tmp_path):
    out = tmp_path / "run"
    with start_training(out) as process:
        wait_for(out / TRAINING, process)
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    reached = int(read_tensors(out / TRAINING)["update"])
    assert reached >= 1
    assert load_checkpoint(out).mind.config.channels == 16
    assert json.loads((out / CONFIG).read_text())["training"]["updates"] >= reached

    with start_training(out, "--resume") as process:
        line = process.stderr.readline()
        assert f"update {reached} of 1000000" in line
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in said
    saved = int(read_tensors(out / TRAINING)["update"])
    assert saved >= reached
    assert f"stopped at update {saved} of 1000000; saved in {out}; go on with --resume" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[task", "not TOML"),
        ("[chess]\nx = 1\n", r"unknown section \[chess\]"),
        ("task = 4\n", r"\[task\] is a section"),
        ("[task]\nnam = 'sudoku'\n", "unknown setting 'nam'"),
        ("[task]\nname = 4\n", "name cannot be 4"),
        ("[task]\nsize = true\n", "size cannot be True"),
        ("[bank]\nproblems = 'many'\n", "problems cannot be 'many'"),
        ("[bank]\nheld_out = -1\n", "held_out must be 0 or more"),
    ],
)
def test_a_settings_file_that_cannot_be(tmp_path, text, message):
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        RunSettings.read(file)
    assert str(caught.value).startswith(str(file))


def test_settings_that_name_no_task(tmp_path):
    with pytest.raises(InputError, match="say what to train on"):
        TrainingRun(RunSettings(), tmp_path / "run")
    with pytest.raises(InputError, match="shape is"):
        RunSettings(task={"data": "x.csv", "shape": [2]}).make_task()
    with pytest.raises(InputError, match="precision must be"):
        TrainingRun(RunSettings(**TINY), tmp_path / "run", precision="float8", device="cpu")
    assert not (tmp_path / "run").exists()
