"""The demonstration: a mesh of separate processes solves puzzles while nodes are killed, or cut off, and come back."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from chorus.errors import ChorusError
from chorus.mesh.config import Config, load
from chorus.mesh.control import request
from chorus.mesh.founding import found_here, names_for
from chorus.mesh.heads import open_head
from chorus.mesh.members.sudoku import puzzle
from chorus.mesh.questions import Question, read_questions
from chorus.mesh.telling import printable
from chorus.mesh.testbed import Testbed, hears
from chorus.mesh.verification import Report, audit, read_journal, read_log

_PATIENCE = 30.0  # seconds that members wait in a round
_FAR_PAUSE = 1.0  # seconds between two questions to those who are cut off
_SHOWN = 27  # characters of an answer: three rows of a Sudoku


@dataclass
class Seen:
    """What the view shows of one node."""

    config: Config
    number: int
    status: dict[str, Any] = field(default_factory=dict)
    writing: str = ""
    tokens: int = 0
    kills: int = 0
    returning: bool = False  # started again, and not heard of yet


class Processes:
    """The nodes' processes, all on this host, with one file as their log."""

    def __init__(self, directory: Path, nodes: int, member: str) -> None:
        self.configs = [load(path) for path in found_here(directory, names_for(nodes), member=member)]
        self.nodes: dict[int, subprocess.Popen[Any]] = {}
        for number in range(nodes):
            self.start_node(number)

    def start_node(self, number: int) -> None:
        """Start a node, anew or again."""
        path = self.configs[number].path
        command = [sys.executable, "-m", "chorus", "mesh", "node", "--config", str(path)]
        with path.with_suffix(".out").open("ab") as output:
            self.nodes[number] = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)

    def kill_node(self, number: int) -> None:
        """Kill a node with SIGKILL."""
        process = self.nodes.pop(number)
        process.kill()
        process.wait()

    def records(self, host: int) -> list[tuple[int, bytes]]:
        """Read the whole log."""
        return list(read_log(self.configs[host].log_path))

    def close(self) -> None:
        """Stop all nodes."""
        for process in self.nodes.values():
            process.terminate()
        for process in self.nodes.values():
            process.wait(60)


