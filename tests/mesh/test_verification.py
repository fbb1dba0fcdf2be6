"""Whatever is done to a log afterwards is found and named."""

import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chorus.errors import InputError
from chorus.mesh.effects import Write
from chorus.mesh.entries import Ask, Done, Proposal, Vote, identity
from chorus.mesh.fold import Applied, Fold
from chorus.mesh.heads import check_proof, open_head, prove, sign_head
from chorus.mesh.identity import Genesis, Key
from chorus.mesh.journal import Journal
from chorus.mesh.merkle import leaf_hash
from chorus.mesh.verification import Report, audit, read_journal, read_log


class Kept:
    """A true log, and what an auditor may hold of it."""

    def __init__(self, script) -> None:
        self.script = s = script(3)
        for n in range(4):
            r = s.say(0, Ask(f"question {n}", 100, 5.0))
            p = s.say(1, Proposal(r, f"answer {n}", 0.5, 3), r)
            s.say(2, Vote(p, True, 1.0, 0), p)
            s.say(0, Done(r, 0), r)
            s.say(1, Done(r, 0), r)
        self.records = list(s.records)
        self.genesis = s.genesis
        self.leaves = [leaf_hash(record) for record in self.records]
        self.head = open_head(sign_head(s.fold, s.keys[0]), s.genesis)

    def audit(self, records: list[bytes], *, head: bool = True, leaves: bool = False, genesis=None, **how) -> Report:
        return audit(
            lambda: enumerate(records, 1),
            genesis or self.genesis,
            heads=[self.head] if head else [],
            leaves=self.leaves if leaves else None,
            **how,
        )


@pytest.fixture
def kept(script) -> Kept:
    return Kept(script)


