"""The rules: stable ids, what each measures, and from which value on it is a note, a warning or an error."""

from __future__ import annotations

from dataclasses import dataclass

from chorus.errors import InputError

LEVELS = ("note", "warning", "error")  # in order of severity, with SARIF's names


@dataclass(frozen=True)
class Rule:
    """What a rule looks at.

    `thresholds` holds (level, value) from the most severe down. `rising` says that larger values are worse.
    """

    id: str
    name: str
    title: str
    value: str
    explanation: str
    thresholds: tuple[tuple[str, float], ...]
    rising: bool = True

    def judge(self, value: float) -> tuple[str, float] | None:
        """Return the level a value has and the threshold it passed, or None when it is fine."""
        for level, threshold in self.thresholds:
            if value >= threshold if self.rising else value <= threshold:
                return level, threshold
        return None

    @property
    def limits(self) -> str:
        """The thresholds in words."""
        sign = "≥" if self.rising else "≤"
        return ", ".join(f"{level} {sign} {threshold:g}" for level, threshold in self.thresholds)


_CONDITION = (("warning", 0.2), ("note", 0.5))

RULES = (
    Rule(
        "AUD001", "single-point", "A single element cuts decisions",
        "share of the connected (source, sink) pairs that need the element and are no end of it",
        "Every path of some pair passes this element: a strong articulation point of a directed graph, an articulation "
        "point of an undirected one, or a dominator between declared sources and sinks. The witness names pairs that "
        "are connected with it and not without it. The remedy is a few links around it or, where more "
        "than three are needed, a second element with the same links; counted again.",
        (("error", 0.05), ("warning", 0.01), ("note", 0.0)),
    ),
    Rule(
        "AUD002", "single-link", "A single link cuts decisions",
        "share of the connected (source, sink) pairs that need the link",
        "Every path of some pair runs over this link: a bridge, strong in a directed graph. Of two parallel links "
        "neither is a bridge. The remedy is a second link between the same ends, counted again.",
        (("error", 0.05), ("warning", 0.01), ("note", 0.0)),
    ),
    Rule(
        "AUD003", "small-cut", "Few elements separate what should stay together",
        "number of elements in the smallest set that separates the two largest groups, or sources from sinks",
        "No single element need be critical for a small set to be. The groups are communities (Louvain); members of "
        "both may be in the cut. Declared sources and sinks are never in it. The cut is a minimum (maximum flow).",
        (("error", 1.0), ("warning", 2.0), ("note", 3.0)), rising=False,
    ),
    Rule(
        "AUD004", "waist", "Most shortest paths pass few elements",
        "number of elements that cover 90 % of the shortest paths from sources to sinks",
        "Traffic that takes the shortest way passes a waist even where longer ways exist: its loss is a detour or a "
        "jam, not always a cut. Sizes up to 3 are reported; the finding says whether the set is proven smallest.",
        (("warning", 1.0), ("note", 3.0)), rising=False,
    ),
    Rule(
        "AUD005", "shared-resource", "A shared resource takes more down than any edge shows",
        "share of the connected pairs that is lost when the resource and so its users fail",
        "A key, a tensor, a power feed: its users fall together although no edge says so. The finding sets it beside "
        "the worst single element of the graph alone. The remedy gives the users two independent copies.",
        (("error", 0.5), ("warning", 0.1), ("note", 0.01)),
    ),
    Rule(
        "AUD006", "attack", "Falls apart under targeted removal",
        "2R, twice the area under the largest component's share while the best-connected element falls again and again",
        "R is 1/2 at best (Schneider et al. 2011). The witness is the shortest start of the attack that leaves the "
        "largest component below half. Random loss is shown beside it: a low value there is another problem.",
        (("error", 0.05), ("warning", 0.15), ("note", 0.3)), rising=False,
    ),
    Rule(
        "AUD007", "concentration", "One element carries a large part of the load",
        "the largest share of one load (declared, edge weights, activity, else shortest-path traffic) on one element",
        "Reported from ten times an even share on, or a half. A crowded element is slow before it is gone.",
        (("error", 0.5), ("warning", 0.2), ("note", 0.1)),
    ),
    Rule(
        "AUD008", "unreachable", "Pairs that nothing connects",
        "share of the (source, sink) pairs that are not connected",
        "In a directed graph without declared sources and sinks one-way flow may be meant, and it is a note at most.",
        (("error", 0.2), ("warning", 0.01), ("note", 0.0)),
    ),
    Rule(
        "AUD009", "isolated", "An element without any link",
        "links of the element",
        "It takes no part in anything: left over, or its links are missing in the data.",
        (("warning", 0.0),), rising=False,
    ),
    Rule(
        "AUD010", "function-loss", "Losing one element breaks what the system does",
        "share of the function that is lost without the element, 1 − f(G − v)/f(G)",
        "Measured by removing it from the running system, whatever the graph says: equal load is not equal "
        "importance. The remedy is the system's own fallback, run with the element still missing.",
        (("error", 0.5), ("warning", 0.2), ("note", 0.1)),
    ),
    Rule(
        "AUD011", "idle", "An element that is never used",
        "its share of the long-run activity, relative to an even share",
        "A dead expert, a silent unit: it costs and gives nothing, and it is no reserve unless something can call it.",
        (("warning", 0.0), ("note", 0.01)), rising=False,
    ),
    Rule(
        "AUD012", "centre", "Coordination runs over one element",
        "the largest share of the coordination that one element gives",
        "Agreement that one element hands out goes with it, and waits for it.",
        (("error", 0.9), ("warning", 0.5), ("note", 0.25)),
    ),
    *(
        Rule(
            f"AUD10{number}", f"condition-{number}", f"Condition {number} is low: {title}",
            f"the score of condition {number}, 0 to 1", explanation, _CONDITION, rising=False,
        )
        for number, title, explanation in (
            (1, "addressability", "Who is meant cannot be reached, or does not answer as itself."),
            (2, "selective activation", "Nearly everything is active at every step."),
            (3, "distributed load and state", "Few elements carry most of it."),
            (4, "local autonomy", "Decisions need one element, or inputs from far away."),
            (5, "specialisation with integration", "Elements answer alike, or are far apart."),
            (6, "redundancy", "Losing one element, or a few, costs much."),
            (7, "coordination without a centre", "Elements do not agree, pay much for it, or follow one of them."),
        )
    ),
)  # fmt: skip
BY_ID = {rule.id: rule for rule in RULES}


def find_rule(text: str) -> Rule:
    """Return a rule by its id or name.

    Raises:
        InputError: there is no such rule.

    Example:
        >>> find_rule("single-link").id
        'AUD002'

    """
    for rule in RULES:
        if text.lower() in (rule.id.lower(), rule.name):
            return rule
    raise InputError(f"no rule {text!r}; `chorus audit rules` lists them")
