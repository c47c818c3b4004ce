"""The service: in which order a server starts and ends."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import capturedLogs, formatEvent

from memq import __version__
from memq.backing.local import StoreKeeper
from memq.daemon.flusher import (
    QUICK_FLUSH,
    QUICK_IN_A_ROW,
    STALLED_FLUSH,
    Flusher,
)
from memq.daemon.maintenance import MaintenanceSettings
from memq.daemon.service import (
    DRAIN_SECONDS,
    Parts,
    Pools,
    QueueService,
)
from memq.errors import (
    DamagedHome,
    DamagedStore,
    HomeGone,
    OptionError,
    StartError,
    StoreError,
    StoreFailed,
)
from memq.net.poller import Poller
from memq.test.support.harness import Client, Harness
from memq.test.support.stepped import SteppedTestCase

if TYPE_CHECKING:
    from memq.backing.local import Takeover

LOCALHOST = IPv4Address("TCP", "127.0.0.1", 22201)


class FakeListener:
    """A listener, and its port, that notes when it is opened and closed.

    :ivar error: why it cannot be opened.
    :ivar closed: what ``stopListening`` returns.
    """

    def __init__(self, journal: list[str], address: Any = LOCALHOST) -> None:
        self._journal = journal
        self._address = address
        self.error: Exception | None = None
        self.closed: Deferred[None] = succeed(None)

    def listen(self, poller: Any, factory: Any) -> Deferred[Any]:
        """Note it."""
        self._journal.append("listen")
        return succeed(self) if self.error is None else fail(self.error)

    def getHost(self) -> Any:
        """Return the address."""
        return self._address

    def stopListening(self) -> Deferred[None]:
        """Note it."""
        self._journal.append("stop listening")
        return self.closed

    def close(self) -> None:
        """Do nothing."""


class FakeExitStatus:
    """An exit status that notes why the process fails."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.status = 0

    def fail(self, reason: str, status: int) -> None:
        """Note it."""
        self.reasons.append(reason)
        self.status = status


class ServiceTestCase(SteppedTestCase):
    """A service whose parts note, in one journal, what is done with them."""

    def setUp(self) -> None:
        """Put it together; it is not started."""
        self.harness = Harness(MaintenanceSettings(checkpoint=0, trickle=0))
        self.store = self.harness.store
        self.journal = self.store.journal
        self.listeners = [FakeListener(self.journal)]
        self.exitStatus = FakeExitStatus()
        self.now = 0.0
        self.harness.persist = Flusher(
            self.harness.reactor,
            self.harness.flushPool,
            lambda: self.store.flush(),
            lambda: self.now,
        ).persist
        self.harness.onFailure = lambda error: self.exitStatus.fail(
            str(error), error.status
        )
        self.service = self.made()

    def made(self, takeover: Takeover | None = None) -> QueueService:
        """Return a service."""
        harness = self.harness
        keeper = StoreKeeper(
            self.store,
            harness.maintenance,
            harness.sweeper,
            partial(deferToThreadPool, harness.reactor, harness.workPool),
            takeover,
        )
        parts = Parts(
            keeper,
            harness.broker,
            harness.factory,
            harness.watch,
            harness.slow,
            Poller(harness.reactor),
            self.listeners,
            settled=lambda: self.journal.append("settled"),
        )
        names = "flushPool", "workPool", "rulePool", "accessPool"
        pools: Any = Pools(*(getattr(harness, name) for name in names))
        return QueueService(harness.reactor, parts, pools, self.exitStatus.fail)

    def stop(self) -> None:
        """Stop it to the end."""
        done = self.service.stopService()
        self.harness.settle()
        self.successResultOf(done)

    def ended(self, done: Deferred[None], client: Client) -> None:
        """Let the last client leave, upon which it has stopped."""
        client.leave()
        self.harness.settle()
        self.successResultOf(done)

    def begin(self) -> None:
        """Start it to the end, whatever that is."""
        self.service.startService()
        self.harness.settle()

    def start(self) -> Client:
        """Start it to the end, and return a client."""
        self.begin()
        del self.journal[:]
        return self.harness.connect()

    def logged(self, call: Any) -> list[tuple[str, str]]:
        """Return level and text of what is logged when something happens."""
        with capturedLogs() as events:
            call()
        return [(event["log_level"].name, str(formatEvent(event))) for event in events]


