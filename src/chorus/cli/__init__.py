"""The command line: one thin command per verb; every room is imported inside the command that needs it."""

import os
import sys
from typing import Annotated

import typer

from chorus.cli import dynamics, mesh
from chorus.cli.audit import app as audit_app
from chorus.cli.circuits import circuits
from chorus.cli.evaluate import evaluate
from chorus.cli.generate import generate
from chorus.cli.info import info
from chorus.cli.think import think
from chorus.cli.topology import topology
from chorus.cli.train import train
from chorus.errors import ChorusError, InputError

app = typer.Typer(
    name="chorus",
    help="Computation that thinks in parallel over a declared topology.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from chorus import __version__

        typer.echo(f"chorus {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.add_typer(audit_app)
app.command()(think)
app.command()(train)
app.command(name="eval")(evaluate)
app.command()(generate)
app.command()(info)
app.add_typer(dynamics.app, name="dynamics")
app.command()(topology)
app.command()(circuits)
app.add_typer(mesh.app, name="mesh")


def main() -> None:
    """Run the command line and exit with 0 (fine), 1 (failed or findings) or 2 (usage or input)."""
    # torch's idle threads sleep instead of spinning: on a machine that is busy with other work, threads that spin take
    # the cores from those they wait for. It counts only before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller (`>&-`), who wants nothing of it
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (open as long as the process)
    try:
        app()
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except ChorusError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        full = ("not enough memory", "allocate memory", "out of memory")  # torch's words: it raises no MemoryError
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in full):
            raise
        typer.echo(f"error: this needs more memory than there is: {str(error).splitlines()[0]}", err=True)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has gone, as in `chorus think FILE | head`
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:  # standard output cannot be written, as on a full disk
        typer.echo(f"error: {error.strerror or error}", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else what is left in the buffer fails once more at exit
        sys.exit(1)
