"""Kernelised attention: softmax's exponential replaced by a product of features, so that sums can be carried along.

outₜ = Σₛ φ(qₜ)·φ(kₛ) vₛ / Σₛ φ(qₜ)·φ(kₛ)  (Katharopoulos et al. 2020, eq. 5). The sums over s are an M × E matrix and
an M vector whatever the number of keys: computed at once (every query reads every key), chunk by chunk (causal, for
training), or one token at a time (decoding). The three forms are the same sum in another order.

Letters: B batch, H query heads, G key heads, T tokens, D features, E features of a value, M features of the map,
C chunk, N chunks.
"""

from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from chorus.attention.checks import LARGEST, refuse_not_finite, refuse_unfit_heads, shapes
from chorus.attention.features import FeatureMap
from chorus.errors import InputError
from chorus.topology.topology import whole


def linear_attention(
    q: Float[Tensor, "B H T D"],
    k: Float[Tensor, "B G S D"],
    v: Float[Tensor, "B G S E"],
    phi: FeatureMap,
    *,
    causal: bool = False,
    chunk: int = 128,
    state: "LinearState | None" = None,
) -> Float[Tensor, "B H T E"]:
    """Attend with a feature map, in time and memory linear in T.

    Args:
        q: queries.
        k: keys, G dividing H; as many as queries when causal.
        v: values.
        phi: `Elu1()`, `Favor(...)` or `Fourier(...)`.
        causal: whether token t reads only tokens 0..t; computed in chunks.
        chunk: tokens per chunk when causal; changes the speed, not the result.
        state: start from what was read before, and add these tokens to it (causal only).

    Raises InputError when shapes, dtypes, devices, the state or what phi gives do not fit, or a number on the CPU is
    not finite.

    >>> from chorus.attention import Elu1
    >>> q, k, v = torch.randn(3, 1, 2, 10, 4).unbind()
    >>> linear_attention(q, k, v, Elu1(), causal=True).shape
    torch.Size([1, 2, 10, 4])

    """
    refuse_unfit_heads(q, k, v)
    if not callable(phi) or isinstance(phi, type):
        raise InputError(f"phi must be a feature map, as in Elu1() or Favor(64, 256), not {phi!r}")
    refuse_not_finite(q=q, k=k, v=v)
    if causal and q.shape[2] != k.shape[2]:
        raise InputError(f"causal attention needs a query per key, not {q.shape[2]} and {k.shape[2]}")
    chunk = min(whole("chunk", chunk, 1, LARGEST), max(1, q.shape[2]))
    if state is not None and not causal:
        raise InputError("a state is carried along by causal attention only: pass causal=True")
    if state is not None and not isinstance(state, LinearState):
        raise InputError(f"state must be a LinearState, not {type(state).__name__}")
    kind = torch.promote_types(q.dtype, torch.float32)
    group = q.shape[1] // k.shape[1]
    fq, fk = (_features(phi, x.to(kind), query) for x, query in ((q, True), (k, False)))
    if fq.shape[-1] != fk.shape[-1]:
        raise InputError(f"phi gives a query {fq.shape[-1]} features and a key {fk.shape[-1]}: they are multiplied")
    # A column of ones beside the values carries the denominator through the same products.
    ones = torch.ones_like(v[..., :1], dtype=kind)
    values = torch.cat([v.to(kind), ones], -1)
    heads = (q.shape[0], k.shape[1], group)  # a key head serves the queries of `group` heads at once
    if causal:
        sums = _causal_sums(fq.reshape(*heads, *fq.shape[2:]), fk, values, chunk, state)
    else:
        sums = fq.reshape(*heads[:2], group * q.shape[2], fq.shape[-1]) @ (fk.mT @ values)
    out: Tensor = _ratio(sums).reshape(*q.shape[:3], v.shape[-1]).to(q.dtype)
    return out


