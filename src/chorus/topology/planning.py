"""The execution plan of one layer: which tiles of the score matrix to compute, which pairs are cheaper on their own.

B is the tile's side, Q = ceil(n / B) the number of tiles along each axis; query tile i holds readers iB to iB + B - 1.
A set of tiles is kept as intervals on one line, tile (i, j) at i (Q + 1) + j, so that a band costs one interval per
query tile whatever its width, and unions and differences of tile sets are those of `intervals`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from chorus.errors import InputError
from chorus.topology import intervals as iv
from chorus.topology.intervals import Intervals
from chorus.topology.relation import EDGE_LIMIT, Relation
from chorus.topology.terms import Ints, Strip
from chorus.topology.topology import Topology, whole

if TYPE_CHECKING:
    from jaxtyping import Bool, Int, Int64

Split = Literal["auto", "tiles", "diagonals"]

_TILE_LIST_LIMIT = 1 << 27


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Plan:
    """How to execute one layer. Every pair of the topology is in exactly one of three parts.

    Tiles, as spans: query tile i computes, for every span s in `indptr[i]:indptr[i + 1]`, its scores against the
    contiguous keys of the key tiles `start[s]` to `stop[s] - 1`; if `full[s]` every pair counts, else `tile_mask(i, j)`
    says which. What is in no span holds no pair. A band is one or a few long spans: slice the keys. Sinks and hubs are
    short spans far away: gather them, and concatenate before the softmax. `tiles` lists the same tile by tile.

    Diagonals: for every d in `diagonals`, each reader t with 0 <= t - d < n reads t - d: an elementwise product of the
    queries with the keys shifted by d, n - |d| pairs, no mask.

    Gathers: what is left, as CSR: reader t also reads `gather_indices[gather_indptr[t]:gather_indptr[t + 1]]`.

    One softmax runs over the three parts together. `cost` weighs them, so that two plans can be compared.
    """

    n: int
    tile: int
    indptr: Int64[np.ndarray, "query_tiles_plus_1"]
    start: Int[np.ndarray, "spans"]
    stop: Int[np.ndarray, "spans"]
    full: Bool[np.ndarray, "spans"]
    diagonals: Int64[np.ndarray, "offsets"]
    gather_indptr: Int64[np.ndarray, "n_plus_1"]
    gather_indices: Int[np.ndarray, "gathered"]
    asked_edges: int
    diagonal_cost: float
    tiled: Relation  # the pairs that the tiles serve

    def __repr__(self) -> str:
        return (
            f"Plan(n={self.n}, tile={self.tile}: {self.tile_edges:,} pairs in {len(self.start):,} spans of tiles, "
            f"{self.diagonal_edges:,} on {len(self.diagonals)} diagonals, {self.gather_edges:,} gathered)"
        )

    @property
    def query_tiles(self) -> int:
        """How many tiles there are along an axis, the last one perhaps short."""
        return -(-self.n // self.tile)

    @cached_property
    def tile_edges(self) -> int:
        """Pairs that the tiles compute, masked ones included; short tiles count as short."""
        heights = np.minimum(self.tile, self.n - np.arange(self.query_tiles) * self.tile)
        row, _ = iv.expand(np.diff(self.indptr))
        keys = np.minimum(self.stop.astype(np.int64) * self.tile, self.n) - self.start.astype(np.int64) * self.tile
        return int((heights[row] * keys).sum())

    @property
    def diagonal_edges(self) -> int:
        """Pairs computed on diagonals."""
        return int((self.n - np.abs(self.diagonals)).sum())

    @property
    def gather_edges(self) -> int:
        """Pairs computed from gathered keys."""
        return len(self.gather_indices)

    @property
    def executed_edges(self) -> int:
        """Pairs computed in all, against `asked_edges` that the topology holds."""
        return self.tile_edges + self.diagonal_edges + self.gather_edges

    @property
    def cost(self) -> float:
        """The work, in pairs inside a tile: a pair on a diagonal or gathered counts as `diagonal_cost` of them."""
        return self.tile_edges + self.diagonal_cost * (self.diagonal_edges + self.gather_edges)

    def flops(self, dim: int) -> int:
        """Floating-point operations executed with `dim` features over all heads: 4 a pair and feature."""
        return 4 * dim * self.executed_edges

    @cached_property
    def tiles(
        self,
    ) -> tuple[Int64[np.ndarray, "query_tiles_plus_1"], Int[np.ndarray, "tiles"], Bool[np.ndarray, "tiles"]]:
        """The tiles one by one, as CSR: indptr, the key tile of each, and whether it is full."""
        lengths = self.stop.astype(np.int64) - self.start
        total = int(lengths.sum())
        if total > _TILE_LIST_LIMIT:
            raise InputError(
                f"{total:,} tiles are too many to list ({_TILE_LIST_LIMIT:,}): use the spans, or larger tiles"
            )
        which, position = iv.expand(lengths)
        indptr = np.r_[0, np.cumsum(lengths)][self.indptr]
        return indptr, (self.start[which] + position).astype(np.int32), self.full[which]

    def tile_mask(
        self, query_tiles: Int[np.ndarray, "tiles"] | int, key_tiles: Int[np.ndarray, "tiles"] | int
    ) -> Bool[np.ndarray, "tiles B B"]:
        """Lay out the masks of many tiles at once, [reader, read]; False beyond n. Integers give one (B, B) mask."""
        queries = np.atleast_1d(np.asarray(query_tiles, np.int64))
        keys = np.atleast_1d(np.asarray(key_tiles, np.int64))
        queries, keys = np.broadcast_arrays(queries, keys)
        for tiles in (queries, keys):
            if len(tiles) and not 0 <= tiles.min() <= tiles.max() < self.query_tiles:
                raise InputError(f"tiles are numbered 0 to {self.query_tiles - 1}, got {tiles.min()} to {tiles.max()}")
        inside = np.arange(self.tile)
        readers, reads = queries[:, None] * self.tile + inside, keys[:, None] * self.tile + inside
        mask = np.zeros((len(queries), self.tile, self.tile), bool)
        lag = inside[:, None] - inside + self.tile - 1
        for strip in self.tiled.strips:
            # Within a tile the offset takes 2B - 1 values: look each up once, then spread them along the diagonals.
            gaps, place = np.unique(queries - keys, return_inverse=True)
            table = iv.contains(strip.offsets, gaps[:, None] * self.tile + np.arange(1 - self.tile, self.tile))
            part = table[place][:, lag]
            part &= iv.contains(strip.readers, readers)[:, :, None]
            part &= iv.contains(strip.reads, reads)[:, None, :]
            mask |= part
        if self.tiled.others:
            self._scatter(mask, queries, keys)
        return mask[0] if np.ndim(query_tiles) == np.ndim(key_tiles) == 0 else mask

    def _scatter(self, mask: Bool[np.ndarray, "tiles B B"], queries: Ints, keys: Ints) -> None:
        """Set the pairs of the terms that are no strips."""
        width = self.query_tiles
        wanted = queries * width + keys
        order = np.argsort(wanted, kind="stable")
        actors = (np.unique(queries)[:, None] * self.tile + np.arange(self.tile)).ravel()
        actors = actors[actors < self.n]
        which, s = self.tiled.loose_rows(actors)
        t = actors[which]
        tile = t // self.tile * width + s // self.tile
        first, last = (np.searchsorted(wanted[order], tile, side=side) for side in ("left", "right"))
        pair, repeat = iv.expand(last - first)
        mask[order[first[pair] + repeat], t[pair] % self.tile, s[pair] % self.tile] = True


def plan(
    topology: Topology, n: int, tile: int = 128, layer: int = 0, split: Split = "auto", diagonal_cost: float = 16.0
) -> Plan:
    """Plan the execution of one layer among n actors.

    Args:
        topology: who may read whom.
        n: actors.
        tile: the side of a tile of the score matrix.
        layer: which layer, from 0.
        split: "tiles" puts every pair into tiles, "diagonals" none; "auto" puts each offset, and what is neither band
            nor offset, where it costs less.
        diagonal_cost: what a pair costs on a diagonal or gathered, in units of a pair inside a tile.

    Raises:
        InputError: `diagonal_cost` is negative, "diagonals" was asked for and some pairs lie on none, or the pairs that
            no band or offset describes are more than 2**25.

    >>> from chorus.topology import logarithmic, sliding_window
    >>> p = plan(sliding_window(256) | logarithmic(), n=4096, tile=128)
    >>> p.diagonals.tolist()
    [512, 1024, 2048]
    >>> p.start[p.indptr[9]:p.indptr[10]].tolist(), p.full[p.indptr[9]:p.indptr[10]].tolist()
    ([7, 8, 9], [False, True, False])

    """
    n, tile = whole("n", n, 1, 1 << 31), whole("tile", tile, 1, 1 << 20)
    if split not in ("auto", "tiles", "diagonals"):
        raise InputError(f"split must be auto, tiles or diagonals, got {split!r}")
    if not 0 <= diagonal_cost < math.inf:
        raise InputError(f"diagonal_cost must be 0 or more, and finite, got {diagonal_cost}")
    relation = topology.relation(n, layer)
    diagonals = _diagonals(relation, tile, split, diagonal_cost)
    strips = [
        Strip(n, offsets, strip.readers, strip.reads)
        for strip in relation.strips
        if len(offsets := iv.subtract(strip.offsets, diagonals))
    ]
    asked = sum(strip.count() for strip in relation.disjoint_strips)
    wanted, full = _strip_tiles(n, tile, strips)
    gather_indptr = np.zeros(n + 1, np.int64)
    gather_indices: NDArray[np.int32] = np.empty(0, np.int32)
    tiled = Relation(n, tuple(strips))
    if relation.others:
        touched, counts, reads = _loose(relation, tile)
        asked += len(reads)
        more = iv.subtract(touched, wanted)
        if split == "tiles" or (split == "auto" and iv.size(more) * tile * tile <= diagonal_cost * len(reads)):
            wanted = iv.union([wanted, touched])
            tiled = Relation(n, (*strips, *relation.others))
            if len(diagonals):  # a pair on a diagonal must not be in a tile as well
                tiled = tiled - Relation(n, (_everywhere(n, diagonals),))
        else:
            gather_indptr, gather_indices = np.r_[0, np.cumsum(counts)], reads
    spans = np.concatenate([full, iv.subtract(wanted, full)])
    order = np.argsort(spans[:, 0], kind="stable")
    width = -(-n // tile) + 1
    row = spans[order, 0] // width
    return Plan(
        n=n,
        tile=tile,
        indptr=np.searchsorted(row, np.arange(width)).astype(np.int64),
        start=(spans[order, 0] - row * width).astype(np.int32),
        stop=(spans[order, 1] - row * width).astype(np.int32),
        full=order < len(full),
        diagonals=iv.values_of(diagonals),
        gather_indptr=gather_indptr,
        gather_indices=gather_indices,
        asked_edges=asked,
        diagonal_cost=diagonal_cost,
        tiled=tiled,
    )


def _everywhere(n: int, offsets: Intervals) -> Strip:
    return Strip(n, offsets, iv.interval(0, n), iv.interval(0, n))


def _diagonals(relation: Relation, tile: int, split: Split, cost: float) -> Intervals:
    """Choose the offsets that are cheaper as diagonals than in tiles."""
    if split == "tiles":
        return iv.EMPTY
    offsets = iv.union(strip.offsets for strip in relation.strips if strip.everywhere)
    if split == "diagonals":
        covered = Relation(relation.n, (_everywhere(relation.n, offsets),))
        rest = sum(strip.count() for strip in (Relation(relation.n, tuple(relation.strips)) - covered).strips)
        if relation.others or rest:
            raise InputError(
                f"{f'{rest:,} pairs' if rest else 'some pairs'} of this topology lie on no whole diagonal "
                "(hubs, sinks, groups, graphs and samples do not): use tiles"
            )
        return offsets
    if not len(offsets):
        return iv.EMPTY
    # The offsets from q B to q B + B - 1 meet the tiles q and q + 1 below the diagonal (q alone when all are q B).
    tile = min(tile, relation.n)
    block = np.arange(offsets[0, 0] // tile, (offsets[-1, 1] - 1) // tile + 1)
    edges = iv.count_below(offsets, np.r_[block, block[-1] + 1] * tile)
    count = np.diff(edges)
    inner = count > iv.contains(offsets, block * tile)
    dense = count * cost >= tile
    computed = np.r_[dense, False] | np.r_[False, dense & inner]
    extra = (~computed[:-1]).astype(int) + (inner & ~computed[1:])
    alone = (count > 0) & (count * cost < tile * extra)
    lone_blocks = np.stack([block[alone] * tile, block[alone] * tile + tile], 1)
    return iv.intersect(offsets, iv.merge(lone_blocks))


def _strip_tiles(n: int, tile: int, strips: list[Strip]) -> tuple[Intervals, Intervals]:
    """Find the tiles that hold a pair of a strip, perhaps, and those that one strip fills."""
    count = -(-n // tile)
    wanted, full = [], []
    for strip in strips:
        # Tile (i, j) has the offsets (i - j) B - (B - 1) to (i - j) B + (B - 1), as far as actors exist.
        touched = _gaps_touched(strip.offsets, tile)
        wanted.append(_spread(touched, _tiles_touched(strip.readers, tile), _tiles_touched(strip.reads, tile), count))
        beyond = [iv.interval(-(1 << 40), 1 - n), strip.offsets, iv.interval(n, 1 << 40)]
        filled = _gaps_filled(iv.union(beyond), tile, count)
        readers, reads = (_tiles_filled(actors, tile, n) for actors in (strip.readers, strip.reads))
        full.append(_spread(filled, readers, reads, count))
    return iv.union(wanted), iv.union(full)


def _tiles_touched(actors: Intervals, tile: int) -> Intervals:
    return iv.merge(np.stack([actors[:, 0] // tile, (actors[:, 1] - 1) // tile + 1], 1))


def _tiles_filled(actors: Intervals, tile: int, n: int) -> Intervals:
    ends = np.where(actors[:, 1] == n, -(-n // tile), actors[:, 1] // tile)  # the last tile may be short
    return iv.merge(np.stack([-(-actors[:, 0] // tile), ends], 1))


def _gaps_touched(offsets: Intervals, tile: int) -> Intervals:
    """Find the tile gaps i - j whose offsets meet the set."""
    return iv.merge(np.stack([-(-(offsets[:, 0] - tile + 1) // tile), (offsets[:, 1] + tile - 2) // tile + 1], 1))


def _gaps_filled(offsets: Intervals, tile: int, count: int) -> Intervals:
    """Find the tile gaps i - j all of whose offsets are in the set."""
    gaps = np.stack([-(-(offsets[:, 0] + tile - 1) // tile), (offsets[:, 1] - tile) // tile + 1], 1)
    return iv.clip(gaps, 1 - count, count)


def _spread(gaps: Intervals, queries: Intervals, keys: Intervals, count: int) -> Intervals:
    """Lay out the tiles (i, j) with i - j in gaps, i in queries, j in keys, on one line."""
    if not len(gaps) or not len(queries) or not len(keys):
        return iv.EMPTY
    width = count + 1
    i = iv.values_of(queries)[:, None]
    gaps = gaps[::-1]
    found = np.stack([np.maximum(i - gaps[:, 1] + 1, 0), np.minimum(i - gaps[:, 0] + 1, count)], -1)
    line = (found + i[:, :, None] * width).reshape(-1, 2)
    line = line[line[:, 0] < line[:, 1]]
    if iv.size(keys) == count:
        return line
    return iv.intersect(line, (keys + i[:, :, None] * width).reshape(-1, 2))


def _loose(relation: Relation, tile: int) -> tuple[Intervals, Ints, NDArray[np.int32]]:
    """List the pairs that no strip holds: the tiles they touch, how many each actor has, and what they read."""
    n = relation.n
    bound = relation.loose_bound()
    if bound > EDGE_LIMIT:
        raise InputError(
            f"a plan here would list {bound:,} explicit edges, more than {EDGE_LIMIT:,}: take a smaller n, "
            "or fewer random neighbours or smaller groups"
        )
    width = -(-n // tile) + 1
    touched, counts, reads = [], [], []
    for block in relation.blocks():
        which, s = relation.loose_rows(block)
        touched.append(iv.unique(block[which] // tile * width + s // tile))
        counts.append(np.bincount(which, minlength=len(block)))
        reads.append(s.astype(np.int32))
    return iv.from_values(np.concatenate(touched)), np.concatenate(counts), np.concatenate(reads)
