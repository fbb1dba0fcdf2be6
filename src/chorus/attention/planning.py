"""Compile a topology into a program: choose tiles or slots for each of its terms, and lay out what every tile reads."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np
import torch

from chorus.attention.blocks import SelectedBlocks
from chorus.attention.loose import NOTHING, Loose, lay_out, loose_pairs
from chorus.attention.program import (
    ABSENT,
    MOVING,
    ODD,
    Bools,
    Component,
    Ints,
    Program,
    Span,
    Veil,
    Work,
)
from chorus.errors import InputError
from chorus.topology import Topology
from chorus.topology import intervals as iv
from chorus.topology.relation import Relation
from chorus.topology.terms import Edges, Strip, Term

# Nanoseconds on one core for one head of 64 features: what the choices rest on. Only their ratios matter.
PAIR = 3.2  # one query with one key inside a tile: two products and the softmax
SLOT = 18.0  # one query with one key through a slice
INDEX = 29.0  # one query with one key through an index
GATHERED = 11.0  # bringing one key and its value to a tile

# Tall tiles multiply nearer to the machine's rate, short ones compute fewer pairs that nobody asked for.
EFFICIENCY = {16: 0.80, 32: 0.93, 64: 1.0, 128: 1.03}
DENSE = 128  # up to here all rows are one tile over all keys: dispatching more costs more than it saves
SLOT_ROWS = 512  # rows handled at a time where there are slots only
MAX_COMPONENTS = 64
MAX_SLOTS = 1024

EXECUTORS = ("auto", "tiles", "diagonals")


@lru_cache(maxsize=64)
def compile_program(
    topology: Topology, n: int, layer: int = 0, first: int = 0, executor: str = "auto", actors: int | None = None
) -> Program:
    """Return the program of rows [first, n) at one layer; kept, so that a training run plans once.

    Args:
        topology: who reads whom.
        n: number of keys: all actors, or the first n of them.
        layer: the layer of a scheduled topology.
        first: the first row that is asked for; decoding asks for the last rows only.
        executor: "tiles" for tiles alone, "diagonals" for slots alone, "auto" for whichever is cheaper, term by term.
        actors: of how many actors the topology is; n when None.

    Raises InputError when the executor cannot serve this topology.

    >>> from chorus.topology import sliding_window
    >>> [work.count for work in compile_program(sliding_window(64), 1024).works]
    [1, 60]

    """
    if isinstance(topology, SelectedBlocks) and executor != "diagonals" and not first:
        topology.refuse_other(actors or n)
        return topology.program()
    relation = first_actors(topology.relation(actors or n, layer), n)
    if executor != "diagonals" and n <= DENSE:
        return _dense(relation, first)
    pieces = _split(relation, executor)
    if executor == "diagonals" and len(pieces.offsets) > MAX_SLOTS:
        raise InputError(
            f"executor diagonals cannot serve {topology} at n = {n:,}: a row reads {len(pieces.offsets):,} diagonals, "
            f"more than {MAX_SLOTS:,}; use tiles or auto"
        )
    height = _height(pieces, n - first)
    starts = np.arange(first, n, height)
    stops = np.minimum(starts + height, n)
    loose = loose_pairs(relation, pieces.strips, first, starts, height)
    chosen = loose.choose(executor, height, PAIR, INDEX, GATHERED)
    if executor == "diagonals" and chosen.widest > MAX_SLOTS:
        raise InputError(
            f"executor diagonals cannot serve {topology} at n = {n:,}: one row reads {chosen.widest:,} keys that lie "
            f"on no diagonal, more than {MAX_SLOTS:,}; use tiles or auto"
        )
    tables = [component.keys(starts, stops) for component in pieces.components]
    kinds = np.stack([np.zeros(len(starts), np.int64), *[kind for _, _, kind in tables]])
    alone = (kinds == ODD).any(0) | (stops - starts != height)
    same = (kinds[:, 1:] == kinds[:, :-1]).all(0) & ~alone[1:] & ~alone[:-1]
    same &= (chosen.way[1:] == chosen.way[:-1]) & (chosen.size[1:] == chosen.size[:-1])
    cuts = np.flatnonzero(np.r_[True, ~same, True])
    works = []
    for i, j in _joined(cuts.tolist(), alone & (chosen.way == NOTHING), DENSE // height):
        start, stop, count = int(starts[i]), int(stops[i]), j - i
        low_high_kind = [[int(column[i]) for column in table] for table in tables]
        if count > 1 and alone[i]:
            start, stop, count = start, int(stops[j - 1]), 1
            rows = np.array([start]), np.array([stop])
            low_high_kind = [[int(column[0]) for column in c.keys(*rows)] for c in pieces.components]
        present = [
            (component, low, high, kind)
            for component, (low, high, kind) in zip(pieces.components, low_high_kind, strict=True)
            if kind != ABSENT
        ]
        if present or pieces.offsets or chosen.way[i]:
            works.append(_work(n, start, stop, count, present, pieces.offsets, chosen, i))
    return _program(n, first, works)


def _joined(cuts: list[int], alone: Bools, most: int) -> Iterator[tuple[int, int]]:
    """Yield the tiles [i, j) between cuts, joining up to `most` neighbours that stand alone into one tall tile."""
    at = 0
    while at < len(cuts) - 1:
        end = at + 1
        while alone[cuts[at]] and end - at < most and end < len(cuts) - 1 and alone[cuts[end]]:
            end += 1
        yield cuts[at], cuts[end]
        at = end


def first_actors(relation: Relation, n: int) -> Relation:
    """Return what the first n actors read of one another."""
    if n == relation.n:
        return relation
    strips = [
        Strip(n, iv.clip(strip.offsets, 1 - n, n), iv.clip(strip.readers, 0, n), iv.clip(strip.reads, 0, n))
        for strip in relation.strips
    ]
    terms: list[Term] = [s for s in strips if len(s.offsets) and len(s.readers) and len(s.reads)]
    if relation.others:
        readers, reads = Relation(relation.n, tuple(relation.others)).rows(np.arange(n))
        terms.append(Edges.from_pairs(n, readers[reads < n], reads[reads < n]))
    return Relation(n, tuple(terms))


def _program(n: int, first: int, works: list[Work]) -> Program:
    executed, cost = 0, 0.0
    for work in works:
        rows = work.count * work.height
        executed += rows * (work.tile_columns + work.slots)
        efficiency = EFFICIENCY.get(work.height, 1.0)
        gathered = 0 if work.gather is None else work.gather.numel()
        indexed = 0 if work.index is None else work.index.numel()
        cost += rows * (work.tile_columns * PAIR / efficiency + len(work.offsets) * SLOT)
        cost += gathered * GATHERED + indexed * INDEX
    return Program(n, first, tuple(works), executed, cost)


def _dense(relation: Relation, first: int) -> Program:
    """One tile of all rows over all keys."""
    rows = np.arange(first, relation.n)
    readable = np.zeros((len(rows), relation.n), bool)
    which, reads = relation.rows(rows)
    readable[which, reads] = True
    if not len(which):
        return Program(relation.n, first, (), 0, 0.0)
    work = Work(first, len(rows), 1, (Span(0, relation.n, moves=False),), veils=_veils(readable[None], 0))
    return _program(relation.n, first, [replace(work, empty=_empty(readable.sum(1) > 0))])


@dataclass(frozen=True)
class _Pieces:
    components: list[Component]
    offsets: tuple[int, ...]
    strips: list[Strip]  # too ragged for components: read row by row


def _split(relation: Relation, executor: str) -> _Pieces:
    """Sort the strips into components for tiles, offsets for slots, and strips to be read row by row."""
    components: list[Component] = []
    offsets: list[int] = []
    ragged: list[Strip] = []
    for strip in relation.disjoint_strips:
        clusters = _clusters(strip.offsets)
        if strip.everywhere and executor != "tiles":
            thin = [c for c in clusters if executor == "diagonals" or _thin(c)]
            # Kept as ranges until they are known to be few: full() has 2n − 1 diagonals.
            for low, high in np.concatenate([np.empty((0, 2), np.int64), *thin]).tolist():
                offsets += range(low, min(high, low + MAX_SLOTS + 1))
            clusters = [c for c in clusters if not (executor == "diagonals" or _thin(c))]
        elif executor == "diagonals":
            ragged.append(strip)
            continue
        parts = list(product(clusters, strip.readers.tolist(), strip.reads.tolist())) if _few(strip, clusters) else None
        if parts is None or len(components) + len(parts) > MAX_COMPONENTS:
            ragged.append(strip)
            continue
        for cluster, readers, reads in parts:
            bounds = int(cluster[0, 0]), int(cluster[-1, 1])
            components.append(Component(strip, bounds, tuple(readers), tuple(reads), solid=len(cluster) == 1))
    return _Pieces(components, tuple(sorted(offsets, reverse=True)), ragged)


def _few(strip: Strip, clusters: list[Ints]) -> bool:
    return len(clusters) * len(strip.readers) * len(strip.reads) <= MAX_COMPONENTS


def _clusters(offsets: Ints) -> list[Ints]:
    """Join intervals of offsets that lie closer together than a tile is tall: one band costs less than two."""
    gaps = offsets[1:, 0] - offsets[:-1, 1]
    return np.split(offsets, np.flatnonzero(gaps >= 64) + 1) if len(offsets) else []


def _thin(cluster: Ints) -> bool:
    """Whether a cluster of offsets costs less as slots than as a band of tiles 64 rows tall."""
    count = (cluster[:, 1] - cluster[:, 0]).sum()
    return bool(count * SLOT < PAIR * (63 + cluster[-1, 1] - cluster[0, 0]))


def _height(pieces: _Pieces, rows: int) -> int:
    """Return the tile height that computes the bands in the least time."""
    if not pieces.components:
        return SLOT_ROWS if pieces.offsets and not pieces.strips else 32

    def time(height: int) -> float:
        keys = sum(height + min(c.offsets[1] - c.offsets[0], c.reads[1] - c.reads[0]) for c in pieces.components)
        return float(keys / EFFICIENCY[height])

    return min((height for height in EFFICIENCY if height <= rows or height == 16), key=time)


def _work(
    n: int,
    start: int,
    stop: int,
    count: int,
    present: list[tuple[Component, int, int, int]],
    offsets: tuple[int, ...],
    loose: Loose,
    tile: int,
) -> Work:
    """Lay out tiles [tile, tile + count), which read alike; the first has rows [start, stop)."""
    height = stop - start
    present = [(c, _aligned(low, high) if kind == MOVING else low, high, kind) for c, low, high, kind in present]
    readable = [component.readable(start, stop, low, high) for component, low, high, _ in present]
    spans = tuple(Span(low, high - low, kind == MOVING) for _, low, high, kind in present)
    shared = readable[0] if len(readable) == 1 else np.concatenate([np.zeros((height, 0), bool), *readable], 1)
    veils = _veils(shared[None], 0)
    gather, hidden, index = lay_out(loose, tile, count, height, start)
    if hidden is not None:
        veils = (*veils, Veil(shared.shape[1], shared.shape[1] + hidden.shape[2], torch.from_numpy(hidden)))
    empty = None
    if not shared.any(1).all():  # some row may have nothing to read: look at its slots and loose keys too
        every = np.arange(start, start + count * height)
        reads = np.tile(shared.any(1), count) | (loose.degree[every - loose.first] > 0)
        for offset in offsets:
            reads |= (every >= offset) & (every < n + offset)
        empty = _empty(reads)
    return Work(start, height, count, spans, gather, veils, offsets, index, empty)


def _aligned(low: int, high: int) -> int:
    """Reach back for keys that nobody reads until a row of scores fills whole registers of 8 numbers."""
    start = high - -(-(high - low) // 8) * 8
    return start if start >= 0 else low


def _empty(reads: Bools) -> torch.Tensor | None:
    return None if reads.all() else torch.from_numpy(~reads)


def _veils(readable: Bools, at: int) -> tuple[Veil, ...]:
    """Cover the columns that some row may not read; the rest, often most of a window, is left alone."""
    hidden = ~readable
    closed = hidden.any((0, 1))
    if not closed.any():
        return ()
    fence = np.zeros(hidden.shape[2] + 2, bool)
    fence[1:-1] = closed
    edges = np.flatnonzero(fence[1:] != fence[:-1]).reshape(-1, 2)
    return tuple(Veil(at + a, at + b, torch.from_numpy(hidden[:, :, a:b])) for a, b in edges.tolist())
