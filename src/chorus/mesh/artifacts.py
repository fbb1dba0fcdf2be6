"""Artifacts: bytes stored under the hash of their content, so that no name from outside is ever a path.

A digest is 32 bytes; its hexadecimal form is the only thing a path is made of. Names are entries of the log and
live in the fold. Every directory is opened without following symbolic links, and content is checked against its
digest whenever it is read: a file that was changed or replaced is not the artifact, and is reported.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import unicodedata
from hashlib import sha256
from pathlib import Path
from threading import get_ident
from typing import BinaryIO

from chorus.errors import ChorusError, InputError
from chorus.mesh.identity import HASH

_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?")


def valid_name(name: str) -> bool:
    r"""Say whether an artifact may be called so.

    Names are never paths here, but people will save artifacts under them: a name is a single, printable file name
    that means the same on every system.

    >>> [valid_name(n) for n in ("report.pdf", "../../etc/passwd", "/etc/passwd", "a\\b", "C:x", "nul.txt", "a\0b")]
    [True, False, False, False, False, False, False]
    """
    return (
        0 < len(name) <= 255
        and not any(c in '/\\:*?"<>|' or (unicodedata.category(c)[0] in "CZ" and c != " ") for c in name)
        and name[0] not in " ."
        and name[-1] not in " ."
        and not _DEVICE.fullmatch(name)
    )


def check_name(name: str) -> None:
    """Raise `InputError` for what is no name."""
    if not valid_name(name):
        raise InputError(f"{name!r} is no name for an artifact; a plain file name is one, such as report.pdf")


class Artifacts:
    """A directory of content-addressed artifacts.

    >>> import tempfile
    >>> store = Artifacts(Path(tempfile.mkdtemp()) / "artifacts")
    >>> store.get(store.put(b"a picture")) == b"a picture"
    True
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{root}: cannot keep artifacts here ({error.strerror})") from error

    def put(self, data: bytes) -> bytes:
        """Store `data` and return its digest; on disk before it returns."""
        digest = sha256(data).digest()
        name = digest.hex()
        directory = self._directory(name[:2], create=True)
        try:
            temporary = f".{name[2:]}.{os.getpid()}.{get_ident()}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            with open(os.open(temporary, flags, 0o644, dir_fd=directory), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, name[2:], src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)
        except OSError as error:
            with contextlib.suppress(OSError):  # half an artifact on a full disk would only keep it full
                os.unlink(temporary, dir_fd=directory)
            raise ChorusError(f"{self.root}: cannot store an artifact ({error.strerror})") from error
        finally:
            os.close(directory)
        return digest

    def get(self, digest: bytes) -> bytes:
        """Return the bytes of a digest; raises `ChorusError` when absent, or when the file is not what it was."""
        with self._open(digest) as file:
            data = file.read()
        if sha256(data).digest() != digest:
            raise ChorusError(f"artifact {digest.hex()[:12]}… was changed on disk: its content has another hash")
        return data

    def piece(self, digest: bytes, offset: int, most: int) -> tuple[int, bytes]:
        """Return the size of an artifact and up to `most` of its bytes, unchecked: for somebody who checks the whole.

        Raises `ChorusError` when it is absent.
        """
        with self._open(digest) as file:
            size = os.fstat(file.fileno()).st_size
            return size, os.pread(file.fileno(), most, min(offset, size))

    def _open(self, digest: bytes) -> BinaryIO:
        if len(digest) != HASH:
            raise InputError(f"an artifact's digest has {HASH} bytes, not {len(digest)}")
        name = digest.hex()
        try:
            directory = self._directory(name[:2], create=False)
            try:
                return open(os.open(name[2:], os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory), "rb")
            finally:
                os.close(directory)
        except OSError as error:
            raise ChorusError(f"artifact {name[:12]}… cannot be read ({error.strerror})") from error

    def _directory(self, name: str, *, create: bool) -> int:
        """Open a subdirectory, never through a symbolic link."""
        flags = os.O_RDONLY | os.O_DIRECTORY
        root = os.open(self.root, flags)
        try:
            if create:
                try:
                    os.mkdir(name, 0o755, dir_fd=root)
                except FileExistsError:
                    pass
                except OSError as error:
                    raise ChorusError(f"{self.root}: cannot store an artifact ({error.strerror})") from error
            try:
                return os.open(name, flags | os.O_NOFOLLOW, dir_fd=root)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise ChorusError(f"{self.root / name}: not a directory of this store, and not followed") from error
                raise
        finally:
            os.close(root)
