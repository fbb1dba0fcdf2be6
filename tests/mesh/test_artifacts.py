"""No name from outside reaches the disk, and what is read is what was written."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus.errors import ChorusError, InputError
from chorus.mesh.artifacts import Artifacts, valid_name
from chorus.mesh.entries import Entry, Name, seal
from chorus.mesh.fold import Applied, Fold
from chorus.mesh.identity import Genesis, Key

HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "a/b",
    "a\\b",
    "..\\..\\windows\\system32",
    "C:\\x",
    "C:x",
    "nul",
    "NUL.txt",
    "com1",
    "LPT9.log",
    "aux.",
    "a\0b",
    "a\nb",
    "a\x1b[2Jb",
    "trailing ",
    "trailing.",
    ".hidden",
    "file:stream",
    "\\\\?\\x",
    "\u202egnp.exe",
    "a*b",
    "",
]


def everything_under(directory: Path) -> set[Path]:
    return set(directory.rglob("*"))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_no_name_and_touches_nothing(name: str, tmp_path: Path) -> None:
    key = Key.from_seed(bytes(32))
    fold = Fold(Genesis.of([key.public], b""))
    before = everything_under(tmp_path)
    assert not valid_name(name)
    if name:  # an empty name is not even an entry
        applied = fold.apply(seal(Entry(fold.genesis.hash, key.public, 0, 1, (), Name(name, bytes(32), 1)), key))
        assert isinstance(applied, Applied)
        assert applied.note == "not a name"
    assert not fold.names
    assert everything_under(tmp_path) == before


@given(st.text(max_size=40))
def test_a_valid_name_is_one_component(name: str) -> None:
    if valid_name(name):
        assert Path(name).name == name
        assert "\0" not in name
        assert "\\" not in name
        assert not Path(name).is_absolute()


@pytest.mark.parametrize("name", ["report.pdf", "Ergebnis 3.csv", "数据.json", "a-b_c.tar.gz", "console.log"])
def test_usual_names_are_names(name: str) -> None:
    assert valid_name(name)


@pytest.mark.parametrize("digest", [b"", b"../../etc/passwd", b"x" * 31, b"x" * 33])
def test_only_digests_are_looked_up(digest: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        Artifacts(tmp_path / "store").get(digest)


def test_a_changed_artifact_is_reported(tmp_path: Path) -> None:
    store = Artifacts(tmp_path / "store")
    digest = store.put(b"true")
    file = next(path for path in (tmp_path / "store").rglob("*") if path.is_file())
    file.write_bytes(b"false")
    with pytest.raises(ChorusError, match="changed on disk"):
        store.get(digest)


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    store = Artifacts(tmp_path / "store")
    digest = store.put(b"secret")
    file = next(path for path in (tmp_path / "store").rglob("*") if path.is_file())
    file.unlink()
    file.symlink_to(secret)
    with pytest.raises(ChorusError, match="cannot be read"):
        store.get(digest)
    directory = file.parent
    file.unlink()
    directory.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    directory.symlink_to(elsewhere)
    with pytest.raises(ChorusError, match="not followed"):
        store.put(b"secret")
    assert not os.listdir(elsewhere)
