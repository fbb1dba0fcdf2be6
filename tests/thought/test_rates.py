"""Rates: a slow thought is untouched between its updates, and no row of work is done for it."""

import pytest
import torch
from small_minds import NEVER, Watcher, count_rows, random_mind, sudoku4_questions

from chorus.errors import InputError
from chorus.thought import ThinkConfig
from chorus.thought.rates import Rates

STEPS = 10


def think(rates, thoughts, problems=3, **settings):
    mind = random_mind()
    rows, watcher = count_rows(mind), Watcher()
    config = ThinkConfig(thoughts=thoughts, steps=STEPS, rates=rates, competition=None, termination=NEVER, **settings)
    result = mind.think(sudoku4_questions(problems), config, observe=watcher)
    assert int(result.rows.sum()) == sum(rows)
    return mind, result, watcher.states()


def test_a_slow_thought_does_not_change_between_its_updates_and_costs_nothing():
    _, result, states = think(((1, 1), (4, 2)), thoughts=4, workspace=False)
    for step in range(2, STEPS + 1):
        moved = not torch.equal(states[step][:, 0], states[step - 1][:, 0])
        assert moved
        for slow in (1, 3):
            same = torch.equal(states[step][:, slow], states[step - 1][:, slow])
            assert same == ((step - 1) % 4 != 0), (step, slow)
    updates = 3  # at steps 0, 4 and 8
    assert result.rows.sum() == 3 * (2 * STEPS + 2 * updates * 2)


def test_a_deep_thought_applies_the_processor_as_often_as_its_depth():
    mind, _, states = think(((1, 1), (5, 3)), thoughts=2, workspace=False)
    tokens = sudoku4_questions(3)
    h = states[5][:, 1]
    with torch.no_grad():
        for _ in range(3):
            h = mind.processor(h, mind.encoder(tokens, tokens - 1))
    torch.testing.assert_close(states[6][:, 1], h, atol=1e-5, rtol=1e-5)


def test_switched_off_every_thought_moves_at_every_step():
    _, result, states = think(((1, 1),), thoughts=4)
    assert result.rows.sum() == 3 * 4 * STEPS
    for step in range(2, STEPS + 1):
        assert ((states[step] != states[step - 1]).flatten(2).any(-1)).all()


def test_the_fast_are_not_disturbed_by_the_slow():
    _, _, mixed = think(((1, 1), (3, 1)), thoughts=4, workspace=False)
    _, _, alike = think(((1, 1),), thoughts=4, workspace=False)
    torch.testing.assert_close(mixed[STEPS][:, [0, 2]], alike[STEPS][:, [0, 2]], atol=1e-4, rtol=1e-4)


def test_rates_go_by_number_not_by_slot():
    rates = Rates(((1, 1), (2, 3), (5, 1)))
    identity = torch.tensor([[5, 3, 1]])
    assert rates.due(2, identity).tolist() == [[False, True, True]]
    assert rates.depth(identity).tolist() == [[1, 1, 3]]
    assert rates.deepest == 3


@pytest.mark.parametrize("rates", [(), ((0, 1),), ((1, 0),), ((-2, 1),)])
def test_rates_that_cannot_be(rates):
    with pytest.raises(InputError, match="rates"):
        ThinkConfig(rates=rates)
