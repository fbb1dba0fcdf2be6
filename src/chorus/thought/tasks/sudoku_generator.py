"""Sudoku puzzles with exactly one solution: by removal, and for few givens by a walk through neighbouring puzzles.

Removal takes clues from a random solution in random order and keeps each removal that leaves one solution. It ends in a
minimal puzzle, for 9×9 mostly of 23 to 26 givens. Fewer givens are reached by the vicinity search known from the
17-clue lists: take one or two clues out, enumerate all solutions of what is left, and put in one clue that exactly one
of them has ({-1+1} moves sideways, {-2+1} moves down).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from chorus.errors import ChorusError, InputError
from chorus.thought.tasks.sudoku_solver import (
    DEAD,
    SOLVED,
    Boards,
    choose,
    load,
    place,
    propagate,
    search,
    units_of,
)

FEWEST_GIVENS = {(2, 2): 4, (2, 3): 8, (3, 2): 8, (3, 3): 17}  # proved by exhaustive search; 17 by arXiv 1201.0749
_ENUMERATION_CAP = 400  # a neighbour with more solutions than this is given up: few of its clues would settle it


@njit(cache=True)
def fill(rng, units, solution):  # type: ignore[no-untyped-def]
    """Write a random solution: random guesses, and from the start again at a dead end, which is rare."""
    n_units = units[-1, 2] + 1
    values = np.empty(units.shape[0], np.uint8)
    used = np.empty(n_units, np.int64)
    bits = np.empty(16, np.int64)
    while True:
        values[:] = 0
        used[:] = 0
        for i, digit in enumerate(rng.permutation(n_units // 3)):  # a random first row; the rest by guesses
            place(values, used, units, i, 1 << digit)
        status = propagate(values, used, units)
        while status != DEAD and status != SOLVED:
            cell, mask = choose(values, used, units)
            count = 0
            while mask:
                bits[count] = mask & -mask
                mask &= mask - 1
                count += 1
            place(values, used, units, cell, bits[rng.integers(0, count)])
            status = propagate(values, used, units)
        if status == SOLVED:
            solution[:] = values
            return


@njit(cache=True)
def _needed(puzzle, cell, values, used, units, scratch, tally):  # type: ignore[no-untyped-def]
    """Whether the clue at `cell` of a puzzle with one solution rules another solution out."""
    digit = puzzle[cell]
    puzzle[cell] = 0
    full = (1 << (used.size // 3)) - 1
    load(puzzle, values, used, units)
    others = full & ~(used[units[cell, 0]] | used[units[cell, 1]] | used[units[cell, 2]] | (1 << (digit - 1)))
    answer = False
    while others and not answer:
        bit = others & -others
        others ^= bit
        load(puzzle, values, used, units)
        place(values, used, units, cell, bit)
        answer = search(values, used, units, 1, scratch, tally)[0] > 0
    puzzle[cell] = digit
    return answer


@njit(cache=True)
def reduce(rng, puzzle, givens, target, units):  # type: ignore[no-untyped-def]
    """Remove clues in random order while one solution remains, down to `target`; returns the givens left."""
    n_units = units[-1, 2] + 1
    values = np.empty(puzzle.size, np.uint8)
    scratch = np.empty(puzzle.size, np.uint8)
    used = np.empty(n_units, np.int64)
    tally = np.empty((0, 0), np.int64)
    for cell in rng.permutation(puzzle.size):
        if givens <= target:
            break
        if puzzle[cell] and not _needed(puzzle, cell, values, used, units, scratch, tally):
            puzzle[cell] = 0
            givens -= 1
    return givens


@njit(cache=True)
def _take_out(rng, puzzle, givens, removed, digits):  # type: ignore[no-untyped-def]
    """Blank as many random clues as `removed` has places; remember their cells and digits there."""
    for i in range(removed.size):
        nth = rng.integers(0, givens - i)
        for cell in range(puzzle.size):
            if puzzle[cell]:
                if nth == 0:
                    removed[i] = cell
                    break
                nth -= 1
        digits[i] = puzzle[removed[i]]
        puzzle[removed[i]] = 0


@njit(cache=True)
def step(rng, puzzle, solution, givens, remove, units):  # type: ignore[no-untyped-def]
    """Move to a random neighbour: `remove` clues out, one clue in that leaves one solution. True when it moved."""
    n_units = units[-1, 2] + 1
    cells, n = puzzle.size, n_units // 3
    values = np.empty(cells, np.uint8)
    used = np.empty(n_units, np.int64)
    tally = np.zeros((cells, n + 1), np.int64)
    removed = np.empty(remove, np.int64)
    digits = np.empty(remove, np.uint8)
    _take_out(rng, puzzle, givens, removed, digits)
    load(puzzle, values, used, units)
    found, _ = search(values, used, units, _ENUMERATION_CAP, np.empty(cells, np.uint8), tally)
    options, chosen_cell, chosen_digit = 0, 0, 0
    if found < _ENUMERATION_CAP:
        for cell in range(cells):
            for digit in range(1, n + 1):
                put_back = remove == 1 and cell == removed[0] and digit == digits[0]
                if tally[cell, digit] == 1 and not put_back:
                    options += 1
                    if rng.integers(0, options) == 0:
                        chosen_cell, chosen_digit = cell, digit
    if options:
        puzzle[chosen_cell] = chosen_digit
        load(puzzle, values, used, units)
        search(values, used, units, 1, solution, np.empty((0, 0), np.int64))
        return True
    for i in range(remove):
        puzzle[removed[i]] = digits[i]
    return False


@njit(cache=True)
def leap(rng, puzzle, solution, givens, remove, units):  # type: ignore[no-untyped-def]
    """Move further: `remove` clues out, a solution of the rest picked, clues of it put in until it is the only one.

    Each clue is the most telling of a few random cells, so that few are needed. Returns the givens, not yet minimal.
    """
    n_units = units[-1, 2] + 1
    cells = puzzle.size
    values = np.empty(cells, np.uint8)
    scratch = np.empty(cells, np.uint8)
    used = np.empty(n_units, np.int64)
    removed = np.empty(remove, np.int64)
    _take_out(rng, puzzle, givens, removed, np.empty(remove, np.uint8))
    givens -= remove
    load(puzzle, values, used, units)
    search(values, used, units, rng.integers(1, _ENUMERATION_CAP // 4), solution, np.empty((0, 0), np.int64))
    while True:
        tally = np.zeros((cells, n_units // 3 + 1), np.int64)
        load(puzzle, values, used, units)
        found, _ = search(values, used, units, _ENUMERATION_CAP // 4, scratch, tally)
        if found == 1:
            return givens
        best, fewest = -1, found
        looked = 0
        while looked < 8 or best < 0:
            cell = rng.integers(0, cells)
            looked += 1
            if puzzle[cell] == 0 and (tally[cell, solution[cell]] < fewest or (best < 0 and looked > 4 * cells)):
                best, fewest = cell, tally[cell, solution[cell]]
        puzzle[best] = solution[best]
        givens += 1


@njit(cache=True)
def _descend(rng, puzzle, solution, givens, target, units, max_steps):  # type: ignore[no-untyped-def]
    """Walk through minimal neighbours until `target` givens are reached or the steps are spent; the givens left."""
    for _ in range(max_steps):
        if givens <= target:
            break
        remove = 1 + (rng.random() < 0.5)
        if step(rng, puzzle, solution, givens, remove, units):
            givens = reduce(rng, puzzle, givens + 1 - remove, target, units)
    return givens


@njit(cache=True)
def _generate(rng, targets, box_height, box_width, max_steps, puzzles, solutions):  # type: ignore[no-untyped-def]
    """Fill puzzles and solutions; returns how many were made (fewer than asked when one ran out of steps)."""
    units = units_of(box_height, box_width)
    for i in range(len(targets)):
        fill(rng, units, solutions[i])
        puzzles[i] = solutions[i]
        givens = reduce(rng, puzzles[i], units.shape[0], targets[i], units)
        if _descend(rng, puzzles[i], solutions[i], givens, targets[i], units, max_steps) > targets[i]:
            return i
    return len(targets)


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
    max_steps: int = 100_000,
) -> tuple[Boards, Boards]:
    """Make n puzzles with exactly one solution each; the number of givens is drawn uniformly from a range.

    Args:
        n: how many.
        givens: fewest and most givens, both included. Counts that random removal hardly reaches (below 23 on a 9×9
            board) take a vicinity search, which slows down steeply towards 17.
        seed: the same seed gives the same puzzles.
        box: rows and columns of a box.
        max_steps: moves of the vicinity search before a puzzle is given up.

    Returns:
        Puzzles and solutions, uint8 [n, cells].

    Raises:
        InputError: a range that no puzzle can have.
        ChorusError: a puzzle with that few givens was not found within `max_steps`.

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
    made = _generate(rng, targets, *box, max_steps, puzzles, solutions)
    if made < n:
        raise ChorusError(
            f"no puzzle with {targets[made]} givens was found in {max_steps} steps; ask for more givens or more steps"
        )
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
    _generate_minimal(np.random.default_rng(seed), *box, puzzles, solutions)
    return puzzles, solutions


@njit(cache=True)
def _generate_minimal(rng, box_height, box_width, puzzles, solutions):  # type: ignore[no-untyped-def]
    units = units_of(box_height, box_width)
    for i in range(len(puzzles)):
        fill(rng, units, solutions[i])
        puzzles[i] = solutions[i]
        reduce(rng, puzzles[i], units.shape[0], 0, units)
