"""Competition of thoughts: kill the weakest, clone the strongest, mutate the clones by commitment.

A thought mutates by *committing*: it takes one cell that it is unsure of, samples a symbol from its own belief, and
thinks on as if that were given. Each thought is then a hypothesis, and the energy head was trained to tell those that
can still be right from those that cannot. The rules of a task are never consulted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.thought import noise
from chorus.thought.config import CompetitionConfig


def commitment(
    belief: Float[Tensor, "*R N V"],
    given: Int[Tensor, "*R N"],
    key: Int[Tensor, "*R"],
    certain: float,
) -> tuple[Int[Tensor, "*R"], Int[Tensor, "*R"]]:
    """Choose an unsure cell and a symbol for it from the thought's own belief.

    A cell is drawn with a weight that falls with the fourth power of its perplexity (the number of symbols it hovers
    between): a guess between two tells more, sooner, than a guess between six.

    Args:
        belief: probabilities of the answer symbols.
        given: symbols that cells are fixed to already, or -1.
        key: one random key per thought.
        certain: cells with a best probability of at least this are left alone.

    Returns:
        The cell and the symbol, int64; the cell is -1 where no cell is unsure.

    Source: weighted draws as in Efraimidis, Spirakis 2006; the weight is this project's choice.

    >>> belief = torch.tensor([[[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]])  # unsure of its first cell, between two symbols
    >>> cell, symbol = commitment(belief, torch.tensor([[-1, -1]]), torch.tensor([7]), certain=0.9)
    >>> cell.tolist(), symbol.item() in (0, 1)
    ([0], True)
    """
    unsure = (given < 0) & (belief.amax(-1) < certain)
    perplexity = torch.special.entr(belief).sum(-1).exp()
    # The largest of u^(1/w) is a draw with weights w (Efraimidis, Spirakis 2006); its logarithm is log(u) / w.
    draw = noise.uniform(noise.combine(key, 0), belief.shape[-2]).log() * perplexity**4
    cell = draw.masked_fill(~unsure, -torch.inf).argmax(-1)
    odds = belief.gather(-2, cell[..., None, None].expand(*cell.shape, 1, belief.shape[-1])).squeeze(-2)
    threshold = noise.uniform(noise.combine(key, 1), 1) * odds.sum(-1, keepdim=True)
    symbol = (odds.cumsum(-1) < threshold).sum(-1).clamp_max(belief.shape[-1] - 1)
    return torch.where(unsure.any(-1), cell, -1), symbol


@dataclass(frozen=True)
class Round:
    """What one round of competition decides; each [B, K].

    Attributes:
        dead: thoughts killed.
        identity: number of each thought after the round; whoever replaces a dead one gets a new number.
        parent: slot each thought continues from (its own if it lives), or -1 to start again uncommitted.
        cell: cell that it then commits, or -1.
        symbol: the symbol committed there.
    """

    dead: Bool[Tensor, "B K"]
    identity: Int[Tensor, "B K"]
    parent: Int[Tensor, "B K"]
    cell: Int[Tensor, "B K"]
    symbol: Int[Tensor, "B K"]


@dataclass(frozen=True)
class Competition:
    """Decide who dies, who is cloned and what the clones commit to.

    Args:
        config: when thoughts compete and how hard.

    Source: no published solver was found that does this to latent thoughts; the scheme is this project's. Its nearest
    kin is the resampling of particle filters (Gordon, Salmond, Smith 1993).

    >>> competition = Competition(CompetitionConfig(start=24, every=12))
    >>> [step for step in range(60) if competition.due(step)]
    [24, 36, 48]
    """

    config: CompetitionConfig

    def due(self, step: int) -> bool:
        """Return whether a round takes place after this many steps (1 or more)."""
        return step >= self.config.start and (step - self.config.start) % self.config.every == 0

    def round(
        self,
        viable: Float[Tensor, "B K"],
        failed: Bool[Tensor, "B K"],
        belief: Float[Tensor, "B K N V"],
        given: Int[Tensor, "B K N"],
        root_belief: Float[Tensor, "B K N V"],
        root_given: Int[Tensor, "B K N"],
        identity: Int[Tensor, "B K"],
        key: Int[Tensor, "B K"],
    ) -> Round:
        """Hold one round.

        The dead are replaced, in turn, by clones of the survivors from the strongest down, so that no ancestor takes
        over the pool while others live; a share of them, and all where nobody survives, starts again uncommitted. Turns
        go by the thoughts' numbers, so that the slots they lie in do not matter.

        Args:
            viable: energy of each thought (−log of its probability of still being right).
            failed: thoughts that came to an end and judge their own answer wrong; they die too.
            belief: probabilities of the answer symbols.
            given: symbols that cells are fixed to, or -1.
            root_belief: beliefs of the uncommitted states.
            root_given: what the question itself gives.
            identity: number of each thought.
            key: one random key per thought and round.

        Returns:
            What happens to the thought in each slot.

        >>> belief = torch.full((1, 3, 2, 2), 0.5)
        >>> open_cells = torch.full((1, 3, 2), -1)
        >>> decided = Competition(CompetitionConfig(margin=1.0, restart=0.0)).round(
        ...     viable=torch.tensor([[0.1, 3.0, 0.2]]),  # nats: the second is far above the best
        ...     failed=torch.zeros(1, 3, dtype=torch.bool),
        ...     belief=belief, given=open_cells, root_belief=belief, root_given=open_cells,
        ...     identity=torch.tensor([[0, 1, 2]]), key=torch.tensor([[5, 6, 7]]),
        ... )
        >>> decided.dead, decided.parent, decided.identity  # a clone of the strongest takes its place, numbered 3
        (tensor([[False,  True, False]]), tensor([[0, 0, 2]]), tensor([[0, 3, 2]]))
        """
        slots = viable.shape[1]
        floor = -math.log(max(self.config.kill_below, 1e-9))
        bar = (viable.amin(1, keepdim=True) + self.config.margin).clamp_max(floor)
        dead = failed | (viable > bar)
        survivors = (~dead).sum(1, keepdim=True)
        strongest = viable.masked_fill(dead, torch.inf).argsort(dim=1, stable=True)
        by_number = identity.argsort(dim=1)
        before = dead.gather(1, by_number).long()
        rank = torch.empty_like(identity).scatter_(1, by_number, before.cumsum(1) - before)  # among the dead
        turn = rank % survivors.clamp_min(1)
        parent = torch.where(dead, strongest.gather(1, turn), torch.arange(slots, device=dead.device))
        again = dead & ((noise.uniform(noise.combine(key, 2), 1).squeeze(-1) < self.config.restart) | (survivors == 0))
        parent = torch.where(again, -1, parent)

        source = parent.clamp_min(0)
        belief = torch.where(again[..., None, None], root_belief, belief.take_along_dim(source[..., None, None], 1))
        given = torch.where(again[..., None], root_given, given.take_along_dim(source[..., None], 1))
        cell, symbol = commitment(belief, given, key, self.config.certain)
        number = torch.where(dead, identity.amax(1, keepdim=True) + 1 + rank, identity)
        return Round(dead, number, parent, cell, symbol)
