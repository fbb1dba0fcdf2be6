"""`chorus think` as a person calls it, with good problems and every kind of bad one."""

import contextlib
import gc
import importlib
import io
import json
import os
import re
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest
from small_minds import QUESTIONS

import chorus
from chorus.thought import Answer, ThinkConfig, Thinker, Trace
from chorus.thought.tasks import Record, make_task, read_problems

think_module = importlib.import_module("chorus.cli.think")  # `chorus.cli.think` itself is the command

TASK = make_task("sudoku4")
ANSWERS = [TASK.solve(question) for question in QUESTIONS]


@pytest.fixture
def think(command, trained_folder):
    return lambda *arguments, **options: command("think", *arguments, "--model", trained_folder, **options)


def lines(*texts):
    return ("\n".join(texts) + "\n").encode()


def test_answers_come_in_order_one_a_line(think, tmp_path):
    questions = QUESTIONS * 40  # more than one batch
    file = tmp_path / "problems.txt"
    file.write_bytes(lines("# a comment", *questions))
    code, out, err = think(file)
    assert out.splitlines() == ANSWERS * 40
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(QUESTIONS),
        "\r\n".join(question.replace(".", "0") for question in QUESTIONS),
        "question,answer\n" + "\n".join(f"{q},{a}" for q, a in zip(QUESTIONS, ANSWERS, strict=True)),
        "source,question,rating\n" + "\n".join(f"mine,{q},3" for q in QUESTIONS),
        "\n".join(json.dumps({"question": q}) for q in QUESTIONS),
    ],
)
def test_every_format_on_standard_input(think, text):
    for arguments in ([], ["-"]):
        code, out, _ = think(*arguments, stdin=text.encode())
        assert (code, out.splitlines()) == (0, ANSWERS)


def test_json(think):
    code, out, _ = think("--json", "-k", 3, "--steps", 50, stdin=lines(*QUESTIONS))
    assert code == 0
    for text, question, answer in zip(out.splitlines(), QUESTIONS, ANSWERS, strict=True):
        value = json.loads(text)
        assert list(value) == [
            "question",
            "answer",
            "energy",
            "thoughts",
            "steps",
            "seconds",
            "halted_by",
            "valid",
            "solutions",
        ]
        assert (value["question"], value["answer"], value["valid"], value["thoughts"]) == (question, answer, True, 3)
        assert value["solutions"] == "one"
        assert 1 <= value["steps"] <= 50
        assert value["energy"] >= 0
        assert value["seconds"] > 0
        assert value["halted_by"] in ("confidence", "agreement", "fixed_point", "budget")


NO_SOLUTION = "123............4"
BAD = [
    ("1234", r"has 4 characters; sudoku4 has 16"),
    ("1" * 17, r"has 17 characters"),
    ("1..x............", "character 'x' at position 4"),
    ("9...............", "character '9' at position 1"),
    ("1...é...........", "character 'é' at position 5"),
    ("11..............", "two givens 1 in row 1: at row 1, column 1 and at row 1, column 2"),
    ("1....1..........", "two givens 1 in box 1"),
]


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_a_bad_line_is_named_and_the_others_are_answered(think, tmp_path, bad, message):
    file = tmp_path / "problems.txt"
    file.write_bytes(lines(QUESTIONS[0], bad, QUESTIONS[1]))
    code, out, err = think(file)
    assert code == 2
    assert out.split("\n") == [ANSWERS[0], "", ANSWERS[1], ""]
    assert f"{file}, line 2: " in err
    assert message in err
    assert "warning: 1 line could not be answered" in err
    code, out, _ = think(file, "--json")
    values = [json.loads(line) for line in out.splitlines()]
    assert [value.get("answer") for value in values] == [ANSWERS[0], None, ANSWERS[1]]
    assert message in values[1]["error"]


def test_bad_lines_of_csv_and_jsonl(think):
    code, out, err = think(stdin=lines("question,answer", f"{QUESTIONS[0]},", "a,b,c", f"{QUESTIONS[1]},"))
    assert (code, out.splitlines()) == (2, [ANSWERS[0], "", ANSWERS[1]])
    assert "standard input, line 3: 3 columns where the header has 2" in err
    code, out, err = think(stdin=lines(json.dumps({"question": QUESTIONS[0]}), '{"q": 1}', "{", "[1]"))
    assert (code, out.splitlines()) == (2, [ANSWERS[0], "", "", ""])
    assert 'line 2: not an object with a text "question"' in err
    assert "line 3: not JSON" in err


