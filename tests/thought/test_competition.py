"""Competition: weak thoughts go, strong ones are copied and commit; numbers tell who descends from whom."""

import math

import pytest
import torch
from small_minds import NEVER, Watcher, count_rows, random_mind, sudoku4_questions

from chorus.errors import InputError
from chorus.thought import CompetitionConfig, ThinkConfig
from chorus.thought.competition import Competition, commitment
from chorus.thought.noise import combine


def hold_round(viable, failed=None, identity=None, seed=0, **settings):
    """A round over thoughts with these energies, nothing given, and beliefs that are all unsure."""
    viable = torch.tensor([viable])
    slots = viable.shape[1]
    torch.manual_seed(seed)
    belief, root_belief = torch.full((2, 1, slots, 6, 3), 1 / 3)
    given = torch.full((1, slots, 6), -1)
    identity = torch.arange(slots)[None] if identity is None else torch.tensor([identity])
    return Competition(CompetitionConfig(**settings)).round(
        viable=viable,
        failed=torch.tensor([failed]) if failed else torch.zeros(1, slots, dtype=torch.bool),
        belief=belief,
        given=given,
        root_belief=root_belief,
        root_given=given,
        identity=identity,
        key=combine(seed, identity),
    )


def test_the_weak_die_and_clones_of_the_strongest_take_their_place_in_turn():
    done = hold_round([0.5, 3.0, 0.2, 9.0, 2.5, 4.0], margin=1.0, kill_below=0, restart=0)
    assert done.dead.tolist() == [[False, True, False, True, True, True]]
    assert done.parent.tolist() == [[0, 2, 2, 0, 2, 0]]
    assert done.identity.tolist() == [[0, 6, 2, 7, 8, 9]]
    assert (done.cell >= 0).all()


def test_who_is_killed():
    assert not hold_round([1.0, 1.9], margin=1.0, kill_below=0).dead.any()
    assert hold_round([1.0, 2.1], margin=1.0, kill_below=0).dead.tolist() == [[False, True]]
    below = [-math.log(0.3), -math.log(0.2)]
    assert hold_round(below, margin=5, kill_below=0.25).dead.tolist() == [[False, True]]
    assert hold_round([0.1, 0.2], failed=[True, False], margin=5, kill_below=0).dead.tolist() == [[True, False]]


def test_where_nobody_survives_all_start_again():
    done = hold_round([5.0, 6.0, 7.0], kill_below=0.5, restart=0)
    assert done.dead.all()
    assert done.parent.tolist() == [[-1, -1, -1]]
    assert done.identity.tolist() == [[3, 4, 5]]


def test_the_share_that_starts_again():
    viable = [0.0] + [9.0] * 2000
    assert (hold_round(viable, restart=0).parent == 0).all()
    assert (hold_round(viable, restart=1).parent[0, 1:] == -1).all()
    share = (hold_round(viable, restart=0.3).parent[0, 1:] == -1).float().mean()
    assert abs(share - 0.3) < 0.05


def test_slots_do_not_matter():
    viable, order = [0.5, 3.0, 0.2, 9.0, 2.5, 4.0], [3, 5, 0, 4, 1, 2]
    first = hold_round(viable, margin=1.0, kill_below=0)
    second = hold_round([viable[i] for i in order], identity=order, margin=1.0, kill_below=0)
    for name in ("dead", "identity", "cell", "symbol"):
        assert torch.equal(getattr(second, name)[0], getattr(first, name)[0, order]), name
    parents = [(order[p] if p >= 0 else -1) for p in second.parent[0].tolist()]
    assert parents == first.parent[0, order].tolist()


def test_rounds_come_at_their_steps():
    competition = Competition(CompetitionConfig(start=24, every=12))
    assert [step for step in range(70) if competition.due(step)] == [24, 36, 48, 60]
    for settings in ({"every": 0}, {"start": 0}, {"scouts": 0}, {"restart": 1.5}, {"kill_below": -0.1}, {"margin": 0}):
        with pytest.raises(InputError):
            CompetitionConfig(**settings)


def test_a_commitment_takes_an_open_unsure_cell_and_a_symbol_from_the_belief():
    n = 20_000
    belief = torch.tensor([[0.98, 0.01, 0.01], [0.5, 0.5, 0.0], [0.6, 0.3, 0.1], [0.4, 0.3, 0.3]]).expand(n, -1, -1)
    given = torch.tensor([-1, 1, -1, -1]).expand(n, -1)
    cell, symbol = commitment(belief, given, combine(torch.arange(n), 1), certain=0.9)
    assert set(cell.tolist()) == {2, 3}
    for chosen in (2, 3):
        drawn = torch.bincount(symbol[cell == chosen], minlength=3) / (cell == chosen).sum()
        torch.testing.assert_close(drawn, belief[0, chosen], atol=0.02, rtol=0)
    assert (cell == 2).sum() > (cell == 3).sum()  # fewer symbols to hover between


def test_who_is_sure_commits_nothing():
    belief = torch.tensor([[[0.95, 0.05], [0.5, 0.5]]])
    cell, _ = commitment(belief, torch.tensor([[-1, 0]]), combine(torch.arange(1)), certain=0.9)
    assert cell.tolist() == [-1]


