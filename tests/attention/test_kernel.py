"""The compiled kernel equals the dense definition in float64, values and gradients, whatever it is given."""

import re
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from chorus.attention import attend, kernel
from chorus.attention.planning import compile_program
from chorus.errors import InputError
from chorus.topology import parse

PATTERNS = [
    "sliding_window(16)",
    "sliding_window(40) | sink_tokens(4)",
    "sliding_window(9).symmetric()",
    "logarithmic()",
    "sliding_window(20) | logarithmic()",
    "power(2)",
    "dilated(5, dilation=3)",
    "random(5)",
    "random(3, causal=False) | sliding_window(7) | sink_tokens(2)",
    "global_tokens(3) | random(2) | sliding_window(5)",
    "star(hub=2)",
    "causal() - sliding_window(3)",
    "sink_tokens(3) - sliding_window(2)",
    "full() - full()",
]

pytestmark = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in kernel.BLOCKS, reason="the kernel needs AVX2"
)


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kernel and its threads run at every size, and memory that it should have written holds NaN."""
    monkeypatch.setattr(kernel, "LOAD_FROM", 0)
    monkeypatch.setattr(kernel, "THREAD_FROM", 1)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def tensors(n: int, heads: int = 2, keys: int = 2, dim: int = 12, values: int = 12, queries: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(n)
    shapes = [(2, heads, queries or n, dim), (2, keys, n, dim), (2, keys, n, values)]
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


def pull(out: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    down = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).to(out.dtype).view(out.shape)
    return [out.detach(), *torch.autograd.grad(out, inputs, down)]


def check(spec: str, inputs: list[Tensor], **options: object) -> None:
    """Hold the kernel to the definition; a key's gradient is a sum over its readers, which rounds with their number."""
    exact = [x.detach().double().requires_grad_() for x in inputs]
    wanted = pull(attend(*exact, spec, **(options | {"executor": "reference"})), exact)  # type: ignore[arg-type]
    for x, y in zip(pull(attend(*inputs, spec, **options), inputs), wanted, strict=True):  # type: ignore[arg-type]
        torch.testing.assert_close(x.double(), y, atol=1e-5 * max(1.0, y.abs().max().item()), rtol=2e-5)


@pytest.mark.parametrize("n", [1, 2, 15, 63, 129, 200, 333])
@pytest.mark.parametrize("spec", PATTERNS)
def test_every_pattern_equals_the_definition(spec: str, n: int) -> None:
    try:
        parse(spec).mask(n)
    except InputError:
        pytest.skip(f"{spec} says nothing about {n} actors")
    for executor in ("auto", "tiles", "diagonals"):
        check(spec, tensors(n, heads=6 if n in (63, 333) else 2), executor=executor)


@pytest.mark.parametrize(("dim", "values"), [(16, 16), (1, 7), (60, 64), (80, 33)])
def test_every_width(dim: int, values: int) -> None:
    check("sliding_window(40) | sink_tokens(4) | power(2)", tensors(300, dim=dim, values=values))


def test_more_features_than_the_kernel_takes_go_another_way() -> None:
    check("sliding_window(40)", tensors(200, dim=kernel.WIDEST + 1))


@pytest.mark.parametrize("spec", ["sliding_window(700)", "star(hub=2)", "sliding_window(5) | global_tokens(2)"])
def test_rows_with_more_keys_than_are_held_at_a_time(spec: str) -> None:
    check(spec, tensors(1500, heads=1, keys=1))


def test_more_slots_than_are_held_at_a_time() -> None:
    check(f"causal() - sliding_window({1500 - 600})", tensors(1500, heads=1, keys=1), executor="diagonals")


def test_the_last_rows_of_a_longer_sequence() -> None:
    for spec in PATTERNS[:8]:
        check(spec, tensors(300, queries=130), first=170)


def test_inputs_that_are_views() -> None:
    x = torch.randn(2, 200, 3, 2, 12, generator=torch.Generator().manual_seed(0)).requires_grad_()
    out = attend(*(x[:, :, i].transpose(1, 2) for i in range(3)), "sliding_window(20) | logarithmic()")
    y = x.detach().double().requires_grad_()
    wanted = attend(
        *(y[:, :, i].transpose(1, 2) for i in range(3)), "sliding_window(20) | logarithmic()", executor="reference"
    )
    for a, b in zip(pull(out, [x]), pull(wanted, [y]), strict=True):
        torch.testing.assert_close(a.double(), b, atol=1e-5, rtol=1e-5)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(PATTERNS[:-1]), min_size=2, max_size=3),
    st.sampled_from(["|", "&", "-"]),
    st.integers(40, 260),
    st.sampled_from(["auto", "tiles", "diagonals"]),
)
def test_compositions(specs: list[str], operator: str, n: int, executor: str) -> None:
    inputs = tensors(n, heads=4 if n % 2 else 2)
    check(f" {operator} ".join(f"({spec})" for spec in specs), inputs, executor=executor)


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("keys", [1, 4])
def test_threads_share_the_rows_and_change_no_bit(threads: int, keys: int) -> None:
    inputs = tensors(333, heads=4, keys=keys)
    spec = "sliding_window(20) | random(3) | sink_tokens(2)"
    alone = pull(attend(*inputs, spec), inputs)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = pull(attend(*inputs, spec), inputs)
    finally:
        torch.set_num_threads(before)
    for x, y in zip(found, alone, strict=True):
        assert torch.equal(x, y)


