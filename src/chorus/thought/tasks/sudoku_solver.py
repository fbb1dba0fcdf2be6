"""A bitmask Sudoku solver: naked and hidden singles, then a guess at the cell with the fewest candidates.

Boards are uint8 vectors of cells, row by row; 0 is a blank. With boxes of `box_height` rows and `box_width` columns a
board has side n = box_height * box_width: 3 × 3 gives 9×9, 2 × 3 gives 6×6 and 2 × 2 gives 4×4. A candidate set is a
bit mask in which bit d - 1 stands for the digit d. Nothing here is random and nothing is shared between calls.

Compiled code is cached beside each module, and a cache is renewed only when its own module changes: after an edit here
or in `sudoku_moves`, delete `__pycache__/*.nb*`, or the modules that call it go on with what they compiled before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chorus.compiling import njit
from chorus.errors import InputError

Boards = NDArray[np.uint8]

DEAD, SOLVED, OPEN = -1, 0, 1  # what propagation can end in


@njit
def units_of(box_height, box_width):  # type: ignore[no-untyped-def]
    """Give the row, the column and the box of every cell, numbered through as units 0 .. 3n - 1."""
    n = box_height * box_width
    units = np.empty((n * n, 3), np.int64)
    for cell in range(n * n):
        row, column = cell // n, cell % n
        units[cell, 0] = row
        units[cell, 1] = n + column
        units[cell, 2] = 2 * n + (row // box_height) * box_height + column // box_width
    return units


@njit
def digit_of(bit):  # type: ignore[no-untyped-def]
    """Give the digit of a mask with a single bit."""
    digit = 0
    while bit:
        bit >>= 1
        digit += 1
    return digit


@njit
def place(values, used, units, cell, bit):  # type: ignore[no-untyped-def]
    """Write the digit of `bit` into a cell and mark it as used in the cell's row, column and box."""
    values[cell] = digit_of(bit)
    used[units[cell, 0]] |= bit
    used[units[cell, 1]] |= bit
    used[units[cell, 2]] |= bit


@njit
def load(puzzle, values, used, units):  # type: ignore[no-untyped-def]
    """Copy a puzzle into a search state; False when two givens clash."""
    used[:] = 0
    values[:] = 0
    for cell in range(puzzle.size):
        if puzzle[cell]:
            bit = 1 << (np.int64(puzzle[cell]) - 1)
            if (used[units[cell, 0]] | used[units[cell, 1]] | used[units[cell, 2]]) & bit:
                return False
            place(values, used, units, cell, bit)
    return True


