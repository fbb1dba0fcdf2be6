"""Kernelised attention: three equal forms, unbiased features, errors that fall as 1/√m; look-ups and regression."""

import math

import pytest
import torch
from torch import Tensor

from chorus.attention import (
    Elu1,
    Favor,
    FeatureMap,
    Fourier,
    Gaussian,
    LinearState,
    attend,
    linear_attention,
    lookup,
    nadaraya_watson,
    reference,
)
from chorus.errors import InputError

MAPS: list[FeatureMap] = [Elu1(), Favor(8, 32), Fourier(8, 64, bandwidth=4.0)]


def inputs(n: int, heads: int = 4, keys: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(n)
    return [torch.randn(2, h, n, 8, generator=generator, dtype=torch.float64) for h in (heads, keys, keys)]


def quadratic(q: Tensor, k: Tensor, v: Tensor, phi: FeatureMap, causal: bool) -> Tensor:
    """The definition: every weight written down."""
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    weights = phi(q, query=True) @ phi(k, query=False).mT
    weights = weights.tril() if causal else weights
    return (weights @ v) / weights.sum(-1, keepdim=True)


@pytest.mark.parametrize("phi", MAPS, ids=lambda phi: type(phi).__name__)
@pytest.mark.parametrize("n", [1, 2, 63, 111])
def test_three_forms_are_one(phi: FeatureMap, n: int) -> None:
    q, k, v = inputs(n)
    torch.testing.assert_close(linear_attention(q, k, v, phi), quadratic(q, k, v, phi, causal=False))
    wanted = quadratic(q, k, v, phi, causal=True)
    for chunk in (1, 16, 64, 500):
        torch.testing.assert_close(linear_attention(q, k, v, phi, causal=True, chunk=chunk), wanted)
    state = LinearState()
    steps = [state.step(q[:, :, t], k[:, :, t], v[:, :, t], phi) for t in range(n)]
    torch.testing.assert_close(torch.stack(steps, 2), wanted)


def test_a_state_carries_a_prefix_and_can_fork() -> None:
    q, k, v = inputs(90)
    whole = linear_attention(q, k, v, Elu1(), causal=True)
    state = LinearState()
    linear_attention(q[:, :, :40], k[:, :, :40], v[:, :, :40], Elu1(), causal=True, state=state)
    fork = state.copy()
    fork.step(q[:, :, 0], k[:, :, 0], v[:, :, 0], Elu1())
    rest = linear_attention(q[:, :, 40:], k[:, :, 40:], v[:, :, 40:], Elu1(), causal=True, chunk=16, state=state)
    torch.testing.assert_close(rest, whole[:, :, 40:])


def test_gradients_of_the_chunked_form() -> None:
    q, k, v = (x.requires_grad_() for x in inputs(50))
    down = torch.randn(2, 4, 50, 8, dtype=torch.float64)
    for phi in MAPS:
        found = torch.autograd.grad(linear_attention(q, k, v, phi, causal=True, chunk=16), (q, k, v), down)
        wanted = torch.autograd.grad(quadratic(q, k, v, phi, causal=True), (q, k, v), down)
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b)


