"""What a mind is made of (`MindConfig`) and how it is asked to think (`ThinkConfig`)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from chorus.errors import InputError
from chorus.thought.tasks import Task
from chorus.topology import parse

T = TypeVar("T")

MOST_THOUGHTS = 65_536  # per problem; a number beyond it is a slip, and would fill the memory


def from_mapping(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    """Build a settings class from JSON or TOML values; an unknown or missing name raises `InputError`."""
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    alien = sorted(set(values) - names)
    if alien:
        raise InputError(f"{what}: unknown setting {alien[0]!r}; known are {', '.join(sorted(names))}")
    try:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except TypeError as error:
        raise InputError(f"{what}: {error}") from None


@dataclass(frozen=True, kw_only=True)
class MindConfig:
    """The architecture of a mind; stored in `config.json` beside its weights.

    Args:
        cells: N, the length of a question and of its answer.
        input_size: number of question symbols.
        output_size: V, number of answer symbols.
        kept: for each question symbol the answer symbol it fixes its cell to (a given), or -1.
        relations: topologies over the cells, one attention read for each, in their text form.
        interchangeable: answer symbols may be renamed without changing the task (the digits of a Sudoku, the colours
            of a graph colouring). The mind then keeps one vector per cell *and symbol* and treats all symbols alike.
        positions: learn a vector per cell. Needed where relations do not tell the cells apart, as under `full()`.
        channels: C, width of one vector of a thought's state.
        heads: attention heads per relation.
        key_channels: width of a key, per head (and per symbol).
        value_channels: width of a value, per head (and per symbol).
        hidden: width of the feed-forward layer.
        slots: workspace slots; 0 builds a mind without a workspace.
        processor: "recurrent", or "oscillatory" for cells that are coupled oscillators.
        oscillator_dims: D, dimensions of an oscillator's sphere; only the oscillatory processor uses it.

    Raises:
        InputError: a size that is not positive, a relation that does not parse, `kept` of the wrong length.

    >>> MindConfig(cells=4, input_size=3, output_size=2, kept=(-1, 0, 1), relations=("full()",)).symbols
    1
    """

    cells: int
    input_size: int
    output_size: int
    kept: tuple[int, ...]
    relations: tuple[str, ...]
    interchangeable: bool = False
    positions: bool = False
    channels: int = 32
    heads: int = 1
    key_channels: int = 8
    value_channels: int = 16
    hidden: int = 128
    slots: int = 1
    processor: str = "recurrent"
    oscillator_dims: int = 4

    def __post_init__(self) -> None:
        for name in (
            "cells",
            "input_size",
            "output_size",
            "channels",
            "heads",
            "key_channels",
            "value_channels",
            "hidden",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name} must be a positive whole number; got {value!r}")
        if self.slots < 0:
            raise InputError(f"slots must be 0 or more; got {self.slots}")
        if len(self.kept) != self.input_size or not all(-1 <= k < self.output_size for k in self.kept):
            raise InputError(
                f"kept must hold {self.input_size} entries of -1..{self.output_size - 1}, one for each question "
                f"symbol; got {list(self.kept)}"
            )
        if self.processor not in ("recurrent", "oscillatory"):
            raise InputError(f"processor must be recurrent or oscillatory; got {self.processor!r}")
        if self.processor == "oscillatory" and (self.oscillator_dims < 2 or self.channels % self.oscillator_dims):
            raise InputError(
                f"oscillators of {self.oscillator_dims} dimensions do not divide {self.channels} channels; "
                f"oscillator_dims must be 2 or more and a divisor of channels"
            )
        if not self.relations:
            raise InputError("a mind needs at least one relation; full() lets every cell read every cell")
        for relation in self.relations:
            parse(relation)

    @property
    def symbols(self) -> int:
        """S, the number of vectors a thought keeps per cell: V if the symbols are interchangeable, else 1."""
        return self.output_size if self.interchangeable else 1

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-ready values."""
        return dataclasses.asdict(self)

    @classmethod
    def for_task(cls, task: Task, **settings: Any) -> Self:
        """Return the architecture for a task; `settings` override what the task suggests.

        >>> from chorus.thought.tasks import make_task
        >>> MindConfig.for_task(make_task("sudoku4"), channels=16).symbols
        4
        """
        suggested = {
            "cells": task.cells,
            "input_size": len(task.input_alphabet),
            "output_size": len(task.output_alphabet),
            "kept": list(task.kept),
            "relations": list(task.relations),
            "interchangeable": task.interchangeable,
            "positions": task.relations == ("full()",),
        }
        return cls.from_dict({**suggested, **settings})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read settings that `to_dict` wrote; an unknown or missing name raises `InputError`."""
        return from_mapping(cls, values, "model settings")


@dataclass(frozen=True, kw_only=True)
class CompetitionConfig:
    """When thoughts compete and how hard.

    Args:
        scouts: thoughts that think alone until the first round. Uncommitted thoughts differ by noise only and nearly
            agree, so the others wait, at no cost, and start as clones of a scout with commitments of their own.
        start: steps before the first round.
        every: steps between two rounds.
        margin: a thought whose energy is this much (in nats) above the best of its pool is killed.
        kill_below: so is one whose probability of still being right falls below this.
        restart: share of killed thoughts that start again from the uncommitted state instead of cloning a survivor.
        certain: a cell whose best symbol has at least this probability is settled and is not committed.
    """

    scouts: int = 4
    start: int = 24
    every: int = 12
    margin: float = 1.0
    kill_below: float = 0.05
    restart: float = 0.2
    certain: float = 0.9

    def __post_init__(self) -> None:
        if self.every < 1 or self.start < 1 or self.scouts < 1:
            raise InputError(
                f"competition needs scouts, start and every of 1 or more; got {self.scouts}, {self.start}, {self.every}"
            )
        if not self.margin > 0:
            raise InputError(f"competition: margin must be above 0 nats; got {self.margin}")
        for name in ("kill_below", "restart", "certain"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"competition: {name} is a share between 0 and 1; got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class TerminationConfig:
    """When a thought and a problem may stop before the budget of steps ends.

    Args:
        every: steps between two looks.
        fixed_point: a thought whose state moved by less than this (relative change in one step) is at rest.
        entropy: a thought whose most uncertain cell has less than this entropy (in nats) is at rest.
        agreement: a problem stops when this share of its thoughts is at rest and gives one and the same answer ...
        confidence: ... or when a thought that has an answer (one symbol outweighs all others in every cell) is right
            with at least this probability, by its own estimate.
    """

    every: int = 4
    fixed_point: float = 1e-3
    entropy: float = 0.25
    agreement: float = 0.75
    confidence: float = 0.98

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"termination: every must be 1 or more steps; got {self.every}")
        for name in ("fixed_point", "entropy", "agreement", "confidence"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"termination: {name} must be 0 or more; got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class ThinkConfig:
    """How a mind thinks about a batch of problems.

    Args:
        thoughts: K, parallel thoughts per problem.
        steps: T, the budget of steps.
        seed: the same seed gives the same answers, whatever the batch; a signed 64-bit number.
        workspace: share the winner's answer between thoughts (a mind built without slots has nothing to share).
        competition: kill, clone and mutate thoughts; None leaves K thoughts alone until the end (best of K).
        rates: (period, depth) pairs, dealt to the thoughts in turn: a thought updates every `period` steps, and then
            `depth` times. ((1, 1),) moves all thoughts at every step.
        termination: stop early; None always spends the whole budget.

    Raises:
        InputError: a count below 1, too many thoughts, or a seed of more than 64 bits.

    >>> ThinkConfig.from_dict({"thoughts": 4, "competition": False}).competition is None
    True
    """

    thoughts: int = 16
    steps: int = 480
    seed: int = 0
    workspace: bool = False
    competition: CompetitionConfig | None = CompetitionConfig()
    rates: tuple[tuple[int, int], ...] = ((1, 1),)
    termination: TerminationConfig | None = TerminationConfig()

    def __post_init__(self) -> None:
        for name in ("thoughts", "steps"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name} must be 1 or more; got {value!r}")
        if self.thoughts > MOST_THOUGHTS:
            raise InputError(f"thoughts must be {MOST_THOUGHTS:,} or fewer; got {self.thoughts:,}")
        if not isinstance(self.seed, int) or not -(2**63) <= self.seed < 2**63:
            raise InputError(f"seed must be a signed 64-bit number; got {self.seed!r}")
        if not self.rates or any(period < 1 or depth < 1 for period, depth in self.rates):
            raise InputError(f"rates must be pairs of a period and a depth of 1 or more; got {self.rates}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read settings from JSON or TOML values; what is not named keeps its default.

        `competition` and `termination` are sections of their own, or false to switch them off.

        Raises:
            InputError: an unknown name, or a value that does not fit.
        """
        given = dict(values)
        for name, part in (("competition", CompetitionConfig), ("termination", TerminationConfig)):
            if given.get(name) is False:
                given[name] = None
            elif isinstance(given.get(name), Mapping):
                given[name] = from_mapping(part, given[name], f"thinking settings, {name}")
            elif name in given:
                raise InputError(f"thinking settings: {name} is a section, or false; got {given[name]!r}")
        if isinstance(given.get("rates"), list):
            given["rates"] = [tuple(pair) for pair in given["rates"]]
        return from_mapping(cls, given, "thinking settings")
