"""The shortest path through a maze as a task."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from chorus.errors import InputError
from chorus.thought.tasks.task import Indices, Solutions, Task


@dataclass(frozen=True, kw_only=True)
class MazeTask(Task):
    """Mark the shortest path from S to G with `o`; `#` is wall, `.` (or a space) is open.

    >>> task = maze(5)
    >>> task.check("######S..####.##G..######", "######Soo####o##Goo######")
    True
    >>> task.check("######S..####.##G..######", "######So.####o##Goo######")
    False
    """

    kind: ClassVar[str] = "maze"
    size: int

    def normalize(self, question: str) -> str:
        """Give the maze with `.` for open cells; spaces are read as open too."""
        return question.rstrip("\r\n").replace(" ", ".")

    def encode_answer(self, answer: str) -> Indices:
        """Give the indices uint8 [cells] of a maze with its path marked."""
        return super().encode_answer(self.normalize(answer))

    def defect(self, question: str) -> str | None:
        """Say when start or goal is missing or doubled, or when no path joins them; else None."""
        text = self.normalize(question)
        for mark, what in (("S", "start S"), ("G", "goal G")):
            if text.count(mark) != 1:
                return f"a maze has exactly one {what}; this one has {text.count(mark)}"
        return "no path leads from S to G" if self._shortest(text) is None else None

    def check(self, question: str, answer: str) -> bool:
        """Whether an answer keeps the maze and marks one shortest path from S to G, and nothing else."""
        asked, answered = self.normalize(question), self.normalize(answer)
        if len(asked) != self.cells or answered.replace("o", ".") != asked or self.defect(asked) is not None:
            return False
        shortest = self._shortest(asked)
        # As many marks as a shortest path has cells, and a way over marks alone: then the marks are that way.
        over_marks = self._shortest(answered.replace(".", "#"))
        if shortest is None or over_marks is None:
            return False
        return over_marks[0] == shortest[0] and answered.count("o") == shortest[0] - 1

    def solutions(self, question: str) -> Solutions:
        """Say whether no path leads from start to goal, one shortest path does, or several equally short ones do.

        >>> maze(5).solutions("######S..##...##..G######")
        'several'
        """
        text = self.normalize(question)
        shortest = None if self.defect(text) else self._shortest(text)
        return "none" if shortest is None else "one" if shortest[1] == 1 else "several"

    def generate(self, n: int, seed: int = 0, **options: Any) -> tuple[Indices, Indices]:
        """Make n mazes with one shortest path each; options as of `maze_generator.generate`."""
        from chorus.thought.tasks.maze_generator import generate

        return generate(n, self.size, seed, **options)

    def augment(self, questions: Indices, answers: Indices, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Turn and mirror each maze by one of the 8 symmetries of the square."""
        order = self._symmetries()[rng.integers(0, 8, size=len(questions))]
        return np.take_along_axis(questions, order, axis=1), np.take_along_axis(answers, order, axis=1)

    def canonical(self, questions: Indices) -> Indices:
        """Give the least of the 8 turned and mirrored images of each maze, question indices [m, cells]."""
        images = questions[:, self._symmetries()]
        m, k, cells = images.shape
        order = np.lexsort(images.reshape(m * k, cells).T[::-1])
        rank = np.empty(m * k, np.int64)
        rank[order] = np.arange(m * k)
        least: Indices = images[np.arange(m), rank.reshape(m, k).argmin(axis=1)]
        return least

    def to_dict(self) -> dict[str, Any]:
        """Give the size: all else follows from it."""
        return {"kind": self.kind, "size": self.size}

    def _symmetries(self) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        grid = np.arange(self.cells).reshape(self.size, self.size)
        return np.stack([np.rot90(g, k).ravel() for g in (grid, grid.T) for k in range(4)])

    def _shortest(self, text: str) -> tuple[int, int] | None:
        """Give the steps of a shortest path from S to G over all that is not wall, and how many such paths there are.

        None when there is none.
        """
        start, goal = text.index("S"), text.index("G")
        distance, paths = {start: 0}, {start: 1}
        queue = deque([start])
        while queue:
            cell = queue.popleft()
            if cell == goal:
                return distance[cell], paths[cell]
            row, column = divmod(cell, self.size)
            for y, x in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                other = y * self.size + x
                if not (0 <= y < self.size and 0 <= x < self.size) or text[other] == "#":
                    continue
                if other not in distance:
                    distance[other], paths[other] = distance[cell] + 1, 0
                    queue.append(other)
                if distance[other] == distance[cell] + 1:
                    paths[other] += paths[cell]
        return None


def maze(size: int = 11) -> MazeTask:
    """Give the task of size × size mazes, the border included."""
    if size % 2 == 0 or not 5 <= size <= 99:
        raise InputError(f"the size of a maze is odd and within 5..99; got {size}")
    # One relation a direction, so that a cell knows which way a neighbour lies and can point back along a path. What is
    # read across the edge of the grid is the border's wall.
    relations = []
    for behind in ("sliding_window(2)", f"dilated(2, dilation={size})"):  # a cell and the one to its left, or above it
        relations += [behind, f"{behind}.symmetric() - ({behind} - sliding_window(1))"]
    return MazeTask(
        name="maze",
        input_alphabet="#.SG",
        output_alphabet="#.SGo",
        cells=size * size,
        shape=(size, size),
        relations=tuple(relations),
        open_characters=".",
        size=size,
    )
