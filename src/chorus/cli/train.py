"""`chorus train`: from a task, or a person's own pairs, to a model folder."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chorus.cli.options import Device
from chorus.errors import InputError

if TYPE_CHECKING:
    from chorus.thought.runs import TrainingRun


def train(
    out: Annotated[Path, typer.Option(help="Folder of the model; also holds the state to resume from.")],
    task: Annotated[str | None, typer.Option(help="sudoku, sudoku4, sudoku6 or maze.")] = None,
    size: Annotated[int | None, typer.Option(help="Size of a maze.")] = None,
    data: Annotated[Path | None, typer.Option(help="Your own pairs: CSV or JSONL with question and answer.")] = None,
    relations: Annotated[
        Path | None, typer.Option(help="Who reads whom in your own task: one topology a line.")
    ] = None,
    interchangeable: Annotated[
        bool, typer.Option("--interchangeable", help="Your answer characters may be renamed (colours of a map).")
    ] = False,
    config: Annotated[Path | None, typer.Option(help=r"TOML with \[task], \[model], \[training] and \[bank].")] = None,
    updates: Annotated[int | None, typer.Option(help="Optimizer updates in all.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    start: Annotated[str | None, typer.Option(help="Begin with the weights of this model.")] = None,
    exclude: Annotated[
        list[Path] | None, typer.Option(help="Problems never to train on, nor on symmetric copies of them.")
    ] = None,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
) -> None:
    """Train a mind. Ctrl-C saves and stops; --resume goes on, with the settings the run began with.

    Several processes: accelerate launch --module chorus train …
    """
    from chorus.thought.runs import RunSettings, TrainingRun

    if task is not None and data is not None:
        raise InputError("give either --task or --data, not both")
    settings = RunSettings.read(config)
    settings = settings.override(
        "task",
        name=task,
        size=size,
        data=data and str(data),
        relations=relations and str(relations),
        interchangeable=interchangeable or None,
    )
    settings = settings.override("training", updates=updates, seed=seed)
    settings = settings.override("bank", exclude=[str(path) for path in exclude] if exclude else None)
    run = TrainingRun(
        settings,
        out,
        resume=resume,
        start=start,
        device=device,  # type: ignore[arg-type]
        precision=precision,
        accelerator=_accelerator(device),
    )
    total = run.trainer.config.updates
    if run.trainer.update >= total and run.leads:
        typer.echo(f"{out}: all {total} updates are done; --updates with a higher number trains further", err=True)
    with _stopping_gently(run):
        if run.leads:
            typer.echo(
                f"{run.task.name}: {run.problems} problems to train on, {len(run.test)} held out; "
                f"{sum(p.numel() for p in run.trainer.mind.parameters())} parameters on {run.trainer.device}, "
                f"{str(run.trainer.dtype).removeprefix('torch.')}; update {run.trainer.update} of {total}",
                err=True,
            )
            _show(run, total)
        else:
            for _ in run.updates():
                pass
    if not run.leads:
        return
    if run.trainer.update < total:
        typer.echo(f"stopped at update {run.trainer.update} of {total}; saved in {out}; go on with --resume", err=True)
        raise typer.Exit(130)
    if run.test:
        typer.echo(
            f"saved; measuring on the {len(run.test)} held out, which takes longer the less was learned", err=True
        )
    score = run.measure()
    if score is not None:
        low, high = score.interval
        typer.echo(
            f"held out: {score.exact} of {score.problems} exact = {score.accuracy:.1%} (95 % interval "
            f"{low:.1%} to {high:.1%}), {score.cells:.2%} of open cells",
            err=True,
        )
    typer.echo(f"saved in {out}; ask it with: chorus think --model {out} FILE", err=True)


@contextmanager
def _stopping_gently(run: TrainingRun) -> Iterator[None]:
    """Let Ctrl-C end the run after the update at hand; a second one ends the process."""

    def stop(number: int, frame: object) -> None:
        run.stop()
        signal.signal(number, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _accelerator(device: str) -> Any:
    """Return an Accelerator when this process is one of several that `accelerate launch` started."""
    import os

    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return None
    try:
        from accelerate import Accelerator
    except ImportError:
        raise InputError("several processes need accelerate: pip install 'the-chorus[train]'") from None
    return Accelerator(cpu=device == "cpu")


def _show(run: TrainingRun, total: int) -> None:
    """Train with a progress bar on a terminal, or a line now and then elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  exact {task.fields[exact]:.1%}  {task.fields[rate]:.1f} updates/s"),
        TimeRemainingColumn(),
    )
    loss = exact = seconds = math.nan
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=total, completed=run.trainer.update, loss=0.0, exact=0.0, rate=0.0)
        for report in run.updates():
            loss, exact, seconds = (
                old if new != new else new if old != old else 0.95 * old + 0.05 * new
                for old, new in ((loss, report.loss), (exact, report.exact), (seconds, report.seconds))
            )
            rate = 1 / seconds
            solved = 0.0 if exact != exact else exact
            progress.update(bar, completed=run.trainer.update, loss=loss, exact=solved, rate=rate)
            if not console.is_terminal and run.trainer.update % max(1, total // 50) == 0:
                left = (total - run.trainer.update) * seconds
                console.print(
                    f"update {run.trainer.update}/{total}  loss {loss:.3f}  exact {solved:.1%}  "
                    f"{rate:.1f} updates/s  {left / 60:.1f} min left"
                )
