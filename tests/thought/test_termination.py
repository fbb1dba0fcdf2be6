"""Termination: what is finished rests or leaves the batch, and costs no more steps."""

import math

import pytest
import torch
from small_minds import NEVER, Watcher, count_rows, random_mind, sudoku4_questions

from chorus.errors import InputError
from chorus.thought import CompetitionConfig, Mind, MindConfig, TerminationConfig, ThinkConfig
from chorus.thought.model import Look
from chorus.thought.termination import Halt, TerminationDetector

LONE = CompetitionConfig(start=1000)  # a round that never comes; without competition at all, a fixed point is final


def halted(answer, settled, fixed, energy, stuck_is_final=True, decided=None, **settings):
    detector = TerminationDetector(TerminationConfig(**settings))
    decided = [True] * len(answer) if decided is None else decided
    values = (torch.tensor([value]) for value in (answer, settled, decided, fixed, energy))
    return Halt(detector.halted(*values, stuck_is_final).item())


def test_reasons_to_stop():
    a, b = [0, 1], [1, 0]
    yes, no = True, False
    sure, unsure = -math.log(0.99), 1.0
    # one thought that is sure of the answer it has is enough, settled or not
    assert halted([a, b], [yes, no], [no, no], [sure, unsure]) == Halt.CONFIDENCE
    assert halted([a, b], [no, no], [no, no], [sure, unsure]) == Halt.CONFIDENCE
    assert halted([a, b], [no, no], [no, no], [unsure, unsure]) == Halt.NONE
    assert halted([a, b], [no, no], [no, no], [sure, unsure], decided=[no, yes]) == Halt.NONE
    assert halted([a, b], [no, no], [no, no], [sure, unsure], decided=[yes, no]) == Halt.CONFIDENCE
    # agreement counts the thoughts that are settled on one and the same answer
    assert halted([a, a, a, b], [yes] * 4, [no] * 4, [unsure] * 4, agreement=0.75) == Halt.AGREEMENT
    assert halted([a, a, b, b], [yes] * 3 + [no], [no] * 4, [unsure] * 4, agreement=0.75) == Halt.NONE
    assert halted([a, a, a, a], [yes] * 2 + [no] * 2, [no] * 4, [unsure] * 4, agreement=0.75) == Halt.NONE
    # all stuck ends it where nothing will move them any more
    assert halted([a, b], [no, yes], [yes, no], [unsure, unsure], agreement=0.9) == Halt.FIXED_POINT
    assert halted([a, b], [no, no], [yes, no], [unsure, unsure]) == Halt.NONE
    assert halted([a, b], [no, no], [yes, yes], [unsure, unsure], stuck_is_final=False) == Halt.NONE


def test_an_undecided_thought_neither_halts_its_problem_nor_answers_it():
    """The energies are low, but some cell hovers between three symbols."""
    belief = torch.tensor([[[[0.98, 0.01, 0.01], [0.34, 0.33, 0.33]], [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2]]]])
    look = Look(belief, belief.argmax(-1), torch.zeros(1, 2), torch.tensor([[0.001, 0.01]]))
    assert look.decided.tolist() == [[False, True]]
    assert look.best.tolist() == [1]
    nobody = Look(belief[:, :1], belief[:, :1].argmax(-1), torch.zeros(1, 1), torch.tensor([[0.001]]))
    assert nobody.best.tolist() == [0]

    config = MindConfig(cells=3, input_size=2, output_size=3, kept=(-1, -1), relations=("full()",))
    torch.manual_seed(0)
    mind = Mind(config)
    with torch.no_grad():
        mind.energy.down.bias.fill_(30.0)
        mind.decoder.linear.weight.zero_()
        mind.decoder.linear.bias.zero_()
    alone = ThinkConfig(thoughts=2, steps=12, competition=None, termination=TerminationConfig(fixed_point=0))
    result = mind.think(torch.zeros(1, 3, dtype=torch.int64), alone)
    assert (Halt(int(result.halted[0])), int(result.steps[0])) == (Halt.BUDGET, 12)


def test_settled_is_the_entropy_of_the_most_uncertain_cell():
    detector = TerminationDetector(TerminationConfig(entropy=0.3))
    belief = torch.tensor([[[[1.0, 0.0], [0.95, 0.05]], [[1.0, 0.0], [0.9, 0.1]]]])
    assert detector.settled(belief).tolist() == [[True, False]]  # 0.199 and 0.325 nats