class Demonstration:
    """A mesh of `nodes` processes in a directory of its own.

    Args:
        nodes: how many.
        kill: how many of them are killed with SIGKILL at a third of the time, and started again at two thirds.
        cut: how many of them are cut off from the others in between. With it, every node has a host and an etcd member
            of its own, and the side that is cut off has etcd's leader; see `Testbed`.
        seconds: how long questions are asked.
        questions: what is asked, in turn, as long as the time lasts.
        member: the lines of the nodes' `[member]` tables.

    """

    def __init__(self, nodes: int, kill: int, cut: int, seconds: float, questions: list[Question], member: str) -> None:
        self.seconds = seconds
        self.patience = max(_PATIENCE, seconds)
        self.outcomes: Counter[str] = Counter()
        self.right = 0
        self.recent: deque[dict[str, Any]] = deque(maxlen=6)
        self.log: list[str] = []
        self._questions: Iterator[Question] = itertools.cycle(questions)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._stop_asking = threading.Event()
        self.directory = Path(tempfile.mkdtemp(prefix="chorus-mesh-"))
        self.mesh: Processes | Testbed = (Testbed if cut else Processes)(self.directory, nodes, member)
        self.nodes = [Seen(config, number) for number, config in enumerate(self.mesh.configs)]
        self.far: list[Seen] = []  # who is to be cut off
        self.victims = self.nodes[nodes - kill :]
        self.is_cut = False
        self._to_cut = cut

    def run(self, console: Console) -> bool:
        """Play it; return whether everything that was promised held."""
        try:
            what = "hosts, each with etcd and a node," if isinstance(self.mesh, Testbed) else "nodes"
            console.print(f"{len(self.nodes)} {what} are starting")
            self._wait_until_up()
            if isinstance(self.mesh, Testbed):
                leader, count = self.mesh.leader(), len(self.nodes)
                self.far = [self.nodes[(leader + n) % count] for n in range(self._to_cut)]
                near = [seen for seen in self.nodes if seen not in self.far]
                self.victims = near[len(near) - len(self.victims) :]
            asking = [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(2)]
            asking += [threading.Thread(target=self._ask_far, daemon=True)] if self.far else []
            looks = ((look, seen) for seen in self.nodes for look in (self._watch, self._follow))
            looking = [threading.Thread(target=look, args=(seen,), daemon=True) for look, seen in looks]
            for thread in (*looking, *asking):
                thread.start()
            # Lines and board are drawn by this thread alone: one that refreshed beside it would draw over its lines.
            with Live(get_renderable=self._view, console=console, auto_refresh=False) as live:
                self._play(live)
            if not console.is_terminal:  # rich does not end the board's last line there
                console.print()
            for thread in asking:
                thread.join(self.patience)
            agreed = self._settle()
            for line in self.log:  # what happened since
                console.print(f"          {line}", markup=False)
            records = self.mesh.records(0)
        finally:
            self._over.set()
            self.mesh.close()
        return self._summary(console, agreed, records)

    def _play(self, live: Live) -> None:
        started = time.monotonic()
        acts = deque([(self.seconds / 3, self._break), (2 * self.seconds / 3, self._mend)])
        while acts or time.monotonic() - started < self.seconds:
            elapsed = time.monotonic() - started
            if acts and elapsed > acts[0][0]:
                acts.popleft()[1]()
            while self.log:  # above the live tables, so that what happened stays readable
                live.console.print(f"{elapsed:6.1f} s  {self.log.pop(0)}", markup=False)
            live.refresh()
            time.sleep(0.1)
        self._stop_asking.set()

    def _break(self) -> None:
        for seen in self.victims:
            self.mesh.kill_node(seen.number)
            seen.status, seen.writing = {}, ""
            seen.kills += 1
            self._tell(f"{seen.config.node.name} is killed (SIGKILL)")
        if isinstance(self.mesh, Testbed):
            self.mesh.hosts.cut([seen.number for seen in self.far])
            self.is_cut = True
            self._tell(f"{_names(self.far)}, with etcd's leader, cut off: the link between the two sides is down")

    def _mend(self) -> None:
        for seen in self.victims:
            self.mesh.start_node(seen.number)
            seen.returning = True
            self._tell(f"{seen.config.node.name} is started again")
        if isinstance(self.mesh, Testbed):
            self.mesh.hosts.heal()
            self.is_cut = False
            self._tell("the link is up again")

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + 120
        while not all(self._look(seen) for seen in self.nodes):
            for number, process in self.mesh.nodes.items():
                if process.poll() is not None:
                    seen = self.nodes[number]
                    words = seen.config.path.with_suffix(".out").read_text().strip()
                    raise ChorusError(f"node {seen.config.node.name} did not start: {words}")
            if time.monotonic() > deadline:
                raise ChorusError("the nodes did not start within 120 s")
            time.sleep(0.1)

    def _look(self, seen: Seen) -> bool:
        if seen.number not in self.mesh.nodes:
            seen.status = {}
            return False
        try:
            seen.status = next(iter(request(seen.config.control_path, 2.0, op="status")))
        except (ChorusError, StopIteration):
            seen.status = {}
        with self._lock:
            back, seen.returning = bool(seen.status) and seen.returning, seen.returning and not seen.status
        if back:
            self._tell(f"{seen.config.node.name} is back")
        return bool(seen.status)

    def _watch(self, seen: Seen) -> None:
        """Keep a node's status up to date; a node that is slow to answer holds up nothing else."""
        while not self._over.wait(0.1):
            self._look(seen)

    def _follow(self, seen: Seen) -> None:
        """Keep up with what a node's own member writes, as long as there is such a node."""
        name = seen.config.node.name
        while not self._over.is_set():
            try:
                for event in request(seen.config.control_path, None, op="watch"):
                    if event["event"] == "said" and event["who"] == name:
                        written = (seen.writing if event["offset"] else "") + event["text"]
                        seen.writing = written.rstrip().rpartition("\n")[2][-_SHOWN:]
                        seen.tokens += 1
            except ChorusError:
                pass
            self._over.wait(0.2)

    def _ask(self, number: int) -> None:
        """Ask one question after the other, of whichever node is there and not to be cut off."""
        near = [seen for seen in self.nodes if seen not in self.far]
        turn = number
        while not self._stop_asking.is_set():
            turn += 1
            seen = near[turn % len(near)]
            if seen.status:
                self._ask_one(seen)
            else:
                time.sleep(0.02)

    def _ask_far(self) -> None:
        """Ask those who are cut off too, without waiting for what cannot be committed yet."""
        waiting: list[threading.Thread] = []
        for seen in itertools.cycle(self.far):
            if self._stop_asking.wait(_FAR_PAUSE):
                break
            if self.is_cut:
                waiting.append(threading.Thread(target=self._ask_one, args=(seen,), daemon=True))
                waiting[-1].start()
        for thread in waiting:
            thread.join(self.patience)

    def _ask_one(self, seen: Seen) -> None:
        with self._lock:
            question = next(self._questions)
        fields = {"op": "ask", "question": question.text, "patience": self.patience}
        try:
            told = list(request(seen.config.control_path, 3 * self.patience, **fields))
        except ChorusError as error:
            self.outcomes["asker cut off"] += 1
            self._tell(f"asking {seen.config.node.name}: {error}")
            return
        closed = next((event for event in told if event["event"] == "closed"), None)
        if closed is None:  # the asker died with the question on its disk; whoever lives may finish it
            self.outcomes["asker cut off"] += 1
            return
        self.outcomes[closed["outcome"]] += 1
        self.right += question.answer is not None and closed.get("answer") == question.answer
        self.recent.append(closed)
        self._tell(
            f"entry {closed['place']}: {closed['outcome']}, by {closed.get('author', '-')}, "
            f"{closed.get('approvals', 0)} of {len(self.nodes)} approve"
            + (f", asked of {seen.config.node.name}" if seen in self.far else "")
        )

    def _tell(self, line: str) -> None:
        self.log.append(line)
        del self.log[:-50]

    def _settle(self) -> bool:
        """Wait until every node is at the same committed head; say whether that came to be."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            up = [self._look(seen) for seen in self.nodes]
            roots = {seen.status["committed"]["root"] for seen in self.nodes if seen.status}
            waiting = any(seen.status["tentative"] for seen in self.nodes if seen.status)
            if all(up) and len(roots) == 1 and not waiting:
                return True
            time.sleep(0.2)
        return False

    def _view(self) -> Group:
        if self.is_cut:
            near = [seen for seen in self.nodes if seen not in self.far]
            sides = [
                self._table(near, f"one side of the cut: {len(near)} of {len(self.nodes)}, commits"),
                self._table(
                    self.far, f"the other side: {len(self.far)} of {len(self.nodes)}, thinks on, commits nothing"
                ),
            ]
        else:
            sides = [self._table(self.nodes, "mesh")]
        return Group(*sides, self._rounds(), Text(self._outcomes()))

    def _table(self, nodes: list[Seen], title: str) -> Table:
        table = _board(title, "node", "state", "committed", "waits", "hears", "in step")
        table.columns[1].min_width = len("starts")  # else the board would dance
        table.add_column("writing, tentative", no_wrap=True, min_width=_SHOWN)
        for seen in nodes:
            status = seen.status
            if not status:
                starting = seen.number in self.mesh.nodes
                state = Text("starts", style="yellow") if starting else Text("down", style="red")
                table.add_row(seen.config.node.name, state, "", "", "", "", "")
                continue
            head = status["committed"]
            table.add_row(
                seen.config.node.name,
                Text("back" if seen.kills else "up", style="green"),
                f"{head['size']:>5} {head['root'][:6]}",
                str(status["tentative"]),
                f"{hears(status)}/{len(self.nodes)}",
                f"{status['order']:.2f}",
                Text(printable(seen.writing)),
            )
        return table

    def _rounds(self) -> Table:
        rounds = _board("rounds", "entry", "outcome", "by", "score", "approve", "answer")
        for closed in tuple(self.recent):  # other threads add to it
            rounds.add_row(
                str(closed["place"]),
                closed["outcome"],
                closed.get("author", ""),
                f"{closed['score']:.2f}" if "score" in closed else "",
                f"{closed['approvals']} of {len(self.nodes)}" if "approvals" in closed else "",
                Text(printable(closed.get("answer", ""))[:_SHOWN]),
            )
        return rounds

    def _outcomes(self) -> str:
        return ", ".join(f"{count} rounds {word}" for word, count in self.outcomes.items())

    def _summary(self, console: Console, agreed: bool, records: list[tuple[int, bytes]]) -> bool:
        config = self.nodes[0].config
        reports: list[Report] = []
        for seen in self.nodes:
            journal = seen.config.at(seen.config.node.journal)
            heads = [open_head(head, config.genesis) for head in read_journal(journal, "head")]
            leaves = read_journal(journal, "leaf")
            reports.append(audit(lambda: records, config.genesis, heads=heads, leaves=leaves))
        console.print(self._outcomes())
        tokens = sum(seen.tokens for seen in self.nodes)
        console.print(f"{reports[0].size} entries committed, {tokens} pieces streamed, in {self.seconds:.0f} s")
        console.print("every node ended at the same head" if agreed else "the nodes did NOT end at the same head")
        for report, seen in zip(reports, self.nodes, strict=True):
            for finding in report.findings:
                console.print(f"against {seen.config.node.name}'s journal: {finding}", markup=False)
        if all(report.ok for report in reports):
            console.print(f"the log holds all that any of the {len(reports)} journals remembers")
        console.print(f"kept in {self.directory}")
        return agreed and all(report.ok for report in reports)


def _board(title: str, *columns: str) -> Table:
    """Return a table that fits, with its answers, into the 80 columns of a terminal."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _names(nodes: list[Seen]) -> str:
    return " and ".join(seen.config.node.name for seen in nodes)


def questions_for(path: Path | None) -> list[Question]:
    """Return the questions of a file, or Sudokus generated for the occasion."""
    return read_questions(path) if path is not None else [Question(puzzle(seed), None) for seed in range(40)]
