"""What flows from where to where: reach, need, distance and betweenness over pairs of source and sink.

A *decision* is an ordered pair (source, sink) of different elements that the graph connects. Where nothing is
declared, every element is a source and a sink.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chorus.audit.dominators import _lowest, _tree
from chorus.audit.graph import Graph, Ints
from chorus.audit.kernel import kernel

Floats = NDArray[np.float64]
Z = 1.96  # two-sided 95 % of a normal distribution
BUDGET = 100_000_000  # elementary steps for one analysis, some seconds; above it, sources are sampled


@kernel(_lowest, _tree)
def _decide(
    sources: Ints, is_sink: NDArray[np.bool_], optr: Ints, oto: Ints, iptr: Ints, ifrom: Ints, hops: int
) -> tuple[Ints, Ints, Floats, Ints, Floats]:
    n = len(optr) - 1
    need, reached_by = np.zeros(n, np.int64), np.zeros(n, np.int64)
    reach, near = np.zeros(len(sources), np.int64), np.zeros(len(sources), np.int64)
    closeness, need_share2, peak = np.zeros(len(sources)), np.zeros(n), np.zeros(n)
    pre, order, tree = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    below, distance, queue = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    for i in range(len(sources)):
        s = sources[i]
        count = _tree(s, optr, oto, iptr, ifrom, pre, order, tree)
        for w in range(count):
            below[w] = 1 if is_sink[order[w]] else 0
        for w in range(count - 1, 0, -1):
            own = 1 if is_sink[order[w]] else 0
            need[order[w]] += below[w] - own  # the sinks strictly below w in the dominator tree need w
            need_share2[order[w]] += (below[w] - own) ** 2
            peak[order[w]] = max(peak[order[w]], below[w] - own)
            reached_by[order[w]] += 1
            below[tree[w]] += below[w]
        reach[i] = below[0] - (1 if is_sink[s] else 0)
        distance[:] = -1
        distance[s], queue[0], head, tail = 0, s, 0, 1
        while head < tail:
            v = queue[head]
            head += 1
            if v != s and is_sink[v]:
                closeness[i] += 1.0 / distance[v]
                if distance[v] <= hops:
                    near[i] += 1
            for k in range(optr[v], optr[v + 1]):
                w = oto[k]
                if distance[w] < 0:
                    distance[w] = distance[v] + 1
                    queue[tail] = w
                    tail += 1
    return need, reached_by, np.stack((need_share2, peak)), near, np.stack((reach.astype(np.float64), closeness))


@dataclass(frozen=True, eq=False)
class Decisions:
    """Counts over the pairs of source and sink; exact where `sampled` is None.

    Attributes:
        pairs: ordered pairs of a counted source and another element that is a sink.
        connected: those of them that the graph connects.
        need: (n,) for each element, the connected pairs that are cut when it is removed, being an end of none.
        through: (n,) the connected pairs of which it is no end.
        near: connected pairs at most `hops` edges apart.
        efficiency: mean of 1/distance over all pairs, an unconnected pair counting 0 (Latora and Marchiori 2001).
        sampled: number of sources that were drawn, or None when all were used.
        connected_margin, need_margin: half the width of the 95 % interval of the shares, 0 when exact.

    """

    pairs: int
    connected: int
    need: Ints
    through: Ints
    near: int
    hops: int
    efficiency: float
    sampled: int | None
    connected_margin: float
    need_margin: Floats

    @property
    def connected_share(self) -> float:
        """Return the share of the pairs that the graph connects."""
        return self.connected / max(self.pairs, 1)

    @property
    def need_share(self) -> Floats:
        """(n,): share of the connected pairs that need the element."""
        return self.need / max(self.connected, 1)

    @property
    def kept(self) -> Floats:
        """(n,): f(G − v)/f(G), the share of the connected pairs between others that outlive the element's removal."""
        return np.where(self.through > 0, 1 - self.need / np.maximum(self.through, 1), 1.0)


