"""The ordered log of many hosts: an etcd cluster.

Every batch is put under a key of its own, the hash of its bytes, and only if it is not there yet: writers never
contend, a batch that is sent again keeps its place, and etcd's revision is the order. The same transaction touches
the key `head`, so that one linearizable look at `head` says how far the log reaches. Records come through a watch,
which etcd sends in order; a reading returns once the watch has come as far as `head` was when the reading began.
So nothing is ever returned that a majority has not, and an end is never taken for the end on a lagging replica's word.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from typing import Any

import grpc
import grpc.aio
import msgspec

from chorus.errors import InputError
from chorus.mesh.etcd_api import CREATE, EQUAL, MEMBERS, RANGE, TXN, WATCH, codec, message
from chorus.mesh.log import LogUnavailableError, Unknown
from chorus.mesh.tls import Credentials

_MOST = 1 << 20  # bytes in one request; etcd takes 1.5 MiB by default
_PER_REVISION = 256  # positions in one revision: room for the records of a batch
_BUFFER = 8192  # records read ahead
_PAGE = 256  # keys in one answer when the whole log is read anew
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
]
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode


class EtcdLog:
    """A log in an etcd cluster (3.4 or later).

    Must be made in a running event loop. It connects when it is first used: a node may start while its etcd is away.

    Args:
        endpoints: `host:port` of the cluster's members; the next is tried when one does not answer.
        mesh: the genesis hash; meshes that share a cluster do not see each other.
        credentials: for mutual TLS; without, the connection is plain.
        timeout: seconds until an append is `Unknown` and a reading has failed.

    """

    def __init__(
        self, endpoints: Sequence[str], mesh: bytes, credentials: Credentials | None = None, timeout: float = 2.0
    ) -> None:
        for endpoint in endpoints:
            host, _, port = endpoint.rpartition(":")
            if not host or not port.isdigit():
                raise InputError(f"{endpoint!r} is no address of an etcd member; expected HOST:PORT")
        self.endpoints = list(endpoints)
        self._prefix = f"chorus/{mesh.hex()}/".encode()
        self._batches = self._prefix + b"batch/"
        self._head = self._prefix + b"head"
        self._timeout = timeout
        self._tls = None
        if credentials is not None:
            ca, certificate, key = credentials.read()
            self._tls = grpc.ssl_channel_credentials(ca, key, certificate)
        self._at = 0  # the endpoint in use
        self._channel: Any = None
        self._cluster = 0
        self._records: deque[tuple[int, bytes]] = deque()
        self._covered = 0  # the revision up to which `_records` is complete
        self._start = 0  # the position after which `_records` begins
        self._follower: asyncio.Task[None] | None = None
        self._grown = asyncio.Event()  # something arrived since `watch` last returned
        self._moved = asyncio.Event()  # something arrived since a reading last looked
        self._room = asyncio.Event()

    async def append(self, records: Sequence[bytes]) -> int | Unknown:
        """Append records in this order, as few batches as etcd's limit allows; each is agreed upon as a whole."""
        position: int | Unknown = 0
        for batch in _batches(records):
            position = await self._put(batch)
            if isinstance(position, Unknown):
                break
        return position

    async def _put(self, batch: list[bytes]) -> int | Unknown:
        value = _pack(batch)
        key = self._batches + sha256(value).digest()
        request = message(
            "TxnRequest",
            compare=[message("Compare", target=CREATE, result=EQUAL, key=key, create_revision=0)],
            success=[
                message("RequestOp", request_put=message("PutRequest", key=key, value=value)),
                message("RequestOp", request_put=message("PutRequest", key=self._head)),
            ],
            failure=[message("RequestOp", request_range=message("RangeRequest", key=key))],
        )
        try:
            answer = await self._call(TXN, request)
        except LogUnavailableError as error:
            return Unknown(str(error))
        there = answer.responses[0].response_range.kvs if not answer.succeeded else []
        revision = there[0].mod_revision if there else answer.header.revision
        return int(revision) * _PER_REVISION + len(batch) - 1

    async def read(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` records after a position, all there were when the reading began if they are fewer."""
        head = await self._call(RANGE, message("RangeRequest", key=self._head))
        reach = int(head.kvs[0].mod_revision) if head.kvs else 0
        self._follow(after)
        while self._records and self._records[0][0] <= after:
            self._records.popleft()
        self._start = after
        self._room.set()
        where = self.endpoints[self._at]
        try:
            async with asyncio.timeout(self._timeout):
                while self._covered < reach and len(self._records) < limit:
                    if self._follower is None or self._follower.done():
                        raise LogUnavailableError(f"etcd at {where}: the watch ended; it is begun again")
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            await self._move_on()
            raise LogUnavailableError(f"etcd at {where} is behind its cluster") from None
        return [self._records[i] for i in range(min(limit, len(self._records)))]

    async def watch(self, after: int) -> None:
        """Return once records have arrived since the last look."""
        await self._grown.wait()
        self._grown.clear()

    async def members(self) -> list[str]:
        """Return the names and addresses of the cluster's members."""
        answer = await self._call(MEMBERS, message("MemberListRequest"))
        return [f"{member.name} {','.join(member.clientURLs)}" for member in answer.members]

    async def close(self) -> None:
        """End the watch and close the connection."""
        await self._disconnect()

    # The connection.

    async def _call(self, method: tuple[str, str, str], request: Any) -> Any:
        """Ask the endpoint in use, once: whoever calls knows whether to ask again. Moves on when it does not answer."""
        at, channel = self._at, self._connected()
        try:
            answer = await channel.unary_unary(method[0], **codec(method))(request, timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            if at == self._at:
                await self._move_on()
            raise LogUnavailableError(f"etcd at {self.endpoints[at]}: {_words(error)}") from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise LogUnavailableError(f"etcd at {self.endpoints[at]}: the connection was given up") from None
        self._check(answer.header.cluster_id, self.endpoints[at])
        return answer

    def _check(self, cluster: int, endpoint: str) -> None:
        self._cluster = self._cluster or cluster
        if cluster != self._cluster:
            raise LogUnavailableError(
                f"etcd at {endpoint} belongs to another cluster ({cluster:x}, not {self._cluster:x}): "
                "correct mesh.log, or stop this node if its cluster was made anew"
            )

    def _connected(self) -> Any:
        if self._channel is None:
            where = self.endpoints[self._at]
            self._channel = (
                grpc.aio.insecure_channel(where, options=_OPTIONS)
                if self._tls is None
                else grpc.aio.secure_channel(where, self._tls, options=_OPTIONS)
            )
        return self._channel

    async def _move_on(self) -> None:
        self._at = (self._at + 1) % len(self.endpoints)
        await self._disconnect()

    async def _disconnect(self) -> None:
        follower, self._follower = self._follower, None
        channel, self._channel = self._channel, None
        if follower is not None:
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)
        if channel is not None:
            await channel.close()
        self._moved.set()

    # The watch.

    def _follow(self, after: int) -> None:
        """See to it that records after this position arrive."""
        if after < self._start or (self._follower is not None and self._follower.done()):
            if self._follower is not None:
                self._follower.cancel()
            self._follower = None
        if self._follower is None:
            self._records.clear()
            self._start, self._covered = after, max(0, after // _PER_REVISION - 1)
            self._follower = asyncio.get_running_loop().create_task(self._arrive(self._connected(), after))

    async def _arrive(self, channel: Any, after: int) -> None:
        # A watch or a connection that ends is begun again by the next reading.
        with contextlib.suppress(grpc.aio.AioRpcError, LogUnavailableError):
            compacted = await self._stream(channel, after)
            if compacted:
                await self._stream(channel, after, await self._everything(channel, after))
        self._moved.set()

    async def _stream(self, channel: Any, after: int, covered: int | None = None) -> bool:
        """Take what the watch brings; return True if its beginning was compacted away."""
        start = max(1, after // _PER_REVISION) if covered is None else covered + 1
        create = message("WatchCreateRequest", key=self._prefix, range_end=_end_of(self._prefix), start_revision=start)
        call = channel.stream_stream(WATCH[0], **codec(WATCH))(_once(message("WatchRequest", create_request=create)))
        try:
            async for answer in call:
                if answer.canceled:
                    return bool(answer.compact_revision)
                for event in answer.events:
                    if event.kv.key.startswith(self._batches) and event.type == 0:
                        self._take(event.kv, after)
                if answer.events:
                    # `head` is put last in its transaction: a revision is complete once it was seen.
                    heads = [e.kv.mod_revision for e in answer.events if e.kv.key == self._head]
                    self._covered = max([self._covered, *heads])
                    self._grown.set()
                    self._moved.set()
                while len(self._records) >= _BUFFER:
                    self._room.clear()
                    await self._room.wait()
        finally:
            call.cancel()
        return False

    async def _everything(self, channel: Any, after: int) -> int:
        """Read every batch as of now, in the order of their revisions; return the revision this is complete to."""
        key, end, revision = self._batches, _end_of(self._batches), 0
        found = []
        while True:
            request = message("RangeRequest", key=key, range_end=end, limit=_PAGE, revision=revision)
            answer = await channel.unary_unary(RANGE[0], **codec(RANGE))(request, timeout=self._timeout)
            revision = revision or int(answer.header.revision)
            found += [kv for kv in answer.kvs if kv.mod_revision >= after // _PER_REVISION]
            if not answer.more:
                break
            key = answer.kvs[-1].key + b"\0"
        for kv in sorted(found, key=lambda kv: kv.mod_revision):
            self._take(kv, after)
        self._covered = revision
        self._grown.set()
        self._moved.set()
        return revision

    def _take(self, kv: Any, after: int) -> None:
        """Keep a batch's records; what is no batch cannot be the mesh's and is passed over by every node alike."""
        try:
            batch = _unpack(kv.value)
        except msgspec.DecodeError:
            return
        first = int(kv.mod_revision) * _PER_REVISION
        self._records += [(first + i, r) for i, r in enumerate(batch[:_PER_REVISION]) if first + i > after]


def _batches(records: Sequence[bytes]) -> list[list[bytes]]:
    batches: list[list[bytes]] = []
    size = _MOST
    for record in records:
        if size + len(record) + 8 > _MOST or len(batches[-1]) == _PER_REVISION:
            batches.append([])
            size = 8
        batches[-1].append(record)
        size += len(record) + 8
    return batches


def _end_of(prefix: bytes) -> bytes:
    return prefix[:-1] + bytes([prefix[-1] + 1])


async def _once(request: Any) -> AsyncIterator[Any]:
    yield request
    await asyncio.Event().wait()  # ending the requests would end the watch


def _words(error: grpc.aio.AioRpcError) -> str:
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "no answer in time (is it running, reachable, and part of a majority?)"
    details = " ".join((error.details() or "").split())[:200]
    if "certificate" in details.lower() or "handshake" in details.lower():
        return f"the TLS handshake failed; check the [tls] files and the server's certificate ({details})"
    return f"{error.code().name.lower()}: {details}"
