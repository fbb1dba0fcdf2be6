"""Bad input is named: what, where, and what to do."""

import pytest
import torch

from chorus.attention import (
    Favor,
    KeyValueCache,
    MultiHeadAttention,
    attend,
    linear_attention,
    lookup,
    rebase,
    select_blocks,
)
from chorus.errors import InputError

X = torch.randn(1, 4, 40, 8)


@pytest.mark.parametrize(
    ("q", "k", "v", "message"),
    [
        (X[0], X, X, r"takes \(batch, heads, actors, features\)"),
        (X, X[:, :, :39], X, "number of keys differ"),
        (torch.cat([X, X]), X, X, "batch, key heads or number of keys differ"),
        (X[..., :7], X, X, "differ in features"),
        (X, X[:, :3], X[:, :3], "4 query heads cannot share 3 key heads"),
        (X.double(), X, X, "one floating dtype"),
        (X.long(), X.long(), X.long(), "one floating dtype"),
        (X[:, :, :39], X, X, "first = keys - queries"),
        (X[:, :, :0], X[:, :, :0], X[:, :, :0], "at least one key"),
        (X.to("meta"), X, X, "on one device"),
    ],
)
def test_shapes_dtypes_and_devices(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        attend(q, k, v, "causal()")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["q", "k", "v"])
def test_what_is_not_finite_is_found(name: str, value: float) -> None:
    tensors = {"q": X.clone(), "k": X.clone(), "v": X.clone()}
    tensors[name][0, 2, 31, 5] = value
    with pytest.raises(InputError, match=rf"{name} holds {value} at \(0, 2, 31, 5\)"):
        attend(**tensors, topology="causal()")


def test_large_numbers_are_not_mistaken_for_infinity() -> None:
    large = torch.full((1, 1, 40, 8), 3e38)
    assert torch.isfinite(attend(X[:, :1], X[:, :1], large, "sliding_window(1)")).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topology": "lattice(3, 3)"}, "lattice"),
        ({"topology": "sliding_windw(3)"}, "sliding_windw"),
        ({"topology": 7}, "must be a Topology or its text"),
        ({"topology": "causal()", "executor": "triton"}, "unknown executor"),
        ({"topology": "causal()", "score": "best"}, "unknown score"),
        ({"topology": "causal()", "select": "best"}, "unknown selection"),
        ({"topology": "causal()", "actors": 39}, "more than the 39"),
        ({"topology": "causal()", "first": 3}, "first = keys - queries"),
        ({"topology": "causal()", "first": 0.5}, "first must be a whole number, not 0.5"),
        ({"topology": "causal()", "actors": "40"}, "actors must be a whole number, not '40'"),
    ],
)
def test_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        attend(X, X, X, **options)  # type: ignore[arg-type]


def test_an_executor_that_cannot_serve_says_why() -> None:
    x = torch.randn(1, 1, 3000, 4)
    with pytest.raises(InputError, match=r"a row reads .* diagonals, more than 1,024; use tiles or auto"):
        attend(x, x, x, "full()", executor="diagonals")
    with pytest.raises(InputError, match="on no diagonal"):
        attend(x, x, x, "star()", executor="diagonals")
    long = torch.empty(1, 1, 1, 4).expand(1, 1, 40_000, 4)
    with pytest.raises(InputError, match="1,600,000,000 pairs per head"):
        attend(long.contiguous() * 0, long.contiguous() * 0, long.contiguous() * 0, "causal()", executor="reference")


def test_what_is_no_tensor_is_named() -> None:
    with pytest.raises(InputError, match=r"k must be a torch\.Tensor, not ndarray"):
        attend(X, X.numpy(), X, "causal()")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(0, 2, 300, 8), (1, 0, 300, 8), (1, 2, 0, 8)])
@pytest.mark.parametrize("spec", [None, "causal()", "sliding_window(16)"])
def test_no_sequence_no_head_or_no_query_gives_nothing(shape: tuple[int, ...], spec: str | None) -> None:
    q = torch.zeros(shape, requires_grad=True)
    k = torch.randn(shape[0], 2, 300, 8, requires_grad=True)
    out = attend(q, k, k[..., :5], spec, first=300 - shape[2])
    assert out.shape == (*shape[:3], 5)
    assert [x.abs().sum() for x in torch.autograd.grad(out.sum(), (q, k))] == [0, 0]


def test_heads_that_do_not_divide() -> None:
    with pytest.raises(InputError, match="do not divide evenly"):
        MultiHeadAttention(30, 4)
    module = MultiHeadAttention(32, 4, topology="causal()")
    with pytest.raises(InputError, match="with a context, leave it out"):
        module(torch.zeros(1, 5, 32), torch.zeros(1, 6, 32))


def test_what_does_not_fit_the_smaller_parts_is_named() -> None:
    nan = torch.full((1, 2, 8), torch.nan)
    cache = KeyValueCache("causal()", actors=3)
    with pytest.raises(InputError, match=r"one token's \(batch, heads, features\)"):
        cache.step(X, X, X)
    with pytest.raises(InputError, match="k holds nan"):
        cache.step(X[:, :2, 0], nan, nan)
    cache.step(X[:, :2, 0], X[:, :2, 0], X[:, :2, 0])  # what was refused has left nothing behind
    with pytest.raises(InputError, match="do not fit the cache"):
        cache.step(X[:, :, 1], X[:, :, 1], X[:, :, 1])
    with pytest.raises(InputError, match="of vectors of 7 numbers, not 8"):
        linear_attention(X, X, X, Favor(7, 16))
    with pytest.raises(InputError, match="values holds nan"):
        lookup(X[0, 0], X[0, 0], X[0, 0] * torch.nan)
    with pytest.raises(InputError, match="q holds nan"):
        select_blocks(X * torch.nan, X, block=8, keep=2)
    with pytest.raises(InputError, match="differ in number"):
        rebase(X, torch.arange(40), torch.arange(39))
    with pytest.raises(InputError, match=r"x must be \(batch, tokens, 32\), not \(1, 5, 31\)"):
        MultiHeadAttention(32, 4)(torch.zeros(1, 5, 31))
