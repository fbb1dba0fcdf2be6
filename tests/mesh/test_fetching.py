"""Artifacts travel between nodes over a bus that loses things, and only what hashes to its digest arrives."""

import random
from collections.abc import Callable
from hashlib import sha256

import pytest

from chorus.mesh.effects import Effect, Fetched, Serve
from chorus.mesh.fetching import MAX_ARTIFACT, Fetches
from chorus.mesh.gossip import PIECE, Piece, Want
from chorus.mesh.limits import RefusedError

ME, BEN, CEM = b"me", b"ben", b"cem"
DATA = random.Random(0).randbytes(5 * PIECE + 17)
DIGEST = sha256(DATA).digest()

Reply = Callable[[Want], Piece | None]


class Net:
    """One node's fetches, and peers that answer as they are told to."""

    def __init__(self, **peers: Reply) -> None:
        self.said: list[Want | Piece] = []
        self.done: list[Effect] = []
        self.peers = {name.encode(): peer for name, peer in peers.items()}
        self.fetches = Fetches(ME, self.said.append, self.done.append)

    def play(self, seconds: int) -> bytes | None:
        """Let time pass in steps of a second; return what was fetched."""
        for now in range(seconds):
            self.fetches.overdue(now)
            while self.said:
                want = self.said.pop(0)
                assert isinstance(want, Want)
                piece = self.peers[want.holder](want)
                if piece is not None:
                    self.fetches.arrived(now, want.holder, piece)
            if self.done:
                effect = self.done[0]
                assert isinstance(effect, Fetched)
                return effect.data
        raise AssertionError("it never ended")


def honest(want: Want) -> Piece:
    return Piece(want.digest, want.offset, len(DATA), DATA[want.offset : want.offset + PIECE])


def silent(want: Want) -> None:
    return None


def without(want: Want) -> Piece:
    return Piece(want.digest, want.offset, 0, b"")


def liar(want: Want) -> Piece:
    return Piece(want.digest, want.offset, len(DATA), bytes(len(honest(want).data)))


def endless(want: Want) -> Piece:
    return Piece(want.digest, want.offset, MAX_ARTIFACT + 1, bytes(PIECE))


def empty(want: Want) -> Piece:
    return Piece(want.digest, want.offset, len(DATA), b"")


@pytest.mark.parametrize("bad", [silent, without, liar, endless, empty])
def test_whoever_has_it_is_found_behind_whoever_has_not(bad: Reply) -> None:
    net = Net(ben=bad, cem=honest)
    net.fetches.begin(0.0, DIGEST, [BEN, CEM])
    assert net.play(60) == DATA


@pytest.mark.parametrize("bad", [silent, without, liar, endless, empty])
def test_it_ends_when_nobody_has_it(bad: Reply) -> None:
    net = Net(ben=bad, cem=silent)
    net.fetches.begin(0.0, DIGEST, [BEN, CEM])
    assert net.play(60) is None
    alone = Net()
    alone.fetches.begin(0.0, DIGEST, [])
    assert alone.play(1) is None


def test_lost_pieces_are_asked_for_again() -> None:
    rng = random.Random(1)
    net = Net(ben=lambda want: honest(want) if rng.random() < 0.5 else None)
    net.fetches.begin(0.0, DIGEST, [BEN])
    assert net.play(1000) == DATA


def test_pieces_nobody_asked_for_change_nothing() -> None:
    net = Net(ben=honest)
    net.fetches.begin(0.0, DIGEST, [BEN])
    first = honest(Want(BEN, DIGEST, 0))
    net.fetches.arrived(0.0, CEM, first)  # from somebody else
    net.fetches.arrived(0.0, BEN, honest(Want(BEN, DIGEST, PIECE)))  # not the next
    net.fetches.arrived(0.0, BEN, Piece(bytes(32), 0, 1, b"x"))  # of something else
    net.fetches.arrived(0.0, BEN, first)
    net.fetches.arrived(0.0, BEN, first)  # twice
    assert net.play(60) == DATA


def test_a_peer_is_served_once_at_a_time_and_only_when_it_is_meant() -> None:
    net = Net()
    for holder in (CEM, ME, ME, ME):
        net.fetches.wanted(BEN, Want(holder, DIGEST, 0))
    assert net.done == [Serve(BEN, DIGEST, 0)]
    net.fetches.served(Serve(BEN, DIGEST, 0), 3, b"abc")
    assert net.said == [Piece(DIGEST, 0, 3, b"abc")]
    net.fetches.wanted(BEN, Want(ME, DIGEST, 3))
    assert len(net.done) == 2


def test_not_everything_is_fetched_at_once() -> None:
    net = Net()
    for n in range(8):
        net.fetches.begin(0.0, bytes([n]) * 32, [BEN])
    net.fetches.begin(0.0, bytes(32), [BEN])  # on its way already
    with pytest.raises(RefusedError, match="8 artifacts are on their way"):
        net.fetches.begin(0.0, bytes([9]) * 32, [BEN])
