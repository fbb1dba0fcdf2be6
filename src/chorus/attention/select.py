"""From scores to weights: softmax, one key with a straight-through gradient, top-k, sparsemax, 1.5-entmax.

Every selection takes scores (..., K) and which keys are readable (..., K), and returns weights that are zero on every
unreadable key and sum to one over the readable ones. A row that may read nothing gets all zeros.
"""

import re
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from chorus.attention.checks import LARGEST, at_hand, expands, refuse_not_tensors, refuse_unlike, shapes
from chorus.attention.scores import Score
from chorus.errors import InputError
from chorus.topology.topology import whole


@runtime_checkable
class Select(Protocol):
    """What every selection offers."""

    def __call__(
        self, scores: Float[Tensor, "*rows K"], readable: Bool[Tensor, "*#rows K"] | None = None
    ) -> Float[Tensor, "*rows K"]:
        """Return the weights of the readable keys."""
        ...


def _mask(scores: Tensor, readable: Tensor | None) -> Tensor:
    """Set unreadable scores to −∞, but leave empty rows finite: no selection may meet a row of −∞ (0/0)."""
    refuse_unlike(scores=scores)
    if not scores.dim():
        raise InputError("scores are (..., K), of K keys, not a single number")
    if readable is None:
        return scores
    refuse_not_tensors(readable=readable)
    fits = expands(readable.shape, scores.shape) and readable.device == scores.device
    if readable.dtype != torch.bool or not fits:
        raise InputError(
            f"readable must be bool, true where a key may be read, and expand to {shapes(scores=scores)} on "
            f"{scores.device}, not {readable.dtype} {tuple(readable.shape)} on {readable.device}"
        )
    empty = ~readable.any(-1, keepdim=True)
    return scores.masked_fill(~(readable | empty), -torch.inf)


def _refuse_overflow(best: Tensor) -> None:
    """Raise InputError where a row's best score is not finite: no key is then the best, nor any threshold right."""
    if at_hand(best) and not torch.isfinite(best).all():
        raise InputError("a row's best score is NaN or infinite: scale queries and keys down, or take float64")


def _clear(weights: Tensor, readable: Tensor | None) -> Tensor:
    return weights if readable is None else weights.masked_fill(~readable, 0.0)


@dataclass(frozen=True)
class Soft:
    """Softmax: weights proportional to exp(score)."""

    def __call__(
        self, scores: Float[Tensor, "*rows K"], readable: Bool[Tensor, "*#rows K"] | None = None
    ) -> Float[Tensor, "*rows K"]:
        """Return the softmax."""
        return _clear(_mask(scores, readable).softmax(-1), readable)


@dataclass(frozen=True)
class Hard:
    """One key, the best (the first of equals); the gradient is the softmax's (straight-through, Bengio et al. 2013)."""

    def __call__(
        self, scores: Float[Tensor, "*rows K"], readable: Bool[Tensor, "*#rows K"] | None = None
    ) -> Float[Tensor, "*rows K"]:
        """Return a one for the best key and zeros elsewhere."""
        masked = _mask(scores, readable)
        if not scores.shape[-1]:
            return scores
        best = masked.argmax(-1, keepdim=True)
        _refuse_overflow(masked.gather(-1, best))
        weights: Tensor = _StraightThrough.apply(masked.softmax(-1), best)  # type: ignore[no-untyped-call]
        return _clear(weights, readable)


