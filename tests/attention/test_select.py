"""Selections and scores against their definitions."""

import pytest
import torch

from chorus.attention import (
    Cosine,
    Dot,
    Entmax,
    Gaussian,
    Hard,
    Laplace,
    Soft,
    Sparsemax,
    TopK,
    parse_score,
    parse_select,
)
from chorus.errors import InputError

SCORES = torch.randn(200, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2


def by_bisection(scores: torch.Tensor, power: float) -> torch.Tensor:
    """The α-entmax with α − 1 = 1/power: [(α − 1)·z − τ]₊^power, its threshold found by bisection."""
    z = scores / power
    low, high = z.amax(-1, keepdim=True) - 1, z.amax(-1, keepdim=True)
    for _ in range(80):
        middle = (low + high) / 2
        over = (z - middle).clamp_min(0).pow(power).sum(-1, keepdim=True) > 1
        low, high = torch.where(over, middle, low), torch.where(over, high, middle)
    return (z - low).clamp_min(0).pow(power)


def test_sparsemax_and_entmax_solve_their_equations() -> None:
    torch.testing.assert_close(Sparsemax()(SCORES), by_bisection(SCORES, 1.0))
    torch.testing.assert_close(Entmax()(SCORES), by_bisection(SCORES, 2.0))


@pytest.mark.parametrize("select", [Soft(), Sparsemax(), Entmax(), TopK(3)])
def test_gradients(select: Soft) -> None:
    x = SCORES[:20].clone().requires_grad_()
    readable = torch.rand(20, 9, generator=torch.Generator().manual_seed(1)) < 0.7
    assert torch.autograd.gradcheck(lambda x: select(x, readable), (x,))


@pytest.mark.parametrize("select", [Soft(), Hard(), Sparsemax(), Entmax(), TopK(3)])
def test_unreadable_keys_weigh_nothing_and_change_nothing(select: Soft) -> None:
    readable = torch.rand(200, 9, generator=torch.Generator().manual_seed(1)) < 0.5
    readable[:5] = False
    weights = select(SCORES, readable)
    assert weights[~readable].abs().max() == 0
    torch.testing.assert_close(weights.sum(-1), readable.any(-1).double())
    wild = SCORES.masked_fill(~readable, 1e9)
    torch.testing.assert_close(select(wild, readable), weights)
    for row in range(5, 25):
        torch.testing.assert_close(weights[row, readable[row]], select(SCORES[row, readable[row]]))


def test_hard_is_one_key_with_the_gradient_of_the_softmax() -> None:
    x = SCORES.clone().requires_grad_()
    weights = Hard()(x)
    assert torch.equal(weights, torch.nn.functional.one_hot(SCORES.argmax(-1), 9).double())
    down = torch.randn_like(weights)
    found = torch.autograd.grad(weights, x, down)[0]
    torch.testing.assert_close(found, torch.autograd.grad(x.softmax(-1), x, down)[0])


def test_top_k_keeps_the_k_best() -> None:
    weights = TopK(3)(SCORES)
    assert ((weights > 0).sum(-1) == 3).all()
    kept = SCORES.gather(-1, SCORES.topk(3).indices)
    torch.testing.assert_close(weights.gather(-1, SCORES.topk(3).indices), kept.softmax(-1))
    torch.testing.assert_close(TopK(50)(SCORES), SCORES.softmax(-1))


def test_scores_against_their_formulas() -> None:
    q, k = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for i in range(6):
        for j in range(6):
            apart = q[i] - k[j]
            torch.testing.assert_close(Dot()(q, k)[i, j], q[i] @ k[j] / 5**0.5)
            torch.testing.assert_close(Cosine(3.0)(q, k)[i, j], 3 * q[i] @ k[j] / (q[i].norm() * k[j].norm()))
            torch.testing.assert_close(Gaussian(0.7)(q, k)[i, j], -(apart @ apart) / (2 * 0.49))
            torch.testing.assert_close(Laplace(0.7)(q, k)[i, j], -apart.abs().sum() / 0.7)
    for score in (Dot(), Cosine(3.0), Gaussian(0.7)):
        left, right, scale = score.as_dot(q, k)
        torch.testing.assert_close((left @ right.T * scale).softmax(-1), score(q, k).softmax(-1))


@pytest.mark.parametrize("text", ["dote", "gaussian(-1)", "gaussian(zero)", "cosine(", "laplace(0)", ""])
def test_bad_scores(text: str) -> None:
    with pytest.raises(InputError):
        parse_score(text)


@pytest.mark.parametrize("text", ["softt", "top_k(0)", "top_k", "hard(3)", ""])
def test_bad_selections(text: str) -> None:
    with pytest.raises(InputError):
        parse_select(text)