def decisions(
    graph: Graph, sources: Ints | None = None, sinks: Ints | None = None, *, hops: int | None = None,
    seed: int = 0, budget: int = BUDGET
) -> Decisions:  # fmt: skip
    """Count who reaches whom, whom that needs, and how far apart they are.

    One dominator tree and one breadth-first search for each source: O(|sources| m log n). Above `budget` steps,
    sources are drawn at random, and the margins say what that leaves open.

    Args:
        graph: any graph.
        sources: vertex numbers, all when None.
        sinks: vertex numbers, all when None.
        hops: what counts as near; ⌈log2 n⌉ when None.
        seed: of the draw.
        budget: elementary steps allowed.

    Example:
        In a star, the hub is needed for every pair of leaves.

        >>> star = decisions(Graph.of(4, [(0, 1), (0, 2), (0, 3)], directed=False))
        >>> star.pairs, star.connected, star.need.tolist()
        (12, 12, [6, 0, 0, 0])

    """
    n = graph.n
    everyone = np.arange(n, dtype=np.int64)
    sources = everyone if sources is None else np.asarray(sources, np.int64)
    sinks = everyone if sinks is None else np.asarray(sinks, np.int64)
    hops = max(1, int(np.ceil(np.log2(n)))) if hops is None else hops
    is_sink = np.zeros(n, np.bool_)
    is_sink[sinks] = True
    each = n + 3 * graph.arcs
    drawn = _draw(sources, each, seed, budget)
    need, reached_by, (squares, peak), near, (reach, closeness) = _decide.for_work(3 * len(drawn) * each)(
        drawn, is_sink, graph.out.ptr, graph.out.to, graph.back.ptr, graph.back.to, hops
    )
    of_each = len(sinks) - is_sink[drawn]
    pairs, connected = int(of_each.sum()), int(reach.sum())
    as_source = np.zeros(n, np.int64)
    as_source[drawn] = reach.astype(np.int64)
    through = connected - as_source - np.where(is_sink, reached_by, 0)
    k = len(drawn)
    connected_margin, need_margin = 0.0, np.zeros(n)
    if k < len(sources):
        connected_margin = Z * float((reach / np.maximum(of_each, 1)).std(ddof=1)) / k**0.5
        need_margin = _margin(need / k, squares / k, peak, k) / max(connected / k, 1)
    return Decisions(
        pairs, connected, need, through, int(near.sum()), hops, float(closeness.sum()) / max(pairs, 1),
        k if k < len(sources) else None, connected_margin, need_margin,
    )  # fmt: skip


