"""Deterministic simulation: whole meshes over the production core, in a world that misbehaves on purpose.

One seed makes one schedule: which nodes there are, what is asked, and every fault of network, log, disk, clock and
member. `run(seed)` plays it and raises `ViolationError`, with the seed, when something that must hold did not.
`python -m chorus.mesh.simulation --schedules 5000` plays many.
"""

from chorus.mesh.simulation.referee import ViolationError
from chorus.mesh.simulation.schedule import Outcome, Rules, run

__all__ = ["Outcome", "Rules", "ViolationError", "run"]
