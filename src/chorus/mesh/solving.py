"""Asking a running node many questions, several rounds at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from chorus.errors import ChorusError
from chorus.mesh.config import Config
from chorus.mesh.control import request
from chorus.mesh.questions import Question


def solve_all(
    config: Config, questions: list[Question], parallel: int, patience: float
) -> Iterator[tuple[Question, dict[str, Any]]]:
    """Yield every question with what became of its round, as rounds close; raises `ChorusError` when the node goes."""

    def one(question: Question) -> tuple[Question, dict[str, Any]]:
        wait = patience + 60.0
        for event in request(config.control_path, wait, op="ask", question=question.text, patience=patience):
            if event["event"] == "closed":
                return question, event
        raise ChorusError("the node stopped before the round was over; the question is on its disk and not lost")

    pool = ThreadPoolExecutor(parallel)
    try:
        for future in as_completed([pool.submit(one, question) for question in questions]):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
