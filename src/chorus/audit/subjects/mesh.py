"""A mesh: its committed log read back, and what its quorum would have accepted without one of its parts.

Elements are the members and the ordered log. An edge leads from an author to everyone who reads its proposals, and runs
both ways between each member and the log: proposals travel by gossip, but only the log commits. The function is the
share of the accepted rounds that would still be accepted when a part's proposals and votes are left out; the quorum
stays a majority of all members, and only votes that were cast count. Without the log nothing is accepted. The log is
read, not written; a running mesh may go on meanwhile.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from chorus.audit.graph import Graph
from chorus.audit.subject import Coordination, Function, Subject
from chorus.errors import InputError

LOG = "ordered log"
WINDOW = 16  # entries that make one step of the activity


def build(path: str | None = None, *, seed: int = 0) -> Subject:
    """Read a mesh from a node's configuration file.

    Args:
        path: the configuration, as `chorus mesh init` writes it.
        seed: unused; the log is what it is.

    Raises:
        InputError: no configuration was given, it cannot be read, or the log holds no accepted round.
    """
    if path is None:
        raise InputError("mesh needs a node's configuration file, as `chorus mesh init` writes it")
    from chorus.mesh.config import load
    from chorus.mesh.engines import committed
    from chorus.mesh.entries import Ask, Done, Pass, Vote
    from chorus.mesh.fold import Applied, Fold

    config = load(Path(path))
    fold = Fold(config.genesis)
    authors: list[bytes] = []
    kinds: Counter[type] = Counter()
    for _, record in committed(config):
        outcome = fold.apply(record)
        if isinstance(outcome, Applied):
            authors.append(outcome.entry.author)
            kinds[type(outcome.entry.payload)] += 1
    accepted = [round_ for round_ in fold.rounds.values() if round_.outcome == "accepted"]
    if not accepted:
        raise InputError(f"{config.mesh.log}: no accepted round in this log yet; ask the mesh something first")
    known = config.names()
    members = tuple(sorted(fold.members))
    names = tuple(known.get(member, member.hex()[:12]) for member in members)
    number = {member: k for k, member in enumerate(members)}
    n = len(members) + 1
    readers = config.readers()(members)
    links = [
        (number[author], number[reader]) for reader, heard in readers.items() for author in heard if author != reader
    ]
    links += [pair for k in range(n - 1) for pair in ((k, n - 1), (n - 1, k))]

    def score(gone: frozenset[str]) -> float:
        if LOG in gone:
            return 0.0
        left = frozenset(member for member, name in zip(members, names, strict=True) if name not in gone)
        still = 0
        for round_ in accepted:
            for candidate in round_.candidates.values():
                votes = sum(approve for voter, (approve, _) in candidate.votes.items() if voter in left)
                if candidate.author in left and votes + 1 >= fold.quorum:
                    still += 1
                    break
        return still / len(accepted)

    spoken = np.array([number[author] for author in authors if author in number], np.int64)
    steps = max(1, -(-len(spoken) // WINDOW))
    activity = np.zeros((steps, n))
    np.add.at(activity, (np.arange(len(spoken)) // WINDOW, spoken), 1.0)
    activity[:, n - 1] = activity.sum(axis=1)  # the log takes every entry
    votes = np.bincount(spoken, minlength=n).astype(np.float64)
    share = votes / max(votes.sum(), 1)
    if config.mesh.log.startswith("sqlite:"):
        share = np.eye(n)[n - 1]  # one file orders everything
    closed = [round_ for round_ in fold.rounds.values() if round_.closed is not None]
    return Subject(
        name=f"mesh of {len(members)}",
        elements=(*names, LOG),
        graph=Graph.of(n, links),
        activity=activity,
        coordination=Coordination(
            agreement=len(accepted) / max(len(closed), 1),
            cost=float(kinds[Vote] + kinds[Done] + kinds[Pass]),
            total=float(sum(kinds.values())),
            share=share,
            how="closed rounds that were accepted; votes, passes and done against all entries; who orders them",
        ),
        function=Function(
            "share of the accepted rounds that would still be accepted",
            score,
            (*names, LOG),
            repair_note="a log of several hosts (etcd), and more members than a majority needs",
        ),
        figures={
            "entries": fold.size,
            "epoch": fold.epoch,
            "quorum": fold.quorum,
            "rounds asked": kinds[Ask],
            "rounds accepted": len(accepted),
            "rounds closed without an answer": len(closed) - len(accepted),
        },
        model=f"the committed log of a mesh ({config.mesh.log.partition(':')[0]}), read by {config.mesh.topology}",
    )
