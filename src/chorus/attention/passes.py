"""The forward and the backward pass of the attention kernel, for numba: see kernel.py, which alone imports this.

Arrays are float32 where not said otherwise. Letters: as in kernel.py; also G groups of 16 rows in a tile, c tiles.

    q, out, dq, dout   (N, R, Q, ·)
    k, v, dk, dv       (N, S, ·)
    tops, totals       (N·R·Q,): each row's largest score, and its sum of 2^(score − largest)
    work               int64 (4,): the first row, counted among the queries and among the actors, the height, c
    pieces             int64 (pieces, 4): the first key of the first tile, how far it moves with each tile, how many
                       keys, and its first column
    bits               uint16 (G, columns): which of the 16 rows read a column
    gather             int64 (c, keys): the numbers of a tile's gathered keys
    gather_bits        uint16 (c, G, keys)
    offsets            int64 (slots,): row t reads t − offset
    index              int64 (slots, c·height): the key that a row reads, or −1
    empty              bool (c·height,): which rows read nothing; empty itself when every row reads something
    factor             float32: a score is the product of a query and a key times this, as a power of 2
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from chorus.attention import lanes
from chorus.attention.lanes import (
    LANES,
    LINE,
    LOWEST,
    added,
    copied,
    divided,
    filled,
    noticed,
    products,
    pulled,
    scattered,
    slot_products,
    slot_scattered,
    slot_weighted,
    softened,
    transposed,
    weighted,
)
from chorus.compiling import njit

PIECE = 512  # columns whose scores are held at a time: 32 KiB
LN2 = 0.6931471805599453

# Numba keeps machine code until this file changes; the instructions' file has to count as well.
_EDITION = zlib.crc32(Path(lanes.__file__).read_bytes())


@njit
def _room(lines: int) -> Any:
    """Return memory for lines of 16 floats, as bytes to be used from `_aligned` on."""
    return np.empty(LINE * (lines + 1), np.uint8)


@njit
def _aligned(room: Any) -> Any:
    return (room.ctypes.data + LINE - 1) // LINE * LINE


@njit
def _read(seen: Any) -> tuple[int, int]:
    """Return [start, stop) of the columns that some row reads, a multiple of 8 where there are columns enough."""
    start, stop = 0, len(seen)
    while start < stop and seen[start] == 0:
        start += 1
    while start < stop and seen[stop - 1] == 0:
        stop -= 1
    return max(0, stop - (stop - start + 7) // 8 * 8), stop


@njit
def _place(
    keys: Any, seen: Any, first: int, size: int, actor: int, line: int, there: int, S: int, offsets: Any, index: Any
) -> int:
    """Write down the keys of slots [first, first + size) for 16 rows and their bits; return how many slots are used."""
    used = 0
    for number in range(first, first + size):
        bits = 0
        if number < len(offsets):
            key = actor - offsets[number]
            low, high = max(0, -key), min(there, S - key)
            bits = (1 << high) - (1 << low) if low < high else 0
            for r in range(LANES):
                keys[used, r] = min(max(key + r, 0), S - 1)
        else:
            for r in range(LANES):
                key = index[number - len(offsets), line + r] if r < there else -1
                keys[used, r] = max(key, 0)
                bits |= (key >= 0) << r
        seen[used] = bits
        used += bits > 0
    return used


def forward(D: int, E: int, columns: int, block: int, edition: int = _EDITION) -> Any:
    """Return the forward pass for keys of D and values of E features; blocks of sums as large as the registers hold.

    It returns NaN if a number of its rows, as queries, keys or values, is not finite, and 0 otherwise.
    """

    def run(
        q: Any, k: Any, v: Any, work: Any, pieces: Any, bits: Any, gather: Any, gather_bits: Any, offsets: Any,
        index: Any, empty: Any, factor: Any, begin: int, end: int, out: Any, tops: Any, totals: Any,
    ) -> Any:  # fmt: skip
        assert edition
        origin, actor, height, count = work
        R, Q, S, near, slots = q.shape[1], q.shape[2], k.shape[1], gather.shape[1], len(offsets) + len(index)
        room = _room(2 * D + E + PIECE + near * (D + E) // LANES)
        four = np.zeros((4, LANES), np.float32)
        keys, shown = np.empty((min(slots, PIECE), LANES), np.int64), np.empty(min(slots, PIECE), np.uint16)
        for task in range(begin, end):
            # Numba frees an array after its last use, addresses do not count: hence inside the loop.
            turned = _aligned(room)
            rows, sums = turned + LINE * D, turned + LINE * 2 * D
            scores = sums + LINE * E
            near_keys = scores + LINE * PIECE
            near_values = near_keys + 4 * D * near
            top, total = four.ctypes.data, four.ctypes.data + LINE
            fall, odd = four.ctypes.data + 2 * LINE, four.ctypes.data + 3 * LINE
            head, tile = divmod(task, count)
            n = head // R
            k_head, v_head = k.ctypes.data + 4 * D * n * S, v.ctypes.data + 4 * E * n * S
            for i in range(near):
                copied(D, 1, k_head + 4 * D * gather[tile, i], near_keys + 4 * D * i)
                copied(E, 1, v_head + 4 * E * gather[tile, i], near_values + 4 * E * i)
            for group in range(len(bits)):
                line = tile * height + LANES * group
                there = min(LANES, height - LANES * group)
                at = head * Q + origin + line
                copied(D, there, q.ctypes.data + 4 * D * at, rows)
                noticed(D, there, rows, odd)
                if head == n * R:  # nobody else looks at these keys
                    noticed(D, there, k_head + 4 * D * (actor + line), odd)
                    noticed(E, there, v_head + 4 * E * (actor + line), odd)
                transposed(D, factor, rows, turned)
                filled(np.float32(LOWEST), 1, top)
                filled(np.float32(0), 1, total)
                filled(np.float32(0), E, sums)
                for piece in range(len(pieces) + (near > 0)):
                    if piece < len(pieces):
                        first, step, length, column = pieces[piece]
                        seen = bits[group, column : column + length]
                        key, value = k_head + 4 * D * (first + step * tile), v_head + 4 * E * (first + step * tile)
                    else:
                        seen = gather_bits[tile, group]
                        key, value = near_keys, near_values
                    start, stop = _read(seen)
                    for c in range(start, stop, PIECE):
                        size = min(PIECE, stop - c)
                        bit = seen.ctypes.data + 2 * c
                        copied(LANES, 1, top, fall)
                        products(D, columns, turned, key + 4 * D * c, bit, size, scores, top)
                        softened(scores, size, top, total, fall)
                        weighted(E, block, scores, value + 4 * E * c, size, fall, sums)
                for c in range(0, slots, PIECE):
                    size = _place(
                        keys, shown, c, min(PIECE, slots - c), actor + line, line, there, S, offsets, index
                    )  # fmt: skip
                    copied(LANES, 1, top, fall)
                    for s in range(size):
                        where, bit = keys.ctypes.data + 8 * LANES * s, shown.ctypes.data + 2 * s
                        slot_products(D, factor, rows, where, k_head, bit, scores + LINE * s, top)
                    softened(scores, size, top, total, fall)
                    slot_weighted(E, columns, scores, keys.ctypes.data, v_head, size, fall, sums)
                for r in range(there):
                    if four[1, r] == 0:  # nothing was read, or only scores beyond the least number
                        nothing = len(empty) > 0 and empty[line + r]
                        four[0, r], four[1, r] = 0.0, 1.0 if nothing else np.nan
                    tops[at + r], totals[at + r] = four[0, r], four[1, r]
                divided(E, there, sums, total, out.ctypes.data + 4 * E * at)
        return four[3].sum()

    return njit(run)


def backward(D: int, E: int, columns: int, block: int, edition: int = _EDITION) -> Any:
    """Return the backward pass for keys of D and values of E features: dq is set, dk and dv are added to."""

    def run(
        q: Any, k: Any, v: Any, work: Any, pieces: Any, bits: Any, gather: Any, gather_bits: Any, offsets: Any,
        index: Any, empty: Any, factor: Any, begin: int, end: int, out: Any, tops: Any, totals: Any, dout: Any,
        dq: Any, dk: Any, dv: Any,
    ) -> None:  # fmt: skip
        assert edition
        origin, actor, height, count = work
        R, Q, S, near, slots = q.shape[1], q.shape[2], k.shape[1], gather.shape[1], len(offsets) + len(index)
        scale = factor * np.float32(LN2)
        room = _room(3 * D + 2 * E + 2 * PIECE + near * (D + E) // LANES * 2)
        three = np.ones((3, LANES), np.float32)
        keys, shown = np.empty((1 + min(slots, PIECE), LANES), np.int64), np.empty(min(slots, PIECE), np.uint16)
        for task in range(begin, end):
            turned = _aligned(room)
            turned_down, rows, down_rows = turned + LINE * D, turned + LINE * (D + E), turned + LINE * (2 * D + E)
            sums = turned + LINE * (2 * D + 2 * E)
            scores = sums + LINE * D
            downs = scores + LINE * PIECE
            near_keys = downs + LINE * PIECE
            near_values = near_keys + 4 * D * near
            near_dk = near_values + 4 * E * near
            near_dv = near_dk + 4 * D * near
            top, total, through = three.ctypes.data, three.ctypes.data + LINE, three.ctypes.data + 2 * LINE
            head, tile = divmod(task, count)
            n = head // R
            k_head, v_head = k.ctypes.data + 4 * D * n * S, v.ctypes.data + 4 * E * n * S
            dk_head, dv_head = dk.ctypes.data + 4 * D * n * S, dv.ctypes.data + 4 * E * n * S
            for i in range(near):
                copied(D, 1, k_head + 4 * D * gather[tile, i], near_keys + 4 * D * i)
                copied(E, 1, v_head + 4 * E * gather[tile, i], near_values + 4 * E * i)
            filled(np.float32(0), near * (D + E) // LANES, near_dk)
            for group in range(len(bits)):
                line = tile * height + LANES * group
                there = min(LANES, height - LANES * group)
                at = head * Q + origin + line
                if there < LANES:  # the rest takes part, with weight 0
                    filled(np.float32(0), D + E, rows)
                copied(D, there, q.ctypes.data + 4 * D * at, rows)
                copied(E, there, dout.ctypes.data + 4 * E * at, down_rows)
                transposed(D, factor, rows, turned)
                transposed(E, np.float32(1), down_rows, turned_down)
                for r in range(LANES):
                    row = at + min(r, there - 1)
                    keys[0, r], three[0, r], three[1, r] = row, tops[row], totals[row]
                slot_products(E, np.float32(1), down_rows, keys.ctypes.data, out.ctypes.data, 0, through, 0)
                filled(np.float32(0), D, sums)
                for piece in range(len(pieces) + (near > 0)):
                    if piece < len(pieces):
                        first, step, length, column = pieces[piece]
                        seen = bits[group, column : column + length]
                        key, value = k_head + 4 * D * (first + step * tile), v_head + 4 * E * (first + step * tile)
                        dkey, dvalue = dk_head + 4 * D * (first + step * tile), dv_head + 4 * E * (first + step * tile)
                    else:
                        seen = gather_bits[tile, group]
                        key, value, dkey, dvalue = near_keys, near_values, near_dk, near_dv
                    start, stop = _read(seen)
                    for c in range(start, stop, PIECE):
                        size = min(PIECE, stop - c)
                        bit = seen.ctypes.data + 2 * c
                        products(D, columns, turned, key + 4 * D * c, bit, size, scores, 0)
                        products(E, columns, turned_down, value + 4 * E * c, 0, size, downs, 0)
                        pulled(scores, downs, size, top, total, through, scale)
                        weighted(D, block, downs, key + 4 * D * c, size, 0, sums)
                        scattered(E, block, scores, down_rows, size, dvalue + 4 * E * c)
                        scattered(D, block, downs, rows, size, dkey + 4 * D * c)
                for c in range(0, slots, PIECE):
                    size = _place(
                        keys, shown, c, min(PIECE, slots - c), actor + line, line, there, S, offsets, index
                    )  # fmt: skip
                    for s in range(size):
                        where, bit = keys.ctypes.data + 8 * LANES * s, shown.ctypes.data + 2 * s
                        slot_products(D, factor, rows, where, k_head, bit, scores + LINE * s, 0)
                        slot_products(E, np.float32(1), down_rows, where, v_head, 0, downs + LINE * s, 0)
                    pulled(scores, downs, size, top, total, through, scale)
                    slot_weighted(D, columns, downs, keys.ctypes.data, k_head, size, 0, sums)
                    slot_scattered(E, scores, down_rows, keys.ctypes.data, size, dv_head)
                    slot_scattered(D, downs, rows, keys.ctypes.data, size, dk_head)
                copied(D, there, sums, dq.ctypes.data + 4 * D * at)
            for i in range(near):
                added(D, near_dk + 4 * D * i, dk_head + 4 * D * gather[tile, i])
                added(E, near_dv + 4 * E * i, dv_head + 4 * E * gather[tile, i])

    return njit(run)
