"""What the topology room promises of its speed, each figure beside the obvious alternative in the same run.

    python benchmarks/topology.py               # ten minutes on one core
    python benchmarks/topology.py --budget 2    # one minute

Times are processor seconds of one thread, medians of the repeats given. Alternatives are run at the largest power of
two that they finish within a budget, and this package at that size too, so that every ratio compares equal work.
networkx is given the whole budget, products of sparse matrices a sixth of it.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import networkx
import numpy as np
import scipy.sparse

import chorus.topology as ct

MILLION, LAYERS = 1 << 20, 48
COVERAGE = (
    "full()",
    "sliding_window(512)",
    "dilated(4, dilation=4**layer)",
    "logarithmic()",
    "power(2)",
    "global_tokens(4) | sliding_window(512)",
    "sink_tokens(4) | sliding_window(512)",
)
INVARIANT = (
    "full()",
    "causal()",
    "sliding_window(512)",
    "sliding_window(512).symmetric()",
    "dilated(4, dilation=4**layer)",
    "dilated(64, dilation=4)",
    "logarithmic()",
    "logarithmic().symmetric()",
    "power(2)",
    "ring(2)",
)
SEPARATED = (
    "causal()",
    "sliding_window(64)",
    "sliding_window(64).symmetric() | global_tokens(4)",
    "dilated(8, dilation=5) | sliding_window(2)",
    "logarithmic()",
    "ring(2)",
)
PLANNED = "sliding_window(512) | sink_tokens(4) | logarithmic()"


def seconds(run: Callable[[], object], repeats: int = 3) -> float:
    taken = []
    for _ in range(repeats):
        ct.topology._relation.cache_clear()
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def at_most(n: int, spec: str) -> ct.Topology:
    """Return the pattern for a smaller n: its fixed window no larger than n."""
    return ct.parse(spec.replace("512", str(min(512, n))))


def largest(run: Callable[[int], object], budget: float, start: int = 64) -> tuple[int, float]:
    """Double n as long as the next size, by how the last one grew, should stay within the budget."""
    n, taken, before = start, seconds(lambda: run(start), 1), 0.0
    while taken * max(3.0, min(9.0, taken / before if before else 9.0)) < budget and n < 1 << 20:
        n, before = 2 * n, taken
        taken = seconds(lambda m=n: run(m), 1)
    return n, taken


def by_networkx(spec: str, n: int) -> None:
    """Distances between all pairs, from which coverage and every field follow; through the layers if these differ."""
    topology = at_most(n, spec)
    if topology.period == 1:
        dict(networkx.all_pairs_shortest_path_length(topology.to_networkx(n), cutoff=LAYERS))
        return
    layered = networkx.DiGraph()
    for layer in range(LAYERS):
        indptr, indices = topology.to_csr(n, layer)
        readers = np.repeat(np.arange(n), np.diff(indptr))
        layered.add_edges_from(zip(((layer + 1) * n + readers).tolist(), (layer * n + indices).tolist(), strict=True))
        layered.add_edges_from((actor + n, actor) for actor in range(layer * n, (layer + 1) * n))  # its own state
    for t in range(n):
        networkx.descendants(layered, LAYERS * n + t)


def by_scipy(spec: str, n: int) -> None:
    """Boolean products of sparse matrices until nothing changes."""
    reach = scipy.sparse.eye(n, dtype=bool, format="csr")
    topology = at_most(n, spec)
    for layer in range(LAYERS):
        indptr, indices = topology.to_csr(n, layer)
        step = scipy.sparse.csr_matrix((np.ones(len(indices), bool), indices, indptr), shape=(n, n))
        grown = step @ reach
        if topology.period == 1 and grown.nnz == reach.nnz:
            break
        reach = grown


def ours(spec: str, n: int) -> None:
    topology = at_most(n, spec)
    ct.coverage(topology, n, LAYERS)
    ct.receptive_field(topology, n - 1, n, LAYERS)


def coverage(budget: float) -> list[dict[str, object]]:
    rows = []
    for spec in COVERAGE:
        row: dict[str, object] = {"topology": spec, "seconds at 1,048,576": seconds(lambda s=spec: ours(s, MILLION))}
        for name, alternative, share in (("scipy", by_scipy, 6), ("networkx", by_networkx, 1)):
            n, taken = largest(lambda m, s=spec, run=alternative: run(s, m), budget / share)
            fast = seconds(lambda s=spec, m=n: ours(s, m), 9)
            row |= {f"{name} n": n, f"{name} s": taken, f"times {name}": taken / fast}
        rows.append(row)
    return rows


def random_target(budget: float) -> list[dict[str, object]]:
    """One target under random(16); the alternative draws a matrix a layer and multiplies a vector by it."""

    def follow(n: int) -> None:
        field, rng = np.zeros(n, bool), np.random.default_rng(0)
        field[-1] = True
        indptr = np.arange(n + 1) * 16
        for _ in range(LAYERS):
            drawn = (rng.random((n, 16)) * np.arange(n)[:, None]).astype(np.int32).ravel()
            step = scipy.sparse.csr_matrix((np.ones(16 * n, bool), drawn, indptr), shape=(n, n))
            field |= (step.T @ field).astype(bool)

    def walk(n: int) -> None:
        layered = networkx.DiGraph()
        for layer in range(LAYERS):
            indptr, indices = ct.random(16).to_csr(n, layer)
            readers = (layer + 1) * n + np.repeat(np.arange(n), np.diff(indptr))
            layered.add_edges_from(zip(readers.tolist(), (layer * n + indices).tolist(), strict=True))
        networkx.descendants(layered, (LAYERS + 1) * n - 1)

    def target(n: int) -> None:
        ct.receptive_field(ct.random(16), n - 1, n, LAYERS)

    row: dict[str, object] = {"topology": "random(16), one target"}
    row["seconds at 1,048,576"] = seconds(lambda: target(MILLION), 1)
    for name, alternative, share in (("scipy", follow, 6), ("networkx", walk, 1)):
        n, taken = largest(alternative, budget / share, 1 << 10)
        row |= {f"{name} n": n, f"{name} s": taken, f"times {name}": taken / seconds(lambda m=n: target(m), 3)}
    return [row]


def paths() -> list[dict[str, object]]:
    """Count the paths to every actor; the alternative propagates Python integers edge by edge."""

    def by_edges(spec: str, n: int, layers: int) -> list[int]:
        topology, counts = at_most(n, spec), [0] * n
        counts[n - 1] = 1
        for layer in reversed(range(layers)):
            indptr, indices = (part.tolist() for part in topology.to_csr(n, layer))
            below = [0] * n
            for t in range(n):
                if counts[t]:
                    for s in indices[indptr[t] : indptr[t + 1]]:
                        below[s] += counts[t]
            counts = below
        return counts

    rows = []
    n, layers = 256, 12
    for spec in INVARIANT:
        assert by_edges(spec, n, layers) == ct.path_counts(at_most(n, spec), n, layers, n - 1)
        slow = seconds(lambda s=spec: by_edges(s, n, layers), 1)
        fast = seconds(lambda s=spec: ct.path_counts(at_most(n, s), n, layers, n - 1))
        row = seconds(lambda s=spec: ct.path_counts(ct.parse(s), 4096, LAYERS, 4095), 1)
        rows.append(
            {"topology": spec, "seconds, n 4,096, 48 layers": row, f"times edges, n {n}, {layers} layers": slow / fast}
        )
    return rows


def one_pair() -> list[dict[str, object]]:
    """One exact count over 30,000 actors; the alternative multiplies the polynomials out to that distance."""
    n, window, far = MILLION, ct.sliding_window(512), 30_000
    fast = seconds(lambda: ct.count_paths(window, n, 100, n - 1, n - 1 - far), 5)
    slow = seconds(lambda: ct.path_counts(window, far + 1, 100, far), 1)
    return [
        {"pair": "n 1,048,576, 100 layers, window 512", "milliseconds": 1000 * fast, "times polynomial": slow / fast}
    ]


def cuts() -> list[dict[str, object]]:
    """Cut the last actor off from the first; the alternative is networkx's flow."""
    rows = []
    for spec in SEPARATED:
        n = 512
        slow = seconds(lambda s=spec: networkx.minimum_node_cut(_flow_graph(s, 512), 0, 511), 1)
        fast = seconds(lambda s=spec: ct.separation(at_most(512, s), 512, LAYERS, 511, 0), 5)
        found = ct.separation(ct.parse(spec), MILLION, LAYERS, MILLION - 1, 0)
        large = seconds(lambda s=spec: ct.separation(ct.parse(s), MILLION, LAYERS, MILLION - 1, 0), 1)
        row = {"topology": spec, "disjoint": found.disjoint, "seconds at 1,048,576": large}
        rows.append(row | {f"times networkx, n {n}": slow / fast})
    return rows


