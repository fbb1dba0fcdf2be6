"""The topology: what is said, independently of n. Patterns joined by |, &, -, .causal() and .symmetric()."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from numbers import Integral
from typing import TYPE_CHECKING

from chorus.errors import InputError

if TYPE_CHECKING:
    import networkx
    import numpy as np
    from jaxtyping import Bool, Int64
    from numpy.typing import NDArray

    from chorus.topology.relation import Relation

MAX_ACTORS = 1 << 31  # so that every count of pairs fits in 64 bits
MAX_DEPTH = 60  # nested operations: deeper than this was not written by a person, and would overflow the stack
MAX_LEAVES = 10_000
_BINDING = {"|": 1, "&": 2, "-": 3}  # as in Python: - before & before |


@dataclass(frozen=True)
class Topology(ABC):
    """Who may read whom: at layer l, actor t of n reads the set N(t, l). Actors and layers count from 0.

    Made by the patterns of `chorus.topology` and joined by `|`, `&`, `-`, `.causal()` and `.symmetric()`. Topologies
    are values: compared by what they say, hashable, and `parse(str(t)) == t`.

    >>> from chorus.topology import sliding_window, sink_tokens
    >>> t = sliding_window(3) | sink_tokens(1)
    >>> t.neighbors(6, layer=0, n=8)
    array([0, 4, 5, 6])
    >>> str(t)
    'sliding_window(3) | sink_tokens(1)'
    """

    depth: int = field(init=False, compare=False, default=1)  # of nested operations
    leaves: int = field(init=False, compare=False, default=1)  # patterns named

    @property
    @abstractmethod
    def period(self) -> int | None:
        """After how many layers the topology repeats: 1 if every layer is the same, None if it never repeats."""

    @abstractmethod
    def build(self, n: int, layer: int) -> Relation:
        """Return the pairs at one layer, not cached; callers use `relation`."""

    def relation(self, n: int, layer: int = 0) -> Relation:
        """Return the pairs (reader, read) at one layer among n actors, as a union of terms."""
        n, layer = whole("n", n, 1, MAX_ACTORS), whole("layer", layer, 0, 1 << 31)
        return _relation(self, n, layer % self.period if self.period else layer)

    # Set operations

    def __or__(self, other: Topology) -> Topology:
        return join("|", (self, other))

    def __and__(self, other: Topology) -> Topology:
        return join("&", (self, other))

    def __sub__(self, other: Topology) -> Topology:
        return join("-", (self, other))

    def causal(self) -> Topology:
        """Keep only what an actor reads of itself and of earlier actors.

        >>> from chorus.topology import full
        >>> full().causal().neighbors(2, layer=0, n=5)
        array([0, 1, 2])
        """
        return Closed("causal", self)

    def symmetric(self) -> Topology:
        """Let everyone who is read also read its reader.

        >>> from chorus.topology import sliding_window
        >>> sliding_window(2).symmetric().neighbors(2, layer=0, n=5)
        array([1, 2, 3])
        """
        return Closed("symmetric", self)

    def __repr__(self) -> str:
        return str(self)

    # What it says

    def neighbors(self, actor: int, layer: int, n: int) -> NDArray[np.int64]:
        """Return what one actor reads at one layer: int64, ascending."""
        return self.relation(n, layer).row(member("actor", actor, n))

    def to_csr(self, n: int, layer: int = 0) -> tuple[Int64[np.ndarray, "n_plus_1"], Int64[np.ndarray, "edges"]]:
        """Every pair as compressed rows: `indices[indptr[t]:indptr[t + 1]]` is what t reads, ascending.

        Raises:
            InputError: there are more than 2**25 pairs; the message gives the number.

        """
        return self.relation(n, layer).csr()

    def mask(self, n: int, layer: int = 0) -> Bool[np.ndarray, "n n"]:
        """Lay out the definition as a dense boolean matrix, mask[reader, read]; for n up to 32,768."""
        return self.relation(n, layer).dense()

    def to_networkx(self, n: int, layer: int = 0) -> networkx.DiGraph[int]:
        """Make a networkx DiGraph on 0..n-1 with an edge from every reader to what it reads."""
        import networkx

        readers, reads = self.relation(n, layer).pairs("a list of all edges")
        graph: networkx.DiGraph[int] = networkx.DiGraph()
        graph.add_nodes_from(range(n))
        graph.add_edges_from(zip(readers.tolist(), reads.tolist(), strict=True))
        return graph


@dataclass(frozen=True, repr=False)
class Joined(Topology):
    """Topologies joined by one set operator, left to right: `a | b | c`, `a & b`, `a - b - c`."""

    op: str
    parts: tuple[Topology, ...]

    def __post_init__(self) -> None:
        _measure(self, self.parts)

    @property
    def period(self) -> int | None:
        """After how many layers it repeats."""
        return _common_period([part.period for part in self.parts])

    def build(self, n: int, layer: int) -> Relation:
        """Return the pairs at one layer."""
        result = self.parts[0].relation(n, layer)
        for part in self.parts[1:]:
            other = part.relation(n, layer)
            result = result | other if self.op == "|" else result & other if self.op == "&" else result - other
        return result

    def __str__(self) -> str:
        inner = []
        for part in self.parts:
            loose = isinstance(part, Joined) and _BINDING[part.op] <= _BINDING[self.op]
            inner.append(f"({part})" if loose else str(part))
        return f" {self.op} ".join(inner)


@dataclass(frozen=True, repr=False)
class Closed(Topology):
    """`inner.causal()` or `inner.symmetric()`."""

    how: str
    inner: Topology

    def __post_init__(self) -> None:
        _measure(self, (self.inner,))

    @property
    def period(self) -> int | None:
        """After how many layers it repeats."""
        return self.inner.period

    def build(self, n: int, layer: int) -> Relation:
        """Return the pairs at one layer."""
        inner = self.inner.relation(n, layer)
        return inner.causal() if self.how == "causal" else inner.symmetric()

    def __str__(self) -> str:
        inner = f"({self.inner})" if isinstance(self.inner, Joined) else str(self.inner)
        return f"{inner}.{self.how}()"


@dataclass(frozen=True, repr=False)
class PerLayer(Topology):
    """One topology for each layer, repeating: layer l takes items[l % len(items)]."""

    items: tuple[Topology, ...]

    def __post_init__(self) -> None:
        if not self.items:
            raise InputError("per_layer([]) names no topology: give at least one")
        _measure(self, self.items)

    @property
    def period(self) -> int | None:
        """After how many layers it repeats."""
        return _common_period([len(self.items), *[item.period for item in self.items]])

    def build(self, n: int, layer: int) -> Relation:
        """Return the pairs at one layer."""
        return self.items[layer % len(self.items)].relation(n, layer)

    def __str__(self) -> str:
        return f"per_layer([{', '.join(map(str, self.items))}])"


def whole(what: str, value: object, low: int, high: int) -> int:
    """Return the value as a Python integer in [low, high], or an error that names it."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{what} must be a whole number, got {value!r}")
    number = int(value)
    if not low <= number <= high:
        bound = f"at least {low:,}" if number < low else f"at most {high:,}"
        raise InputError(f"{what} must be {bound}, got {number:,}")
    return number