def _draw(sources: Ints, each: int, seed: int, budget: int) -> Ints:
    """Return the sources that `budget` steps suffice for, at least 30: all, or some drawn at random."""
    room = max(30, budget // max(each, 1))
    if room >= len(sources):
        return sources
    return np.sort(np.random.default_rng(seed).choice(sources, room, replace=False))


@kernel()
def _lost(sources: Ints, is_sink: NDArray[np.bool_], gone: int, ptr: Ints, to: Ints) -> tuple[int, int]:
    """Count the connected pairs of these sources, and those of them that `gone` is no end of and that need it."""
    n = len(ptr) - 1
    lost, connected = 0, 0
    seen, queue = np.full(n, -1, np.int64), np.zeros(n, np.int64)
    for i in range(len(sources)):
        s = sources[i]
        for without in range(2):
            mark = 2 * i + without
            if without == 1:
                if s == gone or seen[gone] != mark - 1:
                    break
                seen[gone] = mark
            seen[s], queue[0], head, tail, reached = mark, s, 0, 1, 0
            while head < tail:
                v = queue[head]
                head += 1
                if v != s and is_sink[v]:
                    reached += 1
                for k in range(ptr[v], ptr[v + 1]):
                    w = to[k]
                    if seen[w] != mark:
                        seen[w] = mark
                        queue[tail] = w
                        tail += 1
            if without == 0:
                connected += reached
                full = reached
            else:
                lost += full - reached - (1 if is_sink[gone] else 0)
    return lost, connected


def need_of(
    graph: Graph, vertex: int, sources: Ints | None = None, sinks: Ints | None = None, *, seed: int = 0,
    budget: int = BUDGET
) -> float:  # fmt: skip
    """Return the share of the connected pairs that need one vertex, over the sources that `decisions` would draw.

    Two breadth-first searches for each source, with the vertex and without it.

    Example:
        >>> need_of(Graph.of(4, [(0, 1), (0, 2), (0, 3)], directed=False), 0)
        0.5

    """
    everyone = np.arange(graph.n, dtype=np.int64)
    is_sink = np.zeros(graph.n, np.bool_)
    is_sink[everyone if sinks is None else sinks] = True
    drawn = _draw(everyone if sources is None else sources, graph.n + 3 * graph.arcs, seed, budget)
    run = _lost.for_work(2 * len(drawn) * (graph.n + graph.arcs))
    lost, connected = run(drawn, is_sink, vertex, graph.out.ptr, graph.out.to)
    return lost / max(connected, 1)


def _margin(mean: Floats, mean_square: Floats, peak: Floats, k: int) -> Floats:
    """Half a 95 % interval of a mean over k drawn sources.

    Flow by source is skewed: a few sources may send everything through an element that the others never use. So the
    rule of three is added to the normal interval: what no draw has shown is rarer than 3/k (95 %), and is taken to be
    no larger than the largest seen. On a scale-free graph that covers 9 of 10 (tests/audit/test_sampling.py).
    """
    return Z * np.sqrt(np.maximum(mean_square - mean**2, 0) / k) + 3 * peak / k


@kernel()
def _flow(
    sources: Ints, is_sink: NDArray[np.bool_], blocked: NDArray[np.bool_], ptr: Ints, to: Ints
) -> tuple[Floats, Floats, float, float]:
    """Shortest-path flow through each vertex on the paths that pass no blocked vertex between their ends.

    Every connected pair sends one unit, shared equally by its shortest paths (Brandes 2001, Algorithm 1). Returns the
    flow through each vertex, its squares and peaks by source, what no blocked vertex covers, and the connected pairs.
    """
    n = len(ptr) - 1
    through, squares = np.zeros(n), np.zeros((2, n))  # squares, and the most from one source
    uncovered, connected = 0.0, 0.0
    distance, queue = np.zeros(n, np.int64), np.zeros(n, np.int64)
    paths, free, share = np.zeros(n), np.zeros(n), np.zeros(n)
    for i in range(len(sources)):
        s = sources[i]
        distance[:] = -1
        paths[:] = 0
        free[:] = 0
        share[:] = 0
        distance[s], paths[s], free[s], queue[0], head, tail = 0, 1.0, 1.0, s, 0, 1
        while head < tail:
            v = queue[head]
            head += 1
            for k in range(ptr[v], ptr[v + 1]):
                w = to[k]
                if distance[w] < 0:
                    distance[w] = distance[v] + 1
                    queue[tail] = w
                    tail += 1
                if distance[w] == distance[v] + 1:
                    paths[w] += paths[v]
                    if v == s or not blocked[v]:
                        free[w] += free[v]
        for j in range(tail - 1, 0, -1):
            v = queue[j]
            if is_sink[v]:
                uncovered += free[v] / paths[v]
                connected += 1.0
            for k in range(ptr[v], ptr[v + 1]):
                w = to[k]
                if distance[w] == distance[v] + 1:
                    if is_sink[w]:
                        share[v] += 1.0 / paths[w]
                    if not blocked[w]:
                        share[v] += share[w]
            if not blocked[v]:
                flow = free[v] * share[v]
                through[v] += flow
                squares[0, v] += flow * flow
                squares[1, v] = max(squares[1, v], flow)
    return through, squares, uncovered, connected


@dataclass(frozen=True, eq=False)
class Betweenness:
    """Shortest-path flow through each element: every connected pair sends one unit.

    `through[v]` sums the share of shortest paths that pass v between their ends; `margin` is half the width of its
    95 % interval (0 when exact); `sampled` the number of sources drawn, or None; `connected` the connected pairs.
    """

    through: Floats
    margin: Floats
    connected: float
    sampled: int | None


def betweenness(
    graph: Graph, sources: Ints | None = None, sinks: Ints | None = None, *, seed: int = 0, budget: int = BUDGET
) -> Betweenness:
    """Exact betweenness over the pairs of source and sink, or sampled with an interval above `budget` steps.

    Parallel edges count once. Not normalised: for an undirected graph and no declared ends it is twice networkx's
    `betweenness_centrality(normalized=False)`, which counts unordered pairs.

    Source:
        Brandes, Journal of Mathematical Sociology 25 (2001); sampling: Brandes and Pich (2007).

    Example:
        >>> betweenness(Graph.of(3, [(0, 1), (1, 2)], directed=False)).through.tolist()
        [0.0, 2.0, 0.0]

    """
    graph = Graph(graph.n, graph.distinct, graph.directed)
    sources = np.arange(graph.n, dtype=np.int64) if sources is None else np.asarray(sources, np.int64)
    is_sink = np.zeros(graph.n, np.bool_)
    is_sink[slice(None) if sinks is None else sinks] = True
    each = graph.n + 2 * graph.arcs
    drawn = _draw(sources, each, seed, budget)
    scale, k = len(sources) / max(len(drawn), 1), len(drawn)
    through, (squares, peak), _, connected = _flow.for_work(3 * k * each)(
        drawn, is_sink, np.zeros(graph.n, np.bool_), graph.out.ptr, graph.out.to
    )
    margin = np.zeros(graph.n)
    if k < len(sources):
        margin = len(sources) * _margin(through / k, squares / k, peak, k)
    return Betweenness(through * scale, margin, connected * scale, k if k < len(sources) else None)


@dataclass(frozen=True)
class Waist:
    """Few elements that most of the shortest paths pass.

    `minimal` says that no smaller set can cover as much: the flow of one size less, added up without regard to
    overlap, stays below the wanted share. Otherwise the set is what greedy choice found.
    """

    elements: tuple[int, ...]
    covered: float
    wanted: float
    minimal: bool


def waist(
    graph: Graph, sources: Ints, sinks: Ints, *, share: float = 0.9, largest: int = 16, seed: int = 0,
    budget: int = BUDGET
) -> Waist | None:  # fmt: skip
    """Return the smallest set of elements found that covers `share` of the shortest paths from sources to sinks.

    An element covers a path when it lies between its ends. Greedy: each step takes the element that covers most of
    what is left, which reaches at least 1 − 1/e of what the best set of that size covers (Nemhauser et al. 1978).

    Returns:
        None when `largest` elements do not cover the share (paths of one edge have nothing between their ends).

    Example:
        Everything from 0 and 1 to 3 and 4 passes 2.

        >>> waist(Graph.of(5, [(0, 2), (1, 2), (2, 3), (2, 4)]), np.array([0, 1]), np.array([3, 4])).elements
        (2,)

    """
    graph = Graph(graph.n, graph.distinct, graph.directed)
    is_sink = np.zeros(graph.n, np.bool_)
    is_sink[sinks] = True
    each = graph.n + 2 * graph.arcs
    sources = _draw(sources, each, seed, budget // largest)
    run = _flow.for_work(3 * largest * len(sources) * each)
    blocked = np.zeros(graph.n, np.bool_)
    chosen: list[int] = []
    first: Floats | None = None
    while True:
        through, _, uncovered, connected = run(np.asarray(sources), is_sink, blocked, graph.out.ptr, graph.out.to)
        if connected == 0:
            return None
        first = np.sort(through)[::-1] / connected if first is None else first
        covered = 1 - uncovered / connected
        if covered >= share - 1e-12:
            return Waist(tuple(chosen), covered, share, bool(first[: len(chosen) - 1].sum() < share - 1e-12))
        best = int(np.argmax(through))
        if len(chosen) == largest or through[best] <= 1e-12:
            return None
        chosen.append(best)
        blocked[best] = True
