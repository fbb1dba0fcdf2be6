"""From measurements to findings about the graph: single points, links, cuts, waists, attacks, load, reach."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from chorus.audit import remedies
from chorus.audit.attacks import attack_curve, attack_order
from chorus.audit.components import distances
from chorus.audit.conditions import traffic
from chorus.audit.cuts import Cut, minimum_vertex_cut
from chorus.audit.finding import Finding
from chorus.audit.graph import Graph, Ints
from chorus.audit.measure import Measured
from chorus.audit.paths import BUDGET, betweenness, decisions
from chorus.audit.remedies import Remedy
from chorus.audit.rules import BY_ID
from chorus.audit.subject import Subject
from chorus.audit.witness import Pair, Witness

SAMPLE_PAIRS = 3
SOURCES_TRIED = 500


@dataclass(frozen=True)
class Context:
    """What every finder needs.

    `invocation` is how the command line names the subject, `top` the most findings of one rule, `seed` and `budget`
    those of the measurement.
    """

    subject: Subject
    measured: Measured
    invocation: str
    top: int = 10
    seed: int = 0
    budget: int = BUDGET

    def finding(
        self, rule: str, elements: tuple[str, ...], value: float, message: str, witness: Witness, remedy: Remedy,
        *, line: int | None = None, cap: str | None = None,
    ) -> Finding | None:  # fmt: skip
        """Return a finding, or None when the value passes no threshold; `cap` is the highest level allowed."""
        judged = BY_ID[rule].judge(value)
        if judged is None:
            return None
        level, threshold = judged
        if cap is not None and level != cap:
            level, threshold = cap, next(limit for name, limit in BY_ID[rule].thresholds[::-1])
        return Finding(
            rule, level, elements, float(value), threshold, message, witness,
            witness.command(self.invocation, rule), remedy, line,
        )  # fmt: skip

    def name(self, vertex: int) -> str:
        """Return an element's name."""
        return self.subject.elements[vertex]

    def element_line(self, vertex: int) -> int | None:
        """Return the line that declares an element."""
        origin = self.subject.origin
        return origin.element_lines[vertex] if origin else None

    def count(self, graph: Graph) -> tuple[Ints, int]:
        """Need of each element and connected pairs of a changed graph, with the same sources as before."""
        found = decisions(graph, self.subject.source_array, self.subject.sink_array, seed=self.seed, budget=self.budget)
        return found.need, max(found.connected, 1)

    def cut_pairs(self, removed: tuple[int, ...], links: tuple[int, ...] = (), near: Ints | None = None) -> list[Pair]:
        """Return a few pairs of source and sink that the removal cuts; `near` are the sources to try first."""
        graph, subject = self.subject.graph, self.subject
        rest = graph.without(removed, links)
        sources = subject.source_array
        if near is not None and not subject.sources:
            sources = np.unique(near)
        is_sink = np.zeros(graph.n, np.bool_)
        is_sink[subject.sink_array] = True
        is_sink[list(removed)] = False
        pairs: list[Pair] = []
        for start in sources[:SOURCES_TRIED].tolist():
            if start in removed:
                continue
            lost = (distances(graph, [start]) >= 0) & (distances(rest, [start], removed) < 0) & is_sink
            pairs += [(self.name(start), self.name(end)) for end in np.flatnonzero(lost)[:SAMPLE_PAIRS].tolist()]
            if len(pairs) >= SAMPLE_PAIRS:
                break
        return pairs[:SAMPLE_PAIRS]


def percent(share: float) -> str:
    """Return a share in words: `15.4 %`."""
    return f"{100 * share:.3g} %"


def single_points(context: Context) -> Iterator[Finding | None]:
    """AUD001: elements that some pair cannot do without."""
    measured, graph = context.measured, context.subject.graph
    counted = measured.decisions
    ranked = sorted(measured.points.tolist(), key=lambda v: (-counted.need[v], v))
    for vertex in ranked[: context.top]:
        share = float(counted.need_share[vertex])
        pairs = context.cut_pairs((vertex,), near=graph.back.of(vertex))
        if not pairs:  # it splits nothing that a declared source sends to a declared sink
            continue
        margin = f" ± {percent(counted.need_margin[vertex])}" if counted.sampled is not None else ""

        def after(changed: Subject, vertex: int = vertex) -> float:
            need, connected = context.count(changed.graph)
            return float(need[vertex] / connected)

        yield context.finding(
            "AUD001", (context.name(vertex),), share,
            f"{percent(share)}{margin} of the connected pairs need {context.name(vertex)}; without it, "
            f"{pairs[0][0]} no longer reaches {pairs[0][1]}",
            Witness("cut", removed=(context.name(vertex),), pairs=tuple(pairs)),
            remedies.linked(
                context.subject, remedies.around(graph, vertex), "share of the connected pairs that need it", share, after
            ),
            line=context.element_line(vertex),
        )  # fmt: skip


