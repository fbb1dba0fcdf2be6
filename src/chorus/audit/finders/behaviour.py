"""What a system does: function, idleness, coordination, the seven conditions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from chorus.audit import remedies
from chorus.audit.conditions import FUNCTION_KEPT, Condition, condition, even_share
from chorus.audit.finders.context import Context, percent
from chorus.audit.finding import Finding
from chorus.audit.gossip import gossip
from chorus.audit.graph import Graph
from chorus.audit.measure import Measured
from chorus.audit.remedies import Remedy, tried
from chorus.audit.subject import Subject
from chorus.audit.witness import Witness


def function_loss(context: Context) -> Iterator[Finding | None]:
    """AUD010: what the system does without one element."""
    function, measured = context.subject.function, context.measured
    if function is None or measured.intact is None:
        return
    if measured.intact == 0:
        told = f"{function.name} is 0 with nothing removed: there is nothing left to lose"
        yield context.finding(
            "AUD010", (context.subject.name,), 1.0, told, Witness("measured"), Remedy(function.repair_note)
        )
        return
    ranked = sorted(measured.ablation.items(), key=lambda item: (item[1], item[0]))
    for name, score in ranked[: context.top]:
        loss = 1 - score / measured.intact
        if loss < 0.1:
            break
        remedy = Remedy(function.repair_note)
        if function.repair is not None and (mended := function.repair(name)) is not None:
            text, left = mended
            what = "share of the function lost without it"
            remedy = tried(Remedy(text, what, loss, 1 - left / measured.intact))
        yield context.finding(
            "AUD010",
            (name,),
            loss,
            f"without {name}, {function.name} falls from {measured.intact:.4g} to {score:.4g}",
            Witness("fall", removed=(name,)),
            remedy,
        )


def idle(context: Context) -> Iterator[Finding | None]:
    """AUD011: elements that no input ever makes active."""
    activity = context.subject.activity
    if activity is None or activity.sum() <= 0:
        return
    share = activity.mean(axis=0) / activity.mean()
    for vertex in np.argsort(share, kind="stable")[: context.top].tolist():
        if share[vertex] > 0.01:
            break
        kept = np.delete(activity.mean(axis=0), np.flatnonzero(share <= 0.01))
        yield context.finding(
            "AUD011",
            (context.name(vertex),),
            float(share[vertex]),
            f"{context.name(vertex)} is active {percent(float(share[vertex]))} as much as an even share",
            Witness("measured"),
            tried(
                Remedy(
                    "remove what is idle",
                    "even share of the long-run activity, exp(H)/n",
                    even_share(activity.mean(axis=0)),
                    even_share(kept),
                ),
                rises=True,
            ),
            line=context.element_line(vertex),
        )


def centre(context: Context) -> Iterator[Finding | None]:
    """AUD012: agreement that one element hands out."""
    found = context.measured.coordination
    if found is None or found.share.max(initial=0) <= 0:
        return
    vertex = int(np.argmax(found.share))
    share = float(found.share[vertex])
    if share < 2 / context.subject.graph.n:
        return
    if context.subject.coordination is None:
        links = remedies.shortcuts(context.subject.graph, context.measured.seed)
        remedy = remedies.linked(
            context.subject,
            links,
            "its share of the coordination",
            share,
            lambda changed: float(_gossip_share(changed.graph, context.measured.seed, vertex)),
        )
    else:
        even = float(found.share.sum() / context.subject.graph.n)
        told = "share the coordination evenly among all"
        remedy = tried(Remedy(told, "the largest share of the coordination", share, even))
    yield context.finding(
        "AUD012",
        (context.name(vertex),),
        share,
        f"{context.name(vertex)} gives {percent(share)} of the coordination ({found.how})",
        Witness("measured"),
        remedy,
        line=context.element_line(vertex),
    )


def _gossip_share(graph: Graph, seed: int, vertex: int) -> float:
    found = gossip(graph, seed=seed)
    return float(found.share[vertex]) if found is not None else float("nan")


def low_conditions(context: Context, scores: list[Condition]) -> Iterator[Finding | None]:
    """AUD101 to AUD107: conditions below their thresholds."""
    for scored in scores:
        if scored.score is None or scored.score > 0.5:
            continue
        parts = ", ".join(f"{name} {value:.3g}" for name, value in scored.parts.items())
        yield context.finding(
            f"AUD10{scored.number}",
            (scored.name,),
            scored.score,
            f"{scored.name} is {scored.score:.3g} ({parts})"
            + (f"; it is owed to {scored.worst}" if scored.worst else ""),
            Witness("measured"),
            _condition_remedy(context, scored),
        )


def _again(context: Context, changed: Subject, number: int) -> float | None:
    bare = replace(changed, function=None) if number != 6 else changed
    few = max(context.measured.budget // 10, 1)
    return condition(number, bare, Measured(bare, seed=context.measured.seed, budget=few)).score


def _condition_remedy(context: Context, scored: Condition) -> Remedy:
    """Return the change that most directly acts on what the score is owed to, and the score with it."""
    subject, number = context.subject, scored.number
    what = f"score of condition {number}"
    changed, text = subject, ""
    if number == 1 and subject.responses is not None:
        best = subject.responses.argmax(axis=1)
        only = np.zeros_like(subject.responses)
        only[np.arange(len(only)), best] = subject.responses.sum(axis=1)
        changed, text = replace(subject, responses=only), "let only the likeliest responder answer each address"
    elif number == 2 or (number == 5 and scored.parts.get("selectivity", 1) < scored.parts["global efficiency"]):
        sizes = sorted({max(1, round(subject.graph.n * share)) for share in (0.1, 0.25, 0.5)})
        score, keep = max(
            (_again(context, remedies.winners_only(subject, keep), number) or 0.0, keep) for keep in sizes
        )
        few = f"{keep} most active elements" if keep > 1 else "most active element"
        return tried(Remedy(f"at each step, let only the {few} stay active", what, scored.score, score), rises=True)
    elif number == 3 and subject.loads:
        name, load = min(subject.loads.items(), key=lambda item: even_share(item[1]))
        capped = np.minimum(load, 2 * load.mean())
        capped = capped + (load.sum() - capped.sum()) / len(load)
        changed = replace(subject, loads={**subject.loads, name: capped})
        text = f"cap every element at twice the mean of {name}, and spread the rest evenly"
    elif number == 7 and subject.coordination is not None:
        given = subject.coordination
        even = np.full(subject.graph.n, given.share.sum() / subject.graph.n)
        changed, text = replace(subject, coordination=replace(given, share=even)), "share the coordination evenly"
    elif number == 6 and subject.function is not None and scored.score == scored.parts.get(FUNCTION_KEPT):
        function, worst = subject.function, str(scored.worst)
        if function.repair is None or (mended := function.repair(worst)) is None:
            return Remedy(function.repair_note)
        told, score = mended
        kept = score / (context.measured.intact or 1.0)
        return tried(Remedy(told, f"function kept without {worst}", scored.score, kept), rises=True)
    if text:
        return tried(Remedy(text, what, scored.score, _again(context, changed, number)), rises=True)
    return _best_links(context, scored, what)


def _best_links(context: Context, scored: Condition, what: str) -> Remedy:
    """Of a few ways to add links, the one after which the score is highest."""
    subject, counted = context.subject, context.measured.decisions
    ways = [
        remedies.joining(subject.graph, context.measured.components),
        remedies.around(subject.graph, int(np.argmax(counted.need))) if counted.need.any() else [],
        remedies.shortcuts(subject.graph, context.measured.seed),
        remedies.pairing(subject.graph),
    ]
    found = [(_again(context, subject.with_links(links), scored.number) or 0.0, links) for links in ways if links]
    if not found:
        return Remedy("every pair is linked already; links do not help")
    score, links = max(found, key=lambda pair: pair[0])
    return remedies.linked(subject, links, what, scored.score or 0.0, lambda _: score, rises=True)
