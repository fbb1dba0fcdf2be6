"""Files of questions: JSON lines, CSV with a `question` column, or one question a line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import NamedTuple

from chorus.errors import InputError
from chorus.mesh.entries import MAX_TEXT


class Question(NamedTuple):
    """A question, and its answer where the file has one."""

    text: str
    answer: str | None


def read_questions(path: Path) -> list[Question]:
    """Read a file of questions; raises `InputError` with file and line for what cannot be used."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot read the questions ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot read the questions ({error})") from error
    lines = text.split("\n")  # and at nothing else: JSON may hold other separators of lines
    if path.suffix == ".csv":
        questions = _csv(path, text)
    elif path.suffix in (".jsonl", ".ndjson"):
        questions = [_json(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    else:
        questions = [Question(line.strip(), None) for line in lines if line.strip() and not line.startswith("#")]
    for number, question in enumerate(questions, 1):
        if not 0 < len(question.text) <= MAX_TEXT:
            raise InputError(
                f"{path}: question {number} has {len(question.text)} characters; 1 to {MAX_TEXT} are taken"
            )
    if not questions:
        raise InputError(f"{path}: no questions in this file")
    return questions


def _csv(path: Path, text: str) -> list[Question]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    columns = rows.fieldnames or []
    if "question" not in columns:
        raise InputError(f"{path}:1: no column is called 'question'; the columns are {', '.join(columns) or 'none'}")
    return [Question((row["question"] or "").strip(), (row.get("answer") or "").strip() or None) for row in rows]


def _json(path: Path, number: int, line: str) -> Question:
    try:
        row = json.loads(line)
        text, answer = row["question"], row.get("answer")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f'{path}:{number}: expected an object like {{"question": "…", "answer": "…"}}') from error
    if not isinstance(text, str) or not isinstance(answer, str | None):
        raise InputError(f"{path}:{number}: question and answer must be text")
    return Question(text, answer)
