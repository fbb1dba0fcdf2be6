"""Being told by the kernel that a file was written, instead of looking again and again: Linux's inotify(7)."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
from pathlib import Path

_MODIFY = 0x2  # IN_MODIFY
_EVENTS = 64 * 1024  # bytes taken at a time


class Writes:
    """Waits for anybody's writes to a file; raises `OSError` where the system cannot tell of them.

    >>> import tempfile
    >>> async def example():
    ...     path = Path(tempfile.mkdtemp()) / "file"
    ...     path.touch()
    ...     writes = Writes(path)
    ...     path.write_text("something")
    ...     await writes.wait()
    ...     writes.close()
    >>> asyncio.run(example())
    """

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "inotify_init1"):
            raise OSError("this system has no inotify")
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        if libc.inotify_add_watch(self._fd, os.fsencode(path), _MODIFY) < 0:
            os.close(self._fd)
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))

    async def wait(self) -> None:
        """Return once the file was written since the last time."""
        loop = asyncio.get_running_loop()
        written = asyncio.Event()
        loop.add_reader(self._fd, written.set)
        try:
            await written.wait()
        finally:
            loop.remove_reader(self._fd)
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._fd, _EVENTS)) == _EVENTS:
                pass

    def close(self) -> None:
        """Stop being told."""
        os.close(self._fd)
