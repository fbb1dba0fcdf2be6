"""What a chat completion asks, and the objects it is answered with, as OpenAI's API defines them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from chorus.mesh.entries import MAX_TEXT
from chorus.mesh.server.errors import HttpError

MODEL = "chorus"  # the mesh as a whole is the model
MAX_MESSAGES = 64
MAX_TOKENS = 1_000_000


class TextPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A piece of a message's content."""

    type: Literal["text"]
    text: str


class ChatMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message: text, or text in pieces."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """The whole text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What else a stream should tell."""

    include_usage: bool = False


class ChatRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters that mean something to a mesh; any other is refused."""

    model: str
    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)] | None = None
    n: Annotated[int, Meta(ge=1, le=1)] | None = None

    @property
    def question(self) -> str:
        """The question put to the mesh: a lone message as it is, a conversation with its roles."""
        if len(self.messages) == 1:
            return self.messages[0].text
        return "\n\n".join(f"{message.role}: {message.text}" for message in self.messages)

    @property
    def budget(self) -> int:
        """Tokens that each member may spend."""
        return self.max_completion_tokens or self.max_tokens or 100_000


_decode = msgspec.json.Decoder(ChatRequest).decode


def read_request(body: bytes) -> ChatRequest:
    """Read a request; raises `HttpError` naming the parameter that is wrong or not supported."""
    try:
        request = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refusal(str(error)) from error
    if request.model != MODEL:
        raise HttpError(404, f"no model is called {request.model!r}; the mesh is {MODEL!r}", "model_not_found", "model")
    if not 0 < len(request.question) <= MAX_TEXT:
        raise HttpError(
            400,
            f"the messages make a question of {len(request.question)} characters; 1 to {MAX_TEXT} are taken",
            "context_length_exceeded" if request.question else "invalid_request",
            "messages",
        )
    if request.stream_options is not None and not request.stream:
        raise HttpError(400, "stream_options needs stream: true", "invalid_request", "stream_options")
    return request


def _refusal(words: str) -> HttpError:
    """Name the parameter that a decoder's words are about.

    >>> _refusal("Expected `int` >= 1 - at `$.max_tokens`").body["error"]["message"]
    'max_tokens: expected `int` >= 1'
    >>> _refusal("Object contains unknown field `stop`").body["error"]["param"]
    'stop'
    """
    what, _, path = words.partition(" - at `$")
    place = path.removesuffix("`").removeprefix(".")
    unknown = re.search("unknown field `(.*)`", what, re.DOTALL)
    if unknown is not None:
        param = f"{place}.{unknown.group(1)}" if place else unknown.group(1)
        known = ", ".join(ChatRequest.__struct_fields__)
        return HttpError(400, f"{param}: not supported; a request has {known}", "unsupported_parameter", param)
    missing = re.search("missing required field `(.*)`", what)
    if missing is not None:
        param = f"{place}.{missing.group(1)}" if place else missing.group(1)
        return HttpError(400, f"{param}: missing", "invalid_request", param)
    what = what.replace("Invalid enum value", "Not supported:")
    message = f"{place or 'the body'}: {what[0].lower()}{what[1:]}"
    return HttpError(400, message, "invalid_request", place or None)


def completion(identity: str, created: int, text: str, usage: dict[str, int], chorus: dict[str, Any]) -> dict[str, Any]:
    """Return a `chat.completion`."""
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": f"chatcmpl-{identity}",
        "object": "chat.completion",
        "created": created,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage,
        "chorus": chorus,
    }


def chunk(
    identity: str, created: int, delta: dict[str, str] | None, finish: str | None = None, **more: Any
) -> dict[str, Any]:
    """Return a `chat.completion.chunk`; `delta` None makes the one that has no choices, only usage."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return {
        "id": f"chatcmpl-{identity}",
        "object": "chat.completion.chunk",
        "created": created,
        "model": MODEL,
        "choices": choices,
        **more,
    }
