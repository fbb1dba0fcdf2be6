"""The dense definition that every test compares with: one boolean matrix per pattern, written from its description."""

import math
import re

import numpy as np
from hypothesis import strategies as st

import chorus.topology as ct
from chorus.topology import Topology
from chorus.topology.pattern import Pattern
from chorus.topology.topology import Closed, Joined, PerLayer


def dense(t: Topology, n: int, layer: int) -> np.ndarray:
    """mask[reader, read], from the words of the definition and without the package's terms."""
    if isinstance(t, Joined):
        result = dense(t.parts[0], n, layer)
        for part in t.parts[1:]:
            other = dense(part, n, layer)
            result = {"|": result | other, "&": result & other, "-": result & ~other}[t.op]
        return result
    if isinstance(t, Closed):
        inner = dense(t.inner, n, layer)
        return np.tril(inner) if t.how == "causal" else inner | inner.T
    if isinstance(t, PerLayer):
        return dense(t.items[layer % len(t.items)], n, layer)
    assert isinstance(t, Pattern)
    values = [v.at(layer) if hasattr(v, "at") else v for v in t.values]
    if t.name == "random":  # its definition is its draw: tests/topology/test_sampling.py holds the distribution
        result = np.zeros((n, n), bool)
        for actor in range(n):
            result[actor, t.neighbors(actor, layer, n)] = True
        return result
    reads = READS[t.name]
    return np.array([[bool(reads(i, j, n, *values)) for j in range(n)] for i in range(n)])


def _is_power_of(base: int, d: int) -> bool:
    while d > 1 and d % base == 0:
        d //= base
    return d == 1


def _same(cover, i, j) -> bool:
    return any(i in group and j in group for group in cover)


READS = {
    "full": lambda i, j, n: True,
    "complete": lambda i, j, n: True,
    "causal": lambda i, j, n: j <= i,
    "sliding_window": lambda i, j, n, w: 0 <= i - j < w,
    "dilated": lambda i, j, n, w, d: i >= j and (i - j) % d == 0 and (i - j) // d < w,
    "logarithmic": lambda i, j, n, b: i == j or (i > j and _is_power_of(b, i - j)),
    "power": lambda i, j, n, p: any(i - j == k**p for k in range(n)),
    "global_tokens": lambda i, j, n, k: i < k or j < k,
    "sink_tokens": lambda i, j, n, m: j < m and j <= i,
    "groups": lambda i, j, n, cover: _same(cover, i, j),
    "rows": lambda i, j, n, h, w: i // w == j // w,
    "columns": lambda i, j, n, h, w: i % w == j % w,
    "boxes": lambda i, j, n, h, w, bh, bw: (i // w // bh, i % w // bw) == (j // w // bh, j % w // bw),
    "lattice": lambda i, j, n, h, w: abs(i // w - j // w) + abs(i % w - j % w) <= 1,
    "ring": lambda i, j, n, k: min((i - j) % n, (j - i) % n) <= k,
    "star": lambda i, j, n, hub: i == j or hub in (i, j),
    "graph": lambda i, j, n, edges: (i, j) in edges,
}


@st.composite
def patterns(draw, n: int) -> Topology:
    """A pattern that n actors can hold, with or without a schedule."""
    name = draw(st.sampled_from([*READS, "random"]))
    small = st.integers(1, max(1, min(n, 9)))
    if name in ("rows", "columns", "lattice", "boxes"):
        height = draw(st.sampled_from([h for h in range(1, n + 1) if n % h == 0]))
        width = n // height
        if name != "boxes":
            return getattr(ct, name)(height, width)
        box_height = draw(st.sampled_from([b for b in range(1, height + 1) if height % b == 0]))
        box_width = draw(st.sampled_from([b for b in range(1, width + 1) if width % b == 0]))
        return ct.boxes(height, width, box_height, box_width)
    actor = st.integers(0, n - 1)
    if name == "groups":
        return ct.groups(draw(st.lists(st.lists(actor, min_size=1, max_size=6), max_size=4)))
    if name == "graph":
        return ct.graph(draw(st.lists(st.tuples(actor, actor), max_size=12)))
    if name == "random":
        return ct.random(draw(small), draw(st.integers(0, 5)), draw(st.booleans()))
    if name == "dilated":
        schedules = [lambda layer: 2**layer, lambda layer: 3**layer + 1, lambda layer: 1 + layer % 3, 2, 5]
        return ct.dilated(draw(small), draw(st.sampled_from(schedules)))
    if name in ("sliding_window", "sink_tokens", "global_tokens"):
        size = draw(st.one_of(small, st.just(lambda layer: 2 * layer + 1), st.just(lambda layer: 2**layer)))
        return getattr(ct, name)(size)
    if name == "logarithmic":
        return ct.logarithmic(draw(st.integers(2, 5)))
    if name == "power":
        return ct.power(draw(st.integers(1, 4)))
    if name == "ring":
        return ct.ring(draw(small))
    if name == "star":
        return ct.star(draw(actor))
    return getattr(ct, name)()


def topologies(n: int):
    """Compositions of patterns: |, &, -, causal, symmetric, per_layer."""
    return st.recursive(
        patterns(n),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda ab: ab[0] | ab[1]),
            st.tuples(inner, inner).map(lambda ab: ab[0] & ab[1]),
            st.tuples(inner, inner).map(lambda ab: ab[0] - ab[1]),
            inner.map(lambda a: a.causal()),
            inner.map(lambda a: a.symmetric()),
            st.lists(inner, min_size=1, max_size=3).map(ct.per_layer),
        ),
        max_leaves=4,
    )


@st.composite
def sized_topologies(draw, limit: int = 40):
    """A topology and an n that it is meant for."""
    n = draw(st.one_of(st.integers(1, limit), st.sampled_from([1, 2, 16, 24, 36])))
    return draw(topologies(n)), n


def waring(p: int) -> int:
    """Waring's g(p) by Euler's formula: 4, 9, 19, 37 for p = 2 to 5."""
    return 2**p + math.floor(1.5**p) - 2


def caret_column(message: str) -> int:
    """How far right the caret of an error stands."""
    return len(re.search(r"\n( *)\^$", message)[1])
