"""Disjoint paths and cuts against networkx's flows and against the definition of a cut."""

import networkx
import numpy as np
import pytest
from dense_topology import dense, sized_topologies
from hypothesis import given, settings
from hypothesis import strategies as st

import chorus.topology as ct
from chorus.errors import InputError


def flow_graph(t: ct.Topology, n: int, layers: int) -> networkx.DiGraph:
    """Edges from the read to the reader, wherever some layer has one."""
    union = sum(dense(t, n, layer).astype(int) for layer in range(layers)) > 0
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from((s, r) for r, s in np.argwhere(union).tolist() if r != s)
    return graph


def check(t: ct.Topology, n: int, layers: int, reader: int, read: int) -> ct.Separation:
    """Compare with networkx's flow, and cut what is said to be a cut."""
    graph = flow_graph(t, n, layers)
    found = ct.separation(t, n, layers, reader, read)
    cut = found.cut.actors().tolist()
    assert found.direct == graph.has_edge(read, reader)
    assert found.disjoint == len(cut) + found.direct
    readers = graph.out_degree(cut)
    itself = sum(dense(t, n, layer).astype(int) for layer in range(layers)) > 0
    assert found.hub == (len(cut) > 0 and all(2 * (count + itself[v, v]) > n for v, count in readers))
    graph.remove_edges_from([(read, reader)])
    assert len(cut) == networkx.node_connectivity(graph, read, reader)
    assert not {reader, read} & set(cut)
    graph.remove_nodes_from(cut)
    assert not networkx.has_path(graph, read, reader)
    return found


@given(sized_topologies(20), st.integers(1, 4), st.data())
@settings(max_examples=100, deadline=None)
def test_agrees_with_networkx(sized, layers, data):
    t, n = sized
    if n < 2:
        return
    reader = data.draw(st.integers(0, n - 1))
    read = data.draw(st.integers(0, n - 2).map(lambda s: s + (s >= reader)))
    check(t, n, layers, reader, read)


LARGE = [
    "sliding_window(w)",
    "sliding_window(w).symmetric()",
    "sliding_window(w) | sink_tokens(3)",
    "sliding_window(w).symmetric() | global_tokens(2)",
    "sliding_window(w) | star(hub=h)",
    "(sliding_window(w) | ring(w)).symmetric() - global_tokens(1)",
    "dilated(w, dilation=g)",
    "dilated(w, dilation=g).symmetric()",
    "dilated(w, dilation=g) | sliding_window(2)",
    "dilated(2, dilation=g) | dilated(2, dilation=w)",
    "dilated(3, dilation=2**layer)",
    "logarithmic()",
    "logarithmic(base=g).symmetric()",
    "power(2) - sliding_window(1)",
    "sliding_window(w) | power(2)",
    "ring(w)",
    "ring(w) | logarithmic()",
    "ring(w) - ring(g)",
    "per_layer([sliding_window(w), dilated(3, dilation=g)])",
    "random(2) | sliding_window(w)",
]


@given(st.sampled_from(LARGE), st.integers(1, 6), st.integers(2, 5), st.integers(8, 70), st.integers(1, 3), st.data())
@settings(max_examples=150, deadline=None)
def test_shapes_that_have_a_short_cut_agree_with_networkx(spec, w, g, n, layers, data):
    hub = data.draw(st.integers(0, n - 1))
    values = {"(w": f"({w}", "=w": f"={w}", "=g": f"={g}", "(g": f"({g}", "=h": f"={hub}"}
    for name, value in values.items():
        spec = spec.replace(name + ")", value + ")").replace(name + ",", value + ",")
    reader = data.draw(st.one_of(st.just(n - 1), st.integers(0, n - 1)))
    read = data.draw(st.integers(0, n - 2).map(lambda s: s + (s >= reader)))
    check(ct.parse(spec), n, layers, reader, read)


@pytest.mark.parametrize(
    ("spec", "reader", "read", "disjoint"),
    [
        ("causal()", -1, 0, (1 << 20) - 1),
        ("sliding_window(512)", -1, 77, 511),
        ("sliding_window(512).symmetric() | global_tokens(4)", -1, 1000, 515),
        ("sliding_window(512) | sink_tokens(4)", -1, 100, 511),
        ("sliding_window(512) | star(hub=5000)", -1, 1000, 511),
        ("dilated(512, dilation=16).symmetric()", -1, 15, 511),
        ("dilated(512, dilation=16)", -1, 0, 0),
        ("logarithmic()", -1, 0, 20),
        ("sliding_window(5) | dilated(9, dilation=7)", -1, 0, 12),
        ("ring(2)", 500_000, 0, 4),
        ("full() - ring(4)", -1, 6, (1 << 20) - 9),  # as many as each reads
    ],
)
def test_a_million_actors(spec, reader, read, disjoint):
    n = 1 << 20
    assert ct.separation(ct.parse(spec), n, 3, reader % n, read).disjoint == disjoint


def test_hubs_are_named():
    five = ct.separation(ct.star(5), 30, 2, 20, 9)
    assert five == ct.Separation(disjoint=1, direct=False, cut=ct.ActorSet(1 << 5), hub=True)
    two = ct.separation(ct.global_tokens(2) | ct.sliding_window(1), 30, 2, 20, 9)
    assert (two.cut.actors().tolist(), two.hub) == ([0, 1], True)
    assert not ct.separation(ct.sliding_window(4), 30, 2, 20, 9).hub
    none = ct.separation(ct.graph([]), 5, 1, 0, 1)
    assert none == ct.Separation(disjoint=0, direct=False, cut=ct.ActorSet(0), hub=False)


def test_a_cell_of_a_sudoku_hangs_on_by_all_its_neighbours():
    t = ct.rows(9, 9) | ct.columns(9, 9) | ct.boxes(9, 9, 3, 3)
    found = ct.separation(t, 81, 4, 0, 80)
    assert (found.disjoint, found.direct, found.hub) == (20, False, False)


def test_bad_input():
    with pytest.raises(InputError, match="actor 3 is both ends"):
        ct.separation(ct.full(), 9, 3, 3, 3)
    with pytest.raises(InputError, match=r"a list of up to 53,477,376 random or explicit edges, more than 8,388,608"):
        ct.separation(ct.random(16), 1 << 20, 3, (1 << 20) - 1, 0)


def test_a_search_that_is_too_long_stops(monkeypatch):
    monkeypatch.setattr("chorus.topology.flow.WORK_LIMIT", 1_000_000)
    with pytest.raises(InputError, match="disjoint paths among 4,096 actors is too long"):
        ct.separation(ct.power(2), 4096, 3, 4095, 0)
