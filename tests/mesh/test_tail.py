"""The pace of appending: a pause is for what was not read back, and for nothing else."""

from chorus.mesh.core import Node
from chorus.mesh.effects import Append, Effect, Persist, Read
from chorus.mesh.fold import Fold
from chorus.mesh.identity import Genesis, Key


class Alone:
    """A node of one, whose disk answers at once and whose log answers when it is told to."""

    def __init__(self) -> None:
        key = Key.generate()
        self.node = Node(key, Fold(Genesis.of([key.public])))
        self.log: list[bytes] = []
        self.node.tick(0.0)
        self.take()
        self.node.read(0.0, 0, [])
        self.take()

    def take(self) -> list[Effect]:
        """Carry out what goes to the disk; return the rest."""
        effects: list[Effect] = []
        while taken := self.node.take_effects():
            effects += taken
            for effect in taken:
                if isinstance(effect, Persist):
                    self.node.persisted(0.0)
        return effects

    def say(self) -> list[Append]:
        """Have something said; return the appends that follow at once."""
        self.node.name(0.0, "name", bytes(32), 1)
        return [effect for effect in self.take() if isinstance(effect, Append)]

    def read_back(self, records: tuple[bytes, ...]) -> None:
        """Have the log hold records and be read."""
        after = len(self.log)
        self.log += records
        self.node.grown(0.0)
        assert Read(after) in self.take()
        self.node.read(0.0, after, list(enumerate(records, after + 1)))


def test_what_was_read_before_the_log_answered_is_not_paused_for() -> None:
    alone = Alone()
    for _ in range(3):
        (append,) = alone.say()
        alone.read_back(append.records)
        alone.node.appended(0.0)
        assert not [effect for effect in alone.take() if isinstance(effect, Read)]


def test_what_waited_meanwhile_is_appended_with_the_answer() -> None:
    alone = Alone()
    (append,) = alone.say()
    assert not alone.say()
    alone.read_back(append.records)
    assert not [effect for effect in alone.take() if isinstance(effect, Append)]
    alone.node.appended(0.0)
    (second,) = [effect for effect in alone.take() if isinstance(effect, Append)]
    assert second.records == tuple(alone.node.outbox.values())


def test_a_time_out_of_what_was_read_is_no_trouble() -> None:
    alone = Alone()
    (append,) = alone.say()
    alone.read_back(append.records)
    alone.node.appended(0.0, "no answer in time")
    assert not alone.node.tail.trouble
    assert alone.say()


def test_what_was_not_read_back_is_paused_for() -> None:
    alone = Alone()
    assert alone.say()
    alone.node.appended(0.0)
    assert [effect for effect in alone.take() if isinstance(effect, Read)]
    assert not alone.say()
    alone.node.tick(alone.node.limits.retry)
    assert [effect for effect in alone.take() if isinstance(effect, Append)]
