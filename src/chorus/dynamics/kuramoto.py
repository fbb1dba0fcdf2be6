"""Kuramoto phases as a stochastic differential equation, by Euler–Maruyama.

    dθ_i = ω_i dt + (K/N) Σ_j sin(θ_j − θ_i) dt + σ_i dW_i

The noise is additive, so Euler–Maruyama has strong order 1 (and weak order 1). There is one dt: it scales drift,
noise and delay alike. Shapes: N oscillators, E edges, S samples, `...` any batch of independent populations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chorus.dynamics.checks import count, finite, generator, scalar, sized, storable, whole_steps
from chorus.dynamics.coupling import Delayed, Edges, MeanField, Neighbourhood, Normalization, Sent, cos_sin
from chorus.dynamics.noise import NoiseKind, wiener
from chorus.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Complex, Float

MAX_PHASE = 1e9  # radians
MAX_ALIASED = 0.01  # share of oscillators that may turn more than half a turn a step: a Lorentzian always has some


@dataclass(frozen=True)
class PhaseRun:
    """What `simulate_phases` returns.

    Attributes:
        times: sample times, shape [S].
        order: r·e^{iψ} at those times, shape [S, ...].
        theta: phases at the end, not wrapped, shape [..., N].
        phases: phases at those times, shape [S, ..., N], if they were asked for.

    """

    times: Float[np.ndarray, "s"]
    order: Complex[np.ndarray, "s ..."]
    theta: Float[np.ndarray, "... n"]
    phases: Float[np.ndarray, "s ... n"] | None = None

    def coherence(self, after: float = 0.0) -> float:
        """Mean of r over the samples from time `after` on (and over the batch)."""
        late = self.order[self.times >= after]
        if not len(late):
            raise InputError(f"after: {after:g} is past the last sample at {self.times[-1]:g}")
        return float(np.abs(late).mean())


def simulate_phases(
    omega: Float[np.ndarray, "n"] | float,
    coupling: float,
    *,
    dt: float,
    steps: int,
    theta: Float[np.ndarray, "... n"] | None = None,
    n: int | None = None,
    noise: Float[np.ndarray, "n"] | float = 0.0,
    topology: Neighbourhood | None = None,
    normalize: Normalization = "degree",
    delay: Float[np.ndarray, "e"] | float = 0.0,
    seed: int | np.random.Generator | None = None,
    increments: NoiseKind | Float[np.ndarray, "steps ... n"] = "gaussian",
    every: int = 1,
    keep_phases: bool = False,
) -> PhaseRun:
    """Simulate coupled phases; all-to-all in O(N) a step, over a topology in O(edges).

    Args:
        omega: natural frequencies ω, rad/s; one for all, or [N].
        coupling: K, rad/s; positive attracts, negative repels.
        dt: time step, seconds.
        steps: number of steps.
        theta: phases at the start, radians, [..., N]; uniform random if not given.
        n: number of oscillators, needed only when neither omega nor theta says it.
        noise: σ ≥ 0, rad/√s; one for all, or [N].
        topology: who reads whom; None is all-to-all.
        normalize: with a topology, divide each sum by the reader's "degree" or by the number of "actors".
        delay: seconds from sending to reading, a whole number of steps; one for all, or one for each edge in the
            order of `topology.to_csr`. Before the start the phases are taken to have turned freely at ω.
        seed: seed or generator of start and noise; the same seed gives the same run.
        increments: kind of noise, or the Wiener increments themselves, [steps, ..., N].
        every: steps between samples of the order parameter.
        keep_phases: keep the phases at each sample too.

    Raises:
        InputError: dt ≤ 0, a number that is not finite, sizes that do not fit, K·dt ≥ 1 (Euler would overshoot),
            more than 1 % of the oscillators turning over half a turn a step relative to the median, phases that
            would grow past 1e9, a negative seed, or phases or a history for the delay of more than 4 GiB.

    Kuramoto (1984); noise: Sakaguchi (1988); delay: Yeung & Strogatz, Phys. Rev. Lett. 82 (1999) 648.

    >>> run = simulate_phases(1.0, 2.0, n=100, noise=1.0, dt=0.02, steps=2000, seed=0)
    >>> 0.75 < run.coherence(after=20) < 0.9  # theory: 0.832
    True

    """
    dt, K = scalar("dt", dt, above=0), scalar("coupling", coupling)
    steps, every = count("steps", steps, at_least=1), count("every", every, at_least=1)
    rng = generator(seed)
    theta = _start(omega, theta, n, rng)
    size = theta.shape[-1]
    omega = sized("omega", omega, size, of="theta")
    sigma = sized("noise", noise, size, of="theta")
    if (sigma < 0).any():
        raise InputError(f"noise: {sigma.min():g} is negative")
    _refuse_stiffness(omega, K, dt)
    duration = dt * steps
    reach = np.abs(theta).max() + (np.abs(omega).max() + abs(K)) * duration + 10 * sigma.max() * duration**0.5
    if reach > MAX_PHASE:
        raise InputError(
            f"omega, noise: phases may reach {reach:.2g} radians in {duration:g} s, where doubles no longer resolve"
            f" 1e-7; stay below {MAX_PHASE:g}"
        )

    reads: MeanField | Edges = MeanField() if topology is None else Edges(topology, size, normalize)
    late = whole_steps("delay", delay, dt)
    delayed = None
    if late.any() or late.ndim:
        start = theta.copy()

        def past(k: int) -> Sent:
            before = start - omega * (k * dt)
            return cos_sin(before)

        delayed = Delayed(reads, late, past)

    given = None
    if not isinstance(increments, str):
        given = finite("increments", increments)
        if given.shape != (steps, *theta.shape):
            raise InputError(f"increments: shape {given.shape}, expected {(steps, *theta.shape)}")
        if not sigma.any():
            raise InputError("increments: given, but noise is 0 and they would not be used")
    kind: NoiseKind = increments if isinstance(increments, str) else "gaussian"

    times, orders, kept = [], [], []
    free = omega * dt
    pull = K * dt
    for step in range(steps + 1):
        c, s = cos_sin(theta)
        if step % every == 0 or step == steps:
            times.append(step * dt)
            orders.append(c.mean(axis=-1) + 1j * s.mean(axis=-1))
            if keep_phases:
                kept.append(theta.copy())
        if step == steps:
            break
        mean_c, mean_s = delayed((c, s)) if delayed else (reads(c), reads(s))
        c *= pull * mean_s
        s *= pull * mean_c
        c -= s
        theta += c
        theta += free
        if sigma.any():
            theta += sigma * (given[step] if given is not None else wiener(kind, rng, theta.shape, dt))
    return PhaseRun(np.array(times), np.array(orders), theta, np.array(kept) if keep_phases else None)


def lorentzian_frequencies(n: int, width: float = 1.0, centre: float = 0.0) -> Float[np.ndarray, "n"]:
    """N evenly spaced quantiles of a Lorentzian: its distribution without the luck of a draw.

    Args:
        n: how many.
        width: Δ > 0, half width at half maximum, rad/s.
        centre: its peak, rad/s.

    >>> lorentzian_frequencies(4).round(3).tolist()
    [-2.414, -0.414, 0.414, 2.414]

    """
    n = count("n", n, at_least=1)
    storable("n", n)
    half = (np.arange(n) + 0.5) / n - 0.5
    return np.asarray(scalar("centre", centre) + scalar("width", width, above=0) * np.tan(np.pi * half))


def gaussian_frequencies(n: int, deviation: float = 1.0, centre: float = 0.0) -> Float[np.ndarray, "n"]:
    """N evenly spaced quantiles of a Gaussian: its distribution without the luck of a draw.

    Args:
        n: how many.
        deviation: standard deviation > 0, rad/s.
        centre: mean, rad/s.

    >>> gaussian_frequencies(3).round(3).tolist()
    [-0.967, 0.0, 0.967]

    """
    from statistics import NormalDist

    draw = NormalDist().inv_cdf
    n = count("n", n, at_least=1)
    storable("n", n)
    quantiles = np.fromiter((draw((i + 0.5) / n) for i in range(n)), float, n)
    return np.asarray(scalar("centre", centre) + scalar("deviation", deviation, above=0) * quantiles)


def _start(
    omega: Float[np.ndarray, "n"] | float,
    theta: Float[np.ndarray, "... n"] | None,
    n: int | None,
    rng: np.random.Generator,
) -> Float[np.ndarray, "... n"]:
    if theta is not None:
        given = finite("theta", theta)
        if given.ndim == 0 or given.shape[-1] == 0 or n not in (None, given.shape[-1]):
            raise InputError(f"theta: shape {given.shape}" + (f", n says {n}" if n else ", expected [..., N], N > 0"))
        return np.array(given)
    if n is None:
        if np.ndim(omega) == 0:
            raise InputError("n: say how many oscillators there are, or give omega or theta an entry for each")
        n = np.shape(omega)[-1]
    n = count("n", n, at_least=1)
    storable("n", n)
    return np.asarray(rng.uniform(-np.pi, np.pi, n))


def _refuse_stiffness(omega: Float[np.ndarray, "n"], K: float, dt: float) -> None:
    if abs(K) * dt >= 1:
        raise InputError(
            f"dt: {dt:g} is too large for coupling {K:g}: K·dt = {abs(K) * dt:g} must be below 1 or a step overshoots"
            f" what it is drawn to; take dt ≤ {0.1 / abs(K):.3g}"
        )
    away = np.abs(omega - np.median(omega))
    aliased = np.mean(away * dt > np.pi)
    if aliased > MAX_ALIASED:
        fit = np.pi / float(np.quantile(away, 1 - MAX_ALIASED))
        raise InputError(
            f"dt: {dt:g} is too large for these frequencies: {aliased:.0%} of the oscillators turn over half a turn"
            f" a step against the median, and would be taken for slow ones; take dt ≤ {fit:.3g}"
        )
