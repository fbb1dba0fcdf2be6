"""How many ways information can take from one actor to another: exact integers of any size.

A path goes up through the layers and may move along one pair of the topology in each. What counts as one path is a
convention, and the published formulas differ by it:

- "attention": L layers, each an attention step; staying is a step too if the actor reads itself. Causal attention over
  distance p: C(p + L - 1, p).
- "displacement": a step before every vertical move and one after the last, L + 1 in all: C(p + L, p).
- "residual": in each layer either the residual edge or an attention step: sum over k of C(L, k) C(p + k - 1, p).

When every layer is one set of offsets back, the counts are the coefficients of a product of polynomials (one factor a
layer, x**d for every offset d), and those of windows have a closed form. Otherwise they are propagated layer by layer.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chorus.errors import InputError
from chorus.topology import intervals as iv
from chorus.topology.intervals import Intervals
from chorus.topology.reach import MAX_LAYERS
from chorus.topology.relation import Relation
from chorus.topology.topology import MAX_ACTORS, Topology, member, whole

Convention = Literal["attention", "displacement", "residual"]
CONVENTIONS: tuple[Convention, ...] = ("attention", "displacement", "residual")

_WORK_LIMIT = 1 << 26  # additions of big integers: a minute
_BITS_LIMIT = 1 << 31  # of all coefficients of a product: 256 MB
_CLOSED_TERMS = 20_000


def count_paths(
    topology: Topology, n: int, layers: int, reader: int, read: int, convention: Convention = "attention"
) -> int:
    """Count the paths from the actor `read`, below the first layer, to the actor `reader`, above the last.

    Args:
        topology: who may read whom.
        n: actors.
        layers: attention layers.
        reader: where the paths end.
        read: where they begin.
        convention: what one path is: "attention", "displacement" or "residual"; see the module's first lines.

    Raises:
        InputError: the count would need too much work; the message says how much.

    >>> from chorus.topology import causal, sliding_window
    >>> count_paths(causal(), n=100, layers=3, reader=99, read=95)  # C(4 + 2, 4)
    15
    >>> count_paths(sliding_window(512), n=1_000_000, layers=100, reader=999_999, read=990_000).bit_length()
    798

    """
    reader, read = member("reader", reader, n), member("read", read, n)
    offsets = _offsets_of_every_step(topology, n, layers, convention)
    if offsets is None:
        return path_counts(topology, n, layers, reader, convention)[read]
    distance = reader - read
    if distance < 0:
        return 0
    closed = _closed_form(offsets, distance, convention == "residual")
    return _coefficients(offsets, distance + 1, convention == "residual")[distance] if closed is None else closed


def path_counts(
    topology: Topology, n: int, layers: int, reader: int, convention: Convention = "attention"
) -> list[int]:
    """Count the paths to one actor from every actor: n exact integers, by the actor they begin at.

    >>> from chorus.topology import sliding_window
    >>> path_counts(sliding_window(2), n=6, layers=3, reader=5)
    [0, 0, 1, 3, 3, 1]
    """
    reader = member("reader", reader, n)
    offsets = _offsets_of_every_step(topology, n, layers, convention)
    if offsets is not None:
        return _coefficients(offsets, reader + 1, convention == "residual")[::-1] + [0] * (n - 1 - reader)
    counts: NDArray[Any] = np.zeros(n, object)
    counts[reader] = 1
    for layer in reversed(range(_steps(layers, convention))):
        relation = topology.relation(n, layer)
        _refuse_work(relation, n, layers)
        spread = _spread(relation, counts)
        counts = spread + counts if convention == "residual" else spread
    return [int(count) for count in counts.tolist()]


def _steps(layers: int, convention: Convention) -> int:
    if convention not in CONVENTIONS:
        raise InputError(f"convention must be one of {', '.join(CONVENTIONS)}, got {convention!r}")
    return whole("layers", layers, 0, MAX_LAYERS) + (convention == "displacement")


def _offsets_of_every_step(topology: Topology, n: int, layers: int, convention: Convention) -> list[Intervals] | None:
    """Return the offsets of each step, if offsets back are all there is; equal ones are the same object."""
    n, steps = whole("n", n, 1, MAX_ACTORS), _steps(layers, convention)
    found: list[Intervals] = []
    for layer in range(steps):
        if topology.period and layer >= topology.period:
            found.append(found[layer - topology.period])
            continue
        relation = topology.relation(n, layer)
        strips = relation.strips
        if relation.others or len(strips) > 1 or not all(s.everywhere and s.offsets[0, 0] >= 0 for s in strips):
            return None
        found.append(strips[0].offsets if strips else iv.EMPTY)
    return found


def _distinct(steps: list[Intervals]) -> list[tuple[Intervals, int]]:
    """Return the different layers and how often each occurs; the order of the steps does not matter to a product."""
    times = Counter(offsets.tobytes() for offsets in steps)
    return [(np.frombuffer(raw, np.int64).reshape(-1, 2), count) for raw, count in times.items()]


def _closed_form(steps: list[Intervals], distance: int, residual: bool) -> int | None:
    """Return the coefficient of x**distance when every step is a run of one common stride, else None.

    A run a, a + g, ..., a + (w - 1) g is x**a (1 - x**(g w)) / (1 - x**g). All numerators are multiplied out as sparse
    polynomials in y = x**g; 1 / (1 - y)**L contributes C(m + L - 1, L - 1).
    """
    distinct = _distinct(steps)
    stride = 0
    runs = []
    for offsets, times in distinct:
        points = offsets[:, 0]
        gaps = np.diff(points)
        if not len(offsets):
            return None
        if len(offsets) == 1:
            step, count = 1, iv.size(offsets)
        elif iv.size(offsets) == len(offsets) and (gaps == gaps[0]).all():
            step, count = int(gaps[0]), len(points)
        else:
            return None
        start = int(points[0])
        stride = stride or (step if count > 1 else 0)
        if (count > 1 and step != stride) or (stride and start % stride) or (residual and start):
            return None
        runs.append((start, count, times))
    stride = stride or 1
    if distance % stride:
        return 0
    numerator = {0: 1}
    for start, count, times in runs:
        # residual: 1 + the run = (2 - y - y**w) / (1 - y)
        factor = Counter({0: 2, 1: -1}) if residual else Counter({start // stride: 1})
        factor.subtract({start // stride + count: 1})
        for _ in range(times):
            product: Counter[int] = Counter()
            for a, x in numerator.items():
                for b, y in factor.items():
                    if a + b <= distance // stride:
                        product[a + b] += x * y
            numerator = dict(product)
            if len(numerator) > _CLOSED_TERMS:
                return None
    total = len(steps)
    if total == 0:
        return int(distance == 0)
    return sum(x * math.comb(distance // stride - e + total - 1, total - 1) for e, x in numerator.items())


def _coefficients(steps: list[Intervals], length: int, residual: bool) -> list[int]:
    """Multiply the layers' polynomials modulo x**length."""
    from flint import fmpz_poly

    widest = sum(math.log2(max(2, iv.size(offsets) + residual)) for offsets in steps)
    if widest * length > _BITS_LIMIT:
        raise InputError(
            f"path counts to {length:,} distances of up to {widest:,.0f} bits each are more than {_BITS_LIMIT:,} bits: "
            "ask for a shorter distance or fewer layers"
        )
    product = fmpz_poly([1])
    for offsets, times in _distinct(steps):
        flags = np.zeros(length, np.int64)
        flags[iv.values_of(iv.clip(offsets, 0, length))] = 1
        flags[0] += residual
        product = product.mul_low(_power(fmpz_poly(flags.tolist()), times, length), length)
    found = [int(c) for c in product.coeffs()]
    return found + [0] * (length - len(found))


