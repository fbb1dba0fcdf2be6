"""The dense definition of attention over a topology: the specification that every executor is tested against."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from chorus.attention.scores import Dot, Score
from chorus.attention.select import Select, Soft


def reference(
    q: Float[Tensor, "B H Q D"],
    k: Float[Tensor, "B G K D"],
    v: Float[Tensor, "B G K E"],
    mask: Bool[Tensor, "*#c Q K"] | None = None,
    score: Score = Dot(),  # noqa: B008 - frozen
    select: Select = Soft(),  # noqa: B008 - frozen
) -> Float[Tensor, "B H Q E"]:
    """Return outₜ = Σₛ wₜₛ vₛ with w = select(score(q, k)) over the keys that mask lets t read.

    Works on Q·K pairs, in float32 for half-precision inputs. Query head h reads key head h // (H/G). A query that may
    read nothing gets zeros.

    Args:
        q: queries.
        k: keys, with G dividing H.
        v: values.
        mask: mask[..., t, s] says whether t reads s; None reads everything.
        score: the score of a pair.
        select: from scores to weights.

    >>> x = torch.eye(3).view(1, 1, 3, 3)
    >>> reference(x, x, x, torch.eye(3, dtype=torch.bool)).squeeze().tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

    """
    group = q.shape[1] // k.shape[1]
    kind = torch.promote_types(q.dtype, torch.float32)
    keys, values = (x.to(kind).repeat_interleave(group, dim=1) for x in (k, v))
    scores = score(q.to(kind), keys)
    if mask is not None:
        mask = mask.expand(scores.shape)
    return (select(scores, mask) @ values).to(q.dtype)
