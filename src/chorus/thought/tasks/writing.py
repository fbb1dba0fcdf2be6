"""Write pairs of questions and answers as CSV, in the format that `read_problems` reads."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from chorus.errors import ChorusError, InputError


def parse_range(text: str) -> tuple[int, int]:
    """Read `30` or `24..36` as lowest and highest, both included; InputError for anything else.

    >>> parse_range("24..36"), parse_range("30")
    ((24, 36), (30, 30))
    """
    low, dots, high = text.partition("..")
    try:
        return int(low), int(high if dots else low)
    except ValueError:
        raise InputError(f"a range is a number or two with .. between them, as in 24..36; got {text!r}") from None


def write_pairs(pairs: Iterable[tuple[str, str]], out: Path | None) -> None:
    """Write pairs as CSV to a file, or to standard output for None.

    A file appears under its name only when it is complete. What is no file (a pipe, a device) is written to as it is.

    Raises:
        InputError: the file cannot be made there.
        ChorusError: writing failed on the way, as on a full disk.

    """
    if out is None:
        try:
            _write(pairs, sys.stdout)
        except BrokenPipeError:  # the reader has had enough; no failure of ours
            raise
        except OSError as error:
            raise ChorusError(f"standard output: writing failed: {error.strerror}") from None
        return
    plain = out.is_file() or not out.exists()
    part = out.with_name(out.name + ".part") if plain else out
    try:
        stream = part.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from None
    try:
        with stream:
            _write(pairs, stream)
        if plain:
            os.replace(part, out)
    except OSError as error:
        raise ChorusError(f"{out}: writing failed: {error.strerror}") from None
    finally:
        if plain:
            part.unlink(missing_ok=True)


def _write(pairs: Iterable[tuple[str, str]], stream: TextIO) -> None:
    pairs = iter(pairs)
    first = next(pairs, None)  # before the header, so that nothing is written when the very first cannot be made
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("question", "answer"))
    if first is not None:
        writer.writerow(first)
        writer.writerows(pairs)
    stream.flush()
