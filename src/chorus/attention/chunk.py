"""A chunk of a program: a few tiles of one head, or one tile of a few heads, as views to multiply and places to add to.

A chunk is a batch of b tiles. The batch runs along the tiles of one key head where tiles are many and alike, and along
the heads where they are not; either way a span of keys is a view that copies nothing.

Letters: N key heads of all sequences, R query heads per key head, T rows, h rows in a tile, c tiles in the chunk,
a heads in the chunk (c = 1 or a = 1; b = c·a), M = R·h, L keys of a span, D features.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from chorus.attention.program import Span, Work

CHUNK = 1 << 19  # scores held at a time: 2 MB of float32, near a core and yet few calls


@dataclass(frozen=True)
class Chunk:
    """Tiles [tile, tile + c) of `work` for heads [head, head + a)."""

    work: Work
    origin: int  # the program's first row, which is row 0 of the query tensors
    head: int
    heads: int
    tile: int
    tiles: int

    @property
    def first(self) -> int:
        """Return the first row, counted among the actors."""
        return self.work.first + self.tile * self.work.height

    @property
    def rows(self) -> int:
        """Count the rows of all tiles together."""
        return self.tiles * self.work.height

    def lines(self, x: Tensor) -> Tensor:
        """Return the rows of (N, R, T, D) in order, a view (a, R, c·h, D)."""
        start = self.first - self.origin
        return x[self.head : self.head + self.heads, :, start : start + self.rows]

    def tiled(self, lines: Tensor) -> Tensor:
        """Turn lines (a, R, c·h, ...) into tiles (b, M, ...): a view if R or c is 1."""
        a, r = lines.shape[:2]
        if r == 1:  # a = 1 or c = 1, so that rows follow each other already
            return lines.reshape(a * self.tiles, self.work.height, *lines.shape[3:])
        split = lines.reshape(a, r, self.tiles, self.work.height, *lines.shape[3:])
        return split.transpose(1, 2).reshape(a * self.tiles, r * self.work.height, *lines.shape[3:])

    def untiled(self, tiles: Tensor, r: int) -> Tensor:
        """Turn tiles (b, M, ...) back into lines (a, R, c·h, ...)."""
        split = tiles.reshape(self.heads, self.tiles, r, self.work.height, *tiles.shape[2:])
        return split.transpose(1, 2).reshape(self.heads, r, self.rows, *tiles.shape[2:])

    def span(self, x: Tensor, span: Span) -> Tensor:
        """Return the keys of a span out of (N, T, D), a view (b, L, D)."""
        if self.tiles == 1:
            start = span.start + (self.tile * self.work.height if span.moves else 0)
            return x[self.head : self.head + self.heads, start : start + span.length]
        if not span.moves:
            return x[self.head, span.start : span.start + span.length].expand(self.tiles, -1, -1)
        start = span.start + self.tile * self.work.height
        whole = x[self.head, start : start + self.rows - self.work.height + span.length]
        return whole.unfold(0, span.length, self.work.height).transpose(1, 2)

    def add_span(self, x: Tensor, span: Span, value: Tensor) -> None:
        """Add (b, L, D) to the keys of a span; neighbouring tiles overlap."""
        if self.tiles == 1:
            self.span(x, span).add_(value)
        elif not span.moves:
            x[self.head, span.start : span.start + span.length].add_(value.sum(0))
        else:
            # A slice of the span no longer than the tile is tall overlaps with no other tile's.
            height = self.work.height
            for start in range(0, span.length, height):
                length = min(height, span.length - start)
                self.span(x, Span(span.start + start, length, moves=True)).add_(value[:, start : start + length])

    def gathered(self, x: Tensor) -> Tensor:
        """Return the gathered keys out of (N, T, D), a copy (b, keys, D)."""
        index = self._gather()
        picked = x[self.head : self.head + self.heads].index_select(1, index.flatten())
        return picked.reshape(self.heads * self.tiles, index.shape[1], x.shape[-1])

    def add_gathered(self, x: Tensor, value: Tensor) -> None:
        """Add (b, keys, D) to the gathered keys."""
        value = value.reshape(self.heads, -1, value.shape[-1])
        x[self.head : self.head + self.heads].index_add_(1, self._gather().flatten(), value)

    def _gather(self) -> Tensor:
        assert self.work.gather is not None
        return self.work.gather[self.tile : self.tile + self.tiles]

    def slots(self, n: int) -> Iterator[tuple[int, slice, "slice | Tensor"]]:
        """Yield each slot with a key for some of the rows: its number, the rows as lines, the keys they read."""
        for number, offset in enumerate(self.work.offsets):
            start, stop = max(self.first, offset), min(self.first + self.rows, n + offset)
            if start < stop:
                yield number, slice(start - self.first, stop - self.first), slice(start - offset, stop - offset)
        if self.work.index is not None:
            start = self.tile * self.work.height
            for number, keys in enumerate(self.work.index[:, start : start + self.rows], len(self.work.offsets)):
                yield number, slice(None), keys.clamp_min(0)

    def slots_reading(self, n: int, device: torch.device) -> Tensor:
        """Tell which slot holds a key for which row, bool (slots, c·h)."""
        reading = torch.zeros(self.work.slots, self.rows, dtype=torch.bool, device=device)
        for number, lines, _ in self.slots(n):
            reading[number, lines] = True
        if self.work.index is not None:
            start = self.tile * self.work.height
            reading[len(self.work.offsets) :] = self.work.index[:, start : start + self.rows] >= 0
        return reading

    def picked(self, x: Tensor, keys: "slice | Tensor") -> Tensor:
        """Return the keys of a slot out of (N, T, D), (a, 1, rows, D): a view for a slice, a copy for an index."""
        heads = x[self.head : self.head + self.heads]
        return (heads[:, keys] if isinstance(keys, slice) else heads.index_select(1, keys)).unsqueeze(1)

    def add_picked(self, x: Tensor, keys: "slice | Tensor", value: Tensor) -> None:
        """Add (a, rows, D) to the keys of a slot."""
        heads = x[self.head : self.head + self.heads]
        if isinstance(keys, slice):
            heads[:, keys].add_(value)
        else:
            heads.index_add_(1, keys, value)

    def empty(self, r: int) -> Tensor | None:
        """Tell which rows read nothing, (c, M, 1), or None."""
        if self.work.empty is None:
            return None
        start = self.tile * self.work.height
        empty = self.work.empty[start : start + self.rows].view(self.tiles, 1, self.work.height)
        return empty.expand(-1, r, -1).reshape(self.tiles, -1, 1)


def chunks(work: Work, origin: int, heads: int, r: int, width: int) -> Iterator[Chunk]:
    """Cut a work into chunks of about CHUNK numbers, the larger of scores and features, for N heads of R queries."""
    each = r * work.height * max(work.tile_columns + work.slots, width)
    step = max(1, CHUNK // each)
    if work.count >= heads:
        for head in range(heads):
            for tile in range(0, work.count, step):
                yield Chunk(work, origin, head, 1, tile, min(step, work.count - tile))
    else:
        for tile in range(work.count):
            for head in range(0, heads, step):
                yield Chunk(work, origin, head, min(step, heads - head), tile, 1)
