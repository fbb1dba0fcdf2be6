"""Training curves in TensorBoard's event files.

Records are written by the caller's own thread, so that a full disk is an error like any other. (The writer that comes
with torch writes from a thread of its own, where such an error prints a traceback that nobody can catch.)
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from chorus.errors import ChorusError


class Curves:
    """One event file, open for writing.

    Args:
        folder: where the file goes; it is made if it is not there.

    Raises:
        ChorusError: the file cannot be written (no rights, disk full).
        ImportError: TensorBoard is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     curves = Curves(Path(folder))
    ...     curves.add(1, {"loss": 2.0, "exact": float("nan")})
    ...     curves.close()
    ...     curves.path.name.startswith("events.out.tfevents.")
    True
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        began = time.time()
        self.path = folder / f"events.out.tfevents.{int(began)}.{socket.gethostname()}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("ab")
        except OSError as error:
            raise self._failed(error) from None
        self._write(Event(wall_time=began, file_version="brain.Event:2"))

    def add(self, update: int, values: Mapping[str, float]) -> None:
        """Write the values of one update, by name; what is not a number is left out.

        Raises:
            ChorusError: the file cannot be written.
        """
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        known = [Summary.Value(tag=name, simple_value=value) for name, value in values.items() if value == value]
        self._write(Event(wall_time=time.time(), step=update, summary=Summary(value=known)))

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):  # of what could not be written, which `add` has told
            self.file.close()

    def _write(self, event: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        try:
            RecordWriter(self.file).write(event.SerializeToString())
            self.file.flush()
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> ChorusError:
        return ChorusError(f"{self.path.parent}: cannot be written: {error.strerror or error}")

    @classmethod
    def open(cls, folder: Path) -> Self | None:
        """Return curves in a folder, or None where TensorBoard is not installed.

        Raises:
            ChorusError: the file cannot be written.
        """
        try:
            return cls(folder)
        except ImportError:
            return None
