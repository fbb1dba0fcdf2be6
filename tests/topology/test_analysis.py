"""Costs against their definitions by brute force, and the report, its JSON and the command that prints them."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dense_topology import dense, sized_topologies
from hypothesis import given, settings
from typer.testing import CliRunner

import chorus.topology as ct
from chorus.cli import app
from chorus.errors import InputError
from chorus.topology.characters import picture
from chorus.topology.cost import critical_path, decode_keys
from chorus.topology.naming import network_name
from chorus.topology.report import compare, number, scaled

SOURCE = Path(__file__).parents[2] / "src"


def kept_while_decoding(mask: np.ndarray) -> int:
    """Decode actor by actor: at t, how many earlier keys will t or a later actor read?"""
    n = len(mask)
    return max(int(mask[t:, :t].any(0).sum()) for t in range(n))


@given(sized_topologies(30))
@settings(max_examples=150, deadline=None)
def test_costs_agree_with_the_dense_definition(sized):
    t, n = sized
    a = ct.analyze(t, n, layers=3, dim=12, heads=3, tile=8)
    assert len(a.costs) in (1, 2, 3)
    for layer in range(3):
        cost, mask = a.costs[layer % len(a.costs)], dense(t, n, layer)
        assert cost.edges == mask.sum()
        assert cost.degree == (mask.sum(1).min(), pytest.approx(mask.sum() / n), mask.sum(1).max())
        assert cost.attention_flops == 4 * 12 * mask.sum()
        assert cost.projection_flops == 8 * n * 12**2
        assert cost.executed_pairs == ct.plan(t, n, 8, layer).executed_edges
        causal = (np.tril(mask) == mask).all()
        assert (cost.decode_keys is not None) == causal
        if causal:
            assert cost.decode_keys == kept_while_decoding(mask)
    assert a.total("edges") == sum(dense(t, n, layer).sum() for layer in range(3))
    assert a.causal == all((np.tril(m) == m).all() for m in (dense(t, n, layer) for layer in range(3)))


@pytest.mark.parametrize(
    ("spec", "keys"),
    [
        ("sliding_window(8)", 7),
        ("sliding_window(8) | sink_tokens(3)", 10),
        ("causal()", 63),
        ("logarithmic()", 32),
        ("lattice(8, 8).causal()", 8),
        ("dilated(3, dilation=5)", 10),
    ],
)
def test_keys_to_keep_while_decoding(spec, keys):
    relation = ct.parse(spec).relation(64)
    assert decode_keys(relation) == keys == kept_while_decoding(dense(ct.parse(spec), 64, 0))


def test_depth_grows_with_the_logarithm_of_the_keys():
    assert [critical_path(64, 4, k) for k in (1, 2, 1024)] == [23, 26, 53]
    assert critical_path(1024, 16, 4096) - critical_path(1024, 16, 512) == 3 * 3


def test_sampled_costs_say_so_and_hold_the_truth(monkeypatch):
    monkeypatch.setattr("chorus.topology.analysis._LISTED_PAIRS", 100)
    t, n = ct.random(6) | ct.sliding_window(40), 20_000
    a = ct.analyze(t, n, layers=2, seed=4)
    for layer, cost in enumerate(a.costs):
        low, high = cost.edges_interval
        assert low < t.relation(n, layer).count() < high
        assert low < cost.edges < high
        assert cost.executed_pairs is None
        assert cost.decode_keys is None
    assert "sampled: 95 % interval" in " ".join(str(a).split())
    assert "not computed: too many pairs to list" in str(a)


def test_random_readers_are_counted_in_closed_form():
    n = 1 << 15
    a = ct.analyze(ct.random(16), n, layers=1)
    assert a.costs[0].edges_interval is None
    assert a.costs[0].edges == n * 17 - 16 * 17 // 2


def test_pair():
    a = ct.analyze(ct.logarithmic(), 1024, 12, pair=(0, 1023))
    assert a.pair.hops == 10
    assert a.pair.paths["attention"] == ct.count_paths(ct.logarithmic(), 1024, 12, 1023, 0)
    assert a.pair.separation == ct.separation(ct.logarithmic(), 1024, 12, 1023, 0)
    alone = ct.analyze(ct.graph([]), 4, 2, pair=(0, 3)).pair
    assert alone.hops is None
    assert alone.separation.disjoint == 0
    large = ct.analyze(ct.sliding_window(512) | ct.sink_tokens(4), 1 << 20, 2, pair=(0, 99)).pair
    assert large.hops == 1


def test_json_is_plain_and_exact():
    a = ct.analyze(ct.causal(), 10**6 + 1, 100, pair=(0, 10**6))
    found = json.loads(json.dumps(a.to_dict()))
    assert int(found["pair"]["paths"]["attention"]) == math.comb(10**6 + 99, 99)
    assert found["field_sizes"][:2] == [1, 10**6 + 1]
    assert found["pair"]["separation"]["cut"] == {"size": 10**6 - 1, "intervals": [[1, 10**6]], "cut_short": False}
    assert found["coverage"]["layers"] == 1
    assert found["total"]["edges"] == 100 * (10**6 + 1) * (10**6 + 2) // 2
    assert ct.parse(found["spec"]) == ct.causal()


def test_names():
    names = {
        "logarithmic()": "Chord",
        "global_tokens(1)": "star",
        "random(4) | ring(2)": "small world",
        "rows(9, 9) | columns(9, 9)": "rook's graph",
        "rows(9, 9) | columns(9, 9) | boxes(9, 9, 3, 3)": "Sudoku graph",
        "sliding_window(4).symmetric()": "ring lattice",
        "per_layer([full(), full(), star()])": "in turn by layer: complete graph; star",
        "causal() & ring(2)": "within ring lattice",
        "full() - star()": "complete graph without star",
        "dilated(2, dilation=2**layer).causal()": "older actors only",
    }
    for spec, name in names.items():
        assert name in network_name(ct.parse(spec)), spec


def test_numbers_are_written_so_that_they_can_be_read():
    assert number(123456) == "123,456"
    assert number(math.comb(300, 150)) == "9.375e88 (296 bits)"
    assert number(10**15) == "1.000e15 (50 bits)"
    assert number(10**18 - 1).startswith("9.999e17")
    assert number(10**400).startswith("1.000e400")
    assert number(10**400 - 1).startswith("9.999e399")
    assert number(None) == "not computed"
    assert (scaled(999), scaled(1000), scaled(12_345_678)) == ("999", "1 k", "12.3 M")


def test_reports_fit_a_screen():
    specs = [
        "causal()",
        "sliding_window(64) | sink_tokens(4)",
        "dilated(4, dilation=4**layer)",
        "random(3)",
        "graph([])",
        "dilated(4, dilation=3)",  # a field of many ranges
    ]
    found = [ct.analyze(ct.parse(spec), 500, 6, pair=(0, 499)) for spec in specs]
    for a, spec in zip(found, specs, strict=True):
        text = f"{a}\n{picture(ct.parse(spec), a)}"
        assert max(map(len, text.splitlines()[1:])) <= 80, text
        assert len(text.splitlines()) <= 45
        assert "reach" in text
        assert a.spec in text
    table = compare(found)
    assert len({len(line) for line in table.splitlines()[3:]}) == 1
    assert all(spec in table for spec in specs)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["topology", *arguments])
    if isinstance(result.exception, InputError):
        return 2, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_command(tmp_path):
    code, text = run("logarithmic()", "--actors", "64", "--layers", "6", "--pair", "0", "63")
    assert code == 0
    assert "after 6 layers" in text
    code, text = run("logarithmic()", "-n", "64", "-l", "6", "--compare", "full()", "--compare", "ring(2)")
    assert code == 0
    assert "full()" in text
    code, text = run("star()", "-n", "9", "-l", "2", "--json")
    assert json.loads(text)["coverage"]["layers"] == 2
    code, text = run("star()", "-n", "9", "-l", "2", "--json", "--compare", "ring()")
    assert [a["spec"] for a in json.loads(text)] == ["star()", "ring()"]
    for name in ("one.png", "one.svg"):
        assert run("sliding_window(3)", "-n", "20", "-l", "3", "--plot", str(tmp_path / name))[0] == 0
        assert (tmp_path / name).stat().st_size > 10_000
    assert run("full()", "--compare", "random(3)", "-n", "50", "--plot", str(tmp_path / "two.png"))[0] == 0
    assert (tmp_path / "two.png").read_bytes().startswith(b"\x89PNG")
    assert run("full()", "-n", "1", "-l", "1")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sliding_window(12x)"], "at character 18"),
        (["sliding_window(64)", "-n", "32"], "w = 64 is larger than n = 32"),
        (["full()", "-n", "0"], "actors must be at least 1"),
        (["full()", "-l", "-1"], "layers must be at least 1"),
        (["full()", "--heads", "7"], "heads = 7 does not divide dim = 1024"),
        (["full()", "--pair", "0", "9999"], "target must be one of the n = 4,096 actors 0 to 4,095, got 9,999"),
        (["full()", "--tile", "0"], "tile must be at least 1"),
        (["full()", "--plot", "x.gif"], "written as .png or .svg"),
        (["full()", "--plot", "no/such/folder/x.png"], "no folder"),
        (["full()", "--claims", "no/such/folder/x.md"], "no folder"),
    ],
)
def test_command_refuses_bad_input(arguments, message):
    code, text = run(*arguments)
    assert code == 2
    assert message in text


def test_command_in_a_shell_exits_with_2_and_no_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "chorus", "topology", "full() | windw(3)"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: no pattern is called 'windw'")
    assert done.stderr.splitlines()[-2:] == ["  full() | windw(3)", "           ^"]
