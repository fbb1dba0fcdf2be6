"""Strong articulation points and strong bridges of a directed graph, through dominator trees.

v dominates w from a root s when every path from s to w passes v. In a strongly connected graph with any root s, a
vertex other than s is a strong articulation point exactly when it dominates some other vertex in the graph or in the
reversed graph; s itself is one exactly when the graph without s is not strongly connected; and an edge is a strong
bridge exactly when it dominates some vertex in the graph or in the reversed graph
(Italiano, Laura, Santaroni: Finding strong bridges and strong articulation points in linear time, 2012).

The dominators are those of Lengauer and Tarjan (1979) with path compression, O(m log n); all loops are iterative.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chorus.audit.components import strong_components
from chorus.audit.graph import Graph, Ints, compress
from chorus.audit.kernel import kernel


def _lowest(v: int, ancestor: Ints, label: Ints, semi: Ints, stack: Ints) -> int:
    """Lengauer–Tarjan's EVAL: the vertex of least semidominator on the forest path above v, compressing the path."""
    if ancestor[v] < 0:
        return v
    depth = 0
    while ancestor[ancestor[v]] >= 0:
        stack[depth] = v
        depth += 1
        v = ancestor[v]
    while depth > 0:
        depth -= 1
        child = stack[depth]
        if semi[label[v]] < semi[label[child]]:
            label[child] = label[v]
        ancestor[child] = ancestor[v]
        v = child
    return int(label[v])


def _tree(root: int, optr: Ints, oto: Ints, iptr: Ints, ifrom: Ints, pre: Ints, order: Ints, idom: Ints) -> int:
    """Fill `pre` (-1: not reached), `order` and `idom` (in preorder numbers); return how many vertices are reached."""
    n = len(optr) - 1
    pre[:] = -1
    parent = np.zeros(n, np.int64)
    cursor = optr[:-1].copy()
    stack = np.zeros(n + 1, np.int64)
    stack[0], depth, count = root, 1, 1
    pre[root], order[0] = 0, root
    while depth > 0:
        v = stack[depth - 1]
        if cursor[v] == optr[v + 1]:
            depth -= 1
            continue
        w = oto[cursor[v]]
        cursor[v] += 1
        if pre[w] < 0:
            pre[w], order[count], parent[count] = count, w, pre[v]
            count += 1
            stack[depth] = w
            depth += 1
    semi = np.arange(count)
    label = np.arange(count)
    ancestor = np.full(count, -1, np.int64)
    bucket = np.full(count, -1, np.int64)
    next_in_bucket = np.full(count, -1, np.int64)
    idom[0] = 0
    for w in range(count - 1, 0, -1):
        vertex = order[w]
        for k in range(iptr[vertex], iptr[vertex + 1]):
            v = pre[ifrom[k]]
            if v >= 0:
                u = _lowest(v, ancestor, label, semi, stack)
                if semi[u] < semi[w]:
                    semi[w] = semi[u]
        next_in_bucket[w] = bucket[semi[w]]
        bucket[semi[w]] = w
        p = parent[w]
        ancestor[w] = p
        v = bucket[p]
        while v >= 0:
            u = _lowest(v, ancestor, label, semi, stack)
            idom[v] = u if semi[u] < semi[v] else p
            v = next_in_bucket[v]
        bucket[p] = -1
    for w in range(1, count):
        if idom[w] != semi[w]:
            idom[w] = idom[idom[w]]
    return count


@kernel(_lowest, _tree)
def _dominators(root: int, optr: Ints, oto: Ints, iptr: Ints, ifrom: Ints) -> tuple[Ints, Ints, int]:
    n = len(optr) - 1
    pre, order, tree = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    count = _tree(root, optr, oto, iptr, ifrom, pre, order, tree)
    idom = np.full(n, -1, np.int64)
    for w in range(count):
        idom[order[w]] = order[tree[w]]
    return idom, order, count


def immediate_dominators(graph: Graph, root: int) -> Ints:
    """Return the immediate dominator of every vertex from `root`.

    Returns:
        (n,) int64: the immediate dominator; the root's own is the root; -1 where the root does not reach.

    Example:
        >>> immediate_dominators(Graph.of(4, [(0, 1), (0, 2), (1, 3), (2, 3)]), 0).tolist()
        [0, 0, 0, 0]

    """
    run = _dominators.for_work(graph.n + graph.arcs)
    return run(root, graph.out.ptr, graph.out.to, graph.back.ptr, graph.back.to)[0]


