"""Figures of network neuroscience: small-worldness, modularity, participation, rich club, against random graphs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chorus.audit.graph import Graph, Ints
from chorus.audit.nulls import rewired
from chorus.audit.paths import decisions

SAMPLES = 5


def clustering(graph: Graph) -> float:
    """Return the mean share of an element's neighbour pairs that are linked themselves (Watts and Strogatz 1998)."""
    simple = graph.simple_undirected()
    near = [set(simple.out.of(v).tolist()) for v in range(graph.n)]
    shares = []
    for v in range(graph.n):
        k = len(near[v])
        closed = sum(len(near[v] & near[w]) for w in near[v])
        shares.append(closed / (k * (k - 1)) if k > 1 else 0.0)
    return float(np.mean(shares))


def small_worldness(graph: Graph, *, seed: int = 0) -> float:
    """Return σ = (C/C_random)/(L/L_random), L by global efficiency, against graphs of the same degrees.

    Above 1 means small-world (Humphries and Gurney 2008). Efficiency stands for the inverse path length, so that
    graphs in several pieces have a value too.
    """
    simple = graph.simple_undirected()
    generator = np.random.default_rng(seed)
    others = [rewired(simple, generator) for _ in range(SAMPLES)]
    c = float(np.mean([clustering(other) for other in others]))
    e = float(np.mean([decisions(other).efficiency for other in others]))
    if c <= 0 or e <= 0:
        return float("nan")
    return clustering(simple) / c * (decisions(simple).efficiency / e)


def modularity(graph: Graph, groups: list[Ints]) -> float:
    """Return Newman's Q of a partition, directions ignored (Newman and Girvan 2004)."""
    simple = graph.simple_undirected()
    label = labels(graph.n, groups)
    m = max(simple.m, 1)
    inside = (label[simple.edges[:, 0]] == label[simple.edges[:, 1]]).sum() / m
    degree = np.bincount(label, simple.degree.astype(np.float64)) / (2 * m)
    return float(inside - (degree**2).sum())


def participation(graph: Graph, groups: list[Ints]) -> float:
    """Return the mean participation coefficient 1 − Σ (links into a group/links)² (Guimerà and Amaral 2005)."""
    simple = graph.simple_undirected()
    label = labels(graph.n, groups)
    into = np.zeros((graph.n, len(groups)))
    for k in (0, 1):
        np.add.at(into, (simple.edges[:, k], label[simple.edges[:, 1 - k]]), 1)
    linked = into.sum(axis=1) > 0
    return float((1 - ((into[linked] / into[linked].sum(axis=1, keepdims=True)) ** 2).sum(axis=1)).mean())


def rich_club(graph: Graph, *, share: float = 0.1, seed: int = 0) -> float:
    """Return φ_norm: how densely the best-connected tenth is linked, relative to graphs of the same degrees."""
    simple = graph.simple_undirected()
    size = max(2, round(share * graph.n))
    club = np.zeros(graph.n, np.bool_)
    club[np.lexsort((np.arange(graph.n), -simple.degree))[:size]] = True

    def within(other: Graph) -> float:
        return float((club[other.edges[:, 0]] & club[other.edges[:, 1]]).sum())

    generator = np.random.default_rng(seed)
    expected = float(np.mean([within(rewired(simple, generator)) for _ in range(SAMPLES)]))
    return within(simple) / expected if expected > 0 else float("nan")


def labels(n: int, groups: list[Ints]) -> NDArray[np.int64]:
    """Return the group number of each element."""
    label = np.zeros(n, np.int64)
    for number, group in enumerate(groups):
        label[group] = number
    return label
