"""Mazes: the shortest path and that it is the only one, by networkx; the checker; the symmetries."""

import networkx as nx
import numpy as np
import pytest

from chorus.errors import ChorusError, InputError
from chorus.thought.tasks import maze
from chorus.thought.tasks.maze_generator import generate


def graph_of(text, size):
    graph = nx.grid_2d_graph(size, size)
    graph.remove_nodes_from([divmod(i, size) for i, c in enumerate(text) if c == "#"])
    return graph, divmod(text.index("S"), size), divmod(text.index("G"), size)


@pytest.mark.parametrize(("size", "openings"), [(5, 0.1), (11, 0.0), (11, 0.1), (15, 0.5), (31, 0.1)])
def test_exactly_one_shortest_path(size, openings):
    task = maze(size)
    questions, answers = task.generate(25, seed=1, openings=openings)
    for question, answer in zip(questions, answers, strict=True):
        text, solved = task.decode_question(question), task.decode(answer)
        graph, start, goal = graph_of(text, size)
        paths = list(nx.all_shortest_paths(graph, start, goal))
        assert len(paths) == 1
        assert len(paths[0]) - 1 >= size - 1
        marked = {divmod(i, size) for i, c in enumerate(solved) if c == "o"}
        assert marked == set(paths[0][1:-1])
        assert solved.replace("o", ".") == text
        assert task.check(text, solved) is True
        assert task.defect(text) is None
        border = np.array(list(text)).reshape(size, size)
        assert {*border[0], *border[-1], *border[:, 0], *border[:, -1]} == {"#"}


def test_openings_make_loops():
    def edges_over_tree(openings):
        task = maze(21)
        questions, _ = task.generate(20, seed=0, openings=openings)
        graphs = [graph_of(task.decode_question(q), 21)[0] for q in questions]
        assert all(nx.is_connected(g) for g in graphs)
        return [g.number_of_edges() - g.number_of_nodes() + 1 for g in graphs]

    assert set(edges_over_tree(0.0)) == {0}
    assert max(edges_over_tree(0.3)) > 5


def test_seed_decides():
    assert np.array_equal(generate(5, seed=1)[0], generate(5, seed=1)[0])
    assert not np.array_equal(generate(5, seed=1)[0], generate(5, seed=2)[0])
    assert len(np.unique(generate(500, seed=0)[0], axis=0)) == 500


def test_check_refuses_wrong_paths():
    task = maze(7)
    question = "########S....##.###.##.###.##....G########".ljust(49, "#")
    two_ways = nx.all_shortest_paths(*graph_of(question, 7))
    for path in two_ways:  # both shortest paths are right, though no generated maze has two
        cells = list(question)
        for row, column in path[1:-1]:
            cells[row * 7 + column] = "o"
        answer = "".join(cells)
        assert task.check(question, answer)
        assert not task.check(question, answer.replace("o", ".", 1))
        assert not task.check(question, answer.replace(".", "o", 1))
        assert not task.check(question, answer.replace("#", ".", 1))
        assert not task.check(question, answer[:-1])
    assert not task.check(question, question)
    assert not task.check(question, question.replace(".", "o"))


def test_an_open_border_is_no_way_out():
    """A walk must not wrap around from the end of one row to the start of the next."""
    task = maze(5)
    assert task.defect("#####S########.####G#####") == "no path leads from S to G"
    assert task.defect("#########SG##############") == "no path leads from S to G"


@pytest.mark.parametrize(("start", "goal"), [("", "G"), ("S", ""), ("SS", "G")])
def test_defects(start, goal):
    assert "exactly one" in maze(5).defect((start + "..." + goal).ljust(25, "#"))


def test_symmetries():
    task = maze(9)
    questions, answers = task.generate(300, seed=0)
    moved, solved = task.augment(questions, answers, np.random.default_rng(0))
    assert 0.75 < np.any(moved != questions, axis=1).mean() < 0.98  # seven of eight symmetries move a maze
    assert all(task.check(task.decode_question(q), task.decode(a)) for q, a in zip(moved, solved, strict=True))
    assert np.array_equal(task.canonical(moved), task.canonical(questions))
    assert len(np.unique(task.canonical(questions), axis=0)) == 300
    one = np.repeat(questions[:1], 500, axis=0)
    images = np.unique(task.augment(one, one, np.random.default_rng(0))[0], axis=0)
    grid = questions[0].reshape(9, 9)
    expected = {np.rot90(g, k).tobytes() for g in (grid, grid[:, ::-1]) for k in range(4)}
    assert {image.tobytes() for image in images} == expected


@pytest.mark.parametrize("size", [4, 10, 3, 101, -1])
def test_impossible_sizes(size):
    with pytest.raises(InputError, match=r"odd and within 5\.\.99"):
        generate(1, size=size)
    with pytest.raises(InputError, match=r"odd and within 5\.\.99"):
        maze(size)


def test_gives_up_rather_than_run_for_ever():
    with pytest.raises(ChorusError, match="ask for fewer"):
        generate(1, size=5, shortest=10)
