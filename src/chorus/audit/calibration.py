"""What the seven conditions say of graphs whose answer is known: the scores' calibration."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from chorus.audit.conditions import conditions
from chorus.audit.graph import Graph, Ints
from chorus.audit.measure import Measured
from chorus.audit.subject import Subject

COLUMNS = ("1", "2 one at a time", "2 all at once", "3", "4", "5 one at a time", "5 all at once", "6", "7")


def reference_graphs(n: int = 64, *, seed: int = 0) -> dict[str, Graph]:
    """Return six undirected graphs of n elements: star, ring, clique, random, scale-free, and two separate cliques.

    The random graph links each pair with probability 8/n (Erdős and Rényi 1959); the scale-free one grows by two links
    for each new element, to ends drawn by degree (Barabási and Albert 1999).

    Example:
        >>> {name: graph.m for name, graph in reference_graphs(8).items() if name in ("star", "ring", "clique")}
        {'star': 7, 'ring': 8, 'clique': 28}

    """
    generator = np.random.default_rng(seed)
    pairs = np.array(list(combinations(range(n), 2)), np.int64)
    ends, grown = [0, 1], [(0, 1)]
    for new in range(2, n):
        drawn: set[int] = set()
        while len(drawn) < 2:
            drawn.add(ends[int(generator.integers(len(ends)))])
        grown += [(old, new) for old in sorted(drawn)]
        ends += [end for old in sorted(drawn) for end in (old, new)]
    half = n // 2
    edges: dict[str, list[tuple[int, int]] | Ints] = {
        "star": [(0, leaf) for leaf in range(1, n)],
        "ring": [(k, (k + 1) % n) for k in range(n)],
        "clique": pairs,
        "random": pairs[generator.random(len(pairs)) < 8 / n],
        "scale-free": grown,
        "disconnected": pairs[(pairs < half).all(axis=1) | (pairs >= half).all(axis=1)],
    }
    return {name: Graph.of(n, each, directed=False) for name, each in edges.items()}


def calibration(n: int = 64, *, seed: int = 0) -> dict[str, list[float]]:
    """Score the reference graphs; conditions 2 and 5 with one element active at a time, and with all at once.

    Returns:
        By graph, the scores in the order of `COLUMNS`.

    """
    rows = {}
    for name, graph in reference_graphs(n, seed=seed).items():
        subject = Subject(name=name, elements=tuple(map(str, range(n))), graph=graph)
        measured = Measured(subject, seed=seed)
        scores = [condition.score for condition in conditions(subject, measured)]
        for activity in (np.eye(n), np.ones((n, n))):
            active = replace(subject, activity=activity, stimuli=np.arange(n))
            found = conditions(active, measured)
            scores += [found[1].score, found[4].score]
        one, _, three, four, _, six, seven, two_alone, five_alone, two_all, five_all = scores
        ordered = (one, two_alone, two_all, three, four, five_alone, five_all, six, seven)
        rows[name] = [float("nan") if score is None else score for score in ordered]
    return rows


def calibration_table(n: int = 64, *, seed: int = 0) -> str:
    """Return the calibration as a Markdown table."""
    lines = ["| graph | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, scores in calibration(n, seed=seed).items():
        lines.append(f"| {name} | " + " | ".join(f"{score:.2f}" for score in scores) + " |")
    return "\n".join(lines) + "\n"
