"""Read problems one at a time from plain lines, CSV or JSONL, so that any number of them needs the same memory."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from chorus.errors import InputError

_LONGEST_LINE = 1 << 20  # bytes; longer ones are no problems but a file of another kind
_RATINGS = ("rating", "difficulty")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One problem: its line (1-based), question, and answer and rating if known; or the error that spoils it."""

    line: int
    question: str = ""
    answer: str | None = None
    rating: float | str | None = None
    error: str | None = None


def read_problems(source: str | Path) -> Iterator[Record]:
    r"""Yield the problems of a file, or of standard input for `-`, in order and as they come.

    The format follows from the file's ending (`.csv`, `.jsonl`, `.ndjson`, `.txt`), else from the first line: an
    object is JSONL, a header with a `question` column is CSV, anything else is one question a line. CSV and JSONL may
    have an `answer` and a `rating` or `difficulty`. Blank lines and lines that are `#` or start with `# ` are skipped.

    Raises:
        InputError: the file cannot be opened, is empty or not text, or is a CSV without the column `question`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "two.csv"
    ...     _ = path.write_text("question,answer\n1..4,1324\n2...,2413\n")
    ...     [record.answer for record in read_problems(path)]
    ['1324', '2413']

    """
    name = "standard input" if str(source) == "-" else str(source)
    if str(source) == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed; name a file, or send the problems through a pipe")
        yield from _records(sys.stdin.buffer, name, "")
        return
    try:
        with Path(source).open("rb") as stream:
            yield from _records(stream, name, Path(source).suffix.lower())
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None


def _records(stream: IO[bytes], name: str, ending: str) -> Iterator[Record]:
    lines = _lines(stream, name)
    first = next((pair for pair in lines if pair[1]), None)
    if first is None:
        raise InputError(f"{name}: no problem in it (it is empty)")
    kind = _kind(first[1], ending)
    if kind == "csv":
        records = _csv(first, lines, name)
    elif kind == "jsonl":
        records = (_json(number, text) for number, text in _chain(first, lines) if text)
    else:
        records = (Record(line=number, question=text) for number, text in _chain(first, lines) if text)
    empty = True
    for record in records:
        empty = False
        yield record
    if empty:
        raise InputError(f"{name}: no problem in it (there is a header and nothing else)")


def _chain(first: tuple[int, str], rest: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield first
    yield from rest


def _lines(stream: IO[bytes], name: str) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of each line, with an empty text for blank lines and comments."""
    number = 0
    while raw := stream.readline(_LONGEST_LINE):
        number += 1
        if len(raw) == _LONGEST_LINE:
            raise InputError(f"{name}, line {number}: longer than {_LONGEST_LINE} bytes; this is no file of problems")
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise InputError(f"{name}, line {number}: not text in UTF-8; this looks like a binary file") from None
        if "\0" in text:
            raise InputError(f"{name}, line {number}: a NUL byte; this looks like a binary file")
        skipped = not text.strip() or text == "#" or text.startswith("# ")
        yield number, "" if skipped else text


def _kind(first: str, ending: str) -> str:
    known = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "plain"}
    if ending in known:
        return known[ending]
    if first.lstrip().startswith("{"):
        return "jsonl"
    columns = [column.strip().strip('"') for column in first.lower().split(",")]
    return "csv" if "question" in columns else "plain"


def _csv(first: tuple[int, str], rest: Iterator[tuple[int, str]], name: str) -> Iterator[Record]:
    header = [column.strip().lower() for column in next(csv.reader([first[1]]))]
    if "question" not in header:
        raise InputError(f"{name}, line {first[0]}: no column 'question' in the header; it has {', '.join(header)}")
    rating = next((header.index(column) for column in _RATINGS if column in header), None)
    answer = header.index("answer") if "answer" in header else None
    question = header.index("question")
    rows = csv.reader(text for _, text in rest)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(line=first[0] + rows.line_num, error=f"not a row of CSV: {error}")
            continue
        if not row:
            continue
        line = first[0] + rows.line_num
        if len(row) != len(header):
            yield Record(line=line, error=f"{len(row)} columns where the header has {len(header)}")
            continue
        yield Record(
            line=line,
            question=row[question],
            answer=row[answer] or None if answer is not None else None,
            rating=_rating(row[rating]) if rating is not None else None,
        )


def _json(line: int, text: str) -> Record:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return Record(line=line, error=f"not JSON: {error.msg} at column {error.colno}")
    if not isinstance(value, dict) or not isinstance(value.get("question"), str):
        return Record(line=line, error='not an object with a text "question"')
    answer = value.get("answer")
    if answer is not None and not isinstance(answer, str):
        return Record(line=line, error='"answer" is not a text')
    rating = next((value[key] for key in _RATINGS if key in value), None)
    return Record(
        line=line,
        question=value["question"],
        answer=answer,
        rating=None if rating is None else _rating(str(rating)),
    )


def _rating(text: str) -> float | str | None:
    """Give a number where it is one, else the text (`easy`), else None."""
    try:
        return float(text)
    except ValueError:
        return text.strip() or None
