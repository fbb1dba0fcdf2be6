"""Rotary: what it is invariant to, moved keys, and distances recovered from phases."""

import cmath

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.attention import distance, frequencies, phases, rebase, rotate, unrotate
from chorus.errors import InputError

X = torch.randn(2, 40, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotation_is_a_product_with_unit_complex_numbers(interleaved: bool) -> None:
    turned = rotate(X, torch.arange(40), interleaved=interleaved)
    for t, i in [(0, 0), (7, 3), (39, 7)]:
        a, b = (2 * i, 2 * i + 1) if interleaved else (i, i + 8)
        z = complex(X[1, t, a], X[1, t, b]) * cmath.exp(1j * t * 10000 ** (-2 * i / 16))
        assert turned[1, t, a].item() == pytest.approx(z.real)
        assert turned[1, t, b].item() == pytest.approx(z.imag)


@pytest.mark.parametrize("interleaved", [False, True])
def test_products_depend_on_distance_alone(interleaved: bool) -> None:
    def product(p: int, q: int) -> float:
        at = [rotate(X[0, i : i + 1], torch.tensor([x]), interleaved=interleaved) for i, x in ((0, p), (1, q))]
        return (at[0] @ at[1].T).item()

    assert product(3, 11) == pytest.approx(product(90_003, 90_011), abs=1e-8)


@given(st.integers(-100_000, 100_000), st.integers(-100_000, 100_000))
@settings(max_examples=30, deadline=None)
def test_a_rebased_key_is_the_key_computed_there(here: int, there: int) -> None:
    p, q = torch.arange(40) + here, torch.arange(40) + there
    torch.testing.assert_close(rebase(rotate(X, p), p, q), rotate(X, q), atol=1e-8, rtol=0)
    torch.testing.assert_close(unrotate(rotate(X, p), p), X, atol=1e-8, rtol=0)


def test_float32_keys_stay_true_far_out() -> None:
    far = torch.arange(40) + 1_000_000
    torch.testing.assert_close(rotate(X.float(), far).double(), rotate(X, far), atol=1e-6, rtol=0)


@given(st.integers(0, 200_000), st.integers(-23_000, 23_000))
@settings(max_examples=50, deadline=None)
def test_distance_comes_back_from_phases(position: int, apart: int) -> None:
    a, b = phases(torch.tensor([position + apart, position]), 64)
    assert round(distance(a, b).item()) == apart
    # The slowest phase must not wrap: noise of 0.2 rad takes 0.2 / f_min = 1,500 positions off the range.
    apart = max(-21_500, min(21_500, apart))
    a, b = phases(torch.tensor([position + apart, position]), 64)
    noise = 0.2 * torch.rand(2, 32, generator=torch.Generator().manual_seed(position), dtype=torch.float64)
    assert abs(distance(a + noise[0], b + noise[1]).item() - apart) < 0.5


def test_bad_input() -> None:
    with pytest.raises(InputError, match="even number"):
        frequencies(7)
    with pytest.raises(InputError, match="do not fit"):
        rotate(X, torch.arange(39))
    with pytest.raises(InputError, match="cannot be compared"):
        distance(torch.zeros(3), torch.zeros(4))
