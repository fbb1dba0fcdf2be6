"""What each pattern means: the terms that it is made of, once n and the layer are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chorus.errors import InputError
from chorus.topology import intervals as iv
from chorus.topology.intervals import Intervals
from chorus.topology.terms import Cliques, Edges, Sample, Strip, Term

_MOST_OFFSETS = 1 << 24  # lone offsets of one pattern: 256 MB


def _strip(n: int, offsets: Intervals, readers: Intervals | None = None, reads: Intervals | None = None) -> Strip:
    everyone = iv.interval(0, n)
    return Strip(
        n,
        iv.clip(offsets, 1 - n, n),
        everyone if readers is None else readers,
        everyone if reads is None else reads,
    )


def _full(n: int, layer: int) -> list[Term]:
    return [_strip(n, iv.interval(1 - n, n))]


def _causal(n: int, layer: int) -> list[Term]:
    return [_strip(n, iv.interval(0, n))]


def _sliding_window(n: int, layer: int, w: int) -> list[Term]:
    return [_strip(n, iv.interval(0, w))]


def _dilated(n: int, layer: int, w: int, dilation: int) -> list[Term]:
    if dilation == 1:
        return [_strip(n, iv.interval(0, min(w, n)))]
    inside = min(w, -(-n // dilation))
    if inside > _MOST_OFFSETS:
        raise InputError(
            f"dilated({w}, dilation={dilation}) has {inside:,} offsets below n = {n:,}, more than {_MOST_OFFSETS:,}: "
            "take a larger dilation, fewer actors or a sliding window"
        )
    return [_strip(n, iv.from_values(np.arange(inside, dtype=np.int64) * min(dilation, n)))]


def _logarithmic(n: int, layer: int, base: int) -> list[Term]:
    offsets, step = [0], 1
    while step < n:
        offsets.append(step)
        step *= base
    return [_strip(n, iv.from_values(offsets))]


def _power(n: int, layer: int, p: int) -> list[Term]:
    if p == 1:
        return _causal(n, layer)
    p = min(p, n.bit_length())  # beyond that only 0 and 1 are below n
    offsets, k = [], 0
    while k**p < n:
        offsets.append(k**p)
        k += 1
    return [_strip(n, iv.from_values(offsets))]


def _random(n: int, layer: int, r: int, seed: int, causal: bool) -> list[Term]:
    return [Sample(n, layer, r, seed, causal)]


def _global_tokens(n: int, layer: int, k: int) -> list[Term]:
    every, hubs = iv.interval(1 - n, n), iv.interval(0, k)
    return [_strip(n, every, reads=hubs), _strip(n, every, readers=hubs)]


def _sink_tokens(n: int, layer: int, m: int) -> list[Term]:
    return [_strip(n, iv.interval(0, n), reads=iv.interval(0, m))]


def _ring(n: int, layer: int, k: int) -> list[Term]:
    k = min(k, n)
    around = [iv.interval(-k, k + 1), iv.interval(n - k, n + k + 1), iv.interval(-n - k, k - n + 1)]
    return [_strip(n, iv.union(around))]


def _star(n: int, layer: int, hub: int) -> list[Term]:
    if hub >= n:
        raise InputError(f"star(hub={hub}): the hub is not one of the n = {n:,} actors 0 to {n - 1:,}")
    every, centre = iv.interval(1 - n, n), iv.interval(hub, hub + 1)
    return [
        _strip(n, iv.interval(0, 1)),
        _strip(n, every, reads=centre),
        _strip(n, every, readers=centre),
    ]


def _graph(n: int, layer: int, edges: tuple[tuple[int, int], ...]) -> list[Term]:
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    _refuse_aliens("graph", n, pairs.ravel())
    return [Edges.from_pairs(n, pairs[:, 0], pairs[:, 1])]


def _groups(n: int, layer: int, cover: tuple[tuple[int, ...], ...]) -> list[Term]:
    members = [np.unique(np.array(group, np.int64)) for group in cover]
    flat = np.concatenate([np.empty(0, np.int64), *members])
    _refuse_aliens("groups", n, flat)
    return [Cliques(n, np.r_[0, np.cumsum([len(m) for m in members])].astype(np.int64), flat)]


def _refuse_aliens(name: str, n: int, actors: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    aliens = np.unique(actors[actors >= n])
    if len(aliens):
        who = f"actor {aliens[0]:,} is" if len(aliens) == 1 else f"{len(aliens):,} actors, the first {aliens[0]:,}, are"
        raise InputError(
            f"{name}: {who} not among the n = {n:,} actors 0 to {n - 1:,}: raise n, or number the actors from 0"
        )


def _grid(name: str, n: int, height: int, width: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    if height * width != n:
        raise InputError(f"{name}({height}, {width}) is over {height * width:,} actors, but n = {n:,}: make them equal")
    return np.arange(n).reshape(height, width)


def _equal_groups(n: int, cells: np.ndarray[Any, np.dtype[np.int64]]) -> list[Term]:
    return [Cliques(n, np.arange(len(cells) + 1) * cells.shape[1], cells.ravel())]


def _rows(n: int, layer: int, height: int, width: int) -> list[Term]:
    return _equal_groups(n, _grid("rows", n, height, width))


def _columns(n: int, layer: int, height: int, width: int) -> list[Term]:
    return _equal_groups(n, _grid("columns", n, height, width).T)


def _boxes(n: int, layer: int, height: int, width: int, box_height: int, box_width: int) -> list[Term]:
    cells = _grid("boxes", n, height, width)
    if height % box_height or width % box_width:
        raise InputError(
            f"boxes({height}, {width}, {box_height}, {box_width}): "
            f"{box_height} x {box_width} boxes do not fill the grid"
        )
    split = cells.reshape(height // box_height, box_height, width // box_width, box_width)
    return _equal_groups(n, split.transpose(0, 2, 1, 3).reshape(-1, box_height * box_width))


def _lattice(n: int, layer: int, height: int, width: int) -> list[Term]:
    cells = _grid("lattice", n, height, width)
    not_first = np.stack([cells[:, 0] + 1, cells[:, -1] + 1], 1)  # every row but its first cell
    not_first = not_first[not_first[:, 0] < not_first[:, 1]]
    left = _strip(n, iv.interval(1, 2), readers=not_first)
    return [_strip(n, iv.from_values([0, width, -width])), *([left, left.transposed()] if len(not_first) else [])]


MEANING: dict[str, Callable[..., list[Term]]] = {
    "full": _full,
    "complete": _full,
    "causal": _causal,
    "sliding_window": _sliding_window,
    "dilated": _dilated,
    "logarithmic": _logarithmic,
    "power": _power,
    "random": _random,
    "global_tokens": _global_tokens,
    "sink_tokens": _sink_tokens,
    "ring": _ring,
    "star": _star,
    "groups": _groups,
    "graph": _graph,
    "rows": _rows,
    "columns": _columns,
    "boxes": _boxes,
    "lattice": _lattice,
}
