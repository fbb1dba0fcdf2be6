"""Mazes with one shortest path: grown at random, opened a little, and kept only when the path is unique.

A maze is a uint8 grid [size, size], row by row, of WALL, OPEN, START and GOAL, with walls all around and the cells of
the underlying grid at odd rows and columns. In the answer the cells between start and goal are PATH.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chorus.compiling import njit
from chorus.errors import ChorusError, InputError

Grids = NDArray[np.uint8]

WALL, OPEN, START, GOAL, PATH = 0, 1, 2, 3, 4
ALPHABET = "#.SGo"  # the character of each of the five, in that order
LARGEST = 99
_PATIENCE = 20_000  # mazes refused in a row before a path length is taken to be out of reach


@njit
def _grow(rng, grid, newest):  # type: ignore[no-untyped-def]
    """Carve a spanning tree of the odd cells (growing tree: from the newest cell with probability `newest`, else any).

    Going on from the newest cell makes long corridors, from any cell many short dead ends.
    """
    size = grid.shape[0]
    grid[:] = WALL
    half = size // 2
    active = np.empty(half * half, np.int64)
    active[0] = rng.integers(0, half * half)
    grid[2 * (active[0] // half) + 1, 2 * (active[0] % half) + 1] = OPEN
    count = 1
    steps = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])
    while count:
        index = count - 1 if rng.random() < newest else rng.integers(0, count)
        row, column = 2 * (active[index] // half) + 1, 2 * (active[index] % half) + 1
        seen, choice = 0, -1
        for k in range(4):
            y, x = row + 2 * steps[k, 0], column + 2 * steps[k, 1]
            if 0 < y < size and 0 < x < size and grid[y, x] == WALL:
                seen += 1
                if rng.integers(0, seen) == 0:
                    choice = k
        if choice < 0:
            active[index : count - 1] = active[index + 1 : count]
            count -= 1
            continue
        grid[row + steps[choice, 0], column + steps[choice, 1]] = OPEN
        row, column = row + 2 * steps[choice, 0], column + 2 * steps[choice, 1]
        grid[row, column] = OPEN
        active[count] = (row // 2) * half + column // 2
        count += 1


@njit
def _open_walls(rng, grid, openings):  # type: ignore[no-untyped-def]
    """Open each wall that stands between two cells with probability `openings`, which makes loops."""
    size = grid.shape[0]
    for row in range(1, size - 1):
        for column in range(1, size - 1):
            if (row + column) % 2 and grid[row, column] == WALL and rng.random() < openings:
                grid[row, column] = OPEN


@njit
def _flood(cells, size, start, distance, paths, queue):  # type: ignore[no-untyped-def]
    """Breadth-first search over a flat grid: steps from `start` (-1: unreachable) and shortest paths, counted to 2."""
    distance[:] = -1
    paths[:] = 0
    distance[start], paths[start] = 0, 1
    queue[0] = start
    head, tail = 0, 1
    while head < tail:
        cell = queue[head]
        head += 1
        for step in (-size, size, -1, 1):  # the border is wall, so that a step never leaves the grid
            other = cell + step
            if cells[other] == WALL:
                continue
            if distance[other] < 0:
                distance[other] = distance[cell] + 1
                queue[tail] = other
                tail += 1
            if distance[other] == distance[cell] + 1:
                paths[other] = min(2, paths[other] + paths[cell])


@njit
def _generate(rng, size, shortest, openings, questions, answers):  # type: ignore[no-untyped-def]
    cells = size * size
    distance = np.empty(cells, np.int64)
    paths = np.empty(cells, np.int64)
    queue = np.empty(cells, np.int64)
    half = size // 2
    made, refused = 0, 0
    while made < len(questions) and refused < _PATIENCE:
        grid = questions[made].reshape(size, size)
        flat = questions[made]
        _grow(rng, grid, rng.random())
        _open_walls(rng, grid, openings * rng.random())
        place = rng.integers(0, half * half)
        start = (2 * (place // half) + 1) * size + 2 * (place % half) + 1
        _flood(flat, size, start, distance, paths, queue)
        seen, goal = 0, -1
        for cell in range(cells):
            row, column = cell // size, cell % size
            if row % 2 and column % 2 and distance[cell] >= shortest and paths[cell] == 1:
                seen += 1
                if rng.integers(0, seen) == 0:
                    goal = cell
        if goal < 0:
            refused += 1
            continue
        answers[made] = flat
        cell = goal
        while distance[cell] > 1:  # a unique path has one predecessor at each cell
            for step in (-size, size, -1, 1):
                if distance[cell + step] == distance[cell] - 1:
                    cell += step
                    break
            answers[made, cell] = PATH
        for board in (flat, answers[made]):
            board[start] = START
            board[goal] = GOAL
        made += 1
        refused = 0
    return made


def generate(
    n: int, size: int = 11, seed: int = 0, shortest: int | None = None, openings: float = 0.0
) -> tuple[Grids, Grids]:
    r"""Make n mazes, each with exactly one shortest path from start to goal.

    Args:
        n: how many.
        size: rows and columns with the border, odd, 5 to 99.
        seed: the same seed gives the same mazes.
        shortest: the least number of steps from start to goal; by default `size` - 1 (both are in the same place
            modulo 2, so it is even).
        openings: the most, over mazes, that walls between two cells are opened with; 0 gives mazes without loops, in
            which the shortest path is the only one.

    Returns:
        Questions and answers, uint8 [n, size * size].

    Raises:
        InputError: an even size or one out of range, or a path that cannot be that long.
        ChorusError: no such maze was found in many attempts.

    >>> questions, answers = generate(1, size=7, seed=3)
    >>> print("\n".join("".join(ALPHABET[cell] for cell in row) for row in answers[0].reshape(7, 7)))
    #######
    #ooo#.#
    #o#o#.#
    #o#S..#
    #o#####
    #ooooG#
    #######

    """
    if size % 2 == 0 or not 5 <= size <= LARGEST:
        raise InputError(f"the size of a maze is odd and within 5..{LARGEST}; got {size}")
    shortest = size - 1 if shortest is None else shortest
    if not 2 <= shortest <= 2 * size:
        raise InputError(f"the least path length of a maze of size {size} is within 2..{2 * size}; got {shortest}")
    if not 0.0 <= openings <= 1.0:
        raise InputError(f"openings is a share from 0 to 1; got {openings}")
    questions: Grids = np.zeros((n, size * size), np.uint8)
    answers: Grids = np.zeros((n, size * size), np.uint8)
    if _generate(np.random.default_rng(seed), size, shortest, openings, questions, answers) < n:
        raise ChorusError(f"no maze of size {size} with a shortest path of {shortest} steps was found; ask for fewer")
    return questions, answers
