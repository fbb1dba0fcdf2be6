"""What each oscillator feels of the others: the mean of its neighbours, whatever the neighbours are.

Every coupling here is linear in what is sent (cos θ and sin θ of a phase, or a point on a sphere): a *message*
is the mean of what an actor reads. Shapes: N actors, E edges, `...` any batch.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from chorus.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float

Sent = tuple[NDArray[np.float64], NDArray[np.float64]]  # (cos θ, sin θ) of the actors, or the means of them
MAX_HISTORY = 4 << 30  # bytes of messages kept for a delay
_BLOCK = 1 << 14  # numbers worked on at a time, so that they stay in the cache
Normalization = Literal["degree", "actors"]


class Neighbourhood(Protocol):
    """Anything that says who reads whom as compressed sparse rows, such as a `chorus.topology.Topology`."""

    def to_csr(self, n: int, layer: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(indptr, indices): actor t reads indices[indptr[t]:indptr[t + 1]]."""
        ...


def cos_sin(theta: Float[np.ndarray, "..."]) -> Sent:
    """(cos θ, sin θ) from one tangent, t = tan(θ/2): cos θ = 2/(1 + t²) − 1, sin θ = 2t/(1 + t²); exact to 4e-16.

    NumPy's sine and cosine of doubles take 20 to 30 ns each; its tangent is vectorised where the processor has
    AVX-512 (1 ns) and elsewhere is still one slow function instead of two.

    Args:
        theta: angles, radians.

    >>> c, s = cos_sin(np.array([0.0, np.pi / 2, np.pi]))
    >>> bool(np.allclose(c, [1, 0, -1], atol=4e-16) and np.allclose(s, [0, 1, 0], atol=4e-16))
    True

    """
    c, s = np.empty(theta.shape), np.empty(theta.shape)
    angles, cosines, sines = theta.reshape(-1), c.reshape(-1), s.reshape(-1)
    for start in range(0, angles.size, _BLOCK):  # block by block: seven passes over memory would cost more than tan
        block = slice(start, start + _BLOCK)
        u, t = cosines[block], sines[block]
        np.multiply(angles[block], 0.5, out=t)
        np.tan(t, out=t)
        np.multiply(t, t, out=u)
        u += 1
        np.divide(2, u, out=u)
        t *= u
        u -= 1
    return c, s


def mean_drift(theta: Float[np.ndarray, "... n"]) -> Float[np.ndarray, "... n"]:
    """(1/N) Σ_j sin(θ_j − θ_i) for every i, in O(N).

    With r·e^{iψ} the order parameter, the sum is r sin(ψ − θ_i) = (mean sin)·cos θ_i − (mean cos)·sin θ_i.

    Args:
        theta: phases, radians.

    Kuramoto (1984), section 5.4. `pairwise_drift` is the same in O(N²).

    >>> mean_drift(np.array([0.0, np.pi / 2])).tolist()
    [0.5, -0.5]

    """
    c, s = cos_sin(theta)
    n = theta.shape[-1]
    # add.reduce is what mean() calls, without the 5 µs of bookkeeping that would be half the cost at N = 1000.
    mean_c = np.add.reduce(c, axis=-1, keepdims=True) / n
    mean_s = np.add.reduce(s, axis=-1, keepdims=True) / n
    c *= mean_s
    s *= mean_c
    c -= s
    return np.asarray(c)


def pairwise_drift(theta: Float[np.ndarray, "... n"]) -> Float[np.ndarray, "... n"]:
    """(1/N) Σ_j sin(θ_j − θ_i) for every i, term by term in O(N²): the definition `mean_drift` is held to.

    Args:
        theta: phases, radians.

    >>> pairwise_drift(np.array([0.0, np.pi / 2])).tolist()
    [0.5, -0.5]

    """
    return np.asarray(np.sin(theta[..., None, :] - theta[..., :, None]).mean(axis=-1))


class MeanField:
    """All-to-all reading: every actor's message is the mean over all actors, found once in O(N)."""

    def __call__(self, sent: Float[np.ndarray, "... n"]) -> Float[np.ndarray, "... 1"]:
        """Mean over the last axis, kept as an axis of length 1 that broadcasts over the readers."""
        return np.asarray(np.add.reduce(sent, axis=-1, keepdims=True) / sent.shape[-1])


