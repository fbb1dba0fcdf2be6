"""What several commands check or read alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus.errors import InputError

if TYPE_CHECKING:
    from chorus.thought import ThinkConfig, Thinker

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
