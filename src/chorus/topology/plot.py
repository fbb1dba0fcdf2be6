"""Pictures: the flow grid, the neighbourhood matrix, growth of a field, path density, and cost against reach.

Every `draw_*` function draws into given matplotlib Axes; `overview` lays them out and writes a PNG or SVG file. Needs
the extra `plot`. Figures are made without pyplot, so nothing global changes and no display is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chorus.errors import InputError
from chorus.topology.characters import densities
from chorus.topology.paths import path_counts
from chorus.topology.reach import receptive_field
from chorus.topology.report import Analysis, number
from chorus.topology.topology import Topology

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _PALE, _CONE = "#30343b", "#c9ced6", "#2f6fb3"
_COLOURS = ("#d1495b", "#edae49", "#3c887e", "#8d5fa8", "#2f6fb3", "#6b705c", "#bc6c25", "#111111")
_MOST_COLUMNS, _MOST_LAYERS, _DRAWN_PATHS = 40, 10, 4
_MATRIX_CELLS = 256


def overview(topologies: Sequence[Topology], analyses: Sequence[Analysis], file: str | Path) -> None:
    """Write one picture: of one topology its flow, matrix, growth and paths; of several, growth and cost against reach.

    Raises:
        InputError: matplotlib is not there, or the file's name does not end in .png or .svg.

    """
    path = Path(file)
    if path.suffix not in (".png", ".svg"):
        raise InputError(f"{path}: pictures are written as .png or .svg")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent} to write to")
    if len(topologies) == 1:
        t, a = topologies[0], analyses[0]
        figure = _figure(13, 8.5)
        (flow, matrix), (growth, paths) = figure.subplots(2, 2, width_ratios=(3, 2))
        draw_flow(flow, t, a.actors, a.layers, a.target)
        draw_matrix(matrix, t, a.actors)
        draw_growth(growth, [a])
        draw_path_density(paths, t, a.actors, a.layers, a.target)
        figure.suptitle(_short(a.spec, 110), color=_INK, family="monospace")
    else:
        figure = _figure(13, 5.5)
        growth, cost = figure.subplots(1, 2)
        draw_growth(growth, analyses)
        draw_cost_against_reach(cost, analyses)
        figure.suptitle(f"{analyses[0].actors:,} actors, {analyses[0].layers:,} layers", color=_INK)
    figure.savefig(path, dpi=100)


def draw_flow(axes: Axes, topology: Topology, n: int, layers: int, target: int) -> None:
    """Draw the information-flow grid: actors across, layers up, the cone of what can influence the target on top.

    Shows the actors next to the target, and the uppermost layers, where there are too many; a few of the paths from the
    farthest actor shown that reaches it are drawn and all of them counted.
    """
    shown = min(layers, _MOST_LAYERS)
    first = 0 if n <= _MOST_COLUMNS else min(max(0, target - _MOST_COLUMNS + 1), n - _MOST_COLUMNS)
    last = min(n, first + _MOST_COLUMNS)
    fields = receptive_field(topology, target, n, layers)[: shown + 1]
    steps = [  # from the lowest layer shown up: reads[layer][reader]
        {t: [s for s in topology.neighbors(t, layer, n).tolist() if first <= s < last] for t in range(first, last)}
        for layer in range(layers - shown, layers)
    ]
    busiest = max(len(sources) for reads in steps for sources in reads.values())
    faint = min(1.0, 8 / max(busiest, 1))  # many lines make a surface
    for height, reads in enumerate(steps):
        for t, sources in reads.items():
            within = t in fields[shown - height - 1]
            for s in sources:
                colour, alpha = (_CONE, 0.5) if within else (_PALE, 0.6)
                axes.plot(
                    [s, t], [height, height + 1], linewidth=0.7, zorder=1 + within, color=colour, alpha=alpha * faint
                )
    for height in range(shown + 1):
        colours = [_CONE if t in fields[shown - height] else "white" for t in range(first, last)]
        axes.scatter(
            range(first, last), [height] * (last - first), s=22, c=colours, edgecolors=_INK, linewidths=0.5, zorder=4
        )
    far = [s for s in range(first, last) if s in fields[shown] and s != target]
    title = f"what can influence actor {target:,}"
    if far:
        source = max(far, key=lambda s: abs(s - target))
        ways = _ways(steps, source, target)
        for i, way in enumerate(ways):
            axes.plot(way, range(shown + 1), color=_COLOURS[i], linewidth=2.2, zorder=3)
        span = f"the last {shown} layers" if shown < layers else f"{layers} layers"
        inside = "" if first == 0 and last == n else f" inside {first:,} to {last - 1:,}"
        title += f"; {number(_table(steps, source)[-1].get(target, 0))} paths from {source:,} in {span}{inside}"
    axes.set_title(title, fontsize=9, color=_INK)
    axes.set_xlabel("actor")
    axes.set_ylabel("after layer")
    axes.set_yticks(range(shown + 1), [str(layers - shown + h) for h in range(shown + 1)])
    _plain(axes)


def draw_matrix(axes: Axes, topology: Topology, n: int, layer: int = 0) -> None:
    """Draw who reads whom at one layer: readers down, reads across, darker where more pairs are present."""
    share = densities(topology, n, layer, min(n, _MATRIX_CELLS))
    if share is None:
        axes.text(0.5, 0.5, "too many loose pairs to draw", ha="center", color=_INK, transform=axes.transAxes)
        axes.set_axis_off()
        return
    # A lone diagonal fills little of its cells: the square root keeps it visible beside full tiles.
    axes.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1, extent=(0, n, n, 0), interpolation="nearest")
    axes.set_title(f"who reads whom, layer {layer}", fontsize=9, color=_INK)
    axes.set_xlabel("read")
    axes.set_ylabel("reader")


def draw_growth(axes: Axes, analyses: Sequence[Analysis]) -> None:
    """Draw how the target's receptive field grows with the layers."""
    for i, a in enumerate(analyses):
        sizes = [len(field) for field in a.fields]
        axes.plot(range(len(sizes)), sizes, marker="o", markersize=3, color=_COLOURS[i % 8])
    axes.set_yscale("log", base=2)
    axes.axhline(analyses[0].actors, color=_PALE, linestyle="--", linewidth=1)
    axes.set_title(f"receptive field of actor {analyses[0].target:,}", fontsize=9, color=_INK)
    axes.set_xlabel("layers back")
    axes.set_ylabel("actors")
    _plain(axes)


