"""Canonical forms and random symmetries, against permutations applied one at a time and published class counts."""

from pathlib import Path

import numpy as np
import pytest

from chorus.thought.tasks.sudoku_generator import generate, minimal, random_solution
from chorus.thought.tasks.sudoku_solver import count_solutions
from chorus.thought.tasks.sudoku_symmetry import augment, canonical

BOXES = [(2, 2), (2, 3), (3, 2), (3, 3)]
LISTS = Path(__file__).parents[4] / "shared" / "data" / "sudoku"


def scramble(puzzle, box, rng):
    """Apply a few dozen elementary symmetries: swap two lines of a block, two blocks, two digits; transpose."""
    n = box[0] * box[1]
    grid = puzzle.reshape(n, n).copy()
    for _ in range(40):
        kind = rng.integers(4)
        if kind == 3 and box[0] == box[1]:
            grid = grid.T.copy()
            continue
        if kind == 2:
            a, b = 1 + rng.choice(n, 2, replace=False)
            grid = np.where(grid == a, b, np.where(grid == b, a, grid))
            continue
        side = rng.integers(2)
        size, view = box[side], grid if side == 0 else grid.T
        if kind == 0:
            block = rng.integers(n // size) * size
            a, b = block + rng.choice(size, 2, replace=False)
            view[[a, b]] = view[[b, a]]
        else:
            a, b = rng.choice(n // size, 2, replace=False) * size
            lines = [*range(a, a + size), *range(b, b + size)]
            view[lines] = view[lines[size:] + lines[:size]]
    return grid.ravel().astype(np.uint8)


@pytest.mark.parametrize("box", BOXES)
def test_invariant_under_every_symmetry(box):
    rng = np.random.default_rng(0)
    puzzles, solutions = minimal(60, seed=2, box=box)
    boards = np.concatenate([puzzles, solutions[:20], np.zeros((1, solutions.shape[1]), np.uint8)])
    moved = np.stack([scramble(b, box, rng) for b in boards])
    assert np.any(moved[:80] != boards[:80], axis=1).mean() > 0.9
    assert np.array_equal(canonical(moved, box), canonical(boards, box))


@pytest.mark.parametrize("box", BOXES)
def test_canonical_form_is_a_puzzle_of_the_class(box):
    puzzles, _ = minimal(30, seed=3, box=box)
    forms = canonical(puzzles, box)
    assert np.array_equal(canonical(forms, box), forms)
    assert np.array_equal((forms > 0).sum(axis=1), (puzzles > 0).sum(axis=1))
    assert all(count_solutions(form, box=box) == 1 for form in forms)


@pytest.mark.parametrize(("box", "draws", "classes"), [((2, 2), 500, 2), ((2, 3), 20_000, 49)])
def test_number_of_classes_of_full_boards(box, draws, classes):
    """There are 2 essentially different 4×4 boards and 49 of 6×6 (Jarvis and Russell 2006)."""
    forms = canonical(random_solution(draws, seed=0, box=box), box)
    assert len(np.unique(forms, axis=0)) == classes


def test_tells_neighbours_apart():
    """Puzzles that differ in one clue of the same digits and places are not equivalent, and have different forms."""
    puzzle, _ = minimal(1, seed=4)
    forms = {canonical(puzzle)[0].tobytes()}
    for cell in np.flatnonzero(puzzle[0]):
        less = puzzle.copy()
        less[0, cell] = 0
        forms.add(canonical(less)[0].tobytes())
    assert len(forms) == 1 + (puzzle > 0).sum()


def test_published_lists():
    """The 17-clue list has no two equivalent puzzles; top1465 is known to hold repeats."""
    if not LISTS.exists():
        pytest.skip(f"no puzzle lists in {LISTS}")
    lines = (LISTS / "sudoku17_sample.txt").read_text().split()
    boards = np.array([[int(c) for c in line] for line in lines], np.uint8)
    assert len(np.unique(canonical(boards), axis=0)) == len(boards) == 2000


@pytest.mark.parametrize("box", BOXES)
def test_augmented_pairs_are_equivalent_pairs(box):
    cells = (box[0] * box[1]) ** 2
    puzzles, solutions = generate(40, (cells // 2, cells // 2), seed=0, box=box)
    rng = np.random.default_rng(0)
    moved, answers = augment(puzzles, solutions, rng, box)
    assert np.array_equal(canonical(moved, box), canonical(puzzles, box))
    assert np.all((moved == 0) | (moved == answers))
    assert all(count_solutions(p, box=box) == 1 for p in moved)


def test_augmentation_reaches_the_whole_group():
    """One clue can be moved to every cell and renamed to every digit, about equally often."""
    puzzles = np.zeros((20_000, 16), np.uint8)
    puzzles[:, 0] = 1
    moved, _ = augment(puzzles, puzzles, np.random.default_rng(0), (2, 2))
    cells, digits = np.nonzero(moved)[1], moved[moved > 0]
    assert len(cells) == 20_000
    counts = np.histogram2d(cells, digits, bins=(16, 4))[0]
    assert counts.min() > 20_000 / 64 * 0.7
    assert counts.max() < 20_000 / 64 * 1.3


def test_augmentation_transposes():
    """Two clues in a row end up in a column half of the time."""
    puzzles = np.zeros((2000, 81), np.uint8)
    puzzles[:, :2] = [1, 2]
    moved, _ = augment(puzzles, puzzles, np.random.default_rng(0))
    first, second = np.array([np.flatnonzero(m) for m in moved]).T
    assert 0.45 < np.mean(first // 9 == second // 9) < 0.55
