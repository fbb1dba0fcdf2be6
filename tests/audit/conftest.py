"""Graphs that several tests look at."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from chorus.audit import Graph, Subject

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "graphs"


@pytest.fixture
def make() -> Callable[..., Subject]:
    """Make a subject with the elements e0, e1, … from pairs of numbers."""

    def subject(n: int, edges: Sequence[tuple[int, int]], *, directed: bool = False, **more: Any) -> Subject:
        names = tuple(f"e{k}" for k in range(n))
        return Subject(name="graph", elements=names, graph=Graph.of(n, edges, directed=directed), **more)

    return subject


@pytest.fixture
def two_halves() -> list[tuple[int, int]]:
    """Two cliques of 8 that two separate links join: no articulation point, a cut of two."""
    inside = [(a, b) for half in (0, 8) for a in range(half, half + 8) for b in range(half, a)]
    return [*inside, (0, 8), (1, 9)]


@pytest.fixture
def graphs() -> Path:
    """The folder of public graphs; the test is skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip("../shared/data/graphs is absent")
    return DATA
