"""Every executor equals the dense definition, values and gradients, for every pattern at awkward sizes."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from chorus.attention import Laplace, TopK, attend, chunk
from chorus.attention.planning import compile_program
from chorus.errors import InputError
from chorus.topology import parse

PATTERNS = [
    "causal()",
    "full()",
    "sliding_window(16)",
    "sliding_window(40) | sink_tokens(4)",
    "sliding_window(9).symmetric()",
    "logarithmic()",
    "sliding_window(20) | logarithmic()",
    "power(2)",
    "dilated(5, dilation=3)",
    "random(5)",
    "random(3, causal=False) | sliding_window(7) | sink_tokens(2)",
    "global_tokens(3)",
    "global_tokens(3) | random(2) | sliding_window(5)",
    "star(hub=2)",
    "ring(3)",
    "causal() - sliding_window(3)",
    "sink_tokens(3) - sliding_window(2)",
    "full() - full()",
]
SIZES = [1, 2, 63, 111, 129, 200, 333]
EXECUTORS = ["auto", "tiles", "diagonals"]


@pytest.fixture(autouse=True)
def _poisoned_memory() -> Iterator[None]:
    """Uninitialised memory holds NaN, so that a row nobody wrote cannot pass for a result."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def tensors(
    n: int, heads: int = 2, keys: int = 2, dim: int = 12, kind: torch.dtype = torch.float64, narrow: bool = False
) -> list[Tensor]:
    """Queries, keys and values, the values narrower if asked for."""
    generator = torch.Generator().manual_seed(n)
    shapes = [(2, heads, n, dim), (2, keys, n, dim), (2, keys, n, dim - 2 * narrow)]
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(kind).requires_grad_() for s in shapes]


def values_and_gradients(q: Tensor, k: Tensor, v: Tensor, *args: object, **options: object) -> list[Tensor]:
    out = attend(q, k, v, *args, **options)  # type: ignore[arg-type]
    down = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).to(out.dtype).view(out.shape)
    return [out, *torch.autograd.grad(out, (q, k, v), down)]


def assert_close(found: list[Tensor], wanted: list[Tensor], tolerance: float) -> None:
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("spec", PATTERNS)
def test_every_pattern_equals_the_definition(spec: str, n: int) -> None:
    try:
        topology = parse(spec)
        topology.mask(n)
    except InputError:
        pytest.skip(f"{spec} says nothing about {n} actors")
    q, k, v = tensors(n, heads=4 if n in (63, 111, 333) else 2, narrow=n in (111, 200))
    wanted = values_and_gradients(q, k, v, topology, executor="reference")
    for executor in EXECUTORS:
        assert_close(values_and_gradients(q, k, v, topology, executor=executor), wanted, 1e-10)


@pytest.mark.parametrize("n", [81, 200])
@pytest.mark.parametrize("spec", ["groups", "lattice", "graph"])
def test_graphs_and_groups(spec: str, n: int) -> None:
    pairs = np.random.default_rng(0).integers(0, n, (3 * n, 2)).tolist()
    text = {
        "groups": f"groups({[list(range(i, min(i + 9, n))) for i in range(0, n, 7)]})",
        "lattice": "lattice(9, 9)" if n == 81 else "lattice(10, 20)",
        "graph": f"graph({pairs})",
    }[spec]
    q, k, v = tensors(n)
    wanted = values_and_gradients(q, k, v, text, executor="reference")
    for executor in EXECUTORS:
        assert_close(values_and_gradients(q, k, v, text, executor=executor), wanted, 1e-10)


