"""The finders: from measurements to findings, one generator for each rule."""

from __future__ import annotations

from collections.abc import Iterable

from chorus.audit.conditions import Condition
from chorus.audit.finders import behaviour, exposure, narrows, points
from chorus.audit.finders.context import Context
from chorus.audit.finding import Finding
from chorus.audit.measure import Progress, silent


def find(context: Context, scores: list[Condition], progress: Progress = silent) -> list[Finding]:
    """Return all findings, worst first, each remedy with its effect measured again."""
    finders: tuple[Iterable[Finding | None], ...] = (
        points.single_points(context),
        points.single_links(context),
        narrows.small_cuts(context),
        narrows.waists(context),
        exposure.shared_resources(context),
        exposure.attacks(context),
        exposure.concentration(context),
        exposure.unreachable(context),
        behaviour.function_loss(context),
        behaviour.idle(context),
        behaviour.centre(context),
        behaviour.low_conditions(context, scores),
    )
    found: list[Finding] = []
    for done, finder in enumerate(finders):
        progress(f"{len(found)} findings, their remedies", done, len(finders))
        for finding in finder:
            if finding is not None:
                found.append(finding)
                progress(f"{len(found)} findings, their remedies", done, len(finders))
    return sorted(found, key=lambda finding: finding.order)


__all__ = ["Context", "find"]
