"""The model in the box on real puzzles; questions in and answers out; constant memory."""

import itertools

import pytest
import torch

from chorus.errors import InputError
from chorus.thought import ThinkConfig, Thinker, load_checkpoint
from chorus.thought.thinker import pick_device, pick_dtype

# Wikipedia's example, and the first grid of Project Euler's problem 96.
REAL = [
    (
        "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79",
        "534678912672195348198342567859761423426853791713924856961537284287419635345286179",
    ),
    (
        "..3.2.6..9..3.5..1..18.64....81.29..7.......8..67.82....26.95..8..2.3..9..5.1.3..",
        "483921657967345821251876493548132976729564138136798245372689514814253769695417382",
    ),
]
RENAMED = str.maketrans("123456789", "581497263")


@pytest.fixture(scope="module")
def sudoku():
    return Thinker.from_pretrained("sudoku", "cpu")


def test_the_shipped_model_solves_real_puzzles(sudoku):
    assert sudoku.task.name == "sudoku"
    answers = sudoku.answer([question for question, _ in REAL])
    assert [answer.answer for answer in answers] == [answer for _, answer in REAL]
    for answer in answers:
        assert answer.valid is True
        assert answer.halted_by == "confidence"
        assert answer.energy < 0.05
        assert answer.steps < 60


def test_an_empty_board_is_not_answered_at_first_sight(sudoku):
    """The energy head, trained on puzzles with one solution, is soon sure of it; the beliefs are not."""
    answer = sudoku.answer(["." * 81], ThinkConfig(thoughts=4, steps=8))[0]
    assert (answer.halted_by, answer.steps, answer.solutions) == ("budget", 8, "several")


def test_renaming_the_digits_of_a_puzzle_renames_its_answer(sudoku):
    question, solution = REAL[0]
    answer = sudoku.answer([question.translate(RENAMED)])[0]
    assert answer.answer == solution.translate(RENAMED)


def test_more_steps_than_needed_are_not_taken(sudoku):
    question = REAL[0][0]
    short, long = (sudoku.answer([question], ThinkConfig(thoughts=2, steps=steps))[0] for steps in (60, 240))
    assert short.steps == long.steps < 60


@pytest.mark.parametrize("openings", [0.0, 0.5])
def test_the_shipped_model_finds_paths_and_shorter_ways_round(openings):
    thinker = Thinker.from_pretrained("maze", "cpu")
    questions, _ = thinker.task.generate(25, seed=20260, openings=openings)
    answers = thinker.answer([thinker.task.decode_question(question) for question in questions])
    assert sum(answer.valid for answer in answers) >= 21


def test_the_shipped_model_is_small():
    from chorus.thought import shipped_models

    for folder in shipped_models().values():
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 4_000_000
        assert {file.name for file in folder.iterdir()} == {"config.json", "model.safetensors"}


def test_streaming_answers_as_it_reads(trained_folder):
    thinker = Thinker(load_checkpoint(trained_folder), torch.float32)
    read = []
    endless = (read.append(None) or "1.....3....2.4.." for _ in itertools.count())
    answers = thinker.stream(endless, ThinkConfig(thoughts=64, steps=20))
    first = [next(answers) for _ in range(20)]
    assert {answer.answer for answer in first} == {"1324423131422413"}
    assert len(read) <= 24  # three batches of 8, not more


def test_questions_that_do_not_fit(sudoku):
    with pytest.raises(InputError, match="has 3 characters; sudoku has 81"):
        sudoku.answer(["123"])


def test_devices():
    assert pick_device("cpu").type == "cpu"
    assert pick_dtype(torch.device("cpu")) in (torch.float32, torch.bfloat16)
    with pytest.raises(InputError, match="device must be"):
        pick_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="has no cuda device"):
            pick_device("cuda")
