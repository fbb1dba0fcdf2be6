"""A mesh from its log, and a running one while its nodes are killed."""

import asyncio
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import chorus as package
from chorus.audit import Report, Subject, audit, build
from chorus.errors import ChorusError, InputError

Auditing = Callable[[Subject], Any]  # of the fixture `audited`


def test_a_mesh_is_audited_from_its_log(tmp_path: Path, audited: Auditing) -> None:
    pytest.importorskip("cryptography")
    pytest.importorskip("msgspec")
    from chorus.mesh.config import load
    from chorus.mesh.entries import Ask, Done, Entry, Proposal, Vote, identity, seal
    from chorus.mesh.fold import Applied, Fold
    from chorus.mesh.founding import found_here, member_lines
    from chorus.mesh.log import SqliteLog

    names = ["ada", "bob", "cyd"]
    paths = found_here(tmp_path, names, member=member_lines("sudoku"))
    config = load(paths[0])
    keys = {name: load(path).key() for name, path in zip(names, paths, strict=True)}
    fold = Fold(config.genesis)
    last: dict[str, tuple[int, tuple[bytes, ...]]] = dict.fromkeys(names, (-1, ()))
    records: list[bytes] = []

    def say(name: str, payload: Any) -> bytes:
        seq, parents = last[name]
        entry = Entry(config.genesis.hash, keys[name].public, seq + 1, len(records) + 1, parents, payload)
        record = seal(entry, keys[name])
        outcome = fold.apply(record)
        assert isinstance(outcome, Applied), outcome
        assert not outcome.note, outcome.note
        records.append(record)
        last[name] = (seq + 1, (identity(record),))
        return identity(record)

    # ada's first proposal has bob's and cyd's approval, her second bob's alone.
    for voters in (["bob", "cyd"], ["bob"]):
        asked = say("ada", Ask("2 + 2?", 100, 5.0))
        said = say("ada", Proposal(asked, "4", None, 1))
        for voter in voters:
            say(voter, Vote(said, True, 1.0, 0))
        for name in names[:2]:
            say(name, Done(asked, 0))

    async def write() -> None:
        log = SqliteLog(config.log_path)
        await log.append(records)
        await log.close()

    asyncio.run(write())
    subject = build("mesh", str(paths[0]))
    assert subject.elements[-1] == "ordered log"
    function = subject.function
    assert function is not None
    scores = {name: function.score(frozenset({name})) for name in function.candidates}
    assert function.score(frozenset()) == 1
    assert scores == {"ada": 0, "bob": 0.5, "cyd": 1, "ordered log": 0}
    found = audited(subject)
    report = found.report
    assert report.conditions[6].parts["coordinator's share"] == 1  # one SQLite file orders everything
    with pytest.raises(InputError, match="configuration"):
        build("mesh")


PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
Nodes = dict[str, subprocess.Popen[str]]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Three nodes of one mesh, each a process of its own; NAME.toml lies in the test's folder."""
    pytest.importorskip("cryptography")
    pytest.importorskip("msgspec")
    from chorus.mesh.founding import found_here, member_lines

    environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    running: Nodes = {}
    try:
        for path in found_here(tmp_path, ["ada", "bob", "cyd"], member=member_lines("sudoku")):
            command = [sys.executable, "-m", "chorus", "mesh", "node", "--config", str(path)]
            running[path.stem] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for process in running.values():
            assert process.stdout is not None
            assert "is running in the mesh" in process.stdout.readline()
        yield running
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def lost(report: Report) -> set[str]:
    """What cannot go without the mesh's losing its function."""
    return {finding.elements[0] for finding in report.findings if finding.rule == "AUD010"}


def until(live: Callable[[], Report], expected: set[str]) -> Report:
    """Audit until the nodes have heard, or missed, enough of each other's heartbeats."""
    deadline = time.monotonic() + 120
    while lost(report := live()) != expected:
        assert time.monotonic() < deadline, (lost(report), report.figures)
        time.sleep(0.2)
    return report


def test_a_running_mesh_is_audited_while_its_nodes_are_killed(
    tmp_path: Path, nodes: Nodes, chorus: Callable[..., tuple[int, str, str]]
) -> None:
    from chorus.mesh.config import load
    from chorus.mesh.control import request

    config = tmp_path / "ada.toml"

    def live() -> Report:
        return audit(build("mesh", str(config), live=True))

    # Nothing was asked yet: the log tells nothing, the nodes do. Any one member may go; the one log may not.
    report = until(live, {"ordered log"})
    assert report.figures["members heard now"] == 3
    assert report.conditions[1].score is None
    assert report.conditions[0].score == 1
    *_, closed = request(load(config).control_path, 60.0, op="ask", question=PUZZLE)
    assert closed["outcome"] == "accepted"
    assert build("mesh", str(config)).figures["rounds accepted"] == 1  # the log, read beside the running nodes
    assert live().conditions[1].score is not None

    nodes["cyd"].kill()
    report = until(live, {"ada", "bob", "ordered log"})  # two of three are left, and both are needed
    assert report.figures["members not heard"] == "cyd"
    assert [finding.elements for finding in report.findings if finding.rule == "AUD009"] == [("cyd",)]
    (remedy,) = (finding.remedy for finding in report.findings if finding.elements == ("ada",))
    assert (remedy.text, remedy.before, remedy.after) == ("start cyd again", 1, 0)
    (found,) = (finding for finding in report.findings if finding.elements == ("cyd",))
    words = shlex.split(found.recheck.replace("SUBJECT", f"mesh {shlex.quote(str(config))} --live"))
    code, out, _ = chorus(*words[1:])
    assert code == 0
    assert out.endswith("not connected before, not connected after\nthe witness holds\n")

    nodes["bob"].kill()
    report = until(live, {"mesh of 3"})  # no majority: there is nothing left to lose, and that is no pass
    assert report.figures["function intact"] == 0
    assert report.conditions[5].score == 0
    code, out, _ = chorus("audit", "mesh", str(config), "--live", "--format", "json", "--rule", "AUD010")
    assert code == 1
    (loss,) = json.loads(out)["findings"]
    assert loss["recheck"] == shlex.join(["chorus", "audit", "mesh", str(config), "--live", "--rule", "AUD010"])

    nodes["ada"].kill()
    nodes["ada"].wait()
    with pytest.raises(ChorusError, match="no node is running"):
        live()
    code, out, err = chorus("audit", "mesh", str(config), "--live")
    assert (code, out) == (2, "")
    assert "start it with `chorus mesh node`" in err
