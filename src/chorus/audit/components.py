"""Components, undirected articulation points and bridges, and the k-core: one pass each."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from chorus.audit.graph import Graph, Ints
from chorus.audit.kernel import kernel


@kernel()
def _tarjan(ptr: Ints, to: Ints) -> Ints:
    """Strongly connected components (Tarjan 1972), numbered in reverse topological order."""
    n = len(ptr) - 1
    component = np.full(n, -1, np.int64)
    index = np.full(n, -1, np.int64)
    low = np.zeros(n, np.int64)
    cursor = ptr[:-1].copy()
    path, open_ = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    clock, components, waiting = 0, 0, 0
    for start in range(n):
        if index[start] >= 0:
            continue
        path[0], depth = start, 1
        index[start] = low[start] = clock
        clock += 1
        open_[waiting] = start
        waiting += 1
        while depth > 0:
            v = path[depth - 1]
            if cursor[v] < ptr[v + 1]:
                w = to[cursor[v]]
                cursor[v] += 1
                if index[w] < 0:
                    index[w] = low[w] = clock
                    clock += 1
                    open_[waiting] = w
                    waiting += 1
                    path[depth] = w
                    depth += 1
                elif component[w] < 0 and index[w] < low[v]:
                    low[v] = index[w]
                continue
            depth -= 1
            if depth > 0 and low[v] < low[path[depth - 1]]:
                low[path[depth - 1]] = low[v]
            if low[v] == index[v]:
                while True:
                    waiting -= 1
                    w = open_[waiting]
                    component[w] = components
                    if w == v:
                        break
                components += 1
    return component


def strong_components(graph: Graph) -> Ints:
    """Component number of each vertex; an edge never leads to a higher number (Tarjan 1972).

    Example:
        >>> strong_components(Graph.of(3, [(0, 1), (1, 0), (1, 2)])).tolist()
        [1, 1, 0]

    """
    return _tarjan.for_work(graph.n + graph.arcs)(graph.out.ptr, graph.out.to)


def weak_components(graph: Graph) -> Ints:
    """Component number of each vertex when directions are ignored."""
    return strong_components(graph.undirected())


@kernel()
def _low_points(ptr: Ints, to: Ints, edge: Ints, m: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Articulation points and bridges by low points (Hopcroft and Tarjan 1973), parallel edges told apart."""
    n = len(ptr) - 1
    cut_vertex, cut_edge = np.zeros(n, np.bool_), np.zeros(m, np.bool_)
    index = np.full(n, -1, np.int64)
    low, arrived = np.zeros(n, np.int64), np.full(n, -1, np.int64)
    cursor = ptr[:-1].copy()
    path = np.zeros(n + 1, np.int64)
    clock = 0
    for start in range(n):
        if index[start] >= 0:
            continue
        path[0], depth, root_children = start, 1, 0
        index[start] = low[start] = clock
        clock += 1
        while depth > 0:
            v = path[depth - 1]
            if cursor[v] < ptr[v + 1]:
                w, e = to[cursor[v]], edge[cursor[v]]
                cursor[v] += 1
                if index[w] < 0:
                    index[w] = low[w] = clock
                    clock += 1
                    arrived[w] = e
                    path[depth] = w
                    depth += 1
                elif e != arrived[v] and index[w] < low[v]:  # the same edge back is no second way; a parallel one is
                    low[v] = index[w]
                continue
            depth -= 1
            if depth == 0:
                break
            parent = path[depth - 1]
            if low[v] < low[parent]:
                low[parent] = low[v]
            if low[v] > index[parent]:
                cut_edge[arrived[v]] = True
            if depth == 1:
                root_children += 1
            elif low[v] >= index[parent]:
                cut_vertex[parent] = True
        if root_children > 1:
            cut_vertex[start] = True
    return cut_vertex, cut_edge


def articulation_points_and_bridges(graph: Graph) -> tuple[Ints, Ints]:
    """Vertices and edges whose removal leaves more components than before, directions ignored.

    Returns:
        Vertex numbers and edge numbers, each sorted. A parallel edge is never a bridge. Time O(n + m).

    Source:
        Hopcroft and Tarjan, Communications of the ACM 16 (1973).

    Example:
        >>> points, bridges = articulation_points_and_bridges(Graph.of(3, [(0, 1), (1, 2), (2, 1)]))
        >>> points.tolist(), bridges.tolist()
        ([1], [0])

    """
    both = graph.undirected()
    points, bridges = _low_points.for_work(both.n + both.arcs)(both.out.ptr, both.out.to, both.out.edge, both.m)
    return np.flatnonzero(points), np.flatnonzero(bridges)


@kernel()
def _peel(ptr: Ints, to: Ints) -> Ints:
    """Core numbers by bucket peeling (Batagelj and Zaversnik 2003)."""
    n = len(ptr) - 1
    degree = ptr[1:] - ptr[:-1]
    most = 0
    for v in range(n):
        most = max(most, degree[v])
    start = np.zeros(most + 2, np.int64)
    for v in range(n):
        start[degree[v] + 1] += 1
    for d in range(most + 1):
        start[d + 1] += start[d]
    position, order, free = np.zeros(n, np.int64), np.zeros(n, np.int64), start.copy()
    for v in range(n):
        position[v] = free[degree[v]]
        order[position[v]] = v
        free[degree[v]] += 1
    for k in range(n):
        v = order[k]
        for j in range(ptr[v], ptr[v + 1]):
            w = to[j]
            if degree[w] > degree[v]:
                # Move w to the front of its bucket, then let it fall into the bucket below.
                first = start[degree[w]]
                u = order[first]
                order[position[w]], order[first] = u, w
                position[u], position[w] = position[w], first
                start[degree[w]] += 1
                degree[w] -= 1
    return degree


def core_numbers(graph: Graph) -> Ints:
    """Return for each vertex the largest k whose k-core holds it (Seidman 1983), directions ignored.

    Example:
        >>> core_numbers(Graph.of(4, [(0, 1), (1, 2), (2, 0), (2, 3)])).tolist()
        [2, 2, 2, 1]

    """
    simple = graph.simple_undirected()
    return _peel.for_work(simple.n + simple.arcs)(simple.out.ptr, simple.out.to)


@kernel()
def _spread(starts: Ints, ptr: Ints, to: Ints, blocked: NDArray[np.bool_]) -> Ints:
    n = len(ptr) - 1
    distance, queue, head, tail = np.full(n, -1, np.int64), np.zeros(n, np.int64), 0, 0
    for s in starts:
        if not blocked[s] and distance[s] < 0:
            distance[s], queue[tail] = 0, s
            tail += 1
    while head < tail:
        v = queue[head]
        head += 1
        for k in range(ptr[v], ptr[v + 1]):
            w = to[k]
            if distance[w] < 0 and not blocked[w]:
                distance[w] = distance[v] + 1
                queue[tail] = w
                tail += 1
    return distance


def distances(graph: Graph, starts: Iterable[int], removed: Iterable[int] = ()) -> Ints:
    """(n,) edges from the nearest of `starts` to each vertex when `removed` is gone; -1 where nothing leads.

    Example:
        >>> distances(Graph.of(3, [(0, 1), (1, 2)]), [0]).tolist()
        [0, 1, 2]

    """
    blocked = np.zeros(graph.n, np.bool_)
    blocked[list(removed)] = True
    run = _spread.for_work(graph.n + graph.arcs)
    return run(np.array(list(starts), np.int64), graph.out.ptr, graph.out.to, blocked)
