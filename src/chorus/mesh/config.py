"""A node's configuration: a TOML file that pins the mesh it belongs to.

The genesis hash, the founders' keys and the nonce all stand in this file, and must agree. Nothing about who may
speak is ever read from the log. A wrong key or value is reported with the file and the line it stands on.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chorus.errors import InputError
from chorus.mesh.deliberation import Readers, everyone
from chorus.mesh.identity import HASH, Genesis, Key
from chorus.mesh.limits import Limits
from chorus.mesh.member import Member

NODE_NAME = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Hex = Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$")]

_PLACES = {
    "sqlite": "FILE",
    "etcd": "HOST:PORT,HOST:PORT,...",
    "local": "DIRECTORY",
    "zenoh": "HOST:PORT",
}


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class NodeTable(_Strict, frozen=True, kw_only=True):
    """`[node]`: this node. Paths are relative to the file."""

    name: Annotated[str, Meta(pattern=NODE_NAME)]
    key: str
    journal: str


class MeshTable(_Strict, frozen=True, kw_only=True):
    """`[mesh]`: what this node belongs to."""

    genesis: Hex
    nonce: Annotated[str, Meta(pattern="^([0-9a-fA-F]{2}){1,64}$")]
    founders: dict[str, Hex]
    log: str = "sqlite:mesh.log"
    bus: str = "local:bus"
    peers: tuple[str, ...] = ()
    artifacts: str = "artifacts"
    topology: str = "full()"


class TlsTable(_Strict, frozen=True, kw_only=True):
    """`[tls]`: PEM files for mutual TLS with etcd and between nodes. Paths are relative to the file."""

    ca: str
    certificate: str
    key: str


class LimitsTable(_Strict, frozen=True, kw_only=True):
    """`[limits]`: paces and bounds; see `Limits`."""

    poll: Annotated[float, Meta(gt=0)] = Limits.poll
    heartbeat: Annotated[float, Meta(gt=0)] = Limits.heartbeat
    turn: Annotated[float, Meta(gt=0)] = Limits.turn
    flush: Annotated[float, Meta(gt=0)] = Limits.flush
    retry: Annotated[float, Meta(gt=0)] = Limits.retry
    retry_most: Annotated[float, Meta(gt=0)] = Limits.retry_most
    proposals: Annotated[int, Meta(ge=1)] = Limits.proposals
    judgements: Annotated[int, Meta(ge=1)] = Limits.judgements
    outbox: Annotated[int, Meta(ge=1)] = Limits.outbox
    rate: Annotated[float, Meta(gt=0)] = Limits.rate


class ServerTable(_Strict, frozen=True, kw_only=True):
    """`[server]`: the HTTP door of `chorus mesh serve`; times in seconds."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    token_file: str = ""  # the bearer token stands in this file,
    token_env: str = ""  # or in this environment variable
    certificate: str = ""  # PEM; with `private_key` the door speaks TLS
    private_key: str = ""
    streams: Annotated[int, Meta(ge=1, le=256)] = 256  # answers written at a time; a node opens 256 rounds at most
    patience: Annotated[float, Meta(gt=0, le=86400)] = 60.0  # how long members wait for one another
    timeout: Annotated[float, Meta(gt=0)] = 10.0  # in which a request's head must have come, and then its body
    stall: Annotated[float, Meta(gt=0)] = 30.0  # in which a client must take what is written to it


class TracingTable(_Strict, frozen=True, kw_only=True):
    """`[tracing]`: with this table, spans go to an OpenTelemetry collector over OTLP/HTTP."""

    endpoint: Annotated[str, Meta(pattern="^(https?://[^/]+.*)?$")] = ""  # without, as OTEL_EXPORTER_OTLP_ENDPOINT says


class _File(_Strict, frozen=True, kw_only=True):
    node: NodeTable
    mesh: MeshTable
    member: dict[str, Any]
    limits: LimitsTable = LimitsTable()
    tls: TlsTable | None = None
    tracing: TracingTable | None = None
    server: ServerTable = ServerTable()


