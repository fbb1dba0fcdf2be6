"""The dense definition of attention over a topology: the specification that every executor is tested against."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from chorus.attention.checks import expands, refuse_not_tensors, refuse_unfit_heads
from chorus.attention.scores import Dot, Score, parse_score
from chorus.attention.select import Select, Soft, parse_select
from chorus.errors import InputError


def reference(
    q: Float[Tensor, "B H Q D"],
    k: Float[Tensor, "B G K D"],
    v: Float[Tensor, "B G K E"],
    mask: Bool[Tensor, "*#c Q K"] | None = None,
    score: str | Score = Dot(),  # noqa: B008 - frozen
    select: str | Select = Soft(),  # noqa: B008 - frozen
) -> Float[Tensor, "B H Q E"]:
    """Return outₜ = Σₛ wₜₛ vₛ with w = select(score(q, k)) over the keys that mask lets t read.

    Works on Q·K pairs, in float32 for half-precision inputs. Query head h reads key head h // (H/G). A query that may
    read nothing gets zeros.

    Args:
        q: queries.
        k: keys, with G dividing H.
        v: values.
        mask: mask[..., t, s] says whether t reads s; None reads everything.
        score: the score of a pair, as in `attend`.
        select: from scores to weights, as in `attend`.

    Raises InputError when shapes, dtypes or devices do not fit, or the mask is not bool.

    >>> x = torch.eye(3).view(1, 1, 3, 3)
    >>> reference(x, x, x, torch.eye(3, dtype=torch.bool)).squeeze().tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

    """
    refuse_unfit_heads(q, k, v)
    score, select = parse_score(score), parse_select(select)
    group = q.shape[1] // k.shape[1]
    kind = torch.promote_types(q.dtype, torch.float32)
    keys, values = (x.to(kind).repeat_interleave(group, dim=1) for x in (k, v))
    scores = score(q.to(kind), keys)
    if mask is not None:
        refuse_not_tensors(mask=mask)
        if mask.dtype != torch.bool or not expands(mask.shape, scores.shape) or mask.device != scores.device:
            raise InputError(
                f"mask must be bool, true where t reads s, and expand to {tuple(scores.shape)} on {scores.device}, not "
                f"{mask.dtype} {tuple(mask.shape)} on {mask.device}"
            )
        mask = mask.expand(scores.shape)
    return (select(scores, mask) @ values).to(q.dtype)
