"""`chorus mesh artifact`: keep a file under a name that the whole mesh agrees on, and get it anywhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from chorus.errors import ChorusError, InputError

app = typer.Typer(help="Keep files under names that the whole mesh agrees on.", no_args_is_help=True)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="A node's configuration file.")]


@app.command()
def put(
    file: Annotated[Path, typer.Argument(help="What to keep.")],
    config: ConfigOption,
    name: Annotated[str, typer.Option(help="What to call it; the file's own name by default.")] = "",
) -> None:
    """Store a file with a running node and commit its name."""
    from chorus.mesh.artifacts import Artifacts, check_name
    from chorus.mesh.config import load
    from chorus.mesh.control import request
    from chorus.mesh.fetching import MAX_ARTIFACT

    settings = load(config)
    check_name(name or file.name)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    if not 0 < len(data) <= MAX_ARTIFACT:
        raise InputError(f"{file}: {len(data)} bytes; an artifact has 1 to {MAX_ARTIFACT}")
    digest = Artifacts(settings.artifacts_path).put(data).hex()
    named = list(request(settings.control_path, 60.0, op="name", name=name or file.name, digest=digest, size=len(data)))
    if not named:
        raise ChorusError("the node stopped before the name was committed; it is on its disk and not lost")
    typer.echo(f"{digest}  {name or file.name}")
    typer.echo(f"committed at entry {named[0]['place']}", err=True)


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    config: ConfigOption,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write it; else to stdout.")] = None,
) -> None:
    """Get an artifact by its name, from whichever node has it."""
    from chorus.mesh.artifacts import Artifacts
    from chorus.mesh.config import load
    from chorus.mesh.control import request

    settings = load(config)
    found = list(request(settings.control_path, 600.0, op="artifact", name=name))
    if not found:
        raise ChorusError("the node stopped before the artifact was here")
    data = Artifacts(settings.artifacts_path).get(bytes.fromhex(found[0]["digest"]))
    if output is None:
        sys.stdout.buffer.write(data)
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror})") from error


@app.command("list")
def list_(config: ConfigOption) -> None:
    """Print the names a running node has read: digest, size in bytes, name."""
    from chorus.mesh.config import load
    from chorus.mesh.control import request

    names = next(iter(request(load(config).control_path, op="status")))["names"]
    for name, bound in sorted(names.items()):
        typer.echo(f"{bound['digest']}  {bound['size']:>10}  {name}")
