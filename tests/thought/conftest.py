"""Lets the tests here import `small_minds`, and trains one small mind for all who need a real one."""

import sys
from pathlib import Path

import pytest
from filelock import FileLock

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory):
    """A 4×4 Sudoku mind, trained from scratch once for the whole session, whichever process comes first."""
    from small_minds import train_sudoku4

    shared = tmp_path_factory.getbasetemp()
    if shared.name.startswith("popen-"):  # a pytest-xdist worker: its parent's folder is common to all
        shared = shared.parent
    folder = shared / "sudoku4"
    with FileLock(shared / "sudoku4.lock"):
        if not (folder / "config.json").exists():
            train_sudoku4(folder)
    return folder


@pytest.fixture
def command(monkeypatch, capsys):
    """Call `chorus` with arguments and standard input in this process; gives (exit code, stdout, stderr)."""
    import io

    from chorus.cli import main

    def call(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["chorus", *(str(argument) for argument in arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call
