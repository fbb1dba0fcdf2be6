"""The simulated world: virtual time, and disks, a log, a bus and members that fail as real ones do."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from typing import Any

from chorus.mesh.core import Node
from chorus.mesh.effects import Append, Broadcast, Call, Committed, Fetched, Persist, Read, Serve, Stop, Write
from chorus.mesh.entries import Entry, Membership, Vote, identity
from chorus.mesh.fold import Fold
from chorus.mesh.identity import Genesis
from chorus.mesh.limits import Limits, Recovered, RefusedError
from chorus.mesh.member import Answer, Failure, Judgement, Outcome, decode_outcome
from chorus.mesh.simulation.shelf import Shelf

LIMITS = Limits(poll=0.6, heartbeat=1.0, flush=0.1, retry=0.1, retry_most=0.8)
TICK = 0.25  # seconds of virtual time


class CrashError(Exception):
    """A node died in the middle of what it was doing."""


class CheapKey:
    """A keyed hash in Ed25519's place: forgeries fail as they should, two hundred times as fast."""

    _secrets: dict[bytes, bytes] = {}  # noqa: RUF012 - the world's own knowledge of every key

    def __init__(self, seed: bytes) -> None:
        self._secret = sha256(seed).digest()
        self.public = sha256(b"public" + self._secret).digest()
        self._secrets[self.public] = self._secret

    def sign(self, data: bytes) -> bytes:
        """Return a 64-byte tag."""
        return blake2b(data, key=self._secret).digest()

    @classmethod
    def verify(cls, public: bytes, data: bytes, signature: bytes) -> bool:
        """Check a tag."""
        secret = cls._secrets.get(public)
        return secret is not None and blake2b(data, key=secret).digest() == signature


@dataclass
class Faults:
    """How badly the world behaves now; all are probabilities but the cuts."""

    drop: float = 0.0
    repeat: float = 0.0
    corrupt: float = 0.0
    delay: float = 0.02  # seconds, the mean of an exponential
    unknown: float = 0.0  # an append whose outcome stays unknown
    unread: float = 0.0  # a reading that fails
    links: set[tuple[int, int]] = field(default_factory=set)  # (from, to) that carry nothing
    log_requests: set[int] = field(default_factory=set)  # nodes whose requests never reach the log
    log_replies: set[int] = field(default_factory=set)  # nodes that never hear the log's replies
    full: set[int] = field(default_factory=set)  # nodes whose disk is full
    unsynced: bool = False  # a broken disk: says "synced" while the rows are still in memory