def single_links(context: Context) -> Iterator[Finding | None]:
    """AUD002: links that some pair cannot do without."""
    from chorus.audit.measure import LINKS_EXAMINED, _link_need

    measured, subject = context.measured, context.subject
    connected = max(measured.decisions.connected, 1)
    need = measured.link_need
    ranked = sorted(range(len(need)), key=lambda k: (-need[k], k))
    for k in ranked[: context.top]:
        link = int(measured.links[k])
        a, b = (int(end) for end in subject.graph.edges[link])
        share = float(need[k] / connected)
        pairs = context.cut_pairs((), (link,), near=np.array([a, b]))
        if not pairs:
            continue

        def after(changed: Subject, link: int = link) -> float:
            return float(_link_need(changed, np.array([link]), context.seed, context.budget)[0] / connected)

        sign = "→" if subject.graph.directed else "–"
        yield context.finding(
            "AUD002", (context.name(a), context.name(b)), share,
            f"{percent(share)} of the connected pairs need the link {context.name(a)} {sign} {context.name(b)}; without "
            f"it, {pairs[0][0]} no longer reaches {pairs[0][1]}",
            Witness("cut", removed_links=((context.name(a), context.name(b)),), pairs=tuple(pairs)),
            remedies.linked(subject, [(a, b)], "share of the connected pairs that need this link", share, after),
            line=subject.origin.edge_lines[link] if subject.origin and link < len(subject.origin.edge_lines) else None,
        )  # fmt: skip
    assert len(need) <= LINKS_EXAMINED


def small_cuts(context: Context) -> Iterator[Finding | None]:
    """AUD003: few elements between the largest groups, or between sources and sinks."""
    measured, subject = context.measured, context.subject
    graph = subject.graph
    cases: list[tuple[str, Cut, Ints, Ints, bool]] = []
    if measured.end_cut is not None:
        cases.append(("the sources from the sinks", measured.end_cut, subject.source_array, subject.sink_array, False))
    if measured.group_cut is not None and not subject.has_ends and len(measured.group_cut.members) > 1:
        left, right = measured.groups[:2]
        what = f"the two largest groups ({len(left)} and {len(right)} elements)"
        cases.append((what, measured.group_cut, left, right, True))
    for what, cut, left, right, fall in cases:
        members = tuple(context.name(v) for v in cut.members)
        starts = [v for v in left.tolist() if v not in cut.members]
        reached = distances(graph, starts[:1])
        ends = [v for v in right.tolist() if v not in cut.members and reached[v] >= 0]
        if not starts or not ends:
            continue
        remedy = _wider(subject, left, right, cut) if fall else _second_way(subject, left, right, cut)
        yield context.finding(
            "AUD003", members, len(members), f"removing {' and '.join(members)} separates {what}",
            Witness("cut", removed=members, pairs=tuple((context.name(starts[0]), context.name(v)) for v in ends[:SAMPLE_PAIRS])),
            remedy, line=context.element_line(cut.members[0]),
        )  # fmt: skip


def _wider(subject: Subject, left: Ints, right: Ints, cut: Cut) -> Remedy:
    """Links between two groups, one after the other, until more elements are needed to separate them."""
    what, before = "size of the smallest separating set", float(len(cut.members))
    links: list[tuple[int, int]] = []
    graph = subject.graph
    while len(links) < remedies.MOST_LINKS:
        used = {end for link in links for end in link}
        fresh = remedies.across(graph, left, right, (*cut.members, *used))
        found = minimum_vertex_cut(graph.with_edges(fresh), left, right, ends_may_fall=True) if fresh else None
        if found is None:
            break
        links, graph, cut = links + fresh, graph.with_edges(fresh), found
        if len(found.members) > before:
            return Remedy(f"link {remedies.link_names(subject, links)}", what, before, float(len(found.members)))
    return Remedy(f"links between the groups do not help ({len(links)} were tried); add elements between them", what)


