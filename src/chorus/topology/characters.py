"""Small pictures made of characters: the neighbourhood matrix and the cone of what reaches an actor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chorus.topology.planning import plan
from chorus.topology.reach import ActorSet
from chorus.topology.report import Analysis
from chorus.topology.topology import Topology

_SHADES = " ░▒▓█"
_PICTURE_PAIRS = 1 << 22
_COUNTED_ACTORS = 4096


def picture(topology: Topology, a: Analysis, height: int = 12) -> str:
    """Draw the neighbourhood matrix of layer 0 (left) and the target's cone, the last layer on top (right)."""
    matrix = _matrix(topology, a.actors, height)
    cone = _cone(a.fields, a.actors, height)
    titles = f"{'who reads whom, layer 0':<{2 * height + 6}}what reaches actor {a.target:,}, down the layers"
    lines = [titles]
    for i in range(max(len(matrix), len(cone))):
        left = matrix[i] if i < len(matrix) else ""
        right = cone[i] if i < len(cone) else ""
        lines.append(f"{left:<{2 * height + 6}}{right}".rstrip())
    return "\n".join(lines)


def densities(topology: Topology, n: int, layer: int, cells: int) -> NDArray[np.float64] | None:
    """Return, for a coarse grid of cells, the share of pairs present; None if too many would have to be listed.

    For large n a cell with some but not all pairs is given as a half.
    """
    relation = topology.relation(n, layer)
    if relation.loose_bound() > _PICTURE_PAIRS:
        return None
    tile = -(-n // cells)
    side = -(-n // tile)
    if n <= _COUNTED_ACTORS:
        readers, reads = np.nonzero(topology.mask(n, layer))
        count = np.bincount(readers // tile * side + reads // tile, minlength=side * side).reshape(side, side)
        lengths = np.minimum(tile, n - np.arange(side) * tile)
        share: NDArray[np.float64] = count / np.outer(lengths, lengths)
        return share
    p = plan(topology, n, tile, layer, split="tiles")
    share = np.zeros((side, side))
    for i in range(side):
        for s in range(p.indptr[i], p.indptr[i + 1]):
            share[i, p.start[s] : p.stop[s]] = 1.0 if p.full[s] else 0.5
    return share


def _matrix(topology: Topology, n: int, height: int) -> list[str]:
    share = densities(topology, n, 0, height)
    if share is None:
        return ["too many loose pairs", "to draw"]
    return ["".join(2 * _shade(x) for x in row) + "|" for row in share]


def _shade(share: float) -> str:
    return _SHADES[4 if share == 1 else 0 if share == 0 else 1 + min(2, int(3 * share))]


def _cone(fields: Sequence[ActorSet], n: int, height: int, width: int = 44) -> list[str]:
    width = min(width, n)
    layers = len(fields) - 1
    rows = range(layers + 1) if layers < height else [round(i * layers / (height - 1)) for i in range(height)]
    edges = np.arange(width + 1) * n // width
    lines = []
    for k in rows:
        inside = np.zeros(width + 1, np.int64)
        pieces = fields[k].intervals
        covered = np.r_[0, np.cumsum(pieces[:, 1] - pieces[:, 0])]
        place = np.searchsorted(pieces[:, 0], edges, side="left")
        over = np.where(place > 0, np.maximum(pieces[np.maximum(place - 1, 0), 1] - edges, 0), 0)
        inside = covered[place] - over
        share = np.diff(inside) / np.diff(edges)
        text = "".join(_shade(x) for x in share)
        lines.append(f"{text}| {layers - k}")
    return lines
