"""A bank of Sudoku puzzles to train on: easy ones, random minimal ones, and many that are hard or have few givens.

Random puzzles are rarely hard: a median minimal 9×9 puzzle takes 2 guesses, one in a hundred more than 30. The bank
walks through neighbouring minimal puzzles ({-1+1} and {-2+1} moves) and accepts them by the Metropolis rule for the
weight exp(a · log(1 + guesses) − b · givens). Each walk draws its own a and b, so the bank spans hard puzzles, puzzles
with few givens, and both.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from chorus.thought.tasks.sudoku_generator import _fill, _reduce, _step, generate, minimal
from chorus.thought.tasks.sudoku_solver import Boards, load, search, units_of


@njit(cache=True)
def _walk(rng, hardness, sparsity, burn_in, thin, box_height, box_width, puzzles, solutions):  # type: ignore[no-untyped-def]
    """Fill `puzzles` and `solutions` with every `thin`-th state of one walk that starts at a random minimal puzzle."""
    units = units_of(box_height, box_width)
    n_units = 3 * box_height * box_width
    cells = units.shape[0]
    solution = np.empty(cells, np.uint8)
    values = np.empty(cells, np.uint8)
    scratch = np.empty(cells, np.uint8)
    used = np.empty(n_units, np.int64)
    no_tally = np.empty((0, 0), np.int64)
    _fill(rng, units, solution)
    puzzle = solution.copy()
    givens = _reduce(rng, puzzle, cells, 0, units)
    score = -1e9
    next_puzzle = np.empty(cells, np.uint8)
    next_solution = np.empty(cells, np.uint8)
    for step in range(burn_in + thin * len(puzzles)):
        next_puzzle[:] = puzzle
        remove = 1 + (rng.random() < 0.5)
        if _step(rng, next_puzzle, next_solution, givens, remove, units):
            next_givens = _reduce(rng, next_puzzle, givens + 1 - remove, 0, units)
            load(next_puzzle, values, used, units)
            _, guesses = search(values, used, units, 2, scratch, no_tally)
            next_score = hardness * math.log(1.0 + guesses) - sparsity * next_givens
            if next_score >= score or rng.random() < math.exp(next_score - score):
                puzzle[:] = next_puzzle
                solution[:] = next_solution
                givens, score = next_givens, next_score
        if step >= burn_in and (step - burn_in) % thin == thin - 1:
            puzzles[(step - burn_in) // thin] = puzzle
            solutions[(step - burn_in) // thin] = solution


def walks(
    n: int, seed: int = 0, box: tuple[int, int] = (3, 3), length: int = 50, burn_in: int = 60, thin: int = 4
) -> tuple[Boards, Boards]:
    """Make n minimal puzzles, hard or with few givens, from walks of `length` puzzles each; uint8 [n, cells] twice."""
    rng = np.random.default_rng(seed)
    cells = (box[0] * box[1]) ** 2
    puzzles = np.zeros((n, cells), np.uint8)
    solutions = np.zeros((n, cells), np.uint8)
    for start in range(0, n, length):
        part = slice(start, min(start + length, n))
        hardness, sparsity = rng.uniform(0.0, 4.0), rng.uniform(0.0, 3.0)
        _walk(rng, hardness, sparsity, burn_in, thin, *box, puzzles[part], solutions[part])
    return puzzles, solutions


def training_bank(
    n: int,
    seed: int = 0,
    box: tuple[int, int] = (3, 3),
    givens: tuple[int, int] = (24, 36),
    shares: tuple[float, float, float] = (0.15, 0.25, 0.6),
) -> tuple[Boards, Boards]:
    """Make n shuffled puzzles and solutions, uint8 [n, cells] twice, with one solution each.

    Args:
        n: how many.
        seed: the same seed gives the same bank.
        box: rows and columns of a box.
        givens: the range of the easy share.
        shares: of puzzles with a uniform number of givens, of random minimal puzzles, and of walks (hard, few givens).
    """
    rng = np.random.default_rng(seed)
    seeds = rng.integers(0, 2**62, size=3)
    parts = np.diff(np.round(np.concatenate([[0.0], np.cumsum(shares) / sum(shares)]) * n).astype(int))
    made = [
        generate(int(parts[0]), givens, int(seeds[0]), box),
        minimal(int(parts[1]), int(seeds[1]), box),
        walks(int(parts[2]), int(seeds[2]), box),
    ]
    order = rng.permutation(n)
    return np.concatenate([p for p, _ in made])[order], np.concatenate([s for _, s in made])[order]
