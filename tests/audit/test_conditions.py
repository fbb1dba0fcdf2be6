"""The seven conditions: formulas by hand, calibration on known graphs, and n/a that is never a pass."""

import re
from pathlib import Path

import numpy as np
import pytest

from chorus.audit import Coordination, Graph, Measured, Resource, Subject, audit, calibration_table, conditions, rewired
from chorus.audit import z_scores as z_scores_of
from chorus.audit.calibration import calibration, reference_graphs
from chorus.audit.conditions import even_share, mutual_information_share, selectivity, sparseness

DOCS = Path(__file__).parents[2] / "docs" / "audit.md"


def scores(subject: Subject) -> list[float | None]:
    return [condition.score for condition in conditions(subject, Measured(subject))]


def test_calibration() -> None:
    table = calibration(64)
    one, two_alone, two_all, three, four, five_alone, five_all, six, seven = (
        {name: row[k] for name, row in table.items()} for k in range(9)
    )
    # 1: everything reaches everything, but for two separate halves: 31 of 63 partners.
    assert one == pytest.approx(dict.fromkeys(table, 1) | {"disconnected": 31 / 63})
    # 2 is the activity's alone.
    assert set(two_alone.values()) == {1.0}
    assert set(two_all.values()) == {0.0}
    # 3: even load on ring, clique and halves; a star's hub handles what all others send.
    assert all(three[name] == pytest.approx(1) for name in ("ring", "clique", "disconnected"))
    assert three["star"] < 0.5 < three["scale-free"] < three["random"] < 1
    # 4: all but 2 of 64 ends of a star's decisions need the hub; a ring's inputs are far away (12 of 63 within 6).
    assert four["star"] == pytest.approx(2 / 64)
    assert four["ring"] == pytest.approx(12 / 63)
    assert four["clique"] == 1
    # 5: √ of global efficiency once selectivity is 1.
    assert five_alone["clique"] == pytest.approx(1)
    assert five_alone["star"] == pytest.approx(np.sqrt(0.5 + 0.5 * 2 / 64))
    assert five_alone["ring"] < five_alone["scale-free"] < five_alone["star"]
    assert set(five_all.values()) == {0.0}
    # 6: nothing is left of a star; a clique only loses what is removed, 2R = 63/64.
    assert six["star"] == 0
    assert six["clique"] == pytest.approx(63 / 64)
    assert six["scale-free"] < six["ring"] < six["random"] < six["clique"]
    # 7: the star has a centre, the ring is too slow, the halves never agree.
    assert max(seven["star"], seven["ring"], seven["disconnected"]) < 0.05
    assert seven["scale-free"] < seven["random"] < seven["clique"]


def test_the_documented_calibration_is_the_computed_one() -> None:
    assert calibration_table() in DOCS.read_text()


def test_formulas_by_hand() -> None:
    # Treves–Rolls: rates (3, 1): a = 4/5, (1 − a)/(1 − 1/2) = 0.4.
    assert sparseness(np.array([[3.0, 1.0]])) == pytest.approx(0.4)
    assert np.isnan(sparseness(np.zeros((2, 3))))
    # exp(H)/n of shares (1/2, 1/4, 1/4): H = 1.5 ln 2.
    assert even_share(np.array([2.0, 1.0, 1.0])) == pytest.approx(2**1.5 / 3)
    # Two addresses, answered rightly 3 times in 4: 1 − H(1/4)/ln 2.
    h = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert mutual_information_share(np.array([[3.0, 1.0], [1.0, 3.0]])) == pytest.approx(1 - h)
    assert mutual_information_share(np.array([[1.0, 1.0]])) is None
    # One element with 3 for its best stimulus and 1 for the other: (3 − 1)/(3 + 1).
    assert selectivity(np.array([[3.0], [1.0]]), np.array([0, 1])) == pytest.approx(0.5)


