"""Kill -9, a hundred times: processes under load die at random moments and come back, and nothing is lost."""

import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import chorus
from chorus.errors import ChorusError
from chorus.mesh.assemble import run
from chorus.mesh.config import Config, load
from chorus.mesh.control import request
from chorus.mesh.entries import Ask, Proposal, identity, open_record
from chorus.mesh.fold import Applied, Fold
from chorus.mesh.founding import found_here
from chorus.mesh.heads import open_head
from chorus.mesh.members.sudoku import puzzle
from chorus.mesh.verification import audit, read_journal, read_log

KILLS = int(os.environ.get("CHORUS_KILLS", "100"))
CONTEXT = multiprocessing.get_context("forkserver")


class Load:
    """Asks one node after the other, and remembers everything it was told is committed."""

    def __init__(self, configs: list[Config]) -> None:
        self.configs = configs
        self.committed: set[tuple[int, str, str]] = set()
        self.closed: dict[str, dict[str, Any]] = {}
        self.over = threading.Event()
        self.puzzles = [puzzle(seed, clues=45) for seed in range(10)]

    def run(self, first: int) -> None:
        turn = first
        while not self.over.is_set():
            turn += 1
            config = self.configs[turn % len(self.configs)]
            question = self.puzzles[turn % len(self.puzzles)]
            try:
                for event in request(config.control_path, 60.0, op="ask", question=question, patience=20.0):
                    if event["event"] == "committed":
                        self.committed.add((event["place"], event["round"], event["kind"]))
                    elif event["event"] == "closed":
                        self.closed[event["round"]] = event
            except ChorusError:
                time.sleep(0.02)  # killed under our hands, or not up again yet


def start(config: Config) -> Any:
    process = CONTEXT.Process(target=run, args=(config.path,), daemon=True)
    process.start()
    return process


def status(config: Config) -> dict[str, Any] | None:
    try:
        return next(iter(request(config.control_path, 60.0, op="status")), None)
    except ChorusError:
        return None


def wait_for(true: Any, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "the mesh did not come to rest"
        time.sleep(0.05)


def test_a_hundred_kills_lose_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(chorus.__file__).parents[1]))
    CONTEXT.set_forkserver_preload(["chorus.mesh.assemble", "chorus.mesh.members.sudoku"])
    configs = [load(path) for path in found_here(tmp_path, ["ana", "ben", "cem"], member='kind = "sudoku"')]
    rng = random.Random(0)
    processes = [start(config) for config in configs]
    wait_for(lambda: all(status(config) for config in configs))
    work = Load(configs)
    threads = [threading.Thread(target=work.run, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    while_one_was_dead = 0
    try:
        for number in range(KILLS):
            time.sleep(rng.uniform(0.05, 0.3))
            victim = rng.randrange(3)
            os.kill(processes[victim].pid, signal.SIGKILL)
            processes[victim].join()
            closed = len(work.closed)
            if number % 10 == 5:  # the round goes on without the dead
                wait_for(lambda closed=closed: len(work.closed) > closed + 1)
            else:
                time.sleep(rng.uniform(0.0, 0.3))
            while_one_was_dead += len(work.closed) - closed
            processes[victim] = start(configs[victim])
    finally:
        work.over.set()
        for thread in threads:
            thread.join(120)
    wait_for(lambda: all(s and not s["tentative"] and not s["rounds"]["open"] for s in map(status, configs)))
    wait_for(lambda: len({status(config)["committed"]["root"] for config in configs}) == 1)
    for process in processes:
        process.terminate()
        process.join(120)

    fold = Fold(configs[0].genesis, keep=None)
    transcript = [a for _, r in read_log(configs[0].log_path) if isinstance(a := fold.apply(r), Applied)]
    # Everything that was acknowledged is there, at its place, as it was told.
    for place, round_, kind in work.committed:
        entry = transcript[place].entry
        assert type(entry.payload).__name__.lower() == kind
        assert (getattr(entry.payload, "round", b"") or transcript[place].id).hex() == round_
    for round_, event in work.closed.items():
        closed = fold.rounds[bytes.fromhex(round_)]
        assert (closed.closed, closed.outcome) == (event["place"], event["outcome"])
        assert event.get("answer") == (closed.chosen().answer if closed.chosen() else None)
    # Nothing that any node had on its disk is missing, torn, or twice.
    for config in configs:
        journal = config.at(config.node.journal)
        own = read_journal(journal, "entry")
        assert all(identity(record) in fold.applied for record in own)
        heads = [open_head(head, config.genesis) for head in read_journal(journal, "head")]
        report = audit(
            lambda: read_log(configs[0].log_path),
            config.genesis,
            heads=heads,
            leaves=read_journal(journal, "leaf"),
            every_signature=True,
        )
        assert report.ok, report.findings
    answers = [(a.entry.author, a.entry.payload.round) for a in transcript if isinstance(a.entry.payload, Proposal)]
    assert len(answers) == len(set(answers))
    accepted = [event for event in work.closed.values() if event["outcome"] == "accepted"]
    asked = sum(isinstance(open_record(r).payload, Ask) for _, r in read_log(configs[0].log_path))
    with capsys.disabled():
        print(
            f"\n{KILLS} kills: {asked} rounds, {len(work.closed)} told to the asker, {len(accepted)} of them accepted, "
            f"{while_one_was_dead} while a node was dead; {fold.size} entries, {len(work.committed)} told as committed"
        )
    assert len(accepted) >= KILLS // 10
