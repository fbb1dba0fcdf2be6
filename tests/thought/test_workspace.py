"""The workspace: the winners' answers reach every thought, their working part stays private; off, each is alone."""

import torch
from small_minds import NEVER, Watcher, random_mind, sudoku4_questions

from chorus.thought import ThinkConfig
from chorus.thought.pool import ThoughtPool


def think(mind, tokens, thoughts, **settings):
    watcher = Watcher()
    config = ThinkConfig(thoughts=thoughts, steps=10, competition=None, termination=NEVER, **settings)
    mind.think(tokens, config, observe=watcher)
    return watcher.states()


def by_definition(mind, h, belief):
    """What every thought hears, slot by slot and thought by thought."""
    space = mind.workspace
    heard = torch.zeros(*belief.shape)
    for problem in range(h.shape[0]):
        summary = h[problem].mean((1, 2))
        slots = []
        for query in space.slot_query:
            scores = torch.stack([query @ (space.key.weight @ s) for s in summary])
            slots.append((scores.softmax(0)[:, None, None] * belief[problem]).sum(0))
        for thought, own in enumerate(summary):
            scores = torch.stack([address @ (space.query.weight @ own) for address in space.slot_address])
            heard[problem, thought] = sum(w * slot for w, slot in zip(scores.softmax(0), slots, strict=True))
    return heard.unsqueeze(-1) * space.embed.weight[:, 0]


def test_what_is_heard_is_the_definition():
    mind = random_mind(slots=3)
    pool = ThoughtPool.start(mind.encoder, sudoku4_questions(2), 4, seed=0)
    with torch.no_grad():
        belief, _ = mind.probe(pool.h, pool.given)
        torch.testing.assert_close(mind.broadcast(pool.h), by_definition(mind, pool.h, belief))
        won, read = mind.workspace.weights(pool.h)
    assert won.shape == (2, 3, 4)
    torch.testing.assert_close(won.sum(-1), torch.ones(2, 3))  # the thoughts compete for each slot
    torch.testing.assert_close(read.sum(-1), torch.ones(2, 4))


def test_the_winner_takes_the_slot():
    mind = random_mind(slots=1)
    pool = ThoughtPool.start(mind.encoder, sudoku4_questions(1), 3, seed=0)
    with torch.no_grad():
        summary = mind.workspace.key(pool.h.mean((2, 3)))[0]
        mind.workspace.slot_query[0] = 1e4 * summary[1]
        belief, _ = mind.probe(pool.h, pool.given)
        winner = int((summary @ summary[1]).argmax())
        expected = mind.workspace.embed(belief[0, winner].unsqueeze(-1))
        for thought in range(3):
            torch.testing.assert_close(mind.broadcast(pool.h)[0, thought], expected)


def test_the_working_part_stays_private():
    """A change of a state that the belief and the mean do not show is not heard."""
    mind = random_mind()
    pool = ThoughtPool.start(mind.encoder, sudoku4_questions(1), 3, seed=0)
    readout = mind.decoder.linear.weight[0]
    hidden = torch.randn(16)
    hidden -= readout * (hidden @ readout) / (readout @ readout)
    h = pool.h.clone()
    h[0, 1, 0, 0] += hidden
    h[0, 1, 5, 2] -= hidden
    with torch.no_grad():
        torch.testing.assert_close(mind.broadcast(h), mind.broadcast(pool.h))
        h[0, 1, 0, 0] += readout
        assert not torch.allclose(mind.broadcast(h), mind.broadcast(pool.h), atol=1e-4)


def test_on_a_thought_is_moved_by_the_others_and_off_it_is_not():
    mind, tokens = random_mind(), sudoku4_questions(2)
    together, apart = think(mind, tokens, 4, workspace=True), think(mind, tokens, 4)
    for thought in range(4):
        order = torch.tensor([thought])
        alone = Watcher()
        config = ThinkConfig(thoughts=1, steps=10, competition=None, termination=NEVER)
        mind.think(tokens, config, order=order, observe=alone)
        torch.testing.assert_close(apart[10][:, thought], alone.states()[10][:, 0], atol=1e-4, rtol=1e-4)
    assert (together[1] - apart[1]).abs().mean() > 0.05
    assert (together[10] - apart[10]).abs().mean() > 0.05


def test_a_mind_built_without_slots_has_no_workspace():
    mind = random_mind(slots=0)
    assert mind.workspace is None
    assert not any("workspace" in name for name in mind.state_dict())
    on, off = (think(mind, sudoku4_questions(1), 3, workspace=flag) for flag in (True, False))
    assert torch.equal(on[10], off[10])
