"""What the core asks of the world around it: effects, to be carried out in the order they are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from chorus.mesh.entries import Entry
from chorus.mesh.rounds import Round


class Write(NamedTuple):
    """One row of the journal."""

    kind: str  # "entry", "call", "leaf" or "head"
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Persist:
    """Write these rows in one transaction and sync; then report `persisted` or `persist_failed`."""

    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to every peer, or lose it."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Append:
    """Append these records to the ordered log, in this order; then report `appended`, Unknown included."""

    records: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """Read what follows this position of the log; then report `read`."""

    after: int


@dataclass(frozen=True, slots=True)
class Call:
    """Let the member think; then report `finished`. `answer` is None for a proposal, else what is to be judged."""

    key: bytes
    round: bytes
    question: str
    answer: str | None
    seed: int
    budget: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Cancel a call; whatever it still brings is ignored."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Serve:
    """Read a piece of an artifact for a peer; then report `served`."""

    to: bytes
    digest: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """An artifact that was being fetched is here; `data` is None when nobody who could be heard has it."""

    digest: bytes
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Said:
    """For whoever watches: a piece of somebody's answer, tentative as all gossip is."""

    author: bytes
    round: bytes
    offset: int
    text: str


@dataclass(frozen=True, slots=True)
class Committed:
    """For whoever watches: an entry has its place in the transcript."""

    index: int
    id: bytes
    entry: Entry
    note: str


@dataclass(frozen=True, slots=True)
class Closed:
    """For whoever watches: a round is over; what became of it changes no more."""

    round: Round


@dataclass(frozen=True, slots=True)
class Alarm:
    """For whoever runs this node: something that must not be overlooked. `fatal` means the node must stop."""

    text: str
    fatal: bool


Effect = Persist | Broadcast | Append | Read | Call | Stop | Serve | Fetched | Said | Committed | Closed | Alarm
