"""A node at work: the core's effects carried out on a real journal, log, bus and member, under asyncio.

Nothing here decides anything. Disk and log are worked in threads of their own, so that tokens flow while a commit
waits; a member's calls are tasks of their own, so that one that hangs holds up nothing but itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from chorus.errors import ChorusError
from chorus.mesh.artifacts import Artifacts
from chorus.mesh.bus import Bus
from chorus.mesh.core import Node
from chorus.mesh.effects import (
    Alarm,
    Append,
    Broadcast,
    Call,
    Closed,
    Committed,
    Fetched,
    Persist,
    Read,
    Said,
    Serve,
    Stop,
)
from chorus.mesh.gossip import PIECE
from chorus.mesh.journal import Journal, JournalError
from chorus.mesh.log import LogUnavailableError, OrderedLog, Unknown, WrongLogError
from chorus.mesh.member import (
    Answer,
    BudgetSpentError,
    Failure,
    Judgement,
    Member,
    Outcome,
    decode_outcome,
    encode_outcome,
)

if TYPE_CHECKING:
    from chorus.mesh.tracing import Tracing

READ_LIMIT = 512  # records in one reading
_FEED = 10_000  # events kept for a watcher that is behind

Event = Said | Committed | Closed | Alarm


class Feed:
    """One watcher's view of a node's events; a watcher that is behind loses the oldest, and the node never waits."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=_FEED)
        self._arrived = asyncio.Event()
        self.lost = 0

    def put(self, event: Event) -> None:
        """Add an event."""
        self.lost += len(self._events) == _FEED
        self._events.append(event)
        self._arrived.set()

    def taken(self) -> list[Event]:
        """Take what there is, without waiting."""
        events = list(self._events)
        self._events.clear()
        return events

    async def next(self, within: float) -> Event | None:
        """Return the next event, or None when there was none for so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self._events:
                    self._arrived.clear()
                    await self._arrived.wait()
        return self._events.popleft() if self._events else None

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            while self._events:
                yield self._events.popleft()
            self._arrived.clear()
            await self._arrived.wait()


class Runtime:
    """Runs one node.

    Args:
        node: the core, freshly made from what `journal` recovered.
        journal, log, bus, member: what its effects are carried out on.
        artifacts: where this node keeps artifacts; without it there are none here.
        tracing: told of what happens, for OpenTelemetry.

    """

    def __init__(
        self,
        node: Node,
        journal: Journal,
        log: OrderedLog,
        bus: Bus,
        member: Member,
        artifacts: Artifacts | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.node = node
        self.journal = journal
        self.log = log
        self.bus = bus
        self.member = member
        self.artifacts = artifacts
        self._tracing = tracing
        self.feeds: set[Feed] = set()
        self._disk = ThreadPoolExecutor(1, "journal")
        self._fetching: dict[bytes, asyncio.Future[bytes | None]] = {}
        self._calls: dict[bytes, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stirred = asyncio.Event()  # something is under way
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Run until `stop`, or until the node has to; raises `ChorusError` then."""
        for work in (self._tick(), self._listen(), self._watch()):
            self._spawn(work)
        self._carry_out()
        await self._stopped.wait()
        await self._shut_down()
        if self.node.halted:
            raise ChorusError(self.node.halted)

    def stop(self) -> None:
        """Have `run` return."""
        self._stopped.set()

    def ask(self, question: str, budget: int, patience: float) -> bytes:
        """Open a round; raises `RefusedError`."""
        round_ = self.node.ask(time.monotonic(), question, budget, patience)
        self._carry_out()
        return round_

    def cancel(self, round_: bytes) -> None:
        """Withdraw a question."""
        self.node.cancel(time.monotonic(), round_)
        self._carry_out()

    def name(self, name: str, digest: bytes, size: int) -> bytes:
        """Bind a name to an artifact; raises `InputError` for what is no name, `RefusedError` when not ready."""
        identity = self.node.name(time.monotonic(), name, digest, size)
        self._carry_out()
        return identity

    def propose_members(self, members: Iterable[bytes]) -> bytes:
        """Propose the next epoch's members; raises `RefusedError` when not ready."""
        motion = self.node.propose_members(time.monotonic(), list(members))
        self._carry_out()
        return motion

    def approve(self, motion: bytes) -> bytes:
        """Approve a proposed membership; returns the vote's identity."""
        vote = self.node.approve(time.monotonic(), motion)
        self._carry_out()
        return vote

    async def artifact(self, digest: bytes) -> bytes:
        """Return an artifact, fetched from another node and kept where this one has not got it, or not as it was.

        Raises `ChorusError` when nobody who can be heard has it.
        """
        if self.artifacts is None:
            raise ChorusError("this node keeps no artifacts")
        with contextlib.suppress(ChorusError):
            return await asyncio.to_thread(self.artifacts.get, digest)
        if digest not in self._fetching:
            self.node.fetch(time.monotonic(), digest)
            self._fetching[digest] = asyncio.get_running_loop().create_future()
            self._carry_out()
        data = await asyncio.shield(self._fetching[digest])
        if data is None:
            raise ChorusError(f"artifact {digest.hex()[:12]}… is not here, and nobody who can be heard has it")
        return data

    @contextlib.contextmanager
    def watching(self) -> Any:
        """Yield a feed of everything that happens from now on."""
        feed = Feed()
        self.feeds.add(feed)
        try:
            yield feed
        finally:
            self.feeds.discard(feed)

    # The world's side of every effect.

    def _carry_out(self) -> None:
        for effect in self.node.take_effects():
            if self._tracing is not None:
                self._tracing.effect(effect, self.node.fold)
            if isinstance(effect, Broadcast):
                self.bus.send(effect.data)
            elif isinstance(effect, Persist):
                self._spawn(self._persist(effect))
            elif isinstance(effect, Append):
                self._spawn(self._append(effect))
            elif isinstance(effect, Read):
                self._spawn(self._read(effect))
            elif isinstance(effect, Call):
                self._calls[effect.key] = self._spawn(self._call(effect))
            elif isinstance(effect, Serve):
                self._spawn(self._serve(effect))
            elif isinstance(effect, Fetched):
                self._spawn(self._keep(effect))
            elif isinstance(effect, Stop):
                task = self._calls.pop(effect.key, None)
                if task is not None:
                    task.cancel()
            else:
                for feed in self.feeds:
                    feed.put(effect)
                if isinstance(effect, Alarm) and effect.fatal:
                    self._stopped.set()
        if not self.node.at_rest():
            self._stirred.set()

    async def _persist(self, persist: Persist) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._disk, self.journal.write, persist.writes)
        except JournalError as error:
            self.node.persist_failed(time.monotonic(), str(error))
        else:
            self.node.persisted(time.monotonic())
        self._carry_out()

    async def _append(self, append: Append) -> None:
        outcome = await self.log.append(append.records)
        unknown = outcome.reason if isinstance(outcome, Unknown) else ""
        if self._tracing is not None:
            self._tracing.appended(unknown)
        self.node.appended(time.monotonic(), unknown)
        self._carry_out()

    async def _read(self, read: Read) -> None:
        try:
            records: list[tuple[int, bytes]] | None = await self.log.read(read.after, READ_LIMIT)
            self.node.tail.readable(time.monotonic())
        except LogUnavailableError as error:
            records = None
            self.node.tail.unread = str(error)
        except WrongLogError as error:
            records = None
            self.node.halt(str(error))
        self.node.read(time.monotonic(), read.after, records, records is not None and len(records) == READ_LIMIT)
        self._carry_out()

    async def _keep(self, fetched: Fetched) -> None:
        trouble: ChorusError | None = None
        if fetched.data is not None and self.artifacts is not None:
            try:
                await asyncio.to_thread(self.artifacts.put, fetched.data)
            except ChorusError as error:
                trouble = error
        waiting = self._fetching.pop(fetched.digest)
        if trouble is None:
            waiting.set_result(fetched.data)
        else:
            waiting.set_exception(trouble)

    async def _serve(self, serve: Serve) -> None:
        size, data = 0, b""
        if self.artifacts is not None:
            with contextlib.suppress(ChorusError):
                size, data = await asyncio.to_thread(self.artifacts.piece, serve.digest, serve.offset, PIECE)
        self.node.fetches.served(serve, size, data)
        self._carry_out()

    async def _call(self, call: Call) -> None:
        outcome: Outcome
        try:
            if call.answer is None:
                outcome = await self._propose(call)
            else:
                outcome = await self._judge(call, call.answer)
        except Exception as error:  # whatever a member does, the node goes on, and the transcript says why it passed
            words = f"{type(error).__name__}: {error}"[:200]
            outcome = Failure(words.encode("ascii", "backslashreplace").decode())
        self._calls.pop(call.key, None)
        if self._tracing is not None:
            self._tracing.finished(call.key, outcome)
        self.node.finished(time.monotonic(), call.key, outcome)
        self._carry_out()

    async def _propose(self, call: Call) -> Outcome:
        spent = 0

        def emit(text: str) -> None:
            nonlocal spent
            spent += 1
            if spent > call.budget:
                raise BudgetSpentError(f"more than {call.budget} tokens")
            self.node.token(time.monotonic(), call.key, text)
            self._carry_out()

        answer = await self.member.propose(call.question, call.seed, call.budget, emit)
        if not isinstance(answer, Answer):
            return Failure(f"the member answered with a {type(answer).__name__}")
        try:
            decode_outcome(encode_outcome(answer))  # what the journal cannot hold is no answer
        except ValueError as error:
            return Failure(f"the member's answer is not text and numbers: {error}"[:200])
        return answer

    async def _judge(self, call: Call, answer: str) -> Outcome:
        judgement = await self.member.judge(call.question, answer)
        if not isinstance(judgement, Judgement) or not 0.0 <= judgement.score <= 1.0:
            return Failure("the member's judgement is not a score between 0 and 1")
        return judgement

    async def _tick(self) -> None:
        while True:
            self.node.tick(time.monotonic())
            self._carry_out()
            if not self.node.at_rest():
                await asyncio.sleep(self.node.limits.flush)
                continue
            self._stirred.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.node.limits.poll):
                    await self._stirred.wait()

    async def _listen(self) -> None:
        while True:
            data = await self.bus.receive()
            self.node.received(time.monotonic(), data)
            self._carry_out()

    async def _watch(self) -> None:
        while True:
            await self.log.watch(self.node.tail.cursor)
            self.node.grown(time.monotonic())
            self._carry_out()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.node.halted = self.node.halted or f"a fault of the program: {task.exception()!r}"
            self._stopped.set()

    async def _shut_down(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for waiting in self._fetching.values():
            waiting.set_result(None)
        await self.member.close()
        await self.bus.close()
        await self.log.close()
        self._disk.shutdown(wait=True)
        self.journal.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
