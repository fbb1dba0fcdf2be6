"""The symmetries of Sudoku: a canonical form to find equivalent puzzles, and random symmetries to train with.

Two puzzles are equivalent when relabelling the digits and permuting bands, stacks, rows within a band and columns
within a stack (and, where boxes are square, transposing) turns one into the other.

The canonical form is found as graph canonisation does (McKay & Piperno 2014, doi:10.1016/j.jsc.2013.09.003): colours
of rows, columns, bands, stacks, digits and boxes are refined by what they meet until they tell all rows and columns
apart; where a tie is left, each of its members is set apart in turn, and the least of all results is taken. Colours
only choose among orders, boards are compared as such, so a clash of hashes costs time and never correctness.
"""

from __future__ import annotations

import numpy as np
from numba import uint64

from chorus.compiling import njit
from chorus.thought.tasks.sudoku_solver import Boards, as_boards

_ROUNDS = 6  # refinements before ties are broken by hand; most puzzles need three
_MARK = np.uint64(0x9E3779B97F4A7C15)


@njit
def _mix(x):  # type: ignore[no-untyped-def]
    """Scramble 64 bits (the finaliser of splitmix64), so that sums of mixed colours stand for multisets."""
    x = uint64(x) + _MARK
    x = (x ^ (x >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> uint64(27))) * uint64(0x94D049BB133111EB)
    return x ^ (x >> uint64(31))


