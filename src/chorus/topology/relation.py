"""What a topology is at one layer for one n: a union of terms, and the set algebra on such unions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chorus.errors import InputError
from chorus.topology import intervals as iv
from chorus.topology.terms import Cliques, Edges, Ints, Rows, Sample, Strip, Term, unique_pairs

EDGE_LIMIT = 1 << 25  # explicit edges that an operation may write down: 0.5 GB as pairs of int64
STRIP_LIMIT = 256  # strips that set operations work on, one against another; a few patterns make about a dozen
_CHUNK = 1 << 20  # pairs worked on at a time
_MASK_LIMIT = 1 << 30  # entries of a dense mask: a gigabyte


@dataclass(frozen=True, eq=False)
class Relation:
    """The pairs (reader, read) of one layer among n actors, as a union of terms.

    `strips` overlap as given; `disjoint_strips` are the same pairs, each once; `others` holds every term that is no
    strip.
    """

    n: int
    terms: tuple[Term, ...]

    @cached_property
    def strips(self) -> list[Strip]:
        """The strips, joined where two of them differ in one set only."""
        return _join([term for term in self.terms if isinstance(term, Strip)])

    @cached_property
    def others(self) -> list[Cliques | Sample | Edges]:
        """The terms that are no strips."""
        return [term for term in self.terms if not isinstance(term, Strip)]

    @cached_property
    def disjoint_strips(self) -> list[Strip]:
        """The pairs of the strips, each in exactly one strip."""
        found: list[Strip] = []
        _refuse_pieces(self.strips)
        for strip in self.strips:
            found += subtract_strips([strip], found)
        return found

    @cached_property
    def causal_only(self) -> bool:
        """Whether no actor reads a later one."""
        for strip in self.strips:
            ahead = iv.clip(strip.offsets, 1 - self.n, 0)
            if len(ahead) and Strip(self.n, ahead, strip.readers, strip.reads).count():
                return False
        for term in self.others:
            if isinstance(term, Edges):
                t, s = term.pairs()
                ahead_read = bool((s > t).any())
            elif isinstance(term, Cliques):
                ahead_read = bool((np.diff(term.indptr) > 1).any())
            else:
                ahead_read = not term.causal and self.n > 1
            if ahead_read:
                return False
        return True

    # What actors read

    def rows(self, actors: Ints) -> Rows:
        """Pairs (i, s): actors[i] reads s. Each once, in order."""
        parts = [term.rows(actors) for term in (*self.strips, *self.others)]
        if not parts:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return unique_pairs(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), self.n)

    def row(self, actor: int) -> Ints:
        """Return what one actor reads, ascending."""
        return self.rows(np.array([actor]))[1]

    def image(self, actors: int) -> int:
        """All that any of the actors (a bitset) reads."""
        found = 0
        for term in (*self.strips, *self.others):
            found |= term.image(actors)
        return found

    def pairs_of(self, actors: Ints) -> Rows:
        """Every pair that one of the actors reads, as readers and reads."""
        step = max(1, len(next(self.blocks())))
        parts = []
        for i in range(0, len(actors), step):
            which, reads = self.rows(actors[i : i + step])
            parts.append((actors[i : i + step][which], reads))
        empty = np.empty(0, np.int64)
        return np.concatenate([empty, *[p[0] for p in parts]]), np.concatenate([empty, *[p[1] for p in parts]])

    def blocks(self) -> Iterator[Ints]:
        """All actors, in blocks whose rows together are a bounded amount of work."""
        width = sum(len(strip.offsets) * len(strip.reads) for strip in self.strips)
        width += int(sum(strip.count() for strip in self.strips) // max(self.n, 1))
        width += sum(_bound(term) // max(self.n, 1) for term in self.others)
        step = max(1, _CHUNK // (width + 1))
        for start in range(0, self.n, step):
            yield np.arange(start, min(start + step, self.n))

    def in_strips(self, t: Ints, s: Ints) -> NDArray[np.bool_]:
        """For each pair, whether a strip holds it."""
        found = np.zeros(t.shape, bool)
        for strip in self.strips:
            found |= strip.contains(t, s)
        return found

    def loose_rows(self, actors: Ints) -> Rows:
        """Return the rows of the terms that are no strips, without what a strip holds already."""
        which, reads = Relation(self.n, tuple(self.others)).rows(actors)
        fresh = ~self.in_strips(actors[which], reads)
        return which[fresh], reads[fresh]

    # Counts

    def degrees(self) -> Ints:
        """How many each actor reads, int64 (n,)."""
        degree = np.zeros(self.n, np.int64)
        for strip in self.disjoint_strips:
            degree += strip.degrees()
        if self.others:
            for block in self.blocks():
                degree[block] += np.bincount(self.loose_rows(block)[0], minlength=len(block))
        return degree

    def count(self) -> int:
        """How many pairs there are: a closed form, but for terms that overlap and are no strips."""
        total = sum(strip.count() for strip in self.disjoint_strips)
        if not self.others:
            return total
        if len(self.others) == 1 and not self.strips:
            only = self.others[0]
            if isinstance(only, Edges):
                return len(only.indices)
            if isinstance(only, Sample):
                population = np.arange(self.n) if only.causal else np.full(self.n, self.n - 1)
                return self.n + int(np.minimum(population, only.r).sum())
        return total + sum(len(self.loose_rows(block)[0]) for block in self.blocks())

    # Algebra

    def __or__(self, other: Relation) -> Relation:
        return Relation(self.n, (*self.terms, *other.terms))

    def __and__(self, other: Relation) -> Relation:
        both = [_meet(a, b) for a in self.strips for b in other.strips]
        terms: list[Term] = [strip for strip in both if strip is not None]
        for one, two in ((self, other), (other, self)):
            if one.others:
                t, s = one.loose_pairs("an intersection")
                kept = two.holds(t, s)
                terms.append(Edges.from_pairs(self.n, t[kept], s[kept]))
        return Relation(self.n, tuple(terms))

    def __sub__(self, other: Relation) -> Relation:
        strips = subtract_strips(self.strips, other.strips)
        terms: list[Term] = [*strips]
        if other.others and strips:
            rest = Relation(self.n, tuple(strips))
            t, s = rest.pairs("a difference")
            gone = other.holds(t, s)
            terms = [Edges.from_pairs(self.n, t[~gone], s[~gone])]
        if self.others:
            t, s = self.loose_pairs("a difference")
            gone = other.holds(t, s)
            terms.append(Edges.from_pairs(self.n, t[~gone], s[~gone]))
        return Relation(self.n, tuple(terms))

    def causal(self) -> Relation:
        """Without the pairs in which an actor reads a later one."""
        past = Strip(self.n, iv.interval(0, self.n), *[iv.interval(0, self.n)] * 2)
        cut = [_meet(strip, past) for strip in self.strips]
        terms: list[Term] = [strip for strip in cut if strip is not None]
        terms += [term for term in self.others if isinstance(term, Sample) and term.causal]
        rest = [term for term in self.others if not (isinstance(term, Sample) and term.causal)]
        if rest:
            t, s = Relation(self.n, tuple(rest)).pairs("the causal part")
            terms.append(Edges.from_pairs(self.n, t[s <= t], s[s <= t]))
        return Relation(self.n, tuple(terms))

    def symmetric(self) -> Relation:
        """With every pair's reverse."""
        reverse = [term for term in self.transposed().terms if not isinstance(term, Cliques)]
        return Relation(self.n, (*self.terms, *reverse))

    def transposed(self) -> Relation:
        """Who is read by whom."""
        terms: list[Term] = [strip.transposed() for strip in self.strips]
        terms += [term for term in self.others if isinstance(term, Cliques)]
        lopsided = [term for term in self.others if not isinstance(term, Cliques)]
        if lopsided:
            t, s = Relation(self.n, tuple(lopsided)).pairs("the reverse of all pairs")
            terms.append(Edges.from_pairs(self.n, s, t))
        return Relation(self.n, tuple(terms))

    # Explicit pairs

    def csr(self) -> tuple[Ints, Ints]:
        """Every pair as compressed rows, indptr (n + 1) and indices; refused when there are more than EDGE_LIMIT."""
        t, s = self.pairs("a list of all edges")
        return np.r_[0, np.cumsum(np.bincount(t, minlength=self.n))].astype(np.int64), s

    def dense(self) -> NDArray[np.bool_]:
        """Every pair as a boolean matrix, [reader, read]; refused for n above 32,768."""
        n = self.n
        if n * n > _MASK_LIMIT:
            raise InputError(f"a dense mask of n = {n:,} has {n * n:,} entries, more than {_MASK_LIMIT:,}: use plan()")
        mask = np.zeros((n, n), bool)
        for block in self.blocks():
            which, reads = self.rows(block)
            mask[block[which], reads] = True
        return mask

    def pairs(self, purpose: str) -> Rows:
        """Every pair, each once; refused when there are more than EDGE_LIMIT, naming the number and the purpose."""
        self._refuse_over_limit(self.strips, purpose)
        return self._gather(self.rows)

    def loose_pairs(self, purpose: str) -> Rows:
        """Every pair that no strip holds."""
        self._refuse_over_limit([], purpose)
        return self._gather(self.loose_rows)

    def loose_bound(self) -> int:
        """At least as many pairs as the terms that are no strips hold."""
        return sum(_bound(term) for term in self.others)

    def loose_members(self) -> int:
        """How many actors and pairs the terms that are no strips write down."""
        return sum(
            len(term.members if isinstance(term, Cliques) else term.indices)
            for term in self.others
            if not isinstance(term, Sample)
        )

    def holds(self, t: Ints, s: Ints) -> NDArray[np.bool_]:
        """For each pair, whether it is in the relation."""
        found = self.in_strips(t, s)
        if self.others and not found.all():
            first, second = self.loose_pairs("an intersection or difference")
            found |= np.isin(t * self.n + s, first * self.n + second)
        return found

    def _gather(self, rows_of: Callable[[Ints], Rows]) -> Rows:
        parts = [(block[which], reads) for block in self.blocks() for which, reads in [rows_of(block)]]
        empty = np.empty(0, np.int64)
        return np.concatenate([empty, *[p[0] for p in parts]]), np.concatenate([empty, *[p[1] for p in parts]])

    def _refuse_over_limit(self, strips: list[Strip], purpose: str) -> None:
        need = self.loose_bound()
        if need <= EDGE_LIMIT and strips:
            need += sum(strip.count() for strip in strips)
        if need > EDGE_LIMIT:
            raise InputError(
                f"{purpose} here would need {need:,} explicit edges, more than {EDGE_LIMIT:,} (n = {self.n:,}): "
                "take a smaller n or fewer neighbours, or say it with windows, offsets, sinks and unions alone"
            )


