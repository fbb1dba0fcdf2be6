"""N-dimensional Kuramoto: unit vectors that turn at their own rate and are pulled along the sphere by messages.

    ẋ_i = Ω_i x_i + P(x_i)(c_i + Σ_j J_ij x_j),   P(x)y = y − ⟨y, x⟩x,   Ω_i antisymmetric

A step turns x along the great circle of its pull, then by exp(Ω dt). Both are rotations, so x stays on the sphere at
any dt, and the natural rotation is exact. In two dimensions this is exactly Euler–Maruyama on the phase.
Chandra, Girvan & Ott, Phys. Rev. X 9 (2019) 011002; Miyato et al., Artificial Kuramoto Oscillatory Neurons (2024).
Shapes: N oscillators in D dimensions, S samples, `...` any batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chorus.dynamics.checks import count, finite, generator, scalar, storable
from chorus.dynamics.coupling import Edges, Neighbourhood, Normalization
from chorus.dynamics.noise import NoiseKind, wiener
from chorus.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float


def random_points(n: int, d: int, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
    """N points, uniform on the unit sphere in D dimensions.

    Args:
        n: how many.
        d: dimensions, at least 2.
        rng: source of randomness.

    >>> np.linalg.norm(random_points(3, 4, np.random.default_rng(0)), axis=-1).round(12).tolist()
    [1.0, 1.0, 1.0]

    """
    n, d = count("n", n, at_least=1), count("d", d, at_least=2)
    storable("n, d", n, d)
    x = rng.standard_normal((n, d))
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def random_rotations(n: int, d: int, rng: np.random.Generator, deviation: float = 1.0) -> Float[np.ndarray, "n d d"]:
    """N antisymmetric matrices Ω whose entries above the diagonal are N(0, deviation²), rad/s.

    Args:
        n: how many.
        d: dimensions, at least 2.
        rng: source of randomness.
        deviation: at least 0, rad/s.

    >>> omega = random_rotations(5, 3, np.random.default_rng(0))
    >>> bool((omega == -omega.transpose(0, 2, 1)).all())
    True

    """
    shape = (count("n", n, at_least=1), count("d", d, at_least=2), d)
    storable("n, d, d", *shape)
    upper = np.triu(rng.standard_normal(shape) * scalar("deviation", deviation, at_least=0), 1)
    return np.asarray(upper - upper.transpose(0, 2, 1))


def rotation(omega: Float[np.ndarray, "... d d"], dt: float) -> Float[np.ndarray, "... d d"]:
    """Find the rotation exp(Ω dt) of an antisymmetric Ω, through the real eigenvalues of the Hermitian iΩ.

    Args:
        omega: antisymmetric matrices, rad/s.
        dt: seconds.

    Raises:
        InputError: not square, not finite, or not antisymmetric.

    >>> rotation(np.array([[0.0, -np.pi / 2], [np.pi / 2, 0.0]]), 1.0).round(12).tolist()
    [[0.0, -1.0], [1.0, 0.0]]

    """
    omega = finite("omega", omega)
    if omega.ndim < 2 or omega.shape[-1] != omega.shape[-2]:
        raise InputError(f"omega: shape {omega.shape}, expected square matrices [..., D, D]")
    if not np.allclose(omega, -np.swapaxes(omega, -1, -2), rtol=0, atol=1e-9 * (1 + np.abs(omega).max(initial=0))):
        raise InputError("omega: not antisymmetric, so it would push points off the sphere; use (A - A.T) / 2")
    turn, axes = np.linalg.eigh(1j * omega)
    matrix = (axes * np.exp(-1j * dt * turn)[..., None, :]) @ np.swapaxes(axes.conj(), -1, -2)
    return np.ascontiguousarray(matrix.real + 0.0)


def sphere_step(
    x: Float[np.ndarray, "... d"],
    messages: Float[np.ndarray, "... d"],
    dt: float,
    turn: Float[np.ndarray, "... d d"] | None = None,
    kick: Float[np.ndarray, "... d"] | None = None,
) -> Float[np.ndarray, "... d"]:
    """One step: along the great circle of P(x)(messages·dt + kick), then through the natural rotation.

    Args:
        x: unit vectors.
        messages: c_i + Σ_j J_ij x_j, per second.
        dt: seconds.
        turn: exp(Ω dt), from `rotation`; None is Ω = 0.
        kick: σ ΔW, for noise; with it x diffuses as Brownian motion on the sphere.

    Geodesic Euler: order 1 in the pull, exact in Ω.

    >>> sphere_step(np.array([1.0, 0.0]), np.array([0.0, np.pi]), 0.5).round(12).tolist()
    [0.0, 1.0]

    """
    pull = messages * dt if kick is None else messages * dt + kick
    pull = pull - _dot(pull, x) * x
    angle = np.sqrt(_dot(pull, pull))
    x = np.cos(angle) * x + np.sinc(angle / np.pi) * pull
    if turn is not None:
        x = _rotate(turn, x)
    # Rotations keep the norm; what rounding adds over a million steps is taken out by one Newton step to |x|² = 1.
    x *= 1.5 - 0.5 * _dot(x, x)
    return np.asarray(x)


def _dot(a: Float[np.ndarray, "... d"], b: Float[np.ndarray, "... d"]) -> Float[np.ndarray, "... 1"]:
    return np.asarray(np.einsum("...d,...d->...", a, b))[..., None]


def _rotate(turn: Float[np.ndarray, "... d d"], x: Float[np.ndarray, "... d"]) -> Float[np.ndarray, "... d"]:
    return np.asarray(np.einsum("...ij,...j->...i", turn, x))


@dataclass(frozen=True)
class SphereRun:
    """What `simulate_sphere` returns.

    Attributes:
        times: sample times, shape [S].
        order: |ρ| = |mean of x| at those times, shape [S].
        x: points at the end, shape [N, D].
        points: points at those times, shape [S, N, D], if they were asked for.

    """

    times: Float[np.ndarray, "s"]
    order: Float[np.ndarray, "s"]
    x: Float[np.ndarray, "n d"]
    points: Float[np.ndarray, "s n d"] | None = None

    def coherence(self, after: float = 0.0) -> float:
        """Mean of |ρ| over the samples from time `after` on."""
        late = self.order[self.times >= after]
        if not len(late):
            raise InputError(f"after: {after:g} is past the last sample at {self.times[-1]:g}")
        return float(late.mean())


def simulate_sphere(
    x: Float[np.ndarray, "n d"],
    coupling: Float[np.ndarray, "..."] | float,
    *,
    dt: float,
    steps: int,
    omega: Float[np.ndarray, "n d d"] | None = None,
    conditioning: Float[np.ndarray, "n d"] | None = None,
    topology: Neighbourhood | None = None,
    normalize: Normalization = "degree",
    noise: float = 0.0,
    seed: int | np.random.Generator | None = None,
    increments: NoiseKind = "gaussian",
    every: int = 1,
    keep_points: bool = False,
) -> SphereRun:
    """Simulate rotors on the sphere; all-to-all in O(N) a step, over a topology in O(edges).

    Args:
        x: unit vectors at the start, [N, D], D ≥ 2.
        coupling: J, per second. A number K couples every rotor to the mean of those it reads (K/N all-to-all);
            a [D, D] matrix does so after turning that mean (matrix coupling); [N, N] gives a weight J_ij to each
            pair, and [N, N, D, D] a matrix. The last two are the whole sum: no topology, nothing divided by N.
        dt: seconds.
        steps: number of steps.
        omega: Ω, antisymmetric, rad/s, [D, D] or [N, D, D]; None is 0.
        conditioning: c, a constant pull on each rotor, per second, [D] or [N, D].
        topology: who reads whom; None is all-to-all.
        normalize: as in `simulate_phases`.
        noise: σ ≥ 0, of Brownian motion on the sphere, rad/√s.
        seed: seed or generator of the noise.
        increments: kind of noise.
        every: steps between samples.
        keep_points: keep the points at each sample too.

    Raises:
        InputError: points off the sphere, numbers that are not finite, sizes that do not fit, dt ≤ 0, or a pull
            or a kick of more than a radian a step.

    >>> rng = np.random.default_rng(0)
    >>> run = simulate_sphere(random_points(50, 3, rng), 2.0, dt=0.05, steps=200)
    >>> round(run.coherence(after=9), 2)  # no natural rotation: everything meets
    1.0

    """
    dt, sigma = scalar("dt", dt, above=0), scalar("noise", noise, at_least=0)
    steps, every = count("steps", steps, at_least=1), count("every", every, at_least=1)
    x = np.array(finite("x", x))
    if x.ndim != 2 or x.shape[0] < 1 or x.shape[1] < 2:
        raise InputError(f"x: shape {x.shape}, expected [N, D] with N ≥ 1 and D ≥ 2")
    if (off := np.abs(np.linalg.norm(x, axis=-1) - 1).max()) > 1e-6:
        raise InputError(f"x: a point is {off:.2g} off the unit sphere; divide each by its norm")
    n, d = x.shape
    J = finite("coupling", coupling)
    c = np.zeros(d) if conditioning is None else finite("conditioning", conditioning)
    if c.shape not in ((d,), (n, d)):
        raise InputError(f"conditioning: shape {c.shape}, expected {(d,)} or {(n, d)}")
    pairs = J.shape in ((n, n), (n, n, d, d)) and J.shape != (d, d)
    if J.shape not in ((), (d, d)) and not pairs:
        raise InputError(f"coupling: shape {J.shape}, expected a number, {(d, d)}, {(n, n)} or {(n, n, d, d)}")
    if pairs and topology is not None:
        raise InputError("coupling: weights for each pair already say who reads whom; drop the topology")
    edges = None if topology is None else Edges(topology, n, normalize)

    def messages(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        if pairs:
            return np.asarray(J @ x if J.ndim == 2 else np.einsum("ijab,jb->ia", J, x)) + c
        mean = x.mean(axis=0) if edges is None else edges(x.T).T
        return np.asarray(J * mean if J.ndim == 0 else mean @ J.T) + c

    strongest = float(np.linalg.norm(c, axis=-1).max() + _strength(J, pairs))
    if strongest * dt > 1:
        raise InputError(
            f"dt: {dt:g} is too large: messages may pull by {strongest:.3g} per second, over a radian a step;"
            f" take dt ≤ {0.1 / strongest:.2g}"
        )
    if sigma * math.sqrt(dt) > 1:
        fit = 0.1 / sigma**2
        raise InputError(f"dt: {dt:g} is too large for noise {sigma:g}: a kick is over a radian; take dt ≤ {fit:.2g}")
    turn = half = back = None
    if omega is not None:
        # The step map turns after it pulls. Half a turn before the run, taken back at each sample, makes that the
        # symmetric half turn, pull, half turn: a sample is then right to second order in Ω dt, not to first.
        turn, half, back = rotation(omega, dt), rotation(omega, dt / 2), rotation(omega, -dt / 2)
        if turn.shape not in ((d, d), (n, d, d)):
            raise InputError(f"omega: shape {turn.shape}, expected {(d, d)} or {(n, d, d)}")
        x = _rotate(half, x)

    rng = generator(seed)
    times, order, kept = [], [], []
    for step in range(steps + 1):
        if step % every == 0 or step == steps:
            now = x if back is None else _rotate(back, x)
            times.append(step * dt)
            order.append(float(np.linalg.norm(now.mean(axis=0))))
            if keep_points:
                kept.append(now)
        if step < steps:
            kick = sigma * wiener(increments, rng, x.shape, dt) if sigma else None
            x = sphere_step(x, messages(x), dt, turn, kick)
    return SphereRun(np.array(times), np.array(order), now, np.array(kept) if keep_points else None)


def _strength(J: Float[np.ndarray, "..."], pairs: bool) -> float:
    """Bound |Σ_j J_ij x_j| over unit vectors x."""
    if J.ndim == 0:
        return float(abs(J))
    if J.ndim == 2:
        return float(np.abs(J).sum(axis=1).max() if pairs else np.linalg.norm(J, 2))
    return float(np.linalg.norm(J, 2, axis=(2, 3)).sum(axis=1).max())