def relative_error(features: int, orthogonal: bool) -> float:
    """Root mean square error of FAVOR+'s estimates of exp(q·k / √D), relative, over seeds."""
    # The estimate's relative variance is about exp(‖q + k‖²/√D) / M: short vectors, or its tail is too rare to sample.
    x, y = torch.randn(2, 64, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 2
    exact = (x @ y.T / 4).exp()
    errors = []
    for seed in range(40):
        phi = Favor(16, features, seed, orthogonal=orthogonal)
        # A query's features are rescaled by a factor per row; undo it to look at the estimate itself.
        logs = (x / 2) @ phi.directions.double().T - (x / 2).square().sum(-1, keepdim=True) / 2
        estimate = (phi(x, query=True) * logs.amax(-1, keepdim=True).exp()) @ phi(y, query=False).T
        errors.append((estimate / exact - 1).square().mean())
    return math.sqrt(torch.stack(errors).mean().item())


def test_favor_error_falls_as_one_over_root_m() -> None:
    sizes = [16, 64, 256, 1024]
    errors = [relative_error(m, orthogonal=True) for m in sizes]
    slope = math.log(errors[-1] / errors[0]) / math.log(sizes[-1] / sizes[0])
    assert -0.6 < slope < -0.4


def test_orthogonal_features_have_the_smaller_error() -> None:
    assert relative_error(64, orthogonal=True) < 0.97 * relative_error(64, orthogonal=False)


def test_favor_approaches_softmax_attention() -> None:
    q, k, v = (x.float() / 2 for x in inputs(64))
    exact = attend(q, k, v, "causal()")
    errors = [
        (linear_attention(q, k, v, Favor(8, m, seed=1), causal=True) - exact).norm() / exact.norm() for m in (32, 4096)
    ]
    assert errors[1] < 0.03 < errors[0]


def test_fourier_approaches_gaussian_attention() -> None:
    q, k, v = inputs(64)
    exact = attend(q, k, v, "causal()", score=Gaussian(2.0))
    found = linear_attention(q, k, v, Fourier(8, 1 << 15, bandwidth=2.0), causal=True)
    assert (found - exact).norm() / exact.norm() < 0.05


def test_softmax_attention_is_gaussian_regression_exactly_when_key_norms_are_equal() -> None:
    q, k, v = (x[:, :2] for x in inputs(40))
    scale = 8**0.25  # q·k / √8 is q'·k' with both divided by it
    gaussian = Gaussian(scale)
    even = torch.nn.functional.normalize(k, dim=-1) * 3
    torch.testing.assert_close(reference(q, even, v), reference(q, even, v, score=gaussian))
    apart = (reference(q, k, v) - reference(q, k, v, score=gaussian)).abs().max()
    assert apart > 0.05
    # Otherwise each key carries the extra weight exp(‖k‖²/2σ²).
    scores = gaussian(q, k) + k.square().sum(-1)[..., None, :] / (2 * scale**2)
    torch.testing.assert_close(scores.softmax(-1) @ v, reference(q, k, v))


def test_a_dictionary_returns_the_value_of_its_key() -> None:
    generator = torch.Generator().manual_seed(0)
    keys = torch.nn.functional.normalize(torch.randn(50, 16, generator=generator), dim=-1)
    values = torch.randn(50, 3, generator=generator)
    torch.testing.assert_close(lookup(keys, keys, values, select="hard"), values, atol=0, rtol=0)
    order = torch.randperm(50, generator=generator)
    queries = torch.randn(7, 16, generator=generator)
    torch.testing.assert_close(lookup(queries, keys[order], values[order]), lookup(queries, keys, values))
    keys.requires_grad_()
    assert torch.autograd.grad(lookup(queries, keys, values).sum(), keys)[0].abs().max() > 0
    with pytest.raises(InputError, match="empty dictionary"):
        lookup(queries, keys[:0], values[:0])


@pytest.mark.parametrize(("kernel", "bandwidth"), [("gaussian", 0.05), ("laplace", 0.02)])
def test_regression_of_a_known_function(kernel: str, bandwidth: float) -> None:
    generator = torch.Generator().manual_seed(0)
    at = torch.rand(2000, 1, generator=generator, dtype=torch.float64)
    noisy = (6 * at).sin() + 0.1 * torch.randn(at.shape, generator=generator, dtype=torch.float64)
    x = torch.linspace(0.1, 0.9, 50, dtype=torch.float64)[:, None]
    error = (nadaraya_watson(x, at, noisy, bandwidth, kernel) - (6 * x).sin()).square().mean().sqrt()
    assert error < 0.04  # the noise alone is 0.1
    by_hand = []
    for point in x[:3]:
        d = (point - at).abs()
        weight = torch.exp(-(d**2) / (2 * bandwidth**2)) if kernel == "gaussian" else torch.exp(-d / bandwidth)
        by_hand.append((weight * noisy).sum(0) / weight.sum(0))
    torch.testing.assert_close(nadaraya_watson(x[:3], at, noisy, bandwidth, kernel), torch.stack(by_hand))


@pytest.mark.parametrize("origin", [2_000.0, -100_000.0])
def test_distances_keep_their_digits_far_from_the_origin(origin: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = (
        torch.rand(300, 1, generator=generator) * 64
    ).round() / 64 + origin  # exact in float32, so that only sums round
    x[7] = 1e6  # one outlier takes nobody's digits
    y = torch.randn(300, 2, generator=generator)
    exact = reference(*(z.double()[None, None] for z in (x, x, y)), None, Gaussian(0.05))[0, 0]
    for found in (
        nadaraya_watson(x, x, y, bandwidth=0.05),
        attend(x[None, None], x[None, None], y[None, None], "full()", score="gaussian(0.05)", executor="tiles")[0, 0],
    ):
        torch.testing.assert_close(found.double(), exact, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("score", ["dot", "cosine(4)", "gaussian(2)", "laplace(2)"])
def test_a_look_up_in_half_precision_is_computed_in_float32(score: str) -> None:
    generator = torch.Generator().manual_seed(0)
    halves = [(torch.randn(size, generator=generator) + 100).half() for size in ((3, 8), (5, 8), (5, 2))]
    found = lookup(*halves, score=score)
    assert found.dtype == torch.float16
    torch.testing.assert_close(found, lookup(*(x.double() for x in halves), score=score).half())


def test_bad_input() -> None:
    q, k, v = inputs(5)
    with pytest.raises(InputError, match="a query per key"):
        linear_attention(q, k[:, :, :4], v[:, :, :4], Elu1(), causal=True)
    with pytest.raises(InputError, match="must be even"):
        Fourier(8, 5)
    with pytest.raises(InputError, match="features must be at least 1, got 0"):
        Favor(8, 0)
    with pytest.raises(InputError, match="pass causal=True"):
        linear_attention(q, k, v, Elu1(), state=LinearState())
