"""PyTorch's fused attention kernel for CPUs, given the works whose keys are spans alone.

The kernel keeps the scores of a tile in a core's cache and never writes them down. A span that moves along with its
tiles is one strided view of the keys, so that a whole work is one call: its tiles are the batch, the heads stay heads.
Several spans (a window and its sinks) are a call each, joined by their log-sums l of exponentials: with
l = log Σᵢ exp lᵢ, out = Σᵢ exp(lᵢ − l) outᵢ. Given `out` and l of the whole row, the kernel's backward pass finds each
span's share of the gradients alone (Dao et al. 2022, FlashAttention, algorithm 4).

Letters: N key heads of all sequences, R query heads per key head, T rows, S keys, D features, h rows in a tile,
c tiles, L keys of a span; U calls of G heads each: the R of one key head, or all N at once where R is 1.
"""

import torch
from torch import Tensor

from chorus.attention.program import Span, Work

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward

CHUNK = 1 << 19  # numbers in what a call returns for its tiles: more would leave the cache


def serves(work: Work, q: Tensor, v: Tensor) -> bool:
    """Tell whether the kernel can run a work: on a CPU, spans alone, values as wide as keys."""
    spans_alone = len(work.spans) > 0 and work.gather is None and not work.slots
    return spans_alone and q.device.type == "cpu" and q.shape[-1] == v.shape[-1]


def forward(work: Work, origin: int, q: Tensor, k: Tensor, v: Tensor, out: Tensor, sums: Tensor, scale: float) -> None:
    """Write the work's rows of out (N, R, T, D) and of the log-sums (N, R, T), given q (N, R, T, D), k, v (N, S, D)."""
    read = _for_calls(q.shape[1], k, v)
    step = max(1, CHUNK // (read[0].shape[1] * work.height * q.shape[-1]))
    for tile in range(0, work.count, step):
        count = min(step, work.count - tile)
        lines = [_rows(work, origin, x, tile, count) for x in (q, out, sums)]
        for queries, target, total, keys, values in zip(*lines, *read, strict=True):
            parts = []
            for span, bias in zip(work.spans, work.biases, strict=True):
                part, log_sum = _flash(
                    _tiles(work, span, queries), _keys(work, span, keys, tile, count),
                    _keys(work, span, values, tile, count), attn_mask=_of_kind(bias, q), scale=scale,
                )  # fmt: skip
                if bias is not None and len(work.spans) > 1:  # the kernel calls the log-sum of no keys 0
                    log_sum = log_sum.masked_fill(bias.amax(-1) == -torch.inf, -torch.inf)
                parts.append((_lines(part), _lines(log_sum)))
            _join(parts, target, total)


def _join(parts: list[tuple[Tensor, Tensor]], target: Tensor, total: Tensor) -> None:
    """Write what the spans found, (G, c·h, D) and log-sums (G, c·h), as if they had shared one softmax."""
    if len(parts) == 1:
        target.copy_(parts[0][0])
        total.copy_(parts[0][1])
        return
    total.copy_(torch.logsumexp(torch.stack([log_sum for _, log_sum in parts]), 0))
    total.masked_fill_(total == -torch.inf, 0.0)  # a row that reads nothing: its parts' weights are 0 all the same
    for number, (part, log_sum) in enumerate(parts):
        weight = (log_sum - total).exp_().unsqueeze(-1)
        torch.mul(part, weight, out=target) if number == 0 else target.addcmul_(part, weight)


def backward(
    work: Work, origin: int, saved: tuple[Tensor, ...], dout: Tensor, grads: tuple[Tensor, Tensor, Tensor], scale: float
) -> None:
    """Write the work's rows of dq, and add to dk and dv, given q, k, v, out and the log-sums."""
    q, k, v, out, sums = saved
    shared = q.shape[1] > 1
    read = _for_calls(q.shape[1], k, v)
    found = [x.unsqueeze(1) if shared else x.unsqueeze(0) for x in grads[1:]]
    for number, (span, bias) in enumerate(zip(work.spans, work.biases, strict=True)):
        step = max(1, CHUNK // (read[0].shape[1] * span.length * q.shape[-1])) if span.moves else work.count
        for tile in range(0, work.count, step):
            count = min(step, work.count - tile)
            lines = [_rows(work, origin, x, tile, count) for x in (q, out, sums, dout, grads[0])]
            for queries, outs, totals, down, target, keys, values, *into in zip(*lines, *read, *found, strict=True):
                dq, *others = _flash_backward(
                    _tiles(work, span, down), _tiles(work, span, queries), _keys(work, span, keys, tile, count),
                    _keys(work, span, values, tile, count), _tiles(work, span, outs), _tiles(work, span, totals),
                    0.0, False, attn_mask=_of_kind(bias, q), scale=scale,
                )  # fmt: skip
                target.copy_(_lines(dq)) if number == 0 else target.add_(_lines(dq))
                for x, value in zip(into, others, strict=True):
                    _add(work, span, x, value.sum(1, keepdim=True) if shared else value, tile)


def _of_kind(bias: Tensor | None, like: Tensor) -> Tensor | None:
    return None if bias is None else bias.to(like.dtype)


def _for_calls(r: int, *tensors: Tensor) -> list[Tensor]:
    """View keys (N, S, D) as (U, G, S, D)."""
    return [x.unsqueeze(1).expand(-1, r, -1, -1) if r > 1 else x.unsqueeze(0) for x in tensors]


def _rows(work: Work, origin: int, x: Tensor, tile: int, count: int) -> Tensor:
    """View the rows of some tiles of (N, R, T, ...) as (U, G, c·h, ...)."""
    start = work.first - origin + tile * work.height
    rows = x[:, :, start : start + count * work.height]
    return rows if x.shape[1] > 1 else rows.transpose(0, 1)


def _tiles(work: Work, span: Span, x: Tensor) -> Tensor:
    """View rows (G, c·h, ...) as tiles (c, G, h, ...), or as one tall tile where all of them read the same keys."""
    if not span.moves:
        return x.unsqueeze(0)
    tiles: Tensor = x.unflatten(1, (-1, work.height)).transpose(0, 1)
    return tiles


def _lines(x: Tensor) -> Tensor:
    """View tiles (c, G, h, ...) as rows (G, c·h, ...)."""
    return x.transpose(0, 1).flatten(1, 2)


def _keys(work: Work, span: Span, x: Tensor, tile: int = 0, count: int | None = None) -> Tensor:
    """View the keys of a span out of (G, S, D), for every tile: (c, G, L, D), or (1, G, L, D) where they stay."""
    if not span.moves:
        return x[None, :, span.start : span.start + span.length]
    count = work.count if count is None else count
    start = span.start + tile * work.height
    whole = x[:, start : start + (count - 1) * work.height + span.length]
    tiles: Tensor = whole.unfold(1, span.length, work.height).permute(1, 0, 3, 2)
    return tiles


def _add(work: Work, span: Span, x: Tensor, value: Tensor, tile: int) -> None:
    """Add (c, G, L, D), or (1, G, L, D), to the keys of a span in (G, S, D); neighbouring tiles overlap."""
    if not span.moves:
        x[:, span.start : span.start + span.length].add_(value[0])
        return
    # A slice of the span no longer than the tile is tall overlaps with no other tile's.
    for start in range(0, span.length, work.height):
        part = Span(span.start + start, min(work.height, span.length - start), moves=True)
        _keys(work, part, x, tile, len(value)).add_(value[:, :, start : start + part.length])
