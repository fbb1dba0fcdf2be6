"""`chorus info`: what a model is and how it came to be."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer


def info(
    model: Annotated[
        str, typer.Argument(help="A model folder, the name of a model in the box, or a hub id.")
    ] = "sudoku",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print a model's architecture, parameters, training record and measured results."""
    from chorus.thought import flops_per_row, load_checkpoint

    checkpoint = load_checkpoint(model)
    mind = checkpoint.mind
    values = {
        "task": checkpoint.task.name,
        "parameters": sum(p.numel() for p in mind.parameters()),
        "flops_per_thought_and_step": flops_per_row(mind),
        "architecture": mind.config.to_dict(),
        "thinking": dataclasses.asdict(checkpoint.think),
        "training": _without_folders(checkpoint.record),
        "measured": dict(checkpoint.measured),
    }
    if as_json:
        typer.echo(json.dumps(values))
        return
    for name, value in values.items():
        if not isinstance(value, dict):
            typer.echo(f"{name}: {value}")
        elif value:
            typer.echo(f"{name}:")
            for line in _lines(value):
                typer.echo(f"  {line}")


def _without_folders(record: Mapping[str, Any]) -> dict[str, Any]:
    """Name the files that a run kept out of its training, not where they lay on the machine that trained."""
    settings = record.get("settings", {})
    excluded = settings.get("bank", {}).get("exclude")
    if not excluded:
        return dict(record)
    bank = {**settings["bank"], "exclude": [Path(file).name for file in excluded]}
    return {**record, "settings": {**settings, "bank": bank}}


def _lines(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each setting, and those of sections indented under their names."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield f"{name}:"
            yield from (f"  {line}" for line in _lines(value))
        else:
            plain = isinstance(value, str)
            yield f"{name}: {value if plain else json.dumps(value, ensure_ascii=False)}"
