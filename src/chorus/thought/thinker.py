"""Questions as text in, answers as text out: a mind with its task."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from chorus.errors import ChorusError, InputError
from chorus.thought.checkpoint import Checkpoint, load_checkpoint
from chorus.thought.competition import Round
from chorus.thought.config import ThinkConfig
from chorus.thought.model import Look, Observer, Thinking
from chorus.thought.pool import ThoughtPool
from chorus.thought.tasks import Task
from chorus.thought.tasks.task import Solutions
from chorus.thought.termination import Halt
from chorus.thought.trace import Event, Frame, Trace

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
ROWS = 512  # thoughts per batch: enough to fill two cores, little memory


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a mind answered to one question.

    Attributes:
        question: as the task writes it.
        answer: as the task writes it.
        energy: −log of the probability, by the mind's own estimate, that the answer is right; in nats.
        thoughts: K, thoughts that ran in parallel.
        steps: steps until the problem halted.
        seconds: wall time of its batch, divided by the batch's problems.
        halted_by: "confidence", "agreement", "fixed_point" or "budget".
        valid: whether the answer keeps the task's own rules; None for a task that cannot be checked.
        solutions: "none", "one" or "several": how many answers to the question keep these rules; None as above.
    """

    question: str
    answer: str
    energy: float
    thoughts: int
    steps: int
    seconds: float
    halted_by: str
    valid: bool | None
    solutions: Solutions | None


def pick_device(name: DeviceName = "auto") -> torch.device:
    """Return a torch device; "auto" takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        InputError: a device that this machine does not have.
    """
    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if has[kind]))
    if name not in has:
        raise InputError(f"device must be auto, cpu, cuda or mps; got {name!r}")
    if not has[name]:
        raise InputError(f"this machine has no {name} device; use --device auto or cpu")
    return torch.device(name)


def pick_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the hardware multiplies it natively, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False):
        return torch.bfloat16
    return torch.float32


