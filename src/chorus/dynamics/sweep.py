"""Order against coupling: the transition measured beside the theory's, and what a unit does, in figures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from chorus.dynamics.checks import count, generator, scalar, steps_in, storable
from chorus.dynamics.coupling import Neighbourhood
from chorus.dynamics.excitable import FitzHughNagumo, HodgkinHuxley
from chorus.dynamics.kuramoto import gaussian_frequencies, lorentzian_frequencies, simulate_phases
from chorus.dynamics.order import critical_coupling
from chorus.dynamics.sphere import random_rotations, simulate_sphere
from chorus.dynamics.spikes import firing_rates, refractory_period, rheobase, stimulate
from chorus.dynamics.theory import gaussian_order, lorentzian_order, noisy_order, sphere_order
from chorus.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float

Frequencies = Literal["lorentzian", "gaussian", "identical"]


@dataclass(frozen=True)
class TransitionPoint:
    """Order at one coupling: measured, and for infinitely many oscillators (None where no theory is at hand)."""

    coupling: float
    measured: float
    theory: float | None


@dataclass(frozen=True)
class Transition:
    """Order against coupling.

    Attributes:
        points: one for each coupling asked for.
        critical: K_c of the theory for these frequencies and this noise, rad/s; None over a topology or with a delay,
            where that theory does not speak.
        curve: the theory's (K, r) in between, closely spaced, where there is one.

    """

    points: tuple[TransitionPoint, ...]
    critical: float | None
    curve: tuple[tuple[float, float], ...]


def phase_transition(
    couplings: Float[np.ndarray, "k"],
    *,
    frequencies: Frequencies = "lorentzian",
    width: float = 1.0,
    noise: float = 0.0,
    n: int = 5000,
    dt: float = 0.02,
    duration: float = 60.0,
    topology: Neighbourhood | None = None,
    delay: float = 0.0,
    seed: int = 0,
) -> Transition:
    """Measure r at each coupling, from random phases, over the second half of a run.

    Args:
        couplings: K, rad/s.
        frequencies: their distribution, as evenly spaced quantiles.
        width: half width (Lorentzian) or standard deviation (Gaussian), rad/s.
        noise: σ, rad/√s.
        n: number of oscillators.
        dt: time step, seconds.
        duration: length of a run, seconds.
        topology: who reads whom; None is all-to-all.
        delay: seconds.
        seed: seed of each run.

    Raises:
        InputError: as in `simulate_phases`, or over 1e9 steps.

    >>> transition = phase_transition(np.array([4.0]), n=1000, duration=30)
    >>> point = transition.points[0]
    >>> transition.critical, round(point.theory, 3), abs(point.measured - point.theory) < 0.02
    (2.0, 0.707, True)

    """
    storable("n", count("n", n, at_least=1))
    steps = steps_in(duration, dt)
    width, noise = scalar("width", width, above=0), scalar("noise", noise, at_least=0)
    if frequencies == "lorentzian":
        omega, critical = lorentzian_frequencies(n, width), 2 * width + noise**2
    elif frequencies == "gaussian":
        omega = gaussian_frequencies(n, width)
        critical = critical_coupling(omega, noise) if noise else 2 * width * math.sqrt(2 / math.pi)
    elif frequencies == "identical":
        omega, critical = np.zeros(n), noise**2
    else:
        raise InputError(f"frequencies: got {frequencies!r}, expected 'lorentzian', 'gaussian' or 'identical'")
    solved = topology is None and not delay
    points = []
    for K in couplings:
        run = simulate_phases(
            omega, K, dt=dt, steps=steps, noise=noise, topology=topology, delay=delay, seed=seed, every=10
        )
        theory = _theory(frequencies, K, width, noise) if solved else None
        points.append(TransitionPoint(float(K), run.coherence(after=steps * dt / 2), theory))
    between = np.linspace(float(np.min(couplings)), float(np.max(couplings)), 200 if solved else 0)
    curve = [(float(K), _theory(frequencies, K, width, noise)) for K in between]
    return Transition(tuple(points), critical if solved else None, tuple((K, r) for K, r in curve if r is not None))


def _theory(frequencies: Frequencies, K: float, width: float, noise: float) -> float | None:
    if frequencies == "identical":
        return noisy_order(K, noise) if noise else float(K > 0)
    if noise:
        return None
    return lorentzian_order(K, width) if frequencies == "lorentzian" else gaussian_order(K, width)


def sphere_transition(
    d: int,
    couplings: Float[np.ndarray, "k"],
    *,
    n: int = 2000,
    deviation: float = 1.0,
    dt: float = 0.05,
    duration: float = 60.0,
    seed: int = 0,
) -> tuple[TransitionPoint, ...]:
    """Measure |ρ| at each coupling, from aligned rotors, over the second half of a run.

    Args:
        d: dimensions, at least 2.
        couplings: K ≥ 0, per second. A run lasts longer the weaker the coupling: at least 30/K, up to tenfold.
        n: number of rotors.
        deviation: of the entries of Ω, rad/s.
        dt: time step, seconds.
        duration: least length of a run, seconds.
        seed: seed of Ω, the same at every coupling.

    Raises:
        InputError: as in `simulate_sphere`, or over 1e9 steps.

    >>> jump = sphere_transition(3, np.array([0.5]), n=1000, duration=40)[0]
    >>> round(jump.theory, 3), abs(jump.measured - jump.theory) < 0.03
    (0.508, True)

    """
    steps_in(duration, dt)
    omega = random_rotations(n, d, generator(seed), deviation)
    start = np.zeros((n, d))
    start[:, 0] = 1
    points = []
    for K in couplings:
        lasting = min(max(duration, 30 / max(scalar("coupling", K, at_least=0), 1e-9)), 10 * duration)
        steps = steps_in(lasting, dt)
        run = simulate_sphere(start, float(K), omega=omega, dt=dt, steps=steps, every=10)
        theory = {2: gaussian_order, 3: sphere_order}.get(d)
        value = theory(float(K), deviation) if theory and deviation > 0 else None
        points.append(TransitionPoint(float(K), run.coherence(after=steps * dt / 2), value))
    return tuple(points)


@dataclass(frozen=True)
class NeuronFigures:
    """What a unit does, in its own units (mV, ms, µA/cm² and spikes/ms for Hodgkin–Huxley).

    Attributes:
        rest: membrane variable at rest.
        peak: its highest value in the first spike, under the input of `drive`.
        rheobase: weakest lasting input that makes a spike.
        onset: weakest lasting input that makes spikes without end.
        onset_rate: rate of firing just above it.
        pulse: input of the brief pulses of the next figure.
        refractory: shortest time between two such pulses that both fire.

    """

    rest: float
    peak: float
    rheobase: float
    onset: float
    onset_rate: float
    pulse: float
    refractory: float


def neuron_figures(unit: HodgkinHuxley | FitzHughNagumo, *, dt: float, drive: float) -> NeuronFigures:
    """Measure a unit: rest, spike, thresholds, onset of firing and refractory period.

    Args:
        unit: what to measure, with its usual parameters or close to them.
        dt: time step.
        drive: a lasting input under which it fires repetitively.

    Raises:
        InputError: dt is not positive or too large.
        ChorusError: the unit does not fire as such a unit does, so that a figure cannot be measured.

    >>> figures = neuron_figures(FitzHughNagumo(), dt=0.2, drive=0.5)
    >>> round(figures.rest, 3), 0.32 < figures.onset < 0.34
    (-1.199, True)

    """
    hh = isinstance(unit, HodgkinHuxley)
    period = 16.0 if hh else 45.0  # about one interval between spikes at the onset of firing
    low, high, width = (1.0, 5.0, 0.5) if hh else (0.1, 0.5, 2.0)
    many = 15  # more than the few spikes that come before rest just below the onset
    weakest = rheobase(unit, low, high, dt=dt, duration=3 * period, tolerance=high * 1e-3)
    onset = rheobase(
        unit, weakest - 0.01 * high, 2.5 * high, dt=dt, duration=(many + 4) * period, spikes=many, tolerance=high * 1e-3
    )
    rate = firing_rates(unit, np.array([onset + high * 2e-3]), dt=dt, settle=10 * period, duration=15 * period)
    pulse = 30.0 if hh else 1.0
    return NeuronFigures(
        rest=float(unit.rest()[0]),
        peak=float(stimulate(unit, drive, 2 * period, dt=dt).membrane.max()),
        rheobase=weakest,
        onset=onset,
        onset_rate=float(rate[0]),
        pulse=pulse,
        refractory=refractory_period(unit, pulse, width, dt=dt, longest=2 * period, tolerance=period * 1e-3),
    )
