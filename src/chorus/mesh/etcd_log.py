"""The ordered log of many hosts: an etcd cluster.

Every batch is put under a key of its own, the hash of its bytes, and only if it is not there yet (`etcd_batches`):
writers never contend, a batch that is sent again keeps its place, and etcd's revision is the order. Every transaction
touches the key `head`, so that one linearizable look at `head` says how far the log reaches. Records come through a
watch, which etcd sends in order; a reading that finds nothing new returns once the watch has come as far as `head` was
when the reading began. So nothing is ever returned that a majority has not, and an end is never taken for the end on a
lagging replica's word.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Any

import grpc.aio

from chorus.mesh.etcd_api import MEMBERS, RANGE, WATCH, codec, message
from chorus.mesh.etcd_batches import PER_REVISION, EtcdBatches, lost, split, unpack
from chorus.mesh.etcd_client import EtcdClient
from chorus.mesh.log import LogUnavailableError, Unknown, WrongLogError
from chorus.mesh.tls import Credentials

_BUFFER = 8192  # records read ahead
_PAGE = 256  # keys in one answer when the whole log is read anew


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
        self.client = EtcdClient(endpoints, credentials, timeout)
        self._prefix = f"chorus/{mesh.hex()}/".encode()
        self._batches = self._prefix + b"batch/"
        self._head = self._prefix + b"head"
        self._writes = EtcdBatches(self.client, self._batches, self._head)
        self._records: deque[tuple[int, bytes]] = deque()
        self._covered = 0  # the revision up to which `_records` is complete
        self._start = 0  # the position after which `_records` begins
        self._follower: asyncio.Task[None] | None = None
        self._ended = False  # a reading has come to the end since the watch was begun
        self._followed = ""  # the member that `_follower` is told by
        self._grown = asyncio.Event()  # something arrived since `watch` last returned
        self._moved = asyncio.Event()  # something arrived since a reading last looked
        self._room = asyncio.Event()

    async def append(self, records: Sequence[bytes]) -> int | Unknown:
        """Append records in this order, as few batches as etcd's limit allows; each is agreed upon as a whole."""
        position: int | Unknown = 0
        for batch in split(records):
            position = await self._writes.put(batch)
            if isinstance(position, Unknown):
                break
        return position

    async def read(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` records after a position; none, or fewer at first, when there were no more.

        Once a reading has come to the end, what the watch has brought since is returned as it is: a majority has it,
        and no member need be asked. Whether there is more than that is asked when the watch has brought nothing.

        Raises `LogUnavailableError`, and `WrongLogError` when the cluster has not got what it once told, or the
        members do not belong to one cluster.
        """
        if self._ended and self._following(after) and (page := self._page(after, limit)):
            return page
        if not self.client.cluster:
            await self._look_around()
        known = self._writes.known
        head = await self.client.call(RANGE, message("RangeRequest", key=self._head))
        reach = int(head.kvs[0].mod_revision) if head.kvs else 0
        if reach < known:
            raise WrongLogError(lost(self.client.endpoint, reach, known))
        self._writes.known = max(self._writes.known, reach)
        self._follow(after)
        self._page(after, limit)  # makes room
        where = self._followed
        try:
            async with asyncio.timeout(self.client.timeout):
                while self._covered < reach and len(self._records) < limit:
                    if self._follower is None or self._follower.done():
                        raise LogUnavailableError(f"etcd at {where}: the watch ended; it is begun again")
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            if self.client.endpoint == where:
                self.client.move_on()
            raise LogUnavailableError(f"etcd at {where} is behind its cluster") from None
        page = self._page(after, limit)
        self._ended = self._ended or len(page) < limit
        return page

    def _page(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Return what has arrived after a position, and forget what is before."""
        while self._records and self._records[0][0] <= after:
            self._records.popleft()
        self._start = after
        self._room.set()
        return [self._records[i] for i in range(min(limit, len(self._records)))]

    async def watch(self, after: int) -> None:
        """Return once records have arrived since the last look."""
        await self._grown.wait()
        self._grown.clear()

    async def members(self) -> list[str]:
        """Return the names and addresses of the cluster's members."""
        answer = await self.client.call(MEMBERS, message("MemberListRequest"))
        return [f"{member.name} {','.join(member.clientURLs)}" for member in answer.members]

    async def look(self) -> list[str]:
        """Return which members do not answer and why, and which meshes' logs are there when this one's is not."""
        found = await self._look_around()
        try:
            head = await self.client.call(RANGE, message("RangeRequest", key=self._head))
            others = [] if head.kvs else await self._others()
        except LogUnavailableError:
            return found
        if others:
            found.append(
                f"the cluster holds no log of this mesh yet, and those of {', '.join(o[:16] for o in others)}: "
                "if the mesh is not new, correct mesh.genesis or mesh.log"
            )
        return found

    async def _look_around(self) -> list[str]:
        answers = await self.client.each(MEMBERS, message("MemberListRequest"))
        told = list(zip(self.client.endpoints, answers, strict=True))
        clusters = {answer.header.cluster_id: where for where, answer in told if not isinstance(answer, str)}
        if len(clusters) > 1:
            where = ", ".join(f"{where} ({cluster:x})" for cluster, where in clusters.items())
            raise WrongLogError(f"these etcd members belong to different clusters: {where}; correct mesh.log")
        self.client.cluster = self.client.cluster or next(iter(clusters), 0)
        return [f"etcd at {where}: {answer}" for where, answer in told if isinstance(answer, str)]

    async def _others(self) -> list[str]:
        """Return the geneses of a few meshes whose logs lie here."""
        found: list[str] = []
        key, end = b"chorus/", _end_of(b"chorus/")
        while len(found) < 4:
            request = message("RangeRequest", key=key, range_end=end, limit=1, keys_only=True)
            answer = await self.client.call(RANGE, request)
            if not answer.kvs:
                break
            found.append(answer.kvs[0].key.split(b"/")[1].decode(errors="replace"))
            key = _end_of(b"chorus/" + found[-1].encode() + b"/")
        return found

    async def close(self) -> None:
        """End the watch and close the connections."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)
        await self._writes.close()
        await self.client.close()

    # The watch.

    def _following(self, after: int) -> bool:
        """Say whether records after this position arrive, from the member in use."""
        alive = self._follower is not None and not self._follower.done()
        return alive and self._followed == self.client.endpoint and after >= self._start

    def _follow(self, after: int) -> None:
        """See to it that records after this position arrive, from the member in use."""
        if self._following(after):
            return
        self._ended = False
        if self._follower is not None:
            self._follower.cancel()
        self._records.clear()
        self._start, self._covered = after, max(0, after // PER_REVISION - 1)
        self._followed = self.client.endpoint
        self._follower = asyncio.get_running_loop().create_task(self._arrive(self.client.channel, after))

    async def _arrive(self, channel: Any, after: int) -> None:
        # A watch or a connection that ends is begun again by the next reading.
        with contextlib.suppress(grpc.aio.AioRpcError, LogUnavailableError):
            compacted = await self._stream(channel, after)
            if compacted:
                await self._stream(channel, after, await self._everything(channel, after))
        self._moved.set()

    async def _stream(self, channel: Any, after: int, covered: int | None = None) -> bool:
        """Take what the watch brings; return True if its beginning was compacted away."""
        start = max(1, after // PER_REVISION) if covered is None else covered + 1
        create = message("WatchCreateRequest", key=self._prefix, range_end=_end_of(self._prefix), start_revision=start)
        call = channel.stream_stream(WATCH[0], **codec(WATCH))(_Once(message("WatchRequest", create_request=create)))
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
        """Read every batch as of now, in the order of their places; return the revision this is complete to."""
        key, end, revision = self._batches, _end_of(self._batches), 0
        found = []
        while True:
            request = message("RangeRequest", key=key, range_end=end, limit=_PAGE, revision=revision)
            answer = await channel.unary_unary(RANGE[0], **codec(RANGE))(request, timeout=self.client.timeout)
            revision = revision or int(answer.header.revision)
            found += [kv for kv in answer.kvs if kv.mod_revision >= after // PER_REVISION]
            if not answer.more:
                break
            key = answer.kvs[-1].key + b"\0"
        for kv in sorted(found, key=lambda kv: (kv.mod_revision, kv.value[:1])):
            self._take(kv, after)
        self._covered = revision
        self._grown.set()
        self._moved.set()
        return revision

    def _take(self, kv: Any, after: int) -> None:
        """Keep a batch's records; what is no batch cannot be the mesh's and is passed over by every node alike."""
        self._records += [one for one in unpack(kv.value, int(kv.mod_revision)) if one[0] > after]


def _end_of(prefix: bytes) -> bytes:
    return prefix[:-1] + bytes([prefix[-1] + 1])


class _Once:
    """One request and no end of requests, which would end the watch; no generator, which nobody would close in time."""

    def __init__(self, request: Any) -> None:
        self._requests = [request]

    def __aiter__(self) -> _Once:
        return self

    async def __anext__(self) -> Any:
        while not self._requests:
            await asyncio.Event().wait()
        return self._requests.pop()
