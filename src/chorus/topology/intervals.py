"""Sets of integers as sorted, disjoint, half-open intervals: an int64 array of shape (k, 2), rows [start, stop).

Everything that is exact and cheap about a topology rests on this form: a window is one interval whatever its width, a
union of intervals is closed under every set operation, and nothing here depends on how many integers a set holds.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Intervals = NDArray[np.int64]

EMPTY: Intervals = np.empty((0, 2), np.int64)


def interval(start: int, stop: int) -> Intervals:
    """Return the integers start, ..., stop - 1."""
    return np.array([[start, stop]], np.int64) if start < stop else EMPTY


def from_values(values: ArrayLike) -> Intervals:
    """Return the set of the given integers, in any order."""
    points = unique(np.asarray(values, np.int64))
    return merge(np.stack([points, points + 1], 1))


def merge(pieces: Intervals) -> Intervals:
    """Any half-open intervals, overlapping and unordered, as a proper set."""
    pieces = pieces[pieces[:, 0] < pieces[:, 1]]
    if len(pieces) < 2:
        return pieces
    pieces = pieces[np.argsort(pieces[:, 0], kind="stable")]
    reach = np.maximum.accumulate(pieces[:, 1])
    first = np.flatnonzero(np.r_[True, pieces[1:, 0] > reach[:-1]])
    return np.stack([pieces[first, 0], reach[np.r_[first[1:] - 1, len(pieces) - 1]]], 1)


def union(sets: Iterable[Intervals]) -> Intervals:
    """Return the union of the sets."""
    return merge(np.concatenate([EMPTY, *sets]))


def intersect(a: Intervals, b: Intervals) -> Intervals:
    """Return the integers in both sets."""
    if len(a) == len(b) == 1:  # by far the most frequent
        ((low, high),), ((start, stop),) = a.tolist(), b.tolist()
        return interval(max(low, start), min(high, stop))
    if len(a) > len(b):
        a, b = b, a
    # For every interval of the shorter list, the run of intervals of the longer list that touch it.
    first = np.searchsorted(b[:, 1], a[:, 0], side="right")
    last = np.searchsorted(b[:, 0], a[:, 1], side="left")
    which, position = expand(last - first)
    inner = b[first[which] + position]
    outer = a[which]
    return np.stack([np.maximum(outer[:, 0], inner[:, 0]), np.minimum(outer[:, 1], inner[:, 1])], 1)


def subtract(a: Intervals, b: Intervals) -> Intervals:
    """Return the integers in a that are not in b."""
    if not len(a) or not len(b):
        return a
    if len(a) == len(b) == 1:
        ((low, high),), ((start, stop),) = a.tolist(), b.tolist()
        left = [[low, min(high, start)], [max(low, stop), high]]
        return np.array([piece for piece in left if piece[0] < piece[1]], np.int64).reshape(-1, 2)
    low, high = min(a[0, 0], b[0, 0]) - 1, max(a[-1, 1], b[-1, 1]) + 1
    gaps = np.stack([np.r_[low, b[:, 1]], np.r_[b[:, 0], high]], 1)
    return intersect(a, gaps[gaps[:, 0] < gaps[:, 1]])


def negate(a: Intervals) -> Intervals:
    """Return the set of -x for x in a."""
    return (1 - a)[::-1, ::-1]


def clip(a: Intervals, start: int, stop: int) -> Intervals:
    """Return the integers of a that are in [start, stop)."""
    return intersect(a, interval(start, stop))


def size(a: Intervals) -> int:
    """How many integers are in the set."""
    return int(a[0, 1] - a[0, 0]) if len(a) == 1 else int((a[:, 1] - a[:, 0]).sum())


def contains(a: Intervals, values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """For each value, whether it is in the set."""
    if not len(a):
        return np.zeros(values.shape, bool)
    place = np.searchsorted(a[:, 0], values, side="right") - 1
    inside: NDArray[np.bool_] = (place >= 0) & (values < a[np.maximum(place, 0), 1])
    return inside


def count_below(a: Intervals, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each value x, how many integers of the set are < x."""
    if not len(a):
        return np.zeros(values.shape, np.int64)
    before = np.r_[0, np.cumsum(a[:, 1] - a[:, 0])]
    place = np.searchsorted(a[:, 0], values, side="left")
    overshoot = np.maximum(np.r_[np.iinfo(np.int64).min // 2, a[:, 1]][place] - values, 0)
    count: NDArray[np.int64] = before[place] - overshoot
    return count


def values_of(a: Intervals) -> NDArray[np.int64]:
    """Every integer of the set, ascending."""
    which, position = expand(a[:, 1] - a[:, 0])
    values: NDArray[np.int64] = a[which, 0] + position
    return values


def unique(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the distinct values, ascending; numpy.unique hashes first, which is 30 times slower on pairs."""
    values = np.sort(values)
    distinct: NDArray[np.int64] = values[np.r_[True, values[1:] != values[:-1]][: len(values)]]
    return distinct


def expand(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each i, lengths[i] entries (i, 0), (i, 1), ...: the two columns."""
    lengths = np.maximum(lengths, 0)
    which = np.repeat(np.arange(len(lengths)), lengths)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def to_bits(a: Intervals) -> int:
    """Return the set, all of it >= 0, as a Python integer whose bit x says whether x is in the set."""
    if len(a) <= 64:
        bits = 0
        for start, stop in a.tolist():
            bits |= ((1 << (stop - start)) - 1) << start
        return bits
    flags = np.zeros(int(a[-1, 1]), bool)
    flags[values_of(a)] = True
    return flags_to_bits(flags)


def flags_to_bits(flags: NDArray[np.bool_]) -> int:
    """Return a boolean array as a Python integer: bit x is flags[x]."""
    return int.from_bytes(np.packbits(flags, bitorder="little").tobytes(), "little")


def bits_to_flags(bits: int, n: int) -> NDArray[np.bool_]:
    """Return a Python integer as a boolean array of its n lowest bits."""
    raw = np.frombuffer(bits.to_bytes((max(n, bits.bit_length()) + 7) // 8, "little"), np.uint8)
    return np.unpackbits(raw, bitorder="little")[:n].astype(bool)


def from_bits(bits: int) -> Intervals:
    """Return the set whose members are the one bits of a Python integer."""
    flags = bits_to_flags(bits, bits.bit_length() + 1)
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False].astype(np.int8)))
    return edges.reshape(-1, 2)