def test_both_kinds_of_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in kernel.BLOCKS:
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda name=name: name)
        kernel._compiled.cache_clear()
        check("sliding_window(20) | random(3) | sink_tokens(2)", tensors(200))
    kernel._compiled.cache_clear()


def test_large_scores_do_not_overflow() -> None:
    q, k, v = (x.detach() for x in tensors(200))
    k[:, :, 7] = 0
    k[:, :, 7, 0] = 1e4
    q[..., 0] = 1e4  # who reads actor 7 reads it alone
    out = attend(q, k, v, "sliding_window(30)")
    torch.testing.assert_close(out[:, :, 7:37], v[:, :, 7:8].expand(-1, -1, 30, -1))


def test_scores_beyond_float32_give_nan_as_pytorch_does() -> None:
    for spec in ("sliding_window(30)", "logarithmic()"):
        q, k, v = (x.detach() for x in tensors(200))
        q[:, :, 100] = k[:, :, 98] = 1e30
        out = attend(q, k, v, spec)
        assert out[:, :, 100].isnan().all()
        assert not out[:, :, :98].isnan().any()
        k[:, :, 98] = 0
        assert attend(q.abs() + 1, -1e38 - 1e37 * k.abs(), v, spec).isnan().all()


def test_equal_keys_of_large_scores_share_the_gradient_equally() -> None:
    x = torch.full((1, 1, 300, 64), 1e3)
    _, _, v = tensors(300, heads=1, keys=1, dim=64, values=64)
    for spec in ("sliding_window(100)", "logarithmic()"):
        out = attend(x.expand(2, -1, -1, -1), x.expand(2, -1, -1, -1), v, spec)
        exact = v.detach().double().requires_grad_()
        y = x.double().expand(2, -1, -1, -1)
        wanted = attend(y, y, exact, spec, executor="reference")
        for a, b in zip(pull(out, [v]), pull(wanted, [exact]), strict=True):
            torch.testing.assert_close(a.double(), b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_the_default_dtype_and_device_do_not_matter(kind: torch.dtype) -> None:
    inputs = tensors(200)
    wanted = pull(attend(*inputs, "sliding_window(20)"), inputs)
    torch.set_default_dtype(kind)
    try:
        with torch.device("meta"):
            out = attend(*inputs, "sliding_window(20)")
            found = torch.autograd.grad(out.sum(), inputs)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(out, wanted[0])
    assert all(x.dtype == torch.float32 and x.device.type == "cpu" for x in found)


def test_results_stand_row_after_row() -> None:
    inputs = tensors(200, values=7)
    out = attend(*inputs, "sliding_window(20)")
    assert out.is_contiguous()
    assert out.untyped_storage().nbytes() == 4 * out.numel()


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing(reentrant: bool) -> None:
    inputs = tensors(200)
    wanted = pull(attend(*inputs, "sliding_window(20)"), inputs)
    out = checkpoint(lambda *x: attend(*x, "sliding_window(20)"), *inputs, use_reentrant=reentrant)
    down = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).to(out.dtype).view(out.shape)
    out.backward(down)
    for x, y in zip(inputs, wanted[1:], strict=True):
        assert torch.equal(x.grad, y)


@pytest.mark.parametrize("spec", ["sliding_window(20) | random(2)", "causal() - sliding_window(3)"])
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (1, 1, 199, 11), (1, 0, 100, 5)])
@pytest.mark.parametrize("which", range(3))
def test_what_is_not_finite_is_named(which: int, place: tuple[int, ...], spec: str) -> None:
    inputs = [x.detach() for x in tensors(200, heads=4)]
    for odd in (torch.nan, torch.inf, -torch.inf):
        inputs[which][place] = odd
        with pytest.raises(InputError, match=re.escape(f"{'qkv'[which]} holds {odd} at {place}")):
            attend(*inputs, spec)


def test_it_serves_what_it_says() -> None:
    program = compile_program(parse("sliding_window(20)"), 200)
    x = torch.zeros(1, 1, 200, 16)
    assert kernel.serves(program, x, x)
    assert not kernel.serves(program, x.double(), x.double())
    assert not kernel.serves(program, x, torch.zeros(1, 200, kernel.WIDEST + 1))
