"""Thoughts out: the whole answer at once, from any state at any step."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from chorus.thought.config import MindConfig


class Decoder(nn.Module):
    """Read a thought's belief about every cell in one shot."""

    def __init__(self, config: MindConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.channels, config.output_size // config.symbols)

    def forward(self, h: Float[Tensor, "R N S C"]) -> Float[Tensor, "R N V"]:
        """Return float32 logits of the answer symbols."""
        logits: Tensor = self.linear(h).float().flatten(2)
        return logits

    @staticmethod
    def answer(logits: Float[Tensor, "R N V"], given: Int[Tensor, "R N"]) -> Int[Tensor, "R N"]:
        """Return the most probable symbol of each cell; what is given stays."""
        return torch.where(given >= 0, given, logits.argmax(-1))