ROUND_AT = 2
MARGIN = 0.3


@pytest.fixture(scope="module")
def rounds():
    """A mind, and what is seen of 6 problems with 8 thoughts when the weak are killed once, after two steps."""
    mind, tokens = random_mind(), sudoku4_questions(6)
    watcher = Watcher()
    competition = CompetitionConfig(start=ROUND_AT, every=100, margin=MARGIN, kill_below=0, restart=0.3)
    config = ThinkConfig(thoughts=8, steps=4, competition=competition, termination=NEVER, workspace=False)
    mind.think(tokens, config, observe=watcher)
    return mind, watcher


def test_in_a_mind_the_dead_are_copies_of_survivors_that_think_on_with_a_commitment(rounds):
    mind, watcher = rounds
    _, before, look, verdict = watcher.seen[ROUND_AT - 1]
    step, after, _, _ = watcher.seen[ROUND_AT]
    assert step == ROUND_AT + 1
    cloned = restarted = 0
    for problem in range(6):
        best = look.viable[problem].min()
        for slot in range(8):
            dead = bool(look.viable[problem, slot] > best + MARGIN)
            assert bool(verdict.dead[problem, slot]) == dead
            parent = int(verdict.parent[problem, slot])
            assert (parent == slot) == (not dead)
            source = parent if parent >= 0 else slot
            given = before["given"][problem, source].clone() if parent >= 0 else before["tokens"][problem] - 1
            cell, symbol = int(verdict.cell[problem, slot]), int(verdict.symbol[problem, slot])
            assert given[cell] == -1
            given[cell] = symbol
            assert torch.equal(after["given"][problem, slot], given)
            with torch.no_grad():  # one step on from the parent's state, with the commitment in its context
                context = mind.encoder(before["tokens"][problem, None], given[None])
                expected = mind.processor(before["h"][problem, source, None], context)[0]
            torch.testing.assert_close(after["h"][problem, slot], expected, atol=1e-5, rtol=1e-5)
            cloned += dead and parent >= 0
            restarted += dead and parent < 0
    assert cloned >= 6
    assert restarted >= 1


def test_numbers_are_unique_and_new_for_the_newborn(rounds):
    _, watcher = rounds
    before, verdict, after = watcher.seen[ROUND_AT - 1][1], watcher.seen[ROUND_AT - 1][3], watcher.seen[ROUND_AT][1]
    for old, new, dead in zip(before["identity"], after["identity"], verdict.dead, strict=True):
        assert len(set(new.tolist())) == 8
        assert torch.equal(old[~dead], new[~dead])
        assert new[dead].tolist() == list(range(8, 8 + int(dead.sum())))


def test_a_restart_returns_to_the_uncommitted_state_of_the_first_round():
    mind, tokens = random_mind(), sudoku4_questions(2)
    watcher = Watcher()
    competition = CompetitionConfig(start=4, every=4, kill_below=1.0)  # everybody dies, every time
    config = ThinkConfig(thoughts=3, steps=10, competition=competition, termination=NEVER, workspace=False)
    mind.think(tokens, config, observe=watcher)
    root = watcher.seen[3][1]
    for step in (4, 8):
        verdict, after = watcher.seen[step - 1][3], watcher.seen[step][1]
        assert (verdict.parent == -1).all()
        assert ((after["given"] >= 0).sum(-1) == (root["given"] >= 0).sum(-1) + 1).all()
        with torch.no_grad():
            for slot in range(3):
                context = mind.encoder(tokens, after["given"][:, slot])
                expected = mind.processor(root["h"][:, slot], context)
                torch.testing.assert_close(after["h"][:, slot], expected, atol=1e-5, rtol=1e-5)


def test_the_others_wait_for_the_first_round_at_no_cost_and_join_as_copies_of_the_scouts():
    mind, tokens = random_mind(), sudoku4_questions(2)
    rows, watcher = count_rows(mind), Watcher()
    competition = CompetitionConfig(scouts=2, start=3, every=100, margin=100, kill_below=0)
    config = ThinkConfig(thoughts=6, steps=5, competition=competition, termination=NEVER, workspace=False)
    mind.think(tokens, config, observe=watcher)
    assert rows == [2 * 2] * 3 + [2 * 6] * 2
    joined, later = watcher.states()[3], watcher.states()[5]
    assert watcher.seen[2][1]["identity"].tolist() == [[0, 1, 2, 3, 4, 5]] * 2
    for thought in range(6):
        assert torch.equal(joined[:, thought], joined[:, thought % 2])
    assert not torch.equal(joined[:, 0], joined[:, 1])
    assert len({later[0, thought].sum().item() for thought in range(6)}) > 3  # their own commitments set them apart


def test_switched_off_nobody_dies_and_nothing_is_committed():
    mind, tokens = random_mind(), sudoku4_questions(2)
    watcher = Watcher()
    mind.think(tokens, ThinkConfig(thoughts=3, steps=40, competition=None, termination=NEVER), observe=watcher)
    for _, pool, _, verdict in watcher.seen:
        assert verdict is None
        assert pool["identity"].tolist() == [[0, 1, 2]] * 2
        assert torch.equal(pool["given"], (tokens - 1)[:, None].expand(-1, 3, -1))