def test_no_solution_is_never_passed_off_as_answered(think):
    code, out, err = think(stdin=lines(QUESTIONS[0], NO_SOLUTION, QUESTIONS[1]))
    assert code == 1
    assert out.splitlines()[::2] == [ANSWERS[0], ANSWERS[1]]
    assert "standard input, line 2: the answer breaks the task's rules: there is no solution" in err
    assert "warning: 1 of 3 answers break the task's rules (valid: false)" in err
    code, out, _ = think("--json", stdin=lines(NO_SOLUTION))
    assert (code, json.loads(out)["valid"]) == (1, False)


def test_several_solutions_and_too_little_time(think):
    empty = "." * 16
    code, out, err = think("--steps", 1, "--thoughts", 1, stdin=lines(empty, QUESTIONS[3]))
    assert code == 1
    assert "line 1: the answer breaks the task's rules: there are several solutions" in err
    assert "line 2: the answer breaks the task's rules\n" in err  # there is one solution; it was not found in one step
    code, out, _ = think("--json", stdin=lines(empty))
    value = json.loads(out)
    assert (code, value["valid"], value["solutions"]) == (1, TASK.check(empty, value["answer"]), "several")


def test_one_of_several_solutions_is_given_and_said_to_be_one(think):
    two = next(q for q in (ANSWERS[0][:i] + "." * (16 - i) for i in range(15, 0, -1)) if TASK.solutions(q) == "several")
    code, out, err = think("--json", stdin=lines(QUESTIONS[0], two))
    first, second = map(json.loads, out.splitlines())
    assert (code, first["solutions"], second["solutions"]) == (1, "one", "several")
    assert second["valid"] == TASK.check(two, second["answer"])
    said = "there are several solutions; this is one of them" if second["valid"] else "there are several solutions"
    assert f"standard input, line 2: {said}" in err or said in err


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "x.txt", "no problem in it (it is empty)"),
        (b"\n\n# nothing\n", "x.txt", "no problem in it"),
        (b"question\n", "x.csv", "a header and nothing else"),
        (b"puzzle,solution\n1,2\n", "x.csv", "line 1: no column 'question' in the header; it has puzzle, solution"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "x.png", "line 1: not text in UTF-8; this looks like a binary file"),
        (b"\x00\x01\x02", "x.bin", "line 1: a NUL byte; this looks like a binary file"),
        (None, "x.txt", "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_none(think, tmp_path, content, name, message):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    code, out, err = think(file)
    assert (code, out) == (2, "")
    assert f"error: {file}" in err
    assert message in err


def test_a_binary_line_after_good_ones(think):
    code, out, err = think(stdin=lines(QUESTIONS[0]) + b"\xff\xfe\n")
    assert code == 2
    assert out.splitlines() == [ANSWERS[0]]
    assert "line 2: not text" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--thoughts", 0], "thoughts must be 1 or more; got 0"),
        (["--steps", 0], "steps must be 1 or more; got 0"),
        (["--thoughts", 10**8], "thoughts must be 65,536 or fewer; got 100,000,000"),
        (["--seed", 2**64], "seed must be a signed 64-bit number"),
        (["--thoughts", "many"], "Invalid value for '--thoughts'"),
        (["--device", "abacus"], "device must be auto, cpu, cuda or mps; got 'abacus'"),
        (["--trace", "run.gif"], "ends in .png, .svg, .jsonl or .json"),
        (["--task", "sudoku"], "not both"),
        (["--nonsense"], "No such option"),
    ],
)
def test_bad_settings(think, options, message):
    code, out, err = think(*options, stdin=lines(QUESTIONS[0]))
    assert (code, out) == (2, "")
    assert message in err


def test_models_that_cannot_be_used(command, tmp_path):
    for name, message in ((tmp_path, "no config.json there"), ("chess", "no such model")):
        code, out, err = command("think", "--model", name, stdin=lines(QUESTIONS[0]))
        assert (code, out) == (2, "")
        assert message in err


