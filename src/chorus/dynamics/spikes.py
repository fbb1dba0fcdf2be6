"""Driving excitable units and counting what they do: spike trains, rates, rheobase, refractory period.

Times are in the unit's own time (milliseconds for Hodgkin–Huxley). Shapes: N units, S samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chorus.dynamics.checks import count, finite, generator, scalar, steps_in
from chorus.dynamics.excitable import Excitable
from chorus.dynamics.noise import wiener
from chorus.errors import ChorusError, InputError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

Current = Callable[[float], "Float[np.ndarray, 'n'] | float"]


@dataclass(frozen=True)
class SpikeTrain:
    """What `stimulate` returns.

    Attributes:
        times: sample times, shape [S].
        membrane: membrane variable at those times, shape [S, N].
        spikes: for each unit the times at which it rose through the threshold, interpolated within a step.
        state: state at the end, shape [V, N].

    """

    times: Float[np.ndarray, "s"]
    membrane: Float[np.ndarray, "s n"]
    spikes: tuple[Float[np.ndarray, "k"], ...]
    state: Float[np.ndarray, "v n"]

    def rate(self, after: float = 0.0) -> Float[np.ndarray, "n"]:
        """Spikes per unit of time from time `after` on: the mean interval's inverse, 0 with fewer than two spikes."""
        rates = np.zeros(len(self.spikes))
        for unit, spikes in enumerate(self.spikes):
            late = spikes[spikes >= after]
            if len(late) > 1:
                rates[unit] = (len(late) - 1) / (late[-1] - late[0])
        return rates


class SpikeDetector:
    """Finds rises through a unit's threshold, one for each time the membrane variable has fallen below `rearm`.

    Args:
        unit: what says threshold and rearm.
        membrane: membrane variable at the start.

    """

    def __init__(self, unit: Excitable, membrane: Float[np.ndarray, "n"]) -> None:
        self._unit, self._before = unit, np.array(membrane)
        self._armed = self._before < unit.threshold

    def __call__(self, membrane: Float[np.ndarray, "n"]) -> tuple[Bool[np.ndarray, "n"], Float[np.ndarray, "n"]]:
        """(who spiked in the step that ends here, the share of the step that had gone by when they did)."""
        level = self._unit.threshold
        fired = self._armed & (membrane >= level)
        rise = np.where(fired, membrane - self._before, 1.0)
        share = np.where(fired, (level - self._before) / rise, 0.0)
        self._armed = (self._armed & ~fired) | (membrane < self._unit.rearm)
        self._before = np.array(membrane)
        return fired, share


def stimulate(
    unit: Excitable,
    current: Float[np.ndarray, "n"] | float | Current,
    duration: float,
    *,
    dt: float,
    state: Float[np.ndarray, "v n"] | None = None,
    noise: float = 0.0,
    seed: int | np.random.Generator | None = None,
    every: int = 1,
) -> SpikeTrain:
    """Drive N units for a while.

    Args:
        unit: `HodgkinHuxley` or `FitzHughNagumo`.
        current: input, one for all, [N], or a function of time giving either. A function is read at mid-step.
        duration: time to simulate.
        dt: time step.
        state: state at the start, [V, N]; rest if not given.
        noise: σ ≥ 0 of white noise added to the membrane variable, per √time.
        seed: seed or generator of the noise.
        every: steps between samples of the membrane variable.

    Raises:
        InputError: dt ≤ 0 or above the unit's `max_dt`, over 1e9 steps, a number that is not finite, sizes that do not
            fit, or a negative seed.

    >>> from chorus.dynamics.excitable import HodgkinHuxley
    >>> train = stimulate(HodgkinHuxley(), np.array([0.0, 10.0]), 100, dt=0.025)
    >>> [len(spikes) for spikes in train.spikes]
    [0, 7]

    """
    dt, sigma = scalar("dt", dt, above=0), scalar("noise", noise, at_least=0)
    if dt > unit.max_dt:
        raise InputError(
            f"dt: {dt:g} is too large to resolve a spike of {type(unit).__name__}; at most {unit.max_dt:g}"
        )
    steps_in(duration, dt)
    steps = round(duration / dt)
    count("duration / dt", steps, at_least=1)
    every = count("every", every, at_least=1)
    at: Current = current if callable(current) else _constant(finite("current", current))
    first = finite("current", at(dt / 2))
    if state is None:
        state = unit.rest((1,) if first.ndim == 0 else first.shape)
    state = finite("state", state)
    if state.ndim != 2 or first.shape not in ((), state.shape[1:]):
        raise InputError(f"current, state: shapes {first.shape} and {state.shape}, expected [N] and [V, N]")

    rng = generator(seed)
    detect = SpikeDetector(unit, state[0])
    spikes: list[list[float]] = [[] for _ in range(state.shape[1])]
    times, membrane = [0.0], [state[0]]
    for step in range(steps):
        with np.errstate(over="ignore", invalid="ignore"):  # said in words just below
            state = unit.step(state, at((step + 0.5) * dt), dt)
        if not np.isfinite(state[0]).all():
            wrong = int(np.argmin(np.isfinite(state[0])))
            raise InputError(
                f"current: unit {wrong} left all bounds at time {step * dt:g}; dt = {dt:g} is too large for that input:"
                " take a smaller one, or a unit with a finite limit"
            )
        if sigma:
            state[0] += sigma * wiener("gaussian", rng, state[0].shape, dt)
        fired, share = detect(state[0])
        if fired.any():
            for i in np.flatnonzero(fired):
                spikes[i].append((step + float(share[i])) * dt)
        if (step + 1) % every == 0:
            times.append((step + 1) * dt)
            membrane.append(state[0])
    return SpikeTrain(np.array(times), np.array(membrane), tuple(np.array(s) for s in spikes), state)


