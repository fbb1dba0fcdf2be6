"""The kinds of members a configuration can name."""

from __future__ import annotations

from typing import Any

import msgspec

from chorus.errors import InputError
from chorus.mesh.member import Member

KINDS = ("sudoku", "thought", "chat")


def from_config(table: dict[str, Any], where: str) -> Member:
    """Make the member that a `[member]` table describes; raises `InputError` naming what is wrong with it.

    A value or a key that is wrong comes as the cause, a `msgspec.ValidationError`.

    >>> from_config({"kind": "sudoku"}, "node.toml").__class__.__name__
    'SudokuMember'
    """
    options = {key: value for key, value in table.items() if key != "kind"}
    kind = table.get("kind")
    try:
        if kind == "sudoku":
            from chorus.mesh.members.sudoku import SudokuMember, SudokuOptions

            return SudokuMember(msgspec.convert(options, SudokuOptions))
        if kind == "thought":
            from chorus.mesh.members.thought import ThoughtMember, ThoughtOptions

            return ThoughtMember(msgspec.convert(options, ThoughtOptions))
        if kind == "chat":
            from chorus.mesh.members.chat import ChatMember, ChatOptions

            return ChatMember(msgspec.convert(options, ChatOptions))
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: [member] of kind {kind!r}: {error}") from error
    raise InputError(f"{where}: [member] kind is {kind!r}; expected one of {', '.join(KINDS)}")
