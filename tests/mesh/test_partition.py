"""Real partitions: hosts in network namespaces, each with etcd and a node, with the cable between them pulled.

One case runs by itself; `make test-partition` runs all of them, and the kills.
"""

import contextlib
import os
import random
import time
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from chorus.mesh.testbed import Testbed, hears, wait_for, why_not
from chorus.mesh.verification import read_journal

_spec = spec_from_file_location("trial", Path(__file__).with_name("trial.py"))
assert _spec is not None
assert _spec.loader is not None
trial = module_from_spec(_spec)
_spec.loader.exec_module(trial)

ALL = os.environ.get("CHORUS_PARTITIONS") == "all"
RESULTS = os.environ.get("CHORUS_RESULTS", "")
pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"no hosts in network namespaces here: {why_not()}")

PACE = 0.15  # seconds between two tokens: long beside what a busy machine adds
MORE = "\n[limits]\nproposals = 1\n"  # one answer at a time: a node's tokens are one stream with one pace

KILLS = 20 if ALL else 2

CASES = [(3, "leader", 20.0)]
if ALL:
    CASES += [(n, side, s) for s in (20.0, 65.0) for n in (3, 5) for side in ("leader", "follower")][1:]


@pytest.fixture
def bed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Testbed]:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):  # what else this machine does must not be taken for the mesh's pauses
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    try:
        with Testbed(tmp_path / "m", request.param, f'kind = "sudoku"\npace = {PACE}', MORE) as made:
            made.wait_until_up()
            yield made
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


@pytest.mark.parametrize(("bed", "side", "seconds"), CASES, indirect=["bed"])
def test_both_sides_of_a_cut_go_on_and_one_commits(
    bed: Testbed, side: str, seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    count = len(bed.configs)
    leader = bed.leader()
    follower = (leader + 1) % count
    minority = [leader, follower] if side == "leader" else [follower, (leader + 2) % count]
    minority = sorted(minority[: count // 2])
    majority = [n for n in range(count) if n not in minority]
    load = trial.Load(bed)
    puts = trial.BarePuts(bed, majority[0])
    time.sleep(10.0 if seconds > 20.0 else 6.0)

    begin = load_began = time.monotonic()
    begin -= 5.0
    bed.hosts.cut(minority)
    cut = time.monotonic()
    # Once they cannot read the log any more, what came before the cut is folded.
    wait_for(lambda: all(bed.status(n)["log"] != "fine" for n in minority), trial.LONG, "the cut was not noticed")
    sizes = {n: bed.status(n)["committed"]["size"] for n in minority}
    said = {n: len(journal_of(bed, n)) for n in minority}
    time.sleep(max(0.0, cut + seconds - time.monotonic()))
    over = time.monotonic()  # from here on, reading the log costs the nodes processor time
    stuck = {n: bed.status(n)["committed"]["size"] for n in minority}
    alone = {n: len(journal_of(bed, n)) - said[n] for n in minority}
    committed = trial.minority_committed(bed, minority, majority[0], said)
    heard = {n: hears(bed.status(n)) for n in range(count)}
    waiting = {n: len(journal_of(bed, n)) for n in minority}
    heal = time.monotonic()
    bed.hosts.heal()
    time.sleep(5.0)
    puts.stop()
    load.stop(keep=minority)
    load.finish()
    transcript = trial.check(bed, load)

    # Each side hears its own and nobody else.
    assert heard == {n: len(minority) if n in minority else len(majority) for n in range(count)}
    # The minority thinks on at its pace, says things, and commits none of them.
    paces = {n: trial.usual(load.said[n], begin, cut) for n in minority}
    pauses = {n: trial.longest(load.said[n], cut, over) for n in minority}
    assert all(pauses[n] <= 2 * paces[n] for n in minority), (pauses, paces)
    assert stuck == sizes
    assert committed == 0
    assert all(alone[n] > seconds / 4 for n in minority)
    # The majority goes on committing.
    end = min(heal, cut + 20.0)
    stall = trial.longest(load.committed[majority[0]].values(), load_began, end)
    own = trial.longest(puts.times, load_began, end)
    assert stall < seconds / 2
    # What the minority had said by the time of healing is committed, as a node of the majority saw it.
    keys = {bed.configs[n].key().public: waiting[n] for n in minority}
    last = max(p for p, one in enumerate(transcript) if one.entry.seq < keys.get(one.entry.author, 0))
    healed = load.committed[majority[0]][last] - heal
    figures = {
        "minority: longest pause between tokens / usual": max(pauses[n] / paces[n] for n in minority),
        "minority: entries said while cut off": sum(alone.values()),
        "minority: entries committed while cut off": committed,
        "majority: longest pause between commits, s": stall,
        "majority: longest pause of bare puts to etcd, s": own,
        "after healing: s until the minority's entries were committed": healed,
        "after healing: entries in the log, each once and in order": len(transcript),
        "after healing: of these superseded": trial.superseded(transcript),
    }
    tell(capsys, f"{count} nodes, the {side}'s side cut off for {seconds:.0f} s", figures)


@pytest.mark.parametrize("bed", [3], indirect=True)
def test_kills_of_nodes_and_of_etcd_members_under_load_lose_nothing(
    bed: Testbed, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(0)
    load = trial.Load(bed)
    leaders, stalls, began = 0, [], time.monotonic()
    for _ in range(KILLS):
        victim = rng.randrange(3)
        bed.kill_node(victim)
        time.sleep(rng.uniform(0.0, 1.0))
        bed.start_node(victim)
        time.sleep(rng.uniform(0.0, 1.0))
        member = bed.leader() if rng.random() < 0.5 else rng.randrange(3)
        leaders += member == bed.etcd.leader(member)
        killed = time.monotonic()
        bed.etcd.kill(member)
        # The nodes that live commit with the members that live.
        wait_for(lambda since=killed: committed_since(load, since + 0.05), trial.LONG, "nothing was committed any more")
        stalls.append(time.monotonic() - killed)
        bed.etcd.start(member)
        wait_for(lambda: all(map(bed.status, range(3))), trial.LONG, "a node did not come back")
    wrote = sum(len(times) for times in load.said.values())
    load.stop(keep=[0])
    load.finish()
    transcript = trial.check(bed, load)
    figures = {
        "kills of nodes": KILLS,
        "kills of etcd members": KILLS,
        "of these leaders": leaders,
        "longest time until a commit after an etcd member was killed, s": max(stalls),
        "tokens a second, all nodes": wrote / (time.monotonic() - began),
        "entries in the log, each once and in order": len(transcript),
        "of these superseded": trial.superseded(transcript),
    }
    tell(capsys, "kills under load, 3 nodes", figures)


def tell(capsys: pytest.CaptureFixture[str], what: str, figures: dict[str, float]) -> None:
    with capsys.disabled():
        print(f"\n{what}")
        for name, value in figures.items():
            print(f"  {name:<62} {value:.2f}" if isinstance(value, float) else f"  {name:<62} {value}")
    if RESULTS:
        trial.keep(Path(RESULTS), what, figures)


def committed_since(load, since: float) -> bool:
    return any(max(list(times.values()), default=0.0) > since for times in load.committed.values())


def journal_of(bed: Testbed, number: int) -> list[bytes]:
    config = bed.configs[number]
    return read_journal(config.at(config.node.journal), "entry")
