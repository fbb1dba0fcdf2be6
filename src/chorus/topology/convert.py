"""Topologies from other systems' conventions: FlashAttention windows, Hugging Face configurations, networkx graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chorus.errors import InputError
from chorus.topology.patterns import causal, full, graph, per_layer, sliding_window
from chorus.topology.topology import MAX_ACTORS, Topology, whole

if TYPE_CHECKING:
    import networkx


def from_flash(left: int, right: int = 0) -> Topology:
    """FlashAttention's `window_size=(left, right)`: `left` keys before the query, `right` after it, itself; -1: all.

    >>> from_flash(255)
    sliding_window(256)
    >>> from_flash(-1, 0), from_flash(-1, -1), from_flash(2, 2)
    (causal(), full(), sliding_window(3).symmetric())
    """
    left, right = whole("left", left, -1, MAX_ACTORS), whole("right", right, -1, MAX_ACTORS)
    before = causal() if left == -1 else sliding_window(left + 1)
    if right == 0:
        return before
    if left == right:
        return full() if left == -1 else before.symmetric()
    after = full() if right == -1 else sliding_window(right + 1).symmetric()
    return before | (after - causal())


def from_hf(sliding_window: int | None, layer_types: Sequence[str] | None = None) -> Topology:
    """Hugging Face's `config.sliding_window` (W keys, the query's own included) and `config.layer_types`.

    >>> from_hf(4096)
    sliding_window(4096)
    >>> from_hf(512, ["sliding_attention", "full_attention"])
    per_layer([sliding_window(512), causal()])
    """
    from chorus.topology.patterns import sliding_window as window

    local = causal() if sliding_window is None else window(sliding_window)
    if layer_types is None:
        return local
    known = {"sliding_attention": local, "full_attention": causal()}
    for i, name in enumerate(layer_types):
        if name not in known:
            raise InputError(f"layer_types[{i}] is {name!r}; known are {', '.join(known)}")
    return per_layer([known[name] for name in layer_types])


def from_networkx(network: networkx.Graph[int]) -> Topology:
    """Read a networkx graph on 0..n-1: an edge (u, v) lets u read v, and in an undirected graph v read u as well.

    >>> import networkx
    >>> from_networkx(networkx.path_graph(3, create_using=networkx.DiGraph))
    graph([[0, 1], [1, 2]])
    """
    n = network.number_of_nodes()
    for node in network.nodes:
        if isinstance(node, bool) or not isinstance(node, int) or not 0 <= node < n:
            raise InputError(
                f"node {node!r} is not one of 0 to {n - 1}: number the nodes first, as with "
                "networkx.convert_node_labels_to_integers"
            )
    edges = {(u, v) for u, v in network.edges()}
    if not network.is_directed():
        edges |= {(v, u) for u, v in edges}
    return graph(sorted(edges))
