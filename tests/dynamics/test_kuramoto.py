"""The simulation of phases converges at the orders of Euler–Maruyama, delays what it should, and refuses nonsense."""

import itertools
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from chorus.dynamics import order_parameter, pairwise_drift, simulate_phases
from chorus.errors import InputError
from chorus.topology import full, graph, ring, sliding_window


def test_one_step_is_the_equation() -> None:
    rng = np.random.default_rng(0)
    theta, omega, dW = rng.uniform(-3, 3, 30), rng.standard_normal(30), rng.standard_normal((1, 30))
    run = simulate_phases(omega, 1.7, theta=theta, noise=0.4, dt=0.05, steps=1, increments=dW)
    expected = theta + (omega + 1.7 * pairwise_drift(theta)) * 0.05 + 0.4 * dW[0]
    np.testing.assert_allclose(run.theta, expected, atol=1e-13)
    np.testing.assert_allclose(run.order, [order_parameter(theta), order_parameter(expected)], atol=1e-13)


def test_it_converges_to_an_independent_integration_without_noise() -> None:
    from scipy.integrate import solve_ivp

    rng = np.random.default_rng(1)
    theta, omega = rng.uniform(-3, 3, 20), rng.standard_normal(20)
    exact = solve_ivp(lambda t, x: omega + 2 * pairwise_drift(x), (0, 2), theta, rtol=1e-11, atol=1e-11).y[:, -1]
    errors = [
        np.abs(simulate_phases(omega, 2.0, theta=theta, dt=2 / n, steps=n).theta - exact).max() for n in (50, 100, 200)
    ]
    assert [a / b for a, b in pairwise(errors)] == pytest.approx([2, 2], abs=0.1)


