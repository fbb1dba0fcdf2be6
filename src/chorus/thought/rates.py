"""Thoughts at different rates: fast shallow ones and slow deep ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class Rates:
    """(period, depth) pairs, dealt to the thoughts in turn.

    A thought moves at the steps that its period divides, and then applies the processor `depth` times. Between its
    updates its state is not touched and nothing is computed for it.

    Args:
        pairs: (period in steps, depth in applications of the processor), each 1 or more; `ThinkConfig` checks them.

    Source: units that update at fixed periods are those of the clockwork RNN (Koutník et al. 2014, arXiv 1402.3511).

    >>> Rates(((1, 1), (4, 2))).due(step=2, identity=torch.tensor([[0, 1, 2, 3]]))
    tensor([[ True, False,  True, False]])
    """

    pairs: tuple[tuple[int, int], ...]

    def due(self, step: int, identity: Int[Tensor, "B K"]) -> Bool[Tensor, "B K"]:
        """Return which thoughts move at this step.

        Args:
            step: counted from 0.
            identity: numbers of the thoughts, int64 [B, K].
        """
        period = torch.tensor([period for period, _ in self.pairs], device=identity.device)
        return step % period[identity % len(self.pairs)] == 0

    def depth(self, identity: Int[Tensor, "B K"]) -> Int[Tensor, "B K"]:
        """Return how often each thought applies the processor when it moves.

        Args:
            identity: numbers of the thoughts, int64 [B, K].

        >>> Rates(((1, 1), (4, 2))).depth(torch.tensor([[0, 1, 2, 3]]))
        tensor([[1, 2, 1, 2]])
        """
        depth = torch.tensor([depth for _, depth in self.pairs], device=identity.device)
        return depth[identity % len(self.pairs)]

    @property
    def deepest(self) -> int:
        """The largest depth.

        >>> Rates(((1, 1), (4, 2))).deepest
        2
        """
        return max(depth for _, depth in self.pairs)
