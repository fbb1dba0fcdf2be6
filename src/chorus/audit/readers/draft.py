"""What every reader fills while it walks over a file, and the checks that all formats share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from chorus.audit.graph import Graph
from chorus.audit.subject import LARGEST, Origin, Subject
from chorus.errors import InputError


@dataclass
class Draft:
    """A graph in the making; every complaint carries the file and the line."""

    path: Path
    ids: dict[str, int] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    element_lines: list[int] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)
    edge_lines: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    weighted: bool = False

    def wrong(self, line: int, message: str) -> InputError:
        """Return the error for a line, ready to raise."""
        return InputError(f"{self.path}:{line}: {message}")

    def element(self, identity: str, line: int, label: str | None = None) -> int:
        """Declare an element."""
        if not identity.strip():
            raise self.wrong(line, "an element without a name")
        if identity in self.ids:
            first = self.element_lines[self.ids[identity]]
            raise self.wrong(line, f"element {identity!r} is declared twice, first on line {first}")
        self.ids[identity] = len(self.ids)
        self.labels.append(label or identity)
        self.element_lines.append(line)
        return self.ids[identity]

    def end(self, identity: str, line: int, *, declared: bool, by: str = "edge") -> int:
        """Return the number of what `by` names; where elements are declared, an unknown name is an error."""
        if identity in self.ids:
            return self.ids[identity]
        if declared:
            raise self.wrong(line, f"the {by} names {identity!r}, which no node declares")
        return self.element(identity, line)

    def edge(self, tail: int, head: int, line: int, weight: str | float | None = None) -> None:
        """Add an edge; a weight must be a number ≥ 0."""
        value = 1.0
        if weight is not None and weight != "":
            try:
                value = float(weight)
            except (TypeError, ValueError):
                raise self.wrong(line, f"the weight {weight!r} is not a number") from None
            if not math.isfinite(value) or value < 0:
                raise self.wrong(line, f"the weight {weight} is negative or not finite; weights are flows, at least 0")
            if value > LARGEST:
                raise self.wrong(line, f"the weight {weight} is above {LARGEST:g}; use a larger unit")
            self.weighted = True
        self.edges.append((tail, head))
        self.edge_lines.append(line)
        self.weights.append(value)

    def finish(self, *, directed: bool, what: str) -> Subject:
        """Return the subject; labels that occur more than once get their id behind them."""
        if not self.ids:
            raise InputError(f"{self.path}: no element; the file is empty, or holds only comments or a header")
        if len(self.ids) == 1:
            raise self.wrong(
                self.element_lines[0], f"only one element, {next(iter(self.ids))!r}; an audit needs at least two"
            )
        seen: dict[str, int] = {}
        for label in self.labels:
            seen[label] = seen.get(label, 0) + 1
        names = [
            label if seen[label] == 1 else f"{label} [{identity}]"
            for label, identity in zip(self.labels, self.ids, strict=True)
        ]
        graph = Graph.of(len(names), np.array(self.edges, np.int64).reshape(-1, 2), directed=directed)
        return Subject(
            name=self.path.name,
            elements=tuple(names),
            graph=graph,
            weights=np.array(self.weights) if self.weighted else None,
            aliases=dict(self.ids),
            model=f"read from {what}, {'directed' if directed else 'undirected'}",
            origin=Origin(self.path.as_posix(), tuple(self.element_lines), tuple(self.edge_lines)),
        )
