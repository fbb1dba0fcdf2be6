"""The O(N) and O(edges) forms are the O(N²) definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.dynamics import cos_sin, mean_drift, order_parameter, pairwise_drift
from chorus.dynamics.coupling import Edges, MeanField
from chorus.errors import InputError
from chorus.topology import full, graph, parse, sliding_window, star


@pytest.mark.parametrize("n", [1, 2, 3, 63, 1000])
@pytest.mark.parametrize("spread", [1e-9, 0.1, np.pi, 1000.0])
def test_mean_drift_is_the_sum_over_pairs(n: int, spread: float) -> None:
    theta = np.random.default_rng(n).uniform(-spread, spread, (2, n))
    np.testing.assert_allclose(mean_drift(theta), pairwise_drift(theta), rtol=0, atol=1e-12)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_cosine_and_sine_from_one_tangent(angles: list[float]) -> None:
    theta = np.array(angles)
    c, s = cos_sin(theta)
    np.testing.assert_allclose(c, np.cos(theta), rtol=0, atol=1e-15)
    np.testing.assert_allclose(s, np.sin(theta), rtol=0, atol=1e-15)


def test_cosine_and_sine_at_the_poles_of_the_tangent() -> None:
    theta = np.pi * np.arange(-7, 8)
    c, s = cos_sin(np.concatenate([theta, np.nextafter(theta, 99), np.nextafter(theta, -99)]))
    np.testing.assert_allclose(c, np.tile((-1.0) ** np.arange(-7, 8), 3), rtol=0, atol=1e-15)
    np.testing.assert_allclose(s, 0, atol=1e-14)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(3, 40),
    text=st.sampled_from(["sliding_window(3)", "sliding_window(2) | sink_tokens(1)", "random(3, seed=1)", "full()"]),
    seed=st.integers(0, 2**32),
)
def test_a_message_over_edges_is_the_mean_over_the_mask(n: int, text: str, seed: int) -> None:
    topology = parse(text)
    sent = np.random.default_rng(seed).standard_normal((2, n))
    mask = topology.mask(n).astype(float)
    by_degree = sent @ (mask / np.maximum(mask.sum(axis=1, keepdims=True), 1)).T
    np.testing.assert_allclose(Edges(topology, n)(sent), by_degree, atol=1e-13)
    np.testing.assert_allclose(Edges(topology, n, "actors")(sent), sent @ mask.T / n, atol=1e-13)


def test_who_reads_nobody_feels_nothing() -> None:
    messages = Edges(graph([[0, 1], [3, 1], [3, 2]]), 5)(np.array([1.0, 2.0, 4.0, 8.0, 16.0]))
    assert messages.tolist() == [2.0, 0.0, 0.0, 3.0, 0.0]


def test_reading_goes_from_reader_to_read() -> None:
    directed = Edges(sliding_window(2), 4)(np.array([1.0, 2.0, 4.0, 8.0]))
    assert directed.tolist() == [1.0, 1.5, 3.0, 6.0]  # causal: each reads itself and the one before


def test_full_reading_is_the_mean_field() -> None:
    sent = np.random.default_rng(0).standard_normal(50)
    for normalize in ("degree", "actors"):
        np.testing.assert_allclose(Edges(full(), 50, normalize)(sent), MeanField()(sent)[0], atol=1e-14)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="normalize"):
        Edges(star(), 5, "rows")  # type: ignore[arg-type]

    class Wrong:
        def to_csr(self, n: int, layer: int = 0) -> tuple[np.ndarray, np.ndarray]:
            return np.array([0, 1]), np.array([0])

    with pytest.raises(InputError, match="1 rows, the population has 3 actors"):
        Edges(Wrong(), 3)
    with pytest.raises(InputError, match=r"theta: nan at \[1\]"):
        order_parameter(np.array([0.0, np.nan]))


def test_many_edges_are_summed_block_by_block_without_a_seam() -> None:
    rng = np.random.default_rng(0)
    n = 300
    mask = rng.random((n, n)) < rng.choice([0.0, 0.01, 0.9], size=(n, 1), p=[0.1, 0.3, 0.6])
    reader, read = np.nonzero(mask)
    assert len(read) > 1 << 15
    sent = rng.standard_normal((3, n))
    got = Edges(graph(np.stack([reader, read], 1).tolist()), n)(sent)
    np.testing.assert_allclose(got, sent @ (mask / np.maximum(mask.sum(axis=1, keepdims=True), 1)).T, atol=1e-13)
