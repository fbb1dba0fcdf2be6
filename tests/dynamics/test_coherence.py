"""A coherence stays inside the unit disc by its own step, without bias."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.dynamics import modulate, stationary_power
from chorus.errors import InputError


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    dt=st.floats(1e-6, 100),
    drift=st.floats(-10, 10),
    volatility=st.floats(0, 50),
    modulus=st.sampled_from([0.0, 1e-300, 0.5, 1 - 1e-16, 1.0]),
)
def test_power_never_exceeds_one_exactly(seed: int, dt: float, drift: float, volatility: float, modulus: float) -> None:
    rng = np.random.default_rng(seed)
    T = modulus * np.exp(1j * rng.uniform(-np.pi, np.pi, 500))
    T /= np.maximum(np.abs(T), 1)
    for _ in range(3):
        T = modulate(T, dt, drift=drift, volatility=volatility, frequency=3.0, phase_noise=1.0, rng=rng)
        assert (T.real**2 + T.imag**2 <= 1).all()  # no tolerance
        assert (np.abs(T) ** 2 <= 1).all()


@pytest.mark.parametrize("dt", [0.02, 0.5, 5.0])
def test_stationary_power_is_right_at_any_step_where_clipping_is_biased(dt: float) -> None:
    drift, volatility, n = 1.0, 1.0, 20_000
    rng = np.random.default_rng(0)
    exact = np.sqrt(stationary_power(drift, volatility)) * np.ones(n, dtype=complex)
    log_clipped = np.zeros(n)
    for _ in range(max(round(8 / dt), 3)):
        exact = modulate(exact, dt, drift=drift, volatility=volatility, rng=rng)
        log_clipped = np.minimum(log_clipped + drift * dt + volatility * np.sqrt(dt) * rng.standard_normal(n), 0)
    power = np.abs(exact) ** 2
    assert power.mean() == pytest.approx(0.5, abs=4 * power.std() / np.sqrt(n))
    # Clipping piles mass up on the circle: +16 % at dt = 0.02, +63 % at 0.5, +98 % at 5. Exact 1s are the tell-tale.
    assert np.exp(2 * log_clipped).mean() > 0.5 * 1.12
    assert (np.abs(exact) == 1).mean() < 1e-3 < (log_clipped == 0).mean()


def test_the_whole_stationary_law_is_that_of_reflected_brownian_motion() -> None:
    from scipy.stats import kstest

    drift, volatility = 0.5, 1.5
    rng = np.random.default_rng(3)
    T = np.ones(20_000, dtype=complex)
    for _ in range(25):
        T = modulate(T, 1.0, drift=drift, volatility=volatility, rng=rng)
    assert kstest(-np.log(np.abs(T)), "expon", args=(0, volatility**2 / (2 * drift))).pvalue > 1e-3


def test_one_long_step_has_the_law_of_many_short_ones() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(4)
    start = np.full(20_000, 0.8 + 0j)
    once = modulate(start, 1.0, drift=-0.3, volatility=0.8, frequency=1.0, phase_noise=0.5, rng=rng)
    many = start
    for _ in range(20):
        many = modulate(many, 0.05, drift=-0.3, volatility=0.8, frequency=1.0, phase_noise=0.5, rng=rng)
    assert ks_2samp(np.abs(once), np.abs(many)).pvalue > 1e-3
    assert ks_2samp(np.angle(once), np.angle(many)).pvalue > 1e-3


def test_far_from_the_circle_it_is_geometric_brownian_motion() -> None:
    T = modulate(np.full(100_000, 1e-9 + 0j), 0.5, drift=-0.2, volatility=0.6, rng=np.random.default_rng(5))
    logs = np.log(np.abs(T) / 1e-9)
    assert logs.mean() == pytest.approx(-0.2 * 0.5, abs=0.006)
    assert logs.var() == pytest.approx(0.6**2 * 0.5, rel=0.02)


def test_bad_input() -> None:
    rng = np.random.default_rng(0)
    for T in (1.1 + 0j, complex("nan"), complex("inf")):
        with pytest.raises(InputError, match="modulus"):
            modulate(np.array([0.5, T]), 0.1, volatility=1.0, rng=rng)
    with pytest.raises(InputError, match="dt: got 0, must be above 0"):
        modulate(np.array([0.5 + 0j]), 0.0, volatility=1.0, rng=rng)
    with pytest.raises(InputError, match="dt: 1 is too large for these rates"):
        modulate(np.array([0.5 + 0j]), 1.0, volatility=1e300, rng=rng)
    with pytest.raises(InputError, match="volatility"):
        modulate(np.array([0.5 + 0j]), 0.1, volatility=-1.0, rng=rng)
    with pytest.raises(InputError, match="drift"):
        stationary_power(0.0, 1.0)