class World:
    """Virtual time and everything in it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.faults = Faults()
        self.log: list[bytes] = []
        self.keeps_first = self.rng.random() < 0.5  # the log takes a record once, as SQLite's does, or every time
        self.hosts: list[Host] = []
        self.born: dict[bytes, float] = {}  # identity → when its author journalled it
        self.entries: dict[bytes, Entry] = {}
        self.acknowledged: dict[bytes, float] = {}  # identity → when somebody first reported it committed
        self.artifacts: set[bytes] = set()  # digests
        self.owed: set[tuple[int, bytes]] = set()  # (host, digest): fetches after healing that must succeed
        self.errands = 0  # things planned for after healing
        self.events = 0
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, when: float, what: Callable[..., None], *args: object) -> None:
        """Have something happen at a time."""
        self._count += 1
        heapq.heappush(self._queue, (when, self._count, what, args))

    def after(self, mean: float, what: Callable[..., None], *args: object) -> None:
        """Have something happen after a random while."""
        self.at(self.now + self.rng.expovariate(1 / mean), what, *args)

    def run_until(self, end: float, quiet: Callable[[], bool] | None = None) -> None:
        """Let time pass; stop early once `quiet` says that there is nothing left to do."""
        queue = self._queue
        while queue and queue[0][0] <= end:
            self.now, _, what, args = heapq.heappop(queue)
            self.events += 1
            what(*args)
            if quiet is not None and not self.events & 63 and quiet():
                return
        self.now = max(self.now, end)

    def broadcast(self, sender: int, data: bytes) -> None:
        """Carry a message to every other host, or not."""
        faults, rng = self.faults, self.rng
        for host in self.hosts:
            if host.number == sender or (sender, host.number) in faults.links or rng.random() < faults.drop:
                continue
            for _ in range(1 + (rng.random() < faults.repeat)):
                carried = data
                if rng.random() < faults.corrupt:
                    at = rng.randrange(len(data))
                    carried = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
                self.after(faults.delay, host.deliver, host.life, carried)

    def append(self, host: Host, records: tuple[bytes, ...]) -> None:
        """Take records into the log, or not, and tell, or not."""
        faults, rng = self.faults, self.rng
        if host.number in faults.log_requests:
            self.at(self.now + 1.0, host.event, host.life, "appended", "no answer in time")
            return
        if host.number in faults.log_replies:
            self.after(faults.delay, self._store, records)
            self.at(self.now + 1.0, host.event, host.life, "appended", "no answer in time")
            return
        if rng.random() >= faults.unknown:
            self.after(faults.delay, self._take, host, host.life, records)
            return
        fate = rng.randrange(4)  # not stored; stored; some of it stored, in any order; stored, but only later
        if fate:
            torn = fate == 2 and not self.keeps_first  # what takes a record once takes an append as a whole
            part = rng.sample(records, rng.randrange(len(records) + 1)) if torn else records
            self.after(1.5 if fate == 3 else faults.delay, self._store, part)
        self.after(0.3, host.event, host.life, "appended", "no answer in time")

    def _take(self, host: Host, life: int, records: tuple[bytes, ...]) -> None:
        self._store(records)
        self.after(self.faults.delay, host.event, life, "appended")

    def _store(self, records: Sequence[bytes]) -> None:
        self.log += [record for record in records if not (self.keeps_first and record in self.log)]

    def read(self, host: Host, after: int) -> None:
        """Read the log: a prefix of it, possibly not the newest, possibly told twice, possibly nothing."""
        faults, rng = self.faults, self.rng
        if host.number in faults.log_requests | faults.log_replies or rng.random() < faults.unread:
            self.at(self.now + 1.0, host.event, host.life, "read", after, None)
            return
        records = [(after + 1 + i, record) for i, record in enumerate(self.log[after : after + 32])]
        more = after + len(records) < len(self.log)
        for _ in range(1 + (rng.random() < faults.repeat)):
            self.after(faults.delay, host.event, host.life, "read", after, records, more)


class Host:
    """A machine: what survives a crash (the disk), what does not (the node), and a clock of its own."""

    def __init__(self, world: World, number: int, key: CheapKey, genesis: Genesis, kind: str) -> None:
        self.world = world
        self.number = number
        self.key = key
        self.genesis = genesis
        self.kind = kind  # of member: good, slow, silent, failing, rubbish, fickle
        self.node_class: type[Node] = Node
        self.fold_class: type[Fold] = Fold
        self.life = 0
        self.node: Node | None = None
        self.disk: dict[tuple[str, bytes], bytes] = {}
        self.volatile: dict[tuple[str, bytes], bytes] = {}  # what a lying disk has not synced
        self.under_way: tuple[Write, ...] = ()
        self.boots = 0
        self.fuse = -1  # effects until a crash; never if negative
        self.transcripts: list[list[bytes]] = []  # one for each life: identities in the order reported
        self.calls: Counter[bytes] = Counter()
        self.shelf = Shelf(world.rng)
        self.offset = world.rng.uniform(-1e6, 1e6)
        self.rate = world.rng.uniform(0.8, 1.25)

    def clock(self) -> float:
        """Return this machine's time, which is nobody else's."""
        return self.offset + self.rate * self.world.now

    def start(self) -> None:
        """Boot from what is on disk."""
        if self.node is not None:
            return
        self.life += 1
        self.boots += 1
        rows = self.disk
        leaves = [rows[key] for key in sorted(k for k in rows if k[0] == "leaf")]
        records = [rows[key] for key in sorted(k for k in rows if k[0] == "entry")]
        calls = {k[1]: decode_outcome(v) if v else None for k, v in rows.items() if k[0] == "call"}
        self.node = self.node_class(
            self.key,
            self.fold_class(self.genesis, CheapKey.verify),
            Recovered(boot=self.boots, entries=records, calls=calls, leaves=leaves),
            now=self.clock(),
            limits=LIMITS,
            rng=self.world.rng,
            verify=CheapKey.verify,
        )
        self.transcripts.append([])
        self._tick(self.life)

    def crash(self) -> None:
        """Lose everything but the disk; what was being written is there or is not."""
        if self.node is None:
            return
        self.node = None
        self.fuse = -1
        if self.under_way and self.world.rng.random() < 0.5:
            self._store(self.under_way)
        self.under_way = ()
        self.volatile.clear()
        self.shelf.fetching.clear()

    def event(self, life: int, name: str, *args: object) -> None:
        """Bring an event to the node it was meant for."""
        if self.node is None or life != self.life:
            return
        if name == "persisted":
            self.under_way = ()
        getattr(self.node, name)(self.clock(), *args)
        self.carry_out()

    def deliver(self, life: int, data: bytes) -> None:
        """Bring a message."""
        self.event(life, "received", data)

    def fetch(self, digest: bytes) -> None:
        """Have the node fetch an artifact, if it is up."""
        if self.node is None or digest in self.shelf.fetching:
            return
        try:
            self.node.fetch(self.clock(), digest)
        except RefusedError:
            return
        self.shelf.fetching.add(digest)
        self.carry_out()

    def carry_out(self) -> None:
        """Do what the node wants done, until it dies."""
        node = self.node
        assert node is not None
        try:
            for effect in node.take_effects():
                if self.fuse >= 0:
                    self.fuse -= 1
                    if self.fuse < 0:
                        raise CrashError
                self._do(effect)
        except CrashError:
            self.crash()

    def _do(self, effect: object) -> None:
        world = self.world
        if isinstance(effect, Persist):
            self._persist(effect.writes)
        elif isinstance(effect, Broadcast):
            world.broadcast(self.number, effect.data)
        elif isinstance(effect, Append):
            world.append(self, effect.records)
        elif isinstance(effect, Read):
            world.read(self, effect.after)
        elif isinstance(effect, Call):
            self._call(effect)
        elif isinstance(effect, Committed):
            self.transcripts[-1].append(effect.id)
            world.acknowledged.setdefault(effect.id, world.now)
            world.entries.setdefault(effect.id, effect.entry)
            payload, mine = effect.entry.payload, effect.entry.author == self.key.public
            if isinstance(payload, Membership) and not mine:
                world.after(0.2, self._approve, self.life, effect.id)
            elif isinstance(payload, Vote) and mine and self.kind == "fickle" and payload.score is not None:
                self._vote_again(payload)
        elif isinstance(effect, Serve):
            world.after(0.02, self._serve, self.life, effect)
        elif isinstance(effect, Fetched):
            self.shelf.brought(effect.digest, effect.data)
        elif isinstance(effect, Stop):
            pass  # a call that cannot be stopped: its outcome comes all the same, and is ignored

    def _serve(self, life: int, serve: Serve) -> None:
        if self.node is not None and life == self.life:
            self.node.fetches.served(serve, *self.shelf.piece(serve.digest, serve.offset))
            self.carry_out()

    def _vote_again(self, vote: Vote) -> None:
        """Break the protocol as a member could whose code is wrong: vote twice, the second time for the opposite."""
        assert self.node is not None
        self.node.speak(Vote(vote.proposal, not vote.approve, None, vote.epoch))

    def _approve(self, life: int, motion: bytes) -> None:
        if self.node is not None and life == self.life and motion in self.node.fold.motions:
            self.node.approve(self.clock(), motion)
            self.carry_out()

    def _persist(self, writes: tuple[Write, ...]) -> None:
        world = self.world
        if self.number in world.faults.full:
            world.after(0.01, self.event, self.life, "persist_failed", "no space left on device")
            return
        for kind, _, value in writes:
            if kind == "entry":
                world.born.setdefault(identity(value), world.now)
        self.under_way = writes
        world.after(0.01, self._synced, self.life, writes)

    def _synced(self, life: int, writes: tuple[Write, ...]) -> None:
        if self.node is None or life != self.life:
            return
        self._store(writes)
        self.event(life, "persisted")

    def _store(self, writes: tuple[Write, ...]) -> None:
        rows = self.volatile if self.world.faults.unsynced else self.disk
        rows.update({(kind, key): value for kind, key, value in writes})

    def _call(self, call: Call) -> None:
        self.calls[call.key] += 1
        if self.kind == "silent":
            return
        outcome: Outcome
        if self.kind == "failing":
            outcome = Failure("the member crashed")
        elif call.answer is None:
            text = "rubbish" if self.kind == "rubbish" else f"{call.question}!"
            outcome = Answer(text, self.world.rng.random(), 3)
            self.world.after(0.1, self.event, self.life, "token", call.key, text)
        else:
            good = call.answer == f"{call.question}!"
            outcome = Judgement(0.9 if good else 0.1, good if self.kind != "rubbish" else not good)
        self.world.after(2.0 if self.kind == "slow" else 0.2, self.event, self.life, "finished", call.key, outcome)

    def _tick(self, life: int) -> None:
        if self.node is not None and life == self.life:
            self.event(life, "tick")
            self.world.at(self.world.now + TICK, self._tick, life)
