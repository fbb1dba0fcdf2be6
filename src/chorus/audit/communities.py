"""Groups that are denser inside than between: the Louvain method in arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chorus.audit.graph import Graph, Ints, compress
from chorus.audit.kernel import kernel

Floats = NDArray[np.float64]


@kernel()
def _move(order: Ints, ptr: Ints, to: Ints, weight: Floats, strength: Floats, double: float) -> Ints:
    """Move vertices one by one to the neighbouring group that raises modularity most, until none moves.

    `strength` is what all edges of a vertex carry, those inside it counted twice; `double` is the sum over all.
    """
    n = len(ptr) - 1
    group, total = np.arange(n), strength.copy()
    linked, seen = np.zeros(n), np.zeros(n, np.int64)
    moved = True
    while moved:
        moved = False
        for v in order:
            count = 0
            for k in range(ptr[v], ptr[v + 1]):
                g = group[to[k]]
                if linked[g] == 0:
                    seen[count] = g
                    count += 1
                linked[g] += weight[k]
            own = group[v]
            total[own] -= strength[v]
            best, most = own, linked[own] - total[own] * strength[v] / double
            for k in range(count):
                g = seen[k]
                gain = linked[g] - total[g] * strength[v] / double
                if gain > most + 1e-9:  # a move must win something, or rounding could move a vertex for ever
                    best, most = g, gain
                linked[g] = 0
            total[best] += strength[v]
            if best != own:
                group[v] = best
                moved = True
    return group


def communities(graph: Graph, *, seed: int = 0) -> list[Ints]:
    """Return groups that are denser inside than between, the largest first; every vertex is in one.

    Vertices move to the group where modularity gains most; then each group becomes a vertex, and so on until nothing
    moves. Directions and parallel edges are ignored. Time O(m) for each of the few passes.

    Args:
        graph: any graph.
        seed: of the order in which vertices are looked at.

    Source:
        Blondel, Guillaume, Lambiotte and Lefebvre, Journal of Statistical Mechanics P10008 (2008).

    Example:
        >>> pair = Graph.of(6, [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3)], directed=False)
        >>> [group.tolist() for group in communities(pair)]
        [[0, 1, 2], [3, 4, 5]]

    """
    simple, generator = graph.simple_undirected(), np.random.default_rng(seed)
    member = np.arange(graph.n)
    tail, head = (np.concatenate([simple.edges[:, a], simple.edges[:, b]]) for a, b in ((0, 1), (1, 0)))
    weight = np.ones(len(tail))
    strength = np.bincount(tail, minlength=graph.n).astype(np.float64)
    while len(tail):
        rows = compress(len(strength), tail, head, np.arange(len(tail)))
        run = _move.for_work(40 * len(tail))
        found = run(
            generator.permutation(len(strength)), rows.ptr, rows.to, weight[rows.edge], strength, float(strength.sum())
        )
        names, group = np.unique(found, return_inverse=True)
        if len(names) == len(strength):
            break
        member = group[member]
        strength = np.bincount(group, strength, len(names)).astype(np.float64)
        pairs, which = np.unique(group[tail] * len(names) + group[head], return_inverse=True)
        weight = np.bincount(which, weight, len(pairs)).astype(np.float64)
        tail, head = pairs // len(names), pairs % len(names)
        between = tail != head
        tail, head, weight = tail[between], head[between], weight[between]
    order = np.argsort(member, kind="stable")
    ends = np.cumsum(np.bincount(member))[:-1]
    return sorted(np.split(order, ends), key=lambda each: (-len(each), int(each[0])))
