"""`chorus mesh`: found a mesh, run its nodes, ask it, and check what it says it said."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from chorus.cli import artifact
from chorus.cli.members import members
from chorus.errors import ChorusError, InputError

app = typer.Typer(help="Run many minds as one mesh, and prove what it said.", no_args_is_help=True)
log_app = typer.Typer(help="Look into the committed log, check it, prove an entry.", no_args_is_help=True)
app.add_typer(log_app, name="log")
app.add_typer(artifact.app, name="artifact")
app.command()(members)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="A node's configuration file.")]


@app.command()
def keygen(path: Annotated[Path, typer.Argument(help="Where to write the private key (mode 600).")]) -> None:
    """Make a node's key and print its public half."""
    from chorus.mesh.identity import Key

    key = Key.generate()
    key.save(path)
    typer.echo(key.public.hex())


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Where to write keys and configurations.")],
    nodes: Annotated[int, typer.Option(help="How many nodes, all on this host.", min=1, max=64)] = 3,
    member: Annotated[str, typer.Option(help="What thinks in every node: sudoku, thought or chat.")] = "sudoku",
    topology: Annotated[str, typer.Option(help="Who reads whose proposals.")] = "full()",
    founder: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=PUBLIC_KEY[@HOST:PORT] of a founder whose key is not here; writes configurations only."
        ),
    ] = None,
    log: Annotated[str, typer.Option(help="The log: sqlite:FILE, or etcd:HOST:PORT,... for many hosts.")] = (
        "sqlite:mesh.log"
    ),
    bus: Annotated[
        str, typer.Option(help="local, or zenoh:HOST:PORT: where the first node listens, each next one port higher.")
    ] = "local",
    tls: Annotated[
        bool, typer.Option("--tls", help="Mutual TLS: NAME.pem, NAME-tls.key and ca.pem beside it.")
    ] = False,
) -> None:
    """Found a mesh: its genesis, and a configuration for each node."""
    from chorus.mesh.config import check_reach, readers_of
    from chorus.mesh.founding import found, found_here, founders_from, member_lines, names_for, places_from

    lines = member_lines(member)
    readers = readers_of(topology, "--topology")
    if founder:
        founders, places = founders_from(founder)
        check_reach(readers, tuple(sorted(founders.values())), "--topology")
        written = found(
            directory,
            founders,
            own=set(founders),
            member=lines,
            topology=topology,
            log=log,
            places=places or None,
            tls=tls,
        )
    else:
        check_reach(readers, tuple(bytes([i]) for i in range(nodes)), "--topology")
        names = names_for(nodes)
        listen = places_from(bus, names)
        written = found_here(directory, names, member=lines, topology=topology, log=log, places=listen, tls=tls)
    for path in written:
        typer.echo(path)


@app.command()
def join(
    name: Annotated[str, typer.Argument(help="The newcomer's name.")],
    like: Annotated[Path, typer.Option(help="The configuration of a node that belongs to the mesh.")],
    at: Annotated[str | None, typer.Option(help="HOST:PORT where the newcomer listens, with a Zenoh bus.")] = None,
) -> None:
    """Write a newcomer's configuration and key beside another node's; a majority has to vote it in."""
    from chorus.mesh.config import load
    from chorus.mesh.joining import join

    path, key = join(load(like), name, at)
    typer.echo(path)
    typer.echo(f"members vote it in with: chorus mesh members --config THEIRS.toml --add {key.hex()}", err=True)


@app.command()
def node(config: ConfigOption) -> None:
    """Run a node until it is stopped (Ctrl-C, SIGTERM)."""
    from chorus.mesh.assemble import run

    run(config)


