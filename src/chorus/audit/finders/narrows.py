"""Few elements where there should be many: small cuts and waists."""

from __future__ import annotations

from collections.abc import Iterator

from chorus.audit import remedies
from chorus.audit.components import distances
from chorus.audit.cuts import Cut, minimum_vertex_cut
from chorus.audit.finders.context import SAMPLE_PAIRS, SOURCES_TRIED, Context, percent
from chorus.audit.finding import Finding
from chorus.audit.graph import Ints
from chorus.audit.remedies import Remedy
from chorus.audit.subject import Subject
from chorus.audit.witness import Pair, Witness


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
            "AUD003",
            members,
            len(members),
            f"removing {' and '.join(members)} separates {what}",
            Witness(
                "cut",
                removed=members,
                pairs=tuple((context.name(starts[0]), context.name(v)) for v in ends[:SAMPLE_PAIRS]),
            ),
            remedy,
            line=context.element_line(cut.members[0]),
        )


def _wider(subject: Subject, left: Ints, right: Ints, cut: Cut) -> Remedy:
    """Links between two groups, one after the other, until more elements are needed to separate them."""
    what, before = "size of the smallest separating set", len(cut.members)
    links: list[tuple[int, int]] = []
    graph = subject.graph
    while len(cut.members) == before and len(links) < remedies.MOST_LINKS:
        used = {end for link in links for end in link}
        fresh = remedies.across(graph, left, right, (*cut.members, *used))
        found = minimum_vertex_cut(graph.with_edges(fresh), left, right, ends_may_fall=True) if fresh else None
        if found is None:
            break
        links, graph, cut = links + fresh, graph.with_edges(fresh), found
    if len(cut.members) > before:
        return remedies.linked(subject, links, what, float(before), lambda _: float(len(cut.members)), rises=True)
    return Remedy(f"links between the groups do not help ({len(links)} were tried); add elements between them")


def _second_way(subject: Subject, left: Ints, right: Ints, cut: Cut) -> Remedy:
    """Return a stand-in for one element of the cut: a new element with the same links, and the cut found again."""
    vertex, what = cut.members[0], "size of the smallest separating set"
    found = minimum_vertex_cut(remedies.doubled(subject.graph, vertex), left, right, ends_may_fall=False)
    after = float(len(found.members)) if found else None
    told = f"a second {subject.elements[vertex]} with the same links"
    return remedies.tried(Remedy(told, what, float(len(cut.members)), after), rises=True)


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
        (a, b)
        for a in dict.fromkeys(graph.back.of(top).tolist())
        for b in dict.fromkeys(graph.out.of(top).tolist())
        if a != b and distances(graph, [a])[b] != 1
    ][: remedies.MOST_LINKS]

    def after(changed: Subject) -> float:
        again = context.again(changed).flow
        return float(again.through[top] / max(again.connected, 1))

    proof = "no smaller set does" if found.minimal else "the smallest set found"
    yield context.finding(
        "AUD004",
        names,
        len(names),
        f"{percent(found.covered)} of the shortest paths from sources to sinks pass {', '.join(names)} ({proof})",
        Witness("longer", removed=names, pairs=tuple(pairs[:SAMPLE_PAIRS])),
        remedies.linked(subject, links, f"share of the shortest paths through {names[0]}", share, after),
        line=context.element_line(top),
    )
