"""JSON: networkx's node-link form, and with it everything else a subject can hold."""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from chorus.audit.readers.draft import Draft
from chorus.audit.subject import Floats, Resource, Subject

KEYS = {"directed", "multigraph", "graph", "name", "nodes", "edges", "links", "sources", "sinks", "resources",
        "activity", "stimuli", "responses"}  # fmt: skip


class _Located:
    """Reads the top object key by key, and lists item by item, so that each item keeps its line."""

    def __init__(self, draft: Draft, text: str) -> None:
        self.draft, self.text, self.at = draft, text, 0
        self.breaks = [k for k, letter in enumerate(text) if letter == "\n"]
        self.decoder = json.JSONDecoder()

    def line(self, position: int) -> int:
        return bisect.bisect_left(self.breaks, position) + 1

    def skip(self, *, expect: str = "") -> str:
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
            self.at += 1
        found = self.text[self.at : self.at + 1]
        if expect and found not in expect:
            wanted = " or ".join(repr(letter) for letter in expect)
            raise self.draft.wrong(self.line(self.at), f"not JSON: expected {wanted}, got {found or 'the end'!r}")
        return found

    def value(self) -> tuple[Any, int]:
        self.skip()
        line = self.line(self.at)
        try:
            value, self.at = self.decoder.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            raise self.draft.wrong(error.lineno, f"not JSON: {error.msg}") from None
        except RecursionError:
            raise self.draft.wrong(line, "not a graph: lists within lists without end") from None
        return value, line

    def items(self, closing: str) -> Iterator[None]:
        """Stop before each item of the list or object that opens here."""
        self.at += 1
        if self.skip() == closing:
            self.at += 1
            return
        while True:
            yield
            if self.skip(expect="," + closing) == closing:
                self.at += 1
                return
            self.at += 1

    def top(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.skip(expect="{")
        for _ in self.items("}"):
            self.skip(expect='"')
            key, _line = self.value()
            self.skip(expect=":")
            self.at += 1
            if key in ("nodes", "edges", "links", "resources") and self.skip(expect="[") == "[":
                found[key] = [self.value() for _ in self.items("]")]
            else:
                found[key] = self.value()
        if self.skip():
            raise self.draft.wrong(self.line(self.at), "not JSON: more text after the object")
        return found


def read_json(path: Path, text: str, *, directed: bool | None) -> Subject:
    """Node-link JSON, with `sources`, `sinks`, `resources`, `activity`, `stimuli`, `responses` and node `load`."""
    draft = Draft(path)
    found = _Located(draft, text).top()
    for key in found.keys() - KEYS:
        raise draft.wrong(1, f"unknown key {key!r}; known are {', '.join(sorted(KEYS))}")
    loads: dict[str, dict[int, float]] = {}
    for node, line in found.get("nodes", []):
        if not isinstance(node, dict):
            node = {"id": node}
        if not isinstance(node.get("id"), str | int | float):
            raise draft.wrong(line, f"a node needs an id that is a text or a number, got {node.get('id')!r}")
        number = draft.element(str(node["id"]), line, str(node.get("label", "")) or None)
        load = node.get("load", {})
        if not isinstance(load, dict):
            raise draft.wrong(line, 'a node\'s load must be like {"traffic": 3.5}')
        for what, amount in load.items():
            if not isinstance(amount, int | float) or not amount >= 0:
                raise draft.wrong(line, f"the load {what!r} is {amount!r}; it must be a number of at least 0")
            loads.setdefault(what, {})[number] = float(amount)
    for edge, line in found.get("edges", found.get("links", [])):
        if isinstance(edge, list) and len(edge) in (2, 3):
            edge = dict(zip(("source", "target", "weight"), edge, strict=False))
        if not isinstance(edge, dict) or "source" not in edge or "target" not in edge:
            raise draft.wrong(line, 'an edge must be ["a", "b"] or {"source": "a", "target": "b"}')
        tail, head = (draft.end(str(edge[name]), line, declared="nodes" in found) for name in ("source", "target"))
        draft.edge(tail, head, line, edge.get("weight"))
    declared = bool(found.get("directed", (False, 1))[0])
    subject = draft.finish(directed=declared if directed is None else directed, what="JSON")
    resources = []
    for resource, line in found.get("resources", []):
        if not isinstance(resource, dict) or not isinstance(resource.get("users"), list) or "name" not in resource:
            raise draft.wrong(line, 'a resource must be {"name": …, "users": [elements]}')
        users = [str(user) for user in resource["users"]]
        for user in users:
            draft.end(user, line, declared=True, by="resource")
        resources.append(Resource(str(resource["name"]), tuple(subject.elements[draft.ids[user]] for user in users)))
    ends = {}
    for key in ("sources", "sinks"):
        names, line = found.get(key, ([], 1))
        if not isinstance(names, list):
            raise draft.wrong(line, f"{key} must be a list of elements")
        for name in names:
            if str(name) not in draft.ids:
                raise draft.wrong(line, f"{key}: no node is called {str(name)!r}")
        ends[key] = tuple(draft.ids[str(name)] for name in names)
    stimuli, line = found.get("stimuli", (None, 1))
    if stimuli is not None:
        if not isinstance(stimuli, list):
            raise draft.wrong(line, "stimuli must be a list with one label for each step of the activity")
        labels = {label: number for number, label in enumerate(dict.fromkeys(map(str, stimuli)))}
        stimuli = np.array([labels[str(label)] for label in stimuli], np.int64)
    return replace(
        subject,
        name=str(found["name"][0]) if "name" in found else subject.name,
        sources=ends["sources"],
        sinks=ends["sinks"],
        resources=tuple(resources),
        loads={what: np.array([by.get(k, 0.0) for k in range(len(draft.ids))]) for what, by in loads.items()},
        activity=_matrix(draft, found, "activity"),
        stimuli=stimuli,
        responses=_matrix(draft, found, "responses"),
    )


def _matrix(draft: Draft, found: dict[str, Any], key: str) -> Floats | None:
    if key not in found:
        return None
    rows, line = found[key]
    try:
        matrix = np.array(rows, np.float64)
    except (TypeError, ValueError):
        matrix = np.zeros(0)
    if matrix.ndim != 2:
        raise draft.wrong(line, f"{key} must be a list of rows of equal length, all numbers")
    if key == "activity" and matrix.shape[1] != len(draft.ids):
        raise draft.wrong(line, f"activity has {matrix.shape[1]} columns for {len(draft.ids)} elements")
    if not np.isfinite(matrix).all() or (matrix < 0).any():
        raise draft.wrong(line, f"{key} holds a negative or non-finite number")
    return matrix
