"""`chorus audit`: seven conditions, the weakest links, and an exit code a build can use."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from chorus.errors import ChorusError, InputError

if TYPE_CHECKING:
    from chorus.audit import Subject
    from chorus.audit.measure import Progress

ACTORS = 64
SUBJECT_HELP = "A graph file, or transformer, moe, thought, cortex, internet, market, mesh, topology."


class _SubjectFirst(TyperGroup):
    """`chorus audit FILE` means `chorus audit run FILE`: a word that is no command is a subject."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        rest: list[str] = super().parse_args(ctx, args)
        return rest


app = typer.Typer(
    cls=_SubjectFirst,
    name="audit",
    help="Find where a system would break, with proof: `chorus audit FILE`, `chorus audit SUBJECT`.\n\n"
    "The options of an audit: `chorus audit run -h`.\n\n"
    "Exit codes: 0 passed, 1 findings at or above --fail-on, 2 usage or input, 3 incomplete under --strict.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SubjectArgument = Annotated[str, typer.Argument(metavar="SUBJECT|FILE", help=SUBJECT_HELP, show_default=False)]
DetailArgument = Annotated[
    str | None, typer.Argument(metavar="[DETAIL]", help="The subject's file, folder or topology.", show_default=False)
]
Source = Annotated[list[str] | None, typer.Option("--source", help="An element where decisions start; repeatable.")]
Sink = Annotated[list[str] | None, typer.Option("--sink", help="An element where decisions end; repeatable.")]
Directed = Annotated[
    bool | None, typer.Option("--directed/--undirected", help="How to read the file; CSV and edge lists do not say.")
]
Inputs = Annotated[str | None, typer.Option(help="Text for a language model's tokenizer, a sequence a line.")]
Actors = Annotated[
    int | None, typer.Option("--actors", "-n", help=f"Actors of a topology; {ACTORS} unless given.", min=2)
]
Layer = Annotated[int | None, typer.Option(help="Layer of a topology; 0 unless given.", min=0)]
Live = Annotated[bool, typer.Option("--live", help="Ask the mesh's running node how the mesh is now.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.", min=0)]


def _subject(
    subject: str, detail: str | None, source: list[str] | None, sink: list[str] | None, directed: bool | None,
    inputs: str | None, actors: int | None, layer: int | None, seed: int, live: bool = False,
) -> tuple[Subject, str]:  # fmt: skip
    """Return the subject, and the words that name it on a command line."""
    from chorus.audit import KINDS, build, read_graph

    words = [subject]
    built_in = subject in {kind.name for kind in KINDS}
    for option, given, takes, all_right in (
        ("--inputs", inputs is not None, "transformer and moe", subject in ("transformer", "moe")),
        ("--live", live, "mesh", subject == "mesh"),
        ("--actors", actors is not None, "topology", subject == "topology"),
        ("--layer", layer is not None, "topology", subject == "topology"),
        ("--directed/--undirected", directed is not None, "graph files", not built_in),
    ):
        if given and not all_right:
            raise InputError(f"{option} is for {takes}; {subject} takes none")
    if built_in:
        actors, layer = actors or ACTORS, layer or 0
        try:
            found = build(subject, detail, seed=seed, actors=actors, layer=layer, inputs=inputs, live=live)
        except InputError:
            raise
        except ChorusError as error:  # exit code 1 would say that there are findings
            raise InputError(str(error)) from error
        words += [detail] if detail is not None else []
        words += ["--live"] if live else []
        words += [f"--inputs={inputs}"] if inputs is not None else []
        if subject == "topology":
            words += [f"--actors={actors}", f"--layer={layer}"]
    elif detail is not None:
        raise InputError(f"{subject!r} takes no further argument, got {detail!r}; built-in subjects are "
                         f"{', '.join(kind.name for kind in KINDS)}")  # fmt: skip
    elif not Path(subject).suffix and not Path(subject).exists():
        names = ", ".join(kind.name for kind in KINDS)
        raise InputError(f"{subject!r} is neither a file nor a built-in subject ({names})")
    else:
        found = read_graph(subject, directed=directed)
        words += [] if directed is None else ["--directed" if directed else "--undirected"]
    found = found.with_ends(source or [], sink or [])
    words += [f"--source={name}" for name in source or []] + [f"--sink={name}" for name in sink or []]
    return found, shlex.join([*words, *([f"--seed={seed}"] if seed else [])])


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show progress on a terminal's standard error; elsewhere show nothing, so that logs stay clean."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("reading", total=None)
        yield lambda what, done, of: bars.update(task, description=what[:40], completed=done, total=of)


def _check_place(path: Path) -> None:
    """Say before the work, not after it, that a file cannot be written there."""
    if path.is_dir():
        raise InputError(f"{path}: Is a directory")
    if not path.parent.is_dir():
        raise InputError(f"{path}: No such file or directory; make {path.parent} first")


@app.command("run")
def run(
    subject: SubjectArgument,
    detail: DetailArgument = None,
    source: Source = None,
    sink: Sink = None,
    form: Annotated[str, typer.Option("--format", help="table, json, sarif, markdown or html.")] = "table",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the report here.")] = None,
    level: Annotated[str, typer.Option("--level", help="Least severity to show: note, warning or error.")] = "note",
    fail_on: Annotated[str, typer.Option("--fail-on", help="note, warning, error or never.")] = "error",
    rule: Annotated[str | None, typer.Option("--rule", help="Only findings of this rule.")] = None,
    baseline: Annotated[Path | None, typer.Option(help="An earlier JSON report; only new findings count.")] = None,
    suppress: Annotated[Path | None, typer.Option(help="A TOML file of accepted findings, each with a reason.")] = None,
    strict: Annotated[bool, typer.Option(help="Exit with 3 when a condition is n/a.")] = False,
    nulls: Annotated[int, typer.Option(help="Compare with this many random graphs of the same degrees.", min=0)] = 0,
    top: Annotated[int, typer.Option(help="The most findings listed for one rule.", min=1)] = 10,
    directed: Directed = None,
    inputs: Inputs = None,
    actors: Actors = None,
    layer: Layer = None,
    live: Live = False,
    seed: Seed = 0,
) -> None:
    """Audit a subject or a graph file; the default command: `chorus audit FILE`."""
    from chorus.audit import audit, find_rule, read_baseline, read_suppressions, write
    from chorus.audit.reports import FORMATS
    from chorus.audit.rules import LEVELS

    for option, value, allowed in (
        ("--format", form, FORMATS), ("--level", level, LEVELS), ("--fail-on", fail_on, (*LEVELS, "never")),
    ):  # fmt: skip
        if value not in allowed:
            raise InputError(f"{option} {value!r}: there are {', '.join(allowed)}")
    if nulls == 1:
        raise InputError("--nulls 1: a z-score needs at least 2 random graphs")
    if output is not None:
        _check_place(output)
    known = read_baseline(baseline) if baseline else None
    accepted = read_suppressions(suppress) if suppress else []
    only = find_rule(rule).id if rule else None
    with _progress() as progress:
        found, invocation = _subject(subject, detail, source, sink, directed, inputs, actors, layer, seed, live)
        report = audit(found, seed=seed, null_samples=nulls, top=top, invocation=invocation, progress=progress)
    if only:
        report = report.only(only)
    if known is not None:
        report = report.with_baseline(known)
    report = report.with_suppressions(accepted)
    code = report.exit_code(None if fail_on == "never" else fail_on, strict=strict)
    text = write(report, form, level, exit_code=code, baseline=known is not None)
    if output is None:
        sys.stdout.write(text)
    else:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"{output}: {error.strerror or error}") from None
    raise typer.Exit(code)


