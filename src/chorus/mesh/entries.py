"""What is said: the signed, causally stamped entries of a mesh, and their bytes.

A record, as it lies in a journal and in the ordered log, is `signature (64 bytes) ‖ body`. The body is the
MessagePack array of an `Entry`. Its identity is SHA-256(body), and the signature is over that identity under a
domain of its own, so no signature made for one purpose can serve another. Identities are taken over the bytes
as they were received, never over a re-encoding, so there is nothing to canonicalise.
"""

from __future__ import annotations

import math
from hashlib import sha256
from typing import Annotated

import msgspec
from msgspec import Meta

from chorus.mesh.identity import HASH, SIGNATURE, Signer

MAX_RECORD = 96 * 1024  # bytes; a datagram of the local bus carries one with room to spare
MAX_TEXT = 16_384  # characters of a question or an answer; more belongs in an artifact
MAX_PARENTS = 16
MAX_CLOCK = 2**53

Digest = Annotated[bytes, Meta(min_length=HASH, max_length=HASH)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Count = Annotated[int, Meta(ge=0, le=MAX_CLOCK)]
Unit = Annotated[float, Meta(ge=0.0, le=1.0)]

_SIGN_ENTRY = b"chorus mesh entry\0"


class Payload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=str.lower):
    """What an entry says; one subclass per kind."""


class Ask(Payload, frozen=True):
    """Open a round: the entry's identity is the round's."""

    question: Text
    budget: Annotated[int, Meta(ge=1, le=10_000_000)]  # tokens a member may spend on its proposal
    patience: Annotated[float, Meta(gt=0.0, le=86_400.0)]  # seconds each member waits, by its own clock


class Proposal(Payload, frozen=True):
    """A member's answer; proposing implies the proposer's approval."""

    round: Digest
    answer: Text
    energy: float | None  # the proposer's own estimate, lower is better; not compared across members
    tokens: Count


class Pass(Payload, frozen=True):
    """A member has no answer for this round, and says why."""

    round: Digest
    reason: Annotated[str, Meta(max_length=200)]


class Vote(Payload, frozen=True):
    """A member's judgement of another's proposal."""

    proposal: Digest
    approve: bool
    score: Unit | None  # None: it could not judge
    epoch: Count


class Done(Payload, frozen=True):
    """A member needs to wait no longer; a round closes when a majority has said so."""

    round: Digest
    epoch: Count


class Cancel(Payload, frozen=True):
    """The asker withdraws its question."""

    round: Digest


class Membership(Payload, frozen=True):
    """Propose the next epoch's members; effective when a majority of this epoch's members has approved."""

    members: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=1024)]
    epoch: Count  # the epoch it was proposed in, and the only one that can adopt it


class Name(Payload, frozen=True):
    """Bind a name to an artifact's digest. Names live here only: no name is ever a path."""

    name: Annotated[str, Meta(min_length=1, max_length=255)]
    digest: Digest
    size: Count


AnyPayload = Ask | Proposal | Pass | Vote | Done | Cancel | Membership | Name


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One statement of one member: Lamport-stamped, chained to its author's last, with its causal parents.

    `parents[0]` is the author's previous entry (absent for its first). The author's chain makes repetition and gaps
    visible; the other parents say what the author had seen.
    """

    mesh: Digest
    author: Digest
    seq: Count
    clock: Count
    parents: Annotated[tuple[Digest, ...], Meta(max_length=MAX_PARENTS)]
    payload: AnyPayload


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


def identity(record: bytes) -> bytes:
    """Return the 32-byte identity of a record: the hash of its body, whatever its signature."""
    return sha256(memoryview(record)[SIGNATURE:]).digest()


def seal(entry: Entry, key: Signer) -> bytes:
    """Encode and sign an entry.

    >>> from chorus.mesh.identity import Key, verify
    >>> key = Key.from_seed(bytes(32))
    >>> record = seal(Entry(bytes(32), key.public, 0, 1, (), Ask("2 + 2?", 100, 5.0)), key)
    >>> signed_by_author(record, open_record(record), verify), open_record(record).payload.question
    (True, '2 + 2?')
    """
    body = _encode(entry)
    return key.sign(_SIGN_ENTRY + sha256(body).digest()) + body


def open_record(record: bytes) -> Entry:
    """Decode a record without judging its signature; raises `ValueError` for anything that is not one."""
    if not SIGNATURE < len(record) <= MAX_RECORD:
        raise ValueError(f"a record has {SIGNATURE + 1} to {MAX_RECORD} bytes, this has {len(record)}")
    entry = _decode(memoryview(record)[SIGNATURE:])
    payload = entry.payload
    # msgspec's bounds let NaN through, and NaN would make two replicas' comparisons depend on order.
    if isinstance(payload, Vote):
        if payload.score is not None and not math.isfinite(payload.score):
            raise ValueError("a score is a finite number")
    elif isinstance(payload, Proposal):
        if payload.energy is not None and not math.isfinite(payload.energy):
            raise ValueError("an energy is a finite number")
    elif isinstance(payload, Ask) and not math.isfinite(payload.patience):
        raise ValueError("a patience is a finite number of seconds")
    return entry


def signed_by_author(record: bytes, entry: Entry, verify: object) -> bool:
    """Say whether the record's signature is its author's."""
    assert callable(verify)
    return bool(verify(entry.author, _SIGN_ENTRY + identity(record), record[:SIGNATURE]))
