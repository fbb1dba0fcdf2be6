"""Solver, generators and bank, against a plain backtracking search that shares no code with them."""

import numpy as np
import pytest

from chorus.errors import ChorusError, InputError
from chorus.thought.tasks import sudoku_bank, sudoku_generator
from chorus.thought.tasks.sudoku_generator import generate, minimal, random_solution
from chorus.thought.tasks.sudoku_solver import count_solutions, difficulty, solve

BOXES = [(2, 2), (2, 3), (3, 2), (3, 3)]
EASY = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
INKALA = "800000000003600000070090200050007000000045700000100030001000068008500010090000400"


def board(text):
    return np.array([int(c) for c in text], np.uint8)


def backtrack(puzzle, box, limit):
    """Count solutions by trying every digit that clashes with no peer, most constrained cell first; sets only."""
    height, width = box
    n = height * width
    cells = {(r, c): int(puzzle[r * n + c]) for r in range(n) for c in range(n)}
    peers = {
        (r, c): {
            (i, j)
            for i, j in cells
            if (i, j) != (r, c) and (i == r or j == c or (i // height == r // height and j // width == c // width))
        }
        for r, c in cells
    }
    for cell, digit in cells.items():
        if digit and any(cells[p] == digit for p in peers[cell]):
            return 0

    def count(found):
        blanks = [cell for cell, digit in cells.items() if digit == 0]
        if not blanks:
            return found + 1
        options = {cell: set(range(1, n + 1)) - {cells[p] for p in peers[cell]} for cell in blanks}
        cell = min(blanks, key=lambda b: len(options[b]))
        for digit in options[cell]:
            cells[cell] = digit
            found = count(found)
            cells[cell] = 0
            if found >= limit:
                break
        return found

    return count(0)


def one_solution(puzzles, solutions, box):
    n = box[0] * box[1]
    for puzzle, solution in zip(puzzles, solutions, strict=True):
        assert np.all((puzzle == 0) | (puzzle == solution))
        grid = solution.reshape(n, n)
        blocks = grid.reshape(n // box[0], box[0], n // box[1], box[1]).swapaxes(1, 2).reshape(n, n)
        for lines in (grid, grid.T, blocks):
            assert np.array_equal(np.sort(lines, axis=1), np.tile(np.arange(1, n + 1), (n, 1)))
        assert backtrack(puzzle, box, 2) == 1


def test_known_counts():
    assert count_solutions(np.zeros(16, np.uint8), limit=10**6, box=(2, 2)) == 288  # OEIS A107739
    first_band = np.zeros(36, np.uint8)
    first_band[:6] = range(1, 7)
    assert count_solutions(first_band, limit=10**6, box=(2, 3)) * 720 == 28_200_960  # Jarvis and Russell


def test_solves_published_puzzles():
    solution = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
    assert "".join(map(str, solve(board(EASY)))) == solution
    assert difficulty(board(EASY))[0] == 0
    assert difficulty(board(INKALA))[0] > 20
    assert count_solutions(board(INKALA)) == 1


def test_no_and_several_solutions():
    clash = np.zeros(81, np.uint8)
    clash[[0, 8]] = 5
    assert count_solutions(clash) == 0
    assert solve(clash) is None
    stuck = np.zeros(16, np.uint8)  # no two equal givens, and yet no digit is left for the first cell
    stuck[[1, 2, 4, 8]] = [1, 2, 3, 4]
    assert count_solutions(stuck, box=(2, 2)) == 0
    loose = board(EASY)
    loose[np.flatnonzero(loose)[:12]] = 0
    assert count_solutions(loose, limit=5) == backtrack(loose, (3, 3), 5)


def test_counts_agree_with_backtracking():
    rng = np.random.default_rng(0)
    for _ in range(60):
        puzzle = np.where(rng.random(16) < 0.25, rng.integers(1, 5, 16), 0).astype(np.uint8)
        assert count_solutions(puzzle, limit=300, box=(2, 2)) == backtrack(puzzle, (2, 2), 300)


@pytest.mark.parametrize("box", BOXES)
def test_generates_one_solution_each(box):
    n = box[0] * box[1]
    low, high = {4: (4, 8), 6: (9, 16), 9: (24, 36)}[n]
    puzzles, solutions = generate(15, (low, high), seed=3, box=box)
    one_solution(puzzles, solutions, box)
    counts = (puzzles > 0).sum(axis=1)
    assert counts.min() >= low
    assert counts.max() <= high
    assert len(set(counts)) > 1


def test_few_givens():
    puzzles, solutions = generate(6, (20, 21), seed=0)
    assert set((puzzles > 0).sum(axis=1)) <= {20, 21}
    one_solution(puzzles, solutions, (3, 3))


def test_givens_are_uniform():
    counts = np.bincount((generate(1300, (24, 36), seed=5)[0] > 0).sum(axis=1), minlength=37)[24:]
    assert np.all(np.abs(counts - 100) < 50)  # five standard deviations


@pytest.mark.parametrize("box", BOXES)
def test_every_clue_of_a_minimal_puzzle_is_needed(box):
    puzzles, solutions = minimal(4, seed=1, box=box)
    one_solution(puzzles, solutions, box)
    for puzzle in puzzles:
        for cell in np.flatnonzero(puzzle):
            less = puzzle.copy()
            less[cell] = 0
            assert backtrack(less, box, 2) == 2


def test_seed_decides():
    assert np.array_equal(generate(5, seed=7)[0], generate(5, seed=7)[0])
    assert not np.array_equal(generate(5, seed=7)[0], generate(5, seed=8)[0])
    assert np.array_equal(sudoku_bank.training_bank(40, seed=1)[0], sudoku_bank.training_bank(40, seed=1)[0])


def test_random_solutions_differ():
    assert len(np.unique(random_solution(200, seed=0), axis=0)) == 200


def test_difficulty_grows_without_singles():
    easy, _ = generate(100, (36, 36), seed=0)
    hard, _ = sudoku_bank.hard(100, seed=0)
    assert np.median(difficulty(easy)) == 0
    assert np.median(difficulty(hard)) >= 6


def test_the_hardest_take_many_guesses_and_have_few_backdoors():
    puzzles, solutions = sudoku_bank.hardest(40, seed=0)
    one_solution(puzzles[:10], solutions[:10], (3, 3))
    assert np.all((puzzles == 0) | (puzzles == solutions))
    assert difficulty(puzzles).min() >= 30
    for puzzle, solution in zip(puzzles[::8], solutions[::8], strict=True):
        told = np.repeat(puzzle[None], 81, axis=0)
        np.fill_diagonal(told, solution)  # board i is told cell i
        assert np.count_nonzero(difficulty(told[puzzle == 0]) == 0) <= 4


def test_shares_decide_what_a_bank_holds():
    with pytest.raises(InputError, match="5 numbers of 0 or more"):
        sudoku_bank.training_bank(10, shares=(1.0, 2.0))
    puzzles, _ = sudoku_bank.training_bank(20, seed=2, shares=(0, 0, 0, 0, 1))
    assert np.array_equal(np.unique(puzzles, axis=0), np.unique(sudoku_bank.hardest(20, seed=2)[0], axis=0))


def test_bank_spans_givens_and_difficulty():
    puzzles, solutions = sudoku_bank.training_bank(400, seed=2)
    assert all(count_solutions(p) == 1 for p in puzzles)
    assert np.all((puzzles == 0) | (puzzles == solutions))
    counts = (puzzles > 0).sum(axis=1)
    assert counts.min() <= 20
    assert counts.max() >= 34
    assert len(np.unique(puzzles, axis=0)) == 400
    one_solution(puzzles[:10], solutions[:10], (3, 3))


@pytest.mark.parametrize("givens", [(16, 20), (30, 29), (24, 82)])
def test_impossible_givens(givens):
    with pytest.raises(InputError, match=r"within 17\.\.81"):
        generate(1, givens)


def test_gives_up_rather_than_run_for_ever():
    with pytest.raises(ChorusError, match="no puzzle of at most 17 givens was found in 400 moves"):
        generate(1, (17, 17), seed=0, max_moves=400)


def test_a_range_down_to_17_takes_what_a_walk_comes_to(monkeypatch):
    monkeypatch.setattr(sudoku_generator, "_WALK", 200)
    puzzles, solutions = generate(60, (17, 36), seed=0, max_moves=2000)
    counts = (puzzles > 0).sum(axis=1)
    assert counts.min() >= 17
    assert counts.max() <= 36
    one_solution(puzzles, solutions, (3, 3))


def test_alien_boards():
    with pytest.raises(InputError, match="81 cells"):
        count_solutions(np.zeros(80, np.uint8))
    with pytest.raises(InputError, match="0 \\(blank\\) to 4"):
        count_solutions(np.full(16, 5, np.uint8), box=(2, 2))
