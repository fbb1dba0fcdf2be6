"""Reports in five formats, all with the same severity filter."""

from __future__ import annotations

from chorus.audit.report import Report
from chorus.audit.reports.document import as_document, read_baseline, write_json
from chorus.audit.reports.page import write_html
from chorus.audit.reports.sarif import write_sarif
from chorus.audit.reports.tables import write_markdown, write_table
from chorus.errors import InputError

FORMATS = ("table", "json", "sarif", "markdown", "html")


def write(
    report: Report, form: str = "table", level: str = "note", *, exit_code: int = 0, baseline: bool = False
) -> str:
    """Return a report as text.

    Args:
        report: what the audit found.
        form: `table`, `json`, `sarif`, `markdown` or `html`.
        level: the least severity to show; the same findings in every format.
        exit_code: what the command will exit with, which SARIF records.
        baseline: whether a baseline was applied, so that SARIF marks findings as new.

    Raises:
        InputError: there is no such format.

    """
    if form == "table":
        return write_table(report, level)
    if form == "json":
        return write_json(report, level)
    if form == "sarif":
        return write_sarif(report, level, exit_code=exit_code, baseline=baseline)
    if form == "markdown":
        return write_markdown(report, level)
    if form == "html":
        return write_html(report, level)
    raise InputError(f"no format {form!r}; there are {', '.join(FORMATS)}")


__all__ = [
    "FORMATS",
    "as_document",
    "read_baseline",
    "write",
    "write_html",
    "write_json",
    "write_markdown",
    "write_sarif",
    "write_table",
]
