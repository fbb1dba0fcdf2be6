"""From a topology to a program: which rows read which keys together, as views that the executor can multiply.

A topology at one layer is a union of terms. Terms that are strips (bands, sinks, hubs) give every tile of rows a few
contiguous *spans* of keys, most of which move along with the tile: a window over a million tokens is one work item,
whose keys are one strided view, with one mask. An isolated offset wastes most of a tile, so it becomes a *slot*: one
key for each row, a shifted slice. What is neither (graphs, groups, samples) becomes a gathered list of keys per tile,
or slots with an index, whichever costs less. A row's keys, from wherever they come, stand side by side in one softmax.

Letters: h rows in a tile, c tiles in a work item, S keys of a tile.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chorus.topology import intervals as iv
from chorus.topology.terms import Strip

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_POWERS = (1 << np.arange(16)).astype(np.uint16)
_NO_KEYS = np.empty((0, 0), np.int64)
_NO_ROWS = np.empty(0, np.bool_)


@dataclass(frozen=True)
class Span:
    """Keys [start, start + length) for the first tile; they move along with the tiles, or stay."""

    start: int
    length: int
    moves: bool


@dataclass(frozen=True)
class Veil:
    """Which of the columns [start, stop) of a tile's scores are hidden from which row, (1 or c, h, stop - start)."""

    start: int
    stop: int
    hidden: Tensor

    @cached_property
    def bias(self) -> Tensor | None:
        """The same as 0 and −∞ where all tiles share it: adding is faster than filling."""
        if len(self.hidden) > 1:
            return None
        return torch.zeros(self.hidden.shape, device=self.hidden.device).masked_fill_(self.hidden, -torch.inf)


