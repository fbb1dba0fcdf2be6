"""Pictures of thoughts at work: a live view in the terminal, and PNG or SVG of a whole run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus.errors import InputError
from chorus.thought.trace import Frame, Trace

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST_CELLS = 400  # a board with more cells is not shown cell by cell


def live_view(trace: Trace) -> RenderableType:
    """Return the latest frame for the terminal: a board per thought, its energies, and what happened last.

    Under each board stand the probabilities that it can still be right and that it is. Given cells are bold, cells a
    thought committed to are yellow and reversed, cells it is unsure of are dim.
    """
    from rich.columns import Columns
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    frame = trace.frames[-1]
    boards = []
    best = min(range(len(frame.energy)), key=frame.energy.__getitem__)
    for k, thought in enumerate(frame.identity):
        right, viable = math.exp(-frame.energy[k]), math.exp(-frame.viable[k])
        style = "green" if right > 0.5 else "red" if viable < 0.5 else "blue"
        title = f"thought {thought}" + (" ◀" if k == best else "")
        subtitle = f"{viable:.2f} · {right:.2f}" + (" rests" if frame.resting[k] else "")
        boards.append(Panel(_board(trace, frame, k), title=title, subtitle=subtitle, border_style=style, expand=False))
    killed = sum(event.kind == "kill" for event in trace.events)
    commits = sum(event.kind == "commit" for event in trace.events)
    head = Text(f"step {frame.step}   killed {killed}   commitments {commits}   ", style="bold")
    head.append("  ".join(_tell(event) for event in trace.events[-4:]), style="dim")
    legend = Text("under each board: p(can still be right) · p(is right)", style="dim")
    return Group(head, Columns(boards), legend)


def _tell(event: Any) -> str:
    if event.kind == "commit":
        return f"{event.thought} tries {event.symbol} at {event.cell}"
    if event.kind == "clone":
        return f"{event.thought} cloned from {event.parent}"
    return f"{event.thought} {'killed' if event.kind == 'kill' else 'starts again'}"


def _board(trace: Trace, frame: Frame, k: int) -> Any:
    from rich.text import Text

    height, width = trace.shape
    text = Text()
    committed = set(frame.committed[k])
    probe = frame.probes[k].ljust(height * width)
    for cell in range(height * width):
        given = cell < len(trace.question) and trace.question[cell] == probe[cell]
        doubt = frame.doubt[k][cell]
        style = "reverse yellow" if cell in committed else "bold" if given else "dim" if doubt > 0.1 else "cyan"
        shown = "·" if doubt > 0.5 and cell not in committed else probe[cell]
        text.append(shown, style=style)
        text.append("\n" if cell % width == width - 1 and cell < height * width - 1 else " ")
    return text


def draw_trace(trace: Trace, path: Path, frames: int = 5) -> None:
    """Draw a run: boards of the thoughts at a few steps, and under them the energy of every lineage over time.

    Args:
        trace: a run with at least one frame.
        path: ends in `.png` or `.svg`.
        frames: how many steps to show.

    Raises:
        InputError: another ending, a trace without frames, a board too large to draw, or matplotlib is missing.
    """
    if path.suffix not in (".png", ".svg"):
        raise InputError(f"{path}: a picture ends in .png or .svg")
    if not trace.frames:
        raise InputError("this trace holds no frames to draw")
    height, width = trace.shape
    if height * width > _MOST_CELLS:
        raise InputError(f"boards of {height * width} cells are too large to draw; the most is {_MOST_CELLS}")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("pictures need matplotlib: pip install 'the-chorus[plot]'") from None

    slots = _shown_slots(trace.frames[-1])
    thoughts = len(slots)
    last = len(trace.frames) - 1
    shown = sorted({round(i * last / max(1, frames - 1)) for i in range(frames)})
    figure = Figure(figsize=(1.9 * thoughts + 1, 2.15 * len(shown) + 3.2), layout="constrained")
    axes = figure.subplots(
        len(shown) + 1, thoughts, squeeze=False, gridspec_kw={"height_ratios": [2.1] * len(shown) + [3]}
    )
    for row, index in enumerate(shown):
        frame = trace.frames[index]
        for column, k in enumerate(slots):
            if k < len(frame.identity):
                _draw_board(axes[row, column], trace, frame, k)
            else:  # a thought that has not joined yet
                axes[row, column].axis("off")
        axes[row, 0].set_ylabel(f"step {frame.step}", fontsize=11)
    for axis in axes[-1]:
        axis.remove()
    _draw_lineage(figure.add_subplot(axes[-1, 0].get_gridspec()[-1, :]), trace)
    figure.suptitle(
        "Given cells are grey, commitments orange, certainty blue;\n"
        "a red frame is a thought judged unable to be right, a green one is judged right.",
        fontsize=10,
    )
    try:
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


def _shown_slots(frame: Frame, most: int = 6) -> list[int]:
    """Return the slots to draw: the first ones, and always that of the best thought."""
    best = min(range(len(frame.energy)), key=frame.energy.__getitem__)
    first = list(range(min(most, len(frame.energy))))
    return first if best in first else [*first[:-1], best]


def _draw_board(axis: Any, trace: Trace, frame: Frame, k: int) -> None:
    from matplotlib.patches import Rectangle

    height, width = trace.shape
    committed = set(frame.committed[k])
    probe = frame.probes[k].ljust(height * width)
    size = min(10.0, 95 / max(height, width))
    for cell in range(height * width):
        y, x = divmod(cell, width)
        given = cell < len(trace.question) and trace.question[cell] == probe[cell] and cell not in committed
        sure = 1 - frame.doubt[k][cell]
        color = "#ff9f43" if cell in committed else "#d9d9d9" if given else (1 - 0.45 * sure, 1 - 0.25 * sure, 1.0)
        axis.add_patch(Rectangle((x, y), 1, 1, facecolor=color, edgecolor="white", linewidth=0.4))
        if given or cell in committed or sure > 0.3:
            axis.text(x + 0.5, y + 0.54, probe[cell], ha="center", va="center", fontsize=size, alpha=max(0.3, sure))
    if trace.task == "sudoku":
        for line in (3, 6):
            axis.axhline(line, color="#555555", linewidth=0.8)
            axis.axvline(line, color="#555555", linewidth=0.8)
    axis.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[], aspect="equal")
    right, doomed = math.exp(-frame.energy[k]) > 0.5, math.exp(-frame.viable[k]) < 0.5
    for side in axis.spines.values():
        side.set(color="#2e7d32" if right else "#c62828" if doomed else "#888888", linewidth=2)
    axis.set_title(f"{frame.identity[k]}: viable {math.exp(-frame.viable[k]):.2f}", fontsize=8)


def _draw_lineage(axis: Any, trace: Trace) -> None:
    """Draw the probability of being viable of every thought over the steps, each clone joined to its parent."""
    lives: dict[int, list[tuple[int, float]]] = {}
    for frame in trace.frames:
        for thought, viable in zip(frame.identity, frame.viable, strict=True):
            lives.setdefault(thought, []).append((frame.step, math.exp(-viable)))
    born = {event.thought: event for event in trace.events if event.kind == "clone"}
    for thought, points in lives.items():
        if thought in born:
            parent = [p for p in lives.get(born[thought].parent or 0, []) if p[0] <= born[thought].step]
            points = parent[-1:] + points
        axis.plot(*zip(*points, strict=True), linewidth=1.2, alpha=0.8)
    killed = {event.thought for event in trace.events if event.kind == "kill"}
    ends = [lives[thought][-1] for thought in killed if thought in lives]
    if ends:
        axis.scatter(*zip(*ends, strict=True), marker="x", color="#c62828", s=28, zorder=3, label="killed")
        axis.legend(loc="lower left", fontsize=8)
    axis.set(xlabel="step", ylabel="p(can still be right)", ylim=(-0.03, 1.03))
    axis.grid(alpha=0.25)
