"""The oscillatory processor against the standard one, at equal counted training FLOPs and at equal CPU time.

    python benchmarks/oscillators.py  # about four minutes on one core

Both processors get minds of the same sizes, the same problems in the same order, and a learning rate that the same
small sweep chose for each, on other seeds and other puzzles than those reported. The standard processor trains for a
number of updates; the oscillatory one for as many as come to the same floating-point operations (matrix products of
a whole update, forward and backward, as PyTorch counts them), and for as many as come to the same CPU time. Then each
answers puzzles that it never saw in any symmetric form, one thought alone, in one go.

Prints tables, writes benchmarks/results/oscillators.json, and draws docs/images/dynamics-oscillators.png. One thread.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
import torch
from torch.utils.flop_counter import FlopCounterMode

from chorus.thought import BankSource, Mind, MindConfig, ThinkConfig, Thinker, TrainConfig, Trainer, evaluate
from chorus.thought.checkpoint import Checkpoint
from chorus.thought.sources import without
from chorus.thought.tasks import make_task

ROOT = Path(__file__).parent
RESULTS = ROOT / "results" / "oscillators.json"
PICTURE = ROOT.parent / "docs" / "images" / "dynamics-oscillators.png"

STANDARD, OSCILLATORY = "recurrent", "oscillatory"
SIZES = {"channels": 16, "key_channels": 4, "value_channels": 8, "hidden": 32, "oscillator_dims": 4}
TRAINING = {"problems": 48, "segment": 6, "segments": 4, "ema": 0.95}
ALONE = ThinkConfig(thoughts=1, steps=TRAINING["segment"] * TRAINING["segments"], competition=None, termination=None)
TEST = 200  # puzzles of the reported accuracy, and as many others for the sweep


@dataclass(frozen=True)
class Plan:
    """How much is spent on a task: updates are the standard processor's."""

    updates: tuple[int, ...]
    seeds: int
    rates: tuple[float, ...]
    sweep_updates: int
    sweep_seeds: int


PLANS = {"sudoku4": Plan((10, 15, 25), 8, (1e-2, 2e-2, 4e-2, 8e-2), 15, 2)}


