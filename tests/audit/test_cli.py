"""The command line as people and builds use it: exit codes, filters, re-checks, bad input."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import chorus as package

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A network whose findings have all three levels."""
    path = tmp_path / "my net.csv"
    star = [("hub", f"leaf {k}") for k in range(8)]
    more = [("leaf 1", "leaf 2"), ("leaf 3", "leaf 4"), ("leaf 5", "leaf 6"), ("leaf 0", "x"), ("x", "y"), ("y", "z")]
    path.write_text("source,target\n" + "".join(f"{a},{b}\n" for a, b in star + more))
    return path


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A network without findings: a clique of seven."""
    path = tmp_path / "sound.txt"
    path.write_text("".join(f"{a} {b}\n" for a in range(7) for b in range(a)))
    return path


@pytest.mark.parametrize("form", ["table", "json", "sarif", "markdown", "html"])
@pytest.mark.parametrize(("fail_on", "level", "code"), [
    ("error", "note", 1), ("warning", "error", 1), ("note", "note", 1), ("never", "note", 0), ("never", "error", 0),
])  # fmt: skip
def test_exit_codes_do_not_depend_on_format_or_filter(
    chorus: Run, net: Path, form: str, fail_on: str, level: str, code: int
) -> None:
    got, out, err = chorus("audit", str(net), "--format", form, "--fail-on", fail_on, "--level", level)
    assert (got, err) == (code, "")
    assert out
    if form == "sarif":
        assert json.loads(out)["runs"][0]["invocations"][0]["exitCode"] == code
    if form == "json":
        levels = {finding["level"] for finding in json.loads(out)["findings"]}
        assert levels == ({"error"} if level == "error" else {"note", "warning", "error"})


@pytest.mark.parametrize("form", ["table", "json", "sarif", "markdown", "html"])
def test_passed_and_incomplete(chorus: Run, sound: Path, form: str) -> None:
    assert chorus("audit", str(sound), "--format", form, "--fail-on", "note")[0] == 0
    # n/a never counts as a pass: strict says so, and findings go first.
    assert chorus("audit", str(sound), "--format", form, "--strict")[0] == 3


def test_findings_go_before_incompleteness(chorus: Run, net: Path) -> None:
    assert chorus("audit", str(net), "--strict")[0] == 1
    assert chorus("audit", str(net), "--strict", "--fail-on", "never")[0] == 3


def test_every_recheck_command_holds(chorus: Run, net: Path) -> None:
    code, out, _ = chorus("audit", str(net), "--format", "json")
    findings = json.loads(out)["findings"]
    assert code == 1
    for finding in findings:
        words = shlex.split(finding["recheck"])
        assert words[0] == "chorus"
        got, told, err = chorus(*words[1:])
        if finding["witness"]["claim"] == "measured":
            assert finding["elements"][0] in told
        else:
            assert (got, err) == (0, ""), finding
            assert told.endswith("the witness holds\n")
    assert {finding["witness"]["claim"] for finding in findings} >= {"cut", "measured"}


def test_a_false_witness_exits_with_one(chorus: Run, net: Path) -> None:
    code, out, _ = chorus("audit", "witness", str(net), "--remove", "x", "--from", "hub", "--to", "leaf 1")
    assert code == 1
    assert "the witness does not hold" in out


def test_baseline_and_suppressions(chorus: Run, net: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.json"
    assert chorus("audit", str(net), "--format", "json", "-o", str(base))[0] == 1
    assert chorus("audit", str(net), "--baseline", str(base), "--fail-on", "note")[0] == 0
    with net.open("a") as file:
        file.write("z,new\n")
    code, out, _ = chorus("audit", str(net), "--baseline", str(base), "--fail-on", "note", "--format", "json")
    assert code == 1
    assert {tuple(f["elements"]) for f in json.loads(out)["findings"] if f["rule"] == "AUD001"} == {("z",)}
    accept = tmp_path / "accept.toml"
    accept.write_text('[[suppress]]\nrule = "single-point"\nelement = "*"\nreason = "until the second hub is there"\n')
    _, out, _ = chorus("audit", str(net), "--suppress", str(accept), "--format", "json")
    found = json.loads(out)
    assert not [f for f in found["findings"] if f["rule"] == "AUD001"]
    assert {f["reason"] for f in found["suppressed"]} == {"until the second hub is there"}


def test_same_input_same_bytes(chorus: Run, net: Path) -> None:
    for form in ("table", "json", "sarif", "markdown", "html"):
        more = ["--nulls", "2"] if form == "json" else []
        first, second = (chorus("audit", str(net), "--format", form, *more, "--seed", "5")[1] for _ in "12")
        assert first == second


def test_same_bytes_whatever_the_hash_seed(net: Path) -> None:
    # Sets of names are walked in another order in every process; nothing of that may show.
    script = (
        "import sys; from chorus.audit import audit, build, read_graph, write\n"
        "subjects = [read_graph(sys.argv[1]), build('market'), build('cortex'), build('topology', 'ring(2)')]\n"
        "print([write(audit(subject, seed=3), form) for subject in subjects for form in ('json', 'html')])"
    )
    told = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(package.__file__).parents[1])}
        words = [sys.executable, "-c", script, str(net)]
        told.append(subprocess.run(words, env=environment, capture_output=True, check=True).stdout)
    assert told[0] == told[1]
    assert len(told[0]) > 10_000


def test_sources_and_sinks(chorus: Run, net: Path) -> None:
    words = ["audit", str(net), "--source", "leaf 1", "--source", "leaf 2", "--sink", "z", "--format", "json"]
    found = json.loads(chorus(*words)[1])
    points = {finding["elements"][0] for finding in found["findings"] if finding["rule"] == "AUD001"}
    assert points == {"hub", "leaf 0", "x", "y"}
    assert found["figures"]["elements between sources and sinks"] == 1
    assert all("--source" in finding["recheck"] for finding in found["findings"])


def test_topology_subject(chorus: Run) -> None:
    code, out, _ = chorus("audit", "topology", "ring(1)", "-n", "12", "--format", "json")
    assert code in (0, 1)
    assert json.loads(out)["figures"]["elements"] == 12


def test_compare(chorus: Run, net: Path, sound: Path, tmp_path: Path) -> None:
    picture = tmp_path / "compare.svg"
    code, out, _ = chorus("audit", "compare", str(net), str(sound), "topology:ring(1)", "--plot", str(picture))
    assert code == 0
    assert out.splitlines()[0].split() == ["condition", "my", "net.csv", "sound.txt", "topology", "ring()"]
    assert "n/a" in out
    assert "<svg" in picture.read_text()
    _, out, _ = chorus("audit", "compare", str(net), str(sound), "--format", "json")
    found = json.loads(out)
    assert [each["subject"] for each in found["subjects"]] == ["my net.csv", "sound.txt"]
    assert found["subjects"][0]["scores"][1] is None
    _, out, _ = chorus("audit", "compare", str(net), str(sound), "--format", "markdown")
    assert out.splitlines()[0].endswith("| my net.csv | sound.txt |")
    code, out, _ = chorus("audit", "compare", "topology:ring(1)", str(net), "--directed")  # of the file alone
    assert code == 0


def test_rules_and_explain(chorus: Run) -> None:
    code, out, _ = chorus("audit", "rules")
    assert code == 0
    assert len(out.splitlines()) == 19
    code, out, _ = chorus("audit", "explain", "AUD003")
    assert code == 0
    assert "Louvain" in out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["nothing"], "neither a file nor a built-in subject"),
        (["missing.csv"], "No such file"),
        (["NET", "--source", "nobody", "--sink", "hub"], "no element is called 'nobody'"),
        (["NET", "--format", "pdf"], "--format 'pdf'"),
        (["NET", "--fail-on", "bad"], "--fail-on 'bad'"),
        (["NET", "--baseline", "NET"], "not JSON"),
        (["NET", "--suppress", "NET"], "not TOML"),
        (["NET", "--rule", "AUD999"], "no rule"),
        (["NET", "extra"], "takes no further argument"),
        (["NET", "--nulls", "1"], "at least 2"),
        (["NET", "--inputs", "NET"], "--inputs is for"),
        (["NET", "-o", "/nowhere/report"], "No such file"),
        (["topology"], "topology needs"),
        (["topology", "rin("], "rin"),
        (["explain", "AUD999"], "no rule"),
        (["compare", "NET"], "at least two"),
        (["compare", "NET", "NET", "--plot", "x.gif"], ".png or .svg"),
        (["compare", "NET", "missing.csv", "--plot", "/nowhere/x.svg"], "make /nowhere first"),
        (["NET", "--live"], "--live is for mesh"),
        (["NET", "--actors", "64"], "--actors is for topology"),
        (["NET", "--layer", "0"], "--layer is for topology"),
        (["cortex", "--directed"], "--directed/--undirected is for graph files; cortex takes none"),
        (["thought", "--inputs", "NET"], "--inputs is for transformer and moe"),
        (["cortex", "--live"], "--live is for mesh"),
        (["witness", "NET", "--remove", "nobody", "--from", "hub", "--to", "x"], "no element is called 'nobody'"),
        (["witness", "NET", "--from", "hub"], "go in pairs"),
        (["witness", "NET", "--remove", "hub"], "needs at least one pair"),
        (["witness", "NET", "--expect", "luck"], "cannot check the claim 'luck'"),
        (["transformer", "NET"], "no model folder"),
        (["moe", "NET"], "no model folder"),
        (["market", "NET"], "lender,borrower,amount"),
        (["internet", "NET"], "a|b|-1"),
    ],
)
def test_bad_input_exits_with_two(chorus: Run, net: Path, words: list[str], what: str) -> None:
    code, out, err = chorus("audit", *(str(net) if word == "NET" else word for word in words))
    assert (code, out) == (2, "")
    assert what in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no element"),
        ("a,b,-3\n", ":1:"),
        ("source,target\na,a\n", "only one element"),
    ],
)
def test_bad_files_exit_with_two(chorus: Run, tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    code, out, err = chorus("audit", str(path))
    assert (code, out) == (2, "")
    assert what in err


def test_suppressions_need_reasons(chorus: Run, net: Path, tmp_path: Path) -> None:
    path = tmp_path / "accept.toml"
    for text, what in [
        ('[[suppress]]\nrule = "AUD001"\nelement = "x"\n', "without a reason"),
        ('[[suppress]]\nrule = "AUD001"\nreason = "x"\n', "names a rule and an element"),
        ('[[suppress]]\nrule = "AUD777"\nelement = "x"\nreason = "x"\n', "no rule"),
        ("[other]\n", "only [[suppress]]"),
    ]:
        path.write_text(text)
        code, _, err = chorus("audit", str(net), "--suppress", str(path))
        assert code == 2
        assert what in err
