"""The HTTP door before a real mesh: OpenAI's client, strangers, bad input, slow readers."""

import asyncio
import json
import socket
import ssl
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from chorus.errors import InputError
from chorus.mesh.assemble import assemble
from chorus.mesh.config import load
from chorus.mesh.founding import found_here, member_lines
from chorus.mesh.member import Answer, Judgement
from chorus.mesh.merkle import verify_inclusion
from chorus.mesh.runtime import Runtime
from chorus.mesh.server import Door, create_app
from chorus.mesh.server.connection import Connection
from chorus.mesh.server.gate import Gate
from chorus.mesh.server.openapi import DESCRIPTION

_spec = spec_from_file_location("cluster", Path(__file__).with_name("cluster.py"))
assert _spec is not None
assert _spec.loader is not None
cluster = module_from_spec(_spec)
_spec.loader.exec_module(cluster)

TOKEN = "a-token-for-the-tests-only"
SOLVED = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"


class Speller:
    """Answers a number with its double, letter by letter; anything else with itself; waits at `hold`."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.held = self.cancelled = 0

    async def propose(self, question: str, seed: int, budget: int, emit: Any) -> Answer:
        text = str(2 * int(question)) if question.isdecimal() and len(question) < 9 else question
        try:
            for letter in text[:900]:
                await asyncio.sleep(0)
                emit(letter)
            emit(text[900:])
            if question.startswith("hold"):
                self.held += 1
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Answer(text, 0.0, len(text))

    async def judge(self, question: str, answer: str) -> Judgement:
        return Judgement(1.0, True)

    async def close(self) -> None: ...


def configured(directory: Path, lines: str = "", nodes: int = 3, member: str = "sudoku") -> list[Path]:
    paths = found_here(directory, [f"n{i}" for i in range(nodes)], member=member_lines(member))
    (directory / "token").write_text(TOKEN + "\n")
    table = f'\n[server]\nport = 0\ntoken_file = "token"\n{lines}\n'
    paths[0].write_text(paths[0].read_text() + table)
    return paths


@asynccontextmanager
async def served(paths: list[Path], members: list[Any] | None = None) -> AsyncIterator[tuple[str, Runtime]]:
    """Run a mesh, with the door before its first node; yield its URL and that node."""
    door = Door(load(paths[0]))
    runtimes = [assemble(load(path), members[i] if members else None) for i, path in enumerate(paths)]
    tasks = [asyncio.create_task(runtime.run()) for runtime in runtimes]
    try:
        async with door.open(runtimes[0]):
            yield door.url, runtimes[0]
    finally:
        for runtime in runtimes:
            runtime.stop()
        await asyncio.gather(*tasks)


async def until(true: Any) -> None:
    async with asyncio.timeout(300):  # only so that a failure is not a hang
        while not true():
            await asyncio.sleep(0.005)


def client(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url + "/v1", api_key=TOKEN, max_retries=0)


def http(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=300)


def test_the_openai_client_asks_a_mesh_and_learns_where_the_answer_is_committed(tmp_path: Path) -> None:
    async def play() -> None:
        async with served(configured(tmp_path)) as (url, node):
            openai_ = client(url)
            assert [m.id async for m in openai_.models.list()] == ["chorus"]
            messages: Any = [{"role": "user", "content": PUZZLE}]
            whole = await openai_.chat.completions.create(model="chorus", messages=messages)
            assert whole.choices[0].message.content == SOLVED
            told = whole.model_extra["chorus"]
            assert told["committed"]
            leaf = node.node.fold.tree.leaf(told["position"])
            proof = node.node.fold.tree.inclusion(told["position"], told["head"]["size"])
            root = bytes.fromhex(told["head"]["root"])
            assert verify_inclusion(leaf, told["position"], told["head"]["size"], proof, root)
            assert node.node.fold.rounds[bytes.fromhex(told["round"])].answer == bytes.fromhex(told["entry"])
            assert whole.usage.completion_tokens > 0

            stream = await openai_.chat.completions.create(
                model="chorus", messages=messages, stream=True, stream_options={"include_usage": True}
            )
            chunks = [c async for c in stream]
            assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == SOLVED
            assert any(c.model_extra["chorus"]["tentative"] for c in chunks[1:-2])
            assert chunks[-2].choices[0].finish_reason == "stop"
            last = chunks[-2].model_extra["chorus"]
            assert last["committed"]
            assert last["answer"] == SOLVED
            assert last["position"] > told["closed_at"]
            assert chunks[-1].usage.total_tokens > 0

    asyncio.run(play())


def test_no_route_answers_without_the_token_but_healthz(tmp_path: Path, monkeypatch: Any) -> None:
    apps: list[Gate] = []

    def noted(*args: Any, **more: Any) -> Gate:
        apps.append(create_app(*args, **more))
        return apps[-1]

    monkeypatch.setattr("chorus.mesh.server.door.create_app", noted)

    async def play() -> None:
        async with served(configured(tmp_path, nodes=1), [Speller()]) as (url, _), httpx.AsyncClient(base_url=url) as c:
            routes = {route.path for route in apps[0].app.routes}
            assert len(routes) > 5
            assert routes == DESCRIPTION["paths"].keys()  # what is served is described
            strange = {"/nothing", "/", "/healthz/", "/healthz/../metrics", "/HEALTHZ", "/%2fhealthz", "//healthz"}
            paths = {path.format(model="chorus") for path in routes} - {"/healthz"} | strange
            right, wrong = ("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer wrong")
            refused: list[Any] = [[], [wrong], [("authorization", f"Basic {TOKEN}")], [right, wrong], [right, right]]
            for path in sorted(paths):
                tries = [("GET", headers) for headers in refused] + [(m, []) for m in ("POST", "HEAD", "OPTIONS")]
                for method, headers in tries:
                    got = await c.request(method, path, headers=headers)
                    assert got.status_code == 401, (method, path, headers)
                    if method != "HEAD":
                        assert got.json()["error"]["code"] == "invalid_token"
            assert (await c.get("/healthz")).json() == {"status": "ok"}

    asyncio.run(play())


def test_the_openai_client_asks_over_tls_and_nobody_without_it(tmp_path: Path) -> None:
    authority = cluster.Authority(tmp_path / "tls")
    door = authority.issue("door")
    lines = f'certificate = "{door.certificate}"\nprivate_key = "{door.key}"'
    trusting = ssl.create_default_context(cafile=str(door.ca))
    stranger = ssl.create_default_context(cafile=str(cluster.Authority(tmp_path / "other").issue("x").ca))

    async def ask(url: str, context: ssl.SSLContext, **more: Any) -> Any:
        async with openai.AsyncOpenAI(
            base_url=url + "/v1", api_key=TOKEN, max_retries=0, http_client=httpx.AsyncClient(verify=context)
        ) as c:
            messages: Any = [{"role": "user", "content": "21"}]
            got = await c.chat.completions.create(model="chorus", messages=messages, **more)
            return [chunk async for chunk in got] if more else got

    async def play() -> None:
        async with served(configured(tmp_path / "mesh", lines, nodes=1), [Speller()]) as (url, _):
            assert url.startswith("https://127.0.0.1:")
            assert (await ask(url, trusting)).choices[0].message.content == "42"
            chunks = await ask(url, trusting, stream=True)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "42"
            assert chunks[-1].model_extra["chorus"]["committed"]
            for wrong, context in ((url, stranger), (url.replace("https", "http"), trusting)):
                with pytest.raises(openai.APIConnectionError):
                    await ask(wrong, context)
            old = ssl.create_default_context(cafile=str(door.ca))
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
                old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises(openai.APIConnectionError):
                await ask(url, old)

    asyncio.run(play())


def test_a_client_that_does_not_finish_its_request_is_cut_off(tmp_path: Path) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n" % TOKEN.encode()
    part_of = {
        "nothing": b"",
        "a part of the head": head,
        "a second head": b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\nhost:",
        "a part of the body": head + b"content-length: 10\r\n\r\n{",
    }

    async def play() -> None:
        async with served(configured(tmp_path, "timeout = 0.2", nodes=1), [Speller()]) as (url, _), http(url) as c:
            host, port = url.removeprefix("http://").split(":")
            for what, sent in part_of.items():
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(sent)
                if what == "a second head":  # and one letter of it whenever something was heard of the first
                    await reader.readuntil(b"}")
                    writer.write(b"y")
                with suppress(ConnectionError):
                    got = await asyncio.wait_for(reader.read(), 300)
                    assert (b"408" in got) == (what == "a part of the body"), what
                writer.close()
            assert (await c.get("/healthz")).status_code == 200

    asyncio.run(play())


def test_one_connection_more_than_are_taken_is_closed_and_the_others_stay(tmp_path: Path) -> None:
    async def play() -> None:
        async with served(configured(tmp_path, "streams = 1", nodes=1), [Speller()]) as (url, _):
            host, port = url.removeprefix("http://").split(":")
            taken = [await asyncio.open_connection(host, int(port)) for _ in range(65)]
            reader, writer = await asyncio.open_connection(host, int(port))
            with suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 300) == b""
            writer.close()
            taken[0][1].write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b"200" in await taken[0][0].readline()
            for _, each in taken:
                each.close()

    asyncio.run(play())


def test_what_is_not_understood_is_refused_in_openais_shape(tmp_path: Path) -> None:
    good: dict[str, Any] = {"model": "chorus", "messages": [{"role": "user", "content": "1"}]}
    many = [{"role": "user", "content": "1"}] * 65
    part = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    cases: list[tuple[Any, int, str, str | None]] = [
        ({**good, "temperature": 0.1}, 400, "unsupported_parameter", "temperature"),
        ({**good, "stream_options": {"x": 1}}, 400, "unsupported_parameter", "stream_options.x"),
        ({**good, "stream_options": {}}, 400, "invalid_request", "stream_options"),
        ({**good, "n": 2}, 400, "invalid_request", "n"),
        ({**good, "model": "gpt"}, 404, "model_not_found", "model"),
        ({**good, "messages": []}, 400, "invalid_request", "messages"),
        ({**good, "messages": many}, 400, "invalid_request", "messages"),
        ({**good, "messages": [part]}, 400, "invalid_request", "messages[0].content[0].type"),
        ({**good, "messages": [{"role": "user"}]}, 400, "invalid_request", "messages[0].content"),
        ({**good, "messages": [{"role": "user", "content": "x" * 20_000}]}, 400, "context_length_exceeded", "messages"),
        ({**good, "messages": [{"role": "user", "content": ""}]}, 400, "invalid_request", "messages"),
        ({**good, "max_tokens": 0}, 400, "invalid_request", "max_tokens"),
        ({"messages": good["messages"]}, 400, "invalid_request", "model"),
        ([1], 400, "invalid_request", None),
    ]

    async def play() -> None:
        async with served(configured(tmp_path, nodes=1), [Speller()]) as (url, _), http(url) as c:
            for body, status, code, param in cases:
                got = await c.post("/v1/chat/completions", json=body)
                error = got.json()["error"]
                assert (got.status_code, error["code"], error["param"]) == (status, code, param), got.text
                assert param is None or param in error["message"] or code == "model_not_found"
            for raw in (b"", b"{", b"\xff", b"[" * 100_000, b'{"model": "\\ud800"}'):
                got = await c.post("/v1/chat/completions", content=raw)
                assert (got.status_code, got.json()["error"]["type"]) == (400, "invalid_request_error")
                assert got.json()["error"]["message"].startswith("the body: "), got.text
            assert (await c.post("/v1/chat/completions", content=b"x" * 300_000)).status_code == 413
            assert (await c.get("/v1/models", headers={"x": "y" * 20_000})).status_code == 431
            assert (await c.get("/v1/chat/completions")).json()["error"]["code"] == "method_not_allowed"
            assert (await c.get("/v1/models/other")).status_code == 404
            assert (await c.get("/v1/cluster")).json()["health"] == "ok"
            assert "chorus_committed_entries" in (await c.get("/metrics")).text

    asyncio.run(play())


def test_a_client_that_goes_away_withdraws_its_question(tmp_path: Path) -> None:
    async def play() -> None:
        members = [Speller()]
        async with served(configured(tmp_path, "streams = 1", nodes=1), members) as (url, node):
            messages: Any = [{"role": "user", "content": "hold on"}]
            for number, stream in enumerate((True, False), 1):
                asked = asyncio.create_task(_ask(client(url), messages, stream))
                await until(lambda number=number: members[0].held == number)
                with pytest.raises(openai.RateLimitError):  # one at a time is the bound here
                    await client(url).chat.completions.create(model="chorus", messages=messages)
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
                await until(lambda: not node.node.fold.open and not node.node.deliberation.running)
            assert [r.outcome for r in node.node.fold.rounds.values()] == ["cancelled"] * 2
            await until(lambda: members[0].cancelled == 2)

    asyncio.run(play())


async def _ask(openai_: openai.AsyncOpenAI, messages: Any, stream: bool) -> None:
    got = await openai_.chat.completions.create(model="chorus", messages=messages, stream=stream)
    async for _ in got:
        pass


@asynccontextmanager
async def not_reading(url: str, question: str, count: int) -> AsyncIterator[None]:
    """Have clients ask for streams that they do not read, with as small buffers as there are on their side."""
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps({"model": "chorus", "stream": True, "messages": [{"role": "user", "content": question}]})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
    idle = [socket.socket() for _ in range(count)]
    for connection in idle:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
    yield
    for connection in idle:
        connection.close()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """Note every connection, and give it as small buffers as there are."""
    found: list[Connection] = []
    made = Connection.connection_made

    def noted(self: Connection, transport: Any) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        found.append(self)
        made(self, transport)

    monkeypatch.setattr(Connection, "connection_made", noted)
    return found


def test_readers_that_never_read_hold_nobody_up_and_cost_one_piece_each(tmp_path: Path, connections: Any) -> None:
    async def play() -> None:
        async with (
            served(configured(tmp_path, "stall = 300", nodes=1), [Speller()]) as (url, node),
            not_reading(url, "y" * 16_000, 20),
        ):
            messages: Any = [{"role": "user", "content": "21"}]
            asks = [client(url).chat.completions.create(model="chorus", messages=messages) for _ in range(20)]
            answers = await asyncio.gather(*asks)
            assert {a.choices[0].message.content for a in answers} == {"42"}
            await until(lambda: len(node.node.fold.rounds) == 40 and not node.node.fold.open)

            def waiting() -> list[int]:
                return [c.transport.get_write_buffer_size() for c in connections]

            await until(lambda: sum(size > 0 for size in waiting()) == 20)  # the kernel has no room for more
            assert max(waiting()) < 20_000  # a piece has up to 16,384 letters; pieces and last event twice as many

    asyncio.run(play())


def test_a_reader_that_does_not_read_is_cut_off_and_its_question_withdrawn(tmp_path: Path, connections: Any) -> None:
    async def play() -> None:
        members = [Speller()]
        async with (
            served(configured(tmp_path, "stall = 0.1", nodes=1), members) as (url, node),
            not_reading(url, "hold" + "y" * 16_000, 1),
        ):
            await until(lambda: len(node.node.fold.rounds) == 1 and not node.node.fold.open)
            assert [r.outcome for r in node.node.fold.rounds.values()] == ["cancelled"]
            await until(lambda: members[0].cancelled == 1 and connections[0].transport.is_closing())

    asyncio.run(play())


def test_without_a_majority_a_stream_says_that_nothing_is_committed(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("chorus.mesh.server.completions.GRACE", 0.1)

    async def play() -> None:
        paths = configured(tmp_path, "patience = 0.3")
        async with served(paths[:1], [Speller()]) as (url, _):  # one node of three
            messages: Any = [{"role": "user", "content": "21"}]
            stream = await client(url).chat.completions.create(model="chorus", messages=messages, stream=True)
            chunks = [c async for c in stream]
            assert "".join(c.choices[0].delta.content or "" for c in chunks) == "42"  # it went on thinking
            assert chunks[-1].model_extra["chorus"]["committed"] is False
            with pytest.raises(openai.InternalServerError, match="nothing was committed"):
                await client(url).chat.completions.create(model="chorus", messages=messages)
            async with http(url) as c:
                assert (await c.get("/v1/cluster")).json()["health"] == "minority"

    asyncio.run(play())


def test_a_door_that_cannot_be_served_says_why(tmp_path: Path) -> None:
    wrong = {
        'host = "0.0.0.0"': "loopback only",
        'certificate = "a.pem"': "needs both",
        'certificate = "a.pem"\nprivate_key = "b.pem"': r"TLS cannot be served with this: .*a\.pem: cannot read it",
        'token_env = "CHORUS_NO_SUCH_TOKEN"': "CHORUS_NO_SUCH_TOKEN is not set",
        'token_env = "HOME"\ntoken_file = "token"': "not both",
        'token_file = "short"': "at least 16",
        'token_file = "none"': "cannot read the token",
        'host = "192.0.2.1"\ntoken_file = "token"': "cannot listen",
    }
    path = found_here(tmp_path, ["a"], member=member_lines("sudoku"))[0]
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "short").write_text("short")
    text = path.read_text()
    for lines, words in wrong.items():
        path.write_text(f"{text}\n[server]\n{lines}\n")
        with pytest.raises(InputError, match=words):
            Door(load(path))
    path.write_text(text + "\n[server]\nport = 0\n")
    first, second = Door(load(path)), Door(load(path))
    assert first.made_token
    assert first.token != second.token
    assert first.url.startswith("http://127.0.0.1:")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a mesh of one in a thread of its own; yield its URL."""
    started, found = threading.Event(), []

    async def play() -> None:
        over = asyncio.Event()
        async with served(configured(tmp_path_factory.mktemp("door"), nodes=1), [Speller()]) as (url, _):
            found.extend([url, asyncio.get_running_loop(), over])
            started.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(play(),))
    thread.start()
    assert started.wait(60)
    yield found[0]
    found[1].call_soon_threadsafe(found[2].set)
    thread.join()


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_generated_request_is_a_fault(address: str, mode: GenerationMode) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    schema = schemathesis.openapi.from_dict(httpx.get(address + "/openapi.json", headers=headers).json())
    statuses: dict[str, set[int]] = {}
    for operation in (found.ok() for found in schema.get_all_operations()):

        @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def play(case: Any) -> None:
            response = case.call(base_url=address, headers=headers, timeout=300)
            assert response.status_code < 500, (response.text, case.as_curl_command())
            if "application/json" in response.headers["content-type"] and response.status_code >= 400:
                assert response.json()["error"]["message"]
            statuses.setdefault(case.path, set()).add(response.status_code)

        with suppress(Unsatisfiable):  # nothing can be wrong with a request that takes no parameters
            play()
    assert (200 if mode is GenerationMode.POSITIVE else 400) in statuses["/v1/chat/completions"]
