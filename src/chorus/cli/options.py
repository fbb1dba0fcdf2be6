"""What several commands take, check or read alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chorus.errors import InputError

if TYPE_CHECKING:
    from chorus.thought import ThinkConfig, Thinker

Thoughts = Annotated[
    int | None, typer.Option("--thoughts", "-k", help="Thoughts in parallel per problem.  [default: the model's]")
]
Steps = Annotated[int | None, typer.Option("--steps", "-t", help="Most steps of thought.  [default: the model's]")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same answers.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]

PICTURES = (".png", ".svg")


def check_writable(path: Path, option: str, endings: Sequence[str] = PICTURES) -> None:
    """Refuse a file that cannot be written, before the work that it is meant to show.

    Raises:
        InputError: another ending, no such folder, or a folder of that name.

    >>> check_writable(Path("run.gif"), "--plot")
    Traceback (most recent call last):
        ...
    chorus.errors.InputError: --plot run.gif: ends in .png or .svg
    """
    if path.suffix not in endings:
        raise InputError(f"{option} {path}: ends in {', '.join(endings[:-1])} or {endings[-1]}")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{option} {path}: cannot be written: there is no folder {path.parent}")
    if path.is_dir():
        raise InputError(f"{option} {path}: cannot be written: it is a folder")


def thinking(thinker: Thinker, **given: Any) -> ThinkConfig:
    """Return how a mind thinks: as it was saved with, but for what was given (None: not given)."""
    return dataclasses.replace(thinker.config, **{name: value for name, value in given.items() if value is not None})
