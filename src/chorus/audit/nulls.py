"""Is a score due to the degrees alone? Comparison with random graphs of the same degrees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from chorus.audit.conditions import conditions
from chorus.audit.graph import Graph
from chorus.audit.measure import Measured, Progress, silent
from chorus.audit.paths import BUDGET
from chorus.audit.subject import Subject


def rewired(graph: Graph, generator: np.random.Generator, *, swaps_per_edge: int = 10) -> Graph:
    """Return a random simple graph with the same degrees (in and out, where directed), by double edge swaps.

    Two edges a–b and c–d become a–d and c–b, unless that would make a loop or a parallel edge (Maslov and Sneppen,
    Science 296, 2002).

    Example:
        >>> ring = Graph.of(6, [(k, (k + 1) % 6) for k in range(6)], directed=False)
        >>> rewired(ring, np.random.default_rng(0)).degree.tolist()
        [2, 2, 2, 2, 2, 2]

    """
    edges = [(int(a), int(b)) for a, b in graph.distinct]
    count = len(edges)
    if count < 2:
        return Graph(graph.n, graph.distinct, graph.directed)

    def key(a: int, b: int) -> tuple[int, int]:
        return (a, b) if graph.directed or a < b else (b, a)

    present = set(edges)
    tries = swaps_per_edge * count
    picks = generator.integers(0, count, (tries, 2)).tolist()
    flips = generator.integers(0, 2, tries).tolist()
    for (i, j), flip in zip(picks, flips, strict=True):
        (a, b), (c, d) = edges[i], edges[j]
        if flip and not graph.directed:  # an undirected edge has no first end
            c, d = d, c
        first, second = key(a, d), key(c, b)
        if a == d or c == b or first == second or first in present or second in present:
            continue
        present -= {edges[i], edges[j]}
        present |= {first, second}
        edges[i], edges[j] = first, second
    return Graph.of(graph.n, edges, directed=graph.directed)


def z_scores(
    subject: Subject, samples: int, *, seed: int = 0, budget: int = BUDGET, progress: Progress = silent
) -> dict[int, dict[str, float]]:
    """How many standard deviations each structural condition lies from random graphs of the same degrees.

    Only the conditions that the graph alone decides are compared (1, 3, 4, 6, 7, each measured on structure in both),
    so loads, activity and function are left aside.

    Args:
        subject: the subject.
        samples: random graphs to draw, at least 2.
        seed: of the draw.
        budget: elementary steps for each analysis.
        progress: called as the work goes on.

    Returns:
        By condition number: the structural `score`, the `mean` and `deviation` of the random graphs and `z`; a
        deviation of 0 leaves `z` out.

    """
    bare = replace(
        subject, weights=None, loads={}, activity=None, stimuli=None, responses=None, coordination=None, function=None,
        graph=Graph(subject.graph.n, subject.graph.distinct, subject.graph.directed), origin=None, resources=(),
    )  # fmt: skip
    generator = np.random.default_rng(seed)
    own = {c.number: c.score for c in conditions(bare, Measured(bare, seed=seed, budget=budget))}
    drawn: dict[int, list[float]] = {}
    for sample in range(samples):
        progress("random graphs of the same degrees", sample, samples)
        other = replace(bare, graph=rewired(bare.graph, generator))
        for condition in conditions(other, Measured(other, seed=seed, budget=budget)):
            if condition.score is not None:
                drawn.setdefault(condition.number, []).append(condition.score)
    found: dict[int, dict[str, float]] = {}
    for number, scores in drawn.items():
        score = own[number]
        if score is None or len(scores) < 2:
            continue
        mean, deviation = float(np.mean(scores)), float(np.std(scores, ddof=1))
        found[number] = {"score": score, "mean": mean, "deviation": deviation}
        if deviation > 1e-12:
            found[number]["z"] = (score - mean) / deviation
    return found