@kernel(_lowest, _tree)
def _marks(
    root: int, optr: Ints, oto: Ints, iptr: Ints, ifrom: Ints, iedge: Ints, m: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Vertices that dominate another vertex, and edges that do, from `root`."""
    n = len(optr) - 1
    vertex_mark, edge_mark = np.zeros(n, np.bool_), np.zeros(m, np.bool_)
    pre, order, tree = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    count = _tree(root, optr, oto, iptr, ifrom, pre, order, tree)
    # Intervals of the dominator tree: w dominates x exactly when first[w] <= first[x] < first[w] + size[w].
    size = np.ones(count, np.int64)
    for w in range(count - 1, 0, -1):
        size[tree[w]] += size[w]
    first, used = np.zeros(count, np.int64), np.ones(count, np.int64)
    for w in range(1, count):
        first[w] = first[tree[w]] + used[tree[w]]
        used[tree[w]] += size[w]
    for w in range(1, count):
        vertex_mark[order[tree[w]]] = True
        # The edge idom(w) -> w is a bridge when every other way into w starts below w: from below, a path has been
        # through w already. A second, parallel edge is such a way.
        ways, bridge = 0, -1
        vertex = order[w]
        for k in range(iptr[vertex], iptr[vertex + 1]):
            v = pre[ifrom[k]]
            if v >= 0 and not first[w] <= first[v] < first[w] + size[w]:
                ways += 1
                if v == tree[w]:
                    bridge = iedge[k]
        if ways == 1 and bridge >= 0:
            edge_mark[bridge] = True
    return vertex_mark, edge_mark


def strong_articulation_points_and_bridges(graph: Graph) -> tuple[Ints, Ints]:
    """Vertices and edges of a directed graph whose removal leaves more strongly connected components than before.

    Returns:
        Vertex numbers and edge numbers, each sorted. Time O(m log n), memory O(n + m).

    Source:
        Italiano, Laura, Santaroni, Theoretical Computer Science 447 (2012).

    Example:
        A chain 0 – 1 – 2 – 3 that runs both ways, and a shortcut from 2 to 0.

        >>> edges = [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0), (2, 3), (3, 2)]
        >>> points, bridges = strong_articulation_points_and_bridges(Graph.of(4, edges))
        >>> points.tolist(), bridges.tolist()
        ([1, 2], [0, 2, 5, 6])

    """
    component = strong_components(graph)
    number = np.flatnonzero(component[graph.edges[:, 0]] == component[graph.edges[:, 1]])
    number = number[graph.edges[number, 0] != graph.edges[number, 1]]
    # One search serves all components: a vertex n stands above one root of each, and enters nothing else.
    roots = np.unique(component, return_index=True)[1].astype(np.int64)
    tail = np.concatenate([graph.edges[number, 0], np.full(len(roots), graph.n)])
    head = np.concatenate([graph.edges[number, 1], roots])
    name = np.concatenate([number, np.full(len(roots), -1)])
    points, bridges = np.zeros(graph.n + 1, np.bool_), np.zeros(graph.m, np.bool_)
    run = _marks.for_work(graph.n + graph.arcs)
    for start, end in ((tail, head), (head, tail)):
        start, end = np.where(name < 0, tail, start), np.where(name < 0, head, end)  # the roots stay below vertex n
        out, back = compress(graph.n + 1, start, end, name), compress(graph.n + 1, end, start, name)
        vertex_mark, edge_mark = run(graph.n, out.ptr, out.to, back.ptr, back.to, back.edge, graph.m)
        points |= vertex_mark
        bridges |= edge_mark
    # A root dominates all of its component, so it is judged on its own: does the rest stay strong without it?
    points[roots] = False
    rest = strong_components(Graph(graph.n, graph.edges[number], True).without(roots))
    others = np.setdiff1d(np.arange(graph.n), roots)
    pieces = np.unique(np.stack([component[others], rest[others]], axis=1), axis=0)[:, 0]
    broken = np.bincount(pieces, minlength=len(roots)) > 1
    points[roots[broken[component[roots]]]] = True
    return np.flatnonzero(points[: graph.n]), np.flatnonzero(bridges)