def _power(factor: Any, times: int, length: int) -> Any:
    """Raise a polynomial to a power modulo x**length by squaring."""
    result = None
    while times:
        if times & 1:
            result = factor if result is None else result.mul_low(factor, length)
        times >>= 1
        if times:
            factor = factor.mul_low(factor, length)
    return result


def _spread(relation: Relation, counts: NDArray[Any]) -> NDArray[Any]:
    """Sum, for each actor, the counts of all that read it; a band costs two look-ups in a running sum."""
    n = relation.n
    found: NDArray[Any] = np.zeros(n, object)
    for strip in relation.disjoint_strips:
        readers = np.zeros(n, object)
        chosen = iv.values_of(strip.readers)
        readers[chosen] = counts[chosen]
        running = np.concatenate([np.zeros(1, object), np.cumsum(readers)])
        reads = iv.values_of(strip.reads)
        for low, high in strip.offsets.tolist():
            found[reads] += running[np.clip(reads + high, 0, n)] - running[np.clip(reads + low, 0, n)]
    if relation.others:
        active = np.flatnonzero(counts != 0)
        which, reads = relation.loose_rows(active)
        np.add.at(found, reads, counts[active[which]])
    return found


def _refuse_work(relation: Relation, n: int, layers: int) -> None:
    work = relation.loose_bound() + sum(n + len(s.offsets) * iv.size(s.reads) for s in relation.disjoint_strips)
    if work * layers > _WORK_LIMIT:
        raise InputError(
            f"counting these paths needs {work * layers:,} additions of big integers, more than {_WORK_LIMIT:,}: "
            "take fewer actors or layers"
        )
