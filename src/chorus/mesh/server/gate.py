"""What every request passes first: bounds on its headers and body, and the token."""

from __future__ import annotations

import asyncio
import hmac

from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope, Send

from chorus.mesh.server.errors import HttpError

MAX_HEADERS = 16_384  # bytes of all header names and values together
MAX_BODY = 262_144  # bytes of a request's body

_OPEN = "/healthz"  # the one path that needs no token


class Gate:
    """ASGI middleware: 431, 401, 413 and 408 before anything of the request is looked at.

    Args:
        app: what lies behind.
        token: the bearer token, compared in constant time.
        body_timeout: seconds in which a body must have come.

    """

    def __init__(self, app: Starlette, token: str, body_timeout: float) -> None:
        self.app = app
        self._expected = b"Bearer " + token.encode()
        self._body_timeout = body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check_headers(scope)
            body = await self._read(receive)
        except HttpError as error:
            await error.response()(scope, receive, send)
        else:
            await self.app(scope, _replayed(body, receive), send)

    def _check_headers(self, scope: Scope) -> None:
        headers = scope["headers"]
        if sum(len(name) + len(value) for name, value in headers) > MAX_HEADERS:
            raise HttpError(431, f"more than {MAX_HEADERS} bytes of headers", "headers_too_large")
        if scope["path"] == _OPEN:
            return
        given = [value for name, value in headers if name == b"authorization"]
        if len(given) != 1 or not hmac.compare_digest(given[0], self._expected):
            raise HttpError(
                401, "send the header `Authorization: Bearer TOKEN` with this node's token", "invalid_token"
            )

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_timeout):
                while True:
                    message = await receive()
                    body += message.get("body", b"")
                    if len(body) > MAX_BODY:
                        raise HttpError(413, f"a body has at most {MAX_BODY} bytes", "body_too_large")
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise HttpError(408, f"the body did not come within {self._body_timeout:g} s", "body_timeout") from None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body in one message, and then what else comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
