"""What one author has said, in order, and the stamping, chaining and signing of what it says next."""

from __future__ import annotations

from chorus.errors import InputError
from chorus.mesh.entries import MAX_PARENTS, AnyPayload, Entry, identity, open_record, seal
from chorus.mesh.fold import Applied
from chorus.mesh.frontier import Frontier
from chorus.mesh.identity import Signer


class Chain:
    """A node's own entries, its Lamport clock, and the causes its next entry will name.

    >>> from chorus.mesh.entries import Ask
    >>> from chorus.mesh.identity import Key
    >>> chain = Chain(Key.from_seed(bytes(32)), mesh=bytes(32))
    >>> first, _ = chain.extend(Ask("2 + 2?", 100, 5.0), (), 7)
    >>> second, _ = chain.extend(Ask("3 + 3?", 100, 5.0), (), 0)
    >>> [open_record(record).clock for record in (first, second)], open_record(second).parents == (identity(first),)
    ([8, 9], True)
    """

    def __init__(self, key: Signer, mesh: bytes) -> None:
        self.said: list[bytes] = []  # identities, by number
        self.clock = 0
        self._key = key
        self._mesh = mesh
        self._frontier = Frontier()

    def remember(self, record: bytes) -> Entry:
        """Take the next entry of an earlier life."""
        entry = open_record(record)
        self.said.append(identity(record))
        self.clock = max(self.clock, entry.clock)
        return entry

    def extend(self, payload: AnyPayload, because: tuple[bytes, ...], clock: int) -> tuple[bytes, Entry]:
        """Make the next entry, stamped after `clock`; raises `InputError` for what no entry can hold."""
        self.clock = max(self.clock, clock) + 1
        causes = dict.fromkeys([*self.said[-1:], *because, *self._frontier.newest()])
        parents = tuple(causes)[:MAX_PARENTS]
        entry = Entry(self._mesh, self._key.public, len(self.said), self.clock, parents, payload)
        try:
            record = seal(entry, self._key)
            open_record(record)
        except ValueError as error:
            raise InputError(f"this cannot be said: {error}") from error
        self.said.append(identity(record))
        return record, entry

    def committed(self, applied: Applied) -> None:
        """Take note of a committed entry, anybody's, as a cause of what comes next."""
        self._frontier.add(applied.id, applied.entry.parents)

    def denies(self, applied: Applied) -> bool:
        """Say whether a committed entry is under this key and not in this chain."""
        entry = applied.entry
        if entry.author != self._key.public:
            return False
        return entry.seq >= len(self.said) or self.said[entry.seq] != applied.id
