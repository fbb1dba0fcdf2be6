"""The shipped model as members of a mesh: minds with seeds of their own think, judge and commit."""

import asyncio
import time
from pathlib import Path

import pytest

from chorus.mesh.bus import Hub
from chorus.mesh.core import Node
from chorus.mesh.effects import Said
from chorus.mesh.fold import Fold
from chorus.mesh.identity import Genesis, Key
from chorus.mesh.journal import Journal
from chorus.mesh.log import SqliteLog
from chorus.mesh.member import BudgetSpentError
from chorus.mesh.members import from_config
from chorus.mesh.members.sudoku import SudokuMember
from chorus.mesh.runtime import Runtime
from chorus.thought import shipped_models

pytestmark = pytest.mark.skipif("sudoku" not in shipped_models(), reason="no trained model in the box")

PUZZLE = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
HARD = "........37........39.4.5...9..37.5.6.8...4..1.....2...4.1...38...6.5..1......17.."
MEMBER = {"kind": "thought", "thoughts": 2, "steps": 60}


def test_a_mind_proposes_with_its_energy_and_judges_by_its_own_answer() -> None:
    async def play() -> None:
        member = from_config(MEMBER, "here")
        looks: list[str] = []
        answer = await member.propose(PUZZLE, 1, 1000, looks.append)
        right = await SudokuMember().propose(PUZZLE, 0, 100, lambda _: None)
        assert answer.text == right.text
        assert answer.energy is not None
        assert answer.energy >= 0
        assert answer.tokens == len(looks) > 0
        assert all(len(look) == 82 for look in looks)  # a whole probe, and the end of its line
        same, other = await member.judge(PUZZLE, answer.text), await member.judge(PUZZLE, "1" * 81)
        assert same.approve
        assert not other.approve
        assert other.score == pytest.approx((1.0 - same.score) / 2)
        await member.close()

    asyncio.run(play())


def test_a_spent_budget_stops_the_thinking() -> None:
    async def play() -> None:
        member = from_config({**MEMBER, "steps": 5000}, "here")

        def emit(text: str) -> None:
            raise BudgetSpentError("none left")

        with pytest.raises(BudgetSpentError):
            await member.propose(HARD, 1, 1, emit)
        await member.close()

    asyncio.run(play())


def test_three_minds_commit_an_answer(tmp_path: Path) -> None:
    async def play() -> None:
        keys = [Key.from_seed(bytes([n + 1]) * 32) for n in range(3)]
        genesis = Genesis.of([key.public for key in keys], b"minds")
        hub = Hub()
        mesh = []
        for n, key in enumerate(keys):
            journal = Journal(tmp_path / f"{n}.journal", genesis.hash, key.public)
            node = Node(key, Fold(genesis), journal.recover(), now=time.monotonic())
            log = SqliteLog(tmp_path / "log")
            mesh.append(Runtime(node, journal, log, hub.join(), from_config(MEMBER, "here")))
        tasks = [asyncio.create_task(runtime.run()) for runtime in mesh]
        said = set()
        with mesh[0].watching() as feed:
            round_ = mesh[0].ask(PUZZLE, 1000, 900.0)
            async with asyncio.timeout(900):
                async for event in feed:
                    said |= {event.author} if isinstance(event, Said) else set()
                    found = mesh[0].node.fold.rounds.get(round_)
                    if found is not None and found.closed is not None:
                        break
        for runtime in mesh:
            runtime.stop()
        await asyncio.gather(*tasks)
        right = await SudokuMember().propose(PUZZLE, 0, 100, lambda _: None)
        assert (found.outcome, found.chosen().answer) == ("accepted", right.text)
        assert found.chosen().energy is not None
        assert len(said) >= 2

    asyncio.run(play())
