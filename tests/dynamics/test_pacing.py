"""Nodes fall into step over a network that loses, repeats, reorders and delays, each on a clock of its own."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.dynamics import PhasePacer, PhaseSummary, simulate_phases
from chorus.errors import InputError


def pacer(origin: str = "a", **changes: object) -> PhasePacer:
    given = {"now": 0.0, "period": 1.0, "coupling": 2.0, "expiry": 3.0, **changes}
    return PhasePacer(origin, **given)  # type: ignore[arg-type]


class Net:
    """N nodes that gossip at random times over a bad network; every node's clock has its own zero."""

    def __init__(self, n: int, seed: int, coupling: float, loss: float = 0.3, latency: float = 0.05) -> None:
        self.random = random.Random(seed)
        self.time, self.loss, self.latency = 0.0, loss, latency
        self.zero = [self.random.uniform(-1e6, 1e6) for _ in range(n)]
        self.nodes = [
            PhasePacer(
                str(i), now=self.zero[i], period=self.random.gauss(1.0, 0.05), coupling=coupling, expiry=3.0,
                phases=[self.random.uniform(0, 2 * np.pi)],
            )
            for i in range(n)
        ]  # fmt: skip
        self.beats: list[list[float]] = [[] for _ in range(n)]
        self.wire: list[tuple[float, int, PhaseSummary]] = []
        self.down: set[int] = set()

    def clock(self, i: int) -> float:
        return self.time + self.zero[i]

    def run(self, duration: float, tick: float = 0.02) -> None:
        for _ in range(round(duration / tick)):
            self.time += tick
            arrived = [letter for letter in self.wire if letter[0] <= self.time]
            self.wire = [letter for letter in self.wire if letter[0] > self.time]
            self.random.shuffle(arrived)
            for _, to, summary in arrived:
                self.nodes[to].hear(summary, self.clock(to))
            for i, node in enumerate(self.nodes):
                if i in self.down:
                    continue
                self.beats[i] += [self.time] * len(node.advance(self.clock(i)))
                if self.random.random() < 0.2:
                    self.send(i)

    def send(self, i: int) -> None:
        summary = self.nodes[i].summary(self.clock(i))
        for to in range(len(self.nodes)):
            for _ in range(2 if self.random.random() < 0.1 else 1):  # one in ten is repeated
                if to != i and self.random.random() > self.loss:
                    self.wire.append((self.time + self.random.expovariate(1 / self.latency), to, summary))

    def order(self) -> float:
        return abs(np.mean([np.exp(1j * node.phases[0]) for i, node in enumerate(self.nodes) if i not in self.down]))


@pytest.mark.parametrize("seed", range(3))
def test_nodes_fall_into_step_and_know_it(seed: int) -> None:
    net = Net(8, seed, coupling=2.0)
    net.run(25)
    assert net.order() > 0.95
    for i, node in enumerate(net.nodes):
        # What a node knows is late by an unknown time on the wire: 50 ms on average, or 0.3 radians here.
        assert node.order(net.clock(i)) == pytest.approx(net.order(), abs=0.15)
    late = [[t for t in beats if t > 15] for beats in net.beats]
    assert {len(beats) for beats in late} <= {9, 10, 11}  # one beat a period, all at one pace


def test_without_coupling_they_do_not() -> None:
    net = Net(8, 0, coupling=0.0)
    net.run(25)
    assert net.order() < 0.9


def test_repulsion_spreads_their_beats_out() -> None:
    net = Net(5, 1, coupling=-1.5, loss=0.1)
    net.run(25)
    orders = []
    for _ in range(60):
        net.run(0.25)
        orders.append(net.order())
    assert np.mean(orders) < 0.25  # five phases that know nothing of each other: 0.40