class FakeTakeover:
    """Something to take over that notes what is done.

    :ivar error: why it cannot be.
    """

    def __init__(self, journal: list[str]) -> None:
        self._journal = journal
        self.error: Exception | None = None

    def run(self) -> None:
        """Note it."""
        self._journal.append("take over")
        if self.error is not None:
            raise self.error

    def interrupt(self) -> None:
        """Note it."""
        self._journal.append("interrupt")


class TakeoverTests(ServiceTestCase):
    """Adoption before anything listens."""

    def setUp(self) -> None:
        """Have something to take over."""
        ServiceTestCase.setUp(self)
        self.takeover = FakeTakeover(self.journal)
        self.service = self.made(self.takeover)

    def test_order(self) -> None:
        """That is done with the open store, and before anything listens."""
        self.begin()
        order = ["open", "take over", "listen"]
        self.assertEqual([word for word in self.journal if word in order], order)

    def test_refused(self) -> None:
        """When it cannot be, the process ends, and nothing listens."""
        self.takeover.error = StartError("no")
        self.begin()
        self.assertEqual(self.exitStatus.reasons, ["no"])
        self.assertNotIn("listen", self.journal)

    def test_interrupted(self) -> None:
        """A stop interrupts it, and closes the store when it is over."""
        self.service.startService()
        stopped = self.service.stopService()
        self.assertEqual(self.journal[-1], "interrupt")
        self.harness.settle()
        self.successResultOf(stopped)
        self.assertNotIn("listen", self.journal)
        order = ["interrupt", "take over", "close"]
        self.assertEqual([word for word in self.journal if word in order], order)


class FlushTests(ServiceTestCase):
    """Where flushes run."""

    def test_noted(self) -> None:
        """Each is noted, with the time that it took."""
        harness, took = self.harness, [0.5, 0.0]
        noted: list[float] = []
        seconds = iter([1.0, 1.5, 2.0, 2.0])
        flusher = Flusher(
            *(harness.reactor, harness.flushPool, self.store.flush, seconds.__next__),
            note=noted.append,
        )
        for count in (1, 2):
            flusher.persist()
            harness.settle()
            self.assertEqual(noted, took[:count])

    def test_stall(self) -> None:
        """It is told of when a flush that was to be quick held up the reactor."""
        harness = self.harness
        times = [0.0] * (2 * QUICK_IN_A_ROW + 2) + [1.0, 1.75]
        flusher = Flusher(
            *(harness.reactor, harness.flushPool, self.store.flush),
            iter(times).__next__,
        )
        told: list[float] = []
        for _ in range(QUICK_IN_A_ROW + 1):
            flusher.persist()
            harness.settle()
        flusher.onStall = told.append
        self.assertIsNone(flusher.persist())
        self.assertEqual(told, [0.75])

    def flushesInThread(self, client: Client) -> bool:
        """Let a client set a message; return whether its flush is the pool's."""
        client.send(b"set q 0 0 1\r\nx\r\n")
        self.harness.reactor.advance(0)
        inThread = bool(self.harness.flushPool.pending)
        self.harness.settle()
        self.assertEqual(client.read(), b"STORED\r\n")
        return inThread

    def test_quick(self) -> None:
        """Flushes stay in the reactor once the last ones were quick."""
        client = self.start()
        ran = [self.flushesInThread(client) for _ in range(QUICK_IN_A_ROW + 2)]
        self.assertEqual(ran, [True] * QUICK_IN_A_ROW + [False] * 2)

    def test_slow(self) -> None:
        """One slow flush is forgiven; for more, or a stalled one, they leave it again.

        So nobody waits for the disk who need not.
        """
        quick, slow, stalled = QUICK_FLUSH / 2, QUICK_FLUSH * 2, STALLED_FLUSH * 2
        for seconds, ran in (
            ([slow] + [quick] * 9, [False] * 10),
            ([slow, quick, quick, quick] * 5, [False] * 17 + [True] * 3),
            ([slow, slow] + [quick] * 9, [False] * 2 + [True] * 8 + [False]),
            ([stalled] + [quick] * 9, [False] + [True] * 8 + [False]),
            ([slow, slow, stalled, quick], [False] * 2 + [True] * 2),
        ):
            self.setUp()
            client, flush = self.start(), self.store.flush
            for _ in range(QUICK_IN_A_ROW):
                self.flushesInThread(client)
            taking = iter(seconds)

            def slowly(flush: Any = flush, taking: Any = taking) -> None:
                self.now += next(taking)
                flush()

            self.patch(self.store, "flush", slowly)
            self.assertEqual([self.flushesInThread(client) for _ in seconds], ran)


