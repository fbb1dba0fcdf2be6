"""Training a mind: deep supervision over segments of thought, with gradients that end at each segment's start.

A batch of problems stays with the trainer. Each update thinks one segment further about all of them, asks every thought
for the whole answer, and learns from it; then the states go on, detached. A problem leaves when it is solved or old.
Between segments thoughts commit to symbols they are unsure of, as they will in competition, and the energy head learns
which of these hypotheses can still be right. A thought that cannot has nothing to learn about the answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from chorus.errors import ChorusError, InputError
from chorus.thought.competition import commitment
from chorus.thought.config import from_mapping
from chorus.thought.model import SHARE_EVERY, Mind

# What each setting may be: the least whole number, or a test and its name.
_COUNTS: dict[str, int] = {
    **dict.fromkeys(("updates", "problems", "thoughts", "segment", "segments"), 1),
    **dict.fromkeys(("warmup", "commit_after", "seed"), 0),
}
_SHARE = (lambda value: 0 <= value <= 1), "between 0 and 1"
_POSITIVE = (lambda value: 0 < value < math.inf), "above 0"
_NOT_NEGATIVE = (lambda value: 0 <= value < math.inf), "0 or more"
_MEASURES: dict[str, tuple[Callable[[float], bool], str]] = {
    **dict.fromkeys(("cooldown", "ema", "commit", "forget", "certain"), _SHARE),
    **dict.fromkeys(("learning_rate", "gradient_clip"), _POSITIVE),
    **dict.fromkeys(("weight_decay", "energy_weight"), _NOT_NEGATIVE),
}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a mind is trained.

    Args:
        updates: optimizer updates in all.
        problems: B, problems in the batch.
        thoughts: K, thoughts per problem; the workspace learns to share only with 2 or more.
        segment: steps of thought per update; gradients run through all of them and no further.
        segments: updates after which an unsolved problem leaves.
        learning_rate: peak rate of AdamW, reached after `warmup` updates; it falls to zero over the last `cooldown`
            share of the updates.
        warmup: updates.
        cooldown: share of all updates.
        weight_decay: of AdamW.
        gradient_clip: largest gradient norm.
        ema: decay of the averaged weights, the ones that are kept.
        energy_weight: weight of the energy loss beside the answer's cross-entropy.
        commit_after: segments before a thought may commit.
        commit: probability that an unsolved thought commits, per segment.
        forget: probability that a thought which cannot be right any more starts again, per segment.
        certain: cells with at least this probability are not committed.
        seed: of everything random.
        only: train only the weights whose name starts with this ("workspace"); the others stay as they are.

    Raises:
        InputError: a value out of range.
    """

    updates: int = 6000
    problems: int = 96
    thoughts: int = 1
    segment: int = 8
    segments: int = 8
    learning_rate: float = 2e-3
    warmup: int = 100
    cooldown: float = 0.2
    weight_decay: float = 0.05
    gradient_clip: float = 1.0
    ema: float = 0.999
    energy_weight: float = 0.5
    commit_after: int = 3
    commit: float = 0.3
    forget: float = 0.15
    certain: float = 0.9
    seed: int = 0
    only: str = ""

    def __post_init__(self) -> None:
        for name, least in _COUNTS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"training: {name} must be a whole number of {least} or more; got {value!r}")
            if value >= 2**63:
                raise InputError(f"training: {name} must be a number of 63 bits or fewer; got {value}")
        for name, (fits, wanted) in _MEASURES.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not fits(value):
                raise InputError(f"training: {name} must be {wanted}; got {value!r}")
        if not isinstance(self.only, str):
            raise InputError(f"training: only must be a text, the beginning of names; got {self.only!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read settings; an unknown name raises `InputError`."""
        return from_mapping(cls, values, "training settings")

    def rate(self, update: int) -> float:
        """Return the learning rate of an update: warm-up, constant, linear cool-down."""
        rise = min(1.0, (update + 1) / max(1, self.warmup))
        fall = min(1.0, (self.updates - update) / max(1.0, self.cooldown * self.updates))
        return self.learning_rate * rise * fall


class Source(Protocol):
    """Where problems come from."""

    def draw(self, n: int, generator: torch.Generator) -> tuple[Int[Tensor, "n N"], Int[Tensor, "n N"]]:
        """Return n questions and their answers as int64 symbols."""


@dataclass(frozen=True)
class Report:
    """What one update measured.

    Attributes:
        loss: total loss.
        cross_entropy: of the answers of thoughts that can be right, in nats per cell.
        exact: share of the leaving problems that were solved by any of their thoughts.
        viable: balanced accuracy of the energy head on hypotheses.
        seconds: of the update.
    """

    loss: float
    cross_entropy: float
    exact: float
    viable: float
    seconds: float


class Segment(nn.Module):
    """One segment of thought as a module of its own, so that several processes can share its gradients."""

    def __init__(self, mind: Mind, steps: int) -> None:
        super().__init__()
        self.mind = mind
        self.steps = steps

    def forward(
        self, h: Float[Tensor, "B K N S C"], tokens: Int[Tensor, "B N"], given: Int[Tensor, "B K N"]
    ) -> tuple[Float[Tensor, "B K N S C"], Float[Tensor, "R N V"], Float[Tensor, "R 2"]]:
        """Return the states after the segment, the logits of all answers, and those of the energies."""
        problems, thoughts = h.shape[:2]
        rows = tokens.repeat_interleave(thoughts, 0)
        context = self.mind.encoder(rows, given.flatten(0, 1)).to(h.dtype)
        states = h.flatten(0, 1)
        heard = None
        for step in range(self.steps):
            if step % SHARE_EVERY == 0:
                told = self.mind.broadcast(states.unflatten(0, (problems, thoughts)))
                heard = None if told is None else told.flatten(0, 1)
            states = self.mind.processor(states, context, heard).to(h.dtype)
        logits = self.mind.decoder(states)
        return states.view(h.shape), logits, self.mind.energy.logits(states)


@dataclass
class Batch:
    """The problems being thought about, and how far."""

    tokens: Int[Tensor, "B N"]
    answer: Int[Tensor, "B N"]
    h: Float[Tensor, "B K N S C"]
    given: Int[Tensor, "B K N"]
    viable: Bool[Tensor, "B K"]
    age: Int[Tensor, " B"]


class Trainer:
    """Train a mind on a source of problems, one update at a time.

    Args:
        mind: the model; trained in place.
        source: where problems come from.
        config: how to train.
        dtype: precision of the states and matrix products; weights stay in float32.
        accelerator: an `accelerate.Accelerator`, for other devices and several processes.

    Raises:
        ChorusError: from `step`, if the loss is no longer finite.
    """

    def __init__(
        self,
        mind: Mind,
        source: Source,
        config: TrainConfig,
        dtype: torch.dtype = torch.float32,
        accelerator: Any = None,
    ) -> None:
        self.mind, self.source, self.config, self.dtype, self.accelerator = mind, source, config, dtype, accelerator
        rank = accelerator.process_index if accelerator else 0
        self.generator = torch.Generator().manual_seed((config.seed * 1_000_003 + rank) % 2**63)
        for name, weight in mind.named_parameters():
            weight.requires_grad_(name.startswith(config.only))
        trained = [weight for weight in mind.parameters() if weight.requires_grad]
        if not trained:
            raise InputError(f"training: no weight has a name that starts with {config.only!r}")
        decayed = [weight for weight in trained if weight.dim() > 1]
        others = [weight for weight in trained if weight.dim() <= 1]
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=config.learning_rate,
            betas=(0.9, 0.98),
        )
        self.segment: nn.Module = Segment(mind, config.segment)
        if accelerator:
            self.segment, self.optimizer = accelerator.prepare(self.segment, self.optimizer)
        self.average = {name: p.detach().clone() for name, p in mind.state_dict().items()}
        self.update = 0
        self.batch = self._start()

    @property
    def device(self) -> torch.device:
        """Where the mind is."""
        return self.mind.device

    def steps(self) -> Iterator[Report]:
        """Train until the configured number of updates is done, reporting each."""
        while self.update < self.config.updates:
            yield self.step()

    def step(self) -> Report:
        """Think one segment further about every problem of the batch, and learn from it."""
        began = time.perf_counter()
        config, batch = self.config, self.batch
        for group in self.optimizer.param_groups:
            group["lr"] = config.rate(self.update)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            h, logits, verdicts = self.segment(batch.h, batch.tokens, batch.given)
        target = batch.answer.repeat_interleave(config.thoughts, 0)
        viable = batch.viable.flatten()
        right = (logits.detach().argmax(-1) == target).all(-1) & viable
        per_cell = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view(target.shape)
        cross_entropy = (per_cell * viable[:, None]).sum() / (viable.sum().clamp_min(1) * target.shape[1])
        truth = torch.stack([viable, right], dim=-1).float()
        loss = cross_entropy + config.energy_weight * F.binary_cross_entropy_with_logits(verdicts, truth)
        if not torch.isfinite(loss):
            raise ChorusError(
                f"the loss is {loss.item()} at update {self.update}; "
                f"try a lower learning_rate than {config.learning_rate}"
            )
        self.optimizer.zero_grad(set_to_none=True)
        if self.accelerator:
            self.accelerator.backward(loss)
            self.accelerator.clip_grad_norm_(self.mind.parameters(), config.gradient_clip)
        else:
            loss.backward()
            nn.utils.clip_grad_norm_(self.mind.parameters(), config.gradient_clip)
        self.optimizer.step()
        self.update += 1
        self._average()
        accuracy = _balanced_accuracy(verdicts[:, 0].detach() > 0, viable)
        exact = self._go_on(h.detach(), logits.detach().softmax(-1), right.view(batch.viable.shape))
        return Report(loss.item(), cross_entropy.item(), exact, accuracy, time.perf_counter() - began)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.config.ema, (1 + self.update) / (10 + self.update))
        for name, value in self.mind.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)

    def _start(self) -> Batch:
        config = self.config
        tokens, answer = self._draw(config.problems)
        shape = (config.problems, config.thoughts)
        return Batch(
            tokens=tokens,
            answer=answer,
            h=self._seeds(config.problems * config.thoughts).unflatten(0, shape),
            given=self._given(tokens),
            viable=torch.ones(shape, dtype=torch.bool, device=self.device),
            age=self._random(config.problems).mul(config.segments).long(),
        )

    def _draw(self, n: int) -> tuple[Int[Tensor, "n N"], Int[Tensor, "n N"]]:
        tokens, answer = self.source.draw(n, self.generator)
        return tokens.to(self.device), answer.to(self.device)

    def _given(self, tokens: Int[Tensor, "B N"]) -> Int[Tensor, "B K N"]:
        return self.mind.encoder.givens(tokens)[:, None].repeat(1, self.config.thoughts, 1)

    def _keys(self, n: int) -> Int[Tensor, " n"]:
        return torch.randint(-(2**62), 2**62, (n,), generator=self.generator).to(self.device)

    def _random(self, *shape: int) -> Float[Tensor, "..."]:
        return torch.rand(*shape, generator=self.generator).to(self.device)

    def _seeds(self, n: int) -> Float[Tensor, "n N S C"]:
        return self.mind.encoder.seeds(self._keys(n)).to(self.dtype)

    @torch.no_grad()
    def _go_on(
        self, h: Float[Tensor, "B K N S C"], belief: Float[Tensor, "R N V"], right: Bool[Tensor, "B K"]
    ) -> float:
        """Carry the batch to the next segment: commit, forget, replace. Returns the share of leavers solved."""
        config, batch = self.config, self.batch
        shape = batch.viable.shape
        batch.h = h
        batch.age += 1

        cell, symbol = commitment(
            belief.unflatten(0, shape), batch.given, self._keys(right.numel()).view(shape), config.certain
        )
        commits = (batch.age[:, None] >= config.commit_after) & ~right & (cell >= 0)
        where = (commits & (self._random(*shape) < config.commit)).nonzero(as_tuple=True)
        batch.given[(*where, cell[where])] = symbol[where]
        batch.viable[where] &= batch.answer[where[0], cell[where]] == symbol[where]

        again = (~batch.viable & (self._random(*shape) < config.forget)).nonzero(as_tuple=True)
        if len(again[0]):
            batch.h[again] = self._seeds(len(again[0]))
            batch.given[again] = self._given(batch.tokens)[again]
            batch.viable[again] = True

        solved = right.any(1)
        leaving = (solved & (self._random(shape[0]) < 0.5)) | (batch.age >= config.segments)
        n = int(leaving.sum())
        if n == 0:
            return math.nan
        exact = solved[leaving].float().mean().item()
        batch.tokens[leaving], batch.answer[leaving] = self._draw(n)
        batch.h[leaving] = self._seeds(n * config.thoughts).unflatten(0, (n, config.thoughts))
        batch.given[leaving] = self._given(batch.tokens[leaving])
        batch.viable[leaving] = True
        batch.age[leaving] = 0
        return exact

    def state(self) -> dict[str, Tensor]:
        """Return all that is needed to go on later: weights, averages, moments and counters, as plain tensors."""
        tensors = {f"weight.{name}": value.detach() for name, value in self.mind.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"moment.{number}.{name}": torch.as_tensor(value) for name, value in moments.items()}
        tensors["update"] = torch.tensor(self.update)
        tensors["generator"] = self.generator.get_state()
        return {name: value.cpu().contiguous() for name, value in tensors.items()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned; the problems at hand are drawn anew.

        Raises:
            InputError: a state of another architecture.
        """

        def under(prefix: str) -> dict[str, Tensor]:
            found = (name for name in tensors if name.startswith(prefix))
            return {name.removeprefix(prefix): tensors[name].clone() for name in found}  # training changes them

        try:
            self.mind.load_state_dict(under("weight."))
            self.average = {name: value.to(self.device) for name, value in under("average.").items()}
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in under("moment.").items():
                number, part = name.split(".")
                moments.setdefault(int(number), {})[part] = value
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
            self.update = int(tensors["update"])
            self.generator.set_state(tensors["generator"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise InputError(f"this training state does not belong to this model: {error}") from None
        self.batch = self._start()

    def averaged(self) -> Mind:
        """Return a copy of the mind with the averaged weights, the one to keep."""
        copy = Mind(self.mind.config).to(self.device)
        copy.load_state_dict(self.average)
        return copy


def _balanced_accuracy(guess: Bool[Tensor, " R"], label: Bool[Tensor, " R"]) -> float:
    if label.all() or not label.any():
        return math.nan
    return 0.5 * (guess[label].float().mean() + (~guess[~label]).float().mean()).item()
