"""From a configuration to a running node."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

from chorus.mesh.artifacts import Artifacts
from chorus.mesh.complaints import complain
from chorus.mesh.config import Config, check_reach, load
from chorus.mesh.control import ControlServer
from chorus.mesh.core import Node
from chorus.mesh.engines import open_bus, open_log, open_tracing
from chorus.mesh.fold import Fold
from chorus.mesh.journal import Journal
from chorus.mesh.member import Member
from chorus.mesh.runtime import Runtime


def assemble(config: Config, member: Member | None = None) -> Runtime:
    """Open everything a node needs; raises `InputError` naming what cannot be opened.

    Must be called in a running event loop. `member` replaces the one the configuration names.
    """
    key = config.key()
    genesis = config.genesis
    readers = config.readers()
    check_reach(readers, genesis.members, f"{config.place('mesh', 'topology')}: mesh.topology")
    member = member or config.make_member()
    tracing = open_tracing(config)
    journal = Journal(config.at(config.node.journal), genesis.hash, key.public)
    log, bus = open_log(config), open_bus(config)
    node = Node(
        key,
        Fold(genesis),
        journal.recover(),
        now=time.monotonic(),
        readers=readers,
        limits=config.node_limits(),
    )
    return Runtime(node, journal, log, bus, member, Artifacts(config.artifacts_path), tracing)


async def serve(
    config: Config,
    ready: Callable[[Runtime], None] | None = None,
    beside: Callable[[Runtime], AbstractAsyncContextManager[None]] | None = None,
) -> None:
    """Run a node until it is told to stop (SIGINT, SIGTERM); raises `ChorusError` when it has to stop by itself.

    `ready` is called once it can be reached; `beside` is entered before, and left when the node stops.
    """
    runtime = assemble(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, runtime.stop)
    control = ControlServer(runtime, config.control_path, config.node.name, config.names())
    async with control.serving(), beside(runtime) if beside is not None else nullcontext():
        if ready is not None:
            ready(runtime)
        complaining = asyncio.create_task(complain(runtime, config))
        try:
            await runtime.run()
        finally:
            complaining.cancel()


def run(path: Path) -> None:
    """Read a configuration and run its node in this process; what `chorus mesh node` does."""
    config = load(path)

    def ready(_: Runtime) -> None:
        print(f"{config.node.name} is running in the mesh {config.genesis.hash.hex()[:16]}", flush=True)

    asyncio.run(serve(config, ready))


def run_behind_a_door(path: Path) -> None:
    """Run a node with its HTTP door in this process; what `chorus mesh serve` does."""
    from chorus.mesh.server import Door

    config = load(path)
    door = Door(config)

    def ready(_: Runtime) -> None:
        print(f"{config.node.name} serves the mesh {config.genesis.hash.hex()[:16]} at {door.url}/v1", flush=True)
        if door.made_token:
            print(f"token for this run: {door.token}", flush=True)

    asyncio.run(serve(config, ready, door.open))
