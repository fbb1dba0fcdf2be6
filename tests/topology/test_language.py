"""Patterns, algebra, schedules and converters against the dense definition."""

import networkx
import numpy as np
import pytest
from dense_topology import dense, sized_topologies
from hypothesis import given, settings
from hypothesis import strategies as st

import chorus.topology as ct
from chorus.errors import InputError
from chorus.topology import intervals as iv


@given(sized_topologies(), st.integers(0, 4))
@settings(max_examples=250, deadline=None)
def test_every_composition_agrees_with_the_dense_definition(sized, layer):
    t, n = sized
    truth = dense(t, n, layer)
    np.testing.assert_array_equal(t.mask(n, layer), truth)
    actor = (7 * layer) % n
    np.testing.assert_array_equal(t.neighbors(actor, layer, n), np.flatnonzero(truth[actor]))
    indptr, indices = t.to_csr(n, layer)
    np.testing.assert_array_equal(indptr, np.r_[0, np.cumsum(truth.sum(1))])
    np.testing.assert_array_equal(indices, np.nonzero(truth)[1])
    relation = t.relation(n, layer)
    assert relation.count() == truth.sum()
    np.testing.assert_array_equal(relation.degrees(), truth.sum(1))
    some = np.arange(n) % 3 == 0
    image = iv.bits_to_flags(relation.image(iv.flags_to_bits(some)), n)
    np.testing.assert_array_equal(image, truth[some].any(0))


@given(sized_topologies())
@settings(max_examples=200, deadline=None)
def test_text_form_is_read_back(sized):
    t, _ = sized
    assert ct.parse(str(t)) == t
    assert str(ct.parse(str(t))) == str(t)
    assert hash(ct.parse(str(t))) == hash(t)


@pytest.mark.parametrize("n", [1, 2, 150, 200])
@pytest.mark.parametrize(
    "spec",
    [
        "sliding_window(1) | sink_tokens(1) | logarithmic()",
        "power(2) - sliding_window(1)",
        "(global_tokens(1) | ring(1)).causal()",
        "random(1, seed=4) & sliding_window(1).symmetric() | star()",
        "dilated(3, dilation=3**layer).symmetric()",
        "full() - random(1, causal=False)",
    ],
)
def test_odd_sizes(spec, n):
    t = ct.parse(spec)
    for layer in (0, 3):
        np.testing.assert_array_equal(t.mask(n, layer), dense(t, n, layer))


def test_a_million_actors_one_row():
    n = 1 << 20
    t = ct.sliding_window(512) | ct.sink_tokens(4) | ct.logarithmic()
    row = t.neighbors(n - 1, layer=7, n=n)
    assert row.tolist() == sorted(
        {*range(4), *range(n - 512, n), *(n - 1 - 2**k for k in range(20))},
    )
    assert t.relation(n, 0).count() == t.relation(n, 3).degrees().sum()


def test_global_tokens_made_causal_are_sinks():
    assert (ct.global_tokens(3).causal().mask(20) == ct.sink_tokens(3).mask(20)).all()


def test_schedules_differ_by_layer_and_repeat():
    t = ct.per_layer([ct.sliding_window(2), ct.causal(), ct.logarithmic()])
    assert t.period == 3
    assert (t.mask(9, 1) == ct.causal().mask(9)).all()
    assert (t.mask(9, 5) == ct.logarithmic().mask(9)).all()
    assert ct.dilated(2, lambda layer: 2**layer) == ct.parse("dilated(2, dilation=2**layer)")
    assert ct.dilated(2, lambda layer: 2**layer).period is None
    assert (ct.dilated(3, lambda layer: 3**layer).neighbors(80, 3, 81) == [26, 53, 80]).all()


def test_a_schedule_far_beyond_n_keeps_the_actor_itself():
    assert ct.dilated(4, lambda layer: 4**layer).neighbors(100, layer=900, n=128).tolist() == [100]


def test_flash_and_hugging_face_conventions_differ_by_one():
    n = 12
    i, j = np.indices((n, n))
    assert (ct.from_flash(4).mask(n) == ((i - j >= 0) & (i - j <= 4))).all()
    assert (ct.from_hf(4).mask(n) == ((i - j >= 0) & (i - j < 4))).all()
    assert (ct.from_flash(4, 2).mask(n) == ((j >= i - 4) & (j <= i + 2))).all()
    assert (ct.from_flash(1, 3).mask(n) == ((j >= i - 1) & (j <= i + 3))).all()
    assert (ct.from_flash(-1, 2).mask(n) == (j <= i + 2)).all()
    assert (ct.from_flash(2, -1).mask(n) == (j >= i - 2)).all()
    assert ct.from_hf(None) == ct.causal()


