"""Receptive fields and coverage against boolean matrix products, and against the published facts."""

import math

import numpy as np
import pytest
from dense_topology import dense, sized_topologies, waring
from hypothesis import given, settings
from hypothesis import strategies as st

import chorus.topology as ct
from chorus.errors import InputError
from chorus.topology import reach


def influence(t: ct.Topology, n: int, layers: int) -> list[np.ndarray]:
    """After 0, 1, ... layers: reach[reader, read], every actor keeping its own state."""
    found = [np.eye(n, dtype=bool)]
    for layer in range(layers):
        step = (dense(t, n, layer) | np.eye(n, dtype=bool)).astype(int)
        found.append(step @ found[-1].astype(int) > 0)
    return found


def check_coverage(c: ct.Coverage, truth: list[np.ndarray], causal: bool) -> None:
    n = len(truth[0])
    allowed = np.tril(np.ones((n, n), bool)) if causal else np.ones((n, n), bool)
    full = [bool(m[allowed].all()) for m in truth]
    assert c.layers == (full.index(True) if any(full) else None)
    assert c.allowed == allowed.sum()
    for pairs, matrix in zip(c.reached, truth, strict=False):
        assert pairs == matrix.sum()
    assert c.reached[-1] == truth[-1].sum()
    if c.never:
        assert not full[-1]


