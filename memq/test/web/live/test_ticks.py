"""The server and queues, once a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.web.server import NOT_DONE_YET

from memq.errors import StoreError
from memq.test.web.live.base import LiveTestCase
from memq.web.live.ticks import LEAST, QUEUES, STEP, Figures, Ticks
from memq.web.live.viewers import KEEP, MOST

if TYPE_CHECKING:
    from memq.figures import QueueDetail
    from memq.test.web.live.base import Watcher
    from memq.web.history.tallies import Tally


class _Figures:
    """Tells little.

    :ivar told: the queues of which a row was made.
    :ivar error: what is wrong with the server.
    """

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self.error: Exception | None = None

    def server(self, tally: Tally) -> dict[str, Any]:
        """Return how many messages there are."""
        if self.error is not None:
            raise self.error
        return {"messages": tally.messages}

    def row(
        self, detail: QueueDetail, incoming: float | None, outgoing: float | None
    ) -> dict[str, Any]:
        """Return a few things."""
        self.told.append(detail.name)
        name = detail.name.decode()
        return {"name": name, "messages": detail.items, "in": incoming, "out": outgoing}


class TicksTests(LiveTestCase):
    """Ticks."""

    def setUp(self) -> None:
        """Have nobody to tell."""
        super().setUp()
        web = self.web
        self.figures = _Figures()
        self.ticks = Ticks(
            *(self.harness.reactor, self.viewers),
            (web.tallies, web.looker, web.recorder),
            Figures(self.figures.server, self.figures.row),
            lambda: self.harness.timeOfDay,
        )
        self.client = self.harness.connect()

    def join(self, request: Any) -> Any:
        """Tell whoever asks of queues that are named in a query without a key."""
        names = request.uri.partition(b"?")[2]
        self.ticks.join(request, names.split(b",") if names else [])
        return NOT_DONE_YET

    def set(self, queue: bytes, count: int = 1) -> None:
        """Set some messages."""
        for _ in range(count):
            self.client.talk(b"set %b 0 0 1\r\nx\r\n" % queue)

    def ticksOf(self, watcher: Watcher) -> list[dict[str, Any]]:
        """Return the ticks that came since the last time."""
        return [each.data for each in watcher.read() if each.name == "tick"]

    def depths(self, watcher: Watcher) -> list[dict[str, int]]:
        """Return the depths of queues in each tick that came."""
        return [
            {row["name"]: row["messages"] for row in tick["queues"]}
            for tick in self.ticksOf(watcher)
        ]

    def test_first(self) -> None:
        """The first one comes at once, and has what was asked for and is there."""
        self.set(b"a", 2)
        self.set(b"b")
        watcher = self.watcher("?b,none,a")
        (tick,) = self.ticksOf(watcher)
        self.assertEqual(tick["at"], 1.6e9)
        self.assertEqual(tick["server"], {"messages": 3})
        unknown = {"in": None, "out": None}
        expected = [
            {"name": "b", "messages": 1, **unknown},
            {"name": "a", "messages": 2, **unknown},
        ]
        self.assertEqual(tick["queues"], expected)

    def test_each(self) -> None:
        """One comes each second, with what came and left in a second."""
        self.set(b"a")
        watcher = self.watcher("?a")
        self.set(b"a", 3)
        self.client.talk(b"get a\r\n")
        self.pass_(STEP)
        self.pass_(STEP)
        rows = [tick["queues"][0] for tick in self.ticksOf(watcher)]
        self.assertEqual([row["messages"] for row in rows], [1, 3, 3])
        self.assertEqual([row["in"] for row in rows], [None, 3, 0])
        self.assertEqual([row["out"] for row in rows], [None, 1, 0])

    def test_newQueue(self) -> None:
        """A queue that is made while it is watched is in the next tick, and one that is
        deleted in none.
        """
        watcher = self.watcher("?a")
        self.set(b"a", 5)
        self.pass_(STEP)
        self.client.talk(b"delete a\r\n")
        self.pass_(STEP)
        self.set(b"a")
        self.pass_(STEP)
        self.assertEqual(self.depths(watcher), [{}, {"a": 5}, {}, {"a": 1}])

    def test_shared(self) -> None:
        """A queue is looked at, and told, once for all viewers."""
        self.set(b"a")
        self.set(b"b")
        watchers = [self.watcher("?a,b"), self.watcher("?b"), self.watcher()]
        for watcher in watchers:
            watcher.read()
        self.figures.told.clear()
        with patch.object(
            self.web.looker, "look", side_effect=self.web.looker.look
        ) as look:
            self.pass_(STEP)
        look.assert_called_once_with([b"a", b"b"])
        self.assertEqual(self.figures.told, [b"a", b"b"])
        depths = [self.depths(watcher) for watcher in watchers]
        self.assertEqual(depths, [[{"a": 1, "b": 1}], [{"b": 1}], [{}]])

    def test_joinsWithin(self) -> None:
        """Who comes while others are told is told next, with rates that are known."""
        self.set(b"a")
        first = self.watcher("?a")
        self.set(b"a", 2)
        self.pass_(STEP)
        visitors = [self.visitor(), self.visitor()]
        for visitor in visitors:
            visitor.send(b"GET /stream?a HTTP/1.0\r\n\r\n")
        self.pass_(LEAST / 2)
        for visitor in visitors:
            self.assertIn(b'"messages":3,"in":2.0,"out":0.0', visitor.read())
        self.assertEqual(len(self.ticksOf(first)), 2)
        self.pass_(STEP)
        self.assertEqual(len(self.ticksOf(first)), 1)

    def test_stopsReading(self) -> None:
        """Who does not read misses ticks, and gets the next when it reads again."""
        self.set(b"a")
        reads, stuck = self.watcher("?a"), self.watcher("?a")
        stuck.stopReading()
        reads.read(), stuck.read()
        self.pass_(5 * STEP)
        self.assertEqual(len(self.ticksOf(reads)), 5)
        self.assertEqual(self.ticksOf(stuck), [])
        reads.stopReading()
        with patch.object(self.web.looker, "look", side_effect=AssertionError):
            self.pass_(STEP)
        stuck.startReading()
        self.pass_(STEP)
        self.assertEqual(len(self.ticksOf(stuck)), 1)

    def test_gone(self) -> None:
        """Nothing is looked at, and no call is left, once all are gone."""
        self.set(b"a")
        for _ in range(3):
            self.watcher("?a").visitor.leave()
            watcher = self.watcher("?a")
            self.pass_(STEP)
            watcher.visitor.leave()
            self.pass_(KEEP)
            self.assertEqual(self.harness.reactor.getDelayedCalls(), [])
        self.assertEqual(self.ticks._seen, {})

    def test_slow(self) -> None:
        """A second that comes before all are told is left out."""
        watcher = self.watcher()
        watcher.read()
        slow: Deferred[Any] = Deferred()
        with patch.object(self.web.looker, "look", return_value=slow):
            self.pass_(3 * STEP)
        self.assertEqual(self.ticksOf(watcher), [])
        slow.callback({})
        self.harness.settle()
        self.pass_(STEP)
        self.assertEqual(len(self.ticksOf(watcher)), 2)

    def test_history(self) -> None:
        """The queues that are viewed have a history."""
        self.set(b"a")
        self.watcher("?a,none")
        self.assertEqual(list(self.web.recorder.queues), [b"a"])

    def test_many(self) -> None:
        """All viewers with all queues that they may ask for are told each second."""
        names = [b"q%03d" % number for number in range(QUEUES)]
        for name in names:
            self.set(name)
        query = f"?{b','.join(names).decode()}"
        watchers = [self.watcher(query) for _ in range(MOST)]
        for watcher in watchers:
            watcher.read()
        self.pass_(STEP)
        for watcher in watchers:
            (tick,) = self.ticksOf(watcher)
            self.assertEqual(len(tick["queues"]), QUEUES)

    def test_refused(self) -> None:
        """A store that cannot be looked at is logged now and then, and tried again."""
        self.set(b"a")
        watcher = self.watcher("?a")
        self.store.refuse("begin", StoreError("broken"), times=4)
        with capturedLogs() as events:
            self.pass_(2 * STEP)
        lines = [line for line in map(formatEvent, events) if "tick" in line]
        self.assertEqual(lines, ["1 ticks are missing: broken"])
        self.pass_(STEP)
        self.assertEqual(len(self.ticksOf(watcher)), 2)

    def test_mistake(self) -> None:
        """A mistake is logged, and the next tick comes."""
        watcher = self.watcher("?a")
        self.figures.error = ValueError("oh")
        self.pass_(STEP)
        (failure,) = self.flushLoggedErrors(ValueError)
        self.assertEqual(str(failure.value), "oh")
        self.figures.error = None
        self.pass_(STEP)
        self.assertEqual(len(self.ticksOf(watcher)), 2)

    def test_stop(self) -> None:
        """Nobody is told anything after the stop, whatever is under way."""
        self.set(b"a")
        self.watcher("?a")
        self.visitor().send(b"GET /stream?a HTTP/1.0\r\n\r\n")
        self.harness.broker.stop()
        self.ticks.stop()
        self.viewers.stop()
        self.harness.settle()
        self.assertEqual(self.harness.reactor.getDelayedCalls(), [])
        self.ticks.stop()
