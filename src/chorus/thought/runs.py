"""A training run on disk: settings in, a model folder out, resumable at any moment."""

from __future__ import annotations

import dataclasses
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from chorus.errors import ChorusError, InputError
from chorus.thought.checkpoint import TRAINING, Checkpoint, load_checkpoint, read_tensors, write_tensors
from chorus.thought.config import MindConfig, ThinkConfig
from chorus.thought.curves import Curves
from chorus.thought.evaluation import Score, evaluate
from chorus.thought.model import Mind
from chorus.thought.sources import BankSource, make_bank, without
from chorus.thought.tasks import PairsTask, Task, load_pairs, make_task, read_problems
from chorus.thought.thinker import DeviceName, Thinker, pick_device, pick_dtype
from chorus.thought.training import Report, TrainConfig, Trainer

_SECTIONS = ("task", "model", "training", "bank", "think")
# The names and types of the sections that no settings class of their own checks.
_NAMES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "task": {
        "name": str,
        "size": int,
        "data": str,
        "relations": str,
        "shape": (list, tuple),
        "interchangeable": bool,
    },
    "bank": {
        "problems": int,
        "seed": int,
        "shares": (list, tuple),
        "openings": (int, float),
        "shortest": int,
        "held_out": int,
        "exclude": (list, tuple),
    },
}
# What the lists among them hold.
_ELEMENTS: dict[str, type | tuple[type, ...]] = {"shape": int, "shares": (int, float), "exclude": str}


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What a run trains, on what, and how; the sections of a TOML file.

    Attributes:
        task: `name` of a built-in task (and `size` of a maze); or files of `data` and `relations`, the `shape`
            [height, width] of a grid, and whether the answer characters are `interchangeable`.
        model: settings of `MindConfig` that differ from what the task suggests.
        training: settings of `TrainConfig`.
        bank: `problems` to generate and their `seed`; for 9×9 Sudokus the `shares` of kinds of puzzles (see
            `training_bank`); for mazes their `openings` and `shortest` path (see `maze_generator.generate`);
            `held_out` pairs kept back to measure on; files of problems to `exclude` from training, symmetric copies
            included.
        think: settings of `ThinkConfig` that suit this mind; they are kept with the model.

    Raises:
        InputError: an unknown name in a section, or a value of another type.
    """

    task: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    bank: Mapping[str, Any] = field(default_factory=dict)
    think: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for section in _SECTIONS:
            if not isinstance(getattr(self, section), Mapping):
                raise InputError(f"[{section}] is a section of settings; got {getattr(self, section)!r}")
        for section, names in _NAMES.items():
            for name, value in getattr(self, section).items():
                if name not in names:
                    raise InputError(f"[{section}]: unknown setting {name!r}; known are {', '.join(sorted(names))}")
                if not _is(value, names[name]) or not all(_is(part, _ELEMENTS[name]) for part in _parts(value)):
                    raise InputError(f"[{section}]: {name} cannot be {value!r}")
                if isinstance(value, int) and value < 0:
                    raise InputError(f"[{section}]: {name} must be 0 or more; got {value}")
        ThinkConfig.from_dict(self.think)

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """Read a TOML file; an unknown section or broken syntax raises `InputError` that names the file."""
        if path is None:
            return cls()
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from None
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{path}: not TOML: {error}") from None
        alien = sorted(set(values) - set(_SECTIONS))
        if alien:
            raise InputError(f"{path}: unknown section [{alien[0]}]; known are {', '.join(_SECTIONS)}")
        try:
            return cls(**values)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def override(self, section: str, **values: Any) -> Self:
        """Return settings in which some values of a section are replaced; None keeps what is there."""
        given = {name: value for name, value in values.items() if value is not None}
        return dataclasses.replace(self, **{section: {**getattr(self, section), **given}})

    def make_task(self) -> Task:
        """Return the task that the settings name."""
        own = "data" in self.task
        for other in ("name", "size") if own else ("relations", "interchangeable", "shape"):
            if other in self.task:
                whose = "a task of the package, and this one has its own data" if own else "a task with its own data"
                raise InputError(f"[task]: {other} is for {whose}")
        if own:
            shape = tuple(self.task.get("shape", ()))
            if shape and (len(shape) != 2 or min(shape) < 1):
                raise InputError(f"[task]: shape is [height, width]; got {list(shape)}")
            return PairsTask.from_file(
                self.task["data"],
                self.task.get("relations"),
                shape=(shape[0], shape[1]) if shape else None,
                interchangeable=self.task.get("interchangeable", False),
            )
        if "name" not in self.task:
            raise InputError("say what to train on: a --task (sudoku, sudoku4, sudoku6, maze) or your own --data FILE")
        return make_task(self.task["name"], size=self.task.get("size"))


class TrainingRun:
    """Train a mind into a folder.

    Args:
        settings: what and how.
        out: the model folder; it also holds the state to resume from and TensorBoard's event files.
        resume: go on from the state in `out`, with the settings it began with where `settings` says nothing else.
        start: a trained model whose weights to begin with.
        device: where to train.
        precision: "auto", "float32" or "bfloat16".
        accelerator: an `accelerate.Accelerator`.

    Raises:
        InputError: settings that do not fit, nothing to resume, or a folder that already holds another run.
    """

    def __init__(
        self,
        settings: RunSettings,
        out: Path,
        *,
        resume: bool = False,
        start: str | None = None,
        device: DeviceName = "auto",
        precision: str = "auto",
        accelerator: Any = None,
    ) -> None:
        state_file = out / TRAINING
        if resume and not state_file.exists():
            raise InputError(f"{out}: nothing to resume there (no {TRAINING}); leave out --resume to begin a run")
        if not resume and state_file.exists():
            raise InputError(f"{out}: holds a run already; add --resume to go on with it, or choose another --out")
        record = load_checkpoint(out).record if resume else {}
        for section, values in record.get("settings", {}).items():
            settings = settings.override(section, **{**values, **getattr(settings, section)})
        self.settings, self.out, self.accelerator = settings, out, accelerator
        self.stopping = False
        self.task = settings.make_task()
        config = TrainConfig.from_dict(settings.training)
        place = accelerator.device if accelerator else pick_device(device)
        torch.manual_seed(config.seed)
        mind = Mind(MindConfig.for_task(self.task, **settings.model)).to(place)
        if start is not None:
            self._copy_weights(mind, load_checkpoint(start).mind)
        questions, answers = self._problems()
        questions, answers = without(self.task, questions, answers, list(_questions(settings.bank.get("exclude", ()))))
        held_out = min(settings.bank.get("held_out", self._tenth(questions)), max(0, len(questions) - 1))
        split = len(questions) - held_out
        self.test = [
            (self.task.decode_question(q), self.task.decode(a))
            for q, a in zip(questions[split:], answers[split:], strict=True)
        ]
        questions, answers = without(self.task, questions[:split], answers[:split], [q for q, _ in self.test])
        self.trainer = Trainer(
            mind,
            BankSource(self.task, questions, answers),
            config,
            dtype=_precision(precision, place),
            accelerator=accelerator,
        )
        self.problems = len(questions)
        self.seconds = float(record.get("seconds", 0.0))
        if resume:
            self.trainer.load_state(read_tensors(state_file))

    @staticmethod
    def _copy_weights(mind: Mind, source: Mind) -> None:
        try:
            mind.load_state_dict(source.state_dict())
        except RuntimeError as error:
            raise InputError(
                f"the starting model has another architecture: {str(error).splitlines()[-1].strip()}"
            ) from None

    def _problems(self) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.uint8]]]:
        if "data" in self.settings.task:
            pairs = load_pairs(self.task, self.settings.task["data"])
            order = np.random.default_rng(self.settings.bank.get("seed", 0)).permutation(len(pairs.questions))
            return pairs.questions[order], pairs.answers[order]
        bank = self.settings.bank
        special = {name: bank[name] for name in ("shares", "openings", "shortest") if name in bank}
        return make_bank(self.task, bank.get("problems", 20_000), bank.get("seed", 0), **special)

    def _tenth(self, questions: np.ndarray[Any, np.dtype[np.uint8]]) -> int:
        """Return how many to hold out: of a person's own pairs, a tenth of the different ones.

        What is held out is not trained on either, so that more would leave little of pairs that repeat themselves.
        """
        own = "data" in self.settings.task
        different = len(np.unique(self.task.canonical(questions), axis=0)) if own else len(questions)
        return min(500, different // 10)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.accelerator is None or self.accelerator.is_main_process

    def stop(self) -> None:
        """End `updates` after the update at hand, in all processes of the run."""
        self.stopping = True

    def updates(self, save_every: float = 120.0) -> Iterator[Report]:
        """Train to the end, yielding each update's report; the run is saved every so many seconds and at the end.

        A run that fails is not saved once more: what lies in the folder is from before the failure.
        """
        curves = Curves.open(self.out) if self.leads else None
        saved = began = time.monotonic()
        before, failed = self.seconds, False
        try:
            for report in self.trainer.steps():
                self.seconds = before + time.monotonic() - began
                if curves:
                    names = ("loss", "cross_entropy", "exact", "viable")
                    curves.add(self.trainer.update, {name: getattr(report, name) for name in names})
                yield report
                if self._stops():
                    break
                if time.monotonic() - saved > save_every:
                    self.save()
                    saved = time.monotonic()
        except ChorusError:
            failed = True
            raise
        finally:
            if not failed:
                self.save()
            if curves:
                curves.close()

    def _stops(self) -> bool:
        """Whether any process of the run was asked to stop; all of them must stop after the same update."""
        if self.accelerator is None:
            return self.stopping
        votes = torch.tensor(float(self.stopping), device=self.trainer.device)
        return bool(self.accelerator.reduce(votes, "sum") > 0)

    def checkpoint(self, score: Score | None = None) -> Checkpoint:
        """Return the averaged weights with the record of the run so far."""
        record = {
            "settings": {section: dict(getattr(self.settings, section)) for section in _SECTIONS},
            "training": dataclasses.asdict(self.trainer.config),
            "problems": self.problems,
            "updates": self.trainer.update,
            "seconds": round(self.seconds),
            "device": str(self.trainer.device),
            "precision": str(self.trainer.dtype).removeprefix("torch."),
            "torch": torch.__version__.split("+")[0],
        }
        if score is not None:
            low, high = score.interval
            record["held_out"] = {
                "problems": score.problems,
                "exact": round(score.accuracy, 4),
                "interval": [round(low, 4), round(high, 4)],
                "cells": round(score.cells, 4),
            }
        return Checkpoint(mind=self.trainer.averaged(), task=self.task, settings=self.settings.think, record=record)

    def save(self, score: Score | None = None) -> None:
        """Write the model and then the state to resume from, so that such a state always has a model beside it."""
        if self.leads:
            self.checkpoint(score).save(self.out)
            write_tensors(self.out / TRAINING, self.trainer.state())

    def measure(self) -> Score | None:
        """Evaluate the averaged weights on the pairs held out, and save the result with the model."""
        if not self.leads or not self.test:
            return None
        thinker = Thinker(self.checkpoint(), self.trainer.dtype)
        questions, answers = zip(*self.test, strict=True)
        score = evaluate(thinker, questions, answers)
        self.save(score)
        return score


def _is(value: object, kind: type | tuple[type, ...]) -> bool:
    """Whether a value of a TOML file has a type; True is no number there."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _parts(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _questions(files: Sequence[str]) -> Iterator[str]:
    for file in files:
        for record in read_problems(file):
            if record.error is not None:
                raise InputError(f"{file}, line {record.line}: {record.error}")
            yield record.question


def _precision(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return pick_dtype(device)
    if name not in ("float32", "bfloat16"):
        raise InputError(f"precision must be auto, float32 or bfloat16; got {name!r}")
    return torch.float32 if name == "float32" else torch.bfloat16
