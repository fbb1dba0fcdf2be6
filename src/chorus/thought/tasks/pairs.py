"""A person's own task: pairs of sequences from a file, and optionally relations between their cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from chorus.errors import InputError
from chorus.thought.tasks.reading import read_problems
from chorus.thought.tasks.task import Indices, Task

_PAD = "\0"
_MOST_CHARACTERS = 255


@dataclass(frozen=True, kw_only=True)
class PairsTask(Task):
    """A task whose alphabets, length and given characters are learned from pairs.

    A character is given when every answer keeps it wherever a question has it; all others are open.
    """

    kind: ClassVar[str] = "pairs"

    def __post_init__(self) -> None:
        if self.shape is not None and self.shape[0] * self.shape[1] != self.cells:
            raise InputError(f"a grid of {self.shape[0]} × {self.shape[1]} does not have {self.cells} cells")

    def normalize(self, question: str) -> str:
        """Give the question without the end of its line."""
        return question.rstrip("\r\n")

    def canonical(self, questions: Indices) -> Indices:
        """Rename interchangeable givens in the order of their first appearance, in question indices [m, cells]."""
        if not self.interchangeable:
            return questions
        kept = np.array([index for index, answer in enumerate(self.kept) if answer >= 0], np.uint8)
        found = questions[:, None] == kept[:, None]
        first = np.where(found.any(2), found.argmax(2), self.cells)
        rank = first.argsort(axis=1, kind="stable").argsort(axis=1)
        renamed: Indices = np.where(found, kept[rank][..., None], np.uint8(0)).sum(axis=1, dtype=np.uint8)
        return np.where(found.any(1), renamed, questions)

    def to_dict(self) -> dict[str, Any]:
        """Give every field, as JSON values."""
        return {
            "kind": self.kind,
            "name": self.name,
            "input_alphabet": self.input_alphabet,
            "output_alphabet": self.output_alphabet,
            "cells": self.cells,
            "shape": list(self.shape) if self.shape else None,
            "relations": list(self.relations),
            "open_characters": self.open_characters,
            "interchangeable": self.interchangeable,
            "pad": self.pad,
        }

    @classmethod
    def from_file(
        cls,
        data: str | Path,
        relations: str | Path | None = None,
        *,
        name: str | None = None,
        shape: tuple[int, int] | None = None,
        interchangeable: bool = False,
    ) -> PairsTask:
        """Learn a task from a file of pairs.

        Args:
            data: CSV with the columns `question` and `answer`, or JSONL with these keys.
            relations: a text file with one topology a line (`rows(5, 5)`); blank lines and lines that start with `#`
                are skipped. Without it every cell reads every cell.
            name: what to call it; by default the file's name.
            shape: height and width, when the cells are a grid.
            interchangeable: whether the answer characters may be renamed without changing the task (colours of a map).

        Raises:
            InputError: a line without an answer, no pair at all, too many characters, or a relation that cannot be
                parsed or that has more cells than the sequences; file and line are named.

        """
        pairs = 0
        inputs: set[str] = set()
        outputs: set[str] = set()
        changed: set[str] = set()  # characters that some answer does not keep
        lengths: set[int] = set()
        for record in read_problems(data):
            if record.error is None and record.answer is None:
                raise InputError(f"{data}, line {record.line}: no answer; every pair to train on needs one")
            if record.error is not None or record.answer is None:
                raise InputError(f"{data}, line {record.line}: {record.error}")
            question, answer = record.question.rstrip("\r\n"), record.answer.rstrip("\r\n")
            if _PAD in question + answer:
                raise InputError(f"{data}, line {record.line}: the NUL character is kept for padding")
            pairs += 1
            inputs |= set(question)
            outputs |= set(answer)
            changed |= {q for q, a in zip(question, answer, strict=False) if q != a}
            changed |= set(question[len(answer) :])
            lengths |= {len(question), len(answer)}
            if len(question) < len(answer):
                changed.add(_PAD)
            if max(len(inputs), len(outputs)) > _MOST_CHARACTERS:
                raise InputError(f"{data}, line {record.line}: more than {_MOST_CHARACTERS} different characters")
        if not pairs:
            raise InputError(f"{data}: no pair of question and answer")
        if interchangeable and len(lengths) > 1:
            raise InputError(
                f"{data}: sequences of different lengths are padded, and padding cannot be renamed; "
                "interchangeable characters need one length"
            )
        cells = max(lengths)
        pad = _PAD if len(lengths) > 1 else ""
        return cls(
            name=name or Path(data).stem,
            input_alphabet=pad + "".join(sorted(inputs)),
            output_alphabet=pad + "".join(sorted(outputs)),
            cells=cells,
            shape=shape,
            relations=read_relations(relations, cells) if relations is not None else ("full()",),
            open_characters="".join(sorted(changed)),
            interchangeable=interchangeable,
            pad=pad,
        )


def read_relations(path: str | Path, cells: int) -> tuple[str, ...]:
    """Read topologies from a text file, one a line, and check that each can be laid over `cells` cells.

    Raises:
        InputError: the file cannot be read, holds no relation, or a line is not a topology of that many cells.

    """
    from chorus.topology import parse

    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text: {error}") from None
    found = []
    for number, line in enumerate(lines, start=1):
        spec = line.strip()
        if not spec or spec.startswith("#"):
            continue
        try:
            topology = parse(spec)
            degrees = topology.mask(cells).sum(axis=1)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
        if degrees.min() == 0:
            lonely = int(degrees.argmin())
            raise InputError(f"{path}, line {number}: cell {lonely} may read nobody; let it read itself at least")
        found.append(str(topology))
    if not found:
        raise InputError(f"{path}: no relation; write one topology a line, for example rows(5, 5)")
    return tuple(found)
