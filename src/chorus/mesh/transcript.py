"""Looking into a committed log from outside, whether or not a node is running."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

from chorus.errors import InputError
from chorus.mesh.config import Config
from chorus.mesh.engines import committed
from chorus.mesh.entries import Ask, Name, Proposal, Vote
from chorus.mesh.fold import Applied, Fold
from chorus.mesh.heads import Head, open_head, prove, sign_head
from chorus.mesh.telling import printable
from chorus.mesh.verification import Report, audit, read_journal


def lines(config: Config, last: int) -> list[str]:
    """Return the last entries of the transcript as text (all for 0)."""
    fold, names = Fold(config.genesis), config.names()
    kept: deque[str] = deque(maxlen=last or None)
    for _, record in committed(config):
        applied = fold.apply(record)
        if isinstance(applied, Applied):
            who = names.get(applied.entry.author, applied.entry.author.hex()[:8])
            note = f"  ({applied.note})" if applied.note else ""
            kind = type(applied.entry.payload).__name__.lower()
            words = _words(applied.entry.payload)
            kept.append(f"{applied.place:>6}  {applied.entry.clock:>6}  {who:<8} {kind:<10} {words}{note}")
    return list(kept)


def _words(payload: object) -> str:
    if isinstance(payload, Ask):
        text = payload.question
    elif isinstance(payload, Proposal):
        text = payload.answer
    elif isinstance(payload, Vote):
        text = f"{'approve' if payload.approve else 'reject'} {payload.proposal.hex()[:8]}"
        if payload.score is not None:
            text += f", score {payload.score:.2f}"
        elif not payload.approve:  # an approval without a score is of a membership
            text += ", could not judge"
    elif isinstance(payload, Name):
        text = f"{payload.name} = {payload.digest.hex()[:12]}, {payload.size} bytes"
    else:
        text = getattr(payload, "reason", "")
    text = " ".join(printable(text).split())
    return text if len(text) <= 90 else text[:87] + "…"


def audit_log(config: Config, head: Path | None, every_signature: bool) -> Report:
    """Audit a node's log against its genesis, what its journal remembers, and a head from elsewhere."""
    own: list[Head] = []
    leaves: list[bytes] = []
    journal = config.at(config.node.journal)
    if journal.is_file():
        own = [open_head(kept, config.genesis) for kept in read_journal(journal, "head")]
        leaves = read_journal(journal, "leaf")
    heads = own.copy()
    if head is not None:
        try:
            heads.append(open_head(bytes.fromhex(read_json(head)["head"]), config.genesis))
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise InputError(f"{head}: {error}") from error
            raise InputError(f"{head}: not a signed head, as `chorus mesh log head` prints") from error
    return audit(
        lambda: committed(config),
        config.genesis,
        heads=heads,
        trusted={kept.author for kept in own},
        leaves=leaves,
        every_signature=every_signature,
    )


def proof_of(config: Config, place: int) -> dict[str, Any]:
    """Return a portable proof of the entry at a place."""
    fold = Fold(config.genesis)
    records = [r for _, r in committed(config) if isinstance(fold.apply(r), Applied)]
    return prove(fold, records, place, config.key())


def head_of(config: Config) -> dict[str, Any]:
    """Return this node's signed head of the log as it is now."""
    fold = Fold(config.genesis)
    for _, record in committed(config):
        fold.apply(record)
    return {"size": fold.size, "root": fold.tree.root().hex(), "head": sign_head(fold, config.key()).hex()}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file; raises `InputError`."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot read it as JSON ({error})") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a JSON object")
    return data
