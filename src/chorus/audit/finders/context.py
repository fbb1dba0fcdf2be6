"""What every finder needs: the subject, its measurements, and how a finding is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chorus.audit.components import distances
from chorus.audit.finding import Finding
from chorus.audit.graph import Ints
from chorus.audit.measure import Measured
from chorus.audit.remedies import Remedy
from chorus.audit.rules import BY_ID
from chorus.audit.subject import Subject
from chorus.audit.witness import Pair, Witness

SAMPLE_PAIRS = 3
SOURCES_TRIED = 500


@dataclass(frozen=True)
class Context:
    """What every finder needs.

    `invocation` is how the command line names the subject, `top` the most findings of one rule.
    """

    subject: Subject
    measured: Measured
    invocation: str
    top: int = 10

    def finding(
        self,
        rule: str,
        elements: tuple[str, ...],
        value: float,
        message: str,
        witness: Witness,
        remedy: Remedy,
        *,
        line: int | None = None,
        cap: str | None = None,
    ) -> Finding | None:
        """Return a finding, or None when the value passes no threshold; `cap` is the highest level allowed."""
        judged = BY_ID[rule].judge(value)
        if judged is None:
            return None
        level, threshold = judged
        if cap is not None and level != cap:
            level, threshold = cap, next(limit for name, limit in BY_ID[rule].thresholds[::-1])
        return Finding(
            rule,
            level,
            elements,
            float(value),
            threshold,
            message,
            witness,
            witness.command(self.invocation, rule),
            remedy,
            line,
        )

    def name(self, vertex: int) -> str:
        """Return an element's name."""
        return self.subject.elements[vertex]

    def element_line(self, vertex: int) -> int | None:
        """Return the line that declares an element."""
        origin = self.subject.origin
        return origin.element_lines[vertex] if origin else None

    def again(self, changed: Subject) -> Measured:
        """Measure a changed subject as this one was measured."""
        return Measured(changed, seed=self.measured.seed, budget=self.measured.budget)

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