def _bound(term: Term) -> int:
    return term.count() if isinstance(term, Strip) else term.pairs_bound()


def _meet(a: Strip, b: Strip) -> Strip | None:
    offsets = iv.intersect(a.offsets, b.offsets)
    readers = iv.intersect(a.readers, b.readers)
    reads = iv.intersect(a.reads, b.reads)
    return Strip(a.n, offsets, readers, reads) if len(offsets) and len(readers) and len(reads) else None


def subtract_strips(strips: list[Strip], gone: list[Strip]) -> list[Strip]:
    """Return the pairs of the strips that no strip of `gone` holds; disjoint if the strips are."""
    for b in gone:
        left: list[Strip] = []
        for a in strips:
            both = _meet(a, b)
            if both is None:
                left.append(a)
                continue
            left += [
                Strip(a.n, iv.subtract(a.offsets, b.offsets), a.readers, a.reads),
                Strip(a.n, both.offsets, iv.subtract(a.readers, b.readers), a.reads),
                Strip(a.n, both.offsets, both.readers, iv.subtract(a.reads, b.reads)),
            ]
        strips = [s for s in left if len(s.offsets) and len(s.readers) and len(s.reads)]
        _refuse_pieces(strips)
    return strips


def _refuse_pieces(strips: list[Strip]) -> None:
    if len(strips) > STRIP_LIMIT:
        raise InputError(
            f"these set operations make {len(strips):,} pieces or more, and at most {STRIP_LIMIT:,} are worked on: "
            "combine fewer patterns, or take graph([[reader, read], ...])"
        )


def _join(strips: list[Strip]) -> list[Strip]:
    """Join strips that agree in two of their three sets, so that a union of offset sets is one offset set."""
    if len(strips) < 2:
        return strips
    for joined in ("offsets", "reads", "readers"):
        groups: dict[tuple[bytes, ...], list[Strip]] = {}
        for strip in strips:
            key = tuple(getattr(strip, name).tobytes() for name in ("offsets", "readers", "reads") if name != joined)
            groups.setdefault(key, []).append(strip)
        strips = []
        for same in groups.values():
            if len(same) == 1:
                strips += same
                continue
            sets = {name: getattr(same[0], name) for name in ("offsets", "readers", "reads")}
            sets[joined] = iv.union(getattr(strip, joined) for strip in same)
            strips.append(Strip(same[0].n, **sets))
    return strips
