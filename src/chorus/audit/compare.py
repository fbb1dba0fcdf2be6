"""Several subjects side by side: a table of the seven conditions, and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from chorus.audit.conditions import NAMES
from chorus.audit.report import SCHEMA, Report
from chorus.audit.reports.tables import cell, figure, visible
from chorus.errors import InputError

if TYPE_CHECKING:
    from matplotlib.projections.polar import PolarAxes

FORMATS = ("table", "markdown", "json")


def _rows(reports: Sequence[Report]) -> list[list[str]]:
    rows = [["", "condition", *(report.subject.name for report in reports)]]
    for k, name in enumerate(NAMES):
        rows.append([str(k + 1), name, *(figure(report.conditions[k].score) for report in reports)])
    lowest = [report.weakest for report in reports]
    rows.append(["", "minimum", *("n/a" if low is None else f"{figure(low.score)} ({low.number})" for low in lowest)])
    rows.append(
        ["", "measured", *(f"{sum(c.score is not None for c in report.conditions)} of 7" for report in reports)]
    )
    return rows


def compare(reports: Sequence[Report], form: str = "table") -> str:
    """Write the seven conditions of several reports side by side.

    Args:
        reports: at least one.
        form: `table`, `markdown` or `json`.

    Raises:
        InputError: there is no such format.

    """
    rows = _rows(reports)
    if form == "table":
        rows = [[visible(text) for text in row] for row in rows]
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join(lines) + "\n"
    if form == "markdown":
        lines = ["| " + " | ".join(map(cell, row)) + " |" for row in rows]
        return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]) + "\n"
    if form == "json":
        found = [
            {"subject": report.subject.name, "scores": [condition.score for condition in report.conditions]}
            for report in reports
        ]
        return json.dumps({"schema": f"{SCHEMA}/compare", "conditions": NAMES, "subjects": found}, indent=2) + "\n"
    raise InputError(f"no format {form!r}; there are {', '.join(FORMATS)}")


def draw(reports: Sequence[Report], path: str | Path) -> None:
    """Draw the seven conditions of several reports as a radar and as parallel lines, to a PNG or SVG file.

    A condition that is not measurable leaves a gap; it is never drawn as 0.

    Raises:
        InputError: the extension is neither `.png` nor `.svg`, or matplotlib is missing.

    """
    path = Path(path)
    if path.suffix not in (".png", ".svg"):
        raise InputError(f"{path}: pictures are .png or .svg")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("pictures need matplotlib: pip install 'the-chorus[plot]'") from None
    with mpl.rc_context({"svg.hashsalt": "chorus", "svg.fonttype": "none"}):
        page = Figure(figsize=(12, 5.2), layout="constrained")
        radar = cast("PolarAxes", page.add_subplot(1, 2, 1, projection="polar"))
        lines = page.add_subplot(1, 2, 2)
        turns = [2 * 3.141592653589793 * k / 7 for k in range(7)]
        for number, report in enumerate(reports):
            scores = [float("nan") if c.score is None else c.score for c in report.conditions]
            dash = ("o-", "s--", "^:")[number % 3]
            radar.plot([*turns, turns[0]], [*scores, scores[0]], dash, color=f"C{number % 10}")
            lines.plot(range(1, 8), scores, dash, color=f"C{number % 10}", label=report.subject.name)
        radar.set_theta_offset(3.141592653589793 / 2)
        radar.set_theta_direction(-1)
        radar.set_xticks(turns, [str(k) for k in range(1, 8)])
        radar.set_ylim(0, 1)
        lines.set_ylim(-0.03, 1.03)
        lines.set_xticks(range(1, 8), [f"{k + 1} {name}" for k, name in enumerate(NAMES)], rotation=25, ha="right")
        lines.set_ylabel("score (a gap is not measurable)")
        lines.grid(alpha=0.3)
        lines.legend(loc="lower left", fontsize="small", framealpha=0.9)
        try:
            page.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
