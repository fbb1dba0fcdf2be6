"""Nodes fall into step and take turns; and what they say waits for neither."""

import math
import random

import pytest

from chorus.mesh.core import Node
from chorus.mesh.deliberation import Deliberation, Local
from chorus.mesh.entries import Entry, Proposal
from chorus.mesh.fold import Fold
from chorus.mesh.identity import Genesis
from chorus.mesh.limits import Limits
from chorus.mesh.rhythm import Pace, Phase, Turns
from chorus.mesh.simulation.world import LIMITS, CheapKey, Faults, Host, World


def mesh(seed: int, nodes: int, node_class: type[Node] = Node, drop: float = 0.1) -> World:
    """A world of good members whose clocks run up to 1 % apart and whose bus loses messages."""
    world = World(seed)
    world.faults = Faults(drop=drop)
    keys = [CheapKey(b"%d" % number) for number in range(nodes)]
    genesis = Genesis.of([key.public for key in keys], b"rhythm")
    for number, key in enumerate(keys):
        host = Host(world, number, key, genesis, "good")
        host.rate = world.rng.uniform(0.995, 1.005)
        host.node_class = node_class
        world.hosts.append(host)
        host.start()
    return world


def orders(world: World) -> list[float]:
    nodes = [(host.clock(), host.node) for host in world.hosts if host.node is not None]
    return [node.pace.order(now, node.fold.members) for now, node in nodes]


@pytest.mark.parametrize("seed", range(5))
def test_nodes_fall_into_step_although_messages_are_lost(seed: int) -> None:
    world = mesh(seed, nodes=7)
    for host in world.hosts:  # spread over the cycle, as badly as can be
        assert host.node is not None
        host.node.pace = Pace(host.node.me, host.clock(), LIMITS.heartbeat, 1, random.Random())
        host.node.pace._pacer._theta = [2 * math.pi * host.number / 7 + 0.1 * seed]
    world.run_until(0.25)
    world.run_until(10 * LIMITS.heartbeat)
    assert min(orders(world)) > 0.95


def test_a_member_that_is_silent_is_seen_in_the_order() -> None:
    world = mesh(1, nodes=5)
    world.run_until(10.0)
    world.hosts[0].crash()
    world.run_until(20.0)
    assert all(0.7 < order <= 0.8 + 1e-9 for order in orders(world))


class Arrhythmic(Node):
    """A node whose oscillator stands still."""

    def tick(self, now: float) -> None:
        self.pace.beat = lambda now: False  # type: ignore[method-assign]
        super().tick(now)


@pytest.mark.parametrize("node_class", [Node, Arrhythmic])
def test_tokens_votes_and_commits_do_not_wait_for_the_rhythm(node_class: type[Node]) -> None:
    world = mesh(3, nodes=3, node_class=node_class, drop=0.0)
    host = world.hosts[0]
    assert host.node is not None
    round_ = host.node.ask(host.clock(), "six times seven", 100, 30.0)
    host.carry_out()
    world.run_until(4.0)  # of virtual time: thinking, judging, and a few polls of a log whose growth nobody tells
    assert host.node.fold.rounds[round_].outcome == "accepted"


def test_a_node_that_hears_nobody_still_says_where_it_stands() -> None:
    pace = Pace(b"me", 0.0, period=1.0, boot=1, rng=random.Random(2))
    pace._pacer.advance = lambda now: ()  # type: ignore[method-assign]
    assert [now for now in range(9) if pace.beat(float(now))] == [0, 2, 4, 6, 8]


def test_an_impossible_phase_is_refused() -> None:
    pace = Pace(b"me", 0.0, period=1.0, boot=1, rng=random.Random(0))
    assert not pace.hear(b"liar", Phase(1, math.nan, 0.0, 1, 1.0), 0.0)
    assert not pace.hear(b"liar", Phase(1, 3.0, 0.0, 1, 1.0), 0.0)
    assert pace.hear(b"honest", Phase(1, 1.0, 0.0, 1, 1.0), 0.0)


def test_after_a_restart_a_nodes_phase_is_news() -> None:
    pace = Pace(b"me", 0.0, period=1.0, boot=1, rng=random.Random(0))
    other = [Pace(b"other", 0.0, period=1.0, boot=boot, rng=random.Random(0)) for boot in (1, 2)]
    for _ in range(1000):
        late = other[0].phase(0.0)
    assert late.stamp < other[1].phase(0.0).stamp
    assert pace.hear(b"other", late, 0.0)


class Record:
    """A voice that takes note of which calls begin."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []

    def begin(self, key: bytes, round_: bytes, question: str, answer: str | None, seed: int, budget: int) -> None:
        self.begun.append(key)
        self.deliberation.running.add(key)

    deliberation: Deliberation

    def speak(self, *_: object) -> bytes:
        return b""

    def stop(self, *_: object) -> None:
        raise AssertionError("nothing is given up here")


def test_who_floods_a_mesh_with_proposals_delays_its_own() -> None:
    me, flood, quiet = (CheapKey(name).public for name in (b"me", b"flood", b"quiet"))
    fold = Fold(Genesis.of([me, flood, quiet], b"turns"), CheapKey.verify)
    voice = Record()
    deliberation = voice.deliberation = Deliberation(
        me, fold, {}, voice, lambda members: dict.fromkeys(members, frozenset(members)), Limits(judgements=1),
        Turns(0.0, 1.0),
    )  # fmt: skip
    for number in range(9):
        deliberation.locals[b"%d" % number] = Local(b"%d" % number, "?", 1, 100.0)
        deliberation._answered.add(b"%d" % number)
        author = quiet if number == 8 else flood
        proposal = Entry(fold.genesis.hash, author, number, 1, (), Proposal(b"%d" % number, "!", 0.0, 1))
        deliberation.hear(b"proposal %d" % number, proposal, 0.0)
    for now in range(9):
        deliberation.settle(0.1 * now)
        deliberation.running.clear()
        deliberation.calls[voice.begun[-1]] = None
    assert voice.begun.index(b"jproposal 8") == 1
    assert len(voice.begun) == 9  # and nobody is silenced
