"""A mesh from its log."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chorus.audit import Subject, build
from chorus.errors import InputError

Auditing = Callable[[Subject], Any]  # of the fixture `audited`


def test_a_mesh_is_audited_from_its_log(tmp_path: Path, audited: Auditing) -> None:
    pytest.importorskip("cryptography")
    pytest.importorskip("msgspec")
    from chorus.mesh.config import load
    from chorus.mesh.entries import Ask, Entry, Proposal, Vote, identity, seal
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
        from chorus.mesh.entries import Done

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
