"""Slow commands: which are told of, with where their time went, and which are not."""

from __future__ import annotations

import gc
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from memq.operations.pushes import Push
from memq.test.support.harness import Harness

if TYPE_CHECKING:
    from twisted.logger import LogEvent

PEER = "192.168.1.1:54321"
SET = b"set q 0 0 1\r\na\r\n"


class SlowTestCase(SynchronousTestCase):
    """A server whose slow commands are looked for."""

    slow = 0.5

    def setUp(self) -> None:
        """Start it; a flush takes as long as a test says."""
        self.events: list[LogEvent] = []
        note: Any = self._note
        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        self.harness = Harness(slow=self.slow)
        self.harness.slow.start()
        self.client = self.harness.connect()
        self.syncs: list[Deferred[None]] = []
        self.harness.persist = self._persist

    def _note(self, event: LogEvent) -> None:
        if event.get("log_namespace") == "slow":
            self.events.append(event)

    def _persist(self) -> Deferred[None]:
        self.syncs.append(Deferred())
        return self.syncs[-1]

    def pass_(self, seconds: float) -> None:
        """Let time pass, a hundredth of a second at a time."""
        for _ in range(round(seconds * 100)):
            self.harness.reactor.advance(0.01)

    def sync(self) -> None:
        """Let the flush end that is under way."""
        self.syncs.pop(0).callback(None)

    def send(self, data: bytes, client: Any = None) -> None:
        """Send, and let there be turns."""
        (client or self.client).send(data)
        self.harness.reactor.advance(0)

    def block(self, verb: str, seconds: float) -> None:
        """Let calls of the store take long."""
        real = getattr(self.harness.store, verb)

        def slowly(*arguments: Any) -> Any:
            self.harness.reactor.rightNow += seconds
            return real(*arguments)

        self.patch(self.harness.store, verb, slowly)

    def told(self) -> list[str]:
        """Return what was logged since the last time."""
        lines = [formatEvent(event) for event in self.events]
        self.events.clear()
        return lines


class SyncTests(SlowTestCase):
    """Commands that wait for a flush."""

    def test_told(self) -> None:
        """A command that took long is told of when it is done, once."""
        self.send(SET)
        self.pass_(0.81)
        self.assertEqual(self.told(), [])
        self.sync()
        self.pass_(2)
        (event,) = self.events
        self.assertEqual((event["queue"], event["peer"]), (b"q", PEER))
        self.assertLess(abs(event["ms"] - 800), 150)
        self.assertEqual(
            self.told(),
            [
                f"set of q by {PEER} took 0.8 s: 0.0 in line, 0.0 in its turn, 0.8 "
                "until it was synced"
            ],
        )

    def test_stalls(self) -> None:
        """So is one whose flush held up everybody, and not one of a short one."""

        def persist() -> None:
            self.harness.reactor.rightNow += 0.7
            self.harness.slow.noteFlush(0.4)
            self.harness.slow.noteFlush(0.7)

        self.patch(self.harness, "persist", persist)
        self.send(SET)
        self.send(SET, self.harness.connect())
        self.pass_(0.3)
        line, *_ = self.told()
        self.assertIn("took 0.7 s: 0.0 in line, 0.0 in its turn, 0.7 until", line)

    def test_quick(self) -> None:
        """One that did not is not; however many there are, and for how long."""
        for _ in range(10):
            self.send(SET)
            self.pass_(0.3)
            self.sync()
        self.pass_(2)
        self.assertEqual(self.told(), [])

    def test_many(self) -> None:
        """Those that were as slow as it are counted."""
        for _ in range(3):
            self.send(SET * 4, self.harness.connect())
        self.pass_(0.6)
        self.sync()
        self.pass_(0.6)
        self.sync()
        self.pass_(0.2)
        lines = self.told()
        self.assertIn("3 more were slow", lines[0])
        self.assertEqual(len(lines), 1)
        self.pass_(1)
        self.send(SET)
        self.pass_(0.6)
        self.sync()
        self.pass_(0.1)
        (line,) = self.told()
        self.assertIn("8 more were slow", line)

    def test_hangs(self) -> None:
        """One that does not end is told of, too."""
        self.send(SET)
        self.pass_(10.3)
        (line,) = self.told()
        self.assertIn("took 10.0 s so far", line)
        self.sync()
        self.pass_(0.3)
        self.assertEqual(self.told(), [])

    def test_gone(self) -> None:
        """Its client may be gone."""
        self.send(SET)
        self.client.leave()
        self.pass_(0.6)
        self.sync()
        self.pass_(0.2)
        (line,) = self.told()
        self.assertIn("set of q by a client that has gone", line)

    def test_forgotten(self) -> None:
        """No operation is kept for longer than it takes, and a look."""
        self.send(SET)
        self.pass_(0.2)
        self.sync()
        self.pass_(0.2)
        pushes = [each for each in gc.get_objects() if isinstance(each, Push)]
        session = self.client.protocol.session
        self.assertEqual([each for each in pushes if each.client is session], [])