def _pairs(starts: list[str] | None, ends: list[str] | None, first: str, second: str) -> tuple[tuple[str, str], ...]:
    starts, ends = starts or [], ends or []
    if len(starts) != len(ends):
        raise InputError(f"{first} is given {len(starts)} times and {second} {len(ends)} times; they go in pairs")
    return tuple(zip(starts, ends, strict=True))


@app.command("witness")
def witness(
    subject: SubjectArgument,
    detail: DetailArgument = None,
    remove: Annotated[list[str] | None, typer.Option(help="An element or resource to remove; repeatable.")] = None,
    link_from: Annotated[list[str] | None, typer.Option(help="One end of a link to remove; repeatable.")] = None,
    link_to: Annotated[list[str] | None, typer.Option(help="Its other end, as often as --link-from.")] = None,
    pair_from: Annotated[
        list[str] | None, typer.Option("--from", help="The start of a pair the claim is about; repeatable.")
    ] = None,
    pair_to: Annotated[list[str] | None, typer.Option("--to", help="Its end, as often as --from.")] = None,
    expect: Annotated[str, typer.Option(help="The claim: cut, longer, apart, fall or shrink.")] = "cut",
    source: Source = None,
    sink: Sink = None,
    directed: Directed = None,
    inputs: Inputs = None,
    actors: Actors = None,
    layer: Layer = None,
    live: Live = False,
    seed: Seed = 0,
) -> None:
    """Check a finding's witness by plain search, apart from the audit: exit 0 if it holds, 1 if not."""
    from chorus.audit import Witness, recheck

    found, _ = _subject(subject, detail, source, sink, directed, inputs, actors, layer, seed, live)
    links = _pairs(link_from, link_to, "--link-from", "--link-to")
    pairs = _pairs(pair_from, pair_to, "--from", "--to")
    check = recheck(found, Witness(expect, tuple(remove or ()), links, pairs))
    for line in check.lines:
        typer.echo(line)
    typer.echo("the witness holds" if check.holds else "the witness does not hold")
    raise typer.Exit(0 if check.holds else 1)


