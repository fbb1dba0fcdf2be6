"""What edges do not show at once: shared resources, attacks, concentration of load, missing reach."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from chorus.audit import remedies
from chorus.audit.attacks import attack_curve, attack_order
from chorus.audit.components import distances
from chorus.audit.conditions import traffic
from chorus.audit.finders.context import Context, percent
from chorus.audit.finding import Finding
from chorus.audit.remedies import Remedy, tried
from chorus.audit.subject import Subject
from chorus.audit.witness import Witness


def shared_resources(context: Context) -> Iterator[Finding | None]:
    """AUD005: what several elements share without an edge that shows it."""
    measured, subject = context.measured, context.subject
    need = measured.decisions.need_share
    worst = int(np.argmax(need))
    for name, loss in sorted(measured.resource_loss.items(), key=lambda item: (-item[1], item[0]))[: context.top]:
        resource = next(resource for resource in subject.resources if resource.name == name)
        halves = [frozenset(map(subject.number, resource.users[k::2])) for k in (0, 1)]
        left = min(measured.counted(subject.graph.without(half)).connected_share for half in halves if half)
        users = set(resource.users)
        pairs = [
            pair for pair in context.cut_pairs(tuple(map(subject.number, resource.users))) if not users & set(pair)
        ]
        outsiders = [name for k, name in enumerate(subject.elements) if k in subject.source_array and name not in users]
        claim = Witness("cut", removed=(name,), pairs=tuple(pairs)) if pairs else Witness("measured")
        graph_alone = f"{context.name(worst)} with {percent(float(need[worst]))}" if need[worst] else "nothing"
        yield context.finding(
            "AUD005",
            (name,),
            loss,
            f"{len(users)} elements share {name}; {percent(loss)} of the connected pairs go with it, while the worst "
            f"single element of the graph alone is {graph_alone}" + ("" if outsiders else "; no source is free of it"),
            claim,
            tried(
                Remedy(
                    f"give every other user a second, independent {name}",
                    "share of the connected pairs lost with the worse copy",
                    loss,
                    1 - left / (measured.decisions.connected_share or 1.0),
                )
            ),
        )


def attacks(context: Context) -> Iterator[Finding | None]:
    """AUD006: a network that a few removals take apart."""
    subject, curve = context.subject, context.measured.attack("adaptive")
    if context.measured.components.max(initial=0) == subject.graph.n - 1:
        return
    below = int(np.argmax(curve.share < 0.5))
    order = attack_order(subject.graph, "adaptive")[:below]
    names = tuple(context.name(v) for v in order.tolist())
    random = 2 * context.measured.attack("random").robustness
    start = 2 * curve.robustness
    links = remedies.pairing(subject.graph)
    witness = Witness("shrink", removed=names) if 0 < len(names) <= 50 else Witness("measured")
    yield context.finding(
        "AUD006",
        names[:1],
        min(1.0, start),
        f"removing the {below} best-connected of {subject.graph.n} elements, one after the other, leaves the largest "
        f"component below half; 2R is {start:.3f} (under random loss {random:.3f})",
        witness,
        remedies.linked(
            subject,
            links,
            "2R under adaptive attack",
            start,
            lambda changed: 2 * attack_curve(changed.graph, "adaptive").robustness,
            rises=True,
        ),
        line=context.element_line(int(order[0])) if len(order) else None,
    )


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
                subject,
                remedies.around(subject.graph, vertex) or remedies.pairing(subject.graph),
                "its share of the load",
                share,
                functools.partial(_path_share, context, vertex),
            )
        else:
            halves = np.append(load, load[vertex] / 2)
            halves[vertex] /= 2
            told = f"divide {context.name(vertex)} in two, each with half of its {what}"
            remedy = Remedy(told, f"largest share of {what}", share, float(halves.max() / halves.sum()))
        yield context.finding(
            "AUD007",
            (context.name(vertex), what),
            share,
            f"{context.name(vertex)} carries {percent(share)} of {what}, {share * subject.graph.n:.1f} × an even part",
            Witness("measured"),
            remedy,
            line=context.element_line(vertex),
        )


def _path_share(context: Context, vertex: int, changed: Subject) -> float:
    load = traffic(changed, context.again(changed))["shortest-path traffic"]
    return float(load[vertex] / load.sum())


def unreachable(context: Context) -> Iterator[Finding | None]:
    """AUD008 and AUD009: pairs that nothing connects, and elements without a link."""
    measured, subject = context.measured, context.subject
    counted, graph = measured.decisions, subject.graph
    share = 1 - counted.connected_share

    def after(changed: Subject) -> float:
        return 1 - context.again(changed).decisions.connected_share

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
                "AUD008",
                (a, b),
                share,
                f"{percent(share)} of the pairs are not connected, {a} to {b} among them",
                Witness("apart", pairs=((a, b),)),
                remedies.linked(subject, links, "share of the pairs not connected", share, after),
                line=context.element_line(pair[0]),
                cap="note" if graph.directed and not subject.has_ends else None,
            )
    for vertex in np.flatnonzero(graph.degree == 0)[: context.top].tolist():
        other = int(np.argmax(graph.degree))
        pair_links = [(vertex, other), (other, vertex)] if graph.directed else [(vertex, other)]
        yield context.finding(
            "AUD009",
            (context.name(vertex),),
            0,
            f"{context.name(vertex)} has no link",
            Witness(
                "apart",
                pairs=((context.name(vertex), context.name(other if other != vertex else (vertex + 1) % graph.n)),),
            ),
            remedies.linked(
                subject,
                pair_links if other != vertex else [(vertex, (vertex + 1) % graph.n)],
                "links of the element",
                0.0,
                functools.partial(_links_of, vertex),
                rises=True,
            ),
            line=context.element_line(vertex),
        )


def _links_of(vertex: int, changed: Subject) -> float:
    return float(changed.graph.degree[vertex])
