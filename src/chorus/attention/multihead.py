"""Multi-head attention over a topology, with its heads open to look into.

Letters: B batch, T actors, C actors of a context, M features, H heads, G key heads, D = M/H features of a head.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chorus.attention.attend import attend
from chorus.attention.checks import (
    LARGEST,
    as_topology,
    refuse_not_tensors,
    refuse_other_than_weights,
    refuse_unknown_executor,
)
from chorus.attention.circuits import HeadWeights
from chorus.attention.factored import FactoredMatrix
from chorus.attention.rotary import frequencies, rotate
from chorus.attention.scores import Score, parse_score
from chorus.attention.select import Select, parse_select
from chorus.errors import InputError
from chorus.topology import Topology
from chorus.topology.topology import whole


class MultiHeadAttention(nn.Module):
    """out = Σₕ attend(x W_Qʰ, x W_Kʰ, x W_Vʰ) W_Oʰ + b: each head adds its own write (Vaswani et al. 2017).

    Concatenating the heads and projecting once, as `forward` does, is the same map as summing what `writes` returns.

    Args:
        dim: features M.
        heads: query heads H; H divides M.
        key_heads: heads of keys and values, dividing H; H when None.
        topology: who reads whom, as a Topology or its text; None lets everyone read everyone.
        layer: the layer of a scheduled topology.
        score: as in `attend`.
        select: as in `attend`.
        rotary: base of a rotary embedding of queries and keys, or None.
        bias: whether projections add a bias.
        executor: as in `attend`.

    Raises InputError when sizes do not divide, and for what is no topology, score, selection or executor; a call does
    when x or the context has another shape, dtype or device than the weights ask for.

    >>> attention = MultiHeadAttention(32, 4, topology="sliding_window(8)")
    >>> attention(torch.randn(2, 100, 32)).shape
    torch.Size([2, 100, 32])

    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        key_heads: int | None = None,
        topology: Topology | str | None = None,
        layer: int = 0,
        score: str | Score = "dot",
        select: str | Select = "soft",
        rotary: float | None = None,
        bias: bool = False,
        executor: str = "auto",
    ) -> None:
        super().__init__()
        self.heads = whole("heads", heads, 1, LARGEST)
        self.key_heads = self.heads if key_heads is None else whole("key_heads", key_heads, 1, LARGEST)
        if whole("dim", dim, 1, LARGEST) % heads or heads % self.key_heads:
            raise InputError(f"{dim} features, {heads} heads and {self.key_heads} key heads do not divide evenly")
        width = dim // heads
        self.query = nn.Linear(dim, heads * width, bias=bias)
        self.key = nn.Linear(dim, self.key_heads * width, bias=bias)
        self.value = nn.Linear(dim, self.key_heads * width, bias=bias)
        self.output = nn.Linear(heads * width, dim, bias=bias)
        self.topology = None if topology is None else as_topology(topology)
        self.layer, self.rotary, self.executor = whole("layer", layer, 0, LARGEST), rotary, executor
        refuse_unknown_executor(executor)
        if rotary is not None:
            frequencies(width, rotary)  # raises where they cannot be had
        self.score, self.select = parse_score(score), parse_select(select)

    def forward(
        self, x: Float[Tensor, "B T M"], context: Float[Tensor, "B C M"] | None = None
    ) -> Float[Tensor, "B T M"]:
        """Let x read itself over the topology, or read all of a context."""
        out: Tensor = self.output(self._values(x, context).transpose(1, 2).flatten(2))
        return out

    def writes(
        self, x: Float[Tensor, "B T M"], context: Float[Tensor, "B C M"] | None = None
    ) -> Float[Tensor, "B H T M"]:
        """Return what each head adds; their sum, with the output bias, is `forward`."""
        return self._values(x, context) @ self.weights().output

    def _values(self, x: Tensor, context: Tensor | None) -> Float[Tensor, "B H T D"]:
        """Return each head's blend of values, before it is written."""
        if context is not None and self.topology is not None:
            raise InputError("a topology says who of x reads whom of x; with a context, leave it out")
        read = x if context is None else context
        self._check(x=x, context=read)
        q = self._split(self.query(x), self.heads)
        k, v = self._split(self.key(read), self.key_heads), self._split(self.value(read), self.key_heads)
        if self.rotary is not None:
            q = rotate(q, torch.arange(x.shape[1], device=x.device), self.rotary)
            k = rotate(k, torch.arange(read.shape[1], device=x.device), self.rotary)
        return attend(
            q, k, v, self.topology, layer=self.layer, score=self.score, select=self.select, executor=self.executor
        )

    def _check(self, **given: Tensor) -> None:
        refuse_not_tensors(**given)
        weight = self.query.weight
        for name, x in given.items():
            if x.dim() != 3 or x.shape[2] != weight.shape[1]:
                raise InputError(f"{name} must be (batch, tokens, {weight.shape[1]}), not {tuple(x.shape)}")
        refuse_other_than_weights(weight, **given)

    @staticmethod
    def _split(x: Tensor, heads: int) -> Tensor:
        apart: Tensor = x.unflatten(2, (heads, x.shape[2] // heads))
        return apart.transpose(1, 2)

    def weights(self) -> HeadWeights:
        """Return the projections head by head, as views that a gradient flows through."""

        def by_head(weight: Tensor, heads: int) -> Tensor:
            return weight.view(heads, -1, weight.shape[1]).mT.repeat_interleave(self.heads // heads, dim=0)

        return HeadWeights(
            query=by_head(self.query.weight, self.heads),
            key=by_head(self.key.weight, self.key_heads),
            value=by_head(self.value.weight, self.key_heads),
            output=self.output.weight.mT.reshape(self.heads, -1, self.output.weight.shape[0]),
        )

    def qk(self, head: int) -> FactoredMatrix:
        """Return the QK circuit of a head, W_Q W_Kᵀ."""
        return self.weights().qk(head)

    def ov(self, head: int) -> FactoredMatrix:
        """Return the OV circuit of a head, W_V W_O."""
        return self.weights().ov(head)
