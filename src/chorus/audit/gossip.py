"""How well the elements of a graph come to agree when nobody leads: pull averaging, seeded.

Two camps start apart: the half of the elements nearest to one drawn at random holds +1, the rest −1, so that neighbours
who agree among themselves are not enough. In each round each element reads one in-neighbour, drawn evenly, and moves
half-way towards it (the averaging of Boyd, Ghosh, Prabhakar, Shah 2006, in synchronous rounds).
"""

from __future__ import annotations

import numpy as np

from chorus.audit.components import distances, strong_components
from chorus.audit.graph import Graph
from chorus.audit.subject import Coordination

AGREED = 0.95


RUNS = 8


def gossip(graph: Graph, *, seed: int = 0, rounds: int | None = None) -> Coordination | None:
    """Let the elements average by gossip, and count who was listened to; the mean of 8 runs.

    Agreement is 1 − (spread at the end)/(spread at the start), spread being the standard deviation. The cost is what
    was sent until agreement passed 0.95, out of everything sent in `rounds` (8 ⌈log2 n⌉ when None).

    Returns:
        None when the graph is directed and has no cycle: nothing flows back, so that nothing can be agreed on.

    Example:
        >>> star = gossip(Graph.of(8, [(0, leaf) for leaf in range(1, 8)], directed=False))
        >>> bool(star.share[0] > 0.8)  # everybody can only listen to the hub
        True

    """
    n = graph.n
    if graph.directed and strong_components(graph).max(initial=-1) == n - 1:
        return None
    rounds = 8 * max(1, int(np.ceil(np.log2(n)))) if rounds is None else rounds
    generator = np.random.default_rng(seed)
    ptr, neighbours = graph.back.ptr, graph.back.to
    listening = np.flatnonzero(np.diff(ptr) > 0)
    first, choices = ptr[listening], np.diff(ptr)[listening]
    heard = np.zeros(n, np.int64)
    agreement, needed = 0.0, 0
    for _ in range(RUNS):
        away = distances(graph.undirected(), [int(generator.integers(n))])
        nearest = np.argsort(np.where(away < 0, n, away), kind="stable")
        value = np.full(n, -1.0)
        value[nearest[: n // 2]] = 1.0
        start, passed = float(value.std()), False
        for _ in range(rounds):
            told_by = neighbours[first + (generator.random(len(listening)) * choices).astype(np.int64)]
            heard += np.bincount(told_by, minlength=n)
            value[listening] = (value[listening] + value[told_by]) / 2  # the right side is read before it is written
            needed += not passed
            passed = passed or 1 - value.std() / start >= AGREED
        agreement += float(np.clip(1 - value.std() / start, 0, 1)) / RUNS
    return Coordination(
        agreement=agreement,
        cost=float(needed * len(listening)),
        total=float(RUNS * rounds * max(len(listening), 1)),
        share=heard / max(int(heard.sum()), 1),
        how=f"pull averaging on the graph, {RUNS} runs of {rounds} rounds",
    )
