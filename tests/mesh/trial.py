"""A mesh of real hosts under load: what is watched while it is cut, killed and mended, and what must be true then."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from chorus.errors import ChorusError
from chorus.mesh.config import Config
from chorus.mesh.control import request
from chorus.mesh.entries import identity, open_record
from chorus.mesh.fold import Applied, Fold
from chorus.mesh.heads import open_head
from chorus.mesh.members.sudoku import puzzle
from chorus.mesh.testbed import Testbed, wait_for
from chorus.mesh.verification import audit, read_journal

LONG = 300.0  # seconds after which a trial gives up; nothing is measured against it
PATIENCE = 300.0  # seconds that members wait for one another: longer than any cut
_PUTS = Path(__file__).with_name("bare_puts.py")


class Load:
    """Asks and names at every node, and keeps all that the nodes tell, with its time.

    Every node has two rounds open at any time, so that its member never stops writing, and binds some names.
    """

    def __init__(self, bed: Testbed) -> None:
        self.bed = bed
        self.said: dict[int, list[float]] = {n: [] for n in range(len(bed.configs))}  # each node's own tokens
        self.committed: dict[int, dict[int, float]] = {n: {} for n in range(len(bed.configs))}  # when, by place
        self.told: set[tuple[int, str, str]] = set()  # place, round and kind of what was told to be committed
        self.named: set[tuple[int, str]] = set()  # place and identity of what was told to be committed
        self.closed: dict[str, dict[str, Any]] = {}
        self._asked: dict[int, list[Asking]] = {n: [] for n in range(len(bed.configs))}
        self._over = threading.Event()
        self._finished = threading.Event()
        self._puzzles = [puzzle(seed, clues=45) for seed in range(10)]
        self._threads = []
        for number in range(len(bed.configs)):
            threading.Thread(target=self._watch, args=(number,), daemon=True).start()
            for work in (self._name, self._ask, self._ask):
                self._threads.append(threading.Thread(target=work, args=(number,), daemon=True))
        for thread in self._threads:
            thread.start()

    def _watch(self, number: int) -> None:
        config = self.bed.configs[number]
        while not self._finished.is_set():
            try:
                # One connection for as long as the node lives: what is told between two would be taken for a pause.
                for event in request(config.control_path, None, op="watch"):
                    now = time.monotonic()
                    if event["event"] == "said" and event["who"] == config.node.name:
                        self.said[number].append(now)
                    elif event["event"] == "committed":
                        self.committed[number][event["place"]] = now
                        self.told.add((event["place"], event["round"], event["kind"]))
            except ChorusError:
                time.sleep(0.02)

    def _name(self, number: int) -> None:
        config = self.bed.configs[number]
        for turn in itertools.count():
            if self._over.is_set():
                return
            try:
                name = f"{config.node.name} {turn}"
                for event in request(config.control_path, 1.0, op="name", name=name, digest="00" * 32, size=1):
                    self.named.add((event["place"], event["id"]))
            except ChorusError:  # it is on the node's disk, and waits for the log there
                pass
            time.sleep(0.1)

    def _ask(self, number: int) -> None:
        while not self._over.is_set():
            asking = Asking(self.bed.configs[number], random.choice(self._puzzles))
            self._asked[number].append(asking)
            # Go on to the next once the node's own member has answered, and leave this one open.
            if not asking.follow(self.closed, 81):
                time.sleep(0.02)

    def stop(self, keep: Collection[int] = ()) -> None:
        """Stop, and withdraw what is still open, but for the first round of these nodes."""
        self._over.set()
        for number, rounds in self._asked.items():
            for asking in rounds[number in keep :]:
                asking.withdraw()
            del rounds[number in keep :]
        for thread in self._threads:
            thread.join(LONG)

    def finish(self) -> None:
        """Wait until the rounds that were kept are over, the mesh is at rest, and all of it was told."""
        for asking in itertools.chain.from_iterable(self._asked.values()):
            asking.follow(self.closed)
        settle(self.bed)
        last = self.bed.status(0)["committed"]["size"] - 1
        wait_for(lambda: all(last in told for told in self.committed.values()), LONG, "the last commit was not told")
        self._finished.set()


class Asking:
    """One question to a node, which is withdrawn when its connection ends."""

    def __init__(self, config: Config, question: str) -> None:
        self._name = config.node.name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(LONG)
        self._lines: Iterator[bytes] = iter(())
        self._question = {"op": "ask", "question": question, "patience": PATIENCE}
        with contextlib.suppress(OSError):  # nobody there
            self._socket.connect(str(config.control_path))
            self._socket.sendall(json.dumps(self._question).encode() + b"\n")
            self._lines = self._socket.makefile("rb")

    def follow(self, closed: dict[str, dict[str, Any]], tokens: int = 0) -> bool:
        """Follow until the round is over or its node has written so many tokens; say whether that came to be."""
        written = 0
        with contextlib.suppress(OSError):
            for line in self._lines:
                event = json.loads(line)
                if event["event"] == "closed":
                    closed[event["round"]] = event
                    return True
                written += event["event"] == "said" and event["who"] == self._name
                if tokens and written >= tokens:
                    return True
        return False

    def withdraw(self) -> None:
        """End the connection, even while another thread follows."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class BarePuts:
    """Puts to etcd on one host, one every 20 ms whether or not the last has come back, by no code of the mesh's."""

    def __init__(self, bed: Testbed, host: int) -> None:
        command = [sys.executable, str(_PUTS), bed.etcd.endpoints[host]]
        self._process = bed.hosts.start(host, command, stdout=subprocess.PIPE, text=True)
        self.times: list[float] = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        assert self._process.stdout is not None
        self.times.extend(map(float, self._process.stdout))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def longest(times: Iterable[float], begin: float, end: float) -> float:
    """Return the longest pause within a span of time, in seconds."""
    inside = [begin, *sorted(t for t in times if begin < t < end), end]
    return max(b - a for a, b in itertools.pairwise(inside))


