"""Sudoku puzzles with exactly one solution, of a given number of givens or minimal; uint8 boards as in the solver."""

from __future__ import annotations

import numpy as np

from chorus.compiling import njit
from chorus.errors import ChorusError, InputError
from chorus.thought.tasks.sudoku_moves import fill, reduce, wander
from chorus.thought.tasks.sudoku_solver import Boards, units_of

FEWEST_GIVENS = {(2, 2): 4, (2, 3): 8, (3, 2): 8, (3, 3): 17}  # proved by exhaustive search; 17 by arXiv 1201.0749
_PULL = 4.0  # how firmly a walk to few givens refuses more; of 1, 2, 3 and 5, the last two found 18 and 19 soonest
_SLICE = 200  # moves of a walk between two chances to interrupt it
_WALK = 3000  # moves of a walk before it starts again from a new board


@njit
def _remove(rng, targets, box_height, box_width, puzzles, solutions):  # type: ignore[no-untyped-def]
    """Draw a board for each puzzle and remove clues down to its target; give the givens left."""
    units = units_of(box_height, box_width)
    givens = np.empty(len(targets), np.int64)
    for i in range(len(targets)):
        fill(rng, units, solutions[i])
        puzzles[i] = solutions[i]
        givens[i] = reduce(rng, puzzles[i], units.shape[0], targets[i], units)
    return givens


def random_solution(n: int, seed: int, box: tuple[int, int] = (3, 3)) -> Boards:
    """Draw n complete boards uint8 [n, cells].

    >>> random_solution(2, seed=0).shape
    (2, 81)
    """
    cells = (box[0] * box[1]) ** 2
    return generate(n, givens=(cells, cells), seed=seed, box=box)[1]


def generate(
    n: int,
    givens: tuple[int, int] = (24, 36),
    seed: int = 0,
    box: tuple[int, int] = (3, 3),
    max_moves: int = 60_000,
) -> tuple[Boards, Boards]:
    """Make n puzzles with exactly one solution each; the number of givens is drawn uniformly from a range.

    Where a walk does not come down to the number drawn (17 and 18 on a 9×9 board), the puzzle it ended at is taken, if
    the range allows it.

    Args:
        n: how many.
        givens: fewest and most givens, both included. Counts that random removal hardly reaches (below 23 on a 9×9
            board) take a vicinity search, which slows down steeply towards 17.
        seed: the same seed gives the same puzzles.
        box: rows and columns of a box.
        max_moves: moves of the vicinity search before a puzzle within the range is given up.

    Returns:
        Puzzles and solutions, uint8 [n, cells].

    Raises:
        InputError: a range that no puzzle can have.
        ChorusError: no puzzle with so few givens was found within `max_moves`.

    >>> puzzles, solutions = generate(3, givens=(30, 30), seed=1)
    >>> (puzzles > 0).sum(axis=1)
    array([30, 30, 30])

    """
    low, high = givens
    cells = (box[0] * box[1]) ** 2
    fewest = FEWEST_GIVENS.get(box)
    if fewest is None:
        raise InputError(f"boxes of {box[0]} × {box[1]} are not supported; use one of {sorted(FEWEST_GIVENS)}")
    if not fewest <= low <= high <= cells:
        raise InputError(f"givens must be a range within {fewest}..{cells} for this board; got {low}..{high}")
    rng = np.random.default_rng(seed)
    targets = rng.integers(low, high, size=n, endpoint=True)
    puzzles = np.zeros((n, cells), np.uint8)
    solutions = np.zeros((n, cells), np.uint8)
    left = _remove(rng, targets, *box, puzzles, solutions)
    units = units_of(*box)
    for i in np.flatnonzero(left > targets):
        moves, now = 0, left[i]
        while now > targets[i]:
            if moves >= _WALK and now <= high:
                break
            if moves >= max_moves:
                raise ChorusError(
                    f"no puzzle of at most {high} givens was found in {moves} moves; "
                    f"ask for more givens, or for another seed"
                )
            if moves and moves % _WALK == 0:
                now = _remove(rng, targets[i : i + 1], *box, puzzles[i : i + 1], solutions[i : i + 1])[0]
            now = wander(rng, puzzles[i], solutions[i], now, _PULL, targets[i], _SLICE, units)
            moves += _SLICE
    return puzzles, solutions


def minimal(n: int, seed: int = 0, box: tuple[int, int] = (3, 3)) -> tuple[Boards, Boards]:
    """Make n minimal puzzles, in which every clue is needed (about 24 givens on 9×9), and their solutions.

    >>> puzzles, _ = minimal(2, seed=0, box=(2, 2))
    >>> puzzles.shape
    (2, 16)
    """
    cells = (box[0] * box[1]) ** 2
    puzzles = np.zeros((n, cells), np.uint8)
    solutions = np.zeros((n, cells), np.uint8)
    _remove(np.random.default_rng(seed), np.zeros(n, np.int64), *box, puzzles, solutions)
    return puzzles, solutions
