"""Graph files: GraphML, GML, edge list, CSV and JSON, with line numbers in every complaint."""

from __future__ import annotations

from pathlib import Path

from chorus.audit.readers.document import read_json
from chorus.audit.readers.gml import read_gml
from chorus.audit.readers.graphml import read_graphml
from chorus.audit.readers.tables import read_csv, read_edge_list
from chorus.audit.subject import Subject
from chorus.errors import InputError

MAX_BYTES = 1 << 30
FORMATS = {
    ".graphml": "graphml", ".xml": "graphml", ".gml": "gml", ".csv": "csv", ".tsv": "csv", ".json": "json",
    ".txt": "edges", ".edges": "edges", ".edgelist": "edges", ".el": "edges",
}  # fmt: skip


def read_text(path: str | Path, *, max_bytes: int = MAX_BYTES) -> str:
    """Return the text of a file.

    Raises:
        InputError: it is missing, a folder, larger than `max_bytes`, or no UTF-8 text.

    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise InputError(f"{path}: {size:,} bytes; at most {max_bytes:,} are read")
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    if (zero := raw.find(b"\0")) >= 0:
        line = raw.count(b"\n", 0, zero) + 1
        raise InputError(f"{path}:{line}: a zero byte; the file is not UTF-8 text")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: byte {raw[error.start]:#04x} is not UTF-8 text") from None


def read_graph(
    path: str | Path, *, directed: bool | None = None, form: str | None = None, max_bytes: int = MAX_BYTES
) -> Subject:
    """Read a subject from a file; the extension says which format it has.

    Args:
        path: `.graphml`, `.gml`, `.csv`, `.tsv`, `.json`, or an edge list (`.txt`, `.edges`, `.edgelist`).
        directed: overrides what the file says; edge lists and CSV say nothing and are undirected unless told.
        form: `graphml`, `gml`, `csv`, `json` or `edges`, for other extensions.
        max_bytes: refuse larger files.

    Returns:
        The subject; parallel edges and self-loops are kept, and every element and edge knows its line.

    Raises:
        InputError: the file cannot be read as a graph; the message has the line.

    """
    path = Path(path)
    form = form or FORMATS.get(path.suffix.lower())
    if form is None:
        raise InputError(f"{path}: unknown extension {path.suffix!r}; known are {', '.join(FORMATS)}")
    text = read_text(path, max_bytes=max_bytes)
    if form == "graphml":
        return read_graphml(path, text, directed=directed)
    if form == "gml":
        return read_gml(path, text, directed=directed)
    if form == "json":
        return read_json(path, text, directed=directed)
    return (read_csv if form == "csv" else read_edge_list)(path, text, directed=bool(directed))


__all__ = ["FORMATS", "MAX_BYTES", "read_graph", "read_text"]
