"""Attention over a topology against the obvious alternatives, on one core: `python benchmarks/attention.py`.

Times are CPU seconds of this process on one thread, which on an idle core are wall-clock seconds, and on a shared one
leave out the others' turns. Each figure is the median of runs that take turns with the alternative's, with memory that
earlier runs have used. float32, 4 heads of 64 features, batch 1. For Linux. Peers are measured where installed:
pip install --no-deps local-attention performer-pytorch einops hyper-connections torch-einops-utils. Compiled
FlexAttention needs a C++ compiler.
"""

import argparse
import ctypes
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from chorus.attention import Favor, attend, linear_attention
from chorus.attention.planning import compile_program
from chorus.topology import Topology, parse

HEADS, DIM = 4, 64
RESULTS = Path(__file__).parent / "results" / "attention.json"


def timed(*calls: Callable[[], object], repeats: int) -> list[float]:
    """Median CPU milliseconds of each call, the calls taking turns; the first round is not counted."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for call, kept in zip(calls, times, strict=True):
            start = time.process_time()
            call()
            if turn:
                kept.append(1e3 * (time.process_time() - start))
    return [statistics.median(kept) for kept in times]


def once(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return 1e3 * (time.process_time() - start)


def inputs(tokens: int, grad: bool = False) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, HEADS, tokens, DIM, generator=generator).requires_grad_(grad) for _ in range(3)]


def gflops(topology: Topology, tokens: int) -> float:
    """Return what the edges alone ask for: two products of DIM per edge and head."""
    return 4 * DIM * HEADS * topology.relation(tokens).count() / 1e9


def row(rows: list[dict[str, Any]], claim: str, value: float, unit: str, goal: str, **more: float) -> None:
    rows.append({"claim": claim, "value": round(value, 3), "unit": unit, "goal": goal} | more)
    detail = ", ".join(f"{name} {number:.4g}" for name, number in more.items())
    print(f"{claim:<66} {value:>9.3g} {unit:<9} goal {goal:<8} {detail}", flush=True)


def window(rows: list[dict[str, Any]]) -> None:
    """T = 4,096, window 256: forward and forward + backward against SDPA with the dense mask."""
    topology = parse("sliding_window(256)")
    mask = torch.from_numpy(topology.mask(4096))
    q, k, v = inputs(4096)
    square = torch.randn(1024, 1024)
    product = torch.empty(1024, 1024)
    with torch.no_grad():
        ours, rate, dense = timed(
            lambda: attend(q, k, v, topology),
            lambda: torch.mm(square, square, out=product),
            lambda: scaled_dot_product_attention(q, k, v, attn_mask=mask),
            repeats=15,
        )
    machine = 2 * 1024**3 / rate / 1e6
    row(
        rows,
        "window 256, T 4,096: forward over dense-mask SDPA",
        dense / ours,
        "times",
        "≥ 10",
        ours_ms=ours,
        dense_ms=dense,
    )
    share = 100 * gflops(topology, 4096) / ours * 1e3 / machine
    row(rows, "the same, edges' FLOPs over the machine's matmul rate", share, "%", "≥ 60", machine_gflops=machine)
    q, k, v = inputs(4096, grad=True)
    down = torch.randn(1, HEADS, 4096, DIM)
    both, dense = timed(
        lambda: attend(q, k, v, topology).backward(down),
        lambda: scaled_dot_product_attention(q, k, v, attn_mask=mask).backward(down),
        repeats=5,
    )
    row(rows, "the same, forward + backward", dense / both, "times", "≥ 7", ours_ms=both, dense_ms=dense)


def logarithmic(rows: list[dict[str, Any]]) -> None:
    """T = 16,384, logarithmic: forward against dense."""
    topology = parse("logarithmic()")
    q, k, v = inputs(16384)
    mask = torch.from_numpy(topology.mask(16384))
    with torch.no_grad():
        dense = once(lambda: scaled_dot_product_attention(q, k, v, attn_mask=mask))
        del mask
        (ours,) = timed(lambda: attend(q, k, v, topology), repeats=5)
    row(
        rows,
        "logarithmic, T 16,384: forward over dense-mask SDPA",
        dense / ours,
        "times",
        "≥ 20",
        ours_ms=ours,
        dense_ms=dense,
    )


def scaling(rows: list[dict[str, Any]]) -> None:
    """Time per token and peak memory from 4k to 64k."""
    sizes = (4096, 16384, 65536)
    given = [inputs(tokens) for tokens in sizes]
    for spec in ("sliding_window(256) | sink_tokens(4)", "logarithmic()"):
        memory = []
        for q, k, v in given:
            with torch.no_grad():
                attend(q, k, v, spec)
                before = peak_memory(reset=True)
                attend(q, k, v, spec)
            memory.append((peak_memory() - before) / q.shape[2])
        with torch.no_grad():
            ours = timed(*(lambda x=x, spec=spec: attend(*x, spec) for x in given), repeats=9)
        per_token = [1e3 * x / n for x, n in zip(ours, sizes, strict=True)]
        per_edge = [1e6 * x / parse(spec).relation(n).count() for x, n in zip(ours, sizes, strict=True)]
        times = {f"us_{n // 1024}k": x for n, x in zip(sizes, per_token, strict=True)}
        spread = 100 * (max(per_token) / min(per_token) - 1)
        row(rows, f"{spec}: spread of time per token, 4k to 64k", spread, "%", "≤ 25", **times)
        if spec == "logarithmic()":  # its neighbours grow with log T: per edge is the fair figure
            row(
                rows,
                f"{spec}: spread of time per edge, 4k to 64k",
                100 * (max(per_edge) / min(per_edge) - 1),
                "%",
                "≤ 25",
            )
        bytes_per_token = {f"bytes_{n // 1024}k": x for n, x in zip(sizes, memory, strict=True)}
        row(
            rows,
            f"{spec}: peak memory a token, 64k over 4k",
            memory[-1] / max(memory[0], 1),
            "times",
            "≤ 1.25",
            **bytes_per_token,
        )


def reuse_memory() -> None:
    """Have glibc keep what is freed: a large result would be fresh pages every time, a small one never."""
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(-4, 0)  # M_MMAP_MAX
    mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def peak_memory(reset: bool = False) -> float:
    """Return the peak of this process's resident bytes (Linux); resetting makes the present the peak."""
    if reset:
        ctypes.CDLL(None).malloc_trim(0)  # or memory freed before would be used again unseen
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return 1024 * float(status.split("VmHWM:")[1].split()[0])


