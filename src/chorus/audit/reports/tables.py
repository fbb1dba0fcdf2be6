"""A report as plain text, and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chorus.audit.finding import Finding
from chorus.audit.report import Report
from chorus.audit.rules import BY_ID, LEVELS

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Return the text with control and direction marks spelled out: names come from files that others wrote."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def figure(value: float | int | str | None) -> str:
    """Return a number in few digits; None is n/a."""
    if value is None:
        return "n/a"
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}"


def effect(finding: Finding) -> str:
    """Return the remedy in one line, with what it was found to change."""
    remedy = finding.remedy
    if remedy.after is None or remedy.before is None:
        return f"{remedy.text} (not recomputed)" if remedy.measure else remedy.text
    return f"{remedy.text}: {remedy.measure} {figure(remedy.before)} → {figure(remedy.after)}"


def summary(report: Report) -> str:
    """One line: the weakest condition and the number of findings by severity."""
    by_level = [(sum(finding.level == level for finding in report.findings), level) for level in LEVELS[::-1]]
    counts = ", ".join(f"{count} {level}{'s' * (count != 1)}" for count, level in by_level)
    weakest = report.weakest
    low = (
        "no condition could be measured"
        if weakest is None
        else f"weakest: {weakest.number} {weakest.name} {figure(weakest.score)}"
    )
    missing = sum(condition.score is None for condition in report.conditions)
    return f"{low}; {missing} of 7 not measurable; {counts}"


def remarks(report: Report) -> list[str]:
    """Return what stands below the findings: what is not among them, and why; names as they came."""
    lines = [f"not listed: {count} more of {rule} (--top)" for rule, count in sorted(report.more.items())]
    lines += [f"not examined: {why}" for why in report.skipped.values()]
    lines += [f"suppressed: {f.rule} {', '.join(f.elements)}: {why}" for f, why in report.suppressed]
    lines += [f"suppression that matched nothing: {s.rule} {s.element}" for s in report.unused]
    return lines + ([f"in the baseline, and not counted: {len(report.known)}"] if report.known else [])


def _named(finding: Finding) -> str:
    return visible(", ".join(finding.elements))


def _column(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _condition_rows(report: Report) -> list[tuple[str, ...]]:
    rows = []
    for condition in report.conditions:
        parts = ", ".join(f"{name} {figure(value)}" for name, value in condition.parts.items())
        why = condition.reason if condition.score is None else parts
        row = [str(condition.number), condition.name, figure(condition.score), visible(why)]
        if report.significance:
            z = report.significance.get(condition.number, {}).get("z")
            row.insert(3, "" if z is None else f"{z:+.1f}")
        rows.append(tuple(row))
    return rows


def write_table(report: Report, level: str = "note") -> str:
    """Return the report for a terminal; findings of `level` and worse."""
    subject = report.subject
    lines = [f"{visible(subject.name)}: {visible(subject.model)}", ""]
    lines += _column([(name, figure(value)) for name, value in report.figures.items()])
    head = ("", "condition", "score", *(("z",) if report.significance else ()), "made of")
    lines += ["", *_column([head, *_condition_rows(report)]), ""]
    for finding in report.at_least(level):
        lines += [
            f"{finding.level.upper():7}  {finding.rule} {BY_ID[finding.rule].name}  {_named(finding)}"
            + (f"  (line {finding.line})" if finding.line else ""),
            f"         {visible(finding.message)}",
            f"         value {figure(finding.value)}, threshold {figure(finding.threshold)}",
            f"         check   {visible(finding.recheck)}",
            f"         remedy  {visible(effect(finding))}",
            "",
        ]
    return "\n".join([*lines, *map(visible, remarks(report)), summary(report)]) + "\n"


def cell(text: str) -> str:
    """Text that stays text in a Markdown table."""
    escaped = re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", visible(text))
    return escaped.replace("&", "&amp;")


def _fence(text: str) -> str:
    ticks = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{ticks} {text} {ticks}" if "`" in text else f"{ticks}{text}{ticks}"


def write_markdown(report: Report, level: str = "note") -> str:
    """Return the report as Markdown (tables as on GitHub); findings of `level` and worse."""
    subject = report.subject
    z = report.significance != {}
    lines = [f"# Audit of {cell(subject.name)}", "", cell(subject.model) + ".", "", f"**{cell(summary(report))}**", ""]
    lines += [
        "| | condition | score |" + (" z |" if z else "") + " made of |",
        "|---|---|---|---|" + ("---|" if z else ""),
    ]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in _condition_rows(report)]
    lines += ["", "| figure | value |", "|---|---|"]
    lines += [f"| {cell(name)} | {cell(figure(value))} |" for name, value in report.figures.items()]
    lines += ["", "## Findings", ""]
    for finding in report.at_least(level):
        where = f" (line {finding.line})" if finding.line else ""
        lines += [
            f"- **{finding.level}** {finding.rule} {BY_ID[finding.rule].name}: {cell(_named(finding))}{where}",
            f"  {cell(finding.message)}. Value {figure(finding.value)}, threshold {figure(finding.threshold)}.",
            f"  Check: {_fence(visible(finding.recheck))}.",
            f"  Remedy: {cell(effect(finding))}.",
        ]
    if not report.at_least(level):
        lines.append("None of this severity.")
    lines += [f"- {cell(line)}" for line in remarks(report)]
    return "\n".join(lines) + "\n"
