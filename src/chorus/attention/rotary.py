"""Rotary position: rotate, take the rotation back, move cached keys, and read a distance off two phases.

A rotary embedding turns the i-th pair of features of a vector at position p by the angle p·fᵢ, with
fᵢ = base^(−2i/D), so that a query's product with a key depends on the difference of their positions only
(Su et al. 2021, RoFormer, eq. 15). Pairs are (i, i + D/2) as in Llama, or (2i, 2i + 1) with `interleaved=True` as in
GPT-J. Angles are taken in float64: at position 100,000 a float32 angle is off by a hundredth of a radian.

Letters: T positions, D features (even), F = D/2 frequencies.
"""

import math

import torch
from jaxtyping import Float, Num
from torch import Tensor

from chorus.attention.checks import (
    LARGEST,
    broadcastable,
    expands,
    refuse_not_finite,
    refuse_not_positive,
    refuse_not_tensors,
    refuse_unlike,
    shapes,
)
from chorus.errors import InputError
from chorus.topology.topology import whole


def frequencies(dim: int, base: float = 10000.0) -> Float[Tensor, " F"]:
    """Return the F = dim/2 angular frequencies base^(−2i/dim), radians per position, float64.

    Raises InputError when `dim` is odd or not positive, or base is not above 1.

    >>> frequencies(4, base=100.0).tolist()
    [1.0, 0.1]
    """
    if whole("features of rotary", dim, 2, LARGEST) % 2:
        raise InputError(f"rotary needs an even number of features, not {dim}")
    refuse_not_positive("rotary base", base)
    if base <= 1:
        raise InputError(f"rotary base must be above 1, not {base}")
    return base ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)


def phases(
    positions: Num[Tensor, "*T"], dim: int, base: float = 10000.0, freqs: Float[Tensor, " F"] | None = None
) -> Float[Tensor, "*T F"]:
    """Return the angles p·fᵢ in [0, 2π) that rotary gives to each position, float64.

    Raises InputError as `rotate` does.
    """
    places = _real("positions", positions)
    f = _frequencies(dim, base, freqs).to(places.device)
    return (places[..., None] * f).remainder(2 * math.pi)


def _real(name: str, x: Tensor) -> Tensor:
    """Return real numbers in float64, where no difference wraps around; raise InputError for anything else."""
    refuse_not_tensors(**{name: x})
    if x.is_complex() or x.dtype == torch.bool:
        raise InputError(f"{name} must be real numbers, not {x.dtype}")
    if x.is_floating_point():
        refuse_not_finite(**{name: x})
    return x.double()


def _frequencies(dim: int, base: float, freqs: Tensor | None) -> Float[Tensor, " F"]:
    """Return the frequencies given, or those of the base."""
    usual = frequencies(dim, base)
    if freqs is None:
        return usual
    own = _real("freqs", freqs)
    if own.shape != usual.shape:
        raise InputError(
            f"{dim} features need {len(usual)} frequencies, freqs ({len(usual)},), not {shapes(freqs=own)}"
        )
    return own