def test_strong_order_is_one() -> None:
    """Mean pathwise error, on the same Brownian paths, halves with dt: the noise is additive."""
    rng = np.random.default_rng(2)
    populations, n, finest, T = 100, 10, 1024, 1.0
    theta, omega = rng.uniform(-3, 3, (populations, n)), rng.standard_normal(n)
    paths = rng.standard_normal((finest, populations, n)) * np.sqrt(T / finest)

    def end(steps: int) -> NDArray[np.float64]:
        dW = paths.reshape(steps, finest // steps, populations, n).sum(axis=1)
        return simulate_phases(
            omega, 3.0, theta=theta, noise=1.0, dt=T / steps, steps=steps, increments=dW, every=steps
        ).theta

    exact = end(finest)
    errors = [np.abs(end(steps) - exact).mean() for steps in (8, 16, 32, 64)]
    orders = [np.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([1, 1, 1], abs=0.15)  # ½, or nothing, where noise and step disagree


def test_weak_order_is_one_with_three_point_increments() -> None:
    """Expectations over every path of three-point noise, summed exactly, against the Fokker–Planck equation.

    For two phases of which the first is noisy, φ = θ₁ − θ₂ has moments m_k = E e^{ikφ} with
    dm_k/dt = (ikΔω − k²s²/2) m_k − (Kk/2)(m_{k+1} − m_{k−1}).
    """
    from scipy.linalg import expm

    K, s, delta, start, T, cut = 1.5, 0.9, 0.6, 1.0, 0.4, 40
    k = np.arange(-cut, cut + 1)
    generator = np.diag(1j * k * delta - k**2 * s**2 / 2)
    generator -= K / 2 * (np.diag(k[:-1].astype(complex), 1) - np.diag(k[1:].astype(complex), -1))
    exact = (expm(generator * T) @ np.exp(1j * k * start))[cut + 1]

    errors = []
    for steps in (2, 4, 8):
        dt = T / steps
        paths = np.array(list(itertools.product([-1, 0, 1], repeat=steps))).T
        chance = np.where(paths == 0, 2 / 3, 1 / 6).prod(axis=0)
        dW = np.zeros((steps, paths.shape[1], 2))
        dW[:, :, 0] = np.sqrt(3 * dt) * paths
        theta = np.tile([start, 0.0], (paths.shape[1], 1))
        noise = np.array([s, 0.0])
        run = simulate_phases(np.array([delta, 0.0]), K, theta=theta, noise=noise, dt=dt, steps=steps, increments=dW)
        errors.append(abs(chance @ np.exp(1j * (run.theta[:, 0] - run.theta[:, 1])) - exact))
    assert [np.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([1, 1], abs=0.15)


def test_the_coupling_is_not_normalised_away() -> None:
    theta = np.random.default_rng(3).uniform(-3, 3, 40)
    moved = [simulate_phases(0.0, K, theta=theta, dt=0.01, steps=1).theta - theta for K in (1.0, 2.0)]
    np.testing.assert_allclose(moved[1], 2 * moved[0], atol=1e-13)
    assert np.abs(moved[0]).max() > 1e-4


def test_over_a_full_topology_it_is_all_to_all() -> None:
    theta, omega = np.random.default_rng(4).uniform(-3, 3, (2, 60))
    runs = [
        simulate_phases(omega, 2.0, theta=theta, noise=0.3, dt=0.02, steps=200, seed=9, topology=topology)
        for topology in (None, full())
    ]
    np.testing.assert_allclose(runs[0].theta, runs[1].theta, atol=1e-10)


def test_a_ring_keeps_a_twist_that_all_to_all_coupling_undoes() -> None:
    n, twist = 40, 2
    start = 2 * np.pi * twist * np.arange(n) / n + np.random.default_rng(5).normal(0, 0.05, n)
    local = simulate_phases(0.0, 2.0, theta=start, topology=ring(), dt=0.05, steps=2000)
    gaps = np.diff(local.theta)
    np.testing.assert_allclose(gaps, 2 * np.pi * twist / n, atol=1e-3)  # Wiley, Strogatz & Girvan 2006
    assert local.coherence(after=90) < 1e-3
    assert simulate_phases(0.0, 2.0, theta=start, dt=0.05, steps=2000).coherence(after=90) > 0.999


def test_who_reads_nobody_is_led_by_nobody() -> None:
    chain = graph([[1, 0], [2, 1]])
    run = simulate_phases(
        np.array([1.0, 0.0, 0.0]), 5.0, theta=np.zeros(3), topology=chain, dt=0.02, steps=2000, keep_phases=True
    )
    assert run.phases is not None
    speeds = (run.phases[-1] - run.phases[-200]) / (run.times[-1] - run.times[-200])
    assert speeds == pytest.approx([1, 1, 1], abs=1e-6)
    assert run.theta[0] - run.theta[1] == pytest.approx(np.arcsin(1 / 5), abs=1e-6)


@pytest.mark.parametrize("topology", [None, full()])
def test_delayed_locking_turns_at_the_frequency_of_yeung_and_strogatz(topology: object) -> None:
    """Ω = ω − K sin(Ωτ): true of the simulation to rounding, since a steadily turning phase is exact at any dt."""
    omega, K, tau, dt = 1.0, 0.8, 0.9, 0.05
    run = simulate_phases(
        omega, K, theta=np.random.default_rng(6).normal(0, 0.1, 30), delay=tau, dt=dt, steps=4000, keep_phases=True,
        topology=topology,  # type: ignore[arg-type]
    )  # fmt: skip
    assert run.phases is not None
    speed = (run.phases[-1] - run.phases[-1001]) / (1000 * dt)
    assert speed == pytest.approx(omega - K * np.sin(speed * tau), abs=1e-9)
    assert speed.std() < 1e-9
    assert run.coherence(after=150) == pytest.approx(1, abs=1e-9)


def test_each_edge_may_have_its_own_delay() -> None:
    topology, n, dt, steps, K = sliding_window(3), 6, 0.1, 40, 1.3
    indptr, indices = topology.to_csr(n)
    rng = np.random.default_rng(7)
    late = rng.integers(0, 5, len(indices))
    omega, theta = rng.standard_normal(n), rng.uniform(-3, 3, n)
    history = [theta - omega * dt * k for k in range(5, 0, -1)] + [theta]
    for _ in range(steps):
        now, drift = history[-1], np.zeros(n)
        for i in range(n):
            edges = range(indptr[i], indptr[i + 1])
            drift[i] = np.mean([np.sin(history[-1 - late[e]][indices[e]] - now[i]) for e in edges])
        history.append(now + dt * (omega + K * drift))
    run = simulate_phases(omega, K, theta=theta, topology=topology, delay=late * dt, dt=dt, steps=steps)
    np.testing.assert_allclose(run.theta, history[-1], atol=1e-11)


def test_the_same_seed_gives_the_same_run() -> None:
    def end(seed: int) -> NDArray[np.float64]:
        return simulate_phases(0.0, 1.0, n=20, noise=1.0, dt=0.1, steps=50, seed=seed).theta

    assert (end(1) == end(1)).all()
    assert (end(1) != end(2)).all()


GOOD = {"omega": np.zeros(4), "coupling": 1.0, "dt": 0.1, "steps": 10, "theta": np.zeros(4)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dt": 0.0}, "dt: got 0, must be above 0"),
        ({"dt": -0.1}, "dt: got -0.1, must be above 0"),
        ({"dt": float("nan")}, "dt: nan is not a finite number"),
        ({"steps": 0}, "steps"),
        ({"steps": 1.5}, "steps"),
        ({"theta": np.array([0, np.nan, 0, 0])}, r"theta: nan at \[1\] is not a finite number"),
        ({"theta": "abc"}, "theta: expected real numbers"),
        ({"theta": np.zeros(5)}, "omega: has 4 entries, theta has 5"),
        ({"theta": np.zeros(0)}, "theta: shape"),
        ({"noise": np.ones(3)}, "noise: has 3 entries, theta has 4"),
        ({"noise": -1.0}, "noise: -1 is negative"),
        ({"coupling": float("inf")}, "coupling"),
        ({"coupling": 20.0}, r"dt: 0.1 is too large for coupling 20: .* take dt ≤ 0.005"),
        ({"omega": np.array([0, 0, 0, 99.0])}, "25% of the oscillators turn over half a turn"),
        ({"delay": 0.25}, "not a whole number of steps of dt = 0.1; with dt = 0.125 it is"),
        ({"delay": -0.1}, "delay: -0.1 is negative"),
        ({"delay": np.array([0.1, 0.2])}, "delay: 2 delays, the topology has no edges"),
        ({"delay": np.array([0.1, 0.2]), "topology": ring()}, "delay: 2 delays, the topology has"),
        ({"increments": np.zeros((10, 3)), "noise": 1.0}, r"increments: shape \(10, 3\), expected \(10, 4\)"),
        ({"increments": np.zeros((10, 4))}, "noise is 0"),
        ({"increments": "pink", "noise": 1.0}, "increments: got 'pink'"),
        ({"omega": 1e12}, "phases may reach 1e.12 radians"),
        ({"noise": 1e300}, "phases may reach"),
        ({"steps": float("nan")}, "steps: nan"),
        ({"delay": 1e12, "topology": ring()}, "GiB"),
        ({"normalize": "rows", "topology": ring()}, "normalize"),
        ({"theta": None, "omega": 1.0}, "n: say how many"),
        ({"n": 3}, "n says 3"),
        ({"seed": -1}, "seed: got -1"),
        ({"theta": None, "n": 10**12, "omega": 1.0}, "n: 1,000,000,000,000 numbers take 7,451 GiB"),
    ],
)
def test_bad_input(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate_phases(**{**GOOD, **wrong})  # type: ignore[arg-type]


def test_asking_for_the_mean_past_the_end() -> None:
    with pytest.raises(InputError, match="after: 2 is past the last sample at 1"):
        simulate_phases(**GOOD).coherence(after=2)  # type: ignore[arg-type]
