"""A member behind any OpenAI-compatible endpoint, streamed.

The key is read from the environment variable that the configuration names, at start, and appears nowhere else: not in
the configuration, not in a log line, not in an error that reaches the transcript.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import httpx
import msgspec
from msgspec import Meta

from chorus.errors import ChorusError, InputError
from chorus.mesh.entries import MAX_TEXT
from chorus.mesh.member import Answer, Judgement

_LONGEST = 1 << 20  # bytes of one event of a stream
_JUDGE = (
    "You judge answers. Reply with one whole number from 0 (wrong or useless) to 100 (certainly right), "
    "and nothing else.\n\nQuestion:\n{question}\n\nAnswer:\n{answer}\n\nNumber:"
)


class EndpointError(ChorusError):
    """The endpoint refused, or answered something that is not the protocol."""


class ChatOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[member]` with `kind = "chat"`."""

    url: Annotated[str, Meta(pattern="^https?://")]  # up to and including /v1
    model: str
    key_env: str = ""  # name of the environment variable that holds the key; none for servers without one
    system: str = ""
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.7
    judge: str = _JUDGE  # {question} and {answer} are filled in
    judge_tokens: Annotated[int, Meta(ge=1)] = 16
    approve: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5  # scores from here on approve
    timeout: Annotated[float, Meta(gt=0.0)] = 30.0  # seconds without a byte after which a call fails


class ChatMember:
    """Asks a chat-completions endpoint (the OpenAI API reference, "Create chat completion", with `stream`)."""

    def __init__(self, options: ChatOptions) -> None:
        headers = {}
        if options.key_env:
            key = os.environ.get(options.key_env, "")
            if not key:
                raise InputError(f"the environment variable {options.key_env} is not set; it must hold the key")
            headers["Authorization"] = f"Bearer {key}"
        self._options = options
        self._client = httpx.AsyncClient(headers=headers, timeout=options.timeout, follow_redirects=False)

    async def propose(self, question: str, seed: int, budget: int, emit: Callable[[str], None]) -> Answer:
        """Stream an answer."""
        messages = [{"role": "user", "content": question}]
        if self._options.system:
            messages.insert(0, {"role": "system", "content": self._options.system})
        text, tokens = "", 0
        async for piece in self._stream(messages, budget, self._options.temperature, seed):
            emit(piece)
            text += piece
            tokens += 1
            if len(text) > MAX_TEXT:
                raise EndpointError(f"the answer is longer than {MAX_TEXT} characters")
        return Answer(text, None, tokens)

    async def judge(self, question: str, answer: str) -> Judgement:
        """Ask for a number from 0 to 100; raises `EndpointError` when there is none in the reply."""
        prompt = self._options.judge.replace("{question}", question).replace("{answer}", answer)
        messages = [{"role": "user", "content": prompt}]
        pieces = [piece async for piece in self._stream(messages, self._options.judge_tokens, 0.0, 0)]
        return self.read_score("".join(pieces))

    def read_score(self, reply: str) -> Judgement:
        """Read the first whole number of a reply as a score."""
        number = re.search(r"(?<![\d.])\d{1,3}(?![\d])", reply)
        if number is None or int(number.group()) > 100:
            raise EndpointError("the judge's reply holds no number from 0 to 100")
        score = int(number.group()) / 100
        return Judgement(score, score >= self._options.approve)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _stream(
        self, messages: list[dict[str, str]], budget: int, temperature: float, seed: int
    ) -> AsyncIterator[str]:
        body = {
            "model": self._options.model,
            "messages": messages,
            "stream": True,
            "max_tokens": budget,
            "temperature": temperature,
            "seed": seed % 2**31,
        }
        url = self._options.url.rstrip("/") + "/chat/completions"
        try:
            async with self._client.stream("POST", url, json=body) as response:
                if response.status_code != 200:
                    # The body may repeat what was sent, so only the status is passed on.
                    raise EndpointError(f"the endpoint answered {response.status_code} {response.reason_phrase}")
                async for line in _lines(response.aiter_bytes()):
                    if line.startswith(b"data:"):
                        data = line[5:].strip()
                        if data == b"[DONE]":
                            return
                        piece = _content(data)
                        if piece:
                            yield piece
        except httpx.HTTPError as error:
            raise EndpointError(f"the endpoint cannot be reached ({type(error).__name__})") from error


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield lines as they come, for as long as they have an end."""
    begun = b""
    async for piece in pieces:
        *ended, begun = (begun + piece).split(b"\n")
        for line in ended:
            yield line
        if len(begun) > _LONGEST:
            raise EndpointError(f"the endpoint streamed a line of more than {_LONGEST} bytes")


def _content(data: bytes) -> str:
    try:
        event: Any = json.loads(data)
        choices = event["choices"]
        content = choices[0]["delta"].get("content") if choices else None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise EndpointError("the endpoint streamed something that is not a chat completion") from error
    if content is not None and not isinstance(content, str):
        raise EndpointError("the endpoint streamed something that is not text")
    return content or ""
