"""How often a mind is right: exact answers and cells, with confidence intervals, against compute."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from chorus.errors import InputError
from chorus.thought.config import ThinkConfig
from chorus.thought.model import Mind
from chorus.thought.relations import Relation
from chorus.thought.thinker import ROWS, Thinker


@dataclass(frozen=True, kw_only=True)
class Score:
    """What came out of a set of problems.

    Attributes:
        problems: how many.
        exact: how many answers are right in every cell.
        cells: share of open cells that are right.
        any_thought: how many problems at least one thought answered right: the ceiling for picking.
        majority: how many the most frequent answer of the thoughts gets right.
        steps: mean steps until a problem halted.
        flops: floating-point operations per problem, counted from the rows that the processor worked on.
        seconds: wall time per problem.
    """

    problems: int
    exact: int
    cells: float
    any_thought: int
    majority: int
    steps: float
    flops: float
    seconds: float

    @property
    def accuracy(self) -> float:
        """Share of problems answered right in every cell."""
        return self.exact / self.problems

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the accuracy (Wilson 1927)."""
        return wilson(self.exact, self.problems)


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion.

    >>> low, high = wilson(95, 100)
    >>> round(low, 3), round(high, 3)
    (0.888, 0.978)
    """
    if trials == 0:
        return 0.0, 1.0
    p = successes / trials
    middle = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def flops_per_row(mind: Mind) -> int:
    """Count the floating-point operations (2 per multiply-add) of one step for one thought.

    Matrix products only: projections, feed-forward, and attention over the edges of each relation's form.
    """
    config = mind.config
    vectors = config.cells * config.symbols
    reads = len(config.relations) * config.heads
    per_vector = reads * (2 * config.key_channels + config.value_channels) * config.channels
    per_vector += reads * config.value_channels * config.channels + 2 * config.channels * config.hidden
    total = 2 * vectors * per_vector
    if config.symbols > 1:
        total += 2 * config.cells * config.channels * config.hidden
    for relation in mind.processor.read.relations:
        assert isinstance(relation, Relation)
        width = relation.edges * config.heads * config.symbols
        total += 2 * width * (config.key_channels + config.value_channels)
    return total


def evaluate(
    thinker: Thinker, questions: Sequence[str], answers: Sequence[str], config: ThinkConfig | None = None
) -> Score:
    """Ask a mind questions whose answers are known.

    Raises:
        InputError: no questions, or a question or an answer that does not fit the task.
    """
    if not questions:
        raise InputError("there is nothing to evaluate: the set of problems is empty")
    config = config or ThinkConfig()
    began = time.perf_counter()
    exact = open_cells = right_cells = any_thought = majority = steps = rows = 0
    size = max(1, ROWS // config.thoughts)
    for start in range(0, len(questions), size):
        tokens = thinker.tokens(questions[start : start + size])
        encoded = [thinker.task.encode_answer(answer).tolist() for answer in answers[start : start + size]]
        truth = torch.tensor(encoded, device=tokens.device)
        thinking = thinker.mind.think(tokens, config, dtype=thinker.dtype)
        unknown = thinker.mind.encoder.givens(tokens) < 0
        right = thinking.answer == truth
        right_thoughts = (thinking.answers == truth[:, None]).all(-1)
        exact += int(right.all(1).sum())
        open_cells += int(unknown.sum())
        right_cells += int((right & unknown).sum())
        any_thought += int(right_thoughts.any(1).sum())
        majority += int(right_thoughts.gather(1, _most_frequent(thinking.answers)).sum())
        steps += int(thinking.steps.sum())
        rows += thinking.rows
    return Score(
        problems=len(questions),
        exact=exact,
        cells=right_cells / max(1, open_cells),
        any_thought=any_thought,
        majority=majority,
        steps=steps / len(questions),
        flops=rows * flops_per_row(thinker.mind) / len(questions),
        seconds=(time.perf_counter() - began) / len(questions),
    )


def _most_frequent(answers: torch.Tensor) -> torch.Tensor:
    """Return, for each problem, the index [B, 1] of a thought whose answer most thoughts share."""
    same = (answers[:, :, None] == answers[:, None]).all(-1)
    return same.sum(-1).argmax(1, keepdim=True)


def sweep(
    thinker: Thinker,
    questions: Sequence[str],
    answers: Sequence[str],
    name: str,
    values: Sequence[int],
    config: ThinkConfig | None = None,
) -> Iterator[tuple[int, Score]]:
    """Evaluate once for each value of a setting of `ThinkConfig`, "thoughts" or "steps"."""
    if name not in ("thoughts", "steps"):
        raise InputError(f"a sweep runs over thoughts or steps; got {name!r}")
    for value in values:
        base = config or ThinkConfig()
        changed = (
            dataclasses.replace(base, thoughts=value) if name == "thoughts" else dataclasses.replace(base, steps=value)
        )
        yield value, evaluate(thinker, questions, answers, changed)
