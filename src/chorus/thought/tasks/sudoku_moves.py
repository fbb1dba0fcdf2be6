"""The moves that Sudoku puzzles are made with: fill a board, remove clues, go to a neighbouring puzzle.

Every puzzle has one solution before and after a move. `reduce` ends in a minimal puzzle, for 9×9 mostly of 23 to 26
givens; fewer are reached by the vicinity search known from the 17-clue lists: take one or two clues out, enumerate all
solutions of what is left, and put in one clue that exactly one of them has ({-1+1} moves sideways, {-2+1} down).
"""

from __future__ import annotations

import math

import numpy as np

from chorus.compiling import njit
from chorus.thought.tasks.sudoku_solver import DEAD, SOLVED, choose, load, place, propagate, search

_ENUMERATION_CAP = 400  # a neighbour with more solutions than this is given up: few of its clues would settle it


@njit
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


@njit
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


@njit
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


@njit
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


@njit
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


@njit
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


@njit
def wander(rng, puzzle, solution, givens, pull, target, moves, units):  # type: ignore[no-untyped-def]
    """Move among minimal puzzles until one has `target` givens or the moves are spent; returns its givens.

    A move to more givens is accepted by the Metropolis rule for the weight exp(-pull · givens).
    """
    next_solution = np.empty_like(solution)
    for _ in range(moves):
        if givens <= target:
            break
        next_puzzle = puzzle.copy()
        remove = 1 + (rng.random() < 0.3)
        if rng.random() < 0.85 and step(rng, next_puzzle, next_solution, givens, remove, units):
            next_givens = givens + 1 - remove
        else:  # also where a puzzle has no near neighbour, so that no walk is stuck
            next_givens = leap(rng, next_puzzle, next_solution, givens, rng.integers(2, 5), units)
        next_givens = reduce(rng, next_puzzle, next_givens, target, units)
        if rng.random() < math.exp(min(0.0, pull * (givens - next_givens))):
            puzzle[:] = next_puzzle
            solution[:] = next_solution
            givens = next_givens
    return givens
