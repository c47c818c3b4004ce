"""The start of a server on a full disk, beside a program that takes all room."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.test.support.disks.smalldisks import NO_ROOM, startOnFull


class StartTests(SynchronousTestCase):
    """:func:`startOnFull`."""

    def _start(self, *said: str) -> list[str]:
        """Start what says these when it ends, try by try; return what was done."""
        done: list[str] = []
        tries = iter(said)

        def start() -> None:
            done.append("start")
            for words in tries:
                raise AssertionError(words)

        self.done = done
        startOnFull(start, lambda: done.append("makeRoom"))
        return done

    def test_starts(self) -> None:
        """A start that has its room is not made again."""
        self.assertEqual(self._start(), ["start"])

    def test_asks(self) -> None:
        """A start that asks for room is given it."""
        done = self._start(f"it needs 4 {NO_ROOM}")
        self.assertEqual(done, ["start", "makeRoom", "start"])

    def test_other(self) -> None:
        """What else a start says is a failure."""
        self.assertRaises(AssertionError, self._start, "another reason")
        self.assertEqual(self.done, ["start"])

    def test_nobody(self) -> None:
        """Without the other program a start may not ask for room."""

        def start() -> None:
            raise AssertionError(NO_ROOM)

        self.assertRaises(AssertionError, startOnFull, start, None)
