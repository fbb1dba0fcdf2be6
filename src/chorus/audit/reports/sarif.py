"""A report as SARIF 2.1.0 (OASIS standard, 2020), which code hosts and editors read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from chorus import __version__
from chorus.audit.finding import Finding
from chorus.audit.report import Report
from chorus.audit.reports.tables import effect, figure
from chorus.audit.rules import RULES

SCHEMA_URI = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def _uri(path: str) -> str:
    """Return a file URI, relative where the path is relative."""
    return Path(path).as_uri() if Path(path).is_absolute() else quote(path)


def _result(report: Report, finding: Finding, state: str | None, reason: str | None) -> dict[str, Any]:
    location: dict[str, Any] = {
        "logicalLocations": [
            {"name": name, "fullyQualifiedName": f"{report.subject.name}::{name}", "kind": "element"}
            for name in finding.elements
        ]
    }
    if report.subject.origin is not None:
        place: dict[str, Any] = {"artifactLocation": {"uri": _uri(report.subject.origin.path)}}
        if finding.line:
            place["region"] = {"startLine": finding.line}
        location["physicalLocation"] = place
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": [rule.id for rule in RULES].index(finding.rule),
        "level": finding.level,
        "message": {"text": f"{finding.message}. Check: {finding.recheck}. Remedy: {effect(finding)}."},
        "locations": [location],
        "partialFingerprints": {"chorusAudit/v1": finding.fingerprint},
        "properties": {
            "value": finding.value,
            "threshold": finding.threshold,
            "witness": {"claim": finding.witness.claim, "removed": list(finding.witness.removed),
                        "removedLinks": [list(link) for link in finding.witness.removed_links],
                        "pairs": [list(pair) for pair in finding.witness.pairs]},
            "recheck": finding.recheck,
        },
    }  # fmt: skip
    if state is not None:
        result["baselineState"] = state
    if reason is not None:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": reason}]
    return result


def write_sarif(
    report: Report, level: str = "note", *, exit_code: int = 0, baseline: bool = False
) -> str:  # fmt: skip
    """Return the report as SARIF text; findings of `level` and worse.

    A condition that could not be measured is a notification of the run, not a result: it is no finding and no pass.
    """
    state = "new" if baseline else None
    results = [_result(report, finding, state, None) for finding in report.at_least(level)]
    results += [_result(report, finding, "unchanged", None) for finding in report.known]
    results += [_result(report, finding, state, reason) for finding, reason in report.suppressed]
    notes = [
        {"level": "warning", "message": {"text": f"condition {c.number} {c.name}: n/a, {c.reason}"},
         "descriptor": {"id": f"AUD10{c.number}"}}
        for c in report.conditions if c.score is None
    ]  # fmt: skip
    notes += [{"level": "note", "message": {"text": f"not examined: {why}"}} for why in report.skipped.values()]
    run = {
        "tool": {
            "driver": {
                "name": "chorus audit",
                "version": __version__,
                "rules": [
                    {
                        "id": rule.id,
                        "name": "".join(part.capitalize() for part in rule.name.split("-")),
                        "shortDescription": {"text": rule.title},
                        "fullDescription": {"text": rule.explanation},
                        "help": {"text": f"Value: {rule.value}. {rule.limits}."},
                        "defaultConfiguration": {"level": rule.thresholds[0][0]},
                    }
                    for rule in RULES
                ],
            }
        },
        "invocations": [{"executionSuccessful": True, "exitCode": exit_code, "toolExecutionNotifications": notes}],
        "results": results,
        "columnKind": "unicodeCodePoints",
        "properties": {
            "seed": report.seed,
            "conditions": {str(c.number): figure(c.score) for c in report.conditions},
        },
    }
    return json.dumps({"$schema": SCHEMA_URI, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"
