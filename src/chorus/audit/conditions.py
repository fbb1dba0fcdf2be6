"""The seven conditions: what a distributed computation should keep to, each a score from 0 to 1, or not measurable.

The list and its formulas are this project's own definition. A condition that cannot be measured with what is known
has the score None; that is never a pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from chorus.audit.measure import Measured
from chorus.audit.subject import Subject

Floats = NDArray[np.float64]

NAMES = (
    "addressability",
    "selective activation",
    "distributed load and state",
    "local autonomy",
    "specialisation with integration",
    "redundancy",
    "coordination without a centre",
)
FUNCTION_KEPT = "function kept, worst element"


@dataclass(frozen=True)
class Condition:
    """One condition's score with what it was made of.

    `score` is None where it cannot be measured, and `reason` says what is missing. `basis` says what it was measured
    on; `parts` holds the figures it was made of; `worst` names the element the score is owed to, if it is one.
    """

    number: int
    score: float | None
    basis: str = ""
    parts: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    worst: str | None = None

    @property
    def name(self) -> str:
        """The condition in words."""
        return NAMES[self.number - 1]


def mutual_information_share(counts: Floats) -> float | None:
    """I(address; responder)/H(address) of a table of counts; None when there is only one address.

    Example:
        >>> mutual_information_share(np.eye(4)), mutual_information_share(np.ones((4, 4)))
        (1.0, 0.0)

    """
    joint = counts / counts.sum() if counts.sum() > 0 else counts
    address, responder = joint.sum(axis=1), joint.sum(axis=0)
    entropy = -float((address[address > 0] * np.log(address[address > 0])).sum())
    if entropy <= 0:
        return None
    used = joint > 0
    shared = float((joint[used] * np.log(joint[used] / np.outer(address, responder)[used])).sum())
    return float(np.clip(shared / entropy, 0, 1))


def sparseness(rates: Floats) -> float:
    """(1 − a)/(1 − 1/n) with a = (Σr/n)²/(Σr²/n), over the last axis (Treves and Rolls 1991), averaged.

    Steps in which nothing is active say nothing and are left out; NaN when there is no other.

    Example:
        >>> sparseness(np.eye(4)), sparseness(np.ones((1, 4)))
        (1.0, 0.0)

    """
    rates = np.atleast_2d(rates)
    active = rates[rates.sum(axis=1) > 0]
    if not len(active):
        return float("nan")
    n = rates.shape[1]
    a = active.mean(axis=1) ** 2 / (active**2).mean(axis=1)
    return float(np.clip(((1 - a) / (1 - 1 / n)).mean(), 0, 1))


def even_share(load: Floats) -> float:
    """exp(H)/n of a load: 1 when all carry the same, 1/n when one carries everything (Hill number of order 1).

    Example:
        >>> round(even_share(np.array([1.0, 1.0, 0.0, 0.0])), 6)
        0.5

    """
    share = load[load > 0] / load.sum() if load.sum() > 0 else np.array([])
    return float(np.exp(-(share * np.log(share)).sum()) / len(load)) if len(share) else float("nan")


def selectivity(rates: Floats, stimuli: NDArray[np.int64]) -> float:
    """Mean over active elements of (best − others)/(best + others), the mean rates by stimulus compared.

    Example:
        >>> selectivity(np.eye(3), np.array([0, 1, 2])), selectivity(np.ones((3, 3)), np.array([0, 1, 2]))
        (1.0, 0.0)

    """
    mean = np.stack([rates[stimuli == label].mean(axis=0) for label in np.unique(stimuli)])
    if len(mean) < 2:
        return float("nan")
    best = mean.max(axis=0)
    others = (mean.sum(axis=0) - best) / (len(mean) - 1)
    best, others = best[best > 0], others[best > 0]
    return float(((best - others) / (best + others)).mean()) if len(best) else float("nan")


def traffic(subject: Subject, measured: Measured) -> dict[str, Floats]:
    """Return what each element carries: declared loads, weights of its edges, mean activity; else path flow."""
    loads = dict(subject.loads)
    if subject.weights is not None and "traffic" not in loads:
        tails, heads = (np.bincount(subject.graph.edges[:, k], subject.weights, subject.graph.n) for k in (0, 1))
        loads["traffic"] = (tails + heads).astype(np.float64)
    if subject.activity is not None:
        loads["activity"] = subject.activity.mean(axis=0)
    if not loads:
        # An element handles what passes it and what starts and ends at it.
        counted = measured.decisions
        ends = np.maximum(counted.connected - counted.through, 0) * (
            measured.flow.connected / max(counted.connected, 1)
        )
        loads["shortest-path traffic"] = measured.flow.through + ends
    return loads


def conditions(subject: Subject, measured: Measured) -> list[Condition]:
    """Return the seven conditions of a measured subject, in order.

    Example:
        >>> from chorus.audit.graph import Graph
        >>> ring = Subject(name="ring", elements=tuple("abcd"),
        ...                graph=Graph.of(4, [(0, 1), (1, 2), (2, 3), (3, 0)], directed=False))
        >>> [condition.score is None for condition in conditions(ring, Measured(ring))]
        [False, True, False, False, True, False, False]

    """
    return [score(subject, measured) for score in _SCORES]


def condition(number: int, subject: Subject, measured: Measured) -> Condition:
    """Return one of the seven conditions; only what it reads is measured."""
    return _SCORES[number - 1](subject, measured)


def _addressability(subject: Subject, measured: Measured) -> Condition:
    counted = measured.decisions
    parts = {"pairs reachable": counted.connected_share}
    if counted.sampled is not None:
        parts["margin"] = counted.connected_margin
    if subject.responses is None:
        return Condition(1, parts["pairs reachable"], "structure: share of (source, sink) pairs connected", parts)
    share = mutual_information_share(subject.responses)
    if share is None:
        return Condition(1, None, parts=parts, reason="all responses are to one address")
    return Condition(1, share, "responses: I(address; responder)/H(address)", {"information share": share, **parts})


def _selective_activation(subject: Subject, _measured: Measured) -> Condition:
    if subject.activity is None:
        return Condition(2, None, reason="needs activity over time")
    step = sparseness(subject.activity)
    if np.isnan(step):
        return Condition(2, None, reason="nothing was ever active")
    long_run = sparseness(subject.activity.mean(axis=0))
    parts = {"sparseness per step": step, "sparseness of the long run": long_run}
    return Condition(2, step, "activity: mean Treves–Rolls sparseness of each step", parts)


def _distribution(subject: Subject, measured: Measured) -> Condition:
    parts: dict[str, float] = {}
    worst = None
    for what, load in traffic(subject, measured).items():
        share = even_share(load)
        if not np.isnan(share):
            if share < min(parts.values(), default=2.0):
                worst = subject.elements[int(np.argmax(load))]
            parts[what] = share
    if not parts:
        return Condition(3, None, reason="nothing carries any load")
    score = min(parts.values())
    if subject.activity is not None:
        active = subject.activity[subject.activity.sum(axis=1) > 0]
        # Sparse at each step and even over time pull against each other, so both are shown.
        parts["activity, each step alone"] = float(np.mean([even_share(step) for step in active]))
    basis = (
        "structure" if not (subject.loads or subject.activity is not None or subject.weights is not None) else "load"
    )
    return Condition(3, score, f"{basis}: least exp(H(share))/n", parts, worst=worst)


def _autonomy(subject: Subject, measured: Measured) -> Condition:
    counted = measured.decisions
    if counted.connected == 0:
        return Condition(4, None, reason="no pair of source and sink is connected, so that no decision needs anything")
    worst = int(np.argmax(counted.need))
    parts = {
        "decisions free of the most-needed element": 1 - float(counted.need_share[worst]),
        f"inputs within {counted.hops} hops": counted.near / counted.connected,
    }
    if counted.sampled is not None:
        parts["margin"] = float(counted.need_margin[worst])
    name = subject.elements[worst] if counted.need[worst] else None
    return Condition(4, min(list(parts.values())[:2]), "structure: the lesser of need and nearness", parts, worst=name)


def _specialisation(subject: Subject, measured: Measured) -> Condition:
    parts = {"global efficiency": measured.decisions.efficiency}
    if subject.activity is None or subject.stimuli is None:
        return Condition(5, None, parts=parts, reason="needs activity with the stimulus of each step")
    special = selectivity(subject.activity, subject.stimuli)
    if np.isnan(special):
        return Condition(5, None, parts=parts, reason="needs at least two stimuli and some activity")
    parts = {"selectivity": special, **parts}
    score = float(np.sqrt(max(special, 0) * measured.decisions.efficiency))
    return Condition(5, score, "activity and structure: √(selectivity × global efficiency)", parts)


def _redundancy(subject: Subject, measured: Measured) -> Condition:
    counted = measured.decisions
    if counted.connected == 0 and measured.intact is None:
        return Condition(6, None, reason="no pair of source and sink is connected, so that there is nothing to keep")
    parts = {"2R under adaptive attack": min(1.0, 2 * measured.attack("adaptive").robustness)}
    names: dict[str, str | None] = {"2R under adaptive attack": None}
    worst = int(np.argmin(counted.kept))
    parts["pairs kept, worst element"] = float(counted.kept[worst])
    names["pairs kept, worst element"] = subject.elements[worst]
    if measured.resource_loss:
        resource = max(measured.resource_loss, key=lambda name: measured.resource_loss[name])
        parts["pairs kept, worst shared resource"] = 1 - measured.resource_loss[resource]
        names["pairs kept, worst shared resource"] = resource
    if measured.intact == 0:
        parts["function, nothing removed"], names["function, nothing removed"] = 0.0, None
    elif measured.intact:
        element = min(measured.ablation, key=lambda name: measured.ablation[name])
        parts[FUNCTION_KEPT] = float(np.clip(measured.ablation[element] / measured.intact, 0, 1))
        names[FUNCTION_KEPT] = element
    least = min(parts, key=lambda part: parts[part])
    return Condition(6, parts[least], f"the least is: {least}", parts, worst=names[least])


def _coordination(subject: Subject, measured: Measured) -> Condition:
    found = measured.coordination
    if found is None:
        return Condition(7, None, reason="nothing flows back in this graph, so that its elements cannot come to agree")
    spent = found.cost / found.total if found.total > 0 else 1.0
    share = float(found.share.max(initial=0.0))
    parts = {"agreement": found.agreement, "cost/total": spent, "coordinator's share": share}
    score = float(np.clip(found.agreement * (1 - spent) * (1 - share), 0, 1))
    worst = subject.elements[int(np.argmax(found.share))]
    return Condition(7, score, f"agreement × (1 − cost) × (1 − coordinator): {found.how}", parts, worst=worst)


_SCORES: tuple[Callable[[Subject, Measured], Condition], ...] = (
    _addressability,
    _selective_activation,
    _distribution,
    _autonomy,
    _specialisation,
    _redundancy,
    _coordination,
)
