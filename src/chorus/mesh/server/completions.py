"""Answers a chat completion, whole or as a stream, for as long as its client is there."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from chorus.mesh.server.chat import ChatRequest, chunk, completion
from chorus.mesh.server.errors import HttpError, json_response
from chorus.mesh.server.replies import Replies, Reply

GRACE = 10.0  # seconds after the members' patience in which the round's end must be committed


class Completions:
    """An ASGI response to one request.

    Args:
        replies: where to ask.
        request: what is asked.
        patience: seconds that members wait for one another; the client waits `GRACE` longer.

    """

    def __init__(self, replies: Replies, request: ChatRequest, patience: float) -> None:
        self._replies = replies
        self._request = request
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and stop when the client goes away: the question is withdrawn then."""
        work = asyncio.ensure_future(self._stream(send) if self._request.stream else self._whole(scope, receive, send))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def _whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        created = int(time.time())
        async with self._replies.asking(self._request.question, self._request.budget, self._patience) as reply:
            try:
                async with asyncio.timeout(self._patience + GRACE):
                    while reply.closed is None:
                        await reply.news()
            except TimeoutError:
                pass
            told = self._replies.tell(reply)
        if not told["committed"]:
            error = _no_answer(told)
            response = error.response()
            response.body = msgspec.json.encode(error.body | {"chorus": told})
            response.headers["content-length"] = str(len(response.body))
        else:
            response = json_response(completion(reply.round.hex(), created, told["answer"], self._usage(reply), told))
        await response(scope, receive, send)

    async def _stream(self, send: Send) -> None:
        created = int(time.time())
        async with self._replies.asking(self._request.question, self._request.budget, self._patience) as reply:
            identity = reply.round.hex()

            async def event(body: Any, *, last: bool = False) -> None:
                data = body if isinstance(body, bytes) else msgspec.json.encode(body)
                await send({"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": not last})

            async def piece(text: str) -> None:
                tentative = {"tentative": reply.closed is None, "author": self._replies.names.get(reply.author, "")}
                await event(chunk(identity, created, {"content": text}, chorus=tentative))

            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await event(chunk(identity, created, {"role": "assistant", "content": ""}, chorus={"tentative": True}))
            sent = 0
            try:
                async with asyncio.timeout(self._patience + GRACE):
                    while reply.closed is None:
                        await reply.news()
                        while sent < len(reply.text):
                            fresh = reply.text[sent:]
                            sent += len(fresh)
                            await piece(fresh)
            except TimeoutError:
                pass
            told = self._replies.tell(reply)
            if "answer" in told and told["answer"].startswith(reply.text[:sent]):
                if len(told["answer"]) > sent:
                    await piece(told["answer"][sent:])
                told["streamed"] = True
            else:
                told["streamed"] = False  # what was streamed is another member's answer, or only a part
            if reply.closed is not None and not told["committed"]:
                await event(_no_answer(told).body | {"chorus": told})
            else:
                await event(chunk(identity, created, {}, "stop", chorus=told))
                if self._request.stream_options is not None and self._request.stream_options.include_usage:
                    await event(chunk(identity, created, None, usage=self._usage(reply), chorus=told))
            await event(b"[DONE]", last=True)

    def _usage(self, reply: Reply) -> dict[str, int]:
        """Count words of the question, and tokens of all members' proposals as their authors counted them."""
        candidates = reply.closed.candidates.values() if reply.closed is not None else ()
        prompt = len(self._request.question.split())
        written = sum(max(candidate.tokens, 0) for candidate in candidates)
        return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


def _no_answer(told: dict[str, Any]) -> HttpError:
    if told["outcome"] == "open":
        return HttpError(503, f"nothing was committed: {told['reason']}", "not_committed")
    return HttpError(422, f"the members agreed on no answer: the round is {told['outcome']}", told["outcome"])


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
