"""How much a population of phases agrees, and how strong a coupling it takes.

Shapes: N phases, S samples in time, `...` any batch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from chorus.dynamics.checks import finite, scalar
from chorus.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Complex, Float


def order_parameter(theta: Float[np.ndarray, "... n"]) -> Complex[np.ndarray, "..."]:
    """Kuramoto's r·e^{iψ} = mean of e^{iθ}: r = 1 when all phases agree, about 1/√N when none do.

    Args:
        theta: phases, radians; the mean is over the last axis.

    Raises:
        InputError: no phases, or one that is not finite.

    Kuramoto, Chemical Oscillations, Waves, and Turbulence (1984), section 5.4.

    >>> float(abs(order_parameter(np.zeros(5))))
    1.0
    >>> float(abs(order_parameter(np.array([0.0, np.pi])))) < 1e-15
    True

    """
    theta = finite("theta", theta)
    if theta.ndim == 0 or theta.shape[-1] == 0:
        raise InputError(f"theta: expected at least one phase, got shape {theta.shape}")
    return np.asarray(np.cos(theta).mean(axis=-1) + 1j * np.sin(theta).mean(axis=-1))


def phase_coherence(theta: Float[np.ndarray, "s n"]) -> Float[np.ndarray, "n n"]:
    """Phase-locking value of every pair, |mean over time of e^{i(θ_i − θ_j)}|: 1 for a fixed lag, whatever the lag.

    Args:
        theta: phases over time, radians, shape [S, N].

    Raises:
        InputError: not two-dimensional, no samples, or not finite.

    Lachaux et al., Human Brain Mapping 8 (1999), 194–208.

    >>> t = np.linspace(0, 500, 5000)
    >>> np.round(phase_coherence(np.stack([t, t + 1, 1.7 * t], axis=1)), 1)[0].tolist()
    [1.0, 1.0, 0.0]

    """
    theta = finite("theta", theta)
    if theta.ndim != 2 or theta.shape[0] == 0:
        raise InputError(f"theta: expected phases over time of shape [S, N], got {theta.shape}")
    z = np.exp(1j * theta)
    return np.asarray(np.abs(z.T @ z.conj()) / len(theta))


def critical_coupling(omega: Float[np.ndarray, "n"], noise: float = 0.0) -> float:
    """Estimate from a sample of natural frequencies the coupling K_c at which all-to-all phases begin to lock.

    With noise, K_c = 2 / mean(D/(D² + (ω − Ω)²)), D = σ²/2. Without, K_c = 2/(π g(Ω)), g the density of ω, found
    by a fourth-order kernel. Ω is the median: the frequencies are taken to be symmetric with one peak.

    Args:
        omega: natural frequencies, rad/s.
        noise: σ, rad/√s.

    Returns:
        K_c, rad/s. Identical frequencies without noise lock at any coupling: 0.

    Raises:
        InputError: fewer than 2 frequencies, not finite, or negative noise.

    Sakaguchi, Prog. Theor. Phys. 79 (1988) 39; Strogatz & Mirollo, J. Stat. Phys. 63 (1991) 613.

    >>> round(critical_coupling(np.zeros(100), noise=1.0), 12)
    1.0

    """
    omega = finite("omega", omega).ravel()
    if omega.size < 2:
        raise InputError(f"omega: {omega.size} frequencies say nothing of a density; give at least 2")
    away = omega - np.median(omega)
    D = scalar("noise", noise, at_least=0) ** 2 / 2
    if D > 0:
        return float(2 / np.mean(D / (D * D + away * away)))
    low, high = np.quantile(away, [0.25, 0.75])
    width = (high - low) / 1.349 * omega.size**-0.2  # a quartile range: heavy tails have no variance
    if width == 0:
        return 0.0
    u2 = (away / width) ** 2
    density = np.mean((3 - u2) / 2 * np.exp(-u2 / 2)) / (width * math.sqrt(2 * math.pi))
    return float(2 / (math.pi * density))