@pytest.mark.parametrize("select", ["soft", "hard", "sparsemax", "entmax", TopK(3)])
@pytest.mark.parametrize("score", ["dot", "cosine(4)", "gaussian(1.5)", Laplace(2.0)])
@pytest.mark.parametrize("spec", ["sliding_window(30) | sink_tokens(2)", "logarithmic()", "random(4)", "causal()"])
def test_every_score_and_selection(spec: str, score: object, select: object) -> None:
    q, k, v = tensors(150, heads=4)
    options = {"score": score, "select": select}
    wanted = values_and_gradients(q, k, v, spec, executor="reference", **options)
    for executor in EXECUTORS:
        assert_close(values_and_gradients(q, k, v, spec, executor=executor, **options), wanted, 1e-9)


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
@pytest.mark.parametrize("spec", ["sliding_window(64) | sink_tokens(1)", "logarithmic()", "random(4)"])
def test_precision(spec: str, kind: torch.dtype, tolerance: float) -> None:
    q, k, v = tensors(300, heads=4, dim=60, kind=kind)
    exact = [x.detach().double().requires_grad_() for x in (q, k, v)]
    wanted = [x.to(kind) for x in values_and_gradients(*exact, spec, executor="reference")]
    for executor in EXECUTORS:
        found = values_and_gradients(q, k, v, spec, executor=executor)
        assert found[0].dtype == kind
        assert_close(found, wanted, tolerance)


def test_a_row_that_reads_nothing_gives_zeros_and_takes_no_gradient() -> None:
    q, k, v = tensors(200)
    for executor in ["reference", *EXECUTORS]:
        for select in ["soft", "hard", "sparsemax", "entmax", "top_k(2)"]:
            out, dq, dk, dv = values_and_gradients(
                q, k, v, "causal() - sliding_window(5)", executor=executor, select=select
            )
            assert out[:, :, :5].abs().max() == 0
            assert out[:, :, 5:].abs().amax(-1).min() > 0
            assert dq[:, :, :5].abs().max() == 0
            assert all(torch.isfinite(x).all() for x in (dq, dk, dv))


def test_last_rows_equal_the_full_pass() -> None:
    q, k, v = tensors(300)
    for spec in ["sliding_window(40) | sink_tokens(4)", "logarithmic()", "random(4)", "causal()"]:
        whole = attend(q, k, v, spec)
        for first in [1, 170, 299]:
            for executor in ["reference", *EXECUTORS]:
                part = attend(q[:, :, first:], k, v, spec, first=first, executor=executor)
                torch.testing.assert_close(part, whole[:, :, first:])


def test_a_schedule_reads_its_layer() -> None:
    q, k, v = tensors(200)
    for layer in range(3):
        wanted = attend(q, k, v, "dilated(3, dilation=4**layer)", layer=layer, executor="reference")
        torch.testing.assert_close(attend(q, k, v, "dilated(3, dilation=4**layer)", layer=layer), wanted)


def test_keys_that_nobody_reads_change_nothing() -> None:
    q, k, v = (x.detach() for x in tensors(300))
    before = attend(q, k, v, "sliding_window(20)")
    k[:, :, 250:] += 1e6
    v[:, :, 250:] -= 1e6
    torch.testing.assert_close(attend(q, k, v, "sliding_window(20)")[:, :, :250], before[:, :, :250], atol=0, rtol=0)


@pytest.mark.parametrize("spec", ["sliding_window(20)", "sliding_window(20) | sink_tokens(4)", "ring(9)"])
@pytest.mark.parametrize("heads", [1, 4])
def test_tiles_in_several_chunks_give_what_one_chunk_gives(
    spec: str, heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = tensors(333, heads=heads, keys=1)
    monkeypatch.setattr(chunk, "CHUNK", 1000)
    found = values_and_gradients(*inputs, spec)
    expected = values_and_gradients(*inputs, spec, executor="reference")
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y)


@pytest.mark.parametrize("executor", ["reference", *EXECUTORS])
@pytest.mark.parametrize("spec", ["sliding_window(20) | logarithmic()", "causal()"])
@pytest.mark.parametrize("select", ["soft", "entmax"])
def test_autocast_changes_neither_values_nor_gradients(spec: str, executor: str, select: str) -> None:
    inputs = tensors(200, kind=torch.float32)
    wanted, *gradients = values_and_gradients(*inputs, spec, executor=executor, select=select)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = attend(*inputs, spec, executor=executor, select=select)
    assert out.dtype == torch.float32
    down = torch.linspace(-1, 1, out.numel()).view(out.shape)
    assert_close([out, *torch.autograd.grad(out, inputs, down)], [wanted, *gradients], 1e-5)


