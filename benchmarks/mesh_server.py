"""The HTTP door under 200 streams: `python benchmarks/mesh_server.py` (about two minutes; `--quick` for a look).

The server is a process of its own: one node with its door, whose member writes a token every so often, each with the
time at which it was written. The clients are another process on the same machine, so both share its clock: a chunk's
latency is from the member's writing to the client's reading, Python's HTTP on both sides included. Beside it, in the
same run, stands a bare Starlette application under the same uvicorn that streams the same tokens at the same pace.

Memory is the server's resident set: before the first stream, in the middle of each wave of streams, and after it. What
a wave leaves for good is the transcript: the questions, answers and votes that were committed. Sockets have 4 KiB
buffers where a reader stops, so that the server, and not the kernel, is what would have to keep the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from mesh_members import percentile

TOKEN = "a-token-for-the-benchmark"
LONG = 140  # letters that a token of the other streams is longer by; an answer is 16,384 characters at most
RESULTS: dict[str, Any] = {}


class Clocked:
    """Writes `tokens` tokens, one every `pace` seconds, each the time in nanoseconds; approves of everything."""

    def __init__(self, tokens: int, pace: float) -> None:
        self._tokens = tokens
        self._pace = pace

    async def propose(self, question: str, seed: int, budget: int, emit: Any) -> Any:
        from chorus.mesh.member import Answer

        written = []
        padding = "x" * int(question)
        async for stamp in ticking(self._tokens, self._pace, seed):
            written.append(f"{stamp}{padding} ")
            emit(written[-1])
        return Answer("".join(written)[:16_000], 0.0, self._tokens)

    async def judge(self, question: str, answer: str) -> Any:
        from chorus.mesh.member import Judgement

        return Judgement(1.0, True)

    async def close(self) -> None: ...


async def ticking(tokens: int, pace: float, seed: int) -> AsyncIterator[int]:
    await asyncio.sleep(pace * (seed % 997) / 997)  # so that streams do not write in one instant
    due = time.monotonic()
    for _ in range(tokens):
        due += pace
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        yield time.monotonic_ns()


async def serve_door(directory: Path, tokens: int, pace: float) -> None:
    """Run a node with its door until told to stop; print where it is."""
    from chorus.mesh.assemble import assemble
    from chorus.mesh.config import load
    from chorus.mesh.founding import found_here
    from chorus.mesh.server import Door

    path = found_here(directory, ["ana"], member='kind = "sudoku"')[0]
    (directory / "token").write_text(TOKEN)
    server = '[server]\nport = 0\ntoken_file = "token"\nstall = 600\n[limits]\nproposals = 256\n'
    path.write_text(f"{path.read_text()}\n{server}")
    config = load(path)
    door = Door(config)
    door._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # connections inherit it
    runtime = assemble(config, Clocked(tokens, pace))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runtime.stop)
    async with door.open(runtime):
        print(door.url, flush=True)
        await runtime.run()


def serve_bare(tokens: int, pace: float) -> None:
    """Serve the same tokens with Starlette and uvicorn alone."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    async def stream(request: Request) -> StreamingResponse:
        asked = await request.json()

        async def events() -> AsyncIterator[bytes]:
            async for stamp in ticking(tokens, pace, id(request)):
                data = {"choices": [{"delta": {"content": f"{stamp}{'x' * int(asked['messages'][0]['content'])} "}}]}
                yield b"data: " + json.dumps(data).encode() + b"\n\n"
            yield b"data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    app = Starlette(routes=[Route("/v1/chat/completions", stream, methods=["POST"])])
    uvicorn.Server(uvicorn.Config(app, http="h11", log_level="warning")).run(sockets=[listener])


class Server:
    """A server in a process of its own."""

    def __init__(self, kind: str, directory: Path, tokens: int, pace: float) -> None:
        command = [sys.executable, __file__, "--serve", kind, "--in", str(directory)]
        command += ["--tokens", str(tokens), "--pace", str(pace)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().rsplit(":", 1)[1])

    def resident(self) -> float:
        """Return the resident set in MiB."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def worked(self) -> float:
        """Return the processor time it has used, in seconds."""
        user, system = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(") ", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def asked(padding: int) -> bytes:
    messages = [{"role": "user", "content": str(padding)}]
    body = json.dumps({"model": "chorus", "stream": True, "messages": messages}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def fast(port: int, latencies: list[float], padding: int) -> bool:
    """Read a stream as it comes; note each chunk's latency in ms; return whether it was whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(asked(padding))
    whole = False
    async for line in reader:
        now = time.monotonic_ns()
        if not line.startswith(b"data: "):
            continue
        if b"[DONE]" in line:
            whole = True
            continue
        choices = json.loads(line[6:])["choices"]
        text = choices[0]["delta"].get("content") if choices else None
        if text:  # several tokens may have been gathered: each has waited
            latencies += [(now - int(stamp)) / 1e6 for stamp in text.replace("x", "").split()]
    writer.close()
    return whole


