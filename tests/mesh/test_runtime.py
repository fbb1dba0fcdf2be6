"""A mesh of real parts in one process: SQLite journals and log, an in-process bus, members good and bad."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from chorus.errors import ChorusError, InputError
from chorus.mesh.artifacts import Artifacts
from chorus.mesh.bus import Hub
from chorus.mesh.control import ControlServer, request
from chorus.mesh.core import Node
from chorus.mesh.effects import Closed, Committed, Said
from chorus.mesh.entries import Ask, Entry, seal
from chorus.mesh.fold import MAX_OPEN, Fold
from chorus.mesh.identity import Genesis, Key
from chorus.mesh.journal import Journal
from chorus.mesh.limits import Limits, RefusedError
from chorus.mesh.log import SqliteLog, Unknown
from chorus.mesh.member import Answer, Judgement
from chorus.mesh.rounds import Round
from chorus.mesh.runtime import Feed, Runtime

KEYS = [Key.from_seed(bytes([n + 1]) * 32) for n in range(5)]
FAST = Limits(poll=0.05, heartbeat=0.1, flush=0.005, retry=0.01, retry_most=0.1)


class Doubler:
    """Answers `n` with 2·n, letter by letter, and judges by doing the same."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.calls: list[str] = []

    async def propose(self, question: str, seed: int, budget: int, emit: Callable[[str], None]) -> Answer:
        self.calls.append(question)
        text = str(2 * int(question))
        for letter in text:
            await asyncio.sleep(self.pause)
            emit(letter)
        return Answer(text, 0.0, len(text))

    async def judge(self, question: str, answer: str) -> Judgement:
        self.calls.append(f"{question}={answer}")
        right = answer == str(2 * int(question))
        return Judgement(float(right), right)

    async def close(self) -> None: ...


class Hangs(Doubler):
    async def propose(self, question: str, seed: int, budget: int, emit: Callable[[str], None]) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    async def judge(self, question: str, answer: str) -> Judgement:
        await asyncio.Event().wait()
        raise AssertionError


class Crashes(Doubler):
    async def propose(self, question: str, seed: int, budget: int, emit: Callable[[str], None]) -> Answer:
        raise RuntimeError("out of memory")

    async def judge(self, question: str, answer: str) -> Judgement:
        raise RuntimeError("out of memory")


class Floods(Doubler):
    async def propose(self, question: str, seed: int, budget: int, emit: Callable[[str], None]) -> Answer:
        while True:
            emit("flood " * 100)
            await asyncio.sleep(0)


class Rubbish(Doubler):
    async def propose(self, question: str, seed: int, budget: int, emit: Callable[[str], None]) -> Answer:
        return Answer("\0🦜" * 100, -1e300, 2**40)

    async def judge(self, question: str, answer: str) -> Judgement:
        return Judgement(float("nan"), True)


class Unspeakable(Doubler):
    async def propose(self, question: str, seed: int, budget: int, emit: Callable[[str], None]) -> Answer:
        return Answer("\ud800", float("nan"), -5)

    async def judge(self, question: str, answer: str) -> Judgement:
        raise RuntimeError("\ud800")


class TooLong(Doubler):
    async def propose(self, question: str, seed: int, budget: int, emit: Callable[[str], None]) -> Answer:
        return Answer("x" * 10**6)

    async def judge(self, question: str, answer: str) -> Judgement:
        return "good"  # type: ignore[return-value]


def make(directory: Path, number: int, of: int, member: Doubler, hub: Hub, limits: Limits = FAST) -> Runtime:
    genesis = Genesis.of([key.public for key in KEYS[:of]], b"runtime")
    key = KEYS[number]
    journal = Journal(directory / f"{number}.journal", genesis.hash, key.public)
    node = Node(key, Fold(genesis), journal.recover(), now=time.monotonic(), limits=limits)
    return Runtime(node, journal, SqliteLog(directory / "mesh.log", timeout=0.2), hub.join(), member)


@asynccontextmanager
async def running(*runtimes: Runtime):
    tasks = [asyncio.create_task(runtime.run()) for runtime in runtimes]
    try:
        yield
    finally:
        for runtime in runtimes:
            runtime.stop()
        await asyncio.gather(*tasks)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(300):  # only so that a failure is not a hang; nothing is measured
        while not true():
            await asyncio.sleep(0.005)


async def answer(runtime: Runtime, question: str, budget: int = 1000, patience: float = 600.0) -> Round:
    round_ = runtime.ask(question, budget, patience)
    await until(lambda: round_ in runtime.node.fold.rounds and runtime.node.fold.rounds[round_].closed is not None)
    return runtime.node.fold.rounds[round_]


async def ask_until_refused(runtime: Runtime, into: list[bytes]) -> None:
    for question in range(500):
        into.append(runtime.ask(str(question), 100, 600.0))
        await asyncio.sleep(0.01)


