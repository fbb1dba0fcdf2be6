"""The chat member against a real server: `transformers serve` with a tiny model made and taught here."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chorus.errors import ChorusError, InputError
from chorus.mesh.assemble import assemble
from chorus.mesh.config import load
from chorus.mesh.effects import Said
from chorus.mesh.entries import Pass
from chorus.mesh.founding import found_here
from chorus.mesh.members import from_config
from chorus.mesh.members.chat import ChatMember, ChatOptions, EndpointError

SECRET = "sk-a-secret-that-nobody-may-see"


def teach(directory: Path) -> None:
    """Make a two-layer model over bytes and teach it to say "90" after any prompt: an answer, and a judgement."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(["<s>", "</s>", *alphabet])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    fast.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}\nA:"
    fast.save_pretrained(directory)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(alphabet) + 2,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=2048,
            bos_token_id=0,
            eos_token_id=1,
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    tail = fast("\nA:90")["input_ids"] + [1]
    for _ in range(60):
        batch = torch.cat([torch.randint(2, 258, (8, 40)), torch.tensor([tail] * 8)], 1)
        labels = batch.clone()
        labels[:, :-3] = -100
        optimizer.zero_grad()
        model(batch, labels=labels).loss.backward()
        optimizer.step()
    model.save_pretrained(directory)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Yield the URL and the model of a running server."""
    pytest.importorskip("fastapi")
    directory = tmp_path_factory.mktemp("model")
    teach(directory)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = "import sys; from transformers.cli.transformers import main; sys.exit(main())"
    command = [sys.executable, "-c", script, "serve", str(directory)]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (directory / "serve.out").open("wb") as output:
        process = subprocess.Popen([*command, *options], stdout=output, stderr=output, env=environment)
    try:
        deadline = time.monotonic() + 240
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            assert process.poll() is None, (directory / "serve.out").read_text()
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1", str(directory)
    finally:
        process.terminate()
        process.wait(120)


def test_it_streams_an_answer_and_reads_a_judgement(server: tuple[str, str]) -> None:
    async def play() -> None:
        member = ChatMember(ChatOptions(url=server[0], model=server[1], temperature=0.0, timeout=300))
        pieces: list[str] = []
        answer = await member.propose("What is the score?", 1, 20, pieces.append)
        judgement = await member.judge("What is the score?", answer.text)
        await member.close()
        assert answer.text == "".join(pieces) == "90"
        assert answer.tokens == len(pieces) >= 1
        assert (judgement.score, judgement.approve) == (0.9, True)

    asyncio.run(play())


def test_a_mesh_of_chat_members_commits_and_keeps_the_key_to_itself(
    server: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    monkeypatch.setenv("CHORUS_TEST_KEY", SECRET)
    lines = f'kind = "chat"\nurl = "{server[0]}"\nmodel = "{server[1]}"\nkey_env = "CHORUS_TEST_KEY"'
    lines += "\ntemperature = 0\ntimeout = 300"
    configs = found_here(tmp_path, ["ana", "ben", "cem"], member=lines)

    async def play() -> None:
        mesh = [assemble(load(config)) for config in configs]
        assert all(runtime.member._client.headers["Authorization"] == f"Bearer {SECRET}" for runtime in mesh)
        tasks = [asyncio.create_task(runtime.run()) for runtime in mesh]
        said = []
        with mesh[0].watching() as feed:
            round_ = mesh[0].ask("What is the score?", 20, 600.0)
            async with asyncio.timeout(600):
                async for event in feed:
                    said += [event] if isinstance(event, Said) else []
                    found = mesh[0].node.fold.rounds.get(round_)
                    if found is not None and found.closed is not None:
                        break
        for runtime in mesh:
            runtime.stop()
        await asyncio.gather(*tasks)
        assert (found.outcome, found.chosen().answer, found.chosen().judgement()) == ("accepted", "90", 0.9)
        assert len({event.author for event in said}) >= 2

    asyncio.run(play())
    assert not any(SECRET in record.getMessage() for record in caplog.records)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_a_refusing_server_is_a_failure_without_details(server: tuple[str, str]) -> None:
    async def play() -> None:
        member = ChatMember(ChatOptions(url=server[0].replace("/v1", "/v0"), model=server[1]))
        with pytest.raises(EndpointError, match="the endpoint answered 404"):
            await member.propose("?", 1, 5, print)
        await member.close()

    asyncio.run(play())


REPLIES = [
    (b"", "cannot be reached"),
    (b"nonsense\r\n\r\n", "cannot be reached"),
    (b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nkey", "answered 500"),
    (b"HTTP/1.1 302 No\r\nLocation: http://example.org/\r\nContent-Length: 0\r\n\r\n", "answered 302"),
    (b"HTTP/1.1 200 OK\r\n\r\ndata: {nonsense\n\n", "not a chat completion"),
    (b'HTTP/1.1 200 OK\r\n\r\ndata: {"choices": [[]]}\n\n', "not a chat completion"),
    (b'HTTP/1.1 200 OK\r\n\r\ndata: {"choices": [{"delta": {"content": 7}}]}\n\n', "not text"),
    (b"HTTP/1.1 200 OK\r\n\r\ndata: " + b"\xff\xfe" * 50 + b"\n\n", "not a chat completion"),
    (b"HTTP/1.1 200 OK\r\n\r\ndata: " + b"x" * (3 << 20), "a line of more than 1048576 bytes"),
    (b"HTTP/1.1 200 OK\r\n\r\n" + b'data: {"choices": [{"delta": {"content": "1234567"}}]}\n\n' * 3000, "longer than"),
]


@pytest.mark.parametrize(("reply", "message"), REPLIES)
def test_what_is_not_the_protocol_is_a_failure(reply: bytes, message: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    async def play() -> None:
        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
        member = ChatMember(ChatOptions(url=url, model="m", timeout=300))
        with pytest.raises(EndpointError, match=message):
            await member.propose("?", 1, 5, print)
        await member.close()
        listener.close()

    asyncio.run(play())


@pytest.mark.parametrize(
    ("reply", "score"),
    [("90", 0.9), (" 0", 0.0), ("100.", 1.0), ("Score: 75/100", 0.75), ("good", None), ("1000", None), ("", None)],
)
def test_the_judges_number(reply: str, score: float | None) -> None:
    member = ChatMember(ChatOptions(url="http://127.0.0.1:1/v1", model="m"))
    if score is None:
        with pytest.raises(EndpointError):
            member.read_score(reply)
    else:
        assert member.read_score(reply).score == score


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "chat"}, "missing required field `url`"),
        ({"kind": "chat", "url": "ftp://x", "model": "m"}, "url"),
        ({"kind": "chat", "url": "http://x", "model": "m", "api_key": "s"}, "unknown field `api_key`"),
        (
            {"kind": "chat", "url": "http://x", "model": "m", "key_env": "NOT_SET_ANYWHERE"},
            "NOT_SET_ANYWHERE is not set",
        ),
        ({"kind": "oracle"}, "expected one of sudoku, thought, chat"),
        ({}, "expected one of"),
    ],
)
def test_a_wrong_member_table_is_told(table: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        from_config(table, "ana.toml")
    assert isinstance(caught.value, ChorusError)


def test_passing_is_what_a_failed_call_becomes(tmp_path: Path) -> None:
    lines = 'kind = "chat"\nurl = "http://127.0.0.1:1/v1"\nmodel = "m"'
    config = load(found_here(tmp_path, ["ana"], member=lines)[0])

    async def play() -> None:
        runtime = assemble(config)
        task = asyncio.create_task(runtime.run())
        round_ = runtime.ask("?", 5, 600.0)
        async with asyncio.timeout(300):
            while round_ not in runtime.node.fold.rounds or runtime.node.fold.open:
                await asyncio.sleep(0.01)
        runtime.stop()
        await task
        assert runtime.node.fold.rounds[round_].outcome == "undecided"

    asyncio.run(play())
    from chorus.mesh.entries import open_record
    from chorus.mesh.verification import read_log

    passes = [p for _, r in read_log(config.log_path) if isinstance(p := open_record(r).payload, Pass)]
    assert [p.reason for p in passes] == ["EndpointError: the endpoint cannot be reached (ConnectError)"]
