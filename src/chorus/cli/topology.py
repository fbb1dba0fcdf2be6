"""`chorus topology`: what a pattern of who reads whom reaches, costs and misses."""

import json
from pathlib import Path
from typing import Annotated

import typer

from chorus.errors import InputError


def _write_claims(file: Path | None) -> None:
    if file:
        from chorus.topology.claims import page

        if not file.absolute().parent.is_dir():
            raise InputError(f"{file}: there is no folder {file.parent} to write to")
        file.write_text(page(), encoding="utf-8")
        typer.echo(f"wrote {file}")
        raise typer.Exit


def topology(
    spec: Annotated[str, typer.Argument(help='The topology, for example "sliding_window(256) | sink_tokens(4)".')],
    actors: Annotated[int, typer.Option("--actors", "-n", help="How many actors (tokens).")] = 4096,
    layers: Annotated[int, typer.Option("--layers", "-l", help="How many layers.")] = 12,
    dim: Annotated[int, typer.Option(help="Features of an actor over all heads.")] = 1024,
    heads: Annotated[int, typer.Option(help="Attention heads.")] = 16,
    tile: Annotated[int, typer.Option(help="Side of a tile in the execution plan.")] = 128,
    compare: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="Another topology beside it.")] = None,
    pair: Annotated[
        tuple[int, int] | None, typer.Option(metavar="A B", help="Look at what joins actor A to actor B.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw to a .png or .svg file.")] = None,
    claims: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=_write_claims,
            is_eager=True,
            help="Write the page of published claims beside exact results, and nothing else.",
        ),
    ] = None,
) -> None:
    """Say what a topology reaches and when, what it costs, and how thin its thinnest place is."""
    from chorus.topology import analyze, parse
    from chorus.topology.characters import picture
    from chorus.topology.report import compare as table

    topologies = [parse(text) for text in [spec, *(compare or [])]]
    ends = pair or ((0, actors - 1) if actors > 1 else None)
    found = [analyze(t, actors, layers, dim, heads, pair=ends, tile=tile) for t in topologies]
    if plot:
        from chorus.topology.plot import overview

        overview(topologies, found, plot)
    if as_json:
        typer.echo(json.dumps([a.to_dict() for a in found] if compare else found[0].to_dict(), indent=2))
    elif compare:
        typer.echo(table(found))
    else:
        typer.echo(f"{found[0]}\n\n{picture(topologies[0], found[0])}")