def test_a_true_log_passes_with_whatever_is_held(kept: Kept) -> None:
    for head in (True, False):
        for leaves in (True, False):
            report = kept.audit(kept.records, head=head, leaves=leaves)
            assert report.ok
            assert report.root == kept.head.root
            assert report.signatures == (0 if head else 20)  # without a head nobody vouches for them
    assert kept.audit(kept.records, every_signature=True).signatures == 20


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(0, 10**9), leaves=st.booleans(), head=st.booleans())
def test_any_flipped_bit_is_found_and_its_entry_named(kept: Kept, where: int, leaves: bool, head: bool) -> None:
    records = list(kept.records)
    place = where % len(records)
    at = (where // len(records)) % (8 * len(records[place]))
    flipped = bytearray(records[place])
    flipped[at // 8] ^= 1 << at % 8
    records[place] = bytes(flipped)
    report = kept.audit(records, head=head, leaves=leaves)
    assert not report.ok
    assert f"position {place + 1} " in report.findings[0] or f"position {place + 1})" in report.findings[0]


@pytest.mark.parametrize("dropped", [1, 2, 19, 20])
@pytest.mark.parametrize("leaves", [True, False])
def test_a_dropped_tail_is_found(kept: Kept, dropped: int, leaves: bool) -> None:
    report = kept.audit(kept.records[:-dropped], head=not leaves, leaves=leaves)
    assert report.findings == [f"the tail was dropped: the log ends at entry {20 - dropped}, and 20 were committed"]


def test_any_two_swapped_entries_are_found(kept: Kept) -> None:
    for i in range(20):
        for j in range(i):
            records = list(kept.records)
            records[i], records[j] = records[j], records[i]
            assert not kept.audit(records).ok
            named = kept.audit(records, leaves=True).findings[0]
            assert f"position {j + 1} " in named or f"position {j + 1})" in named


def test_a_removed_or_inserted_entry_is_found(kept: Kept) -> None:
    for place in range(20):
        without = kept.records[:place] + kept.records[place + 1 :]
        assert not kept.audit(without).ok
        assert not kept.audit(without, head=False, leaves=True).ok
    more = kept.script.make(2, Ask("slipped in", 1, 1.0), clock=3)
    for place in range(2, 20):
        assert not kept.audit([*kept.records[:place], more, *kept.records[place:]]).ok


def test_a_foreign_genesis_is_named(kept: Kept) -> None:
    other = Genesis.of(kept.genesis.members, b"another founding")
    report = kept.audit(kept.records, head=False, genesis=other)
    assert "belongs to another mesh" in report.findings[0]
    with pytest.raises(InputError, match="another mesh"):
        open_head(sign_head(kept.script.fold, kept.script.keys[0]), other)


def test_a_rewritten_history_does_not_match_the_head(kept: Kept, script) -> None:
    rewritten = script(3)  # the same members sign another history of the same length
    for n in range(20):
        rewritten.say(n % 3, Ask(f"another {n}", 100, 5.0))
    report = kept.audit(rewritten.records)
    assert "do not have the root that" in report.findings[0]


def test_a_strangers_head_vouches_for_nothing(kept: Kept) -> None:
    stranger = Key.generate()
    records = [bytes(64) + record[64:] for record in kept.records]  # nobody's signature fits any more
    forged = Fold(kept.genesis)
    for record in records:
        forged.apply(record, verified=True)
    head = open_head(sign_head(forged, stranger), kept.genesis)
    report = audit(lambda: enumerate(records, 1), kept.genesis, heads=[head])
    assert "position 1 " in report.findings[0]
    assert "signature that is not its author's" in report.findings[0]
    true = open_head(sign_head(kept.script.fold, stranger), kept.genesis)
    report = audit(lambda: enumerate(kept.records, 1), kept.genesis, heads=[true])
    assert report.findings == [
        f"the head of 20 entries is signed by {stranger.public.hex()[:16]}, who was no member then"
    ]
    assert audit(lambda: enumerate(kept.records, 1), kept.genesis, heads=[true], trusted=[stranger.public]).ok
    proof = prove(kept.script.fold, kept.records, 7, stranger)
    with pytest.raises(InputError, match="who is no founder"):
        check_proof(proof, kept.genesis)


def test_a_head_of_nothing_hides_no_other(kept: Kept, script) -> None:
    empty = open_head(sign_head(script(3).fold, kept.script.keys[0]), kept.genesis)
    rewritten = script(3)
    for n in range(20):
        rewritten.say(n % 3, Ask(f"another {n}", 100, 5.0))
    report = audit(lambda: enumerate(rewritten.records, 1), kept.genesis, heads=[empty, kept.head])
    assert "the first 20 entries do not have the root that" in report.findings[0]


@pytest.mark.parametrize("name", ["plain", "a #1 50% ?x=1", "ü"])
def test_logs_and_journals_are_read_wherever_they_lie(name: str, tmp_path: Path) -> None:
    place = tmp_path / name
    place.mkdir()
    journal = Journal(place / "j", bytes(32), bytes(32))
    journal.write([Write("leaf", b"0", b"hash")])
    journal.close()
    assert read_journal(place / "j", "leaf") == [b"hash"]
    with sqlite3.connect(place / "mesh.log") as log:
        log.execute("CREATE TABLE log (position INTEGER PRIMARY KEY, record BLOB)")
        log.execute("INSERT INTO log VALUES (1, x'00')")
    assert list(read_log(place / "mesh.log")) == [(1, b"\0")]


def test_harmless_records_are_no_findings(kept: Kept) -> None:
    repeats = [*kept.records[:7], *kept.records[2:5], *kept.records[7:]]
    assert kept.audit(repeats).ok


def test_proofs_travel(kept: Kept) -> None:
    s = kept.script
    for place in range(20):
        proof = prove(s.fold, kept.records, place, s.keys[1])
        assert f"stands at place {place} of 20" in check_proof(proof, kept.genesis)
    rng = random.Random(3)
    for field in ("record", "head", "path"):
        for _ in range(60):
            proof = prove(s.fold, kept.records, 7, s.keys[1])
            value = "".join(proof["path"]) if field == "path" else proof[field]
            at = rng.randrange(len(value))
            changed = value[:at] + format(int(value[at], 16) ^ 1 << rng.randrange(4), "x") + value[at + 1 :]
            proof[field] = [changed[i : i + 64] for i in range(0, len(changed), 64)] if field == "path" else changed
            with pytest.raises(InputError):
                check_proof(proof, kept.genesis)
    proof = prove(s.fold, kept.records, 7, s.keys[1])
    with pytest.raises(InputError, match="the path does not lead"):
        check_proof({**proof, "place": 8}, kept.genesis)
    with pytest.raises(InputError, match="not a proof"):
        check_proof({"place": 7}, kept.genesis)


def test_the_fold_and_the_auditor_agree(kept: Kept) -> None:
    fold = Fold(kept.genesis)
    assert [a.id for r in kept.records if isinstance(a := fold.apply(r), Applied)] == [
        identity(r) for r in kept.records
    ]
