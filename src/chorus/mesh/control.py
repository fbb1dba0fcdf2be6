"""How the command line talks to a running node: one JSON request a connection, answered by lines of JSON.

The socket lies beside the journal, for the node's owner only (mode 600).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec

from chorus.errors import ChorusError, InputError
from chorus.mesh.core import Node
from chorus.mesh.effects import Alarm, Closed, Committed, Said
from chorus.mesh.entries import MAX_TEXT, Pass
from chorus.mesh.rhythm import EXPIRY
from chorus.mesh.rounds import Round
from chorus.mesh.runtime import Event, Runtime

_MOST = 1 << 20  # bytes of a request
_QUIET = 5.0  # seconds of silence after which an asker is told who can be heard


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client wants."""

    op: str  # ask, status, watch, name, artifact, propose, approve
    question: str = ""
    budget: int = 100_000
    patience: float = 30.0
    name: str = ""  # of an artifact
    digest: str = ""  # of an artifact that is in the node's store, in hexadecimal digits
    size: int = 0
    members: tuple[str, ...] = ()  # public keys of the next epoch's members
    motion: str = ""  # the identity of a proposed membership


class ControlServer:
    """Serves one node's control socket."""

    def __init__(self, runtime: Runtime, path: Path, name: str, names: dict[bytes, str]) -> None:
        self._runtime = runtime
        self._path = path
        self._name = name
        self._names = names

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve while the block runs."""
        if len(os.fsencode(self._path)) > 100:
            raise InputError(f"{self._path}: too long a path for a socket (over 100 bytes); keep the node elsewhere")
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._path))
        self._path.chmod(0o600)  # before anybody can connect: nothing listens yet
        server = await asyncio.start_unix_server(self._serve, sock=listener, limit=_MOST)
        try:
            yield
        finally:
            server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request; a question whose asker goes away before its answer is withdrawn."""
        asked: set[bytes] = set()
        try:
            request = await reader.readline()
        except ValueError:  # longer than any request
            request = b""
        answering = asyncio.ensure_future(self._reply(request, writer, asked))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((answering, gone), return_when=asyncio.FIRST_COMPLETED)
            for round_ in asked:  # not closed yet: the connection ended first
                self._runtime.cancel(round_)
        finally:
            answering.cancel()
            gone.cancel()
            writer.close()

    async def _reply(self, request: bytes, writer: asyncio.StreamWriter, asked: set[bytes]) -> None:
        try:
            async for reply in self._answer(msgspec.json.decode(request, type=Request), asked):
                writer.write(msgspec.json.encode(reply) + b"\n")
                await writer.drain()
        except (ChorusError, ValueError) as error:
            told = {"event": "error", "text": str(error), "input": isinstance(error, ValueError)}
            with contextlib.suppress(OSError):
                writer.write(msgspec.json.encode(told) + b"\n")
        except OSError:  # the client has gone
            pass

    async def _answer(self, request: Request, asked: set[bytes]) -> AsyncIterator[dict[str, Any]]:
        if request.op == "status":
            yield status(self._runtime, self._name, self._names)
        elif request.op == "ask":
            if not 0 < len(request.question) <= MAX_TEXT or request.budget < 1 or not 0 < request.patience <= 86400:
                raise InputError(
                    f"a question has 1 to {MAX_TEXT:,} characters, and this has {len(request.question):,}; "
                    "a budget is at least 1 token, patience ends after a day"
                )
            with self._runtime.watching() as feed:
                round_ = self._runtime.ask(request.question, request.budget, request.patience)
                asked.add(round_)
                yield {"event": "asked", "round": round_.hex()}
                while True:
                    event = await feed.next(_QUIET)
                    if event is None:
                        yield {"event": "waiting", "round": round_.hex(), **reach(self._runtime.node)}
                        continue
                    told = self.describe(event)
                    if isinstance(event, Committed) and event.id == round_ and event.note:
                        asked.discard(round_)
                        raise ChorusError(f"the question was not taken up: {event.note}; ask again later")
                    if told.get("round") == round_.hex() or isinstance(event, Alarm):
                        if isinstance(event, Closed):
                            asked.discard(round_)
                        yield told
                        if isinstance(event, Closed):
                            return
        elif request.op in ("name", "propose", "approve"):
            with self._runtime.watching() as feed:
                said = self._say(request)
                async for event in feed:
                    if isinstance(event, Committed) and event.id == said:
                        epoch = self._runtime.node.fold.epoch
                        yield {
                            "event": "done",
                            "id": said.hex(),
                            "place": event.index,
                            "note": event.note,
                            "epoch": epoch,
                        }
                        return
        elif request.op == "artifact":
            names = self._runtime.node.fold.names
            if request.name not in names:
                raise ChorusError(f"no artifact is called {request.name!r} as far as this node has read")
            digest, size = names[request.name]
            await self._runtime.artifact(digest)
            yield {"event": "artifact", "name": request.name, "digest": digest.hex(), "size": size}
        elif request.op == "watch":
            with self._runtime.watching() as feed:
                async for event in feed:
                    yield self.describe(event)
        else:
            raise InputError(f"no request is called {request.op!r}")

    def _say(self, request: Request) -> bytes:
        """Make the entry that a request is for; return its identity."""
        if request.op == "name":
            return self._runtime.name(request.name, bytes.fromhex(request.digest), request.size)
        if request.op == "propose":
            return self._runtime.propose_members(bytes.fromhex(key) for key in request.members)
        motion = bytes.fromhex(request.motion)
        if motion not in self._runtime.node.fold.motions:
            raise ChorusError(
                f"no membership {request.motion[:16]} is proposed in this epoch, as far as this node has read"
            )
        return self._runtime.approve(motion)

    def describe(self, event: Event) -> dict[str, Any]:
        """Tell an event in words and hexadecimal digits."""
        if isinstance(event, Said):
            who = self._names.get(event.author, event.author.hex()[:8])
            return {"event": "said", "round": event.round.hex(), "who": who, "offset": event.offset, "text": event.text}
        if isinstance(event, Committed):
            entry = event.entry
            round_ = getattr(entry.payload, "round", b"") or event.id
            passed = {"reason": entry.payload.reason} if isinstance(entry.payload, Pass) else {}
            return {
                "event": "committed",
                "round": round_.hex(),
                "place": event.index,
                "who": self._names.get(entry.author, entry.author.hex()[:8]),
                "kind": type(entry.payload).__name__.lower(),
                "note": event.note,
                **passed,
            }
        if isinstance(event, Closed):
            return {"event": "closed", **describe_round(event.round, self._names)}
        assert isinstance(event, Alarm)
        return {"event": "alarm", "text": event.text}