@given(sized_topologies(24), st.integers(0, 6))
@settings(max_examples=200, deadline=None)
def test_fields_and_coverage_agree_with_matrix_products(sized, layers):
    t, n = sized
    truth = influence(t, n, layers)
    for actor in {0, n // 2, n - 1}:
        fields = ct.receptive_field(t, actor, n, layers)
        assert len(fields) == layers + 1
        assert np.flatnonzero(truth[-1][actor]).tolist() == fields[-1].actors().tolist()
        # What the last k layers bring: the same with the schedule moved on.
        step = np.eye(n, dtype=bool)[actor]
        for k, layer in enumerate(reversed(range(layers)), 1):
            step = step | (dense(t, n, layer)[step].any(0))
            assert fields[k].actors().tolist() == np.flatnonzero(step).tolist()
    causal = all((np.tril(m) == m).all() for m in (dense(t, n, layer) for layer in range(layers)))
    check_coverage(ct.coverage(t, n, layers), truth, causal)


@pytest.mark.parametrize(
    ("spec", "engine"),
    [
        ("logarithmic()", "offsets"),
        ("sliding_window(5) | sink_tokens(3)", "offsets"),
        ("per_layer([sink_tokens(4), dilated(3, dilation=5), logarithmic()])", "offsets"),
        ("dilated(3, dilation=3**layer)", "offsets"),
        ("power(2)", "offsets"),
        ("ring(2)", "ring"),
        ("complete()", "ring"),
        ("full() - ring(4)", "ring"),
        ("global_tokens(2) | sliding_window(4)", "zones"),
        ("sliding_window(3).symmetric()", "zones"),
        ("star(hub=17) - global_tokens(1)", "zones"),
        ("per_layer([star(), sliding_window(2), full() & sink_tokens(9)])", "zones"),
        ("per_layer([causal(), sliding_window(2), full()])", "zones"),  # complete at once, if all were causal
        ("lattice(6, 10)", "all actors"),
        ("logarithmic().symmetric()", "all actors"),
        ("random(2, seed=3) | sliding_window(2)", "all actors"),
        ("rows(6, 10) | columns(6, 10)", "all actors"),
    ],
)
def test_every_engine(spec, engine):
    n, layers, t = 60, 9, ct.parse(spec)
    truth = influence(t, n, layers)
    c = ct.coverage(t, n, layers)
    assert c.method == engine
    causal = all((np.tril(dense(t, n, layer)) == dense(t, n, layer)).all() for layer in range(3))
    check_coverage(c, truth, causal)
    for actor in (0, 31, 59):
        assert (
            ct.receptive_field(t, actor, n, layers)[-1].actors().tolist() == np.flatnonzero(truth[-1][actor]).tolist()
        )


def test_sampled_coverage_says_so_and_is_right(monkeypatch):
    monkeypatch.setattr(reach, "ALL_ACTORS_LIMIT", 10)
    t = ct.random(2, seed=3) | ct.sliding_window(2)
    exact = [m[np.tril_indices(60)].all() for m in influence(t, 60, 30)]
    c = ct.coverage(t, 60, 30, seed=5)
    assert (c.method, c.seed, c.reached) == ("sampled", 5, None)
    assert c.layers <= exact.index(True)
    assert c.share[0] == 1.0
    assert 0.7 < c.share[1] < c.share[2] == 1.0
    short = ct.coverage(ct.random(1), 400, 3)
    assert short.layers is None
    assert short.share[0] < 0.5


def test_logarithmic_needs_the_digits_of_the_distance():
    for n in (2, 3, 64, 100, 1 << 20):
        assert ct.coverage(ct.logarithmic(), n, 48).layers == math.floor(math.log2(n))
    fields = ct.receptive_field(ct.logarithmic(), 1000, 1001, 10)
    hops = {d: next(k for k, f in enumerate(fields) if 1000 - d in f) for d in range(1001)}
    assert all(hops[d] == d.bit_count() for d in range(1001))


@pytest.mark.parametrize(("p", "n"), [(2, 5000), (3, 20_000), (4, 50_000)])
def test_powers_need_warings_number_of_layers(p, n):
    assert ct.coverage(ct.power(p), n, 48).layers == waring(p)


def test_windows_reach_one_plus_layers_times_w_minus_one():
    n = 1 << 20
    for w, layers in [(2, 48), (512, 48), (4096, 20)]:
        fields = ct.receptive_field(ct.sliding_window(w), n - 1, n, layers)
        assert [len(f) for f in fields] == [1 + k * (w - 1) for k in range(layers + 1)]
        assert fields[-1].intervals.tolist() == [[n - 1 - layers * (w - 1), n]]


def test_dilations():
    n = 5000
    assert len(ct.receptive_field(ct.dilated(3, lambda layer: 3**layer), n - 1, n, 6)[-1]) == 3**6
    doubling = ct.receptive_field(ct.dilated(4, lambda layer: 2**layer), n - 1, n, 8)[-1]
    assert doubling.intervals.tolist() == [[n - 1 - 3 * (2**8 - 1), n]]
    constant = ct.coverage(ct.dilated(9, 7), n, 1000)
    assert constant.never
    assert constant.layers is None
    assert ct.receptive_field(ct.dilated(9, 7), n - 1, n, 1000)[-1].actors().tolist() == list(range((n - 1) % 7, n, 7))


def test_hubs_at_the_front_relay_nothing_when_causal():
    n, k, w = 400, 4, 8
    hubs = (ct.global_tokens(k) | ct.sliding_window(w)).causal()
    sinks = ct.sink_tokens(k) | ct.sliding_window(w)
    for layers in (1, 3, 9):
        for actor in (7, 200, n - 1):
            field = ct.receptive_field(hubs, actor, n, layers)[-1]
            assert field.bits == ct.receptive_field(sinks, actor, n, layers)[-1].bits
        assert len(field) == 1 + layers * (w - 1) + k
    assert ct.coverage(ct.global_tokens(k) | ct.sliding_window(w), n, 9).layers == 2


def test_random_alone_leaves_gaps_that_a_window_closes():
    n, layers = 2048, 24
    alone = ct.coverage(ct.random(4), n, layers)
    assert alone.layers is None
    assert alone.reached[-1] < alone.allowed
    assert ct.coverage(ct.random(4) | ct.sliding_window(16), n, layers).layers is not None


def test_actor_sets():
    fields = ct.receptive_field(ct.sliding_window(3) | ct.sink_tokens(1), 9, 10, 1)
    assert repr(fields[-1]) == "{0, 7-9}"
    assert 7 in fields[-1]
    assert 6 not in fields[-1]
    scattered = ct.receptive_field(ct.power(2), 200, 201, 1)[-1]
    assert repr(scattered).endswith("and 6 more ranges}")


def test_bad_input():
    with pytest.raises(InputError, match="actor must be one of the n = 10 actors 0 to 9, got 10"):
        ct.receptive_field(ct.full(), 10, 10, 3)
    with pytest.raises(InputError, match="layers must be at least 0, got -1"):
        ct.coverage(ct.full(), 10, -1)
