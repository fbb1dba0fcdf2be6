"""The command line, as somebody uses it: with processes, exit codes and messages."""

import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

import chorus
from chorus.cli import main
from chorus.mesh.config import load
from chorus.mesh.heads import open_head
from chorus.mesh.testbed import why_not
from chorus.mesh.verification import read_journal

SOLVED = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}


class Result(NamedTuple):
    stdout: str
    stderr: str


def cli(*arguments: object, code: int = 0) -> Result:
    """Run the command line in this process, as `chorus mesh …` would."""
    out, err = io.StringIO(), io.StringIO()
    found = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["chorus", "mesh", *map(str, arguments)])
        patch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])  # for the processes that a demonstration starts
        patch.setenv("COLUMNS", "100")
        try:
            main()
        except SystemExit as stop:
            found = int(stop.code or 0)
    assert found == code, out.getvalue() + err.getvalue()
    return Result(out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Found a mesh of three and run its nodes."""
    directory = tmp_path_factory.mktemp("m")
    written = cli("init", directory / "x", "--nodes", 3).stdout.split()
    ben = directory / "x" / "ben.toml"
    ben.write_text(ben.read_text().replace("[mesh]", '[mesh]\nartifacts = "kept-by-ben"'))
    processes = []
    for path in written:
        command = [sys.executable, "-m", "chorus", "mesh", "node", "--config", path]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT))
    for process in processes:
        assert process.stdout is not None
        assert "is running in the mesh" in process.stdout.readline()
    yield directory / "x"
    for process in processes:
        process.terminate()
    assert [process.wait(120) for process in processes] == [0, 0, 0]


def head_is_kept(mesh: Path) -> None:
    """Wait until ana's journal holds a signed head of all that ana has read."""
    config = load(mesh / "ana.toml")
    deadline = time.monotonic() + 60
    while True:
        size = json.loads(cli("status", "-c", mesh / "ana.toml", "--json").stdout)["committed"]["size"]
        heads = [open_head(head, config.genesis).size for head in read_journal(mesh / "ana.journal", "head")]
        if heads == [size]:
            return
        assert time.monotonic() < deadline, f"the head of {size} entries is not kept: {heads}"
        time.sleep(0.05)


def test_ask_answers_on_stdout_and_tells_where_it_is_committed(mesh: Path) -> None:
    result = cli("ask", PUZZLE, "--config", mesh / "ana.toml")
    assert result.stdout.strip() == SOLVED
    assert re.search(r"committed at entry \d+: by (ana|ben|cem), \d approvals, score 1\.00", result.stderr)
    assert re.search(r"^(ana|ben|cem): \d+$", result.stderr, re.MULTILINE)  # tokens, as they came
    events = [json.loads(line) for line in cli("ask", PUZZLE, "-c", mesh / "ben.toml", "--json").stdout.splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["asked", "closed"]
    assert events[-1]["answer"] == SOLVED


def test_what_has_no_answer_is_a_failure(mesh: Path) -> None:
    result = cli("ask", "not a Sudoku", "-c", mesh / "ana.toml", "--patience", 300, code=1)
    assert "error: no answer: the round is undecided" in result.stderr
    assert re.search(r"^(ana|ben|cem) passes: ValueError: a Sudoku is 81 digits", result.stderr, re.MULTILINE)


@pytest.mark.parametrize("question", ["", "x" * 16_385])
def test_what_is_no_question_is_an_input_error(mesh: Path, question: str) -> None:
    result = cli("ask", question, "-c", mesh / "ana.toml", code=2)
    assert f"a question has 1 to 16,384 characters, and this has {len(question):,};" in result.stderr


def test_who_asks_a_minority_is_told_what_it_waits_for(tmp_path: Path) -> None:
    path = cli("init", tmp_path / "x", "--nodes", 3).stdout.split()[0]
    command = [sys.executable, "-m", "chorus", "mesh"]
    with subprocess.Popen([*command, "node", "--config", path], stdout=subprocess.PIPE, env=ENVIRONMENT) as node:
        assert node.stdout is not None
        node.stdout.readline()
        asking = [*command, "ask", PUZZLE, "--config", path]
        asker = subprocess.Popen(asking, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        try:
            assert asker.stderr is not None
            told = next(line for line in asker.stderr if not line.startswith("ana: "))
            asker.send_signal(signal.SIGINT)
            assert asker.wait(60) == 130
        finally:
            asker.kill()
            node.terminate()
    assert told == "waiting: 1 of 3 members can be heard, 2 are a majority; Ctrl-C withdraws the question\n"


def test_a_demonstration_without_an_endpoint_or_an_answer_says_so(tmp_path: Path) -> None:
    assert "the demonstration has no endpoint" in cli("demo", "--member", "chat", code=2).stderr
    (tmp_path / "q.txt").write_text("what?\n")
    told = cli("demo", "--nodes", 1, "--kill", 0, "--seconds", 3, "--puzzles", tmp_path / "q.txt", code=1)
    assert "no question was answered" in told.stderr
    assert re.search(r"rounds undecided\n", told.stdout)  # the board ends its line


def test_a_path_with_a_nul_is_told(mesh: Path, tmp_path: Path) -> None:
    text = (mesh / "ana.toml").read_text().replace('"ana.journal"', '"ana\\u0000.journal"')
    (tmp_path / "x.toml").write_text(text)
    assert "is not a path: it holds a NUL" in cli("status", "-c", tmp_path / "x.toml", code=2).stderr


def test_solve_reads_every_kind_of_file(mesh: Path, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(f"source,question,answer\na,{PUZZLE},{SOLVED}\nb,{PUZZLE},{'1' * 81}\n")
    result = cli("solve", tmp_path / "q.csv", "-c", mesh / "cem.toml")
    assert "2 of 2 answered, 1 of 2 as the file says" in result.stderr
    assert {json.loads(line)["answer"] for line in result.stdout.splitlines()} == {SOLVED}
    row = {"source": "a\u2028b\x85c", "question": PUZZLE, "answer": SOLVED}  # characters that end lines elsewhere
    (tmp_path / "q.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n")
    assert "1 of 1 as the file says" in cli("solve", tmp_path / "q.jsonl", "-c", mesh / "cem.toml").stderr
    (tmp_path / "q.txt").write_text(f"# Sudokus\n{PUZZLE}\n")
    assert "1 of 1 answered\n" in cli("solve", tmp_path / "q.txt", "-c", mesh / "cem.toml").stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.csv", "puzzle\n1\n", "q.csv:1: no column is called 'question'"),
        ("q.jsonl", '{"question": "a"}\n{"q": 1}\n', "q.jsonl:2: expected an object"),
        ("q.jsonl", '{"question": 3}\n', "q.jsonl:1: question and answer must be text"),
        ("q.txt", "\n", "no questions in this file"),
        ("q.txt", "x" * 20_000, "question 1 has 20000 characters"),
    ],
)
def test_a_bad_file_of_questions_is_told(mesh: Path, tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    assert message in cli("solve", tmp_path / name, "-c", mesh / "ana.toml", code=2).stderr


def test_status_tells_heads_and_health(mesh: Path) -> None:
    cli("ask", PUZZLE, "-c", mesh / "ana.toml")
    deadline = time.monotonic() + 60
    while "never heard" in cli("status", "-c", mesh / "ben.toml").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    text = cli("status", "-c", mesh / "ben.toml").stdout
    for line in (
        r"^ben, epoch 0, mesh \w{16}$",
        r"^committed +\d+ entries, root",
        r"^disk +fine$",
        r"majority 2, in step [01]\.\d\d$",
    ):
        assert re.search(line, text, re.MULTILINE), line
    told = json.loads(cli("status", "-c", mesh / "ben.toml", "--json").stdout)
    assert {member["name"] for member in told["members"]} == {"ana", "ben", "cem"}
    assert all(member["heard"] is not None for member in told["members"])


def test_an_artifact_is_kept_under_a_name_and_got_elsewhere(mesh: Path, tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_bytes(b"many minds\n" * 20_000)
    put = cli("artifact", "put", tmp_path / "report.txt", "-c", mesh / "ana.toml")
    digest = put.stdout.split()[0]
    assert re.search(r"committed at entry \d+", put.stderr)
    deadline = time.monotonic() + 60
    while "report.txt" not in cli("artifact", "list", "-c", mesh / "ben.toml").stdout:
        assert time.monotonic() < deadline, "ben never read the name"
    cli("artifact", "get", "report.txt", "-c", mesh / "ben.toml", "-o", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "report.txt").read_bytes()
    assert (mesh / "kept-by-ben" / digest[:2] / digest[2:]).is_file()
    assert (
        "is no name"
        in cli("artifact", "put", tmp_path / "report.txt", "--name", "../x", "-c", mesh / "ana.toml", code=2).stderr
    )
    assert "no artifact is called 'nope'" in cli("artifact", "get", "nope", "-c", mesh / "ana.toml", code=1).stderr


@pytest.mark.parametrize("verb", ["ask", "solve"])
def test_an_asker_who_leaves_withdraws_the_question(verb: str, tmp_path: Path) -> None:
    path = cli("init", tmp_path / "m", "--nodes", 2).stdout.split()[0]  # one of two: nothing can be accepted
    (tmp_path / "q.txt").write_text(PUZZLE)
    command = [sys.executable, "-m", "chorus", "mesh"]
    node = subprocess.Popen([*command, "node", "-c", path], stdout=subprocess.PIPE, env=ENVIRONMENT)
    assert node.stdout is not None
    node.stdout.readline()
    question = PUZZLE if verb == "ask" else str(tmp_path / "q.txt")
    asker = subprocess.Popen([*command, verb, question, "-c", path], env=ENVIRONMENT, stderr=subprocess.DEVNULL)

    def comes_to(rounds: dict[str, int]) -> None:
        deadline = time.monotonic() + 60
        while (now := json.loads(cli("status", "-c", path, "--json").stdout)["rounds"]) != rounds:
            assert time.monotonic() < deadline, now
            time.sleep(0.05)

    try:
        comes_to({"open": 1})
        asker.send_signal(signal.SIGINT)
        assert asker.wait(60) == 130
        comes_to({"open": 0, "cancelled": 1})
    finally:
        asker.kill()
        node.terminate()
        node.wait(60)


def test_the_log_is_shown_verified_and_proved(mesh: Path, tmp_path: Path) -> None:
    cli("ask", PUZZLE, "-c", mesh / "ana.toml")
    head_is_kept(mesh)
    shown = cli("log", "show", "-c", mesh / "ana.toml", "--last", 0).stdout
    assert re.search(r"ana +ask +53\.\.7", shown)
    assert cli("log", "verify", "-c", mesh / "ana.toml").stdout == ""
    (tmp_path / "head.json").write_text(cli("log", "head", "-c", mesh / "ben.toml").stdout)
    cli("log", "verify", "-c", mesh / "ana.toml", "--head", tmp_path / "head.json", "--every-signature")
    (tmp_path / "proof.json").write_text(cli("log", "prove", "-c", mesh / "ana.toml", "--entry", 1).stdout)
    checked = cli("log", "verify", "-c", mesh / "cem.toml", "--proof", tmp_path / "proof.json")
    assert "stands at place 1 of" in checked.stdout
    proof = json.loads((tmp_path / "proof.json").read_text())
    (tmp_path / "proof.json").write_text(json.dumps({**proof, "place": 2}))
    result = cli("log", "verify", "-c", mesh / "cem.toml", "--proof", tmp_path / "proof.json", code=1)
    assert "the path does not lead from this entry" in result.stderr
    assert "not 99999" in cli("log", "prove", "-c", mesh / "ana.toml", "--entry", 99999, code=2).stderr


def test_a_changed_copy_of_the_log_is_named(mesh: Path, tmp_path: Path) -> None:
    cli("ask", PUZZLE, "-c", mesh / "ana.toml")
    head_is_kept(mesh)
    copy = sqlite3.connect(tmp_path / "mesh.log")
    with sqlite3.connect(mesh / "mesh.log") as log:
        log.backup(copy)
    copy.execute("UPDATE log SET record = CAST(replace(record, '8', '9') AS BLOB) WHERE position = 2")
    copy.commit()
    copy.close()
    text = (mesh / "ana.toml").read_text().replace("sqlite:mesh.log", f"sqlite:{tmp_path}/mesh.log")
    (mesh / "changed.toml").write_text(text)
    result = cli("log", "verify", "-c", mesh / "changed.toml", code=1)
    assert "position 2 " in result.stdout.splitlines()[0]
    assert "error: the log is not what was committed" in result.stderr


def test_keygen_prints_the_public_key_and_never_overwrites(tmp_path: Path) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}\n", cli("keygen", tmp_path / "k").stdout)
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert "never overwritten" in cli("keygen", tmp_path / "k", code=2).stderr


def test_init_for_founders_elsewhere_writes_no_keys(tmp_path: Path) -> None:
    keys = [cli("keygen", tmp_path / f"k{n}").stdout.strip() for n in range(2)]
    cli("init", tmp_path / "m", "--founder", f"ana={keys[0]}", "--founder", f"ben={keys[1]}")
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["ana.toml", "ben.toml"]
    assert "is not a public key" in cli("init", tmp_path / "n", "--founder", "ana=xyz", code=2).stderr
    for name, message in (("../evil", "is no name"), ('a"b', "is no name"), ("", "is no name")):
        assert message in cli("init", tmp_path / "n", "--founder", f"{name}={keys[0]}", code=2).stderr
    twice = ("--founder", f"ana={keys[0]}", "--founder", f"ana={keys[1]}")
    assert "two founders are called 'ana'" in cli("init", tmp_path / "n", *twice, code=2).stderr
    assert not (tmp_path / "n").exists()
    alone = cli("init", tmp_path / "n", "--nodes", 5, "--topology", "sliding_window(1)", code=2)
    assert "nothing could ever be accepted" in alone.stderr
    assert "exists already" in cli("init", tmp_path / "m", "--founder", f"ana={keys[0]}", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("status", "-c", "nowhere.toml"), 2, "cannot read the configuration"),
        (("node", "-c", "nowhere.toml"), 2, "cannot read the configuration"),
        (("demo", "--nodes", "4", "--kill", "2"), 2, "leaves no majority"),
        (
            ("demo", "--nodes", "5", "--kill", "1", "--cut", "2"),
            2,
            "--kill 1 and --cut 2 of 5 nodes leaves no majority",
        ),
        (("init", "d", "--member", "oracle"), 2, "is no kind of member"),
        (("init", "d", "--log", "nowhere"), 2, "expected sqlite:FILE or etcd:HOST:PORT"),
    ],
)
def test_wrong_usage_is_told(
    arguments: tuple[str, ...], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in cli(*arguments, code=code).stderr
    assert not list(tmp_path.iterdir())


def test_asking_where_nothing_runs_says_how_to_start_it(tmp_path: Path) -> None:
    cli("init", tmp_path / "m", "--nodes", 1)
    result = cli("ask", "?", "-c", tmp_path / "m" / "ana.toml", code=1)
    assert "no node is running here; start it with `chorus mesh node`" in result.stderr
    assert "is not text" in cli("ask", "\udcff", "-c", tmp_path / "m" / "ana.toml", code=2).stderr


def test_the_demonstration_keeps_its_promises() -> None:
    result = cli("demo", "--nodes", 3, "--kill", 1, "--seconds", 8)
    assert "cem is killed (SIGKILL)" in result.stdout
    assert "cem is started again" in result.stdout
    assert "cem is back" in result.stdout
    assert "every node ended at the same head" in result.stdout
    assert "the log holds all that any of the 3 journals remembers" in result.stdout


@pytest.mark.skipif(bool(why_not()), reason=f"no hosts in network namespaces here: {why_not()}")
def test_the_demonstration_keeps_its_promises_through_a_cut() -> None:
    result = cli("demo", "--nodes", 3, "--cut", 1, "--seconds", 6)
    assert re.search(r"(ana|ben|cem), with etcd's leader, cut off", result.stdout)
    assert "the link is up again" in result.stdout
    assert re.search(r"accepted, .* asked of", result.stdout)  # of who was cut off
    assert "every node ended at the same head" in result.stdout
    assert "the log holds all that any of the 3 journals remembers" in result.stdout
