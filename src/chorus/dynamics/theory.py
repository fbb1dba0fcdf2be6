"""Closed-form and self-consistent order parameters of infinitely many oscillators: what a simulation must meet."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from chorus.dynamics.checks import scalar


def lorentzian_order(coupling: float, width: float = 1.0) -> float:
    """Order parameter for Lorentzian frequencies: r = √(1 − K_c/K) above K_c = 2Δ, else 0.

    Args:
        coupling: K, rad/s.
        width: Δ > 0, half width at half maximum, rad/s.

    Raises:
        InputError: a number is not finite, or width ≤ 0.

    Kuramoto (1984), section 5.4; Ott & Antonsen, Chaos 18 (2008) 037113.

    >>> [round(lorentzian_order(K), 3) for K in (1, 3, 4, 6)]
    [0.0, 0.577, 0.707, 0.816]

    """
    K, critical = scalar("coupling", coupling), 2 * scalar("width", width, above=0)
    return math.sqrt(1 - critical / K) if critical < K else 0.0


def gaussian_order(coupling: float, deviation: float = 1.0) -> float:
    """Order parameter for Gaussian frequencies, from 1 = K ∫cos²θ g(K r sin θ) dθ over |θ| ≤ π/2.

    Args:
        coupling: K, rad/s.
        deviation: standard deviation of the frequencies, rad/s, above 0. K_c = 2/(π g(0)) = 1.596 deviations.

    Raises:
        InputError: a number is not finite, or deviation ≤ 0.

    Strogatz, Physica D 143 (2000) 1, equation 4.5.

    >>> gaussian_order(1.5), round(gaussian_order(2.0), 3)
    (0.0, 0.715)

    """
    K, s = scalar("coupling", coupling), scalar("deviation", deviation, above=0)
    theta = (np.arange(2000) + 0.5) / 2000 * math.pi - math.pi / 2

    def surplus(r: float) -> float:
        density = np.exp(-((K * r * np.sin(theta) / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))
        return K * float(np.mean(np.cos(theta) ** 2 * density)) * math.pi - 1

    return _root(surplus)


def noisy_order(coupling: float, noise: float = 1.0) -> float:
    """Order parameter for identical frequencies under noise: r = I₁(Kr/D)/I₀(Kr/D), D = σ²/2; K_c = σ².

    Args:
        coupling: K, rad/s.
        noise: σ > 0, rad/√s.

    Raises:
        InputError: a number is not finite, or noise ≤ 0.

    Sakaguchi, Prog. Theor. Phys. 79 (1988) 39.

    >>> [round(noisy_order(K), 3) for K in (0.9, 1.5, 2, 3)]
    [0.0, 0.724, 0.831, 0.902]

    """
    K, D = scalar("coupling", coupling), scalar("noise", noise, above=0) ** 2 / 2
    return _root(lambda r: bessel_ratio(K * r / D) / r - 1)


def sphere_order(coupling: float, deviation: float = 1.0) -> float:
    """|ρ| for rotors on the sphere in 3-D with rotation vectors ω ~ N(0, s²I): jumps from 0 to ½ as K leaves 0.

    Each rotor settles at the fixed point of ẋ = ω×x + K(ρ − ⟨x,ρ⟩x), where μ = ⟨x,ρ̂⟩ solves
    a²μ⁴ + (ω² − a²)μ² − ω²cos²β = 0, a = K|ρ|, β the angle between ω and ρ; |ρ| is the mean of μ over ω.

    Args:
        coupling: K ≥ 0, rad/s.
        deviation: s > 0, of each component of ω, rad/s.

    Raises:
        InputError: a number is not finite or out of range.

    Chandra, Girvan & Ott, Phys. Rev. X 9 (2019) 011002, section IV.

    >>> sphere_order(0.0), round(sphere_order(1e-6), 3), round(sphere_order(2.0), 3)
    (0.0, 0.5, 0.67)

    """
    K, s = scalar("coupling", coupling, at_least=0), scalar("deviation", deviation, above=0)
    if K == 0:
        return 0.0
    nodes, weights = np.polynomial.legendre.leggauss(200)
    speed = (nodes + 1) / 2 * 9 * s
    chance = weights * speed**2 * np.exp(-((speed / s) ** 2) / 2)
    w2 = speed[:, None] ** 2
    tilt2 = ((nodes[None, :] + 1) / 2) ** 2  # cos β is uniform on [0, 1]: both ends of an axis are alike

    def surplus(rho: float) -> float:
        # The root as 2c/(b + √(b² + 4ac)): the textbook form loses all digits for a small coupling.
        a2 = (K * rho) ** 2
        b = w2 - a2
        root = np.sqrt(b * b + 4 * a2 * w2 * tilt2)
        mu2 = np.where(b >= 0, 2 * w2 * tilt2, (root - b) ** 2 / (2 * a2)) / (np.abs(b) + root)
        return float(chance @ np.sqrt(mu2) @ weights / (chance.sum() * weights.sum())) / rho - 1

    return _root(surplus)


def bessel_ratio(x: float) -> float:
    """I₁(x)/I₀(x), x ≥ 0, by the trapezium rule on I_n(x) = mean over t of e^{x cos t} cos(nt), exact to rounding.

    >>> round(bessel_ratio(1.0), 12)
    0.446389965897
    """
    t = np.linspace(0, 2 * math.pi, 64 + int(40 * math.sqrt(abs(x))), endpoint=False)
    weight = np.exp(x * (np.cos(t) - 1))  # scaled by e^{−x}: no overflow
    return float(weight @ np.cos(t) / weight.sum())


def _root(surplus: Callable[[float], float]) -> float:
    """Find the zero in (0, 1] of a function that falls with r; 0 when it starts below zero: no coherent state."""
    low, high = 1e-9, 1.0
    if surplus(low) <= 0:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if surplus(middle) > 0 else (low, middle)
    return (low + high) / 2
