"""The counter-based random neighbourhoods: distinct, uniform, independent by row and layer, the same in any order."""

import numpy as np
import pytest

import chorus.topology as ct
from chorus.topology.sampling import draw


@pytest.mark.parametrize("r", [1, 2, 7, 40])
def test_rows_are_distinct_sorted_and_in_range(r):
    n = 400
    for layer in range(3):
        for actor in range(0, n, 13):
            row = ct.random(r, seed=9).neighbors(actor, layer, n)
            assert row[-1] == actor
            assert (np.diff(row) > 0).all()
            assert len(row) == min(actor, r) + 1
            everyone = ct.random(r, seed=9, causal=False).neighbors(actor, layer, n)
            assert len(everyone) == r + 1
            assert actor in everyone


def test_a_row_does_not_depend_on_what_is_asked_with_it():
    n = 500
    t = ct.random(5, seed=2)
    indptr, indices = t.to_csr(n, layer=3)
    for actor in (0, 4, 19, 20, 21, 257, 499):
        np.testing.assert_array_equal(t.neighbors(actor, 3, n), indices[indptr[actor] : indptr[actor + 1]])


@pytest.mark.parametrize(("population", "r"), [(10, 3), (40, 3)], ids=["ranked", "redrawn"])
def test_every_pair_of_neighbours_is_equally_likely(population, r):
    rows = 40_000
    actors = np.arange(rows)
    _, drawn = draw(1, 0, actors, np.full(rows, population), r)
    drawn = drawn.reshape(rows, r)
    together = np.zeros((population, population))
    for a in range(r):
        for b in range(a + 1, r):
            np.add.at(together, (drawn[:, a], drawn[:, b]), 1)
    counts = together[np.triu_indices(population, 1)]
    expected = rows * r * (r - 1) / (population * (population - 1))
    chi2 = ((counts - expected) ** 2 / expected).sum()
    freedom = len(counts) - 1
    assert abs(chi2 - freedom) < 5 * np.sqrt(2 * freedom)


def test_layers_and_seeds_are_independent():
    n, r = 3000, 8
    one, two, other = (
        set(map(tuple, np.argwhere(ct.random(r, seed=seed).mask(n, layer)).tolist()))
        for seed, layer in [(0, 0), (0, 1), (1, 0)]
    )
    diagonal = n
    expected = sum(min(t, r) ** 2 / max(t, 1) for t in range(n))
    for pair in (one & two, one & other):
        assert abs(len(pair) - diagonal - expected) < 6 * np.sqrt(expected)


def test_the_last_but_one_reaches_the_last_only_directly():
    """P = 1 - (1 - r/t)**L, the anchor's figure, over 2,000 seeds."""
    t, r, layers = 60, 4, 6
    hits = sum(
        any(t - 1 in ct.random(r, seed=seed).neighbors(t, layer, t + 1) for layer in range(layers))
        for seed in range(2000)
    )
    p = 1 - (1 - r / t) ** layers
    assert abs(hits / 2000 - p) < 5 * np.sqrt(p * (1 - p) / 2000)