def rotate(
    x: Float[Tensor, "*b T D"],
    positions: Num[Tensor, "*#c T"],
    base: float = 10000.0,
    *,
    freqs: Float[Tensor, " F"] | None = None,
    interleaved: bool = False,
) -> Float[Tensor, "*b T D"]:
    """Turn each vector by the angles of its position; equal to transformers' Llama rotary.

    Args:
        x: vectors (..., T, D), any floating dtype.
        positions: one per vector (T,), or broadcastable (..., T); integers or floats, negative allowed.
        base: the base of the frequencies, 10,000 in RoFormer, 500,000 in Llama 3.
        freqs: use these F frequencies (radians per position) instead, as scaled-rotary models need.
        interleaved: pair features (2i, 2i+1) instead of (i, i + D/2).

    Raises InputError when D is odd, x is not floating, the positions or frequencies do not fit or are not finite real
    numbers, or the base is not above 1.

    >>> x = torch.tensor([[1.0, 0.0]])
    >>> torch.allclose(rotate(x, torch.tensor([math.pi / 2])), torch.tensor([[0.0, 1.0]]), atol=1e-6)
    True

    """
    refuse_unlike(x=x)
    refuse_not_tensors(positions=positions)
    if x.dim() < 2 or not positions.dim() or not expands(positions.shape, x.shape[:-1]):
        raise InputError(
            f"positions {tuple(positions.shape)} do not fit vectors {tuple(x.shape)}: give one per vector, "
            f"({', '.join(map(str, x.shape[-2:-1]))}), or with a 1 for every dimension that shares them"
        )
    dim = x.shape[-1]
    angle = phases(positions.to(x.device), dim, base, freqs)
    kind = torch.promote_types(x.dtype, torch.float32)  # half-precision vectors are turned in float32
    cos, sin = angle.cos().to(kind), angle.sin().to(kind)
    if interleaved:
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2).to(x.dtype)
    a, b = x[..., : dim // 2], x[..., dim // 2 :]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


def unrotate(
    x: Float[Tensor, "*b T D"],
    positions: Num[Tensor, "*#c T"],
    base: float = 10000.0,
    *,
    freqs: Float[Tensor, " F"] | None = None,
    interleaved: bool = False,
) -> Float[Tensor, "*b T D"]:
    """Take a rotation back: `unrotate(rotate(x, p), p)` is x, to rounding. Arguments and errors as for `rotate`.

    >>> x = torch.randn(3, 8, dtype=torch.float64)
    >>> p = torch.tensor([5, 60, 700])
    >>> torch.allclose(unrotate(rotate(x, p), p), x)
    True
    """
    return rotate(x, -_real("positions", positions), base, freqs=freqs, interleaved=interleaved)


def rebase(
    keys: Float[Tensor, "*b T D"],
    from_: Num[Tensor, "*#c T"],
    to: Num[Tensor, "*#c T"],
    base: float = 10000.0,
    *,
    freqs: Float[Tensor, " F"] | None = None,
    interleaved: bool = False,
) -> Float[Tensor, "*b T D"]:
    """Move rotated keys from one set of positions to another, with one rotation by the difference.

    A cached block of keys can so be read at another place of another sequence without computing it again. Raises
    InputError as `rotate` does, and when the positions differ in number or device.

    >>> x = torch.randn(3, 8, dtype=torch.float64)
    >>> here, there = torch.arange(3), torch.arange(3) + 1000
    >>> torch.allclose(rebase(rotate(x, here), here, there), rotate(x, there))
    True
    """
    here, there = _real("from_", from_), _real("to", to)
    if here.shape != there.shape or here.device != there.device:
        raise InputError(
            f"positions to move from and to differ in number or device: {shapes(from_=here, to=there)} on "
            f"{here.device} and {there.device}"
        )
    return rotate(keys, there - here, base, freqs=freqs, interleaved=interleaved)


def distance(
    phase_a: Float[Tensor, "*b F"],
    phase_b: Float[Tensor, "*b F"],
    base: float = 10000.0,
    *,
    freqs: Float[Tensor, " F"] | None = None,
) -> Float[Tensor, "*b"]:
    """Recover position(a) − position(b) from their rotary phases.

    The slowest frequency wraps last and gives a coarse distance; each faster one refines it, as vernier scales do.
    Unambiguous for |distance| < π / f_min, which is about base·π·base^(−2/D): 23,560 positions for D = 64; an error ε
    of the slowest phase takes ε / f_min off this range. An estimate stays right while every phase is known to better
    than about π(1 − f_slower / f_faster) / 2.

    Args:
        phase_a: angles in radians (..., F), of any winding, fastest first, as `phases` gives them.
        phase_b: the same for the other position.
        base: the base of the frequencies.
        freqs: the F frequencies themselves, where they are not base^(−2i/D).

    Raises InputError when shapes or devices do not fit, a number is not finite, or a frequency not positive.

    >>> a, b = phases(torch.tensor([1234, 7]), 64)
    >>> round(distance(a, b).item(), 6)
    1227.0

    """
    a, b = _real("phase_a", phase_a), _real("phase_b", phase_b)
    fits = a.dim() and a.shape[-1:] == b.shape[-1:] and broadcastable(a.shape, b.shape)
    if not fits or a.device != b.device:
        raise InputError(
            f"{shapes(phase_a=a, phase_b=b)}, on {a.device} and {b.device}, cannot be compared: give phases (..., F) "
            "of the same F frequencies on one device"
        )
    f = _frequencies(2 * a.shape[-1], base, freqs)
    if not (f > 0).all():
        raise InputError(f"a distance is read from positive frequencies, not from {f.min().item()}")
    turn = a - b
    estimate = torch.zeros_like(turn[..., 0])
    for i in f.argsort().tolist():  # slowest first
        off = turn[..., i] - f[i].item() * estimate
        estimate = estimate + torch.atan2(off.sin(), off.cos()) / f[i].item()
    return estimate
