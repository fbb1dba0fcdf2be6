"""Decoding equals the full pass, and the cache holds exactly what will still be read."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.attention import KeyValueCache, attend, last_readers
from chorus.errors import InputError
from chorus.topology import parse

SPECS = [
    "sliding_window(7) | sink_tokens(3)",
    "logarithmic()",
    "power(2)",
    "random(3)",
    "causal()",
    "dilated(4, dilation=3)",
    "causal() - sliding_window(3)",
    "graph([[5, 1], [9, 1], [9, 2], [20, 2]])",
    "full() - full()",
]


@pytest.mark.parametrize("spec", SPECS)
def test_decoding_equals_the_full_pass_and_keeps_exactly_what_is_needed(spec: str) -> None:
    n = 60
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, h, n, 8, generator=generator, dtype=torch.float64) for h in (4, 2, 2))
    mask = torch.from_numpy(parse(spec).mask(n))
    wanted = attend(q, k, v, spec)
    cache = KeyValueCache(spec, actors=n)
    most = 0
    for t in range(n):
        out = cache.step(q[:, :, t], k[:, :, t], v[:, :, t])
        torch.testing.assert_close(out, wanted[:, :, t])
        assert cache.kept == mask[t + 1 :, : t + 1].any(0).nonzero()[:, 0].tolist()
        most = max(most, len(cache.kept))
    assert most <= cache.capacity <= most + 1
    with pytest.raises(InputError, match="made for 60 actors"):
        cache.step(q[:, :, 0], k[:, :, 0], v[:, :, 0])


@given(st.lists(st.sampled_from(SPECS[:6]), min_size=1, max_size=3), st.sampled_from("|&-"), st.integers(21, 60))
@settings(max_examples=30, deadline=None)
def test_last_readers(specs: list[str], operator: str, n: int) -> None:
    topology = parse(f" {operator} ".join(f"({spec})" for spec in specs))
    mask = topology.mask(n)
    wanted = [max(mask[:, s].nonzero()[0], default=-1) for s in range(n)]
    assert last_readers(topology, n).tolist() == wanted


def test_capacity_of_a_long_window() -> None:
    assert KeyValueCache("sliding_window(256) | sink_tokens(4)", actors=1 << 20).capacity == 260


def test_who_reads_ahead_cannot_be_decoded() -> None:
    with pytest.raises(InputError, match="actor 0 reads actor 1, which comes later"):
        KeyValueCache("sliding_window(3).symmetric()", actors=10)
