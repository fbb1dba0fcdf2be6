"""Auditing a log: whether every entry is what it was, where it was, and said by whom it claims."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from chorus.errors import InputError
from chorus.mesh.entries import open_record, signed_by_author
from chorus.mesh.fold import Applied, Fold, Void
from chorus.mesh.heads import Head
from chorus.mesh.identity import Genesis, Verify, verify
from chorus.mesh.merkle import leaf_hash

_MOST = 20  # findings told one by one


@dataclass
class Report:
    """What an audit found."""

    size: int = 0
    root: bytes = b""
    findings: list[str] = field(default_factory=list)
    signatures: int = 0  # how many were checked one by one
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Say whether nothing was found."""
        return not self.findings


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def read_log(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield positions and records of an embedded log, without writing to it; raises `InputError`."""
    if not path.is_file():
        raise InputError(f"{path}: there is no log here")
    try:
        db = _read_only(path)
        try:
            yield from db.execute("SELECT position, record FROM log ORDER BY position")
        finally:
            db.close()
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot read the log ({error})") from error


def read_journal(path: Path, kind: str) -> list[bytes]:
    """Return a journal's rows of one kind, in order, while its node may be running; raises `InputError`."""
    if not path.is_file():
        raise InputError(f"{path}: there is no journal here")
    try:
        db = _read_only(path)
        try:
            return [row[0] for row in db.execute("SELECT value FROM rows WHERE kind = ? ORDER BY key", (kind,))]
        finally:
            db.close()
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot read the journal ({error})") from error


def audit(
    records: Callable[[], Iterable[tuple[int, bytes]]],
    genesis: Genesis,
    *,
    heads: Iterable[Head] = (),
    trusted: Container[bytes] = (),
    leaves: list[bytes] | None = None,
    every_signature: bool = False,
    check: Verify = verify,
) -> Report:
    """Audit a log against what the auditor holds.

    Args:
        records: opens the log anew: positions and records in order.
        genesis: the pinned founding.
        heads: signed heads, already opened, that the transcript must match.
        trusted: who is believed without being a member, such as the auditor itself.
        leaves: the leaf hashes that a node remembers, by place; they name the very entry that was changed.
        every_signature: check each signature one by one. Otherwise entries below a matching head are vouched for by
            the head's signer, a founder or trusted, who checked them. Nobody else can vouch: that he is a member may
            stand in the very entries that he vouches for.
        check: the signature check.

    """
    started = perf_counter()
    heads = sorted(heads, key=lambda head: head.size)
    vouchers = [head.size for head in heads if head.author in genesis.members or head.author in trusted]
    vouched = max(vouchers, default=0) if not every_signature else 0
    gc_was_on = gc.isenabled()
    gc.disable()  # a million small objects and no cycles: collecting would take a third of the time
    try:
        report = _pass(records(), genesis, heads, trusted, leaves or [], vouched, check)
        if vouched and not report.ok:  # something is wrong: look at every signature, to name what
            report = _pass(records(), genesis, heads, trusted, leaves or [], 0, check)
    finally:
        if gc_was_on:
            gc.enable()
    report.seconds = perf_counter() - started
    return report


def _pass(
    records: Iterable[tuple[int, bytes]],
    genesis: Genesis,
    heads: list[Head],
    trusted: Container[bytes],
    leaves: list[bytes],
    vouched: int,
    check: Verify,
) -> Report:
    report = Report()
    found = report.findings
    fold = Fold(genesis, check)
    pending = list(heads)
    untold = 0
    for position, record in records:
        place = fold.size
        on_trust = place < vouched
        outcome = fold.apply(record, verified=on_trust)
        if isinstance(outcome, Applied):
            report.signatures += not on_trust
            if place < len(leaves) and leaf_hash(record) != leaves[place]:
                problem = f"entry {place} (position {position}) is not the one that was committed there"
                if not signed_by_author(record, open_record(record), check):
                    problem += ": its signature does not fit"
            else:
                problem = ""
            while pending and pending[0].size <= fold.size:
                head = pending.pop(0)
                if fold.tree.root(head.size) != head.root:
                    found.append(f"the first {head.size} entries do not have the root that {_who(head)} signed")
                elif head.author not in fold.members and head.author not in trusted:
                    found.append(f"the head of {head.size} entries is signed by {_who(head)}, who was no member then")
        else:
            problem = _problem(outcome, position, place, record, check)
        if problem:
            untold += len(found) >= _MOST
            if len(found) < _MOST:
                found.append(problem)
    if untold:
        found.append(f"and {untold} more, which may follow from the first")
    most = max([len(leaves), *(head.size for head in heads)], default=0)
    if fold.size < most:
        found.append(f"the tail was dropped: the log ends at entry {fold.size}, and {most} were committed")
    report.size, report.root = fold.size, fold.tree.root()
    return report


def _problem(void: Void, position: int, place: int, record: bytes, check: Verify) -> str:
    if void.reason == "repeat":  # other engines repeat
        return ""
    if void.reason == "not a member" and signed_by_author(record, open_record(record), check):
        return ""  # a stranger, or one who has left, knocked; a member's entry with its author changed would not fit
    words = {
        "not a member": "has an author who is no member, and not its author's signature: it was changed",
        "genesis": "belongs to another mesh: its genesis is not the pinned one",
        "signature": "has a signature that is not its author's",
        "malformed": "is not an entry: it was damaged",
        "chain": "does not follow its author's previous entry: one before it is missing, changed or out of order",
        "parents": "comes before its cause, or its cause is missing or changed",
        "clock": "is stamped too far ahead",
    }[void.reason]
    return f"the record at position {position} (after {place} entries) {words}"


def _who(head: Head) -> str:
    return head.author.hex()[:16]