@njit
def _refine(board, lines, blocks, digits, boxes, sizes):  # type: ignore[no-untyped-def]
    """Refine colours once: `lines` [2, n] of rows and columns, `blocks` [2, n] of bands and stacks."""
    n = lines.shape[1]
    new_lines = np.zeros_like(lines)
    new_digits = np.zeros_like(digits)
    new_boxes = np.zeros_like(boxes)
    for row in range(n):
        for column in range(n):
            digit = board[row, column]
            if digit:
                band, stack = row // sizes[0], column // sizes[1]
                own_row, own_column = _mix(lines[0, row]), _mix(lines[1, column] ^ _MARK)
                clue = _mix(own_row + own_column + _mix(digits[digit] + uint64(5)) + _mix(boxes[band, stack]))
                new_lines[0, row] += clue
                new_lines[1, column] += clue
                new_digits[digit] += clue
                new_boxes[band, stack] += clue
    for side in range(2):
        new_blocks = np.zeros(n, np.uint64)
        for i in range(n):
            lines[side, i] = _mix(lines[side, i] + _mix(new_lines[side, i]))
            new_blocks[i // sizes[side]] += _mix(lines[side, i])
        for block in range(n // sizes[side]):
            blocks[side, block] = _mix(blocks[side, block] + _mix(new_blocks[block]))
        for i in range(n):
            lines[side, i] = _mix(lines[side, i] + blocks[side, i // sizes[side]])
    for digit in range(n + 1):
        digits[digit] = _mix(digits[digit] + new_digits[digit])
    for band in range(boxes.shape[0]):
        for stack in range(boxes.shape[1]):
            box = _mix(boxes[band, stack] + new_boxes[band, stack])
            boxes[band, stack] = _mix(box + _mix(blocks[0, band]) + _mix(blocks[1, stack] ^ _MARK))


@njit
def _tie(filled, lines, blocks, sizes):  # type: ignore[no-untyped-def]
    """Find the tie to break: (side, kind, colour), kind 0 for blocks, 1 for lines; kind -1 when there is none.

    Empty lines and blocks are interchangeable, so their order does not matter and they never count as tied.
    """
    n = lines.shape[1]
    for side in range(2):
        found, least = False, uint64(0)
        n_blocks = n // sizes[side]
        for i in range(n_blocks):
            if not filled[side, i * sizes[side] : (i + 1) * sizes[side]].any():
                continue
            for j in range(i):
                if blocks[side, i] == blocks[side, j] and (not found or blocks[side, i] < least):
                    found, least = True, blocks[side, i]
        if found:
            return side, 0, least
    for side in range(2):
        found, least = False, uint64(0)
        for i in range(n):
            for j in range(i // sizes[side] * sizes[side], i):
                tied = lines[side, i] == lines[side, j] and filled[side, i]
                if tied and (not found or lines[side, i] < least):
                    found, least = True, lines[side, i]
        if found:
            return side, 1, least
    return 0, -1, uint64(0)


@njit
def _write(board, lines, blocks, sizes, out):  # type: ignore[no-untyped-def]
    """Write the board in the order of its colours, digits numbered as they appear."""
    n = lines.shape[1]
    order = np.empty((2, n), np.int64)
    for side in range(2):
        place = 0
        for block in np.argsort(blocks[side, : n // sizes[side]]):
            first = block * sizes[side]
            for i in np.argsort(lines[side, first : first + sizes[side]]):
                order[side, place] = first + i
                place += 1
    label = np.zeros(n + 1, np.uint8)
    used = 0
    for i in range(n):
        for j in range(n):
            digit = board[order[0, i], order[1, j]]
            if digit and label[digit] == 0:
                used += 1
                label[digit] = used
            out[i * n + j] = label[digit]


@njit
def _settle(board, filled, lines, blocks, digits, boxes, sizes, best):  # type: ignore[no-untyped-def]
    """Refine; at a tie set each member apart and go on from there; keep the least board in `best`."""
    side, kind, colour = 0, 0, uint64(0)
    for _ in range(_ROUNDS):
        _refine(board, lines, blocks, digits, boxes, sizes)
        side, kind, colour = _tie(filled, lines, blocks, sizes)
        if kind < 0:
            break
    if kind < 0:
        out = np.empty_like(best)
        _write(board, lines, blocks, sizes, out)
        for cell in range(best.size):
            if out[cell] != best[cell]:
                if out[cell] < best[cell]:
                    best[:] = out
                break
        return 1
    leaves = 0
    members = blocks[side] if kind == 0 else lines[side]
    count = members.size // sizes[side] if kind == 0 else members.size
    for i in range(count):
        if members[i] == colour:
            next_lines, next_blocks = lines.copy(), blocks.copy()
            if kind == 0:
                next_blocks[side, i] = _mix(colour ^ _MARK)
            else:
                next_lines[side, i] = _mix(colour ^ _MARK)
            leaves += _settle(board, filled, next_lines, next_blocks, digits.copy(), boxes.copy(), sizes, best)
    return leaves


@njit
def _canonical(boards, box_height, box_width, out):  # type: ignore[no-untyped-def]
    n = box_height * box_width
    sizes = np.array([box_height, box_width])
    for k in range(len(boards)):
        out[k] = 255
        for turn in range(2 if box_height == box_width else 1):
            board = boards[k].reshape(n, n)
            if turn:
                board = board.T.copy()
            filled = np.zeros((2, n), np.bool_)
            for row in range(n):
                for column in range(n):
                    if board[row, column]:
                        filled[0, row] = True
                        filled[1, column] = True
            lines = np.zeros((2, n), np.uint64)
            blocks = np.zeros((2, n), np.uint64)
            digits = np.zeros(n + 1, np.uint64)
            boxes = np.zeros((n // box_height, n // box_width), np.uint64)
            _settle(board, filled, lines, blocks, digits, boxes, sizes, out[k])


def canonical(puzzles: Boards, box: tuple[int, int] = (3, 3)) -> Boards:
    """Give the canonical forms of puzzles uint8 [m, cells] (or of one, [cells]): equal exactly for equivalent puzzles.

    >>> a = np.array([1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 2, 0, 4, 0, 0], np.uint8)
    >>> b = a.reshape(4, 4).T[::-1].ravel()  # turned by a quarter
    >>> bool((canonical(a, box=(2, 2)) == canonical(b, box=(2, 2))).all())
    True
    """
    boards = as_boards(puzzles, box)
    out = np.empty_like(boards)
    _canonical(boards, *box, out)
    return out.reshape(np.shape(puzzles))


def _permutations(rng: np.random.Generator, m: int, n: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.argsort(rng.random((m, n)), axis=1)


def augment(
    puzzles: Boards, solutions: Boards, rng: np.random.Generator, box: tuple[int, int] = (3, 3)
) -> tuple[Boards, Boards]:
    """Apply one random symmetry to each puzzle and its solution, uint8 [m, cells] each.

    >>> puzzles = np.zeros((2, 81), np.uint8)
    >>> augment(puzzles, puzzles, np.random.default_rng(0))[0].shape
    (2, 81)
    """
    m, n = len(puzzles), box[0] * box[1]
    order = []
    for size in box:
        block = np.repeat(_permutations(rng, m, n // size), size, axis=1)
        within = np.concatenate([_permutations(rng, m, size) for _ in range(n // size)], axis=1)
        order.append(block * size + within)
    rows, columns = order[0][:, :, None], order[1][:, None, :]
    cells = rows * n + columns
    if box[0] == box[1]:
        cells = np.where(rng.random((m, 1, 1)) < 0.5, columns * n + rows, cells)
    cells = cells.reshape(m, n * n)
    digits = np.concatenate([np.zeros((m, 1), np.int64), 1 + _permutations(rng, m, n)], axis=1).astype(np.uint8)

    def moved(boards: Boards) -> Boards:
        return np.take_along_axis(digits, np.take_along_axis(boards, cells, axis=1).astype(np.int64), axis=1)

    return moved(puzzles), moved(solutions)