def member(what: str, value: object, n: int) -> int:
    """Return the value as one of the actors 0 to n - 1, or an error that names it."""
    n = whole("n", n, 1, MAX_ACTORS)
    actor = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None
    if actor is None or not 0 <= actor < n:
        shown = repr(value) if actor is None else f"{actor:,}"
        raise InputError(f"{what} must be one of the n = {n:,} actors 0 to {n - 1:,}, got {shown}")
    return actor


@lru_cache(maxsize=64)
def _relation(topology: Topology, n: int, layer: int) -> Relation:
    return topology.build(n, layer)


def join(op: str, parts: Sequence[Topology]) -> Topology:
    """Return the parts joined left to right by `|`, `&` or `-`, in canonical form: without needless nesting."""
    flat: list[Topology] = []
    for i, part in enumerate(parts):
        if not isinstance(part, Topology):
            raise InputError(f"{op} joins topologies, got {part!r}")
        same = isinstance(part, Joined) and part.op == op and (i == 0 or op != "-")
        flat += part.parts if same and isinstance(part, Joined) else [part]
    return Joined(op, tuple(flat))


def _measure(topology: Topology, parts: Sequence[Topology]) -> None:
    depth, leaves = 1 + max(part.depth for part in parts), sum(part.leaves for part in parts)
    if depth > MAX_DEPTH or leaves > MAX_LEAVES:
        raise InputError(
            f"a topology of {leaves:,} patterns nested {depth} deep; at most {MAX_LEAVES:,} and {MAX_DEPTH}: "
            "write a large graph as graph([[reader, read], ...])"
        )
    object.__setattr__(topology, "depth", depth)
    object.__setattr__(topology, "leaves", leaves)


def _common_period(periods: Sequence[int | None]) -> int | None:
    known = [period for period in periods if period is not None]
    return math.lcm(*known) if len(known) == len(periods) else None
