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

    >>> Rates(((1, 1), (4, 2))).due(step=2, identity=torch.tensor([[0, 1, 2, 3]]))
    tensor([[ True, False,  True, False]])
    """

    pairs: tuple[tuple[int, int], ...]

    def due(self, step: int, identity: Int[Tensor, "B K"]) -> Bool[Tensor, "B K"]:
        """Return which thoughts move at this step."""
        period = torch.tensor([period for period, _ in self.pairs], device=identity.device)
        return step % period[identity % len(self.pairs)] == 0

    def depth(self, identity: Int[Tensor, "B K"]) -> Int[Tensor, "B K"]:
        """Return how often each thought applies the processor when it moves."""
        depth = torch.tensor([depth for _, depth in self.pairs], device=identity.device)
        return depth[identity % len(self.pairs)]

    @property
    def deepest(self) -> int:
        """The largest depth."""
        return max(depth for _, depth in self.pairs)
