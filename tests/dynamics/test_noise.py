"""Increments have the moments they claim, at any dt; the bounded ones are bounded without losing variance."""

from itertools import pairwise

import numpy as np
import pytest

from chorus.dynamics import gaussian_increments, simulate_phases, three_point_increments, wiener
from chorus.errors import InputError


@pytest.mark.parametrize("dt", [1e-4, 0.02, 1.0, 7.0])
def test_three_point_moments_are_those_of_a_gaussian_up_to_the_fifth(dt: float) -> None:
    drawn = three_point_increments(np.random.default_rng(0), (200_000,), dt)
    values, counts = np.unique(drawn, return_counts=True)
    assert values == pytest.approx([-np.sqrt(3 * dt), 0, np.sqrt(3 * dt)])
    assert counts / drawn.size == pytest.approx([1 / 6, 2 / 3, 1 / 6], abs=0.005)
    chances = np.array([1 / 6, 2 / 3, 1 / 6])
    assert [chances @ values**k for k in range(1, 6)] == pytest.approx([0, dt, 0, 3 * dt**2, 0], abs=1e-12)


def test_clipping_a_gaussian_to_the_same_bound_would_lose_variance() -> None:
    dt = 0.02
    clipped = np.clip(gaussian_increments(np.random.default_rng(0), (400_000,), dt), -np.sqrt(3 * dt), np.sqrt(3 * dt))
    bounded = three_point_increments(np.random.default_rng(0), (400_000,), dt)
    assert clipped.var() / dt < 0.93
    assert bounded.var() / dt == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("kind", ["gaussian", "three-point"])
@pytest.mark.parametrize("dt", [0.5, 0.05, 0.01])
def test_uncoupled_phases_spread_by_exactly_sigma_squared_t_whatever_the_step(kind: str, dt: float) -> None:
    sigma, T, n = 0.7, 2.0, 50_000
    run = simulate_phases(
        1.0, 0.0, theta=np.zeros(n), noise=sigma, dt=dt, steps=round(T / dt), seed=1, increments=kind, every=10**6
    )
    # A variance from n draws has relative deviation √(2/n) = 0.6 %.
    assert run.theta.var() / (sigma**2 * T) == pytest.approx(1, abs=0.025)
    assert run.theta.mean() == pytest.approx(T, abs=4 * sigma * np.sqrt(T / n))


def test_the_variance_of_a_step_is_linear_in_dt() -> None:
    rng = np.random.default_rng(2)
    variances = [gaussian_increments(rng, (300_000,), dt).var() for dt in (0.01, 0.02, 0.04, 0.08)]
    assert [b / a for a, b in pairwise(variances)] == pytest.approx([2, 2, 2], abs=0.03)


def test_bad_input() -> None:
    rng = np.random.default_rng(0)
    for dt in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="dt"):
            gaussian_increments(rng, (1,), dt)
    with pytest.raises(InputError, match="'uniform', expected 'gaussian' or 'three-point'"):
        wiener("uniform", rng, (1,), 0.1)  # type: ignore[arg-type]
