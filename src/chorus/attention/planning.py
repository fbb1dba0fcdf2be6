"""Compile a topology into a program: choose tiles or slots for each of its terms, and lay out what every tile reads."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby, pairwise, product

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
PAIR = 2.3  # one query with one key inside a tile: two products and the softmax
SLOT = 8.0  # one query with one key through a slice
INDEX = 12.0  # one query with one key through an index
GATHERED = 16.0  # bringing one key and its value to a tile

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
    loose = loose_pairs(relation, pieces.strips, first, -(-(n - first) // height), height)
    chosen = loose.choose(executor, height, PAIR, INDEX, GATHERED)
    if executor == "diagonals" and chosen.widest > MAX_SLOTS:
        raise InputError(
            f"executor diagonals cannot serve {topology} at n = {n:,}: one row reads {chosen.widest:,} keys that lie "
            f"on no diagonal, more than {MAX_SLOTS:,}; use tiles or auto"
        )
    works = []
    for i, j, alone in _runs(pieces.components, chosen, n, height):
        start = first + i * height
        stop, count = (min(first + j * height, n), 1) if alone else (start + height, j - i)
        kinds = [(component, component.kind(start, stop)) for component in pieces.components]
        present = [(component, *component.keys(start, stop), kind) for component, kind in kinds if kind != ABSENT]
        if present or pieces.offsets or chosen.way[i]:
            works.append(_work(n, start, stop, count, present, pieces.offsets, chosen, i))
    return _program(n, first, works)


def _runs(components: list[Component], loose: Loose, n: int, height: int) -> Iterator[tuple[int, int, bool]]:
    """Yield tiles [i, j) that make one work: they read alike (False), or are joined into one tall tile (True)."""
    turns = {0, (n - loose.first) // height, loose.tiles}  # the tiles at which reading may change
    for component in components:
        for low, high in component.bounds:
            if low < high:
                a, b = (low - loose.first) // height, (high - loose.first) // height
                turns |= {a, a + 1, b, b + 1}
    if len(loose.readers):
        turns.update((np.flatnonzero(np.diff(loose.way) | np.diff(loose.size)) + 1).tolist())

    def reading(run: tuple[int, int]) -> object:
        """How a tile reads or, where no two tiles read so, how many of them make one tall tile."""
        tile = run[0]
        start = loose.first + tile * height
        stop = min(start + height, n)
        kinds = [component.kind(start, stop) for component in components]
        if ODD in kinds or stop - start < height:
            return max(DENSE // height, 1) if loose.way[tile] == NOTHING else 1
        return kinds, loose.way[tile], loose.size[tile]

    for how, alike in groupby(pairwise(sorted(turn for turn in turns if 0 <= turn <= loose.tiles)), reading):
        runs = list(alike)
        i, j = runs[0][0], runs[-1][1]
        most = how if isinstance(how, int) else j - i
        for tile in range(i, j, most):
            yield tile, min(tile + most, j), isinstance(how, int)


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
    work = Work(first, len(rows), 1, (Span(0, relation.n, moves=False),), veils=_veils(readable))
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
        if executor != "tiles" and strip.everywhere:
            bands = []
            for cluster in clusters:
                if executor != "diagonals" and not _thin(cluster, SLOT):
                    bands.append(cluster)
                    continue
                # Kept as ranges until they are known to be few: full() has 2n − 1 diagonals.
                for low, high in cluster.tolist():
                    offsets += range(low, min(high, low + MAX_SLOTS + 1))
            clusters = bands
        elif executor == "diagonals" or (executor == "auto" and all(_thin(c, INDEX) for c in clusters)):
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
    if len(offsets) < 2:
        return [offsets] if len(offsets) else []
    gaps = offsets[1:, 0] - offsets[:-1, 1]
    return np.split(offsets, np.flatnonzero(gaps >= 64) + 1)


def _thin(cluster: Ints, each: float) -> bool:
    """Whether a cluster of offsets costs less as slots, at so many nanoseconds each, than as a band of tiles."""
    return iv.size(cluster) * each < PAIR * (32 + int(cluster[-1, 1] - cluster[0, 0]))


def _height(pieces: _Pieces, rows: int) -> int:
    """Return the tile height that computes the bands in the least time."""
    if not pieces.components:
        return SLOT_ROWS if pieces.offsets and not pieces.strips else 32
    count = len(pieces.components)
    widths = sum(min(c.offsets[1] - c.offsets[0], c.reads[1] - c.reads[0]) for c in pieces.components)
    heights = [height for height in EFFICIENCY if height <= rows or height == 16]
    return min(heights, key=lambda height: (count * height + widths) / EFFICIENCY[height])


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
    spans = tuple(Span(low, high - low, kind == MOVING) for _, low, high, kind in present)
    readable = [component.readable(start, stop, low, high) for component, low, high, _ in present]
    shared = readable[0] if len(readable) == 1 else np.concatenate([np.zeros((height, 0), bool), *readable], 1)
    veils = _veils(shared)
    gather, hidden, index = lay_out(loose, tile, count, height, start)
    if hidden is not None:
        veils = (*veils, Veil(shared.shape[1], shared.shape[1] + hidden.shape[2], torch.from_numpy(hidden)))
    empty = None
    # Where all is ODD, some row may have nothing to read: look at its slots and loose keys too.
    if all(kind == ODD for *_, kind in present) and not (some := shared.any(1)).all():
        every = np.arange(start, start + count * height)
        reads = np.tile(some, count)
        if len(loose.readers):
            reads |= loose.degree[every - loose.first] > 0
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


def _veils(readable: Bools) -> tuple[Veil, ...]:
    """Cover the columns that some row may not read; the rest, often most of a window, is left alone."""
    is_open = readable.all(0).tobytes() + b"\1"
    veils = []
    start = is_open.find(0)
    while start >= 0:
        stop = is_open.find(1, start)
        veils.append(Veil(start, stop, torch.from_numpy(~readable[None, :, start:stop])))
        start = is_open.find(0, stop)
    return tuple(veils)
