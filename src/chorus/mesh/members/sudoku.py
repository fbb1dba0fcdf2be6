"""A member that is no model: an exact Sudoku search, and the rules of the game as its judge.

It makes the mesh demonstrable, testable and measurable with real answers and no weights at all.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator

import msgspec

from chorus.mesh.member import Answer, Judgement

_DIGITS = "123456789"
_UNITS = [
    *([9 * r + c for c in range(9)] for r in range(9)),
    *([9 * r + c for r in range(9)] for c in range(9)),
    *([9 * (3 * b + i) + 3 * a + j for i in range(3) for j in range(3)] for a in range(3) for b in range(3)),
]
_PEERS = [sorted({p for unit in _UNITS if cell in unit for p in unit} - {cell}) for cell in range(81)]


class SudokuOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[member]` with `kind = "sudoku"`."""

    pace: float = 0.0  # seconds between two digits it writes, to give people something to watch


class SudokuMember:
    """Solves by search over the cell with the fewest candidates, in an order of its own seed.

    >>> puzzle = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
    >>> member = SudokuMember()
    >>> answer = asyncio.run(member.propose(puzzle, 1, 100, lambda text: None))
    >>> answer.text[:9], asyncio.run(member.judge(puzzle, answer.text)).approve
    ('534678912', True)
    """

    def __init__(self, options: SudokuOptions | None = None) -> None:
        self._pace = (options or SudokuOptions()).pace

    async def propose(self, question: str, seed: int, budget: int, emit: Callable[[str], None]) -> Answer:
        """Solve a puzzle of 81 characters, digits for givens and `.` or `0` for empty cells."""
        grid = _grid(question)
        rng = random.Random(seed)
        for steps, solved in enumerate(_search(grid, rng)):
            if solved:
                break
            if steps & 63 == 0:
                await asyncio.sleep(0)
        else:
            raise ValueError("the puzzle has no solution")
        for digit in grid:
            emit(digit)
            await asyncio.sleep(self._pace)
        return Answer("".join(grid), 0.0, 81)

    async def judge(self, question: str, answer: str) -> Judgement:
        """Score the share of rows, columns and boxes that hold every digit; approve a full solution of this puzzle."""
        given = _grid(question)
        if len(answer) != 81 or any(g not in (".", a) for g, a in zip(given, answer, strict=True)):
            return Judgement(0.0, False)
        score = sum({answer[cell] for cell in unit} == set(_DIGITS) for unit in _UNITS) / len(_UNITS)
        return Judgement(score, score == 1.0)

    async def close(self) -> None:
        """Nothing to let go of."""


def puzzle(seed: int, clues: int = 32) -> str:
    """Return a Sudoku with one solution, as 81 characters, drawn from a seed.

    Digs givens out of a random full grid as long as the solution stays the only one, down to `clues` givens.

    >>> made = puzzle(5)
    >>> len(made), 81 - made.count(".") >= 32
    (81, True)
    """
    rng = random.Random(seed)
    grid = ["."] * 81
    next(solved for solved in _search(grid, rng) if solved)
    for cell in rng.sample(range(81), 81):
        if 81 - grid.count(".") <= clues:
            break
        digit, grid[cell] = grid[cell], "."
        others = (d for d in _DIGITS if d != digit and all(grid[peer] != d for peer in _PEERS[cell]))
        for other in others:
            trial = [*grid[:cell], other, *grid[cell + 1 :]]
            if any(_search(trial, rng)):
                grid[cell] = digit
                break
    return "".join(grid)


def _grid(question: str) -> list[str]:
    cells = [character for character in question if not character.isspace()]
    if len(cells) != 81 or not set(cells) <= set(_DIGITS + ".0"):
        raise ValueError("a Sudoku is 81 digits, with '.' or '0' for empty cells")
    return ["." if cell == "0" else cell for cell in cells]


def _search(grid: list[str], rng: random.Random) -> Iterator[bool]:
    """Fill the grid in place; yield False after every step and True when it is full; end when there is no solution."""
    fewest: list[str] | None = None
    where = -1
    for cell in range(81):
        if grid[cell] == ".":
            options = sorted(set(_DIGITS) - {grid[peer] for peer in _PEERS[cell]})
            if fewest is None or len(options) < len(fewest):
                fewest, where = options, cell
                if len(options) < 2:
                    break
    if fewest is None:
        yield True
        return
    rng.shuffle(fewest)
    for digit in fewest:
        grid[where] = digit
        yield False
        for solved in _search(grid, rng):
            yield solved
            if solved:
                return
        grid[where] = "."
