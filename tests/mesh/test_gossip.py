"""What comes over the bus is taken once, from members only, and whatever else it is cannot harm."""

import os
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chorus
from chorus.mesh.core import Node
from chorus.mesh.effects import Alarm, Broadcast
from chorus.mesh.entries import Ask, Entry, Proposal, Vote, seal
from chorus.mesh.fold import LEAP, Fold
from chorus.mesh.gossip import MAX_MESSAGE, WINDOW, Announcement, Gate, Heartbeat, Text, Tokens
from chorus.mesh.identity import Genesis
from chorus.mesh.limits import Limits, Recovered
from chorus.mesh.rhythm import Phase
from chorus.mesh.simulation.world import CheapKey

ANA, BEN, STRANGER = (CheapKey(name) for name in (b"ana", b"ben", b"stranger"))
GENESIS = Genesis.of([ANA.public, BEN.public], b"gossip")
MEMBERS = frozenset(GENESIS.members)
BEAT = Heartbeat(0, bytes(32), 0, 0, Phase(0, 1.0, 0.0, 1, 1.0))


def gate(key: CheapKey, boot: int = 1, mesh: bytes = GENESIS.hash) -> Gate:
    return Gate(key, mesh, boot, CheapKey.verify)


def node() -> Node:
    return Node(ANA, Fold(GENESIS, CheapKey.verify), Recovered(boot=1), verify=CheapKey.verify, rng=random.Random(0))


def test_a_message_is_taken_once_in_any_order() -> None:
    ana, ben = gate(ANA), gate(BEN)
    sealed = [ben.seal(BEAT, 0) for _ in range(50)]
    order = random.Random(1).sample(sealed * 2, 100)
    assert sum(ana.open(data, MEMBERS, 0, 0.0) is not None for data in order) == 50
    assert ana.dropped == {"replayed": 50}


def test_messages_of_an_earlier_life_are_replays() -> None:
    ana = gate(ANA)
    old, new = gate(BEN, boot=1).seal(BEAT, 0), gate(BEN, boot=2).seal(BEAT, 0)
    assert ana.open(new, MEMBERS, 0, 0.0) is not None
    assert ana.open(old, MEMBERS, 0, 0.0) is None


def test_what_is_older_than_the_window_is_a_replay() -> None:
    ana, ben = gate(ANA), gate(BEN)
    sealed = [ben.seal(BEAT, 0) for _ in range(WINDOW + 1)]
    assert ana.open(sealed[-1], MEMBERS, 0, 0.0) is not None
    assert ana.open(sealed[0], MEMBERS, 0, 0.0) is None
    assert ana.open(sealed[1], MEMBERS, 0, 0.0) is not None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "malformed"),
        (bytes(MAX_MESSAGE + 1), "oversized"),
        (bytes(64) + gate(BEN).seal(BEAT, 0)[64:], "signature"),
        (gate(BEN).seal(BEAT, 0)[:-1], "malformed"),
        (gate(STRANGER).seal(BEAT, 0), "not a member"),
        (gate(BEN, mesh=bytes(32)).seal(BEAT, 0), "genesis"),
        (gate(BEN).seal(BEAT, 2 * LEAP), "clock"),
    ],
)
def test_what_is_wrong_is_counted_and_dropped(data: bytes, reason: str) -> None:
    n = node()
    n.received(0.0, data)
    assert n.gate.dropped == {reason: 1}
    n.received(0.0, gate(BEN).seal(BEAT, 0))
    assert BEN.public in n.peers  # and the next true message is heard


def test_a_later_life_of_its_own_key_stops_a_node_and_an_earlier_one_or_a_forged_one_does_not() -> None:
    n = node()
    later = gate(ANA, boot=2).seal(BEAT, 0)
    for data, reason in (
        (gate(ANA, boot=0).seal(BEAT, 0), "echo"),
        (n.gate.seal(BEAT, 0), "echo"),
        (bytes(64) + later[64:], "signature"),
    ):
        n.received(0.0, data)
        assert n.gate.dropped.pop(reason) == 1
        assert not n.halted
    n.received(0.0, later)
    assert "speaks under this node's key" in n.halted
    assert [effect.fatal for effect in n.take_effects() if isinstance(effect, Alarm)] == [True]


