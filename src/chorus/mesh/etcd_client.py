"""Asking an etcd cluster, whichever of its members answers.

A request goes to the member in use. While no answer comes it is sent to the next one as well, and again, until one of
them answers: a member whose leader has just died loses what it had passed on, and does not say so. A cluster that is
merely slow answers others of the kind meanwhile, and is not asked more. Every request of an ordered log may be sent
twice; see `etcd_log`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio

from chorus.errors import InputError
from chorus.mesh.etcd_api import codec
from chorus.mesh.log import LogUnavailableError
from chorus.mesh.tls import Credentials

_AGAIN = 0.3  # seconds without any answer of a kind after which another member is asked as well
_LOST = 1.0  # seconds after which a request is taken for lost although others of its kind are answered
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # also how long an attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
]
_SILENT = "no answer in time (is it running, reachable, and part of a majority?)"


class EtcdClient:
    """Connections to the members of one cluster. Must be made in a running event loop; connects when first used.

    Args:
        endpoints: `host:port` of the members, the one to use first.
        credentials: for mutual TLS; without, connections are plain.
        timeout: seconds until a request has failed.

    Raises `InputError` for an endpoint that is none, and for what is wrong with the credentials.

    """

    def __init__(self, endpoints: Sequence[str], credentials: Credentials | None = None, timeout: float = 2.0) -> None:
        for endpoint in endpoints:
            host, _, port = endpoint.rpartition(":")
            if not host or "/" in host or not port.isdigit() or not 0 < int(port) < 65536:
                raise InputError(f"{endpoint!r} is no address of an etcd member; expected HOST:PORT")
        self.endpoints = list(endpoints)
        self.timeout = timeout
        self._tls = None
        if credentials is not None:
            ca, certificate, key = credentials.read()
            self._tls = grpc.ssl_channel_credentials(ca, key, certificate)
        self._at = 0
        self._channels: dict[int, Any] = {}
        self.cluster = 0  # the cluster that answers must come from; 0 for any
        self._answered: dict[str, float] = {}  # when a request of this kind was last answered

    @property
    def endpoint(self) -> str:
        """The member in use."""
        return self.endpoints[self._at]

    @property
    def channel(self) -> Any:
        """The connection to the member in use."""
        return self._channel(self._at)

    def move_on(self) -> None:
        """Use the next member."""
        self._at = (self._at + 1) % len(self.endpoints)

    async def call(self, method: tuple[str, str, str], request: Any) -> Any:
        """Return the first answer; raises `LogUnavailableError` when none came in time. May be carried out twice."""
        clock = asyncio.get_running_loop().time
        began, first, tried, sent = clock(), self._at, 0, 0.0
        asked: dict[asyncio.Task[Any], int] = {}
        troubles: dict[int, str] = {}
        try:
            while (left := began + self.timeout - clock()) > 0:
                now = clock()
                quiet = now - max(sent, self._answered.get(method[0], 0.0))
                if not asked or quiet >= _AGAIN or now - sent >= _LOST:
                    at = (first + tried) % len(self.endpoints)
                    asked[asyncio.create_task(self._ask(at, method, request))] = at
                    tried, sent, quiet = tried + 1, now, 0.0
                wait = min(left, _AGAIN - quiet)
                done, _ = await asyncio.wait(asked, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    at = asked.pop(task)
                    answer = self._ours(task.result())
                    if not isinstance(answer, str):
                        self._at = at
                        self._answered[method[0]] = clock()
                        return answer
                    troubles[at] = answer
                if done and tried % len(self.endpoints) == 0:
                    await asyncio.sleep(min(left, _AGAIN / 3))  # all of them refuse: not as fast as they do
        finally:
            for task in asked:
                task.cancel()
        whose: dict[str, list[str]] = {}
        for at in sorted({*troubles, *asked.values()}):
            whose.setdefault(troubles.get(at, _SILENT), []).append(self.endpoints[at])
        raise LogUnavailableError("; ".join(f"etcd at {', '.join(who)}: {words}" for words, who in whose.items()))

    async def each(self, method: tuple[str, str, str], request: Any) -> list[Any]:
        """Ask every member once; return each one's answer, or in words why there is none."""
        return await asyncio.gather(*(self._ask(at, method, request) for at in range(len(self.endpoints))))

    async def close(self) -> None:
        """Close all connections."""
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()

    def _channel(self, at: int) -> Any:
        if at not in self._channels:
            where = self.endpoints[at]
            self._channels[at] = (
                grpc.aio.insecure_channel(where, options=_OPTIONS)
                if self._tls is None
                else grpc.aio.secure_channel(where, self._tls, options=_OPTIONS)
            )
        return self._channels[at]

    async def _ask(self, at: int, method: tuple[str, str, str], request: Any) -> Any:
        """Return a member's answer, or in words why there is none."""
        ask = self._channel(at).unary_unary(method[0], **codec(method))
        try:
            answer = await ask(request, timeout=self.timeout)
        except grpc.aio.AioRpcError as error:
            return self._words(error)
        return answer

    def _ours(self, answer: Any) -> Any:
        """Return an answer, or in words that it is another cluster's."""
        if isinstance(answer, str) or self.cluster in (0, answer.header.cluster_id):
            return answer
        return (
            f"it belongs to another cluster ({answer.header.cluster_id:x}, not {self.cluster:x}); correct mesh.log, or "
            "restart this node if its cluster was restored from a copy"
        )

    def _words(self, error: grpc.aio.AioRpcError) -> str:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return _SILENT
        details = " ".join((error.details() or "").split())
        details = re.sub(r"^failed to connect to all addresses; last error: \w+: (ipv[46]:\S+ )?", "", details)[:200]
        if "timed out" in details or "handshaker shutdown" in details:
            return "it cannot be reached"
        if self._tls is not None and ("certificate" in details.lower() or "handshake" in details.lower()):
            return f"the TLS handshake failed; check the [tls] files and the server's certificate ({details})"
        return f"{error.code().name.lower()}: {details}"
