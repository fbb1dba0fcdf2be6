"""Everything that is measured once and read by the conditions and the findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from chorus.audit.attacks import AttackCurve, attack_curve
from chorus.audit.components import articulation_points_and_bridges, core_numbers, weak_components
from chorus.audit.cuts import Cut, communities, minimum_link_cut, minimum_vertex_cut
from chorus.audit.dominators import strong_articulation_points_and_bridges
from chorus.audit.gossip import gossip
from chorus.audit.graph import Ints
from chorus.audit.paths import BUDGET, Betweenness, Decisions, Waist, betweenness, decisions, waist
from chorus.audit.subject import Coordination, Floats, Subject

Progress = Callable[[str, int, int], None]  # what is being done, steps done, steps in all
GROUPS_UP_TO = 200_000  # edges; beyond it, the search for groups takes minutes
LINKS_EXAMINED = 2_000  # single links whose damage is counted one by one


def silent(_what: str, _done: int, _of: int) -> None:
    """No progress shown."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was found out about a subject.

    Attributes:
        points, links: strong articulation points and bridges (undirected ones in an undirected graph).
        undirected_points, undirected_links: the same with directions ignored.
        decisions: reach, need and distance over the pairs of source and sink.
        link_need: for each of `links` (the first `LINKS_EXAMINED`), the share of the connected
            pairs that its removal cuts.
        flow: shortest-path flow through each element.
        cores: (n,) core numbers.
        components: (n,) weak component of each element.
        attacks: curves by strategy.
        groups: the largest communities; empty when the graph is too large to search.
        group_cut: the smallest set that separates the two largest groups.
        end_cut, end_link_cut: the same between declared sources and sinks, by elements and by links.
        waist: the smallest set found that covers 90 % of the shortest paths between declared ends.
        coordination: given by the subject, or by gossip on the graph.
        ablation: f(G − v) for each candidate of the subject's function; `intact` is f(G).
        resource_loss: for each shared resource, the share of connected pairs that goes with it.
        skipped: what was left out, and why.

    """

    points: Ints
    links: Ints
    undirected_points: Ints
    undirected_links: Ints
    decisions: Decisions
    link_need: Floats
    flow: Betweenness
    cores: Ints
    components: Ints
    attacks: dict[str, AttackCurve]
    groups: list[Ints]
    group_cut: Cut | None
    end_cut: Cut | None
    end_link_cut: Cut | None
    waist: Waist | None
    coordination: Coordination | None
    intact: float | None
    ablation: dict[str, float]
    resource_loss: dict[str, float]
    skipped: dict[str, str] = field(default_factory=dict)


def measure(subject: Subject, *, seed: int = 0, budget: int = BUDGET, progress: Progress = silent) -> Measured:
    """Measure a subject's structure, and its function where it has one.

    Args:
        subject: what to measure.
        seed: of every random choice.
        budget: elementary steps for one analysis before sources are sampled.
        progress: called as the work goes on.

    """
    graph, sources, sinks = subject.graph, subject.source_array, subject.sink_array
    skipped: dict[str, str] = {}
    stages = 8
    progress("single points", 0, stages)
    undirected_points, undirected_links = articulation_points_and_bridges(graph)
    points, links = undirected_points, undirected_links
    if graph.directed:
        points, links = strong_articulation_points_and_bridges(graph)
    progress("reach and need", 1, stages)
    counted = decisions(graph, sources, sinks, seed=seed, budget=budget)
    if subject.has_ends:  # in a feed-forward system single points are those that some decision needs
        points = np.flatnonzero(counted.need > 0)
    progress("single links", 2, stages)
    if subject.has_ends and graph.m <= LINKS_EXAMINED:
        links = np.arange(graph.m)
    need = link_need(subject, links[:LINKS_EXAMINED], seed, budget)
    if subject.has_ends and graph.m <= LINKS_EXAMINED:
        links, need = links[need > 0], need[need > 0]
    progress("betweenness", 3, stages)
    flow = betweenness(graph, sources, sinks, seed=seed, budget=budget)
    progress("attacks", 4, stages)
    attacks = {strategy: attack_curve(graph, strategy, seed=seed) for strategy in ("degree", "adaptive", "random")}
    progress("groups and cuts", 5, stages)
    groups: list[Ints] = []
    group_cut = None
    if graph.arcs <= GROUPS_UP_TO:
        groups = communities(graph, seed=seed)
        if len(groups) > 1:
            group_cut = minimum_vertex_cut(graph, groups[0], groups[1], ends_may_fall=True)
    else:
        skipped["groups"] = f"more than {GROUPS_UP_TO:,} arcs; groups and the cut between them were not searched"
    end_cut = end_link_cut = narrow = None
    if subject.has_ends:
        end_cut = minimum_vertex_cut(graph, sources, sinks, ends_may_fall=False)
        end_link_cut = minimum_link_cut(graph, sources, sinks)
        narrow = waist(graph, sources, sinks, seed=seed, budget=budget)
    else:
        skipped["waist"] = "no sources and sinks are declared; waists and cuts between them need both"
    progress("coordination", 6, stages)
    coordination = subject.coordination or gossip(graph, seed=seed)
    resource_loss = {}
    whole = decisions(graph, sources, sinks, seed=seed, budget=budget // 10) if subject.resources else counted
    for resource in subject.resources:
        users = subject.vertices_of([resource.name])
        rest = decisions(graph.without(users), sources, sinks, seed=seed, budget=budget // 10)
        resource_loss[resource.name] = 1 - rest.connected_share / (whole.connected_share or 1.0)
    intact, ablation = None, {}
    if subject.function is not None:
        intact = subject.function.score(frozenset())
        total = len(subject.function.candidates)
        for done, name in enumerate(subject.function.candidates):
            progress(f"removing {name}", done, total)
            ablation[name] = subject.function.score(frozenset({name}))
    progress("done", 1, 1)
    return Measured(
        points=points, links=links, undirected_points=undirected_points, undirected_links=undirected_links,
        decisions=counted, link_need=need, flow=flow, cores=core_numbers(graph),
        components=weak_components(graph), attacks=attacks, groups=groups, group_cut=group_cut, end_cut=end_cut,
        end_link_cut=end_link_cut, waist=narrow, coordination=coordination, intact=intact, ablation=ablation,
        resource_loss=resource_loss, skipped=skipped,
    )  # fmt: skip


def link_need(subject: Subject, links: Ints, seed: int, budget: int) -> Floats:
    """Return the share of the connected pairs that need each link, as an element put into its middle is needed."""
    graph, count = subject.graph, len(links)
    if not count:
        return np.zeros(0)
    middle = graph.n + np.arange(count)
    edges = np.delete(graph.edges, links, axis=0)
    halves = [np.stack([graph.edges[links, 0], middle], axis=1), np.stack([middle, graph.edges[links, 1]], axis=1)]
    split = type(graph)(graph.n + count, np.concatenate([edges, *halves]), graph.directed)
    return decisions(split, subject.source_array, subject.sink_array, seed=seed, budget=budget).need_share[graph.n :]
