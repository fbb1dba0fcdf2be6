"""How well a key answers a query: dot product, cosine, or the logarithm of a kernel of their distance.

Softmax over a log-kernel is kernel regression (Nadaraya 1964, Watson 1964): weights k(q, kᵢ) / Σⱼ k(q, kⱼ). The dot
product joins them: q·k = (‖q‖² + ‖k‖² − ‖q − k‖²) / 2, and ‖q‖² cancels in the softmax, so softmax(q·k / σ²) equals
Gaussian kernel regression of bandwidth σ exactly when all keys have one norm; otherwise each key carries the extra
weight exp(‖k‖² / 2σ²).

Letters: Q queries, K keys, D features.
"""

import math
import re
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from chorus.attention.checks import (
    DTYPES,
    FULL_PRECISION,
    broadcastable,
    refuse_not_positive,
    refuse_unlike,
    shapes,
)
from chorus.errors import InputError


@runtime_checkable
class Score(Protocol):
    """What every score offers: the definition, and the same scores as one dot product where that exists."""

    def __call__(self, q: Float[Tensor, "*b Q D"], k: Float[Tensor, "*b K D"]) -> Float[Tensor, "*b Q K"]:
        """Return the score of every pair."""
        ...

    def as_dot(
        self, q: Float[Tensor, "*b Q D"], k: Float[Tensor, "*c K D"]
    ) -> tuple[Float[Tensor, "*b Q E"], Float[Tensor, "*c K E"], float] | None:
        """Return (q', k', scale) with scale·q'·k' equal to the score up to a constant per query, or None."""
        ...


def _refuse_unfit(q: Tensor, k: Tensor, kinds: tuple[torch.dtype, ...] = DTYPES) -> None:
    refuse_unlike(kinds, q=q, k=k)
    vectors = min(q.dim(), k.dim()) > 1 and q.shape[-1] == k.shape[-1] > 0
    if not vectors or not broadcastable(q.shape[:-2], k.shape[:-2]):
        raise InputError(f"queries (..., Q, D) and keys (..., K, D) of one D are scored, not {shapes(q=q, k=k)}")


