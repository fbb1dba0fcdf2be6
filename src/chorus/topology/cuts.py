"""How thin the thinnest place between two actors is: node-disjoint paths and a smallest cut (Menger, 1927).

Losing an actor means losing it in every layer, so this looks at the graph of actors that has an edge wherever some
layer has one. Lengths are left aside: bounding them by the number of layers makes disjoint paths and cuts differ (and
both hard), so a path here may need more layers than there are; `coverage` says when it is there.

What makes a million actors quick, each step exact:
- Causal paths stay between the two actors; only those are looked at.
- An actor that reads the one and is read by the other is in every cut: these are taken first, all at once.
- Where nothing steps farther than b and whoever is left makes every step up to b, b actors in a row are a wall, and
  the wall with the fewest left is a smallest cut (windows, also with hubs and sinks).
- Offsets with a common divisor g are the same topology on every g-th actor.
- Offsets back of at most m: disjoint paths over p can be stretched to p + m by one stride m each, so when a short
  distance allows as many as there are offsets, every longer one (by multiples of m) does too.
- A ring of k on either side holds together by all 2 k (Harary, 1962).
- Everything else: blocking flows over bitsets (`flow`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chorus.errors import InputError
from chorus.topology import intervals as iv
from chorus.topology.flow import smallest_cut
from chorus.topology.intervals import Intervals
from chorus.topology.reach import MAX_LAYERS, ActorSet
from chorus.topology.relation import Relation
from chorus.topology.terms import Cliques, Edges, Ints, Strip, Term
from chorus.topology.topology import Topology, member, whole

LISTED_LIMIT = 1 << 23  # pairs that are no strips, written down for the search: 0.3 GB
_FEW_STRIDES = 4  # a distance of so many strides, to begin with, before a long one is cut short

NOBODY: Ints = np.empty(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class Separation:
    """How two actors are joined.

    Attributes:
        disjoint: paths from `read` to `reader` that share no other actor, the direct edge included.
        direct: whether the reader reads the other itself, so that no loss of others can cut them off.
        cut: a smallest set of other actors whose loss leaves at most the direct edge; its size is `disjoint` less the
            direct edge.
        hub: whether the cut is not empty and each of its actors is read by more than half of all actors.

    """

    disjoint: int
    direct: bool
    cut: ActorSet
    hub: bool


def separation(topology: Topology, n: int, layers: int, reader: int, read: int) -> Separation:
    """Find the node-disjoint paths from the actor `read` to the actor `reader`, and a smallest cut between them.

    Raises:
        InputError: the actors are the same, or the graph between them is too large to search, with its size.

    >>> from chorus.topology import logarithmic, sliding_window, star
    >>> separation(star(), n=10, layers=4, reader=9, read=3)
    Separation(disjoint=1, direct=False, cut={0}, hub=True)
    >>> separation(sliding_window(4), n=1_000_000, layers=4, reader=999_999, read=0).cut
    {1-3}
    >>> separation(logarithmic(), n=1_000_000, layers=4, reader=999_999, read=0).disjoint
    20

    """
    reader, read = member("reader", reader, n), member("read", read, n)
    layers = whole("layers", layers, 1, MAX_LAYERS)
    if reader == read:
        raise InputError(f"actor {reader} is both ends: name two different actors")
    distinct = [topology.relation(n, layer) for layer in range(min(layers, topology.period or layers))]
    relation = distinct[0] if len(distinct) == 1 else Relation(n, tuple(t for r in distinct for t in r.terms))
    low, high = (read, reader + 1) if relation.causal_only else (0, n)
    direct, cut = (False, NOBODY) if low >= high else _cut(_part(relation, low, high), reader - low, read - low)
    cut = cut + low
    return Separation(
        disjoint=len(cut) + direct,
        direct=direct,
        cut=ActorSet(iv.to_bits(iv.from_values(cut))),
        hub=len(cut) > 0 and bool((_readers_of(relation, cut) * 2 > n).all()),
    )


def _part(relation: Relation, low: int, high: int) -> Relation:
    """Return the pairs among the actors from `low` to `high` - 1, counted from `low`, without samples."""
    n = high - low
    terms: list[Term] = [
        Strip(n, iv.clip(s.offsets, 1 - n, n), iv.clip(s.readers - low, 0, n), iv.clip(s.reads - low, 0, n))
        for s in relation.strips
    ]
    kept = [term for term in relation.others if isinstance(term, Cliques) and n == relation.n]
    listed = Relation(relation.n, tuple(term for term in relation.others if term not in kept))
    bound = listed.loose_bound() * n // relation.n
    if bound > LISTED_LIMIT:
        raise InputError(
            f"disjoint paths between these actors need a list of up to {bound:,} random or explicit edges, more than "
            f"{LISTED_LIMIT:,}: take fewer actors, actors closer together, or fewer layers or neighbours"
        )
    if listed.others:
        readers, reads = listed.pairs_of(np.arange(low, high))
        inside = (reads >= low) & (reads < high)
        terms.append(Edges.from_pairs(n, readers[inside] - low, reads[inside] - low))
    return Relation(n, (*terms, *kept))


def _cut(relation: Relation, reader: int, read: int) -> tuple[bool, Ints]:
    """Return whether there is a direct edge, and a smallest cut besides it."""
    first, last = relation.transposed().row(read), relation.row(reader)
    direct = bool(np.isin(reader, first))
    around = _ring_width(relation)
    if around:
        return direct, np.setdiff1d(np.r_[read - around : read, read + 1 : read + around + 1] % relation.n, reader)
    step = _common_divisor(relation)
    if step > 1:
        return direct, _cut_of_every(relation, step, reader, read)
    common = np.setdiff1d(np.intersect1d(first, last, assume_unique=True), [reader, read], assume_unique=True)
    rest = _wall(relation, reader, read, common)
    if rest is None:
        rest = _stretched(relation, reader, read)
    if rest is None:
        rest = smallest_cut(relation, reader, read, common)
    return direct, np.sort(np.r_[common, rest])


def _everywhere(relation: Relation) -> Intervals | None:
    """Return the offsets, zero left out, if they are all there is to the relation."""
    if relation.others or not all(strip.everywhere for strip in relation.strips):
        return None
    return iv.subtract(iv.union(strip.offsets for strip in relation.strips), iv.interval(0, 1))


def _ring_width(relation: Relation) -> int | None:
    """Return k if everyone reads just the k nearest on either side of a closed ring that is not complete."""
    offsets, n = _everywhere(relation), relation.n
    if offsets is None or len(offsets) != 4:
        return None
    k = int(offsets[2, 1]) - 1
    ring = iv.union([iv.interval(-k, 0), iv.interval(1, k + 1), iv.interval(1 - n, k - n + 1), iv.interval(n - k, n)])
    return k if np.array_equal(offsets, ring) else None


def _common_divisor(relation: Relation) -> int:
    """Return the greatest common divisor of all offsets, if these are all there is; else 1."""
    offsets = _everywhere(relation)
    if offsets is None or (offsets[:, 1] - offsets[:, 0] > 1).any():
        return 1
    return int(np.gcd.reduce(offsets[:, 0])) if len(offsets) else 1


def _cut_of_every(relation: Relation, step: int, reader: int, read: int) -> Ints:
    """Find a smallest cut when every offset is a multiple of `step`: among every step-th actor."""
    if (reader - read) % step:
        return NOBODY
    residue = read % step
    n = -(-(relation.n - residue) // step)
    offsets = iv.from_values([d // step for strip in relation.strips for d in strip.offsets[:, 0].tolist()])
    part = Relation(n, (Strip(n, offsets, iv.interval(0, n), iv.interval(0, n)),))
    return _cut(part, reader // step, read // step)[1] * step + residue


def _wall(relation: Relation, reader: int, read: int, gone: Ints) -> Ints | None:
    """Find a smallest cut without the actors `gone`, if whoever is left makes every step toward the reader up to b.

    As long as fewer than b actors in a row are lost, the next one left is at most b away; b in a row are a wall.
    """
    if relation.others:
        return None
    left = iv.subtract(iv.interval(0, relation.n), iv.from_values(gone))
    n = relation.n
    met = [Strip(n, s.offsets, iv.intersect(s.readers, left), iv.intersect(s.reads, left)) for s in relation.strips]
    strips = Relation(n, tuple(strip for strip in met if strip.count())).strips
    ahead = [s.offsets if reader > read else iv.negate(s.offsets) for s in strips]
    longest = max((int(offsets[-1, 1]) - 1 for offsets in ahead), default=0)
    if longest < 1:
        return NOBODY
    steps = iv.interval(1, longest + 1)
    even = any(
        iv.size(s.readers) == iv.size(s.reads) == iv.size(left) and not len(iv.subtract(steps, offsets))
        for s, offsets in zip(strips, ahead, strict=True)
    )
    if not even or abs(reader - read) <= longest:
        return None
    present = iv.contains(left, np.arange(min(reader, read) + 1, max(reader, read)))
    standing = np.r_[0, np.cumsum(present)]
    place = int(np.argmin(standing[longest:] - standing[:-longest]))
    return np.flatnonzero(present[place : place + longest]) + place + min(reader, read) + 1


def _stretched(relation: Relation, reader: int, read: int) -> Ints | None:
    """Cut a long distance short by whole strides, where a short one has as many disjoint paths as there are offsets.

    Paths over p actors pass any place x one after the other, each with a first actor from x to x + m - 1, if m is the
    longest offset. Letting each take one more stride m from there gives disjoint paths over p + m.
    """
    offsets = _everywhere(relation)
    if offsets is None or not len(offsets) or offsets[0, 0] < 1:
        return None
    longest = int(offsets[-1, 1]) - 1
    short = (reader - read) % longest + _FEW_STRIDES * longest
    if short >= reader - read:
        return None
    found = _cut(_part(relation, read, read + short + 1), short, 0)[1]
    return read + iv.values_of(offsets) if len(found) == iv.size(offsets) else None


def _readers_of(relation: Relation, actors: Ints) -> Ints:
    """Count by how many each of the actors is read."""
    backward = relation.transposed()
    counts = sum((strip.degrees()[actors] for strip in backward.disjoint_strips), np.zeros(len(actors), np.int64))
    if backward.others:
        counts = counts + np.bincount(backward.loose_rows(actors)[0], minlength=len(actors))
    return counts
