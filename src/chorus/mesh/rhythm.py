"""A node's rhythm: when it says where it stands, and whose proposal it looks at first.

*Phases.* Each node holds one oscillator and broadcasts its heartbeat when that passes 0. The heartbeat carries the
phase, so that the nodes pull each other into step (see `chorus.dynamics.pacing`), and the order parameter r says how
well the mesh hears itself: a node that is cut off, late or dead is seen in it. Phases advance with the node's own
clock, in silence too.

*Turns.* Each member has an excitable unit (see `chorus.dynamics.turns`). When more proposals wait for this node's
judgement than it may look at together, the one goes first whose author has rested longest; then its author is
refractory for a while. So a member that floods the mesh with proposals delays its own and nobody else's.

Neither is ever waited for: a missing beat is made up by a plain clock, and turns only put in order what would
otherwise be taken as it came. Tokens, votes and commits know nothing of either.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from chorus.dynamics.pacing import PhasePacer, PhaseSummary
from chorus.dynamics.turns import TurnTaking
from chorus.errors import InputError
from chorus.mesh.entries import Count

_COUPLING = 4.0  # K in units of 1/period: nodes whose clocks differ by half fall into step within three periods
EXPIRY = 4  # periods after which a silent node no longer counts
_LATEST = 2  # periods without a beat after which the heartbeat is sent all the same
_STAMPS = 1 << 32  # that one life of a node may use


class Phase(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """(Σcos, Σsin, n) of a node's oscillators, and the rate in rad/s at which they turn."""

    stamp: Count
    cos: float
    sin: float
    n: Annotated[int, Meta(ge=1, le=1024)]
    frequency: Annotated[float, Meta(ge=-1e6, le=1e6)]


class Pace:
    """When a node's heartbeat is due.

    Args:
        me: the node's public key.
        now: seconds, on the clock that every later time is read from.
        period: seconds between the heartbeats of a node on its own.
        boot: how often the node has started, this time included.
        rng: where on its cycle the node starts.

    """

    def __init__(self, me: bytes, now: float, period: float, boot: int, rng: random.Random) -> None:
        self._period = period
        self._latest = now
        self._pacer = PhasePacer(
            me.hex(),
            now=now,
            period=period,
            coupling=_COUPLING / period,
            expiry=EXPIRY * period,
            phases=[rng.uniform(0, 2 * math.pi)],
            stamp=boot * _STAMPS,
        )

    def beat(self, now: float) -> bool:
        """Move on to `now`; say whether the heartbeat is due."""
        passed = bool(self._pacer.advance(now))
        if not passed and now < self._latest:
            return False
        self._latest = now + _LATEST * self._period
        return True

    def phase(self, now: float) -> Phase:
        """Return what the heartbeat carries."""
        own = self._pacer.summary(now)
        return Phase(own.stamp, own.cos, own.sin, own.n, own.frequency)

    def hear(self, sender: bytes, phase: Phase, now: float) -> bool:
        """Take another node's phase; return False for one that no oscillator can have."""
        try:
            summary = PhaseSummary(
                origin=sender.hex(),
                stamp=phase.stamp,
                cos=phase.cos,
                sin=phase.sin,
                n=phase.n,
                frequency=phase.frequency,
            )
        except InputError:
            return False
        self._pacer.hear(summary, now)
        return True

    def order(self, now: float, members: Iterable[bytes]) -> float:
        """Return r in [0, 1], a member that was not heard lately counted as being out of step.

        Args:
            now: seconds.
            members: the members of the epoch, this node perhaps among them.

        """
        cos, sin, n = self._pacer.known(now)
        return min(math.hypot(cos, sin) / max(n, len(set(members))), 1.0)


class Turns:
    """In what order proposals are judged when not all can be at once.

    Args:
        now: seconds, on the clock that every later time is read from.
        period: seconds until the author of a judged proposal is fully rested.

    """

    def __init__(self, now: float, period: float) -> None:
        self._floor = TurnTaking((), now=now, period=period)

    def first(self, now: float, waiting: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Choose among waiting proposals, each with its author: the most rested author's, the earliest among equals.

        Its author is refractory from then on.
        """
        self._floor.advance(now, {})
        authors = self._floor.members

        def rest(proposal: tuple[bytes, bytes]) -> float:
            author = proposal[1].hex()
            return self._floor.readiness(author) if author in authors else 1.0

        chosen, author = max(waiting, key=rest)
        if author.hex() not in authors:
            self._floor.join(author.hex())
        self._floor.spoke(author.hex())
        return chosen

    def keep(self, members: Iterable[bytes]) -> None:
        """Forget the units of all others."""
        staying = {member.hex() for member in members}
        for gone in set(self._floor.members) - staying:
            self._floor.leave(gone)
