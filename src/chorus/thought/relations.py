"""Cells of a thought reading each other over a topology, by softmax attention.

A relation is compiled once from its topology into the cheapest of three equal forms:

- `groups`: the topology is a partition into cliques of one size (rows of a board): attention inside each clique;
- `table`: every cell reads few others (a lattice, a sparse graph): its neighbours are gathered;
- `dense`: anything else: full attention under a mask.

Shapes: R rows (problems x thoughts), N cells, E channels of a query or key, F channels of a value.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from chorus.errors import InputError
from chorus.topology import parse

Form = Literal["groups", "table", "dense"]


def _partition(mask: np.ndarray) -> np.ndarray | None:
    """Return the groups [G, M] if each cell reads exactly its own group of M cells, else None."""
    groups: dict[bytes, list[int]] = {}
    for cell, row in enumerate(mask):
        groups.setdefault(row.tobytes(), []).append(cell)
    for members in groups.values():
        if not np.array_equal(np.flatnonzero(mask[members[0]]), members):
            return None
    sizes = {len(members) for members in groups.values()}
    return np.array(list(groups.values())) if len(sizes) == 1 else None


class Relation(nn.Module):
    """Attention over one topology.

    Args:
        spec: the topology in its text form.
        cells: N.
        form: which of the equal forms to use; by default the cheapest one that fits.

    Raises:
        InputError: a topology for another number of cells, a cell that may read nobody, or a form that does not fit.

    >>> relation = Relation("rows(2, 2)", cells=4)
    >>> relation.form
    'groups'
    """

    order: Tensor
    inverse: Tensor
    neighbors: Tensor
    bias: Tensor

    def __init__(self, spec: str, cells: int, form: Form | None = None) -> None:
        super().__init__()
        mask = parse(spec).mask(cells)
        degrees = mask.sum(axis=1)
        if degrees.min() == 0:
            raise InputError(
                f"relation {spec!r}: cell {int(degrees.argmin())} may read nobody; add the cell itself to what it reads"
            )
        groups = _partition(mask)
        widest = int(degrees.max())
        self.edges = int(mask.sum())
        self.form: Form = form or ("groups" if groups is not None else "table" if 4 * widest <= cells else "dense")
        if self.form == "groups":
            if groups is None:
                raise InputError(f"relation {spec!r} is not a partition into groups of one size")
            order = torch.as_tensor(groups.reshape(-1))
            self.group_size = groups.shape[1]
            self.in_order = bool((order == torch.arange(cells)).all())
            self.register_buffer("order", order, persistent=False)
            self.register_buffer("inverse", order.argsort(), persistent=False)
        elif self.form == "table":
            neighbors = np.zeros((cells, widest), dtype=np.int64)
            bias = np.full((cells, 1, widest), -np.inf, dtype=np.float32)
            for cell, row in enumerate(mask):
                read = np.flatnonzero(row)
                neighbors[cell, : len(read)] = read
                bias[cell, 0, : len(read)] = 0
            self.register_buffer("neighbors", torch.as_tensor(neighbors), persistent=False)
            self.register_buffer("bias", torch.as_tensor(bias), persistent=False)
        else:
            bias = np.where(mask, np.float32(0), np.float32(-np.inf))
            self.register_buffer("bias", torch.as_tensor(bias), persistent=False)

    def forward(
        self, q: Float[Tensor, "R N E"], k: Float[Tensor, "R N E"], v: Float[Tensor, "R N F"]
    ) -> Float[Tensor, "R N F"]:
        """Return softmax(q·k/√E over the cells that may be read) · v."""
        q = q * q.shape[-1] ** -0.5
        if self.form == "groups":
            read = self._grouped(q) @ self._grouped(k).transpose(-1, -2)
            out = (read.softmax(-1) @ self._grouped(v)).view(v.shape)
            return out if self.in_order else out.index_select(1, self.inverse)
        if self.form == "table":
            scores = q.unsqueeze(2) @ self._gathered(k).transpose(-1, -2) + self.bias.to(q.dtype)
            return (scores.softmax(-1) @ self._gathered(v)).squeeze(2)
        return (q @ k.transpose(-1, -2) + self.bias.to(q.dtype)).softmax(-1) @ v

    def _grouped(self, x: Float[Tensor, "R N E"]) -> Float[Tensor, "RG M E"]:
        if not self.in_order:
            x = x.index_select(1, self.order)
        return x.reshape(-1, self.group_size, x.shape[-1])

    def _gathered(self, x: Float[Tensor, "R N E"]) -> Float[Tensor, "R N M E"]:
        return x.index_select(1, self.neighbors.reshape(-1)).view(x.shape[0], *self.neighbors.shape, x.shape[-1])
