"""The description of the door in OpenAPI 3.1; the requests' schema is the type that reads them."""

from __future__ import annotations

from typing import Any

import msgspec

from chorus.mesh.server.chat import MODEL, ChatRequest


def _answer(description: str, schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": schema}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
_ERRORS = {
    "400": "A parameter is wrong or not supported.",
    "401": "No token, or a wrong one.",
    "404": "No such path or model.",
    "405": "Not with this method.",
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "422": "The members agreed on no answer.",
    "429": "Too many answers are being written.",
    "431": "The headers are too large.",
    "503": "The node cannot take a question now, or nothing was committed in time.",
}
_OBJECT = {"type": "object"}


def _errors(*statuses: str) -> dict[str, Any]:
    return {status: _answer(_ERRORS[status], _ref("Error")) for status in ("401", "408", "413", "431", *statuses)}


def _get(summary: str, answer: dict[str, Any], *statuses: str, **more: Any) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": {"200": answer} | _errors(*statuses), **more}}


def _describe() -> dict[str, Any]:
    (request,), schemas = msgspec.json.schema_components([ChatRequest], ref_template="#/components/schemas/{name}")
    schemas["ChatRequest"]["properties"]["model"] = {"type": "string", "enum": [MODEL]}
    completion = _answer("The committed answer, or a stream of chunks.", _OBJECT)
    completion["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    responses = {"200": completion} | _errors("400", "404", "422", "429", "503")
    chat = {
        "summary": "Ask the mesh",
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": responses,
    }
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    health = _get("Whether the node runs", _answer("It does.", _OBJECT), "503", security=[])
    return {
        "openapi": "3.1.0",
        "info": {"title": "Chorus mesh", "version": "1"},
        "security": [{"token": []}],
        "paths": {
            "/v1/chat/completions": {"post": chat},
            "/v1/models": _get("List the models", _answer("One: the mesh.", _OBJECT)),
            "/v1/models/{model}": _get("Look at a model", _answer("The mesh.", _OBJECT), "404", parameters=[model]),
            "/v1/cluster": _get("How the mesh is", _answer("As this node sees it.", _OBJECT)),
            "/metrics": _get("Figures", _answer("Prometheus text.", {"type": "string"}, "text/plain")),
            "/healthz": health,
            "/openapi.json": _get("This description", _answer("OpenAPI 3.1.", _OBJECT)),
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR, **schemas},
        },
    }


DESCRIPTION = _describe()