def firing_rates(
    unit: Excitable, currents: Float[np.ndarray, "n"], *, dt: float, settle: float, duration: float
) -> Float[np.ndarray, "n"]:
    """Measure the f–I curve: rate of repetitive firing under each constant input, switched on at rest.

    Args:
        unit: what to drive.
        currents: inputs, one unit each.
        dt: time step.
        settle: time to leave out, for adaptation to pass.
        duration: time to count over, after that.

    Returns:
        Spikes per unit of time; 0 where firing stops.

    Raises:
        InputError: as in `stimulate`.

    >>> from chorus.dynamics.excitable import FitzHughNagumo
    >>> rates = firing_rates(FitzHughNagumo(), np.array([0.0, 0.5]), dt=0.1, settle=50, duration=200)
    >>> float(rates[0]), bool(rates[1] > 0.02)
    (0.0, True)

    """
    train = stimulate(unit, currents, settle + duration, dt=dt, every=max(round(duration / dt), 1))
    return train.rate(after=settle)


def rheobase(
    unit: Excitable, low: float, high: float, *, dt: float, duration: float, spikes: int = 1, tolerance: float = 1e-3
) -> float:
    """Weakest constant input, switched on at rest, that makes at least so many spikes.

    Args:
        unit: what to drive.
        low: an input that does not.
        high: an input that does.
        dt: time step.
        duration: how long the input lasts.
        spikes: 1 for the classical rheobase; a number only repetitive firing reaches, for its onset.
        tolerance: width of the answer's bracket.

    Raises:
        InputError: low ≥ high, or as in `stimulate`.
        ChorusError: `high` does not make so many spikes, or `low` does.

    >>> from chorus.dynamics.excitable import HodgkinHuxley
    >>> 2.0 < rheobase(HodgkinHuxley(), 1, 4, dt=0.05, duration=40, tolerance=0.05) < 2.5
    True

    """
    low, high = scalar("low", low), scalar("high", high, above=low)
    spikes = count("spikes", spikes, at_least=1)
    while high - low > scalar("tolerance", tolerance, above=0):
        inputs = np.linspace(low, high, 18)
        trains = stimulate(unit, inputs, duration, dt=dt, every=10**9).spikes
        enough = np.array([len(train) >= spikes for train in trains])
        if enough[0] or not enough[-1]:
            said = "already makes" if enough[0] else "does not make"
            raise ChorusError(f"rheobase: input {inputs[0 if enough[0] else -1]:g} {said} {spikes} spikes")
        first = int(np.argmax(enough))
        low, high = float(inputs[first - 1]), float(inputs[first])
    return (low + high) / 2


def refractory_period(
    unit: Excitable,
    pulse: float,
    width: float,
    *,
    dt: float,
    longest: float,
    tolerance: float = 0.01,
) -> float:
    """Shortest time between two equal pulses from rest of which the second, and every later one, fires again.

    Args:
        unit: what to drive.
        pulse: input during a pulse.
        width: how long a pulse lasts.
        dt: time step.
        longest: longest interval to look at; pulses that far apart must both fire.
        tolerance: width of the answer's bracket, at least dt.

    Raises:
        InputError: as in `stimulate`.
        ChorusError: one pulse does not fire, or pulses `longest` apart do not both fire.

    Hodgkin & Huxley (1952), part III.

    >>> from chorus.dynamics.excitable import HodgkinHuxley
    >>> period = refractory_period(HodgkinHuxley(limit=np.inf), 30, 0.5, dt=0.05, longest=30, tolerance=0.1)
    >>> 5 < period < 12
    True

    """
    low, high = 2 * scalar("width", width, above=0), scalar("longest", longest, above=2 * width)
    while True:
        gaps = np.linspace(low, high, 24)

        def pulses(t: float, gaps: Float[np.ndarray, "n"] = gaps) -> Float[np.ndarray, "n"]:
            return np.asarray(pulse * ((t < width) | ((t >= gaps) & (t < gaps + width))))

        trains = stimulate(unit, pulses, longest * 2, dt=dt, every=10**9).spikes
        both = np.array([len(train) >= 2 for train in trains])
        if not both[-1]:
            raise ChorusError(f"refractory period: two pulses of {pulse:g} made {len(trains[-1])} spikes, not 2")
        silent = np.flatnonzero(~both)
        last = int(silent[-1]) if len(silent) else 0
        low, high = float(gaps[last]), float(gaps[min(last + 1, 23)])
        if high - low <= max(scalar("tolerance", tolerance, above=0), dt):
            return high


def _constant(value: Float[np.ndarray, "..."]) -> Current:
    return lambda t: value