class StartTests(ServiceTestCase):
    """The start."""

    def test_order(self) -> None:
        """The store is open, and the disk looked at, before anything listens."""
        self.store.free = 0
        self.service.startService()
        pools = ["start flushPool", "start workPool", "start rulePool"]
        pools.append("start accessPool")
        self.assertEqual(self.journal, pools)
        self.harness.workPool.step()
        self.harness.reactor.advance(0)
        self.assertEqual(self.journal[len(pools) :], ["open"])
        self.harness.workPool.step()
        self.harness.reactor.advance(0)
        self.assertEqual(self.journal[len(pools) :], ["open", "removeLogs"])
        self.harness.workPool.step()
        self.harness.reactor.advance(0)
        self.assertEqual(self.journal[5:], ["removeLogs", "listen", "settled"])
        self.assertTrue(self.harness.broker.room.isFull)

    def test_log(self) -> None:
        """The log says what is there, and where the server listens."""
        self.store.fill(b"q", b"a", b"b")
        self.listeners += [
            FakeListener(self.journal, IPv6Address("TCP", "::1", 22202)),
            FakeListener(self.journal, UNIXAddress(b"/run/memq")),
            FakeListener(self.journal, UNIXAddress(None)),
        ]
        self.assertEqual(
            self.logged(self.begin),
            [
                ("info", f"memq {__version__} opens its store"),
                ("info", "1 queues with 2 messages are there"),
                ("info", "Listening on 127.0.0.1:22201"),
                ("info", "Listening on [::1]:22202"),
                ("info", "Listening on /run/memq"),
                ("info", "Listening on UNIXAddress(None)"),
            ],
        )

    def test_flushes(self) -> None:
        """Sets of clients are flushed in the pool that is for that alone."""
        client = self.start()
        client.send(b"set q 0 0 1\r\nx\r\n")
        self.harness.workPool.callInThreadWithCallback(lambda *_: None, self.fail)
        self.harness.reactor.advance(0)
        self.assertTrue(self.harness.flushPool.step())
        self.harness.reactor.advance(0)
        self.assertEqual(client.read(), b"STORED\r\n")

    def test_sweep(self) -> None:
        """Queues whose removal was not finished are removed."""
        self.store.fill(b"q", b"a")
        self.store.delete(b"q")
        self.store.commit()
        self.start()
        self.assertFalse(self.store.hasGarbage())

    def test_storeRefuses(self) -> None:
        """A store that cannot be opened ends the process with its one line."""
        for error, status in (
            (StartError("--home /x: held by process 5"), 1),
            (DamagedHome("page 5"), 78),
        ):
            self.setUp()
            self.store.refuse("open", error)
            self.assertEqual(
                self.logged(self.start),
                [("info", f"memq {__version__} opens its store")],
            )
            self.assertEqual(self.exitStatus.reasons, [str(error)])
            self.assertEqual(self.exitStatus.status, status)
            self.assertNotIn("listen", self.journal)

    def test_portRefuses(self) -> None:
        """So does a port that cannot be had after all; the others are closed then."""
        for number in (0, 1):
            self.setUp()
            self.listeners.append(FakeListener(self.journal))
            self.listeners[number].error = OptionError("--port", 80, "in use")
            self.start().leave()
            self.assertEqual(self.exitStatus.reasons, ["--port 80: in use"])
            self.stop()
            self.assertEqual(self.journal[0], "stop listening")

    def test_unforeseen(self) -> None:
        """An unforeseen error is logged in full as well."""
        self.store.refuse("open", ZeroDivisionError("what"))
        self.start()
        self.assertEqual(self.exitStatus.reasons, ["what"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_failure(self) -> None:
        """A store that fails later ends the process, with the reason and a status."""
        for error, status in (
            (StoreFailed("the disk is gone"), 1),
            (DamagedStore("page 5"), 78),
        ):
            self.setUp()
            client = self.start()
            self.store.refuse("flush", error)
            self.assertEqual(
                client.talk(b"set q 0 0 1\r\nx\r\n"), error.reply + b"\r\n"
            )
            self.assertEqual(self.exitStatus.reasons, [str(error)])
            self.assertEqual(self.exitStatus.status, status)


class StopTests(ServiceTestCase):
    """The stop."""

    def test_order(self) -> None:
        """It stops listening, answers, closes the store, and ends the threads."""
        client = self.start()
        client.send(b"set q 0 0 1\r\nx\r\n")
        done = self.service.stopService()
        self.assertEqual(client.talk(b"version\r\n"), b"STORED\r\n")
        self.assertTrue(client.isClosed)
        self.assertNoResult(done)
        self.assertNotIn("close", self.journal)
        self.ended(done, client)
        self.assertEqual(
            self.journal,
            [
                *("stop listening", "begin", "commit", "flush", "close"),
                *("stop flushPool", "stop workPool", "stop rulePool"),
                "stop accessPool",
            ],
        )
        self.assertEqual(self.store.dump(), "q 1/0: x")
        self.assertEqual(self.harness.reactor.calls, [])

    def test_log(self) -> None:
        """It logs its beginning and its end."""
        self.start().leave()
        self.assertEqual(
            self.logged(self.stop),
            [("info", "Stopping: answering what was taken"), ("info", "Stopped")],
        )

    def test_listening(self) -> None:
        """Clients are not sent away while somebody may still come."""
        client = self.start()
        port = self.listeners[0]
        port.closed = Deferred()
        self.service.stopService()
        self.assertEqual(client.talk(b"get q\r\n"), b"END\r\n")
        self.assertFalse(client.isClosed)
        port.closed.callback(None)
        self.assertTrue(client.isClosed)

    def test_late(self) -> None:
        """Clients that do not read their replies are cut off in the end."""
        client = self.start()
        self.store.fill(b"q", b"a")
        client.send(b"get q\r\n")
        client.stopReading()
        done = self.service.stopService()
        self.harness.settle()
        self.harness.reactor.advance(DRAIN_SECONDS / 2)
        self.assertFalse(client.isClosed)
        self.harness.reactor.advance(DRAIN_SECONDS / 2)
        self.assertTrue(client.transport.disconnected)
        self.ended(done, client)
        self.assertEqual(self.store.dump(), "q 1/0: a")

    def test_givenBack(self) -> None:
        """A message for one that is cut off is back before the store is closed."""
        client = self.start()
        self.store.fill(b"q", b"a")
        client.send(b"get q\r\n")
        self.harness.reactor.advance(0)
        done = self.service.stopService()
        client.leave()
        self.harness.reactor.advance(0)
        self.assertEqual(self.harness.workPool.pending, 0)
        self.harness.settle()
        self.successResultOf(done)
        self.assertEqual(self.store.dump(), "q 1/0: a")
        self.assertEqual(self.journal[-7:-5], ["commit", "flush"])

    def test_checkpointUnderWay(self) -> None:
        """Work that is under way ends before the store is closed."""
        self.start().leave()
        checkpoint = self.harness.maintenance.checkpoint()
        self.stop()
        self.successResultOf(checkpoint)
        self.assertLess(self.journal.index("checkpoint"), self.journal.index("close"))

    def test_duringStart(self) -> None:
        """A stop during the start waits for the store, and nothing listens."""
        self.service.startService()
        done = self.service.stopService()
        self.assertNoResult(done)
        self.harness.settle()
        self.successResultOf(done)
        pools = ["stop flushPool", "stop workPool", "stop rulePool"]
        pools.append("stop accessPool")
        self.assertEqual(self.journal[4:], ["open", "removeLogs", "close", *pools])

    def test_afterFailure(self) -> None:
        """A service that did not start can be stopped, or whose store has failed."""
        self.store.refuse("open", StartError("no"))
        self.begin()
        self.stop()
        self.setUp()
        client = self.start()
        self.store.refuse("flush", StoreFailed("gone"))
        client.talk(b"set q 0 0 1\r\nx\r\n")
        done = self.service.stopService()
        self.assertTrue(client.isClosed)
        self.ended(done, client)

    def test_portError(self) -> None:
        """A port that cannot be closed does not keep clients from their answers."""
        client = self.start()
        client.send(b"set q 0 0 1\r\nx\r\n")
        self.listeners[0].closed = fail(ZeroDivisionError())
        done = self.service.stopService()
        self.assertEqual(client.talk(b""), b"STORED\r\n")
        self.assertTrue(client.isClosed)
        self.ended(done, client)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_drainError(self) -> None:
        """An error while clients are sent away does not keep the store open.

        It does not even keep the maintenance from its end, an error of which does not
        keep the store open either.
        """
        client = self.start()
        self.patch(client.protocol, "finish", None)
        self.stop()
        self.assertIn("close", self.journal)
        self.store.free = 0
        self.harness.reactor.advance(2)
        self.assertEqual(self.harness.workPool.pending, 0)
        self.setUp()
        self.start().leave()
        self.patch(self.harness.maintenance, "stop", None)
        self.stop()
        self.assertIn("close", self.journal)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 2)

    def test_closeFails(self) -> None:
        """A store that cannot be closed ends the stop, with a line and a status.

        A store that has failed for good has its own; of an unforeseen error the log
        has a traceback.
        """
        for error, status, unforeseen in (
            (StoreError("no room"), 1, 0),
            (HomeGone("/h/memq", "in /h/old"), 78, 0),
            (ZeroDivisionError("what"), 1, 1),
        ):
            self.setUp()
            self.start().leave()
            self.store.refuse("close", error)
            self.stop()
            reasons = [f"the store could not be closed: {error}"]
            self.assertEqual(self.exitStatus.reasons, reasons)
            self.assertEqual(self.exitStatus.status, status)
            self.assertEqual(self.journal[-1], "stop accessPool")
            logged = self.flushLoggedErrors(ZeroDivisionError)
            self.assertEqual(len(logged), unforeseen)

    def test_storeGone(self) -> None:
        """A store that has failed is told once, though its close says so again."""
        self.start().leave()
        for verb in ("checkHome", "close"):
            self.store.refuse(verb, StoreFailed("the log cannot be synced"))
        self.harness.pass_(1)
        self.stop()
        self.assertEqual(self.exitStatus.reasons, ["the log cannot be synced"])

    def test_homeGone(self) -> None:
        """A home that is gone is told once, though the store cannot be closed."""
        self.start().leave()
        for verb, path in (("checkHome", "/h/memq"), ("close", "/h/memq/lock")):
            self.store.refuse(verb, HomeGone(path, "in /h/old"))
        self.harness.pass_(1)
        self.stop()
        (reason,) = self.exitStatus.reasons
        self.assertTrue(reason.startswith("/h/memq was moved"), reason)
        self.assertTrue(reason.endswith("in /h/old"), reason)
        self.assertEqual(self.exitStatus.status, 78)
