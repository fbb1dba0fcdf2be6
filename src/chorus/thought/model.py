"""A mind: encode once, think in K parallel latent trajectories, decode once.

Legend: B problems, K thoughts per problem, N cells, S vectors per cell, C channels, V answer symbols, R = rows of the
processor (thoughts that move at this step, over all problems).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from chorus.thought import noise
from chorus.thought.competition import Competition, Round
from chorus.thought.config import MindConfig, TerminationConfig, ThinkConfig
from chorus.thought.decoder import Decoder
from chorus.thought.encoder import Encoder
from chorus.thought.energy import EnergyHead
from chorus.thought.oscillatory import OscillatoryProcessor
from chorus.thought.pool import ThoughtPool
from chorus.thought.processor import RecurrentProcessor
from chorus.thought.rates import Rates
from chorus.thought.termination import Halt, TerminationDetector
from chorus.thought.workspace import Workspace

SHARE_EVERY = 4  # steps between two broadcasts of the workspace, in training and in use


@dataclass(frozen=True)
class Look:
    """A reading of a pool at one step.

    Attributes:
        belief: probabilities of the answer symbols [B, K, N, V].
        answer: what each thought would answer [B, K, N].
        viable: energy of still being able to be right [B, K].
        energy: energy of the present answer being right [B, K].
    """

    belief: Float[Tensor, "B K N V"]
    answer: Int[Tensor, "B K N"]
    viable: Float[Tensor, "B K"]
    energy: Float[Tensor, "B K"]

    @property
    def decided(self) -> Bool[Tensor, "B K"]:
        """Thoughts that have an answer at all: in every cell one symbol outweighs all others together."""
        decided: Tensor = self.belief.amax(-1).amin(-1) > 0.5
        return decided

    @property
    def best(self) -> Int[Tensor, " B"]:
        """Slot of the thought to answer with: that of least energy, among the decided ones where there are any.

        >>> belief = torch.tensor([[[[0.4, 0.3, 0.3]], [[0.8, 0.1, 0.1]]]])  # the first thought has no answer yet
        >>> Look(belief, belief.argmax(-1), torch.zeros(1, 2), torch.tensor([[0.01, 0.02]])).best
        tensor([1])
        """
        other = ~self.decided & self.decided.any(1, keepdim=True)
        return self.energy.masked_fill(other, torch.inf).argmin(1)

    def take(self, slots: Int[Tensor, " K"]) -> Look:
        """Return the reading of the thoughts in some slots."""
        return Look(self.belief[:, slots], self.answer[:, slots], self.viable[:, slots], self.energy[:, slots])


Observer = Callable[[int, ThoughtPool, "Look", "Round | None"], None]


@dataclass(frozen=True)
class Thinking:
    """What came out of thinking about B problems.

    Attributes:
        answer: the selected answers, int64 [B, N].
        energy: their energies in nats [B].
        steps: steps each problem took [B].
        halted: why each problem stopped, a `Halt` value [B].
        answers: what every thought would have answered at the end [B, K, N].
        energies: the energy of each of those [B, K].
        rows: rows of each problem that the processor worked on, the unit of compute [B].
    """

    answer: Int[Tensor, "B N"]
    energy: Float[Tensor, " B"]
    steps: Int[Tensor, " B"]
    halted: Int[Tensor, " B"]
    answers: Int[Tensor, "B K N"]
    energies: Float[Tensor, "B K"]
    rows: Int[Tensor, " B"]


class Mind(nn.Module):
    """A model that thinks in parallel.

    Args:
        config: the architecture.

    >>> config = MindConfig(cells=4, input_size=3, output_size=2, kept=(-1, 0, 1), relations=("full()",))
    >>> mind = Mind(config)
    >>> mind.think(torch.tensor([[1, 0, 0, 2]]), ThinkConfig(thoughts=3, steps=5)).answer.shape
    torch.Size([1, 4])
    """

    def __init__(self, config: MindConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.processor: RecurrentProcessor | OscillatoryProcessor = (
            RecurrentProcessor(config) if config.processor == "recurrent" else OscillatoryProcessor(config)
        )
        self.workspace = Workspace(config) if config.slots else None
        self.energy = EnergyHead(config)
        self.decoder = Decoder(config)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.decoder.linear.weight.device

    @torch.inference_mode()
    def think(
        self,
        tokens: Int[Tensor, "B N"],
        config: ThinkConfig | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        order: Int[Tensor, " K"] | None = None,
        observe: Observer | None = None,
    ) -> Thinking:
        """Think about a batch of problems and return one answer for each.

        Args:
            tokens: questions, int64 [B, N].
            config: how to think.
            dtype: precision of the states; `torch.bfloat16` is several times faster where the hardware has it.
            order: renumbers the thoughts (a permutation of 0..K-1); their results come out in that order.
            observe: called after every look with (step, pool, look, round or None). It sees and cannot change.

        Raises:
            IndexError: a question symbol that the mind does not know.
            RuntimeError: questions of another length than N, or more thoughts than the memory holds.
        """
        config = config or ThinkConfig()
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            return _Run(self, tokens.to(self.device), config, dtype, order, observe).finish()

    def look(self, pool: ThoughtPool) -> Look:
        """Decode and judge every thought of a pool; nothing of it feeds back.

        >>> mind = Mind(MindConfig(cells=4, input_size=2, output_size=2, kept=(-1, -1), relations=("full()",)))
        >>> look = mind.look(ThoughtPool.start(mind.encoder, torch.tensor([[0, 1, 0, 1]]), thoughts=3, seed=0))
        >>> look.answer.shape, look.energy.shape
        (torch.Size([1, 3, 4]), torch.Size([1, 3]))
        """
        belief, answer = self.probe(pool.h, pool.given)
        viable, energy = self.energy(pool.h.flatten(0, 1))
        return Look(belief, answer, viable.view(pool.size), energy.view(pool.size))

    def probe(
        self, h: Float[Tensor, "B K N S C"], given: Int[Tensor, "B K N"]
    ) -> tuple[Float[Tensor, "B K N V"], Int[Tensor, "B K N"]]:
        """Decode any thoughts at any step: the belief about each cell, and the answer it stands for.

        Args:
            h: states, float [B, K, N, S, C], such as `ThoughtPool.h` holds.
            given: symbol each cell is fixed to, or -1, int64 [B, K, N].

        Returns:
            Probabilities of the answer symbols, float32 [B, K, N, V], and the answers, int64 [B, K, N].

        >>> mind = Mind(MindConfig(cells=4, input_size=2, output_size=2, kept=(-1, -1), relations=("full()",)))
        >>> seen = []
        >>> def watch(step, pool, look, verdict):
        ...     seen.append(mind.probe(pool.h, pool.given)[1])
        >>> result = mind.think(torch.tensor([[0, 1, 0, 1]]), ThinkConfig(thoughts=3, steps=8), observe=watch)
        >>> len(seen), torch.equal(seen[-1], result.answers)
        (2, True)
        """
        logits = self.decoder(h.flatten(0, 1)).unflatten(0, h.shape[:2])
        return logits.softmax(-1), Decoder.answer(logits, given)

    def broadcast(self, h: Float[Tensor, "B K N S C"]) -> Float[Tensor, "B K N S C"] | None:
        """Return what the workspace tells each thought; None without a workspace, or for a thought all by itself.

        Args:
            h: states, float [B, K, N, S, C].
        """
        if self.workspace is None or h.shape[1] == 1:
            return None
        belief = self.decoder(h.flatten(0, 1)).unflatten(0, h.shape[:2]).softmax(-1)
        heard: Tensor = self.workspace(h, belief)
        return heard


class _Run:
    """One call of `Mind.think`: the pool, the clock and the results so far."""

    def __init__(
        self,
        mind: Mind,
        tokens: Int[Tensor, "B N"],
        config: ThinkConfig,
        dtype: torch.dtype,
        order: Int[Tensor, " K"] | None,
        observe: Observer | None,
    ) -> None:
        self.mind, self.config, self.observe = mind, config, observe
        self.rates = Rates(config.rates)
        self.competition = Competition(config.competition) if config.competition else None
        self.detector = TerminationDetector(config.termination or TerminationConfig())
        # Slot k of the full pool starts as a copy of slot `source[k]`: itself, or one of the scouts.
        self.identity = (torch.arange(config.thoughts) if order is None else order).to(tokens.device)
        scouting, self.source = self.identity, torch.arange(config.thoughts, device=tokens.device)
        if config.competition and config.competition.scouts < config.thoughts:
            scouting = self.identity[self.identity < config.competition.scouts]
            self.source = (self.identity[:, None] % config.competition.scouts == scouting).int().argmax(1)
        self.pool = ThoughtPool.start(mind.encoder, tokens, len(scouting), config.seed, dtype, scouting)
        self.root: ThoughtPool | None = None
        self.root_belief: Float[Tensor, "B K N V"] = torch.empty(0)
        self.heard: Float[Tensor, "B K N S C"] | None = None
        problems, thoughts = len(tokens), config.thoughts
        new = tokens.new_zeros
        self.rows = new(problems)
        self.answers = new(problems, thoughts, tokens.shape[1])
        self.energies = torch.zeros(problems, thoughts, device=tokens.device)
        self.best, self.steps, self.halts = new(problems), new(problems), new(problems)

    def finish(self) -> Thinking:
        """Think until every problem has halted."""
        for step in range(1, self.config.steps + 1):
            if len(self.pool.problem) == 0:
                break
            change = self.advance(step - 1, measure=self._due(step))
            if change is not None:
                self.consider(step, change)
        problems = torch.arange(len(self.best), device=self.best.device)
        return Thinking(
            answer=self.answers[problems, self.best],
            energy=self.energies[problems, self.best],
            steps=self.steps,
            halted=self.halts,
            answers=self.answers,
            energies=self.energies,
            rows=self.rows,
        )

    def _due(self, step: int) -> bool:
        if step == self.config.steps:
            return True
        if self.config.termination and step % self.config.termination.every == 0:
            return True
        return self.competition is not None and self.competition.due(step)

    def advance(self, step: int, *, measure: bool) -> Float[Tensor, "B K"] | None:
        """Move the thoughts that are due by one step; return the relative change of every thought if asked."""
        pool = self.pool
        if self.config.workspace and step % SHARE_EVERY == 0:
            self.heard = self.mind.broadcast(pool.h)
        before = pool.h
        moving = self.rates.due(step, pool.identity) & ~pool.resting
        depth = self.rates.depth(pool.identity)
        for done in range(self.rates.deepest):
            at_work = moving & (depth > done)
            pool.h = self._move(pool.h, at_work.flatten().nonzero().squeeze(1))
            self.rows.index_add_(0, pool.problem, at_work.sum(1))
        if not measure:
            return None
        scale = before.flatten(2).float().norm(dim=-1).clamp_min(1e-9)
        change: Tensor = (pool.h - before).flatten(2).float().norm(dim=-1) / scale
        return change

    def _move(self, h: Float[Tensor, "B K N S C"], rows: Int[Tensor, " R"]) -> Float[Tensor, "B K N S C"]:
        """Apply the processor to some rows; the others are neither read nor written."""
        parts = [None if x is None else x.flatten(0, 1) for x in (h, self.pool.context, self.heard)]
        states, context, heard = parts
        assert states is not None
        assert context is not None
        if len(rows) == 0:
            return h
        if len(rows) == len(states):
            states = self.mind.processor(states, context, heard).to(h.dtype)
        else:
            moved = self.mind.processor(states[rows], context[rows], None if heard is None else heard[rows])
            states = states.index_copy(0, rows, moved.to(h.dtype))
        return states.view(h.shape)

    def consider(self, step: int, change: Float[Tensor, "B K"]) -> None:
        """Look at the pool: rest thoughts, hold a round of competition, release finished problems."""
        pool, termination = self.pool, self.config.termination
        look = self.mind.look(pool)
        settled = self.detector.settled(look.belief)
        reason = torch.zeros_like(pool.problem)
        if termination:
            fixed = (pool.resting | self.rates.due(step - 1, pool.identity)) & (change < termination.fixed_point)
            pool.resting = settled | fixed
            reason = self.detector.halted(
                look.answer, settled, look.decided, fixed, look.energy, self.competition is None
            )
        if step == self.config.steps:
            reason[reason == Halt.NONE] = Halt.BUDGET
        verdict = None
        if self.competition and self.competition.due(step) and bool((reason == Halt.NONE).any()):
            if self.root is None:
                look, settled = self.gather(look, settled)
                pool = self.pool
            verdict = self.compete(step, look, settled)
        if self.observe:
            self.observe(step, pool, look, verdict)
        if verdict:
            self.apply(verdict)
        self.release(step, look, reason)

    def gather(self, look: Look, settled: Bool[Tensor, "B k"]) -> tuple[Look, Bool[Tensor, "B K"]]:
        """Let the waiting thoughts join, as copies of the scouts, and keep these uncommitted states to restart from."""
        self.pool = self.pool.take(self.source, self.identity)
        if self.heard is not None:
            self.heard = self.heard[:, self.source]
        look = look.take(self.source)
        self.root, self.root_belief = dataclasses.replace(self.pool), look.belief
        return look, settled[:, self.source]

    def compete(self, step: int, look: Look, settled: Bool[Tensor, "B K"]) -> Round:
        """Hold a round of competition."""
        assert self.competition is not None
        assert self.root is not None
        pool = self.pool
        return self.competition.round(
            viable=look.viable,
            failed=settled & (look.energy > math.log(2)),
            belief=look.belief,
            given=pool.given,
            root_belief=self.root_belief,
            root_given=self.root.given,
            identity=pool.identity,
            key=noise.combine(pool.key[:, None], pool.identity, step),
        )

    def apply(self, verdict: Round) -> None:
        """Replace the dead, and fix the cells that thoughts commit to."""
        pool, root = self.pool, self.root
        assert root is not None
        again = verdict.parent < 0
        source = verdict.parent.clamp_min(0)

        def inherit(living: Tensor, uncommitted: Tensor) -> Tensor:
            shape = (*source.shape, *[1] * (living.dim() - 2))
            return torch.where(again.view(shape), uncommitted, living.take_along_dim(source.view(shape), 1))

        pool.h = inherit(pool.h, root.h)
        pool.given = inherit(pool.given, root.given)
        pool.context = inherit(pool.context, root.context)
        pool.identity = verdict.identity

        commits = verdict.cell >= 0
        pool.resting = torch.where(verdict.dead, False, pool.resting) & ~commits
        where = commits.nonzero(as_tuple=True)
        if len(where[0]):
            pool.given[(*where, verdict.cell[where])] = verdict.symbol[where]
            pool.context[where] = self.mind.encoder(pool.tokens[where[0]], pool.given[where]).to(pool.h.dtype)

    def release(self, step: int, look: Look, reason: Int[Tensor, " B"]) -> None:
        """Write down the results of the problems that halted and let them leave the batch."""
        done = reason != Halt.NONE
        if not done.any():
            return
        index = self.pool.problem[done]
        if look.energy.shape[1] < self.config.thoughts:
            look = look.take(self.source)
        self.answers[index] = look.answer[done]
        self.energies[index] = look.energy[done]
        self.best[index] = look.best[done]
        self.steps[index] = step
        self.halts[index] = reason[done]
        self.pool = self.pool.select(~done)
        if self.heard is not None:
            self.heard = self.heard[~done]
        if self.root is not None:
            self.root, self.root_belief = self.root.select(~done), self.root_belief[~done]
