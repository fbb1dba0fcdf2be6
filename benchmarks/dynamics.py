"""The dynamics room, measured: speed against the obvious alternatives, and every figure the theory gives.

    python benchmarks/dynamics.py            # everything, about three minutes on one core
    python benchmarks/dynamics.py speed      # one section: speed, tables, orders, sphere, noise, neuron

Prints tables and writes benchmarks/results/dynamics.json. Needs the `dev` extra (SciPy); the `kuramoto` package from
PyPI is measured beside ours where it is installed. Times are CPU seconds of one thread.
"""

import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

import chorus.dynamics as cd
from chorus.dynamics.coupling import Edges
from chorus.topology import parse

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "dynamics"))
import squid_axon  # the 1952 equations, written anew and integrated by SciPy: the tests' reference is also this file's

RESULTS = Path(__file__).parent / "results" / "dynamics.json"
N, DT = 5000, 0.02


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Median CPU time of this thread, after one call to warm up: what else the machine does stays out of it."""
    call()
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return statistics.median(times)


def table(title: str, head: list[str], rows: list[list[Any]]) -> None:
    def show(cell: Any) -> str:
        return f"{cell:.4g}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell

    print(f"\n{title}")
    cells = [head, *([show(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        print("  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def speed() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    # New phases for every call: on phases it has seen, a branch predictor makes NumPy's scalar sine look faster.
    fresh = rng.uniform(-np.pi, np.pi, (200, 1000))
    again = iter(np.tile(fresh, (10, 1)))
    mean = seconds(lambda: cd.mean_drift(next(again)), 400)
    pairs = seconds(lambda: cd.pairwise_drift(next(again)), 15)
    apart = max(float(np.abs(cd.mean_drift(t) - cd.pairwise_drift(t)).max()) for t in fresh[:20])
    ratio = pairs / mean
    table(
        "All-to-all coupling of 1,000 phases, one evaluation",
        ["form", "time (µs)", "ratio", "largest difference"],
        [["pairs, O(N²)", pairs * 1e6, 1.0, ""], ["mean field, O(N)", mean * 1e6, ratio, f"{apart:.1e}"]],
    )

    sizes, scaling = [1_000, 10_000, 100_000, 1_000_000], []
    for n in sizes:
        theta = rng.uniform(-np.pi, np.pi, (max(1, 2_000_000 // n), n))
        turn = iter(range(10**9))
        each = seconds(lambda theta=theta, turn=turn: cd.mean_drift(theta[next(turn) % len(theta)]), 40)
        scaling.append({"n": n, "us": each * 1e6, "ns_per_phase": each / n * 1e9})
    exponent = float(np.polyfit(np.log(sizes), np.log([row["us"] for row in scaling]), 1)[0])
    table(
        f"The same, growing: time ∝ N^{exponent:.2f}",
        ["N", "time (µs)", "ns a phase"],
        [[row["n"], row["us"], row["ns_per_phase"]] for row in scaling],
    )

    edges = []
    for n in (10_000, 100_000, 1_000_000):
        topology = parse("sliding_window(8)")
        reads = Edges(topology, n)
        indptr, indices = topology.to_csr(n)
        matrix = scipy.sparse.csr_matrix((1 / np.repeat(np.diff(indptr), np.diff(indptr)), indices, indptr))
        sent = rng.standard_normal(n)
        ours, sparse = seconds(lambda r=reads, s=sent: r(s), 9), seconds(lambda m=matrix, s=sent: m @ s, 9)
        edges.append(
            {
                "n": n,
                "edges": len(indices),
                "ns_per_edge": ours / len(indices) * 1e9,
                "scipy_ns_per_edge": sparse / len(indices) * 1e9,
            }
        )
    table(
        "Messages over sliding_window(8)",
        ["N", "edges", "ns an edge", "SciPy CSR product"],
        [[e["n"], e["edges"], e["ns_per_edge"], e["scipy_ns_per_edge"]] for e in edges],
    )

    result = {
        "pairs_us": pairs * 1e6,
        "mean_us": mean * 1e6,
        "ratio": ratio,
        "largest_difference": apart,
        "scaling": scaling,
        "exponent": exponent,
        "edges": edges,
        "kuramoto_package": peer(),
    }
    return result


def peer() -> dict[str, Any] | None:
    """Measure the `kuramoto` package of PyPI on the same 1,000 oscillators, all-to-all, 10 s in steps of 0.02 s."""
    try:
        from kuramoto import Kuramoto
    except ImportError:
        print("\nthe kuramoto package is not installed: not compared")
        return None
    rng = np.random.default_rng(1)
    omega, theta, K, T = rng.standard_normal(1000), rng.uniform(-3, 3, 1000), 3.0, 10.0
    start = time.thread_time()
    # It samples linspace(0, T, T/dt): one point less than steps, the last at T.
    theirs = Kuramoto(coupling=K, dt=DT, T=T, natfreqs=omega).run(adj_mat=np.ones((1000, 1000)), angles_vec=theta)[
        :, -1
    ]
    took = time.thread_time() - start
    steps = round(T / DT)
    ours = seconds(lambda: cd.simulate_phases(omega, K, theta=theta, dt=DT, steps=steps), 5)
    end = cd.simulate_phases(omega, K, theta=theta, dt=DT, steps=steps).order[-1]
    r, r_theirs = abs(end), abs(cd.order_parameter(theirs))
    table(
        "1,000 oscillators all-to-all for 10 s",
        ["package", "time (s)", "ratio", "r at the end"],
        [["kuramoto (odeint, O(N²))", took, 1.0, float(r_theirs)], ["chorus", ours, took / ours, float(r)]],
    )
    return {"seconds": took, "ours": ours, "ratio": took / ours, "r": float(r), "r_package": float(r_theirs)}


def tables() -> list[dict[str, Any]]:
    """Fill the verification table, N = 5000, dt 0.02, over three seeds."""
    still = 1 / math.sqrt(N * (1 - 1 / 1.5957691216))
    cases: list[tuple[str, float, float, Any, float]] = [
        *[("Lorentzian, Δ = 1", K, cd.lorentzian_order(K), cd.lorentzian_frequencies(N), 0.0) for K in (3.0, 4.0, 6.0)],
        *[("identical, σ = 1", K, cd.noisy_order(K), np.zeros(N), 1.0) for K in (1.5, 2.0, 3.0)],
        ("Gaussian, below K_c, N = 5000", 1.0, still, cd.gaussian_frequencies(N), 0.0),
        ("Gaussian, σ_ω = 1", 2.0, cd.gaussian_order(2.0), cd.gaussian_frequencies(N), 0.0),
    ]
    rows = []
    for name, K, theory, omega, noise in cases:
        measured = [
            cd.simulate_phases(omega, K, noise=noise, dt=DT, steps=5000, seed=seed, every=10).coherence(after=50)
            for seed in range(3)
        ]
        rows.append(
            {
                "case": name,
                "K": K,
                "theory": theory,
                "measured": statistics.mean(measured),
                "worst": max(abs(m - theory) for m in measured),
            }
        )
    table(
        "Order parameter against theory: N = 5,000, dt 0.02, mean of three seeds",
        ["case", "K", "theory", "measured", "worst of 3", "within 0.01"],
        [
            [r["case"], r["K"], r["theory"], r["measured"], r["worst"], "yes" if r["worst"] < 0.01 else "NO"]
            for r in rows
        ],
    )
    return rows


def orders() -> dict[str, Any]:
    """Strong order, by halving dt on the same 400 Brownian paths."""
    rng = np.random.default_rng(2)
    finest, T = 2048, 1.0
    theta, omega = rng.uniform(-3, 3, (400, 10)), rng.standard_normal(10)
    paths = rng.standard_normal((finest, 400, 10)) * math.sqrt(T / finest)

    def end(steps: int) -> np.ndarray:
        dW = paths.reshape(steps, finest // steps, 400, 10).sum(axis=1)
        run = cd.simulate_phases(omega, 3.0, theta=theta, noise=1.0, dt=T / steps, steps=steps, increments=dW)
        return run.theta

    exact = end(finest)
    errors = {T / steps: float(np.abs(end(steps) - exact).mean()) for steps in (8, 16, 32, 64, 128)}
    slopes = [math.log2(a / b) for a, b in pairwise(errors.values())]
    table(
        "Strong convergence of Euler–Maruyama: mean |θ − θ*| at t = 1",
        ["dt", "error", "order"],
        [[dt, error, slope] for (dt, error), slope in zip(errors.items(), ["", *slopes], strict=True)],
    )
    return {"strong": [{"dt": dt, "error": error} for dt, error in errors.items()], "orders": slopes}


def sphere() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x, turn = cd.random_points(4, 3, rng), cd.rotation(cd.random_rotations(4, 3, rng), 0.1)
    start = time.thread_time()
    for _ in range(1_000_000):
        x = cd.sphere_step(x, 2.0 * x, 0.1, turn) if _ % 2 else cd.sphere_step(x, x[::-1], 0.1, turn)
    off = float(np.abs(np.linalg.norm(x, axis=-1) - 1).max())
    print(f"\nAfter 1,000,000 steps a point is at most {off:.1e} off the sphere ({time.thread_time() - start:.0f} s)")
    couplings = np.array([0.25, 0.5, 1.0, 2.0])
    curves = {d: cd.sphere_transition(d, couplings, n=N, dt=0.05, duration=40) for d in (2, 3, 4)}
    table(
        "|ρ| of 5,000 rotors on the sphere",
        ["K", "D = 2", "theory", "D = 3", "theory", "D = 4"],
        [
            [
                float(K),
                curves[2][i].measured,
                curves[2][i].theory,
                curves[3][i].measured,
                curves[3][i].theory,
                curves[4][i].measured,
            ]
            for i, K in enumerate(couplings)
        ],
    )
    return {"off_sphere": off, "curves": {d: [vars(point) for point in curve] for d, curve in curves.items()}}


def noise() -> list[dict[str, float]]:
    """E|T|² in the long run, γ = σ = 1 (exact: 0.5): the reflected step against clipping |T| to 1 after each step."""
    rows, n = [], 100_000
    for dt in (0.02, 0.1, 0.5, 5.0):
        rng = np.random.default_rng(0)
        T, logs = np.ones(n, dtype=complex), np.zeros(n)
        for _ in range(max(round(8 / dt), 3)):
            T = cd.modulate(T, dt, drift=1.0, volatility=1.0, rng=rng)
            logs = np.minimum(logs + dt + math.sqrt(dt) * rng.standard_normal(n), 0)
        power, clipped = float((np.abs(T) ** 2).mean()), float(np.exp(2 * logs).mean())
        rows.append(
            {"dt": dt, "power": power, "bias": power * 2 - 1, "clipped": clipped, "clipped_bias": clipped * 2 - 1}
        )
    table(
        "Bounded coherence, E|T|² (exact: 0.5; ± 0.0009 by chance)",
        ["dt", "this step", "bias", "clipping", "bias"],
        [[r["dt"], r["power"], f"{r['bias']:+.1%}", r["clipped"], f"{r['clipped_bias']:+.1%}"] for r in rows],
    )
    return rows


def neuron() -> dict[str, Any]:
    unit, dt = cd.HodgkinHuxley(limit=math.inf), 0.02
    ours = cd.neuron_figures(unit, dt=dt, drive=10.0)

    def many(level: float) -> bool:
        return len(squid_axon.spikes(lambda t: level, 250)) >= 12

    def rate(level: float) -> float:
        late = squid_axon.spikes(lambda t: level, 400)
        late = late[late > 150]
        return float((len(late) - 1) / (late[-1] - late[0]))

    def both(gap: float) -> bool:
        def pulses(t: float) -> float:
            return ours.pulse * (t < 0.5 or gap <= t < gap + 0.5)

        return len(squid_axon.spikes(pulses, gap + 12, 0.05)) >= 2

    onset = squid_axon.weakest(many, 6.0, 6.6, 0.002)
    rows = [
        ("rest (mV)", ours.rest, float(squid_axon.at_rest()[0])),
        ("spike peak at 10 µA/cm² (mV)", ours.peak, squid_axon.peak(10.0, 20)),
        (
            "rheobase (µA/cm²)",
            ours.rheobase,
            squid_axon.weakest(lambda level: len(squid_axon.spikes(lambda t: level, 48)) > 0, 1.5, 3.0, 0.001),
        ),
        ("onset of repetitive firing (µA/cm²)", ours.onset, onset),
        ("refractory period (ms)", ours.refractory, squid_axon.weakest(both, 6, 20, 0.01)),
    ]
    levels = np.array([6.3, 7.0, 8.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0])
    start = time.thread_time()
    theirs = [rate(level) for level in levels]
    scipy_seconds = time.thread_time() - start
    start = time.thread_time()
    measured = cd.firing_rates(unit, levels, dt=dt, settle=150, duration=250)
    our_seconds = time.thread_time() - start
    rows += [
        (f"rate at {level:g} µA/cm² (Hz)", float(a) * 1e3, b * 1e3)
        for level, a, b in zip(levels, measured, theirs, strict=True)
    ]
    table(
        "Hodgkin–Huxley, 1952 equations: this room (dt 0.02 ms) and SciPy's LSODA (rtol 1e-8)",
        ["figure", "chorus", "SciPy", "apart"],
        [[a, b, c, f"{b / c - 1:+.2%}"] for a, b, c in rows],
    )
    print(
        f"  f–I curve of {len(levels)} inputs: {our_seconds:.2f} s side by side, SciPy one by one {scipy_seconds:.2f} s"
    )
    start = time.thread_time()
    cd.stimulate(unit, np.linspace(0, 50, 10_000), 5, dt=dt, every=1000)
    updates = 10_000 * 250 / (time.thread_time() - start)
    print(f"  10,000 units side by side: {updates / 1e6:.1f} million unit-steps a second")
    return {
        "figures": [{"figure": a, "chorus": b, "scipy": c, "relative": b / c - 1} for a, b, c in rows],
        "curve_seconds": our_seconds,
        "scipy_seconds": scipy_seconds,
        "unit_steps_per_second": updates,
    }


SECTIONS = {"speed": speed, "tables": tables, "orders": orders, "sphere": sphere, "noise": noise, "neuron": neuron}


def main() -> None:
    wanted = sys.argv[1:] or list(SECTIONS)
    if unknown := set(wanted) - SECTIONS.keys():
        sys.exit(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results |= {name: SECTIONS[name]() for name in wanted}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\nwritten to benchmarks/results/{RESULTS.name}")


if __name__ == "__main__":
    main()
