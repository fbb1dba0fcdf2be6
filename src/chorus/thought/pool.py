"""K thoughts per problem, each a whole candidate state of its problem.

Legend: B problems still thinking, K thoughts, N cells, S vectors per cell, C channels; a thought's state is
[N, D] with D = S·C, so the pool is [B, K, N, D].
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.thought import noise
from chorus.thought.encoder import Encoder


@dataclass
class ThoughtPool:
    """The state of all thoughts about a batch of problems.

    Attributes:
        problem: index of each problem in the batch it came from, int64 [B].
        tokens: the questions, int64 [B, N].
        key: random key of each problem, int64 [B].
        h: states [B, K, N, S, C].
        context: what each thought is given, embedded [B, K, N, S, C].
        given: answer symbol that each cell of each thought is fixed to, or -1, int64 [B, K, N].
        identity: number of each thought, unique within its problem; a clone gets a new one, int64 [B, K].
        resting: thoughts that stopped; no work is done for them, bool [B, K].

    >>> from chorus.thought import Mind, MindConfig
    >>> mind = Mind(MindConfig(cells=4, input_size=3, output_size=2, kept=(-1, 0, 1), relations=("full()",)))
    >>> pool = ThoughtPool.start(mind.encoder, torch.tensor([[1, 0, 0, 2], [0, 0, 0, 0]]), thoughts=3, seed=0)
    >>> pool.size, tuple(pool.states.shape)
    ((2, 3), (2, 3, 4, 32))
    >>> pool.given[0, 0]  # question symbols 1 and 2 fix their cells to the answer symbols 0 and 1
    tensor([ 0, -1, -1,  1])
    """

    problem: Int[Tensor, " B"]
    tokens: Int[Tensor, "B N"]
    key: Int[Tensor, " B"]
    h: Float[Tensor, "B K N S C"]
    context: Float[Tensor, "B K N S C"]
    given: Int[Tensor, "B K N"]
    identity: Int[Tensor, "B K"]
    resting: Bool[Tensor, "B K"]

    @classmethod
    def start(
        cls,
        encoder: Encoder,
        tokens: Int[Tensor, "B N"],
        thoughts: int,
        seed: int,
        dtype: torch.dtype = torch.float32,
        order: Int[Tensor, " K"] | None = None,
    ) -> Self:
        """Seed K thoughts for each problem; every thought grows from noise of its own.

        The noise depends on the seed, the question and the thought's number only.

        Args:
            encoder: embeds the questions.
            tokens: question symbols, int64 [B, N], each in 0..input_size − 1.
            thoughts: K, 1 or more.
            seed: a signed 64-bit number.
            dtype: precision of the states.
            order: renumbers the thoughts, int64 [K], without repeats.

        Raises:
            IndexError: a symbol that the encoder does not know.

        >>> from chorus.thought import MindConfig
        >>> encoder = Encoder(MindConfig(cells=2, input_size=2, output_size=2, kept=(-1, -1), relations=("full()",)))
        >>> several = ThoughtPool.start(encoder, torch.tensor([[0, 1], [1, 1]]), thoughts=2, seed=7)
        >>> alone = ThoughtPool.start(encoder, torch.tensor([[1, 1]]), thoughts=2, seed=7)
        >>> torch.equal(several.h[1], alone.h[0])  # whatever else is in the batch
        True
        """
        device = tokens.device
        key = noise.combine(seed)
        for cell in range(tokens.shape[1]):
            key = noise.combine(key, tokens[:, cell])
        identity = (torch.arange(thoughts, device=device) if order is None else order.to(device)).expand(
            len(tokens), -1
        )
        seeds = encoder.seeds(noise.combine(key[:, None], identity).reshape(-1)).to(dtype)
        context = encoder(tokens, encoder.givens(tokens)).to(dtype)
        return cls(
            problem=torch.arange(len(tokens), device=device),
            tokens=tokens,
            key=key,
            h=seeds.unflatten(0, (len(tokens), thoughts)),
            context=context[:, None].expand(-1, thoughts, -1, -1, -1).contiguous(),
            given=encoder.givens(tokens)[:, None].expand(-1, thoughts, -1).contiguous(),
            identity=identity.clone(),
            resting=torch.zeros(len(tokens), thoughts, dtype=torch.bool, device=device),
        )

    @property
    def size(self) -> tuple[int, int]:
        """B and K."""
        return self.h.shape[0], self.h.shape[1]

    @property
    def states(self) -> Float[Tensor, "B K N D"]:
        """The states as [B, K, N, D], with D = S·C."""
        return self.h.flatten(3)

    def take(self, slots: Int[Tensor, " K"], identity: Int[Tensor, " K"]) -> Self:
        """Return a pool with copies of the thoughts in some slots, under new numbers.

        Args:
            slots: slot that each new thought is copied from, int64.
            identity: number of each new thought, int64 of the same length.

        Raises:
            IndexError: a slot that there is not.
        """
        taken = {name: getattr(self, name)[:, slots] for name in ("h", "context", "given", "resting")}
        return dataclasses.replace(self, **taken, identity=identity.expand(len(self.problem), -1).clone())

    def select(self, problems: Bool[Tensor, " B"]) -> Self:
        """Return the pool of some of the problems; the others leave the batch.

        Args:
            problems: which ones stay, bool [B].

        Raises:
            IndexError: not one flag for each problem.
        """
        return dataclasses.replace(
            self, **{field.name: getattr(self, field.name)[problems] for field in dataclasses.fields(self)}
        )
