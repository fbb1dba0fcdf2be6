"""The flex executor: its BlockMask everywhere, its kernels where there is a CUDA device."""

import numpy as np
import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention

from chorus.attention import attend, reference
from chorus.attention.flex import block_mask
from chorus.errors import InputError
from chorus.topology import parse

SPECS = [
    "sliding_window(256)",
    "sliding_window(100) | sink_tokens(4)",
    "logarithmic()",
    "random(5) | causal() & sliding_window(9)",
    "global_tokens(3)",
    "causal()",
    "causal() - sliding_window(3)",
]


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("n", [111, 700])
@pytest.mark.parametrize("spec", SPECS)
def test_block_mask_is_the_topology(spec: str, n: int) -> None:
    if "256" in spec and n == 111:
        pytest.skip("a window larger than n is refused by the topology")
    topology = parse(spec)
    dense = topology.mask(n)
    blocks = block_mask(topology, n)
    tiles = -(-n // 128)
    padded = np.zeros((tiles * 128, tiles * 128), bool)
    padded[:n, :n] = dense
    by_tile = padded.reshape(tiles, 128, tiles, 128).swapaxes(1, 2)
    np.testing.assert_array_equal(blocks.to_dense()[0, 0].numpy().astype(bool), by_tile.any((2, 3)))
    partial = blocks.kv_num_blocks[0, 0].sum() + blocks.full_kv_num_blocks[0, 0].sum()  # type: ignore[union-attr]
    assert partial == by_tile.any((2, 3)).sum()
    q, k, v = torch.randn(3, 1, 2, n, 16, generator=torch.Generator().manual_seed(0)).unbind()
    # Uncompiled, FlexAttention evaluates our mask function densely: its values check the function.
    out = flex_attention(q, k, v, block_mask=blocks)
    wanted = reference(q, k, v, torch.from_numpy(dense))
    rows = torch.from_numpy(dense.any(1))
    torch.testing.assert_close(out[:, :, rows], wanted[:, :, rows], atol=1e-5, rtol=1e-5)


def test_it_says_why_it_cannot_serve() -> None:
    x = torch.randn(1, 1, 8, 16)
    with pytest.raises(InputError, match="runs on CUDA and the tensors are on cpu"):
        attend(x, x, x, "causal()", executor="flex")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="skipped: no CUDA device here")
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_kernels_equal_the_definition(spec: str, kind: torch.dtype) -> None:
    n = 1000
    q, k, v = (torch.randn(2, h, n, 64, device="cuda", dtype=kind, requires_grad=True) for h in (4, 2, 2))
    down = torch.randn(2, 4, n, 64, device="cuda", dtype=kind)
    wanted = attend(q, k, v, spec, executor="reference")
    exact = torch.autograd.grad(wanted, (q, k, v), down)
    for executor in ("flex", "tiles", "auto"):
        out = attend(q, k, v, spec, executor=executor)
        tolerance = 3e-2 if kind == torch.bfloat16 else 1e-2  # TF32 products inside the kernels
        torch.testing.assert_close(out, wanted, atol=tolerance, rtol=tolerance)
        for found, wish in zip(torch.autograd.grad(out, (q, k, v), down), exact, strict=True):
            torch.testing.assert_close(found, wish, atol=5 * tolerance, rtol=5 * tolerance)
