"""Content-aware topologies: every block of queries chooses the blocks of keys that it reads, from summaries.

A summary scores whole blocks without touching their keys one by one: the mean key of a block (MoBA, Lu et al. 2025),
a bound from its smallest and largest features (Quest, Tang et al. 2024), or a small learned indexer (as DeepSeek-V3.2
has). The choice is a topology, shared by the heads of the sequence: the same executors and analysis serve it.

Letters: H heads, T tokens, D features, n blocks of `block` tokens (the last may be short), k blocks kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from chorus.attention.checks import LARGEST, refuse_not_finite, refuse_other_than_weights, refuse_unlike, shapes
from chorus.attention.program import Program, Veil, Work
from chorus.errors import InputError
from chorus.topology import Topology
from chorus.topology.relation import Relation
from chorus.topology.terms import Edges
from chorus.topology.topology import whole

Summary = Callable[[Float[Tensor, "H T D"], Float[Tensor, "H T D"], int], Float[Tensor, "H T n"]]


def mean_summary(q: Float[Tensor, "H T D"], k: Float[Tensor, "H T D"], block: int) -> Float[Tensor, "H T n"]:
    """Score a block by the product of the query with the mean of its keys.

    Raises InputError when shapes, dtypes or devices do not fit, or the block is no positive whole number.
    """
    _refuse_unfit(q, k, block)
    scores: Tensor = q @ _pooled(k, block).mT * q.shape[-1] ** -0.5
    return scores


def bound_summary(q: Float[Tensor, "H T D"], k: Float[Tensor, "H T D"], block: int) -> Float[Tensor, "H T n"]:
    """Score a block by an upper bound of its products: Σ_d max(q_d·min_d, q_d·max_d).

    Raises InputError as `mean_summary` does.
    """
    _refuse_unfit(q, k, block)
    low = torch.stack([part.amin(1) for part in _parts(k, block, 1)], 1)
    high = torch.stack([part.amax(1) for part in _parts(k, block, 1)], 1)
    # The larger of the two products is with the largest feature where q is positive, and the smallest where it is not.
    scores: Tensor = (q.clamp_min(0) @ high.mT + q.clamp_max(0) @ low.mT) * q.shape[-1] ** -0.5
    return scores


class Indexer(nn.Module):
    """A learned summary: Σⱼ wⱼ(qₜ)·ReLU(qₜAⱼ · k̄B) over small index heads j, on the mean key k̄ of each block.

    Train it with `loss` towards the attention it is to predict; its scores are used as those of any summary.

    Args:
        dim: features D of a head.
        heads: index heads.
        width: features of an index head.

    Raises InputError for sizes that are not whole and positive; a call does as `mean_summary`.

    """

    def __init__(self, dim: int, heads: int = 4, width: int = 16) -> None:
        super().__init__()
        for name, size in (("dim", dim), ("heads", heads), ("width", width)):
            whole(name, size, 1, LARGEST)
        self.heads = heads
        self.query = nn.Linear(dim, heads * width, bias=False)
        self.key = nn.Linear(dim, width, bias=False)
        self.weight = nn.Linear(dim, heads)

    def forward(self, q: Float[Tensor, "H T D"], k: Float[Tensor, "H T D"], block: int) -> Float[Tensor, "H T n"]:
        """Return the scores of the blocks, as a summary does."""
        _refuse_unfit(q, k, block)
        if q.shape[-1] != self.query.in_features:
            raise InputError(f"this Indexer is for heads of {self.query.in_features} features, not {q.shape[-1]}")
        refuse_other_than_weights(self.query.weight, q=q)
        index = self.query(q).view(*q.shape[:2], self.heads, -1)
        found = torch.relu(index @ self.key(_pooled(k, block)).mT[:, None])
        scores: Tensor = (self.weight(q)[..., None] * found).sum(2)
        return scores

    def loss(self, q: Float[Tensor, "H T D"], k: Float[Tensor, "H T D"], block: int) -> Float[Tensor, ""]:
        """Return KL(attention mass per block ‖ softmax of the index scores), causal, mean over queries."""
        _refuse_unfit(q, k, block)
        hidden = _hidden(q.shape[1], block, q.device)
        wanted = torch.cat(_block_mass(q, k, block), 1)
        log_found = self(q, k, block).masked_fill(hidden, -torch.inf).log_softmax(-1).masked_fill(hidden, 0.0)
        divergence: Tensor = (torch.special.xlogy(wanted, wanted) - wanted * log_found).sum(-1).mean()
        return divergence


@dataclass(frozen=True, repr=False)
class SelectedBlocks(Topology):
    """The topology in which block i of readers reads the blocks chosen[i], never a later actor.

    Args:
        actors: number of actors.
        block: actors in a block.
        chosen: for every block of readers, the blocks it reads, ascending.

    Raises InputError for sizes that are not whole and positive, and for a choice that is not such a tuple of tuples.

    """

    actors: int = field(kw_only=True)
    block: int = field(kw_only=True)
    chosen: tuple[tuple[int, ...], ...] = field(kw_only=True)

    def __post_init__(self) -> None:
        blocks = -(-whole("actors", self.actors, 1, LARGEST) // whole("block", self.block, 1, LARGEST))
        if not isinstance(self.chosen, tuple) or len(self.chosen) != blocks:
            raise InputError(
                f"chosen must be a tuple of what each of the {blocks} blocks reads, not {self.chosen!r:.80}"
            )
        for i, chosen in enumerate(self.chosen):
            numbers = isinstance(chosen, tuple) and all(isinstance(number, int) for number in chosen)
            if (
                not numbers
                or list(chosen) != sorted({*chosen})
                or (chosen and not 0 <= chosen[0] <= chosen[-1] < blocks)
            ):
                raise InputError(
                    f"chosen[{i}] must be a tuple of blocks 0 to {blocks - 1}, ascending, not {chosen!r:.80}"
                )

    @property
    def period(self) -> int:
        """Return 1: every layer is the same."""
        return 1

    def build(self, n: int, layer: int) -> Relation:
        """Return the pairs, one by one."""
        self.refuse_other(n)
        readers, reads = [], []
        for i, chosen in enumerate(self.chosen):
            rows = np.arange(i * self.block, min((i + 1) * self.block, n))
            keys = self._keys(chosen)
            t, s = np.repeat(rows, len(keys)), np.tile(keys, len(rows))
            readers.append(t[s <= t])
            reads.append(s[s <= t])
        return Relation(n, (Edges.from_pairs(n, np.concatenate(readers), np.concatenate(reads)),))

    def refuse_other(self, n: int) -> None:
        """Raise InputError unless n is the number of actors that the blocks were chosen among."""
        if n != self.actors:
            raise InputError(f"these blocks were selected among {self.actors} actors, not {n}: select them again")

    def __str__(self) -> str:
        indptr, indices = self.to_csr(self.actors)
        readers = np.repeat(np.arange(self.actors), np.diff(indptr))
        return f"graph({np.stack([readers, indices], 1).tolist()})"

    def _keys(self, chosen: tuple[int, ...]) -> np.ndarray:
        keys = (np.array(chosen, np.int64)[:, None] * self.block + np.arange(self.block)).ravel()
        return keys[keys < self.actors]

    def program(self) -> Program:
        """Lay out one tile per block, its keys gathered block by block: no pair is looked at to get there."""
        most = max(len(chosen) for chosen in self.chosen) * self.block
        gather = np.zeros((len(self.chosen), most), np.int64)
        real = np.zeros((len(self.chosen), most), bool)
        for i, chosen in enumerate(self.chosen):
            keys = self._keys(chosen)
            gather[i, : len(keys)], real[i, : len(keys)] = keys, True
        works = []
        whole = self.actors // self.block
        for first, count, height in ((0, whole, self.block), (whole, 1, self.actors - whole * self.block)):
            if count and height:
                part = slice(first, first + count)
                rows = np.arange(first * self.block, first * self.block + count * height).reshape(count, height, 1)
                hidden = ~real[part, None] | (gather[part, None] > rows)
                veil = Veil(0, most, torch.from_numpy(hidden))
                empty = hidden.all(2).ravel()
                works.append(
                    Work(
                        first * self.block, height, count, gather=torch.from_numpy(gather[part]), veils=(veil,),
                        empty=torch.from_numpy(empty) if empty.any() else None,
                    )
                )  # fmt: skip
        return Program(self.actors, 0, tuple(works), self.actors * most, 0.0)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What was selected, and how good a choice it was.

    Args:
        topology: who reads whom.
        kept: share of the full causal attention's mass that the selected blocks hold, mean over heads and queries.
        oracle: the same for the best choice of as many blocks for each block of queries.

    """

    topology: SelectedBlocks
    kept: float
    oracle: float


