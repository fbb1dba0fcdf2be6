"""The pool: every thought from noise of its own, a function of seed, question and number alone."""

import torch
from small_minds import random_mind, sudoku4_questions

from chorus.thought.pool import ThoughtPool


def test_thoughts_start_from_independent_standard_normal_noise():
    pool = ThoughtPool.start(random_mind().encoder, sudoku4_questions(10), 8, seed=0)
    assert pool.size == (10, 8)
    assert pool.states.shape == (10, 8, 16, 4 * 16)
    flat = pool.h.flatten(0, 1).flatten(1)
    assert abs(flat.mean()) < 0.01
    assert abs(flat.std() - 1) < 0.01
    assert torch.corrcoef(flat).fill_diagonal_(0).abs().max() < 0.2  # 1024 numbers each: six standard errors


def test_noise_depends_on_seed_question_and_number_alone():
    encoder, tokens = random_mind().encoder, sudoku4_questions(5)
    pool = ThoughtPool.start(encoder, tokens, 6, seed=3)
    alone = ThoughtPool.start(encoder, tokens[2:3], 4, seed=3)
    assert torch.equal(pool.h[2, :4], alone.h[0])
    assert not torch.equal(pool.h[1, 0], pool.h[2, 0])
    assert not torch.equal(ThoughtPool.start(encoder, tokens, 6, seed=4).h, pool.h)
    order = torch.tensor([4, 0, 5, 1, 3, 2])
    assert torch.equal(ThoughtPool.start(encoder, tokens, 6, seed=3, order=order).h, pool.h[:, order])


def test_givens_and_context_come_from_the_question():
    mind, tokens = random_mind(), sudoku4_questions(3)
    pool = ThoughtPool.start(mind.encoder, tokens, 2, seed=0)
    assert torch.equal(pool.given, (tokens - 1)[:, None].expand(-1, 2, -1))
    torch.testing.assert_close(pool.context[:, 1], mind.encoder(tokens, tokens - 1))


def test_select_keeps_the_chosen_problems():
    pool = ThoughtPool.start(random_mind().encoder, sudoku4_questions(4), 2, seed=0)
    some = pool.select(torch.tensor([True, False, False, True]))
    assert some.problem.tolist() == [0, 3]
    assert torch.equal(some.h, pool.h[[0, 3]])
    assert torch.equal(some.given, pool.given[[0, 3]])
