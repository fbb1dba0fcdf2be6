"""The way from characters to numbers and back, what is given, what is checked, and a person's own pairs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chorus
from chorus.errors import InputError
from chorus.thought.tasks import PairsTask, load_pairs, make_task, maze, read_relations, sudoku, task_from_dict
from chorus.topology import parse

QUESTION = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
ANSWER = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
NAMES = ["sudoku", "sudoku4", "sudoku6", "maze"]


@pytest.mark.parametrize("name", NAMES)
def test_generated_pairs_survive_the_round_trip(name):
    task = make_task(name)
    questions, answers = task.generate(5, seed=0)
    assert questions.dtype == answers.dtype == np.uint8
    assert questions.shape == answers.shape == (5, task.cells)
    for question, answer in zip(questions, answers, strict=True):
        text, solved = task.decode_question(question), task.decode(answer)
        assert np.array_equal(task.encode(text), question)
        assert np.array_equal(task.encode_answer(solved), answer)
        assert task.check(text, solved) is True
        given = task.givens(question)
        assert np.all((given < 0) | (given == answer))
        assert all((c in ".") == (g < 0) for c, g in zip(text, given, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_relations_fit_the_cells(name):
    task = make_task(name)
    for relation in task.relations:
        assert str(parse(relation)) == relation
        assert task.cells - 1 in parse(relation).neighbors(task.cells - 1, 0, task.cells)
    assert task.shape[0] * task.shape[1] == task.cells


def test_a_cell_of_a_maze_reads_each_direction_apart():
    read = [set(parse(relation).neighbors(12, 0, 25)) - {12} for relation in maze(5).relations]
    assert read == [{11}, {13}, {7}, {17}]


@pytest.mark.parametrize("name", NAMES)
def test_saved_as_json(name):
    task = make_task(name, size=15 if name == "maze" else None)
    assert task_from_dict(json.loads(json.dumps(task.to_dict()))) == task


def test_every_way_to_write_a_blank():
    task = sudoku()
    written = [QUESTION.replace("0", blank) for blank in "0._*"] + [QUESTION + "\r\n", "  " + QUESTION]
    assert len({task.encode(text).tobytes() for text in written}) == 1
    assert task.normalize(QUESTION) == QUESTION.replace("0", ".")
    assert maze(5).normalize("### #\n") == "###.#"


def test_sudoku_check_refuses_what_breaks_a_rule():
    task = sudoku()
    assert task.check(QUESTION, ANSWER) is True
    assert task.check(QUESTION, ANSWER[1:] + ANSWER[:1]) is False
    assert task.check(QUESTION, ANSWER.replace("5", "x", 1)) is False
    assert task.check(QUESTION, ANSWER[:-1]) is False
    swapped = ANSWER.translate(str.maketrans("12", "21"))  # obeys all rules but not the givens
    assert task.check("." * 81, swapped) is True
    assert task.check(QUESTION, swapped) is False
    shifted = "".join(
        "123456789"[(r + c) % 9] for r in range(9) for c in range(9)
    )  # right rows and columns, wrong boxes
    assert task.check("." * 81, shifted) is False
    lines = "123456789" * 9
    assert task.check("." * 81, lines) is False


def test_contradictory_givens_are_named():
    task = sudoku()
    assert task.defect(QUESTION) is None
    assert task.defect("5" + "." * 7 + "5" + "." * 72) == (
        "two givens 5 in row 1: at row 1, column 1 and at row 1, column 9"
    )
    assert "column 2" in task.defect(".7" + "." * 43 + ".7" + "." * 34)
    assert "box 5" in task.defect("." * 30 + "1" + "." * 9 + "1" + "." * 40)
    assert task.count_solutions(QUESTION) == 1
    assert task.count_solutions("." * 81) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (QUESTION[:-1], "the question has 80 characters; sudoku has 81"),
        (QUESTION[:4] + "x" + QUESTION[5:], "'x' at position 5"),
        ("", "the question has 0 characters"),
    ],
)
def test_wrong_questions(text, message):
    with pytest.raises(InputError, match=message):
        sudoku().encode(text)


def test_wrong_names_and_options():
    with pytest.raises(InputError, match="sudoku6, maze"):
        make_task("chess")
    with pytest.raises(InputError, match="only a maze has a size"):
        make_task("sudoku", size=9)
    with pytest.raises(InputError, match="damaged"):
        task_from_dict({"name": "sudoku"})
    with pytest.raises(InputError, match="unknown kind"):
        task_from_dict({"kind": "chess"})


def test_streams_in_chunks():
    pairs = list(sudoku("sudoku4").stream(2100, seed=0))
    assert len(pairs) == 2100
    assert len({q for q, _ in pairs[:1000]} & {q for q, _ in pairs[1000:2000]}) < 300
    assert next(iter(sudoku().stream(10**9)))[0].count(".") >= 45


@pytest.fixture
def write(tmp_path):
    def writer(text, name="data.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return writer


def test_own_pairs_of_one_length(write):
    task = PairsTask.from_file(write("question,answer\nA.b,A1b\n..b,12b\n"), interchangeable=True)
    assert (task.name, task.cells, task.pad) == ("data", 3, "")
    assert (task.input_alphabet, task.output_alphabet) == (".Ab", "12Ab")
    assert task.open_characters == "."
    assert task.kept == (-1, 2, 3)
    assert task.relations == ("full()",)
    assert task.check("A.b", "A1b") is None
    assert task.decode(task.encode_answer("A1b")) == "A1b"
    assert task_from_dict(json.loads(json.dumps(task.to_dict()))) == task


def test_a_character_that_an_answer_changes_is_open(write):
    task = PairsTask.from_file(write("question,answer\naab,aab\naba,abb\n"))
    assert task.open_characters == "a"
    assert task.givens(task.encode("aba")).tolist() == [-1, 1, -1]


def test_own_pairs_of_several_lengths(write):
    task = PairsTask.from_file(write("question,answer\n1+1,2\n9+9+9,27\n"))
    assert task.cells == 5
    assert task.decode(task.encode_answer("27")) == "27"
    assert task.decode_question(task.encode("1+1")) == "1+1"
    assert task.givens(task.encode("1+1")).tolist() == [-1, -1, -1, 0, 0]
    longer = PairsTask.from_file(write("question,answer\na,ab\n"))
    assert longer.givens(longer.encode("a")).tolist() == [1, -1]
    with pytest.raises(InputError, match="the question has 6 characters; data has up to 5"):
        task.encode("1+1+11")
    assert task_from_dict(json.loads(json.dumps(task.to_dict()))) == task


def test_own_relations(write):
    data = write("question,answer\n1..2,1212\n")
    relations = write("# a square\nrows(2, 2)\n\ncolumns(2,2)\n", "relations.txt")
    assert PairsTask.from_file(data, relations, shape=(2, 2)).relations == ("rows(2, 2)", "columns(2, 2)")
    with pytest.raises(InputError, match="3 × 3"):
        PairsTask.from_file(data, shape=(3, 3))
    with pytest.raises(InputError, match=r"bad\.txt, line 2"):
        read_relations(write("rows(2, 2)\nrow(2, 2)\n", "bad.txt"), 4)
    with pytest.raises(InputError, match=r"big\.txt, line 1"):
        read_relations(write("rows(3, 3)\n", "big.txt"), 4)
    with pytest.raises(InputError, match="no relation"):
        read_relations(write("# nothing\n", "none.txt"), 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("question,answer\n12,12\n1.,\n", "line 3: no answer"),
        ("question\n12\n", "line 2: no answer"),
        ("question,answer\n", "no problem"),
        ("question,answer\n1,2,3\n", "line 2: 3 columns"),
    ],
)
def test_files_that_are_no_pairs(write, text, message):
    with pytest.raises(InputError, match=message):
        PairsTask.from_file(write(text))


def test_load_pairs(write):
    task = sudoku()
    path = write(f"source,question,answer,rating\na,{QUESTION},{ANSWER},7\nb,{QUESTION},{ANSWER},\n")
    pairs = load_pairs(task, path)
    assert pairs.questions.shape == pairs.answers.shape == (2, 81)
    with pytest.raises(InputError, match=r"data\.csv, line 3: the answer has 2 characters; sudoku has 81"):
        load_pairs(task, write(f"question,answer\n{QUESTION},{ANSWER}\n{QUESTION},12\n"))


def test_neither_torch_nor_numba_is_loaded_before_it_is_needed():
    code = (
        "import sys; from chorus.thought.tasks import sudoku, maze, PairsTask;"
        f"sudoku().check('{QUESTION}', '{ANSWER}'); maze(5);"
        "print([m for m in ('torch', 'numba', 'networkx') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
