"""Everything that can be said of a topology before anything runs: reach, cost, thinnest place, name."""

from __future__ import annotations

from chorus.errors import InputError
from chorus.topology.cost import layer_cost
from chorus.topology.cuts import separation
from chorus.topology.naming import network_name
from chorus.topology.paths import CONVENTIONS, count_paths
from chorus.topology.reach import coverage, receptive_field
from chorus.topology.report import Analysis, Pair
from chorus.topology.topology import Topology, member, whole

_LISTED_PAIRS = 1 << 26  # pairs without a closed form that one analysis may list, over all layers
_MAX_LAYERS = 4096
_MAX_ANALYZED = 1 << 25  # arrays of 64-bit words as long as that; `plan` and `neighbors` go to 2**31


def analyze(
    topology: Topology,
    actors: int,
    layers: int,
    dim: int = 1024,
    heads: int = 16,
    target: int | None = None,
    pair: tuple[int, int] | None = None,
    tile: int = 128,
    seed: int = 0,
) -> Analysis:
    """Say what a topology reaches, costs and misses. Exact, but for what calls itself sampled.

    Args:
        topology: who may read whom.
        actors: n, up to 2**25.
        layers: how many layers.
        dim: features of an actor over all heads.
        heads: attention heads; they divide `dim`.
        target: whose receptive field to follow; the last actor unless given.
        pair: two actors, (source, target), to look at what joins them.
        tile: the side of a tile in the execution plan.
        seed: chooses the actors of what is sampled.

    >>> from chorus.topology import logarithmic
    >>> a = analyze(logarithmic(), actors=1024, layers=12)
    >>> a.coverage.layers, a.costs[0].edges, a.network
    (10, 10241, 'Chord fingers (distributed hash table)')

    """
    actors, layers = whole("actors", actors, 1, _MAX_ANALYZED), whole("layers", layers, 1, _MAX_LAYERS)
    dim, heads = whole("dim", dim, 1, 1 << 24), whole("heads", heads, 1, dim)
    if dim % heads:
        raise InputError(f"heads = {heads} does not divide dim = {dim}: take a divisor")
    target = actors - 1 if target is None else member("target", target, actors)
    distinct = range(min(layers, topology.period or layers))
    relations = [topology.relation(actors, layer) for layer in distinct]
    listed = sum(relation.loose_bound() for relation in relations) <= _LISTED_PAIRS
    return Analysis(
        spec=str(topology),
        network=network_name(topology),
        actors=actors,
        layers=layers,
        dim=dim,
        heads=heads,
        tile=tile,
        causal=all(relation.causal_only for relation in relations),
        costs=tuple(layer_cost(topology, actors, layer, dim, heads, tile, seed, listed) for layer in distinct),
        coverage=coverage(topology, actors, layers, seed),
        target=target,
        fields=tuple(receptive_field(topology, target, actors, layers)),
        pair=None if pair is None else _pair(topology, actors, layers, *pair),
    )


def _pair(topology: Topology, n: int, layers: int, source: int, target: int) -> Pair:
    source, target = member("pair: source", source, n), member("pair: target", target, n)
    fields = receptive_field(topology, target, n, layers)
    paths: dict[str, int] | None = None
    paths_refused, cut, cut_refused = None, None, None
    try:
        paths = {name: count_paths(topology, n, layers, target, source, name) for name in CONVENTIONS}
    except InputError as error:
        paths_refused = str(error)
    try:
        cut = separation(topology, n, layers, target, source)
    except InputError as error:
        cut_refused = str(error)
    return Pair(
        source=source,
        target=target,
        hops=next((k for k, field in enumerate(fields) if source in field), None),
        paths=paths,
        paths_refused=paths_refused,
        separation=cut,
        separation_refused=cut_refused,
    )
