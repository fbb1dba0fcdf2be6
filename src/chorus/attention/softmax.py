"""Softmax of dot products over a program, forward and backward by hand: by the kernel where it serves, or in chunks.

Scores of one chunk at a time are held, and computed again in the backward pass, so memory grows with T alone:
S = scale·QKᵀ, P = softmax(S), O = PV; dV = PᵀdO, dP = dO Vᵀ, dS = P ∘ (dP − rowsum(dO ∘ O)), dQ = scale·dS K,
dK = scale·dSᵀQ (Dao et al. 2022, FlashAttention, algorithm 4, without its tiling of the softmax: here a row's keys are
few enough to stand side by side).

Letters: as in chunk.py; E features of a value, S all columns of a chunk, of which the last are slots.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from chorus.attention import kernel
from chorus.attention.chunk import Chunk, chunks
from chorus.attention.once import once
from chorus.attention.program import Program


class ProgramSoftmax(torch.autograd.Function):
    """softmax(scale·qkᵀ)v over what the program lets each row read: q (N, R, T, D), k (N, S, D), v (N, S, E)."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, program: Program, scale: float) -> Tensor:
        """Attend, keeping the inputs, the output and, for the kernel, each row's largest score and sum."""
        ctx.program, ctx.scale = program, scale
        if kernel.serves(program, q, v):
            out, *rows = kernel.forward(program, q, k, v, scale)
            ctx.save_for_backward(q, k, v, out, *rows)
            return out
        make = torch.empty if program.complete else torch.zeros
        out = make((*q.shape[:3], v.shape[-1]), dtype=q.dtype, device=q.device)
        space = _Space(q)
        for chunk in _chunks(program, q, v):
            _forward(chunk, program.n, q, k, v, out, scale, space)
        ctx.save_for_backward(q, k, v, out)
        return out

    @staticmethod
    @once
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Compute the weights again, then the gradients."""
        program: Program = ctx.program
        dout = grads[0].contiguous()
        saved = ctx.saved_tensors
        if len(saved) > 4:
            return *kernel.backward(program, saved, dout, ctx.scale), None, None
        q, k, v, out = saved
        make = torch.empty_like if program.complete else torch.zeros_like
        dq, dk, dv = make(q), torch.zeros_like(k), torch.zeros_like(v)
        space = _Space(q)
        for chunk in _chunks(program, q, v):
            _backward(chunk, program.n, (q, k, v, out), dout, (dq, dk, dv), ctx.scale, space)
        return dq, dk, dv, None, None


def _chunks(program: Program, q: Tensor, v: Tensor) -> Iterator[Chunk]:
    for work in program.works:
        yield from chunks(work, program.first, q.shape[0], q.shape[1], max(q.shape[-1], v.shape[-1]))


class _Space:
    """Buffers that the chunks use in turn: fresh memory for each would cost more than the products."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.held: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        need = 1
        for size in shape:
            need *= size
        if name not in self.held or self.held[name].numel() < need:
            self.held[name] = torch.empty(need, dtype=self.like.dtype, device=self.like.device)
        return self.held[name][:need].view(shape)


def _segments(chunk: Chunk, *tensors: Tensor) -> list[tuple[slice, list[Tensor]]]:
    """For each span, and for the gathered keys: its columns, and its rows (b, L, ·) of each tensor."""
    found = []
    at = 0
    for span in chunk.work.spans:
        found.append((slice(at, at + span.length), [chunk.span(x, span) for x in tensors]))
        at += span.length
    if chunk.work.gather is not None:
        found.append((slice(at, chunk.work.tile_columns), [chunk.gathered(x) for x in tensors]))
    return found


def _weights(
    chunk: Chunk, n: int, q: Tensor, k: Tensor, scale: float, space: _Space, keys: list[tuple[slice, Tensor]]
) -> Tensor:
    """Return the softmax weights of a chunk, (b, M, S)."""
    work, r = chunk.work, q.shape[1]
    b, m = chunk.heads * chunk.tiles, r * work.height
    scores = space.take("scores", b, m, work.tile_columns + work.slots)
    if keys:
        queries = chunk.tiled(chunk.lines(q))
        for columns, part in keys:
            scores[..., columns].baddbmm_(queries, part.mT, beta=0, alpha=scale)
    if work.slots:
        _slot_products(chunk, n, chunk.lines(q), k, scale, space, scores, hidden=-torch.inf)
    by_row = scores.view(b, r, work.height, -1)
    for veil in work.veils:
        part = by_row[..., veil.start : veil.stop]
        if veil.bias is not None:
            part.add_(veil.bias.unsqueeze(1))
        else:
            part.masked_fill_(veil.hidden[chunk.tile : chunk.tile + chunk.tiles].unsqueeze(1), -torch.inf)
    weights = torch.softmax(scores, -1, out=scores)  # in place: half the cache to keep
    empty = chunk.empty(r)
    return weights if empty is None else weights.masked_fill_(empty, 0.0)


def _forward(chunk: Chunk, n: int, q: Tensor, k: Tensor, v: Tensor, out: Tensor, scale: float, space: _Space) -> None:
    segments = _segments(chunk, k, v)
    keys = [(columns, part[0]) for columns, part in segments]
    weights = _weights(chunk, n, q, k, scale, space, keys)
    products = [(weights[..., columns], part[1]) for columns, part in segments]
    _sum_products(chunk, out, products, 1.0, space)
    if chunk.work.slots:
        _add_slots(chunk, n, chunk.lines(out), v, _slot_columns(chunk, weights, q.shape[1]), 1.0)


