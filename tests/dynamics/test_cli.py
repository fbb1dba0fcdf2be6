"""`chorus dynamics` prints the figures, draws the pictures, and says what is wrong without a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chorus.cli import main


def chorus(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["chorus", "dynamics", *arguments])
    try:
        main()
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


def test_kuramoto(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "r.png"
    command = ["kuramoto", "-K", "1,4", "-n", "1000", "--duration", "30", "--json", "--plot", str(picture)]
    assert chorus(monkeypatch, *command) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["critical"] == 2
    assert [point["coupling"] for point in said["points"]] == [1, 4]
    assert said["points"][1]["measured"] == pytest.approx(0.7071, abs=0.03)
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_kuramoto_over_a_topology(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["kuramoto", "-K", "1", "-n", "300", "--duration", "5", "--topology", "ring()", "--delay", "0.1"]
    assert chorus(monkeypatch, *command) == 0
    table = capsys.readouterr().out
    assert "300 oscillators" in table
    assert "–" in table, "no theory is claimed for a ring with delays"
    assert "critical" not in table
    assert chorus(monkeypatch, *command, "--json") == 0
    assert json.loads(capsys.readouterr().out)["critical"] is None


def test_sphere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "sphere.svg"
    command = ["sphere", "-d", "2,3", "-K", "0.5", "-n", "800", "--json", "--plot", str(picture)]
    assert chorus(monkeypatch, *command) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["2"][0]["measured"] < 0.1
    assert said["3"][0]["measured"] == pytest.approx(said["3"][0]["theory"], abs=0.03)
    assert "<svg" in picture.read_text()


def test_neuron(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "neuron.pdf"
    command = ["neuron", "--model", "fitzhugh-nagumo", "--dt", "0.2", "--curve", "0:1:3", "--plot", str(picture)]
    assert chorus(monkeypatch, *command) == 0
    table = capsys.readouterr().out
    for word in ("rest", "rheobase", "onset of repetitive firing", "refractory period", "spikes at 0.5: 2.7"):
        assert word in table
    assert picture.read_bytes()[:4] == b"%PDF"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kuramoto", "-K", "abc"], "error: --coupling: cannot read 'abc'; write 1,2,3 or start:stop:count"),
        (["kuramoto", "-K", "nan"], "error: coupling: nan is not a finite number"),
        (["kuramoto", "-K", "1", "--dt", "0"], "error: dt: got 0, must be above 0"),
        (["kuramoto", "-K", "100"], "error: dt: 0.02 is too large for coupling 100"),
        (["kuramoto", "-K", "1", "-n", "0"], "error: n: got 0"),
        (["kuramoto", "-K", "1", "--topology", "rink()"], "rink"),
        (["kuramoto", "--plot", "r.gif"], "cannot draw a .gif"),
        (["neuron", "--plot", "/no/such/place/r.png"], "cannot write"),
        (["kuramoto", "-n", "1000000000000"], "error: n: 1,000,000,000,000 numbers take 7,451 GiB; at most 4 GiB"),
        (["kuramoto", "-n", "1000000000000", "--frequencies", "identical"], "error: n: 1,000,000,000,000 numbers"),
        (["sphere", "-n", "100000000000"], "error: n, d, d: 100,000,000,000 × 2 × 2 numbers take"),
        (["kuramoto", "--dt", "1e-300"], "error: duration: 60 is over 1,000,000,000 steps of dt = 1e-300"),
        (["neuron", "--duration", "1e15"], "error: duration: 1e+15 is over"),
        (["neuron", "--duration", "0"], "error: duration: got 0, must be above 0"),
        (["kuramoto", "--seed", "-1"], "--seed"),
        (["kuramoto", "-K", "0:6:10000000000"], "error: --coupling: cannot read '0:6:10000000000'"),
        (["kuramoto", "-K", "0:6:0"], "error: --coupling: cannot read '0:6:0'"),
        (["sphere", "-d", "2.5"], "error: --dimensions: got 2.5"),
        (["sphere", "-d", "1"], "error: --dimensions: got 1.0"),
        (["neuron", "--dt", "1"], "error: dt: 1 is too large to resolve a spike of HodgkinHuxley; at most 0.05"),
        (["neuron", "--model", "integrate-and-fire"], "integrate-and-fire"),
    ],
)
def test_bad_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert chorus(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_importing_the_room_loads_numpy_alone() -> None:
    source = Path(__file__).parents[2] / "src"
    code = f"import sys; sys.path.insert(0, {str(source)!r}); import chorus.dynamics; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "scipy", "matplotlib", "jaxtyping", "networkx", "numba"} & set(loaded)
