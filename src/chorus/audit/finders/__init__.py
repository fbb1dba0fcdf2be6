"""The finders: from measurements to findings, one generator for each rule."""

from __future__ import annotations

from collections.abc import Iterator

from chorus.audit.conditions import Condition
from chorus.audit.finders import behaviour, exposure, narrows, points
from chorus.audit.finders.context import Context
from chorus.audit.finding import Finding


def find(context: Context, scores: list[Condition]) -> list[Finding]:
    """Return all findings, worst first."""

    def everything() -> Iterator[Finding | None]:
        yield from points.single_points(context)
        yield from points.single_links(context)
        yield from narrows.small_cuts(context)
        yield from narrows.waists(context)
        yield from exposure.shared_resources(context)
        yield from exposure.attacks(context)
        yield from exposure.concentration(context)
        yield from exposure.unreachable(context)
        yield from behaviour.function_loss(context)
        yield from behaviour.idle(context)
        yield from behaviour.centre(context)
        yield from behaviour.low_conditions(context, scores)

    return sorted((finding for finding in everything() if finding is not None), key=lambda finding: finding.order)


__all__ = ["Context", "find"]
