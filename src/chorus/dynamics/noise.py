"""Wiener increments: Gaussian, and three-point ones that are bounded and keep weak order 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from chorus.dynamics.checks import scalar
from chorus.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float

NoiseKind = Literal["gaussian", "three-point"]


def gaussian_increments(rng: np.random.Generator, shape: tuple[int, ...], dt: float) -> Float[np.ndarray, "..."]:
    """Wiener increments ΔW ~ N(0, dt).

    Args:
        rng: source of randomness.
        shape: shape of the result.
        dt: time step, any unit of time; the variance of each entry.

    Raises:
        InputError: dt is not a positive finite number.

    >>> ticks = gaussian_increments(np.random.default_rng(0), (100_000,), dt=0.04)
    >>> round(float(ticks.std()), 2)
    0.2

    """
    return rng.standard_normal(shape) * math.sqrt(scalar("dt", dt, above=0))


def three_point_increments(rng: np.random.Generator, shape: tuple[int, ...], dt: float) -> Float[np.ndarray, "..."]:
    """Bounded increments: ±√(3dt) with probability 1/6 each, 0 with probability 2/3.

    They match the moments of N(0, dt) up to the fifth, so that a scheme of weak order up to 2 keeps its order,
    and none is ever larger than √(3dt). (A Gaussian clipped to the same bound has 8 % less variance.)
    Kloeden & Platen, Numerical Solution of Stochastic Differential Equations, section 14.2.

    Args:
        rng: source of randomness.
        shape: shape of the result.
        dt: time step, any unit of time; the variance of each entry.

    Raises:
        InputError: dt is not a positive finite number.

    >>> ticks = three_point_increments(np.random.default_rng(0), (60_000,), dt=0.03)
    >>> sorted({round(float(t), 6) for t in ticks})
    [-0.3, 0.0, 0.3]

    """
    bound = math.sqrt(3 * scalar("dt", dt, above=0))
    faces = rng.integers(0, 6, shape, dtype=np.int8)  # a die: 0 is up, 5 is down, the other four stay
    return np.asarray(bound * ((faces == 0).astype(np.float64) - (faces == 5)))


def wiener(kind: NoiseKind, rng: np.random.Generator, shape: tuple[int, ...], dt: float) -> Float[np.ndarray, "..."]:
    """Increments of the named kind.

    Args:
        kind: "gaussian" or "three-point".
        rng: source of randomness.
        shape: shape of the result.
        dt: time step.

    Raises:
        InputError: no such kind, or dt is not a positive finite number.

    >>> wiener("three-point", np.random.default_rng(0), (2, 3), dt=0.1).shape
    (2, 3)

    """
    if kind == "gaussian":
        return gaussian_increments(rng, shape, dt)
    if kind == "three-point":
        return three_point_increments(rng, shape, dt)
    raise InputError(f"increments: got {kind!r}, expected 'gaussian' or 'three-point'")
