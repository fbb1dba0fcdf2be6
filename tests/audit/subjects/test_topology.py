"""A topology's edges are who reads whom."""

import pytest

from chorus.audit import build
from chorus.errors import InputError
from chorus.topology import parse


def test_a_topology_is_audited_as_it_says() -> None:
    subject = build("topology", "sliding_window(3)", actors=10)
    pairs = {(int(a), int(b)) for a, b in subject.graph.edges}
    topology = parse("sliding_window(3)")
    assert pairs == {(int(read), t) for t in range(10) for read in topology.neighbors(t, 0, 10) if read != t}
    with pytest.raises(InputError, match="no subject"):
        build("topologie")
