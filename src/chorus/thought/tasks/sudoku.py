"""Sudoku as a task, for boards of 4×4, 6×6 and 9×9 cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from chorus.errors import InputError
from chorus.thought.tasks.task import Indices, Solutions, Task

BOXES = {"sudoku": (3, 3), "sudoku4": (2, 2), "sudoku6": (2, 3)}  # rows and columns of a box
_DEFAULT_GIVENS = {"sudoku": (24, 36), "sudoku4": (4, 8), "sudoku6": (9, 18)}
_BLANKS = str.maketrans("0_*", "...")


@dataclass(frozen=True, kw_only=True)
class SudokuTask(Task):
    """Fill a board so that every row, column and box holds each digit once.

    >>> task = sudoku("sudoku4")
    >>> task.check("1.....3....2.4..", "1324423131422413")
    True
    >>> task.relations
    ('rows(4, 4)', 'columns(4, 4)', 'boxes(4, 4, 2, 2)')
    """

    kind: ClassVar[str] = "sudoku"

    @property
    def box(self) -> tuple[int, int]:
        """Rows and columns of a box."""
        return BOXES[self.name]

    def normalize(self, question: str) -> str:
        """Give the board with `.` for every blank; `0`, `_` and `*` are read as blanks too."""
        return question.strip().translate(_BLANKS)

    def encode_answer(self, answer: str) -> Indices:
        """Give the indices uint8 [cells] of a full board."""
        return super().encode_answer(answer.strip())

    def defect(self, question: str) -> str | None:
        """Say which two equal givens share a row, a column or a box, or None."""
        board = self.encode(question)
        n = self.box[0] * self.box[1]
        for kind, lines in _units(self.box):
            for i, cells in enumerate(lines):
                seen: dict[int, int] = {}
                for cell in cells:
                    digit = int(board[cell])
                    if digit and digit in seen:
                        a, b = (f"row {c // n + 1}, column {c % n + 1}" for c in (seen[digit], cell))
                        return f"two givens {digit} in {kind} {i + 1}: at {a} and at {b}"
                    seen[digit] = int(cell)
        return None

    def count_solutions(self, question: str, limit: int = 2) -> int:
        """Count the solutions of a question, up to `limit`, with a search that knows the rules."""
        from chorus.thought.tasks.sudoku_solver import count_solutions

        return count_solutions(self.encode(question), limit, self.box)

    def solve(self, question: str) -> str:
        """Give the one solution, by search; InputError where there is none or several."""
        from chorus.thought.tasks.sudoku_solver import solve

        solutions = self.solutions(question)
        if solutions != "one":
            raise InputError(f"this puzzle has {'no solution' if solutions == 'none' else 'several solutions'}")
        solution = solve(self.encode(question), self.box)
        assert solution is not None
        return self.decode(solution - 1)

    def solutions(self, question: str) -> Solutions:
        """Say whether a puzzle has no solution, one, or several."""
        kinds: tuple[Solutions, ...] = ("none", "one", "several")
        return kinds[self.count_solutions(question)]

    def check(self, question: str, answer: str) -> bool:
        """Whether an answer keeps the givens and has each digit once in every row, column and box."""
        try:
            asked, answered = self.encode(question), self.encode_answer(answer)
        except InputError:
            return False
        given = self.givens(asked)
        if np.any((given >= 0) & (given != answered)):
            return False
        everything = np.arange(self.box[0] * self.box[1])
        return all(bool((np.sort(answered[lines], axis=1) == everything).all()) for _, lines in _units(self.box))

    def generate(
        self, n: int, seed: int = 0, *, givens: tuple[int, int] | None = None, minimal: bool = False, **options: Any
    ) -> tuple[Indices, Indices]:
        """Make n puzzles with exactly one solution: of a range of givens, or minimal ones."""
        from chorus.thought.tasks import sudoku_generator

        if minimal:
            if givens is not None:
                raise InputError("a minimal puzzle has as many givens as it needs; give either givens or minimal")
            puzzles, solutions = sudoku_generator.minimal(n, seed, self.box)
        else:
            givens = givens or _DEFAULT_GIVENS[self.name]
            puzzles, solutions = sudoku_generator.generate(n, givens, seed, self.box, **options)
        return puzzles, solutions - 1

    def augment(self, questions: Indices, answers: Indices, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Relabel digits and shuffle bands, stacks, rows and columns at random; transpose where boxes are square."""
        from chorus.thought.tasks.sudoku_symmetry import augment

        puzzles, solutions = augment(questions, answers + 1, rng, self.box)
        return puzzles, solutions - 1

    def canonical(self, questions: Indices) -> Indices:
        """Give the canonical forms of question indices [m, cells] under all symmetries of Sudoku."""
        from chorus.thought.tasks.sudoku_symmetry import canonical

        return canonical(questions, self.box)

    def to_dict(self) -> dict[str, Any]:
        """Give the task's name: all else follows from it."""
        return {"kind": self.kind, "name": self.name}


def _units(box: tuple[int, int]) -> list[tuple[str, np.ndarray[tuple[int, int], np.dtype[np.int64]]]]:
    """Give the cells of each row, of each column and of each box, [n, n] each."""
    height, width = box
    n = height * width
    grid = np.arange(n * n).reshape(n, n)
    boxes = grid.reshape(n // height, height, n // width, width).swapaxes(1, 2).reshape(n, n)
    return [("row", grid), ("column", grid.T), ("box", boxes)]


def sudoku(name: str = "sudoku") -> SudokuTask:
    """Give the task `sudoku` (9×9), `sudoku6` (6×6, boxes of 2 rows and 3 columns) or `sudoku4` (4×4)."""
    height, width = BOXES[name]
    n = height * width
    digits = "123456789"[:n]
    return SudokuTask(
        name=name,
        input_alphabet="." + digits,
        output_alphabet=digits,
        cells=n * n,
        shape=(n, n),
        relations=(f"rows({n}, {n})", f"columns({n}, {n})", f"boxes({n}, {n}, {height}, {width})"),
        open_characters=".",
        interchangeable=True,
    )
