"""Large populations meet the theory's order parameters; the theory meets independent quadrature."""

import numpy as np
import pytest

from chorus.dynamics import (
    bessel_ratio,
    critical_coupling,
    gaussian_frequencies,
    gaussian_order,
    lorentzian_frequencies,
    lorentzian_order,
    noisy_order,
    phase_coherence,
    simulate_phases,
    sphere_order,
)
from chorus.errors import InputError

N, DT = 5000, 0.02


@pytest.mark.parametrize(("K", "theory"), [(3, 0.577), (4, 0.707), (6, 0.816)])
def test_lorentzian_frequencies(K: float, theory: float) -> None:
    assert lorentzian_order(K) == pytest.approx(theory, abs=5e-4)
    run = simulate_phases(lorentzian_frequencies(N), K, dt=DT, steps=2500, seed=1, every=10)
    assert run.coherence(after=20) == pytest.approx(theory, abs=0.01)


@pytest.mark.parametrize(("K", "theory"), [(1.5, 0.724), (2, 0.832), (3, 0.902)])
def test_identical_frequencies_under_noise(K: float, theory: float) -> None:
    assert noisy_order(K) == pytest.approx(theory, abs=1e-3)
    run = simulate_phases(0.0, K, n=N, noise=1.0, dt=DT, steps=2500, seed=1, every=10)
    assert run.coherence(after=20) == pytest.approx(theory, abs=0.01)


def test_gaussian_frequencies() -> None:
    above = simulate_phases(gaussian_frequencies(N), 2.0, dt=DT, steps=2500, seed=1, every=10)
    assert above.coherence(after=20) == pytest.approx(gaussian_order(2.0), abs=0.01)
    # Below K_c = 1.596 the theory's 0 is for N → ∞; N phases leave r² = 1/(N(1 − K/K_c)) (Daido 1990).
    below = simulate_phases(gaussian_frequencies(N), 1.0, dt=DT, steps=5000, seed=1, every=10)
    assert gaussian_order(1.0) == 0
    floor = 1 / np.sqrt(N * (1 - 1 / 1.596))
    assert below.coherence(after=50) == pytest.approx(floor, abs=0.01)


@pytest.mark.parametrize("K", [1.7, 2.0, 5.0])
def test_gaussian_theory_solves_its_equation(K: float) -> None:
    from scipy.integrate import quad
    from scipy.stats import norm

    r = gaussian_order(K)
    integral, _ = quad(lambda t: np.cos(t) ** 2 * norm.pdf(K * r * np.sin(t)), -np.pi / 2, np.pi / 2)
    assert K * integral == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("x", [0.0, 1e-6, 0.5, 3.0, 50.0, 1e4])
def test_bessel_ratio(x: float) -> None:
    from scipy.special import ive

    assert bessel_ratio(x) == pytest.approx(ive(1, x) / ive(0, x), abs=1e-13)


@pytest.mark.parametrize("K", [0.05, 1.0, 4.0])
def test_sphere_theory_solves_its_equation(K: float) -> None:
    """|ρ| = E⟨x, ρ̂⟩ over draws of ω, each rotor put at the stable fixed point by a numerical eigenproblem.

    The fixed points of ẋ = ω×x + K(ρ − ⟨x,ρ⟩x) are the real eigenvectors (x, 1) of [[W, a], [aᵀ, 0]], a = Kρ ẑ.
    """
    rho = sphere_order(K)
    rng = np.random.default_rng(0)
    n = 20_000
    w = rng.standard_normal((n, 3))
    matrix = np.zeros((n, 4, 4))
    matrix[:, 0, 1], matrix[:, 0, 2], matrix[:, 1, 2] = -w[:, 2], w[:, 1], -w[:, 0]
    matrix[:, :3, :3] -= matrix[:, :3, :3].transpose(0, 2, 1)
    matrix[:, 2, 3] = matrix[:, 3, 2] = K * rho
    values, vectors = np.linalg.eig(matrix)
    stable = values.real.argmax(axis=1)
    chosen = vectors[np.arange(n), :, stable]
    height = (chosen[:, 2] / chosen[:, 3]).real
    assert height.mean() == pytest.approx(rho, abs=4 * height.std() / np.sqrt(n))


def test_critical_coupling_from_a_sample() -> None:
    rng = np.random.default_rng(0)
    assert critical_coupling(gaussian_frequencies(N)) == pytest.approx(1.596, rel=0.01)
    assert critical_coupling(lorentzian_frequencies(N)) == pytest.approx(2, rel=0.02)
    assert critical_coupling(rng.standard_normal(20_000)) == pytest.approx(1.596, rel=0.06)
    assert critical_coupling(7 + 0.5 * rng.standard_cauchy(20_000)) == pytest.approx(1.0, rel=0.05)
    # Lorentzian frequencies and noise add up: K_c = 2Δ + σ².
    assert critical_coupling(rng.standard_cauchy(50_000), noise=1.5) == pytest.approx(2 + 1.5**2, rel=0.02)
    assert critical_coupling(np.full(9, 3.0)) == 0.0
    with pytest.raises(InputError, match="1 frequencies"):
        critical_coupling(np.ones(1))


def test_phase_coherence_sees_a_lag_but_not_a_drift() -> None:
    t = np.linspace(0, 400, 4000)
    coherence = phase_coherence(np.stack([t, t + 2, 1.3 * t], axis=1))
    assert coherence == pytest.approx(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]), abs=0.02)
    with pytest.raises(InputError, match=r"\[S, N\]"):
        phase_coherence(np.zeros(3))
