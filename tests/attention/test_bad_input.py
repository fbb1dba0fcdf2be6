"""Bad input is named: what, where, and what to do."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from chorus.attention import (
    Cosine,
    Dot,
    Elu1,
    Entmax,
    FactoredMatrix,
    Favor,
    Fourier,
    Gaussian,
    Hard,
    HeadWeights,
    Indexer,
    KeyValueCache,
    Laplace,
    LinearState,
    MultiHeadAttention,
    SelectedBlocks,
    Soft,
    Sparsemax,
    TopK,
    attend,
    bound_summary,
    composition,
    copying,
    distance,
    effective_rank,
    frequencies,
    last_readers,
    linear_attention,
    lookup,
    mean_summary,
    nadaraya_watson,
    orthonormal,
    parse_select,
    phases,
    principal_angles,
    rebase,
    reference,
    rotate,
    select_blocks,
    subspace_overlap,
    unrotate,
    write_overlaps,
    write_shares,
)
from chorus.errors import InputError
from chorus.topology import causal

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


M = torch.randn(6, 8)
P = torch.arange(40)
BASIS = orthonormal(torch.randn(8, 3))
CIRCUIT = FactoredMatrix(torch.randn(8, 2), torch.randn(2, 8))
ROOT = torch.randn(2, 8, 4)


def heads(**other: torch.Tensor) -> HeadWeights:
    return HeadWeights(**{"query": ROOT, "key": ROOT, "value": ROOT, "output": ROOT.mT, **other})


@pytest.mark.parametrize("convert", [torch.Tensor.tolist, torch.Tensor.numpy, lambda _: None])
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lookup, (M, M, M)),
        (lambda *given: nadaraya_watson(*given, bandwidth=1.0), (M, M, M)),
        (reference, (Q, Q, Q)),
        (rotate, (Q, P)),
        (unrotate, (Q, P)),
        (rebase, (Q, P, P)),
        (lambda positions: phases(positions, 8), (P,)),
        (distance, (M, M)),
        (lambda *given: linear_attention(*given, Elu1()), (Q, Q, Q)),
        (lambda *given: LinearState().step(*given, Elu1()), (Q[:, :, 0],) * 3),
        (lambda *given: KeyValueCache("causal()", actors=3).step(*given), (Q[:, :, 0],) * 3),
        (select_blocks, (Q, Q)),
        (lambda *given: mean_summary(*given, 8), (Q[0], Q[0])),
        (lambda *given: bound_summary(*given, 8), (Q[0], Q[0])),
        (lambda *given: Indexer(8)(*given, 8), (Q[0], Q[0])),
        (lambda *given: Indexer(8).loss(*given, 8), (Q[0], Q[0])),
        (lambda x: MultiHeadAttention(8, 2)(x), (Q[0],)),
        (lambda x: MultiHeadAttention(8, 2).writes(x), (Q[0],)),
        (orthonormal, (M.mT,)),
        (principal_angles, (BASIS, BASIS)),
        (subspace_overlap, (BASIS, BASIS)),
        (effective_rank, (M,)),
        (write_shares, (M[None], M)),
        (FactoredMatrix, (M, M.mT)),
        (
            lambda *given: heads(query=given[0], key=given[1], value=given[2], output=given[3]),
            (ROOT, ROOT, ROOT, ROOT.mT),
        ),
        (lambda x: Elu1()(x, query=True), (M,)),
        (lambda x: Favor(8, 16)(x, query=True), (M,)),
        (lambda x: Fourier(8, 16)(x, query=True), (M,)),
        (Dot(), (M, M)),
        (Cosine(), (M, M)),
        (Gaussian(), (M, M)),
        (Laplace(), (M, M)),
        (Soft(), (M,)),
        (Hard(), (M,)),
        (Sparsemax(), (M,)),
        (Entmax(), (M,)),
        (TopK(2), (M,)),
    ],
)
def test_each_argument_that_is_no_tensor_is_named(
    function: Callable[..., object], arguments: tuple[torch.Tensor, ...], convert: Callable[[torch.Tensor], object]
) -> None:
    function(*arguments)
    for i in range(len(arguments)):
        given = [convert(x) if i == j else x for j, x in enumerate(arguments)]
        with pytest.raises(InputError, match=rf"must be a torch\.Tensor, not {type(given[i]).__name__}"):
            function(*given)


@pytest.mark.parametrize("topology", [7, ["causal()"], np.eye(3)])
@pytest.mark.parametrize(
    "function",
    [
        lambda topology: KeyValueCache(topology, actors=3),
        lambda topology: MultiHeadAttention(8, 2, topology=topology),
        lambda topology: last_readers(topology, 3),
        lambda topology: attend(Q, Q, Q, topology),
    ],
)
def test_what_is_no_topology_is_named(function: Callable[[object], object], topology: object) -> None:
    with pytest.raises(InputError, match=f"must be a Topology or its text, not {type(topology).__name__}"):
        function(topology)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": "tils"}, 'unknown executor "tils"'),
        ({"executor": ["auto"]}, "unknown executor"),
        ({"score": "dott"}, 'unknown score "dott"'),
        ({"score": 7}, "must be a name or a score"),
        ({"select": "softt"}, 'unknown selection "softt"'),
        ({"select": Gaussian()}, "must be a name or a selection, .* not Gaussian"),
        ({"dim": 8.0}, "dim must be a whole number, got 8.0"),
        ({"heads": "2"}, "heads must be a whole number, got '2'"),
        ({"heads": 0}, "heads must be at least 1, got 0"),
        ({"key_heads": 1.0}, "key_heads must be a whole number"),
        ({"layer": -1}, "layer must be at least 0, got -1"),
        ({"rotary": "a"}, "rotary base must be a positive number, not 'a'"),
        ({"rotary": math.nan}, "rotary base must be a positive number, not nan"),
        ({"dim": 6, "rotary": 100.0}, "even number of features, not 3"),
    ],
)
def test_heads_that_could_not_attend_are_refused_when_they_are_made(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MultiHeadAttention(**{"dim": 8, "heads": 2, **options})  # type: ignore[arg-type]


def test_what_does_not_fit_the_weights_is_named() -> None:
    module, x = MultiHeadAttention(8, 2), torch.randn(1, 5, 8)
    for call in (module, module.writes):
        with pytest.raises(
            InputError, match=r"x is torch\.float16 and the weights are torch\.float32: .*to\(torch\.float32\)"
        ):
            call(x.half())
    with pytest.raises(InputError, match=r"context is torch\.float64 and the weights are torch\.float32"):
        module(x, x.double())
    with pytest.raises(InputError, match=r"x is torch\.int64"):
        module(x.long())
    with pytest.raises(InputError, match="x is on meta and the weights are on cpu"):
        module(x.to("meta"))
    with pytest.raises(InputError, match=r"q is torch\.float64 and the weights are torch\.float32"):
        Indexer(8)(x.double(), x.double(), 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert module(x.bfloat16()).dtype == Indexer(8)(x.bfloat16(), x.bfloat16(), 2).dtype == torch.bfloat16
        with pytest.raises(InputError, match=r"x is torch\.float64"):
            module(x.double())
    for name in ("qk", "ov"):
        with pytest.raises(InputError, match="head must be at most 1, got 2"):
            getattr(module, name)(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        # look-ups, scores and selections
        (lambda: lookup(M, M.to("meta"), M), "to be on one device, not cpu, meta, cpu"),
        (lambda: lookup(torch.randn(3, 6, 8), *torch.randn(2, 2, 6, 8)), "do not fit"),
        (lambda: lookup(M[:, :0], M[:, :0], M, "dot"), "empty dictionary"),
        (lambda: lookup(M, M, M, select=Dot()), "must be a name or a selection"),  # type: ignore[arg-type]
        (lambda: nadaraya_watson(M, M, M, "1"), "must be a positive number, not '1'"),  # type: ignore[arg-type]
        (lambda: Dot()(M, M[:, :7]), r"queries \(\.\.\., Q, D\) and keys .* not q \(6, 8\), k \(6, 7\)"),
        (lambda: Gaussian()(M, M.double()), "q and k need one floating dtype"),
        (lambda: Laplace()(M.half(), M.half()), r"one floating dtype \(float64, float32\), not torch\.float16"),
        (lambda: Soft()(M, torch.ones(6, 8)), r"readable must be bool, .* not torch\.float32"),
        (lambda: Soft()(M, torch.ones(6, 7).bool()), r"expand to scores \(6, 8\) on cpu, not torch\.bool \(6, 7\)"),
        (lambda: Hard()(M.long()), "scores needs one floating dtype"),
        (lambda: Hard()(M[0, 0]), "not a single number"),
        (lambda: Hard()(M * math.nan), "best score is NaN or infinite"),
        (lambda: TopK(2)(M * math.inf), "best score is NaN or infinite"),
        (lambda: Sparsemax()(M * math.nan), "best score is NaN or infinite"),
        (lambda: attend(Q * 1e30, Q * 1e30, Q, "causal()", select="entmax"), "scale queries and keys down"),
        (lambda: parse_select(f"top_k({'9' * 5000})"), "unknown selection"),
        # the definition
        (lambda: reference(Q[0], Q[0], Q[0]), r"takes \(batch, heads, actors, features\)"),
        (lambda: reference(Q[:, :1], Q, Q), "1 query heads cannot share 2 key heads"),
        (lambda: reference(Q, Q, Q.double()), "one floating dtype"),
        (lambda: reference(Q, Q, Q, torch.ones(40, 40).long()), r"mask must be bool, .* not torch\.int64 \(40, 40\)"),
        (lambda: reference(Q, Q, Q, torch.ones(39, 40).bool()), r"expand to \(1, 2, 40, 40\) on cpu"),
        (lambda: reference(Q, Q, Q, score="dott"), "unknown score"),
        # rotary
        (lambda: rotate(M[0, 0], P), "do not fit vectors"),
        (lambda: rotate(Q, P.cfloat()), r"positions must be real numbers, not torch\.complex64"),
        (lambda: unrotate(Q, P > 3), r"positions must be real numbers, not torch\.bool"),
        (lambda: rotate(Q, P * math.nan), r"positions holds nan at \(0,\)"),
        (lambda: rotate(Q, P, math.inf), "rotary base must be a positive number, not inf"),
        (lambda: rotate(Q, P, freqs=[1.0] * 4), "freqs must be a torch.Tensor, not list"),  # type: ignore[arg-type]
        (lambda: rotate(Q, P, freqs=torch.ones(3)), r"8 features need 4 frequencies, .* not freqs \(3,\)"),
        (lambda: rotate(Q[..., :7], P, freqs=torch.ones(3)), "even number of features, not 7"),
        (lambda: phases(P, 8, freqs=torch.ones(2)), "8 features need 4 frequencies"),
        (lambda: frequencies(8.0), "must be a whole number, got 8.0"),  # type: ignore[arg-type]
        (lambda: frequencies(8, 1.0), "must be above 1"),
        (lambda: rebase(Q, P, P.to("meta")), "differ in number or device"),
        (lambda: distance(torch.ones(3, 4), torch.ones(2, 4)), "cannot be compared"),
        (lambda: distance(torch.ones(4), torch.ones(4).to("meta")), "on cpu and meta, cannot be compared"),
        (lambda: distance(torch.ones(4), torch.ones(4) * math.nan), "phase_b holds nan"),
        (lambda: distance(torch.ones(4), torch.ones(4), freqs=torch.zeros(4)), "positive frequencies, not from 0.0"),
        # kernelised attention
        (lambda: linear_attention(Q, Q.to("meta"), Q, Elu1()), "on one device"),
        (lambda: linear_attention(Q, Q, Q[..., 0], Elu1()), r"v \(1, 2, 40\)"),
        (lambda: linear_attention(Q, Q, Q, Elu1), "must be a feature map"),  # type: ignore[arg-type]
        (lambda: linear_attention(Q, Q, Q, lambda x, query: x[..., 0]), r"phi must give .* not features \(1, 2, 40\)"),
        (
            lambda: linear_attention(Q, Q, Q, lambda x, query: x[..., 2 * query :]),
            "gives a query 6 features and a key 8",
        ),
        (lambda: linear_attention(Q, Q, Q, Elu1(), causal=True, state={}), "must be a LinearState, not dict"),  # type: ignore[arg-type]
        (lambda: LinearState().step(Q, Q, Q, Elu1()), r"one token's \(batch, heads, features\)"),
        (lambda: Favor(8, 16, 1.5), "seed must be a whole number"),  # type: ignore[arg-type]
        (lambda: Favor(8, 16, scale="a"), "scale must be a positive number, not 'a'"),  # type: ignore[arg-type]
        (lambda: Favor(8, 16)(M.to("meta"), query=True), "x is on meta and the directions on cpu"),
        (lambda: Favor(8, 16)(M[0, 0], query=True), "of vectors of 8 numbers"),
        (lambda: Fourier(8, "16"), "features must be a whole number"),  # type: ignore[arg-type]
        (lambda: Fourier(8, 16, bandwidth=None), "must be a positive number, not None"),  # type: ignore[arg-type]
        # decoding
        (lambda: KeyValueCache(None, 3), "must be a Topology or its text, not NoneType"),  # type: ignore[arg-type]
        (lambda: KeyValueCache("causal()", 3.0), "actors must be a whole number, got 3.0"),  # type: ignore[arg-type]
        (lambda: KeyValueCache("causal()", 0), "actors must be at least 1, got 0"),
        (lambda: KeyValueCache("causal()", 3, layer=-1), "layer must be at least 0"),
        (lambda: KeyValueCache("causal()", 3).step(*[Q[:, :, 0, :0]] * 3), "differ in features, or have none"),
        (lambda: last_readers(causal(), 0), "actors must be at least 1, got 0"),
        # blocks
        (lambda: select_blocks(Q, Q.double()), "one floating dtype"),
        (lambda: select_blocks(Q, Q, block=True), "block must be a whole number, got True"),
        (lambda: select_blocks(Q, Q, summary="mean"), "must be a function or an Indexer"),  # type: ignore[arg-type]
        (lambda: select_blocks(Q, Q, summary=Indexer), "must be a function or an Indexer"),  # type: ignore[arg-type]
        (lambda: select_blocks(Q, Q, summary=lambda q, k, b: None), "what the summary gives must be a torch.Tensor"),  # type: ignore[arg-type, return-value]
        (lambda: select_blocks(Q, Q, summary=lambda *x: mean_summary(*x) * math.nan), "the summary gave NaN"),
        (lambda: mean_summary(Q[0], Q[0, :, :39], 8), r"both \(heads, tokens, features\), not q .* k \(2, 39, 8\)"),
        (lambda: bound_summary(Q[0], Q[0], 0), "block must be at least 1, got 0"),
        (lambda: Indexer(8)(Q[0], Q[0, :1], 8), r"both \(heads, tokens, features\)"),
        (lambda: Indexer(8, heads=0), "heads must be at least 1, got 0"),
        (lambda: SelectedBlocks(actors=16, block=8, chosen=((0,),)), "each of the 2 blocks reads"),
        (
            lambda: SelectedBlocks(actors=16, block=8, chosen=((0,), (-1,))),
            r"chosen\[1\] must be a tuple of blocks 0 to 1",
        ),
        (lambda: SelectedBlocks(actors=16, block=8, chosen=((0,), (1, 2))), r"chosen\[1\] must be a tuple"),
        (lambda: SelectedBlocks(actors=16, block=8, chosen=((0,), (0, 0))), r"ascending, not \(0, 0\)"),
        (lambda: SelectedBlocks(actors=16, block=8, chosen=[[0], [1]]), "chosen must be a tuple"),  # type: ignore[arg-type]
        # circuits
        (lambda: principal_angles(BASIS, BASIS[:7]), r"do not fit: a \(8, 3\), b \(7, 3\)"),
        (lambda: principal_angles(BASIS, BASIS.double()), "a and b need one floating dtype"),
        (lambda: principal_angles(BASIS.half(), BASIS.half()), r"\(float64, float32\), not torch\.float16"),
        (lambda: principal_angles(BASIS, 2 * BASIS), r"columns of b are not orthonormal: pass orthonormal\(b\)"),
        (lambda: principal_angles(BASIS * math.nan, BASIS), "a holds nan"),
        (lambda: subspace_overlap(BASIS, BASIS[:7]), "do not fit"),
        (lambda: subspace_overlap(BASIS, BASIS.double()), "one floating dtype"),
        (lambda: subspace_overlap(BASIS[:, :0], BASIS), "do not fit"),
        (lambda: subspace_overlap(BASIS, M.mT), "columns of b are not orthonormal"),
        (lambda: orthonormal(M), r"need D ≤ M, not columns \(6, 8\)"),
        (lambda: composition(CIRCUIT, M), "later must be a FactoredMatrix, .* not Tensor"),  # type: ignore[arg-type]
        (lambda: composition(CIRCUIT, FactoredMatrix(M, M.mT)), r"\(8, 8\) and a later one \(6, 6\) do not multiply"),
        (
            lambda: composition(CIRCUIT, FactoredMatrix(M.mT.double(), M.double())),
            "earlier and later need one floating dtype",
        ),
        (lambda: copying(M), "ov must be a FactoredMatrix"),  # type: ignore[arg-type]
        (lambda: copying(FactoredMatrix(M.mT * math.nan, M)), "the product of the factors holds nan"),
        (lambda: FactoredMatrix(M.mT * math.inf, M).svd(), "the product of the factors holds"),
        (lambda: FactoredMatrix(M, M), r"left \(6, 8\), right \(6, 8\) do not multiply"),
        (lambda: FactoredMatrix(M, M[0]), "do not multiply"),
        (lambda: FactoredMatrix(M.half(), M.mT.half()), r"\(float64, float32\), not torch\.float16"),
        (lambda: CIRCUIT @ [1], "right must be a torch.Tensor, not list"),  # type: ignore[operator]
        (lambda: CIRCUIT @ M, "do not multiply"),
        (lambda: effective_rank(torch.stack([M, M])), r"x must be \(N, M\), .* not x \(2, 6, 8\)"),
        (lambda: effective_rank(M[:0]), "one vector at least"),
        (lambda: effective_rank(M * math.nan), "x holds nan"),
        (lambda: write_shares(M[None, :1], M), r"not writes \(1, 1, 8\), stream \(6, 8\)"),
        (lambda: write_shares(M[None], M.double()), "one floating dtype"),
        (lambda: write_shares(M[None], M * 0), "all zeros"),
        (lambda: write_overlaps([]), "one at least"),
        (lambda: write_overlaps([heads(), heads(value=ROOT[:, :, :3], output=ROOT[:, :, :3].mT)]), "layers differ"),
        (lambda: heads(query=ROOT[:1], key=ROOT[:1]), r"weights do not fit: .* query \(1, 8, 4\)"),
        (lambda: heads(query=ROOT.double(), key=ROOT.double()), "one floating dtype"),
        (lambda: heads().write_subspace(2), "head must be at most 1, got 2"),
    ],
)
def test_what_would_fail_deep_inside_or_give_a_wrong_answer_is_refused(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("kind", [torch.uint8, torch.int8, torch.int16, torch.float64])
def test_positions_of_few_bits_do_not_wrap_around(kind: torch.dtype) -> None:
    few, back = P.to(kind), P.flip(0).to(kind)
    torch.testing.assert_close(unrotate(rotate(Q, few), few), Q)
    torch.testing.assert_close(rebase(rotate(Q, few), few, back), rotate(Q, back))


def test_half_precision_weights_have_circuits_and_shares_in_float32() -> None:
    module = MultiHeadAttention(8, 2)
    wanted = module.bfloat16().float().ov(0)
    found = module.bfloat16().ov(0)
    torch.testing.assert_close(found.svd()[1], wanted.svd()[1])
    assert module.weights().write_subspace(1).dtype == torch.float32
    large = (300 * torch.ones(2, 6, 8)).half()  # whose squares are beyond half precision
    torch.testing.assert_close(write_shares(large, large.sum(0)), torch.tensor([0.5, 0.5]))


def test_norms_and_compositions_of_circuits_can_be_trained() -> None:
    left, right = M.mT.clone().requires_grad_(), M.clone().requires_grad_()
    circuit = FactoredMatrix(left, right)
    dense = left @ right
    for found, wanted in (
        (circuit.norm(), dense.norm()),
        (
            composition(circuit, CIRCUIT),
            (dense @ CIRCUIT.left @ CIRCUIT.right).norm() / (dense.norm() * CIRCUIT.norm()),
        ),
    ):
        torch.testing.assert_close(
            torch.autograd.grad(found, (left, right), retain_graph=True),
            torch.autograd.grad(wanted, (left, right), retain_graph=True),
        )


def test_linear_attention_takes_no_sequence_no_token_and_a_chunk_of_any_size() -> None:
    state = LinearState()
    whole = linear_attention(Q, Q, Q, Elu1(), causal=True, state=state)
    held = state.sums
    assert linear_attention(Q[:, :, :0], Q[:, :, :0], Q[:, :, :0], Elu1(), causal=True, state=state).shape == (
        1,
        2,
        0,
        8,
    )
    torch.testing.assert_close(state.sums, held)
    assert linear_attention(Q[:0], Q[:0], Q[:0], Elu1(), causal=True).shape == (0, 2, 40, 8)
    torch.testing.assert_close(linear_attention(Q, Q, Q, Elu1(), causal=True, chunk=1 << 30), whole)
    with pytest.raises(InputError, match=r"torch\.float32 on cpu, and these tokens give .* torch\.float64"):
        linear_attention(Q.double(), Q.double(), Q.double(), Elu1(), causal=True, state=state)


@pytest.mark.parametrize("select", ["soft", "hard", "sparsemax", "entmax", "top_k(2)"])
def test_where_nobody_reads_anybody_there_is_nothing(select: str) -> None:
    nobody = SelectedBlocks(actors=40, block=8, chosen=((),) * 5)
    assert not attend(Q, Q, Q, nobody, select=select).any()
    assert not reference(Q, Q[:, :, :0], Q[:, :, :0], None, select=select).any()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (rotate, (Q, P)),
        (lookup, (M, M, M, "dot", "hard")),
        (linear_attention, (Q, Q, Q, Elu1())),
        (reference, (Q, Q, Q, None, "dot", "entmax")),
        (write_shares, (M[None], M)),
        (subspace_overlap, (BASIS, BASIS)),
    ],
)
def test_checks_leave_one_graph_to_the_compiler(
    function: Callable[..., torch.Tensor], arguments: tuple[object, ...]
) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(function, backend="eager", fullgraph=True, dynamic=True)
    torch.testing.assert_close(compiled(*arguments), function(*arguments))
