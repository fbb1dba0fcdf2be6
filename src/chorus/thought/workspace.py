"""The global workspace: thoughts propose, compete by attention for a few slots, and read the winners' broadcast."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chorus.thought.config import MindConfig


class Workspace(nn.Module):
    """Share the answer part of the winning thoughts; the working part of every state stays private.

    write:      proposal_k = (mean over cells of h_k, answer belief of h_k)
    compete:    a[slot, k] = softmax over k of query_slot · W_key mean(h_k)
    broadcast:  slot = Σ_k a[slot, k] · belief_k, read by each thought with softmax over slots of its own query, and
                embedded by a linear map that starts at zero (a new mind first learns to think alone).

    Args:
        config: sizes; `config.slots` is M, 1 or more.

    Source: the write, compete, broadcast cycle of a shared global workspace (Goyal et al. 2021, arXiv 2103.01197),
    with thoughts in place of modules.

    >>> config = MindConfig(cells=4, input_size=2, output_size=2, kept=(-1, -1), relations=("full()",), slots=3)
    >>> workspace = Workspace(config)
    >>> h, belief = torch.randn(2, 5, 4, 1, 32), torch.full((2, 5, 4, 2), 0.5)
    >>> won, read = workspace.weights(h)
    >>> won.shape, read.shape
    (torch.Size([2, 3, 5]), torch.Size([2, 5, 3]))
    >>> torch.allclose(won.sum(-1), torch.ones(2, 3))  # the thoughts share each slot
    True
    >>> bool(workspace(h, belief).any())  # before training nothing is heard
    False
    """

    def __init__(self, config: MindConfig) -> None:
        super().__init__()
        self.symbols = config.symbols
        self.slot_query = nn.Parameter(torch.randn(config.slots, config.channels) * config.channels**-0.5)
        self.slot_address = nn.Parameter(torch.randn(config.slots, config.channels) * config.channels**-0.5)
        self.key = nn.Linear(config.channels, config.channels, bias=False)
        self.query = nn.Linear(config.channels, config.channels, bias=False)
        self.embed = nn.Linear(config.output_size // config.symbols, config.channels, bias=False)
        nn.init.zeros_(self.embed.weight)

    def weights(self, h: Float[Tensor, "B K N S C"]) -> tuple[Float[Tensor, "B M K"], Float[Tensor, "B K M"]]:
        """Return who wins each slot (softmax over thoughts) and who reads which slot (softmax over slots).

        Args:
            h: states, float [B, K, N, S, C].

        Returns:
            Shares [B, M, K] that sum to 1 over the thoughts, and [B, K, M] that sum to 1 over the slots.
        """
        summary = h.mean((2, 3))
        won = torch.einsum("mc,bkc->bmk", self.slot_query.to(h.dtype), self.key(summary)).softmax(-1)
        read = torch.einsum("mc,bkc->bkm", self.slot_address.to(h.dtype), self.query(summary)).softmax(-1)
        return won, read

    def forward(self, h: Float[Tensor, "B K N S C"], belief: Float[Tensor, "B K N V"]) -> Float[Tensor, "B K N S C"]:
        """Return what each thought hears.

        Args:
            h: states, float [B, K, N, S, C].
            belief: probabilities of the answer symbols, float [B, K, N, V].

        Returns:
            Of the shape of `h`; the processor adds it to the state.
        """
        won, read = self.weights(h)
        mixed = torch.einsum("bkm,bmj,bjnv->bknv", read, won, belief.to(h.dtype))
        heard: Tensor = self.embed(mixed.unflatten(-1, (self.symbols, -1)))
        return heard
