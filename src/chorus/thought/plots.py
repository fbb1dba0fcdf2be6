"""Charts of measured scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from chorus.errors import InputError
from chorus.thought.evaluation import Score


def draw_scores(series: Mapping[str, Sequence[tuple[str, Score]]], path: Path) -> None:
    """Draw exact accuracy, with its 95 % interval, against floating-point operations per problem.

    A dashed line shows for how many problems any thought was right: the ceiling for picking.

    Args:
        series: for each curve its name, and a name and a score for each of its points.
        path: ends in `.png` or `.svg`.

    Raises:
        InputError: matplotlib is missing, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, PercentFormatter
    except ImportError:
        raise InputError("pictures need matplotlib: pip install 'the-chorus[plot]'") from None
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axis = figure.subplots()
    for number, (curve, rows) in enumerate(series.items()):
        compute = [score.flops / 1e9 for _, score in rows]
        accuracy = [score.accuracy for _, score in rows]
        low = [score.accuracy - score.interval[0] for _, score in rows]
        high = [score.interval[1] - score.accuracy for _, score in rows]
        color = f"C{number}"
        axis.errorbar(
            compute, accuracy, yerr=[low, high], marker="o", capsize=3, color=color, label=f"{curve}: picked by energy"
        )
        ceiling = [score.any_thought / score.problems for _, score in rows]
        axis.plot(compute, ceiling, "--", color=color, alpha=0.6, label=f"{curve}: any thought right")
        for point, ((name, _), x, y) in enumerate(zip(rows, compute, accuracy, strict=True)):
            place = (5, 5 if point % 2 else -12)  # neighbours may lie close together
            axis.annotate(name, (x, y), textcoords="offset points", xytext=place, fontsize=8, color=color)
    axis.set(xscale="log", xlabel="GFLOP per problem", ylabel="problems answered exactly right")
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axis.xaxis.set_minor_locator(LogLocator(subs=(1.5, 2, 3, 5, 7)))  # near enough for any span, and never too near
    for formatted in (axis.xaxis.set_major_formatter, axis.xaxis.set_minor_formatter):
        formatted("{x:g}")
    axis.margins(x=0.1)
    axis.grid(alpha=0.3, which="both")
    figure.legend(fontsize=8, loc="outside upper center", ncols=2)  # beside the axes, where no curve can pass
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