def reach(node: Node) -> dict[str, int]:
    """Tell how many members were heard lately, this node among them, of how many, and how many are a majority."""
    lately = time.monotonic() - EXPIRY * node.limits.heartbeat
    members = node.fold.members
    heard = sum(member == node.me or (member in node.peers and node.peers[member].heard > lately) for member in members)
    return {"heard": heard, "members": len(members), "quorum": node.fold.quorum}


def describe_round(round_: Round, names: dict[bytes, str]) -> dict[str, Any]:
    """Tell what became of a round."""
    chosen = round_.chosen()
    told: dict[str, Any] = {
        "round": round_.id.hex(),
        "question": round_.question,
        "outcome": round_.outcome,
        "place": round_.closed,
        "proposals": len(round_.candidates),
    }
    if chosen is not None:
        votes = list(chosen.votes.values())
        told |= {
            "answer": chosen.answer,
            "author": names.get(chosen.author, chosen.author.hex()[:8]),
            "score": chosen.judgement(),
            "energy": chosen.energy,
            "approvals": 1 + sum(approve for approve, _ in votes),
            "accepted_at": chosen.accepted,
        }
    return told


def status(runtime: Runtime, name: str, names: dict[bytes, str]) -> dict[str, Any]:
    """Tell how a node is."""
    node = runtime.node
    fold = node.fold
    now = time.monotonic()
    members = []
    for member in sorted(fold.members):
        peer = node.peers.get(member)
        members.append(
            {
                "name": names.get(member, member.hex()[:8]),
                "key": member.hex(),
                "heard": 0.0 if member == node.me else (None if peer is None else round(now - peer.heard, 2)),
                "committed": fold.size if member == node.me else (peer.size if peer else None),
                "tentative": len(node.outbox) if member == node.me else (peer.tentative if peer else None),
            }
        )
    return {
        "name": name,
        "genesis": fold.genesis.hash.hex(),
        "epoch": fold.epoch,
        "quorum": fold.quorum,
        "members": members,
        "order": round(node.pace.order(now, fold.members), 4),
        "motions": [
            {
                "id": motion.hex(),
                "members": [names.get(key, key.hex()) for key in proposed.members],
                "approvals": len(proposed.approvals & fold.members),
            }
            for motion, proposed in fold.motions.items()
        ],
        "committed": {"size": fold.size, "root": fold.tree.root().hex()},
        "tentative": len(node.outbox) + len(node.scribe),
        "log": node.tail.trouble or node.tail.unread or "fine",
        "disk": node.scribe.trouble or "fine",
        "rounds": {"open": len(fold.open), **dict(sorted(fold.outcomes.items()))},
        "calls": len(node.deliberation.running),
        "dropped": dict(node.gate.dropped),
        "void": dict(fold.voids),
        "names": {k: {"digest": digest.hex(), "size": size} for k, (digest, size) in fold.names.items()},
    }


def request(path: Path, timeout: float | None = 10.0, **fields: Any) -> Iterator[dict[str, Any]]:
    """Send a request to a running node and yield its replies, the last of them within `timeout` seconds.

    Raises `InputError` for what is not text, `ChorusError` when no node runs there or it reports an error.
    """
    try:
        asked = msgspec.json.encode(Request(**fields)) + b"\n"
    except UnicodeEncodeError as error:
        raise InputError(f"{error.object!r} is not text: its bytes are not UTF-8") from error
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        ends = time.monotonic() + (timeout or 0.0)
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
        except OSError as error:
            raise ChorusError(f"{path}: no node is running here; start it with `chorus mesh node`") from error
        try:
            connection.sendall(asked)
            with connection.makefile("rb") as lines:
                for line in lines:
                    reply: dict[str, Any] = msgspec.json.decode(line)
                    if reply.get("event") == "error":
                        raise (InputError if reply["input"] else ChorusError)(reply["text"])
                    yield reply
                    if timeout is not None:
                        connection.settimeout(max(0.001, ends - time.monotonic()))
        except TimeoutError as error:
            raise ChorusError(
                f"{path}: no answer within {timeout:.0f} s; nothing is committed without a majority, see "
                "`chorus mesh status`"
            ) from error
        except ConnectionError as error:
            raise ChorusError(f"{path}: the node stopped answering") from error
