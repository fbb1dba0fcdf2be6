"""Single points and links against published facts, removal one by one, and networkx."""

import re
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.audit import (
    Graph,
    articulation_points_and_bridges,
    core_numbers,
    immediate_dominators,
    kernel,
    read_graph,
    strong_articulation_points_and_bridges,
)
from chorus.audit.components import distances, strong_components


@pytest.fixture(params=["interpreted", "compiled"])
def speed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test on the Python text of the kernels, and on what numba makes of it."""
    monkeypatch.setattr(kernel, "COMPILE_FROM", 10**18 if request.param == "interpreted" else 0)


@pytest.mark.parametrize(
    ("file", "points", "bridges", "branches", "distinct"),
    [
        ("ieee14.csv", {"7"}, [{"7", "8"}], 20, 20),
        ("ieee57.csv", {"32"}, None, 80, 78),
        ("ieee118.csv", {"8", "9", "12", "68", "71", "85", "86", "100", "110"}, 9, 186, 179),
    ],
)
def test_ieee_cases(
    graphs: Path, file: str, points: set[str], bridges: list[set[str]] | int | None, branches: int, distinct: int
) -> None:
    subject = read_graph(graphs / file)
    found, links = articulation_points_and_bridges(subject.graph)
    assert {subject.elements[v] for v in found} == points
    assert (subject.graph.m, len(subject.graph.distinct)) == (branches, distinct)
    if isinstance(bridges, list):
        assert [{subject.elements[v] for v in subject.graph.edges[link]} for link in links] == bridges
    elif bridges is not None:
        assert len(links) == bridges


@pytest.mark.parametrize(
    ("file", "nodes", "edges", "points", "bridges"),
    [("Abilene.graphml", 11, 14, 0, 0), ("Geant2012.graphml", 40, 61, 8, 8), ("Nsfnet.graphml", 13, 15, 3, 3)],
)
def test_topology_zoo(graphs: Path, file: str, nodes: int, edges: int, points: int, bridges: int) -> None:
    graph = read_graph(graphs / file).graph
    found, links = articulation_points_and_bridges(graph)
    assert (graph.n, graph.m, len(found), len(links)) == (nodes, edges, points, bridges)


def test_abilene_is_two_connected(graphs: Path) -> None:
    from chorus.audit import minimum_link_cut, minimum_vertex_cut

    graph = read_graph(graphs / "Abilene.graphml").graph
    everyone = range(graph.n)
    links, vertices = [], []
    for a in everyone:
        for b in everyone:
            if a < b:
                cut = minimum_link_cut(graph, np.array([a]), np.array([b]))
                links.append(len(cut.members) if cut else 0)
                cut = minimum_vertex_cut(graph, np.array([a]), np.array([b]), ends_may_fall=False)
                vertices += [len(cut.members)] if cut else []
    assert min(links) == 2
    assert min(vertices) == 2


def test_parallel_edges_are_no_bridge(graphs: Path) -> None:
    subject = read_graph(graphs / "Cogentco.gml")
    # The file does not say `multigraph 1`, so networkx refuses it; its pairs are plain enough to read here.
    pairs = re.findall(r"source (\d+)\s+target (\d+)", (graphs / "Cogentco.gml").read_text())
    reference = nx.MultiGraph(pairs)
    simple = nx.Graph(reference)
    simple.remove_edges_from(nx.selfloop_edges(simple))
    parallel = {frozenset(e) for e in simple.edges if reference.number_of_edges(*e) > 1}
    want = [e for e in nx.bridges(simple) if frozenset(e) not in parallel]
    points, links = articulation_points_and_bridges(subject.graph)
    assert len(parallel) == 2
    assert len(links) == len(want)
    assert len(points) == len(set(nx.articulation_points(simple)))


def test_two_parallel_links_hold_where_one_would_not() -> None:
    single = Graph.of(3, [(0, 1), (1, 2)], directed=False)
    double = Graph.of(3, [(0, 1), (0, 1), (1, 2)], directed=False)
    assert articulation_points_and_bridges(single)[1].tolist() == [0, 1]
    assert articulation_points_and_bridges(double)[1].tolist() == [2]


digraphs = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=min(3 * n, n * n))
    )
)


def strong_count(n: int, edges: list[tuple[int, int]], without: int | None = None) -> int:
    graph = nx.DiGraph()
    graph.add_nodes_from(v for v in range(n) if v != without)
    graph.add_edges_from(e for e in edges if without not in e)
    return int(nx.number_strongly_connected_components(graph))


@settings(max_examples=120, deadline=None)
@given(digraphs)
def test_strong_points_and_bridges_agree_with_removing_each(case: tuple[int, list[tuple[int, int]]]) -> None:
    n, edges = case
    graph = Graph.of(n, edges)
    points, bridges = strong_articulation_points_and_bridges(graph)
    whole = strong_count(n, edges)
    component = strong_components(graph)
    alone = np.bincount(component)[component] == 1
    assert points.tolist() == [v for v in range(n) if strong_count(n, edges, v) > whole - alone[v]]
    assert bridges.tolist() == [k for k in range(len(edges)) if strong_count(n, edges[:k] + edges[k + 1 :]) > whole]


@pytest.mark.usefixtures("speed")
def test_kernels_agree_with_networkx() -> None:
    generator = np.random.default_rng(7)
    for _ in range(25):
        n = int(generator.integers(2, 25))
        edges = [(int(a), int(b)) for a, b in generator.integers(0, n, (int(generator.integers(1, 3 * n)), 2))]
        graph, reference = Graph.of(n, edges), nx.DiGraph(edges)
        reference.add_nodes_from(range(n))
        dominators = nx.immediate_dominators(reference, 0) | {0: 0}
        mine = immediate_dominators(graph, 0)
        assert {v: int(d) for v, d in enumerate(mine) if d >= 0} == dominators
        parts = {frozenset(np.flatnonzero(strong_components(graph) == c).tolist()) for c in strong_components(graph)}
        assert parts == {frozenset(part) for part in nx.strongly_connected_components(reference)}
        simple = reference.to_undirected()
        simple.remove_edges_from(list(nx.selfloop_edges(simple)))
        assert set(articulation_points_and_bridges(graph)[0].tolist()) == set(nx.articulation_points(simple))
        assert core_numbers(graph).tolist() == [nx.core_number(simple)[v] for v in range(n)]
        lengths = nx.single_source_shortest_path_length(reference, 0)
        assert distances(graph, [0]).tolist() == [lengths.get(v, -1) for v in range(n)]
        whole = strong_count(n, edges)
        alone = np.bincount(strong_components(graph))[strong_components(graph)] == 1
        want = [v for v in range(n) if strong_count(n, edges, v) > whole - alone[v]]
        assert strong_articulation_points_and_bridges(graph)[0].tolist() == want


def test_a_long_path_needs_no_recursion() -> None:
    n = 50_000
    ring = Graph.of(n, np.stack([np.arange(n), (np.arange(n) + 1) % n], axis=1))
    points, bridges = strong_articulation_points_and_bridges(ring)
    assert len(points) == len(bridges) == n
