"""Small worlds: Watts and Strogatz's middle of the range, networkx's figures, and the generated cortex."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from chorus.audit import Graph, Subject, build
from chorus.audit.communities import communities
from chorus.audit.subjects.worlds import clustering, modularity, participation, rich_club, small_worldness

Auditing = Callable[[Subject], Any]  # of the fixture `audited`


def test_watts_strogatz_is_small_world_in_the_middle_of_the_range() -> None:
    sigma = {}
    for p in (0.0, 0.05, 0.2, 1.0):
        graph = nx.watts_strogatz_graph(120, 8, p, seed=1)
        sigma[p] = small_worldness(Graph.of(120, np.array(graph.edges), directed=False))
    assert sigma[0.05] > 2
    assert sigma[0.2] > 2
    assert sigma[1.0] < 1.5
    assert sigma[0.0] < sigma[0.05]


def test_network_figures_agree_with_networkx() -> None:
    reference = nx.connected_caveman_graph(4, 6)
    graph = Graph.of(24, np.array(reference.edges), directed=False)
    groups = communities(graph)
    assert clustering(graph) == pytest.approx(nx.average_clustering(reference))
    assert modularity(graph, groups) == pytest.approx(
        nx.community.modularity(reference, [set(g.tolist()) for g in groups])
    )
    assert participation(graph, [np.arange(24)]) == pytest.approx(0)
    assert 0 < participation(graph, groups) < 0.2
    hubs = [(a, b) for a in range(4) for b in range(a)] + [(a, 4 + 4 * a + k) for a in range(4) for k in range(4)]
    hubs += [(4 + k, 4 + (k + 1) % 16) for k in range(16)]
    assert rich_club(Graph.of(20, hubs, directed=False), share=0.2) > 1.2


def test_the_cortex_is_sparse_selective_and_small_world(tmp_path: Path, audited: Auditing) -> None:
    subject = build("cortex")
    found = audited(subject)
    report = found.report
    scores = [condition.score for condition in report.conditions]
    assert None not in scores
    assert report.figures["small-worldness σ"] > 1.5
    assert report.figures["modularity Q"] > 0.3
    assert report.figures["function intact"] > 0.9
    # Sparse at each step, more even in the long run.
    parts = report.conditions[1].parts
    assert parts["sparseness per step"] > parts["sparseness of the long run"] + 0.1
    function = subject.function
    assert function is not None
    assert function.score(frozenset(subject.elements)) <= 0.5  # nothing left: chance
    path = tmp_path / "connectome.graphml"
    nx.write_graphml(nx.connected_watts_strogatz_graph(40, 6, 0.1, seed=1), path)
    other = build("cortex", str(path))
    assert other.activity is None
    assert float(other.figures["small-worldness σ"]) > 1
