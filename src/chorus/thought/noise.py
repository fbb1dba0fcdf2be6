"""Counter-based random numbers: each is a pure function of integer keys, so results do not depend on batching.

The generator is SplitMix64's finaliser (Steele, Lea, Flood 2014) applied to a running combination of the keys.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def _shift(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)  # torch shifts arithmetically; the mask makes it logical


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


def combine(*keys: Int[Tensor, "..."] | int) -> Int[Tensor, "..."]:
    """Hash integer keys, broadcast against each other, into one key each; int64.

    >>> bool(combine(torch.tensor([1, 2]), 3)[0] == combine(1, 3))
    True
    """
    key = torch.zeros((), dtype=torch.int64)
    for part in keys:
        part = torch.as_tensor(part, dtype=torch.int64)
        key = _mix(key.to(part.device) + part + _GOLDEN)
    return key


def uniform(key: Int[Tensor, "*shape"], n: int) -> Float[Tensor, "*shape {n}"]:
    """Draw n float32 numbers in (0, 1) for every key."""
    bits = _shift(combine(key[..., None], torch.arange(n, device=key.device)), 41)
    return (bits.to(torch.float32) + 0.5) * 2.0**-23  # 23 bits: the largest is still below 1 in float32


def normal(key: Int[Tensor, "*shape"], n: int) -> Float[Tensor, "*shape {n}"]:
    """Draw n standard normal float32 numbers for every key, by inversion."""
    draw: Tensor = torch.erfinv(2 * uniform(key, n) - 1) * 2.0**0.5
    return draw
