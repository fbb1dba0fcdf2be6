"""What thinking in parallel buys: accuracy and speed of a model against its compute.

    python benchmarks/thought.py [--model DIR] [--problems 30] [--data FILE] [--out FILE] [--images FOLDER]

Prints tables, writes a JSON file and draws pictures. By default the model is the Sudoku one in the box, and the
problems are hard ones that the project generates itself (minimal puzzles, kept with a probability that grows with their
guesses), from a seed that no training run used. For another task they come from its own generator; `--data` takes any
list of problems instead.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path

import torch

from chorus.thought import CompetitionConfig, Score, TerminationConfig, ThinkConfig, Thinker, evaluate, flops_per_row
from chorus.thought.plots import draw_scores
from chorus.thought.tasks import read_problems
from chorus.thought.tasks.sudoku_bank import hard

ROOT = Path(__file__).parent
SEED = 20_260_001

Row = dict[str, float | str]


def problems(thinker: Thinker, data: Path | None, n: int) -> tuple[list[str], list[str]]:
    """Return questions and answers."""
    task = thinker.task
    if data is not None:
        records = [record for _, record in zip(range(n), read_problems(data), strict=False)]
        return [r.question for r in records], [r.answer or task.solve(r.question) for r in records]
    if task.name == "sudoku":
        questions, solutions = hard(n, seed=SEED)
        answers = solutions - 1
    else:
        questions, answers = task.generate(n, seed=SEED)
    return [task.decode_question(q) for q in questions], [task.decode(a) for a in answers]


class Bench:
    """Measures one setting after the other on the same problems, and keeps every row at once."""

    def __init__(self, thinker: Thinker, questions: list[str], answers: list[str], out: Path) -> None:
        self.thinker, self.questions, self.answers, self.out = thinker, questions, answers, out
        self.result: dict[str, object] = {
            "problems": len(questions),
            "threads": torch.get_num_threads(),
            "precision": str(thinker.dtype).removeprefix("torch."),
            "flops_per_thought_and_step": flops_per_row(thinker.mind),
        }

    def keep(self, name: str, rows: list[Row]) -> None:
        """Write a table to the file, so that a run that is cut short leaves what it has measured."""
        self.result[name] = rows
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.out.write_text(json.dumps(self.result, indent=2) + "\n")

    def table(self, key: str, title: str, settings: dict[str, ThinkConfig]) -> list[tuple[str, Score]]:
        """Measure every setting, printing a row for each."""
        print(title)
        found = []
        for name, config in settings.items():
            score = evaluate(self.thinker, self.questions, self.answers, config)
            show(name, score)
            found.append((name, score))
            self.keep(key, [row(*pair) for pair in found])
        return found


def row(name: str, score: Score) -> Row:
    """Return what the JSON file says about a score."""
    low, high = score.interval
    return {
        "name": name,
        "exact": score.accuracy,
        "low": low,
        "high": high,
        "any_thought": score.any_thought / score.problems,
        "majority": score.majority / score.problems,
        "steps": score.steps,
        "gflop": score.flops / 1e9,
        "solved_per_second": score.accuracy / score.seconds,
        "solved_per_tflop": score.accuracy / score.flops * 1e12,
    }


def show(name: str, score: Score) -> None:
    values = row(name, score)
    print(
        f"  {name:32s} exact {score.accuracy:6.1%} ({values['low']:.1%}–{values['high']:.1%})  "
        f"any {values['any_thought']:6.1%}  majority {values['majority']:6.1%}  steps {score.steps:6.1f}  "
        f"{values['gflop']:7.2f} GFLOP  solved {values['solved_per_second']:6.2f}/s "
        f"{values['solved_per_tflop']:4.0f}/TFLOP",
        flush=True,
    )


def equal_compute(competing: list[tuple[str, Score]], alone: list[tuple[str, Score]]) -> list[Row]:
    """Set against each competing pool the cheapest best-of-K that spends at least as much, or else the dearest."""
    print("Competition against plain best-of-K that spends at least as much (early halting in both)")
    found: list[Row] = []
    by_cost = sorted(alone, key=lambda pair: pair[1].flops)
    for name, score in competing:
        rival, other = next((pair for pair in by_cost if pair[1].flops >= score.flops), by_cost[-1])
        found.append(
            {
                "competition": name,
                "exact": score.accuracy,
                "gflop": score.flops / 1e9,
                "best_of": rival,
                "best_of_exact": other.accuracy,
                "best_of_gflop": other.flops / 1e9,
            }
        )
        print(
            f"  competition {name:5s} {score.accuracy:6.1%} at {score.flops / 1e9:6.2f} GFLOP    "
            f"best of {rival:5s} {other.accuracy:6.1%} at {other.flops / 1e9:6.2f} GFLOP"
        )
    return found


def batching(thinker: Thinker, questions: list[str], repeats: int = 5) -> list[Row]:
    """Time K thoughts about one problem in one batch, and K runs of one thought in a row."""
    print("K thoughts about one problem in one batch against K runs in a row (fixed 32 steps; medians)")
    found: list[Row] = []
    for k in (4, 16, 64):
        fixed = ThinkConfig(thoughts=k, steps=32, competition=None, termination=None)
        together, apart = [], []
        for question in questions[:repeats]:
            tokens = thinker.tokens([question])
            began = time.perf_counter()
            thinker.think(tokens, fixed)
            together.append(time.perf_counter() - began)
            began = time.perf_counter()
            for seed in range(k):
                thinker.think(tokens, dataclasses.replace(fixed, thoughts=1, seed=seed))
            apart.append(time.perf_counter() - began)
        ratio = statistics.median(b / a for a, b in zip(together, apart, strict=True))
        seconds = statistics.median(together)
        found.append({"thoughts": k, "batch_seconds": seconds, "in_a_row_over_batch": ratio})
        print(f"  K={k:3d}: one batch {seconds:.3f} s; {k} runs in a row take {ratio:.1f} times as long", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=30)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", default="sudoku")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "thought.json")
    parser.add_argument("--images", type=Path, default=ROOT.parent / "docs" / "images")
    arguments = parser.parse_args()
    thinker = Thinker.from_pretrained(arguments.model)
    questions, answers = problems(thinker, arguments.data, arguments.problems)
    bench = Bench(thinker, questions, answers, arguments.out)
    base = dataclasses.replace(thinker.config, competition=thinker.config.competition or CompetitionConfig())
    alone = dataclasses.replace(base, competition=None)
    one = dataclasses.replace(alone, thoughts=1)
    short = dataclasses.replace(base, thoughts=8, steps=160)
    lone = dataclasses.replace(short, competition=None)

    competing = bench.table(
        "competing",
        f"Thoughts that compete, at most {base.steps} steps",
        {f"K={k}": dataclasses.replace(base, thoughts=k) for k in (1, 4, 16, 64)},
    )
    best_of = bench.table(
        "best_of",
        "Thoughts that think alone (best of K)",
        {f"K={k}": dataclasses.replace(alone, thoughts=k) for k in (1, 4, 8)},
    )
    bench.keep("equal_compute", equal_compute(competing, best_of))
    arguments.images.mkdir(parents=True, exist_ok=True)
    draw_scores({"competing": competing, "best of K, alone": best_of}, arguments.images / "thought-thoughts.png")
    by_steps = bench.table(
        "steps",
        "Steps of one thought that thinks alone",
        {f"T={t}": dataclasses.replace(one, steps=t) for t in (16, 32, 64, 128, 256)},
    )
    draw_scores({"one thought alone": by_steps}, arguments.images / "thought-steps.png")
    bench.table(
        "halting",
        "Early halting against fixed steps (K=8, competition)",
        {
            "halts early, at most 160 steps": short,
            **{f"fixed {t} steps": dataclasses.replace(short, steps=t, termination=None) for t in (16, 32, 64)},
        },
    )
    bench.table(
        "parts",
        "Parts switched (K=8, at most 160 steps)",
        {
            "with the workspace": dataclasses.replace(short, workspace=True),
            "no competition": lone,
            "commit, but nobody dies": dataclasses.replace(
                short, competition=CompetitionConfig(margin=1e9, kill_below=0)
            ),
            "half the thoughts slow and deep": dataclasses.replace(short, rates=((1, 1), (4, 2))),
            "alone, halts at fixed points only": dataclasses.replace(
                lone, termination=TerminationConfig(confidence=1, agreement=2)
            ),
        },
    )
    bench.keep("batching", batching(thinker, questions))


if __name__ == "__main__":
    main()
