"""Signed heads and portable proofs: what makes a transcript checkable by somebody who has only its genesis.

A head says "at this size, the transcript had this root", signed by a member (RFC 9162's signed tree head). Whoever
keeps one can tell later whether the tail was dropped or anything below was changed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from chorus.errors import InputError
from chorus.mesh.entries import Count, Digest, identity, open_record, signed_by_author
from chorus.mesh.fold import Fold
from chorus.mesh.identity import SIGNATURE, Genesis, Signer, Verify, verify
from chorus.mesh.merkle import leaf_hash, verify_inclusion

_SIGN_HEAD = b"chorus mesh head\0"


class Head(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The size and root of a transcript, and who says so."""

    mesh: Digest
    author: Digest
    size: Count
    root: Digest


_decode = msgspec.msgpack.Decoder(Head).decode


def sign_head(fold: Fold, key: Signer) -> bytes:
    """Return the signed head of a state."""
    body = msgspec.msgpack.encode(Head(fold.genesis.hash, key.public, fold.size, fold.tree.root()))
    return key.sign(_SIGN_HEAD + body) + body


def open_head(data: bytes, genesis: Genesis, check: Verify = verify) -> Head:
    """Return a head; raises `InputError` when it is malformed, of another mesh, or not signed by its author."""
    try:
        head = _decode(data[SIGNATURE:])
    except ValueError as error:
        raise InputError("not a signed head: malformed") from error
    if head.mesh != genesis.hash:
        raise InputError("the head is of another mesh: its genesis is not the pinned one")
    if not check(head.author, _SIGN_HEAD + data[SIGNATURE:], data[:SIGNATURE]):
        raise InputError("the head's signature is not its author's")
    return head


def prove(fold: Fold, records: list[bytes], place: int, key: Signer) -> dict[str, Any]:
    """Return a portable proof that an entry stands at a place of the transcript; `records` are the applied ones."""
    if not 0 <= place < fold.size:
        raise InputError(f"the transcript has entries 0 to {fold.size - 1}, not {place}")
    return {
        "place": place,
        "record": records[place].hex(),
        "path": [step.hex() for step in fold.tree.inclusion(place)],
        "head": sign_head(fold, key).hex(),
    }


def check_proof(proof: dict[str, Any], genesis: Genesis) -> str:
    """Check a portable proof against a pinned genesis.

    Only a founder's head is believed: who else was a member stands in the log, which the proof is to do without.
    Returns what was proved, in words; raises `InputError` naming the first thing that does not hold.
    """
    try:
        place = int(proof["place"])
        record = bytes.fromhex(proof["record"])
        path = [bytes.fromhex(step) for step in proof["path"]]
        signed = bytes.fromhex(proof["head"])
        entry = open_record(record)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"not a proof: {error}") from error
    if entry.mesh != genesis.hash:
        raise InputError("the entry is of another mesh: its genesis is not the pinned one")
    if not signed_by_author(record, entry, verify):
        raise InputError("the entry's signature is not its author's")
    head = open_head(signed, genesis)
    if head.author not in genesis.members:
        raise InputError(
            f"the head is signed by {head.author.hex()[:16]}, who is no founder; only the log can tell whether that "
            "was a member: have a founder's node prove it, or check the head with `log verify --head`"
        )
    if not verify_inclusion(leaf_hash(record), place, head.size, path, head.root):
        raise InputError(f"the path does not lead from this entry, at place {place}, to the head's root")
    return (
        f"entry {identity(record).hex()[:16]} of {entry.author.hex()[:16]} stands at place {place} of {head.size}, "
        f"says {head.author.hex()[:16]}"
    )
