"""`chorus generate`: puzzles with exactly one solution, as CSV."""

from pathlib import Path
from typing import Annotated

import typer


def generate(
    task: Annotated[str, typer.Argument(help="sudoku, sudoku4, sudoku6 or maze.")],
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many.")] = 1,
    givens: Annotated[
        str | None, typer.Option(help="Givens of a Sudoku: a number, or a range such as 17..36 (24..36 for 9×9).")
    ] = None,
    minimal: Annotated[bool, typer.Option("--minimal", help="Sudokus in which every clue is needed.")] = False,
    size: Annotated[int | None, typer.Option(help="Rows and columns of a maze, odd.  [default: 11]")] = None,
    openings: Annotated[
        float | None,
        typer.Option(help="The most, over mazes, that walls are opened with; 0 makes no loops.  [default: 0]"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same puzzles.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.")] = None,
) -> None:
    """Make puzzles with exactly one solution each: CSV with the columns question and answer.

    Sudokus of fewer than 20 givens take a search of a second or more each. Of a range that begins at 17 or 18, most of
    those drawn with so few end at 19 or 20.
    """
    from chorus.errors import InputError
    from chorus.thought.tasks import make_task, parse_range, write_pairs

    made = make_task(task, size=size)
    options: dict[str, object] = {}
    if task == "maze" and (givens is not None or minimal):
        raise InputError("--givens and --minimal are for Sudokus; a maze has --size")
    if task != "maze" and openings is not None:
        raise InputError("--openings is for mazes")
    if openings is not None:
        options["openings"] = openings
    if givens is not None:
        options["givens"] = parse_range(givens)
    if minimal:
        options["minimal"] = True
    write_pairs(made.stream(count, seed, **options), out)
