"""Putting batches of records into an etcd cluster, each of them once, as many in one transaction as wait for it.

A batch lies under the hash of its bytes. One transaction is under way at a time; what is asked for meanwhile goes into
the next, so that writers share the cost of a commit. Each batch of it has a condition of its own, that it is not there
yet: a batch that is sent again keeps its place, whatever it is sent together with. The batches of one transaction have
one revision, so a batch says also which position of that revision is its first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from chorus.mesh.etcd_api import CREATE, EQUAL, GREATER, MOD, TXN, message
from chorus.mesh.etcd_client import EtcdClient
from chorus.mesh.log import LogUnavailableError, Unknown

PER_REVISION = 256  # positions in one revision: the records of one transaction
_MOST = 1 << 20  # bytes in one transaction; etcd takes 1.5 MiB by default
_TOGETHER = 100  # batches in one transaction; etcd takes 128 operations by default
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode


def split(records: Sequence[bytes]) -> list[list[bytes]]:
    """Return records as few batches, each small enough for a transaction.

    >>> [len(batch) for batch in split([b"record"] * 600)]
    [256, 256, 88]
    """
    batches: list[list[bytes]] = []
    size = _MOST
    for record in records:
        if size + len(record) + 8 > _MOST or len(batches[-1]) == PER_REVISION:
            batches.append([])
            size = 8
        batches[-1].append(record)
        size += len(record) + 8
    return batches


def pack(records: Sequence[bytes], first: int) -> bytes:
    """Return the bytes of a batch whose records begin at this position of their revision."""
    return bytes([first]) + _pack(records)


def unpack(value: bytes, revision: int) -> list[tuple[int, bytes]]:
    """Return the records of a batch with their positions in the log, or none where it is no batch.

    >>> unpack(pack([b"one", b"two"], first=5), revision=3)
    [(773, b'one'), (774, b'two')]
    >>> unpack(b"something else", revision=3)
    []
    """
    try:
        records = _unpack(value[1:])
    except msgspec.DecodeError:
        return []
    positions = range(value[0], PER_REVISION)
    return [(revision * PER_REVISION + i, record) for i, record in zip(positions, records, strict=False)]


class _Waiting(NamedTuple):
    records: list[bytes]
    size: int
    outcome: asyncio.Future[int | Unknown]


class EtcdBatches:
    """Puts batches for all who ask, in the order in which they ask.

    Args:
        client: the connection to the cluster.
        prefix: of the batches' keys.
        head: a key that every transaction touches last.

    """

    def __init__(self, client: EtcdClient, prefix: bytes, head: bytes) -> None:
        self.known = 0  # the newest revision of `head` that was told: a cluster that has not got it was made anew
        self._client = client
        self._prefix = prefix
        self._head = head
        self._waiting: dict[bytes, _Waiting] = {}  # by key
        self._sender: asyncio.Task[None] | None = None

    async def put(self, records: list[bytes]) -> int | Unknown:
        """Put a batch and return the position of its last record. Who stops waiting does not take the batch back."""
        packed = _pack(records)
        key = self._prefix + sha256(packed).digest()
        waiting = self._waiting.get(key)
        if waiting is None:
            loop = asyncio.get_running_loop()
            waiting = self._waiting[key] = _Waiting(records, len(packed), loop.create_future())
            if self._sender is None:
                self._sender = loop.create_task(self._send())
        return await asyncio.shield(waiting.outcome)

    async def close(self) -> None:
        """Stop; the outcome of what is under way is unknown."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    async def _send(self) -> None:
        together: dict[bytes, _Waiting] = {}
        why: Unknown | Exception = Unknown("the log was closed")
        try:
            while self._waiting:
                together = self._take()
                for one, outcome in zip(together.values(), await self._transact(together), strict=True):
                    one.outcome.set_result(outcome)
        except LogUnavailableError as error:
            why = Unknown(str(error))
        except Exception as error:  # a fault of the program: whoever asked is told
            why = error
        finally:  # whoever came meanwhile is told the same, and does not wait for a second time-out
            self._sender = None
            for one in [*together.values(), *self._waiting.values()]:
                if one.outcome.done():
                    continue
                if isinstance(why, Exception):
                    one.outcome.set_exception(why)
                else:
                    one.outcome.set_result(why)
            self._waiting.clear()

    def _take(self) -> dict[bytes, _Waiting]:
        """Take from what waits what fits one transaction."""
        together: dict[bytes, _Waiting] = {}
        records = size = 0
        for key, one in self._waiting.items():
            records, size = records + len(one.records), size + one.size
            if together and (records > PER_REVISION or size > _MOST or len(together) == _TOGETHER):
                break
            together[key] = one
        for key in together:
            del self._waiting[key]
        return together

    async def _transact(self, together: dict[bytes, _Waiting]) -> list[int | Unknown]:
        """Put those batches that are not there; return for each where its last record is."""
        known, puts, first = self.known, [], 0
        for key, (records, _, _) in together.items():
            absent = message("Compare", target=CREATE, result=EQUAL, key=key, create_revision=0)
            put = message("RequestOp", request_put=message("PutRequest", key=key, value=pack(records, first)))
            look = message("RequestOp", request_range=message("RangeRequest", key=key))
            puts.append(message("TxnRequest", compare=[absent], success=[put], failure=[look]))
            first += len(records)
        touch = message("RequestOp", request_put=message("PutRequest", key=self._head))
        same_log = message("Compare", target=MOD, result=GREATER, key=self._head, mod_revision=known - 1)
        request = message(
            "TxnRequest",
            compare=[same_log] if known else [],
            success=[*(message("RequestOp", request_txn=put) for put in puts), touch],
        )
        answer = await self._client.call(TXN, request)
        revision = int(answer.header.revision)
        if not answer.succeeded:
            return [Unknown(lost(self._client.endpoint, revision, known))] * len(together)
        self.known = max(self.known, revision)
        outcomes: list[int | Unknown] = []
        first = 0
        for (records, _, _), response in zip(together.values(), answer.responses, strict=False):
            put = response.response_txn
            if put.succeeded:
                outcomes.append(revision * PER_REVISION + first + len(records) - 1)
            else:
                (there,) = put.responses[0].response_range.kvs
                found = unpack(there.value, there.mod_revision)
                outcomes.append(found[-1][0] if found else Unknown("something else is under the key of this batch"))
            first += len(records)
        return outcomes


def lost(endpoint: str, reach: int, known: int) -> str:
    """Say that a cluster has not got what it once told."""
    return (
        f"etcd at {endpoint} has lost the log: it reaches revision {reach} and had told of {known}. The cluster was "
        "made anew or restored from an older copy; restore a newer one"
    )