def test_the_dead_are_forgotten_and_the_living_go_on() -> None:
    net = Net(6, 2, coupling=2.0)
    net.run(15)
    assert net.nodes[0].known(net.clock(0))[2] == 6
    net.down = {4, 5}
    net.run(4)
    for i in range(4):
        assert net.nodes[i].known(net.clock(i))[2] == 4
    assert net.order() > 0.95
    net.down = set()
    net.run(10)
    assert net.nodes[0].known(net.clock(0))[2] == 6


def test_phases_keep_turning_in_silence() -> None:
    alone = pacer(period=0.5)
    beats = [now for now in np.arange(0.01, 10.001, 0.01) if alone.advance(float(now))]
    assert len(beats) == pytest.approx(20, abs=1)
    assert np.diff(beats) == pytest.approx(0.5, abs=0.011)


def test_one_node_with_many_oscillators_is_the_kuramoto_model() -> None:
    theta = np.random.default_rng(0).uniform(0, 2 * np.pi, 12)
    node = pacer(phases=theta.tolist(), coupling=1.5, period=0.8)
    node.advance(1.5)
    run = simulate_phases(2 * np.pi / 0.8, 1.5, theta=theta, dt=1.5 / 20_000, steps=20_000)
    np.testing.assert_allclose(np.exp(1j * np.array(node.phases)), np.exp(1j * run.theta), atol=5e-4)
    assert node.order(1.5) == pytest.approx(abs(run.order[-1]), abs=5e-4)


def test_a_split_population_moves_as_the_whole_would() -> None:
    """Two nodes that gossip at every step follow the all-to-all equation of their oscillators together."""
    theta = np.random.default_rng(1).uniform(0, 2 * np.pi, 10)
    left, right = pacer("l", phases=theta[:4].tolist()), pacer("r", phases=theta[4:].tolist())
    dt = 1 / 64
    for step in range(1, 129):
        letters = left.summary((step - 1) * dt), right.summary((step - 1) * dt)
        left.hear(letters[1], (step - 1) * dt)
        right.hear(letters[0], (step - 1) * dt)
        left.advance(step * dt)
        right.advance(step * dt)
    whole = simulate_phases(2 * np.pi, 2.0, theta=theta, dt=2 / 20_000, steps=20_000)
    got = np.array(left.phases + right.phases)
    np.testing.assert_allclose(np.exp(1j * got), np.exp(1j * whole.theta), atol=0.012)


@settings(max_examples=60, deadline=None)
@given(order=st.permutations(range(8)), repeats=st.lists(st.integers(0, 7), max_size=8))
def test_what_is_known_does_not_depend_on_order_or_repeats(order: list[int], repeats: list[int]) -> None:
    others = [pacer(str(i % 3), phases=[float(i)], stamp=i) for i in range(8)]
    letters = [other.summary(0.0) for other in others]
    tidy, messy = pacer(), pacer()
    for letter in letters:
        tidy.hear(letter, 1.0)
    for i in [*order, *repeats]:
        messy.hear(letters[i], 1.0)
    assert messy.known(1.0) == pytest.approx(tidy.known(1.0))
    assert tidy.known(1.0)[2] == 4


def test_relaying_counts_nobody_twice_and_ages_add_up() -> None:
    a, b, c = pacer("a"), pacer("b", phases=[1.0]), pacer("c", phases=[2.0])
    b.hear(a.summary(0.0), 100.0)  # b's clock
    relayed = b.relay(101.0)
    assert [letter.age for letter in relayed] == [pytest.approx(1.0)]
    for letter in (*relayed, *relayed, b.summary(0.0)):
        c.hear(letter, 500.0)
    assert c.known(500.0)[2] == 3
    assert not b.hear(c.relay(500.0)[0], 101.0), "no news of a"
    assert c.known(502.5)[2] == 2  # a's word is 3.5 s old, of which c saw 2.5; b's was fresh
    assert c.known(503.5)[2] == 1


