"""Changes in memory are undone in reverse order, or settled by the commit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.storage.undo import UndoLog


class UndoLogTests(SynchronousTestCase):
    """The log of a transaction."""

    def setUp(self) -> None:
        """Begin one, with two objects that write to it."""
        self.undo = UndoLog()
        self.numbers: dict[str, int] = {}
        self.done: list[int] = []

    def set(self, name: str, number: int) -> None:
        """Change a number, so that it can be undone."""
        before = self.numbers.get(name)
        self.undo.add((self.reset, name, before))
        self.numbers[name] = number

    def reset(self, name: str, number: int | None) -> None:
        """Undo a change: what came after it must be undone already."""
        if number is None:
            del self.numbers[name]
        else:
            self.numbers[name] = number

    @given(some.lists(some.tuples(some.sampled_from("abc"), some.integers())))
    def test_rollBack(self, changes: list[tuple[str, int]]) -> None:
        """Invariant: each entry meets what it left, whoever wrote the others."""
        self.setUp()
        self.set("a", 0)
        self.undo.commit()
        for name, number in changes:
            self.set(name, number)
            self.undo.afterCommit((self.done.append, number))
        self.undo.rollBack()
        self.assertEqual((self.numbers, self.done), ({"a": 0}, []))
        self.undo.rollBack()
        self.undo.commit()
        self.assertEqual((self.numbers, self.done), ({"a": 0}, []))

    def test_commit(self) -> None:
        """A commit runs the calls that wait for it, in order and once."""
        self.set("a", 1)
        for number in range(3):
            self.undo.afterCommit((self.done.append, number))
        self.assertEqual(self.done, [])
        self.undo.commit()
        self.undo.commit()
        self.undo.rollBack()
        self.assertEqual((self.numbers, self.done), ({"a": 1}, [0, 1, 2]))
