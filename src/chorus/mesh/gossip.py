"""The gossip plane's messages: signed envelopes, and the gate that counts and drops everything else.

Gossip may be lost, repeated, reordered or forged; nothing here is ever relied on for safety. An envelope is
`signature (64 bytes) ‖ body`; the body names its mesh, sender, boot and running number, so that a message is taken
once. What the gate drops, it counts by reason, and it never raises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from chorus.mesh.entries import Count, Digest, Done, Entry, Membership, Vote, open_record, signed_by_author
from chorus.mesh.fold import LEAP as LOG_LEAP
from chorus.mesh.fold import Fold
from chorus.mesh.identity import SIGNATURE, Signer, Verify
from chorus.mesh.merkle import leaf_hash
from chorus.mesh.rhythm import Phase

MAX_MESSAGE = 128 * 1024  # bytes
PIECE = 64 * 1024  # bytes of an artifact in one message
LEAP = LOG_LEAP // 2  # ticks ahead of what is committed; half of what the log takes, so gossip cannot spoil an entry
WINDOW = 1024  # messages of one sender that may arrive out of order
_CHECKED = 8192  # records remembered as well signed until they are committed
_SIGN_MESSAGE = b"chorus mesh message\0"


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=str.lower):
    """What nodes tell each other in passing; one subclass per kind."""


class Announcement(Message, frozen=True):
    """A record on its way to the log, so that others may think about it already.

    One only, so that what is taken of a peer in a second is bounded in signatures to check, not in messages alone.
    """

    record: bytes


class Text(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A piece of an answer."""

    round: Digest
    offset: Count  # characters written before this piece
    text: Annotated[str, Meta(max_length=8192)]


class Tokens(Message, frozen=True):
    """Pieces of answers as they are being written, of as many rounds as the sender takes part in."""

    pieces: Annotated[tuple[Text, ...], Meta(max_length=256)]


class Heartbeat(Message, frozen=True):
    """Where a node stands: its committed head, its epoch, how many entries wait to be committed, and its phase."""

    size: Count
    root: Digest
    epoch: Count
    tentative: Count
    phase: Phase


class Want(Message, frozen=True):
    """Ask one holder for a piece of an artifact."""

    holder: Digest
    digest: Digest
    offset: Count


class Piece(Message, frozen=True):
    """A piece of an artifact; a size of 0 says that the sender has not got it."""

    digest: Digest
    offset: Count
    size: Count  # of the whole artifact
    data: Annotated[bytes, Meta(max_length=PIECE)]


AnyMessage = Announcement | Tokens | Heartbeat | Want | Piece


class Envelope(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A message with its provenance."""

    mesh: Digest
    sender: Digest
    boot: Count  # how often the sender has started
    number: Count  # running number within that boot
    clock: Count
    message: AnyMessage


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode


@dataclass(slots=True)
class _Window:
    boot: int = -1
    highest: int = -1
    seen: int = 0  # bit i: number `highest - i` has been taken

    def takes(self, boot: int, number: int) -> bool:
        if boot < self.boot:
            return False
        if boot > self.boot:
            self.boot, self.highest, self.seen = boot, number, 1
            return True
        ahead = number - self.highest
        if ahead > 0:
            self.seen = (self.seen << ahead | 1) & ((1 << WINDOW) - 1) if ahead < WINDOW else 1
            self.highest = number
            return True
        if -ahead >= WINDOW or self.seen >> -ahead & 1:
            return False
        self.seen |= 1 << -ahead
        return True


@dataclass(slots=True)
class _Allowance:
    left: float
    at: float


_TWIN = "another node speaks under this node's key; give each node a key of its own"


class Gate:
    """Seals what this node says and opens what it hears.

    Args:
        key: the node's key.
        mesh: the genesis hash.
        boot: how often this node has started; larger than at any earlier start.
        verify: the signature check.
        rate: messages a second taken from one sender; twice that in a burst.

    """

    def __init__(self, key: Signer, mesh: bytes, boot: int, verify: Verify, rate: float = 2000.0) -> None:
        self._key = key
        self._mesh = mesh
        self._boot = boot
        self._number = 0
        self._verify = verify
        self._rate = rate
        self._windows: dict[bytes, _Window] = {}
        self._allowances: dict[bytes, _Allowance] = {}
        self._checked: dict[bytes, None] = {}  # leaf hashes of records whose signature was found good
        self.dropped: Counter[str] = Counter()
        self.twin = ""  # why this node must stop, when somebody else was heard to have its key

    def seal(self, message: AnyMessage, clock: int) -> bytes:
        """Return the signed bytes of a message."""
        body = _encode(Envelope(self._mesh, self._key.public, self._boot, self._number, clock, message))
        self._number += 1
        return self._key.sign(_SIGN_MESSAGE + body) + body

    def open(self, data: bytes, members: Container[bytes], clock: int, now: float) -> Envelope | None:
        """Return the envelope, or count why it is dropped and return None."""
        reason, envelope = self._judge(data, members, clock)
        if not reason and envelope is not None:
            if not self._within_rate(envelope.sender, now):
                reason = "flood"
            elif not self._windows.setdefault(envelope.sender, _Window()).takes(envelope.boot, envelope.number):
                reason = "replayed"
        if reason:
            self.dropped[reason] += 1
            return None
        return envelope

    def has_checked(self, leaf: bytes) -> bool:
        """Say whether the signature of the record with this leaf hash was checked on its way; asked once."""
        return self._checked.pop(leaf, self) is None

    def open_entry(self, record: bytes, fold: Fold) -> Entry | None:
        """Return an entry that is on its way to the log, or count why it is not looked at and return None."""
        try:
            entry = open_record(record)
        except ValueError:
            self.dropped["entry: malformed"] += 1
            return None
        if entry.mesh != self._mesh:
            reason = "genesis"
        elif entry.author not in fold.members:
            reason = "not a member"
        elif isinstance(entry.payload, Vote | Done | Membership) and entry.payload.epoch != fold.epoch:
            reason = "epoch"
        elif entry.clock > fold.clock + LEAP:
            reason = "clock"
        elif not signed_by_author(record, entry, self._verify):
            reason = "signature"
        else:
            if len(self._checked) >= _CHECKED:
                del self._checked[next(iter(self._checked))]
            self._checked[leaf_hash(record)] = None
            return entry
        self.dropped[f"entry: {reason}"] += 1
        return None

    def _judge(self, data: bytes, members: Container[bytes], clock: int) -> tuple[str, Envelope | None]:
        if len(data) > MAX_MESSAGE:
            return "oversized", None
        try:
            envelope = _decode(memoryview(data)[SIGNATURE:])
        except ValueError:
            return "malformed", None
        if envelope.mesh != self._mesh:
            return "genesis", None
        mine = envelope.sender == self._key.public
        if mine and (envelope.boot, envelope.number) < (self._boot, self._number):
            return "echo", None
        if not mine and envelope.sender not in members:
            return "not a member", None
        if envelope.clock > clock + LEAP:
            return "clock", None
        if not self._verify(envelope.sender, _SIGN_MESSAGE + data[SIGNATURE:], data[:SIGNATURE]):
            return "signature", None
        if mine:  # this node has not said that, or not in this life
            self.twin = _TWIN
            return "twin", None
        return "", envelope

    def _within_rate(self, sender: bytes, now: float) -> bool:
        burst = 2 * self._rate
        allowance = self._allowances.setdefault(sender, _Allowance(burst, now))
        allowance.left = min(burst, allowance.left + max(0.0, now - allowance.at) * self._rate)
        allowance.at = now
        if allowance.left < 1:
            return False
        allowance.left -= 1
        return True
