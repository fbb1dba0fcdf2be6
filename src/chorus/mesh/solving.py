"""Asking a running node many questions, several rounds at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

from chorus.errors import ChorusError
from chorus.mesh.config import Config
from chorus.mesh.control import request
from chorus.mesh.questions import Question

_Result = tuple[Question, dict[str, Any]]


def solve_all(config: Config, questions: list[Question], parallel: int, patience: float) -> Iterator[_Result]:
    """Yield every question with what became of its round, as rounds close; raises `ChorusError` when the node goes.

    The asking threads end with the process, and the node withdraws what they had asked.
    """
    waiting: queue.SimpleQueue[Question] = queue.SimpleQueue()
    for question in questions:
        waiting.put(question)
    results: queue.SimpleQueue[_Result | ChorusError] = queue.SimpleQueue()

    def work() -> None:
        while True:
            try:
                results.put(_ask(config, waiting.get_nowait(), patience))
            except queue.Empty:
                return
            except ChorusError as error:
                results.put(error)
                return

    for _ in range(min(parallel, len(questions))):
        threading.Thread(target=work, daemon=True).start()
    for _ in questions:
        result = results.get()
        if isinstance(result, ChorusError):
            raise result
        yield result


def _ask(config: Config, question: Question, patience: float) -> _Result:
    wait = patience + 60.0
    for event in request(config.control_path, wait, op="ask", question=question.text, patience=patience):
        if event["event"] == "closed":
            return question, event
    raise ChorusError("the node stopped before the round was over; the question is on its disk and not lost")
