"""What no strip expresses (graphs, groups, samples), laid out for tiles as gathered keys or for rows as index slots.

Letters: h rows in a tile, c tiles.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from chorus.attention.program import Bools, Ints
from chorus.errors import InputError
from chorus.topology.relation import Relation
from chorus.topology.terms import Strip

NOTHING, GATHER, SLOTS = range(3)
MAX_CELLS = 1 << 31  # bytes of masks over gathered keys


@dataclass(frozen=True)
class Loose:
    """Loose pairs (reader, read), sorted, and how each tile is to read them.

    Without any pair, all is empty but `way` and `size`.
    """

    first: int
    readers: Ints
    reads: Ints
    degree: Ints  # per row
    tiles: int
    key: Ints  # per pair: which of its tile's distinct keys
    keys: Ints  # distinct keys, tile by tile
    bounds: Ints  # where each tile's keys begin, (tiles + 1)
    way: Ints  # per tile: NOTHING, GATHER or SLOTS
    size: Ints  # per tile: how many keys or slots, padded

    @property
    def widest(self) -> int:
        """The largest number of loose keys that a row reads."""
        return int(self.degree.max(initial=0))

    def choose(self, executor: str, height: int, pair: float, index: float, gathered: float) -> "Loose":
        """Decide for every tile between gathered keys and slots, by cost in nanoseconds."""
        if not len(self.readers):
            return self
        padded = self.degree
        padded = np.pad(padded, (0, self.tiles * height - len(padded))).reshape(self.tiles, height)
        deepest, union = _rounded(padded.max(1)), _rounded(np.diff(self.bounds))
        as_slots = height * deepest * index
        as_tile = union * (height * pair + gathered)
        slots = {"tiles": np.zeros(self.tiles, bool), "diagonals": np.ones(self.tiles, bool)}.get(
            executor, as_slots < as_tile
        )
        way = np.where(union == 0, NOTHING, np.where(slots, SLOTS, GATHER))
        size = np.where(slots, deepest, union)
        cells = int(size[way == GATHER].sum()) * height
        if cells > MAX_CELLS:
            raise InputError(
                f"tiles of {height} rows would compute {cells:,} pairs for the {len(self.reads):,} that this topology "
                f"asks for, more than {MAX_CELLS:,}: use executor diagonals or auto, or fewer actors"
            )
        return replace(self, way=way, size=size)


def _rounded(sizes: Ints) -> Ints:
    """Round up to a quarter of an octave, so that neighbouring tiles share a size and run as one batch."""
    step = 2 ** np.maximum(np.log2(np.maximum(sizes, 1)).astype(np.int64) - 2, 0)
    rounded: Ints = -(-sizes // step) * step
    return rounded


def loose_pairs(relation: Relation, strips: list[Strip], first: int, tiles: int, height: int) -> Loose:
    """Collect every pair of the terms that are no strips, and of the strips that are too ragged for tiles."""
    none, zeros = np.empty(0, np.int64), np.zeros(tiles, np.int64)
    if not relation.others and not strips:
        return Loose(first, none, none, none, tiles, none, none, none, zeros, zeros)
    parts: list[tuple[Ints, Ints]] = []
    for block in relation.blocks():
        rows = block[block >= first]
        if relation.others:
            which, reads = relation.loose_rows(rows)
            parts.append((rows[which], reads))
        for strip in strips:
            which, reads = strip.rows(rows)
            parts.append((rows[which], reads))
    readers = np.concatenate([none, *[part[0] for part in parts]])
    reads = np.concatenate([none, *[part[1] for part in parts]])
    order = np.argsort(readers * relation.n + reads)
    readers, reads = readers[order], reads[order]
    tile_of = (readers - first) // height
    keys, key = np.unique(tile_of * relation.n + reads, return_inverse=True)
    bounds = np.searchsorted(keys, np.arange(tiles + 1) * relation.n)
    degree = np.bincount(readers - first, minlength=relation.n - first)
    key -= bounds[tile_of]
    return Loose(first, readers, reads, degree, tiles, key, keys % relation.n, bounds, zeros, zeros)


def lay_out(
    loose: Loose, tile: int, count: int, height: int, start: int
) -> tuple[Tensor | None, Bools | None, Tensor | None]:
    """Return gathered keys (c, size), what is hidden (c, h, size) and slots (size, c·h), of tiles that read alike."""
    way, size = loose.way[tile], int(loose.size[tile])
    if way == NOTHING:
        return None, None, None
    a, b = np.searchsorted(loose.readers, [start, start + count * height])
    rows, reads = loose.readers[a:b] - start, loose.reads[a:b]
    if way == SLOTS:
        depth = np.arange(a, b) - np.searchsorted(loose.readers, loose.readers[a:b])
        index = np.full((size, count * height), -1, np.int64)
        index[depth, rows] = reads
        return None, None, torch.from_numpy(index)
    gather = np.zeros((count, size), np.int64)
    for i in range(count):
        keys = loose.keys[loose.bounds[tile + i] : loose.bounds[tile + i + 1]]
        gather[i, : len(keys)] = keys
    hidden = np.ones((count, height, size), bool)
    hidden[rows // height, rows % height, loose.key[a:b]] = False
    return torch.from_numpy(gather), hidden, None
