"""The engines a configuration names: where the log and the bus are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from chorus.errors import ChorusError, InputError
from chorus.mesh.bus import Bus, SocketBus
from chorus.mesh.config import Config
from chorus.mesh.log import LogUnavailableError, OrderedLog, SqliteLog, WrongLogError
from chorus.mesh.tls import Credentials
from chorus.mesh.verification import read_log

if TYPE_CHECKING:
    from chorus.mesh.tracing import Tracing

_MISSING = "needs packages that are not installed ({}); pip install 'the-chorus[{}]'"
_PAGE = 1024  # records in one reading of a whole log


def open_log(config: Config) -> OrderedLog:
    """Open the log; in a running event loop. Raises `InputError` naming what is wrong with its place."""
    kind, place = config.engine("log", "sqlite", "etcd")
    if kind == "sqlite":
        return SqliteLog(config.at(place))
    try:
        from chorus.mesh.etcd_log import EtcdLog
    except ImportError as error:
        raise InputError(f"{config.path}: mesh.log: etcd " + _MISSING.format(error.name, "net")) from error
    try:
        return EtcdLog([part.strip() for part in place.split(",")], config.genesis.hash, credentials(config))
    except InputError as error:
        raise InputError(f"{config.place('mesh', 'log')}: mesh.log: {error}") from error


def open_bus(config: Config) -> Bus:
    """Open the bus; in a running event loop. Raises `InputError` naming what is wrong with its place."""
    kind, place = config.engine("bus", "local", "zenoh")
    if kind == "local":
        return SocketBus(config.at(place), config.node.name)
    try:
        from chorus.mesh.zenoh_bus import ZenohBus
    except ImportError as error:
        raise InputError(f"{config.path}: mesh.bus: zenoh " + _MISSING.format(error.name, "net")) from error
    try:
        return ZenohBus(place, config.mesh.peers, config.genesis.hash, credentials(config))
    except InputError as error:
        raise InputError(f"{config.place('mesh', 'bus')}: mesh.bus: {error}") from error


def open_tracing(config: Config) -> Tracing | None:
    """Return where spans go, if `[tracing]` is there; raises `InputError` when the extra `otel` is missing."""
    if config.tracing is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        from chorus.mesh.tracing import Tracing
    except ImportError as error:
        raise InputError(f"{config.path}: [tracing] " + _MISSING.format(error.name, "otel")) from error
    endpoint = config.tracing.endpoint.rstrip("/")
    return Tracing(config.node.name, OTLPSpanExporter(f"{endpoint}/v1/traces" if endpoint else None))


def credentials(config: Config) -> Credentials | None:
    """Return what `[tls]` names."""
    tls = config.tls
    return None if tls is None else Credentials(config.at(tls.ca), config.at(tls.certificate), config.at(tls.key))


def committed(config: Config) -> Iterator[tuple[int, bytes]]:
    """Yield positions and records of the log, from outside, whether or not a node is running.

    Raises `InputError` when there is no log, `ChorusError` when it does not answer.
    """
    if config.engine("log", "sqlite", "etcd")[0] == "sqlite":
        yield from read_log(config.log_path)
        return
    with asyncio.Runner() as runner:
        log = runner.run(_open(config))
        try:
            after = 0
            while records := runner.run(_page(log, after)):
                yield from records
                after = records[-1][0]
        except (LogUnavailableError, WrongLogError) as error:
            raise ChorusError(f"{config.place('mesh', 'log')}: mesh.log: {error}") from error
        finally:
            runner.run(log.close())


async def _open(config: Config) -> OrderedLog:
    return open_log(config)


async def _page(log: OrderedLog, after: int) -> list[tuple[int, bytes]]:
    for _ in range(3):  # a cluster that is just electing a leader answers when it has one
        with contextlib.suppress(LogUnavailableError):
            return await log.read(after, _PAGE)
    return await log.read(after, _PAGE)