def plan(topology: Topology, tokens: int) -> None:
    """Compile a program and the tables that its first run makes."""
    for work in compile_program(topology, tokens).works:
        assert work.layout


def planning(rows: list[dict[str, Any]]) -> None:
    """Planning, never cached, against one forward pass."""
    for tokens, spec in (
        (4096, "sliding_window({})"),
        (4096, "sliding_window({}) | sink_tokens(4)"),
        (16384, "sliding_window({}) | logarithmic()"),
    ):
        q, k, v = inputs(tokens)
        fresh = [parse(spec.format(256 + i)) for i in range(32)]
        plan(parse(spec.format(255)), tokens)
        plans = [once(lambda t=t, n=tokens: plan(t, n)) for t in fresh]
        with torch.no_grad():
            (forward,) = timed(lambda q=q, k=k, v=v, t=fresh[0]: attend(q, k, v, t), repeats=5)
        cost = statistics.median(plans)
        row(
            rows,
            f"planning {spec.format(256)}, T {tokens:,}, of one forward",
            100 * cost / forward,
            "%",
            "< 5",
            plan_ms=cost,
            forward_ms=forward,
        )


def local_attention(rows: list[dict[str, Any]]) -> None:
    """local-attention at an equal window, the better of two of its settings."""
    try:
        from local_attention import LocalAttention
    except ImportError:
        print("local-attention is not installed: not measured")
        return
    topology = parse("sliding_window(256)")
    q, k, v = inputs(4096, grad=True)
    down = torch.randn(1, HEADS, 4096, DIM)
    peers = [
        LocalAttention(
            dim=DIM, window_size=256 // back, look_backward=back, causal=True, exact_windowsize=True,
            use_rotary_pos_emb=False,
        )
        for back in (1, 2)
    ]  # fmt: skip
    with torch.no_grad():
        ours, *theirs = timed(lambda: attend(q, k, v, topology), *(lambda p=p: p(q, k, v) for p in peers), repeats=5)
    row(
        rows,
        "window 256, T 4,096: forward over local-attention",
        min(theirs) / ours,
        "times",
        "> 1",
        ours_ms=ours,
        theirs_ms=min(theirs),
    )
    ours, *theirs = timed(
        lambda: attend(q, k, v, topology).backward(down),
        *(lambda p=p: p(q, k, v).backward(down) for p in peers),
        repeats=3,
    )
    row(rows, "the same, forward + backward", min(theirs) / ours, "times", "> 1", ours_ms=ours, theirs_ms=min(theirs))


