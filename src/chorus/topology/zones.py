"""Reach as zones: sets of pairs {(t, s) : t - s, t and s each in one interval}, closed under composition.

A zone is a difference-bound constraint on two integers (Dill, 1989). Eliminating the actor in between two zones leaves
a zone, exactly, so a topology made of a few windows, hubs and rectangles can be followed through any number of layers,
for all actors at once, whatever n is.
"""

from __future__ import annotations

from typing import NamedTuple

from chorus.topology import intervals as iv
from chorus.topology.relation import Relation, subtract_strips
from chorus.topology.terms import Strip

ZONE_LIMIT = 32  # windows, hubs and their unions stay near ten; joining zones takes the square of their number


class Zone(NamedTuple):
    """The pairs with offset d_low..d_high, reader t_low..t_high and read s_low..s_high, all inclusive."""

    d_low: int
    d_high: int
    t_low: int
    t_high: int
    s_low: int
    s_high: int

    def tight(self) -> Zone | None:
        """Return the same pairs by the narrowest bounds, or None if there are none."""
        d0, d1, t0, t1, s0, s1 = self
        for _ in range(2):  # three variables (t, s and 0): two rounds reach the closure
            d0, d1 = max(d0, t0 - s1), min(d1, t1 - s0)
            t0, t1 = max(t0, s0 + d0), min(t1, s1 + d1)
            s0, s1 = max(s0, t0 - d1), min(s1, t1 - d0)
        return None if d0 > d1 or t0 > t1 or s0 > s1 else Zone(d0, d1, t0, t1, s0, s1)

    def after(self, first: Zone) -> Zone | None:
        """Return the pairs (t, s) for which some u is read by t in this zone and reads s in the first."""
        low, high = max(self.s_low, first.t_low), min(self.s_high, first.t_high)
        if low > high:
            return None
        # u >= t - d_high, s + d_low', low and u <= t - d_low, s + d_high', high: each lower bound against each upper.
        return Zone(
            self.d_low + first.d_low,
            self.d_high + first.d_high,
            max(self.t_low, low + self.d_low),
            min(self.t_high, high + self.d_high),
            max(first.s_low, low - first.d_high),
            min(first.s_high, high - first.d_low),
        ).tight()

    def holds(self, other: Zone) -> bool:
        """Say whether every pair of the other zone, which is tight, is in this one."""
        return all(a <= b for a, b in zip(self[::2], other[::2], strict=True)) and all(
            a >= b for a, b in zip(self[1::2], other[1::2], strict=True)
        )


Zones = list[Zone]


def zones_of(relation: Relation) -> Zones | None:
    """Return the pairs of one layer with every actor's own state, or None when they are not a few zones."""
    if relation.others:
        return None
    strips = relation.strips
    if sum(len(s.offsets) * len(s.readers) * len(s.reads) for s in strips) > ZONE_LIMIT:
        return None
    n = relation.n
    zones: Zones = [Zone(0, 0, 0, n - 1, 0, n - 1)]
    for strip in strips:
        for d in strip.offsets.tolist():
            for t in strip.readers.tolist():
                for s in strip.reads.tolist():
                    zone = Zone(d[0], d[1] - 1, t[0], t[1] - 1, s[0], s[1] - 1).tight()
                    zones += [zone] if zone else []
    return simplified(zones)


def compose(second: Zones, first: Zones) -> Zones | None:
    """Return all pairs joined by a pair of each, or None when they are too many zones."""
    found = list({zone for a in second for b in first if (zone := a.after(b))})
    if len(found) <= 8 * ZONE_LIMIT:
        found = simplified(found)
    return found if len(found) <= ZONE_LIMIT else None


def simplified(zones: Zones) -> Zones:
    """Drop what another zone holds, and join neighbours that differ in one interval only, until nothing changes."""
    zones = list(dict.fromkeys(zones))
    while True:
        zones = [a for i, a in enumerate(zones) if not any(b.holds(a) for j, b in enumerate(zones) if j != i)]
        joined = _join_one(zones)
        if joined is None:
            return zones
        zones = joined


def _join_one(zones: Zones) -> Zones | None:
    for i, a in enumerate(zones):
        for j in range(i):
            b = zones[j]
            for k in (0, 2, 4):
                same = a[:k] + a[k + 2 :] == b[:k] + b[k + 2 :]
                if same and max(a[k], b[k]) <= min(a[k + 1], b[k + 1]) + 1:
                    union = Zone._make([*a[:k], min(a[k], b[k]), max(a[k + 1], b[k + 1]), *a[k + 2 :]])
                    return [*zones[:j], *zones[j + 1 : i], *zones[i + 1 :], union]
    return None


def missing(n: int, zones: Zones, causal: bool) -> list[Strip]:
    """Return the pairs that the zones leave out: of those with s <= t when causal, else of all."""
    everyone = iv.interval(0, n)
    allowed = Strip(n, iv.interval(0 if causal else 1 - n, n), everyone, everyone)
    held = [
        Strip(
            n,
            iv.interval(z.d_low, z.d_high + 1),
            iv.interval(z.t_low, z.t_high + 1),
            iv.interval(z.s_low, z.s_high + 1),
        )
        for z in zones
    ]
    return subtract_strips([allowed], held)
