"""Edge lists and CSV: one edge a line."""

from __future__ import annotations

import ast
import csv
import io
from pathlib import Path

from chorus.audit.readers.draft import Draft
from chorus.audit.subject import Subject

SOURCE_NAMES = {"source", "from", "src", "tail"}
TARGET_NAMES = {"target", "to", "dst", "head"}


def read_edge_list(path: Path, text: str, *, directed: bool) -> Subject:
    """Read `a b [weight]` lines; `#` and `%` start comments; a single name is an element without edges."""
    draft = Draft(path)
    for line, row in enumerate(text.split("\n"), 1):
        fields = row.split("#", 1)[0].split(None, 2)
        if not fields or fields[0].startswith("%"):
            continue
        if fields[0][-1] in ",;" or (len(fields) == 1 and ("," in fields[0] or ";" in fields[0])):
            raise draft.wrong(
                line, f"expected `a b [weight]`, got {row.strip()!r}; the name of a CSV file ends in .csv"
            )
        if len(fields) == 1:
            if fields[0] not in draft.ids:
                draft.element(fields[0], line)
            continue
        tail, head = (draft.end(name, line, declared=False) for name in fields[:2])
        weight: str | float | None = None
        if len(fields) == 3:
            weight = fields[2].strip()
            if weight.startswith("{"):  # as networkx writes it
                try:
                    weight = ast.literal_eval(weight).get("weight")
                except (ValueError, SyntaxError, AttributeError):
                    raise draft.wrong(line, f"the attributes {weight!r} are not a Python dictionary") from None
            elif len(weight.split()) > 1:
                raise draft.wrong(
                    line, f"expected `a b [weight]`, got {len(row.split())} fields; for names with blanks use CSV"
                )
        draft.edge(tail, head, line, weight)
    return draft.finish(directed=directed, what="an edge list")


def read_csv(path: Path, text: str, *, directed: bool) -> Subject:
    """`source,target[,weight]`, with or without that header, separated by commas, semicolons or tabs."""
    draft = Draft(path)
    first = next((row for row in text.split("\n") if row.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    columns: tuple[int, int, int | None] | None = None
    try:
        for row in reader:
            line = reader.line_num
            if not row or not any(field.strip() for field in row) or row[0].startswith("#"):
                continue
            if columns is None:
                header = [field.strip().lower() for field in row]
                tails = [k for k, field in enumerate(header) if field in SOURCE_NAMES]
                heads = [k for k, field in enumerate(header) if field in TARGET_NAMES]
                if tails and heads:
                    columns = (tails[0], heads[0], header.index("weight") if "weight" in header else None)
                    continue
                if len(row) not in (2, 3):
                    raise draft.wrong(
                        line, f"expected `source,target[,weight]` or a header that names them, got {len(row)} columns"
                    )
                columns = (0, 1, 2 if len(row) == 3 else None)
            if len(row) <= max(columns[0], columns[1]):
                raise draft.wrong(
                    line, f"expected a source and a target, got {len(row)} column(s): {delimiter.join(row)!r}"
                )
            tail, head = (draft.end(row[k].strip(), line, declared=False) for k in columns[:2])
            weight = row[columns[2]].strip() if columns[2] is not None and len(row) > columns[2] else None
            draft.edge(tail, head, line, weight)
    except csv.Error as error:
        raise draft.wrong(reader.line_num, f"not CSV: {error}") from None
    return draft.finish(directed=directed, what="CSV")