def select_blocks(
    q: Float[Tensor, "1 H T D"],
    k: Float[Tensor, "1 G T D"],
    *,
    block: int = 64,
    keep: int = 8,
    summary: Summary = mean_summary,
    own: int = 1,
) -> Selection:
    """Select for every block of queries the `keep` best-scored blocks of keys, its own among them.

    The scores of a block of queries are the softmax over blocks of each query's summary scores, summed over its queries
    and over heads, as in NSA (Yuan et al. 2025, eq. 9–10).

    Args:
        q: queries of one sequence.
        k: its keys, G dividing H.
        block: tokens in a block.
        keep: blocks that each block of queries reads, at most.
        summary: `mean_summary`, `bound_summary`, an `Indexer`, or any function of the same form.
        own: that many of the latest blocks are always read, the queries' own first.

    Raises InputError for more than one sequence, sizes, dtypes or devices that do not fit, what is no summary or gives
    NaN, or a number on the CPU that is not finite.

    >>> q, k = torch.randn(2, 1, 2, 256, 16).unbind()
    >>> found = select_blocks(q, k, block=32, keep=4)
    >>> [len(chosen) for chosen in found.topology.chosen], found.kept <= found.oracle
    ([1, 2, 3, 4, 4, 4, 4, 4], True)

    """
    refuse_unlike(q=q, k=k)
    if q.dim() != 4 or k.dim() != 4 or q.shape[0] != 1 or k.shape[0] != 1:
        raise InputError(f"blocks are selected for one sequence (1, heads, T, features), not {tuple(q.shape)}")
    if 0 in q.shape or q.shape[2:] != k.shape[2:] or not k.shape[1] or q.shape[1] % k.shape[1]:
        raise InputError(f"queries {tuple(q.shape)} and keys {tuple(k.shape)} do not fit, or hold nothing")
    block, keep = whole("block", block, 1, LARGEST), whole("keep", keep, 1, LARGEST)
    own = whole("own (some of the blocks to keep)", own, 1, keep)
    if not callable(summary) or isinstance(summary, type):
        raise InputError(
            f"summary must be a function or an Indexer, as in mean_summary or Indexer(64), not {summary!r}"
        )
    refuse_not_finite(q=q, k=k)
    queries, keys = q[0].float(), k[0].float().repeat_interleave(q.shape[1] // k.shape[1], dim=0)
    with torch.no_grad():
        scores, hidden = summary(queries, keys, block), _hidden(q.shape[2], block, q.device)
        refuse_unlike(**{"what the summary gives": scores})
        if scores.shape != (q.shape[1], *hidden.shape):
            wanted = (q.shape[1], *hidden.shape)
            raise InputError(f"a summary scores (heads, tokens, blocks), {wanted} here, not {tuple(scores.shape)}")
        scores = scores.masked_fill(hidden, -torch.inf)
        importance = _by_query_block(scores.softmax(-1), block)
        mass = torch.cat([_by_query_block(part, block) for part in _block_mass(queries, keys, block)])
    if importance.isnan().any():
        raise InputError("the summary gave NaN, or −∞ for every block that a query may read: no block can be chosen")
    distance = torch.arange(len(mass))[:, None] - torch.arange(len(mass))
    importance = importance.cpu().masked_fill((distance >= 0) & (distance < own), torch.inf)
    importance.masked_fill_(distance < 0, -torch.inf)
    chosen = [tuple(sorted(importance[i].topk(min(keep, i + 1)).indices.tolist())) for i in range(len(importance))]
    total = q.shape[1] * q.shape[2]
    kept = sum(mass[i, list(blocks)].sum().item() for i, blocks in enumerate(chosen)) / total
    oracle = mass.topk(min(keep, len(mass))).values.sum().item() / total
    topology = SelectedBlocks(actors=q.shape[2], block=block, chosen=tuple(chosen))
    return Selection(topology=topology, kept=kept, oracle=oracle)


def _refuse_unfit(q: Tensor, k: Tensor, block: int) -> None:
    refuse_unlike(q=q, k=k)
    if q.dim() != 3 or q.shape != k.shape or 0 in q.shape:
        raise InputError(f"a summary takes q and k, both (heads, tokens, features), not {shapes(q=q, k=k)}")
    whole("block", block, 1, LARGEST)


def _parts(x: Tensor, block: int, dim: int) -> list[Tensor]:
    """Cut a dimension into blocks, the last perhaps short."""
    size = x.shape[dim]
    return [x.narrow(dim, start, min(block, size - start)) for start in range(0, size, block)]


def _pooled(k: Float[Tensor, "H T D"], block: int) -> Float[Tensor, "H n D"]:
    """Return the mean key of every block."""
    return torch.stack([part.mean(1) for part in _parts(k, block, 1)], 1)


def _hidden(tokens: int, block: int, device: torch.device) -> Tensor:
    """Tell which blocks begin after a token, (T, n)."""
    starts = torch.arange(0, tokens, block, device=device)
    return starts > torch.arange(tokens, device=device)[:, None]


def _by_query_block(x: Float[Tensor, "H T n"], block: int) -> Float[Tensor, "m n"]:
    """Sum over heads and over the queries of each block."""
    return torch.stack([part.sum((0, 1)) for part in _parts(x, block, 1)])


def _block_mass(q: Float[Tensor, "H T D"], k: Float[Tensor, "H T D"], block: int) -> list[Float[Tensor, "H b n"]]:
    """Return the causal attention mass on every block of keys, a block of queries at a time."""
    tokens = k.shape[1]
    found = []
    for start in range(0, tokens, block):
        stop = min(start + block, tokens)
        later = torch.arange(tokens, device=k.device) > torch.arange(start, stop, device=k.device)[:, None]
        scores = (q[:, start:stop] @ k.mT * q.shape[-1] ** -0.5).masked_fill(later, -torch.inf)
        mass = torch.stack([part.sum(-1) for part in _parts(scores.softmax(-1), block, 2)], -1)
        found.append(mass)
    return found
