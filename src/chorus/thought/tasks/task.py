"""What every task has in common: alphabets, cells, relations between them, and the way from characters to numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from chorus.errors import InputError

Indices = NDArray[np.uint8]
Solutions = Literal["none", "one", "several"]

_CHUNK = 1000  # puzzles made at once when they are streamed


@dataclass(frozen=True, kw_only=True)
class Task:
    """A map from questions to answers, both strings of up to `cells` characters over small alphabets.

    A question becomes indices into `input_alphabet`, an answer indices into `output_alphabet`. `relations` are
    topologies over the cells, in their text form; `shape` (height, width) says how to draw the cells, or is None. The
    characters in `open_characters` stand for what is asked; every other character of a question is given, and its cell
    keeps it. `interchangeable` says that renaming the answer characters everywhere changes nothing about the task (the
    digits of a Sudoku). Where sequences differ in length, `pad` fills them up.
    """

    kind: ClassVar[str]

    name: str
    input_alphabet: str
    output_alphabet: str
    cells: int
    shape: tuple[int, int] | None = None
    relations: tuple[str, ...] = ("full()",)
    open_characters: str = ""
    interchangeable: bool = False
    pad: str = ""

    def normalize(self, question: str) -> str:
        """Give a question in the task's own characters (a Sudoku's `0`, `_` and `*` become `.`)."""
        return question

    def encode(self, question: str) -> Indices:
        """Give the indices uint8 [cells] of a question; InputError for a wrong length or an alien character."""
        return self._indices(self.normalize(question), self._input_index, self.input_alphabet, "question")

    def encode_answer(self, answer: str) -> Indices:
        """Give the indices uint8 [cells] of an answer; InputError for a wrong length or an alien character."""
        return self._indices(answer, self._output_index, self.output_alphabet, "answer")

    def decode(self, answer: Indices) -> str:
        """Give the characters of answer indices [cells], without padding at the end."""
        text = "".join(self.output_alphabet[i] for i in answer)
        return text.rstrip(self.pad) if self.pad else text

    def decode_question(self, question: Indices) -> str:
        """Give the characters of question indices [cells], without padding at the end."""
        text = "".join(self.input_alphabet[i] for i in question)
        return text.rstrip(self.pad) if self.pad else text

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """For each question index the answer index that its cell keeps (a given), or -1 (open)."""
        return tuple(
            -1 if character in self.open_characters else self._output_index.get(character, -1)
            for character in self.input_alphabet
        )

    def givens(self, questions: Indices) -> NDArray[np.int16]:
        """Give, for question indices [..., cells], the answer index each given cell keeps, and -1 for open cells."""
        return np.array(self.kept, np.int16)[questions]

    def defect(self, question: str) -> str | None:
        """Say what makes a question unanswerable at first sight (two equal digits in a row), or None."""
        return None

    def check(self, question: str, answer: str) -> bool | None:
        """Whether an answer is right by the rules alone; None for a task that has no rules to check."""
        return None

    def solve(self, question: str) -> str:
        """Give the right answer of a question, by the rules alone, to measure a mind against.

        Raises:
            InputError: the task cannot solve its own questions, or this one has no single answer.

        """
        raise InputError(f"no answer; measuring on {self.name} needs one beside every question")

    def solutions(self, question: str) -> Solutions | None:
        """Say how many answers are right by the rules alone; None for a task that has no rules to check."""
        return None

    def generate(self, n: int, seed: int = 0, **options: Any) -> tuple[Indices, Indices]:
        """Make n questions and answers as indices, uint8 [n, cells] twice."""
        raise InputError(f"the task {self.name!r} comes from a file and cannot be generated")

    def stream(self, n: int, seed: int = 0, **options: Any) -> Iterator[tuple[str, str]]:
        """Make n questions and answers as strings, a chunk at a time, so that any n fits into memory."""
        rng = np.random.default_rng(seed)
        for start in range(0, n, _CHUNK):
            made = self.generate(min(_CHUNK, n - start), int(rng.integers(2**62)), **options)
            for question, answer in zip(*made, strict=True):
                yield self.decode_question(question), self.decode(answer)

    def augment(self, questions: Indices, answers: Indices, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Apply a random symmetry of the task to each pair of indices [m, cells]; without one, change nothing."""
        return questions, answers

    def canonical(self, questions: Indices) -> Indices:
        """Give representatives uint8 [m, cells], equal exactly for questions that a symmetry of the task joins."""
        return questions

    def to_dict(self) -> dict[str, Any]:
        """Give what `task_from_dict` needs to make this task again, as JSON values."""
        raise NotImplementedError

    @cached_property
    def _input_index(self) -> dict[str, int]:
        return {character: i for i, character in enumerate(self.input_alphabet)}

    @cached_property
    def _output_index(self) -> dict[str, int]:
        return {character: i for i, character in enumerate(self.output_alphabet)}

    def _indices(self, text: str, index: dict[str, int], alphabet: str, what: str) -> Indices:
        if len(text) != self.cells and not (self.pad and len(text) < self.cells):
            most = "up to " if self.pad else ""
            raise InputError(f"the {what} has {len(text)} characters; {self.name} has {most}{self.cells}")
        text = text.ljust(self.cells, self.pad) if self.pad else text
        try:
            return np.array([index[character] for character in text], np.uint8)
        except KeyError:
            at = next(i for i, character in enumerate(text) if character not in index)
            shown = alphabet.replace(self.pad, "") if self.pad else alphabet
            raise InputError(
                f"character {text[at]!r} at position {at + 1} of the {what}; {self.name} knows {shown!r}"
            ) from None