def _flow_graph(spec: str, n: int) -> networkx.DiGraph:
    graph = at_most(n, spec).to_networkx(n).reverse()
    graph.remove_edges_from([(0, n - 1), *networkx.selfloop_edges(graph)])
    return graph


def plans() -> list[dict[str, object]]:
    """Plan a million actors; the alternative is FlexAttention's block mask, which evaluates every pair, at n 8,192."""
    from torch.nn.attention.flex_attention import create_block_mask

    topology, n = ct.parse(PLANNED), 1 << 13

    def predicate(b, h, q, kv):
        d = q - kv
        return (d >= 0) & ((d < 512) | (kv < 4) | ((d & (d - 1)) == 0))

    slow = seconds(lambda: create_block_mask(predicate, None, None, n, n, device="cpu", BLOCK_SIZE=128), 1)
    code = (
        "import chorus.topology as ct, time; "
        f"start = time.process_time(); p = ct.plan(ct.parse('{PLANNED}'), {MILLION}, 128); p.tiles; "
        "print(time.process_time() - start, open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    taken, peak = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    fast = seconds(lambda: ct.plan(topology, n, 128), 5)
    return [
        {
            "plan": PLANNED,
            "seconds at 1,048,576": float(taken),
            "MB, peak of the whole process": int(peak) / 1000,
            "FlexAttention block mask s, n 8,192": slow,
            "times FlexAttention": slow / fast,
        }
    ]


def imports() -> list[dict[str, object]]:
    def cpu(code: str) -> float:
        taken = []
        for _ in range(9):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return statistics.median(taken)

    bare = cpu("pass")
    return [
        {"import": name, "seconds beyond a bare interpreter": cpu(f"import {name}") - bare}
        for name in ("numpy", "chorus.topology", "networkx")
    ]


def show(title: str, rows: list[dict[str, object]]) -> None:
    print(f"\n{title}", flush=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(column), *(len(row[i]) for row in cells)) for i, column in enumerate(columns)]
    for line in [columns, *cells]:
        print("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=60, metavar="SECONDS", help="what networkx may take")
    budget = parser.parse_args().budget
    sections: dict[str, Callable[[], list[dict[str, object]]]] = {
        "coverage of all actors and the last one's field, 48 layers": lambda: coverage(budget),
        "receptive field under random neighbours, 48 layers": lambda: random_target(budget),
        "exact path counts to every actor": paths,
        "exact path count of one pair": one_pair,
        "disjoint paths and a smallest cut of one pair": cuts,
        "execution plan, tile 128": plans,
        "import": imports,
    }
    found = {}
    for title, measure in sections.items():
        found[title] = measure()
        show(title, found[title])
    results = Path(__file__).parent / "results" / "topology.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\nwrote {results.relative_to(Path.cwd()) if results.is_relative_to(Path.cwd()) else results}")


if __name__ == "__main__":
    main()
