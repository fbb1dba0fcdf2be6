"""Where sources are sampled, the intervals hold what was computed from all of them."""

import networkx as nx
import numpy as np

from chorus.audit import Graph, betweenness, decisions


def test_sampled_decisions_cover_the_exact_value() -> None:
    graph = Graph.of(400, np.array(nx.barabasi_albert_graph(400, 1, seed=3).edges), directed=False)
    exact = decisions(graph)
    drawn = decisions(graph, budget=60 * (graph.n + 3 * graph.arcs))
    assert exact.sampled is None
    assert drawn.sampled == 60
    worst = int(np.argmax(exact.need))
    assert abs(drawn.need_share[worst] - exact.need_share[worst]) <= 2 * drawn.need_margin[worst] + 1e-9
    assert 0 < drawn.need_margin[worst] < 0.2


def test_sampled_betweenness_has_an_interval_that_holds() -> None:
    graph = Graph.of(500, np.array(nx.barabasi_albert_graph(500, 2, seed=1).edges), directed=False)
    exact = betweenness(graph)
    inside = []
    for seed in range(10):
        drawn = betweenness(graph, seed=seed, budget=80 * (graph.n + 2 * graph.arcs))
        assert drawn.sampled == 80
        top = np.argsort(-exact.through)[:20]
        inside.append((np.abs(drawn.through - exact.through) <= drawn.margin)[top].mean())
    assert np.mean(inside) > 0.85
