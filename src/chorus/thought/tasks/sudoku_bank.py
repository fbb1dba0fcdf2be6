"""A bank of Sudoku puzzles to train on: easy ones, random minimal ones, and many that are hard or have few givens.

Random puzzles are rarely hard: a median minimal 9×9 puzzle takes 2 guesses, one in a hundred more than 30. The bank
walks through neighbouring minimal puzzles (moves `step` and `leap` of the generator), accepts a move by the Metropolis
rule for the weight exp(a · log(1 + guesses) − b · givens), and keeps every proposal that is hard or sparse enough. Each
walk draws its own a and b, so the bank spans hard puzzles, puzzles with few givens, and both.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from chorus.thought.tasks.sudoku_generator import fill, generate, leap, minimal, reduce, step
from chorus.thought.tasks.sudoku_solver import Boards, load, search, units_of


@njit(cache=True)
def _walk(rng, a, b, hard, sparse, moves, box_height, box_width, puzzles, solutions):  # type: ignore[no-untyped-def]
    """Store what one walk proposes with at least `hard` guesses or at most `sparse` givens; returns how many."""
    units = units_of(box_height, box_width)
    cells = units.shape[0]
    solution = np.empty(cells, np.uint8)
    values = np.empty(cells, np.uint8)
    used = np.empty(3 * box_height * box_width, np.int64)
    fill(rng, units, solution)
    puzzle = solution.copy()
    givens = reduce(rng, puzzle, cells, 0, units)
    score = -1e9
    stored = 0
    for _ in range(moves):
        if stored == len(puzzles):
            break
        next_puzzle = puzzle.copy()
        remove = 1 + (rng.random() < 0.2)
        if rng.random() < 0.85 and step(rng, next_puzzle, solution, givens, remove, units):
            next_givens = givens + 1 - remove
        else:  # also where a puzzle has no near neighbour, so that no walk is stuck
            next_givens = leap(rng, next_puzzle, solution, givens, rng.integers(2, 5), units)
        next_givens = reduce(rng, next_puzzle, next_givens, 0, units)
        load(next_puzzle, values, used, units)
        _, guesses = search(values, used, units, 2, solution, np.empty((0, 0), np.int64))
        if guesses >= hard or next_givens <= sparse:
            puzzles[stored] = next_puzzle
            solutions[stored] = solution
            stored += 1
        next_score = a * math.log(1.0 + guesses) - b * next_givens
        if next_score >= score or rng.random() < math.exp(next_score - score):
            puzzle, givens, score = next_puzzle, next_givens, next_score
    return stored


def walks(
    n: int,
    seed: int = 0,
    box: tuple[int, int] = (3, 3),
    hard: int = 8,
    sparse: int = 20,
    moves: int = 300,
) -> tuple[Boards, Boards]:
    """Make n minimal puzzles that are hard or have few givens, and their solutions; uint8 [n, cells] twice.

    Args:
        n: how many.
        seed: the same seed gives the same puzzles.
        box: rows and columns of a box.
        hard: guesses (see `difficulty`) from which on a puzzle is kept.
        sparse: givens up to which a puzzle is kept, hard or not.
        moves: length of a walk, after which the next one starts from a random minimal puzzle.

    """
    rng = np.random.default_rng(seed)
    cells = (box[0] * box[1]) ** 2
    puzzles: NDArray[np.uint8] = np.zeros((n, cells), np.uint8)
    solutions: NDArray[np.uint8] = np.zeros((n, cells), np.uint8)
    made = 0
    while made < n:
        a, b = rng.uniform(0.0, 4.0), rng.uniform(0.0, 2.0)
        made += _walk(rng, a, b, hard, sparse, moves, *box, puzzles[made:], solutions[made:])
    return puzzles, solutions


def training_bank(
    n: int,
    seed: int = 0,
    givens: tuple[int, int] = (24, 36),
    shares: tuple[float, float, float] = (0.15, 0.25, 0.6),
) -> tuple[Boards, Boards]:
    """Make n shuffled 9×9 puzzles and solutions, uint8 [n, 81] twice, with exactly one solution each.

    Args:
        n: how many.
        seed: the same seed gives the same bank.
        givens: the range of the easy share.
        shares: of puzzles with a uniform number of givens, of random minimal puzzles, and of walks (hard, few givens).

    >>> puzzles, solutions = training_bank(20, seed=0)
    >>> bool(((puzzles == 0) | (puzzles == solutions)).all())
    True

    """
    rng = np.random.default_rng(seed)
    seeds = rng.integers(0, 2**62, size=3)
    easy, random, _ = np.round(np.array(shares) / sum(shares) * n).astype(int)
    made = [
        generate(int(easy), givens, int(seeds[0])),
        minimal(int(random), int(seeds[1])),
        walks(n - int(easy) - int(random), int(seeds[2])),
    ]
    order = rng.permutation(n)
    return np.concatenate([p for p, _ in made])[order], np.concatenate([s for _, s in made])[order]
