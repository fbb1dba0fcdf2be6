"""How often a mind is right: exact answers and cells, with confidence intervals, against compute."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.errors import InputError
from chorus.thought import noise
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
    # At the ends the equation gives 0 and 1; rounding would miss them.
    return (middle - half if successes else 0.0), (middle + half if successes < trials else 1.0)


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


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What came of each of m problems; each [m].

    Attributes:
        right: the answer is right in every cell.
        any_thought: so is that of at least one thought.
        majority: so is the most frequent answer of the thoughts.
        open_cells: cells that the question leaves open.
        right_cells: those of them that are right.
        steps: steps until the problem halted.
        flops: floating-point operations, counted from the rows that the processor worked on.
        seconds: wall time of the problem's batch, divided by the batch's problems.
    """

    right: Bool[Tensor, " m"]
    any_thought: Bool[Tensor, " m"]
    majority: Bool[Tensor, " m"]
    open_cells: Int[Tensor, " m"]
    right_cells: Int[Tensor, " m"]
    steps: Int[Tensor, " m"]
    flops: Int[Tensor, " m"]
    seconds: Float[Tensor, " m"]

    def score(self, chosen: Sequence[int] | None = None) -> Score:
        """Return the score of all problems, or of the chosen ones."""
        some = slice(None) if chosen is None else torch.tensor(chosen, dtype=torch.int64)
        problems = len(self.right[some])
        return Score(
            problems=problems,
            exact=int(self.right[some].sum()),
            cells=int(self.right_cells[some].sum()) / max(1, int(self.open_cells[some].sum())),
            any_thought=int(self.any_thought[some].sum()),
            majority=int(self.majority[some].sum()),
            steps=int(self.steps[some].sum()) / max(1, problems),
            flops=int(self.flops[some].sum()) / max(1, problems),
            seconds=float(self.seconds[some].sum()) / max(1, problems),
        )


def outcomes(
    thinker: Thinker, questions: Sequence[str], answers: Sequence[str], config: ThinkConfig | None = None
) -> Outcomes:
    """Ask a mind questions whose answers are known, and return what came of each.

    Args:
        thinker: whom to ask.
        questions: as the task writes them.
        answers: the right ones.
        config: how to think; by default as the model was saved with.

    Raises:
        InputError: no questions, or a question or an answer that does not fit the task.
        ChorusError: so many thoughts do not fit into memory.
    """
    if not questions:
        raise InputError("there is nothing to evaluate: the set of problems is empty")
    config = config or thinker.config
    size = max(1, ROWS // config.thoughts)
    found: list[dict[str, Tensor]] = []
    for start in range(0, len(questions), size):
        began = time.perf_counter()
        tokens = thinker.tokens(questions[start : start + size])
        encoded = [thinker.task.encode_answer(answer).tolist() for answer in answers[start : start + size]]
        truth = torch.tensor(encoded, device=tokens.device)
        thinking = thinker.think(tokens, config)
        unknown = thinker.mind.encoder.givens(tokens) < 0
        right = thinking.answer == truth
        right_thoughts = (thinking.answers == truth[:, None]).all(-1)
        found.append(
            {
                "right": right.all(1),
                "any_thought": right_thoughts.any(1),
                "majority": right_thoughts.gather(1, _most_frequent(thinking.answers)).squeeze(1),
                "open_cells": unknown.sum(1),
                "right_cells": (right & unknown).sum(1),
                "steps": thinking.steps,
                "flops": thinking.rows * flops_per_row(thinker.mind),
                "seconds": torch.full((len(tokens),), (time.perf_counter() - began) / len(tokens)),
            }
        )
    return Outcomes(**{name: torch.cat([part[name].cpu() for part in found]) for name in found[0]})


def evaluate(
    thinker: Thinker, questions: Sequence[str], answers: Sequence[str], config: ThinkConfig | None = None
) -> Score:
    """Ask a mind questions whose answers are known, and return its score; see `outcomes`."""
    return outcomes(thinker, questions, answers, config).score()


def by_rating(ratings: Sequence[float | str | None], groups: int = 5) -> list[tuple[str, list[int]]]:
    """Sort problems by difficulty, where at least two ratings are known.

    Up to 20 distinct ratings make a group each. More numbers than that are cut into groups of equal size.

    Args:
        ratings: of each problem, or None.
        groups: how many groups to cut many numbers into.

    Returns:
        A name and the indices of its problems, for each group, the easiest first.

    >>> by_rating(["easy", "hard", None, "easy"])
    [('rating easy', [0, 3]), ('rating hard', [1])]
    """
    groups_of: dict[float | str, list[int]] = {}
    for index, rating in enumerate(ratings):
        if rating is not None:
            groups_of.setdefault(rating, []).append(index)
    if len(groups_of) < 2:
        return []
    numbers = sorted(rating for rating in groups_of if isinstance(rating, float))
    texts = sorted(rating for rating in groups_of if isinstance(rating, str))
    if len(groups_of) <= 20:
        named = [
            *((f"{number:g}", groups_of[number]) for number in numbers),
            *((text, groups_of[text]) for text in texts),
        ]
        return [(f"rating {name}", chosen) for name, chosen in named]
    if texts:
        return []
    known = [(rating, index) for rating in numbers for index in groups_of[rating]]
    cuts = [round(part * len(known) / groups) for part in range(groups + 1)]
    parts = [known[start:end] for start, end in pairwise(cuts)]
    return [(f"rating {part[0][0]:g} to {part[-1][0]:g}", [index for _, index in part]) for part in parts]


def _most_frequent(answers: Int[Tensor, "B K N"]) -> Int[Tensor, "B 1"]:
    """Return, for each problem, the index of a thought whose answer most thoughts share."""
    keys = noise.combine(0, answers[..., 0])
    for cell in range(1, answers.shape[2]):
        keys = noise.combine(keys, answers[..., cell])
    return keys.mode(1, keepdim=True).indices


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
        base = config or thinker.config
        changed = (
            dataclasses.replace(base, thoughts=value) if name == "thoughts" else dataclasses.replace(base, steps=value)
        )
        yield value, evaluate(thinker, questions, answers, changed)
