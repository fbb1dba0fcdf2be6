"""A finding: what is wrong where, how it is known, and what would help."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from chorus.audit.remedies import Remedy
from chorus.audit.rules import BY_ID, LEVELS
from chorus.audit.witness import Witness


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        rule: the rule's id.
        level: `note`, `warning` or `error`.
        elements: the elements (or resource, or both ends of a link) it is about.
        value: the measured value.
        threshold: the value from which on this level holds.
        message: one sentence.
        witness: what to re-check.
        recheck: the command that does.
        remedy: what would help, with its recomputed effect.
        line: the line of the file that declares the element or link, if there is a file.

    """

    rule: str
    level: str
    elements: tuple[str, ...]
    value: float
    threshold: float
    message: str
    witness: Witness
    recheck: str
    remedy: Remedy
    line: int | None = None

    @property
    def fingerprint(self) -> str:
        """The same for the same rule about the same elements, whatever the figures are: what a baseline compares."""
        return hashlib.sha256("\0".join((self.rule, *sorted(self.elements))).encode()).hexdigest()[:16]

    @property
    def order(self) -> tuple[int, str, float, tuple[str, ...]]:
        """Worst first."""
        worse = -self.value if BY_ID[self.rule].rising else self.value
        return -LEVELS.index(self.level), self.rule, worse, self.elements
