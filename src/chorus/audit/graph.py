"""The graph every analysis works on: integers, arrays, and both adjacency directions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chorus.errors import InputError

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Adjacency:
    """Compressed rows: the neighbours of v are `to[ptr[v]:ptr[v + 1]]`, reached over the edges `edge[...]`."""

    ptr: Ints
    to: Ints
    edge: Ints

    def of(self, vertex: int) -> Ints:
        """Return the neighbours of one vertex, parallel edges repeated."""
        return self.to[self.ptr[vertex] : self.ptr[vertex + 1]]


@dataclass(frozen=True, eq=False)
class Graph:
    """A directed or undirected multigraph on the vertices 0..n-1.

    Args:
        n: number of vertices.
        edges: (m, 2) int64, each row (source, target); in an undirected graph the order means nothing.
            Parallel edges are kept (a parallel edge is never a bridge). Self-loops are kept in `edges` and have no
            part in the adjacency: they connect nothing.
        directed: whether an edge is passable one way only.

    Raises:
        InputError: an end of an edge is not in 0..n-1.

    Example:
        >>> graph = Graph.of(3, [(0, 1), (1, 2)], directed=False)
        >>> graph.out.of(1).tolist()
        [0, 2]

    """

    n: int
    edges: Ints
    directed: bool = True

    @classmethod
    def of(cls, n: int, edges: Iterable[Sequence[int]] | Ints, *, directed: bool = True) -> Graph:
        """Build a graph from pairs of vertex numbers."""
        pairs = edges if isinstance(edges, np.ndarray) else np.array(list(edges), dtype=np.int64)
        pairs = pairs.astype(np.int64, copy=False).reshape(-1, 2)
        if pairs.size and (pairs.min() < 0 or pairs.max() >= n):
            bad = pairs[((pairs < 0) | (pairs >= n)).any(axis=1)][0]
            raise InputError(f"edge {bad[0]}–{bad[1]} leaves the vertices 0..{n - 1}")
        return cls(n, pairs, directed)

    @cached_property
    def _passable(self) -> tuple[Ints, Ints, Ints]:
        """Tail, head and edge number of every arc; an undirected edge is two arcs."""
        number = np.flatnonzero(self.edges[:, 0] != self.edges[:, 1]).astype(np.int64)
        tail, head = self.edges[number, 0], self.edges[number, 1]
        if self.directed:
            return tail, head, number
        return np.concatenate([tail, head]), np.concatenate([head, tail]), np.concatenate([number, number])

    @cached_property
    def out(self) -> Adjacency:
        """Along the edges."""
        tail, head, number = self._passable
        return compress(self.n, tail, head, number)

    @cached_property
    def back(self) -> Adjacency:
        """Against the edges."""
        tail, head, number = self._passable
        return self.out if not self.directed else compress(self.n, head, tail, number)

    @property
    def m(self) -> int:
        """Number of edges, parallel edges and self-loops counted."""
        return len(self.edges)

    @cached_property
    def arcs(self) -> int:
        """Number of arcs the searches walk over (an undirected edge counts twice, self-loops not at all)."""
        return len(self._passable[0])

    @cached_property
    def distinct(self) -> Ints:
        """(k, 2): the edges without self-loops and without repeats; undirected ones with the smaller end first."""
        pairs = self.edges[self.edges[:, 0] != self.edges[:, 1]]
        if not self.directed:
            pairs = np.sort(pairs, axis=1)
        return np.unique(pairs, axis=0) if len(pairs) else pairs

    @cached_property
    def degree(self) -> Ints:
        """(n,): distinct neighbours of each vertex, in either direction, itself not counted."""
        pairs = np.unique(np.sort(self.distinct, axis=1), axis=0) if len(self.distinct) else self.distinct
        return np.bincount(pairs.ravel(), minlength=self.n).astype(np.int64)

    def undirected(self) -> Graph:
        """Return the same edges, passable both ways."""
        return self if not self.directed else Graph(self.n, self.edges, False)

    def simple_undirected(self) -> Graph:
        """Distinct neighbours only: no direction, no parallel edges, no self-loops."""
        pairs = np.unique(np.sort(self.distinct, axis=1), axis=0) if len(self.distinct) else self.distinct
        return Graph(self.n, pairs, False)

    def with_edges(self, extra: Iterable[Sequence[int]]) -> Graph:
        """Return the same graph with more edges."""
        return Graph.of(self.n, np.concatenate([self.edges, np.array(list(extra), np.int64).reshape(-1, 2)]),
                        directed=self.directed)  # fmt: skip

    def without(self, vertices: Iterable[int] = (), edges: Iterable[int] = ()) -> Graph:
        """Return the same vertex numbers with the edges at `vertices`, and the edges numbered `edges`, taken out."""
        gone = np.zeros(self.n, np.bool_)
        gone[list(vertices)] = True
        keep = ~(gone[self.edges[:, 0]] | gone[self.edges[:, 1]])
        keep[list(edges)] = False
        return Graph(self.n, self.edges[keep], self.directed)


def compress(n: int, tail: Ints, head: Ints, number: Ints) -> Adjacency:
    """Return the adjacency of arcs tail -> head that carry the edge numbers `number`."""
    # Sorted by (tail, head), so that a search visits neighbours in the same order whatever the file's order was.
    order = np.lexsort((number, head, tail))
    ptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(tail, minlength=n), out=ptr[1:])
    return Adjacency(ptr, head[order], number[order])
