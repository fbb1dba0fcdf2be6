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


@given(sized_topologies(20), st.integers(1, 4), st.data())
@settings(max_examples=200, deadline=None)
def test_agrees_with_networkx(sized, layers, data):
    t, n = sized
    if n < 2:
        return
    reader = data.draw(st.integers(0, n - 1))
    read = data.draw(st.integers(0, n - 2).map(lambda s: s + (s >= reader)))
    graph = flow_graph(t, n, layers)
    found = ct.separation(t, n, layers, reader, read)
    assert found.direct == graph.has_edge(read, reader)
    assert found.disjoint == len(found.cut) + found.direct
    graph.remove_edges_from([(read, reader)])
    assert len(found.cut) == networkx.node_connectivity(graph, read, reader)
    assert not {reader, read} & set(found.cut)
    graph.remove_nodes_from(found.cut)
    assert not networkx.has_path(graph, read, reader)


@pytest.mark.parametrize(("reader", "read"), [(50, 3), (59, 0), (7, 6), (9, 3), (10, 3), (3, 50)])
def test_window_closed_form(reader, read):
    t, n = ct.sliding_window(8), 60
    found = ct.separation(t, n, 3, reader, read)
    searched = ct.separation(t | ct.graph([[read, reader]] if reader < read else []), n, 3, reader, read)
    assert (found.disjoint, len(found.cut), found.direct) == (searched.disjoint, len(searched.cut), searched.direct)


def test_hubs_are_named():
    assert ct.separation(ct.star(5), 30, 2, 20, 9) == ct.Separation(disjoint=1, direct=False, cut=(5,), hub=True)
    two = ct.separation(ct.global_tokens(2) | ct.sliding_window(1), 30, 2, 20, 9)
    assert (two.cut, two.hub) == ((0, 1), True)
    assert not ct.separation(ct.sliding_window(4), 30, 2, 20, 9).hub
    assert ct.separation(ct.graph([]), 5, 1, 0, 1) == ct.Separation(disjoint=0, direct=False, cut=(), hub=False)


def test_a_cell_of_a_sudoku_hangs_on_by_all_its_neighbours():
    t = ct.rows(9, 9) | ct.columns(9, 9) | ct.boxes(9, 9, 3, 3)
    found = ct.separation(t, 81, 4, 0, 80)
    assert (found.disjoint, found.direct, found.hub) == (20, False, False)


def test_bad_input():
    with pytest.raises(InputError, match="actor 3 is both ends"):
        ct.separation(ct.full(), 9, 3, 3, 3)
    with pytest.raises(InputError, match=r"has up to [\d,]+ edges, more than 4,000,000"):
        ct.separation(ct.sliding_window(512) | ct.logarithmic(), 10**6, 3, 999_999, 0)
    with pytest.raises(InputError, match=r"from 0 to 4,999 looked along more than 10,000,000 edges"):
        ct.separation(ct.sliding_window(512) | ct.logarithmic(), 5000, 3, 4999, 0)