def usual(times: list[float], begin: float, end: float) -> float:
    """Return the median pause within a span of time, in seconds."""
    return statistics.median(b - a for a, b in itertools.pairwise(sorted(t for t in times if begin < t < end)))


def settle(bed: Testbed, seconds: float = LONG) -> None:
    """Wait until nothing waits for the log, no round is open and all nodes are at the same head."""

    def settled() -> bool:
        told = [bed.status(number) for number in range(len(bed.configs))]
        if not all(one and not one["tentative"] and not one["rounds"]["open"] for one in told):
            return False
        return len({one["committed"]["root"] for one in told if one}) == 1

    wait_for(settled, seconds, "the mesh did not come to rest")


def check(bed: Testbed, load: Load | None) -> list[Applied]:
    """Check that nothing was lost, repeated, reordered or changed; return the transcript.

    With a load, what its clients were told is checked too.
    """
    log = bed.records(0)
    genesis = bed.configs[0].genesis
    fold = Fold(genesis, keep=None)
    transcript = [applied for _, record in log if isinstance(applied := fold.apply(record), Applied)]
    places = {applied.id: place for place, applied in enumerate(transcript)}
    # Nothing is there twice, nothing comes before its causes, and every author's entries are in the author's order.
    assert len(places) == len(transcript)
    spoken: Counter[bytes] = Counter()
    for place, applied in enumerate(transcript):
        assert all(places[parent] < place for parent in applied.entry.parents)
        assert applied.entry.seq == spoken[applied.entry.author]
        spoken[applied.entry.author] += 1
    if load is not None:
        check_told(load, transcript, fold)
    # Everything that was on a node's disk is there, and all that a node saw committed is what and where it was.
    for config in bed.configs:
        journal = config.at(config.node.journal)
        own = read_journal(journal, "entry")
        assert [open_record(record).seq for record in own] == list(range(len(own)))
        assert all(identity(record) in places for record in own)
        assert spoken[config.key().public] == len(own)
        heads = [open_head(head, genesis) for head in read_journal(journal, "head")]
        leaves = read_journal(journal, "leaf")
        report = audit(lambda: log, genesis, heads=heads, leaves=leaves, every_signature=True)
        assert report.ok, report.findings
    return transcript


def superseded(transcript: list[Applied]) -> int:
    """Return how many entries came too late to count."""
    return sum(bool(applied.note) for applied in transcript)


def check_told(load: Load, transcript: list[Applied], fold: Fold) -> None:
    """Check that all that was told to be committed is there, at its place, as it was told."""
    for place, round_, kind in load.told:
        entry = transcript[place].entry
        assert type(entry.payload).__name__.lower() == kind
        assert (getattr(entry.payload, "round", b"") or transcript[place].id).hex() == round_
    assert all(transcript[place].id.hex() == id_ for place, id_ in load.named)
    for round_, event in load.closed.items():
        closed = fold.rounds[bytes.fromhex(round_)]
        assert (closed.closed, closed.outcome) == (event["place"], event["outcome"])
        assert event.get("answer") == (closed.chosen().answer if closed.chosen() else None)


def minority_committed(bed: Testbed, minority: Collection[int], majority: int, said: dict[int, int]) -> int:
    """Return how many of the minority's entries from `said` on, by their numbers, the majority's log holds."""
    there = {identity(record) for _, record in bed.records(majority)}
    rows = {n: read_journal(bed.configs[n].at(bed.configs[n].node.journal), "entry") for n in minority}
    return sum(identity(record) in there for n in minority for record in rows[n][said[n] :])


def keep(path: Path, name: str, figures: dict[str, Any]) -> None:
    """Put figures into a file of results."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept[name] = figures
    path.write_text(json.dumps(kept, indent=2) + "\n")