async def drain(feed: Feed, into: list) -> None:
    async for event in feed:
        into.append(event)


def test_a_mesh_answers_streams_and_agrees(tmp_path: Path) -> None:
    async def play() -> None:
        hub = Hub()
        mesh = [make(tmp_path, n, 3, Doubler(0.01), hub) for n in range(3)]
        events: list = []
        async with running(*mesh):
            with mesh[1].watching() as feed:
                watching = asyncio.create_task(drain(feed, events))
                closed = await answer(mesh[0], "21")
                await until(lambda: any(isinstance(e, Closed) for e in events))
                watching.cancel()
            await until(lambda: len({r.node.fold.fingerprint() for r in mesh}) == 1)
        assert (closed.outcome, closed.chosen().answer) == ("accepted", "42")
        said = [e for e in events if isinstance(e, Said)]
        assert {e.author for e in said} == {key.public for key in KEYS[:3]}  # everyone's tokens are heard at node 1
        for key in KEYS[:3]:
            assert "".join(e.text for e in said if e.author == key.public) == "42"
        # Tokens are heard before anything of the answer is committed.
        first_said = next(i for i, e in enumerate(events) if isinstance(e, Said))
        kinds = [type(e.entry.payload).__name__ if isinstance(e, Committed) else "" for e in events]
        assert first_said < kinds.index("Proposal")

    asyncio.run(play())


@pytest.mark.parametrize("bad", [Hangs, Crashes, Floods, Rubbish, Unspeakable, TooLong])
def test_a_bad_minority_delays_nobody(bad: type[Doubler], tmp_path: Path) -> None:
    async def play() -> None:
        hub = Hub()
        members = [Doubler(), Doubler(), Doubler(), bad(), bad()]
        mesh = [make(tmp_path, n, 5, member, hub) for n, member in enumerate(members)]
        async with running(*mesh):
            for question in range(1, 6):
                closed = await answer(mesh[0], str(question), patience=3600.0)  # whoever waits, waits for an hour
                assert closed.outcome == "accepted"
                assert closed.chosen().answer == str(2 * question)

    asyncio.run(play())


class Unreachable(SqliteLog):
    """A log that can be read, and never says that it took something."""

    async def append(self, records: Sequence[bytes]) -> int | Unknown:
        return Unknown("no answer in time")


def test_who_is_heard_and_cannot_commit_delays_nobody(tmp_path: Path) -> None:
    async def play() -> None:
        hub = Hub()
        mesh = [make(tmp_path, n, 3, Doubler(0.1 * (n > 0)), hub) for n in range(3)]
        await mesh[0].log.close()
        mesh[0].log = Unreachable(tmp_path / "mesh.log")
        async with running(*mesh):
            for question in range(1, 4):
                closed = await answer(mesh[1], str(question), patience=3600.0)
                assert closed.outcome == "accepted"
            assert mesh[0].node.outbox  # it has proposed, and was heard

    asyncio.run(play())


def test_silence_ends_at_the_deadline(tmp_path: Path) -> None:
    async def play() -> Round:
        hub = Hub()
        mesh = [make(tmp_path, n, 3, Hangs(), hub) for n in range(3)]
        async with running(*mesh):
            return await answer(mesh[0], "1", patience=0.3)

    assert asyncio.run(play()).outcome == "undecided"


def test_the_budget_is_kept(tmp_path: Path) -> None:
    async def play() -> Round:
        mesh = make(tmp_path, 0, 1, Doubler(), Hub())
        async with running(mesh):
            assert (await answer(mesh, "555", budget=4)).outcome == "accepted"
            return await answer(mesh, "5555", budget=4)

    assert asyncio.run(play()).outcome == "undecided"  # 11110 has five digits


def test_cancelling_stops_the_calls(tmp_path: Path) -> None:
    async def play() -> None:
        mesh = make(tmp_path, 0, 1, Hangs(), Hub())
        async with running(mesh):
            round_ = mesh.ask("1", 100, 600.0)
            await until(lambda: bool(mesh.node.deliberation.running) and round_ in mesh.node.fold.open)
            mesh.cancel(round_)
            await until(lambda: not mesh.node.deliberation.running)
            assert mesh.node.fold.rounds[round_].outcome == "cancelled"
            assert not mesh._calls

    asyncio.run(play())