def _from_centre(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Measure q and k from a typical key, which changes no distance.

    Far from the origin (years, prices) a distance taken as ‖q‖² + ‖k‖² − 2q·k has lost its digits in float32. The
    typical key is a median, which no single far key moves, of about 64 keys a head, which costs little.
    """
    some = k.detach()[..., :: max(1, k.shape[-2] // 64), :]
    ranked = some.flatten(0, -2).sort(0).values
    if not len(ranked):
        return q, k
    centre = ranked[len(ranked) // 2]
    return q - centre, k - centre


@dataclass(frozen=True)
class Dot:
    """Scaled dot product, scale·q·k (Vaswani et al. 2017, eq. 1); `scale=None` is 1/√D."""

    scale: float | None = None

    def __post_init__(self) -> None:
        if self.scale is not None and not (isinstance(self.scale, int | float) and math.isfinite(self.scale)):
            raise InputError(f"a dot score's scale must be a finite number, not {self.scale!r}")

    def __call__(self, q: Float[Tensor, "*b Q D"], k: Float[Tensor, "*b K D"]) -> Float[Tensor, "*b Q K"]:
        """Return scale·q·k for every pair."""
        _refuse_unfit(q, k)
        return (q @ k.mT) * self._scale(q)

    def as_dot(
        self, q: Float[Tensor, "*b Q D"], k: Float[Tensor, "*c K D"]
    ) -> tuple[Float[Tensor, "*b Q E"], Float[Tensor, "*c K E"], float]:
        """Return q, k and the scale as they are."""
        return q, k, self._scale(q)

    def _scale(self, q: Tensor) -> float:
        return q.shape[-1] ** -0.5 if self.scale is None else self.scale


@dataclass(frozen=True)
class Cosine:
    """Cosine of the angle between query and key, times `scale` (an inverse temperature)."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        refuse_not_positive("a cosine score's scale", self.scale)

    def __call__(self, q: Float[Tensor, "*b Q D"], k: Float[Tensor, "*b K D"]) -> Float[Tensor, "*b Q K"]:
        """Return scale·cos(q, k) for every pair."""
        _refuse_unfit(q, k)
        q, k, scale = self.as_dot(q, k)
        return (q @ k.mT) * scale

    def as_dot(
        self, q: Float[Tensor, "*b Q D"], k: Float[Tensor, "*c K D"]
    ) -> tuple[Float[Tensor, "*b Q E"], Float[Tensor, "*c K E"], float]:
        """Return q and k at unit length."""
        return torch.nn.functional.normalize(q, dim=-1), torch.nn.functional.normalize(k, dim=-1), self.scale


@dataclass(frozen=True)
class Gaussian:
    """Logarithm of the Gaussian kernel, −‖q − k‖² / 2σ², with σ = `bandwidth` in the units of q and k."""

    bandwidth: float = 1.0

    def __post_init__(self) -> None:
        refuse_not_positive("a Gaussian score's bandwidth", self.bandwidth)

    def __call__(self, q: Float[Tensor, "*b Q D"], k: Float[Tensor, "*b K D"]) -> Float[Tensor, "*b Q K"]:
        """Return −‖q − k‖² / 2σ² for every pair."""
        _refuse_unfit(q, k)
        q, k = _from_centre(q, k)
        squared = q.square().sum(-1)[..., :, None] + k.square().sum(-1)[..., None, :] - 2 * (q @ k.mT)
        return squared / (-2 * self.bandwidth**2)

    def as_dot(
        self, q: Float[Tensor, "*b Q D"], k: Float[Tensor, "*c K D"]
    ) -> tuple[Float[Tensor, "*b Q E"], Float[Tensor, "*c K E"], float]:
        """Return q and k with one more feature: 1 beside q, −‖k‖²/2 beside k."""
        # −‖q−k‖²/2 = q·k − ‖k‖²/2 − ‖q‖²/2; the last term is the same for every key and drops out.
        q, k = _from_centre(q, k)
        one = torch.ones_like(q[..., :1])
        half = k.square().sum(-1, keepdim=True) / -2
        return torch.cat([q, one], -1), torch.cat([k, half], -1), self.bandwidth**-2


@dataclass(frozen=True)
class Laplace:
    """Logarithm of the Laplace kernel, −‖q − k‖₁ / σ, with σ = `bandwidth` in the units of q and k."""

    bandwidth: float = 1.0

    def __post_init__(self) -> None:
        refuse_not_positive("a Laplace score's bandwidth", self.bandwidth)

    def __call__(self, q: Float[Tensor, "*b Q D"], k: Float[Tensor, "*b K D"]) -> Float[Tensor, "*b Q K"]:
        """Return −‖q − k‖₁ / σ for every pair."""
        _refuse_unfit(q, k, FULL_PRECISION)
        return torch.cdist(q, k, p=1.0) / -self.bandwidth

    def as_dot(self, q: Float[Tensor, "*b Q D"], k: Float[Tensor, "*c K D"]) -> None:
        """Return None: a sum of absolute differences is no dot product."""
        return None


SCORES: dict[str, type[Dot | Cosine | Gaussian | Laplace]] = {
    "dot": Dot,
    "cosine": Cosine,
    "gaussian": Gaussian,
    "laplace": Laplace,
}


def parse_score(score: str | Score) -> Score:
    """Return the score named by text such as "dot", "cosine(10)" or "gaussian(0.5)"; a score passes through.

    Raises InputError for an unknown name or a parameter that is no number.

    >>> parse_score("gaussian(0.5)")
    Gaussian(bandwidth=0.5)
    """
    # First what is known: to look a protocol up takes as long as a small product.
    if isinstance(score, Dot | Cosine | Gaussian | Laplace):
        return score
    if not isinstance(score, str):
        if isinstance(score, Score) and not isinstance(score, type):
            return score
        raise InputError(f'score must be a name or a score, as in "gaussian(0.5)" or Gaussian(0.5), not {score!r}')
    match = re.fullmatch(r"\s*(\w+)\s*(?:\(\s*([-+.\deE]*)\s*\))?\s*", score)
    if not match or match[1] not in SCORES:
        raise InputError(f'unknown score "{score}": choose one of {", ".join(SCORES)}, as in "gaussian(0.5)"')
    if not match[2]:
        return SCORES[match[1]]()
    try:
        return SCORES[match[1]](float(match[2]))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f'"{match[2]}" in score "{score}" is no number') from None
