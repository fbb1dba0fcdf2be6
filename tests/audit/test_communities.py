"""Groups: published modularity, planted groups, and networkx's Louvain."""

from itertools import pairwise

import networkx as nx
import numpy as np
import pytest

from chorus.audit import Graph, kernel
from chorus.audit.communities import communities


def modularity(reference: nx.Graph, groups: list[np.ndarray]) -> float:
    return float(nx.community.modularity(reference, [set(group.tolist()) for group in groups], weight=None))


def of(reference: nx.Graph) -> Graph:
    return Graph.of(len(reference), np.array(reference.edges), directed=False)


def test_karate_club() -> None:
    # The best known modularity is 0.4198 (Brandes et al. 2008); Louvain reaches 0.4188 on most orders.
    club = nx.karate_club_graph()
    best = max(modularity(club, communities(of(club), seed=seed)) for seed in range(5))
    assert 0.41 < best < 0.4199


@pytest.mark.parametrize("compile_from", [10**18, 0], ids=["interpreted", "compiled"])
def test_planted_groups_are_found(compile_from: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "COMPILE_FROM", compile_from)
    reference = nx.planted_partition_graph(6, 40, 0.4, 0.01, seed=2)
    found = communities(of(reference))
    assert sorted(group.tolist() for group in found) == [list(range(40 * k, 40 * k + 40)) for k in range(6)]
    # What is parallel, directed or a loop makes no difference.
    edges = np.array(reference.edges)
    again = communities(Graph.of(240, np.concatenate([edges, edges[:, ::-1], [[3, 3], [7, 7]]])))
    assert [group.tolist() for group in again] == [group.tolist() for group in found]


def test_as_modular_as_networkx() -> None:
    for seed, reference in enumerate(
        [nx.barabasi_albert_graph(300, 3, seed=1), nx.watts_strogatz_graph(300, 6, 0.1, seed=1), nx.path_graph(50)]
    ):
        ours = modularity(reference, communities(of(reference), seed=seed))
        theirs = nx.community.modularity(reference, nx.community.louvain_communities(reference, seed=seed))
        assert ours > theirs - 0.03


def test_every_element_is_in_one_group() -> None:
    reference = nx.gnp_random_graph(60, 0.03, seed=5)
    reference.add_nodes_from(range(60, 64))  # isolated
    groups = communities(of(reference), seed=3)
    assert sorted(np.concatenate(groups).tolist()) == list(range(64))
    assert all(len(a) >= len(b) for a, b in pairwise(groups))
    assert [group.tolist() for group in communities(Graph.of(3, []))] == [[0], [1], [2]]
