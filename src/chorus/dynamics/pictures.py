"""The classic pictures: order against coupling, a spike train with its f–I curve, rotors on the sphere.

Needs matplotlib (`pip install "the-chorus[plot]"`); the ending of the file name says the format: png, svg or pdf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chorus.dynamics.spikes import SpikeTrain
from chorus.dynamics.sweep import Transition, TransitionPoint
from chorus.errors import ChorusError, InputError

if TYPE_CHECKING:
    from jaxtyping import Float

_BLUE, _RED, _GREY, _GREEN = "#1f6feb", "#c9372c", "#8c959f", "#2da44e"


def drawable(path: Path) -> Path:
    """Return the path if a picture can be drawn to it: to ask before a long simulation.

    Args:
        path: file to write.

    Raises:
        InputError: an ending that is no known format, or a folder that is not there.
        ChorusError: matplotlib is not installed.

    >>> drawable(Path("order.png")).name
    'order.png'

    """
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"{path}: cannot draw a {path.suffix or 'file without ending'}; end it in .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot write: there is no folder {path.parent}")
    if find_spec("matplotlib") is None:
        raise ChorusError('pictures need matplotlib: pip install "the-chorus[plot]"')
    return path


def _figure(path: Path, width: float, height: float) -> Any:
    drawable(path)
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def _save(figure: Any, path: Path) -> None:
    for axes in figure.axes:
        for side in ("top", "right"):
            if side in axes.spines:
                axes.spines[side].set_visible(False)
    try:
        figure.savefig(path)
    except OSError as error:
        raise InputError(f"{path}: cannot write: {error.strerror or error}") from error


def draw_transition(transition: Transition, path: Path, title: str) -> None:
    """Draw r against K with the theory's curve and K_c.

    Args:
        transition: what was measured.
        path: file to write.
        title: what was simulated.

    Raises:
        InputError: an ending that is no known format, or a file that cannot be written.
        ChorusError: matplotlib is not installed.

    """
    figure = _figure(path, 6, 4)
    axes = figure.subplots()
    K = [point.coupling for point in transition.points]
    if transition.curve:
        axes.plot(*zip(*transition.curve, strict=True), color=_GREY, label="theory, N → ∞", zorder=1)
    axes.plot(K, [p.measured for p in transition.points], "o", color=_BLUE, label="measured", zorder=2)
    if transition.critical is not None and min(K) <= transition.critical <= max(K):
        axes.axvline(transition.critical, color=_RED, ls=":", label=f"$K_c$ = {transition.critical:.3g}")
    axes.set(xlabel="coupling K (rad/s)", ylabel="order parameter r", ylim=(0, 1.02), title=title)
    axes.legend(frameon=False)
    _save(figure, path)


def draw_neuron(
    train: SpikeTrain,
    currents: Float[np.ndarray, "n"],
    rates: Float[np.ndarray, "n"],
    path: Path,
    *,
    title: str,
    time_unit: str,
    membrane: str,
    current: str,
    rate: str,
) -> None:
    """Draw a spike train of one unit, and its f–I curve.

    Args:
        train: a run of one unit.
        currents: inputs of the f–I curve.
        rates: rates at those inputs.
        path: file to write.
        title: what was simulated.
        time_unit: label of the time axis.
        membrane: label of the membrane variable.
        current: label of the input.
        rate: label of the rate.

    Raises:
        InputError: an ending that is no known format, or a file that cannot be written.
        ChorusError: matplotlib is not installed.

    """
    figure = _figure(path, 10, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    left.plot(train.times, train.membrane[:, 0], color=_BLUE, lw=1.1)
    left.set(xlabel=time_unit, ylabel=membrane, title=title)
    starts = np.flatnonzero(np.diff(rates > 0)) + 1  # no line across the jump from silence to firing
    right.plot(*(np.insert(x, starts, np.nan) for x in (currents, rates)), "o-", color=_BLUE, ms=3.5, lw=1)
    right.set(xlabel=current, ylabel=rate, title="f–I curve", ylim=(0, None))
    _save(figure, path)


def draw_spheres(
    points: Mapping[str, Float[np.ndarray, "n 3"]],
    curves: Mapping[int, Sequence[TransitionPoint]],
    path: Path,
) -> None:
    """Draw rotors in three dimensions at a few moments, and |ρ| against K for each dimension.

    Args:
        points: for each caption, the rotors then.
        curves: for each dimension, what was measured.
        path: file to write.

    Raises:
        InputError: an ending that is no known format, or a file that cannot be written.
        ChorusError: matplotlib is not installed.

    """
    figure = _figure(path, 3.2 * (len(points) + 1.35), 3.6)
    grid = figure.add_gridspec(1, len(points) + 1, width_ratios=[1] * len(points) + [1.35])
    longitude, latitude = np.meshgrid(np.linspace(0, 2 * np.pi, 25), np.linspace(0, np.pi, 13))
    ball = (np.sin(latitude) * np.cos(longitude), np.sin(latitude) * np.sin(longitude), np.cos(latitude))
    for place, (caption, x) in enumerate(points.items()):
        axes = figure.add_subplot(grid[0, place], projection="3d")
        axes.plot_wireframe(*ball, color=_GREY, lw=0.3, alpha=0.5)
        axes.scatter(*x.T, s=3, color=_BLUE, depthshade=True)
        axes.quiver(0, 0, 0, *x.mean(axis=0), color=_RED, lw=2.5, arrow_length_ratio=0.15)
        axes.set_title(caption)
        axes.set_box_aspect((1, 1, 1), zoom=1.45)
        axes.set_axis_off()
    axes = figure.add_subplot(grid[0, len(points)])
    for (d, measured), color in zip(sorted(curves.items()), (_BLUE, _RED, _GREEN, _GREY, "black"), strict=False):
        axes.plot(
            [p.coupling for p in measured], [p.measured for p in measured], "o-", color=color, ms=4, label=f"D = {d}"
        )
        theory = [(p.coupling, p.theory) for p in measured if p.theory is not None]
        if theory:
            axes.plot(*zip(*theory, strict=True), "--", color=color, lw=0.8)
    axes.set(xlabel="coupling K (1/s)", ylabel="|ρ|", ylim=(0, 1.02), title="order; dashed: theory")
    axes.legend(frameon=False)
    _save(figure, path)