class Thinker:
    """A trained mind, ready to be asked.

    Args:
        checkpoint: mind and task.
        dtype: precision of the states; by default the fastest that the device does well.

    >>> thinker = Thinker.from_pretrained("sudoku")
    >>> puzzle = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
    >>> thinker.answer([puzzle])[0].valid
    True
    """

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> None:
        self.mind = checkpoint.mind
        self.task: Task = checkpoint.task
        self.config = checkpoint.think
        self.dtype = dtype or pick_dtype(self.mind.device)

    @classmethod
    def from_pretrained(cls, place: str | Path = "sudoku", device: DeviceName = "auto") -> Self:
        """Load a shipped model by name, a folder, or a Hugging Face model id; see `load_checkpoint`."""
        return cls(load_checkpoint(place, pick_device(device)))

    def tokens(self, questions: Sequence[str]) -> Tensor:
        """Encode questions as int64 [B, N]; a question that does not fit the task raises `InputError`."""
        rows = np.stack([self.task.encode(question) for question in questions])
        return torch.as_tensor(rows.astype(np.int64), device=self.mind.device)

    def answer(self, questions: Sequence[str], config: ThinkConfig | None = None) -> list[Answer]:
        """Think about questions in one batch and return their answers in order.

        Args:
            questions: as the task writes them.
            config: how to think; by default `self.config`, what the model was saved with.

        Raises:
            InputError: a question that does not fit the task.
            ChorusError: so many thoughts do not fit into memory.
        """
        return self._answer(questions, config or self.config, None)

    def stream(self, questions: Iterable[str], config: ThinkConfig | None = None) -> Iterator[Answer]:
        """Answer any number of questions in order, batch by batch, in constant memory."""
        config = config or self.config
        waiting = iter(questions)
        while batch := list(islice(waiting, max(1, ROWS // config.thoughts))):
            yield from self._answer(batch, config, None)

    def trace(
        self, question: str, config: ThinkConfig | None = None, watch: Callable[[Trace], None] | None = None
    ) -> tuple[Answer, Trace]:
        """Think about one question and return the answer with the record of the whole run.

        Args:
            question: as the task writes it.
            config: how to think.
            watch: called with the trace so far after every look.
        """
        config = config or self.config
        trace = Trace(
            question=self.task.normalize(question), task=self.task.name, shape=self.task.shape or (1, self.task.cells)
        )
        recorder = _Recorder(self.task, trace, watch)
        answer = self._answer([question], config, recorder)[0]
        trace.answer, trace.halted_by, trace.steps = answer.answer, answer.halted_by, answer.steps
        return answer, trace

    def think(self, tokens: Tensor, config: ThinkConfig, observe: Observer | None = None) -> Thinking:
        """Think about encoded questions int64 [B, N]; see `Mind.think`.

        Raises:
            ChorusError: so many thoughts do not fit into memory.
        """
        try:
            return self.mind.think(tokens, config, dtype=self.dtype, observe=observe)
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
                raise
            raise ChorusError(
                f"{config.thoughts:,} thoughts about {len(tokens)} problems at once do not fit into memory; "
                f"ask for fewer thoughts"
            ) from None

    def _answer(self, questions: Sequence[str], config: ThinkConfig, observe: Observer | None) -> list[Answer]:
        began = time.perf_counter()
        tokens = self.tokens(questions)
        thinking = self.think(tokens, config, observe)
        texts = [self.task.decode(row) for row in thinking.answer.cpu().numpy()]
        seconds = (time.perf_counter() - began) / len(questions)
        return [
            Answer(
                question=self.task.normalize(question),
                answer=text,
                energy=energy,
                thoughts=config.thoughts,
                steps=steps,
                seconds=seconds,
                halted_by=Halt(halt).name.lower(),
                valid=self.task.check(question, text),
                solutions=self.task.solutions(question),
            )
            for question, text, energy, steps, halt in zip(
                questions,
                texts,
                thinking.energy.tolist(),
                thinking.steps.tolist(),
                thinking.halted.tolist(),
                strict=True,
            )
        ]


class _Recorder:
    """Writes what `Mind.think` shows of one problem into a trace."""

    def __init__(self, task: Task, trace: Trace, watch: Callable[[Trace], None] | None) -> None:
        self.task, self.trace, self.watch = task, trace, watch
        self.asked: Tensor | None = None

    def __call__(self, step: int, pool: ThoughtPool, look: Look, verdict: Round | None) -> None:
        identity = pool.identity[0].tolist()
        if self.asked is None:
            self.asked = pool.given[0, 0] >= 0
        committed = (pool.given[0] >= 0) & ~self.asked
        self.trace.frames.append(
            Frame(
                step=step,
                identity=identity,
                probes=[self.task.decode(row) for row in look.answer[0].cpu().numpy()],
                doubt=(1 - look.belief[0].amax(-1)).masked_fill(pool.given[0] >= 0, 0.0).round(decimals=3).tolist(),
                committed=[row.nonzero().flatten().tolist() for row in committed],
                viable=[round(x, 4) for x in look.viable[0].tolist()],
                energy=[round(x, 4) for x in look.energy[0].tolist()],
                resting=pool.resting[0].tolist(),
            )
        )
        if verdict is not None:
            self.trace.events.extend(self._events(step, identity, verdict))
        if self.watch:
            self.watch(self.trace)

    def _events(self, step: int, identity: list[int], verdict: Round) -> Iterator[Event]:
        for slot, dead in enumerate(verdict.dead[0].tolist()):
            thought = int(verdict.identity[0, slot])
            if dead:
                yield Event(step=step, kind="kill", thought=identity[slot])
                parent = int(verdict.parent[0, slot])
                if parent < 0:
                    yield Event(step=step, kind="restart", thought=thought)
                else:
                    yield Event(step=step, kind="clone", thought=thought, parent=identity[parent])
            cell = int(verdict.cell[0, slot])
            if cell >= 0:
                symbol = self.task.output_alphabet[int(verdict.symbol[0, slot])]
                yield Event(step=step, kind="commit", thought=thought, cell=cell, symbol=symbol)
