"""Decisions, betweenness, waists, cuts and attacks against definitions and networkx."""

from itertools import combinations

import networkx as nx
import numpy as np
import pytest

from chorus.audit import (
    Graph,
    attack_curve,
    betweenness,
    decisions,
    kernel,
    minimum_link_cut,
    minimum_vertex_cut,
    waist,
)
from chorus.audit.attacks import attack_order
from chorus.audit.communities import communities
from chorus.audit.paths import need_of


@pytest.fixture(params=["interpreted", "compiled"], autouse=True)
def speed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test on the Python text of the kernels, and on what numba makes of it."""
    monkeypatch.setattr(kernel, "COMPILE_FROM", 10**18 if request.param == "interpreted" else 0)


def random_graph(generator: np.random.Generator, *, directed: bool) -> tuple[Graph, nx.Graph]:
    n = int(generator.integers(3, 12))
    edges = [(int(a), int(b)) for a, b in generator.integers(0, n, (int(generator.integers(1, 28)), 2))]
    reference = nx.DiGraph() if directed else nx.Graph()
    reference.add_nodes_from(range(n))
    reference.add_edges_from((a, b) for a, b in edges if a != b)
    return Graph.of(n, edges, directed=directed), reference


@pytest.mark.parametrize("directed", [True, False])
def test_decisions_agree_with_removing_each(directed: bool) -> None:
    generator = np.random.default_rng(1)
    for _ in range(30):
        graph, reference = random_graph(generator, directed=directed)
        sources, sinks = (np.unique(generator.integers(0, graph.n, 4)) for _ in range(2))
        found = decisions(graph, sources, sinks, hops=2)
        pairs = [(s, t) for s in sources.tolist() for t in sinks.tolist() if s != t]
        joined = {pair: nx.shortest_path_length(reference, *pair) for pair in pairs if nx.has_path(reference, *pair)}
        assert (found.pairs, found.connected, found.near) == (
            len(pairs), len(joined), sum(steps <= 2 for steps in joined.values()),
        )  # fmt: skip
        assert found.efficiency == pytest.approx(sum(1 / steps for steps in joined.values()) / max(len(pairs), 1))
        for v in range(graph.n):
            rest = reference.copy()
            rest.remove_node(v)
            others = [pair for pair in joined if v not in pair]
            assert found.through[v] == len(others)
            assert found.need[v] == sum(not nx.has_path(rest, *pair) for pair in others)
            assert need_of(graph, v, sources, sinks) == pytest.approx(found.need_share[v])


@pytest.mark.parametrize("directed", [True, False])
def test_betweenness_is_networkx(directed: bool) -> None:
    generator = np.random.default_rng(2)
    for _ in range(25):
        graph, reference = random_graph(generator, directed=directed)
        want = nx.betweenness_centrality(reference, normalized=False)
        mine = betweenness(graph).through / (1 if directed else 2)
        np.testing.assert_allclose(mine, [want[v] for v in range(graph.n)], atol=1e-9)


def test_waist_of_an_hourglass() -> None:
    edges = [(a, 5) for a in range(5)] + [(5, 6)] + [(6, b) for b in range(7, 12)]
    found = waist(Graph.of(12, edges), np.arange(5), np.arange(7, 12))
    assert found is not None
    assert found.elements in ((5,), (6,))
    assert found.minimal
    assert found.covered == 1


def test_waist_needs_both_of_two_ways_and_counts_a_share() -> None:
    # Two middles share all paths evenly; 90 % needs both, half needs one.
    edges = [(a, m) for a in range(3) for m in (3, 4)] + [(m, b) for m in (3, 4) for b in range(5, 8)]
    graph = Graph.of(8, edges)
    both = waist(graph, np.arange(3), np.arange(5, 8))
    one = waist(graph, np.arange(3), np.arange(5, 8), share=0.5)
    assert both is not None
    assert one is not None
    assert (sorted(both.elements), both.minimal, len(one.elements), one.covered) == ([3, 4], True, 1, 0.5)


def test_no_waist_where_links_are_direct() -> None:
    assert waist(Graph.of(4, [(0, 2), (0, 3), (1, 2), (1, 3)]), np.array([0, 1]), np.array([2, 3])) is None


def parted(graph: nx.Graph, left: np.ndarray, right: np.ndarray, removed: tuple[int, ...]) -> bool:
    rest = graph.copy()
    rest.remove_nodes_from(removed)
    return not any(nx.has_path(rest, s, t) for s in left for t in right if s in rest and t in rest)


@pytest.mark.parametrize("directed", [True, False])
def test_vertex_cuts_are_the_smallest(directed: bool) -> None:
    generator = np.random.default_rng(3)
    checked = 0
    for _ in range(60):
        graph, reference = random_graph(generator, directed=directed)
        left = np.unique(generator.integers(0, graph.n, 2))
        right = np.setdiff1d(np.unique(generator.integers(0, graph.n, 2)), left)
        if not len(right):
            continue

        smallest = 0
        while not any(parted(reference, left, right, some) for some in combinations(range(graph.n), smallest)):
            smallest += 1
        cut = minimum_vertex_cut(graph, left, right, ends_may_fall=True)
        assert (0 if cut is None else len(cut.members)) == smallest
        assert cut is None or parted(reference, left, right, cut.members)
        checked += smallest > 0
    assert checked > 10


def test_link_cut_counts_parallel_links() -> None:
    graph = Graph.of(4, [(0, 1), (0, 1), (1, 2), (1, 2), (1, 2), (2, 3), (2, 3)], directed=False)
    cut = minimum_link_cut(graph, np.array([0]), np.array([3]))
    assert cut is not None
    assert cut.members in ((0, 1), (5, 6))
    assert minimum_vertex_cut(graph, np.array([0]), np.array([1]), ends_may_fall=False) is None  # neighbours


def test_groups_and_the_cut_of_two(two_halves: list[tuple[int, int]]) -> None:
    graph = Graph.of(16, two_halves, directed=False)
    groups = communities(graph)
    assert [group.tolist() for group in groups] == [list(range(8)), list(range(8, 16))]
    cut = minimum_vertex_cut(graph, groups[0], groups[1], ends_may_fall=True)
    assert cut is not None
    assert len(cut.members) == 2


@pytest.mark.parametrize("strategy", ["degree", "adaptive"])
def test_attack_curves_agree_with_recounting(strategy: str) -> None:
    generator = np.random.default_rng(4)
    for _ in range(30):
        graph, reference = random_graph(generator, directed=bool(generator.integers(2)))
        rest = nx.Graph(reference)
        curve, order = attack_curve(graph, strategy), attack_order(graph, strategy)
        for step, v in enumerate(order.tolist()):
            if strategy == "adaptive":
                assert rest.degree(v) == max(degree for _, degree in rest.degree())
            rest.remove_node(v)
            largest = max(map(len, nx.connected_components(rest)), default=0)
            assert curve.share[step + 1] == pytest.approx(largest / graph.n)
        assert curve.robustness == pytest.approx(curve.share[1:].mean())


def test_attack_tolerance_of_scale_free_networks() -> None:
    # Albert, Jeong, Barabási 2000: targeted removal breaks the scale-free network long before the random one; random
    # removal breaks neither.
    n = 2000
    free = Graph.of(n, np.array(nx.barabasi_albert_graph(n, 2, seed=1).edges), directed=False)
    even = Graph.of(n, np.array(nx.gnm_random_graph(n, free.m, seed=1).edges), directed=False)
    assert attack_curve(free, "degree").at(0.2) < 0.05 < 0.4 < attack_curve(even, "degree").at(0.2)
    assert attack_curve(free, "random", repeats=5).at(0.2) > 0.7
    assert attack_curve(free, "degree").robustness < 0.6 * attack_curve(even, "degree").robustness


def test_random_attack_is_seeded_and_has_a_spread() -> None:
    graph = Graph.of(60, np.array(nx.gnm_random_graph(60, 120, seed=1).edges), directed=False)
    first, again, other = (attack_curve(graph, "random", seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.share, again.share)
    assert not np.array_equal(first.share, other.share)
    assert first.spread is not None
    assert 0 < first.spread < 0.1
