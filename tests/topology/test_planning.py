"""The plan against the dense definition: every pair in exactly one part, full tiles full, and nothing left out."""

import math
import tracemalloc

import numpy as np
import pytest
from dense_topology import dense, sized_topologies
from hypothesis import given, settings
from hypothesis import strategies as st

import chorus.topology as ct
from chorus.errors import InputError


def executed(p: ct.Plan) -> np.ndarray:
    """How often each pair is computed, by following the plan's docstring."""
    times = np.zeros((p.n, p.n), int)
    for i in range(p.query_tiles):
        for s in range(p.indptr[i], p.indptr[i + 1]):
            for j in range(p.start[s], p.stop[s]):
                mask = p.tile_mask(i, j)
                rows, columns = min(p.tile, p.n - i * p.tile), min(p.tile, p.n - j * p.tile)
                assert not mask[rows:].any()
                assert not mask[:, columns:].any()
                if p.full[s]:
                    assert mask[:rows, :columns].all()
                times[i * p.tile :, j * p.tile :][:rows, :columns] += mask[:rows, :columns]
    for d in p.diagonals:
        t = np.arange(max(d, 0), min(p.n, p.n + d))
        times[t, t - d] += 1
    readers = np.repeat(np.arange(p.n), np.diff(p.gather_indptr))
    np.add.at(times, (readers, p.gather_indices), 1)
    return times


@given(sized_topologies(), st.sampled_from([1, 3, 8, 64]), st.sampled_from([0.01, 1.0, 16.0]), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_every_pair_is_computed_exactly_once(sized, tile, cost, layer):
    t, n = sized
    truth = dense(t, n, layer)
    for split in ("auto", "tiles"):
        p = ct.plan(t, n, tile, layer, split=split, diagonal_cost=cost)
        np.testing.assert_array_equal(executed(p), truth.astype(int))
        assert p.asked_edges == truth.sum()
        assert p.executed_edges >= p.asked_edges
        indptr, tiles, full = p.tiles
        assert indptr[-1] == len(tiles) == len(full)
        areas = [
            min(tile, n - i * tile) * min(tile, n - int(j) * tile)
            for i in range(p.query_tiles)
            for j in tiles[indptr[i] : indptr[i + 1]]
        ]
        assert sum(areas) == p.tile_edges
        if split == "tiles":
            assert p.executed_edges == p.tile_edges


@pytest.mark.parametrize("n", [127, 128, 129, 200])
@pytest.mark.parametrize(
    "spec",
    [
        "sliding_window(40) | sink_tokens(4) | logarithmic()",
        "causal()",
        "full() - sliding_window(9)",
        "random(6, seed=1) | sliding_window(16)",
        "random(6) | logarithmic()",
        "global_tokens(33).causal() | power(2)",
    ],
)
def test_larger_sizes(spec, n):
    t = ct.parse(spec)
    for tile in (16, 128):
        assert (executed(ct.plan(t, n, tile)) == dense(t, n, 0)).all()


def test_masks_of_many_tiles_at_once_are_the_masks_one_by_one():
    t = ct.parse("sliding_window(20) | random(3) | sink_tokens(2) | groups([[1, 80, 99]])")
    p = ct.plan(t, 100, 16, split="tiles")
    queries, keys = np.array([6, 0, 5, 6, 6]), np.array([6, 0, 0, 6, 5])
    for mask, i, j in zip(p.tile_mask(queries, keys), queries, keys, strict=True):
        np.testing.assert_array_equal(mask, p.tile_mask(int(i), int(j)))
    assert p.tile_mask(queries[:0], keys[:0]).shape == (0, 16, 16)


def test_a_band_is_few_spans_and_lone_offsets_are_diagonals():
    p = ct.plan(ct.sliding_window(512) | ct.sink_tokens(4) | ct.logarithmic(), 1 << 16, 128)
    assert p.diagonals.tolist() == [2**k for k in range(10, 16)]  # 512 shares a tile with the window
    middle = slice(p.indptr[100], p.indptr[101])
    assert list(zip(p.start[middle], p.stop[middle], p.full[middle], strict=True)) == [
        (0, 1, False),
        (96, 97, False),
        (97, 100, True),
        (100, 101, False),
    ]


def test_split_on_request():
    p = ct.plan(ct.logarithmic(), 4096, split="diagonals")
    assert p.executed_edges == p.asked_edges == p.diagonal_edges
    with pytest.raises(InputError, match=r"4,093 pairs of this topology lie on no whole diagonal"):
        ct.plan(ct.logarithmic() | ct.sink_tokens(1), 4096 + 11, split="diagonals")
    with pytest.raises(InputError, match=r"some pairs .* lie on no whole diagonal"):
        ct.plan(ct.random(3), 4096, split="diagonals")
    with pytest.raises(InputError, match="split must be"):
        ct.plan(ct.full(), 9, split="rows")
    with pytest.raises(InputError, match="diagonal_cost must be 0 or more"):
        ct.plan(ct.full(), 9, diagonal_cost=math.nan)
    with pytest.raises(InputError, match="tile must be at least 1"):
        ct.plan(ct.full(), 9, tile=0)
    with pytest.raises(InputError, match="numbered 0 to 1, got 2 to 2"):
        ct.plan(ct.full(), 9, tile=5).tile_mask(2, 0)
    with pytest.raises(InputError, match="would list 68,157,440 explicit edges"):
        ct.plan(ct.random(64), 1 << 20)


def test_auto_is_never_dearer_than_tiles_alone():
    for spec in (
        "logarithmic()",
        "sliding_window(300) | power(2)",
        "dilated(64, dilation=64)",
        "random(8)",
        "causal()",
    ):
        t = ct.parse(spec)
        assert ct.plan(t, 8192).cost <= ct.plan(t, 8192, split="tiles").cost, spec


def test_a_million_actors_in_little_memory():
    tracemalloc.start()
    p = ct.plan(ct.sliding_window(512) | ct.sink_tokens(4) | ct.logarithmic(), 1 << 20, 128)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6
    n, w = 1 << 20, 512
    lone = sum(n - 2**k for k in range(9, 20))
    assert p.diagonal_edges == lone - (n - 512)  # 512 shares a tile with the window
    sinks = sum(n - w - s for s in range(4)) - sum(4 for k in range(9, 20))
    assert p.asked_edges == n * w - w * (w - 1) // 2 + sinks + lone