@app.command("rules")
def rules() -> None:
    """List the rules with their thresholds."""
    from chorus.audit import RULES

    for each in RULES:
        typer.echo(f"{each.id}  {each.name:15}  {each.title} ({each.limits})")


@app.command("explain")
def explain(rule: Annotated[str, typer.Argument(help="A rule's id or name, e.g. AUD001 or single-point.")]) -> None:
    """Say what a rule measures, when it speaks, and what it means."""
    from chorus.audit import find_rule

    found = find_rule(rule)
    typer.echo(f"{found.id} {found.name}: {found.title}\n\n{found.explanation}\n")
    typer.echo(f"value: {found.value}\nlevels: {found.limits}")


@app.command("calibrate")
def calibrate(
    elements: Annotated[int, typer.Option("--elements", "-n", help="Elements of each graph.", min=8, max=2000)] = 64,
    seed: Seed = 0,
) -> None:
    """Score graphs whose answer is known: star, ring, clique, random, scale-free, disconnected."""
    from chorus.audit import calibration_table

    typer.echo(calibration_table(elements, seed=seed), nl=False)


@app.command("compare")
def compare(
    subjects: Annotated[list[str], typer.Argument(metavar="SUBJECT|FILE...", help=SUBJECT_HELP + " Two or more.")],
    form: Annotated[str, typer.Option("--format", help="table, markdown or json.")] = "table",
    plot: Annotated[Path | None, typer.Option(help="Draw radar and parallel lines to this .png or .svg.")] = None,
    directed: Directed = None,
    seed: Seed = 0,
) -> None:
    """Put the seven conditions of several subjects side by side; a topology is `topology:SPEC`."""
    from chorus.audit import KINDS, audit, draw
    from chorus.audit import compare as side_by_side
    from chorus.audit.compare import FORMATS

    if len(subjects) < 2:
        raise InputError("compare needs at least two subjects")
    if form not in FORMATS:
        raise InputError(f"--format {form!r}: there are {', '.join(FORMATS)}")
    if plot is not None and plot.suffix not in (".png", ".svg"):
        raise InputError(f"--plot {plot}: pictures are .png or .svg")
    if plot is not None:
        _check_place(plot)
    reports = []
    with _progress() as progress:
        for text in subjects:
            name, colon, detail = text.partition(":")
            if not colon or Path(text).exists():
                name, detail = text, ""
            way = None if name in {kind.name for kind in KINDS} else directed
            found, _ = _subject(name, detail or None, [], [], way, None, None, None, seed)
            reports.append(audit(found, seed=seed, top=1, progress=progress))
    typer.echo(side_by_side(reports, form), nl=False)
    if plot is not None:
        draw(reports, plot)
