"""Many minds: clocks, journal, ordered log, bus, votes, Merkle proofs, artifacts, members.

Two planes. The gossip plane (`Bus`) carries tokens, questions and proposals as they come, and may lose anything. The
commit plane (`OrderedLog`) decides in which order things were said; `Fold` turns that order into the state that all
replicas share. `Node` is the protocol without input or output, `Runtime` runs it on real parts, and
`chorus.mesh.simulation` on parts that misbehave.

The names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chorus.mesh.artifacts import Artifacts, valid_name
    from chorus.mesh.assemble import assemble, serve
    from chorus.mesh.bus import Bus, Hub, SocketBus
    from chorus.mesh.config import Config, load
    from chorus.mesh.core import Node
    from chorus.mesh.entries import Ask, Cancel, Done, Entry, Membership, Name, Pass, Proposal, Vote, open_record, seal
    from chorus.mesh.fold import Applied, Fold, Void
    from chorus.mesh.heads import Head, check_proof, open_head, prove, sign_head
    from chorus.mesh.identity import Genesis, Key, verify
    from chorus.mesh.journal import Journal
    from chorus.mesh.limits import Limits, Recovered, RefusedError
    from chorus.mesh.log import OrderedLog, SqliteLog, Unknown
    from chorus.mesh.member import Answer, BudgetSpentError, Failure, Judgement, Member
    from chorus.mesh.merkle import MerkleTree, leaf_hash, verify_consistency, verify_inclusion
    from chorus.mesh.rounds import Candidate, Round
    from chorus.mesh.runtime import Runtime
    from chorus.mesh.verification import Report, audit

_HOME = {
    "artifacts": ("Artifacts", "valid_name"),
    "assemble": ("assemble", "serve"),
    "bus": ("Bus", "Hub", "SocketBus"),
    "config": ("Config", "load"),
    "core": ("Node",),
    "entries": (
        *("Ask", "Cancel", "Done", "Membership", "Name", "Pass", "Proposal", "Vote"),
        *("Entry", "open_record", "seal"),
    ),
    "fold": ("Applied", "Fold", "Void"),
    "heads": ("Head", "check_proof", "open_head", "prove", "sign_head"),
    "identity": ("Genesis", "Key", "verify"),
    "journal": ("Journal",),
    "limits": ("Limits", "Recovered", "RefusedError"),
    "log": ("OrderedLog", "SqliteLog", "Unknown"),
    "member": ("Answer", "BudgetSpentError", "Failure", "Judgement", "Member"),
    "merkle": ("MerkleTree", "leaf_hash", "verify_consistency", "verify_inclusion"),
    "rounds": ("Candidate", "Round"),
    "runtime": ("Runtime",),
    "verification": ("Report", "audit"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Answer",
    "Applied",
    "Artifacts",
    "Ask",
    "BudgetSpentError",
    "Bus",
    "Cancel",
    "Candidate",
    "Config",
    "Done",
    "Entry",
    "Failure",
    "Fold",
    "Genesis",
    "Head",
    "Hub",
    "Journal",
    "Judgement",
    "Key",
    "Limits",
    "Member",
    "Membership",
    "MerkleTree",
    "Name",
    "Node",
    "OrderedLog",
    "Pass",
    "Proposal",
    "Recovered",
    "RefusedError",
    "Report",
    "Round",
    "Runtime",
    "SocketBus",
    "SqliteLog",
    "Unknown",
    "Void",
    "Vote",
    "assemble",
    "audit",
    "check_proof",
    "leaf_hash",
    "load",
    "open_head",
    "open_record",
    "prove",
    "seal",
    "serve",
    "sign_head",
    "valid_name",
    "verify",
    "verify_consistency",
    "verify_inclusion",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
