"""Parts that several tests of the mesh build on."""

from collections.abc import Callable

import pytest

from chorus.mesh.entries import AnyPayload, Entry, seal
from chorus.mesh.fold import Applied, Fold, Void
from chorus.mesh.identity import Genesis, Key


class Script:
    """Writes a log by hand: every member's chain is kept, everything else is as told."""

    def __init__(self, members: int) -> None:
        keys = [Key.from_seed(bytes([i + 1]) * 32) for i in range(members)]
        self.keys = sorted(keys, key=lambda key: key.public)
        self.genesis = Genesis.of([key.public for key in keys], b"scripted")
        self.fold = Fold(self.genesis)
        self.records: list[bytes] = []
        self.clock = 0
        self._said: dict[int, list[bytes]] = {}

    def make(self, who: int, payload: AnyPayload, *because: bytes, **changes: object) -> bytes:
        """Make the next record of a member without applying it."""
        said = self._said.setdefault(who, [])
        key = self.keys[who]
        fields = {
            "mesh": self.genesis.hash,
            "author": key.public,
            "seq": len(said),
            "clock": self.clock + 1,
            "parents": tuple(dict.fromkeys([*said[-1:], *because])),
            "payload": payload,
            **changes,
        }
        return seal(Entry(**fields), key)  # type: ignore[arg-type]

    def take(self, who: int, record: bytes) -> Applied | Void:
        """Apply a record; keep its author's chain when it was applied."""
        self.records.append(record)
        outcome = self.fold.apply(record)
        if isinstance(outcome, Applied):
            self.clock = max(self.clock, outcome.entry.clock)
            self._said.setdefault(who, []).append(outcome.id)
        return outcome

    def say(self, who: int, payload: AnyPayload, *because: bytes) -> bytes:
        """Apply a member's next entry, which must be applied; return its identity."""
        outcome = self.take(who, self.make(who, payload, *because))
        assert isinstance(outcome, Applied), outcome
        return outcome.id

    def note(self, who: int, payload: AnyPayload, *because: bytes) -> str:
        """Apply a member's next entry and return the note on it."""
        outcome = self.take(who, self.make(who, payload, *because))
        assert isinstance(outcome, Applied), outcome
        return outcome.note


@pytest.fixture
def script() -> Callable[[int], Script]:
    """Return a maker of scripts for so many members."""
    return Script
