"""Questions in: the context that every step reads, and the seeds from which thoughts grow."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from chorus.thought import noise
from chorus.thought.config import MindConfig

_NOT_GIVEN, _OTHER_GIVEN, _THIS_GIVEN = 0, 1, 2


class Encoder(nn.Module):
    """Embed question symbols and givens; draw the initial state of each thought.

    What a cell is *given* (by the question, or by a thought's own commitment) is one answer symbol or none. If the
    answer symbols are interchangeable, a cell's vector for symbol s learns only whether nothing, s, or another symbol
    is given, and all question symbols that fix a cell look the same: renaming the symbols renames the context.
    """

    kept: Tensor
    look: Tensor

    def __init__(self, config: MindConfig) -> None:
        super().__init__()
        self.config = config
        kept = torch.tensor(config.kept)
        look = torch.arange(config.input_size)
        if config.interchangeable and bool((kept >= 0).any()):
            look[kept >= 0] = look[kept >= 0][0].clone()
        self.register_buffer("kept", kept, persistent=False)
        self.register_buffer("look", look, persistent=False)
        self.token = nn.Embedding(config.input_size, config.channels)
        self.given = nn.Embedding(3 if config.interchangeable else config.output_size + 1, config.channels)
        self.position = nn.Parameter(torch.randn(config.cells, 1, config.channels)) if config.positions else None

    def givens(self, tokens: Int[Tensor, "B N"]) -> Int[Tensor, "B N"]:
        """Return the answer symbol that each question symbol fixes its cell to, or -1."""
        givens: Tensor = self.kept[tokens]
        return givens

    def forward(self, tokens: Int[Tensor, "R N"], given: Int[Tensor, "R N"]) -> Float[Tensor, "R N S C"]:
        """Return the context of rows whose question is `tokens` and whose cells are fixed to `given` (-1: open)."""
        context: Tensor = self.token(self.look[tokens]).unsqueeze(2)
        if self.config.interchangeable:
            symbol = torch.arange(self.config.output_size, device=given.device)
            here = given.unsqueeze(-1)
            kind = torch.where(here == symbol, _THIS_GIVEN, torch.where(here >= 0, _OTHER_GIVEN, _NOT_GIVEN))
            context = context + self.given(kind)
        else:
            context = context + self.given(given + 1).unsqueeze(2)
        if self.position is not None:
            context = context + self.position
        return context

    def seeds(self, keys: Int[Tensor, " R"]) -> Float[Tensor, "R N S C"]:
        """Draw standard normal initial states, each a pure function of its key."""
        shape = (self.config.cells, self.config.symbols, self.config.channels)
        return noise.normal(keys, shape[0] * shape[1] * shape[2]).view(-1, *shape)
