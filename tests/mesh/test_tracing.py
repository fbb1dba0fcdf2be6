"""Spans of real rounds: in the SDK's memory, and over OTLP to a collector."""

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from chorus.errors import InputError
from chorus.mesh.assemble import assemble
from chorus.mesh.config import load
from chorus.mesh.effects import Closed
from chorus.mesh.engines import open_tracing
from chorus.mesh.founding import found_here, member_lines
from chorus.mesh.member import Answer, Judgement
from chorus.mesh.runtime import Runtime
from chorus.mesh.tracing import Tracing

SECRET = "nobody's business"


class Echo:
    """Answers with the question; the question `fail` with an error that quotes it."""

    async def propose(self, question: str, seed: int, budget: int, emit: Any) -> Answer:
        if question.startswith("fail"):
            raise ValueError(f"quoting {question}")
        emit(question)
        return Answer(question, 0.0, 7)

    async def judge(self, question: str, answer: str) -> Judgement:
        return Judgement(0.75, True)

    async def close(self) -> None: ...


@asynccontextmanager
async def mesh(paths: list[Path]):
    runtimes = [assemble(load(path), Echo()) for path in paths]
    tasks = [asyncio.create_task(runtime.run()) for runtime in runtimes]
    try:
        yield runtimes
    finally:
        for runtime in runtimes:
            runtime.stop()
        await asyncio.gather(*tasks)


async def answered(runtime: Runtime, question: str) -> bytes:
    """Ask; return the round once it is closed."""
    with runtime.watching() as feed:
        round_ = runtime.ask(question, 100, 30.0)
        async for event in feed:
            if isinstance(event, Closed) and event.round.id == round_:
                return round_
    raise AssertionError


def test_a_round_is_one_trace_over_all_nodes_and_holds_nobodys_words(tmp_path: Path, monkeypatch: Any) -> None:
    memories: dict[str, InMemorySpanExporter] = {}

    def in_memory(config: Any) -> Tracing:
        memories[config.node.name] = InMemorySpanExporter()
        return Tracing(config.node.name, memories[config.node.name])

    monkeypatch.setattr("chorus.mesh.assemble.open_tracing", in_memory)
    rounds = []

    async def play() -> None:
        async with mesh(found_here(tmp_path, ["ana", "ben", "cem"], member=member_lines("sudoku"))) as runtimes:
            rounds.append(await answered(runtimes[0], SECRET))
            rounds.append(await answered(runtimes[1], f"fail {SECRET}"))
            size = runtimes[0].node.fold.size
            while any(r.node.outbox or r.node.fold.size < size for r in runtimes):
                await asyncio.sleep(0.01)

    asyncio.run(play())
    spans = {name: memory.get_finished_spans() for name, memory in memories.items()}
    good = int.from_bytes(rounds[0][:16], "big")
    mine = {name: [s for s in told if s.context.trace_id == good] for name, told in spans.items()}
    assert [s.name for told in mine.values() for s in told].count("round") == 1
    root = next(s for s in mine["ana"] if s.name == "round")
    assert root.parent is None
    assert root.attributes["chorus.round.outcome"] == "accepted"
    for name, told in mine.items():
        kinds = Counter(s.name for s in told)
        assert kinds["propose"] == 1, name
        assert kinds["judge"] >= 1, name  # at least one of two others' proposals came before the end
        assert all(s.parent.span_id == root.context.span_id for s in told if s is not root)
        entries = Counter(s.attributes["chorus.entry.kind"] for s in told if s.name == "commit")
        assert entries["proposal"] == entries["done"] == 1, name
        assert entries["ask"] == (name == "ana")
        proposed = next(s for s in told if s.name == "propose")
        assert proposed.attributes["chorus.call.tokens"] == 7
        judged = next(s for s in told if s.name == "judge")
        if judged.status.status_code is StatusCode.UNSET:
            assert (judged.attributes["chorus.call.score"], judged.attributes["chorus.call.approve"]) == (0.75, True)
    committed = {s.context.span_id for told in spans.values() for s in told if s.name == "commit"}
    appends = [s for told in spans.values() for s in told if s.name == "append"]
    assert {link.context.span_id for s in appends for link in s.links} >= committed
    assert all(s.start_time < s.end_time for told in spans.values() for s in told)
    bad = int.from_bytes(rounds[1][:16], "big")
    failed = [
        s for told in spans.values() for s in told if s.context.trace_id == bad and s.name in ("propose", "round")
    ]
    assert {s.status.status_code for s in failed} == {StatusCode.ERROR}
    assert {s.status.description for s in failed if s.name == "propose"} == {"ValueError"}
    resources = {told[0].resource.attributes["service.instance.id"] for told in spans.values()}
    assert resources == {"ana", "ben", "cem"}
    assert SECRET not in "".join(s.to_json() for told in spans.values() for s in told)


