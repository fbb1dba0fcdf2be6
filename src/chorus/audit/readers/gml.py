"""GML (Himsolt 1996), parallel edges kept, every complaint with its line."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chorus.audit.readers.draft import Draft
from chorus.audit.subject import Subject

DEEPEST = 64  # lists within lists; graphs need three
TOKEN = re.compile(
    r'(?P<blank>[ \t\r]+|[#][^\n]*)|(?P<newline>\n)|(?P<open>\[)|(?P<close>\])|"(?P<text>[^"]*)"'
    r"|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))|(?P<key>[A-Za-z_][\w.:-]*)"
)
Token = tuple[str, str, int]


def _tokens(draft: Draft, text: str) -> Iterator[Token]:
    position, line = 0, 1
    while position < len(text):
        found = TOKEN.match(text, position)
        if found is None:
            rest = text[position : position + 20].split("\n")[0]
            raise draft.wrong(line, f"not GML at {rest!r}: expected a key, a number, a quoted text or a bracket")
        kind = found.lastgroup or "text"
        if kind not in ("blank", "newline"):
            yield kind, found["text"] if kind == "text" else found[0], line
        line += found[0].count("\n")
        position = found.end()
    yield "end", "", line


def _entries(draft: Draft, tokens: Iterator[Token], opened: int | None, depth: int = 0) -> list[tuple[str, Any, int]]:
    """Key, value and line of each pair up to the closing bracket; a list's value is such a list itself."""
    found: list[tuple[str, Any, int]] = []
    for kind, word, line in tokens:
        if kind == "close" and opened is not None:
            return found
        if kind == "end" and opened is None:
            return found
        if kind == "end":
            raise draft.wrong(line, f"the bracket opened on line {opened} is never closed")
        if kind != "key":
            raise draft.wrong(line, f"expected a key, got {word!r}")
        value_kind, value, value_line = next(tokens)
        if value_kind == "open" and depth == DEEPEST:
            raise draft.wrong(value_line, f"not a graph: more than {DEEPEST} lists within lists")
        if value_kind == "open":
            found.append((word, _entries(draft, tokens, value_line, depth + 1), line))
        elif value_kind in ("number", "text", "key"):
            found.append((word, html.unescape(value), line))
        else:
            raise draft.wrong(value_line, f"the key {word!r} has no value")
    return found


def read_gml(path: Path, text: str, *, directed: bool | None) -> Subject:
    """Nodes are named by `label`, or by `id` where there is none; `directed 1` makes the graph directed."""
    draft = Draft(path)
    graphs = [(value, line) for key, value, line in _entries(draft, _tokens(draft, text), None) if key == "graph"]
    if not graphs or not isinstance(graphs[0][0], list):
        raise draft.wrong(1, "no `graph [ … ]` in this file")
    entries = graphs[0][0]
    values: dict[str, Any] = {}
    for key, value, line in entries:
        if key == "node" and isinstance(value, list):
            fields = {name: content for name, content, _ in value}
            if "id" not in fields:
                raise draft.wrong(line, "a node without an id")
            draft.element(str(fields["id"]), line, str(fields.get("label", "")) or None)
        elif key not in ("node", "edge"):
            values[key] = value
    for key, value, line in entries:
        if key == "edge" and isinstance(value, list):
            fields = {name: content for name, content, _ in value}
            if "source" not in fields or "target" not in fields:
                raise draft.wrong(line, "an edge without a source or a target")
            tail, head = (draft.end(str(fields[name]), line, declared=True) for name in ("source", "target"))
            draft.edge(tail, head, line, fields.get("weight"))
    declared = str(values.get("directed", "0")) == "1"
    return draft.finish(directed=declared if directed is None else directed, what="GML")
