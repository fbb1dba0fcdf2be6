"""How fast the audit finds weak links and attack curves, against networkx in the same run.

python benchmarks/audit.py            all of it, some minutes on one core
python benchmarks/audit.py --quick    small sizes, some seconds
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np

from chorus.audit import (
    Graph,
    Subject,
    articulation_points_and_bridges,
    attack_curve,
    audit,
    strong_articulation_points_and_bridges,
)

RESULTS = Path(__file__).parent / "results" / "audit.json"


def timed(work: Callable[[], object], repeats: int = 3) -> tuple[float, object]:
    """Median seconds of CPU time of some runs (the machine may be shared), and the last result."""
    seconds, result = [], None
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), result


def random_digraph(n: int, m: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, n, (m, 2))


def one_by_one(n: int, edges: np.ndarray) -> list[int]:
    """Strong articulation points the obvious way: take each vertex out and count the components again."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from((a, b) for a, b in edges.tolist() if a != b)
    whole = nx.number_strongly_connected_components(graph)
    alone = {v for part in nx.strongly_connected_components(graph) if len(part) == 1 for v in part}
    found = []
    for v in range(n):
        rest = nx.restricted_view(graph, [v], [])
        if nx.number_strongly_connected_components(rest) > whole - (v in alone):
            found.append(v)
    return found


def networkx_attack(graph: nx.Graph, removals: int) -> list[float]:
    """Draw the first removals of a degree attack the obvious way: remove, look for the largest component."""
    left = graph.copy()
    n = len(left)
    order = sorted(left, key=lambda v: (-left.degree(v), v))
    shares = [max(map(len, nx.connected_components(left))) / n]
    for v in order[:removals]:
        left.remove_node(v)
        shares.append(max(map(len, nx.connected_components(left)), default=0) / n)
    return shares


def weak_links(quick: bool) -> list[dict[str, float]]:
    """Strong articulation points and bridges by size; networkx while it finishes in some ten seconds."""
    rows = []
    for n, m, against in (
        (200, 1_000, True), (800, 4_000, True), (1_000, 5_000, not quick),
        (20_000, 100_000, False), (200_000, 1_000_000, False),
    ):  # fmt: skip
        if quick and m > 100_000:
            continue
        edges = random_digraph(n, m)
        strong_articulation_points_and_bridges(Graph.of(n, edges))  # compile once
        seconds, found = timed(lambda n=n, edges=edges: strong_articulation_points_and_bridges(Graph.of(n, edges)))
        both, _ = timed(lambda n=n, edges=edges: articulation_points_and_bridges(Graph.of(n, edges)))
        row = {"vertices": n, "edges": m, "points": len(found[0]), "bridges": len(found[1]), "seconds": seconds,
               "undirected_seconds": both}  # fmt: skip
        if against:
            row["networkx_seconds"], slow = timed(lambda n=n, edges=edges: one_by_one(n, edges), repeats=1)
            assert slow == found[0].tolist()
            row["times_faster"] = row["networkx_seconds"] / seconds
        rows.append(row)
    return rows


def attacks(quick: bool) -> list[dict[str, float | str]]:
    """Attack curves of a graph with the size of the AS graph of 2 January 2000 (6,474 systems)."""
    n = 1_000 if quick else 6_474
    reference = nx.random_internet_as_graph(n, seed=1)
    graph = Graph.of(n, np.array(reference.edges), directed=False)
    rows: list[dict[str, float | str]] = []
    for strategy in ("degree", "adaptive", "random"):
        attack_curve(graph, strategy)
        seconds, curve = timed(lambda strategy=strategy: attack_curve(graph, strategy))
        row = {"strategy": strategy, "vertices": n, "edges": graph.m, "R": curve.robustness, "seconds": seconds}
        if strategy == "degree":
            # networkx recounts after each removal: only the first twentieth is run, against our whole curve.
            some = n // 20
            row["networkx_removals"] = some
            row["networkx_seconds"], slow = timed(lambda some=some: networkx_attack(reference, some), repeats=1)
            assert np.allclose(slow, curve.share[: some + 1])
            row["times_faster"] = row["networkx_seconds"] / seconds
        rows.append(row)
    return rows


def whole_audits(quick: bool) -> list[dict[str, float | str]]:
    """The whole of `chorus audit`, remedies included, on graphs of 100,000 edges whose points and links it samples."""
    share = 20 if quick else 1
    n = 50_000 // share
    free = np.array(nx.barabasi_albert_graph(n, 2, seed=1).edges)
    generator = np.random.default_rng(1)
    leaves = np.stack([generator.integers(0, n, n // 10), n + np.arange(n // 10)], axis=1)
    side = round(n**0.5)
    graphs = {
        "random, directed": Graph.of(20_000 // share, random_digraph(20_000 // share, 100_000 // share)),
        "scale-free with leaves": Graph.of(n + n // 10, np.concatenate([free, leaves]), directed=False),
        "grid": Graph.of(
            side * side, [(side * y + x, side * y + x + step) for y in range(side) for x in range(side)
                          for step, inside in ((1, x + 1 < side), (side, y + 1 < side)) if inside], directed=False,
        ),
    }  # fmt: skip
    rows: list[dict[str, float | str]] = []
    for name, graph in graphs.items():
        subject = Subject(name=name, elements=tuple(map(str, range(graph.n))), graph=graph)
        seconds, report = timed(lambda subject=subject: audit(subject), repeats=1)
        rows.append({"graph": name, "vertices": graph.n, "edges": graph.m, "findings": len(report.findings),
                     "remedies recomputed": sum(finding.remedy.after is not None for finding in report.findings),
                     "seconds": seconds})  # fmt: skip
    return rows


def cpu() -> str:
    """The processor's name where Linux tells it."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def show(title: str, rows: list[dict[str, float | str]]) -> None:
    print(f"\n{title}")
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = [names] + [[f"{row[name]:,.4g}" if isinstance(row.get(name), float) else str(row.get(name, ""))
                        for name in names] for row in rows]  # fmt: skip
    widths = [max(len(row[k]) for row in table) for k in range(len(names))]
    for row in table:
        print("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes; nothing is written")
    quick = parser.parse_args().quick
    load = os.getloadavg()[0]
    curves = attacks(quick)
    show("attack curves (random: mean of 20 attacks; seconds of CPU on one core, median of 3)", curves)
    links = weak_links(quick)
    show("strong articulation points and bridges (seconds of CPU on one core, median of 3)", links)
    audits = whole_audits(quick)
    show("the whole audit (seconds of CPU on one core, one run)", audits)
    if not quick:
        RESULTS.parent.mkdir(exist_ok=True)
        machine = {
            "processor": cpu(),
            "cores": os.cpu_count(),
            "load average at the start": load,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "networkx": nx.__version__,
        }
        found = {"machine": machine, "weak_links": links, "attacks": curves, "whole_audits": audits}
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
