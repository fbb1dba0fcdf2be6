"""Tiles of a component read what its definition says, and runs of tiles are as long as they can be."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.attention.loose import loose_pairs
from chorus.attention.planning import DENSE, _runs
from chorus.attention.program import ABSENT, FIXED, MOVING, ODD, Component
from chorus.topology import intervals as iv
from chorus.topology.relation import Relation
from chorus.topology.terms import Strip

N = 20


def intervals(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high - 1), st.integers(1, high - low)).map(lambda x: (x[0], min(sum(x), high)))


components = st.builds(
    lambda offsets, readers, reads: Component(
        Strip(N, iv.interval(*offsets), iv.interval(*readers), iv.interval(*reads)), offsets, readers, reads, solid=True
    ),
    intervals(1 - N, N), intervals(0, N), intervals(0, N),
)  # fmt: skip


@settings(max_examples=1000)
@given(components, intervals(0, N))
def test_a_tile_reads_what_the_definition_says(component: Component, tile: tuple[int, int]) -> None:
    t, s = np.arange(*tile)[:, None], np.arange(N)
    expected = component.strip.contains(t + 0 * s, s + 0 * t)
    kind = component.kind(*tile)
    assert (kind == ABSENT) == (not expected.any())
    if kind == ABSENT:
        return
    low, high = component.keys(*tile)
    keys = np.flatnonzero(expected.any(0))
    assert (low, high) == (keys[0], keys[-1] + 1)
    np.testing.assert_array_equal(component.readable(*tile, low, high), expected[:, low:high])
    if kind == MOVING:  # may be asked for keys before those, too
        wider = max(low - 7, 0)
        np.testing.assert_array_equal(component.readable(*tile, wider, high), expected[:, wider:high])
    (a, b), rows, size = component.offsets, expected.sum(1), component.reads[1] - component.reads[0]
    assert kind == (MOVING if (rows == b - a).all() else FIXED if (rows == size).all() else ODD)


@settings(max_examples=500)
@given(st.lists(components, max_size=3), st.sampled_from([1, 3, 8, 16, 64]), st.integers(0, N - 1))
def test_a_run_ends_where_reading_changes(some: list[Component], height: int, first: int) -> None:
    starts = range(first, N, height)
    loose = loose_pairs(Relation(N, ()), [], first, len(starts), height)
    tables = [[c.kind(t, min(t + height, N)) for c in some] for t in starts]
    reading = [None if ODD in kinds or t + height > N else kinds for t, kinds in zip(starts, tables, strict=True)]
    at, before = 0, None
    for start, stop, alone in _runs(some, loose, N, height):
        assert start == at
        assert all(kinds == reading[start] for kinds in reading[start:stop])
        assert alone == (reading[start] is None)
        assert reading[start] != before or alone
        assert stop - start <= DENSE // height or not alone
        at, before = stop, reading[start]
    assert at == len(starts)
