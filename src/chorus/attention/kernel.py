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
from itertools import repeat
from threading import main_thread
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from chorus.attention.program import Program, Work

T = TypeVar("T")

LOAD_FROM = 1 << 11  # pairs: below, loading numba and the machine code, half a second, is not worth it
THREAD_FROM = 1 << 19  # pairs, a millisecond of work: with fewer, starting a thread costs more than it saves
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


def forward(program: Program, q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return out (N, R, Q, E), and of each row (N, R, Q) the largest score and the sum of 2^(score − largest).

    Scores are in units of log₂ e. q is (N, R, Q, D), k (N, S, D), v (N, S, E). Raises NotFiniteError when it comes upon
    NaN or infinity in q, k or v; see `notices`.
    """
    width = v.shape[-1]
    q, k, v = (_whole_lines(x) for x in (q, k, v))
    make = q.new_empty if program.complete else q.new_zeros
    out, tops, totals = make((*q.shape[:3], v.shape[-1])), make(q.shape[:3]), make(q.shape[:3])
    run = _compiled("forward", q.shape[-1], v.shape[-1])
    heads = q.shape[0] * q.shape[1]
    arrays, written = _arrays(q, k, v), _arrays(out, tops.view(-1), totals.view(-1))

    def part(number: int, parts: int) -> bool:
        """Run a part of every work's tiles, and tell whether all numbers are finite."""
        odd = 0.0
        for work in program.works:
            tasks = (heads * work.count * i // parts for i in (number, number + 1))
            odd += run(*arrays, *_layout(program, work, scale), *tasks, *written)
        return odd == 0

    if not all(_share(program.executed * heads, heads * len(program.works), part)):
        raise NotFiniteError
    return _narrowed(out, width), tops, totals


def backward(program: Program, saved: tuple[Tensor, ...], dout: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return dq, dk and dv, given q, k, v and what `forward` returned, and the gradient of out."""
    q, k, v, out, dout = (_whole_lines(x) for x in (*saved[:4], dout))
    dq = torch.empty_like(q) if program.complete else torch.zeros_like(q)
    dk, dv = torch.zeros_like(k), torch.zeros_like(v)
    run = _compiled("backward", q.shape[-1], v.shape[-1])
    arrays = _arrays(q, k, v)
    more = _arrays(out, *(x.view(-1) for x in saved[4:]), dout, dq, dk, dv)

    def part(number: int, parts: int) -> None:
        """Run whole key heads: their tiles add to the same keys."""
        for work in program.works:
            tasks = (len(q) * i // parts * q.shape[1] * work.count for i in (number, number + 1))
            run(*arrays, *_layout(program, work, scale), *tasks, *more)

    _share(program.executed * q.shape[0] * q.shape[1], len(q), part)
    return _narrowed(dq, saved[0].shape[-1]), _narrowed(dk, saved[1].shape[-1]), _narrowed(dv, saved[2].shape[-1])


def _whole_lines(x: Tensor) -> Tensor:
    """Return rows padded with zeros to whole vectors."""
    missing = -x.shape[-1] % 16
    return pad(x, (0, missing)) if missing else x.contiguous()


def _narrowed(x: Tensor, width: int) -> Tensor:
    return x[..., :width].contiguous()


def _arrays(*tensors: Tensor) -> list[NDArray[np.float32]]:
    """View tensors as arrays; compiled code sees addresses alone, so that anything but float32 would be misread."""
    assert all(x.dtype == torch.float32 and x.is_contiguous() for x in tensors)
    return [x.detach().numpy() for x in tensors]


def _layout(program: Program, work: Work, scale: float) -> tuple[Any, ...]:
    """Return the arguments of a pass from `work` to `factor`."""
    place = np.array([work.first - program.first, work.first, work.height, work.count])
    with np.errstate(over="ignore"):  # to infinity, as any score too large for float32
        return place, *work.layout, np.float32(scale * LOG2E)


def _share(pairs: int, most: int, part: Callable[[int, int], T]) -> list[T]:
    """Run parts 0 to n − 1, on a thread each: as many as PyTorch uses, if there is enough to do for each."""
    parts = max(1, min(torch.get_num_threads(), most, pairs // THREAD_FROM))
    if parts == 1 or not main_thread().is_alive():  # at the end of a process no thread can be started
        return [part(0, 1)]
    with ThreadPoolExecutor(parts) as pool:
        return list(pool.map(part, range(parts), repeat(parts)))


@lru_cache
def _compiled(name: str, width: int, value_width: int) -> Any:
    from chorus.attention import passes  # imports numba, which takes a while

    make = {"forward": passes.forward, "backward": passes.backward}[name]
    return make(width, value_width, *BLOCKS[torch.backends.cpu.get_cpu_capability()])