def flex(rows: list[dict[str, Any]]) -> None:
    """Compiled FlexAttention's CPU forward."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    topology = parse("sliding_window(256)")
    q, k, v = inputs(4096)
    with torch.no_grad():
        blocks = create_block_mask(lambda b, h, t, s: (t >= s) & (t - s < 256), None, None, 4096, 4096, device="cpu")
        compiled = torch.compile(flex_attention, dynamic=False)
        try:
            found = compiled(q, k, v, block_mask=blocks)
        except Exception as error:
            print(f"FlexAttention could not be compiled: not measured ({type(error).__name__})")
            return
        torch.testing.assert_close(found, attend(q, k, v, topology), atol=1e-4, rtol=1e-4)
        ours, theirs = timed(lambda: attend(q, k, v, topology), lambda: compiled(q, k, v, block_mask=blocks), repeats=5)
    row(
        rows,
        "window 256, T 4,096: forward over compiled FlexAttention",
        theirs / ours,
        "times",
        "> 1",
        ours_ms=ours,
        theirs_ms=theirs,
    )


def performer(rows: list[dict[str, Any]]) -> None:
    """performer-pytorch's FAVOR+ with as many features."""
    try:
        from performer_pytorch import FastAttention
    except ImportError:
        print("performer-pytorch is not installed: not measured")
        return
    q, k, v = inputs(4096)
    phi = Favor(DIM, 256)
    for causal in (False, True):
        peer = FastAttention(DIM, nb_features=256, causal=causal)
        with torch.no_grad():
            ours, theirs = timed(
                lambda c=causal: linear_attention(q, k, v, phi, causal=c), lambda p=peer: p(q, k, v), repeats=3
            )
        kind = "causal" if causal else "full"
        row(
            rows,
            f"FAVOR+ with 256 features, T 4,096, {kind}: over performer-pytorch",
            theirs / ours,
            "times",
            "> 1",
            ours_ms=ours,
            theirs_ms=theirs,
        )


def favor(rows: list[dict[str, Any]]) -> None:
    """Measure FAVOR+ against softmax attention, by number of features."""
    q, k, v = (x / 3 for x in inputs(512))  # short vectors: the variance grows as exp(‖q + k‖²/√D)
    exact = attend(q, k, v, "causal()")
    sizes = (64, 256, 1024, 4096)
    errors = []
    for m in sizes:
        found = [linear_attention(q, k, v, Favor(DIM, m, seed), causal=True) for seed in range(5)]
        errors.append(statistics.mean(((x - exact).norm() / exact.norm()).item() for x in found))
    logs = torch.tensor(sizes).log(), torch.tensor(errors).log()
    slope = torch.linalg.lstsq(torch.stack([logs[0], torch.ones(len(sizes))], 1), logs[1][:, None]).solution[0].item()
    row(
        rows,
        "FAVOR+: slope of log error over log features (−0.5 is 1/√m)",
        slope,
        "",
        "−0.5",
        **{f"error_{m}": e for m, e in zip(sizes, errors, strict=True)},
    )


PARTS = {f.__name__: f for f in (window, logarithmic, scaling, planning, local_attention, performer, favor, flex)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "parts", nargs="*", default=list(PARTS), help=f"which of {', '.join(PARTS)}; all when none is named"
    )
    chosen = parser.parse_args().parts
    torch.set_num_threads(1)
    reuse_memory()
    kept = json.loads(RESULTS.read_text())["parts"] if RESULTS.exists() else {}
    for name in chosen:
        rows: list[dict[str, Any]] = []
        PARTS[name](rows)
        kept[name] = rows
        machine = {
            "torch": torch.__version__,
            "machine": platform.machine(),
            "threads": 1,
            "cpu": torch.backends.cpu.get_cpu_capability(),
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps({"environment": machine, "parts": kept}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
