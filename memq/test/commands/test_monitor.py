"""Monitors: messages opened as they come, and closed many at a time."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from memq.commands.monitor import MonitorRead
from memq.errors import DamagedMessage, QueueError, StoreError, StoreFailed
from memq.message import PART_SIZE, Message
from memq.operations.openreads import openread
from memq.operations.openreads.ending import ENDED_AT_ONCE
from memq.test.commands.test_protocol import (
    END,
    STORED,
    ProtocolTestCase,
    TwoClientsTestCase,
    put,
    value,
)
from memq.test.support.readers import ReaderTestCase
from memq.test.support.sessions import VERSION, SessionTestCase, sessions

#: A body in three parts.
LARGE = b"".join(b"%07d " % number for number in range(2 * PART_SIZE // 8 + 9))


@sessions(
    {
        "A monitor opens what there is, up to a number.": """
            > set q 7 0 1 | a -> STORED
            > set q 0 0 1 | b -> STORED
            > set q 0 0 1 | c -> STORED
            > monitor q 0 2
            < VALUE q 7 1
            < a
            < VALUE q 0 1
            < b
            < END
            > get q/peek -> VALUE q/peek 0 1 | c | END
            > confirm q 1 -> END
            > monitor q 0 -> VALUE q 0 1 | c | END
            > get q/abort -> END
            > gets q q
            < VALUE q 0 1 1
            < b
            < VALUE q 0 1 2
            < c
            < END
            > stats queue -> STAT q 3/3 | END
        """,
        "What is open already is neither in its way nor counted.": """
            > set q 0 0 1 | a -> STORED
            > set q 0 0 1 | b -> STORED
            > get q/open -> VALUE q/open 0 1 | a | END
            > monitor q 0 1 -> VALUE q 0 1 | b | END
            > get q/open -> CLIENT_ERROR close current item first
            > get q/close -> END
            > get q/open -> CLIENT_ERROR close current item first
            > confirm q 9 -> END
            > get q/open -> END
            > stats queue -> STAT q 2/2 | END
        """,
        "Where nothing is there or open, there is an END.": """
            > monitor q 0 -> END
            > monitor q 0 5 -> END
            > confirm q 10000 -> END
            > stats queue -> END
        """,
    }
)
class MonitorSessions(SessionTestCase):
    """Whole sessions."""


class MonitorTests(TwoClientsTestCase):
    """A client with a monitor."""

    def test_asTheyCome(self) -> None:
        """Each message is sent at once, and END when the time is over."""
        self.store.fill(b"q", b"a", b"b")
        self.asks(b"monitor q 10\r\n", value(b"q", b"a") + value(b"q", b"b"))
        self.pass_(4.0)
        self.other.talk(put(b"q", b"c"))
        self.assertEqual(self.client.read(), value(b"q", b"c"))
        self.pass_(4.0)
        self.other.talk(put(b"q", b"d") * 2)
        self.assertEqual(self.client.read(), value(b"q", b"d") * 2)
        self.pass_(1.9)
        self.assertEqual(self.client.read(), b"")
        self.pass_(0.2)
        self.assertEqual(self.client.read(), END)
        self.assertEqual(self.store.dump(), "q 5/0:")

    def test_noFlush(self) -> None:
        """It waits for no flush: nothing changes on disk."""
        self.store.fill(b"q", b"a", b"b")
        self.client.send(b"monitor q 0\r\n")
        self.runTurns()
        self.assertEqual(
            self.client.read(), value(b"q", b"a") + value(b"q", b"b") + END
        )
        self.assertEqual(self.harness.flushPool.pending, 0)

    def test_most(self) -> None:
        """END comes with the last one, if there are so many before."""
        self.client.talk(b"monitor q 10 2\r\n")
        self.other.talk(put(b"q", b"a"))
        self.assertEqual(self.client.read(), value(b"q", b"a"))
        self.other.talk(put(b"q", b"b") * 2)
        self.assertEqual(self.client.read(), value(b"q", b"b") + END)
        self.assertEqual(self.store.dump(), "q 3/0: b")
        self.assertEqual(self.harness.reactor.calls, [])

    def test_behind(self) -> None:
        """Commands that the client sends behind it are carried out after it."""
        sent = b"monitor q 10\r\nconfirm q 2\r\n" + put(b"q", b"own") + b"version\r\n"
        self.asks(sent, b"")
        self.other.talk(put(b"q", b"a") + put(b"q", b"b") + put(b"q", b"c"))
        self.assertEqual(
            self.client.read(),
            value(b"q", b"a") + value(b"q", b"b") + value(b"q", b"c"),
        )
        self.assertEqual(self.store.dump(), "q 3/0:")
        self.pass_(10.0)
        self.assertEqual(self.client.read(), END + END + STORED + VERSION)
        self.assertEqual(self.store.dump(), "q 4/2: own")
        self.assertEqual(self.client.protocol.outstanding.load, 0)

    def test_inOneTurn(self) -> None:
        """So it is when all is there from the start."""
        self.store.fill(b"q", b"a", b"b")
        self.asks(
            b"monitor q 0 2\r\nconfirm q 2\r\nget q\r\n",
            value(b"q", b"a") + value(b"q", b"b") + END + END + END,
        )
        self.assertEqual(self.store.dump(), "q 2/2:")

    def test_late(self) -> None:
        """When the time is over it ends, although there is more."""
        self.store.fill(b"q", *[b"x" * PART_SIZE] * 40)
        self.client.send(b"monitor q 5\r\n")
        self.harness.reactor.iterate()
        self.client.stopReading()
        count = self.client.protocol.session.openReads
        self.pass_(6.0)
        self.client.startReading()
        self.harness.settle()
        self.assertEqual(
            self.client.read(), value(b"q", b"x" * PART_SIZE) * count + END
        )
        self.assertLess(count, 20)

    def test_fair(self) -> None:
        """Those who monitor a queue get what comes in turn."""
        for client in (self.client, self.other):
            client.talk(b"monitor q 10\r\n")
        third = self.harness.connect()
        for body in (b"a", b"b", b"c", b"d"):
            third.talk(put(b"q", body))
        self.assertEqual(self.client.read(), value(b"q", b"a") + value(b"q", b"c"))
        self.assertEqual(self.other.read(), value(b"q", b"b") + value(b"q", b"d"))

    def test_notReading(self) -> None:
        """A client that does not read is given no more until it does."""
        self.client.talk(b"monitor q 100\r\n")
        self.client.stopReading()
        self.other.talk(put(b"q", b"a") * 3)
        self.assertEqual((self.client.read(), self.store.dump()), (b"", "q 3/0: a a a"))
        self.client.startReading()
        self.harness.settle()
        self.assertEqual(self.client.read(), value(b"q", b"a") * 3)

    def test_undelivered(self) -> None:
        """Messages that are taken for it and not sent are bounded as ever."""
        self.store.fill(b"q", *[b"x" * PART_SIZE] * 40)
        self.client.send(b"monitor q 100\r\n")
        self.harness.reactor.iterate()
        self.assertLess(self.client.protocol.session.openReads, 20)
        self.harness.settle()
        self.assertEqual(self.client.read(), value(b"q", b"x" * PART_SIZE) * 40)
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 0)

    def test_large(self) -> None:
        """A body in parts is sent in parts, and the next one behind it."""
        sent = put(b"q", LARGE) + put(b"q", b"b") + put(b"q", LARGE)
        self.other.talk(sent)
        expected = value(b"q", LARGE) + value(b"q", b"b") + value(b"q", LARGE)
        self.asks(b"monitor q 0 3\r\n", expected + END)
        self.asks(b"confirm q 3\r\n", END)
        self.assertEqual(self.store.dump(), "q 3/3:")
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 0)
        self.assertRaises(DamagedMessage, self.store.part, 1, 0)

    def test_leaves(self) -> None:
        """When the client leaves, everything it has open goes back, in order."""
        self.store.fill(b"q", b"a", b"b")
        self.client.talk(b"monitor q 10\r\n")
        self.other.talk(put(b"q", b"c"))
        self.client.end()
        self.assertEqual(self.store.dump(), "q 3/0: a b c")
        self.assertEqual(self.harness.broker.waiters(b"q"), 0)
        self.assertEqual(self.harness.factory.lingering, 0)
        self.assertEqual(self.harness.reactor.calls, [])

    def test_leavesUnsent(self) -> None:
        """Messages opened and not sent go back as well, and hold nothing."""
        self.store.fill(b"q", *[b"x" * 50_000] * 3)
        self.client.send(b"db_checkpoint\r\nmonitor q 10\r\nversion\r\n")
        self.runTurns()
        session = self.client.protocol.session
        self.assertEqual(
            (session.outstanding.undelivered, session.openReads), (150_000, 3)
        )
        self.client.end()
        self.assertEqual((session.outstanding.undelivered, session.openReads), (0, 0))
        self.assertEqual(self.store.status()["messages"], 3)
        self.assertEqual(self.harness.broker.budget.held, 0)
        message = self.store.peek(b"q")
        assert isinstance(message, Message)
        self.assertEqual(self.store.deliveries(message), 0)

    def test_stop(self) -> None:
        """When the server stops it ends, whatever there would be."""
        self.store.fill(b"q", b"a")
        self.client.talk(b"monitor q 10\r\nversion\r\n")
        self.client.read()
        done = self.harness.factory.finish()
        self.harness.settle()
        self.assertEqual(self.client.read(), END + VERSION)
        self.assertTrue(self.client.isClosed)
        for client in (self.client, self.other):
            client.leave()
        self.assertIsNone(self.successResultOf(done))

    def test_stopAtOnce(self) -> None:
        """So does one that has just been asked for."""
        self.store.fill(b"q", b"a")
        self.client.send(b"monitor q 10\r\n")
        self.harness.factory.finish()
        self.harness.settle()
        self.assertEqual((self.client.read(), self.store.dump()), (END, "q 1/0: a"))

    def test_damaged(self) -> None:
        """A damaged message ends it with an error, after what was there before."""
        self.store.fill(b"q", b"a")
        self.client.talk(b"monitor q 10\r\n")
        self.store.damaged[b"q"] = DamagedMessage("number 1")
        self.other.talk(put(b"q", b"b"))
        self.assertEqual(
            self.client.read(), b"SERVER_ERROR damaged message set aside: number 1\r\n"
        )
        self.store.damaged.clear()
        self.asks(b"version\r\n", VERSION)
        self.assertEqual(self.harness.broker.waiters(b"q"), 0)

    def test_damagedAtOnce(self) -> None:
        """So without a time, and behind a large one."""
        self.other.talk(put(b"q", b"a") + put(b"q", LARGE))
        real = self.store.openAll

        def damaged(*words: Any) -> list[Message | QueueError]:
            found = real(*words)
            return found or [DamagedMessage("number 2")]

        self.patch(self.store, "openAll", damaged)
        self.asks(
            b"monitor q 0\r\n",
            value(b"q", b"a")
            + value(b"q", LARGE)
            + b"SERVER_ERROR damaged message set aside: number 2\r\n",
        )

    def test_largeIsLast(self) -> None:
        """END comes behind the last part."""
        self.other.talk(put(b"q", LARGE))
        self.asks(b"monitor q 0 1\r\n", value(b"q", LARGE) + END)

    def test_error(self) -> None:
        """So does what the store cannot do; what is open is open."""
        self.store.fill(b"q", b"a", b"b", b"c")
        self.store.refuse("openRead", StoreError("bad page"), after=1)
        self.asks(
            b"monitor q 10\r\nversion\r\n", b"SERVER_ERROR bad page\r\n" + VERSION
        )
        self.store.forgive()
        self.assertEqual(self.store.dump(), "q 3/0: a b c")
        self.assertEqual(self.client.talk(b"monitor q 0 1\r\n")[-3:], b"D\r\n")

    def test_undone(self) -> None:
        """A turn that is undone changes nothing of what is sent, or behind it."""
        self.store.fill(b"q", b"a", b"b")
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.asks(
            b"monitor q 10 2\r\nconfirm q 1\r\n",
            value(b"q", b"a") + value(b"q", b"b") + END + END,
        )
        self.assertEqual(self.client.protocol.session.openReads, 1)

    def test_undoneWhileItWaits(self) -> None:
        """So when it was about to wait for more."""
        self.store.fill(b"q", b"a")
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.client.talk(b"monitor q 10\r\nconfirm q 1\r\n")
        self.other.talk(put(b"q", b"b"))
        self.pass_(10.0)
        self.assertEqual(self.store.dump(), "q 2/1:")

    def test_failed(self) -> None:
        """When the store has failed that is told."""
        self.client.talk(b"monitor q 10\r\n")
        self.harness.broker.fail(StoreFailed("the disk is gone"))
        self.harness.settle()
        self.assertEqual(self.client.read(), b"SERVER_ERROR the disk is gone\r\n")
        self.assertTrue(self.client.isClosed)

    def test_tooMany(self) -> None:
        """A connection has so many open reads and no more, whatever the queue."""
        self.store.fill(b"q", b"a", b"b", b"c")
        self.store.fill(b"r", b"d")
        with patch.object(openread, "MOST_OPEN", 3):
            self.assertEqual(
                self.client.talk(b"get r/open\r\nmonitor q 10\r\n")[-8:],
                b"b\r\nEND\r\n",
            )
            self.asks(b"monitor q 10\r\n", END)
            self.client.talk(b"get r/close\r\n")
            self.asks(b"monitor q 10\r\n", value(b"q", b"c") + END)

    def test_statistics(self) -> None:
        """Each message counts as asked for, and so does the end of the time."""
        self.store.fill(b"q", b"a", b"b")
        self.client.talk(b"monitor q 0\r\nmonitor q 0\r\n")
        statistics = self.harness.statistics
        self.assertEqual((statistics.getCommands, statistics.getHits), (4, 2))


class ManyTests(ProtocolTestCase):
    """Many open reads."""

    COUNT = 3 * ENDED_AT_ONCE + 10

    def setUp(self) -> None:
        """Open them."""
        super().setUp()
        self.store.fill(b"q", *[b"%d" % number for number in range(self.COUNT)])
        self.client.talk(b"monitor q 0\r\n")
        self.session = self.client.protocol.session
        self.assertEqual(self.session.openReads, self.COUNT)

    def test_confirm(self) -> None:
        """They are closed with one command and one answer."""
        self.asks(b"confirm q 10000\r\n", END)
        self.assertEqual(self.store.dump(), f"q {self.COUNT}/{self.COUNT}:")
        self.assertEqual(self.session.openReads, 0)
        self.assertEqual(self.client.protocol.outstanding.load, 0)

    def test_confirmSome(self) -> None:
        """Or so many of them, the oldest first, before what is behind that."""
        count = ENDED_AT_ONCE + 5
        self.asks(
            b"confirm q %d\r\nstats queue\r\n" % count,
            END + b"STAT q %d/%d\r\n" % (self.COUNT, count) + END,
        )
        self.assertEqual(next(iter(self.session.opened(b"q"))).message.sequence, count)

    def test_exactly(self) -> None:
        """So where that is as many as are closed at once."""
        self.asks(b"confirm q %d\r\n" % ENDED_AT_ONCE, END)
        self.assertEqual(self.session.openReads, self.COUNT - ENDED_AT_ONCE)

    def test_confirmIsDurable(self) -> None:
        """It is not told before the last of them is synced."""
        self.client.send(b"confirm q 10000\r\n")
        self.runTurns()
        self.assertEqual(self.client.read(), b"")
        self.asks(b"", END)

    def test_abort(self) -> None:
        """They go back with one command, too."""
        self.asks(b"get q/abort\r\nversion\r\n", END + VERSION)
        self.assertEqual(self.store.dump().count(" "), self.COUNT + 1)
        self.assertEqual(self.session.openReads, 0)

    def test_leaves(self) -> None:
        """And when the client leaves."""
        self.client.end()
        self.assertEqual(self.store.dump().count(" "), self.COUNT + 1)
        self.assertEqual(self.session.openReads, 0)

    def test_leavesClosing(self) -> None:
        """Messages that it has closed before that are closed."""
        self.client.send(b"confirm q %d\r\n" % (ENDED_AT_ONCE + 1))
        self.client.end()
        left = self.COUNT - ENDED_AT_ONCE - 1
        self.assertEqual(self.store.status()["messages"], left)
        self.assertEqual(self.harness.factory.lingering, 0)

    def test_error(self) -> None:
        """A failed close is told once; its message is open, as all behind it."""
        self.store.refuse("closeRead", StoreError("bad page"), after=ENDED_AT_ONCE)
        self.client.talk(b"version\r\n")
        self.asks(
            b"confirm q 10000\r\nversion\r\n", b"SERVER_ERROR bad page\r\n" + VERSION
        )
        self.assertEqual(self.client.protocol.outstanding.load, 0)


class OperationTests(ReaderTestCase):
    """Operations that run again because their turn was undone."""

    def test_inVain(self) -> None:
        """The rest of a read that finds nothing then finds nothing itself."""
        self.push(b"a", b"b")
        session = self.reader().session
        one = MonitorRead(session, b"q", 9.0, 9)
        one.run(self.store)
        two = one.rest
        one.undo()
        one.fail(StoreError("bad page"))
        assert two is not None
        self.assertEqual((two.run(self.store), two.result, two.rest), (0, None, None))
        self.assertEqual(session.openReads, 0)
