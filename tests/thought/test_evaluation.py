"""Scores: exact answers, cells, intervals, and the counted cost of a step."""

import math

import pytest
import torch
from small_minds import random_mind
from torch.utils.flop_counter import FlopCounterMode

from chorus.errors import InputError
from chorus.thought import Checkpoint, ThinkConfig, Thinker, evaluate, flops_per_row, load_checkpoint, sweep, wilson
from chorus.thought.tasks import make_task


@pytest.fixture(scope="module")
def pairs():
    task = make_task("sudoku4")
    questions, answers = task.generate(30, seed=5)
    return [task.decode_question(q) for q in questions], [task.decode(a) for a in answers]


def test_a_score_counts_what_is_right(trained_folder, pairs):
    thinker = Thinker(load_checkpoint(trained_folder), torch.float32)
    questions, answers = pairs
    config = ThinkConfig(thoughts=3, steps=6, termination=None)
    given = [thinker.answer([question], config)[0].answer for question in questions]
    wrong = [answer[1:] + answer[:1] for answer in answers[:10]]
    truth = wrong + answers[10:]
    score = evaluate(thinker, questions, truth, config)
    assert score.problems == 30
    assert score.exact == sum(g == t for g, t in zip(given, truth, strict=True))
    blanks = [(g[i], t[i]) for q, g, t in zip(questions, given, truth, strict=True) for i in range(16) if q[i] == "."]
    assert score.cells == pytest.approx(sum(g == t for g, t in blanks) / len(blanks))
    assert score.exact <= score.any_thought
    assert score.steps == 6
    assert score.flops == 3 * 6 * flops_per_row(thinker.mind)
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate(thinker, [], [])


def test_a_sweep_measures_each_value(trained_folder, pairs):
    thinker = Thinker(load_checkpoint(trained_folder), torch.float32)
    config = ThinkConfig(thoughts=2, steps=4, termination=None)
    rows = dict(sweep(thinker, *pairs, "steps", [1, 8], config))
    assert rows[1].steps == 1
    assert rows[1].flops * 8 == rows[8].flops
    assert rows[1].exact < rows[8].exact
    with pytest.raises(InputError, match="over thoughts or steps"):
        list(sweep(thinker, *pairs, "seed", [1]))


def test_majority_is_the_most_frequent_answer():
    from chorus.thought.evaluation import _most_frequent

    a, b, c = [0, 0], [0, 1], [1, 1]
    answers = torch.tensor([[a, b, c, b], [a, a, b, c]])
    assert answers[torch.arange(2), _most_frequent(answers)[:, 0]].tolist() == [b, a]


@pytest.mark.parametrize("task", ["sudoku4", "maze"])
def test_flops_are_those_that_torch_counts(task):
    mind = random_mind(task=task)
    h = torch.randn(1, mind.config.cells, mind.config.symbols, 16)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        mind.processor(h, h)
    counted = counter.get_total_flops()
    assert flops_per_row(mind) == pytest.approx(counted, rel=0.05 if task == "sudoku4" else 0.3)


def test_wilson_interval_against_its_equation():
    """Its ends are the proportions p for which the observed share lies z standard errors of p away."""
    z = 1.959964
    for successes, trials in [(0, 10), (3, 7), (95, 100), (50, 50)]:
        for end in wilson(successes, trials):
            assert abs(successes / trials - end) == pytest.approx(z * math.sqrt(end * (1 - end) / trials), abs=1e-6)
    assert wilson(0, 0) == (0.0, 1.0)


def test_answers_that_do_not_fit_are_refused():
    thinker = Thinker(Checkpoint(mind=random_mind(), task=make_task("sudoku4")), torch.float32)
    with pytest.raises(InputError, match="15 characters"):
        evaluate(thinker, ["." * 16], ["1" * 15])
