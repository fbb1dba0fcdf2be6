"""Counter-based random neighbourhoods: N(t, layer) from (seed, layer, t) alone, with nothing stored.

Each draw is the SplitMix64 finaliser of a counter (Steele, Lea & Flood, OOPSLA 2014), so any actor's neighbours can be
asked for in any order, on any machine, and are always the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chorus.topology.intervals import expand

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_BLOCK = 1 << 16  # draws at a time: what stays in the cache


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser, a bijection of 64-bit words in which every input bit reaches every output bit."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


def stream(seed: int, layer: int, actors: NDArray[np.int64]) -> NDArray[np.uint64]:
    """One 64-bit key for each actor at a layer."""
    key = mix(np.array([seed], np.uint64) + _GOLDEN)
    key = mix(key + np.array([layer], np.uint64) * _GOLDEN + _MIX_1)
    return mix(key + actors.astype(np.uint64) * _GOLDEN)


def draw(
    seed: int, layer: int, actors: NDArray[np.int64], population: NDArray[np.int64], r: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw min(r, population) distinct numbers below each actor's population, uniformly, as CSR with sorted rows.

    A row starts as r independent draws; repeats are replaced by further draws until all are distinct, which leaves
    every subset of size r equally likely. A row whose population is under 4 r ranks its candidates by hash instead.

    Returns:
        indptr (len(actors) + 1) and indices, both int64.

    """
    lengths = np.minimum(population, r)
    indptr = np.r_[0, np.cumsum(lengths)]
    indices = np.empty(indptr[-1], np.int64)
    crowded = population < 4 * r
    for rows in _blocks(np.flatnonzero(crowded), 4 * r):
        keys = stream(seed, layer, actors[rows])
        candidates = np.arange(int(population[rows].max(initial=0)))
        order = mix(keys[:, None] + candidates.astype(np.uint64) * _GOLDEN)
        order[candidates >= population[rows][:, None]] = np.iinfo(np.uint64).max
        ranked = np.argsort(order, axis=1, kind="stable")[:, :r]
        ranked[np.arange(ranked.shape[1]) >= lengths[rows][:, None]] = np.iinfo(np.int64).max
        ranked.sort(axis=1)
        which, position = expand(lengths[rows])
        indices[indptr[rows[which]] + position] = ranked[which, position]
    for rows in _blocks(np.flatnonzero(~crowded), r):
        keys = stream(seed, layer, actors[rows])
        drawn = np.sort(_below(keys[:, None], np.arange(r), population[rows][:, None]), axis=1)
        _replace_repeats(drawn, keys, population[rows])
        indices[indptr[rows][:, None] + np.arange(r)] = drawn
    return indptr, indices


def _blocks(rows: NDArray[np.int64], width: int) -> list[NDArray[np.int64]]:
    step = max(1, _BLOCK // max(width, 1))
    return [rows[i : i + step] for i in range(0, len(rows), step)]


def _below(keys: NDArray[np.uint64], counters: NDArray[np.int64], population: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw below each population from the upper 32 bits of a hash (Lemire, 2019), biased by < population / 2**32."""
    words = mix(keys + counters.astype(np.uint64) * _GOLDEN) >> np.uint64(32)
    return ((words * population.astype(np.uint64)) >> np.uint64(32)).astype(np.int64)


def _replace_repeats(drawn: NDArray[np.int64], keys: NDArray[np.uint64], population: NDArray[np.int64]) -> None:
    """Redraw, in place, what repeats in the sorted rows, until nothing does."""
    r = drawn.shape[1]
    rows = np.flatnonzero((drawn[:, 1:] == drawn[:, :-1]).any(axis=1))
    attempt = 1
    while len(rows):
        part = drawn[rows]
        row, column = np.nonzero(part[:, 1:] == part[:, :-1])
        fresh = _below(keys[rows[row]], attempt * r + column, population[rows[row]])
        part[row, column + 1] = fresh
        part.sort(axis=1)
        drawn[rows] = part
        rows = rows[(part[:, 1:] == part[:, :-1]).any(axis=1)]
        attempt += 1
