"""A smallest cut between two actors by a search that does not list the graph's edges.

Blocking flows (Dinic, 1970) over actors of capacity one. A phase first finds how far every actor is from the source in
the residual graph, set by set: one image of a bitset a step, however many edges there are. Then it walks back from the
target through the rows of a few actors, taking each at most once. The last phase, which does not arrive, leaves a
smallest cut: the actors that it entered and could not leave (Menger, 1927).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from chorus.errors import InputError
from chorus.topology import intervals as iv
from chorus.topology.relation import Relation
from chorus.topology.terms import Ints

WORK_LIMIT = 400_000_000  # 64-bit words worked on: a few seconds
_ROW_WORK = 20_000  # of a row, whatever its length

State = tuple[int, bool]  # an actor, and whether it is left (True) or entered (False)


def smallest_cut(relation: Relation, reader: int, read: int, gone: Ints) -> Ints:
    """Find a smallest set of actors whose loss leaves no path from `read` to `reader` but a direct one.

    Args:
        relation: the pairs (reader, read).
        reader: where the paths end.
        read: where they begin.
        gone: actors that no path may use.

    Raises:
        InputError: the search is too much work.

    """
    flow = _Flow(relation, reader, read, gone)
    while (distance := flow.measure()) is not None:
        flow.block(distance)
    return np.flatnonzero((flow.entered >= 0) & (flow.left < 0))


class _Flow:
    """Paths as `before[v]` and `after[v]`, the actors next to v on its path, from the source on.

    An actor on no path is entered and left at once. One on a path can be entered only to turn back along that path,
    which lets the actor before it be left another way: the residual graph of the network with every actor split in two.
    """

    def __init__(self, relation: Relation, reader: int, read: int, gone: Ints) -> None:
        self.relation, self.onward = relation, relation.transposed()
        self.reader, self.read = reader, read
        self.closed = iv.to_bits(iv.from_values(np.r_[gone, read]))
        self.before: dict[int, int] = {}
        self.after: dict[int, int] = {}
        # Steps from the source at which an actor on a path is entered, and at which any actor is left; -1: not, or
        # taken by a path of this phase.
        self.entered: NDArray[np.int32] = np.empty(relation.n, np.int32)
        self.left: NDArray[np.int32] = np.empty(relation.n, np.int32)
        runs = 8 + sum(len(strip.offsets) + 8 for strip in relation.strips)
        self.step_work = runs * (relation.n // 64 + 1) + 8 * relation.loose_members()
        self.work = 0

    def measure(self) -> int | None:
        """Find how far everything is from the source, up to the target; None if that cannot be reached."""
        self.entered.fill(-1)
        self.left.fill(-1)
        self.left[self.read] = 0
        busy, goal, seen = _bits(list(self.before)), 1 << self.reader, self.closed
        free, entered, left = 1 << self.read, np.empty(0, np.int64), np.empty(0, np.int64)
        distance = 0
        while free or len(entered) or len(left):
            distance += 1
            self._spend(self.step_work)
            reached = self.onward.image(free | _bits(left)) & ~seen
            if distance == 1:
                reached &= ~goal  # the direct pair is no path through others
            if reached & goal:
                return distance
            backed = np.array([u for v in entered.tolist() if (u := self.before[v]) != self.read], np.int64)
            entered = np.union1d(_members(reached & busy), left[self.entered[left] < 0])
            left = backed[self.left[backed] < 0]
            free = reached & ~busy
            seen |= reached | _bits(entered)
            self.entered[entered] = distance
            self.left[left] = distance
            self.left[_members(free)] = distance
        return None

    def block(self, distance: int) -> None:
        """Add shortest paths, no two of which take the same state of an actor, until there are no more.

        The first walk never turns back. Later ones do, where others were before; when that has cost as much as
        measuring anew would, it is time to measure anew.
        """
        patience = self.step_work * distance
        for start in self._sources(self.reader, distance):
            if patience < 0:
                break
            walk = [start]
            ways = [self._back(start, distance - 1)]
            while ways and patience >= 0:
                state = next(ways[-1], None)
                if state is None:
                    ways.pop()
                    walk.pop()
                    patience -= _ROW_WORK
                elif state[0] == self.read:
                    self._adopt([state, *reversed(walk)])
                    break
                else:
                    walk.append(state)
                    ways.append(self._back(state, distance - len(walk)))

    def _back(self, state: State, distance: int) -> Iterator[State]:
        """Take, one after the other, the states from which this one, so far from the source, is reached in one step."""
        v, out = state
        if out and v in self.after:  # left because the actor after it was entered
            w = self.after[v]
            if self.entered[w] == distance - 1:
                self.entered[w] = -1
                yield w, False
            return
        if not out and self.left[v] == distance - 1:  # entered because its own path no longer leaves it
            self.left[v] = -1
            yield v, True
        yield from self._sources(v, distance)

    def _sources(self, v: int, distance: int) -> Iterator[State]:
        """Take the states from which v is entered along a pair."""
        row = self.relation.row(v)
        self._spend(_ROW_WORK + len(row))
        for u in row[self.left[row] == distance - 1].tolist():
            if u != v and self.left[u] == distance - 1:
                if u != self.read:
                    self.left[u] = -1
                yield u, True

    def _adopt(self, walk: list[State]) -> None:
        """Change the paths along a walk of states from the source to the last actor before the target."""
        added, removed = [(walk[-1][0], self.reader)], []
        for (u, out), (v, _) in pairwise(walk):
            if u != v and out:
                added.append((u, v))
            elif u != v:
                removed.append((v, u))
        for u, v in removed:
            del self.before[v], self.after[u]
        for u, v in added:
            if v != self.reader:
                self.before[v] = u
            if u != self.read:
                self.after[u] = v

    def _spend(self, work: int) -> None:
        self.work += work
        if self.work > WORK_LIMIT:
            raise InputError(
                f"the search for disjoint paths among {self.relation.n:,} actors is too long (more than "
                f"{WORK_LIMIT:,} machine words): take actors closer together, fewer actors or longer steps"
            )


def _bits(actors: Ints | list[int]) -> int:
    return iv.to_bits(iv.from_values(actors))


def _members(bits: int) -> Ints:
    """List a set of actors; what lies below the first costs nothing."""
    low = max((bits & -bits).bit_length() - 1, 0)
    return iv.values_of(iv.from_bits(bits >> low)) + low
