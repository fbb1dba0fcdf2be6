"""Charts of measured scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chorus.errors import InputError
from chorus.thought.evaluation import Score


def draw_sweep(rows: Sequence[tuple[str, Score]], path: Path) -> None:
    """Draw exact accuracy, with its 95 % interval, against floating-point operations per problem.

    Args:
        rows: a name and a score for each point.
        path: ends in `.png` or `.svg`.

    Raises:
        InputError: matplotlib is missing, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("pictures need matplotlib: pip install 'the-chorus[plot]'") from None
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    compute = [score.flops / 1e9 for _, score in rows]
    accuracy = [score.accuracy for _, score in rows]
    low = [score.accuracy - score.interval[0] for _, score in rows]
    high = [score.interval[1] - score.accuracy for _, score in rows]
    axis.errorbar(compute, accuracy, yerr=[low, high], marker="o", capsize=3, label="picked by energy")
    axis.plot(compute, [score.any_thought / score.problems for _, score in rows], "--", label="any thought right")
    for (name, _), x, y in zip(rows, compute, accuracy, strict=True):
        axis.annotate(name, (x, y), textcoords="offset points", xytext=(4, -12), fontsize=8)
    axis.set(xscale="log", xlabel="GFLOP per problem", ylabel="boards exactly right")
    axis.grid(alpha=0.3, which="both")
    axis.legend()
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
