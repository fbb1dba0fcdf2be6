"""Settings: what fits a task, what is refused, and the way through JSON."""

import json

import pytest

from chorus.errors import InputError
from chorus.thought import MindConfig, TrainConfig
from chorus.thought.tasks import make_task

PLAIN = {"cells": 4, "input_size": 3, "output_size": 2, "kept": (-1, 0, 1), "relations": ("full()",)}


@pytest.mark.parametrize("name", ["sudoku", "sudoku4", "sudoku6", "maze"])
def test_architecture_of_a_task_through_json(name):
    task = make_task(name)
    config = MindConfig.for_task(task, channels=24)
    assert MindConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert (config.cells, config.output_size) == (task.cells, len(task.output_alphabet))
    assert config.symbols == (len(task.output_alphabet) if name.startswith("sudoku") else 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": 0}, "cells must be a positive"),
        ({"channels": 2.5}, "channels must be a positive"),
        ({"hidden": "many"}, "hidden must be a positive"),
        ({"slots": -1}, "slots must be 0 or more"),
        ({"kept": (0, 1)}, "kept must hold 3"),
        ({"kept": (-1, 0, 2)}, "kept must hold 3"),
        ({"relations": ()}, "at least one relation"),
        ({"relations": ("rows(2,",)}, "rows"),
        ({"colour": 3}, "unknown setting 'colour'"),
    ],
)
def test_architectures_that_cannot_be(change, message):
    with pytest.raises(InputError, match=message):
        MindConfig.from_dict({**PLAIN, **change})


def test_an_incomplete_architecture():
    with pytest.raises(InputError, match="cells"):
        MindConfig.from_dict({name: value for name, value in PLAIN.items() if name != "cells"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"updates": 0}, "updates must be a whole number"),
        ({"problems": 1.5}, "problems must be a whole number"),
        ({"updates": True}, "updates must be a whole number"),
        ({"ema": 1.2}, "ema must be between 0 and 1"),
        ({"ema": "slow"}, "ema must be between 0 and 1"),
        ({"learning_rate": 0}, "learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0"),
        ({"gradient_clip": [1]}, "gradient_clip must be above 0"),
        ({"weight_decay": "none"}, "weight_decay must be 0 or more"),
        ({"energy_weight": -1}, "energy_weight must be 0 or more"),
        ({"seed": 0.5}, "seed must be a whole number"),
        ({"momentum": 0.9}, "unknown setting 'momentum'"),
    ],
)
def test_training_settings_that_cannot_be(change, message):
    with pytest.raises(InputError, match=message):
        TrainConfig.from_dict(change)


def test_learning_rate_rises_stays_and_falls_to_nothing():
    config = TrainConfig(updates=100, warmup=10, cooldown=0.2, learning_rate=1.0)
    assert config.rate(0) == pytest.approx(0.1)
    assert [config.rate(update) for update in (9, 50, 79)] == [1.0, 1.0, 1.0]
    assert config.rate(90) == pytest.approx(0.5)
    assert config.rate(99) == pytest.approx(0.05)
    assert TrainConfig(updates=10, warmup=0, cooldown=0, learning_rate=1.0).rate(9) == 1.0
