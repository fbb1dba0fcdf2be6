"""Minds on disk: the round trip, damaged and mismatched files, and writes that happen whole or not at all."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_minds import random_mind, sudoku4_questions

import chorus
from chorus.errors import ChorusError, InputError
from chorus.thought import Checkpoint, ThinkConfig, load_checkpoint, shipped_models
from chorus.thought.checkpoint import CONFIG, WEIGHTS, read_tensors, write_atomically, write_tensors
from chorus.thought.tasks import make_task

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}


@pytest.fixture
def saved(tmp_path):
    Checkpoint(mind=random_mind(), task=make_task("sudoku4"), record={"updates": 7}).save(tmp_path / "mind")
    return tmp_path / "mind"


def test_round_trip(saved):
    loaded = load_checkpoint(saved)
    assert sorted(file.name for file in saved.iterdir()) == [CONFIG, WEIGHTS]
    assert loaded.task == make_task("sudoku4")
    assert loaded.record == {"updates": 7}
    mind, tokens = random_mind(), sudoku4_questions(3)
    assert loaded.mind.config == mind.config
    config = ThinkConfig(thoughts=2, steps=5)
    assert torch.equal(loaded.mind.think(tokens, config).energies, mind.think(tokens, config).energies)


def change(folder, **sections):
    config = json.loads((folder / CONFIG).read_text())
    for name, values in sections.items():
        config[name] = {**config[name], **values}
    (folder / CONFIG).write_text(json.dumps(config))


def test_missing_files(tmp_path, saved):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no config\.json there"):
        load_checkpoint(tmp_path / "empty")
    with pytest.raises(InputError, match=r"is a file; a model is a folder"):
        load_checkpoint(saved / CONFIG)
    with pytest.raises(InputError, match="no such model; give a folder, a shipped model"):
        load_checkpoint(tmp_path / "nowhere")
    (saved / WEIGHTS).unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: no such file"):
        load_checkpoint(saved)


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_truncated_weights(saved, length):
    whole = (saved / WEIGHTS).read_bytes()
    (saved / WEIGHTS).write_bytes(whole[:length])
    with pytest.raises(InputError, match=r"model\.safetensors: damaged"):
        load_checkpoint(saved)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"text"', "{}", '{"format": "other"}', "\xff"])
def test_settings_that_are_none(saved, text):
    (saved / CONFIG).write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"config\.json"):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    "sections",
    [
        {"model": {"channels": 24}},
        {"model": {"relations": ["full("]}},
        {"model": {"relations": 5}},
        {"model": {"channels": 10**12}},
        {"model": {"cells": 81}},
        {"model": {"alien": 1}},
        {"model": {"kept": None}},
        {"task": {"kind": "chess"}},
        {"task": {"name": "sudoku6"}},
        {"task": {"name": "sudoku"}},
        {"task": {"name": ["sudoku4"]}},
    ],
)
def test_files_that_do_not_fit_each_other(saved, sections):
    change(saved, **sections)
    with pytest.raises(InputError, match=str(saved)):
        load_checkpoint(saved)


def test_a_model_for_another_task_is_told_from_damage(saved):
    change(saved, task={"name": "sudoku6"})
    with pytest.raises(InputError, match="the model does not fit the task sudoku6: cells"):
        load_checkpoint(saved)


def test_a_pickle_is_not_loaded(saved, tmp_path):
    torch.save(random_mind().state_dict(), saved / WEIGHTS)
    with pytest.raises(InputError, match="damaged or not a safetensors file"):
        load_checkpoint(saved)


def test_shipped_models_are_found_by_name():
    assert "sudoku" in shipped_models()
    assert load_checkpoint("sudoku").task.name == "sudoku"


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "file"
    write_atomically(target, b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ChorusError, match=r"cannot be written \(No space left on device\); the file is as it was"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    with pytest.raises(ChorusError, match="cannot be written"):
        write_atomically(target / "below" / "a file", b"x")


def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path):
    target = tmp_path / "model.safetensors"
    old, fresh, other = (
        tmp_path / name for name in (".model.safetensors.abcd1234", f".{target.name}.wxyz5678", ".else")
    )
    for file in (old, fresh, other):
        file.write_bytes(b"half")
    for file in (old, other):
        os.utime(file, (0, 0))
    write_atomically(target, b"new")
    assert {file.name for file in tmp_path.iterdir()} == {target.name, fresh.name, other.name}


LIMITED = """
import resource, sys, torch
from pathlib import Path
from chorus.thought.checkpoint import write_tensors
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_tensors(Path(sys.argv[1]), {"x": torch.ones(100_000)})
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_full_disk_leaves_the_old_tensors(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"x": torch.zeros(3)})
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, env=ENVIRONMENT, timeout=200
    )
    assert done.stdout.startswith("ChorusError"), done.stdout + done.stderr
    assert "the file is as it was" in done.stdout
    assert read_tensors(path)["x"].tolist() == [0, 0, 0]
    assert len(list(tmp_path.iterdir())) == 1


ENDLESS = """
import sys, torch
from pathlib import Path
from chorus.thought.checkpoint import write_tensors
for number in range(10**9):
    write_tensors(Path(sys.argv[1]), {"x": torch.full((500_000,), float(number))})
    print(number, flush=True)
"""


def test_a_process_killed_while_it_writes_leaves_a_whole_file(tmp_path):
    path = tmp_path / "x.safetensors"
    command = [sys.executable, "-c", ENDLESS, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as writer:
        for _ in range(3):
            last = int(writer.stdout.readline())
        time.sleep(0.05)
        writer.send_signal(signal.SIGKILL)
        written = [int(line) for line in writer.stdout]
    values = read_tensors(path)["x"]
    assert values.shape == (500_000,)
    assert bool((values == values[0]).all())
    assert values[0] >= max([last, *written])