def test_a_summary_turns_on_while_it_ages() -> None:
    other = pacer("b", period=2.0, phases=[0.5])
    node = pacer()
    node.hear(other.summary(0.0), 10.0)
    c, s, _ = node.known(10.7)
    own_c, own_s = np.cos(node.phases[0]), np.sin(node.phases[0])
    assert (c - own_c, s - own_s) == pytest.approx((np.cos(0.5 + np.pi * 0.7), np.sin(0.5 + np.pi * 0.7)))


def test_a_late_copy_does_not_bring_back_the_dead() -> None:
    node, other = pacer(), pacer("b")
    old, new = other.summary(0.0), other.summary(0.0)
    node.hear(new, 0.0)
    node.advance(5.0)  # past expiry
    assert node.known(5.0)[2] == 1
    assert not node.hear(old, 5.0)
    assert node.known(5.0)[2] == 1
    assert node.hear(pacer("b", stamp=2).summary(0.0), 5.0)  # a restart that knows its last stamp


def test_a_suspended_process_wakes_at_once_with_one_beat() -> None:
    node = pacer()
    node.hear(pacer("b", phases=[3.0]).summary(0.0), 0.0)
    assert node.advance(1e7 + 0.5) == (0,)  # coupled steps for 3 s, then one free turn through the rest
    alone = pacer()
    assert alone.advance(1e7 + 0.5) == (0,)
    assert alone.phases[0] == pytest.approx(np.pi, abs=1e-6)


def test_one_long_step_hears_the_dead_no_longer_than_many_short_ones() -> None:
    letter = replace(pacer("b", phases=[2.0], period=1.3).summary(0.0), age=0.6)
    once, often = pacer(expiry=1.0), pacer(expiry=1.0)
    for node in (once, often):
        node.hear(letter, 0.0)  # expires at 0.4
    once.advance(0.9)
    for tick in range(1, 91):
        often.advance(tick / 100)
    assert once.phases[0] == pytest.approx(often.phases[0], abs=2e-3)


def test_time_that_goes_back_holds_the_phases() -> None:
    node = pacer()
    node.advance(0.3)
    before = node.phases
    assert node.advance(0.1) == ()
    assert node.phases == before


@pytest.mark.parametrize("coupling", [0.0, 2.0])
def test_next_beat_is_when_it_beats(coupling: float) -> None:
    node = pacer(coupling=coupling, phases=[1.0])
    node.advance(0.2)
    wait = node.next_beat()
    assert node.advance(0.2 + wait - 0.01) == ()
    assert node.advance(0.2 + wait + 0.01) == (0,)


def test_a_pull_back_over_zero_is_not_a_second_beat() -> None:
    node = pacer(coupling=40.0, phases=[0.01])
    node.hear(PhaseSummary(origin="b", stamp=1, cos=0.0, sin=-900.0, n=900, frequency=0.0), 0.0)  # holds it at −π/2
    assert node.advance(0.3) == ()
    assert node.phases[0] == pytest.approx(3 * np.pi / 2 + np.arcsin(2 * np.pi / 40), abs=0.02)


def test_bad_input() -> None:
    nonsense = [("period", 0.0), ("expiry", -1.0), ("phases", [float("nan")]), ("phases", []), ("now", float("inf"))]
    for name, value in [*nonsense, ("coupling", 1e9)]:
        with pytest.raises(InputError):
            pacer(**{name: value})
    good = pacer("b").summary(0.0)
    for wrong in ({"cos": float("nan")}, {"n": 0}, {"age": -1.0}, {"cos": 1.5}, {"frequency": float("inf")}):
        with pytest.raises(InputError, match="summary of 'b'"):
            replace(good, **wrong)
    node = pacer()
    assert not node.hear(replace(good, n=10**9), 0.0), "one node does not outweigh the mesh"
    assert not node.hear(replace(good, age=3.1), 0.0)
    assert not node.hear(node.summary(0.0), 0.0)
    assert node.known(0.0)[2] == 1