def test_a_restart_repeats_no_finished_call(tmp_path: Path) -> None:
    async def play() -> None:
        hub, first = Hub(), Doubler()
        mesh = make(tmp_path, 0, 3, first, hub)  # one of three: it can think, and nothing can be accepted
        async with running(mesh):
            round_ = mesh.ask("21", 100, 600.0)
            await until(lambda: any(c.author == KEYS[0].public for _, c in mesh.node.fold.candidates.values()))
        assert first.calls == ["21"]
        members = [Doubler(), Doubler(), Doubler()]
        again = [make(tmp_path, n, 3, member, hub) for n, member in enumerate(members)]
        async with running(*again):
            await until(lambda: round_ in again[0].node.fold.rounds and not again[0].node.fold.open)
        assert again[0].node.fold.rounds[round_].outcome == "accepted"
        assert "21" not in members[0].calls
        assert members[1].calls[:1] == ["21"]

    asyncio.run(play())


def test_an_interrupted_call_is_not_paid_for_twice(tmp_path: Path) -> None:
    async def play() -> None:
        hub = Hub()
        mesh = make(tmp_path, 0, 1, Hangs(), hub)
        async with running(mesh):
            round_ = mesh.ask("21", 100, 600.0)
            await until(lambda: round_ in mesh.node.fold.open and bool(mesh.node.deliberation.running))
        member = Doubler()
        again = make(tmp_path, 0, 1, member, hub)
        async with running(again):
            await until(lambda: round_ in again.node.fold.rounds and again.node.fold.rounds[round_].closed is not None)
        assert again.node.fold.rounds[round_].outcome == "undecided"
        assert member.calls == []

    asyncio.run(play())