def _backward(
    chunk: Chunk,
    n: int,
    saved: tuple[Tensor, Tensor, Tensor, Tensor],
    dout: Tensor,
    grads: tuple[Tensor, Tensor, Tensor],
    scale: float,
    space: _Space,
) -> None:
    q, k, v, out = saved
    dq, dk, dv = grads
    r = q.shape[1]
    segments = _segments(chunk, k, v)
    weights = _weights(chunk, n, q, k, scale, space, [(columns, part[0]) for columns, part in segments])
    downs, queries = chunk.tiled(chunk.lines(dout)), chunk.tiled(chunk.lines(q))
    dscores = space.take("dscores", *weights.shape)
    for columns, (_, values) in segments:
        dscores[..., columns].baddbmm_(downs, values.mT, beta=0)
    if chunk.work.slots:
        _slot_products(chunk, n, chunk.lines(dout), v, 1.0, space, dscores, hidden=0.0)
    through = (chunk.lines(dout) * chunk.lines(out)).sum(-1)
    dscores.sub_(chunk.tiled(through).unsqueeze(-1)).mul_(weights)
    _sum_products(chunk, dq, [(dscores[..., columns], part[0]) for columns, part in segments], scale, space)
    for number, (columns, part) in enumerate(segments):
        for x, left, right, factor in ((dv, weights, downs, 1.0), (dk, dscores, queries, scale)):
            value = space.take("keys", *part[0].shape[:2], x.shape[-1])
            value.baddbmm_(left[..., columns].mT, right, beta=0, alpha=factor)
            if number < len(chunk.work.spans):
                chunk.add_span(x, chunk.work.spans[number], value)
            else:
                chunk.add_gathered(x, value)
    if chunk.work.slots:
        slot_weights, slot_dscores = _slot_columns(chunk, weights, r), _slot_columns(chunk, dscores, r)
        _add_slots(chunk, n, chunk.lines(dq), k, slot_dscores, scale)
        _scatter_slots(chunk, n, dv, chunk.lines(dout), slot_weights, 1.0)
        _scatter_slots(chunk, n, dk, chunk.lines(q), slot_dscores, scale)


def _sum_products(
    chunk: Chunk, out: Tensor, products: list[tuple[Tensor, Tensor]], scale: float, space: _Space
) -> None:
    """Set the chunk's rows of out (N, R, T, E) to scale·Σ left·right over the products, zero where there are none."""
    lines = chunk.lines(out)
    if not products:
        lines.zero_()
        return
    r = out.shape[1]
    direct = r == 1  # then the tiles of `out` are a view
    shape = (chunk.heads * chunk.tiles, r * chunk.work.height, out.shape[-1])
    target = chunk.tiled(lines) if direct else space.take("rows", *shape)
    for number, (left, right) in enumerate(products):
        target.baddbmm_(left, right, beta=int(number > 0), alpha=scale)
    if not direct:
        lines.copy_(chunk.untiled(target, r))


def _slot_products(
    chunk: Chunk,
    n: int,
    lines: Tensor,
    x: Tensor,
    scale: float,
    space: _Space,
    target: Tensor,
    hidden: float,
) -> None:
    """Set the slots' columns of target (b, M, S) to scale·lines·x of each row and its key, `hidden` if it has none."""
    a, r, rows, width = lines.shape
    slots = space.take("slots", chunk.work.slots, a, r, rows).fill_(hidden)
    factor = torch.full((width,), scale, dtype=x.dtype, device=x.device)
    for number, where, keys in chunk.slots(n):
        part = lines[:, :, where]
        product = torch.mul(part, chunk.picked(x, keys), out=space.take("product", *part.shape))
        # A product with a constant vector sums short rows faster than sum() does.
        slots[number, :, :, where] = (product.view(-1, width) @ factor).view(part.shape[:3])
    if chunk.work.index is not None:
        reading = chunk.slots_reading(n, x.device)
        slots.masked_fill_(~reading[:, None, None], hidden)
    split = slots.view(-1, a, r, chunk.tiles, chunk.work.height).permute(1, 3, 2, 4, 0)
    target[..., chunk.work.tile_columns :].view(split.shape).copy_(split)


def _slot_columns(chunk: Chunk, x: Tensor, r: int) -> Tensor:
    """Return the slots' columns of (b, M, S), slot by slot as lines: (slots, a, R, c·h)."""
    part = x[..., chunk.work.tile_columns :]
    split = part.view(chunk.heads, chunk.tiles, r, chunk.work.height, -1).permute(4, 0, 2, 1, 3)
    return split.reshape(-1, chunk.heads, r, chunk.rows)


def _add_slots(chunk: Chunk, n: int, lines: Tensor, x: Tensor, factors: Tensor, scale: float) -> None:
    """Add scale·factor·x to the lines, for each row and its key in each slot."""
    for number, where, keys in chunk.slots(n):
        lines[:, :, where].addcmul_(factors[number, :, :, where, None], chunk.picked(x, keys), value=scale)


def _scatter_slots(chunk: Chunk, n: int, x: Tensor, lines: Tensor, factors: Tensor, scale: float) -> None:
    """Add scale·factor·lines to the keys, for each row and its key in each slot, summed over the R heads."""
    for number, where, keys in chunk.slots(n):
        factor = factors[number, :, :, where, None] * scale
        chunk.add_picked(x, keys, (factor * lines[:, :, where]).sum(1))