async def wave(server: Server, readers: int, seconds: float, others: int = 0, read: bool = True) -> dict[str, float]:
    """Open streams, read them, note latencies; `others` are streams of longer tokens, which are read or not."""
    latencies: list[float] = []
    worked = server.worked()
    idle, reading = [], [asyncio.create_task(fast(server.port, latencies, 0)) for _ in range(readers)]
    for _ in range(others):
        if read:
            reading.append(asyncio.create_task(fast(server.port, [], LONG)))
            continue
        idle.append(socket.socket())
        idle[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle[-1].connect(("127.0.0.1", server.port))
        idle[-1].sendall(asked(LONG))
    await asyncio.sleep(0.6 * seconds)
    during = server.resident()
    whole = sum(await asyncio.gather(*reading))
    worked = server.worked() - worked
    for connection in idle:
        connection.close()
    await asyncio.sleep(1.0)
    return {
        "streams": readers + others,
        "of them read to the end": whole,
        "tokens whose latency was noted": len(latencies),
        "latency of a chunk, p50 ms": statistics.median(latencies),
        "latency of a chunk, p99 ms": percentile(latencies, 0.99),
        "the server's processor time, s": worked,
        "resident during, MiB": during,
        "resident after, MiB": server.resident(),
    }


def show(section: str, rows: dict[str, Any]) -> None:
    RESULTS[section] = rows
    print(f"\n{section}", flush=True)
    for name, value in rows.items():
        text = f"{value:,.2f}" if isinstance(value, float) and value < 1000 else f"{value:,.0f}"
        print(f"  {name:<72} {text:>12}")


def measured(streams: int, waves: int, tokens: int, pace: float) -> None:
    seconds = tokens * pace
    with tempfile.TemporaryDirectory() as place:
        bare = Server("bare", Path(place), tokens, pace)
        alone = asyncio.run(wave(bare, streams, seconds))
        bare.stop()
        show(f"bare Starlette and uvicorn, {streams} streams, {1 / pace:.0f} tokens/s each", alone)
        door = Server("door", Path(place), tokens, pace)
        show("the door before any stream", {"resident, MiB": door.resident()})
        played = [asyncio.run(wave(door, streams, seconds)) for _ in range(waves)]
        for number, rows in enumerate(played, 1):
            show(f"the door, wave {number}: {streams} streams", rows)
        half = streams // 2
        beside = asyncio.run(wave(door, half, seconds, half))
        show(f"the door: {half} streams, and {half} others that are read", beside)
        stopped = asyncio.run(wave(door, half, seconds, half, read=False))
        show(f"the door: {half} streams, and {half} others that nobody reads", stopped)
        door.stop()
    p50, p99, work = "latency of a chunk, p50 ms", "latency of a chunk, p99 ms", "the server's processor time, s"
    during = [rows["resident during, MiB"] for rows in played]
    committed = streams * (waves - 1)
    show(
        "in ratios",
        {
            "p50 of a chunk against the bare server's": played[-1][p50] / alone[p50],
            "p99 of a chunk against the bare server's": played[-1][p99] / alone[p99],
            "processor time against the bare server's": played[-1][work] / alone[work],
            "processor time for a token, thinking, judging and committing included, µs": 1e6
            * played[-1][work]
            / played[-1]["tokens whose latency was noted"],
            "p50 beside readers that stopped, against beside others that read": stopped[p50] / beside[p50],
            "p99 beside readers that stopped, against beside others that read": stopped[p99] / beside[p99],
            "resident in the last wave against the first": during[-1] / during[0],
            "KiB that a committed round leaves, first to last wave": 1024 * (during[-1] - during[0]) / committed,
            "KiB that a stopped reader costs in the middle of its stream": 1024
            * (stopped["resident during, MiB"] - beside["resident after, MiB"])
            / half,
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller, for a look")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=100, help="of each stream")
    parser.add_argument("--pace", type=float, default=0.1, help="seconds between two tokens")
    parser.add_argument("--serve", choices=["door", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--in", dest="directory", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve == "door":
        asyncio.run(serve_door(arguments.directory, arguments.tokens, arguments.pace))
    elif arguments.serve == "bare":
        serve_bare(arguments.tokens, arguments.pace)
    else:
        show("machine", {"cores": os.cpu_count() or 0, "load average at the start": os.getloadavg()[0]})
        if arguments.quick:
            measured(50, 2, 20, 0.1)
        else:
            measured(arguments.streams, 5, arguments.tokens, arguments.pace)
        target = Path(__file__).parent / "results" / "mesh_server.json"
        target.write_text(json.dumps(RESULTS, indent=2, ensure_ascii=False) + "\n")
        print(f"\nwritten to {target}")


if __name__ == "__main__":
    main()
