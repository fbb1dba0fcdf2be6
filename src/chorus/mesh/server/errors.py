"""Errors in the shape that OpenAI's clients read."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

_KIND = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error", 503: "server_error"}


class HttpError(Exception):
    """A request that is answered with an error.

    Args:
        status: the HTTP status.
        message: what was wrong and what to do.
        code: a word for programs.
        param: the parameter at fault, where there is one.

    """

    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "error": {
                "message": message,
                "type": _KIND.get(status, "invalid_request_error"),
                "param": param,
                "code": code,
            }
        }

    def response(self) -> Response:
        """Return the response."""
        headers = {}
        if self.status == 401:
            headers["www-authenticate"] = 'Bearer realm="chorus"'
        if self.status in (429, 503):
            headers["retry-after"] = "1"
        if self.status in (401, 408, 413, 431):
            headers["connection"] = "close"  # what was not read of the request is not waited for
        return json_response(self.body, self.status, headers)


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(msgspec.json.encode(body), status, headers, "application/json")
