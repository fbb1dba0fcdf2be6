"""Geometric Brownian modulation of a complex coherence that never leaves the unit disc."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from chorus.dynamics.checks import scalar
from chorus.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Complex

# Rounding in exp, cos, sin and the square could lift |T|² a few units in the last place above 1.
_INSIDE = 1.0 - 2.0**-50


def modulate(
    T: Complex[np.ndarray, "..."],
    dt: float,
    *,
    drift: float = 0.0,
    volatility: float,
    frequency: float = 0.0,
    phase_noise: float = 0.0,
    rng: np.random.Generator,
) -> Complex[np.ndarray, "..."]:
    """Advance a coherence T by dt of geometric Brownian motion reflected at |T| = 1; exact in law for every dt.

    d log T = (γ + iω) dt + σ dW + iς dW' − dL, where L grows only while |T| = 1 and keeps |T| ≤ 1.

    With y = −log|T| this is Brownian motion with drift −γ reflected at 0. Its law over a whole step is known:
    y' = b + max(y, −m), with b ~ N(−γdt, σ²dt) and the least value the path had on the way,
    m = (b − √(b² − 2σ²dt·log U))/2, U uniform (Lépingle 1995; Asmussen, Glynn & Pitman 1995). So the bound is kept
    by the step itself. Setting |T| to 1 whenever a step has left the disc lowers the reflection to the moments
    looked at, a bias of order √dt. With γ > 0, y is in the long run exponential with rate 2γ/σ²: E|T|² = γ/(γ + σ²).

    Args:
        T: coherences, complex, |T| ≤ 1. T = 0 stays 0, as in all geometric Brownian motion.
        dt: time step, seconds.
        drift: γ, of log|T|, per second: positive restores coherence, negative lets it decay.
        volatility: σ ≥ 0, of log|T|, per √second.
        frequency: ω, radians per second.
        phase_noise: ς ≥ 0, of the phase, radians per √second.
        rng: source of randomness.

    Raises:
        InputError: |T| > 1 or not finite, dt ≤ 0, a negative volatility, or rates without measure.

    >>> T = modulate(np.full(1000, 1.0 + 0j), 0.5, drift=-0.1, volatility=2.0, rng=np.random.default_rng(0))
    >>> bool((T.real**2 + T.imag**2 <= 1).all()), bool((abs(T) < 0.5).any())
    (True, True)

    """
    h = scalar("dt", dt, above=0)
    gamma, sigma = scalar("drift", drift), scalar("volatility", volatility, at_least=0)
    turn, spread = scalar("frequency", frequency), scalar("phase_noise", phase_noise, at_least=0)
    if (most := max(abs(gamma) * h, abs(turn) * h, sigma * math.sqrt(h), spread * math.sqrt(h))) > 1e6:
        raise InputError(f"dt: {h:g} is too large for these rates: a step would move T by {most:.1g}, more than 1e6")
    T = np.asarray(T, dtype=np.complex128)
    modulus = np.abs(T)
    if not (modulus <= 1 + 1e-12).all():  # also catches NaN
        raise InputError(f"T: largest modulus is {modulus.max():g}; a coherence is finite and at most 1")

    with np.errstate(divide="ignore"):  # log 0 = −∞ is meant: a dead coherence is infinitely far from the bound
        y = np.maximum(-np.log(modulus), 0.0)
    b = -gamma * h + sigma * math.sqrt(h) * rng.standard_normal(T.shape)
    least = (b - np.sqrt(b * b + 2 * sigma**2 * h * rng.standard_exponential(T.shape))) / 2
    y = np.maximum(b + np.maximum(y, -least), 0.0)
    phase = np.angle(T) + turn * h + spread * math.sqrt(h) * rng.standard_normal(T.shape)
    modulus = _INSIDE * np.exp(-y)
    return np.asarray(modulus * (np.cos(phase) + 1j * np.sin(phase)))


def stationary_power(drift: float, volatility: float) -> float:
    """Give the long-run mean E|T|² = γ/(γ + σ²) of `modulate`.

    Args:
        drift: γ > 0, per second.
        volatility: σ > 0, per √second.

    Raises:
        InputError: either is not positive (without either there is no such law).

    >>> stationary_power(drift=1.0, volatility=1.0)
    0.5

    """
    gamma = scalar("drift", drift, above=0)
    return gamma / (gamma + scalar("volatility", volatility, above=0) ** 2)
