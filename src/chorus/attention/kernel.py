"""The attention kernel for CPUs: a program's rows by sixteens, forward and backward, compiled when first needed.

Sixteen rows go through all their keys at a time. Their queries, transposed, meet one key after the other, so that a
score of the sixteen is one vector, their softmax needs no sums across vectors, and who may not read a key is sixteen
bits. A *piece* is a run of keys that stand side by side: a span, or gathered keys, copied together first. The softmax
goes from piece to piece, keeping its maximum and its sum, so that scores never leave a core's nearest caches (Milakov &
Gimelshein 2018; Dao et al. 2022, FlashAttention). A *slot*, one key for each row, is a product row by row.

Letters: N key heads of all sequences, R query heads per key head, Q queries, S keys, D features, E features of a value.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from chorus.attention.program import Program, Work

T = TypeVar("T")

LOAD_FROM = 1 << 14  # pairs: below, loading numba and the machine code, half a second, is not worth it
THREAD_FROM = 1 << 16  # pairs: fewer are done before a thread has started
WIDEST = 256  # features
LOG2E = 1.4426950408889634

# By what PyTorch calls the processor: how many columns, and how many rows, have their sums in its registers at a time.
BLOCKS = {"AVX512": (16, 8), "AVX2": (4, 2)}


class NotFiniteError(Exception):
    """There is NaN or infinity where numbers should be."""


def serves(program: Program, q: Tensor, v: Tensor) -> bool:
    """Tell whether the kernel can run a program, and is worth loading."""
    return (
        q.device.type == "cpu"
        and q.dtype == torch.float32
        and max(q.shape[-1], v.shape[-1]) <= WIDEST
        and program.executed * q.shape[0] * q.shape[1] >= LOAD_FROM
        and torch.backends.cpu.get_cpu_capability() in BLOCKS
    )


def notices(program: Program) -> bool:
    """Tell whether `forward` looks at every number: where every actor's row is asked for, and reads something."""
    return program.complete and not program.first


def forward(program: Program, q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return out (N, R, Q, E) and log₂ Σ exp score of each row (N, R, Q), given q (N, R, Q, D), k and v (N, S, ·).

    Raises NotFiniteError when it comes upon NaN or infinity in q, k or v; see `notices`.
    """
    width = v.shape[-1]
    q, k, v = (_whole_lines(x) for x in (q, k, v))
    make = torch.empty if program.complete else torch.zeros
    out, tops, totals = make((*q.shape[:3], v.shape[-1])), make(q.shape[:3]), make(q.shape[:3])
    run = _compiled("forward", q.shape[-1], v.shape[-1])
    for work in program.works:
        given = *_arrays(q, k, v), *_layout(program, work, scale)
        written = _arrays(out, tops.view(-1), totals.view(-1))
        found = _share(work, q, lambda *tasks: run(*given, *tasks, *written))  # noqa: B023
        if sum(found) != 0:
            raise NotFiniteError
    return out[..., :width], tops.add_(totals.log2_())


def backward(program: Program, saved: tuple[Tensor, ...], dout: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return dq, dk and dv, given q, k, v, out and the rows' log-sums, and the gradient of out."""
    q, k, v, out, dout = (_whole_lines(x) for x in (*saved[:4], dout))
    dq = torch.empty_like(q) if program.complete else torch.zeros_like(q)
    dk, dv = torch.zeros_like(k), torch.zeros_like(v)
    run = _compiled("backward", q.shape[-1], v.shape[-1])
    for work in program.works:
        each = q.shape[1] * work.count  # tasks that add to the same keys
        layout = _layout(program, work, scale)

        def part(begin: int, end: int, each: int = each, layout: Any = layout) -> list[tuple[Tensor, Tensor]]:
            """Run some tasks; what they add to keys that other threads add to as well is returned."""
            heads = slice(begin // each, -(-end // each))
            mine = [dk[heads], dv[heads]]
            shared = begin % each > 0 or end % each > 0
            found = [torch.zeros_like(x) for x in mine] if shared else mine
            read, tasks = _arrays(q[heads], k[heads], v[heads]), [x - heads.start * each for x in (begin, end)]
            more = _arrays(out[heads], saved[4][heads].view(-1), dout[heads], dq[heads], *found)
            run(*read, *layout, *tasks, *more)
            return list(zip(mine, found, strict=True)) if shared else []

        for parts in _share(work, q, part):
            for target, found in parts:
                target.add_(found)
    return dq[..., : saved[0].shape[-1]], dk[..., : saved[1].shape[-1]], dv[..., : saved[2].shape[-1]]


def _whole_lines(x: Tensor) -> Tensor:
    """Return rows padded with zeros to whole vectors."""
    missing = -x.shape[-1] % 16
    return pad(x, (0, missing)) if missing else x.contiguous()


def _arrays(*tensors: Tensor) -> list[NDArray[np.float32]]:
    return [x.detach().numpy() for x in tensors]


def _layout(program: Program, work: Work, scale: float) -> tuple[Any, ...]:
    """Return the arguments of a pass from `work` to `factor`."""
    place = np.array([work.first - program.first, work.first, work.height, work.count])
    return place, *work.layout, np.float32(scale * LOG2E)


def _share(work: Work, q: Tensor, run: Callable[[int, int], T]) -> list[T]:
    """Run a task for every head and tile on as many threads as PyTorch uses, if each has enough to do."""
    tasks = q.shape[0] * q.shape[1] * work.count
    pairs = tasks * work.height * (work.tile_columns + work.slots)
    threads = max(1, min(torch.get_num_threads(), tasks, pairs // THREAD_FROM))
    if threads == 1:
        return [run(0, tasks)]
    cuts = [tasks * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, cuts[:-1], cuts[1:]))


@lru_cache
def _compiled(name: str, width: int, value_width: int) -> Any:
    from chorus.attention import passes  # imports numba, which takes a while

    make = {"forward": passes.forward, "backward": passes.backward}[name]
    return make(width, value_width, *BLOCKS[torch.backends.cpu.get_cpu_capability()])
