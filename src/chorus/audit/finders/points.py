"""Single elements and single links that some pair cannot do without."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from chorus.audit import remedies
from chorus.audit.finders.context import Context, percent
from chorus.audit.finding import Finding
from chorus.audit.paths import need_of
from chorus.audit.remedies import Remedy
from chorus.audit.subject import Subject
from chorus.audit.witness import Witness


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

        yield context.finding(
            "AUD001",
            (context.name(vertex),),
            share,
            f"{percent(share)}{margin} of the connected pairs need {context.name(vertex)}; without it, "
            f"{pairs[0][0]} no longer reaches {pairs[0][1]}",
            Witness("cut", removed=(context.name(vertex),), pairs=tuple(pairs)),
            _way_round(context, vertex, share),
            line=context.element_line(vertex),
        )


def _way_round(context: Context, vertex: int, share: float) -> Remedy:
    """Links around an element; where it holds too much together for a few, a second element like it."""
    subject, measured, what = context.subject, context.measured, "share of the connected pairs that need it"
    links = remedies.around(subject.graph, vertex)
    if len(links) <= remedies.LINKS_TOLD:
        return remedies.linked(subject, links, what, share, lambda changed: context.again(changed).need_of(vertex))
    left = need_of(
        remedies.doubled(subject.graph, vertex), vertex, subject.source_array, subject.sink_array,
        seed=measured.seed, budget=measured.budget,
    )  # fmt: skip
    return remedies.tried(Remedy(f"a second {context.name(vertex)} with the same links", what, share, left))


def single_links(context: Context) -> Iterator[Finding | None]:
    """AUD002: links that some pair cannot do without."""
    measured, subject = context.measured, context.subject
    need = measured.link_need
    ranked = sorted(range(len(need)), key=lambda k: (-need[k], k))
    for k in ranked[: context.top]:
        link = int(measured.links[k])
        a, b = (int(end) for end in subject.graph.edges[link])
        share = float(need[k])
        pairs = context.cut_pairs((), (link,), near=np.array([a, b]))
        if not pairs:
            continue

        def after(changed: Subject, link: int = link) -> float:
            return float(context.again(changed).need_of_links(np.array([link]))[0])

        sign = "→" if subject.graph.directed else "–"
        yield context.finding(
            "AUD002",
            (context.name(a), context.name(b)),
            share,
            f"{percent(share)} of the connected pairs need the link {context.name(a)} {sign} {context.name(b)}; "
            f"without it, {pairs[0][0]} no longer reaches {pairs[0][1]}",
            Witness("cut", removed_links=((context.name(a), context.name(b)),), pairs=tuple(pairs)),
            remedies.linked(subject, [(a, b)], "share of the connected pairs that need this link", share, after),
            line=subject.origin.edge_lines[link] if subject.origin and link < len(subject.origin.edge_lines) else None,
        )
