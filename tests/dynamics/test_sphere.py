"""Rotors stay on the sphere, agree with phases in two dimensions, and jump in three but not in two or four."""

from itertools import pairwise

import numpy as np
import pytest

from chorus.dynamics import (
    cos_sin,
    random_points,
    random_rotations,
    rotation,
    simulate_phases,
    simulate_sphere,
    sphere_order,
    sphere_step,
)
from chorus.errors import InputError
from chorus.topology import full, ring


def planar(omega: np.ndarray) -> np.ndarray:
    zero = np.zeros_like(omega)
    return np.stack([np.stack([zero, -omega], -1), np.stack([omega, zero], -1)], -2)


def test_it_stays_on_the_sphere_for_many_large_noisy_steps() -> None:
    rng = np.random.default_rng(0)
    x, omega = random_points(8, 5, rng), random_rotations(8, 5, rng, 3.0)
    run = simulate_sphere(x, 2.0, omega=omega, noise=1.0, dt=0.3, steps=200_000, seed=1, every=200_000)
    assert np.abs(np.linalg.norm(run.x, axis=-1) - 1).max() < 2e-15  # rotations alone: 2.8e-15, and growing


def test_in_two_dimensions_a_step_is_euler_maruyama_on_the_phase() -> None:
    rng = np.random.default_rng(1)
    theta, omega, dt = rng.uniform(-3, 3, 50), rng.standard_normal(50), 0.05
    x, turn = np.stack(cos_sin(theta), -1), rotation(planar(omega), dt)
    for _ in range(200):
        x = sphere_step(x, 2.0 * x.mean(axis=0), dt, turn)
    phases = simulate_phases(omega, 2.0, theta=theta, dt=dt, steps=200).theta
    np.testing.assert_allclose(x, np.stack(cos_sin(phases), -1), atol=1e-11)


def test_natural_rotation_is_the_matrix_exponential() -> None:
    from scipy.linalg import expm

    omega = random_rotations(6, 5, np.random.default_rng(2), 2.0)
    np.testing.assert_allclose(rotation(omega, 0.7), [expm(0.7 * matrix) for matrix in omega], atol=1e-13)


@pytest.mark.parametrize("d", [2, 3, 4, 7])
def test_it_converges_to_an_independent_integration(d: int) -> None:
    from scipy.integrate import solve_ivp

    rng = np.random.default_rng(d)
    n, K, T = 8, 1.5, 1.0
    x, omega, c = random_points(n, d, rng), random_rotations(n, d, rng), 0.5 * rng.standard_normal((n, d))

    def slope(t: float, flat: np.ndarray) -> np.ndarray:
        y = flat.reshape(n, d)
        pull = c + K * y.mean(axis=0)
        return (np.einsum("nij,nj->ni", omega, y) + pull - (pull * y).sum(-1, keepdims=True) * y).ravel()

    exact = solve_ivp(slope, (0, T), x.ravel(), rtol=1e-11, atol=1e-11).y[:, -1].reshape(n, d)
    errors = [
        np.abs(simulate_sphere(x, K, omega=omega, conditioning=c, dt=T / m, steps=m).x - exact).max()
        for m in (40, 80, 160)
    ]
    assert [a / b for a, b in pairwise(errors)] == pytest.approx([2, 2], abs=0.35)
    assert errors[-1] < 0.02


@pytest.mark.parametrize("d", [2, 3, 5])
def test_noise_alone_is_brownian_motion_on_the_sphere(d: int) -> None:
    """E⟨x(t), x(0)⟩ = exp(−(D − 1)σ²t/2): the coordinates are eigenfunctions of the Laplacian."""
    n, sigma, T = 20_000, 0.6, 1.5
    start = np.zeros((n, d))
    start[:, 0] = 1
    run = simulate_sphere(start, 0.0, noise=sigma, dt=0.05, steps=30, seed=3, every=30)
    overlap = run.x[:, 0]
    assert overlap.mean() == pytest.approx(
        np.exp(-(d - 1) * sigma**2 * T / 2), abs=4 * overlap.std() / np.sqrt(n) + 0.003
    )


@pytest.mark.parametrize("K", [0.5, 1.0, 2.0])
def test_three_dimensions_jump_to_a_half(K: float) -> None:
    rng = np.random.default_rng(4)
    north = np.tile([0.0, 0.0, 1.0], (5000, 1))
    run = simulate_sphere(north, K, omega=random_rotations(5000, 3, rng), dt=0.05, steps=int(1200 / K**0.5), every=20)
    assert run.coherence(after=40 / K**0.5) == pytest.approx(sphere_order(K), abs=0.01)
    assert sphere_order(K) > 0.5


