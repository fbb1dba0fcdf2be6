"""What holds for every test: no example is timed, for a busy machine is no reason to fail; what a test starts hears
Ctrl-C, also where a shell runs the tests in the background and has them ignore it. And a disk to fill up, and the
command line run in this process.
"""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Mount a disk of one megabyte, at a path short enough for sockets on it."""
    with tempfile.TemporaryDirectory() as place:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("no disk can be mounted here")
        yield Path(place)
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def fill() -> Callable[[Path], None]:
    """Give what writes a file until there is no room for a single byte more."""

    def write(path: Path) -> None:
        with path.open("wb", buffering=0) as file:
            for size in (4096, 1):
                with pytest.raises(OSError, match="No space left"):
                    file.writelines(bytes(size) for _ in range(1 << 20))

    return write


@pytest.fixture
def chorus(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `chorus …` in this process and return exit code, standard output and standard error."""
    from chorus.cli import main

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["chorus", *words])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run