def _features(phi: FeatureMap, x: Tensor, query: bool) -> Tensor:
    features: Tensor = phi(x, query=query)
    if not isinstance(features, Tensor) or features.shape[:-1] != x.shape[:-1]:
        found = shapes(features=features) if isinstance(features, Tensor) else type(features).__name__
        raise InputError(f"phi must give features to each vector of {shapes(x=x)} in its last dimension, not {found}")
    return features.to(x.dtype)


def _ratio(sums: Float[Tensor, "*b E1"]) -> Float[Tensor, "*b E"]:
    """Numerator by denominator; zeros where no key weighs anything."""
    below = sums[..., -1:]
    ratio: Tensor = sums[..., :-1] / below.masked_fill(below == 0, 1.0)
    return ratio


def _causal_sums(
    fq: Float[Tensor, "B G R T M"],
    fk: Float[Tensor, "B G T M"],
    values: Float[Tensor, "B G T E1"],
    chunk: int,
    state: "LinearState | None",
) -> Float[Tensor, "B G R T E1"]:
    """Within a chunk as a masked product, between chunks through the running sum of φ(k) vᵀ."""
    tokens = fk.shape[2]
    pad = max(chunk, tokens + -tokens % chunk) - tokens  # one chunk at least, where there are no tokens
    fq, fk, values = (torch.nn.functional.pad(x, (0, 0, 0, pad)) for x in (fq, fk, values))
    fq, fk, values = (x.unflatten(-2, (-1, chunk)) for x in (fq, fk, values))
    written = (fk.mT @ values).cumsum(2)  # B G N M E1: what stands after each chunk
    first = torch.zeros_like(written[:, :, :1])
    if state is not None:
        if state.sums is not None:
            held, new = state.sums[:, :, None], first
            if (held.shape, held.dtype, held.device) != (new.shape, new.dtype, new.device):
                raise InputError(
                    f"the state holds sums {tuple(state.sums.shape)}, {held.dtype} on {held.device}, and these tokens "
                    f"give {tuple(new[:, :, 0].shape)}, {new.dtype} on {new.device}: batch, key heads, features, value "
                    "features, dtype or device differ"
                )
            first = held
            written = written + first
        state.sums = written[:, :, -1]
    before = torch.cat([first, written[:, :, :-1]], 2)
    within = (fq @ fk.mT.unsqueeze(2)).tril()
    sums: Tensor = within @ values.unsqueeze(2) + fq @ before.unsqueeze(2)
    return sums.flatten(3, 4)[:, :, :, :tokens]


class LinearState:
    """What linear attention remembers of the tokens read so far: one M × (E + 1) matrix per key head.

    >>> from chorus.attention import Elu1
    >>> q, k, v = torch.randn(3, 1, 2, 10, 4).unbind()
    >>> state = LinearState()
    >>> steps = [state.step(q[:, :, t], k[:, :, t], v[:, :, t], Elu1()) for t in range(10)]
    >>> torch.allclose(torch.stack(steps, 2), linear_attention(q, k, v, Elu1(), causal=True), atol=1e-5)
    True
    """

    def __init__(self) -> None:
        self.sums: Float[Tensor, "B G M E1"] | None = None

    def step(
        self, q: Float[Tensor, "B H D"], k: Float[Tensor, "B G D"], v: Float[Tensor, "B G E"], phi: FeatureMap
    ) -> Float[Tensor, "B H E"]:
        """Read one more token and return its output, in time and memory independent of how many came before.

        Raises InputError as `linear_attention` does.
        """
        refuse_unfit_heads(q, k, v, dims=3)
        out = linear_attention(q[:, :, None], k[:, :, None], v[:, :, None], phi, causal=True, chunk=1, state=self)
        return out[:, :, 0]

    def copy(self) -> Self:
        """Return a state that goes its own way from here, as when one prefix is continued twice."""
        other = type(self)()
        other.sums = self.sums  # sums are replaced, never written into
        return other
