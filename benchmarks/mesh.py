"""What the mesh costs and what it buys: `python benchmarks/mesh.py` (about four minutes; `--quick` for one).

Every comparison is against something measured in the same run: bare SQLite for commits, and a lock-step coordinator
for rounds, which asks the same members with the same delays, waits for all of them, and only then shows an answer.
The members are stand-ins with fixed delays, so that both sides pay the same for thinking; nothing here is a claim about
any language model. The four published rows are reproduced as far as they can be, each with what it measures here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import Any

from mesh_commits import commits
from mesh_proofs import split_brain, verification
from mesh_rounds import rounds, stalled, throughput

RESULTS: dict[str, Any] = {}
MEMORY = Path("/dev/shm")  # a file system in memory, where Linux has one


def show(section: str, rows: dict[str, Any]) -> None:
    RESULTS[section] = rows
    print(f"\n{section}")
    for name, value in rows.items():
        text = f"{value:,.3f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"
        print(f"  {name:<72} {text:>14}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller, for a look")
    parser.add_argument("--cut", type=float, default=61.0, help="seconds for which the log is held")
    arguments = parser.parse_args()
    quick = arguments.quick
    show("machine", {"cores": float(os.cpu_count() or 0), "load average at the start": os.getloadavg()[0]})
    show("commits on one host, on this machine's disk", asyncio.run(commits(100 if quick else 300)))
    if MEMORY.is_dir():  # where a sync costs nothing, what is left is the software's own
        show("commits on one host, in memory", asyncio.run(commits(100 if quick else 300, str(MEMORY))))
    sizes, queues = {}, {}
    for nodes in (3, 5) if quick else (3, 5, 9, 17):
        sizes[nodes] = asyncio.run(rounds(nodes, 5 if nodes < 9 and not quick else 3))
        show(f"rounds among {nodes} members, one at a time, the same delays on both sides", sizes[nodes])
        queues[nodes] = asyncio.run(throughput(nodes, 6 if quick else 12))
        show(f"a queue of questions to {nodes} members, the same delays on both sides", queues[nodes])
    seconds = 2.0 if quick else arguments.cut
    cut = asyncio.run(stalled(min(seconds, 5.0), seconds))
    show("tokens while the commit plane is stalled, 3 nodes", cut)
    brains = split_brain(100 if quick else 500)
    show("split brain, in simulation", brains)
    show("verification", verification(100_000 if quick else 1_000_000))

    five, queue = sizes[5], queues[5]
    print("\nthe four published rows (synchronous → asynchronous), and what was measured here")
    rows = [
        (
            "latency, 1450 → 320 ms",
            f"{1000 * five['lock-step: seconds until anything is seen, p50']:.0f} → "
            f"{1000 * five['mesh: seconds until the first token is seen, p50']:.0f} ms to the first token, "
            f"{1000 * five['mesh: seconds until the answer is committed, p50']:.0f} ms to the committed answer; "
            "stand-in members",
        ),
        (
            "throughput, 45.2 → 185.6 tokens/s",
            f"{queue['lock-step: tokens a second']:.0f} → "
            f"{queue['mesh: tokens a second, until the last answer is committed']:.0f} tokens/s "
            "from the same members on a queue of questions: nobody waits for the slowest, "
            "nor for judgements and commits",
        ),
        (
            "partition tolerance, 2.1 → > 60 s",
            f"0 → {seconds:.0f} s tried (--cut): lock-step shows nothing without its commit; "
            f"the mesh's longest pause was {1000 * cut['longest pause between tokens, log held, s']:.0f} ms",
        ),
        (
            "split-brain, 12 → 0 a year",
            f"{brains['schedules in which replicas differ: committing on acknowledgement']} → "
            f"{brains['schedules in which replicas differ: the mesh']} of "
            f"{brains['simulated schedules of faults']:.0f} simulated schedules of faults; years cannot be measured",
        ),
    ]
    for claim, measured in rows:
        print(f"  {claim:<36} {measured}")
    RESULTS["published rows"] = dict(rows)
    target = Path(__file__).parent / "results" / "mesh.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(RESULTS, indent=2, ensure_ascii=False) + "\n")
    print(f"\nwritten to {target}")


if __name__ == "__main__":
    main()