@pytest.mark.parametrize("select", ["soft", "entmax"])
def test_a_backward_pass_under_autocast_is_not_rounded(select: str) -> None:
    inputs = tensors(200, kind=torch.float32)
    spec = "sliding_window(20) | logarithmic()"
    wanted = values_and_gradients(*inputs, spec, select=select)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(values_and_gradients(*inputs, spec, select=select), wanted, 1e-5)


@pytest.mark.parametrize("select", ["soft", "sparsemax"])
def test_a_second_derivative_is_refused_or_right(select: str) -> None:
    x, *_ = tensors(150, heads=1, keys=1, dim=4)
    weight = torch.eye(4, dtype=torch.float64, requires_grad=True)

    def penalty(executor: str) -> Tensor:
        y = x @ weight
        out = attend(y, y, y, "sliding_window(20)", executor=executor, select=select)
        return torch.autograd.grad(out.square().sum(), x, create_graph=True)[0].square().sum()

    # The penalty depends on the weight beside attention as well, so that a part left out would not be noticed.
    for executor in EXECUTORS:
        with pytest.raises(InputError, match=r'differentiable once.*use executor="reference"'):
            penalty(executor)
    (found,) = torch.autograd.grad(penalty("reference"), weight)
    step = torch.zeros_like(weight)
    step[1, 2] = 1e-6
    above, below = [penalty_at(x, weight + sign * step, select) for sign in (1, -1)]
    torch.testing.assert_close(found[1, 2], (above - below) / 2e-6, atol=1e-4, rtol=1e-4)


def penalty_at(x: Tensor, weight: Tensor, select: str) -> Tensor:
    y = x @ weight.detach()
    out = attend(y, y, y, "sliding_window(20)", executor="reference", select=select)
    return torch.autograd.grad(out.square().sum(), x)[0].square().sum()


def test_torch_compile_compiles_around_it() -> None:
    inputs = tensors(200)
    spec = "sliding_window(20) | sink_tokens(4)"
    compiled = torch.compile(lambda q, k, v: attend(2 * q, k, v, spec).relu(), backend="eager")
    found = torch.autograd.grad(compiled(*inputs).sum(), inputs)
    expected = torch.autograd.grad(attend(2 * inputs[0], *inputs[1:], spec).relu().sum(), inputs)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y)


def test_gradients_against_finite_differences() -> None:
    q, k, v = (x.detach()[:1, :, :, :3].contiguous().requires_grad_() for x in tensors(140, heads=1, keys=1))
    some = torch.tensor([0, 5, 70, 139])
    assert torch.autograd.gradcheck(
        lambda q, k, v: attend(q, k, v, "sliding_window(4) | logarithmic()", executor="tiles")[:, :, some],
        (q, k, v),
        fast_mode=True,
    )


def test_set_to_set_attention_is_permutation_equivariant() -> None:
    q, k, v = (x.detach() for x in tensors(60))
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    shuffled = attend(q[:, :, order], k[:, :, order], v[:, :, order], "full()")
    torch.testing.assert_close(shuffled, attend(q, k, v, "full()")[:, :, order])
    torch.testing.assert_close(attend(q, k[:, :, order], v[:, :, order]), attend(q, k, v))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(PATTERNS[:-1]), min_size=2, max_size=3),
    st.sampled_from(["|", "&", "-"]),
    st.integers(40, 260),
    st.sampled_from(EXECUTORS),
)
def test_compositions(specs: list[str], operator: str, n: int, executor: str) -> None:
    topology = parse(f" {operator} ".join(f"({spec})" for spec in specs))
    q, k, v = tensors(n, heads=4 if n % 2 else 2, narrow=n % 3 == 0)
    wanted = values_and_gradients(q, k, v, topology, executor="reference")
    assert_close(values_and_gradients(q, k, v, topology, executor=executor), wanted, 1e-10)


def test_plans_are_kept_and_stay_small() -> None:
    window = parse("sliding_window(256) | sink_tokens(4)")
    assert compile_program(window, 4096) is compile_program(parse(str(window)), 4096)
    program = compile_program(window, 1 << 20)
    assert len(program.works) < 40
    assert program.executed < 1.3 * window.relation(1 << 20).count()
