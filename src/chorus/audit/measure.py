"""Everything that is measured once and read by the conditions and the findings."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from chorus.audit.attacks import AttackCurve, attack_curve
from chorus.audit.communities import communities
from chorus.audit.components import articulation_points_and_bridges, core_numbers, distances, weak_components
from chorus.audit.cuts import Cut, minimum_link_cut, minimum_vertex_cut
from chorus.audit.dominators import strong_articulation_points_and_bridges
from chorus.audit.gossip import gossip
from chorus.audit.graph import Graph, Ints
from chorus.audit.paths import BUDGET, Betweenness, Decisions, Waist, betweenness, decisions, need_of, waist
from chorus.audit.subject import Coordination, Floats, Subject

Progress = Callable[[str, int, int], None]  # what is being done, steps done, steps in all
GROUPS_UP_TO = 200_000  # arcs; no larger graph was tried
LINKS_EXAMINED = 2_000  # single links whose damage is counted one by one
STRATEGIES = ("degree", "adaptive", "random")
_STAGES = ("single points", "reach and need", "single links", "betweenness", "attacks", "groups", "cuts", "waist",
           "coordination", "shared resources")  # fmt: skip


def silent(_what: str, _done: int, _of: int) -> None:
    """No progress shown."""


class Measured:
    """What is found out about a subject, each part when it is first asked for: what nobody reads costs nothing.

    Args:
        subject: what to measure.
        seed: of every random choice.
        budget: elementary steps for one analysis before sources are sampled.
        progress: called as `progress(what, done, of)` when a part is begun.

    Example:
        >>> star = Subject(name="star", elements=tuple("abc"), graph=Graph.of(3, [(0, 1), (0, 2)], directed=False))
        >>> Measured(star).points.tolist()
        [0]

    """

    def __init__(
        self, subject: Subject, *, seed: int = 0, budget: int = BUDGET, progress: Progress = silent
    ) -> None:  # fmt: skip
        self.subject, self.seed, self.budget = subject, seed, budget
        self._progress = progress
        self._curves: dict[str, AttackCurve] = {}

    def _begin(self, stage: str) -> None:
        self._progress(stage, _STAGES.index(stage), len(_STAGES))

    def counted(self, graph: Graph, *, budget: int | None = None) -> Decisions:
        """Count the decisions of a graph between this subject's sources and sinks, over the same drawn sources."""
        sources, sinks = self.subject.source_array, self.subject.sink_array
        return decisions(graph, sources, sinks, seed=self.seed, budget=budget or self.budget)

    @cached_property
    def _undirected(self) -> tuple[Ints, Ints]:
        self._begin("single points")
        return articulation_points_and_bridges(self.subject.graph)

    @property
    def undirected_points(self) -> Ints:
        """Articulation points with directions ignored."""
        return self._undirected[0]

    @property
    def undirected_links(self) -> Ints:
        """Bridges with directions ignored."""
        return self._undirected[1]

    @cached_property
    def _strong(self) -> tuple[Ints, Ints]:
        graph = self.subject.graph
        return strong_articulation_points_and_bridges(graph) if graph.directed else self._undirected

    @cached_property
    def points(self) -> Ints:
        """Elements that some decision needs: articulation points, strong ones in a directed graph."""
        if self.subject.has_ends:  # in a feed-forward system single points are those that some decision needs
            return np.flatnonzero(self.decisions.need > 0)
        return self._strong[0]

    @cached_property
    def _links(self) -> tuple[Ints, Floats]:
        graph, links = self.subject.graph, self._strong[1]
        one_by_one = self.subject.has_ends and graph.m <= LINKS_EXAMINED
        if one_by_one:
            links = np.arange(graph.m)
        self._begin("single links")
        need = self.need_of_links(links[:LINKS_EXAMINED])
        return (links[need > 0], need[need > 0]) if one_by_one else (links, need)

    @property
    def links(self) -> Ints:
        """Single links: bridges, strong ones in a directed graph; between declared ends those that a decision needs."""
        return self._links[0]

    @property
    def link_need(self) -> Floats:
        """For each of `links` (the first `LINKS_EXAMINED`), the share of the connected pairs that its removal cuts."""
        return self._links[1]

    def need_of_links(self, links: Ints) -> Floats:
        """Return the share of the connected pairs that need each link, as an element put into its middle is needed."""
        graph, count = self.subject.graph, len(links)
        if not count:
            return np.zeros(0)
        if count == 1:  # where another way leads from end to end, no pair needs the link
            a, b = graph.edges[links[0]]
            if distances(graph.without(edges=links), [a])[b] >= 0:
                return np.zeros(1)
        middle = graph.n + np.arange(count)
        edges = np.delete(graph.edges, links, axis=0)
        halves = [np.stack([graph.edges[links, 0], middle], axis=1), np.stack([middle, graph.edges[links, 1]], axis=1)]
        split = Graph(graph.n + count, np.concatenate([edges, *halves]), graph.directed)
        return self.counted(split).need_share[graph.n :]

    def need_of(self, vertex: int) -> float:
        """Return the share of the connected pairs that need one element."""
        subject = self.subject
        return need_of(
            subject.graph, vertex, subject.source_array, subject.sink_array, seed=self.seed, budget=self.budget
        )  # fmt: skip

    @cached_property
    def decisions(self) -> Decisions:
        """Reach, need and distance over the pairs of source and sink."""
        self._begin("reach and need")
        return self.counted(self.subject.graph)

    @cached_property
    def flow(self) -> Betweenness:
        """Shortest-path flow through each element."""
        self._begin("betweenness")
        subject = self.subject
        return betweenness(
            subject.graph, subject.source_array, subject.sink_array, seed=self.seed, budget=self.budget
        )  # fmt: skip

    @cached_property
    def cores(self) -> Ints:
        """(n,) core numbers."""
        return core_numbers(self.subject.graph)

    @cached_property
    def components(self) -> Ints:
        """(n,) weak component of each element."""
        return weak_components(self.subject.graph)

    def attack(self, strategy: str) -> AttackCurve:
        """Return the curve of one attack: `degree`, `adaptive` or `random` (many runs, so the dearest)."""
        if strategy not in self._curves:
            self._begin("attacks")
            self._curves[strategy] = attack_curve(self.subject.graph, strategy, seed=self.seed)
        return self._curves[strategy]

    @property
    def attacks(self) -> dict[str, AttackCurve]:
        """All attack curves, by strategy."""
        return {strategy: self.attack(strategy) for strategy in STRATEGIES}

    @cached_property
    def groups(self) -> list[Ints]:
        """The largest communities; empty when the graph is too large to search."""
        if self.subject.graph.arcs > GROUPS_UP_TO:
            return []
        self._begin("groups")
        return communities(self.subject.graph, seed=self.seed)

    @cached_property
    def group_cut(self) -> Cut | None:
        """The smallest set that separates the two largest groups."""
        if len(self.groups) < 2:
            return None
        self._begin("cuts")
        return minimum_vertex_cut(self.subject.graph, self.groups[0], self.groups[1], ends_may_fall=True)

    @cached_property
    def end_cut(self) -> Cut | None:
        """The smallest set of elements between declared sources and sinks."""
        if not self.subject.has_ends:
            return None
        self._begin("cuts")
        subject = self.subject
        return minimum_vertex_cut(subject.graph, subject.source_array, subject.sink_array, ends_may_fall=False)

    @cached_property
    def end_link_cut(self) -> Cut | None:
        """The smallest set of links between declared sources and sinks."""
        subject = self.subject
        if not subject.has_ends:
            return None
        return minimum_link_cut(subject.graph, subject.source_array, subject.sink_array)

    @cached_property
    def waist(self) -> Waist | None:
        """The smallest set found that covers 90 % of the shortest paths between declared ends."""
        subject = self.subject
        if not subject.has_ends:
            return None
        self._begin("waist")
        return waist(subject.graph, subject.source_array, subject.sink_array, seed=self.seed, budget=self.budget)

    @cached_property
    def coordination(self) -> Coordination | None:
        """What the subject says of it, or gossip on the graph; None where nothing flows back."""
        if self.subject.coordination is not None:
            return self.subject.coordination
        self._begin("coordination")
        return gossip(self.subject.graph, seed=self.seed)

    @cached_property
    def resource_loss(self) -> dict[str, float]:
        """For each shared resource, the share of the connected pairs that goes with it."""
        subject = self.subject
        if not subject.resources:
            return {}
        self._begin("shared resources")
        few = self.budget // 10
        whole = self.counted(subject.graph, budget=few).connected_share or 1.0
        return {
            resource.name: 1
            - self.counted(
                subject.graph.without(subject.vertices_of([resource.name])), budget=few
            ).connected_share / whole
            for resource in subject.resources
        }  # fmt: skip

    @cached_property
    def intact(self) -> float | None:
        """f(G): what the subject's function is worth with nothing removed; None where no function is known."""
        function = self.subject.function
        return None if function is None else function.score(frozenset())

    @cached_property
    def ablation(self) -> dict[str, float]:
        """f(G − v) for each candidate of the subject's function."""
        function, found = self.subject.function, dict[str, float]()
        if function is None:
            return found
        for done, name in enumerate(function.candidates):
            self._progress(f"removing {name}", done, len(function.candidates))
            found[name] = function.score(frozenset({name}))
        return found

    @property
    def skipped(self) -> dict[str, str]:
        """What is left out, and why."""
        found = {}
        if self.subject.graph.arcs > GROUPS_UP_TO:
            found["groups"] = f"more than {GROUPS_UP_TO:,} arcs; groups and the cut between them were not searched"
        if not self.subject.has_ends:
            found["waist"] = "no sources and sinks are declared; waists and cuts between them need both"
        return found