def _second_way(subject: Subject, left: Ints, right: Ints, cut: Cut) -> Remedy:
    """Return a stand-in for one element of the cut: a new element with the same links, and the cut found again."""
    graph, what = subject.graph, "size of the smallest separating set"
    vertex, twin = cut.members[0], graph.n
    at = graph.edges[(graph.edges == vertex).any(axis=1)]
    copies = np.where(at == vertex, twin, at)
    doubled = Graph(graph.n + 1, np.concatenate([graph.edges, copies]), graph.directed)
    found = minimum_vertex_cut(doubled, left, right, ends_may_fall=False)
    after = float(len(found.members)) if found else None
    return Remedy(f"a second {subject.elements[vertex]} with the same links", what, float(len(cut.members)), after)


def waists(context: Context) -> Iterator[Finding | None]:
    """AUD004: few elements on nearly all shortest paths."""
    found, subject = context.measured.waist, context.subject
    if found is None or not found.elements:
        return
    pairs: list[Pair] = []
    for start in subject.source_array[:SOURCES_TRIED].tolist():
        if start in found.elements:
            continue
        first, then = distances(subject.graph, [start]), distances(subject.graph, [start], found.elements)
        for end in subject.sink_array.tolist():
            if end not in found.elements and first[end] > 0 and (then[end] < 0 or then[end] > first[end]):
                pairs.append((context.name(start), context.name(end)))
        if len(pairs) >= SAMPLE_PAIRS:
            break
    if not pairs:
        return
    names = tuple(context.name(v) for v in found.elements)
    top = found.elements[0]
    graph = subject.graph
    flow = context.measured.flow
    share = float(flow.through[top] / max(flow.connected, 1))
    links = [
        (a, b) for a in dict.fromkeys(graph.back.of(top).tolist()) for b in dict.fromkeys(graph.out.of(top).tolist())
        if a != b and distances(graph, [a])[b] != 1
    ][: remedies.MOST_LINKS]  # fmt: skip

    def after(changed: Subject) -> float:
        again = betweenness(
            changed.graph, subject.source_array, subject.sink_array, seed=context.seed, budget=context.budget
        )
        return float(again.through[top] / max(again.connected, 1))

    proof = "no smaller set does" if found.minimal else "the smallest set found"
    yield context.finding(
        "AUD004", names, len(names),
        f"{percent(found.covered)} of the shortest paths from sources to sinks pass {', '.join(names)} ({proof})",
        Witness("longer", removed=names, pairs=tuple(pairs[:SAMPLE_PAIRS])),
        remedies.linked(subject, links, f"share of the shortest paths through {names[0]}", share, after),
        line=context.element_line(top),
    )  # fmt: skip


def shared_resources(context: Context) -> Iterator[Finding | None]:
    """AUD005: what several elements share without an edge that shows it."""
    measured, subject = context.measured, context.subject
    need = measured.decisions.need_share
    worst = int(np.argmax(need))
    for name, loss in sorted(measured.resource_loss.items(), key=lambda item: (-item[1], item[0]))[: context.top]:
        resource = next(resource for resource in subject.resources if resource.name == name)
        halves = [frozenset(map(subject.number, resource.users[k::2])) for k in (0, 1)]
        _, whole = context.count(subject.graph)
        left = min(context.count(subject.graph.without(half))[1] for half in halves if half)
        users = set(resource.users)
        pairs = [
            pair for pair in context.cut_pairs(tuple(map(subject.number, resource.users))) if not users & set(pair)
        ]
        outsiders = [name for k, name in enumerate(subject.elements) if k in subject.source_array and name not in users]
        claim = Witness("cut", removed=(name,), pairs=tuple(pairs)) if pairs else Witness("measured")
        graph_alone = f"{context.name(worst)} with {percent(float(need[worst]))}" if need[worst] else "nothing"
        yield context.finding(
            "AUD005", (name,), loss,
            f"{len(users)} elements share {name}; {percent(loss)} of the connected pairs go with it, while the worst "
            f"single element of the graph alone is {graph_alone}"
            + ("" if outsiders else "; no source is free of it"),
            claim,
            Remedy(f"give every other user a second, independent {name}", "share of the connected pairs lost with the worse copy",
                   loss, 1 - left / whole),
        )  # fmt: skip


def attacks(context: Context) -> Iterator[Finding | None]:
    """AUD006: a network that a few removals take apart."""
    subject, curve = context.subject, context.measured.attacks["adaptive"]
    if context.measured.components.max(initial=0) == subject.graph.n - 1:
        return
    below = int(np.argmax(curve.share < 0.5))
    order = attack_order(subject.graph, "adaptive")[:below]
    names = tuple(context.name(v) for v in order.tolist())
    random = 2 * context.measured.attacks["random"].robustness
    start = 2 * curve.robustness
    links = remedies.pairing(subject.graph)
    witness = Witness("shrink", removed=names) if 0 < len(names) <= 50 else Witness("measured")
    yield context.finding(
        "AUD006", names[:1], min(1.0, start),
        f"removing the {below} best-connected of {subject.graph.n} elements, one after the other, leaves the largest "
        f"component below half; 2R is {start:.3f} (under random loss {random:.3f})",
        witness,
        remedies.linked(subject, links, "2R under adaptive attack", start,
                        lambda changed: 2 * attack_curve(changed.graph, "adaptive").robustness),
        line=context.element_line(int(order[0])) if len(order) else None,
    )  # fmt: skip


