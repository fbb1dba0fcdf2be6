"""Attention as a differentiable dictionary, and as kernel regression."""

import torch
from jaxtyping import Float
from torch import Tensor

from chorus.attention.checks import broadcastable, refuse_not_finite, refuse_unlike, shapes
from chorus.attention.scores import Dot, Gaussian, Laplace, Score, parse_score
from chorus.attention.select import Select, Soft, parse_select
from chorus.errors import InputError


def lookup(
    queries: Float[Tensor, "*b Q D"],
    keys: Float[Tensor, "*b K D"],
    values: Float[Tensor, "*b K E"],
    score: str | Score = Dot(scale=1.0),  # noqa: B008 - frozen
    select: str | Select = Soft(),  # noqa: B008 - frozen
) -> Float[Tensor, "*b Q E"]:
    """Look queries up in a dictionary of keys and values, softly or hard.

    With `select="hard"` this is the value of the best-matching key, as in a table; with "soft" it is a blend that a
    gradient flows through. The order of the keys does not matter, and permuting the queries permutes the answers.

    Half precision is computed in float32. Raises InputError when shapes, dtypes or devices do not fit, the dictionary
    is empty, or a number on the CPU is not finite.

    >>> import torch
    >>> keys = torch.eye(3)
    >>> values = torch.tensor([[10.0], [20.0], [30.0]])
    >>> lookup(torch.tensor([[0.1, 0.9, 0.0]]), keys, values, select="hard").tolist()
    [[20.0]]
    """
    refuse_unlike(queries=queries, keys=keys, values=values)
    if (
        min(queries.dim(), keys.dim()) < 2
        or queries.shape[-1] != keys.shape[-1]
        or keys.shape[:-1] != values.shape[:-1]
        or not broadcastable(queries.shape[:-2], keys.shape[:-2])
    ):
        raise InputError(
            f"{shapes(queries=queries, keys=keys, values=values)} do not fit: each is (number, features); queries and "
            "keys share their features, keys and values their number, all of them what stands before"
        )
    if not keys.shape[-2] or not keys.shape[-1]:
        raise InputError(f"a look-up in an empty dictionary has no answer: {shapes(keys=keys)}")
    refuse_not_finite(queries=queries, keys=keys, values=values)
    kind = torch.promote_types(queries.dtype, torch.float32)
    weights = parse_select(select)(parse_score(score)(queries.to(kind), keys.to(kind)))
    return (weights @ values.to(kind)).to(queries.dtype)


def nadaraya_watson(
    x: Float[Tensor, "Q D"],
    samples: Float[Tensor, "K D"],
    observed: Float[Tensor, "K E"],
    bandwidth: float,
    kernel: str = "gaussian",
) -> Float[Tensor, "Q E"]:
    """Estimate E[y | x] as the kernel-weighted mean of observed values (Nadaraya 1964; Watson 1964).

    Args:
        x: points to estimate at.
        samples: points that were observed.
        observed: what was observed there.
        bandwidth: width of the kernel, in the units of x.
        kernel: "gaussian", exp(−‖·‖²/2σ²), or "laplace", exp(−‖·‖₁/σ).

    Raises InputError for another kernel, a bandwidth that is not positive, and as `lookup` does.

    >>> import torch
    >>> at = torch.linspace(0, 3.1, 32)[:, None]
    >>> nadaraya_watson(torch.tensor([[1.5]]), at, at.sin(), bandwidth=0.1).round(decimals=2).item()
    0.9900000095367432

    """
    if kernel not in ("gaussian", "laplace"):
        raise InputError(f'kernel must be "gaussian" or "laplace", not "{kernel}"')
    return lookup(x, samples, observed, Gaussian(bandwidth) if kernel == "gaussian" else Laplace(bandwidth))
