"""The executor for CUDA: FlexAttention's fused kernels, with a BlockMask built from the plan.

FlexAttention would find the blocks by evaluating T² pairs; the plan already knows them. Tiles that are read in full
carry no mask. The masks of the others are looked up, not computed: along a band the tiles look the same, so that a
window over any number of actors has a handful of different ones.

Letters: Q query tiles = key tiles, P different masks, B rows and keys of a tile.
"""

from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from chorus.attention.scores import Score
from chorus.attention.select import Select, Soft
from chorus.errors import InputError
from chorus.topology import Topology, plan

TILE = 128
EMPTY, FULL = 0, 1  # the first two masks
MAX_ACTORS = 1 << 18  # the tables of blocks have (n / TILE)² entries: 4 million here


def why_not(
    q: Tensor, k: Tensor, v: Tensor, first: int, score: Score, select: Select, actors: int | None = None
) -> str | None:
    """Return the reason why flex cannot serve, or None.

    >>> from chorus.attention import Dot, Soft
    >>> x = torch.zeros(1, 1, 4, 16)
    >>> why_not(x, x, x, 0, Dot(), Soft())
    'it runs on CUDA and the tensors are on cpu; FlexAttention has no backward pass there'
    """
    if q.device.type != "cuda":
        return f"it runs on CUDA and the tensors are on {q.device}; FlexAttention has no backward pass there"
    if q.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"its kernels take float32, bfloat16 or float16, not {q.dtype}"
    if actors is not None and actors != k.shape[2]:
        return f"its plan covers all actors of the topology, {actors:,}, and there are {k.shape[2]:,} keys"
    if first:
        return f"its plan covers whole sequences, and the queries begin at actor {first}"
    if not isinstance(select, Soft):
        return f"its kernels have the softmax built in, and {select} was asked for"
    if score.as_dot(q[:, :, :1], k[:, :, :1]) is None:
        return f"its kernels compute dot products, and {score} is none"
    if k.shape[2] > MAX_ACTORS:
        return f"its block tables for {k.shape[2]:,} actors are too large; the limit is {MAX_ACTORS:,}"
    return None


def flex(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    topology: Topology,
    layer: int,
    first: int,
    score: Score,
    select: Select,
    actors: int | None = None,
) -> Tensor:
    """Attend with FlexAttention, compiled; raise InputError with the reason where it cannot serve."""
    if reason := why_not(q, k, v, first, score, select, actors):
        raise InputError(f"executor flex cannot serve: {reason}; use tiles or auto")
    dot = score.as_dot(q, k)
    assert dot is not None
    mask = block_mask(topology, k.shape[2], layer, str(q.device))
    gqa = q.shape[1] != k.shape[1]
    out: Tensor = _compiled()(dot[0], dot[1], v, block_mask=mask, scale=dot[2], enable_gqa=gqa)
    return out


@lru_cache(maxsize=32)
def block_mask(topology: Topology, n: int, layer: int = 0, device: str = "cpu") -> BlockMask:
    """Return the BlockMask of one layer among n actors, from the plan's tiles; kept.

    >>> from chorus.topology import sliding_window
    >>> mask = block_mask(sliding_window(256), 1024)
    >>> mask.kv_num_blocks[0, 0].tolist(), mask.full_kv_num_blocks[0, 0].tolist()
    ([1, 1, 2, 2, 2, 2, 2, 2], [0, 1, 1, 1, 1, 1, 1, 1])
    """
    tiles = plan(topology, n, tile=TILE, layer=layer, split="tiles")
    indptr, keys, full = tiles.tiles
    queries = np.repeat(np.arange(tiles.query_tiles), np.diff(indptr))
    masks, which = _distinct_masks(tiles.tile_mask, queries[~full], keys[~full])
    table = np.full((tiles.query_tiles, tiles.query_tiles), EMPTY, np.int32)
    table[queries[full], keys[full]] = FULL
    table[queries[~full], keys[~full]] = which
    lookup, held = torch.from_numpy(table).to(device), torch.from_numpy(masks).to(device)

    def readable(b: Tensor, h: Tensor, t: Tensor, s: Tensor) -> Tensor:
        return held[lookup[t // TILE, s // TILE], t % TILE, s % TILE]

    return BlockMask.from_kv_blocks(
        *_listed(queries[~full], keys[~full], tiles.query_tiles, device),
        *_listed(queries[full], keys[full], tiles.query_tiles, device),
        BLOCK_SIZE=TILE,
        mask_mod=readable,
        seq_lengths=(n, n),
    )


def _distinct_masks(
    tile_mask: Callable[..., np.ndarray], queries: np.ndarray, keys: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return an empty mask, a full one and the different ones of the tiles, (P, B, B); and which one each tile has."""
    packed = []
    for i in range(0, len(queries), 4096):
        mask = tile_mask(queries[i : i + 4096], keys[i : i + 4096])
        packed.append(np.packbits(mask.reshape(len(mask), -1), axis=1))
    every = np.concatenate([np.empty((0, TILE * TILE // 8), np.uint8), *packed])
    different, which = np.unique(every, axis=0, return_inverse=True)
    extremes = np.array([[0], [255]], np.uint8).repeat(TILE * TILE // 8, axis=1)
    masks = np.unpackbits(np.concatenate([extremes, different]), axis=1).reshape(-1, TILE, TILE).astype(bool)
    return masks, which.ravel() + len(extremes)


def _listed(queries: np.ndarray, keys: np.ndarray, tiles: int, device: str) -> tuple[Tensor, Tensor]:
    """Return FlexAttention's lists: how many key tiles each query tile has, (1, 1, Q), and which, (1, 1, Q, Q)."""
    count = np.bincount(queries, minlength=tiles)
    index = np.zeros((tiles, tiles), np.int32)
    index[queries, np.arange(len(queries)) - np.r_[0, np.cumsum(count)][queries]] = keys
    return tuple(torch.from_numpy(x.astype(np.int32)).to(device)[None, None] for x in (count, index))  # type: ignore[return-value]


@cache
def _compiled() -> Callable[..., Tensor]:
    """Compile the kernel once: uncompiled, FlexAttention is dense."""
    return torch.compile(flex_attention, dynamic=False)
