"""The ASGI application: paths, and what answers them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chorus.mesh.control import status
from chorus.mesh.runtime import Runtime
from chorus.mesh.server.chat import MODEL, read_request
from chorus.mesh.server.completions import Completions
from chorus.mesh.server.errors import HttpError, json_response
from chorus.mesh.server.gate import Gate
from chorus.mesh.server.metrics import Metrics
from chorus.mesh.server.openapi import DESCRIPTION
from chorus.mesh.server.replies import Replies

_SILENT = 5.0  # seconds after which a member that is not heard counts as away


def create_app(
    runtime: Runtime,
    token: str,
    name: str,
    names: dict[bytes, str],
    *,
    streams: int = 256,
    patience: float = 60.0,
    timeout: float = 10.0,
) -> Gate:
    """Return the application for a running node; its lifespan must be run.

    Args:
        runtime: the node.
        token: the bearer token that every path but `/healthz` requires.
        name: this node's name.
        names: the members' names, by key.
        streams: answers written at a time.
        patience: seconds that members wait for one another.
        timeout: seconds in which a request's body must have come.

    """
    replies = Replies(runtime, names, streams)
    metrics = Metrics(replies)
    born = int(time.time())
    model = {"id": MODEL, "object": "model", "created": born, "owned_by": name}

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        listening = asyncio.create_task(replies.listen())
        yield
        listening.cancel()

    class Chat:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive)
            if request.method != "POST":
                raise HTTPException(405, headers={"allow": "POST"})
            await Completions(replies, read_request(await request.body()), patience)(scope, receive, send)

    async def models(_: Request) -> Response:
        return json_response({"object": "list", "data": [model]})

    async def one_model(request: Request) -> Response:
        if request.path_params["model"] != MODEL:
            raise HttpError(404, f"the only model is {MODEL!r}", "model_not_found", "model")
        return json_response(model)

    async def cluster(_: Request) -> Response:
        told = status(runtime, name, names)
        heard = sum(member["heard"] is not None and member["heard"] < _SILENT for member in told["members"])
        fine = told["log"] == told["disk"] == "fine" and not runtime.node.halted
        health = "minority" if heard < told["quorum"] else "ok" if fine else "degraded"
        return json_response({"health": health, "heard": heard, "r": told.pop("order"), **told})

    async def figures(_: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_: Request) -> Response:
        halted = runtime.node.halted
        return json_response({"status": "halted" if halted else "ok"}, 503 if halted else 200)

    async def description(_: Request) -> Response:
        return json_response(DESCRIPTION)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        what = {404: "no such path", 405: f"not with the method {request.method}"}.get(error.status_code, error.detail)
        words = f"{what}; /openapi.json describes what is there"
        response = HttpError(error.status_code, words, error.detail.lower().replace(" ", "_")).response()
        response.headers.update(error.headers or {})
        return response

    async def told(_: Request, error: Exception) -> Response:
        assert isinstance(error, HttpError)
        return error.response()

    async def fault(_: Request, error: Exception) -> Response:  # the server logs it
        return HttpError(500, "a fault of the server; its log says more", "internal_error").response()

    routes = [
        Route("/v1/chat/completions", Chat()),
        Route("/v1/models", models),
        Route("/v1/models/{model}", one_model),
        Route("/v1/cluster", cluster),
        Route("/metrics", figures),
        Route("/healthz", healthz),
        Route("/openapi.json", description),
    ]
    handlers = {HTTPException: refused, HttpError: told, Exception: fault}
    inner = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    inner.router.redirect_slashes = False
    return Gate(inner, token, timeout)
