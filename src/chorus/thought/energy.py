"""How promising a thought is, judged from its state alone."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from chorus.thought.config import MindConfig


class EnergyHead(nn.Module):
    """E(h) = −log p, for two questions about a thought.

    - *viable*: can it still become right? It is trained on hypotheses: a thought that has committed a wrong symbol
      cannot, finished or not. Competition kills by this energy.
    - *answer*: is what it would answer now right? Picking and halting use this energy.
    """

    def __init__(self, config: MindConfig) -> None:
        super().__init__()
        self.up = nn.Linear(2 * config.channels, 2 * config.channels)
        self.down = nn.Linear(2 * config.channels, 2)

    def logits(self, h: Float[Tensor, "R N S C"]) -> Float[Tensor, "R 2"]:
        """Return float32 logits of p(viable) and p(answer right), from the mean and the maximum over the cells."""
        cells = h.flatten(1, 2)
        pooled = torch.cat([cells.mean(1), cells.amax(1)], dim=-1)
        logits: Tensor = self.down(F.relu(self.up(pooled))).float()
        return logits

    def forward(self, h: Float[Tensor, "R N S C"]) -> tuple[Float[Tensor, " R"], Float[Tensor, " R"]]:
        """Return the energies (viable, answer) in nats; 0 is certainty that it is."""
        viable, answer = F.softplus(-self.logits(h)).unbind(-1)
        return viable, answer
