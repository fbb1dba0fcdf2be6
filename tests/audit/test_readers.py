"""Every format reads back what networkx wrote; every malformed file names its line."""

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from chorus.audit import Resource, Subject, from_networkx, read_graph
from chorus.errors import InputError


def as_pairs(subject: Subject) -> list[tuple[str, ...]]:
    pairs = [(subject.elements[a], subject.elements[b]) for a, b in subject.graph.edges.tolist()]
    return sorted(pairs if subject.graph.directed else [tuple(sorted(pair)) for pair in pairs])


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("form", ["graphml", "gml", "json", "edgelist", "csv"])
def test_what_networkx_writes_is_read_back(tmp_path: Path, form: str, directed: bool) -> None:
    graph = nx.MultiDiGraph() if directed else nx.MultiGraph()
    graph.add_weighted_edges_from([("a", "b", 1.0), ("a", "b", 2.5), ("b", "ç d", 0.0), ("a", "a", 3.0)])
    path = tmp_path / f"graph.{form}"
    if form == "graphml":
        nx.write_graphml(graph, path)
    elif form == "gml":
        nx.write_gml(graph, path)
    elif form == "json":
        path.write_text(json.dumps(nx.node_link_data(graph, edges="edges")))
    elif form == "csv":
        path.write_text("source,target,weight\n" + "".join(f"{a},{b},{w}\n" for a, b, w in graph.edges(data="weight")))
    else:
        nx.write_edgelist(nx.relabel_nodes(graph, {"ç d": "ç"}), path)
    subject = read_graph(path, directed=directed if form in ("csv", "edgelist") else None)
    assert subject.graph.directed is directed
    assert len(subject.elements) == 3
    assert subject.graph.m == 4  # parallel edges and loops kept
    assert len(subject.graph.distinct) == 2
    assert subject.weights is not None
    assert sorted(subject.weights.tolist()) == [0.0, 1.0, 2.5, 3.0]
    last = "ç" if form == "edgelist" else "ç d"
    plain = [("a", "a"), ("a", "b"), ("a", "b"), ("b", last)]
    assert as_pairs(subject) == plain


def test_lines_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "g.csv"
    path.write_text("# two links\nsource,target\n\na,b\nb,c\n")
    subject = read_graph(path)
    assert subject.origin is not None
    assert subject.origin.edge_lines == (4, 5)
    assert subject.origin.element_lines == (4, 4, 5)


def test_labels_name_elements_and_ids_still_find_them(tmp_path: Path) -> None:
    path = tmp_path / "g.gml"
    path.write_text(
        'graph [\n node [ id 1 label "Bern" ]\n node [ id 2 label "Bern" ]\n node [ id 3 label "Z&#252;rich" ]\n'
        " edge [ source 1 target 3 ]\n]\n"
    )
    subject = read_graph(path)
    assert subject.elements == ("Bern [1]", "Bern [2]", "Zürich")
    assert subject.number("3") == subject.number("Zürich") == 2


def test_json_holds_all_that_a_subject_can(tmp_path: Path) -> None:
    path = tmp_path / "g.json"
    path.write_text(
        json.dumps(
            {
                "name": "plant", "directed": True,
                "nodes": [{"id": "a", "load": {"traffic": 2}}, {"id": "b"}, {"id": "c"}],
                "edges": [["a", "b"], {"source": "b", "target": "c", "weight": 2}],
                "sources": ["a"], "sinks": ["c"],
                "resources": [{"name": "power", "users": ["a", "b"]}],
                "activity": [[1, 0, 0], [0, 2, 0]], "stimuli": ["x", "y"], "responses": [[1, 0], [0, 1]],
            }
        )
    )  # fmt: skip
    subject = read_graph(path)
    assert (subject.name, subject.sources, subject.sinks) == ("plant", (0,), (2,))
    assert subject.loads["traffic"].tolist() == [2, 0, 0]
    assert subject.resources[0].users == ("a", "b")
    assert subject.activity is not None
    assert subject.activity.shape == (2, 3)
    assert subject.stimuli is not None
    assert subject.stimuli.tolist() == [0, 1]