def test_networkx_there_and_back():
    t = ct.lattice(3, 4) | ct.graph([[0, 11]])
    network = t.to_networkx(12)
    assert sorted(network.edges) == [tuple(e) for e in np.argwhere(t.mask(12)).tolist()]
    assert (ct.from_networkx(network).mask(12) == t.mask(12)).all()
    both = ct.from_networkx(networkx.cycle_graph(5))
    assert (both.mask(5) == both.mask(5).T).all()
    with pytest.raises(InputError, match="'a' is not one of 0 to 1"):
        ct.from_networkx(networkx.Graph([("a", "b")]))


def test_topologies_are_values():
    assert ct.full() | ct.causal() == ct.parse("full()|causal()")
    assert len({ct.sliding_window(3), ct.sliding_window(3), ct.sliding_window(4)}) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ct.sliding_window(0), r"sliding_window: w must be at least 1, got 0"),
        (lambda: ct.sliding_window(-4), r"w must be at least 1, got -4"),
        (lambda: ct.sliding_window(2.5), r"w must be a whole number, got 2.5"),
        (lambda: ct.sliding_window(True), r"whole number, got True"),
        (lambda: ct.dilated(3, 0), r"dilation must be at least 1, got 0"),
        (lambda: ct.dilated(3, lambda layer: layer).mask(9), r"dilation is 0 at layer 0, must be at least 1"),
        (lambda: ct.dilated(3, lambda layer: [1, 2][layer]), r"use per_layer"),
        (lambda: ct.sliding_window(lambda layer: 4 if layer else 8), r"asks whether the layer is zero.*use per_layer"),
        (lambda: ct.sliding_window(lambda layer: 4 if layer == 3 else 8), r"gives 4 at layer 3, but 8 when called"),
        (lambda: ct.dilated(3, lambda layer: 9 ** (9**layer)).mask(9, 9), r"more than 4096 bits at layer 9"),
        (lambda: ct.sliding_window(30).mask(20), r"w = 30 is larger than n = 20: take at most 20"),
        (lambda: ct.random(30).mask(20), r"r = 30 is larger than n = 20"),
        (lambda: ct.graph([[0, 1], [7, 9]]).mask(8), r"actor 9 is not among the n = 8 actors 0 to 7"),
        (lambda: ct.graph([[0, -1]]), r"edges\[0\] must be at least 0, got -1"),
        (lambda: ct.graph([[0, 1, 2]]), r"edges\[0\] must be a pair"),
        (lambda: ct.groups([[0, 1], [5, 6]]).mask(5), r"2 actors, the first 5, are not among the n = 5"),
        (lambda: ct.groups([[]]), r"empty group"),
        (lambda: ct.groups(3), r"list of lists"),
        (lambda: ct.star(4).mask(3), r"hub is not one of the n = 3"),
        (lambda: ct.rows(9, 9).mask(80), r"over 81 actors, but n = 80"),
        (lambda: ct.boxes(9, 9, 2, 3).mask(81), r"2 x 3 boxes do not fill"),
        (lambda: ct.per_layer([]), r"at least one"),
        (lambda: ct.per_layer([3]), r"got 3 in it"),
        (lambda: ct.full() | 3, r"\| joins topologies, got 3"),
        (lambda: ct.full().mask(10**6), r"1,000,000,000,000 entries"),
        (lambda: ct.full().to_csr(10**6), r"1,000,000,000,000 explicit edges"),
        (lambda: (ct.random(500) & ct.causal()).mask(10), r"r = 500 is larger"),
        (lambda: (ct.random(500) & ct.causal()).neighbors(0, 0, 10**6), r"501,000,000 explicit edges"),
        (lambda: (ct.full() - ct.random(4)).neighbors(0, 0, 10**5), r"10,000,\d\d\d,\d\d\d explicit edges|explicit"),
        (lambda: ct.full().neighbors(9, 0, 9), r"actor must be one of the n = 9 actors 0 to 8, got 9"),
        (lambda: ct.full().neighbors(0, 0, 0), r"n must be at least 1, got 0"),
        (lambda: ct.receptive_field(ct.full(), 0, 0, 2), r"n must be at least 1, got 0"),
        (lambda: ct.count_paths(ct.full(), 4, 2, 4, 0), r"reader must be one of the n = 4 actors 0 to 3, got 4"),
        (lambda: ct.separation(ct.full(), 4, 2, 1, 2.5), r"read must be one of the n = 4 actors 0 to 3, got 2.5"),
        (lambda: ct.full().neighbors(0, -1, 9), r"layer must be at least 0"),
        (lambda: ct.full().relation(0), r"n must be at least 1"),
    ],
)
def test_bad_input_names_the_number_and_what_to_do(make, message):
    with pytest.raises(InputError, match=message):
        make()