@app.command()
def serve(config: ConfigOption) -> None:
    """Run a node, and answer OpenAI's clients before it, as the table server of its configuration says."""
    from chorus.mesh.assemble import run_behind_a_door

    run_behind_a_door(config)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    config: ConfigOption,
    budget: Annotated[int, typer.Option(help="Tokens each member may spend.", min=1)] = 100_000,
    patience: Annotated[float, typer.Option(help="Seconds each member waits.", min=0.01, max=86400.0)] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print every event as a line of JSON.")] = False,
) -> None:
    """Ask the mesh through a running node: tentative tokens on stderr, the committed answer on stdout."""
    from chorus.mesh.config import load
    from chorus.mesh.control import request
    from chorus.mesh.telling import Telling, printable

    settings = load(config)
    telling = Telling()
    closed: dict[str, Any] = {}
    wait = patience + 60.0
    # Ctrl-C ends the connection, and the node withdraws the question.
    for event in request(settings.control_path, wait, op="ask", question=question, budget=budget, patience=patience):
        if as_json:
            typer.echo(json.dumps(event))
        elif event["event"] == "said":
            for line in telling.take(event["who"], event["text"], time.monotonic()):
                typer.echo(line, err=True)
        elif event["event"] == "waiting" and event["heard"] < event["quorum"]:
            typer.echo(
                f"waiting: {event['heard']} of {event['members']} members can be heard, "
                f"{event['quorum']} are a majority; Ctrl-C withdraws the question",
                err=True,
            )
        elif event["event"] == "alarm":
            typer.echo(event["text"], err=True)
        elif "reason" in event:
            typer.echo(f"{event['who']} passes: {printable(event['reason'])}", err=True)
        if event["event"] == "closed":
            closed = event
    for line in telling.rest():
        typer.echo(line, err=True)
    if not closed:
        raise ChorusError("the node stopped before the round was over; the question is on its disk and not lost")
    if closed["outcome"] != "accepted":
        raise ChorusError(f"no answer: the round is {closed['outcome']} (entry {closed['place']})")
    if not as_json:
        answer = closed["answer"]
        typer.echo(printable(answer, keep="\n\t") if sys.stdout.isatty() else answer)
        typer.echo(
            f"committed at entry {closed['place']}: by {closed['author']}, {closed['approvals']} approvals, "
            f"score {closed['score']:.2f}",
            err=True,
        )


@app.command()
def solve(
    file: Annotated[Path, typer.Argument(help="Questions: JSON lines, CSV, or one a line.")],
    config: ConfigOption,
    limit: Annotated[int, typer.Option(help="How many to ask; 0 for all.", min=0)] = 0,
    parallel: Annotated[int, typer.Option(help="Rounds open at a time.", min=1, max=64)] = 4,
    patience: Annotated[float, typer.Option(help="Seconds each member waits.", min=0.01, max=86400.0)] = 30.0,
) -> None:
    """Ask the mesh every question of a file; print one line of JSON for each."""
    from chorus.mesh.config import load
    from chorus.mesh.questions import read_questions
    from chorus.mesh.solving import solve_all

    settings = load(config)
    questions = read_questions(file)[: limit or None]
    accepted = right = known = 0
    for question, closed in solve_all(settings, questions, parallel, patience):
        accepted += closed["outcome"] == "accepted"
        known += question.answer is not None
        right += question.answer is not None and closed.get("answer") == question.answer
        typer.echo(json.dumps(closed))
    rights = f", {right} of {known} as the file says" if known else ""
    typer.echo(f"{accepted} of {len(questions)} answered{rights}", err=True)
    if accepted < len(questions):
        raise ChorusError(f"{len(questions) - accepted} questions got no accepted answer")


