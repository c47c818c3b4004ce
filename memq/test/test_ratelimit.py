"""Events that happen often are logged rarely, and calls wait for their turn."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from memq.ratelimit import LOG_INTERVAL, EachTurn, Progress, Rarely

if TYPE_CHECKING:
    from collections.abc import Callable


class RarelyTests(SynchronousTestCase):
    """Things that are counted."""

    def test_count(self) -> None:
        """Each kind is logged at first, and after a minute with what came meanwhile."""
        now = 0.0
        rarely = Rarely(lambda: now)
        self.assertEqual([rarely.count("a") for _ in range(3)], [1, 0, 0])
        self.assertEqual(rarely.count("b"), 1)
        now += LOG_INTERVAL - 1
        self.assertEqual(rarely.count("a"), 0)
        now += 1
        self.assertEqual([rarely.count("a"), rarely.count("b")], [4, 1])
        self.assertEqual(rarely.count("a"), 0)


class ProgressTests(SynchronousTestCase):
    """Lines that tell how far something is."""

    def test_seconds(self) -> None:
        """However often something is reached, a line comes once a second."""
        now = 100.0
        lines: list[str] = []
        progress = Progress(lines.append, lambda: now)
        progress.tell("begun")
        for tenth in range(25):
            now = 100 + tenth / 10
            progress.reach(lambda tenth=tenth: f"{tenth}")  # type: ignore[misc]
        self.assertEqual(lines, ["begun", "10", "20"])

    def test_part(self) -> None:
        """Where the part is known that is done, so is the time left; and the rate."""
        now = 100.0
        lines: list[str] = []
        progress = Progress(lines.append, lambda: now)
        now = 102.0
        progress.reach(lambda: f"{progress.rate(50):.0f}/s", 0.25)
        now = 104.0
        progress.reach(lambda: "more than all", 1.5)
        now = 106.0
        progress.reach(lambda: "nothing yet", 0.0)
        progress.begin()
        now = 108.0
        progress.reach(lambda: f"{progress.rate(4):.0f}/s")
        self.assertEqual(
            lines, ["25/s, 6 s left", "more than all, 0 s left", "nothing yet", "2/s"]
        )

    def test_draw(self) -> None:
        """Where something draws, it is drawn, ten times as often, and not told."""
        now = 100.0
        lines: list[str] = []
        drawn: list[tuple[str, float | None]] = []
        progress = Progress(
            lines.append,
            lambda: now,
            draw=lambda words, part: drawn.append((words, part)),
        )
        for tenth in range(4):
            now = 100 + tenth / 9
            progress.reach(lambda: "some", None)
        self.assertEqual(drawn, [("some", None)] * 3)
        self.assertEqual(lines, [])


class Turns:
    """A reactor that makes a turn when it is told to.

    :ivar calls: what is to be called in the next one.
    """

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callLater(self, delay: float, call: Callable[[], object], /) -> None:
        """Call something in the next turn."""
        self.calls.append(call)

    def turn(self) -> None:
        """Make one."""
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class EachTurnTests(SynchronousTestCase):
    """Calls of which there are many at once."""

    def test_turns(self) -> None:
        """So many are made in a turn; the others in their order, in later ones."""
        reactor = Turns()
        turns = EachTurn(reactor, 2)
        made: list[int] = []
        told = [turns.call(partial(made.append, number)) for number in range(5)]
        self.assertEqual((told, made), ([True, True, False, False, False], [0, 1]))
        reactor.turn()
        self.assertEqual(made, [0, 1, 2, 3])
        self.assertFalse(turns.call(partial(made.append, 5)))
        reactor.turn()
        self.assertEqual(made, [0, 1, 2, 3, 4, 5])
        # The last turn counts as one in which calls were made.
        self.assertFalse(turns.call(partial(made.append, 6)))
        for _ in range(3):
            reactor.turn()
        self.assertEqual(reactor.calls, [])
        self.assertTrue(turns.call(partial(made.append, 7)))
        self.assertEqual(made, [0, 1, 2, 3, 4, 5, 6, 7])

    def test_leave(self) -> None:
        """A call that waits is made once, and not at all once it has left."""
        reactor = Turns()
        turns = EachTurn(reactor, 1)
        made: list[int] = []
        calls = [partial(made.append, number) for number in range(4)]
        for call in (*calls, calls[1]):
            turns.call(call)
        for number in (0, 2):
            turns.leave(calls[number])
        for _ in range(4):
            reactor.turn()
        self.assertEqual((made, reactor.calls), ([0, 1, 3], []))

    def test_leaveMeanwhile(self) -> None:
        """Nor is it made if it leaves in its turn, by what another one does."""
        reactor = Turns()
        turns = EachTurn(reactor, 2)
        made: list[int] = []
        last = partial(made.append, 3)
        for call in (*[partial(made.append, 0)] * 2, partial(turns.leave, last), last):
            turns.call(call)
        reactor.turn()
        reactor.turn()
        self.assertEqual((made, reactor.calls), ([0, 0], []))
