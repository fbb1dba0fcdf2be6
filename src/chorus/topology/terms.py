"""The terms a topology is made of, once n and the layer are known. t is the reader, s the read, d = t - s.

Strip    {(t, s) : t in readers, s in reads, t - s in offsets}, each a set of intervals: bands, offset sets, sinks,
         hubs, rectangles. Closed under &, -, and transposition, whatever n is.
Cliques  groups whose members all read one another.
Sample   counter-based random neighbours: computed when asked for, never stored.
Edges    explicit pairs, sorted: graphs, and what no other term can express.

Each knows its rows (the neighbours of given actors) and its image (all that a set of actors reads); sets of actors are
Python integers used as bitsets, whose shift-and-or runs at memory speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chorus.topology import intervals as iv
from chorus.topology.intervals import Intervals
from chorus.topology.sampling import draw

Ints = NDArray[np.int64]
Rows = tuple[Ints, Ints]  # for pairs (i, s): which of the asked-for actors, and what it reads


@dataclass(frozen=True, eq=False)
class Strip:
    """The pairs (t, s) with t in readers, s in reads and t - s in offsets."""

    n: int
    offsets: Intervals
    readers: Intervals
    reads: Intervals

    @property
    def everywhere(self) -> bool:
        """Whether the offsets alone say it: no actor is left out as reader or as read."""
        return iv.size(self.readers) == self.n == iv.size(self.reads)

    def transposed(self) -> Strip:
        """Who is read by whom."""
        return Strip(self.n, iv.negate(self.offsets), self.reads, self.readers)

    def count(self) -> int:
        """How many pairs: a closed form for every combination of intervals."""
        total = 0
        for a, b in self.readers.tolist():
            for c, e in self.reads.tolist():
                for sign, shift in ((1, a - e + 1), (-1, b - e + 1), (-1, a - c + 1), (1, b - c + 1)):
                    # Pairs with t - s < x: a sum of C(x - shift + 1, 2), from 1 / (1 - z)**3.
                    y = np.maximum(self.offsets - shift, 0)
                    pairs = y * (y + 1) // 2
                    total += sign * int((pairs[:, 1] - pairs[:, 0]).sum())
        return total

    def degrees(self) -> Ints:
        """How many each actor reads, int64 (n,)."""
        actors = iv.values_of(self.readers)
        degree = np.zeros(self.n, np.int64)
        for c, e in self.reads.tolist():
            degree[actors] += iv.count_below(self.offsets, actors - c + 1) - iv.count_below(
                self.offsets, actors - e + 1
            )
        return degree

    def rows(self, actors: Ints) -> Rows:
        """Return what the actors read."""
        readers = np.flatnonzero(iv.contains(self.readers, actors))
        t = actors[readers][:, None, None]
        low = np.maximum(t - self.offsets[:, 1][:, None] + 1, self.reads[:, 0])
        high = np.minimum(t - self.offsets[:, 0][:, None] + 1, self.reads[:, 1])
        which, position = iv.expand((high - low).ravel())
        per_actor = len(self.offsets) * len(self.reads)
        return readers[which // max(per_actor, 1)], low.ravel()[which] + position

    def contains(self, t: Ints, s: Ints) -> NDArray[np.bool_]:
        """For each pair, whether t reads s."""
        return iv.contains(self.offsets, t - s) & iv.contains(self.readers, t) & iv.contains(self.reads, s)

    def image(self, actors: int) -> int:
        """All that any of the actors reads: a shift and an or for every run of offsets, doubled up within a run."""
        actors &= self._bits[0]
        if not actors:
            return 0
        found = 0
        for start, step, count in self._runs:
            part = actors << -start if start < 0 else actors >> start
            have = 1
            while have < count:
                more = min(have, count - have)
                part |= part >> (more * step)
                have += more
            found |= part
        return found & self._bits[1]

    @cached_property
    def _bits(self) -> tuple[int, int]:
        return iv.to_bits(self.readers), iv.to_bits(self.reads)

    @cached_property
    def _runs(self) -> list[tuple[int, int, int]]:
        """The offsets as arithmetic progressions (start, step, count)."""
        runs = [(start, 1, stop - start) for start, stop in self.offsets.tolist() if stop - start > 1]
        points = self.offsets[self.offsets[:, 1] - self.offsets[:, 0] == 1, 0].tolist()
        i = 0
        while i < len(points):
            j = i + 1
            step = points[j] - points[i] if j < len(points) else 1
            while j < len(points) and points[j] - points[j - 1] == step:
                j += 1
            if j - i == 2 and j < len(points):  # two points are no progression: leave the second for the next run
                j, step = i + 1, 1
            runs.append((points[i], step, j - i))
            i = j
        return runs


@dataclass(frozen=True, eq=False)
class Cliques:
    """Groups, which may overlap: members of the same group read one another and themselves."""

    n: int
    indptr: Ints
    members: Ints

    @cached_property
    def _groups_of(self) -> Rows:
        """CSR from an actor to its groups."""
        group, _ = iv.expand(np.diff(self.indptr))
        order = np.argsort(self.members, kind="stable")
        return np.r_[0, np.cumsum(np.bincount(self.members, minlength=self.n))], group[order]

    def pairs_bound(self) -> int:
        """At least as many pairs as there are."""
        return int((np.diff(self.indptr) ** 2).sum())

    def rows(self, actors: Ints) -> Rows:
        """Return what the actors read."""
        indptr, groups = self._groups_of
        which, position = iv.expand(np.diff(indptr)[actors])
        group = groups[indptr[actors[which]] + position]
        inner, place = iv.expand(np.diff(self.indptr)[group])
        return unique_pairs(which[inner], self.members[self.indptr[group[inner]] + place], self.n)

    def image(self, actors: int) -> int:
        """All members of every group that holds one of the actors."""
        present = iv.bits_to_flags(actors, self.n)[self.members]
        group, _ = iv.expand(np.diff(self.indptr))
        touched = np.zeros(len(self.indptr) - 1, bool)
        touched[group[present]] = True
        flags = np.zeros(self.n, bool)
        flags[self.members[touched[group]]] = True
        return iv.flags_to_bits(flags)


@dataclass(frozen=True, eq=False)
class Sample:
    """Each actor reads itself and r others: of those before it (causal), or of all."""

    n: int
    layer: int
    r: int
    seed: int
    causal: bool

    def pairs_bound(self) -> int:
        """At least as many pairs as there are."""
        return self.n * (self.r + 1)

    def rows(self, actors: Ints) -> Rows:
        """Return what the actors read."""
        population = actors if self.causal else np.full(len(actors), self.n - 1, np.int64)
        indptr, drawn = draw(self.seed, self.layer, actors, population, self.r)
        which, _ = iv.expand(np.diff(indptr))
        if not self.causal:
            drawn = drawn + (drawn >= actors[which])  # the others, renumbered without the actor itself
        return unique_pairs(np.r_[which, np.arange(len(actors))], np.r_[drawn, actors], self.n)

    def image(self, actors: int) -> int:
        """All that any of the actors reads."""
        readers = np.flatnonzero(iv.bits_to_flags(actors, self.n))
        flags = np.zeros(self.n, bool)
        flags[readers] = True
        population = readers if self.causal else np.full(len(readers), self.n - 1, np.int64)
        step = max(1, (1 << 22) // self.r)
        for i in range(0, len(readers), step):
            block = slice(i, i + step)
            indptr, drawn = draw(self.seed, self.layer, readers[block], population[block], self.r)
            if not self.causal:
                drawn = drawn + (drawn >= np.repeat(readers[block], np.diff(indptr)))
            flags[drawn] = True
        return iv.flags_to_bits(flags)


@dataclass(frozen=True, eq=False)
class Edges:
    """Explicit pairs as CSR: indptr (n + 1), and each row's reads in ascending order."""

    n: int
    indptr: Ints
    indices: Ints

    @classmethod
    def from_pairs(cls, n: int, readers: Ints, reads: Ints) -> Edges:
        """From pairs in any order, with repeats."""
        readers, reads = unique_pairs(readers, reads, n)
        return cls(n, np.r_[0, np.cumsum(np.bincount(readers, minlength=n))].astype(np.int64), reads)

    def pairs_bound(self) -> int:
        """How many pairs there are."""
        return len(self.indices)

    def pairs(self) -> Rows:
        """Every pair, as readers and reads."""
        return np.repeat(np.arange(self.n), np.diff(self.indptr)), self.indices

    def rows(self, actors: Ints) -> Rows:
        """Return what the actors read."""
        which, position = iv.expand(np.diff(self.indptr)[actors])
        return which, self.indices[self.indptr[actors[which]] + position]

    def image(self, actors: int) -> int:
        """All that any of the actors reads."""
        flags = np.zeros(self.n, bool)
        flags[self.rows(np.flatnonzero(iv.bits_to_flags(actors, self.n)))[1]] = True
        return iv.flags_to_bits(flags)


Term = Strip | Cliques | Sample | Edges


def unique_pairs(first: Ints, second: Ints, n: int) -> Rows:
    """Return the pairs without repeats, by first and then second, which is below n."""
    key = first * n + second
    if not (key[1:] > key[:-1]).all():
        key = iv.unique(key)
        first, second = key // n, key % n
    return first, second
