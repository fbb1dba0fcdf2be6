"""Accepted findings: a TOML file in which every entry gives its reason."""

from __future__ import annotations

import tomllib
from pathlib import Path

from chorus.audit.readers import read_text
from chorus.audit.report import Suppression
from chorus.audit.rules import find_rule
from chorus.errors import InputError


def read_suppressions(path: str | Path) -> list[Suppression]:
    """Read `[[suppress]]` tables with `rule`, `element` (a pattern with `*` and `?`) and `reason`.

    Raises:
        InputError: the file is not TOML, a key is unknown, a rule does not exist, or a reason is missing.

    """
    try:
        found = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}") from None
    entries = found.get("suppress", [])
    if not isinstance(entries, list) or set(found) - {"suppress"}:
        raise InputError(f"{path}: expected only [[suppress]] tables with rule, element and reason")
    suppressions = []
    for number, entry in enumerate(entries, 1):
        unknown = set(entry) - {"rule", "element", "reason"}
        if unknown:
            raise InputError(f"{path}: entry {number}: unknown key {sorted(unknown)[0]!r}")
        rule, element, reason = (str(entry.get(key, "")).strip() for key in ("rule", "element", "reason"))
        if not rule or not element:
            raise InputError(f"{path}: entry {number}: a suppression names a rule and an element (`*` for all)")
        if not reason:
            raise InputError(f"{path}: entry {number}: {rule} {element} is suppressed without a reason")
        suppressions.append(Suppression(find_rule(rule).id, element, reason))
    return suppressions
