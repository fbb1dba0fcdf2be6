"""Serves the application by a node's configuration: address, token, TLS, and bounds on connections."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import uvicorn

from chorus.errors import InputError
from chorus.mesh.config import Config
from chorus.mesh.runtime import Runtime
from chorus.mesh.server.app import create_app
from chorus.mesh.server.connection import Bounds, Connection
from chorus.mesh.server.gate import MAX_HEADERS
from chorus.mesh.tls import read_pair

_SHORTEST = 16  # characters of a token


class _Server(uvicorn.Server):
    """A server that leaves the process's signals to the node, and bounds its connections."""

    def __init__(self, config: uvicorn.Config, bounds: Bounds) -> None:
        super().__init__(config)
        self._bounds = bounds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections on these sockets."""
        await self.lifespan.startup()
        loop, tls = asyncio.get_running_loop(), self.config.ssl
        handshake = None if tls is None else self._bounds.timeout
        self.servers = [
            await loop.create_server(self._connection, sock=one, ssl=tls, backlog=256, ssl_handshake_timeout=handshake)
            for one in sockets or ()
        ]
        self.started = True

    def _connection(self) -> Connection:
        return Connection(self.config, self.server_state, self.lifespan.state, self._bounds)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Door:
    """A bound address before a node; raises `InputError` for a configuration that cannot be served.

    Args:
        config: the node's configuration; `[server]` is read.

    """

    def __init__(self, config: Config) -> None:
        self._config = config
        table = config.server
        configured = self._configured_token()
        self.token = configured or secrets.token_urlsafe(32)
        self.made_token = not configured  # for this run only
        where = config.place("server", "host")
        if self.made_token and not _is_loopback(table.host):
            raise InputError(
                f"{where}: without a token the door opens on loopback only, not on {table.host}; name a token_file "
                "or a token_env under [server]"
            )
        if bool(table.certificate) != bool(table.private_key):
            raise InputError(f"{where}: TLS needs both a certificate and a private_key under [server]")
        self._tls = (config.at(table.certificate), config.at(table.private_key)) if table.certificate else None
        if self._tls is not None:
            try:
                read_pair(*self._tls)
                ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*self._tls)
            except (InputError, OSError) as error:
                place = config.place("server", "certificate")
                raise InputError(f"{place}: TLS cannot be served with this: {error}") from error
        family = socket.AF_INET6 if ":" in table.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((table.host, table.port))
        except OSError as error:
            self._socket.close()
            raise InputError(f"{where}: cannot listen on {table.host} port {table.port} ({error})") from error

    @property
    def url(self) -> str:
        """Where it is to be found."""
        host, port = self._socket.getsockname()[:2]
        return f"{'https' if self._tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    @contextlib.asynccontextmanager
    async def open(self, runtime: Runtime) -> AsyncIterator[None]:
        """Serve while the block runs."""
        table = self._config.server
        app = create_app(
            runtime,
            self.token,
            self._config.node.name,
            self._config.names(),
            streams=table.streams,
            patience=table.patience,
            timeout=table.timeout,
        )
        server = _Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                loop="none",
                lifespan="on",
                log_level="warning",
                server_header=False,
                h11_max_incomplete_event_size=2 * MAX_HEADERS,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=2,
                ssl_certfile=self._tls[0] if self._tls else None,
                ssl_keyfile=str(self._tls[1]) if self._tls else None,
            ),
            Bounds(connections=table.streams + 64, timeout=table.timeout, stall=table.stall),
        )
        self._socket.listen(256)  # from here on a client that connects waits to be served instead of being refused
        serving = asyncio.create_task(server.serve(sockets=[self._socket]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving

    def _configured_token(self) -> str:
        table = self._config.server
        where = self._config.place("server", "token_file" if table.token_file else "token_env")
        if table.token_file and table.token_env:
            raise InputError(f"{where}: name a token_file or a token_env under [server], not both")
        if table.token_file:
            path: Path = self._config.at(table.token_file)
            try:
                token = path.read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"{where}: cannot read the token ({error})") from error
        elif table.token_env:
            if table.token_env not in os.environ:
                raise InputError(f"{where}: the environment variable {table.token_env} is not set; it holds the token")
            token = os.environ[table.token_env].strip()
        else:
            return ""
        if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
            raise InputError(f"{where}: a token has at least {_SHORTEST} printable ASCII characters and no spaces")
        return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