def test_graphml_with_mixed_directions_runs_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "g.graphml"
    path.write_text(
        '<graphml><graph edgedefault="directed"><node id="a"/><node id="b"/><node id="c"/>'
        '<edge source="a" target="b"/><edge source="b" target="c" directed="false"/></graph></graphml>'
    )
    assert as_pairs(read_graph(path)) == [("a", "b"), ("b", "c"), ("c", "b")]


BAD = [
    ("csv", "source,target\na,b\nc\n", ":3:", "source and a target"),
    ("csv", "a,b,c,d\n", ":1:", "4 columns"),
    ("csv", "source,target,weight\na,b,-1\n", ":2:", "negative"),
    ("csv", "source,target,weight\na,b,many\n", ":2:", "not a number"),
    ("csv", "source,target,weight\na,b,nan\n", ":2:", "not finite"),
    ("csv", 'source,target\na,b\n"c,d\n', ":3:", "not CSV"),
    ("csv", "source,target\n,b\n", ":2:", "without a name"),
    ("csv", "source,target\n", "", "no element"),
    ("csv", "a,a\n", ":1:", "only one element"),
    ("csv", "", "", "no element"),
    ("csv", "a,b\nb,c\0\n", ":2:", "zero byte"),
    ("csv", "a,b,1\nb,c,1e300\n", ":2:", "larger unit"),
    ("txt", "# a CSV file under another name\na,b\nb,c\n", ":2:", ".csv"),
    ("txt", "a, b\nb, c\n", ":1:", ".csv"),
    ("txt", "a b\na b c d\n", ":2:", "4 fields"),
    ("txt", "a b -2\n", ":1:", "negative"),
    ("txt", "a b {oops\n", ":1:", "dictionary"),
    ("txt", "# nothing\n", "", "no element"),
    ("txt", "alone\n", ":1:", "only one element"),
    ("gml", "graph [\n node [ id 1 ]\n node [ id 2 ]\n edge [ source 1 target 9 ]\n]\n", ":4:", "'9'"),
    ("gml", "graph [\n node [ id 1 ]\n node [ id 1 ]\n]\n", ":3:", "twice"),
    ("gml", "graph [\n node [ label 1 ]\n]\n", ":2:", "without an id"),
    ("gml", "graph [\n node [ id 1 \n", "", "never closed"),
    ("gml", "graph [\n node [ id ] ]\n", ":2:", "no value"),
    ("gml", "graph [\n ?\n]\n", ":2:", "not GML"),
    ("gml", "nothing 1\n", ":1:", "no `graph"),
    ("gml", "graph [\n" * 100_000, ":65:", "lists within lists"),
    ("graphml", "<graphml>\n<graph>\n<node id='a'>\n</graph></graphml>", ":4:", "not XML"),
    ("graphml", "<graphml><graph>\n<node id='a'/>\n<edge source='a' target='x'/></graph></graphml>", ":3:", "'x'"),
    ("graphml", "<graphml><graph>\n<node/>\n</graph></graphml>", ":2:", "without an id"),
    ("graphml", "<graphml><graph>\n<hyperedge/></graph></graphml>", ":2:", "hyperedges"),
    ("graphml", "<graphml><graph><node id='a'>\n<graph/></node></graph></graphml>", ":2:", "nested"),
    ("graphml", "<!DOCTYPE x [\n<!ENTITY a 'b'>]><graphml/>", ":2:", "entities"),
    ("graphml", "<graphml/>", ":1:", "no <graph>"),
    ("json", '{"nodes": [\n{"id": 1},\n{"id": 2}],\n"edges": [\n[1, 3]]}', ":5:", "'3'"),
    ("json", '{"nodes": [\n{"id": 1},\n{"name": 2}]}', ":3:", "needs an id"),
    ("json", '{"nodes": [1, 2],\n"edges": [[1, 2, -4]]}', ":2:", "negative"),
    ("json", '{"nodes": [1, 2],\n"edges": [[1 2]]}', ":2:", "not JSON"),
    ("json", '{"nodes": [1, 2]', ":1:", "not JSON"),
    ("json", '[1, 2]', ":1:", "not JSON"),
    ("json", '{"knots": []}', "", "unknown key"),
    ("json", '{"nodes": [1, 2], "edges": [],\n"sources": [7]}', ":2:", "'7'"),
    ("json", '{"nodes": [1, 2], "edges": [],\n"resources": [{"name": "r", "users": [3]}]}', ":2:", "resource names"),
    ("json", '{"nodes": [1, 2], "edges": [],\n"activity": [[1, 2, 3]]}', ":2:", "3 columns"),
    ("json", '{"nodes": [1, 2], "edges": [],\n"activity": [[1, -2]]}', ":2:", "negative"),
    ("json", '{"nodes": [{"id": 1, "load": {"state": -1}}, 2]}', ":1:", "at least 0"),
    ("json", '{"nodes": [1, 2], "edges": [], "activity": [[1, 2]],\n"stimuli": 5}', ":2:", "must be a list"),
    ("json", '{"nodes": [1, 2], "activity": ' + "[" * 100_000 + "}", "", "not"),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "text", "where", "what"), BAD)
