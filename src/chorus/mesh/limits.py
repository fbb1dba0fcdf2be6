"""The paces and bounds of a node, what it remembers of earlier lives, and how it says no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from chorus.errors import ChorusError
from chorus.mesh.member import Outcome


class RefusedError(ChorusError):
    """The node cannot take a new question now, and says why; nothing was said or stored."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The paces and bounds of a node; times in seconds."""

    poll: float = 0.1  # between reads of the log when nothing was heard
    heartbeat: float = 0.5  # the period of a node's rhythm
    turn: float = 1.0  # until a member whose proposal was judged is fully rested
    flush: float = 0.02  # pieces of an answer are gathered this long
    retry: float = 0.05  # first pause after an append of unknown outcome; doubles
    retry_most: float = 2.0
    proposals: int = 2  # calls at a time
    judgements: int = 4
    outbox: int = 4096  # entries waiting for the log before new questions are refused
    rate: float = 2000.0  # messages a second taken from one peer


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """What a journal remembers of earlier lives."""

    boot: int = 0  # how often the node has started, this time included
    entries: Sequence[bytes] = ()  # the node's own records, in order of their numbers
    calls: dict[bytes, Outcome | None] = field(default_factory=dict)
    leaves: Sequence[bytes] = ()  # leaf hashes of the transcript as this node has seen it


@dataclass(slots=True)
class Peer:
    """What was last heard of another node."""

    heard: float
    size: int = 0
    epoch: int = 0
    tentative: int = 0
