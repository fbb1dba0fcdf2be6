"""The gossip plane of many hosts: Zenoh, peer to peer, without a broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any

import zenoh

from chorus.errors import InputError
from chorus.mesh.gossip import MAX_MESSAGE
from chorus.mesh.tls import Credentials

_BACKLOG = 4096  # messages kept for a node that is behind


class ZenohBus:
    """A bus among hosts. What a peer cannot take at once is dropped, for that peer only.

    Must be made in a running event loop. Zenoh calls back from threads of its own; they do no more than put a message
    down and wake the loop, once for as many as have come. They do so by a socket pair, as `call_soon_threadsafe` does,
    but in fewer system calls and without a handle for each.

    Args:
        listen: `host:port` this node is reached at.
        peers: `host:port` of others; with none, peers are found by multicast on the local network.
        mesh: the genesis hash; other meshes are not heard.
        credentials: for mutual TLS; without, links are plain TCP (messages are signed either way).

    """

    def __init__(self, listen: str, peers: Sequence[str], mesh: bytes, credentials: Credentials | None = None) -> None:
        self.dropped = 0
        self._waiting: deque[bytes] = deque()
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Future[None] = self._loop.create_future()
        self._woken = False
        if credentials is not None:
            credentials.read()  # what is wrong with them is said here, in words
        key = f"chorus/{mesh.hex()}/gossip"
        config = zenoh_config(listen, peers, credentials)
        self._sleeper, self._waker = socket.socketpair()
        self._loop.add_reader(self._sleeper, self._wake)
        try:
            self._session = zenoh.open(config)
            self._publisher = self._session.declare_publisher(
                key,
                congestion_control=zenoh.CongestionControl.DROP,
                express=True,
                allowed_destination=zenoh.Locality.REMOTE,
            )
            self._subscriber = self._session.declare_subscriber(key, self._heard, allowed_origin=zenoh.Locality.REMOTE)
        except zenoh.ZError as error:
            self._sleep_for_good()
            reason = str(error).split(" at ")[0]
            raise InputError(f"{listen}: cannot open the Zenoh bus here ({reason})") from error

    def _heard(self, sample: Any) -> None:
        """Put a message down; runs in Zenoh's threads."""
        payload = sample.payload
        if len(payload) > MAX_MESSAGE or len(self._waiting) >= _BACKLOG:
            self.dropped += 1
            return
        self._waiting.append(payload.to_bytes())
        if not self._woken:
            self._woken = True
            with contextlib.suppress(OSError):  # closed meanwhile
                self._waker.send(b"1")

    def _wake(self) -> None:
        self._sleeper.recv(64)
        self._woken = False
        if not self._arrived.done():
            self._arrived.set_result(None)

    def send(self, data: bytes) -> None:
        """Send to every peer, without waiting."""
        self._publisher.put(data)

    async def receive(self) -> bytes:
        """Return the next message."""
        while not self._waiting:
            self._arrived = self._loop.create_future()
            await self._arrived
        return self._waiting.popleft()

    async def close(self) -> None:
        """Leave."""
        await asyncio.to_thread(self._session.close)
        self._sleep_for_good()

    def _sleep_for_good(self) -> None:
        self._loop.remove_reader(self._sleeper)
        self._sleeper.close()
        self._waker.close()


def zenoh_config(listen: str, peers: Sequence[str], credentials: Credentials | None) -> Any:
    """Return the settings of a peer's session; raises `InputError` for what is no address."""
    scheme = "tcp" if credentials is None else "tls"
    for address in (listen, *peers):
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise InputError(f"{address!r} is no address of a peer; expected HOST:PORT")
    config = zenoh.Config()
    settings: dict[str, Any] = {
        "mode": "peer",
        "listen/endpoints": [f"{scheme}/{listen}"],
        "connect/endpoints": [f"{scheme}/{peer}" for peer in peers],
        "connect/timeout_ms": 0,  # a peer that is away is tried again in the background
        "connect/exit_on_failure": False,
        "connect/retry": {"period_init_ms": 200, "period_max_ms": 1000, "period_increase_factor": 2},
        "scouting/multicast/enabled": not peers,
        "transport/shared_memory/enabled": False,  # needs a /dev/shm to write to; gossip is small
    }
    if credentials is not None:
        settings["transport/link/tls"] = {
            "root_ca_certificate": str(credentials.ca),
            "listen_certificate": str(credentials.certificate),
            "listen_private_key": str(credentials.key),
            "connect_certificate": str(credentials.certificate),
            "connect_private_key": str(credentials.key),
            "enable_mtls": True,
            "close_link_on_expiration": True,
        }
    for name, value in settings.items():
        config.insert_json5(name, json.dumps(value))
    return config
