"""What can influence whom after how many layers: receptive fields of one actor, and coverage of all of them.

An actor always keeps its own state from layer to layer, as every residual stream does, so a field only grows.

Coverage has four engines, tried in turn; none looks at n**2 pairs.
- offsets: every layer is one set of offsets back, with or without sinks. The field of t is t minus a set of distances,
  the same for all t: a Python integer as a bitset, shifted and joined.
- ring: every layer looks the same from every actor of a closed ring (rings, the complete graph): likewise, modulo n.
- zones: every layer is a few windows, hubs and rectangles, followed as difference-bound constraints (`zones`).
- actors: anything else. For n up to 8,192 a bitset for each actor; beyond that a sample of actors, and it says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from chorus.errors import InputError
from chorus.topology import intervals as iv
from chorus.topology.intervals import Intervals
from chorus.topology.relation import Relation
from chorus.topology.terms import Ints, Strip
from chorus.topology.topology import MAX_ACTORS, Topology, member, whole
from chorus.topology.zones import Zones, compose, missing, zones_of

ALL_ACTORS_LIMIT = 8192
SAMPLED_ACTORS = 16
_SAMPLE_WORK = 1 << 28  # pairs looked at while sampling
MAX_LAYERS = 100_000


@dataclass(frozen=True)
class ActorSet:
    """A set of actors; `bits` has bit t set for every member t.

    >>> ActorSet(0b10111)
    {0-2, 4}
    """

    bits: int

    def __len__(self) -> int:
        return self.bits.bit_count()

    def __contains__(self, actor: int) -> bool:
        return bool(self.bits >> actor & 1)

    @cached_property
    def intervals(self) -> Intervals:
        """The members as half-open intervals, rows [start, stop)."""
        return iv.from_bits(self.bits)

    def actors(self) -> Ints:
        """List the members, int64, ascending."""
        return iv.values_of(self.intervals)

    def __repr__(self) -> str:
        pieces = [f"{a}" if b == a + 1 else f"{a}-{b - 1}" for a, b in self.intervals[:8].tolist()]
        more = len(self.intervals) - len(pieces)
        return "{" + ", ".join(pieces) + (f", and {more:,} more range{'s' * (more > 1)}" if more else "") + "}"


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """When every actor has been reached by all that may reach it.

    Attributes:
        layers: the first number of layers after which all are covered; None if that does not happen within those asked.
        never: whether it is proven that no number of further layers changes that.
        allowed: pairs that may influence each other: s <= t if every layer is causal, else all.
        reached: of those, how many do after 0, 1, ... layers, until nothing changes; None when sampled.
        method: "offsets", "ring", "zones", "all actors" or "sampled".
        share: when sampled, the share of actors that are covered, and its 95 % Wilson interval.
        seed: when sampled, what chose the actors.

    """

    layers: int | None
    never: bool
    allowed: int
    reached: tuple[int, ...] | None
    method: str
    share: tuple[float, float, float] | None = None
    seed: int | None = None


def receptive_field(topology: Topology, actor: int, n: int, layers: int) -> list[ActorSet]:
    """Follow back what can influence an actor: after 0, 1, ..., `layers` steps down from the last layer.

    Args:
        topology: who may read whom.
        actor: whose field.
        n: actors.
        layers: how many; the first step back is through layer `layers - 1`.

    >>> from chorus.topology import logarithmic
    >>> receptive_field(logarithmic(), actor=12, n=16, layers=2)
    [{12}, {4, 8, 10-12}, {0, 2-4, 6-12}]

    """
    actor, layers = member("actor", actor, n), whole("layers", layers, 0, MAX_LAYERS)
    bits, fields, changed = 1 << actor, [ActorSet(1 << actor)], layers
    fresh = bits
    for layer in reversed(range(layers)):
        relation = topology.relation(n, layer)
        source = fresh if topology.period == 1 else bits  # when layers repeat, only new actors can bring anything new
        if relation.causal_only:
            lacking = ((1 << bits.bit_length()) - 1) & ~bits
            low = (lacking & -lacking).bit_length() if lacking else n  # nobody at or below the first lacking reads it
            source = source >> low << low
        grown = bits | relation.image(source) if source else bits
        fresh, bits = grown & ~bits, grown
        fields.append(ActorSet(bits) if fresh else fields[-1])
        if fresh:
            changed = layer
        elif topology.period and changed - layer >= topology.period:  # a whole period brought nothing: nothing will
            fields += [fields[-1]] * layer
            break
    return fields


def coverage(topology: Topology, n: int, layers: int, seed: int = 0) -> Coverage:
    """Find after how many layers every actor has been influenced by all that may influence it.

    Args:
        topology: who may read whom.
        n: actors.
        layers: how many layers to follow, from layer 0 up.
        seed: chooses the actors when only a sample can be followed.

    >>> from chorus.topology import dilated, logarithmic
    >>> coverage(logarithmic(), n=1_000_000, layers=48).layers
    19
    >>> coverage(dilated(4, dilation=2), n=1_000_000, layers=48).layers is None
    True

    """
    n, layers = whole("n", n, 1, MAX_ACTORS), whole("layers", layers, 0, MAX_LAYERS)
    distinct = [topology.relation(n, layer) for layer in range(min(layers, topology.period or layers))]
    causal = all(relation.causal_only for relation in distinct)
    for engine in (_by_offsets, _by_ring, _by_zones, _by_all_actors):
        found = engine(topology, n, layers, causal)
        if found is not None:
            return found
    return _by_sample(topology, n, layers, causal, seed)


def sinks_and_offsets(relation: Relation) -> tuple[Intervals, int] | None:
    """Return the layer as offsets back and the number of sinks, if that is all it is."""
    if relation.others or not relation.causal_only:
        return None
    offsets, sinks = iv.EMPTY, 0
    for strip in relation.strips:
        if strip.everywhere:
            offsets = iv.union([offsets, strip.offsets])
        elif (
            iv.size(strip.offsets) == iv.size(strip.readers) == relation.n
            and len(strip.reads) == 1
            and strip.reads[0, 0] == 0
        ):
            sinks = max(sinks, int(strip.reads[0, 1]))
        else:
            return None
    return offsets, sinks


class _Progress:
    """Watches what is reached layer by layer: when it is complete, and when it can change no more."""

    def __init__(self, topology: Topology, allowed: int, method: str) -> None:
        self.period, self.allowed, self.method = topology.period, allowed, method
        self.reached: list[int] = []
        self.still = 0

    def add(self, pairs: int) -> bool:
        """Take the pairs reached after one more layer; say whether there is no need to go on."""
        self.still = self.still + 1 if self.reached and self.reached[-1] == pairs else 0
        self.reached.append(pairs)
        return pairs == self.allowed or self.stuck

    @property
    def stuck(self) -> bool:
        return self.period is not None and self.still >= self.period

    def coverage(self) -> Coverage:
        done = self.reached[-1] == self.allowed
        last = self.reached.index(self.reached[-1])
        return Coverage(
            layers=last if done else None,
            never=not done and self.stuck,
            allowed=self.allowed,
            reached=tuple(self.reached[: last + 1]),
            method=self.method,
        )


def _by_offsets(topology: Topology, n: int, layers: int, causal: bool) -> Coverage | None:
    if not causal:
        return None
    progress = _Progress(topology, n * (n + 1) // 2, "offsets")
    distances, sinks = 1, 0
    everywhere = (1 << n) - 1
    for layer in range(layers + 1):
        # t lacks the actors at the distances not in the set, except sinks: those up to t - sinks.
        lacking = iv.from_bits(everywhere & ~distances)
        lacking = iv.clip(lacking, 0, n - sinks)
        first, last = n - sinks - lacking[:, 0], n - sinks - lacking[:, 1]
        if progress.add(progress.allowed - int((first * (first + 1) // 2 - last * (last + 1) // 2).sum())):
            break
        if layer == layers:
            break
        form = sinks_and_offsets(topology.relation(n, layer))
        if form is None:
            return None
        relation = Relation(n, tuple(s for s in topology.relation(n, layer).strips if s.everywhere))
        # A distance is as good as an actor: seen from actor n - 1, distance d is actor n - 1 - d.
        distances |= _shifted(relation, distances, n)
        sinks = max(sinks, form[1])
    return progress.coverage()


def _shifted(relation: Relation, distances: int, n: int) -> int:
    found = 0
    for strip in relation.strips:
        found |= strip.transposed().image(distances)
    return found


def _by_ring(topology: Topology, n: int, layers: int, causal: bool) -> Coverage | None:
    if causal:
        return None
    progress = _Progress(topology, n * n, "ring")
    around, everyone = 1, (1 << n) - 1
    for layer in range(layers + 1):
        if progress.add(n * around.bit_count()) or layer == layers:
            break
        relation = topology.relation(n, layer)
        ahead = iv.union(iv.clip(strip.offsets, 0, n) for strip in relation.strips)
        behind = iv.union(iv.clip(strip.offsets, 1 - n, 0) + n for strip in relation.strips)
        closed = np.array_equal(iv.clip(ahead, 1, n), behind) and all(strip.everywhere for strip in relation.strips)
        if relation.others or not closed:
            return None
        twice = iv.interval(0, 2 * n)
        turned = around | Strip(2 * n, iv.negate(ahead), twice, twice).image(around)
        around = (turned & everyone) | (turned >> n)
    return progress.coverage()


def _by_zones(topology: Topology, n: int, layers: int, causal: bool) -> Coverage | None:
    progress = _Progress(topology, n * (n + 1) // 2 if causal else n * n, "zones")
    reach: Zones | None = zones_of(Relation(n, ()))
    for layer in range(layers + 1):
        if reach is None:
            return None
        try:
            lacking = sum(strip.count() for strip in missing(n, reach, causal))
        except InputError:  # too many pieces to count: another engine can
            return None
        if progress.add(progress.allowed - lacking) or layer == layers:
            break
        step = zones_of(topology.relation(n, layer))
        reach = compose(step, reach) if step else None
    return progress.coverage()


def _by_all_actors(topology: Topology, n: int, layers: int, causal: bool) -> Coverage | None:
    if n > ALL_ACTORS_LIMIT:
        return None
    progress = _Progress(topology, n * (n + 1) // 2 if causal else n * n, "all actors")
    fields = [1 << t for t in range(n)]
    for layer in range(layers + 1):
        if progress.add(sum(field.bit_count() for field in fields)) or layer == layers:
            break
        indptr, indices = topology.to_csr(n, layer)
        reads = indices.tolist()
        ends = indptr.tolist()
        grown = []
        for t in range(n):
            field = fields[t]
            for s in reads[ends[t] : ends[t + 1]]:
                field |= fields[s]
            grown.append(field)
        fields = grown
    return progress.coverage()


def _by_sample(topology: Topology, n: int, layers: int, causal: bool, seed: int) -> Coverage:
    """Follow a few actors only; the last, which has most to reach, is always one of them but not of the share."""
    work = max(1, layers) * (topology.relation(n, 0).loose_bound() + n)
    chosen = np.random.default_rng(seed).integers(0, n, max(1, min(SAMPLED_ACTORS, _SAMPLE_WORK // work))).tolist()

    def covered(actor: int, depth: int) -> bool:
        return len(receptive_field(topology, actor, n, depth)[-1]) == (actor + 1 if causal else n)

    complete = [covered(actor, layers) for actor in chosen]
    need = None
    if all(complete) and covered(n - 1, layers):
        low, high = 0, layers  # a field only grows with the layers, so halving finds where it is full
        while low < high:
            middle = (low + high) // 2
            full = all(covered(actor, middle) for actor in [n - 1, *chosen])
            low, high = (low, middle) if full else (middle + 1, high)
        need = high
    hits, z = sum(complete), 1.959964
    share = hits / len(chosen)
    centre = (share + z * z / (2 * len(chosen))) / (1 + z * z / len(chosen))
    spread = z / (1 + z * z / len(chosen)) * math.sqrt(share * (1 - share) / len(chosen) + (z / (2 * len(chosen))) ** 2)
    return Coverage(
        layers=need,
        never=False,
        allowed=n * (n + 1) // 2 if causal else n * n,
        reached=None,
        method="sampled",
        share=(share, max(0.0, centre - spread), min(1.0, centre + spread)),
        seed=seed,
    )
