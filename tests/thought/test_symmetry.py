"""Interchangeable symbols: renaming the digits of a question renames all that is thought about it."""

import torch
from small_minds import random_mind, sudoku4_questions

from chorus.thought import MindConfig
from chorus.thought.encoder import Encoder

RENAMED = torch.tensor([2, 0, 3, 1])  # digit d of the question becomes digit RENAMED[d]


def rename(tokens):
    return torch.where(tokens > 0, RENAMED[tokens - 1] + 1, tokens)


def think(mind, tokens, h, given):
    context = mind.encoder(tokens, given)
    for _ in range(5):
        h = mind.processor(h, context)
    return h


def test_renaming_the_digits_renames_the_thought_and_the_belief_and_leaves_the_energy():
    mind = random_mind().double()
    tokens = sudoku4_questions(6)
    h = torch.randn(6, 16, 4, 16, dtype=torch.float64)
    with torch.no_grad():
        first = think(mind, tokens, h, mind.encoder.givens(tokens))
        renamed = rename(tokens)
        moved = torch.empty_like(h)
        moved[:, :, RENAMED] = h
        second = think(mind, renamed, moved, mind.encoder.givens(renamed))
        torch.testing.assert_close(second[:, :, RENAMED], first)
        torch.testing.assert_close(mind.decoder(second)[..., RENAMED], mind.decoder(first))
        torch.testing.assert_close(mind.energy(second), mind.energy(first))


def test_without_interchangeable_symbols_renaming_matters():
    mind = random_mind(interchangeable=False)
    tokens = sudoku4_questions(6)
    h = torch.randn(6, 16, 1, 16)
    with torch.no_grad():
        first = think(mind, tokens, h, mind.encoder.givens(tokens))
        second = think(mind, rename(tokens), h, mind.encoder.givens(rename(tokens)))
        assert not torch.allclose(mind.decoder(second)[..., RENAMED], mind.decoder(first), atol=1e-2)


def test_context_tells_open_this_and_other_apart():
    config = MindConfig(
        cells=2, input_size=4, output_size=2, kept=(-1, 0, 1, -1), relations=("full()",), interchangeable=True
    )
    encoder = Encoder(config)
    tokens = torch.tensor([[0, 1], [3, 2]])
    with torch.no_grad():
        context = encoder(tokens, encoder.givens(tokens))
    assert torch.equal(context[0, 0, 0], context[0, 0, 1])  # open: both symbols alike
    assert not torch.equal(context[0, 1, 0], context[0, 1, 1])
    assert torch.equal(context[0, 1, 0], context[1, 1, 1])  # symbol 0 given, seen from 0 = 1 given, seen from 1
    assert not torch.equal(context[0, 0], context[1, 0])  # two question symbols that fix nothing stay different


def test_a_commitment_looks_like_a_given():
    mind = random_mind()
    tokens = torch.zeros(1, 16, dtype=torch.int64)
    given = torch.full((1, 16), -1)
    given[0, 3] = 2
    asked = tokens.clone()
    asked[0, 3] = 3
    with torch.no_grad():
        committed = mind.encoder(tokens, given)
        stated = mind.encoder(asked, mind.encoder.givens(asked))
    mark = mind.encoder.token.weight
    torch.testing.assert_close(committed[0, 3] - mark[0], stated[0, 3] - mark[1])
    assert torch.equal(mind.encoder.givens(asked)[0], given[0])
