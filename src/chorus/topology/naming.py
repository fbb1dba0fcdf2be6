"""What networking calls a pattern, so that what is known about the network can be looked up."""

from __future__ import annotations

from chorus.topology.expression import Expression
from chorus.topology.pattern import Pattern
from chorus.topology.topology import Closed, Joined, PerLayer, Topology

_NAMES = {
    "full": "complete graph",
    "complete": "complete graph",
    "causal": "transitive tournament (complete order)",
    "sliding_window": "one-way ring lattice, cut open (k-nearest-neighbour line)",
    "dilated": "circulant graph with one stride",
    "logarithmic": "Chord fingers (distributed hash table)",
    "power": "circulant graph of polynomial strides",
    "random": "gossip (random peer sampling)",
    "global_tokens": "star with several hubs",
    "sink_tokens": "broadcast from roots",
    "groups": "hypergraph of cliques (caveman graph)",
    "rows": "one axis of a rook's graph",
    "columns": "one axis of a rook's graph",
    "boxes": "blocks of cliques",
    "ring": "ring lattice",
    "star": "star",
    "lattice": "grid (mesh network)",
    "graph": "explicit graph",
}
_LOCAL = {"sliding_window", "ring"}


def network_name(topology: Topology) -> str:
    """Say what a topology is called as a network.

    >>> from chorus.topology import dilated, logarithmic, parse
    >>> network_name(logarithmic())
    'Chord fingers (distributed hash table)'
    >>> network_name(dilated(2, lambda layer: 2**layer))
    'butterfly (one stride a layer)'
    >>> network_name(parse("random(4) | sliding_window(8)"))
    'small world (Newman-Watts: a ring lattice with random shortcuts)'
    """
    if isinstance(topology, Pattern):
        if topology.name == "dilated" and isinstance(topology.values[1], Expression):
            return "butterfly (one stride a layer)"
        if topology.name == "global_tokens" and topology.values[0] == 1:
            return "star"
        return _NAMES[topology.name]
    if isinstance(topology, Closed):
        if topology.how == "symmetric" and isinstance(topology.inner, Pattern) and topology.inner.name in _LOCAL:
            return "ring lattice, cut open (k-nearest-neighbour line)"
        return f"{network_name(topology.inner)}, {'older actors only' if topology.how == 'causal' else 'both ways'}"
    if isinstance(topology, PerLayer):
        return "in turn by layer: " + "; ".join(dict.fromkeys(network_name(item) for item in topology.items))
    assert isinstance(topology, Joined)
    names = {part.name for part in topology.parts if isinstance(part, Pattern)}
    if topology.op == "|":
        if "random" in names and names & _LOCAL and names <= _LOCAL | {"random"}:
            return "small world (Newman-Watts: a ring lattice with random shortcuts)"
        if names in ({"rows", "columns"}, {"rows", "columns", "boxes"}) and len(topology.parts) == len(names):
            rook = "rook's graph (two-dimensional Hamming graph)"
            return rook if len(names) == 2 else f"Sudoku graph: {rook}, with blocks of cliques"
        return ", with ".join(dict.fromkeys(network_name(part) for part in topology.parts))
    joint = " within " if topology.op == "&" else " without "
    return joint.join(network_name(part) for part in topology.parts)
