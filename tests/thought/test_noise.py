"""Counter-based noise: the published generator, independent of batching, with the right distribution."""

import numpy as np
import torch
from scipy import stats

from chorus.thought import noise

MASK = (1 << 64) - 1


def splitmix64(key, part):
    """Steele, Lea, Flood (2014), in Python integers."""
    z = (key + part + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_combine_is_splitmix64():
    for parts in ([0], [1, 2, 3], [-5, 2**62], [-(2**63), 2**63 - 1]):
        key = 0
        for part in parts:
            key = splitmix64(key, part & MASK)
        assert int(noise.combine(*parts)) & MASK == key
    assert splitmix64(0, 0) == 0xE220A8397B1DCDAF  # the generator's published first output for seed 0


def test_every_number_depends_on_its_own_key_only():
    keys = noise.combine(torch.arange(12).view(3, 4), 7)
    together = noise.normal(keys, 50)
    assert together.shape == (3, 4, 50)
    assert torch.equal(together[2, 1], noise.normal(keys[2, 1], 50))
    assert torch.equal(together[..., :20], noise.normal(keys, 20))
    assert not torch.equal(noise.combine(1, 2), noise.combine(2, 1))


def test_uniform_is_uniform_and_open():
    draw = noise.uniform(noise.combine(torch.arange(400), 3), 500)
    assert draw.dtype == torch.float32
    assert 0 < draw.min() < 1e-4
    assert 1 - 1e-4 < draw.max() < 1
    assert stats.kstest(draw.flatten().numpy(), "uniform").pvalue > 1e-3


def test_normal_is_normal_and_uncorrelated():
    draw = noise.normal(noise.combine(torch.arange(400), 5), 500).double()
    assert torch.isfinite(draw).all()
    assert stats.kstest(draw.flatten().numpy(), "norm").pvalue > 1e-3
    between_keys = np.corrcoef(draw[:-1].flatten(), draw[1:].flatten())[0, 1]
    within_a_key = np.corrcoef(draw[:, :-1].flatten(), draw[:, 1:].flatten())[0, 1]
    assert abs(between_keys) < 0.01  # 4.5 standard errors of 200,000 pairs
    assert abs(within_a_key) < 0.01
