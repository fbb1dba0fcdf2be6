"""GraphML (Brandes et al. 2002), parallel edges kept, every complaint with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.parsers import expat

from chorus.audit.readers.draft import Draft
from chorus.audit.subject import Subject


class _Parser:
    """Walks over the file once; nodes may come after the edges that name them, so edges wait."""

    def __init__(self, path: Path) -> None:
        self.draft = Draft(path)
        self.keys: dict[str, tuple[str, str]] = {}
        self.directed: bool | None = None
        self.graphs = 0
        self.edges: list[dict[str, Any]] = []
        self.nodes: list[dict[str, Any]] = []
        self.item: dict[str, Any] | None = None
        self.data: str | None = None
        self.text: list[str] = []
        self.expat = expat.ParserCreate(namespace_separator="}")
        self.expat.StartElementHandler = self.start
        self.expat.EndElementHandler = self.end
        self.expat.CharacterDataHandler = self.text.append
        self.expat.EntityDeclHandler = self.entity

    @property
    def line(self) -> int:
        return self.expat.CurrentLineNumber

    def entity(self, *_: object) -> None:
        raise self.draft.wrong(self.line, "the file declares XML entities, which a graph has no use for; not read")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rsplit("}", 1)[-1]
        if tag == "key":
            self.keys[attributes.get("id", "")] = (attributes.get("for", "all"), attributes.get("attr.name", ""))
        elif tag == "graph":
            self.graphs += 1
            if self.graphs > 1:
                raise self.draft.wrong(self.line, "a second or nested graph; give each graph its own file")
            self.directed = attributes.get("edgedefault", "directed") == "directed"
        elif tag == "hyperedge":
            raise self.draft.wrong(self.line, "hyperedges are not read; model one as an element with edges")
        elif tag in ("node", "edge"):
            self.item = {**attributes, "line": self.line, "data": {}}
            (self.nodes if tag == "node" else self.edges).append(self.item)
        elif tag == "data":
            self.data = self.keys.get(attributes.get("key", ""), ("", attributes.get("key", "")))[1]
            self.text.clear()

    def end(self, tag: str) -> None:
        tag = tag.rsplit("}", 1)[-1]
        if tag == "data" and self.item is not None and self.data is not None:
            self.item["data"][self.data] = "".join(self.text).strip()
        elif tag in ("node", "edge"):
            self.item = None


def read_graphml(path: Path, text: str, *, directed: bool | None) -> Subject:
    """Nodes are named by their `label` data, or by their id where there is none.

    Edges that say otherwise than the graph's default make the graph directed, with an undirected edge both ways.
    """
    parser = _Parser(path)
    draft = parser.draft
    try:
        parser.expat.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise draft.wrong(error.lineno, f"not XML: {expat.ErrorString(error.code)}") from None
    if parser.directed is None:
        raise draft.wrong(1, "no <graph> in this file")
    for node in parser.nodes:
        if "id" not in node:
            raise draft.wrong(node["line"], "a node without an id")
        draft.element(node["id"], node["line"], node["data"].get("label"))
    ways = [edge.get("directed", str(parser.directed).lower()) == "true" for edge in parser.edges]
    mixed = directed is None and len(set(ways)) > 1
    if directed is None:
        directed = mixed or (ways[0] if ways else parser.directed)
    for edge, one_way in zip(parser.edges, ways, strict=True):
        if "source" not in edge or "target" not in edge:
            raise draft.wrong(edge["line"], "an edge without a source or a target")
        tail, head = (draft.end(edge[name], edge["line"], declared=True) for name in ("source", "target"))
        draft.edge(tail, head, edge["line"], edge["data"].get("weight"))
        if mixed and not one_way:
            draft.edge(head, tail, edge["line"], edge["data"].get("weight"))
    return draft.finish(directed=directed, what="GraphML")
