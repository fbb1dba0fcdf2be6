"""Feature maps φ with φ(q)·φ(k) ≈ or = a kernel: what makes attention linear in the number of keys.

A feature map is called as `phi(x, query=...)`: a query's features may be rescaled row by row, since a row's scale
cancels between the numerator and the denominator of attention; a key's may not.

Letters: D features of the input, M random features.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from chorus.attention.checks import LARGEST, refuse_not_positive, refuse_unlike, shapes
from chorus.errors import InputError
from chorus.topology.topology import whole


class FeatureMap(Protocol):
    """What linear attention needs of a kernel."""

    def __call__(self, x: Float[Tensor, "*b D"], *, query: bool) -> Float[Tensor, "*b M"]:
        """Return the features of queries or of keys."""
        ...


@dataclass(frozen=True)
class Elu1:
    """φ(x) = elu(x) + 1, a positive map with M = D (Katharopoulos et al. 2020, eq. 7)."""

    def __call__(self, x: Float[Tensor, "*b D"], *, query: bool) -> Float[Tensor, "*b D"]:
        """Return elu(x) + 1."""
        refuse_unlike(x=x)
        return torch.nn.functional.elu(x) + 1


def _gaussian_directions(
    dim: int, features: int, seed: int, orthogonal: bool, device: torch.device | None
) -> Float[Tensor, "M D"]:
    """Rows distributed as N(0, I); orthogonal within each block of `dim` rows, which lowers the variance."""
    dim, features = whole("dim", dim, 1, LARGEST), whole("features", features, 1, LARGEST)
    generator = torch.Generator().manual_seed(whole("seed", seed, -(1 << 63), (1 << 64) - 1))
    if not orthogonal:
        return torch.randn(features, dim, generator=generator).to(device=device)
    blocks = []
    for _ in range(math.ceil(features / dim)):
        square, upper = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))
        blocks.append(square * upper.diagonal().sign())  # Haar-distributed only with R's diagonal made positive
    lengths = torch.randn(len(blocks) * dim, dim, generator=generator, dtype=torch.float64).norm(dim=1, keepdim=True)
    directions: Tensor = (torch.cat([block.T for block in blocks]) * lengths)[:features]
    return directions.to(device=device, dtype=torch.float32)


class Favor:
    """Positive random features of the softmax kernel exp(q·k / √D): FAVOR+ (Choromanski et al. 2021, lemma 1).

    φ(x) = exp(ωᵀx − ‖x‖²/2) / √M with x scaled by D^(−1/4). The estimate is unbiased and its error falls as 1/√M.
    Keys are not rescaled: one with ‖k‖²/√D above about 170 underflows in float32 and then weighs nothing.

    Args:
        dim: features D of queries and keys.
        features: number M of random features.
        seed: draws the directions ω.
        orthogonal: make the directions orthogonal within each block of D.
        scale: the kernel is exp(scale·q·k), scale above 0; None is 1/√D.
        device: where the directions live.

    Raises InputError for sizes that are not whole and positive, and a scale that is not.

    >>> phi = Favor(dim=8, features=16)
    >>> phi(torch.zeros(2, 8), query=True).shape
    torch.Size([2, 16])

    """

    def __init__(
        self,
        dim: int,
        features: int,
        seed: int = 0,
        *,
        orthogonal: bool = True,
        scale: float | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.directions = _gaussian_directions(dim, features, seed, orthogonal, device)
        self.scale = dim**-0.5 if scale is None else scale
        refuse_not_positive("the softmax kernel's scale", self.scale)

    def __call__(self, x: Float[Tensor, "*b D"], *, query: bool) -> Float[Tensor, "*b M"]:
        """Return the positive features; a query's are scaled so that the largest is 1/√M."""
        _refuse_unfit(x, self.directions)
        x = x * self.scale**0.5
        exponent = x @ self.directions.to(x.dtype).mT
        # A query's largest feature stands in for its norm, which would cancel anyway.
        shift = exponent.detach().amax(-1, keepdim=True) if query else x.square().sum(-1, keepdim=True) / 2
        features: Tensor = (exponent - (shift + math.log(len(self.directions)) / 2)).exp()
        return features


class Fourier:
    """Random Fourier features of the Gaussian kernel exp(−‖q − k‖² / 2σ²) (Rahimi and Recht 2007).

    φ(x) = [cos(ωᵀx), sin(ωᵀx)] / √(M/2) with ω ~ N(0, σ⁻²I). Features are signed, so that with few of them a weight
    can come out negative and a row's sum near zero: use `Favor` unless the queries and keys are close together.

    Args:
        dim: features D of queries and keys.
        features: number M of random features, even.
        seed: draws the directions ω.
        bandwidth: σ, in the units of q and k.
        orthogonal: make the directions orthogonal within each block of D.
        device: where the directions live.

    >>> phi = Fourier(dim=2, features=4000)
    >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> close = (phi(x, query=True) @ phi(x, query=False).T)[0, 1]
    >>> abs(close.item() - math.exp(-0.5)) < 0.02
    True

    """

    def __init__(
        self,
        dim: int,
        features: int,
        seed: int = 0,
        *,
        bandwidth: float = 1.0,
        orthogonal: bool = True,
        device: torch.device | None = None,
    ) -> None:
        if whole("features", features, 1, LARGEST) % 2:
            raise InputError(f"Fourier features come in pairs: features must be even, not {features}")
        refuse_not_positive("a Gaussian kernel's bandwidth", bandwidth)
        self.directions = _gaussian_directions(dim, features // 2, seed, orthogonal, device) / bandwidth

    def __call__(self, x: Float[Tensor, "*b D"], *, query: bool) -> Float[Tensor, "*b M"]:
        """Return the cosines and sines."""
        _refuse_unfit(x, self.directions)
        angle = x @ self.directions.to(x.dtype).mT
        features: Tensor = torch.cat([angle.cos(), angle.sin()], -1) * len(self.directions) ** -0.5
        return features


def _refuse_unfit(x: Tensor, directions: Tensor) -> None:
    refuse_unlike(x=x)
    if x.device != directions.device:
        raise InputError(f"x is on {x.device} and the directions on {directions.device}: make the map with device=")
    if not x.dim() or x.shape[-1] != directions.shape[1]:
        raise InputError(
            f"these features are of vectors of {directions.shape[1]} numbers, as x (..., {directions.shape[1]}), not "
            f"{shapes(x=x)}"
        )
