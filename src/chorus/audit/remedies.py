"""Remedies: a change to the system, and the finding's own measure computed again on the changed system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from chorus.audit.components import distances, strong_components
from chorus.audit.graph import Graph, Ints
from chorus.audit.subject import Subject

MOST_LINKS = 8
LINKS_TOLD = 3


@dataclass(frozen=True)
class Remedy:
    """What to change, and what it does to `measure`: the value before and the recomputed value after.

    `after` is None where it could not be recomputed; `text` then says why. `links` are all links to add, by name; the
    text names the first ones.
    """

    text: str
    measure: str = ""
    before: float | None = None
    after: float | None = None
    links: tuple[tuple[str, str], ...] = ()


def tried(remedy: Remedy, *, rises: bool = False) -> Remedy:
    """Return a remedy that says so where the recomputed value is no better; `rises` tells that more is better.

    Example:
        >>> tried(Remedy("add a link", "share cut off", 0.5, 0.5)).text
        'tried without success: add a link'

    """
    if remedy.before is None or remedy.after is None:
        return remedy
    gain = remedy.after - remedy.before if rises else remedy.before - remedy.after
    return remedy if gain > 1e-12 else replace(remedy, text=f"tried without success: {remedy.text}")


def link_names(subject: Subject, links: list[tuple[int, int]]) -> str:
    """Return the links in words: `a – b, c – d`, and how many more there are beyond three."""
    sign = "→" if subject.graph.directed else "–"
    told = ", ".join(f"{subject.elements[a]} {sign} {subject.elements[b]}" for a, b in links[:LINKS_TOLD])
    return told + (f" and {len(links) - LINKS_TOLD} more" if len(links) > LINKS_TOLD else "")


def around(graph: Graph, vertex: int) -> list[tuple[int, int]]:
    """Return new links between the neighbours of a vertex that no longer reach each other without it; at most 8.

    In each piece the best-connected neighbour is taken. Undirected pieces are joined into a chain.
    """
    piece = strong_components(graph.without([vertex]))
    degree = graph.degree

    def best_of_each(neighbours: Ints) -> list[int]:
        ranked = sorted(set(neighbours.tolist()) - {vertex}, key=lambda v: (-int(degree[v]), v))
        return list({int(piece[v]): v for v in reversed(ranked)}.values())[::-1]

    into, out_of = best_of_each(graph.back.of(vertex)), best_of_each(graph.out.of(vertex))
    if not graph.directed:
        return list(pairwise(out_of))[:MOST_LINKS]
    links: list[tuple[int, int]] = []
    for start in into:
        reached = distances(graph, [start], [vertex])
        for end in out_of:
            if reached[end] < 0 and len(links) < MOST_LINKS:
                links.append((start, end))
    return links


def across(graph: Graph, left: Ints, right: Ints, avoid: tuple[int, ...]) -> list[tuple[int, int]]:
    """One new link between the best-connected members of two groups that are not in `avoid` and not yet linked."""
    degree = graph.degree
    present = {(int(a), int(b)) for a, b in graph.distinct}
    for a in sorted(set(left.tolist()) - set(avoid), key=lambda v: (-int(degree[v]), v))[:MOST_LINKS]:
        for b in sorted(set(right.tolist()) - set(avoid), key=lambda v: (-int(degree[v]), v))[:MOST_LINKS]:
            known = (a, b) if graph.directed or a < b else (b, a)
            if a != b and known not in present:
                return [(a, b)]
    return []


def joining(graph: Graph, components: Ints) -> list[tuple[int, int]]:
    """Links from the largest weak component to the next ones, at most 8, both ways where directed."""
    sizes = np.bincount(components)
    order = np.argsort(-sizes, kind="stable")
    degree = graph.degree
    best = [int(max(np.flatnonzero(components == c), key=lambda v: (degree[v], -v))) for c in order[: MOST_LINKS + 1]]
    links = [(best[0], other) for other in best[1:]]
    return links + [(b, a) for a, b in links] if graph.directed else links


def shortcuts(graph: Graph, seed: int) -> list[tuple[int, int]]:
    """n/10 new links between random elements, at least one: what makes a large world small (Watts, Strogatz 1998)."""
    generator = np.random.default_rng(seed)
    present = {(int(a), int(b)) for a, b in graph.distinct}
    links: list[tuple[int, int]] = []
    for _ in range(4 * graph.n):
        a, b = sorted(generator.choice(graph.n, 2, replace=False).tolist())
        if graph.directed and generator.random() < 0.5:
            a, b = b, a
        if (a, b) not in present:
            present.add((a, b))
            links.append((a, b))
        if len(links) >= max(1, graph.n // 10):
            break
    return links


def pairing(graph: Graph) -> list[tuple[int, int]]:
    """n/10 new links among the elements with fewest, at least one: the k-th of the poorest with the (k + n/10)-th."""
    order = np.lexsort((np.arange(graph.n), graph.degree)).tolist()
    count = max(1, graph.n // 10)
    present = {(int(min(a, b)), int(max(a, b))) for a, b in graph.distinct}
    links = [(order[k], order[(k + count) % graph.n]) for k in range(count)]
    return [(a, b) for a, b in links if a != b and (min(a, b), max(a, b)) not in present]


def doubled(graph: Graph, vertex: int) -> Graph:
    """Return the graph with one more vertex, the last, that has the same links as `vertex`."""
    at = graph.edges[(graph.edges == vertex).any(axis=1)]
    copies = np.where(at == vertex, graph.n, at)
    return Graph(graph.n + 1, np.concatenate([graph.edges, copies]), graph.directed)


def linked(
    subject: Subject, links: list[tuple[int, int]], measure: str, before: float, after: Callable[[Subject], float],
    *, rises: bool = False,
) -> Remedy:  # fmt: skip
    """Return a remedy that adds links, with `after` computed on the subject that has them."""
    if not links:
        return Remedy(
            "no link among the existing elements helps: everything possible is there; add an element", measure
        )
    names = tuple((subject.elements[a], subject.elements[b]) for a, b in links)
    told = f"link {link_names(subject, links)}"
    return tried(Remedy(told, measure, before, after(subject.with_links(links)), names), rises=rises)


def winners_only(subject: Subject, keep: int) -> Subject:
    """Return the same subject in which, at each step, only the `keep` most active elements stay active."""
    if subject.activity is None:
        return subject
    order = np.argsort(-subject.activity, axis=1, kind="stable")[:, :keep]
    mask = np.zeros(subject.activity.shape, np.bool_)
    np.put_along_axis(mask, order, True, axis=1)
    return replace(subject, activity=np.where(mask, subject.activity, 0.0))