def draw_path_density(axes: Axes, topology: Topology, n: int, layers: int, target: int) -> None:
    """Draw how many paths lead to the target from every actor: log10 of the exact counts, attention convention."""
    axes.set_title(f"paths to actor {target:,} in {layers} layers", fontsize=9, color=_INK)
    try:
        counts = path_counts(topology, n, layers, target)
    except InputError as error:
        axes.text(0.5, 0.5, "not drawn:\n" + _wrapped(str(error)), ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    reached = [s for s in range(n) if counts[s]]
    heights = [_log10(counts[s]) for s in reached]
    axes.plot(reached, heights, ".", markersize=3 if n < 2000 else 1, color=_CONE)
    axes.set_xlim(-0.02 * n, 1.02 * n)
    axes.set_xlabel("from actor")
    axes.set_ylabel("log10 of the paths")
    _plain(axes)


def draw_cost_against_reach(axes: Axes, analyses: Sequence[Analysis]) -> None:
    """Draw every topology as a point: pairs of all layers across, share of actors that reach the target up."""
    for i, a in enumerate(analyses):
        whole = a.target + 1 if a.causal else a.actors
        asked, executed = a.total("edges"), a.total("executed_pairs")
        reach = 100 * len(a.fields[-1]) / whole
        assert asked is not None
        if executed:
            axes.plot([asked, executed], [reach, reach], color=_COLOURS[i % 8], linewidth=1, alpha=0.5, zorder=1)
            axes.plot([executed], [reach], marker="|", markersize=9, color=_COLOURS[i % 8], zorder=2)
        after = f"all after {a.coverage.layers}" if a.coverage.layers is not None else "never all"
        if a.coverage.layers is None and not a.coverage.never:
            after = f"not all in {a.layers}"
        axes.plot([asked], [reach], "o", markersize=8, color=_COLOURS[i % 8], label=f"{_short(a.spec, 44)}: {after}")
    axes.set_xscale("log")
    axes.set_ylim(-5, 105)
    axes.legend(fontsize=8, frameon=False)
    axes.set_title("cost (dot: pairs asked for, bar: executed) against reach", fontsize=9, color=_INK)
    axes.set_xlabel("pairs over all layers")
    axes.set_ylabel("actors that reach the target, %")
    _plain(axes)


def _table(steps: Sequence[dict[int, list[int]]], source: int) -> list[dict[int, int]]:
    """Count, at every height, the paths from the source to each actor."""
    counts = [{source: 1}]
    for reads in steps:
        below = counts[-1]
        sums = {t: sum(below.get(s, 0) for s in sources) for t, sources in reads.items()}
        counts.append({t: count for t, count in sums.items() if count})
    return counts


def _ways(steps: Sequence[dict[int, list[int]]], source: int, target: int) -> list[list[int]]:
    """Pick a few of all paths evenly at random, always the same."""
    table = _table(steps, source)
    if target not in table[-1]:
        return []
    rng = np.random.default_rng(0)
    found: list[list[int]] = []
    for _ in range(20):
        way = [target]
        for height in range(len(steps), 0, -1):
            options = [s for s in steps[height - 1][way[-1]] if s in table[height - 1]]
            total = sum(table[height - 1][s] for s in options)
            pick = int(rng.random() * total)
            for s in options:
                pick -= table[height - 1][s]
                if pick < 0:
                    break
            way.append(s)
        if way[::-1] not in found and len(found) < _DRAWN_PATHS:
            found.append(way[::-1])
    return found


def _log10(count: int) -> float:
    """Return log10 of an integer of any size."""
    shift = max(0, count.bit_length() - 900)
    return math.log10(count >> shift) + shift * math.log10(2)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("pictures need matplotlib: pip install 'the-chorus[plot]'") from error
    return Figure(figsize=(width, height), layout="constrained")


def _plain(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    if axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.ticklabel_format(axis="x", useOffset=False, style="plain")
    axes.spines[["top", "right"]].set_visible(False)


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _wrapped(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, 50))