def test_thinking_goes_on_while_the_log_is_held(tmp_path: Path) -> None:
    async def play() -> None:
        hub = Hub()
        mesh = [make(tmp_path, n, 3, Doubler(0.01), hub) for n in range(3)]
        async with running(*mesh):
            await answer(mesh[0], "1")
            holder = sqlite3.connect(tmp_path / "mesh.log", isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            before = holder.execute("SELECT count(*) FROM log").fetchone()[0]
            events: list = []
            with mesh[2].watching() as feed:
                watching = asyncio.create_task(drain(feed, events))
                round_ = mesh[0].ask("123456", 100, 600.0)
                everyone = {key.public for key in KEYS[:3]}
                await until(lambda: {e.author for e in events if isinstance(e, Said)} == everyone)
                await until(lambda: "locked" in mesh[0].node.tail.trouble)
                watching.cancel()
            await until(lambda: {r.node.fold.size for r in mesh} == {before})  # all of it since is tentative
            assert mesh[0].node.outbox
            holder.execute("ROLLBACK")
            await until(lambda: round_ in mesh[0].node.fold.rounds and bool(mesh[0].node.fold.rounds[round_].closed))
            assert mesh[0].node.fold.rounds[round_].chosen().answer == "246912"

    asyncio.run(play())


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    async def play() -> None:
        mesh = make(tmp_path, 0, 1, Doubler(), Hub())
        async with running(mesh):
            await answer(mesh, "1")
            pages = mesh.journal._db.execute("PRAGMA page_count").fetchone()[0]
            mesh.journal._db.execute(f"PRAGMA max_page_count={pages}")  # SQLite then reports SQLITE_FULL
            accepted = []
            with pytest.raises(RefusedError, match=r"journal cannot be written .*full"):
                await ask_until_refused(mesh, accepted)
            size = mesh.node.fold.size
            await asyncio.sleep(0.1)
            assert mesh.node.fold.size - size < 10  # nothing new is begun
            mesh.journal._db.execute("PRAGMA max_page_count=100000")
            await until(lambda: not mesh.node.scribe.trouble)
            await until(lambda: all(r in mesh.node.fold.rounds for r in accepted) and not mesh.node.fold.open)
            assert {mesh.node.fold.rounds[r].outcome for r in accepted} == {"accepted"}
            assert (await answer(mesh, "21")).chosen().answer == "42"

    asyncio.run(play())


@pytest.mark.parametrize(
    ("question", "budget", "patience"),
    [("x" * 16_385, 100, 5.0), ("\ud800", 100, 5.0), ("1", 0, 5.0), ("1", 100, float("nan")), ("1", 100, -1.0)],
)
def test_what_cannot_be_said_is_refused_and_holds_nothing_up(
    question: str, budget: int, patience: float, tmp_path: Path
) -> None:
    async def play() -> None:
        mesh = make(tmp_path, 0, 1, Doubler(), Hub())
        async with running(mesh):
            with pytest.raises(InputError, match="this cannot be said"):
                mesh.ask(question, budget, patience)
            assert (await answer(mesh, "21")).chosen().answer == "42"

    asyncio.run(play())


def test_too_much_waiting_is_refused(tmp_path: Path) -> None:
    async def play() -> None:
        mesh = make(tmp_path, 0, 1, Doubler(), Hub(), Limits(outbox=3))
        holder = sqlite3.connect(tmp_path / "mesh.log", isolation_level=None)
        async with running(mesh):
            await until(lambda: mesh.node.tail.caught_up)
            holder.execute("BEGIN IMMEDIATE")
            taken = []
            with pytest.raises(RefusedError, match="wait for the log"):
                await ask_until_refused(mesh, taken)
            assert 1 <= len(taken) <= 3
            holder.execute("ROLLBACK")
            await until(lambda: mesh.node.fold.rounds.keys() == set(taken) and not mesh.node.fold.open)

    asyncio.run(play())


def test_a_question_too_many_is_told_and_forgotten(tmp_path: Path) -> None:
    async def play() -> None:
        hub = Hub()
        mesh = [make(tmp_path, n, 3, Hangs(), hub) for n in range(2)]
        control = ControlServer(mesh[1], tmp_path / "ctl", "ben", {})
        async with running(mesh[0]), control.serving():
            for question in range(MAX_OPEN):
                mesh[0].ask(str(question), 100, 3600.0)
            await until(lambda: len(mesh[0].node.fold.open) == MAX_OPEN)
            asked = request(tmp_path / "ctl", 300.0, op="ask", question="one more", patience=3600.0)
            answer = asyncio.create_task(asyncio.to_thread(list, asked))
            await until(lambda: bool(mesh[1].node.outbox))  # it has not read yet that there are so many
            async with running(mesh[1]):
                with pytest.raises(ChorusError, match="not taken up: too many open rounds"):
                    await answer
                await until(lambda: all(len(r.node.deliberation.locals) == MAX_OPEN for r in mesh))

    asyncio.run(play())


def test_a_key_in_two_places_stops_the_second(tmp_path: Path) -> None:
    async def play() -> None:
        hub = Hub()
        one = make(tmp_path, 0, 1, Doubler(), hub)
        async with running(one):
            await answer(one, "1")
        (tmp_path / "0.journal").unlink()
        other = make(tmp_path, 0, 1, Doubler(), hub)
        with pytest.raises(Exception, match="under this node's key that its journal does not"):
            await other.run()

    asyncio.run(play())


def test_a_lost_tail_stops_the_node(tmp_path: Path) -> None:
    async def play() -> None:
        hub = Hub()
        one = make(tmp_path, 0, 1, Doubler(), hub)
        async with running(one):
            await answer(one, "1")
            await answer(one, "2")  # its transaction carries what was seen of the first
        log = sqlite3.connect(tmp_path / "mesh.log")
        log.execute("DELETE FROM log WHERE position > 2")
        log.commit()
        log.close()
        with pytest.raises(Exception, match="has lost its tail"):
            await make(tmp_path, 0, 1, Doubler(), hub).run()

    asyncio.run(play())


def test_another_history_stops_the_node(tmp_path: Path) -> None:
    async def play() -> None:
        hub = Hub()
        one = make(tmp_path, 0, 2, Doubler(), hub)
        async with running(one):
            one.ask("1", 100, 600.0)
            await until(lambda: one.node.fold.size > 0)
            one.ask("2", 100, 600.0)  # its transaction carries what was seen of the first
            await until(lambda: one.node.fold.size > 1)
        other = Entry(one.node.fold.genesis.hash, KEYS[1].public, 0, 1, (), Ask("another", 100, 5.0))
        with sqlite3.connect(tmp_path / "mesh.log") as log:
            log.execute("DELETE FROM log")
            log.execute("INSERT INTO log (record) VALUES (?)", (seal(other, KEYS[1]),))
        with pytest.raises(ChorusError, match="entry 0 of the log is not the one this node saw"):
            await make(tmp_path, 0, 2, Doubler(), hub).run()

    asyncio.run(play())


def test_a_name_leads_every_node_to_the_bytes(tmp_path: Path) -> None:
    async def play() -> None:
        hub, data = Hub(), random.Random(0).randbytes(200_000)
        mesh = [make(tmp_path, n, 3, Doubler(), hub) for n in range(3)]
        for n, runtime in enumerate(mesh):
            runtime.artifacts = Artifacts(tmp_path / f"store{n}")
        async with running(*mesh):
            digest = mesh[0].artifacts.put(data)
            with pytest.raises(InputError, match="is no name for an artifact"):
                mesh[0].name("../../etc/passwd", digest, len(data))
            mesh[0].name("report.bin", digest, len(data))
            await until(lambda: "report.bin" in mesh[2].node.fold.names and len(mesh[2].node.peers) == 2)
            assert await asyncio.gather(*(mesh[2].artifact(digest) for _ in range(3))) == [data] * 3
            assert Artifacts(tmp_path / "store2").get(digest) == data
            file = next(path for path in (tmp_path / "store2").rglob("*") if path.is_file())
            file.write_bytes(b"spoiled")
            assert await mesh[2].artifact(digest) == data  # fetched anew
            assert file.read_bytes() == data
            with pytest.raises(ChorusError, match="nobody who can be heard has it"):
                await mesh[2].artifact(sha256(b"never stored").digest())

    asyncio.run(play())
