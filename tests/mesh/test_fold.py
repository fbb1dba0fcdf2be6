"""The rules of the fold, one by one, on logs written by hand."""

import gc
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chorus.mesh.entries import Ask, Cancel, Done, Membership, Name, Pass, Proposal, Vote
from chorus.mesh.fold import KEPT, LEAP, MAX_OPEN, Applied, Fold, Void
from chorus.mesh.identity import Key

ASK = Ask("2 + 2?", 100, 5.0)


def test_a_round_from_question_to_answer(script) -> None:
    s = script(3)
    r = s.say(0, ASK)
    bad = s.say(1, Proposal(r, "5", 0.0, 1), r)
    good = s.say(2, Proposal(r, "4", 9.0, 1), r)
    s.say(0, Vote(bad, True, 0.6, 0), bad)
    s.say(0, Vote(good, True, 0.9, 0), good)
    assert s.note(0, Done(r, 0)) == ""
    assert s.fold.rounds[r].outcome == "open"  # one of three is no majority
    s.say(1, Done(r, 0))
    closed = s.fold.rounds[r]
    assert (closed.outcome, closed.chosen().answer) == ("accepted", "4")  # the better judged, not the lower energy
    assert s.note(2, Vote(bad, True, 1.0, 0)).startswith("superseded")
    assert s.fold.rounds[r].chosen().answer == "4"


def test_nothing_is_accepted_without_a_majority(script) -> None:
    s = script(5)
    r = s.say(0, ASK)
    p = s.say(0, Proposal(r, "4", None, 1), r)
    s.say(1, Vote(p, True, 1.0, 0), p)
    s.say(2, Vote(p, False, 0.0, 0), p)
    assert s.fold.candidates[p][1].accepted is None
    s.say(3, Vote(p, True, 1.0, 0), p)
    assert s.fold.candidates[p][1].accepted == 4


def test_half_of_an_even_number_is_no_majority(script) -> None:
    s = script(4)
    r = s.say(0, ASK)
    p = s.say(0, Proposal(r, "4", None, 1), r)
    s.say(1, Vote(p, True, 1.0, 0), p)
    assert s.fold.candidates[p][1].accepted is None


def test_one_member_one_vote(script) -> None:
    s = script(5)
    r = s.say(0, ASK)
    p = s.say(0, Proposal(r, "4", None, 1), r)
    for _ in range(3):
        s.take(1, s.make(1, Vote(p, True, 1.0, 0), p))
    assert s.fold.candidates[p][1].accepted is None
    assert s.note(0, Vote(p, True, 1.0, 0), p) == "superseded: one vote for each member"


def test_one_answer_for_each_member(script) -> None:
    s = script(3)
    r = s.say(0, ASK)
    s.say(1, Pass(r, "cannot"), r)
    assert s.note(1, Proposal(r, "4", None, 1), r) == "superseded: one answer for each member"


def test_only_the_asker_cancels(script) -> None:
    s = script(3)
    r = s.say(0, ASK)
    assert s.note(1, Cancel(r)) == "only the asker can cancel"
    assert s.note(0, Cancel(r)) == ""
    assert s.fold.rounds[r].outcome == "cancelled"


def test_an_epoch_is_adopted_by_a_majority_and_counts_anew(script) -> None:
    s = script(3)
    joiner = Key.from_seed(b"j" * 32)
    r = s.say(0, ASK)
    p = s.say(0, Proposal(r, "4", None, 1), r)
    members = [key.public for key in s.keys]
    m = s.say(1, Membership((*members, joiner.public), 0))
    assert s.fold.epoch == 0
    s.say(2, Vote(m, True, None, 0), m)
    assert s.fold.epoch == 1
    assert s.fold.quorum == 3
    assert s.note(1, Vote(p, True, 1.0, 0), p) == "superseded: cast for another epoch"
    s.say(1, Vote(p, True, 1.0, 1), p)
    assert s.fold.candidates[p][1].accepted is None  # two of four
    assert s.note(2, Membership((members[0],), 0)) == "superseded: proposed in another epoch"


def test_who_has_left_is_not_heard(script) -> None:
    s = script(3)
    m = s.say(0, Membership(tuple(key.public for key in s.keys[:2]), 0))
    s.say(1, Vote(m, True, None, 0), m)
    assert s.take(2, s.make(2, ASK)) == Void("not a member")
    everyone = tuple(key.public for key in s.keys)
    assert s.note(0, Membership(everyone, 1)) == "a key that has left does not come back"
    assert not s.fold.motions


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mesh": bytes(32)}, "genesis"),
        ({"author": bytes(32)}, "not a member"),
        ({"seq": 5}, "chain"),
        ({"seq": 0, "parents": ()}, "chain"),
        ({"parents": ()}, "chain"),
        ({"clock": 1}, "parents"),
        ({"clock": LEAP + 10}, "clock"),
    ],
)
def test_what_does_not_fit_is_void_and_changes_nothing(script, changes: dict, reason: str) -> None:
    s = script(3)
    s.say(0, ASK)
    before = s.fold.fingerprint()
    assert s.take(0, s.make(0, ASK, **changes)) == Void(reason)
    assert s.fold.fingerprint() == before
    assert s.fold.voids[reason] == 1
    s.say(0, ASK)  # and the author is not held up by it