class Edges:
    """Reading over a topology: each actor's message is a sum over what it reads, in O(edges).

    Args:
        topology: who reads whom.
        n: number of actors.
        normalize: "degree" divides by the number of actors that the reader reads (itself included where the
            topology says so; an actor that reads nobody feels nothing); "actors" divides by N, as in the K/N of
            the all-to-all equation. On a complete topology with self both equal `MeanField`.

    Raises:
        InputError: the topology's rows do not fit n actors, or an unknown normalisation.

    """

    def __init__(self, topology: Neighbourhood, n: int, normalize: Normalization = "degree") -> None:
        if normalize not in ("degree", "actors"):
            raise InputError(f"normalize: got {normalize!r}, expected 'degree' or 'actors'")
        indptr, self.indices = topology.to_csr(n)
        if len(indptr) != n + 1 or (len(self.indices) and int(self.indices.max()) >= n):
            raise InputError(f"topology: has {len(indptr) - 1} rows, the population has {n} actors")
        degree = np.diff(indptr)
        self.n = n
        # reduceat gives an empty row its next neighbour's first term, so only rows that read somebody take part.
        self._readers = np.flatnonzero(degree)
        self._starts = indptr[self._readers]
        self._share = 1.0 / (degree[self._readers] if normalize == "degree" else np.full(len(self._readers), n))
        # Blocks of whole rows, so that what is gathered for one stays in the cache until it is summed.
        cuts = np.searchsorted(self._starts, np.arange(_BLOCK, len(self.indices), _BLOCK))
        self._cuts = np.unique(np.r_[0, cuts, len(self._readers)]).tolist()

    def __call__(self, sent: Float[np.ndarray, "... n"]) -> Float[np.ndarray, "... n"]:
        """Mean of what each actor reads."""
        return self._sum(sent.shape[:-1], lambda edges: np.take(sent, self.indices[edges], axis=-1))

    def reduce(self, arrived: Float[np.ndarray, "... e"]) -> Float[np.ndarray, "... n"]:
        """Mean over each reader's edges of what arrived on each edge."""
        return self._sum(arrived.shape[:-1], lambda edges: arrived[..., edges])

    def _sum(
        self, batch: tuple[int, ...], arriving: Callable[[slice], NDArray[np.float64]]
    ) -> Float[np.ndarray, "... n"]:
        message = np.zeros((*batch, self.n))
        for first, last in pairwise(self._cuts):
            start = int(self._starts[first])
            stop = int(self._starts[last]) if last < len(self._starts) else len(self.indices)
            total = np.add.reduceat(arriving(slice(start, stop)), self._starts[first:last] - start, axis=-1)
            message[..., self._readers[first:last]] = total * self._share[first:last]
        return message


class Delayed:
    """Messages that arrive late: everything by the same time, or each edge by its own.

    Args:
        coupling: `MeanField` or `Edges`.
        steps: delay in steps, one number, or one for each edge of `Edges` (in the order of its `indices`).
        past: (cos, sin) of what was sent k steps before the start, for k ≥ 0.

    Raises:
        InputError: delays for each edge without edges, not one for each, or a history of more than 4 GiB.

    """

    def __init__(self, coupling: MeanField | Edges, steps: NDArray[np.int64], past: Callable[[int], Sent]) -> None:
        self._coupling, self._now = coupling, 0
        self._per_edge = steps.ndim > 0
        if self._per_edge and not (isinstance(coupling, Edges) and steps.shape == coupling.indices.shape):
            edges = len(coupling.indices) if isinstance(coupling, Edges) else "no"
            raise InputError(f"delay: {steps.shape[-1]} delays, the topology has {edges} edges")
        self._steps = steps
        self._depth = int(steps.max(initial=0)) + 1
        actors = coupling.n if isinstance(coupling, Edges) else 1
        if (need := 16 * self._depth * actors) > MAX_HISTORY:
            raise InputError(f"delay: {self._depth - 1:,} steps of history take {need / 2**30:.1f} GiB: enlarge dt")
        # With one delay for all, sums can be delayed instead of terms: the ring holds messages, not phases.
        first = [self._store(past(k)) for k in range(self._depth)]
        self._ring = np.stack(first[::-1])  # [depth, 2, ..., n]: slot t mod depth holds what was sent at step t
        self._now = self._depth - 1

    def _store(self, sent: Sent) -> NDArray[np.float64]:
        return np.stack(sent) if self._per_edge else np.stack([self._coupling(part) for part in sent])

    def __call__(self, sent: Sent) -> Sent:
        """Take what is sent now; return the messages that arrive now."""
        self._ring[self._now % self._depth] = self._store(sent)
        slot = (self._now - self._steps) % self._depth
        self._now += 1
        if not (self._per_edge and isinstance(self._coupling, Edges)):
            c, s = self._ring[slot]
            return c, s
        arrived = np.moveaxis(self._ring[slot, ..., self._coupling.indices], 0, -1)
        return self._coupling.reduce(arrived[0]), self._coupling.reduce(arrived[1])
