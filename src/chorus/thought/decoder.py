"""Thoughts out: the whole answer at once, from any state at any step."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from chorus.thought.config import MindConfig


class Decoder(nn.Module):
    """Read a thought's belief about every cell in one shot: a linear map of each cell's vector, or vectors.

    Args:
        config: sizes.

    >>> config = MindConfig(cells=4, input_size=2, output_size=2, kept=(-1, -1), relations=("full()",))
    >>> logits = Decoder(config)(torch.randn(6, 4, 1, 32))
    >>> logits.shape, logits.dtype
    (torch.Size([6, 4, 2]), torch.float32)
    """

    def __init__(self, config: MindConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.channels, config.output_size // config.symbols)

    def forward(self, h: Float[Tensor, "R N S C"]) -> Float[Tensor, "R N V"]:
        """Return float32 logits of the answer symbols.

        Args:
            h: states, float [R, N, S, C].
        """
        logits: Tensor = self.linear(h).float().flatten(2)
        return logits

    @staticmethod
    def answer(logits: Float[Tensor, "R N V"], given: Int[Tensor, "R N"]) -> Int[Tensor, "R N"]:
        """Return the most probable symbol of each cell, int64 [R, N]; what is given stays.

        Args:
            logits: of the answer symbols, float [R, N, V].
            given: symbol each cell is fixed to, or -1, int64 [R, N].

        >>> Decoder.answer(torch.tensor([[[0.0, 2.0], [0.0, 2.0]]]), torch.tensor([[0, -1]]))
        tensor([[0, 1]])
        """
        return torch.where(given >= 0, given, logits.argmax(-1))