class _StraightThrough(torch.autograd.Function):
    """One-hot forward, identity backward: adding and subtracting the softmax instead would not give exact ones."""

    @staticmethod
    def forward(ctx: Any, soft: Tensor, best: Tensor) -> Tensor:
        return torch.zeros_like(soft).scatter_(-1, best, 1.0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


@dataclass(frozen=True)
class TopK:
    """Softmax over the k best-scored readable keys of each row; all of them where a row has fewer than k."""

    k: int

    def __post_init__(self) -> None:
        whole("k of top_k", self.k, 1, LARGEST)

    def __call__(
        self, scores: Float[Tensor, "*rows K"], readable: Bool[Tensor, "*#rows K"] | None = None
    ) -> Float[Tensor, "*rows K"]:
        """Return the softmax of the k best."""
        masked = _mask(scores, readable)
        best = masked.detach().topk(min(self.k, masked.shape[-1]), -1)
        _refuse_overflow(best.values[..., :1])
        kept = torch.zeros_like(masked, dtype=torch.bool).scatter_(-1, best.indices, True)
        return _clear(masked.masked_fill(~kept, -torch.inf).softmax(-1), readable)


@dataclass(frozen=True)
class Sparsemax:
    """Euclidean projection of the scores on the simplex (Martins and Astudillo 2016, algorithm 1)."""

    def __call__(
        self, scores: Float[Tensor, "*rows K"], readable: Bool[Tensor, "*#rows K"] | None = None
    ) -> Float[Tensor, "*rows K"]:
        """Return the projection on the simplex."""
        masked = _mask(scores, readable)
        if not scores.shape[-1]:
            return scores
        weights: Tensor = _Sparsemax.apply(masked)  # type: ignore[no-untyped-call]
        return _clear(weights, readable)


class _Sparsemax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        best = scores.amax(-1, keepdim=True)
        _refuse_overflow(best)
        z = scores - best
        ranked = z.sort(-1, descending=True).values
        count = torch.arange(1, z.shape[-1] + 1, device=z.device, dtype=z.dtype)
        above = ranked.cumsum(-1) - 1
        support = (count * ranked > above).sum(-1, keepdim=True)
        threshold = above.gather(-1, support - 1) / support
        weights: Tensor = (z - threshold).clamp_min_(0)
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        weights: Tensor = ctx.saved_tensors[0]
        inside = (weights > 0).to(grads[0].dtype)
        mean: Tensor = (grads[0] * inside).sum(-1, keepdim=True) / inside.sum(-1, keepdim=True)
        return inside * (grads[0] - mean)


@dataclass(frozen=True)
class Entmax:
    """1.5-entmax, halfway between softmax and sparsemax (Peters, Niculae and Martins 2019, algorithm 2)."""

    def __call__(
        self, scores: Float[Tensor, "*rows K"], readable: Bool[Tensor, "*#rows K"] | None = None
    ) -> Float[Tensor, "*rows K"]:
        """Return the 1.5-entmax."""
        masked = _mask(scores, readable)
        if not scores.shape[-1]:
            return scores
        weights: Tensor = _Entmax.apply(masked)  # type: ignore[no-untyped-call]
        return _clear(weights, readable)


class _Entmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        best = scores.amax(-1, keepdim=True)
        _refuse_overflow(best)
        z = (scores - best) / 2
        # The threshold of the ρ best solves Σ (zᵢ − τ)² = 1. At most −1 matters: below it a key is never in the
        # support, since the best alone (z = 0) would then already weigh more than one. That also bounds the squares.
        ranked = z.clamp_min(-2.0).sort(-1, descending=True).values
        count = torch.arange(1, z.shape[-1] + 1, device=z.device, dtype=z.dtype)
        mean = ranked.cumsum(-1) / count
        spread = count * (ranked.square().cumsum(-1) / count - mean.square())
        thresholds = mean - ((1 - spread) / count).clamp_min(0).sqrt()
        support = (thresholds <= ranked).sum(-1, keepdim=True)
        weights: Tensor = (z - thresholds.gather(-1, support - 1)).clamp_min_(0).square_()
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        root: Tensor = ctx.saved_tensors[0].sqrt()
        direct = grads[0] * root
        mean: Tensor = direct.sum(-1, keepdim=True) / root.sum(-1, keepdim=True)
        return direct - root * mean


SELECTIONS: dict[str, type[Soft | Hard | Sparsemax | Entmax]] = {
    "soft": Soft,
    "hard": Hard,
    "sparsemax": Sparsemax,
    "entmax": Entmax,
}


def parse_select(select: str | Select) -> Select:
    """Return the selection named by text such as "soft", "hard" or "top_k(8)"; a selection passes through.

    Raises InputError for an unknown name or a k that is no positive integer.

    >>> parse_select("top_k(8)")
    TopK(k=8)
    """
    # First what is known: to look a protocol up takes as long as a small product.
    if isinstance(select, Soft | Hard | TopK | Sparsemax | Entmax):
        return select
    if not isinstance(select, str):
        if isinstance(select, Select) and not isinstance(select, type | Score):
            return select
        raise InputError(f'select must be a name or a selection, as in "top_k(8)" or TopK(8), not {select!r}')
    if match := re.fullmatch(r"\s*top_k\s*\(\s*(\d{1,18})\s*\)\s*", select):
        return TopK(int(match[1]))
    if select.strip() not in SELECTIONS:
        raise InputError(f'unknown selection "{select}": choose one of {", ".join(SELECTIONS)}, or "top_k(8)"')
    return SELECTIONS[select.strip()]()
