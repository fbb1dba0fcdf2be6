"""Valley-free routing against a search over states, and the DNS that shares one zone and one key."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chorus.audit import Subject, build
from chorus.audit.subjects.routing import Relations
from chorus.errors import InputError

Auditing = Callable[[Subject], Any]  # of the fixture `audited`


def valley_free_by_search(relations: Relations, start: int) -> set[int]:
    """All ends of paths that climb, cross at most once, and descend: a search over (system, phase)."""
    steps: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for provider, customer in relations.transit:
        steps.setdefault((customer, 0), set()).add((provider, 0))
        for phase in (0, 1):
            steps.setdefault((provider, phase), set()).add((customer, 1))
    for a, b in relations.peering:
        for x, y in ((a, b), (b, a)):
            steps.setdefault((x, 0), set()).add((y, 1))
    seen, frontier = {(start, 0)}, [(start, 0)]
    while frontier:
        frontier = [after for state in frontier for after in steps.get(state, ()) if after not in seen]
        seen.update(frontier)
    return {system for system, _ in seen}


def test_valley_free_reach_agrees_with_a_search() -> None:
    generator = np.random.default_rng(0)
    for _ in range(60):
        n = int(generator.integers(2, 12))
        pairs = [(int(a), int(b)) for a, b in generator.integers(0, n, (int(generator.integers(1, 20)), 2)) if a != b]
        # Providers have lower numbers here, so that nobody is its own provider.
        transit = tuple({(min(p), max(p)) for p in pairs[::2]})
        peering = tuple({(min(p), max(p)) for p in pairs[1::2]})
        relations = Relations(n, transit, peering)
        reach = relations.valley_free(range(n))
        for start in range(n):
            assert {k for k in range(n) if reach[start] >> k & 1} == valley_free_by_search(relations, start)


def test_a_valley_is_not_crossed_and_a_provider_cycle_is_one() -> None:
    # 2 buys from 0 and 1: it does not carry between them.
    relations = Relations(3, ((0, 2), (1, 2)), ())
    assert [reach.bit_count() for reach in relations.valley_free(range(3))] == [2, 2, 3]
    cycle = Relations(3, ((0, 1), (1, 0), (1, 2)), ())
    assert [reach.bit_count() for reach in cycle.valley_free(range(3))] == [3, 3, 3]
    assert relations.valley_free(range(3), frozenset({0})) == [0, 0b110, 0b110]


def test_no_root_letter_is_the_single_point_but_their_zone_is(audited: Auditing) -> None:
    subject = build("internet")
    function = subject.function
    assert function is not None
    whole = function.score(frozenset())
    assert whole == 1
    for letter in "abcdefghijklm":
        assert function.score(frozenset({f"root {letter}"})) == whole
    assert function.score(frozenset(f"root {letter}" for letter in "abcdefghijklm")) == 0
    for shared in ("root zone", "root signing key"):
        assert function.score(frozenset({shared})) == 0
    assert function.score(frozenset({"com zone"})) == pytest.approx(2 / 3)
    found = audited(subject)
    assert {elements[0] for elements, loss in found.values("AUD010").items() if loss == 1} == {
        "root zone",
        "root signing key",
    }
    worst = max(found.values("AUD001").values())
    assert worst < 0.2  # the links alone show no such thing


def test_as_relationship_file(tmp_path: Path, audited: Auditing) -> None:
    path = tmp_path / "as-rel.txt"
    path.write_text("# provider|customer|-1, peer|peer|0\n1|2|-1\n1|3|-1|bgp\n2|4|-1\n3|5|-1\n2|3|0\n")
    subject = build("internet", str(path))
    assert subject.elements == ("1", "2", "3", "4", "5")
    assert subject.function is not None
    assert subject.function.score(frozenset()) == 1
    # Without 1, the peering link still joins all; without 2, its customer is alone.
    assert subject.function.score(frozenset({"1"})) == pytest.approx(12 / 20)
    assert subject.function.score(frozenset({"2"})) == pytest.approx(6 / 20)
    audited(subject)
    for bad in ("1 2 -1\n", "1|2|5\n", "1|1|0\n", ""):
        path.write_text(bad)
        with pytest.raises(InputError):
            build("internet", str(path))