@app.command()
def status(config: ConfigOption, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Show how a running node is."""
    from chorus.mesh.config import load
    from chorus.mesh.control import request

    told = next(iter(request(load(config).control_path, op="status")))
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    head = told["committed"]
    typer.echo(f"{told['name']}, epoch {told['epoch']}, mesh {told['genesis'][:16]}")
    typer.echo(f"committed  {head['size']} entries, root {head['root'][:16]}")
    typer.echo(f"tentative  {told['tentative']} entries wait for the log")
    typer.echo(f"log        {told['log']}")
    typer.echo(f"disk       {told['disk']}")
    typer.echo(f"rounds     {', '.join(f'{count} {word}' for word, count in told['rounds'].items())}")
    for what in ("dropped", "void"):
        counts = ", ".join(f"{count} {word}" for word, count in told[what].items())
        typer.echo(f"{what:<10} {counts or 'none'}")
    typer.echo(f"members    {len(told['members'])}, majority {told['quorum']}, in step {told['order']:.2f}")
    for member in told["members"]:
        heard = "never heard" if member["heard"] is None else f"heard {member['heard']:.1f} s ago"
        typer.echo(f"  {member['name']:<12} {heard:<18} committed {member['committed'] or 0}")


@log_app.command("show")
def log_show(
    config: ConfigOption,
    last: Annotated[int, typer.Option(help="How many entries from the end; 0 for all.", min=0)] = 20,
) -> None:
    """Print the transcript, one line an entry."""
    from chorus.mesh.config import load
    from chorus.mesh.transcript import lines

    for line in lines(load(config), last):
        typer.echo(line)


@log_app.command("verify")
def log_verify(
    config: ConfigOption,
    proof: Annotated[Path | None, typer.Option(help="Check this proof instead of the log.")] = None,
    head: Annotated[Path | None, typer.Option(help="A signed head that the log must contain.")] = None,
    every_signature: Annotated[bool, typer.Option("--every-signature", help="Check each signature anew.")] = False,
) -> None:
    """Check the log against the pinned genesis, this node's journal, and signed heads."""
    from chorus.mesh.config import load
    from chorus.mesh.heads import check_proof
    from chorus.mesh.transcript import audit_log, read_json

    settings = load(config)
    if proof is not None:
        try:
            typer.echo(check_proof(read_json(proof), settings.genesis))
        except InputError as error:
            raise ChorusError(f"{proof}: {error}") from error
        return
    report = audit_log(settings, head, every_signature)
    for finding in report.findings:
        typer.echo(finding)
    rate = report.size / max(report.seconds, 1e-9)
    typer.echo(
        f"{report.size} entries, root {report.root.hex()[:16]}, {report.signatures} signatures checked one by one, "
        f"{rate:,.0f} entries/s",
        err=True,
    )
    if not report.ok:
        raise ChorusError("the log is not what was committed")


@log_app.command("prove")
def log_prove(config: ConfigOption, entry: Annotated[int, typer.Option(help="Its place in the transcript.")]) -> None:
    """Print a proof, as JSON, that an entry is in the log; `log verify --proof` checks it."""
    from chorus.mesh.config import load
    from chorus.mesh.transcript import proof_of

    typer.echo(json.dumps(proof_of(load(config), entry), indent=2))


@log_app.command("head")
def log_head(config: ConfigOption) -> None:
    """Print this node's signed head of the log, for somebody else to keep."""
    from chorus.mesh.config import load
    from chorus.mesh.transcript import head_of

    typer.echo(json.dumps(head_of(load(config)), indent=2))


@app.command()
def demo(
    nodes: Annotated[int, typer.Option(help="How many processes.", min=1, max=17)] = 5,
    kill: Annotated[
        int | None, typer.Option(help="How many are killed and come back; 1, or 0 with --cut.", min=0)
    ] = None,
    cut: Annotated[
        int, typer.Option(help="How many are cut off for a while, on hosts in network namespaces (as root).", min=0)
    ] = 0,
    seconds: Annotated[float, typer.Option(help="How long questions are asked.", min=3.0)] = 20.0,
    member: Annotated[str, typer.Option(help="What thinks: sudoku (exact search) or thought (the model).")] = "sudoku",
    puzzles: Annotated[Path | None, typer.Option(help="A file of questions instead of generated Sudokus.")] = None,
) -> None:
    """Watch separate processes solve puzzles together while some of them are killed, or cut off, and come back."""
    from rich.console import Console

    from chorus.mesh.demo import Demonstration, questions_for
    from chorus.mesh.founding import member_lines

    killed = (0 if cut else 1) if kill is None else kill
    if (killed + cut) * 2 >= nodes and killed + cut:
        given = " and ".join(f"--{name} {number}" for name, number in (("kill", killed), ("cut", cut)) if number)
        raise InputError(f"{given} of {nodes} nodes leaves no majority: nothing would be committed meanwhile")
    if member == "chat":
        raise InputError(
            "--member chat: the demonstration has no endpoint; found a mesh with `chorus mesh init DIRECTORY`"
        )
    lines = member_lines(member, pace=0.03 if cut else 0.01)
    demonstration = Demonstration(nodes, killed, cut, seconds, questions_for(puzzles), lines)
    if not demonstration.run(Console()):
        raise ChorusError("the demonstration did not keep what the mesh promises")
    if not demonstration.outcomes["accepted"]:
        raise ChorusError("no question was answered; `chorus mesh log show` says why, with a configuration from there")