def test_a_converged_problem_costs_no_more_steps():
    """Two problems in one batch: the one whose states move less is at its fixed point first, and leaves."""
    mind, tokens = random_mind(), sudoku4_questions(8)
    changes = relative_changes(mind, tokens, thoughts=2, step=8)
    order = changes.amax(1).argsort()
    calm, lively = int(order[0]), int(order[-1])
    threshold = float((changes[calm].max() + changes[lively].max()) / 2)
    rows = count_rows(mind)
    termination = TerminationConfig(every=8, fixed_point=threshold, entropy=0)
    config = ThinkConfig(thoughts=2, steps=40, competition=None, termination=termination, workspace=False)
    result = mind.think(tokens[[calm, lively]], config)
    assert result.steps[0] == 8
    assert Halt(int(result.halted[0])) == Halt.FIXED_POINT
    assert result.steps[1] > 8
    assert rows[:8] == [4] * 8
    assert all(n <= 2 for n in rows[8:])
    assert int(result.rows.sum()) == sum(rows)
    alone = mind.think(tokens[lively, None], config)
    assert torch.equal(alone.answer[0], result.answer[1])
    assert alone.steps[0] == result.steps[1]


def relative_changes(mind, tokens, thoughts, step):
    """By definition: how far every thought moves in one step, relative to where it was; [B, K]."""
    watcher = Watcher()
    config = ThinkConfig(thoughts=thoughts, steps=step, competition=None, termination=NEVER, workspace=False)
    mind.think(tokens, config, observe=watcher)
    before, after = (watcher.states()[s].flatten(2) for s in (step - 1, step))
    return (after - before).norm(dim=-1) / before.norm(dim=-1)


def test_a_thought_at_rest_costs_nothing_while_the_others_go_on():
    mind, tokens = random_mind(), sudoku4_questions(1)
    changes = relative_changes(mind, tokens, thoughts=4, step=4)[0]
    threshold = float(changes.sort().values[1:3].mean())
    rows, watcher = count_rows(mind), Watcher()
    termination = TerminationConfig(every=4, fixed_point=threshold, entropy=0)
    config = ThinkConfig(thoughts=4, steps=8, competition=LONE, termination=termination, workspace=False)
    mind.think(tokens, config, observe=watcher)
    assert rows == [4] * 4 + [2] * 4
    first, second = watcher.states()[4][0], watcher.states()[8][0]
    resting = changes < threshold
    assert torch.equal(first[resting], second[resting])
    assert not torch.equal(first[~resting], second[~resting])


def test_a_commitment_wakes_a_thought_at_rest():
    mind, tokens = random_mind(), sudoku4_questions(1)
    rows = count_rows(mind)
    termination = TerminationConfig(every=2, fixed_point=1e9, entropy=0)
    competition = CompetitionConfig(start=4, every=100, margin=100, kill_below=0)
    config = ThinkConfig(thoughts=3, steps=8, competition=competition, termination=termination)
    mind.think(tokens, config)
    assert [n for n in rows if n] == [3, 3, 3, 3]  # steps 1 and 2, and two more after the commitments of step 4


def test_switched_off_the_whole_budget_is_spent():
    mind = random_mind()
    rows = count_rows(mind)
    result = mind.think(sudoku4_questions(3), ThinkConfig(thoughts=2, steps=15, competition=None, termination=None))
    assert rows == [6] * 15
    assert result.steps.tolist() == [15] * 3
    assert {Halt(int(reason)) for reason in result.halted} == {Halt.BUDGET}


def test_certainty_stops_a_mind_of_real_weights():
    """A mind whose decoder is made to be sure stops by entropy, and by confidence where its energy says so."""
    config = MindConfig(cells=3, input_size=2, output_size=2, kept=(-1, -1), relations=("full()",))
    torch.manual_seed(0)
    mind = Mind(config)
    with torch.no_grad():
        mind.decoder.linear.bias.copy_(torch.tensor([50.0, 0.0]))
        mind.energy.down.bias.fill_(30.0)
    result = mind.think(torch.zeros(1, 3, dtype=torch.int64), ThinkConfig(thoughts=2, steps=50))
    assert Halt(int(result.halted[0])) == Halt.CONFIDENCE
    assert result.steps[0] == TerminationConfig().every
    assert result.answer.tolist() == [[0, 0, 0]]
    with torch.no_grad():
        mind.energy.down.bias.fill_(-1.0)
    agreed = mind.think(torch.zeros(1, 3, dtype=torch.int64), ThinkConfig(thoughts=2, steps=50))
    assert Halt(int(agreed.halted[0])) == Halt.AGREEMENT


@pytest.mark.parametrize(
    "settings", [{"every": 0}, {"entropy": -1}, {"fixed_point": math.nan}, {"agreement": math.inf}]
)
def test_settings_that_cannot_be(settings):
    with pytest.raises(InputError):
        TerminationConfig(**settings)
