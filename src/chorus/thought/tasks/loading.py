"""Tasks by name or from a saved configuration, and files of pairs as arrays to train and measure on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chorus.errors import InputError
from chorus.thought.tasks.maze import maze
from chorus.thought.tasks.pairs import PairsTask
from chorus.thought.tasks.reading import read_problems
from chorus.thought.tasks.sudoku import BOXES, sudoku
from chorus.thought.tasks.task import Indices, Task

TASK_NAMES = (*BOXES, "maze")


class Pairs(NamedTuple):
    """Questions and answers as indices uint8 [m, cells]."""

    questions: Indices
    answers: Indices


def make_task(name: str, *, size: int | None = None) -> Task:
    """Give a built-in task by its name; `size` is that of a maze.

    >>> make_task("maze", size=15).cells
    225
    """
    if name == "maze":
        return maze(11 if size is None else size)
    if name not in BOXES:
        raise InputError(f"no task is called {name!r}; there are {', '.join(TASK_NAMES)}")
    if size is not None:
        raise InputError(f"only a maze has a size; {name} has none to choose")
    return sudoku(name)


def task_from_dict(saved: dict[str, Any]) -> Task:
    """Make a task again from what its `to_dict` gave.

    >>> task_from_dict(make_task("sudoku6").to_dict()).cells
    36
    """
    try:
        kind = saved["kind"]
        if kind == "sudoku":
            return make_task(saved["name"])
        if kind == "maze":
            return make_task("maze", size=saved["size"])
        if kind == "pairs":
            fields = {**saved, "relations": tuple(saved["relations"])}
            fields["shape"] = tuple(saved["shape"]) if saved["shape"] else None
            del fields["kind"]
            return PairsTask(**fields)
    except (KeyError, TypeError) as error:
        raise InputError(f"the saved task is incomplete or damaged: {error}") from None
    raise InputError(f"the saved task is of an unknown kind {kind!r}; it needs a newer version")


def load_pairs(task: Task, data: str | Path) -> Pairs:
    """Load every pair of a file for a task.

    Raises:
        InputError: a line that is not a pair of the task, with file and line.

    """
    questions, answers = [], []
    for record in read_problems(data):
        try:
            if record.error is not None:
                raise InputError(record.error)
            if record.answer is None:
                raise InputError("no answer; training and measuring need one")
            questions.append(task.encode(record.question))
            answers.append(task.encode_answer(record.answer))
        except InputError as error:
            raise InputError(f"{data}, line {record.line}: {error}") from None
    return Pairs(np.stack(questions), np.stack(answers))
