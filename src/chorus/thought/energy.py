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

    Args:
        config: sizes.

    Source: an energy as −log of a Bernoulli probability, trained by its cross-entropy, is a proper score (Gneiting,
    Raftery 2007, section 3); what the two probabilities are about is this project's.

    >>> config = MindConfig(cells=4, input_size=2, output_size=2, kept=(-1, -1), relations=("full()",))
    >>> viable, answer = EnergyHead(config)(torch.randn(6, 4, 1, 32))
    >>> viable.shape, viable.dtype, bool((viable > 0).all())
    (torch.Size([6]), torch.float32, True)
    """

    def __init__(self, config: MindConfig) -> None:
        super().__init__()
        self.up = nn.Linear(2 * config.channels, 2 * config.channels)
        self.down = nn.Linear(2 * config.channels, 2)

    def logits(self, h: Float[Tensor, "R N S C"]) -> Float[Tensor, "R 2"]:
        """Return float32 logits of p(viable) and p(answer right), from the mean and the maximum over the cells.

        Args:
            h: states, float [R, N, S, C].
        """
        cells = h.flatten(1, 2)
        pooled = torch.cat([cells.mean(1), cells.amax(1)], dim=-1)
        logits: Tensor = self.down(F.relu(self.up(pooled))).float()
        return logits

    def forward(self, h: Float[Tensor, "R N S C"]) -> tuple[Float[Tensor, " R"], Float[Tensor, " R"]]:
        """Return the energies (viable, answer) in nats, float32 [R] each; 0 is certainty that it is.

        Args:
            h: states, float [R, N, S, C].
        """
        viable, answer = F.softplus(-self.logits(h)).unbind(-1)
        return viable, answer