@njit
def propagate(values, used, units):  # type: ignore[no-untyped-def]
    """Fill naked and hidden singles until none is left; DEAD, SOLVED or OPEN."""
    n_units = used.size
    full = (1 << (n_units // 3)) - 1
    once = np.empty(n_units, np.int64)
    twice = np.empty(n_units, np.int64)
    while True:
        once[:] = 0
        twice[:] = 0
        placed = False
        blanks = 0
        for cell in range(values.size):
            if values[cell]:
                continue
            row, column, box = units[cell, 0], units[cell, 1], units[cell, 2]
            candidates = full & ~(used[row] | used[column] | used[box])
            if candidates == 0:
                return DEAD
            if candidates & (candidates - 1) == 0:
                place(values, used, units, cell, candidates)
                placed = True
                continue
            blanks += 1
            twice[row] |= once[row] & candidates
            once[row] |= candidates
            twice[column] |= once[column] & candidates
            once[column] |= candidates
            twice[box] |= once[box] & candidates
            once[box] |= candidates
        if blanks == 0:
            return SOLVED
        # The masks may be stale by the singles just placed; candidates only shrink, so what they say stays true.
        hidden = False
        for unit in range(n_units):
            if once[unit] | used[unit] != full:
                return DEAD
            once[unit] &= ~twice[unit]
            hidden |= once[unit] != 0
        if hidden:
            for cell in range(values.size):
                if values[cell]:
                    continue
                row, column, box = units[cell, 0], units[cell, 1], units[cell, 2]
                only_here = once[row] | once[column] | once[box]
                only_here &= full & ~(used[row] | used[column] | used[box])
                if only_here:
                    if only_here & (only_here - 1):
                        return DEAD  # two digits that must both stand here
                    place(values, used, units, cell, only_here)
                    placed = True
        if not placed:
            return OPEN


@njit
def choose(values, used, units):  # type: ignore[no-untyped-def]
    """Give the first blank cell with the fewest candidates, and its candidate mask."""
    full = (1 << (used.size // 3)) - 1
    best, best_mask, fewest = -1, 0, 99
    for cell in range(values.size):
        if values[cell]:
            continue
        mask = full & ~(used[units[cell, 0]] | used[units[cell, 1]] | used[units[cell, 2]])
        count, rest = 0, mask
        while rest:
            rest &= rest - 1
            count += 1
        if count < fewest:
            best, best_mask, fewest = cell, mask, count
            if count == 2:
                break
    return best, best_mask


@njit
def search(values, used, units, limit, solution, tally):  # type: ignore[no-untyped-def]
    """Enumerate solutions from a loaded state, depth first, until `limit` are found.

    `solution` receives the last one found; `tally` [cells, n + 1] counts the digits of all of them, or is empty.
    Returns the number of solutions found and the number of guesses made.
    """
    found, guesses = 0, 0
    status = propagate(values, used, units)
    if status == DEAD:
        return 0, 0
    depth = 0
    cells = values.size
    stack_values = np.empty((cells, cells), np.uint8)
    stack_used = np.empty((cells, used.size), np.int64)
    stack_cell = np.empty(cells, np.int64)
    stack_mask = np.empty(cells, np.int64)
    while True:
        if status == SOLVED:
            solution[:] = values
            if tally.size:
                for cell in range(cells):
                    tally[cell, values[cell]] += 1
            found += 1
            if found >= limit:
                return found, guesses
        elif status == OPEN:
            stack_cell[depth], stack_mask[depth] = choose(values, used, units)
            stack_values[depth] = values
            stack_used[depth] = used
            depth += 1
        while depth and stack_mask[depth - 1] == 0:
            depth -= 1
        if depth == 0:
            return found, guesses
        mask = stack_mask[depth - 1]
        bit = mask & -mask
        stack_mask[depth - 1] = mask ^ bit
        values[:] = stack_values[depth - 1]
        used[:] = stack_used[depth - 1]
        place(values, used, units, stack_cell[depth - 1], bit)
        guesses += 1
        status = propagate(values, used, units)


@njit
def _search_all(puzzles, box_height, box_width, limit):  # type: ignore[no-untyped-def]
    units = units_of(box_height, box_width)
    n = box_height * box_width
    values = np.empty(n * n, np.uint8)
    used = np.empty(3 * n, np.int64)
    tally = np.empty((0, 0), np.int64)
    counts = np.zeros(len(puzzles), np.int64)
    guesses = np.zeros(len(puzzles), np.int64)
    solutions = np.zeros_like(puzzles)
    for i in range(len(puzzles)):
        if load(puzzles[i], values, used, units):
            counts[i], guesses[i] = search(values, used, units, limit, solutions[i], tally)
    return counts, guesses, solutions


def as_boards(puzzles: Boards, box: tuple[int, int]) -> Boards:
    """Give one puzzle or many as a contiguous uint8 array [m, cells], after checking shape and digits."""
    boards = np.ascontiguousarray(puzzles, np.uint8)
    boards = boards[None] if boards.ndim == 1 else boards
    n = box[0] * box[1]
    if boards.ndim != 2 or boards.shape[1] != n * n:
        raise InputError(f"a {n}×{n} board has {n * n} cells; got an array of shape {np.shape(puzzles)}")
    if boards.size and boards.max() > n:
        raise InputError(f"cells of a {n}×{n} board are 0 (blank) to {n}; got {boards.max()}")
    return boards


def count_solutions(puzzle: Boards, limit: int = 2, box: tuple[int, int] = (3, 3)) -> int:
    """Count the solutions of one puzzle uint8 [cells], up to `limit`; 0 when the givens clash.

    >>> count_solutions(np.zeros(16, np.uint8), limit=1000, box=(2, 2))
    288
    """
    return int(_search_all(as_boards(puzzle, box), *box, limit)[0][0])


def solve(puzzle: Boards, box: tuple[int, int] = (3, 3)) -> Boards | None:
    """Give the solution uint8 [cells] of a puzzle (the first, when there are several), or None.

    >>> "".join(map(str, solve(np.array([1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 2, 0, 4, 0, 0], np.uint8), box=(2, 2))))
    '1324423131422413'
    """
    counts, _, solutions = _search_all(as_boards(puzzle, box), *box, 1)
    return solutions[0] if counts[0] else None


def difficulty(puzzles: Boards, box: tuple[int, int] = (3, 3)) -> NDArray[np.int64]:
    """Rate puzzles uint8 [m, cells] by the guesses that a solver with naked and hidden singles needs; int64 [m].

    0 means that singles suffice. The guesses are those of the whole search, with every candidate of a chosen cell
    tried, so that a lucky order of the digits makes nothing look easy.
    """
    guesses: NDArray[np.int64] = _search_all(as_boards(puzzles, box), *box, np.iinfo(np.int64).max)[1]
    return guesses
