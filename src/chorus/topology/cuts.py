"""How thin the thinnest place between two actors is: node-disjoint paths and a smallest cut (Menger, 1927).

Losing an actor means losing it in every layer, so this looks at the graph of actors that has an edge wherever some
layer has one. Lengths are left aside: bounding them by the number of layers makes disjoint paths and cuts differ (and
both hard), so a path here may need more layers than there are; `coverage` says when it is there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from chorus.errors import InputError
from chorus.topology import intervals as iv
from chorus.topology.reach import MAX_LAYERS, sinks_and_offsets
from chorus.topology.relation import EDGE_LIMIT, Relation
from chorus.topology.terms import Ints, Strip
from chorus.topology.topology import Topology, whole

SEARCH_LIMIT = 10_000_000  # edges looked along: some seconds
EDGES_LIMIT = 4_000_000  # written down for the search: half a gigabyte


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
    cut: tuple[int, ...]
    hub: bool


def separation(topology: Topology, n: int, layers: int, reader: int, read: int) -> Separation:
    """Find the node-disjoint paths from the actor `read` to the actor `reader`, and a smallest cut between them.

    Raises:
        InputError: the actors are the same, or the graph between them is too large to search, with its size.

    >>> from chorus.topology import sliding_window, star
    >>> separation(star(), n=10, layers=4, reader=9, read=3)
    Separation(disjoint=1, direct=False, cut=(0,), hub=True)
    >>> separation(sliding_window(4), n=1_000_000, layers=4, reader=999_999, read=0).cut
    (1, 2, 3)

    """
    reader, read = whole("reader", reader, 0, n - 1), whole("read", read, 0, n - 1)
    layers = whole("layers", layers, 1, MAX_LAYERS)
    if reader == read:
        raise InputError(f"actor {reader} is both ends: name two different actors")
    distinct = [topology.relation(n, layer) for layer in range(min(layers, topology.period or layers))]
    relation = distinct[0] if len(distinct) == 1 else Relation(n, tuple(t for r in distinct for t in r.terms))
    form = sinks_and_offsets(relation)
    if form and not form[1] and len(form[0]) == 1 and form[0][0, 0] in (0, 1) and reader > read:
        # A contiguous window: every w - 1 actors in a row are a cut, and steps of w - 1 are w - 1 disjoint paths.
        width = int(form[0][0, 1]) - 1
        if reader - read <= width:
            direct, cut = True, tuple(range(read + 1, reader))
        else:
            direct, cut = False, tuple(range(read + 1, read + 1 + width))
    else:
        direct, cut = _smallest_cut(relation, reader, read)
    return Separation(disjoint=len(cut) + direct, direct=direct, cut=cut, hub=_all_hubs(relation, cut))


def _smallest_cut(relation: Relation, reader: int, read: int) -> tuple[bool, tuple[int, ...]]:
    """Push unit flows from `read` to `reader` through actors of capacity one, along shortest augmenting paths."""
    direct = bool(relation.holds(np.array([reader]), np.array([read]))[0])
    readers, reads = _pairs_between(relation, reader, read)
    onward: dict[int, list[int]] = {}  # from an actor to those who read it
    for t, s in zip(readers.tolist(), reads.tolist(), strict=True):
        onward.setdefault(s, []).append(t)
    flow = _Flow(onward, reader, read)
    while flow.augment():
        pass
    # What the last search entered and could not leave is saturated: a smallest cut, next to `read`.
    return direct, tuple(sorted(v for v, out in flow.parent if not out and (v, True) not in flow.parent))


def _pairs_between(relation: Relation, reader: int, read: int) -> tuple[Ints, Ints]:
    """List the pairs among the actors that can be between the two, without self-reads and the direct edge."""
    low, high = (read, reader + 1) if relation.causal_only else (0, relation.n)
    span = iv.interval(low, high)
    if low >= high:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    strips = [
        Strip(s.n, s.offsets, iv.intersect(s.readers, span), iv.intersect(s.reads, span))
        for s in relation.disjoint_strips
    ]
    size = sum(strip.count() for strip in strips) + relation.loose_bound() * (high - low) // relation.n
    if size > EDGES_LIMIT:
        raise InputError(
            f"the graph between {read:,} and {reader:,} has up to {size:,} edges, more than {EDGES_LIMIT:,}: "
            "take actors closer together or a smaller n"
        )
    readers, reads = Relation(relation.n, (*strips, *relation.others)).pairs_of(np.arange(low, high))
    kept = (reads >= low) & (readers != reads) & ~((readers == reader) & (reads == read))
    return readers[kept], reads[kept]


class _Flow:
    """Node-disjoint paths as the edges that they use: `before[v]` is the actor before v on its path.

    A search visits (v, False), v entered, and (v, True), v left. An actor on a path can be entered only to turn back
    along that path, and left again from there: the residual graph of the network with every actor split in two.
    """

    def __init__(self, onward: dict[int, list[int]], reader: int, read: int) -> None:
        self.onward, self.reader, self.read = onward, reader, read
        self.before: dict[int, int] = {}
        self.parent: dict[tuple[int, bool], tuple[int, bool]] = {}
        self.work = 0

    def augment(self) -> bool:
        """Find one more path and rearrange the others; say whether there was one."""
        start = (self.read, True)
        parent = self.parent = {start: start}
        queue = deque([start])
        while queue:
            v, out = state = queue.popleft()
            if out:
                steps = [(t, False) for t in self.onward.get(v, ()) if t != self.read]
                if v in self.before:
                    steps.append((v, False))
            elif v not in self.before:
                steps = [(v, True)]
            else:
                steps = [(self.before[v], True)]
            self.work += len(steps)
            for step in steps:
                if step[0] == self.reader:
                    self._rearrange(state)
                    return True
                if step not in parent:
                    parent[step] = state
                    queue.append(step)
            if self.work > SEARCH_LIMIT:
                raise InputError(
                    f"the search for disjoint paths from {self.read:,} to {self.reader:,} looked along more than "
                    f"{SEARCH_LIMIT:,} edges: take actors closer together or a smaller n"
                )
        return False

    def _rearrange(self, state: tuple[int, bool]) -> None:
        added, removed = [], []
        while state != self.parent[state]:
            previous = self.parent[state]
            if previous[1] and not state[1] and previous[0] != state[0]:
                added.append((previous[0], state[0]))
            elif state[1] and not previous[1] and previous[0] != state[0]:
                removed.append(previous[0])
            state = previous
        for v in removed:
            del self.before[v]
        for u, v in added:
            self.before[v] = u


def _all_hubs(relation: Relation, cut: tuple[int, ...]) -> bool:
    if not cut:
        return False
    readers = np.zeros(relation.n, np.int64)
    for strip in relation.disjoint_strips:
        readers += strip.transposed().degrees()
    if relation.others and relation.loose_bound() <= EDGE_LIMIT:
        readers += np.bincount(relation.loose_pairs("a count of readers")[1], minlength=relation.n)
    return bool((readers[list(cut)] * 2 > relation.n).all())