def test_a_flood_is_cut_and_others_are_heard() -> None:
    third = CheapKey(b"third")
    members = MEMBERS | {third.public}
    ana, ben = Gate(ANA, GENESIS.hash, 1, CheapKey.verify, rate=100), gate(BEN)
    taken = sum(ana.open(ben.seal(BEAT, 0), members, 0, now=i / 10_000) is not None for i in range(10_000))
    assert taken == pytest.approx(200 + 100, abs=2)  # the burst, and a second's worth
    assert ana.dropped["flood"] == 10_000 - taken
    assert ana.open(gate(third).seal(BEAT, 0), members, 0, 1.0) is not None


def test_entries_on_the_way_are_judged_one_by_one() -> None:
    def entry(key: CheapKey, payload: object, **changes: object) -> bytes:
        fields = {"mesh": GENESIS.hash, "author": key.public, "seq": 0, "clock": 1, "parents": (), "payload": payload}
        return seal(Entry(**{**fields, **changes}), key)  # type: ignore[arg-type]

    ask = Ask("?", 1, 1.0)
    records = (
        b"x",
        entry(BEN, ask, mesh=bytes(32)),
        entry(STRANGER, ask),
        entry(BEN, Vote(bytes(32), True, 1.0, 7)),
        entry(BEN, ask, clock=2 * LEAP),
        bytes(64) + entry(BEN, ask)[64:],
        entry(BEN, ask),
    )
    n = node()
    ben = gate(BEN)
    for record in records:
        n.received(0.0, ben.seal(Announcement(record), 0))
    reasons = ("malformed", "genesis", "not a member", "epoch", "clock", "signature")
    assert n.gate.dropped == {f"entry: {reason}": 1 for reason in reasons}
    assert len(n.deliberation.locals) == 1  # the good one is thought about


def test_of_a_members_answers_only_the_first_is_judged_before_one_is_committed() -> None:
    n = node()
    n.tick(0.0)
    n.read(0.0, 0, [])
    round_ = n.ask(0.0, "?", 10, 1.0)
    ben = gate(BEN)
    for seq in range(50):
        entry = Entry(GENESIS.hash, BEN.public, seq, 1, (), Proposal(round_, f"answer {seq}", None, 1))
        n.received(0.0, ben.seal(Announcement(seal(entry, BEN)), 0))
    assert [answer for _, answer in n.deliberation.locals[round_].proposals.values()] == ["answer 0"]


def test_the_future_does_not_stop_the_clock() -> None:
    n = node()
    for boot in range(1, 200):  # as far ahead as is taken, again and again
        n.received(0.0, gate(BEN, boot).seal(BEAT, LEAP // 2))
    n.ask(0.0, "?", 10, 1.0)
    persist = n.take_effects()
    n.persisted(0.0)
    assert persist
    record = next(iter(n.outbox.values()))
    assert Fold(GENESIS, CheapKey.verify).apply(record)._fields[0] == "place"  # applied, not void


@settings(max_examples=300)
@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_stop_a_node(body: bytes, signed: bool) -> None:
    n = node()
    n.received(0.0, (BEN.sign(b"chorus mesh message\0" + body) if signed else b"") + body)
    assert n.gate.dropped.total() == 1
    n.tick(1.0)


@settings(max_examples=300)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(max_size=40) | st.text(),
        lambda inner: st.lists(inner, max_size=7),
        max_leaves=20,
    )
)
def test_no_structure_from_a_member_stops_a_node(message: object) -> None:
    """A member whose program is wrong: everything about the envelope is right, but what is in it."""
    n = node()
    body = msgspec.msgpack.encode([GENESIS.hash, BEN.public, 1, 0, 5, message])
    n.received(0.0, BEN.sign(b"chorus mesh message\0" + body) + body)
    n.received(0.0, gate(BEN, boot=2).seal(Tokens((Text(bytes(32), 0, "x"),)), 1))
    n.tick(1.0)
    assert BEN.public in n.peers


