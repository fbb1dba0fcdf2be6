"""A configuration pins its mesh; what is wrong in it is named with file and line."""

from pathlib import Path

import pytest

from chorus.errors import InputError
from chorus.mesh.assemble import assemble
from chorus.mesh.config import check_reach, load, readers_of
from chorus.mesh.founding import found_here


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return found_here(tmp_path / "mesh", ["ana", "ben", "cem"], member='kind = "sudoku"')[0]


def change(config: Path, old: str, new: str) -> int:
    """Replace a piece of the file; return the line it stands on."""
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_what_init_writes_loads(config: Path) -> None:
    settings = load(config)
    assert settings.genesis.hash.hex() == settings.mesh.genesis
    assert settings.key().public.hex() == settings.mesh.founders["ana"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('journal = "ana.journal"', 'jornal = "ana.journal"', r"\[node\] has no key 'jornal'"),
        ('name = "ana"', "name = 3", "node.name: Expected `str`, got `int`"),
        ('name = "ana"', 'name = "../ana"', "node.name: "),
        ("[member]", "[limits]\npoll = 0\n[member]", "limits.poll: "),
        ("[mesh.founders]", "[mesh.founder]", r"\[mesh\] has no key 'founder'"),
    ],
)
def test_a_wrong_key_names_file_and_line(config: Path, old: str, new: str, message: str) -> None:
    line = change(config, old, new) + new.count("\npoll")
    with pytest.raises(InputError, match=message) as caught:
        load(config)
    assert str(caught.value).startswith(f"{config}:{line}: ")


@pytest.mark.parametrize(
    ("old", "new", "below", "message"),
    [
        ('kind = "sudoku"', 'kind = "sudoku"\npce = 1.0', 1, r"\[member\] has no key 'pce'"),
        ('kind = "sudoku"', 'kind = "sudoku"\npace = "fast"', 1, "member.pace: Expected `float`, got `str`"),
        ('kind = "sudoku"', 'kind = "oracle"', 0, r"\[member\] kind is 'oracle'; expected one of"),
        ('kind = "sudoku"', 'kind = "chat"\nurl = "http://x"', -1, r"\[member\] needs 'model'"),
        ('topology = "full()"', 'topology = "rign()"', 0, "mesh.topology: "),
        ('topology = "full()"', 'topology = "sliding_window(1)"', 0, "nothing could ever be accepted"),
        ('log = "sqlite:mesh.log"', 'log = "carrier pigeon"', 0, "mesh.log: 'carrier pigeon' is not known here"),
    ],
)
def test_what_a_node_cannot_start_with_names_file_and_line(
    config: Path, old: str, new: str, below: int, message: str
) -> None:
    line = change(config, old, new) + below
    with pytest.raises(InputError, match=message) as caught:
        assemble(load(config))
    assert str(caught.value).startswith(f"{config}:{line}: ")


def test_a_missing_key_is_named(config: Path) -> None:
    change(config, 'key = "ana.key"\n', "")
    with pytest.raises(InputError, match=r"ana\.toml:1: \[node\] needs 'key'"):
        load(config)


def test_what_is_no_toml_is_told(config: Path) -> None:
    change(config, "[mesh]", "[mesh")
    with pytest.raises(InputError, match=r"ana\.toml: .*line 6"):
        load(config)


def test_a_changed_founder_does_not_fit_the_pinned_genesis(config: Path) -> None:
    other = load(config.with_name("ben.toml")).mesh.founders["ben"]
    line = change(config, other, "ab" * 32)
    assert line > 0
    with pytest.raises(InputError, match="not the one pinned here"):
        load(config)


def test_another_nodes_key_is_refused(config: Path) -> None:
    change(config, 'key = "ana.key"', 'key = "ben.key"')
    with pytest.raises(InputError, match=r"ben\.key is not the key that mesh\.founders has for 'ana'"):
        load(config).key()


def test_a_readable_key_is_refused(config: Path) -> None:
    config.with_name("ana.key").chmod(0o644)
    with pytest.raises(InputError, match="can be read by others"):
        load(config).key()


def test_the_topology_says_who_reads_whom() -> None:
    members = tuple(bytes([i]) * 32 for i in range(5))
    ring = readers_of("ring()", "here")(members)
    assert {len(read) for read in ring.values()} == {3}
    assert readers_of("full()", "here")(members)[members[0]] == frozenset(members)
    with pytest.raises(InputError, match="here: "):
        readers_of("rign()", "here")
    with pytest.raises(InputError, match="nothing could ever be accepted"):
        check_reach(readers_of("sliding_window(1)", "here"), members, "here")
    check_reach(readers_of("ring()", "here"), members, "here")


async def open_twice(config: Path) -> None:
    runtime = assemble(load(config))
    try:
        assemble(load(config))
    finally:
        runtime.journal.close()


def test_one_journal_runs_once(config: Path) -> None:
    import asyncio

    with pytest.raises(InputError, match="another process has this journal open"):
        asyncio.run(open_twice(config))
