"""Excitable units: Hodgkin–Huxley and FitzHugh–Nagumo, any number side by side.

A unit rests until its input is strong enough, then fires, is refractory, and recovers. Both equations as published
fall silent under too strong an input (depolarisation block); a unit here takes its input through a saturating
synapse, the identity over the working range and bounded above and below, so that no input silences it for good.
`limit=inf` gives the published equations bare.
Shapes: N units, V state variables, `...` any batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from chorus.dynamics.checks import finite, scalar
from chorus.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float


class Excitable(Protocol):
    """What a simulation needs of a unit. A state has shape [V, ...]; its first row is the membrane variable."""

    threshold: ClassVar[float]  # a rise of the membrane variable through this is a spike
    rearm: ClassVar[float]  # the membrane variable must fall below this before it can spike again
    max_dt: ClassVar[float]  # largest time step that still resolves a spike

    def rest(self, shape: tuple[int, ...] = ()) -> Float[np.ndarray, "v ..."]:
        """State of units at rest, without input."""
        ...

    def step(
        self, state: Float[np.ndarray, "v ..."], current: Float[np.ndarray, "..."] | float, dt: float
    ) -> Float[np.ndarray, "v ..."]:
        """State one dt later under a constant input."""
        ...


def saturate(current: Float[np.ndarray, "..."] | float, linear: float, limit: float) -> Float[np.ndarray, "..."]:
    """Saturating synapse: the identity up to `linear`, then smoothly towards `limit`; −`linear` at least.

    Args:
        current: input, the unit's own units.
        linear: bound of the identity, above 0.
        limit: bound of the result, at least `linear`; inf switches saturation off, below too.

    >>> saturate(np.array([-1e9, -5.0, 5.0, 1e9]), linear=10, limit=20).tolist()
    [-10.0, -5.0, 5.0, 20.0]

    """
    current = np.asarray(current, dtype=np.float64)
    if math.isinf(limit):
        return current
    span = limit - linear
    over = np.maximum(current - linear, 0.0)
    bent = linear + (span * np.tanh(over / span) if span else 0.0)
    return np.asarray(np.where(current > linear, bent, np.maximum(current, -linear)))


@dataclass(frozen=True, kw_only=True)
class HodgkinHuxley:
    """The squid axon's membrane, in millivolts, milliseconds, µA/cm², mS/cm² and µF/cm².

        C dV/dt = I − g_Na m³h (V − E_Na) − g_K n⁴ (V − E_K) − g_L (V − E_L),   dx/dt = α_x(1 − x) − β_x x

    Parameters and rates are those of Hodgkin & Huxley, J. Physiol. 117 (1952) 500, at 6.3 °C, with the potential
    counted from outside and rest at −65 mV. State: V, m, h, n.

    A step is Strang-split: half a step of V with its gates held, a step of the gates with V held, half a step of V,
    each exact. It is second order, keeps every gate in [0, 1] and V between its drives at any dt.

    Attributes:
        linear: input up to which the synapse is the identity, µA/cm².
        limit: input that the synapse approaches. Bare, spikes no longer reach 0 mV at 80.

    >>> unit = HodgkinHuxley()
    >>> round(float(unit.rest()[0]), 1)
    -65.0

    """

    capacitance: float = 1.0
    g_na: float = 120.0
    g_k: float = 36.0
    g_l: float = 0.3
    e_na: float = 50.0
    e_k: float = -77.0
    e_l: float = -54.387
    linear: float = 40.0
    limit: float = 50.0

    threshold: ClassVar[float] = 0.0
    rearm: ClassVar[float] = -30.0
    max_dt: ClassVar[float] = 0.05

    def __post_init__(self) -> None:
        _check_parameters(self, positive=("capacitance", "g_na", "g_k", "g_l", "linear"))

    def rest(self, shape: tuple[int, ...] = ()) -> Float[np.ndarray, "4 ..."]:
        """State of units at rest: where the ionic currents balance, gates at their steady values.

        Args:
            shape: shape of the population.

        """
        low, high = self.e_k, self.e_na
        for _ in range(60):
            middle = (low + high) / 2
            gates = self._steady(np.array(middle))
            g, drive = self._conductance(gates)
            low, high = (low, middle) if float(g * middle - drive) > 0 else (middle, high)
        state = np.concatenate([[middle], gates])
        return np.array(np.broadcast_to(state.reshape(4, *[1] * len(shape)), (4, *shape)))

    def step(
        self, state: Float[np.ndarray, "4 ..."], current: Float[np.ndarray, "..."] | float, dt: float
    ) -> Float[np.ndarray, "4 ..."]:
        """State dt milliseconds later under a constant input.

        Args:
            state: V, m, h, n.
            current: input, µA/cm².
            dt: milliseconds.

        """
        current = saturate(current, self.linear, self.limit)
        V, gates = state[0], state[1:]
        V = self._relax(V, gates, current, dt / 2)
        alpha, beta = self._rates(V)
        total = alpha + beta
        steady = alpha / total
        gates = steady + (gates - steady) * np.exp(-dt * total)
        V = self._relax(V, gates, current, dt / 2)
        return np.concatenate([V[None], gates])

    def derivative(
        self, state: Float[np.ndarray, "4 ..."], current: Float[np.ndarray, "..."] | float
    ) -> Float[np.ndarray, "4 ..."]:
        """Right-hand side of the equations, per millisecond, for use with other integrators.

        Args:
            state: V, m, h, n.
            current: input, µA/cm², before the synapse.

        """
        V, gates = state[0], state[1:]
        alpha, beta = self._rates(V)
        g, drive = self._conductance(gates)
        slope = (saturate(current, self.linear, self.limit) + drive - g * V) / self.capacitance
        return np.concatenate([slope[None], alpha * (1 - gates) - beta * gates])

    def _conductance(self, gates: Float[np.ndarray, "3 ..."]) -> tuple[np.ndarray, np.ndarray]:
        """Total conductance g and Σ g·E, so that the ionic current is g·V − Σ g·E."""
        m, h, n = gates
        n2 = n * n
        na, k = self.g_na * m * m * m * h, self.g_k * n2 * n2
        return na + k + self.g_l, na * self.e_na + k * self.e_k + self.g_l * self.e_l

    def _relax(self, V: np.ndarray, gates: np.ndarray, current: np.ndarray, dt: float) -> np.ndarray:
        g, drive = self._conductance(gates)
        target = (current + drive) / g
        return np.asarray(target + (V - target) * np.exp(-dt / self.capacitance * g))

    @staticmethod
    def _rates(V: np.ndarray) -> tuple[Float[np.ndarray, "3 ..."], Float[np.ndarray, "3 ..."]]:
        """α and β of m, h, n at V, per millisecond."""
        u = np.clip(V + 65.0, -700.0, 700.0)  # far beyond any membrane; keeps the exponentials finite
        alpha = np.stack([_slope((u - 25) / 10), 0.07 * np.exp(-u / 20), 0.1 * _slope((u - 10) / 10)])
        beta = np.stack([4 * np.exp(-u / 18), 1 / (1 + np.exp((30 - u) / 10)), 0.125 * np.exp(-u / 80)])
        return alpha, beta

    def _steady(self, V: np.ndarray) -> Float[np.ndarray, "3 ..."]:
        alpha, beta = self._rates(V)
        return np.asarray(alpha / (alpha + beta))


@dataclass(frozen=True, kw_only=True)
class FitzHughNagumo:
    """The two-variable excitable unit, without physical units.

        dv/dt = v − v³/3 − w + I,   dw/dt = ε(v + a − b w)

    FitzHugh, Biophys. J. 1 (1961) 445; Nagumo et al., Proc. IRE 50 (1962) 2061. State: v, w. It fires repetitively
    between two inputs I where the trace 1 − v² − bε of the fixed point vanishes (0.331 and 1.419 by default);
    w is the recovery that makes it refractory and decays at rate εb. A step is classical Runge–Kutta.

    Attributes:
        linear: input up to which the synapse is the identity.
        limit: input that the synapse approaches; below the upper of the two inputs, so that no drive is too strong.

    >>> state = FitzHughNagumo().rest()
    >>> np.round(state, 3).tolist()
    [-1.199, -0.624]

    """

    a: float = 0.7
    b: float = 0.8
    epsilon: float = 0.08
    linear: float = 0.8
    limit: float = 1.2

    threshold: ClassVar[float] = 1.0
    rearm: ClassVar[float] = 0.0
    max_dt: ClassVar[float] = 0.5

    def __post_init__(self) -> None:
        _check_parameters(self, positive=("b", "epsilon", "linear"))
        if self.b > 1:
            raise InputError(
                f"b: got {self.b:g}; above 1 a unit can have three fixed points, of which two are for good"
            )

    def rest(self, shape: tuple[int, ...] = ()) -> Float[np.ndarray, "2 ..."]:
        """State of units at rest without input: the one real root of v − v³/3 = (v + a)/b.

        Args:
            shape: shape of the population.

        """
        roots = np.roots([1 / 3, 0.0, 1 / self.b - 1, self.a / self.b])
        v = float(roots[np.argmin(np.abs(roots.imag))].real)
        state = np.array([v, (v + self.a) / self.b])
        return np.array(np.broadcast_to(state.reshape(2, *[1] * len(shape)), (2, *shape)))

    def step(
        self, state: Float[np.ndarray, "2 ..."], current: Float[np.ndarray, "..."] | float, dt: float
    ) -> Float[np.ndarray, "2 ..."]:
        """State one dt later under a constant input.

        Args:
            state: v, w.
            current: input.
            dt: time step.

        """
        current = saturate(current, self.linear, self.limit)
        k1 = self._slope(state, current)
        k2 = self._slope(state + dt / 2 * k1, current)
        k3 = self._slope(state + dt / 2 * k2, current)
        k4 = self._slope(state + dt * k3, current)
        return np.asarray(state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4))

    def derivative(
        self, state: Float[np.ndarray, "2 ..."], current: Float[np.ndarray, "..."] | float
    ) -> Float[np.ndarray, "2 ..."]:
        """Right-hand side of the equations.

        Args:
            state: v, w.
            current: input, before the synapse.

        """
        return self._slope(state, saturate(current, self.linear, self.limit))

    def _slope(self, state: Float[np.ndarray, "2 ..."], current: Float[np.ndarray, "..."]) -> np.ndarray:
        v, w = state
        slope = np.empty_like(state)
        slope[0] = v - v * v * v / 3 - w + current
        slope[1] = self.epsilon * (v + self.a - self.b * w)
        return slope


def _slope(x: np.ndarray) -> np.ndarray:
    """Give x / (1 − e^{−x}), with its limit 1 + x/2 where the quotient would be 0/0."""
    near = np.abs(x) < 1e-6
    safe = np.where(near, 1.0, x)
    return np.where(near, 1 + x / 2, safe / -np.expm1(-safe))


def _check_parameters(unit: HodgkinHuxley | FitzHughNagumo, positive: tuple[str, ...]) -> None:
    for field in fields(unit):
        value = getattr(unit, field.name)
        if field.name == "limit":
            if not value >= unit.linear:
                raise InputError(f"limit: got {value:g}, must be at least linear = {unit.linear:g} (inf: no synapse)")
        else:
            scalar(field.name, finite(field.name, value).item(), above=0 if field.name in positive else None)