class Contest:
    """One task: its puzzles, and how to train and ask a mind."""

    def __init__(self, name: str) -> None:
        self.task = make_task(name)
        questions, answers = self.task.generate(6000, seed=11)
        _, first = np.unique(self.task.canonical(questions), axis=0, return_index=True)
        chosen = np.random.default_rng(0).permutation(first)[: 2 * TEST]
        texts = [self.task.decode_question(question) for question in questions[chosen]]
        solutions = [self.task.decode(answer) for answer in answers[chosen]]
        self.test = texts[:TEST], solutions[:TEST]
        self.validation = texts[TEST:], solutions[TEST:]
        self.bank = without(self.task, questions, answers, texts)

    def trainer(self, processor: str, rate: float, updates: int, seed: int) -> Trainer:
        torch.manual_seed(seed)
        mind = Mind(MindConfig.for_task(self.task, processor=processor, **SIZES))
        config = TrainConfig(updates=updates, learning_rate=rate, warmup=updates // 6, seed=seed, **TRAINING)
        return Trainer(mind, BankSource(self.task, *self.bank), config)

    def run(self, processor: str, rate: float, updates: int, seed: int, puzzles: Any) -> tuple[float, float]:
        """Train, and return the share of puzzles answered right in every cell, and the CPU seconds of training."""
        trainer = self.trainer(processor, rate, updates, seed)
        began = time.process_time()
        for _ in trainer.steps():
            pass
        seconds = time.process_time() - began
        thinker = Thinker(Checkpoint(mind=trainer.averaged(), task=self.task), torch.float32)
        return evaluate(thinker, *puzzles, ALONE).accuracy, seconds

    def costs(self, processor_rates: dict[str, float]) -> dict[str, tuple[int, float]]:
        """Return the floating-point operations and the median CPU seconds of an update, measured in turns."""
        trainers = {name: self.trainer(name, rate, 10**6, 999) for name, rate in processor_rates.items()}
        flops: dict[str, int] = {}
        seconds: dict[str, list[float]] = {name: [] for name in trainers}
        for name, trainer in trainers.items():
            with FlopCounterMode(display=False) as counter:
                trainer.step()
            flops[name] = counter.get_total_flops()
        for _ in range(20):
            for name, trainer in trainers.items():
                began = time.process_time()
                trainer.step()
                seconds[name].append(time.process_time() - began)
        return {name: (flops[name], statistics.median(seconds[name])) for name in trainers}


def interval(values: list[float]) -> tuple[float, float, float]:
    """Return the mean over seeds and its 95 % interval (Student's t)."""
    mean = statistics.mean(values)
    half = float(scipy.stats.t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return mean, mean - half, mean + half


def sweep(contest: Contest, plan: Plan, processor: str) -> list[dict[str, float]]:
    """Return the mean accuracy on the validation puzzles for each learning rate."""
    rows = []
    for rate in plan.rates:
        scores = [
            contest.run(processor, rate, plan.sweep_updates, 1000 + seed, contest.validation)[0]
            for seed in range(plan.sweep_seeds)
        ]
        rows.append({"learning_rate": rate, "exact": statistics.mean(scores)})
        print(f"  {processor:12s} learning rate {rate:<7g} exact {rows[-1]['exact']:6.1%}", flush=True)
    return rows


def compare(name: str, save: Callable[[dict[str, Any]], None]) -> None:
    """Sweep, measure the costs, and compare; what is known is saved after each budget."""
    plan, contest = PLANS[name], Contest(name)
    print(f"\n{name}: {len(contest.bank[0]):,} puzzles to train on, {TEST} to choose by, {TEST} to report", flush=True)
    sweeps = {processor: sweep(contest, plan, processor) for processor in (STANDARD, OSCILLATORY)}
    rates = {p: max(rows, key=lambda row: row["exact"])["learning_rate"] for p, rows in sweeps.items()}
    costs = contest.costs(rates)
    for processor, (flops, seconds) in costs.items():
        print(f"  {processor:12s} {flops / 1e9:.4f} GFLOP and {seconds * 1e3:.0f} ms of CPU an update", flush=True)
    same_flops = costs[STANDARD][0] / costs[OSCILLATORY][0]
    same_time = costs[STANDARD][1] / costs[OSCILLATORY][1]
    result: dict[str, Any] = {
        "seeds": plan.seeds,
        "test_puzzles": TEST,
        "training_puzzles": len(contest.bank[0]),
        "sweep": sweeps,
        "learning_rate": rates,
        "parameters": {p: sum(w.numel() for w in contest.trainer(p, rates[p], 1, 0).mind.parameters()) for p in costs},
        "per_update": {p: {"gflop": flops / 1e9, "cpu_seconds": seconds} for p, (flops, seconds) in costs.items()},
        "rows": [],
    }
    for updates in plan.updates:
        arms = [
            ("standard", STANDARD, updates),
            ("oscillatory, equal FLOPs", OSCILLATORY, round(updates * same_flops)),
            ("oscillatory, equal CPU time", OSCILLATORY, round(updates * same_time)),
        ]
        exact: dict[str, list[float]] = {}
        for arm, processor, spent in arms:
            runs = [contest.run(processor, rates[processor], spent, seed, contest.test) for seed in range(plan.seeds)]
            exact[arm] = [accuracy for accuracy, _ in runs]
            ahead = interval([a - b for a, b in zip(exact[arm], exact["standard"], strict=True)])
            row = {
                "arm": arm,
                "updates": spent,
                "gflop": spent * costs[processor][0] / 1e9,
                "cpu_seconds": statistics.median(seconds for _, seconds in runs),
                "exact": exact[arm],
                "interval": interval(exact[arm]),
                "ahead_of_standard": ahead if processor == OSCILLATORY else None,
            }
            result["rows"].append(row)
            mean, low, high = row["interval"]
            beside = f"  ahead by {ahead[0]:+.1%} ({ahead[1]:+.1%} to {ahead[2]:+.1%})" * (arm != "standard")
            print(
                f"  {arm:28s} {spent:4d} updates {row['gflop']:7.2f} GFLOP {row['cpu_seconds']:6.1f} s  "
                f"exact {mean:6.1%} ({low:.1%} to {high:.1%}){beside}",
                flush=True,
            )
        save(result)


def draw(results: dict[str, Any]) -> None:
    """Draw exact accuracy against training FLOPs and against CPU time, a row of panels for each task."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2 * len(results)), layout="constrained")
    panels = figure.subplots(len(results), 2, squeeze=False, sharey=True)
    sides = (("gflop", "training GFLOP", "FLOPs"), ("cpu_seconds", "CPU seconds of training", "CPU time"))
    for line, (name, result) in zip(panels, results.items(), strict=True):
        for axis, (x, label, equal) in zip(line, sides, strict=True):
            for arm, color, style in (
                ("standard", "tab:blue", "o-"),
                (f"oscillatory, equal {equal}", "tab:orange", "s--"),
            ):
                rows = [row for row in result["rows"] if row["arm"] == arm]
                middle = [row["interval"][0] for row in rows]
                error = [
                    [row["interval"][0] - row["interval"][1] for row in rows],
                    [row["interval"][2] - row["interval"][0] for row in rows],
                ]
                at = [row[x] for row in rows]
                axis.errorbar(at, middle, yerr=error, fmt=style, color=color, capsize=3, label=arm.split(",")[0])
            axis.set(xlabel=label, title=f"{name}, equal {equal}", ylim=(-0.03, 1.03), xscale="log")
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_minor_formatter("{x:g}")
            axis.grid(alpha=0.3)
        line[0].set(ylabel="puzzles exactly right")
        line[0].legend(loc="lower right")
    figure.savefig(PICTURE, dpi=120)


def save(name: str, result: dict[str, Any]) -> None:
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = result
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    draw({name: results[name] for name in PLANS if name in results})


def main() -> None:
    torch.set_num_threads(1)
    for name in PLANS:
        compare(name, partial(save, name))
    print(f"\nwritten to benchmarks/results/{RESULTS.name} and docs/images/{PICTURE.name}")


if __name__ == "__main__":
    main()
