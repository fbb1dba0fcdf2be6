"""A mesh: its committed log read back, or a running node's view of it, and what its quorum can do without a part.

Elements are the members and the ordered log. An edge leads from an author to everyone who reads its proposals, and runs
both ways between each member and the log: proposals travel by gossip, but only the log commits.

From the log, the function is the share of the accepted rounds that would still be accepted when a part's proposals and
votes are left out; the quorum stays a majority of all members, and only votes that were cast count. From a running
node, it is whether the members that the node hears could commit a proposal now; members that it does not hear have no
edges, agreement is the order parameter of the heartbeats, and the view is that node's alone. Without the log nothing is
accepted. The log is read, not written; a running mesh may go on meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chorus.audit.graph import Graph
from chorus.audit.subject import Coordination, Function, Subject
from chorus.errors import InputError

if TYPE_CHECKING:
    from chorus.mesh.config import Config
    from chorus.mesh.fold import Fold
    from chorus.mesh.rounds import Round

LOG = "ordered log"
WINDOW = 16  # entries that make one step of the activity
REPAIR = "a log of several hosts (etcd), and more members than a majority needs"
Floats = NDArray[np.float64]


def build(path: str | None = None, *, seed: int = 0, live: bool = False) -> Subject:
    """Read a mesh from a node's configuration file.

    Args:
        path: the configuration, as `chorus mesh init` writes it.
        seed: unused; the mesh is what it is.
        live: ask the node, which must be running, how the mesh is now.

    Raises:
        InputError: no configuration was given, or it cannot be read; the log holds no accepted round; with `live`, no
            node is running there.
        ChorusError: the log or the node does not answer.

    """
    if path is None:
        raise InputError("mesh needs a node's configuration file, as `chorus mesh init` writes it")
    from chorus.mesh.config import load

    config = load(Path(path))
    return _running(config) if live else _committed(config)


@dataclass(frozen=True)
class _Record:
    """The log read back: its state, who wrote the entries, and of which kinds they are."""

    config: Config
    fold: Fold
    authors: list[bytes]
    kinds: Counter[str]

    @cached_property
    def members(self) -> tuple[bytes, ...]:
        return tuple(sorted(self.fold.members))

    @cached_property
    def names(self) -> tuple[str, ...]:
        known = self.config.names()
        return tuple(known.get(member, member.hex()[:12]) for member in self.members)

    @cached_property
    def reads(self) -> Mapping[bytes, frozenset[bytes]]:
        return self.config.readers()(self.members)

    def links(self, up: frozenset[bytes]) -> list[tuple[int, int]]:
        """Return who reads whom, and who reads and writes the log, among the members that are up."""
        number = {member: k for k, member in enumerate(self.members)}
        log = len(self.members)
        found = [
            (number[author], number[reader])
            for reader, heard in self.reads.items()
            for author in sorted(heard)
            if author != reader and {author, reader} <= up
        ]
        return found + [pair for k, member in enumerate(self.members) if member in up for pair in ((k, log), (log, k))]

    def activity(self) -> Floats | None:
        """Return (steps, members and the log): entries in each step of 16; None when there is none."""
        number = {member: k for k, member in enumerate(self.members)}
        spoken = np.array([number[author] for author in self.authors if author in number], np.int64)
        if not len(spoken):
            return None
        counts = np.zeros((-(-len(spoken) // WINDOW), len(self.members) + 1))
        np.add.at(counts, (np.arange(len(spoken)) // WINDOW, spoken), 1.0)
        counts[:, -1] = counts.sum(axis=1)  # the log takes every entry
        return counts

    def coordination(self, agreement: float, how: str) -> Coordination | None:
        """Return what agreeing took; None when nothing was committed."""
        counts = self.activity()
        if counts is None:
            return None
        share = counts.sum(axis=0)
        share[-1] = 0.0
        share = share / share.sum()
        if self.config.mesh.log.startswith("sqlite:"):
            share = np.eye(len(share))[-1]  # one file orders everything
        cost = float(sum(self.kinds[kind] for kind in ("Vote", "Done", "Pass")))
        told = f"{how}; votes, passes and done against all entries; who orders them"
        return Coordination(agreement, cost, float(self.kinds.total()), share, told)

    def subject(self, **more: Any) -> Subject:
        engine, fold = self.config.mesh.log.partition(":")[0], self.fold
        counts = {"entries": fold.size, "epoch": fold.epoch, "quorum": fold.quorum, "rounds asked": self.kinds["Ask"]}
        return Subject(
            name=f"mesh of {len(self.members)}",
            elements=(*self.names, LOG),
            activity=self.activity(),
            model=f"{more.pop('told')} ({engine}), read by {self.config.mesh.topology}",
            figures={**counts, **more.pop("figures")},
            **more,
        )


def _read(config: Config) -> _Record:
    from chorus.mesh.engines import committed
    from chorus.mesh.fold import Applied, Fold

    fold, authors, kinds = Fold(config.genesis, keep=None), list[bytes](), Counter[str]()
    for _, record in committed(config):
        outcome = fold.apply(record)
        if isinstance(outcome, Applied):
            authors.append(outcome.entry.author)
            kinds[type(outcome.entry.payload).__name__] += 1
    return _Record(config, fold, authors, kinds)


def _committed(config: Config) -> Subject:
    record = _read(config)
    rounds = record.fold.rounds.values()
    accepted = [round_ for round_ in rounds if round_.outcome == "accepted"]
    closed = [round_ for round_ in rounds if round_.closed is not None]
    if not accepted:
        raise InputError(
            f"{config.mesh.log}: no accepted round in this log yet; ask the mesh something first, or take the running "
            "node's word with --live"
        )

    def score(gone: frozenset[str]) -> float:
        left = frozenset(member for member, name in zip(record.members, record.names, strict=True) if name not in gone)
        return 0.0 if LOG in gone else sum(_still(each, left, record.fold.quorum) for each in accepted) / len(accepted)

    return record.subject(
        told="the committed log of a mesh",
        graph=Graph.of(len(record.members) + 1, record.links(frozenset(record.members))),
        coordination=record.coordination(len(accepted) / max(len(closed), 1), "closed rounds that were accepted"),
        function=Function(
            "share of the accepted rounds that would still be accepted", score, (*record.names, LOG), repair_note=REPAIR
        ),
        figures={"rounds accepted": len(accepted), "rounds closed without an answer": len(closed) - len(accepted)},
    )


def _still(round_: Round, left: frozenset[bytes], quorum: int) -> bool:
    """Whether a round would have been accepted with the votes and proposals of these members alone."""
    return any(
        candidate.author in left
        and 1 + sum(approve for voter, (approve, _) in candidate.votes.items() if voter in left) >= quorum
        for candidate in round_.candidates.values()
    )


def _running(config: Config) -> Subject:
    from chorus.mesh.control import request
    from chorus.mesh.rhythm import EXPIRY

    told = next(iter(request(config.control_path, op="status")), None)
    if told is None:
        raise InputError(f"{config.control_path}: the node stopped before it answered")
    record = _read(config)
    lately = EXPIRY * config.limits.heartbeat
    heard = {bytes.fromhex(each["key"]): each["heard"] for each in told["members"]}
    up = frozenset(member for member in record.members if (age := heard.get(member)) is not None and age <= lately)
    troubles = [f"{what}: {told[what]}" for what in ("log", "disk") if told[what] != "fine"]

    def score(gone: frozenset[str], standing: frozenset[bytes] = up) -> float:
        if LOG in gone or troubles:
            return 0.0
        left = {m for m, name in zip(record.members, record.names, strict=True) if m in standing and name not in gone}
        reach = (len({m for m in left if author in record.reads[m]} | {author}) for author in left)
        return float(max(reach, default=0) >= record.fold.quorum)

    heard_now = tuple(name for member, name in zip(record.members, record.names, strict=True) if member in up)
    silent = ", ".join(name for name in record.names if name not in heard_now)

    def repair(name: str) -> tuple[str, float] | None:
        if name == LOG or not silent:
            return None
        return f"start {silent} again", score(frozenset({name}), frozenset(record.members))

    return record.subject(
        told=f"a running mesh as {told['name']} sees it, with its log",
        graph=Graph.of(len(record.members) + 1, record.links(up)),
        coordination=record.coordination(told["order"], "order parameter of the heartbeats"),
        function=Function(
            "the ability of the members heard now to commit",
            score,
            (*heard_now, LOG),
            repair,
            f"start {silent} again; {REPAIR}" if silent else REPAIR,
        ),
        figures={
            "members heard now": len(up),
            "members not heard": silent or "none",
            "order parameter": told["order"],
            "entries waiting for the log": told["tentative"],
            "open rounds": told["rounds"]["open"],
            "trouble": "; ".join(troubles) or "none",
        },
    )
