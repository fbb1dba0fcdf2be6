"""Path counts against integer matrix products, brute force and the published formulas."""

import math

import numpy as np
import pytest
from dense_topology import dense, sized_topologies
from hypothesis import given, settings
from hypothesis import strategies as st

import chorus.topology as ct
from chorus.errors import InputError
from chorus.topology import paths


def walks(t: ct.Topology, n: int, layers: int, convention: str) -> np.ndarray:
    """counts[reader, read] as products of integer matrices."""
    product = np.eye(n, dtype=object)
    for layer in range(layers + (convention == "displacement")):
        step = dense(t, n, layer).astype(object)
        product = (step + np.eye(n, dtype=object) if convention == "residual" else step) @ product
    return product


@given(sized_topologies(16), st.integers(0, 4), st.sampled_from(paths.CONVENTIONS))
@settings(max_examples=150, deadline=None)
def test_counts_agree_with_matrix_products(sized, layers, convention):
    t, n = sized
    truth = walks(t, n, layers, convention)
    for reader in {n - 1, n // 2}:
        assert ct.path_counts(t, n, layers, reader, convention) == truth[reader].tolist()
        for read in {0, n // 3, n - 1}:
            assert ct.count_paths(t, n, layers, reader, read, convention) == truth[reader, read]


@pytest.mark.parametrize("convention", paths.CONVENTIONS)
@pytest.mark.parametrize(
    "spec",
    [
        "sliding_window(5)",
        "per_layer([sliding_window(5), sliding_window(3), causal()])",
        "dilated(3, dilation=4)",
        "per_layer([dilated(3, dilation=4), dilated(2, dilation=4)])",
        "dilated(2, dilation=2**layer)",
        "sliding_window(9) - sliding_window(4)",
        "dilated(4, dilation=3) - sliding_window(1)",
        "logarithmic()",
        "graph([])",
    ],
)
def test_closed_forms_polynomials_and_products_agree(spec, convention):
    n, layers, t = 40, 6, ct.parse(spec)
    truth = walks(t, n, layers, convention)
    assert ct.path_counts(t, n, layers, n - 1, convention) == truth[n - 1].tolist()
    assert [ct.count_paths(t, n, layers, n - 1, s, convention) for s in range(n)] == truth[n - 1].tolist()
    assert ct.count_paths(t, n, layers, 3, 30, convention) == truth[3, 30]


def test_conventions_of_causal_attention():
    n, layers = 200, 7
    for p in (0, 1, 5, 150):
        count = {c: ct.count_paths(ct.causal(), n, layers, n - 1, n - 1 - p, c) for c in paths.CONVENTIONS}
        assert count["attention"] == math.comb(p + layers - 1, p)
        assert count["displacement"] == math.comb(p + layers, p)
        stay = 1 if p == 0 else 0
        assert count["residual"] == stay + sum(
            math.comb(layers, k) * math.comb(p + k - 1, p) for k in range(1, layers + 1)
        )


def test_window_counts_by_inclusion_and_exclusion():
    n, layers, w = 4096, 12, 64
    counts = ct.path_counts(ct.sliding_window(w), n, layers, n - 1)
    for p in (0, 63, 64, 500, 756, 757):
        formula = sum(
            (-1) ** k * math.comb(layers, k) * math.comb(p - k * w + layers - 1, layers - 1)
            for k in range(layers + 1)
            if p >= k * w
        )
        assert counts[n - 1 - p] == formula == ct.count_paths(ct.sliding_window(w), n, layers, n - 1, n - 1 - p)
    assert counts[n - 1 - 757] == 0


def test_a_count_that_no_float_can_hold():
    assert ct.count_paths(ct.causal(), 10**6 + 1, 100, 10**6, 0) == math.comb(10**6 + 99, 99)
    assert math.comb(10**6 + 99, 99).bit_length() == 1456


def test_dilated_by_powers_has_one_path_and_logarithmic_m_factorial():
    counts = ct.path_counts(ct.dilated(3, lambda layer: 3**layer), 729, 6, 728)
    assert counts == [1] * 729
    for m in range(1, 9):
        d = 2**m - 1
        t = ct.logarithmic() - ct.sliding_window(1)  # each of the m digits once, in any order
        assert ct.count_paths(t, 1024, m, 1023, 1023 - d) == math.factorial(m)


def test_bad_input():
    with pytest.raises(InputError, match="convention must be one of attention, displacement, residual, got 'all'"):
        ct.count_paths(ct.full(), 9, 3, 0, 0, "all")
    with pytest.raises(InputError, match=r"additions of big integers, more than 67,108,864"):
        ct.path_counts(ct.full(), 10**7, 48, 0)
    with pytest.raises(InputError, match=r"1,000,000 distances of up to .* bits"):
        ct.path_counts(ct.causal(), 10**6, 1000, 10**6 - 1)
    with pytest.raises(InputError, match="read must be one of the n = 9 actors 0 to 8, got 9"):
        ct.count_paths(ct.full(), 9, 3, 0, 9)
