"""`chorus eval`: how often a model is right, and what more compute buys."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chorus.cli.options import Device, Seed, Steps, Thoughts, check_writable, thinking
from chorus.errors import InputError

if TYPE_CHECKING:
    from chorus.thought import Score, ThinkConfig, Thinker


def evaluate(
    model: Annotated[str, typer.Argument(help="A model folder, the name of a model in the box, or a hub id.")],
    data: Annotated[str, typer.Argument(help="Pairs: CSV or JSONL with question and answer; Sudokus need no answer.")],
    thoughts: Thoughts = None,
    steps: Steps = None,
    seed: Seed = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first so many problems.")] = None,
    competition: Annotated[
        bool | None,
        typer.Option(
            "--competition/--no-competition",
            help="Kill, clone and mutate thoughts, or let each think alone.  [default: the model's]",
        ),
    ] = None,
    sweep: Annotated[str | None, typer.Option(help="thoughts=1,4,16,64 or steps=16,32,64: one row for each.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the sweep's accuracy against compute (.png or .svg).")] = None,
    device: Device = "auto",
    record: Annotated[
        bool, typer.Option("--record", help="Keep the result in the model's folder, for `chorus info` to print.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")] = False,
) -> None:
    """Measure exact and per-cell accuracy with 95 % intervals; by difficulty where the data tells it."""
    from chorus.thought import CompetitionConfig, Thinker, outcomes
    from chorus.thought import sweep as sweep_over
    from chorus.thought.evaluation import by_rating

    if plot is not None:
        if sweep is None:
            raise InputError("--plot draws a --sweep; give both")
        check_writable(plot, "--plot")
    if record and (sweep is not None or not Path(model).is_dir()):
        raise InputError("--record keeps one result, without --sweep, in a model's own folder")
    setting, values = _sweep(sweep) if sweep else ("", [])
    thinker = Thinker.from_pretrained(model, device)  # type: ignore[arg-type]
    questions, answers, ratings = _pairs(thinker, data, limit)
    config = thinking(thinker, thoughts=thoughts, steps=steps, seed=seed)
    if competition is not None:
        kept = config.competition or CompetitionConfig()
        config = dataclasses.replace(config, competition=kept if competition else None)
    rows: list[tuple[str, Score]] = []

    def add(name: str, score: Score) -> None:
        rows.append((name, score))
        if as_json:
            typer.echo(json.dumps(_values(name, score)))

    if sweep:
        for value, score in sweep_over(thinker, questions, answers, setting, values, config):
            add(f"{setting}={value}", score)
    else:
        found = outcomes(thinker, questions, answers, config)
        add("all", found.score())
        for name, chosen in by_rating(ratings):
            add(name, found.score(chosen))
    if not as_json:
        _print(rows)
    if plot is not None:
        from chorus.thought.plots import draw_scores

        draw_scores({setting: rows}, plot)
    if record:
        _keep(model, Path(data).name, _values("all", rows[0][1]), config)


def _keep(model: str, data: str, values: dict[str, Any], config: ThinkConfig) -> None:
    """Write a result into the model's config.json, under the name of the data."""
    from chorus.thought import load_checkpoint

    checkpoint = load_checkpoint(model)
    kept = {name: values[name] for name in ("problems", "exact", "interval", "cells", "steps")}
    asked = {"thoughts": config.thoughts, "most_steps": config.steps, "seed": config.seed}
    dataclasses.replace(checkpoint, measured={**checkpoint.measured, data: {**kept, **asked}}).save(Path(model))


def _sweep(text: str) -> tuple[str, list[int]]:
    setting, _, values = text.partition("=")
    try:
        return setting, [int(value) for value in values.split(",")]
    except ValueError:
        raise InputError(f"--sweep {text!r}: write thoughts=1,4,16 or steps=16,32,64") from None


def _pairs(thinker: Thinker, data: str, limit: int | None) -> tuple[list[str], list[str], list[Any]]:
    """Read pairs; where a line has no answer, a task that can solve its own problems provides it."""
    from chorus.thought.tasks import read_problems

    questions: list[str] = []
    answers: list[str] = []
    ratings: list[Any] = []
    for record in read_problems(data):
        if limit is not None and len(questions) >= limit:
            break
        try:
            if record.error is not None:
                raise InputError(record.error)
            thinker.task.encode(record.question)
            answer = record.answer if record.answer is not None else thinker.task.solve(record.question)
            thinker.task.encode_answer(answer)
        except InputError as error:
            raise InputError(f"{data}, line {record.line}: {error}") from None
        questions.append(record.question)
        answers.append(answer)
        ratings.append(record.rating)
    return questions, answers, ratings


def _values(name: str, score: Score) -> dict[str, Any]:
    low, high = score.interval
    return {
        "name": name,
        "problems": score.problems,
        "exact": score.accuracy,
        "interval": [low, high],
        "cells": score.cells,
        "any_thought": score.any_thought / score.problems,
        "majority": score.majority / score.problems,
        "steps": score.steps,
        "flops": score.flops,
        "seconds": score.seconds,
    }


def _print(rows: Sequence[tuple[str, Score]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(
        Column("", no_wrap=True),
        "problems",
        "exact",
        "95 % interval",
        "cells",
        "any thought",
        "majority",
        "steps",
        "GFLOP",
        "ms",
    )
    for name, score in rows:
        low, high = score.interval
        n = score.problems
        table.add_row(
            name,
            str(n),
            f"{score.accuracy:.2%}",
            f"{low:.1%} – {high:.1%}",
            f"{score.cells:.2%}",
            f"{score.any_thought / n:.2%}",
            f"{score.majority / n:.2%}",
            f"{score.steps:.1f}",
            f"{score.flops / 1e9:.2f}",
            f"{score.seconds * 1e3:.1f}",
        )
    Console(width=120).print(table)
