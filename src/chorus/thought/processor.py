"""One step of thought: a block with shared weights, iterated."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from chorus.thought.config import MindConfig
from chorus.thought.relations import Relation


class RelationalRead(nn.Module):
    """W_o · attention(x; topology), summed over relations and heads: how cells of a thought read each other.

    With interchangeable symbols (S > 1) one attention pattern per relation and head serves all symbols of a cell: the
    score of two cells is the sum over symbols of q·k, so two cells that hold the same open candidates find each other.

    Args:
        config: sizes and relations.

    Raises:
        InputError: a relation for another number of cells, or one under which a cell may read nobody.

    Source: scaled dot-product attention of Vaswani et al. 2017 (arXiv 1706.03762), eq. 1, once per relation and head.

    >>> config = MindConfig(cells=4, input_size=2, output_size=2, kept=(-1, -1), relations=("rows(2, 2)",), channels=8)
    >>> read = RelationalRead(config)
    >>> x = torch.randn(5, 4, 1, 8)
    >>> changed = x.clone()
    >>> changed[:, 3] += 1  # cells 2 and 3 are a row of their own
    >>> torch.allclose(read(x)[:, :2], read(changed)[:, :2]), torch.allclose(read(x)[:, 2], read(changed)[:, 2])
    (True, False)
    """

    def __init__(self, config: MindConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.relations = nn.ModuleList(Relation(spec, config.cells) for spec in config.relations)
        reads = len(config.relations) * config.heads
        self.split = [config.key_channels, config.key_channels, config.value_channels] * reads
        self.query_key_value = nn.Linear(config.channels, sum(self.split), bias=False)
        self.out = nn.Linear(reads * config.value_channels, config.channels, bias=False)

    def forward(self, x: Float[Tensor, "R N S C"]) -> Float[Tensor, "R N S C"]:
        """Return what every cell read.

        Args:
            x: states, float [R, N, S, C].

        Returns:
            Of the same shape and dtype.
        """
        parts = iter(self.query_key_value(x).split(self.split, dim=-1))
        found = []
        for relation in self.relations:
            for _ in range(self.heads):
                q, k, v = (next(parts).flatten(2) for _ in range(3))
                found.append(relation(q, k, v).view(*x.shape[:3], -1))
        read: Tensor = self.out(torch.cat(found, dim=-1))
        return read


class RecurrentProcessor(nn.Module):
    """h ← F(h, context, broadcast): cells read each other along every relation, then each thinks by itself.

    x = h + context + broadcast
    x = LayerNorm(x + read(x))
    h = LayerNorm(x + W_2 · relu(W_1 x + W_m · mean over symbols of x))

    Args:
        config: sizes and relations.

    Raises:
        InputError: see `RelationalRead`.

    Source: the idea of a small shared block, iterated, is that of recurrent relational networks (Palm, Paquet, Winther
    2018, arXiv 1711.08028) and of TRM (arXiv 2510.04871); the block itself is this project's.

    >>> config = MindConfig(cells=4, input_size=2, output_size=2, kept=(-1, -1), relations=("full()",), channels=8)
    >>> step = RecurrentProcessor(config)
    >>> h = context = torch.zeros(6, 4, 1, 8)
    >>> for _ in range(3):
    ...     h = step(h, context)
    >>> h.shape, h.dtype
    (torch.Size([6, 4, 1, 8]), torch.float32)
    """

    def __init__(self, config: MindConfig) -> None:
        super().__init__()
        self.read = RelationalRead(config)
        self.read_norm = nn.LayerNorm(config.channels)
        self.up = nn.Linear(config.channels, config.hidden)
        self.up_mean = nn.Linear(config.channels, config.hidden, bias=False) if config.symbols > 1 else None
        self.down = nn.Linear(config.hidden, config.channels, bias=False)
        self.think_norm = nn.LayerNorm(config.channels)

    def forward(
        self,
        h: Float[Tensor, "R N S C"],
        context: Float[Tensor, "R N S C"],
        broadcast: Float[Tensor, "R N S C"] | None = None,
    ) -> Float[Tensor, "R N S C"]:
        """Return the next state of every row.

        Args:
            h: states, float [R, N, S, C].
            context: what the rows are given, embedded, of the same shape.
            broadcast: what they hear from the workspace, of the same shape.

        Returns:
            Of the same shape; float32 under autocast, whose layer norms end in it.
        """
        x = h + context
        if broadcast is not None:
            x = x + broadcast
        x = self.read_norm(x + self.read(x))
        hidden = self.up(x)
        if self.up_mean is not None:
            hidden = hidden + self.up_mean(x.mean(2, keepdim=True))
        out: Tensor = self.think_norm(x + self.down(F.relu(hidden, inplace=True)))
        return out
