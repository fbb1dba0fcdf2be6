"""A newcomer's configuration, made from that of a node that belongs to the mesh."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from chorus.errors import InputError
from chorus.mesh.config import NODE_NAME, Config, line_of
from chorus.mesh.identity import Key


def join(config: Config, name: str, place: str | None) -> tuple[Path, bytes]:
    """Write a newcomer's configuration beside another node's, and its key unless that is there already.

    Everything is as in the other's file, but for the newcomer's own files and places. Raises `InputError`, with nothing
    written, for a name that is taken or none, or a place where the bus needs none, or the other way round.

    Args:
        config: the other node's configuration.
        name: the newcomer's name.
        place: where it listens, as `HOST:PORT`, when the bus is Zenoh.

    Returns: the path of the configuration, and the newcomer's public key, which has to be voted in.

    """
    if not re.fullmatch(NODE_NAME, name):
        raise InputError(f"{name!r} is no name for a node: 1 to 64 letters, digits, '.', '_' and '-', such as dia")
    if name in config.mesh.founders or name == config.node.name:
        raise InputError(f"{name!r} is the name of a member; a newcomer needs one of its own")
    kind, spot = config.engine("bus", "local", "zenoh")
    if kind == "zenoh" and not re.fullmatch(r".+:\d+", place or ""):
        raise InputError("say where the newcomer listens: --at HOST:PORT")
    if kind != "zenoh" and place is not None:
        raise InputError("--at is for a Zenoh bus; this mesh's bus is a directory of its host")
    values: dict[tuple[str, str], object] = {
        ("node", "name"): name,
        ("node", "key"): f"{name}.key",
        ("node", "journal"): f"{name}.journal",
    }
    if place is not None:
        values["mesh", "bus"] = f"zenoh:{place}"
        if config.mesh.peers:
            values["mesh", "peers"] = [peer for peer in (spot, *config.mesh.peers) if peer != place]
    if config.tls is not None:
        values |= {("tls", "certificate"): f"{name}.pem", ("tls", "key"): f"{name}-tls.key"}
        if (config.server.certificate, config.server.private_key) == (config.tls.certificate, config.tls.key):
            values |= {("server", "certificate"): f"{name}.pem", ("server", "private_key"): f"{name}-tls.key"}
    text = _with(config, values)
    path, key_path = (config.path.with_name(f"{name}.{kind}") for kind in ("toml", "key"))
    if path.exists():
        raise InputError(f"{path}: exists already")
    if not key_path.exists():
        Key.generate().save(key_path)
    key = Key.load(key_path)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot write it ({error.strerror})") from error
    return path, key.public


def _with(config: Config, values: dict[tuple[str, str], object]) -> str:
    """Return the text of a configuration with other values, each on the line where the old one stood."""
    lines = config.text.splitlines(keepends=True)
    expected = tomllib.loads(config.text)
    for (table, key), value in values.items():
        lines[line_of(config.text, table, key) - 1] = f"{key} = {json.dumps(value)}\n"
        expected[table][key] = value
    text = "".join(lines)
    try:
        same = tomllib.loads(text) == expected
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        changed = ", ".join(f"{table}.{key}" for table, key in values)
        raise InputError(f"{config.path}: cannot be adapted line by line; copy it, and change {changed} by hand")
    return text