def concentration(context: Context) -> Iterator[Finding | None]:
    """AUD007: one element that carries a large part of a load."""
    subject = context.subject
    for what, load in traffic(subject, context.measured).items():
        if load.sum() <= 0:
            continue
        vertex = int(np.argmax(load))
        share = float(load[vertex] / load.sum())
        if share < min(0.5, 10 / subject.graph.n):
            continue
        if what == "shortest-path traffic":
            remedy = remedies.linked(
                subject, remedies.around(subject.graph, vertex) or remedies.pairing(subject.graph),
                "its share of the load", share, functools.partial(_path_share, context, vertex),
            )  # fmt: skip
        else:
            moved = load.copy()
            least = int(np.argmin(load))
            moved[[vertex, least]] = (load[vertex] + load[least]) / 2
            remedy = Remedy(
                f"let {context.name(least)} take half of what both carry", f"largest share of {what}", share,
                float(moved.max() / moved.sum()),
            )  # fmt: skip
        yield context.finding(
            "AUD007", (context.name(vertex), what), share,
            f"{context.name(vertex)} carries {percent(share)} of {what}, {share * subject.graph.n:.1f} times an even share",
            Witness("measured"), remedy, line=context.element_line(vertex),
        )  # fmt: skip


def _path_share(context: Context, vertex: int, changed: Subject) -> float:
    flow = betweenness(
        changed.graph, changed.source_array, changed.sink_array, seed=context.seed, budget=context.budget
    )
    counted = decisions(
        changed.graph, changed.source_array, changed.sink_array, seed=context.seed, budget=context.budget
    )
    load = flow.through + np.maximum(counted.connected - counted.through, 0) * (
        flow.connected / max(counted.connected, 1)
    )
    return float(load[vertex] / load.sum())


def unreachable(context: Context) -> Iterator[Finding | None]:
    """AUD008 and AUD009: pairs that nothing connects, and elements without a link."""
    measured, subject = context.measured, context.subject
    counted, graph = measured.decisions, subject.graph
    share = 1 - counted.connected / max(counted.pairs, 1)

    def after(changed: Subject) -> float:
        again = decisions(
            changed.graph, subject.source_array, subject.sink_array, seed=context.seed, budget=context.budget
        )
        return 1 - again.connected / max(again.pairs, 1)

    links = remedies.joining(graph, measured.components)
    if counted.connected < counted.pairs:
        pair, is_sink = None, np.zeros(graph.n, np.bool_)
        is_sink[subject.sink_array] = True
        for start in subject.source_array.tolist():
            lost = np.flatnonzero((distances(graph, [start]) < 0) & is_sink)
            if len(lost):
                pair = (start, int(lost[0]))
                break
        if pair is not None:
            a, b = (context.name(end) for end in pair)
            if not links:  # weakly connected: it is the direction that is missing
                links = [pair]
            yield context.finding(
                "AUD008", (a, b), share,
                f"{percent(share)} of the pairs are not connected, {a} to {b} among them",
                Witness("apart", pairs=((a, b),)),
                remedies.linked(subject, links, "share of the pairs not connected", share, after),
                line=context.element_line(pair[0]),
                cap="note" if graph.directed and not subject.has_ends else None,
            )  # fmt: skip
    for vertex in np.flatnonzero(graph.degree == 0)[: context.top].tolist():
        other = int(np.argmax(graph.degree))
        pair_links = [(vertex, other), (other, vertex)] if graph.directed else [(vertex, other)]
        yield context.finding(
            "AUD009", (context.name(vertex),), 0, f"{context.name(vertex)} has no link",
            Witness("apart", pairs=((context.name(vertex), context.name(other if other != vertex else (vertex + 1) % graph.n)),)),
            remedies.linked(subject, pair_links if other != vertex else [(vertex, (vertex + 1) % graph.n)],
                            "links of the element", 0.0, functools.partial(_links_of, vertex)),
            line=context.element_line(vertex),
        )  # fmt: skip


def _links_of(vertex: int, changed: Subject) -> float:
    return float(changed.graph.degree[vertex])