class LineTests(SlowTestCase):
    """Commands that wait for their turn."""

    def test_told(self) -> None:
        """A command that stood in line for long is told of."""
        self.harness.broker.room.isHeld = True
        self.send(SET)
        self.pass_(0.7)
        self.harness.broker.room.isHeld = False
        self.harness.broker._rotation.schedule()
        self.pass_(0.1)
        self.sync()
        self.pass_(0.2)
        (event,) = self.events
        self.assertGreater(event["line"], 0.5)
        self.assertLess(event["sync"], 0.2)
        self.assertEqual(event["turn"], 0.0)

    def test_turn(self) -> None:
        """Its turn may have been long, too."""
        self.harness.broker.room.isHeld = True
        self.send(b"delete q\r\n")
        self.pass_(0.5)
        self.harness.broker.room.isHeld = False
        self.block("delete", 0.3)
        self.harness.broker._rotation.schedule()
        self.pass_(0.2)
        (event,) = self.events
        self.assertGreater(event["line"], 0.4)
        self.assertAlmostEqual(event["turn"], 0.3)

    def test_doesNotRead(self) -> None:
        """A client that does not read what it is sent waits for itself."""
        self.harness.broker.room.isHeld = True
        self.send(SET)
        self.pass_(0.2)
        self.client.stopReading()
        self.pass_(20)
        self.assertEqual(self.told(), [])

    def test_waits(self) -> None:
        """A read that waits for a message has asked for it."""
        self.send(b"get q/t=60000\r\n")
        self.pass_(20)
        self.send(SET, self.harness.connect())
        self.pass_(0.6)
        self.sync()
        self.pass_(1)
        self.assertEqual([each for each in self.told() if each[:3] == "get"], [])


class TurnTests(SlowTestCase):
    """Turns that take long."""

    def test_told(self) -> None:
        """The command is told of that it was most likely slow of."""
        self.client.talk(b"set full 0 0 1\r\na\r\n")
        self.pass_(0.1)
        self.sync()
        self.block("empty", 0.7)
        for data in (SET, b"flush full\r\n"):
            self.harness.connect().send(data)
        self.harness.reactor.advance(0)
        self.pass_(0.1)
        self.sync()
        self.pass_(0.2)
        (line,) = self.told()
        self.assertIn(
            "flush of full by 192.168.1.1:54321 took 0.9 s: 0.0 in line, ", line
        )
        self.assertIn(", 0.7 in its turn, 0.2 until it was synced; 1 more", line)

    def test_other(self) -> None:
        """So is any other, by what it is called here."""
        for data, word in (
            (b"get q\r\n", "get"),
            (b"get q/open\r\n", "get"),
            (b"stats queue\r\n", "stats"),
            (b"stats detail\r\n", "stats"),
        ):
            self.setUp()
            self.block("begin", 0.7)
            self.send(data)
            self.pass_(0.2)
            (event,) = self.events
            self.assertEqual(event["command"], word)
            self.assertIn(formatEvent(event).split()[2], ("q", "no"))

    def test_middling(self) -> None:
        """A turn that is long, and not so long, is none to tell of."""
        self.block("begin", 0.2)
        self.send(SET)
        self.pass_(0.1)
        self.sync()
        self.pass_(1)
        self.assertEqual(self.told(), [])


class OffTests(SlowTestCase):
    """Without a time nothing is slow."""

    slow = 0.0

    def test_off(self) -> None:
        """Nobody looks."""
        self.assertEqual(self.harness.broker.longTurn, inf)
        self.assertEqual(self.harness.reactor.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """Nobody looks any more after the end."""
        self.slow = 0.5
        self.setUp()
        self.harness.slow.stop()
        self.assertEqual(self.harness.broker.longTurn, inf)
        self.pass_(1)
        self.assertEqual(self.harness.reactor.getDelayedCalls(), [])
