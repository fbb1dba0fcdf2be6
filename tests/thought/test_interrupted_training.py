"""Training on a disk that fills up, or that is killed: what was saved stays whole, and the run goes on from it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_minds import TINY_RUN

import chorus
from chorus.thought import load_checkpoint
from chorus.thought.checkpoint import TRAINING, read_tensors

SAVED = ("config.json", "model.safetensors", TRAINING)
SAVE_AT_EVERY_UPDATE = """
import sys
from pathlib import Path
from chorus.thought.runs import RunSettings, TrainingRun
settings = RunSettings.read(Path(sys.argv[1])).override("training", updates=1_000_000)
for _ in TrainingRun(settings, Path(sys.argv[2]), device="cpu").updates(save_every=0):
    pass
"""


@pytest.fixture
def settings(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('[task]\nname = "sudoku4"\n' + TINY_RUN)
    return file


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_damages_nothing(command, small_disk, fill, settings):
    out = small_disk / "mind"
    train = ("train", "--out", out, "--device", "cpu")
    assert command(*train, "--config", settings)[0] == 0
    before = {name: (out / name).read_bytes() for name in SAVED}

    fill(small_disk / "ballast")
    code, _, err = command(*train, "--resume", "--updates", 8)
    assert (code, "cannot be written" in err, "No space left" in err) == (1, True, True)
    assert {name: (out / name).read_bytes() for name in SAVED} == before
    assert not [file for file in out.iterdir() if file.name.startswith(".")]

    (small_disk / "ballast").unlink()
    code, _, err = command(*train, "--resume", "--updates", 8)
    assert (code, "update 4 of 8" in err) == (0, True)
    assert load_checkpoint(out).record["updates"] == 8


def test_a_killed_process_leaves_a_whole_checkpoint(command, tmp_path, settings):
    """Killed while it saves again and again, so that the signal may well fall into the middle of a write."""
    out = tmp_path / "mind"
    environment = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", SAVE_AT_EVERY_UPDATE, settings, out], env=environment)
    try:
        while not (out / TRAINING).exists() or read_tensors(out / TRAINING)["update"] < 5:
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

    mind = load_checkpoint(out)
    update = int(read_tensors(out / TRAINING)["update"])
    assert update <= mind.record["updates"] <= update + 1  # the model is written first
    assert all(torch.isfinite(weight).all() for weight in mind.mind.parameters())
    code, _, err = command("train", "--out", out, "--resume", "--updates", update + 2, "--device", "cpu")
    assert (code, f"update {update} of {update + 2}" in err) == (0, True)
    assert load_checkpoint(out).record["updates"] == update + 2
