"""What thinking in parallel buys: accuracy and speed of the Sudoku model in the box against its compute.

    python benchmarks/thought.py [--problems 40] [--data FILE]

Prints tables, writes benchmarks/results/thought.json, and draws docs/images/thought-*.png. By default the problems
are hard ones that the project generates itself (minimal puzzles, kept with a probability that grows with their
guesses), from a seed that no training run used. `--data` takes any list of puzzles instead.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import torch

from chorus.thought import CompetitionConfig, Score, TerminationConfig, ThinkConfig, Thinker, evaluate, flops_per_row
from chorus.thought.plots import draw_sweep
from chorus.thought.tasks import read_problems
from chorus.thought.tasks.sudoku_bank import hard

ROOT = Path(__file__).parent
IMAGES = ROOT.parent / "docs" / "images"


def problems(thinker: Thinker, data: Path | None, n: int) -> tuple[list[str], list[str]]:
    """Return questions and answers."""
    if data is not None:
        questions = [record.question for _, record in zip(range(n), read_problems(data), strict=False)]
        return questions, [thinker.task.solve(question) for question in questions]
    puzzles, solutions = hard(n, seed=20_260_001)
    return (
        [thinker.task.decode_question(puzzle) for puzzle in puzzles],
        [thinker.task.decode(solution - 1) for solution in solutions],
    )


def row(name: str, score: Score) -> dict[str, float | str]:
    low, high = score.interval
    n = score.problems
    values = {
        "name": name,
        "exact": score.accuracy,
        "low": low,
        "high": high,
        "any_thought": score.any_thought / n,
        "majority": score.majority / n,
        "steps": score.steps,
        "gflop": score.flops / 1e9,
        "boards_per_second": 1 / score.seconds,
    }
    print(
        f"{name:34s} exact {score.accuracy:6.1%} ({low:.1%}–{high:.1%})  any {values['any_thought']:6.1%}  majority "
        f"{values['majority']:6.1%}  steps {score.steps:6.1f}  {values['gflop']:7.2f} GFLOP  "
        f"{values['boards_per_second']:7.1f} boards/s",
        flush=True,
    )
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=40)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", default="sudoku")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "thought.json")
    arguments = parser.parse_args()
    thinker = Thinker.from_pretrained(arguments.model)
    questions, answers = problems(thinker, arguments.data, arguments.problems)
    base = ThinkConfig()
    alone = dataclasses.replace(base, competition=None)
    result: dict[str, object] = {
        "problems": len(questions),
        "threads": torch.get_num_threads(),
        "precision": str(thinker.dtype),
        "flops_per_thought_and_step": flops_per_row(thinker.mind),
    }

    def measure(name: str, config: ThinkConfig) -> tuple[str, Score]:
        score = evaluate(thinker, questions, answers, config)
        table.append(row(name, score))
        return name, score

    print("Thoughts: competition, default steps")
    table: list[dict[str, float | str]] = []
    by_thoughts = [measure(f"K={k}", dataclasses.replace(base, thoughts=k)) for k in (1, 4, 16, 64)]
    result["thoughts"] = table

    print("Steps: one thought alone")
    table = []
    one = dataclasses.replace(alone, thoughts=1)
    by_steps = [measure(f"T={t}", dataclasses.replace(one, steps=t)) for t in (16, 32, 64, 128, 256)]
    result["steps"] = table

    print("Competition against plain best-of-K at equal compute (early stopping in both)")
    table = []
    for k in (4, 16):
        _, score = measure(f"competition, K={k}", dataclasses.replace(base, thoughts=k))
        matched = equal_compute(thinker, questions, answers, alone, score.flops)
        measure(f"best of K={matched.thoughts}", matched)
    result["competition"] = table

    print("Parts switched (K=8, at most 160 steps)")
    table = []
    short = dataclasses.replace(base, thoughts=8, steps=160)
    lone = dataclasses.replace(short, competition=None)
    measure("as it comes", short)
    measure("with the workspace", dataclasses.replace(short, workspace=True))
    measure("no competition", lone)
    measure(
        "no kill or clone, commit only",
        dataclasses.replace(short, competition=CompetitionConfig(margin=1e9, kill_below=0)),
    )
    measure("half the thoughts slow and deep", dataclasses.replace(short, rates=((1, 1), (4, 2))))
    measure("no early stopping", dataclasses.replace(short, termination=None))
    measure(
        "stops only at fixed points",
        dataclasses.replace(lone, termination=TerminationConfig(confidence=1, agreement=2)),
    )
    result["parts"] = table

    print("K thoughts in one batch against K runs in a row (fixed 32 steps)")
    result["batching"] = batching(thinker, questions)

    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    IMAGES.mkdir(parents=True, exist_ok=True)
    draw_sweep(by_thoughts, IMAGES / "thought-thoughts.png")
    draw_sweep(by_steps, IMAGES / "thought-steps.png")


def equal_compute(
    thinker: Thinker, questions: list[str], answers: list[str], alone: ThinkConfig, flops: float
) -> ThinkConfig:
    """Return best-of-K settings whose measured compute comes to at least the given one, by doubling K."""
    config = dataclasses.replace(alone, thoughts=2)
    part = slice(0, max(20, len(questions) // 4))
    while config.thoughts < 512 and evaluate(thinker, questions[part], answers[part], config).flops < flops:
        config = dataclasses.replace(config, thoughts=config.thoughts * 2)
    return config


def batching(thinker: Thinker, questions: list[str]) -> list[dict[str, float]]:
    rows = []
    tokens = thinker.tokens(questions[:8])
    for k in (4, 16):
        fixed = ThinkConfig(thoughts=k, steps=32, competition=None, termination=None)
        single = dataclasses.replace(fixed, thoughts=1)
        together, apart = [], []
        for _ in range(3):
            began = time.perf_counter()
            thinker.mind.think(tokens, fixed, dtype=thinker.dtype)
            together.append(time.perf_counter() - began)
            began = time.perf_counter()
            for seed in range(k):
                for token in tokens.split(1):
                    thinker.mind.think(token, dataclasses.replace(single, seed=seed), dtype=thinker.dtype)
            apart.append(time.perf_counter() - began)
        ratio = sorted(apart)[1] / sorted(together)[1]
        rows.append({"thoughts": k, "batch_seconds": sorted(together)[1], "one_by_one_over_batch": ratio})
        print(
            f"K={k:3d}: one batch {sorted(together)[1]:.3f} s; one run after the other takes {ratio:.1f} times as long"
        )
    return rows


if __name__ == "__main__":
    main()
