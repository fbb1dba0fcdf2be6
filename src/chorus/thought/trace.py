"""The record of a run: what each thought looked like, how promising it was, who was killed, cloned and changed."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from chorus.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Frame:
    """All thoughts of one problem after one step.

    Attributes:
        step: steps done.
        identity: number of each thought.
        probes: what each thought would answer now, as the task's text.
        doubt: for each thought, the probability it leaves open at each cell (1 − that of its best symbol).
        committed: for each thought, the cells it fixed itself.
        viable: energy of still being able to be right, in nats.
        energy: energy of the present answer being right, in nats.
        resting: thoughts that stopped.
    """

    step: int
    identity: list[int]
    probes: list[str]
    doubt: list[list[float]]
    committed: list[list[int]]
    viable: list[float]
    energy: list[float]
    resting: list[bool]


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened to a thought in a round of competition.

    Attributes:
        step: steps done.
        kind: "kill", "clone" (from `parent`), "restart", or "commit" (`symbol` at `cell`).
        thought: number of the thought.
        parent: number of the thought it was cloned from.
        cell: the cell committed.
        symbol: the symbol committed, as the task's text.
    """

    step: int
    kind: str
    thought: int
    parent: int | None = None
    cell: int | None = None
    symbol: str | None = None


@dataclass(kw_only=True)
class Trace:
    """Everything that happened while a mind thought about one problem; it can be saved, loaded and drawn.

    >>> trace = Trace(question="1.", task="pairs", shape=(1, 2))
    >>> Trace.from_json(trace.to_json()) == trace
    True
    """

    question: str
    task: str
    shape: tuple[int, int]
    frames: list[Frame] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    answer: str | None = None
    halted_by: str | None = None
    steps: int | None = None

    def lineage(self) -> dict[int, int | None]:
        """Return the parent of every thought that ever lived (None: it grew from noise)."""
        parents: dict[int, int | None] = {}
        for frame in self.frames:
            for thought in frame.identity:
                parents.setdefault(thought, None)
        for event in self.events:
            if event.kind == "clone":
                parents[event.thought] = event.parent
        return parents

    def to_json(self) -> str:
        """Return the trace as JSON text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; anything else raises `InputError`."""
        try:
            values: dict[str, Any] = json.loads(text)
            values["frames"] = [Frame(**frame) for frame in values["frames"]]
            values["events"] = [Event(**event) for event in values["events"]]
            values["shape"] = tuple(values["shape"])
            return cls(**values)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"not a trace of a run: {error}") from None

    def save(self, path: Path) -> None:
        """Write the trace as JSON."""
        path.write_text(self.to_json() + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a saved trace; a missing or foreign file raises `InputError`."""
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot read the trace: {error}") from None
        return cls.from_json(text)
