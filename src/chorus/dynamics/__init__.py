"""How actors fall into step: Kuramoto phases (on the circle and on spheres), excitable units and bounded noise.

The torch step lives in `chorus.dynamics.sphere_torch` and the pictures in `chorus.dynamics.pictures`, which are not
imported here: this room loads NumPy alone.
"""

from chorus.dynamics.coherence import modulate, stationary_power
from chorus.dynamics.coupling import Neighbourhood, cos_sin, mean_drift, pairwise_drift
from chorus.dynamics.excitable import Excitable, FitzHughNagumo, HodgkinHuxley, saturate
from chorus.dynamics.kuramoto import PhaseRun, gaussian_frequencies, lorentzian_frequencies, simulate_phases
from chorus.dynamics.noise import gaussian_increments, three_point_increments, wiener
from chorus.dynamics.order import critical_coupling, order_parameter, phase_coherence
from chorus.dynamics.pacing import PhasePacer, PhaseSummary
from chorus.dynamics.sphere import (
    SphereRun,
    random_points,
    random_rotations,
    rotation,
    simulate_sphere,
    sphere_step,
)
from chorus.dynamics.spikes import SpikeTrain, firing_rates, refractory_period, rheobase, stimulate
from chorus.dynamics.sweep import (
    NeuronFigures,
    Transition,
    TransitionPoint,
    neuron_figures,
    phase_transition,
    sphere_transition,
)
from chorus.dynamics.theory import bessel_ratio, gaussian_order, lorentzian_order, noisy_order, sphere_order
from chorus.dynamics.turns import TurnTaking

__all__ = [
    "Excitable",
    "FitzHughNagumo",
    "HodgkinHuxley",
    "Neighbourhood",
    "NeuronFigures",
    "PhasePacer",
    "PhaseRun",
    "PhaseSummary",
    "SphereRun",
    "SpikeTrain",
    "Transition",
    "TransitionPoint",
    "TurnTaking",
    "bessel_ratio",
    "cos_sin",
    "critical_coupling",
    "firing_rates",
    "gaussian_frequencies",
    "gaussian_increments",
    "gaussian_order",
    "lorentzian_frequencies",
    "lorentzian_order",
    "mean_drift",
    "modulate",
    "neuron_figures",
    "noisy_order",
    "order_parameter",
    "pairwise_drift",
    "phase_coherence",
    "phase_transition",
    "random_points",
    "random_rotations",
    "refractory_period",
    "rheobase",
    "rotation",
    "saturate",
    "simulate_phases",
    "simulate_sphere",
    "sphere_order",
    "sphere_step",
    "sphere_transition",
    "stationary_power",
    "stimulate",
    "three_point_increments",
    "wiener",
]
