"""Attack curves: how the largest component shrinks while elements are taken away one after the other.

The curve is computed backwards. Taking elements away and recounting costs O(n (n + m)); putting them back in reverse
order is one union–find pass, O(m α(n)) (Newman and Ziff, Physical Review Letters 85, 2000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chorus.audit.graph import Graph, Ints
from chorus.audit.kernel import kernel

Floats = NDArray[np.float64]


@kernel()
def _regrow(order: Ints, ptr: Ints, to: Ints) -> Ints:
    n = len(order)
    largest = np.zeros(n + 1, np.int64)
    root = np.full(n, -1, np.int64)  # -1: still removed
    size = np.ones(n, np.int64)
    best = 0
    for k in range(n - 1, -1, -1):
        v = order[k]
        root[v] = v
        best = max(best, 1)
        for j in range(ptr[v], ptr[v + 1]):
            w = to[j]
            if root[w] < 0:
                continue
            while root[w] != w:
                root[w] = root[root[w]]
                w = root[w]
            u = v
            while root[u] != u:
                root[u] = root[root[u]]
                u = root[u]
            if u != w:
                if size[u] < size[w]:
                    u, w = w, u
                root[w] = u
                size[u] += size[w]
                best = max(best, size[u])
        largest[k] = best
    return largest


@kernel()
def _by_current_degree(ptr: Ints, to: Ints) -> Ints:
    """Take always the vertex with most neighbours left, found in buckets: O(n + m) in all."""
    n = len(ptr) - 1
    degree = ptr[1:] - ptr[:-1]
    most = 0
    for v in range(n):
        most = max(most, degree[v])
    head = np.full(most + 1, -1, np.int64)
    after, before = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    for v in range(n - 1, -1, -1):
        after[v] = head[degree[v]]
        if head[degree[v]] >= 0:
            before[head[degree[v]]] = v
        head[degree[v]] = v
    gone = np.zeros(n, np.bool_)
    order = np.empty(n, np.int64)
    for k in range(n):
        while head[most] < 0:
            most -= 1
        v = head[most]
        head[most] = after[v]
        if after[v] >= 0:
            before[after[v]] = -1
        gone[v] = True
        order[k] = v
        for j in range(ptr[v], ptr[v + 1]):
            w = to[j]
            if gone[w]:
                continue
            d = degree[w]
            if before[w] >= 0:
                after[before[w]] = after[w]
            else:
                head[d] = after[w]
            if after[w] >= 0:
                before[after[w]] = before[w]
            degree[w] = d - 1
            before[w], after[w] = -1, head[d - 1]
            if head[d - 1] >= 0:
                before[head[d - 1]] = w
            head[d - 1] = w
    return order


@dataclass(frozen=True)
class AttackCurve:
    """The share of elements in the largest component after 0, 1, …, n removals, and the area under it.

    `robustness` is R = (1/n) Σ_{q=1..n} S(q), between 1/n and 1/2 (Schneider et al., PNAS 108, 2011); `spread` is the
    standard deviation of R over the repeats of a random attack, and None for the others.
    """

    strategy: str
    share: Floats
    robustness: float
    spread: float | None = None

    def at(self, removed: float) -> float:
        """Return the largest component's share once this share of the elements (rounded to whole ones) is gone."""
        return float(self.share[round(removed * (len(self.share) - 1))])


def attack_order(graph: Graph, strategy: str, generator: np.random.Generator | None = None) -> Ints:
    """Return the order in which elements fall: by `degree`, `adaptive` (recounted after each) or `random`.

    Equal degrees fall in the order of their numbers for `degree`.
    """
    if strategy == "degree":
        return np.lexsort((np.arange(graph.n), -graph.degree)).astype(np.int64)
    simple = graph.simple_undirected()
    if strategy == "adaptive":
        return _by_current_degree.for_work(4 * (simple.n + simple.arcs))(simple.out.ptr, simple.out.to)
    if strategy == "random" and generator is not None:
        return generator.permutation(graph.n).astype(np.int64)
    raise ValueError(f"no attack {strategy!r}; there are degree, adaptive and random (which needs a generator)")


def attack_curve(graph: Graph, strategy: str, *, seed: int = 0, repeats: int = 20) -> AttackCurve:
    """How the largest component (directions ignored) shrinks under one attack.

    Args:
        graph: any graph.
        strategy: `degree`, `adaptive` or `random`.
        seed: of the random attack.
        repeats: random attacks to average.

    Source:
        Albert, Jeong, Barabási, Nature 406 (2000); Schneider et al., PNAS 108 (2011) for R.

    Example:
        A star dies with its hub.

        >>> attack_curve(Graph.of(4, [(0, 1), (0, 2), (0, 3)]), "degree").share.tolist()
        [1.0, 0.25, 0.25, 0.25, 0.0]

    """
    simple = graph.simple_undirected()
    adjacency = simple.out
    times = repeats if strategy == "random" else 1
    regrow = _regrow.for_work(4 * times * (simple.n + simple.arcs))
    generator = np.random.default_rng(seed)
    curves = np.stack(
        [regrow(attack_order(graph, strategy, generator), adjacency.ptr, adjacency.to) / graph.n for _ in range(times)]
    )
    robustness = curves[:, 1:].sum(axis=1) / graph.n
    spread = float(robustness.std(ddof=1)) if times > 1 else None
    return AttackCurve(strategy, curves.mean(axis=0), float(robustness.mean()), spread)
