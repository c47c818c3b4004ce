"""Gets with options, as a client sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from twisted.logger import capturedLogs

from memq.errors import BodyTimedOut, DamagedMessage, StoreError, StoreFailed
from memq.message import PART_SIZE, Message
from memq.operations.outstanding import COMMAND_LOAD
from memq.test.commands.test_protocol import (
    END,
    MAX_COMMANDS,
    STORED,
    ProtocolTestCase,
    TwoClientsTestCase,
    put,
    value,
)
from memq.test.support.sessions import VERSION, SessionTestCase, sessions

if TYPE_CHECKING:
    from memq.test.support.harness import Client

#: A body in three parts.
LARGE = b"".join(b"%07d " % number for number in range(2 * PART_SIZE // 8 + 9))


@sessions(
    {
        "An open read is hidden, and deleted when it is closed.": """
            > set q 7 0 1 | a -> STORED
            > set q 0 0 1 | b -> STORED
            > get q/open -> VALUE q/open 7 1 | a | END
            > get q/peek -> VALUE q/peek 0 1 | b | END
            > get q/close -> END
            > get q -> VALUE q 0 1 | b | END
            > stats queue -> STAT q 2/2 | END
        """,
        "One that is aborted goes back before all others.": """
            > set q 0 0 1 | a -> STORED
            > set q 0 0 1 | b -> STORED
            > get q/open -> VALUE q/open 0 1 | a | END
            > get q/abort -> END
            > gets q/t=0 -> VALUE q/t=0 0 1 0 | a | END
            > gets q/t=5 -> VALUE q/t=5 0 1 1 | b | END
        """,
        "Close and open in one command, whatever the order of the words.": """
            > set q 0 0 1 | a -> STORED
            > set q 0 0 1 | b -> STORED
            > get q/close/open -> VALUE q/close/open 0 1 | a | END
            > get q/open/t=10/close -> VALUE q/open/t=10/close 0 1 | b | END
            > get q/open/close -> END
            > get q/abort -> END
            > stats queue -> STAT q 2/2 | END
        """,
        "A second open read of a queue is refused, one of another queue is not.": """
            > set q 0 0 1 | a -> STORED
            > set r 0 0 1 | b -> STORED
            > get q/open -> VALUE q/open 0 1 | a | END
            > get q/open -> CLIENT_ERROR close current item first
            > get q/open/t=9 -> CLIENT_ERROR close current item first
            > get r/open -> VALUE r/open 0 1 | b | END
            > get q/close -> END
            > get r/close -> END
        """,
        "Where nothing is open or there, there is an END.": """
            > get q/close -> END
            > get q/abort -> END
            > get q/open -> END
            > get q/peek -> END
            > get q/t=0/peek -> END
            > stats queue -> END
        """,
        "A flush empties one queue, what is open included.": """
            > set q 0 0 1 | a -> STORED
            > set q 0 0 1 | b -> STORED
            > set r 0 0 1 | c -> STORED
            > get q/open -> VALUE q/open 0 1 | a | END
            > flush q -> END
            > flush none -> END
            > get q/close -> END
            > get q -> END
            > stats queue -> STAT q 2/2 | STAT r 1/0 | END
        """,
    }
)
class ReadSessions(SessionTestCase):
    """Whole sessions."""


class OptionTests(ProtocolTestCase):
    """One client with one command at a time."""

    def test_hits(self) -> None:
        """Gets with options count, those that only close or abort do not."""
        self.store.fill(b"q", b"a", b"b")
        self.client.talk(b"get q/open\r\nget q/close\r\nget q/peek\r\nget q/abort\r\n")
        self.client.talk(b"get none/t=0\r\n")
        answer = self.client.talk(b"stats\r\n")
        self.assertIn(b"STAT get_cmds 3\r\n", answer)
        self.assertIn(b"STAT get_hits 2\r\n", answer)

    def test_order(self) -> None:
        """Replies keep their places among others."""
        self.store.fill(b"q", b"a", b"b", b"c")
        self.asks(
            b"get q\r\nget q/open\r\nget q\r\n"
            + put(b"r", b"x")
            + b"get q/close\r\nversion\r\n",
            value(b"q", b"a")
            + END
            + value(b"q/open", b"b")
            + END
            + value(b"q", b"c")
            + END
            + STORED
            + END
            + VERSION,
        )
        self.assertEqual(self.client.protocol.outstanding.load, 0)
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 0)

    def test_closeIsDurable(self) -> None:
        """A close is not told before it is synced."""
        self.store.fill(b"q", b"a")
        self.client.talk(b"get q/open\r\n")
        self.client.send(b"get q/close\r\n")
        self.runTurns()
        self.assertEqual(self.client.read(), b"")
        self.asks(b"", END)

    def test_errors(self) -> None:
        """A refusal of the store is told, and the read is what it was."""
        self.store.fill(b"q", b"a")
        self.client.talk(b"get q/open\r\n")
        for verb, word in ((b"closeRead", b"close"), (b"abortRead", b"abort")):
            self.store.refuse(verb.decode(), StoreError("bad page"))
            self.asks(b"get q/%b\r\n" % word, b"SERVER_ERROR bad page\r\n")
            self.store.forgive()
        self.store.refuse("closeRead", StoreError("bad page"))
        self.asks(b"get q/close/open\r\n", b"SERVER_ERROR bad page\r\n")
        self.store.forgive()
        self.asks(b"get q/close\r\n", END)
        self.assertEqual(self.store.dump(), "q 1/1:")

    def test_flushError(self) -> None:
        """So is a flush that failed."""
        self.store.fill(b"q", b"a")
        self.store.refuse("empty", StoreError("bad page"))
        self.asks(b"flush q\r\n", b"SERVER_ERROR bad page\r\n")

    def test_damaged(self) -> None:
        """A damaged message is told like that of a get."""
        self.store.damaged[b"q"] = DamagedMessage("number 5")
        self.asks(
            b"get q/open\r\n", b"SERVER_ERROR damaged message set aside: number 5\r\n"
        )


class WaitTests(TwoClientsTestCase):
    """A client that waits."""

    def test_message(self) -> None:
        """It gets the message that comes."""
        self.asks(b"get q/t=1000\r\n", b"")
        self.assertEqual(self.other.talk(put(b"q", b"a")), STORED)
        self.assertEqual(self.client.read(), value(b"q/t=1000", b"a") + END)

    def test_time(self) -> None:
        """Or END, after the milliseconds that it said."""
        self.client.talk(b"get q/t=1500\r\n")
        self.pass_(1.4)
        self.assertEqual(self.client.read(), b"")
        self.pass_(0.2)
        self.assertEqual(self.client.read(), END)

    def test_pipelined(self) -> None:
        """Commands behind it wait as well, and are carried out after it."""
        sent = b"get q/t=1000\r\n" + put(b"q", b"own") + b"version\r\nget q\r\n"
        self.asks(sent, b"")
        self.assertEqual(self.store.dump(), "")
        self.pass_(1.0)
        self.assertEqual(
            self.client.read(), END + STORED + VERSION + value(b"q", b"own") + END
        )

    def test_one(self) -> None:
        """Each waits for its own time, one after the other."""
        self.client.talk(b"get a/t=1000\r\nget b/t=1000/open\r\nget c/peek/t=1000\r\n")
        for _ in range(3):
            self.pass_(0.9)
            self.assertEqual(self.client.read(), b"")
            self.pass_(0.1)
            self.assertEqual(self.client.read(), END)

    def test_isRead(self) -> None:
        """Waiting alone does not keep it from being read from."""
        self.client.talk(b"get q/t=1000\r\n")
        self.assertFalse(self.client.isPaused)

    def test_bounded(self) -> None:
        """But what it sends meanwhile is bounded as ever."""
        self.client.talk(b"get q/t=1000\r\n" + b"get q\r\n" * MAX_COMMANDS)
        self.assertTrue(self.client.isPaused)
        self.pass_(1.0)
        self.assertEqual(self.client.read(), END * (MAX_COMMANDS + 1))
        self.assertFalse(self.client.isPaused)

    def test_gone(self) -> None:
        """A client that is gone is noticed at once."""
        self.client.talk(b"get q/t=1000\r\n")
        self.client.end()
        self.assertEqual(self.harness.broker.waiters(b"q"), 0)
        self.assertEqual(self.harness.factory.lingering, 0)
        self.assertEqual(self.harness.reactor.calls, [])

    def test_goneWithMessage(self) -> None:
        """A message that was on its way goes back to its place.

        An open one is on its way no longer: it waits for no flush.
        """
        for option, deliveries in ((b"", 0), (b"/open", 1)):
            client = self.harness.connect()
            client.talk(b"get q%b/t=1000\r\n" % option)
            self.other.send(put(b"q", b"a"))
            self.runTurns()
            client.end()
            self.assertEqual(self.other.talk(b"get q/peek\r\n")[-8:-5], b"a\r\n")
            message = self.store.peek(b"q")
            assert isinstance(message, Message)
            self.assertEqual(self.store.deliveries(message), deliveries)
            self.other.talk(b"flush q\r\n")

    def test_quit(self) -> None:
        """With a quit behind it, it waits, and is noticed all the same."""
        self.client.talk(b"get q/t=1000\r\nquit\r\n")
        self.assertFalse(self.client.isPaused)
        self.asks(b"version\r\n" * 10, b"")
        self.pass_(1.0)
        self.assertEqual(self.client.read(), END)
        self.assertTrue(self.client.isClosed)

    def test_stop(self) -> None:
        """When the server stops it is answered END at once, and so is the next one."""
        self.client.talk(b"get q/t=1000\r\nget r/t=1000\r\nversion\r\n")
        done = self.harness.factory.finish()
        self.harness.settle()
        self.assertEqual(self.client.read(), END * 2 + VERSION)
        self.assertTrue(self.client.isClosed)
        for client in (self.client, self.other):
            client.leave()
        self.assertIsNone(self.successResultOf(done))

    def test_bodyTimedOut(self) -> None:
        """So when a body behind it does not come."""
        self.client.talk(b"get q/t=1000\r\nset q 0 0 5\r\nab")
        self.client.protocol.giveUp(BodyTimedOut())
        self.harness.settle()
        self.assertEqual(self.client.read(), END + b"CLIENT_ERROR body timed out\r\n")
        self.assertTrue(self.client.isClosed)

    def test_failed(self) -> None:
        """When the store has failed it is told."""
        self.client.talk(b"get q/t=1000\r\n")
        self.harness.broker.fail(StoreFailed("the disk is gone"))
        self.harness.settle()
        self.assertEqual(self.client.read(), b"SERVER_ERROR the disk is gone\r\n")

    def test_notReading(self) -> None:
        """A client that does not read is passed over, until it does."""
        self.client.talk(b"get q/t=10000\r\n")
        self.client.stopReading()
        self.other.talk(put(b"q", b"a"))
        self.assertEqual(self.store.dump(), "q 1/0: a")
        self.client.startReading()
        self.asks(b"", value(b"q/t=10000", b"a") + END)


class IdleTests(ProtocolTestCase):
    """A client that is silent because it waits."""

    options: ClassVar[dict[str, Any]] = {"timeouts": {"idleTimeout": 10.0}}

    def test_waits(self) -> None:
        """It is not closed as idle: it is owed an answer."""
        self.client.talk(b"get q/t=60000\r\n")
        for _ in range(50):
            self.harness.reactor.advance(1.0)
            self.harness.watch.look()
        self.harness.settle()
        self.assertFalse(self.client.isClosed)
        for _ in range(15):
            self.harness.reactor.advance(1.0)
        self.harness.settle()
        self.assertEqual(self.client.read(), END)

    def test_idleBack(self) -> None:
        """A silent client that keeps a message is closed; the message goes back."""
        self.store.fill(b"q", b"a")
        self.client.talk(b"get q/open\r\n")
        for _ in range(12):
            self.harness.watch.look()
            self.harness.reactor.advance(1.0)
        self.assertTrue(self.client.isClosed)
        self.client.end()
        self.assertEqual(self.store.dump(), "q 1/0: a")


class GoneTests(ProtocolTestCase):
    """A client that is gone with something open."""

    def deliveries(self, queue: bytes = b"q") -> int:
        """Return how often the head of q was given back."""
        message = self.store.peek(queue)
        assert isinstance(message, Message)
        return self.store.deliveries(message)

    def test_counted(self) -> None:
        """A message that was sent goes back, and counts as delivered."""
        self.store.fill(b"q", b"a", b"b")
        self.client.talk(b"get q/open\r\n")
        self.client.end()
        self.assertEqual((self.store.dump(), self.deliveries()), ("q 2/0: a b", 1))

    def test_notCounted(self) -> None:
        """A message that waited for its place among the replies was never sent."""
        self.store.fill(b"q", b"a")
        self.client.send(b"db_checkpoint\r\nget q/open\r\n")
        self.runTurns()
        self.assertEqual(self.store.dump(), "q 1/0:")
        self.client.end()
        self.assertEqual((self.store.dump(), self.deliveries()), ("q 1/0: a", 0))
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 0)

    def test_nothing(self) -> None:
        """Nothing that waited for its place costs nothing."""
        self.client.send(b"db_checkpoint\r\nget q/open\r\nget q/t=0\r\n")
        self.runTurns()
        self.client.end()
        self.assertEqual(self.harness.factory.lingering, 0)

    def test_closeUnderWay(self) -> None:
        """A close that was sent counts, though nobody hears of it."""
        self.store.fill(b"q", b"a", b"b")
        self.client.talk(b"get q/open\r\n")
        self.client.send(b"get q/close\r\n")
        self.client.end()
        self.assertEqual(self.store.dump(), "q 2/1: b")

    def test_closeOpen(self) -> None:
        """Of a close with an open the close counts, and the other goes back."""
        self.store.fill(b"q", b"a", b"b")
        self.client.talk(b"get q/open\r\n")
        self.client.send(b"get q/close/open\r\n")
        self.runTurns()
        self.client.end()
        self.assertEqual((self.store.dump(), self.deliveries()), ("q 2/1: b", 0))

    def test_several(self) -> None:
        """All open reads of it, on several queues, go back."""
        for queue in (b"a", b"b", b"c"):
            self.store.fill(queue, queue)
            self.client.talk(b"get %b/open\r\n" % queue)
        self.client.end()
        self.assertEqual(self.store.dump(), "a 1/0: a\nb 1/0: b\nc 1/0: c")

    def test_next(self) -> None:
        """The next reader gets it, even one that asked before the end was noticed."""
        self.store.fill(b"q", b"a", b"b")
        other = self.harness.connect()
        self.client.talk(b"get q/open\r\n")
        other.send(b"get q/open\r\n")
        self.client.end()
        self.assertEqual(other.read(), value(b"q/open", b"a") + END)

    def test_stop(self) -> None:
        """When the server stops nothing is counted, and nothing is written."""
        self.store.fill(b"q", b"a")
        self.client.talk(b"get q/open\r\n")
        self.harness.factory.finish()
        self.client.end()
        self.assertNotIn("begin", self.store.journal[2:])


class LargeTests(ProtocolTestCase):
    """Bodies in parts."""

    def setUp(self) -> None:
        """Send a large message, and a small one."""
        super().setUp()
        self.asks(put(b"q", LARGE) + put(b"q", b"b"), STORED * 2)

    def head(self, key: bytes) -> bytes:
        """Return the whole reply of the large message."""
        return value(key, LARGE) + END

    def halfWay(self, client: Client) -> None:
        """Let a client stop reading after the first part."""
        write = client.transport.write

        def full(data: bytes) -> None:
            write(data)
            client.stopReading()

        self.patch(client.transport, "write", full)

    def dump(self) -> str:
        """Return the small bodies, and how many large ones are kept."""
        return f"{self.store.dump()} {len(self.store.parts)}"

    def test_open(self) -> None:
        """The parts stay until the close."""
        self.asks(b"get q/open\r\n", self.head(b"q/open"))
        self.assertEqual(self.dump(), "q 2/0: b 1")
        self.asks(b"get q/close\r\n", END)
        self.assertEqual(self.dump(), "q 2/1: b 0")
        session = self.client.protocol.session
        self.assertTrue(session.outstanding.isSettled)

    def test_pipelined(self) -> None:
        """A close in the same packet lets them go after the last one was sent."""
        self.asks(
            b"get q/open\r\nget q/close/open\r\n",
            self.head(b"q/open") + value(b"q/close/open", b"b") + END,
        )
        self.assertEqual(self.dump(), "q 2/1: 0")

    def test_take(self) -> None:
        """A message that is taken lets them go."""
        self.asks(b"get q/t=5\r\n", self.head(b"q/t=5"))
        self.assertEqual(self.dump(), "q 2/1: b 0")

    def test_peek(self) -> None:
        """A message that is looked at keeps them."""
        for _ in range(2):
            self.asks(b"get q/peek\r\n", self.head(b"q/peek"))
        self.assertEqual(self.dump(), "q 2/0:  b 1")
        session = self.client.protocol.session
        self.assertTrue(session.outstanding.isSettled)

    def test_abort(self) -> None:
        """A message that goes back is there as it was."""
        self.client.talk(b"get q/open\r\nget q/abort\r\n")
        self.asks(b"get q\r\n", self.head(b"q"))

    def test_goneHalfWay(self) -> None:
        """A message not sent to its end goes back when its reader is gone."""
        for option in (b"t=5", b"open", b"peek"):
            client = self.harness.connect()
            self.halfWay(client)
            client.send(b"get q/%b\r\n" % option)
            self.harness.settle()
            client.end()
            self.assertEqual(self.dump(), "q 2/0:  b 1")
            session = client.protocol.session
            self.assertTrue(session.outstanding.isSettled)

    def test_goneAfterClose(self) -> None:
        """A message that was closed is gone, and its parts are."""
        self.client.talk(b"get q/open\r\n")
        self.client.send(b"get q/close\r\n")
        self.runTurns()
        self.client.end()
        self.assertEqual(self.dump(), "q 2/1: b 0")

    def test_peekTaken(self) -> None:
        """A peek breaks off when somebody else takes the message; that is no damage."""
        self.patch(self.store, "setAside", self.fail)
        cut: list[bool] = []
        client = self.harness.connect()
        self.patch(client.transport, "abortConnection", lambda: cut.append(True))
        self.halfWay(client)
        client.send(b"get q/peek\r\n")
        self.harness.settle()
        self.asks(b"get q\r\n", self.head(b"q"))
        self.harness.broker.sweep()
        self.harness.settle()
        client.startReading()
        self.harness.settle()
        self.assertEqual(cut, [True])
        client.end()
        self.assertEqual(self.dump(), "q 2/1: b 0")

    def damage(self, key: bytes) -> list[str]:
        """Ask for it when its second part is damaged; return what is logged."""
        part = self.store.part

        def damaged(body: int, number: int) -> bytes:
            if number == 1:
                raise DamagedMessage("part 1")
            return part(body, number)

        self.patch(self.store, "part", damaged)
        cut: list[bool] = []
        client = self.harness.connect()
        self.patch(client.transport, "abortConnection", lambda: cut.append(True))
        with capturedLogs() as events:
            client.talk(b"get %b\r\n" % key)
        self.assertEqual(cut, [True])
        client.end()
        return [str(event["log_level"].name) for event in events]

    def test_damagedOpen(self) -> None:
        """An open one with a damaged part is set aside, and does not go back."""
        aside: list[Message] = []
        self.patch(self.store, "setAside", aside.append)
        self.assertEqual(self.damage(b"q/open"), ["error"])
        self.assertEqual([message.sequence for message in aside], [0])
        self.assertEqual(self.store.dump(), "q 2/1: b")

    def test_damagedTaken(self) -> None:
        """So is one that was taken."""
        aside: list[Message] = []
        self.patch(self.store, "setAside", aside.append)
        self.damage(b"q/t=5")
        self.assertEqual([message.sequence for message in aside], [0])
        self.assertEqual(self.store.dump(), "q 2/1: b")

    def test_damagedPeek(self) -> None:
        """A message that was looked at stays: the next get finds it out."""
        self.patch(self.store, "setAside", self.fail)
        self.damage(b"q/peek")
        self.assertEqual(self.store.dump(), "q 2/0:  b")

    def test_load(self) -> None:
        """An open read that was sent is no load."""
        self.harness.broker.budget.window = 4 * COMMAND_LOAD
        self.client.talk(b"get q/open\r\n")
        self.assertFalse(self.client.isPaused)