def test_an_unknown_cause_is_waited_for(script) -> None:
    s = script(2)
    first = s.make(0, ASK)
    other = script(2)
    cause = other.say(0, ASK)
    late = s.make(1, ASK, cause, clock=2)
    assert s.take(1, late) == Void("parents")
    assert isinstance(s.take(0, first), Applied)
    assert isinstance(s.take(1, late), Applied)


def test_a_repeat_is_void(script) -> None:
    s = script(2)
    s.say(0, ASK)
    assert s.take(0, s.records[0]) == Void("repeat")


def test_somebody_elses_signature_is_void(script) -> None:
    s = script(2)
    mine, theirs = s.make(0, ASK), s.make(1, ASK)
    assert s.take(0, theirs[:64] + mine[64:]) == Void("signature")


def test_open_rounds_are_bounded(script) -> None:
    s = script(1)
    for _ in range(MAX_OPEN):
        s.say(0, ASK)
    assert s.note(0, ASK) == "too many open rounds"


def test_the_last_binding_of_a_name_holds(script) -> None:
    s = script(1)
    s.say(0, Name("a.txt", b"1" * 32, 5))
    s.say(0, Name("a.txt", b"2" * 32, 6))
    assert s.fold.names == {"a.txt": (b"2" * 32, 6)}


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junks=st.lists(st.one_of(st.binary(max_size=200), st.integers(0, 10**6)), max_size=8))
def test_no_bytes_stop_the_fold(script, junks: list[bytes | int]) -> None:
    s = script(2)
    s.say(0, ASK)
    record = s.make(1, ASK)
    for junk in junks:
        if isinstance(junk, int):  # a bit of a true record, flipped
            at = junk % (8 * len(record))
            changed = bytearray(record)
            changed[at // 8] ^= 1 << at % 8
            junk = bytes(changed)
        assert isinstance(s.fold.apply(junk), Void)
    assert isinstance(s.fold.apply(record), Applied)


def test_the_same_log_makes_the_same_state(script) -> None:
    s = script(3)
    r = s.say(0, ASK)
    s.say(1, Proposal(r, "4", 0.5, 1), r)
    s.take(2, b"rubbish")
    again = Fold(s.genesis)
    for record in s.records:
        again.apply(record)
    assert again.fingerprint() == s.fold.fingerprint()
    again.apply(s.make(2, ASK))
    assert again.fingerprint() != s.fold.fingerprint()


def _play(s, rounds: int) -> None:
    """Play rounds of two members; in each, a vote comes after the close."""
    for number in range(rounds):
        r = s.say(0, ASK)
        p = s.say(0, Proposal(r, f"{number} {'x' * 4000}", None, 1), r)
        s.say(1, Vote(p, True, 1.0, 0), p)
        s.say(0, Done(r, 0))
        s.say(1, Done(r, 0))
        assert s.note(1, Vote(p, True, 1.0, 0)).startswith("superseded")
        s.records.clear()


def test_what_is_over_leaves_no_bodies_in_memory(script) -> None:
    s = script(2)
    s.fold = Fold(
        s.genesis, lambda *signed: True
    )  # checked signatures are kept for a while, which is not looked at here
    held = []
    tracemalloc.start()
    for _ in range(2):
        _play(s, KEPT)
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert len(s.fold.rounds) == KEPT
    assert not s.fold.candidates
    assert s.fold.outcomes == {"accepted": 2 * KEPT}
    assert held[1] - held[0] < KEPT * 6 * 600  # bytes for each of a round's six entries, this script's own among them


@pytest.mark.parametrize("keep", [0, 1, None])
def test_how_many_rounds_are_kept_changes_nothing(script, keep) -> None:
    s = script(2)
    others = Fold(s.genesis, keep=keep)
    for end in ("close", "cancel", "close"):
        r = s.say(0, ASK)
        p = s.say(0, Proposal(r, "4", None, 1), r)
        if end == "cancel":
            s.say(0, Cancel(r))
        for _ in range(2):
            for who in (0, 1):
                for payload in (Vote(p, True, 1.0, 0), Done(r, 0), Pass(r, "why"), Proposal(r, "5", None, 1)):
                    s.say(who, payload, r)
        s.say(0, Cancel(r))
    for record in s.records:
        others.apply(record)
    assert others.fingerprint() == s.fold.fingerprint()
    assert others.outcomes == s.fold.outcomes == {"accepted": 2, "cancelled": 1}
    assert len(others.rounds) == (3 if keep is None else keep)
