"""Nobody monopolises and nobody falls silent, whatever they want and whenever they are asked."""

import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.dynamics import TurnTaking
from chorus.errors import InputError


def turns(
    floor: TurnTaking, urges: dict[str, float], seconds: float, tick: float = 0.1, start: float = 0.0
) -> list[str]:
    return [who for k in range(round(seconds / tick)) for who in floor.advance(start + (k + 1) * tick, urges)]


URGES = {"shy": 0.0, "faint": 1e-12, "middling": 1.0, "loud": 1e3, "shouting": 1e12}


@pytest.mark.parametrize("spacing", [0.0, 0.3, 2.0])
def test_shares_are_even_whatever_the_urge(spacing: float) -> None:
    floor = TurnTaking(URGES, now=0.0, period=2.0, spacing=spacing)
    said = turns(floor, URGES, 100)
    shares = {name: count / len(said) for name, count in Counter(said).items()}
    assert shares.keys() == URGES.keys()
    assert 0.15 < min(shares.values()) <= max(shares.values()) < 0.25
    longest_wait = max(len(gap) for name in URGES for gap in "".join(name[1] for name in said).split(name[1]))
    assert longest_wait <= 2 * (len(URGES) - 1) + 1  # everybody else twice, at worst


def test_a_busy_floor_goes_round() -> None:
    names = [f"m{i:02}" for i in range(40)]
    floor = TurnTaking(names, now=0.0, period=1.0, spacing=0.25)  # 40 members, 10 s a round: ten times the period
    urges = {name: 10.0 ** (i % 7 - 3) for i, name in enumerate(names)}
    said = turns(floor, urges, 60)
    assert set(Counter(said[:200]).values()) <= {4, 5, 6}


def test_turns_keep_their_distance() -> None:
    floor = TurnTaking(["a", "b", "c"], now=0.0, period=1.0, spacing=0.7)
    urges = {"a": 1.0, "b": 1.0, "c": 1.0}
    times = [k / 100 for k in range(1, 2000) for _ in floor.advance(k / 100, urges)]
    assert min(b - a for a, b in pairwise(times)) > 0.68


def test_one_late_call_gives_the_turns_that_timely_ones_gave() -> None:
    urges = {"a": 1.0, "b": 2.0, "c": 4.0}
    timely, late = (TurnTaking(urges, now=0.0, period=2.0, spacing=0.3) for _ in range(2))
    said = turns(timely, urges, 1.9, tick=0.01)
    assert len(said) == 3
    assert list(late.advance(1.9, urges)) == said


def test_who_wants_nothing_gets_no_turn_and_is_ready_when_it_does() -> None:
    floor = TurnTaking(["a", "b"], now=0.0, period=2.0)
    assert set(turns(floor, {"a": 1.0}, 20)) == {"a"}
    assert floor.readiness("b") == pytest.approx(1.0, abs=1e-6)
    assert "b" in turns(floor, {"b": 0.0}, 2.0, start=20)


def test_whoever_has_spoken_is_refractory_and_recovers() -> None:
    heard, other = (TurnTaking(["a"], now=0.0, period=4.0) for _ in range(2))
    heard.spoke("a")
    assert turns(heard, {"a": 1.0}, 2.0) == []
    assert turns(other, {"a": 1.0}, 2.0) == ["a"]
    assert heard.readiness("a") < 0.7
    assert turns(heard, {"a": 1.0}, 4.0, start=2.0) == ["a"]
    other.spoke("a")
    turns(other, {}, 30, start=2.0)
    assert other.readiness("a") > 0.99


def test_speaking_out_of_turn_gives_up_the_place_in_the_queue() -> None:
    floor = TurnTaking(["a", "b"], now=0.0, period=1.0, spacing=5.0)
    assert floor.advance(1.0, {"a": 1.0, "b": 1.0}) == ("a",)
    floor.spoke("b")
    assert floor.advance(5.9, {}) == ()
    assert floor.advance(30.0, {}) == ()  # b was next, but has had its say


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6))
def test_the_shares_hold_on_any_schedule_of_calls(seed: int) -> None:
    rng = random.Random(seed)
    floor, now, said = TurnTaking("abc", now=0.0, period=1.0), 0.0, Counter[str]()
    while now < 20:
        now += rng.choice([0.001, 0.02, 0.3, 0.9])
        said.update(floor.advance(now, {"a": 0.0, "b": 3.0, "c": rng.choice([0.0, 1e9])}))
    assert min(said[name] for name in "abc") >= 14
    assert max(said.values()) <= 23


def test_a_long_gap_is_cheap_and_a_clock_that_goes_back_holds() -> None:
    floor = TurnTaking(["a"], now=0.0, period=1.0)
    assert 1 <= len(floor.advance(1e9, {"a": 1.0})) <= 3
    assert floor.advance(5.0, {"a": 1.0}) == ()


def test_members_come_and_go() -> None:
    floor = TurnTaking(["b"], now=0.0, period=1.0)
    turns(floor, {"b": 1.0}, 3)
    ready = floor.readiness("b")
    floor.join("a")
    assert floor.members == ("a", "b")
    assert floor.readiness("b") == ready
    assert set(turns(floor, {"a": 1.0, "b": 1.0}, 5, start=3)) == {"a", "b"}
    floor.leave("b")
    assert set(turns(floor, {"a": 1.0}, 5, start=8)) == {"a"}
    floor.leave("a")
    assert turns(floor, {}, 1, start=13) == []


def test_bad_input() -> None:
    with pytest.raises(InputError, match="'a' is given twice"):
        TurnTaking(["a", "b", "a"], now=0.0, period=1.0)
    with pytest.raises(InputError, match="period"):
        TurnTaking(["a"], now=0.0, period=0.0)
    floor = TurnTaking(["a"], now=0.0, period=1.0)
    for urge in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="urge of 'a'"):
            floor.advance(1.0, {"a": urge})
    with pytest.raises(InputError, match="no 'z'; there are a"):
        floor.advance(1.0, {"z": 1.0})
    with pytest.raises(InputError, match="'a' is a member already"):
        floor.join("a")
