"""Attention over a topology: check what was given, choose an executor, run it.

Letters: B batch, H query heads, G key heads, Q queries, T actors (keys), D features, E features of a value.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor

from chorus.attention import kernel
from chorus.attention.checks import (
    LARGEST,
    as_topology,
    refuse_not_finite,
    refuse_unfit_heads,
    refuse_unknown_executor,
    shapes,
)
from chorus.attention.general import ProgramAttention
from chorus.attention.planning import compile_program
from chorus.attention.program import Program
from chorus.attention.reference import reference
from chorus.attention.scores import Dot, Score, parse_score
from chorus.attention.select import Select, Soft, parse_select
from chorus.attention.softmax import ProgramSoftmax
from chorus.errors import InputError
from chorus.topology import Topology, full, parse
from chorus.topology.topology import whole

F = TypeVar("F", bound=Callable[..., object])

REFERENCE_LIMIT = 1 << 28  # pairs that the dense definition may hold per head


def _uncompiled(function: F) -> F:
    """Keep torch.compile out of a function, which it then compiles around."""
    return cast("F", torch.compiler.disable(function))


@_uncompiled
def attend(
    q: Float[Tensor, "B H Q D"],
    k: Float[Tensor, "B G T D"],
    v: Float[Tensor, "B G T E"],
    topology: Topology | str | None = None,
    *,
    layer: int = 0,
    first: int = 0,
    actors: int | None = None,
    score: str | Score = Dot(),  # noqa: B008 - frozen
    select: str | Select = Soft(),  # noqa: B008 - frozen
    executor: str = "auto",
) -> Float[Tensor, "B H Q E"]:
    """Attend over a topology: outₜ = Σ wₜₛ vₛ over the s that t reads, with w = select(score(qₜ, kₛ)).

    Differentiable in q, k and v, once. A row that reads nothing gets zeros. The executor changes the speed and the
    rounding, never the meaning; `docs/attention.md` says which is fast when. `torch.compile` compiles around it. The
    dtype is that of q, k and v, also under autocast; half precision is computed in float32.

    Args:
        q: queries, of actors first to first + Q − 1; query head h reads key head h // (H/G).
        k: keys of all T actors, G dividing H.
        v: values of all T actors.
        topology: who reads whom, as a Topology or its text; None is `full()`, which any Q may read.
        layer: the layer of a scheduled topology.
        first: the first actor that q holds, for decoding the last rows of a longer sequence.
        actors: of how many actors the topology is, when k holds only the first T of them; T when None.
        score: "dot" (scaled by 1/√D), "cosine", "gaussian", "laplace", with a parameter as in "gaussian(0.5)".
        select: "soft", "hard", "sparsemax", "entmax" or "top_k(8)".
        executor: "auto", "reference" (dense, the definition), "tiles", "diagonals", or "flex" (CUDA).

    Raises InputError when shapes, dtypes or devices do not fit, when the topology is one of another number of actors,
    when an input on the CPU holds NaN or infinity, and when an executor cannot serve, with the reason.

    >>> x = torch.randn(1, 2, 300, 16)
    >>> attend(x, x, x, "sliding_window(32) | sink_tokens(4)").shape
    torch.Size([1, 2, 300, 16])

    """
    topology = parse(topology) if isinstance(topology, str) else topology
    if topology is None and executor in ("tiles", "diagonals", "flex"):
        topology = full()
    score, select = parse_score(score), parse_select(select)
    _check(q, k, v, topology, layer, first, actors, executor)
    if 0 in q.shape[:3]:
        return q[..., :1].expand(*q.shape[:3], v.shape[3]) + 0 * (k.sum() + v.sum())
    # Autocast would round inside an executor, where sums of the forward and the backward pass have to agree.
    with torch.autocast(q.device.type, enabled=False):
        return _attend(q, k, v, topology, layer, first, actors, score, select, executor)


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    topology: Topology | None,
    layer: int,
    first: int,
    actors: int | None,
    score: Score,
    select: Select,
    executor: str,
) -> Tensor:
    """Choose an executor and run it on checked inputs."""
    if executor == "flex" and topology is not None:
        from chorus.attention.flex import flex

        return flex(q, k, v, topology, layer, first, score, select, actors)
    if executor == "auto" and isinstance(score, Dot) and isinstance(select, Soft):
        built_in = "full" if topology is None else _built_in(topology, layer, first, k.shape[2], actors)
        if built_in is not None:
            refuse_not_finite(q=q, k=k, v=v)
            return torch.nn.functional.scaled_dot_product_attention(
                q, k, v, is_causal=built_in == "causal", scale=score.scale, enable_gqa=q.shape[1] != k.shape[1]
            )
    if executor == "reference" or topology is None:
        return _dense(q, k, v, topology, layer, first, actors, score, select)
    if executor == "auto" and q.shape[2] == 1:
        return _one_row(q, k, v, topology, layer, first, actors, score, select)
    if executor == "auto" and _flex_is_faster(q, k, v, first, score, select, actors):
        from chorus.attention.flex import flex

        return flex(q, k, v, topology, layer, first, score, select, actors)
    program = compile_program(topology, k.shape[2], layer, first, executor, actors)
    return run(q, k, v, program, score, select)


def run(
    q: Float[Tensor, "B H Q D"],
    k: Float[Tensor, "B G T D"],
    v: Float[Tensor, "B G T E"],
    program: Program,
    score: Score,
    select: Select,
) -> Float[Tensor, "B H Q E"]:
    """Run a program: a score that is a dot product in disguise, under a softmax, takes the path made for it."""
    batch, heads, queries, _ = q.shape
    kind = torch.promote_types(q.dtype, torch.float32)
    dot = score.as_dot(q.to(kind), k.to(kind))
    left, right, scale = dot if dot is not None else (q.to(kind), k.to(kind), 1.0)
    groups = batch * k.shape[1]
    folded = (
        left.reshape(groups, heads // k.shape[1], queries, left.shape[-1]).contiguous(),
        right.reshape(groups, k.shape[2], right.shape[-1]).contiguous(),
        v.to(kind).reshape(groups, k.shape[2], v.shape[-1]).contiguous(),
    )
    program = program.to(q.device)
    softmax = dot is not None and isinstance(select, Soft)
    if not (softmax and kernel.serves(program, folded[0], folded[2]) and kernel.notices(program)):
        refuse_not_finite(q=q, k=k, v=v)
    out: Tensor
    if softmax:
        try:
            out = ProgramSoftmax.apply(*folded, program, scale)  # type: ignore[no-untyped-call]
        except kernel.NotFiniteError:
            refuse_not_finite(q=q, k=k, v=v)
            raise InputError(f"{score} takes q and k beyond {kind}: scale them down, or use float64") from None
    else:
        out = ProgramAttention.apply(*folded, program, Dot(scale) if dot is not None else score, select)  # type: ignore[no-untyped-call]
    return out.view(batch, heads, queries, v.shape[-1]).to(q.dtype)


def _dense(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    topology: Topology | None,
    layer: int,
    first: int,
    actors: int | None,
    score: Score,
    select: Select,
) -> Tensor:
    """Run the definition."""
    refuse_not_finite(q=q, k=k, v=v)
    if q.shape[2] * k.shape[2] > REFERENCE_LIMIT:
        raise InputError(
            f"executor reference would hold {q.shape[2] * k.shape[2]:,} pairs per head, more than {REFERENCE_LIMIT:,}: "
            "use tiles, diagonals or auto"
        )
    mask = None
    if topology is not None:
        rows = topology.mask(actors or k.shape[2], layer)[first : k.shape[2], : k.shape[2]]
        mask = torch.from_numpy(rows).to(q.device)
    return reference(q, k, v, mask, score, select)


def _one_row(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    topology: Topology,
    layer: int,
    row: int,
    actors: int | None,
    score: Score,
    select: Select,
) -> Tensor:
    """Gather what one row reads; decoding asks for a row of a longer sequence each time, too fast to plan for."""
    refuse_not_finite(q=q, k=k, v=v)
    reads = topology.neighbors(row, layer, actors or k.shape[2])
    reads = reads[reads < k.shape[2]]
    if not len(reads):
        return reference(q, k[:, :, :1], v[:, :, :1], torch.zeros(1, 1, dtype=torch.bool, device=k.device))
    index = torch.from_numpy(reads).to(k.device)
    return reference(q, k.index_select(2, index), v.index_select(2, index), None, score, select)


@lru_cache(maxsize=64)
def _built_in(topology: Topology, layer: int, first: int, keys: int, actors: int | None) -> str | None:
    """Return "full" or "causal" if the topology is that, which PyTorch has built in, or None."""
    relation = topology.relation(actors or keys, layer)
    if relation.others or len(relation.strips) != 1:
        return None
    strip = relation.strips[0]
    low, high = strip.offsets[0].tolist()
    if not strip.everywhere or len(strip.offsets) > 1 or high < keys:
        return None
    if low <= 1 - keys:
        return "full"
    return "causal" if low == 0 and not first else None


def _flex_is_faster(
    q: Tensor, k: Tensor, v: Tensor, first: int, score: Score, select: Select, actors: int | None
) -> bool:
    """On CUDA a fused kernel wins wherever it can serve."""
    if q.device.type != "cuda":
        return False
    from chorus.attention.flex import why_not

    return why_not(q, k, v, first, score, select, actors) is None


def _check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    topology: Topology | None,
    layer: int,
    first: int,
    actors: int | None,
    executor: str,
) -> None:
    refuse_unknown_executor(executor)
    if topology is not None:
        as_topology(topology)
    refuse_unfit_heads(q, k, v)
    if not k.shape[2]:
        raise InputError(f"attention needs at least one key: {shapes(q=q, k=k, v=v)}")
    if q.device.type == "meta":
        raise InputError("q, k and v are on the meta device, where there are no numbers: move them to a real one")
    for name, number in (("layer", layer), ("first", first), ("actors", k.shape[2] if actors is None else actors)):
        whole(name, number, 0, LARGEST)
    if topology is not None and first + q.shape[2] != k.shape[2]:
        raise InputError(
            f"queries of actors {first} to {first + q.shape[2] - 1} do not end where the {k.shape[2]} keys do: "
            "give a query for every actor, or first = keys - queries for the last rows only"
        )
    if actors is not None and actors < k.shape[2]:
        raise InputError(f"k holds {k.shape[2]} actors, more than the {actors} of the topology")
