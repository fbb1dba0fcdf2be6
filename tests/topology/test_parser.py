"""The text form: what it accepts, and where it points when it refuses."""

import time

import pytest
from dense_topology import caret_column
from hypothesis import given, settings
from hypothesis import strategies as st

import chorus.topology as ct
from chorus.errors import InputError


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("full()", "full()"),
        (" sliding_window( w = 4 )|causal( ) ", "sliding_window(4) | causal()"),
        ("full() - causal() & ring()", "full() - causal() & ring()"),
        ("full() - (causal() & ring(2))", "full() - (causal() & ring(2))"),
        ("(full() - causal()) - ring()", "full() - causal() - ring()"),
        ("full() - (causal() - ring())", "full() - (causal() - ring())"),
        ("(full() | causal()) & ring()", "(full() | causal()) & ring()"),
        ("(full() | causal()).causal().symmetric()", "(full() | causal()).causal().symmetric()"),
        ("dilated(2, 2**layer)", "dilated(2, dilation=2**layer)"),
        ("dilated(2, dilation=2*(layer%3+1)**2-1)", "dilated(2, dilation=2*(layer%3+1)**2-1)"),
        ("sliding_window(2*8)", "sliding_window(16)"),
        ("sliding_window(2**3**2)", "sliding_window(512)"),
        ("sliding_window(10-3-2)", "sliding_window(5)"),
        ("random(4, causal=False, seed=3)", "random(4, seed=3, causal=False)"),
        ("logarithmic(base=2)", "logarithmic()"),
        ("groups([[0,1],[1 ,2],])", "groups([[0, 1], [1, 2]])"),
        ("graph([])", "graph([])"),
        (
            "per_layer([full(), per_layer([ring(), star(hub=2)])])",
            "per_layer([full(), per_layer([ring(), star(hub=2)])])",
        ),
    ],
)
def test_canonical_form(text, canonical):
    assert str(ct.parse(text)) == canonical
    assert ct.parse(canonical) == ct.parse(text)


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("", "expected a pattern, found the end", 0),
        ("   ", "expected a pattern, found the end", 3),
        ("windw(3)", "no pattern is called 'windw' at character 1; there are full, causal, ", 0),
        ("full", r"expected \(, found the end", 4),
        ("full() full()", r"expected \| & - or the end, found 'full'", 7),
        ("full() |", "expected a pattern, found the end", 8),
        ("full() + causal()", r"found '\+'", 7),
        ("sliding_window()", r"sliding_window needs w, found '\)'", 15),
        ("sliding_window(3, 4)", "takes 1 argument at", 18),
        ("sliding_window(x=3)", "has no 'x'; it takes w", 15),
        ("sliding_window(w=3, w=4)", "got w twice", 20),
        ("sliding_window(0)", "w must be at least 1, got 0", 15),
        ("full() | sliding_window(-3)", "w must be at least 1, got -3", 24),
        ("dilated(3, dilation=0)", "dilation must be at least 1, got 0", 20),
        ("sliding_window(2.5)", r"found '\.'", 16),
        ("sliding_window(1e3)", "found 'e3'", 16),
        ("sliding_window(5//0)", "divides by zero", 16),
        ("sliding_window(9**9**9)", "more than 4096 bits", 16),
        ("sliding_window(99999999999999999999)", "20 digits", 15),
        ("random(4, seed=layer)", "one whole number for all layers", 15),
        ("random(4, causal=1)", "True or False", 17),
        ("groups([0, 1])", r"expected a list \[...\], found '0'", 8),
        ("graph([[0, 1, 2]])", "must be a pair", 0),
        ("per_layer(full())", "expected a list", 10),
        ("per_layer([])", "names no topology", 0),
        ("full().reverse()", r"expected causal\(\) or symmetric\(\), found 'reverse'", 7),
        ("full()\N{MULTIPLICATION SIGN}2", "found '\N{MULTIPLICATION SIGN}'", 6),
        ("f\N{LATIN SMALL LETTER U WITH DIAERESIS}ll()", "no pattern is called 'f'", 0),
        ("__import__('os').system('true')", "no pattern is called '__import__'", 0),
        ("sliding_window(\N{ARABIC-INDIC DIGIT THREE})", "expected a whole number or layer", 15),
    ],
)
def test_errors_point_at_the_character(text, message, at):
    with pytest.raises(InputError, match=message) as caught:
        ct.parse(text)
    assert f" at character {at + 1}" in str(caught.value)
    assert caret_column(str(caught.value)) == at + 2


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000 + "full()",
        "per_layer([" * 100_000,
        "sliding_window(" + "(" * 100_000,
        "sliding_window(2" + "**2" * 100_000,
        "sliding_window(layer" + "+layer" * 100_000 + ")",
        "sliding_window(1" + "+1" * 1_000_000 + ")",
        "full() - (" * 100_000,
        "full()" + " - full()" * 100_000,
        "full()" + " & (full()" * 70 + ")" * 70,
        "full()" + ".causal()" * 100_000,
        "sliding_window(" + "9" * 1_000_000 + ")",
        "x" * 10_000_000,
        "graph(" + "[" * 1_000_000,
    ],
    ids=lambda text: text[:24],
)
def test_deep_or_enormous_specs_are_refused_quickly(text):
    start = time.process_time()
    with pytest.raises(InputError) as caught:
        ct.parse(text)
    assert time.process_time() - start < 2
    assert len(str(caught.value)) < 600


def test_deep_topologies_built_in_python_are_refused():
    def grow(step):
        t = ct.ring()
        for _ in range(100):
            t = step(t)

    with pytest.raises(InputError, match="nested 61 deep"):
        grow(lambda t: ct.causal() - t)
    with pytest.raises(InputError, match="patterns nested"):
        grow(lambda t: (t & ct.full()) | (t - ct.star()))


def test_a_large_graph_is_read_quickly():
    t = ct.graph([[i, (i * 7 + 1) % 20_000] for i in range(20_000)])
    assert ct.parse(str(t)) == t


@given(st.text(alphabet="full()causl|&-.[]0123=,* ", max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_topology_or_an_input_error(text):
    try:
        t = ct.parse(text)
    except InputError:
        return
    assert ct.parse(str(t)) == t
