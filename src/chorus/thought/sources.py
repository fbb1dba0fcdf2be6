"""Where training problems come from: a bank of pairs, drawn at random and varied by the task's symmetries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from chorus.errors import InputError
from chorus.thought.tasks import MazeTask, Task
from chorus.thought.tasks.sudoku import SudokuTask
from chorus.thought.tasks.task import Indices


def make_bank(task: Task, problems: int, seed: int, **special: Any) -> tuple[Indices, Indices]:
    """Generate questions and answers to train on, uint8 [problems, N] twice.

    For a 9×9 Sudoku this is a mix of 17 to 36 givens, rich in hard minimal puzzles, and `shares` (see `training_bank`)
    may say another mix. Other tasks use their generator; that of mazes takes `openings` and `shortest`.

    Raises:
        InputError: something special for another task, or shares that are none.
    """
    nine = isinstance(task, SudokuTask) and task.box == (3, 3)
    known = ("shares",) if nine else ("openings", "shortest") if isinstance(task, MazeTask) else ()
    for name in special:
        if name not in known:
            whose = "9×9 Sudokus" if name == "shares" else "mazes"
            raise InputError(f"[bank]: {name} is for {whose}, not for {task.name}")
    if nine:
        from chorus.thought.tasks.sudoku_bank import SHARES, training_bank

        questions, answers = training_bank(problems, seed, shares=special.get("shares", SHARES))
        return questions, answers - 1
    return task.generate(problems, seed, **special)


def without(task: Task, questions: Indices, answers: Indices, excluded: Sequence[str]) -> tuple[Indices, Indices]:
    """Drop the problems that a symmetry of the task maps to an excluded question."""
    if not excluded:
        return questions, answers
    held_out = task.canonical(np.stack([task.encode(question) for question in excluded]))
    banned = {row.tobytes() for row in held_out}
    keep = np.array([row.tobytes() not in banned for row in task.canonical(questions)])
    return questions[keep], answers[keep]


class BankSource:
    """Draw problems from a bank, each under a random symmetry of its task.

    Args:
        task: knows the symmetries.
        questions: uint8 [m, N].
        answers: uint8 [m, N].

    Raises:
        InputError: an empty bank.
    """

    def __init__(self, task: Task, questions: Indices, answers: Indices) -> None:
        if len(questions) == 0:
            raise InputError("there is nothing to train on: every problem is held out to measure on, or excluded")
        self.task, self.questions, self.answers = task, questions, answers

    def draw(self, n: int, generator: torch.Generator) -> tuple[Int[Tensor, "n N"], Int[Tensor, "n N"]]:
        """Return n questions and their answers as int64 symbols."""
        chosen = torch.randint(len(self.questions), (n,), generator=generator).numpy()
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        questions, answers = self.task.augment(self.questions[chosen], self.answers[chosen], rng)
        return torch.as_tensor(questions.astype(np.int64)), torch.as_tensor(answers.astype(np.int64))
