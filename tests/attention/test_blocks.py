"""Content-aware topologies: what is selected, how much attention it keeps, and that it runs as any topology."""

import numpy as np
import pytest
import torch
from torch import Tensor

from chorus.attention import Indexer, attend, bound_summary, mean_summary, select_blocks
from chorus.errors import InputError
from chorus.topology import parse


def needles(n: int = 512, heads: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Keys in eight topics, each 64 tokens long; queries ask for a topic of the past."""
    generator = torch.Generator().manual_seed(0)
    topics = torch.randn(heads, n // 64, 16, generator=generator)
    keys = topics.repeat_interleave(64, dim=1) + 0.7 * torch.randn(heads, n, 16, generator=generator)
    asked = (torch.arange(n // 64) * 5 % (torch.arange(n // 64) + 1)).repeat_interleave(64)
    queries = 3 * topics[:, asked] + 0.7 * torch.randn(heads, n, 16, generator=generator)
    return queries[None], keys[None], torch.randn(1, heads, n, 16, generator=generator)


@pytest.mark.parametrize("summary", [mean_summary, bound_summary])
def test_selection_finds_what_is_asked_for(summary: object) -> None:
    q, k, v = needles()
    found = select_blocks(q, k, block=32, keep=5, summary=summary)
    assert 0.9 < found.kept <= found.oracle <= 1
    full, some = attend(q, k, v, "causal()"), attend(q, k, v, found.topology)
    assert (full - some).norm() / full.norm() < 0.3
    nothing = select_blocks(q, -k, block=32, keep=5, summary=summary)  # summaries of the opposite keys
    assert found.kept > nothing.kept


def test_masses_against_the_dense_softmax() -> None:
    q, k, _ = needles(256)
    found = select_blocks(q, k, block=64, keep=2)
    later = ~torch.ones(256, 256, dtype=torch.bool).tril()
    weights = (q[0] @ k[0].mT / 4).masked_fill(later, -torch.inf).softmax(-1).mean(0)
    mask = torch.from_numpy(found.topology.mask(256))
    assert found.kept == pytest.approx((weights * mask).sum().item() / 256, abs=1e-5)
    by_block = weights.view(4, 64, 4, 64).sum((1, 3))
    assert found.oracle == pytest.approx(by_block.topk(2).values.sum().item() / 256, abs=1e-5)


def test_the_bound_is_a_bound_and_the_mean_a_mean() -> None:
    q, k, _ = needles(256)
    products = q[0] @ k[0].mT / 4
    blocks = products.unflatten(-1, (8, 32))
    assert (bound_summary(q[0], k[0], 32) >= blocks.amax(-1) - 1e-5).all()
    torch.testing.assert_close(mean_summary(q[0], k[0], 32), blocks.mean(-1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("n", [100, 256, 300])
def test_a_selection_is_a_topology_like_any_other(n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    q, k, v = (torch.randn(1, h, n, 8, generator=generator, dtype=torch.float64) for h in (4, 2, 2))
    topology = select_blocks(q, k, block=32, keep=3).topology
    rule = topology.mask(n)
    assert not np.triu(rule, 1).any()
    for i, chosen in enumerate(topology.chosen):
        t = min(32 * i + 31, n - 1)
        reads = set(np.flatnonzero(rule[t]) // 32)
        assert reads == set(chosen)
        assert i in reads
    for x in (q, k, v):
        x.requires_grad_()
    down = torch.randn_like(q)
    wanted = attend(q, k, v, topology, executor="reference")
    exact = torch.autograd.grad(wanted, (q, k, v), down)
    for executor in ("auto", "tiles", "diagonals"):
        out = attend(q, k, v, topology, executor=executor)
        torch.testing.assert_close(out, wanted)
        for a, b in zip(torch.autograd.grad(out, (q, k, v), down), exact, strict=True):
            torch.testing.assert_close(a, b)
    assert np.array_equal(parse(str(topology)).mask(n), rule)
    with pytest.raises(InputError, match=f"selected among {n} actors"):
        topology.mask(n + 1)


def test_a_trained_indexer_keeps_more_than_an_untrained_one() -> None:
    q, k, _ = needles()
    torch.manual_seed(0)
    indexer = Indexer(16)
    before = select_blocks(q, k, block=32, keep=3, summary=indexer)
    optimiser = torch.optim.Adam(indexer.parameters(), lr=1e-2)
    for _ in range(60):
        loss = indexer.loss(q[0], k[0], 32)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    after = select_blocks(q, k, block=32, keep=3, summary=indexer)
    assert after.kept > before.kept + 0.1
    assert after.kept > 0.8 * after.oracle


def test_bad_input() -> None:
    q, k, _ = needles(128)
    with pytest.raises(InputError, match="one sequence"):
        select_blocks(torch.cat([q, q]), torch.cat([k, k]))
    with pytest.raises(InputError, match=r"own .* must be at most 1, got 2"):
        select_blocks(q, k, keep=1, own=2)