def test_a_share_of_rounds_is_the_same_share_on_every_node(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    memories: list[InMemorySpanExporter] = []

    def in_memory(config: Any) -> Tracing:
        memories.append(InMemorySpanExporter())
        return Tracing(config.node.name, memories[-1])

    monkeypatch.setattr("chorus.mesh.assemble.open_tracing", in_memory)

    async def play() -> None:
        async with mesh(found_here(tmp_path, ["ana", "ben"], member=member_lines("sudoku"))) as runtimes:
            for number in range(16):
                await answered(runtimes[0], str(number))

    asyncio.run(play())
    ana, ben = ([s for s in memory.get_finished_spans() if s.name == "propose"] for memory in memories)
    assert {s.context.trace_id for s in ana} == {s.context.trace_id for s in ben}
    assert 0 < len(ana) < 16


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """Run an HTTP server that takes spans as a collector does."""
    taken: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            taken.append(ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", taken
        server.shutdown()
        thread.join()


def traced(directory: Path, lines: str) -> Path:
    path = found_here(directory, ["ana"], member=member_lines("sudoku"))[0]
    path.write_text(f"{path.read_text()}\n[tracing]\n{lines}\n")
    return path


def test_spans_reach_a_collector_over_otlp(tmp_path: Path, collector: Any) -> None:
    url, taken = collector

    async def play() -> None:
        async with mesh([traced(tmp_path, f'endpoint = "{url}/"')]) as runtimes:
            await answered(runtimes[0], "1")

    asyncio.run(play())
    spans = [s for request in taken for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    assert {"round", "propose", "commit", "append"} <= {s.name for s in spans}
    told = {a.key: a.value.string_value for a in taken[0].resource_spans[0].resource.attributes}
    assert (told["service.name"], told["service.instance.id"]) == ("chorus", "ana")


def test_a_collector_that_is_away_costs_spans_and_nothing_else(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("chorus.mesh.tracing.PARTING", 0.1)

    async def play() -> None:
        async with mesh([traced(tmp_path, 'endpoint = "http://127.0.0.1:9"')]) as runtimes:
            for number in range(3):
                await answered(runtimes[0], str(number))

    asyncio.run(play())


def test_what_tracing_cannot_use_is_told(tmp_path: Path, monkeypatch: Any) -> None:
    path = traced(tmp_path, 'endpoint = "collector:4318"')
    with pytest.raises(InputError, match=rf"ana\.toml:{len(path.read_text().splitlines())}: tracing\.endpoint"):
        load(path)
    path.write_text(path.read_text().replace("collector", "http://collector"))
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "chorus.mesh.tracing")
    with pytest.raises(InputError, match=r"pip install 'the-chorus\[otel\]'"):
        open_tracing(load(path))


def test_without_the_table_nothing_of_opentelemetry_is_imported(tmp_path: Path) -> None:
    path = found_here(tmp_path, ["ana"], member=member_lines("sudoku"))[0]
    code = f"""
import asyncio, json, sys
from pathlib import Path
from chorus.mesh.assemble import serve
from chorus.mesh.config import load
import chorus.mesh.server
asyncio.run(serve(load(Path({str(path)!r})), lambda runtime: runtime.stop()))
print(json.dumps([name for name in sys.modules if name.startswith("opentelemetry")]))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(told) == []
