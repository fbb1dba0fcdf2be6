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
        """The keys that the rows read, sixteen rows at a time, as the arrays of passes.py from `pieces` to `index`."""
        groups = -(-self.height // 16)
        seen = np.zeros((groups * 16, sum(span.length for span in self.spans)), bool)
        seen[: self.height] = True
        gather = np.zeros((self.count, 0), np.int64) if self.gather is None else self.gather.numpy()
        near = np.zeros((self.count, groups * 16, gather.shape[1]), bool)
        near[:, : self.height] = True
        for veil in self.veils:
            if veil.start < seen.shape[1]:
                seen[: self.height, veil.start : veil.stop] = ~veil.hidden[0].numpy()
            else:
                near[:, : self.height] = ~veil.hidden.numpy()
        bits = _bits(seen[None])[0]
        pieces, at = np.zeros((groups, len(self.spans), 4), np.int64), 0
        for number, span in enumerate(self.spans):
            for group in range(groups):
                read = np.flatnonzero(bits[group, at : at + span.length]).tolist() or [0, -1]
                length = -(-(read[-1] + 1 - read[0]) // 8) * 8  # whole blocks, of keys that are there
                first = max(0, read[-1] + 1 - length)
                length = min(length, span.length - first)
                step = self.height if span.moves else 0
                pieces[group, number] = span.start + first, step, length, group * seen.shape[1] + at + first
            at += span.length
        index = np.zeros((0, 0), np.int64) if self.index is None else self.index.numpy()
        return pieces, bits.ravel(), gather, _bits(near), np.array(self.offsets, np.int64), index

    def to(self, device: torch.device) -> "Work":
        """Return the same work with its tensors on a device."""

        def moved(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.to(device)

        veils = tuple(Veil(v.start, v.stop, v.hidden.to(device)) for v in self.veils)
        return Work(
            self.first, self.height, self.count, self.spans, moved(self.gather), veils,
            self.offsets, moved(self.index), moved(self.empty),
        )  # fmt: skip


def _bits(seen: Bools) -> NDArray[np.uint16]:
    """Pack which rows read a column, (c, 16 G, columns), sixteen to a number: (c, G, columns)."""
    tiles, rows, columns = seen.shape
    by_column = np.ascontiguousarray(seen.reshape(tiles, rows // 16, 16, columns).swapaxes(2, 3))
    return np.packbits(by_column, axis=-1, bitorder="little").view("<u2")[..., 0]


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

    def keys(self, start: Ints, stop: Ints) -> tuple[Ints, Ints, Ints]:
        """For tiles of rows [start, stop): the keys [low, high) they read, and how: see ABSENT to ODD."""
        (a, b), (x0, x1), (s0, s1) = self.offsets, self.readers, self.reads
        x, y = np.maximum(start, x0), np.minimum(stop, x1)
        low, high = np.maximum(x - b + 1, s0), np.minimum(y - a, s1)
        whole = (x == start) & (y == stop)
        moving = whole & (low == x - b + 1) & (high == y - a)
        fixed = whole & (low == s0) & (high == s1) & (x - s1 + 1 >= a) & (y - 1 - s0 < b) & self.solid
        kind = np.where(moving, MOVING, np.where(fixed, FIXED, ODD))
        return low, high, np.where((x < y) & (low < high), kind, ABSENT)

    def readable(self, start: int, stop: int, low: int, high: int) -> Bools:
        """Which of the keys [low, high) each of the rows [start, stop) reads through this component, (rows, keys)."""
        distance = np.arange(stop - 1 - low, start - high, -1)  # that of the last row and the first key comes first
        near: Bools = (distance >= self.offsets[0]) & (distance < self.offsets[1])
        if not self.solid:
            near &= iv.contains(self.strip.offsets, distance)
        # A row's keys are the next row's, one further: a view, made without checks that would take most of the time.
        inside: Bools = np.ndarray((stop - start, high - low), bool, near, stop - start - 1, strides=(-1, 1))
        for (least, most), first, last, axis in ((self.readers, start, stop, 1), (self.reads, low, high, 0)):
            if first < least or last > most:
                place = np.arange(first, last)
                inside = inside & np.expand_dims((place >= least) & (place < most), axis)
        return inside


# How a tile's keys relate to those of the next tile: none; shifted by the height with the same mask; the same keys,
# all of them readable; or neither, so that the tile stands alone.
ABSENT, MOVING, FIXED, ODD = range(4)
