"""A bank of Sudoku puzzles to train on: easy, random minimal, hard, with few givens, and the hardest.

Random puzzles are rarely hard: a median minimal 9×9 puzzle takes 2 guesses, one in a hundred more than 30. They are
made so quickly that choosing among them is the fastest way to hard ones, and keeps them unrelated to one another.
Few givens, and puzzles as hard as those of published lists of hard ones, are reached by walks through neighbouring
minimal puzzles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chorus.compiling import njit
from chorus.errors import InputError
from chorus.thought.tasks.sudoku_generator import generate, minimal
from chorus.thought.tasks.sudoku_moves import fill, leap, reduce, step, wander
from chorus.thought.tasks.sudoku_solver import SOLVED, Boards, load, place, propagate, search, units_of

SHARES = (0.15, 0.2, 0.4, 0.25, 0.0)  # of the kinds of puzzles in a training bank


@njit
def _hard(rng, certain, puzzles, solutions):  # type: ignore[no-untyped-def]
    units = units_of(3, 3)
    values = np.empty(81, np.uint8)
    used = np.empty(27, np.int64)
    solution = np.empty(81, np.uint8)
    stored = 0
    while stored < len(puzzles):
        fill(rng, units, solution)
        puzzle = solution.copy()
        reduce(rng, puzzle, 81, 0, units)
        load(puzzle, values, used, units)
        _, guesses = search(values, used, units, 2, solution, np.empty((0, 0), np.int64))
        if rng.random() * certain < guesses:
            puzzles[stored] = puzzle
            solutions[stored] = solution
            stored += 1


def hard(n: int, seed: int = 0, certain: int = 40) -> tuple[Boards, Boards]:
    """Make n hard minimal 9×9 puzzles and their solutions; uint8 [n, 81] twice.

    A random minimal puzzle that takes g guesses (see `difficulty`) is kept with probability g / `certain`.
    """
    puzzles: NDArray[np.uint8] = np.zeros((n, 81), np.uint8)
    solutions: NDArray[np.uint8] = np.zeros((n, 81), np.uint8)
    _hard(np.random.default_rng(seed), certain, puzzles, solutions)
    return puzzles, solutions


@njit
def _walk(rng, pull, most, moves, puzzles, solutions):  # type: ignore[no-untyped-def]
    """Store what one walk comes by with at most `most` givens; returns how many."""
    units = units_of(3, 3)
    solution = np.empty(81, np.uint8)
    fill(rng, units, solution)
    puzzle = solution.copy()
    givens = reduce(rng, puzzle, 81, 0, units)
    stored = 0
    for _ in range(moves):
        if stored == len(puzzles):
            break
        before = puzzle.copy()
        givens = wander(rng, puzzle, solution, givens, pull, 0, 1, units)
        if givens <= most and not np.array_equal(puzzle, before):
            puzzles[stored] = puzzle
            solutions[stored] = solution
            stored += 1
    return stored


def sparse(n: int, seed: int = 0, most: int = 21, moves: int = 300) -> tuple[Boards, Boards]:
    """Make n minimal 9×9 puzzles with few givens, and their solutions; uint8 [n, 81] twice.

    Args:
        n: how many.
        seed: the same seed gives the same puzzles.
        most: the most givens that are kept.
        moves: length of a walk, after which the next one starts from a random minimal puzzle.

    """
    rng = np.random.default_rng(seed)
    found: dict[bytes, Boards] = {}  # a walk comes by the same puzzle more than once
    puzzles, solutions = np.zeros((2, moves, 81), np.uint8)
    while len(found) < n:
        stored = _walk(rng, rng.uniform(1.0, 4.0), most, moves, puzzles, solutions)
        for puzzle, solution in zip(puzzles[:stored], solutions[:stored], strict=True):
            found[puzzle.tobytes()] = np.stack([puzzle, solution])
    pairs = np.array(list(found.values())[:n], np.uint8).reshape(n, 2, 81)
    return pairs[:, 0], pairs[:, 1]


@njit
def _rate(puzzle, solution, units, values, used, scratch):  # type: ignore[no-untyped-def]
    """Give the guesses that a search takes, and the number of cells whose digit alone lets singles do the rest."""
    load(puzzle, values, used, units)
    _, guesses = search(values, used, units, 2, scratch, np.empty((0, 0), np.int64))
    load(puzzle, values, used, units)
    propagate(values, used, units)
    start = values.copy()
    backdoors = 0
    for cell in range(start.size):
        if start[cell] == 0:
            load(start, values, used, units)
            place(values, used, units, cell, 1 << (np.int64(solution[cell]) - 1))
            backdoors += propagate(values, used, units) == SOLVED
    return guesses, backdoors


@njit
def _climb(rng, guesses_least, backdoors_most, moves, puzzles, solutions):  # type: ignore[no-untyped-def]
    """Store the hardest puzzles that one walk comes by; returns how many."""
    units = units_of(3, 3)
    values = np.empty(81, np.uint8)
    used = np.empty(27, np.int64)
    scratch = np.empty(81, np.uint8)
    solution = np.empty(81, np.uint8)
    next_solution = np.empty(81, np.uint8)
    fill(rng, units, solution)
    puzzle = solution.copy()
    givens = reduce(rng, puzzle, 81, 0, units)
    score = -1e9
    stored = 0
    for _ in range(moves):
        if stored == len(puzzles):
            break
        next_puzzle = puzzle.copy()
        if rng.random() < 0.9 and step(rng, next_puzzle, next_solution, givens, 1, units):
            next_givens = givens
        else:  # also where a puzzle has no near neighbour, so that no walk is stuck
            next_givens = leap(rng, next_puzzle, next_solution, givens, 2, units)
        next_givens = reduce(rng, next_puzzle, next_givens, 0, units)
        guesses, backdoors = _rate(next_puzzle, next_solution, units, values, used, scratch)
        next_score = 3 * math.log(1.0 + min(guesses, 4 * guesses_least)) - min(backdoors, 20)
        if rng.random() < math.exp(min(0.0, next_score - score)):
            puzzle[:], solution[:] = next_puzzle, next_solution
            givens, score = next_givens, next_score
            if guesses >= guesses_least and backdoors <= backdoors_most:
                puzzles[stored] = puzzle
                solutions[stored] = solution
                stored += 1
    return stored


def hardest(
    n: int, seed: int = 0, guesses: int = 30, backdoors: int = 4, walk: int = 20, moves: int = 400
) -> tuple[Boards, Boards]:
    """Make n of the hardest minimal 9×9 puzzles, and their solutions; uint8 [n, 81] twice.

    A Metropolis walk through neighbouring puzzles towards many guesses and few backdoors (a backdoor is a cell whose
    digit alone lets naked and hidden singles do the rest).

    Args:
        n: how many.
        seed: the same seed gives the same puzzles.
        guesses: the fewest guesses (see `difficulty`) that are kept.
        backdoors: the most backdoors that are kept.
        walk: the most puzzles that one walk gives, since those that it gives are related.
        moves: length of a walk, after which the next one starts from a random minimal puzzle.

    """
    rng = np.random.default_rng(seed)
    found: dict[bytes, Boards] = {}
    puzzles, solutions = np.zeros((2, walk, 81), np.uint8)
    while len(found) < n:
        stored = _climb(rng, guesses, backdoors, moves, puzzles, solutions)
        for puzzle, solution in zip(puzzles[:stored], solutions[:stored], strict=True):
            found[puzzle.tobytes()] = np.stack([puzzle, solution])
    pairs = np.array(list(found.values())[:n], np.uint8).reshape(n, 2, 81)
    return pairs[:, 0], pairs[:, 1]


def training_bank(
    n: int,
    seed: int = 0,
    givens: tuple[int, int] = (24, 36),
    shares: Sequence[float] = SHARES,
) -> tuple[Boards, Boards]:
    """Make n shuffled 9×9 puzzles and solutions, uint8 [n, 81] twice, with exactly one solution each.

    Args:
        n: how many.
        seed: the same seed gives the same bank.
        givens: the range of the easy share.
        shares: of puzzles with a uniform number of givens, of random minimal, of hard, of sparse, of the hardest ones.

    Raises:
        InputError: shares that are not five numbers of 0 or more with a positive sum.

    >>> puzzles, solutions = training_bank(20, seed=0)
    >>> bool(((puzzles == 0) | (puzzles == solutions)).all())
    True

    """
    if len(shares) != len(SHARES) or not all(math.isfinite(s) and s >= 0 for s in shares) or not sum(shares):
        raise InputError(f"[bank]: shares are {len(SHARES)} numbers of 0 or more, not all 0; got {list(shares)}")
    rng = np.random.default_rng(seed)
    seeds = [int(s) for s in rng.integers(0, 2**62, size=4)]
    ends = np.round(np.cumsum(shares) / sum(shares) * n).astype(int)
    easy_count, minimal_count, hard_count, sparse_count, hardest_count = (int(c) for c in np.diff(ends, prepend=0))
    made = [
        generate(easy_count, givens, seeds[0]),
        minimal(minimal_count, seeds[1]),
        hard(hard_count, seeds[2]),
        sparse(sparse_count, seeds[3]),
        hardest(hardest_count, seed),
    ]
    order = rng.permutation(n)
    return np.concatenate([p for p, _ in made])[order], np.concatenate([s for _, s in made])[order]