def test_nothing_is_scored_that_was_not_measured(make: type[Subject]) -> None:
    ring = make(6, [(k, (k + 1) % 6) for k in range(6)])
    report = audit(ring)
    assert [condition.score is None for condition in report.conditions] == [
        False,
        True,
        False,
        False,
        True,
        False,
        False,
    ]
    assert all(condition.reason for condition in report.conditions if condition.score is None)
    assert not report.complete
    assert report.exit_code(None, strict=True) == 3
    assert report.exit_code(None) == 0
    chain = make(3, [(0, 1), (1, 2)], directed=True)
    assert scores(chain)[6] is None  # nothing flows back
    apart = make(3, [])
    assert scores(apart)[2:] == [None, None, None, None, 0.0]


def test_activity_moves_conditions_two_three_and_five(make: type[Subject]) -> None:
    n = 8
    ring = [(k, (k + 1) % n) for k in range(n)]
    turns = make(n, ring, activity=np.eye(n), stimuli=np.arange(n))
    alone = make(n, ring, activity=np.eye(n)[[0] * n], stimuli=np.arange(n))
    found = conditions(turns, Measured(turns))
    # Sparse at each step and even in the long run: the two are shown side by side.
    assert (found[1].score, found[2].parts["activity"]) == (1, pytest.approx(1))
    assert found[2].parts["activity, each step alone"] == pytest.approx(1 / n)
    assert found[1].parts["sparseness of the long run"] == 0
    found = conditions(alone, Measured(alone))
    assert (found[1].score, found[2].score, found[4].score) == (1, pytest.approx(1 / n), 0)
    assert found[2].worst == "e0"


def test_declared_loads_and_the_least_of_them_count(make: type[Subject]) -> None:
    loads = {"traffic": np.ones(4), "state": np.array([1.0, 0, 0, 0])}
    subject = make(4, [(0, 1), (1, 2), (2, 3), (3, 0)], loads=loads)
    found = conditions(subject, Measured(subject))[2]
    assert found.score == pytest.approx(0.25)
    assert found.parts["traffic"] == pytest.approx(1)


def test_redundancy_sees_shared_resources_and_function(make: type[Subject]) -> None:
    clique = [(a, b) for a in range(6) for b in range(a)]
    shared = make(6, clique, resources=(Resource("key", ("e0", "e1", "e2", "e3", "e4", "e5")),))
    assert scores(shared)[5] == 0
    assert audit(shared).conditions[5].worst == "key"


def test_given_coordination_is_used(make: type[Subject]) -> None:
    share = np.array([0.5, 0.25, 0.25])
    given = Coordination(agreement=0.9, cost=20, total=100, share=share, how="counted")
    subject = make(3, [(0, 1), (1, 2), (2, 0)], coordination=given)
    assert scores(subject)[6] == pytest.approx(0.9 * 0.8 * 0.5)


def test_random_graphs_of_the_same_degrees() -> None:
    generator = np.random.default_rng(0)
    for name, graph in reference_graphs(40).items():
        other = rewired(graph, generator)
        assert np.array_equal(other.degree, graph.degree), name
        assert len(other.distinct) == other.m
    before = Graph.of(30, np.stack([np.arange(60) % 30, (np.arange(60) * 7 + 1) % 30], axis=1))
    after = rewired(before, generator)
    for side in (0, 1):
        count = [np.bincount(graph.distinct[:, side], minlength=30) for graph in (before, after)]
        assert np.array_equal(*count)
    assert {tuple(e) for e in after.edges.tolist()} != {tuple(e) for e in before.distinct.tolist()}


def test_z_scores_find_a_structure_that_degrees_do_not_explain(
    make: type[Subject], two_halves: list[tuple[int, int]]
) -> None:
    found = z_scores_of(make(16, two_halves), 20)
    # The halves hang together by two links; random graphs of the same degrees hang together everywhere.
    assert found[6]["z"] < -3
    assert found[6]["mean"] > found[6]["score"]
    ring = z_scores_of(make(12, [(k, (k + 1) % 12) for k in range(12)]), 5)
    assert ring[1]["score"] == 1


def test_docs_have_no_other_numbering() -> None:
    text = DOCS.read_text()
    for number in range(1, 8):
        assert re.search(rf"^### {number} ", text, re.MULTILINE)
