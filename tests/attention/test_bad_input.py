"""Bad input is named: what, where, and what to do."""

from collections.abc import Callable

import pytest
import torch

from chorus.attention import (
    Dot,
    Elu1,
    Favor,
    Gaussian,
    Indexer,
    KeyValueCache,
    LinearState,
    MultiHeadAttention,
    Soft,
    TopK,
    attend,
    linear_attention,
    lookup,
    rebase,
    rotate,
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
        (X.to("meta"), X.to("meta"), X.to("meta"), "on the meta device"),
        (X.to_sparse(), X, X, "one dense tensor"),
        (X.to(torch.float8_e4m3fn),) * 3 + ("bfloat16, float16",),
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
        ({"topology": "causal()", "score": Gaussian}, r"as in \"gaussian\(0.5\)\" or Gaussian\(0.5\), not <class"),
        ({"topology": "causal()", "select": Soft}, "must be a name or a selection"),
        ({"topology": "causal()", "actors": 39}, "more than the 39"),
        ({"topology": "causal()", "first": 3}, "first = keys - queries"),
        ({"topology": "causal()", "first": 0.5}, "first must be a whole number, got 0.5"),
        ({"topology": "causal()", "actors": "40"}, "actors must be a whole number, got '40'"),
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
    with pytest.raises(InputError, match=r"of vectors of 7 numbers, as x \(\.\.\., 7\), not x \(1, 4, 40, 8\)"):
        linear_attention(X, X, X, Favor(7, 16))
    with pytest.raises(InputError, match="values holds nan"):
        lookup(X[0, 0], X[0, 0], X[0, 0] * torch.nan)
    with pytest.raises(InputError, match="q holds nan"):
        select_blocks(X * torch.nan, X, block=8, keep=2)
    with pytest.raises(InputError, match="differ in number"):
        rebase(X, torch.arange(40), torch.arange(39))
    with pytest.raises(InputError, match=r"x must be \(batch, tokens, 32\), not \(1, 5, 31\)"):
        MultiHeadAttention(32, 4)(torch.zeros(1, 5, 31))


Q = torch.randn(1, 2, 40, 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TopK(2.5), "k of top_k must be a whole number, got 2.5"),  # type: ignore[arg-type]
        (lambda: Dot("a"), "must be a finite number, not 'a'"),  # type: ignore[arg-type]
        (lambda: Gaussian("0.1"), "must be a positive number, not '0.1'"),  # type: ignore[arg-type]
        (lambda: Favor(8, 2.5), "features must be a whole number, got 2.5"),  # type: ignore[arg-type]
        (lambda: Favor(8, 4, scale=-1.0), "scale must be a positive number"),
        (lambda: select_blocks(Q, Q, block=2.5, keep=2), "block must be a whole number, got 2.5"),  # type: ignore[arg-type]
        (lambda: select_blocks(Q, Q[:, :0], block=8, keep=2), "hold nothing"),
        (lambda: select_blocks(Q[:, :, :0], Q[:, :, :0], block=8, keep=2), "hold nothing"),
        (
            lambda: select_blocks(Q, Q, block=8, keep=2, summary=lambda q, k, b: q),
            r"\(2, 40, 5\) here, not \(2, 40, 8\)",
        ),
        (lambda: select_blocks(Q, Q, block=8, keep=2, summary=Indexer(7)), "heads of 7 features, not 8"),
        (lambda: lookup(Q, Q, Q.double()), "one floating dtype"),
        (lambda: lookup(Q.long(), Q.long(), Q.long()), "one floating dtype"),
        (lambda: lookup(Q[0, 0, 0], Q[0, 0], Q[0, 0]), r"each is \(number, features\)"),
        (lambda: rotate(Q, torch.arange(80).view(2, 40)[:, None, None]), "do not fit vectors"),
        (lambda: rotate(Q, torch.arange(120).view(3, 40)), "do not fit vectors"),
        (lambda: rotate(Q.long(), torch.arange(40)), r"x needs one floating dtype \(.*\), not torch.int64"),
        (lambda: linear_attention(Q, Q[:, :0], Q[:, :0], Elu1()), "cannot share 0 key heads evenly"),
        (lambda: linear_attention(Q, Q.double(), Q, Elu1()), "one floating dtype"),
        (lambda: linear_attention(Q, Q, Q, "elu1"), "must be a feature map"),  # type: ignore[arg-type]
        (lambda: linear_attention(Q, Q, Q, Elu1(), causal=True, chunk=2.5), "chunk must be a whole number, got 2.5"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_used_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_a_cache_and_a_state_take_what_they_began_with() -> None:
    one = Q[:, :, 0]
    cache = KeyValueCache("causal()", actors=3)
    for q, k, message in [
        (torch.zeros(1, 3, 8), one, "3 query heads cannot share 2 key heads"),
        (one.double(), one, "one floating dtype"),
        (one.long(), one.long(), "one floating dtype"),
        (one.numpy(), one, "must be a torch.Tensor, not ndarray"),
    ]:
        with pytest.raises(InputError, match=message):
            cache.step(q, k, k)
    cache.step(one, one, one)
    with pytest.raises(InputError, match=r"float64 on cpu, do not fit the cache"):
        cache.step(one.double(), one.double(), one.double())
    assert cache.kept == [0]
    state = LinearState()
    state.step(one, one, one, Elu1())
    with pytest.raises(InputError, match=r"holds sums \(1, 2, 8, 9\), .* and these tokens give \(1, 2, 8, 4\)"):
        state.step(one, one, one[..., :3], Elu1())


def test_a_batch_of_nothing_has_heads_too() -> None:
    module = MultiHeadAttention(32, 4, topology="causal()", rotary=100.0)
    assert module(torch.zeros(0, 5, 32)).shape == (0, 5, 32)
