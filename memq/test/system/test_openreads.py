"""Open reads and waiting reads on real servers: clients and servers that die."""

from __future__ import annotations

from random import Random
from signal import SIGKILL
from typing import TYPE_CHECKING

from twisted.trial.unittest import TestCase

from memq.test.support.servers import started
from testkit.mix import newSeed
from testkit.wire import Wire

if TYPE_CHECKING:
    from testkit.servers import Server

#: Acts of a consumer that has a message open.
ENDS = ("close", "next", "leave", "reset", "unread")


class Consumer(Wire):
    """A client that opens messages of q and closes them.

    :ivar opened: what it has open, None when that is nothing.
    :ivar hasLeft: whether it has disconnected.
    """

    def __init__(self, server: Server) -> None:
        super().__init__(server.connect())
        self.opened: bytes | None = None
        self.hasLeft = False

    def next(self) -> bytes | None:
        """Return the body of the next block that is answered; None for END."""
        value = self.block()
        return value.body if value else None

    def open(self, options: bytes = b"open") -> bytes | None:
        """Open a message, when what is open is dealt with."""
        self.opened = self.take(b"q/" + options)
        return self.opened

    def end(self, how: str) -> list[bytes]:
        """Be done with what is open; return it if it was closed."""
        body = self.opened
        assert body is not None
        if how in ("close", "next"):
            self.open(b"close" if how == "close" else b"close/open/t=1")
            return [body]
        if how == "unread":
            self.send(b"get q/abort\r\nget q/open\r\n")
        self.leave(how == "reset")
        return []

    def leave(self, suddenly: bool = False) -> None:
        """Disconnect."""
        self.cut() if suddenly else self.close()
        self.hasLeft = True


class OpenReadTests(TestCase):
    """Open reads, and the end of each."""

    def setUp(self) -> None:
        """Start a server with an empty home."""
        self.server = started(self)

    def consumers(self, count: int) -> list[Consumer]:
        """Return connected clients."""
        return [Consumer(self.server) for _ in range(count)]

    def fill(self, count: int) -> list[bytes]:
        """Set so many messages, some of them in parts; return their bodies."""
        bodies = [
            b"%d " % number * (20_000 if number % 10 == 5 else 1)
            for number in range(count)
        ]
        self.server.put(b"q", *bodies)
        return bodies

    def rest(self) -> list[bytes]:
        """Take all that is left."""
        return self.server.take(b"q/t=0")

    def test_clientsDie(self) -> None:
        """However clients end, each message is closed once, and none is lost."""
        random = Random(newSeed())
        bodies = self.fill(300)
        consumers = self.consumers(10)
        closed: list[bytes] = []
        while len(closed) < len(bodies):
            place = random.randrange(10)
            consumer = consumers[place]
            if consumer.opened is None:
                consumer.open(b"open/t=1")
            else:
                closed += consumer.end(random.choice(ENDS))
            if consumer.hasLeft:
                consumers[place] = Consumer(self.server)
        for consumer in consumers:
            consumer.leave()
        self.assertEqual(sorted(closed), sorted(bodies))
        self.assertEqual(self.rest(), [])
        self.assertEqual(self.server.counts(), {b"q": (300, 300)})

    def test_serverDies(self) -> None:
        """After a kill what was closed is gone, and what was open is in its place."""
        bodies = self.fill(20)
        consumers = self.consumers(10)
        self.assertEqual([consumer.open() for consumer in consumers], bodies[:10])
        for consumer in consumers[::2]:
            consumer.end("close")
        self.assertIsNone(consumers[1].take(b"q/abort"))
        self.server.stop(SIGKILL)
        for consumer in consumers:
            consumer.leave()
        self.server.start()
        self.assertEqual(self.rest(), bodies[1:10:2] + bodies[10:])

    def test_serverStops(self) -> None:
        """So after a stop, and whoever waits is answered at once."""
        bodies = self.fill(3)
        opening, waiting = self.consumers(2)
        opening.open()
        waiting.send(b"get none/t=3600000\r\nget none/t=3600000/open\r\n")
        # It waits when this is answered.
        self.assertIsNone(opening.take(b"none/peek"))
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual([waiting.next(), waiting.next()], [None, None])
        for consumer in (opening, waiting):
            consumer.leave()
        self.server.start()
        self.assertEqual(self.rest(), bodies)

    def test_batches(self) -> None:
        """A monitor of many messages closes those it confirms, and gives back the rest.

        Others are not kept waiting for it, and see in the figures what is going on.
        """
        bodies = self.fill(300)
        batches, asking = self.consumers(2)
        batches.send(b"monitor q 3600 310\r\n")
        self.assertEqual([batches.next() for _ in bodies], bodies)
        batches.send(b"confirm q 299\r\n")
        asking.send(b"dump_stats\r\n")
        told = asking.lines()
        self.assertIn(b"  open_transactions=300", told)
        self.assertIn(b"  waiters=1", told)
        more = self.fill(10)
        self.assertEqual([batches.next() for _ in more], more)
        self.assertEqual([batches.next(), batches.next()], [None, None])
        figures = asking.figures(b"detail q")
        self.assertEqual(figures[b"queue_q_open_transactions"], b"11")
        batches.leave(suddenly=True)
        self.assertEqual(self.rest(), [bodies[299], *more])
        asking.leave()

    def test_waiting(self) -> None:
        """Waiters get messages in order; a waiter that is gone loses nothing."""
        waiting = self.consumers(5)
        (asking,) = self.consumers(1)
        for consumer in waiting:
            consumer.send(b"get q/open/t=60000\r\n")
            self.assertIsNone(asking.take(b"none/peek"))
        waiting[1].leave()
        waiting[3].leave(suddenly=True)
        self.assertIsNone(asking.take(b"none/peek"))
        bodies = self.fill(3)
        values = [waiting[n].value() for n in (0, 2, 4)]
        self.assertEqual([value.body for value in values if value], bodies)
        for number in (0, 2, 4):
            waiting[number].leave()
        self.assertEqual(self.rest(), bodies)
        asking.leave()