def test_trace_files(think, tmp_path):
    code, out, _ = think("--trace", tmp_path / "runs.jsonl", stdin=lines(*QUESTIONS[:2]))
    assert (code, out.splitlines()) == (0, ANSWERS[:2])
    traces = [Trace.from_json(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [trace.answer for trace in traces] == ANSWERS[:2]
    code, out, _ = think("--trace", tmp_path / "run.svg", stdin=lines(*QUESTIONS[:2]))
    assert (code, out.splitlines()) == (0, ANSWERS[:2])
    assert (tmp_path / "run.svg").read_text().lstrip().startswith("<?xml")
    code, _, err = think("--trace", tmp_path / "no" / "runs.jsonl", stdin=lines(QUESTIONS[0]))
    assert code == 2
    assert "cannot be written" in err


def test_watching_prints_boards_on_stderr_and_answers_on_stdout(think):
    code, out, err = think("--watch", "-k", 2, stdin=lines(QUESTIONS[0]))
    assert (code, out.splitlines()) == (0, [ANSWERS[0]])
    assert "thought 0" in err


def test_a_terminal_shows_the_answer_under_the_boards(trained_folder):
    """Both streams are one terminal, as for a person who watches."""
    ours, theirs = os.openpty()
    command = [
        sys.executable,
        "-m",
        "chorus",
        "think",
        "--model",
        str(trained_folder),
        "-t",
        "99",
        "--watch",
        "-k",
        "2",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1]), "TERM": "xterm"}
    shown = bytearray()

    def look() -> None:
        with contextlib.suppress(OSError):  # of the terminal's other end, when the command has closed it
            while piece := os.read(ours, 4096):
                shown.extend(piece)

    looking = threading.Thread(target=look)
    looking.start()
    done = subprocess.run(
        command, input=lines(QUESTIONS[0]), stdout=theirs, stderr=theirs, env=environment, timeout=200
    )
    os.close(theirs)
    looking.join(20)
    os.close(ours)
    assert done.returncode == 0
    boards, _, under = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).rpartition("p(is right)")
    assert "thought 0" in boards
    assert len(under.strip()) == len(QUESTIONS[0])


def test_many_lines_need_no_more_memory_than_a_few():
    """A stream that has no end in sight is read and batched line by line: memory stays where it was."""

    class Endless(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            text = (QUESTIONS[0] + "\n").encode() * 64
            buffer[: len(text)] = text
            return len(text)

    from chorus.thought.tasks import reading

    records = reading._records(io.BufferedReader(Endless(), 4096), "endless", "")
    batches = think_module._batches(records, 64)
    for _ in range(10):
        next(batches)
    tracemalloc.start()
    for _ in range(10):
        next(batches)
    first = tracemalloc.get_traced_memory()[0]
    for _ in range(600):
        last = next(batches)
    grown = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    assert len(last) == 64
    assert last[-1].line == 620 * 64
    assert grown < 20_000  # 38,400 lines would be megabytes


def test_a_job_keeps_no_problem_and_no_answer(trained_folder, tmp_path, capsys):
    """The loop that answers: of 24 batches, no more than the last one is alive at any time."""
    file = tmp_path / "problems.txt"
    file.write_bytes(lines(*QUESTIONS * 96))
    job = think_module._Job(Thinker.from_pretrained(trained_folder, "cpu"), ThinkConfig(thoughts=2, steps=4), "x", True)
    alive = []
    for batch in think_module._batches(read_problems(file), 16):
        job.handle(batch)
        capsys.readouterr()
        gc.collect()
        alive.append(sum(type(thing) in (Answer, Record) for thing in gc.get_objects()))
    assert len(alive) == 24
    assert job.answered == 384
    assert max(alive) <= 32  # the records at hand, and those of the batch before until the loop lets go of them


def test_a_reader_that_goes_away_and_a_full_disk(trained_folder):
    """The command as a process of its own: into `head -1`, and onto a full disk."""
    environment = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}
    command = [sys.executable, "-m", "chorus", "think", "--model", str(trained_folder), "-t", "8"]
    text = lines(*QUESTIONS * 500).decode()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        process.stdin.write(text[:170])
        process.stdin.close()
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 1
    assert "Traceback" not in said
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                command, input=text[:34], stdout=full, stderr=subprocess.PIPE, text=True, env=environment, timeout=200
            )
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "No space left" in done.stderr


@pytest.mark.parametrize(
    ("redirection", "code", "message"),
    [("<&-", 2, b"error: standard input is closed"), (">&-", 0, b""), ("2>&-", 0, b"")],
)
def test_streams_that_the_caller_has_closed(tmp_path, trained_folder, redirection, code, message):
    (tmp_path / "problems.txt").write_text(QUESTIONS[0] + "\n")
    problems = "-" if redirection == "<&-" else tmp_path / "problems.txt"
    command = f"{sys.executable} -m chorus think {problems} --model {trained_folder} {redirection}"
    environment = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}
    done = subprocess.run(["sh", "-c", command], capture_output=True, env=environment, check=False)
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr
    assert message in done.stderr
    assert done.stdout == (ANSWERS[0].encode() + b"\n" if redirection == "2>&-" else b"")
