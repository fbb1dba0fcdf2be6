"""`chorus think`: problems in, answers out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chorus.cli.options import Device, Seed, Steps, Thoughts, check_writable, thinking
from chorus.errors import ChorusError, InputError

if TYPE_CHECKING:
    from chorus.thought import Answer, ThinkConfig, Thinker, Trace
    from chorus.thought.tasks import Record


def think(
    file: Annotated[
        str, typer.Argument(help="Problems, one a line; CSV with a question column; JSONL; - is stdin.")
    ] = "-",
    task: Annotated[str | None, typer.Option(help="Use the model in the box for this task: sudoku or maze.")] = None,
    model: Annotated[str | None, typer.Option(help="A model folder or a Hugging Face model id.")] = None,
    thoughts: Thoughts = None,
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show the thoughts at work, one problem after the other.")
    ] = False,
    trace: Annotated[
        Path | None, typer.Option(help="Record the runs: .jsonl holds one a line; .png or .svg draws the first.")
    ] = None,
) -> None:
    """Think about problems in parallel and print one answer a line, in order.

    A line that is no problem of the task is reported on stderr and answered with an empty line.

    Exit codes: 0 all answers keep the task's rules and are the only ones that do, 1 some do not, 2 some lines could
    not be read.
    """
    from chorus.thought import Thinker
    from chorus.thought.tasks import read_problems
    from chorus.thought.thinker import ROWS

    if task is not None and model is not None and task != model:
        raise InputError(f"give --task {task} or --model {model}, not both: a model knows its task")
    if trace is not None:
        check_writable(trace, "--trace", (".png", ".svg", ".jsonl", ".json"))
    thinker = Thinker.from_pretrained(model or task or "sudoku", device)  # type: ignore[arg-type]
    config = thinking(thinker, thoughts=thoughts, steps=steps, seed=seed)
    name = "standard input" if file == "-" else file
    job = _Job(thinker, config, name, as_json)
    one_by_one = watch or trace is not None
    try:
        if one_by_one:
            job.answer_one = _OneByOne(job, watch, trace).answer
        for batch in _batches(read_problems(file), 1 if one_by_one else max(1, ROWS // config.thoughts)):
            job.handle(batch)
    finally:
        job.report()
    if job.unreadable:
        raise typer.Exit(2)
    if job.wrong or job.ambiguous:
        raise typer.Exit(1)


def _batches(records: Iterator[Record], size: int) -> Iterator[list[Record]]:
    batch: list[Record] = []
    try:
        for record in records:
            batch.append(record)
            if len(batch) == size:
                yield batch
                batch = []
    except InputError:  # the file ends in something that is no text; what came before it is answered first
        if batch:
            yield batch
        raise
    if batch:
        yield batch


class _Job:
    """Answers batches of records in order and counts what went wrong."""

    def __init__(self, thinker: Thinker, config: ThinkConfig, name: str, as_json: bool) -> None:
        self.thinker, self.config, self.name, self.as_json = thinker, config, name, as_json
        self.answered = self.wrong = self.ambiguous = self.unreadable = 0
        self.answer_one: Callable[[str], Answer] | None = None

    def handle(self, batch: list[Record]) -> None:
        defects = [self._defect(record) for record in batch]
        questions = [record.question for record, defect in zip(batch, defects, strict=True) if defect is None]
        if self.answer_one is not None:
            answers = iter([self.answer_one(question) for question in questions])
        else:
            answers = iter(self.thinker.answer(questions, self.config) if questions else [])
        for record, defect in zip(batch, defects, strict=True):
            if defect is None:
                self._print(record, next(answers))
            else:
                self.unreadable += 1
                typer.echo(f"{self.name}, line {record.line}: {defect}", err=True)
                typer.echo(json.dumps({"question": record.question, "error": defect}) if self.as_json else "")

    def _defect(self, record: Record) -> str | None:
        if record.error is not None:
            return record.error
        try:
            self.thinker.task.encode(record.question)
        except InputError as error:
            return str(error)
        return self.thinker.task.defect(record.question)

    def _print(self, record: Record, answer: Answer) -> None:
        self.answered += 1
        if answer.valid is False:
            self.wrong += 1
            why = {"none": ": there is no solution", "several": ": there are several solutions"}
            said = f"the answer breaks the task's rules{why.get(answer.solutions or '', '')}"
            typer.echo(f"{self.name}, line {record.line}: {said}", err=True)
        elif answer.solutions == "several":
            self.ambiguous += 1
            typer.echo(f"{self.name}, line {record.line}: there are several solutions; this is one of them", err=True)
        if self.as_json:
            values = {
                "question": answer.question,
                "answer": answer.answer,
                "energy": round(answer.energy, 6),
                "thoughts": answer.thoughts,
                "steps": answer.steps,
                "seconds": round(answer.seconds, 6),
                "halted_by": answer.halted_by,
            }
            if answer.valid is not None:
                values["valid"] = answer.valid
                values["solutions"] = answer.solutions
            typer.echo(json.dumps(values))
        else:
            typer.echo(answer.answer)
        sys.stdout.flush()

    def report(self) -> None:
        """Say on stderr how many answers are not to be trusted."""
        if self.wrong:
            typer.echo(
                f"warning: {self.wrong} of {self.answered} answers break the task's rules (valid: false)", err=True
            )
        if self.ambiguous:
            typer.echo(
                f"warning: {self.ambiguous} of {self.answered} problems have several solutions; "
                f"one of them was given for each",
                err=True,
            )
        if self.unreadable:
            lines = "1 line" if self.unreadable == 1 else f"{self.unreadable} lines"
            typer.echo(f"warning: {lines} could not be answered", err=True)


class _OneByOne:
    """Thinks about one problem at a time and records or shows the run."""

    def __init__(self, job: _Job, watch: bool, path: Path | None) -> None:
        self.job, self.watch, self.path = job, watch, path
        self.first = True
        if path is not None and path.suffix in (".json", ".jsonl"):
            _write(path, "", "w")

    def answer(self, question: str) -> Answer:
        if self.watch:
            answer, trace = self._watched(question)
        else:
            answer, trace = self.job.thinker.trace(question, self.job.config)
        self._keep(trace)
        return answer

    def _watched(self, question: str) -> tuple[Answer, Trace]:
        """Show one run, and let go of the terminal before the answer is printed: in between it would break the view."""
        from rich.console import Console
        from rich.live import Live

        from chorus.thought.drawing import live_view

        with Live(console=Console(stderr=True), auto_refresh=False, redirect_stdout=False) as live:
            return self.job.thinker.trace(
                question, self.job.config, lambda trace: live.update(live_view(trace), refresh=True)
            )

    def _keep(self, trace: Trace) -> None:
        from chorus.thought.drawing import draw_trace

        if self.path is None:
            return
        if self.path.suffix in (".json", ".jsonl"):
            _write(self.path, trace.to_json() + "\n", "a")
        elif self.first:
            draw_trace(trace, self.path)
        self.first = False


def _write(path: Path, text: str, mode: str) -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ChorusError(f"{path}: cannot be written: {error.strerror or error}") from None
