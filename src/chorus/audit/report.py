"""The audit itself: measure, score, find; and what came of it, ready to be written in any format."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field, replace

import numpy as np

from chorus.audit.conditions import Condition, conditions
from chorus.audit.finders import Context, find
from chorus.audit.finding import Finding
from chorus.audit.measure import Measured, Progress, silent
from chorus.audit.nulls import z_scores
from chorus.audit.paths import BUDGET
from chorus.audit.rules import LEVELS
from chorus.audit.subject import Subject

SCHEMA = "chorus-audit/1"


@dataclass(frozen=True)
class Suppression:
    """A finding that is accepted, with the reason why. `element` is a pattern with `*` and `?`."""

    rule: str
    element: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Whether this suppression is about the finding."""
        return finding.rule == self.rule and any(fnmatch.fnmatchcase(name, self.element) for name in finding.elements)


@dataclass(frozen=True, eq=False)
class Report:
    """What an audit found.

    Attributes:
        subject: what was audited.
        conditions: the seven, in order.
        findings: those that count, worst first.
        known: findings that a baseline already holds.
        suppressed: accepted findings, each with its reason.
        unused: suppressions that matched nothing.
        figures: measured facts by name.
        curves: attack curves, at most 101 points each.
        significance: z-scores by condition number, where asked for.
        skipped: what was not examined, and why.
        more: findings of a rule beyond the listed ones, by rule id.
        seed: of every random choice.

    """

    subject: Subject
    conditions: tuple[Condition, ...]
    findings: tuple[Finding, ...]
    known: tuple[Finding, ...] = ()
    suppressed: tuple[tuple[Finding, str], ...] = ()
    unused: tuple[Suppression, ...] = ()
    figures: dict[str, float | int | str] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    significance: dict[int, dict[str, float]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    more: dict[str, int] = field(default_factory=dict)
    seed: int = 0

    @property
    def weakest(self) -> Condition | None:
        """The condition with the least score; None when none could be measured."""
        measured = [condition for condition in self.conditions if condition.score is not None]
        return min(measured, key=lambda condition: (condition.score, condition.number), default=None)

    @property
    def complete(self) -> bool:
        """Whether every condition was measured."""
        return all(condition.score is not None for condition in self.conditions)

    def at_least(self, level: str) -> tuple[Finding, ...]:
        """Return the counting findings of this severity or a worse one."""
        return tuple(f for f in self.findings if LEVELS.index(f.level) >= LEVELS.index(level))

    def exit_code(self, fail_on: str | None = "error", *, strict: bool = False) -> int:
        """0 passed, 1 findings at or above `fail_on` (None: never), 3 when `strict` and a condition is n/a."""
        if fail_on is not None and self.at_least(fail_on):
            return 1
        return 3 if strict and not self.complete else 0

    def with_baseline(self, fingerprints: frozenset[str]) -> Report:
        """Return the same report, in which findings that the baseline holds no longer count."""
        new = tuple(f for f in self.findings if f.fingerprint not in fingerprints)
        known = tuple(f for f in self.findings if f.fingerprint in fingerprints)
        return replace(self, findings=new, known=known)

    def with_suppressions(self, suppressions: list[Suppression]) -> Report:
        """Return the same report, in which accepted findings no longer count."""
        kept, accepted, used = [], [], set()
        for finding in self.findings:
            reason = next((s for s in suppressions if s.covers(finding)), None)
            if reason is None:
                kept.append(finding)
            else:
                accepted.append((finding, reason.reason))
                used.add(reason)
        unused = tuple(s for s in suppressions if s not in used and not any(s.covers(f) for f in self.known))
        return replace(self, findings=tuple(kept), suppressed=tuple(accepted), unused=unused)

    def only(self, rule: str) -> Report:
        """Return the same report with the findings of one rule."""
        return replace(self, findings=tuple(f for f in self.findings if f.rule == rule))


def audit(
    subject: Subject, *, seed: int = 0, null_samples: int = 0, top: int = 10, budget: int = BUDGET,
    invocation: str | None = None, progress: Progress = silent,
) -> Report:  # fmt: skip
    """Audit a subject: the seven conditions, and where it would break.

    Args:
        subject: what to audit.
        seed: of every random choice; the same subject and seed give the same report.
        null_samples: random graphs of the same degrees to compare with; 0 for none.
        top: the most findings listed for one rule.
        budget: elementary steps for one analysis before it is sampled.
        invocation: how the command line names the subject, for the commands that re-check witnesses.
        progress: called as `progress(what, done, of)`.

    Example:
        >>> from chorus.audit.graph import Graph
        >>> hub = Graph.of(4, [(0, 1), (0, 2), (0, 3)], directed=False)
        >>> report = audit(Subject(name="star", elements=("hub", "a", "b", "c"), graph=hub))
        >>> report.findings[0].rule, report.findings[0].elements
        ('AUD001', ('hub',))

    """
    measured = Measured(subject, seed=seed, budget=budget, progress=progress)
    scores = conditions(subject, measured)
    listed = find(Context(subject, measured, invocation or "SUBJECT", top), scores, progress)
    significance = {}
    if null_samples:
        significance = z_scores(subject, null_samples, seed=seed, budget=budget, progress=progress)
    progress("done", 1, 1)
    totals = {"AUD001": len(measured.points), "AUD002": len(measured.links),
              "AUD009": int((subject.graph.degree == 0).sum())}  # fmt: skip
    return Report(
        subject=subject,
        conditions=tuple(scores),
        findings=tuple(listed),
        figures=_figures(subject, measured),
        curves={name: curve.share[_thinned(len(curve.share))].tolist() for name, curve in measured.attacks.items()},
        significance=significance,
        skipped=measured.skipped,
        more={rule: total - top for rule, total in totals.items() if total > top},
        seed=seed,
    )


def _thinned(points: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.unique(np.linspace(0, points - 1, 101).round().astype(np.int64))


def _figures(subject: Subject, measured: Measured) -> dict[str, float | int | str]:
    graph = subject.graph
    kind = "strong " if graph.directed else ""
    figures: dict[str, float | int | str] = {
        "elements": graph.n,
        "edges": graph.m,
        "distinct edges": len(graph.distinct),
        "self-loops": int((graph.edges[:, 0] == graph.edges[:, 1]).sum()),
        "directed": "yes" if graph.directed else "no",
        "weak components": int(measured.components.max(initial=-1)) + 1,
        "single points between sources and sinks" if subject.has_ends else f"{kind}articulation points": len(
            measured.points
        ),
        "single links between sources and sinks" if subject.has_ends else f"{kind}bridges": len(measured.links),
    }
    if graph.directed:
        figures["articulation points, directions ignored"] = len(measured.undirected_points)
        figures["bridges, directions ignored"] = len(measured.undirected_links)
    figures["largest core number"] = int(measured.cores.max(initial=0))
    flow = measured.flow
    top = int(np.argmax(flow.through))
    figures["highest betweenness"] = subject.elements[top]
    figures["its share of the connected pairs"] = float(flow.through[top] / max(flow.connected, 1))
    if flow.sampled is not None:
        figures["its share's margin (95 %)"] = float(flow.margin[top] / max(flow.connected, 1))
        figures["sources sampled"] = flow.sampled
    figures["global efficiency"] = measured.decisions.efficiency
    for name, curve in measured.attacks.items():
        figures[f"R, {name} attack"] = curve.robustness
    if measured.groups:
        figures["groups"] = len(measured.groups)
    if measured.group_cut is not None:
        figures["elements between the two largest groups"] = len(measured.group_cut.members)
    if measured.end_cut is not None:
        figures["elements between sources and sinks"] = len(measured.end_cut.members)
    if measured.end_link_cut is not None:
        figures["links between sources and sinks"] = len(measured.end_link_cut.members)
    if measured.waist is not None:
        figures["elements on 90 % of the shortest paths"] = len(measured.waist.elements)
    if measured.intact is not None:
        figures["function intact"] = measured.intact
    return {**figures, **subject.figures}
