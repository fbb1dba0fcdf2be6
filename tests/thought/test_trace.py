"""The trace of a run: what it records, the way through a file, the lineage, and its pictures."""

import io
import itertools
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from small_minds import QUESTIONS, random_mind
from test_model import BUSY

from chorus.errors import InputError
from chorus.thought import Checkpoint, Event, Frame, ThinkConfig, Thinker, Trace
from chorus.thought.drawing import draw_trace, live_view
from chorus.thought.tasks import make_task


@pytest.fixture(scope="module")
def thinker():
    return Thinker(Checkpoint(mind=random_mind(), task=make_task("sudoku4")), torch.float32)


@pytest.fixture(scope="module")
def recorded(thinker):
    return thinker.trace(QUESTIONS[0], BUSY)


def test_a_trace_tells_the_run(thinker, recorded):
    answer, trace = recorded
    alone = thinker.answer([QUESTIONS[0]], BUSY)[0]
    assert (answer.answer, answer.steps, answer.halted_by) == (alone.answer, alone.steps, alone.halted_by)
    assert (trace.question, trace.answer, trace.steps) == (QUESTIONS[0], answer.answer, answer.steps)
    assert (trace.task, trace.shape, trace.halted_by) == ("sudoku4", (4, 4), answer.halted_by)
    last = trace.frames[-1]
    assert last.step == answer.steps
    assert answer.answer in last.probes
    assert min(last.energy) == pytest.approx(answer.energy, abs=1e-3)
    for frame in trace.frames:
        assert len(frame.identity) == len(frame.probes) == len(frame.viable) == BUSY.thoughts
        for cells, probe, doubt in zip(frame.committed, frame.probes, frame.doubt, strict=True):
            assert all(QUESTIONS[0][cell] == "." for cell in cells)
            assert all(doubt[cell] == 0 for cell in cells)
            assert all(q in (".", p) for q, p in zip(QUESTIONS[0], probe, strict=True))


def test_events_lead_from_one_frame_to_the_next(recorded):
    """Replay kills, clones, restarts and commitments, and find every later frame's thoughts and commitments."""
    _, trace = recorded
    frames = {frame.step: frame for frame in trace.frames}
    kinds = {event.kind for event in trace.events}
    assert kinds == {"kill", "clone", "restart", "commit"}
    for step, following in itertools.pairwise(sorted(frames)):
        here = [event for event in trace.events if event.step == step]
        held = dict(zip(frames[step].identity, map(set, frames[step].committed), strict=True))
        old = {thought: set(cells) for thought, cells in held.items()}
        for event in here:
            if event.kind == "kill":
                del held[event.thought]
            elif event.kind == "clone":
                held[event.thought] = set(old[event.parent])
            elif event.kind == "restart":
                held[event.thought] = set()
            else:
                held[event.thought].add(event.cell)
        after = frames[following]
        assert held == dict(zip(after.identity, map(set, after.committed), strict=True))
        for event in here:
            if event.kind == "commit":
                assert after.probes[after.identity.index(event.thought)][event.cell] == event.symbol


def test_lineage_reaches_back_to_the_noise(recorded):
    _, trace = recorded
    lineage = trace.lineage()
    clones = {event.thought: event.parent for event in trace.events if event.kind == "clone"}
    assert clones
    for thought, parent in lineage.items():
        assert parent == clones.get(thought)
        generations = 0
        while parent is not None:
            assert parent < thought
            thought, parent = parent, lineage[parent]
            generations += 1
        assert generations < len(lineage)
    assert set(lineage) >= set(range(BUSY.thoughts))


def test_through_a_file(recorded, tmp_path):
    _, trace = recorded
    trace.save(tmp_path / "run.json")
    assert Trace.load(tmp_path / "run.json") == trace
    for text in ("", "{}", "[1]", '{"frames": [{"step": 1}], "events": []}', "\x00"):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(InputError, match="not a trace"):
            Trace.load(tmp_path / "run.json")
    with pytest.raises(InputError, match="cannot read the trace"):
        Trace.load(tmp_path / "missing.json")


def test_watching_shows_every_look_as_it_comes(thinker):
    seen = []
    config = ThinkConfig(thoughts=2, steps=12)
    _, trace = thinker.trace(QUESTIONS[1], config, lambda so_far: seen.append(len(so_far.frames)))
    assert seen == list(range(1, len(trace.frames) + 1))


def test_the_live_view_shows_boards_energies_and_deeds(recorded):
    from rich.console import Console

    _, trace = recorded
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(live_view(trace))
    shown = console.export_text()
    for thought in trace.frames[-1].identity:
        assert f"thought {thought}" in shown
    kills = sum(event.kind == "kill" for event in trace.events)
    assert f"step {trace.steps}   killed {kills}" in shown


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_pictures(recorded, tmp_path, ending):
    _, trace = recorded
    path = tmp_path / f"run{ending}"
    draw_trace(trace, path)
    if ending == ".png":
        assert path.read_bytes().startswith(b"\x89PNG")
    else:
        ElementTree.parse(path)
    assert path.stat().st_size > 10_000


def test_what_cannot_be_drawn(recorded, tmp_path):
    _, trace = recorded
    with pytest.raises(InputError, match=r"ends in \.png or \.svg"):
        draw_trace(trace, tmp_path / "run.gif")
    with pytest.raises(InputError, match="no frames"):
        draw_trace(Trace(question="", task="", shape=(1, 1)), tmp_path / "run.png")
    large = Trace(question="", task="", shape=(30, 30), frames=trace.frames)
    with pytest.raises(InputError, match="too large to draw"):
        draw_trace(large, tmp_path / "run.png")
    with pytest.raises(InputError, match="cannot be written"):
        draw_trace(trace, tmp_path / "no" / "run.png")


def test_a_trace_is_made_of_plain_values():
    frame = Frame(
        step=1, identity=[0], probes=["1"], doubt=[[0.5]], committed=[[]], viable=[0.1], energy=[0.2], resting=[False]
    )
    trace = Trace(question=".", task="x", shape=(1, 1), frames=[frame], events=[Event(step=1, kind="kill", thought=0)])
    assert Trace.from_json(trace.to_json()) == trace
