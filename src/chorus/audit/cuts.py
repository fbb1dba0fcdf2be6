"""Smallest sets of elements or links whose removal separates two sets, by maximum flow (Menger 1927)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chorus.audit.graph import Graph, Ints, compress
from chorus.audit.kernel import kernel

UNCUTTABLE = np.int64(2**40)


@kernel()
def _max_flow(
    source: int, sink: int, ptr: Ints, arc: Ints, to: Ints, room: Ints, limit: int
) -> tuple[int, NDArray[np.bool_]]:
    """Augment along shortest paths (Edmonds and Karp 1972) until none is left or the flow passes `limit`.

    Arc `a` and its residual twin `a ^ 1` stand side by side; `room` is what is left of each and is changed.
    """
    n = len(ptr) - 1
    arrived, queue = np.full(n, -1, np.int64), np.zeros(n, np.int64)
    seen = np.zeros(n, np.bool_)
    flow = 0
    while True:
        seen[:] = False
        seen[source], queue[0], head, tail = True, source, 0, 1
        while head < tail and not seen[sink]:
            v = queue[head]
            head += 1
            for k in range(ptr[v], ptr[v + 1]):
                a = arc[k]
                if room[a] > 0 and not seen[to[a]]:
                    seen[to[a]], arrived[to[a]] = True, a
                    queue[tail] = to[a]
                    tail += 1
        if not seen[sink] or flow > limit:
            return flow, seen
        least = room[arrived[sink]]
        v = sink
        while v != source:
            least = min(least, room[arrived[v]])
            v = to[arrived[v] ^ 1]
        v = sink
        while v != source:
            room[arrived[v]] -= least
            room[arrived[v] ^ 1] += least
            v = to[arrived[v] ^ 1]
        flow += least


@dataclass(frozen=True)
class Cut:
    """A smallest separating set: vertex numbers, or edge numbers when `of_links`."""

    members: tuple[int, ...]
    of_links: bool = False


def minimum_vertex_cut(
    graph: Graph, left: Ints, right: Ints, *, ends_may_fall: bool, limit: int = 64
) -> Cut | None:  # fmt: skip
    """Return a smallest set of elements without which nothing of `left` reaches anything of `right`.

    Args:
        graph: any graph.
        left: vertex numbers.
        right: vertex numbers.
        ends_may_fall: whether members of `left` and `right` may be in the cut (two groups), or not (sources, sinks).
        limit: give up above this size.

    Returns:
        None when there is no such set (an end of `left` is an end of `right`, or next to one, and may not fall), when
        nothing connects the two, or when it has more than `limit` elements.

    Example:
        Two triangles joined by two links have no articulation point, and fall apart with two elements.

        >>> pair = Graph.of(6, [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3), (1, 4)], directed=False)
        >>> len(minimum_vertex_cut(pair, np.array([0, 1, 2]), np.array([3, 4, 5]), ends_may_fall=True).members)
        2

    """
    n = graph.n
    tail = np.repeat(np.arange(n), np.diff(graph.out.ptr))
    # Vertex v is split into an entrance 2v and an exit 2v + 1; the arc between them is what a cut can take.
    capacity = np.ones(n, np.int64)
    if not ends_may_fall:
        capacity[left] = capacity[right] = UNCUTTABLE
    starts = np.concatenate([2 * np.arange(n), 2 * tail + 1, np.full(len(left), 2 * n), 2 * right + 1])
    ends = np.concatenate([2 * np.arange(n) + 1, 2 * graph.out.to, 2 * left, np.full(len(right), 2 * n + 1)])
    room = np.concatenate([capacity, np.full(len(starts) - n, UNCUTTABLE)])
    flow, seen = _run(2 * n + 2, starts, ends, room, 2 * n, 2 * n + 1, limit)
    if flow == 0 or flow > limit:
        return None
    return Cut(tuple(np.flatnonzero(seen[0 : 2 * n : 2] & ~seen[1 : 2 * n : 2]).tolist()))


def minimum_link_cut(graph: Graph, left: Ints, right: Ints, *, limit: int = 64) -> Cut | None:
    """Return a smallest set of edges without which nothing of `left` reaches anything of `right`; None as for vertices.

    Example:
        >>> minimum_link_cut(Graph.of(3, [(0, 1), (0, 1), (1, 2)]), np.array([0]), np.array([2])).members
        (2,)

    """
    n = graph.n
    tail = np.repeat(np.arange(n), np.diff(graph.out.ptr))
    starts = np.concatenate([tail, np.full(len(left), n), right])
    ends = np.concatenate([graph.out.to, left, np.full(len(right), n + 1)])
    room = np.concatenate([np.ones(len(tail), np.int64), np.full(len(left) + len(right), UNCUTTABLE)])
    flow, seen = _run(n + 2, starts, ends, room, n, n + 1, limit)
    if flow == 0 or flow > limit:
        return None
    crossing = seen[tail] & ~seen[graph.out.to]
    return Cut(tuple(sorted(set(graph.out.edge[crossing].tolist()))), of_links=True)


def _run(
    n: int, starts: Ints, ends: Ints, room: Ints, source: int, sink: int, limit: int
) -> tuple[int, NDArray[np.bool_]]:
    starts, ends = np.stack([starts, ends], axis=1).ravel(), np.stack([ends, starts], axis=1).ravel()
    room = np.stack([room, np.zeros_like(room)], axis=1).ravel()
    adjacency = compress(n, starts, ends, np.arange(len(starts)))
    run = _max_flow.for_work(8 * len(starts))
    return run(source, sink, adjacency.ptr, adjacency.edge, ends, room, limit)