@dataclass(frozen=True)
class Work:
    """Rows [first, first + count·height), in tiles of `height`, that read alike.

    The columns of a row's scores are, in this order: the spans, the gathered keys, the offset slots, the index slots.
    """

    first: int
    height: int
    count: int
    spans: tuple[Span, ...] = ()
    gather: Tensor | None = None  # (c, keys), int64
    veils: tuple[Veil, ...] = ()
    offsets: tuple[int, ...] = ()  # row t reads t − offset
    index: Tensor | None = None  # (slots, c·h), int64, −1 where a row has no more keys
    empty: Tensor | None = None  # (c·h), which rows read nothing; None when every row reads something

    @cached_property
    def tile_columns(self) -> int:
        """Columns computed as products of tiles."""
        return sum(span.length for span in self.spans) + (0 if self.gather is None else self.gather.shape[1])

    @cached_property
    def slots(self) -> int:
        """Columns computed one key per row."""
        return len(self.offsets) + (0 if self.index is None else len(self.index))

    @cached_property
    def layout(self) -> tuple[NDArray[Any], ...]:
        """What the rows read, as the arrays of passes.py from `pieces` to `empty`."""
        pieces, columns = [], 0
        for span in self.spans:
            pieces.append((span.start, self.height if span.moves else 0, span.length, columns))
            columns += span.length
        if self.gather is None:
            gather, gather_bits = _NO_KEYS, np.empty((0, 0, 0), np.uint16)
        else:
            gather, gather_bits = self.gather.numpy(), self._bits(columns, self.tile_columns, self.count)
        index = _NO_KEYS if self.index is None else self.index.numpy()
        return (
            np.array(pieces, np.int64).reshape(-1, 4), self._bits(0, columns, 1)[0], gather, gather_bits,
            np.array(self.offsets, np.int64), index, _NO_ROWS if self.empty is None else self.empty.numpy(),
        )  # fmt: skip

    def _bits(self, start: int, stop: int, tiles: int) -> NDArray[np.uint16]:
        """Pack which rows read the columns [start, stop), 16 to a number: (tiles, groups, columns)."""
        groups = -(-self.height // 16)
        seen = np.zeros((tiles, groups * 16, stop - start), bool)
        seen[:, : self.height] = True
        for veil in self.veils:
            if start <= veil.start < stop:
                part = seen[:, : self.height, veil.start - start : veil.stop - start]
                np.logical_not(veil.hidden.numpy(), out=part)
        found = np.einsum("tgrc,r->tgc", seen.reshape(tiles, groups, 16, -1), _POWERS)
        return np.ascontiguousarray(found)

    def to(self, device: torch.device) -> "Work":
        """Return the same work with its tensors on a device."""

        def moved(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.to(device)

        veils = tuple(Veil(v.start, v.stop, v.hidden.to(device)) for v in self.veils)
        return Work(
            self.first, self.height, self.count, self.spans, moved(self.gather), veils,
            self.offsets, moved(self.index), moved(self.empty),
        )  # fmt: skip


@dataclass(frozen=True)
class Program:
    """Everything needed to run attention for rows [first, n) of a topology at one layer."""

    n: int
    first: int
    works: tuple[Work, ...]
    executed: int  # pairs computed, hidden ones included
    cost: float  # nanoseconds per head of 64 features on one core, as the planner estimates it
    _moved: dict[torch.device, "Program"] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def complete(self) -> bool:
        """Whether some work writes every row; the rows that none writes read nothing."""
        return sum(work.count * work.height for work in self.works) == self.n - self.first

    def to(self, device: torch.device) -> "Program":
        """Return the program with its tensors on a device; kept for the next call."""
        if device.type == "cpu":
            return self
        if device not in self._moved:
            works = tuple(work.to(device) for work in self.works)
            self._moved[device] = Program(self.n, self.first, works, self.executed, self.cost)
        return self._moved[device]


@dataclass(frozen=True)
class Component:
    """One rectangle of a strip: offsets, readers and reads are each one interval, [low, high)."""

    strip: Strip
    offsets: tuple[int, int]
    readers: tuple[int, int]
    reads: tuple[int, int]
    solid: bool  # no offset is left out between the two

    @cached_property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """Three intervals of rows: those that may read; tiles inside the second are MOVING, inside the third FIXED."""
        (a, b), (x0, x1), (s0, s1) = self.offsets, self.readers, self.reads
        fixed = (max(x0, s1 + a - 1), min(x1, s0 + b)) if self.solid else (0, 0)
        return (max(x0, s0 + a), min(x1, s1 + b - 1)), (max(x0, s0 + b - 1), min(x1, s1 + a)), fixed

    def kind(self, start: int, stop: int) -> int:
        """How a tile of rows [start, stop) reads: see ABSENT to ODD."""
        reading, moving, fixed = self.bounds
        if moving[0] <= start and stop <= moving[1]:
            return MOVING
        if fixed[0] <= start and stop <= fixed[1]:
            return FIXED
        return ODD if max(start, reading[0]) < min(stop, reading[1]) else ABSENT

    def keys(self, start: int, stop: int) -> tuple[int, int]:
        """Return the keys [low, high) that a tile of rows [start, stop) reads, if it reads any."""
        (a, b), (x0, x1), (s0, s1) = self.offsets, self.readers, self.reads
        return max(start - b + 1, x0 - b + 1, s0), min(stop - a, x1 - a, s1)

    def readable(self, start: int, stop: int, low: int, high: int) -> Bools:
        """Which of the keys [low, high) each of the rows [start, stop) reads through this component, (rows, keys).

        The keys are those that `keys` gives, for a MOVING tile perhaps with some before them.
        """
        furthest = stop - 1 - low  # distance of the last row and the first key: the first of ever shorter distances
        near = np.zeros(stop - start + high - low - 1, bool)
        near[max(furthest - self.offsets[1] + 1, 0) : max(furthest - self.offsets[0] + 1, 0)] = True
        if not self.solid:
            near &= iv.contains(self.strip.offsets, furthest - np.arange(len(near)))
        # A row's keys are the next row's, one further: a view, made without checks that would take most of the time.
        inside: Bools = np.ndarray((stop - start, high - low), bool, near, stop - start - 1, strides=(-1, 1))
        if start < self.readers[0] or stop > self.readers[1]:
            inside = inside.copy()
            inside[: max(self.readers[0] - start, 0)] = inside[self.readers[1] - start :] = False
        return inside


# How a tile's keys relate to those of the next tile: none; shifted by the height with the same mask; the same keys,
# all of them readable; or neither, so that the tile stands alone.
ABSENT, MOVING, FIXED, ODD = range(4)
