"""Decoding one token at a time, with a cache that keeps exactly the keys that the topology will still read.

Letters: B batch, H query heads, G key heads, D features, E features of a value, n actors.
"""

from functools import lru_cache
from heapq import heappop, heappush

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from chorus.attention.checks import LARGEST, as_topology, refuse_not_finite, refuse_unfit_heads, shapes
from chorus.attention.program import Ints
from chorus.attention.reference import reference
from chorus.attention.scores import Score, parse_score
from chorus.attention.select import Select, parse_select
from chorus.errors import InputError
from chorus.topology import Topology
from chorus.topology.relation import Relation
from chorus.topology.terms import Sample
from chorus.topology.topology import whole


def last_readers(topology: Topology | str, actors: int, layer: int = 0) -> Ints:
    """Return, for each actor, the last one that reads it, or −1 where nobody does.

    Closed forms for windows, offsets, sinks and hubs; graphs and samples are read row by row. Raises InputError for
    what is no topology, or one of another number of actors.

    >>> from chorus.topology import sink_tokens, sliding_window
    >>> last_readers(sliding_window(3) | sink_tokens(1), 6).tolist()
    [5, 3, 4, 5, 5, 5]
    """
    relation = as_topology(topology).relation(whole("actors", actors, 1, LARGEST), layer)
    last = np.full(actors, -1, np.int64)
    for strip in relation.strips:
        for s0, s1 in strip.reads.tolist():
            reads = np.arange(s0, s1)
            for x0, x1 in strip.readers.tolist():
                for a, b in strip.offsets.tolist():
                    reader = np.minimum(reads + b, x1) - 1
                    found = np.where(reader >= np.maximum(reads + a, x0), reader, -1)
                    last[s0:s1] = np.maximum(last[s0:s1], found)
    if relation.others:
        for rows in relation.blocks():
            which, reads = relation.loose_rows(rows)
            np.maximum.at(last, reads, rows[which])
    return last


@lru_cache(maxsize=64)
def first_read_ahead(topology: Topology, actors: int, layer: int = 0) -> tuple[int, int] | None:
    """Return a pair (reader, read) in which an actor reads a later one, or None where nobody does.

    >>> from chorus.topology import ring, sliding_window
    >>> first_read_ahead(sliding_window(3), 9), first_read_ahead(ring(1), 9)
    (None, (0, 1))
    """
    whole = topology.relation(actors, layer)
    # Causal samples need no look: writing their pairs down would be the most of the work.
    doubtful = tuple(term for term in whole.terms if not (isinstance(term, Sample) and term.causal))
    relation = Relation(actors, doubtful)
    ahead = relation - relation.causal()
    if ahead.count():
        for rows in ahead.blocks():
            which, reads = ahead.rows(rows)
            if len(which):
                return int(rows[which[0]]), int(reads[0])
    return None


class KeyValueCache:
    """Attention for one more token at a time, equal to the full pass over a causal topology.

    Before a token's turn the cache holds the keys that it or a later token reads, and no others: the window and the
    sinks of "sliding_window(w) | sink_tokens(m)", and everything of "causal()". Room is taken once, for the most that
    is ever held.

    Args:
        topology: a causal topology, or its text.
        actors: how many tokens there can be, prompt included.
        layer: the layer of a scheduled topology.
        score: as in `attend`.
        select: as in `attend`.

    Raises InputError when someone reads a later actor, and for what is no topology, score, selection or number of
    actors.

    >>> cache = KeyValueCache("sliding_window(4) | sink_tokens(1)", actors=100)
    >>> for _ in range(50):
    ...     out = cache.step(*torch.randn(3, 1, 2, 8))
    >>> cache.kept, cache.capacity
    ([0, 47, 48, 49], 5)

    """

    def __init__(
        self,
        topology: Topology | str,
        actors: int,
        layer: int = 0,
        score: str | Score = "dot",
        select: str | Select = "soft",
    ) -> None:
        self.topology = as_topology(topology)
        self.score, self.select = parse_score(score), parse_select(select)
        self.actors, self.layer = whole("actors", actors, 1, LARGEST), whole("layer", layer, 0, LARGEST)
        self.length = 0
        if ahead := first_read_ahead(self.topology, self.actors, self.layer):
            raise InputError(
                f"{self.topology} cannot be decoded: actor {ahead[0]} reads actor {ahead[1]}, which comes later; "
                "take its causal() part"
            )
        self._last = last_readers(self.topology, self.actors, self.layer)
        self.capacity = _most_held(self._last)
        self._slots: dict[int, int] = {}
        self._free = list(range(self.capacity))
        self._expiring: dict[int, list[int]] = {}
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    @property
    def kept(self) -> list[int]:
        """Return the actors whose keys are held, ascending."""
        return sorted(self._slots)

    def step(
        self, q: Float[Tensor, "B H D"], k: Float[Tensor, "B G D"], v: Float[Tensor, "B G E"]
    ) -> Float[Tensor, "B H E"]:
        """Take the next token's query, key and value; return its attention output.

        Raises InputError when there are no more actors, when shapes, dtype or device differ from the first token's, and
        when a number on the CPU is not finite.
        """
        t = self.length
        if t >= self.actors:
            raise InputError(f"the cache was made for {self.actors} actors: make it for more")
        refuse_unfit_heads(q, k, v, dims=3)
        refuse_not_finite(q=q, k=k, v=v)
        if self._keys is None or self._values is None:
            self._keys = k.new_empty(*k.shape[:2], self.capacity, k.shape[2])
            self._values = v.new_empty(*v.shape[:2], self.capacity, v.shape[2])
        for held, new in ((self._keys, k), (self._values, v)):
            if (*held.shape[:2], held.shape[3]) != new.shape or (held.dtype, held.device) != (new.dtype, new.device):
                raise InputError(
                    f"{shapes(q=q, k=k, v=v)}, {new.dtype} on {new.device}, do not fit the cache, which began with "
                    "other batches, heads, features, dtype or device: keys "
                    f"{tuple(held.shape)}, {held.dtype} on {held.device}"
                )
        if self._last[t] >= t:
            slot = heappop(self._free)
            self._slots[t] = slot
            self._keys[:, :, slot], self._values[:, :, slot] = k, v
            self._expiring.setdefault(int(self._last[t]), []).append(t)
        reads = [self._slots[s] for s in self.topology.neighbors(t, self.layer, self.actors).tolist()]
        if reads:
            index = torch.tensor(reads, device=k.device)
            keys, values = self._keys.index_select(2, index), self._values.index_select(2, index)
            out = reference(q[:, :, None], keys, values, None, self.score, self.select)[:, :, 0]
        else:
            out = v.new_zeros(*q.shape[:2], v.shape[2])
        for gone in self._expiring.pop(t, []):
            heappush(self._free, self._slots.pop(gone))
        self.length += 1
        return out


def _most_held(last: Ints) -> int:
    """Return the largest number of keys held at once: each from its own turn to its last reader's."""
    held = np.flatnonzero(last >= np.arange(len(last)))
    change = np.bincount(held, minlength=len(last) + 1)
    change -= np.bincount(last[held] + 1, minlength=len(last) + 1)
    return int(change.cumsum().max(initial=0))
