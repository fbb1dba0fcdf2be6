"""What a layer costs: pairs, operations asked for and executed, keys to keep while decoding, depth of the computation.

E: pairs; n: actors; D: features over all heads; d = D / heads; k: the most keys that one actor reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from chorus.topology import intervals as iv
from chorus.topology.intervals import Intervals
from chorus.topology.planning import plan
from chorus.topology.relation import EDGE_LIMIT, Relation
from chorus.topology.terms import Ints, Sample, Strip
from chorus.topology.topology import Topology

_SAMPLED_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """The costs of one layer.

    Attributes:
        edges: pairs, exact, or a sampled estimate when `edges_interval` (95 %) is given.
        degree: the least, the mean and the most keys that an actor reads.
        attention_flops: 4 E D, the scores and the weighted sums of all heads.
        projection_flops: 8 n D**2, queries, keys, values and output.
        executed_pairs: what the plan computes, masked pairs included; None when too many pairs would have to be listed.
        decode_keys: the most past keys that must be kept at one time while decoding; None unless causal, or as above.
        depth: length of the critical path in binary operations.

    """

    layer: int
    edges: int
    edges_interval: tuple[int, int] | None
    degree: tuple[int, float, int]
    attention_flops: int
    projection_flops: int
    executed_pairs: int | None
    executed_flops: int | None
    decode_keys: int | None
    depth: int


def layer_cost(
    topology: Topology, n: int, layer: int, dim: int, heads: int, tile: int, seed: int, whole: bool
) -> LayerCost:
    """Work out one layer; `whole` allows listing the pairs of terms that have no closed form."""
    relation = topology.relation(n, layer)
    edges, interval, degree = _degrees(relation, whole, seed + layer)
    listed = not relation.others or (whole and relation.loose_bound() <= EDGE_LIMIT)
    executed = plan(topology, n, tile, layer).executed_edges if listed else None
    return LayerCost(
        layer=layer,
        edges=edges,
        edges_interval=interval,
        degree=degree,
        attention_flops=4 * edges * dim,
        projection_flops=8 * n * dim * dim,
        executed_pairs=executed,
        executed_flops=None if executed is None else 4 * executed * dim + 8 * n * dim * dim,
        decode_keys=decode_keys(relation) if listed and relation.causal_only else None,
        depth=critical_path(dim, heads, degree[2]),
    )


def critical_path(dim: int, heads: int, keys: int) -> int:
    """Count the binary operations on the longest chain of a layer, given processors without limit.

    Projection in and out, 1 + log2 D each; score, 1 + log2 d; softmax, two reductions over the keys and three single
    steps; weighted sum, 1 + log2 k. Sparsity takes little from it: it buys work, not depth.
    """

    def reduction(width: int) -> int:
        return math.ceil(math.log2(max(width, 1)))

    return 2 * (1 + reduction(dim)) + (1 + reduction(dim // heads)) + (2 * reduction(keys) + 3) + (1 + reduction(keys))


def decode_keys(relation: Relation) -> int:
    """Find the most past keys that are still to be read, at the worst moment of decoding left to right.

    The key of s must be kept while t > s are decoded, up to the last t that reads s.
    """
    n = relation.n
    last = np.full(n, -1, np.int64)
    for strip in relation.strips:
        keys, reader = _last_reader(strip)
        last[keys] = np.maximum(last[keys], reader)
    if relation.others:
        readers, reads = relation.loose_pairs("the last reader of every key")
        np.maximum.at(last, reads, readers)
    kept = np.flatnonzero(last > np.arange(n))
    begins = np.bincount(kept + 1, minlength=n + 2)[: n + 1]
    ends = np.bincount(last[kept] + 1, minlength=n + 2)[: n + 1]
    return int(np.cumsum(begins - ends).max())


def _last_reader(strip: Strip) -> tuple[Ints, Ints]:
    """For every key of the strip, the last actor that reads it, or -1."""
    keys = iv.values_of(strip.reads)
    last = np.full(len(keys), -1, np.int64)
    if len(strip.readers) <= len(strip.offsets):
        for a, b in strip.readers.tolist():
            reader = keys + _at_most(strip.offsets, b - 1 - keys)
            last = np.maximum(last, np.where(reader >= a, reader, -1))
    else:
        for low, high in strip.offsets.tolist():
            reader = _at_most(strip.readers, keys + high - 1)
            last = np.maximum(last, np.where(reader >= keys + low, reader, -1))
    return keys, last


def _at_most(a: Intervals, values: Ints) -> Ints:
    """For each value, the largest member that is not above it; far below zero if there is none."""
    place = np.searchsorted(a[:, 0], values, side="right") - 1
    found: Ints = np.where(place >= 0, np.minimum(values, a[np.maximum(place, 0), 1] - 1), -(1 << 60))
    return found


def _degrees(relation: Relation, whole: bool, seed: int) -> tuple[int, tuple[int, int] | None, tuple[int, float, int]]:
    """Return the pairs, their interval if sampled, and the least, mean and most an actor reads."""
    n = relation.n
    only = relation.others[0] if len(relation.others) == 1 and not relation.strips else None
    if isinstance(only, Sample):
        count = relation.count()
        return count, None, (1 + (0 if only.causal else min(only.r, n - 1)), count / n, 1 + min(only.r, n - 1))
    if not relation.others or whole:
        degrees = relation.degrees()
        count = int(degrees.sum())
        return count, None, (int(degrees.min()), count / n, int(degrees.max()))
    actors = np.sort(np.random.default_rng(seed).choice(n, min(n, _SAMPLED_ROWS), replace=False))
    which, _ = relation.rows(actors)
    degrees = np.bincount(which, minlength=len(actors))
    mean = float(degrees.mean())
    spread = 1.959964 * float(degrees.std(ddof=1)) / math.sqrt(len(actors))
    interval = (math.floor((mean - spread) * n), math.ceil((mean + spread) * n))
    return round(mean * n), interval, (int(degrees.min()), mean, int(degrees.max()))