@dataclass(frozen=True)
class Config:
    """A whole file; `member` is read by the kind of member it names."""

    path: Path
    text: str  # the file as it was read
    node: NodeTable
    mesh: MeshTable
    member: dict[str, Any]
    limits: LimitsTable
    server: ServerTable
    tls: TlsTable | None = None
    tracing: TracingTable | None = None

    @property
    def genesis(self) -> Genesis:
        """The founding that this file pins."""
        return Genesis.of([bytes.fromhex(key) for key in self.mesh.founders.values()], bytes.fromhex(self.mesh.nonce))

    def at(self, path: str) -> Path:
        """Return a path of this file, relative to the file itself; raises `InputError` for what is none."""
        if "\0" in path:
            raise InputError(f"{self.path}: {path!r} is not a path: it holds a NUL")
        return self.path.parent / Path(path).expanduser()

    def place(self, table: str, key: str) -> str:
        """Return the file and line on which a key stands, for people to find it."""
        return f"{self.path}:{line_of(self.text, table, key)}"

    def make_member(self) -> Member:
        """Make the member; raises `InputError` with file and line."""
        from chorus.mesh.members import from_config

        try:
            return from_config(self.member, self.place("member", "kind"))
        except InputError as error:
            if not isinstance(error.__cause__, msgspec.ValidationError):
                raise
            message, _, at = str(error.__cause__).partition(" - at `$")
            raise InputError(_place(self.path, self.text, f"{message} - at `$.member{at or '`'}")) from error

    @property
    def log_path(self) -> Path:
        """The file of the embedded log; raises `InputError` when the log is elsewhere."""
        return self.at(self.engine("log", "sqlite")[1])

    def engine(self, plane: str, *known: str) -> tuple[str, str]:
        """Return the kind and the place of `mesh.log` or `mesh.bus`; raises `InputError` for another kind."""
        return engine_of(getattr(self.mesh, plane), f"{self.place('mesh', plane)}: mesh.{plane}", *known)

    @property
    def artifacts_path(self) -> Path:
        """The directory of this node's artifacts."""
        return self.at(self.mesh.artifacts)

    @property
    def control_path(self) -> Path:
        """The socket through which the command line talks to this node while it runs."""
        return self.at(self.node.journal + ".ctl")

    def key(self) -> Key:
        """Load the node's key, which must be the founder's of the same name or none's at all."""
        key = Key.load(self.at(self.node.key))
        expected = self.mesh.founders.get(self.node.name)
        if expected is not None and bytes.fromhex(expected) != key.public:
            raise InputError(
                f"{self.path}: {self.node.key} is not the key that mesh.founders has for {self.node.name!r}"
            )
        return key

    def names(self) -> dict[bytes, str]:
        """Return the founders' names, and this node's, by public key, for people to read."""
        own: dict[bytes, str] = {}
        with contextlib.suppress(InputError):  # who only reads the log needs no key
            own[self.key().public] = self.node.name
        return own | {bytes.fromhex(key): name for name, key in self.mesh.founders.items()}

    def readers(self) -> Readers:
        """Return who reads whose proposals, from the topology."""
        return readers_of(self.mesh.topology, f"{self.place('mesh', 'topology')}: mesh.topology")

    def node_limits(self) -> Limits:
        """Return the limits."""
        return Limits(**msgspec.structs.asdict(self.limits))


def load(path: Path) -> Config:
    """Read a configuration.

    Raises `InputError` with file and line for what is not TOML, an unknown or missing key, a value of the wrong kind,
    or founders and nonce that do not make the pinned genesis.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot read the configuration ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot read the configuration ({error})") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: {error}") from error
    try:
        file = msgspec.convert(data, _File)
    except msgspec.ValidationError as error:
        raise InputError(_place(path, text, str(error))) from error
    config = Config(path, text, file.node, file.mesh, file.member, file.limits, file.server, file.tls, file.tracing)
    genesis = config.genesis.hash
    if genesis.hex() != config.mesh.genesis.lower():
        raise InputError(
            f"{path}:{line_of(text, 'mesh', 'genesis')}: the founders and the nonce of this file make the genesis "
            f"{genesis.hex()}, not the one pinned here; one of them was changed"
        )
    return config


def engine_of(spec: str, where: str, *known: str) -> tuple[str, str]:
    """Return the kind and the place that `KIND:PLACE` names; raises `InputError` for a kind that is not `known`."""
    kind, _, place = spec.partition(":")
    if kind not in known or not place:
        expected = " or ".join(f"{one}:{_PLACES[one]}" for one in known)
        raise InputError(f"{where}: {spec!r} is not known here; expected {expected}")
    return kind, place


def readers_of(spec: str, where: str) -> Readers:
    """Return who reads whose proposals under a topology's text form, over the members sorted by key."""
    if spec == "full()":
        return everyone
    from chorus.topology import parse

    try:
        topology = parse(spec)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error

    def readers(members: tuple[bytes, ...]) -> dict[bytes, frozenset[bytes]]:
        count = len(members)
        return {
            member: frozenset(members[int(j)] for j in topology.neighbors(i, 0, count))
            for i, member in enumerate(members)
        }

    return readers


def check_reach(readers: Readers, members: tuple[bytes, ...], where: str) -> None:
    """Raise `InputError` when no member's proposals are read by a majority: nothing could ever be accepted."""
    reads = readers(members)
    quorum = len(members) // 2 + 1
    reach = max(len({m for m in members if author in reads[m]} | {author}) for author in members)
    if reach < quorum:
        raise InputError(
            f"{where}: at most {reach} members read the same proposal, and {quorum} of {len(members)} must approve it: "
            "nothing could ever be accepted"
        )


def _place(path: Path, text: str, problem: str) -> str:
    """Turn msgspec's `… - at `$.node.name`` into file, line and words."""
    message, _, at = problem.partition(" - at ")
    steps = re.findall(r"[A-Za-z_][\w-]*", at.strip("`").removeprefix("$")) if at else []
    field = re.search(r"unknown field `([^`]+)`", message)
    if field:
        table, name = ".".join(steps), field.group(1)
        what = f"[{table}] has no key {name!r}" if table else f"no table or key {name!r} is known"
        return f"{path}:{line_of(text, table, name)}: {what}"
    missing = re.search(r"missing required field `([^`]+)`", message)
    if missing:
        table = ".".join(steps)
        where = f"[{table}]" if table else "the file"
        return f"{path}:{line_of(text, table, '')}: {where} needs {missing.group(1)!r}"
    table, name = (".".join(steps[:-1]), steps[-1]) if steps else ("", "")
    return f"{path}:{line_of(text, table, name)}: {'.'.join(steps)}: {message}"


def line_of(text: str, table: str, key: str) -> int:
    """Return the line on which a key of a table stands; the table's own line when there is no such key."""
    current, found = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\s*([^\]]+?)\s*\]", line)
        if header:
            current = header.group(1)
            if current == (f"{table}.{key}" if table else key):
                return number
            if current == table:
                found = number
        elif current == table and key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    return found


def public_key(text: str) -> bytes:
    """Read a public key given as 64 hexadecimal digits."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != HASH:
        raise InputError(f"{text!r} is not a public key: {2 * HASH} hexadecimal digits, as `chorus mesh keygen` prints")
    return key
