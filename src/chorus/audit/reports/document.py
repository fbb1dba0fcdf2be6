"""A report as JSON (schema `chorus-audit/1`), and the baseline read back from it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chorus.audit.finding import Finding
from chorus.audit.readers import read_text
from chorus.audit.report import SCHEMA, Report
from chorus.errors import InputError


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "level": finding.level,
        "elements": list(finding.elements),
        "value": finding.value,
        "threshold": finding.threshold,
        "message": finding.message,
        "line": finding.line,
        "witness": asdict(finding.witness),
        "recheck": finding.recheck,
        "remedy": asdict(finding.remedy),
        "fingerprint": finding.fingerprint,
    }


def as_document(report: Report, level: str = "note") -> dict[str, Any]:
    """Return the report as dictionaries and lists, findings of `level` and worse; `docs/audit.md` has the keys."""
    weakest = report.weakest
    return {
        "schema": SCHEMA,
        "subject": {"name": report.subject.name, "model": report.subject.model,
                    "file": report.subject.origin.path if report.subject.origin else None},
        "seed": report.seed,
        "complete": report.complete,
        "conditions": [
            {"number": c.number, "name": c.name, "score": c.score, "basis": c.basis, "parts": c.parts,
             "reason": c.reason or None, "worst": c.worst, "significance": report.significance.get(c.number)}
            for c in report.conditions
        ],
        "minimum": None if weakest is None else {"condition": weakest.number, "score": weakest.score},
        "figures": report.figures,
        "attack_curves": report.curves,
        "findings": [_finding(finding) for finding in report.at_least(level)],
        "baseline_findings": [_finding(finding) for finding in report.known],
        "suppressed": [{**_finding(finding), "reason": reason} for finding, reason in report.suppressed],
        "not_listed": report.more,
        "skipped": report.skipped,
    }  # fmt: skip


def _finite(value: Any) -> Any:
    """JSON has no NaN; what is not a number is null."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(report: Report, level: str = "note") -> str:
    """Return the report as JSON text."""
    return json.dumps(_finite(as_document(report, level)), indent=2, ensure_ascii=False) + "\n"


def read_baseline(path: str | Path) -> frozenset[str]:
    """Return the fingerprints of all findings in an earlier JSON report, whatever became of them then.

    Raises:
        InputError: the file is missing or no such report.

    """
    try:
        found = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        schema = found.get("schema") if isinstance(found, dict) else None
        raise InputError(f"{path}: a baseline is a JSON report of schema {SCHEMA}; this has {schema!r}. "
                         f"Make one with `chorus audit … --format json > {path}`")  # fmt: skip
    groups = [found.get(key, []) for key in ("findings", "baseline_findings", "suppressed")]
    try:
        return frozenset(str(finding["fingerprint"]) for group in groups for finding in group)
    except (TypeError, KeyError):
        raise InputError(f"{path}: a finding without a fingerprint; the report was changed by hand") from None
