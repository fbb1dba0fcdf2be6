"""Any score with any selection over a program: the same chunks, differentiated by autograd one chunk at a time.

Selections other than the softmax need all scores of a row at once, and a program's chunk has them side by side. Nothing
of a chunk is kept: the backward pass computes it again under autograd, so memory grows with T alone.

Letters: as in chunk.py; E features of a value, K slots.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chorus.attention.chunk import Chunk, chunks
from chorus.attention.once import once
from chorus.attention.program import Program
from chorus.attention.scores import Score
from chorus.attention.select import Select


class ProgramAttention(torch.autograd.Function):
    """select(score(q, k)) v over what the program lets each row read: q (N, R, T, D), k (N, S, D), v (N, S, E)."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, program: Program, score: Score, select: Select) -> Tensor:
        """Attend chunk by chunk, keeping the inputs alone."""
        out = torch.zeros((*q.shape[:3], v.shape[-1]), dtype=q.dtype, device=q.device)
        for chunk in _chunks(program, q, v):
            part = _attend(_read(chunk, program.n, q, k, v), score, select)
            chunk.lines(out).copy_(chunk.untiled(part, q.shape[1]))
        ctx.save_for_backward(q, k, v)
        ctx.program, ctx.score, ctx.select = program, score, select
        return out

    @staticmethod
    @once
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Compute each chunk again under autograd."""
        q, k, v = ctx.saved_tensors
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for chunk in _chunks(ctx.program, q, v):
            inputs = _read(chunk, ctx.program.n, q, k, v)
            leaves = [x.detach().requires_grad_() for x in inputs.tensors]
            with torch.enable_grad():
                part = _attend(
                    _Inputs((leaves[0], leaves[1], leaves[2], leaves[3], leaves[4]), inputs.readable),
                    ctx.score,
                    ctx.select,
                )
            down = chunk.tiled(chunk.lines(grads[0]))
            found = torch.autograd.grad(part, leaves, down, allow_unused=True)
            queries, *others = [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)]
            chunk.lines(dq).copy_(chunk.untiled(queries, q.shape[1]))
            for x, tiled, slotted in ((dk, others[0], others[2]), (dv, others[1], others[3])):
                _scatter(chunk, ctx.program.n, x, tiled, slotted)
        return dq, dk, dv, None, None, None


@dataclass(frozen=True)
class _Inputs:
    # queries (b, M, D), keys (b, L, D), values (b, L, E), slots' keys (b, h, K, D), slots' values (b, h, K, E)
    tensors: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
    readable: Tensor  # (b, M, L + K), bool


def _chunks(program: Program, q: Tensor, v: Tensor) -> Iterator[Chunk]:
    slots = max([1, *[work.slots for work in program.works]])
    for work in program.works:
        yield from chunks(work, program.first, q.shape[0], q.shape[1], slots * max(q.shape[-1], v.shape[-1]))


def _attend(inputs: _Inputs, score: Score, select: Select) -> Tensor:
    queries, keys, values, slot_keys, slot_values = inputs.tensors
    b, m, width = queries.shape
    h = slot_keys.shape[1]
    scores = score(queries, keys)
    by_row = queries.view(b, m // h, h, width).transpose(1, 2)
    slotted = score(by_row, slot_keys).transpose(1, 2).reshape(b, m, -1)
    weights = select(torch.cat([scores, slotted], -1), inputs.readable)
    tile, slot = weights[..., : scores.shape[-1]], weights[..., scores.shape[-1] :]
    apart = slot.reshape(b, m // h, h, -1).transpose(1, 2) @ slot_values
    out: Tensor = tile @ values + apart.transpose(1, 2).reshape(b, m, -1)
    return out


def _read(chunk: Chunk, n: int, q: Tensor, k: Tensor, v: Tensor) -> _Inputs:
    work, r = chunk.work, q.shape[1]
    b = chunk.heads * chunk.tiles

    def tiled(x: Tensor) -> Tensor:
        parts = [chunk.span(x, span) for span in work.spans]
        if work.gather is not None:
            parts.append(chunk.gathered(x))
        return torch.cat([x.new_empty(b, 0, x.shape[-1]), *parts], 1)

    def slotted(x: Tensor) -> Tensor:
        held = x.new_zeros(work.slots, chunk.heads, chunk.rows, x.shape[-1])
        for number, where, keys in chunk.slots(n):
            held[number, :, where] = chunk.picked(x, keys)[:, 0]
        return held.movedim(0, 2).reshape(b, work.height, work.slots, x.shape[-1])

    readable = torch.ones(chunk.tiles, work.height, work.tile_columns, dtype=torch.bool, device=q.device)
    for veil in work.veils:
        hidden = veil.hidden[chunk.tile : chunk.tile + chunk.tiles] if len(veil.hidden) > 1 else veil.hidden
        readable[..., veil.start : veil.stop] = ~hidden
    slots = chunk.slots_reading(n, q.device).T.reshape(chunk.tiles, work.height, work.slots)
    readable = torch.cat([readable, slots], -1).unsqueeze(1).expand(-1, r, -1, -1).flatten(1, 2)
    if chunk.heads > 1:
        readable = readable.expand(b, -1, -1)
    return _Inputs((chunk.tiled(chunk.lines(q)), tiled(k), tiled(v), slotted(k), slotted(v)), readable)


def _scatter(chunk: Chunk, n: int, x: Tensor, tiled: Tensor, slotted: Tensor) -> None:
    """Add the gradients of a chunk's keys, (b, L, ·) and (b, h, K, ·), to those of all keys."""
    at = 0
    for span in chunk.work.spans:
        chunk.add_span(x, span, tiled[:, at : at + span.length])
        at += span.length
    if chunk.work.gather is not None:
        chunk.add_gathered(x, tiled[:, at:])
    held = slotted.reshape(chunk.heads, chunk.rows, chunk.work.slots, x.shape[-1])
    for number, where, keys in chunk.slots(n):
        chunk.add_picked(x, keys, held[:, where, number])