def test_coverage_guided_fuzzing_finds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    command = [sys.executable, str(Path(__file__).with_name("fuzz_messages.py")), "-runs=8000", "-seed=1"]
    source = {**os.environ, "PYTHONPATH": str(Path(chorus.__file__).parents[1])}
    result = subprocess.run(command, cwd=tmp_path, env=source, capture_output=True, text=True, timeout=1200)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "Done 8000 runs" in result.stderr


def test_limits_are_what_the_gate_gets() -> None:
    n = Node(ANA, Fold(GENESIS, CheapKey.verify), limits=Limits(rate=1.0), verify=CheapKey.verify)
    ben = gate(BEN)
    for _ in range(10):
        n.received(0.0, ben.seal(BEAT, 0))
    assert n.gate.dropped["flood"] == 8


@pytest.mark.parametrize(("members", "most"), [(3, 51), (20, 14)])
def test_large_meshes_tell_tokens_in_larger_pieces(members: int, most: int) -> None:
    genesis = Genesis.of([ANA.public, *(CheapKey(b"%d" % i).public for i in range(members - 1))], b"tokens")
    n = Node(ANA, Fold(genesis, CheapKey.verify), verify=CheapKey.verify, rng=random.Random(0))
    round_ = bytes(32)
    n.deliberation.running.add(b"p" + round_)
    told = []
    for millisecond in range(1000):
        n.token(millisecond / 1000, b"p" + round_, "x")
        told += [effect for effect in n.take_effects() if isinstance(effect, Broadcast)]
    n.tick(2.0)
    told += [effect for effect in n.take_effects() if isinstance(effect, Broadcast)]
    ben = Gate(BEN, genesis.hash, 1, CheapKey.verify)
    heard = [ben.open(effect.data, frozenset(genesis.members), 0, 0.0) for effect in told]
    texts = [p.text for e in heard if e is not None and isinstance(e.message, Tokens) for p in e.message.pieces]
    assert texts[0] == "x"  # the first piece waits for nobody
    assert most // 2 < len(texts) <= most
    assert "".join(texts) == "x" * 1000


def test_many_streams_share_messages_that_a_bus_can_carry() -> None:
    n = node()
    rounds = [bytes([number]) * 32 for number in range(250)]
    n.deliberation.running |= {b"p" + round_ for round_ in rounds}
    told: list[bytes] = []
    for millisecond in range(500):
        n.token(millisecond / 1000, b"p" + rounds[millisecond % 250], "\N{BROKEN HEART}")  # four bytes
        n.token(millisecond / 1000, b"p" + rounds[0], "\N{BROKEN HEART}" * 500)
        told += [effect.data for effect in n.take_effects() if isinstance(effect, Broadcast)]
    n.tick(1.0)
    told += [effect.data for effect in n.take_effects() if isinstance(effect, Broadcast)]
    assert max(map(len, told)) < MAX_MESSAGE
    gate_ = gate(BEN)
    heard = [gate_.open(data, frozenset(GENESIS.members), 0, 0.0) for data in told]
    messages = [e.message for e in heard if e is not None and isinstance(e.message, Tokens)]
    assert len(messages) < 60  # 26 flushes in half a second, not one message for each of 250 rounds
    written = dict.fromkeys(rounds, "")
    for piece in (piece for message in messages for piece in message.pieces):
        assert piece.offset == len(written[piece.round])
        written[piece.round] += piece.text
    assert [len(text) for text in written.values()] == [250_002] + [2] * 249
