"""`chorus info`: what a model is and how it came to be."""

from __future__ import annotations

import json
from typing import Annotated

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
        "training": dict(checkpoint.record),
    }
    if as_json:
        typer.echo(json.dumps(values))
        return
    for name, value in values.items():
        if not isinstance(value, dict):
            typer.echo(f"{name}: {value}")
            continue
        typer.echo(f"{name}:")
        for key, part in value.items():
            typer.echo(f"  {key}: {json.dumps(part, ensure_ascii=False) if isinstance(part, dict | list) else part}")
