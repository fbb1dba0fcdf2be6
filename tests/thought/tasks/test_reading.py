"""Files of problems as people have them: formats, endings, encodings, damage."""

import io
import sys
import tracemalloc

import pytest

from chorus.errors import InputError
from chorus.thought.tasks import read_problems


@pytest.fixture
def read(tmp_path):
    def reader(content, name="problems"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [(r.line, r.question, r.answer, r.rating) for r in read_problems(path)]

    return reader


def test_plain_lines(read):
    assert read("1..4\n2..3\n") == [(1, "1..4", None, None), (2, "2..3", None, None)]


def test_blank_lines_comments_and_windows_endings(read):
    assert read(b"\xef\xbb\xbf# two\r\n\r\n1..4\r\n#\r\n   \r\n2..3") == [
        (3, "1..4", None, None),
        (6, "2..3", None, None),
    ]


def test_a_maze_is_no_comment(read):
    assert read("#####S G#####\n") == [(1, "#####S G#####", None, None)]


def test_csv_with_columns_in_any_order(read):
    text = 'source,rating,Answer,question\nx,7,12,"1."\ny,,,2.\nz,easy,21,2.\n'
    expected = [(2, "1.", "12", 7.0), (3, "2.", None, None), (4, "2.", "21", "easy")]
    assert read(text, "a.csv") == read(text, "without-ending") == expected
    assert read("question\n1.\n") == [(2, "1.", None, None)]
    assert read('question,difficulty\n"1,2",3\n') == [(2, "1,2", None, 3.0)]


def test_jsonl(read):
    text = '{"question": "1.", "answer": "12", "rating": 3}\n\n{"question": "2."}\n'
    assert read(text, "a.jsonl") == read(text, "a") == [(1, "1.", "12", 3.0), (3, "2.", None, None)]


def test_a_bad_line_leaves_the_others(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"question": "1."}\n{"question": \n[1]\n{"question": 5}\n{"question": "2.", "answer": 1}\n{"question": "3."}\n'
    )
    records = list(read_problems(path))
    assert [r.question for r in records if r.error is None] == ["1.", "3."]
    assert [(r.line, r.error.split(":")[0]) for r in records if r.error] == [
        (2, "not JSON"),
        (3, 'not an object with a text "question"'),
        (4, 'not an object with a text "question"'),
        (5, '"answer" is not a text'),
    ]
    path = tmp_path / "a.csv"
    path.write_text("question,answer\n1.,12\nfoo\n2.,21\n")
    records = list(read_problems(path))
    assert [(r.line, r.error) for r in records if r.error] == [(3, "1 columns where the header has 2")]
    assert records[2].question == "2."


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "a", "empty"),
        (b"\n\n# only a comment\n", "a.txt", "empty"),
        (b"question,answer\n", "a.csv", "nothing else"),
        (b"puzzle,solution\n1,2\n", "a.csv", r"a\.csv, line 1: no column 'question'.*puzzle, solution"),
        (b"12\n\x00\x01\x02\n", "a", r"a, line 2: a NUL byte"),
        (b"\x89PNG\r\n\x1a\n", "a.png", r"a\.png, line 1: not text"),
        (b"1" * (1 << 21), "a", "line 1: longer than"),
    ],
)
def test_files_that_hold_no_problems(read, content, name, message):
    with pytest.raises(InputError, match=message):
        read(content, name)


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        list(read_problems(tmp_path / "none"))
    with pytest.raises(InputError, match="directory"):
        list(read_problems(tmp_path))


def test_standard_input_is_answered_as_it_comes(monkeypatch):
    taken = []

    class Source(io.BytesIO):
        def readline(self, size=-1):
            taken.append(1)
            return super().readline(size)

    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": Source(b"1..4\n2..3\n3..2\n")})())
    records = read_problems("-")
    assert next(records).question == "1..4"
    assert len(taken) == 1
    assert [r.question for r in records] == ["2..3", "3..2"]


def test_memory_does_not_grow(tmp_path):
    path = tmp_path / "many.csv"

    def peak(n):
        with path.open("w") as stream:
            stream.write("question\n")
            stream.writelines("." * 81 + "\n" for _ in range(n))
        tracemalloc.start()
        count = sum(1 for _ in read_problems(path))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == n
        return most

    peak(10)
    assert peak(20_000) < peak(200) + 100_000