def test_bad_files_are_refused_with_their_line(tmp_path: Path, suffix: str, text: str, where: str, what: str) -> None:
    path = tmp_path / f"bad.{suffix}"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_graph(path)
    assert f"bad.{suffix}{where}" in str(caught.value)
    assert what in str(caught.value)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"source,target\na,b\nf\xe9,b\n")
    with pytest.raises(InputError, match=r"latin\.csv:3: byte 0xe9 is not UTF-8"):
        read_graph(tmp_path / "latin.csv")
    with pytest.raises(InputError, match="No such file"):
        read_graph(tmp_path / "missing.csv")
    with pytest.raises(InputError, match="directory"):
        read_graph(tmp_path, form="csv")
    with pytest.raises(InputError, match="unknown extension"):
        read_graph(tmp_path / "graph.doc")
    (tmp_path / "big.txt").write_text("a b\n" * 100)
    with pytest.raises(InputError, match="400 bytes; at most 50"):
        read_graph(tmp_path / "big.txt", max_bytes=50)


def test_a_hundred_thousand_lines_are_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("".join(f"n{k} n{k + 1}\n" for k in range(100_000)))
    subject = read_graph(path)
    assert subject.graph.m == 100_000
    assert np.array_equal(subject.graph.edges, np.stack([np.arange(100_000), np.arange(1, 100_001)], axis=1))


def test_subjects_check_themselves(make: type[Subject]) -> None:
    with pytest.raises(InputError, match="at least two"):
        make(1, [])
    with pytest.raises(InputError, match="leaves the vertices"):
        make(2, [(0, 5)])
    with pytest.raises(InputError, match=r"weights has shape \(2,\), expected \(1,\)"):
        make(2, [(0, 1)], weights=np.ones(2))
    with pytest.raises(InputError, match="negative"):
        make(2, [(0, 1)], loads={"state": np.array([1.0, -1.0])})
    with pytest.raises(InputError, match=r"weights holds 1e\+308; at most 1e\+100"):
        make(2, [(0, 1)], weights=np.array([1e308]))
    with pytest.raises(InputError, match="did you mean 'e1'"):
        make(2, [(0, 1)]).number("e11")
    with pytest.raises(InputError, match="nothing can flow"):
        make(2, [(0, 1)], sources=(0,), sinks=(0,))
    with pytest.raises(InputError, match="named twice"):
        Subject(name="x", elements=("a", "a"), graph=make(2, []).graph)
    with pytest.raises(InputError, match="'feed' has no users"):
        make(2, [(0, 1)], resources=(Resource("feed", ()),))
    for clash in ((Resource("e0", ("e1",)),), (Resource("feed", ("e0",)), Resource("feed", ("e1",)))):
        with pytest.raises(InputError, match="shares its name with an element or a resource"):
            make(2, [(0, 1)], resources=clash)


def test_networkx_keeps_parallel_edges_and_weights() -> None:
    graph = nx.MultiGraph([(0, 1), (0, 1)])
    graph.add_edge(1, 2, weight=4)
    subject = from_networkx(graph)
    assert subject.graph.m == 3
    assert subject.weights is not None
    assert subject.weights.tolist() == [1, 1, 4]
