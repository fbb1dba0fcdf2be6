"""Turn-taking by excitable units, without I/O: whoever has just spoken is refractory.

Each member has a FitzHugh–Nagumo unit. A member that wants to speak drives its unit; when the unit fires, the member
joins a queue, and takes its turn when the floor is free. Then the unit is refractory for most of a period. The drive
saturates between the two inputs at which such a unit fires repetitively. So:

- nobody falls silent: a member that keeps wanting to speak fires at least every 49 time units of a unit, however
  faint or strong its urge, and one that has fired waits at most for those already in the queue;
- nobody monopolises: a member fires at most every 36 time units, and must then let pass whoever fired since.

A turn is a courtesy, not a lock: nothing here waits, and the order of what is said is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from chorus.dynamics.checks import scalar
from chorus.dynamics.excitable import FitzHughNagumo
from chorus.dynamics.spikes import SpikeDetector
from chorus.errors import InputError

_UNIT = FitzHughNagumo(linear=0.4, limit=1.1)  # urges are added to 0.4: all within (0.331, 1.419), where it fires
_DT = 0.25
_PERIOD = 40.0  # time units from one spike to the next under a middling drive
_KICK = 2.0  # the membrane variable at the height of a spike
_REFRACTORY = 2 / 3 + 0.4  # recovery variable at the knee where the spike of a faintly driven unit ends


class TurnTaking:
    """Whose turn it is among members that share a floor.

    Args:
        members: names, in any order.
        now: seconds, on a clock that this node alone reads (if it goes back, units hold).
        period: seconds from one turn of a member to its next, about, while it wants to speak and the floor is
            free; above 0.
        spacing: seconds that a turn keeps the floor, at least 0.

    Raises:
        InputError: a name given twice, or a number out of range.

    >>> floor = TurnTaking(["ann", "bob", "cid"], now=0.0, period=3.0, spacing=0.5)
    >>> floor.advance(3.0, {"ann": 1e9, "bob": 1e9})
    ('ann', 'bob')
    >>> spoken = [who for tick in range(31, 400) for who in floor.advance(tick * 0.1, {"ann": 1e9, "bob": 0.0})]
    >>> spoken.count("ann") > 8, spoken.count("bob") > 8, spoken.count("cid")
    (True, True, 0)

    """

    def __init__(self, members: Iterable[str], *, now: float, period: float, spacing: float = 0.0) -> None:
        self._members = sorted(members)
        for name, after in zip(self._members, self._members[1:], strict=False):
            if name == after:
                raise InputError(f"members: {name!r} is given twice")
        self._now = self._free_at = scalar("now", now)
        self._pace = _PERIOD / scalar("period", period, above=0)  # time units of a unit in a second
        self._spacing = scalar("spacing", spacing, at_least=0)
        self._due = 0.0  # time units not yet integrated, less than one step
        self._queue: dict[str, float] = {}  # who has fired and not yet spoken, in order, and when they fired
        self._state = _UNIT.rest((len(self._members),))
        self._detect = SpikeDetector(_UNIT, self._state[0])

    @property
    def members(self) -> tuple[str, ...]:
        """Names, sorted."""
        return tuple(self._members)

    def advance(self, now: float, urges: Mapping[str, float]) -> tuple[str, ...]:
        """Move the units on to `now`; return the members whose turn came, in order.

        After a gap of more than two periods (a suspended process) only the last two are lived through.

        Args:
            now: seconds, on the clock given at the start.
            urges: for each member that wants to speak, how much: any number of at least 0, 1 being middling. A
                member left out gives up its place in the queue and rests, ready for when it has something to say.

        Raises:
            InputError: an urge that is negative or not a number, or of no member.

        """
        drive = np.zeros(len(self._members))
        for member, urge in urges.items():
            drive[self._index(member)] = 0.4 + 0.4 * scalar(f"urge of {member!r}", urge, at_least=0)
        gap = scalar("now", now) - self._now
        if gap <= 0:
            return ()
        self._now = now
        self._due = min(self._due + gap * self._pace, 2 * _PERIOD)
        self._queue = {member: at for member, at in self._queue.items() if member in urges}
        while self._due >= _DT:
            self._due -= _DT
            self._state = _UNIT.step(self._state, drive, _DT)
            fired, share = self._detect(self._state[0])
            for i in sorted(np.flatnonzero(fired), key=lambda i: (share[i], i)):
                ago = self._due + (1 - float(share[i])) * _DT
                if self._members[i] in urges:
                    self._queue.setdefault(self._members[i], now - ago / self._pace)
        return tuple(self._grant(now))

    def _grant(self, now: float) -> Iterable[str]:
        for member, fired in list(self._queue.items()):
            at = max(fired, self._free_at)
            if at > now:
                return
            del self._queue[member]
            self._free_at = at + self._spacing
            yield member

    def spoke(self, member: str) -> None:
        """Make a member refractory that has spoken without its turn coming up here, as heard from another node.

        It gives up its place in the queue, and its turn keeps the floor from now on.

        Args:
            member: its name.

        Raises:
            InputError: no such member.

        """
        state = self._state.copy()
        state[0, self._index(member)] = _KICK
        self._set(state)
        self._queue.pop(member, None)
        self._free_at = max(self._free_at, self._now + self._spacing)

    def readiness(self, member: str) -> float:
        """How far a member has recovered: 0 while most refractory, 1 at rest.

        Args:
            member: its name.

        Raises:
            InputError: no such member.

        """
        rest = float(_UNIT.rest()[1])
        recovery = float(self._state[1, self._index(member)])
        return min(max((_REFRACTORY - recovery) / (_REFRACTORY - rest), 0.0), 1.0)

    def join(self, member: str) -> None:
        """Add a member, at rest.

        Args:
            member: its name.

        Raises:
            InputError: it is a member already.

        """
        if member in self._members:
            raise InputError(f"members: {member!r} is a member already")
        at = int(np.searchsorted(self._members, member))
        self._members.insert(at, member)
        self._set(np.insert(self._state, at, _UNIT.rest(), axis=1))

    def leave(self, member: str) -> None:
        """Drop a member.

        Args:
            member: its name.

        Raises:
            InputError: no such member.

        """
        at = self._index(member)
        del self._members[at]
        self._queue.pop(member, None)
        self._set(np.delete(self._state, at, axis=1))

    def _index(self, member: str) -> int:
        at = int(np.searchsorted(self._members, member)) if self._members else 0
        if at == len(self._members) or self._members[at] != member:
            raise InputError(f"members: no {member!r}; there are {', '.join(self._members) or 'none'}")
        return at

    def _set(self, state: np.ndarray) -> None:
        self._state = state
        self._detect = SpikeDetector(_UNIT, state[0])
