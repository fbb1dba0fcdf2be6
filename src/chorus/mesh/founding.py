"""Founding a mesh: keys, the genesis, and a configuration for every node."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from chorus.errors import InputError
from chorus.mesh.config import NODE_NAME, engine_of, public_key
from chorus.mesh.identity import Genesis, Key

_NAMES = (
    "ana",
    "ben",
    "cem",
    "dia",
    "eli",
    "fay",
    "gus",
    "hal",
    "ivy",
    "jon",
    "kim",
    "leo",
    "mia",
    "ned",
    "ola",
    "pia",
)


def names_for(count: int) -> list[str]:
    """Return names for nodes nobody has named.

    >>> names_for(3), names_for(18)[-1]
    (['ana', 'ben', 'cem'], 'ben2')
    """
    return [_NAMES[i % len(_NAMES)] + (str(i // len(_NAMES) + 1) if i >= len(_NAMES) else "") for i in range(count)]


def member_lines(kind: str, pace: float = 0.0) -> str:
    """Return the lines of a `[member]` table of one kind, to start from.

    >>> member_lines("sudoku")
    'kind = "sudoku"'
    """
    if kind == "sudoku":
        return 'kind = "sudoku"' + (f"\npace = {pace}" if pace else "")
    if kind == "thought":
        return 'kind = "thought"'
    if kind == "chat":
        return 'kind = "chat"\nurl = "http://127.0.0.1:8000/v1"\nmodel = "default"\nkey_env = ""'
    raise InputError(f"{kind!r} is no kind of member; expected sudoku, thought or chat")


def places_from(bus: str, names: list[str]) -> dict[str, str] | None:
    """Return where each of one host's nodes listens, or None for the local bus.

    >>> places_from("zenoh:127.0.0.1:7447", ["ana", "ben"])
    {'ana': '127.0.0.1:7447', 'ben': '127.0.0.1:7448'}
    """
    if bus == "local":
        return None
    kind, _, place = bus.partition(":")
    host, _, port = place.rpartition(":")
    if kind != "zenoh" or not host or not port.isdigit() or int(port) + len(names) > 65536:
        raise InputError(f"{bus!r} is no bus; expected local or zenoh:HOST:PORT")
    return {name: f"{host}:{int(port) + i}" for i, name in enumerate(names)}


def founders_from(given: list[str]) -> tuple[dict[str, bytes], dict[str, str]]:
    """Read founders given as `NAME=PUBLIC_KEY[@HOST:PORT]`; return their keys, and where they listen, by name.

    >>> founders_from(["ana=" + "00" * 32 + "@10.0.0.1:7447"])[1]
    {'ana': '10.0.0.1:7447'}
    """
    keys: dict[str, bytes] = {}
    places: dict[str, str] = {}
    for founder in given:
        name, _, rest = founder.partition("=")
        key, _, place = rest.partition("@")
        if name in keys:
            raise InputError(f"two founders are called {name!r}; every node needs a name of its own")
        keys[name] = public_key(key)
        if place:
            places[name] = place
    return keys, places


def found(
    directory: Path,
    founders: dict[str, bytes],
    *,
    own: set[str],
    member: str = 'kind = "sudoku"',
    topology: str = "full()",
    log: str = "sqlite:mesh.log",
    places: dict[str, str] | None = None,
    tls: bool = False,
) -> list[Path]:
    """Write a configuration for each of this host's nodes and return their paths; raises `InputError` for bad input.

    Args:
        directory: where to write; made if absent.
        founders: public keys by name.
        own: the names whose nodes run on this host.
        member: the lines of the `[member]` table.
        topology: who reads whose proposals.
        log: where the log is: `sqlite:FILE` on one host, `etcd:HOST:PORT,...` on many; a node asks etcd's member on its
            own host first, where there is one.
        places: where each node listens, as `host:port`, for a Zenoh bus; without, the bus is the local one.
        tls: whether links are encrypted and checked on both sides; the files are named after the node.

    """
    _make(directory, founders, log)
    if places is not None and places.keys() != founders.keys():
        raise InputError("give every founder its HOST:PORT, or none")
    genesis = Genesis.of(founders.values())
    lines = "\n".join(f'"{name}" = "{key.hex()}"' for name, key in founders.items())
    written = []
    for name in sorted(own):
        path = directory / f"{name}.toml"
        bus = f"zenoh:{places[name]}" if places else "local:bus"
        others = [place for other, place in (places or {}).items() if other != name]
        peers = f"\npeers = {json.dumps(others)}" if others else ""
        secure = f'\n[tls]\nca = "ca.pem"\ncertificate = "{name}.pem"\nkey = "{name}-tls.key"\n' if tls else ""
        text = f"""[node]
name = "{name}"
key = "{name}.key"
journal = "{name}.journal"

[mesh]
# The genesis is pinned here and nowhere else: compare it with your peers' by other means than this mesh.
genesis = "{genesis.hash.hex()}"
nonce = "{genesis.nonce.hex()}"
log = {json.dumps(_own_first(log, places[name]) if places else log)}
bus = {json.dumps(bus)}{peers}
topology = {json.dumps(topology)}

[mesh.founders]
{lines}

[member]
{member}
{secure}"""
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            raise InputError(f"{path}: exists already; found a mesh in a directory of its own") from error
        written.append(path)
    return written


def _own_first(log: str, place: str) -> str:
    """Put etcd's members on a node's own host first."""
    kind, _, endpoints = log.partition(":")
    if kind != "etcd":
        return log
    own = place.rpartition(":")[0]
    return "etcd:" + ",".join(sorted(endpoints.split(","), key=lambda e: e.strip().rpartition(":")[0] != own))


def found_here(
    directory: Path,
    names: list[str],
    *,
    member: str,
    topology: str = "full()",
    log: str = "sqlite:mesh.log",
    places: dict[str, str] | None = None,
    tls: bool = False,
) -> list[Path]:
    """Make keys and configurations for a mesh whose nodes all run on this host."""
    _make(directory, names, log)
    os.chmod(directory, 0o700)
    founders = {}
    for name in names:
        key = Key.generate()
        key.save(directory / f"{name}.key")
        founders[name] = key.public
    return found(directory, founders, own=set(names), member=member, topology=topology, log=log, places=places, tls=tls)


def _make(directory: Path, names: Iterable[str], log: str) -> None:
    """Make the directory, once it is clear that the mesh can be founded."""
    for name in names:
        if not re.fullmatch(NODE_NAME, name):
            raise InputError(f"{name!r} is no name for a node: 1 to 64 letters, digits, '.', '_' and '-', such as ana")
    engine_of(log, "--log", "sqlite", "etcd")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{directory}: cannot found a mesh here ({error.strerror})") from error