@pytest.mark.parametrize("d", [2, 4])
def test_even_dimensions_do_not(d: int) -> None:
    rng = np.random.default_rng(5)
    start = np.zeros((5000, d))
    start[:, 0] = 1
    run = simulate_sphere(start, 0.5, omega=random_rotations(5000, d, rng), dt=0.05, steps=800, every=20)
    assert run.coherence(after=30) < 0.04


def test_without_rotation_the_energy_falls() -> None:
    """For symmetric J and Ω = 0 the flow descends E = −½ Σ x_i·J_ij x_j − Σ c_i·x_i."""
    rng = np.random.default_rng(6)
    n, d = 6, 4
    J = 0.3 * rng.standard_normal((n, n, d, d))
    J = J + J.transpose(1, 0, 3, 2)
    c = rng.standard_normal((n, d))
    run = simulate_sphere(random_points(n, d, rng), J, conditioning=c, dt=0.005, steps=1500, keep_points=True)
    assert run.points is not None
    energy = -0.5 * np.einsum("sia,ijab,sjb->s", run.points, J, run.points) - np.einsum("ia,sia->s", c, run.points)
    assert (np.diff(energy) < 1e-12).all()
    assert energy[-1] < energy[0] - 1


def test_every_form_of_coupling_says_the_same() -> None:
    rng = np.random.default_rng(7)
    n, d, K = 10, 3, 1.3
    x = random_points(n, d, rng)
    forms = [K, K * np.eye(d), np.full((n, n), K / n), np.einsum("ij,ab->ijab", np.full((n, n), K / n), np.eye(d))]
    ends = [simulate_sphere(x, form, dt=0.05, steps=20).x for form in forms]
    ends.append(simulate_sphere(x, K, topology=full(), dt=0.05, steps=20).x)
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], atol=1e-13)
    local = simulate_sphere(x, K, topology=ring(), dt=0.05, steps=20).x
    weights = K * ring().mask(n) / ring().mask(n).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(local, simulate_sphere(x, weights, dt=0.05, steps=20).x, atol=1e-13)


def test_conditioning_draws_each_rotor_to_its_own_place() -> None:
    rng = np.random.default_rng(8)
    goals = random_points(20, 4, rng)
    run = simulate_sphere(random_points(20, 4, rng), 0.0, conditioning=3 * goals, dt=0.05, steps=400)
    np.testing.assert_allclose(run.x, goals, atol=1e-6)


EAST = np.tile([1.0, 0.0, 0.0], (4, 1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dt": 0.0}, "dt"),
        ({"x": 2 * EAST}, "x: a point is 1 off the unit sphere"),
        ({"x": np.full((4, 3), np.nan)}, r"x: nan at \[0, 0\]"),
        ({"x": np.ones((4, 1))}, r"x: shape \(4, 1\)"),
        ({"coupling": np.ones(5)}, r"coupling: shape \(5,\), expected a number, \(3, 3\), \(4, 4\)"),
        ({"coupling": np.ones((4, 4)), "topology": ring()}, "drop the topology"),
        ({"coupling": 50.0}, "dt: 0.1 is too large: messages may pull by 50 per second"),
        ({"conditioning": np.ones(4)}, "conditioning"),
        ({"omega": np.ones((4, 3, 3))}, "omega: not antisymmetric"),
        ({"omega": np.zeros((4, 3, 2))}, "expected square"),
        ({"omega": np.zeros((5, 3, 3))}, r"omega: shape \(5, 3, 3\)"),
        ({"noise": -1.0}, "noise"),
        ({"noise": 10.0}, "dt: 0.1 is too large for noise 10"),
    ],
)
def test_bad_input(wrong: dict[str, object], message: str) -> None:
    good = {"x": EAST, "coupling": 1.0, "dt": 0.1, "steps": 3}
    with pytest.raises(InputError, match=message):
        simulate_sphere(**{**good, **wrong})  # type: ignore[arg-type]


def test_a_step_takes_back_what_rounding_has_added() -> None:
    rng = np.random.default_rng(0)
    x, turn = random_points(20, 3, rng), rotation(random_rotations(20, 3, rng), 0.1)
    for off in (1 + 1e-6, 1 - 1e-6):
        moved = sphere_step(x * off, np.zeros_like(x), 0.1, turn)
        assert np.abs(np.linalg.norm(moved, axis=-1) - 1).max() < 1e-11


def test_matrix_coupling_turns_the_mean_that_way_round() -> None:
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])  # counter-clockwise, so the rotor runs ahead of itself
    run = simulate_sphere(np.array([[1.0, 0.0]]), quarter, dt=0.1, steps=10)
    assert np.allclose(run.x, [[np.cos(1), np.sin(1)]], atol=1e-12)
