"""`chorus mesh members`: who belongs to the mesh, and how that changes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chorus.errors import ChorusError, InputError


def members(
    config: Annotated[Path, typer.Option("--config", "-c", help="A node's configuration file.")],
    add: Annotated[list[str] | None, typer.Option(help="A public key that is to belong to it.")] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="A member that is to leave: its name in the list, or its public key.")
    ] = None,
    approve: Annotated[str, typer.Option(help="A proposed membership to approve, as this command lists it.")] = "",
) -> None:
    """Show who belongs to the mesh; propose other members, or approve what was proposed."""
    from chorus.mesh.config import load, public_key
    from chorus.mesh.control import request

    settings = load(config)
    told = next(iter(request(settings.control_path, op="status")))
    now = {member["key"] for member in told["members"]}
    if approve:
        known = [motion["id"] for motion in told["motions"] if motion["id"].startswith(approve)]
        if len(known) != 1:
            found = "more than one proposal" if known else "no proposal"
            raise InputError(f"--approve {approve}: {found} of this epoch begins with it; the command alone lists them")
        done = list(request(settings.control_path, 60.0, op="approve", motion=known[0]))
    elif add or remove:
        keys = {member["name"]: member["key"] for member in told["members"]}
        leaving = {keys.get(who, who) for who in remove or ()}
        if leaving - now:
            raise InputError("--remove: neither a member's name nor its key: " + ", ".join(sorted(leaving - now)))
        proposed = (now | {public_key(key).hex() for key in add or ()}) - leaving
        if not proposed:
            raise InputError("--remove: nobody would be left")
        done = list(request(settings.control_path, 60.0, op="propose", members=sorted(proposed)))
    else:
        typer.echo(f"epoch {told['epoch']}, majority {told['quorum']}")
        for member in told["members"]:
            typer.echo(f"{member['key']}  {member['name']}")
        for motion in told["motions"]:
            typer.echo(f"proposed {motion['id'][:16]}, {motion['approvals']} approve: {', '.join(motion['members'])}")
        return
    if not done:
        raise ChorusError("the node stopped before this was committed; it is on its disk and not lost")
    entry = done[0]
    if entry["note"]:
        raise ChorusError(f"no effect: {entry['note']} (entry {entry['place']}, epoch {entry['epoch']})")
    if not approve:
        typer.echo(entry["id"][:16])
    typer.echo(f"committed at entry {entry['place']}; epoch {entry['epoch']} now", err=True)
