"""Phase pacing from gossip, without I/O: when to broadcast, and how well a mesh is in step.

A `PhasePacer` holds the phases of one node's own oscillators and, for every other node it has heard of, the latest
summary (Σcos, Σsin, n) of that node's oscillators. Each oscillator follows Kuramoto's equation with the mean field
of everything live that it knows:

    dθ_i/dt = ω + K·Im(Z e^{−iθ_i}),   Z = Σ(Σcos + i Σsin) / Σn

so a step costs O(nodes) however many oscillators they hold. Why it holds together under loss and reordering:

- A summary speaks for its origin alone, and of two the one with the later stamp counts. So a repeated, reordered or
  relayed message changes nothing, and nobody is counted twice. (Sums of what others have summed would keep the
  dead alive: each would go on hearing them from the other.)
- A summary turns on at its origin's frequency while it ages, and is dropped when older than `expiry`.
- Ages are measured on the receiver's clock and add up along relays: no two clocks are ever compared.
- Phases advance with time, not with tokens or messages: silence does not stop them. Nothing here ever waits.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import mul

from chorus.dynamics.checks import count, finite, scalar
from chorus.errors import InputError

TURN = 2 * math.pi


@dataclass(frozen=True, kw_only=True)
class PhaseSummary:
    """What a node says of its own oscillators.

    Attributes:
        origin: the node's id.
        stamp: rises with each summary of this origin and survives its restarts, as a Lamport clock does.
        cos: Σ cos θ over its oscillators.
        sin: Σ sin θ.
        n: how many oscillators.
        frequency: rate at which their mean phase now turns, rad/s.
        age: seconds since the origin said so, as far as the nodes on the way have measured.

    Raises:
        InputError: numbers that are not finite, n < 1, a negative age, or a sum longer than n.

    >>> PhaseSummary(origin="a", stamp=1, cos=0.0, sin=2.0, n=2, frequency=6.28).order
    1.0

    """

    origin: str
    stamp: int
    cos: float
    sin: float
    n: int
    frequency: float
    age: float = 0.0

    def __post_init__(self) -> None:
        for name in ("cos", "sin", "frequency", "age"):
            scalar(f"summary of {self.origin!r}: {name}", getattr(self, name))
        count(f"summary of {self.origin!r}: n", self.n, at_least=1)
        if self.age < 0:
            raise InputError(f"summary of {self.origin!r}: age {self.age:g} is negative")
        if self.order > 1 + 1e-9:
            raise InputError(f"summary of {self.origin!r}: |Σ| = {self.order * self.n:g} for {self.n} oscillators")

    @property
    def order(self) -> float:
        """Order parameter r of these oscillators."""
        return abs(complex(self.cos, self.sin)) / self.n


@dataclass(frozen=True)
class _Heard:
    summary: PhaseSummary  # as it arrived
    at: float  # when it arrived, on our clock

    def age(self, now: float) -> float:
        return self.summary.age + now - self.at

    def until(self, expiry: float) -> float:
        return self.at + expiry - self.summary.age

    def sum(self, now: float) -> complex:
        return complex(self.summary.cos, self.summary.sin) * cmath.rect(1.0, self.summary.frequency * self.age(now))


class PhasePacer:
    """One node's oscillators and what it has heard of the others'.

    Args:
        origin: this node's id.
        now: seconds, on a clock that this node alone reads (monotonic; if it goes back, phases hold).
        period: seconds between beats of an oscillator left alone, above 0.
        coupling: K, rad/s, at most 100 · 2π/period; positive draws nodes into step, negative spreads them out.
        expiry: seconds after which a silent node no longer counts, above 0.
        phases: this node's phases at the start, radians, one for each oscillator it holds.
        stamp: last stamp already used, for a node that restarts.
        largest: largest n that is believed of another node.

    Raises:
        InputError: a number out of range.

    >>> a = PhasePacer("a", now=0.0, period=1.0, coupling=3.0, expiry=5.0, phases=[0.0])
    >>> b = PhasePacer("b", now=0.0, period=1.1, coupling=3.0, expiry=5.0, phases=[2.0])
    >>> for tick in range(1, 200):
    ...     now = tick * 0.05
    ...     beats = a.advance(now), b.advance(now)
    ...     heard = a.hear(b.summary(now), now), b.hear(a.summary(now), now)
    >>> a.order(now) > 0.95
    True

    """

    def __init__(
        self,
        origin: str,
        *,
        now: float,
        period: float,
        coupling: float,
        expiry: float,
        phases: Sequence[float] = (0.0,),
        stamp: int = 0,
        largest: int = 1024,
    ) -> None:
        self.origin = origin
        self._now = scalar("now", now)
        self._omega = TURN / scalar("period", period, above=0)
        self._coupling = scalar("coupling", coupling)
        self._expiry = scalar("expiry", expiry, above=0)
        self._theta = [float(theta) % TURN for theta in finite("phases", phases).ravel()]  # from here on not wrapped
        self._turns = [0] * len(self._theta)
        if not self._theta:
            raise InputError("phases: a node holds at least one oscillator")
        self._stamp, self._largest = stamp, count("largest", largest, at_least=1)
        self._heard: dict[str, _Heard] = {}
        if abs(self._coupling) > 100 * self._omega:
            raise InputError(f"coupling: {coupling:g} rad/s is over 100 times the turning rate of period {period:g} s")
        self._longest = min(self._expiry, 100 * period)
        # Fine against the period and against the coupling, so that no step can overshoot.
        self._dt = min(period / 16, 0.25 / max(abs(self._coupling), 1e-12))

    @property
    def phases(self) -> tuple[float, ...]:
        """Phases of this node, radians in [0, 2π), as of the last `advance`."""
        return tuple(theta % TURN for theta in self._theta)

    def advance(self, now: float) -> tuple[int, ...]:
        """Move the phases on to `now`; return the oscillators that passed 0, in order.

        An oscillator that would have passed 0 several times in a long gap (a suspended process) is named once:
        missed beats are not made up. The cost of a gap is bounded: past `expiry`, or 100 periods, phases turn freely.

        Args:
            now: seconds, on the clock given at the start.

        """
        gap = scalar("now", now) - self._now
        if gap <= 0:
            return ()
        beats: dict[int, None] = {}
        coupled_until = self._now + min(gap, self._longest)
        while self._now < coupled_until:
            live = [heard for heard in self._heard.values() if heard.until(self._expiry) > self._now]
            end = min((heard.until(self._expiry) for heard in live), default=coupled_until)
            self._drift(min(end, coupled_until), live, beats)
        self._turn([self._omega] * len(self._theta), now - self._now, beats)
        self._now = now
        self._forget(now)
        return tuple(beats)

    def _drift(self, end: float, live: list[_Heard], beats: dict[int, None]) -> None:
        """Follow the field of some nodes until `end`, by the midpoint rule; what was heard turns on meanwhile."""
        gap = end - self._now
        steps = math.ceil(gap / self._dt)
        half = gap / steps / 2
        others = [heard.sum(self._now) for heard in live]
        turns = [cmath.rect(1.0, heard.summary.frequency * half) for heard in live]
        share = self._coupling / (len(self._theta) + sum(heard.summary.n for heard in live))
        for _ in range(steps):
            start = self._speeds(self._theta, others, share)
            others = [*map(mul, others, turns)]
            middle = [theta + speed * half for theta, speed in zip(self._theta, start, strict=True)]
            self._turn(self._speeds(middle, others, share), 2 * half, beats)
            others = [*map(mul, others, turns)]
        self._now = end

    def _speeds(self, phases: list[float], others: list[complex], share: float) -> list[float]:
        units = [cmath.rect(1.0, theta) for theta in phases]
        pull = share * sum(others, sum(units))
        return [self._omega + pull.imag * unit.real - pull.real * unit.imag for unit in units]

    def _turn(self, speeds: list[float], dt: float, beats: dict[int, None]) -> None:
        passed: list[tuple[float, int]] = []
        for i, speed in enumerate(speeds):
            theta = self._theta[i]
            moved = self._theta[i] = theta + speed * dt
            # Counted turns, not a wrapped phase: a strong pull may carry a phase back and over 0 again, and that
            # is still the same beat.
            turns = math.floor(moved / TURN)
            if turns > self._turns[i]:
                passed.append(((turns * TURN - theta) / speed, i))
                self._turns[i] = turns
        if passed:
            beats.update(dict.fromkeys(i for _, i in sorted(passed)))

    def _pull(self, field: complex, theta: float) -> float:
        return self._coupling * (field * cmath.rect(1.0, -theta)).imag

    def hear(self, summary: PhaseSummary, now: float) -> bool:
        """Take in a summary, direct or relayed; return whether it was news.

        Args:
            summary: what arrived. Our own, older than what we hold, expired, or of more than `largest`
                oscillators: it changes nothing.
            now: seconds, on the clock given at the start.

        """
        held = self._heard.get(summary.origin)
        if summary.origin == self.origin or summary.age > self._expiry or summary.n > self._largest:
            return False
        if held is not None and summary.stamp <= held.summary.stamp:
            return False
        self._heard[summary.origin] = _Heard(summary, scalar("now", now))
        return True

    def summary(self, now: float) -> PhaseSummary:
        """Say what to gossip: this node's own oscillators as of the last `advance`, under a new stamp.

        Args:
            now: seconds, on the clock given at the start; the summary is as old as the last `advance`.

        """
        self._stamp += 1
        own = self._own()
        phase = cmath.phase(own)
        return PhaseSummary(
            origin=self.origin,
            stamp=self._stamp,
            cos=own.real,
            sin=own.imag,
            n=len(self._theta),
            frequency=self._omega + self._pull(self.mean_field(self._now), phase),
            age=max(now - self._now, 0.0),
        )

    def relay(self, now: float) -> tuple[PhaseSummary, ...]:
        """Live summaries of others, aged to `now`, to pass on where not every node hears every other.

        Args:
            now: seconds, on the clock given at the start.

        """
        return tuple(replace(heard.summary, age=heard.age(now)) for heard in self._live(now))

    def known(self, now: float) -> tuple[float, float, int]:
        """(Σcos, Σsin, n) over this node and every live node it has heard of.

        Args:
            now: seconds, on the clock given at the start.

        """
        live = list(self._live(now))
        total = sum((heard.sum(now) for heard in live), self._own())
        return total.real, total.imag, len(self._theta) + sum(heard.summary.n for heard in live)

    def mean_field(self, now: float) -> complex:
        """Z = r·e^{iψ} over everything live that this node knows, itself included.

        Args:
            now: seconds, on the clock given at the start.

        """
        c, s, n = self.known(now)
        return complex(c, s) / n

    def order(self, now: float) -> float:
        """Order parameter r = |Z| in [0, 1]: how well the mesh is in step, as far as this node knows.

        Args:
            now: seconds, on the clock given at the start.

        """
        return min(abs(self.mean_field(now)), 1.0)

    def next_beat(self) -> float:
        """Seconds from the last `advance` until an oscillator passes 0, if the mean field stays as it is.

        An estimate for setting a timer, at most one period of an oscillator left alone.
        """
        field = self.mean_field(self._now)
        longest = TURN / self._omega
        waits = [longest]
        for theta, turns in zip(self._theta, self._turns, strict=True):
            speed = self._omega + self._pull(field, theta)
            if speed > 0:
                waits.append(((turns + 1) * TURN - theta) / speed)
        return min(waits)

    def _own(self) -> complex:
        return sum((cmath.rect(1.0, theta) for theta in self._theta), 0j)

    def _live(self, now: float) -> Iterable[_Heard]:
        return (heard for heard in self._heard.values() if heard.age(now) <= self._expiry)

    def _forget(self, now: float) -> None:
        # Kept for a while after they expire, so that a late copy of an old summary does not bring back the dead.
        gone = [origin for origin, heard in self._heard.items() if heard.age(now) > 10 * self._expiry]
        for origin in gone:
            del self._heard[origin]

    def forget(self, origin: str) -> None:
        """Drop a node that has left; a later summary brings it back.

        Args:
            origin: the node's id.

        """
        self._heard.pop(origin, None)
