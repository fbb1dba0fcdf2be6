"""A node without input or output: events in, effects out.

The same code runs in production, where `runtime` carries out its effects on real disks, sockets and models, and in
`simulation`, where all of these misbehave on purpose. Time comes in with every event, as seconds of a clock that
need not agree with any other node's; randomness comes in as a generator.

What makes a node safe, beside the rules of the fold:

1. *On disk before it is spoken.* An entry, and everything it rests on, is synced to the journal before it is sent
   or appended. A node that forgot what it said could say something else under the same number.
2. *Unknown is not failed.* An entry stays in the outbox until it is seen applied, and is appended, byte for byte
   the same, until then. Nothing else takes it out: no acknowledgement, no time-out, no restart.
3. *Committed means read.* Only what was read back through the log, in its order, without gaps, is committed.
4. *Paid for once.* A call's intent is on disk before it is made, and its outcome before anything is said of it.
5. *The chain is its own witness.* If the log holds an entry of this node's key that its journal does not know, the
   key is in use elsewhere or the journal is not the latest: the node stops rather than fork its own history.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import islice

from chorus.mesh.artifacts import check_name
from chorus.mesh.chain import Chain
from chorus.mesh.deliberation import Deliberation, Readers, everyone
from chorus.mesh.effects import Alarm, Append, Broadcast, Call, Closed, Committed, Effect, Read, Said, Stop, Write
from chorus.mesh.entries import AnyPayload, Ask, Cancel, Done, Membership, Name, Proposal, Vote, identity
from chorus.mesh.fetching import Fetches
from chorus.mesh.fold import MAX_OPEN, Applied, Fold
from chorus.mesh.gossip import Announcement, AnyMessage, Envelope, Gate, Heartbeat, Piece, Tokens, Want
from chorus.mesh.heads import sign_head
from chorus.mesh.identity import Signer, Verify, verify
from chorus.mesh.limits import Limits, Peer, Recovered, RefusedError
from chorus.mesh.member import Failure, Outcome, encode_outcome
from chorus.mesh.merkle import leaf_hash
from chorus.mesh.rhythm import Pace, Turns
from chorus.mesh.scribe import Scribe
from chorus.mesh.streams import Streams
from chorus.mesh.tail import Tail

MAX_BATCH = 128  # records in one append
_CHORUS = 5  # members up to which answers are told at the full pace of `Limits.flush`


class Node:
    """One node of a mesh. Feed it events; carry out `take_effects()` in order after each.

    Args:
        key: the node's key.
        fold: the state to fold the log into, fresh.
        recovered: what its journal remembers.
        now: the time on the clock whose readings will come with every event.
        readers: who reads whose proposals.
        rng: randomness for pauses between retries, and for where on its cycle the node's rhythm starts.

    """

    def __init__(
        self,
        key: Signer,
        fold: Fold,
        recovered: Recovered | None = None,
        *,
        now: float = 0.0,
        readers: Readers = everyone,
        limits: Limits | None = None,
        rng: random.Random | None = None,
        verify: Verify = verify,
    ) -> None:
        recovered = recovered or Recovered()
        self.me = key.public
        self.fold = fold
        self.limits = limits or Limits()
        self.gate = Gate(key, fold.genesis.hash, recovered.boot, verify, self.limits.rate)
        self.peers: dict[bytes, Peer] = {}
        self.outbox: dict[bytes, bytes] = {}  # own records on disk and not yet seen committed
        self.scribe = Scribe()
        rng = rng or random.Random()
        self.tail = Tail(now, self.limits, rng)
        self.pace = Pace(key.public, now, self.limits.heartbeat, recovered.boot, rng)
        self.halted = ""
        self._key = key
        self._effects: list[Effect] = []
        self._now = now
        self.chain = Chain(key, fold.genesis.hash)
        self.fetches = Fetches(self.me, self._say, self._effects.append)
        self._leaves = recovered.leaves  # until the log was read that far
        self._head_size = len(recovered.leaves)  # of the last head that was signed and kept
        self._next_flush = self._next_sync = now
        self._streams = Streams()
        turns = Turns(now, self.limits.turn)
        self.deliberation = Deliberation(self.me, fold, dict(recovered.calls), self, readers, self.limits, turns)
        for record in recovered.entries:
            entry = self.chain.remember(record)
            self.outbox[identity(record)] = record
            self.deliberation.hear(identity(record), entry, now)

    # What an operator or a client asks.

    def ask(self, now: float, question: str, budget: int = 100_000, patience: float = 30.0) -> bytes:
        """Open a round and return its identity; raises `RefusedError` when the node must not take more on."""
        self._check_ready()
        if len(self.deliberation.locals) >= MAX_OPEN:
            raise RefusedError(f"{MAX_OPEN} rounds are open: wait for one to close")
        return self._publish(now, Ask(question, budget, patience))

    def cancel(self, now: float, round_: bytes) -> bytes:
        """Withdraw a question of this node's."""
        return self._publish(now, Cancel(round_), (round_,))

    def name(self, now: float, name: str, digest: bytes, size: int) -> bytes:
        """Bind a name to an artifact; raises `InputError` for what is no name, `RefusedError` when not ready."""
        check_name(name)
        self._check_ready()
        return self._publish(now, Name(name, digest, size))

    def fetch(self, now: float, digest: bytes) -> None:
        """Fetch an artifact from the others, whoever was heard last first; `Fetched` tells what came of it."""
        heard = sorted(self.peers.keys() & self.fold.members, key=lambda member: -self.peers[member].heard)
        self.fetches.begin(now, digest, heard)

    def propose_members(self, now: float, members: Sequence[bytes]) -> bytes:
        """Propose the members of the next epoch."""
        self._check_ready()
        return self._publish(now, Membership(tuple(sorted(set(members))), self.fold.epoch))

    def approve(self, now: float, motion: bytes) -> bytes:
        """Approve a proposed membership."""
        return self._publish(now, Vote(motion, True, None, self.fold.epoch), (motion,))

    # Events.

    def tick(self, now: float) -> None:
        """Do what is due."""
        if now >= self._next_flush:
            self._flush(now)
        if self.pace.beat(now):
            where = (self.fold.size, self.fold.tree.root(), self.fold.epoch, len(self.outbox))
            self._say(Heartbeat(*where, self.pace.phase(now)))
        if now >= self._next_sync:
            self._next_sync = now + 1.0
            if self.fold.size > self._head_size:
                self._head_size = self.fold.size
                self.scribe.with_the_next(Write("head", b"", sign_head(self.fold, self._key)))
            self._sync(force=True)
        if self.tail.poll_due(now):
            self._read(now)
        self.deliberation.overdue(now)
        self.fetches.overdue(now)
        self._settle(now)

    def grown(self, now: float) -> None:
        """Look at the log, which may hold more than was read."""
        self._read(now)

    def received(self, now: float, data: bytes) -> None:
        """Take a message from the bus; whatever it is, it cannot harm."""
        envelope = self.gate.open(data, self.fold.members, self.fold.clock, now)
        if envelope is None:
            if self.gate.twin and not self.halted:
                self.halt(self.gate.twin)
            return
        self.chain.clock = max(self.chain.clock, envelope.clock)
        peer = self.peers.setdefault(envelope.sender, Peer(now))
        peer.heard = now
        self._take(now, envelope, peer)
        self._settle(now)

    def persisted(self, now: float) -> None:
        """Go on with what waited for the rows of the last `Persist`, which are synced."""
        if self.scribe.trouble:
            self.deliberation.touch_all()
        effects, records = self.scribe.written()
        running = self.deliberation.running  # a call that was given up before its intent was on disk is not made
        self._effects += [e for e in effects if not isinstance(e, Call) or e.key in running]
        self.outbox |= records
        self._sync()
        self._settle(now)

    def persist_failed(self, now: float, reason: str) -> None:
        """Keep what the disk refused, to try again; nothing that waits for it has been spoken."""
        if not self.scribe.trouble:
            self._effects.append(Alarm(f"the journal cannot be written ({reason}): nothing is said till it can", False))
        self.scribe.failed(reason)
        self._next_sync = now + 1.0

    def appended(self, now: float, unknown: str = "") -> None:
        """Take the log's answer; `unknown` says why it is not known whether the records are in it."""
        if self.tail.appended(now, unknown, self.outbox):
            self._read(now)
        else:
            self._settle(now)

    def read(self, now: float, after: int, records: Sequence[tuple[int, bytes]] | None, more: bool = False) -> None:
        """Take what was read of the log: records with their positions, or None where it could not be read."""
        self.tail.reading = False
        if records is None or not self.expected(after):
            return
        waiting = len(self.outbox)
        for position, record in records:
            self.tail.cursor = position
            self._apply(now, record)
        if self.halted:
            return
        if len(self.outbox) < waiting:
            self.tail.read_back(now)
        if self.tail.end_reading(more):
            self._read(now)
        if not more:
            if self.fold.size < len(self._leaves):
                self.halt(
                    f"the log has lost its tail: it ends at entry {self.fold.size}, and this node has seen "
                    f"{len(self._leaves)} committed; restore the log, or it is not the one this journal belongs to"
                )
            self._leaves = ()
            self._settle(now)

    def token(self, now: float, key: bytes, text: str) -> None:
        """Pass on a piece of the answer that the member is writing."""
        if key not in self.deliberation.running or key[:1] != b"p":
            return
        self._effects.append(Said(self.me, key[1:], self._streams.add(key[1:], text), text))
        if now >= self._next_flush:
            self._flush(now)

    def finished(self, now: float, key: bytes, outcome: Outcome) -> None:
        """Take the outcome of a call."""
        if key not in self.deliberation.running:
            return
        self._flush(now)
        self._streams.end(key[1:])
        self.deliberation.running.discard(key)
        self.deliberation.calls[key] = outcome
        self._stage([Write("call", key, encode_outcome(outcome))], [])
        self.deliberation.touch_all()
        self._settle(now)

    def at_rest(self) -> bool:
        """Say whether nothing is under way, so that the next tick may wait for `Limits.poll`."""
        return not (self.outbox or self.deliberation.locals or len(self.scribe) or len(self.fetches))

    def busy(self) -> bool:
        """Say whether something is under way whose end this node waits for."""
        return bool(len(self.scribe) or self.tail.appending or self.tail.reading)

    def take_effects(self) -> list[Effect]:
        """Return what is to be done, in order, and forget it."""
        effects = self._effects.copy()
        self._effects.clear()
        return effects

    # Deliberation's voice.

    def speak(self, payload: AnyPayload, because: tuple[bytes, ...] = ()) -> bytes:
        """Make an entry: stamp it, chain it, sign it, journal it; it is sent once it is on disk.

        Raises `InputError`, with nothing said, for what no entry can hold: it would be void for everyone.
        """
        record, entry = self.chain.extend(payload, because, self.fold.clock)
        own = identity(record)
        sent: list[Effect] = []
        if isinstance(payload, Ask | Proposal):
            sent.append(Broadcast(self.gate.seal(Announcement(record), entry.clock)))
        self._stage([Write("entry", entry.seq.to_bytes(8, "big"), record)], sent, record)
        self.deliberation.hear(own, entry, self._now)
        return own

    def begin(self, key: bytes, round_: bytes, question: str, answer: str | None, seed: int, budget: int) -> None:
        """Journal the intent of a call, then make it; not while the disk refuses."""
        if self.scribe.trouble:
            return
        self.deliberation.calls[key] = None
        self.deliberation.running.add(key)
        self._stage([Write("call", key, b"")], [Call(key, round_, question, answer, seed, budget)])

    def stop(self, key: bytes, why: Failure) -> None:
        """Give a call up; the failure reaches the journal with the next transaction."""
        self.deliberation.running.discard(key)
        self.deliberation.calls[key] = why
        self._streams.end(key[1:])
        self.scribe.with_the_next(Write("call", key, encode_outcome(why)))
        self._effects.append(Stop(key))
        self.deliberation.touch_all()

    # Inside.

    def _check_ready(self) -> None:
        if self.halted:
            raise RefusedError(self.halted)
        if self.scribe.trouble:
            raise RefusedError(f"the journal cannot be written ({self.scribe.trouble}): no new entries until it can")
        if self.me not in self.fold.members:
            raise RefusedError(f"this node is no member of epoch {self.fold.epoch}")
        if len(self.outbox) + len(self.scribe) >= self.limits.outbox:
            raise RefusedError(f"{len(self.outbox)} entries wait for the log ({self.tail.trouble or 'it is slow'})")

    def _publish(self, now: float, payload: AnyPayload, because: tuple[bytes, ...] = ()) -> bytes:
        self._now = now
        identity_ = self.speak(payload, because)
        self._settle(now)
        return identity_

    def _settle(self, now: float) -> None:
        self._now = now
        if not self.halted:
            self.deliberation.settle(now)
            self._pump(now)

    def _stage(self, writes: list[Write], then: list[Effect], record: bytes = b"") -> None:
        self.scribe.stage(writes, then, record)
        self._sync()

    def _sync(self, *, force: bool = False) -> None:
        persist = self.scribe.next(force=force)
        if persist is not None:
            self._effects.append(persist)

    def _pump(self, now: float) -> None:
        """Append what waits, unless an append or its reading back is under way."""
        if self.outbox and self.tail.may_append(now) and self.me in self.fold.members:
            batch = dict(islice(self.outbox.items(), MAX_BATCH))
            self.tail.begin_appending(batch)
            self._effects.append(Append(tuple(batch.values())))

    def _read(self, now: float) -> None:
        if not self.halted and self.tail.begin_reading(now):
            self._effects.append(Read(self.tail.cursor))

    def expected(self, after: int) -> bool:
        """Say whether a reading continues where this node is: neither a gap nor the past."""
        return after == self.tail.cursor

    def _apply(self, now: float, record: bytes) -> None:
        leaf = leaf_hash(record)
        index = self.fold.size
        remembered = self._leaves[index] if index < len(self._leaves) else None
        known = leaf == remembered or self.gate.has_checked(leaf) or self.outbox.get(identity(record)) == record
        applied = self.fold.apply(record, verified=known)
        if not isinstance(applied, Applied):
            return
        if remembered is not None and leaf != remembered:
            self.halt(f"entry {index} of the log is not the one this node saw committed before: the log was changed")
            return
        entry = applied.entry
        if self.chain.denies(applied):
            self.halt(
                f"the log holds entry {entry.seq} under this node's key that its journal does not: the key is in use "
                "elsewhere, or the journal is not the latest; give this node a key of its own"
            )
            return
        if remembered is None:
            self.scribe.with_the_next(Write("leaf", index.to_bytes(8, "big"), leaf))
        self.chain.committed(applied)
        self.outbox.pop(applied.id, None)
        self._effects.append(Committed(index, applied.id, entry, applied.note))
        self.deliberation.hear(applied.id, entry, now)
        if isinstance(entry.payload, Done | Cancel) and not applied.note:
            closed = self.fold.rounds.get(entry.payload.round)
            if closed is not None and closed.closed == index:
                self._effects.append(Closed(closed))

    def _take(self, now: float, envelope: Envelope, peer: Peer) -> None:
        message = envelope.message
        if isinstance(message, Tokens):
            who, known = envelope.sender, self.deliberation.locals
            self._effects += [Said(who, t.round, t.offset, t.text) for t in message.pieces if t.round in known]
        elif isinstance(message, Heartbeat):
            peer.size, peer.epoch, peer.tentative = message.size, message.epoch, message.tentative
            if not self.pace.hear(envelope.sender, message.phase, now):
                self.gate.dropped["phase"] += 1
            if message.size > self.fold.size:
                self._read(now)
            elif self.fold.tree.root(message.size) != message.root:
                self._effects.append(Alarm(f"a peer's log is not ours in its first {message.size} entries", False))
        elif isinstance(message, Want):
            self.fetches.wanted(envelope.sender, message)
        elif isinstance(message, Piece):
            self.fetches.arrived(now, envelope.sender, message)
        else:
            self._foretaste(now, message.record)
            self._read(now)

    def _foretaste(self, now: float, record: bytes) -> None:
        """Look at an entry on its way to the log, so that thinking can start; what is wrong with it is counted."""
        own = identity(record)
        entry = None if own in self.fold.applied else self.gate.open_entry(record, self.fold)
        if entry is not None and isinstance(entry.payload, Ask | Proposal):
            self.deliberation.hear(own, entry, now)

    def _flush(self, now: float) -> None:
        """Tell what was written since the last time; in a large mesh it is gathered for longer.

        So the messages that a node hears in a second, each signed, do not grow with the number of those who write.
        """
        self._next_flush = now + self.limits.flush * max(1.0, len(self.fold.members) / _CHORUS)
        for pieces in self._streams.take():
            self._say(Tokens(pieces))

    def _say(self, message: AnyMessage) -> None:
        self._effects.append(Broadcast(self.gate.seal(message, max(self.chain.clock, self.fold.clock))))

    def halt(self, why: str) -> None:
        """Stop for good, and say why."""
        self.halted = why
        self._effects.append(Alarm(why, True))
