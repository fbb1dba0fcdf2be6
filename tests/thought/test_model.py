"""The mind as a whole: one seed, one answer, whatever the batch and the order; shapes; precision; looking."""

import pytest
import torch
from small_minds import NEVER, Watcher, random_mind, sudoku4_questions

from chorus.errors import InputError
from chorus.thought import CompetitionConfig, ThinkConfig

BUSY = ThinkConfig(
    thoughts=6,
    steps=24,
    rates=((1, 1), (2, 2)),
    competition=CompetitionConfig(start=2, every=2, margin=0.3, kill_below=0, restart=0.3),
)


@pytest.fixture(scope="module")
def mind():
    return random_mind()


def test_the_same_seed_gives_the_same_answer(mind):
    tokens = sudoku4_questions(5)
    first, second = mind.think(tokens, BUSY), mind.think(tokens, BUSY)
    for name in ("answer", "energy", "steps", "halted", "answers", "energies"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    other = mind.think(
        tokens, ThinkConfig(thoughts=6, steps=24, seed=1, rates=BUSY.rates, competition=BUSY.competition)
    )
    assert not torch.equal(first.answers, other.answers)


def test_a_problem_does_not_feel_its_batch(mind):
    tokens = sudoku4_questions(7)
    together = mind.think(tokens, BUSY)
    turned = mind.think(tokens.flip(0), BUSY)
    for index in range(7):
        alone = mind.think(tokens[index, None], BUSY)
        for other in (turned, alone):
            at = 6 - index if other is turned else 0
            assert torch.equal(together.answers[index], other.answers[at])
            torch.testing.assert_close(together.energies[index], other.energies[at], atol=1e-3, rtol=1e-3)
            assert together.steps[index] == other.steps[at]
    doubled = mind.think(torch.cat([tokens, tokens]), BUSY)
    assert torch.equal(doubled.answers[:7], doubled.answers[7:])


def test_permuting_the_thoughts_permutes_the_result(mind):
    tokens, order = sudoku4_questions(5), torch.tensor([3, 5, 0, 4, 1, 2])
    first, second = mind.think(tokens, BUSY), mind.think(tokens, BUSY, order=order)
    assert torch.equal(second.answers, first.answers[:, order])
    torch.testing.assert_close(second.energies, first.energies[:, order], atol=1e-3, rtol=1e-3)
    assert torch.equal(second.answer, first.answer)
    assert torch.equal(second.steps, first.steps)
    assert len({tuple(row) for row in first.answers[0].tolist()}) > 1  # else there would be nothing to permute


def test_the_answer_is_that_of_the_least_energy_and_keeps_the_givens(mind):
    tokens = sudoku4_questions(5)
    result = mind.think(tokens, BUSY)
    best = result.energies.argmin(1)
    for index in range(5):
        assert torch.equal(result.answer[index], result.answers[index, best[index]])
        assert result.energy[index] == result.energies[index, best[index]]
    given = tokens > 0
    assert torch.equal(result.answer[given], tokens[given] - 1)


def test_looking_changes_nothing(mind):
    tokens = sudoku4_questions(3)
    watcher = Watcher()
    watched, alone = mind.think(tokens, BUSY, observe=watcher), mind.think(tokens, BUSY)
    assert torch.equal(watched.energies, alone.energies)
    with torch.no_grad():
        belief, answer = mind.probe(watcher.seen[-1][1]["h"], watcher.seen[-1][1]["given"])
    torch.testing.assert_close(belief.sum(-1), torch.ones(answer.shape))
    assert torch.equal(answer, watcher.seen[-1][2].answer)


def test_no_round_is_shown_for_a_problem_that_has_halted(mind):
    watcher = Watcher()
    mind.think(sudoku4_questions(1), BUSY, observe=watcher)
    assert watcher.seen[-1][0] == BUSY.steps
    assert watcher.seen[-1][3] is None
    assert watcher.seen[-2][3] is not None
    assert any(verdict is not None and verdict.dead.any() for _, _, _, verdict in watcher.seen)


def test_one_step_one_thought_and_no_problem(mind):
    one = mind.think(sudoku4_questions(1), ThinkConfig(thoughts=1, steps=1))
    assert (one.answers.shape, one.steps.tolist(), one.rows.tolist()) == ((1, 1, 16), [1], [1])
    none = mind.think(torch.zeros(0, 16, dtype=torch.int64), ThinkConfig(thoughts=2, steps=3))
    assert (none.answer.shape, none.rows.tolist()) == ((0, 16), [])


def test_half_precision_states(mind):
    watcher = Watcher()
    config = ThinkConfig(thoughts=3, steps=6, competition=None, termination=NEVER)
    result = mind.think(sudoku4_questions(2), config, dtype=torch.bfloat16, observe=watcher)
    exact = Watcher()
    mind.think(sudoku4_questions(2), config, observe=exact)
    assert watcher.states()[6].dtype == torch.bfloat16
    assert result.energies.dtype == torch.float32
    torch.testing.assert_close(watcher.states()[1].float(), exact.states()[1], atol=0.1, rtol=0.1)


@pytest.mark.parametrize("settings", [{"thoughts": 0}, {"steps": 0}, {"thoughts": -3}])
def test_counts_below_one(settings):
    with pytest.raises(InputError, match="1 or more"):
        ThinkConfig(**settings)
