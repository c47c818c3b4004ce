"""Several queues with options in one line, as a client sees them."""

from __future__ import annotations

from memq.errors import DamagedMessage, StoreError, StoreFailed
from memq.message import PART_SIZE
from memq.operations.openreads.ending import ENDED_AT_ONCE
from memq.test.commands.test_protocol import END, STORED, TwoClientsTestCase, put, value
from memq.test.support.sessions import VERSION, SessionTestCase, sessions

CLOSE_FIRST = b"CLIENT_ERROR close current item first\r\n"
#: A body in two parts.
LARGE = b"0123456789" * (PART_SIZE // 10 + 9)


@sessions(
    {
        "Each has its own options, its key and its place.": """
            > set a 7 0 2 | a1 -> STORED
            > set b 0 0 2 | b1 -> STORED
            > set c 0 0 2 | c1 -> STORED
            > get c/peek none/open b a/open
            < VALUE c/peek 0 2
            < c1
            < VALUE b 0 2
            < b1
            < VALUE a/open 7 2
            < a1
            < END
            > gets a/abort c/t=5 a/close/open
            < VALUE c/t=5 0 2 0
            < c1
            < VALUE a/close/open 7 2 0
            < a1
            < END
            > GET a/close b/close -> END
            > stats queue -> STAT a 1/1 | STAT b 1/1 | STAT c 1/1 | END
        """,
        "An error stands in the place of END, and nothing behind it is done.": """
            > set a 0 0 2 | a1 -> STORED
            > set b 0 0 2 | b1 -> STORED
            > get a/open a/open b b/close
            < VALUE a/open 0 2
            < a1
            < CLIENT_ERROR close current item first
            > get b/open -> VALUE b/open 0 2 | b1 | END
            > get a/open a/close b/abort -> CLIENT_ERROR close current item first
            > get a/close b/close -> END
            > stats queue -> STAT a 1/1 | STAT b 1/1 | END
        """,
        "What is wrong with one is wrong with the line, and nothing is done.": """
            > set a 0 0 2 | a1 -> STORED
            > get a a/what -> CLIENT_ERROR unknown option
            > get a/open b/open/open -> CLIENT_ERROR option given twice
            > get a/open -> VALUE a/open 0 2 | a1 | END
        """,
    }
)
class SeveralSessions(SessionTestCase):
    """Lines of several reads."""


class SeveralTests(TwoClientsTestCase):
    """A client that reads from several queues."""

    def test_mostInALine(self) -> None:
        """So many as may stand in a line are answered, in order."""
        names = [b"q%d" % number for number in range(250)]
        for name in names:
            self.store.fill(name, name)
        keys = [name + b"/open" for name in names]
        blocks = [value(key, name) for key, name in zip(keys, names, strict=True)]
        self.asks(
            b"get " + b" ".join(keys) + b"\r\nversion\r\n",
            b"".join(blocks) + END + VERSION,
        )
        self.assertEqual(self.client.protocol.outstanding.load, 0)
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 0)

    def test_counted(self) -> None:
        """Each name that is read counts as a get, what only closes does not."""
        self.store.fill(b"a", b"1")
        self.client.talk(b"get a/open b a/close c/peek\r\n")
        answer = self.client.talk(b"stats\r\n")
        self.assertIn(b"STAT get_cmds 3\r\n", answer)
        self.assertIn(b"STAT get_hits 1\r\n", answer)

    def test_large(self) -> None:
        """A body in parts stands in its place among them."""
        self.store.fill(b"c", b"3")
        self.client.talk(put(b"b", LARGE))
        self.store.fill(b"a", b"1")
        self.asks(
            b"get a/open b/open c/open\r\n",
            value(b"a/open", b"1")
            + value(b"b/open", LARGE)
            + value(b"c/open", b"3")
            + END,
        )

    def test_storeErrors(self) -> None:
        """A refusal of the store is told once, and those behind are as before."""
        self.store.fill(b"a", b"1")
        self.store.fill(b"b", b"2")
        self.client.talk(b"get b/open\r\n")
        for method, line, told in (
            ("openRead", b"get a/open b/close b/abort\r\n", b""),
            ("closeRead", b"get a/peek b/close b/t=0\r\n", value(b"a/peek", b"1")),
            ("abortRead", b"get a/peek b/abort b\r\n", value(b"a/peek", b"1")),
        ):
            self.store.refuse(method, StoreError("bad page"))
            self.assertEqual(
                self.client.talk(line), told + b"SERVER_ERROR bad page\r\n", line
            )
            self.store.forgive()
        self.asks(b"get b/open\r\n", CLOSE_FIRST)
        self.asks(b"get a/open b/close\r\n", value(b"a/open", b"1") + END)

    def test_damaged(self) -> None:
        """Behind a message that is set aside, nothing is taken."""
        self.store.fill(b"b", b"2")
        self.store.damaged[b"a"] = DamagedMessage("number 5")
        self.asks(
            b"get a/t=5 b\r\n", b"SERVER_ERROR damaged message set aside: number 5\r\n"
        )
        self.assertEqual(self.other.talk(b"get b\r\n"), value(b"b", b"2") + END)

    def test_failed(self) -> None:
        """When the store fails for good it is told, once, and the connection closed."""
        self.client.talk(b"get a/t=1000 b/t=1000\r\n")
        self.harness.broker.fail(StoreFailed("the disk is gone"))
        self.harness.settle()
        self.assertEqual(self.client.read(), b"SERVER_ERROR the disk is gone\r\n")
        self.assertTrue(self.client.isClosed)

    def test_manyAborted(self) -> None:
        """An abort of many at once is over before what stands behind it."""
        bodies = [b"%d" % number for number in range(ENDED_AT_ONCE + 5)]
        self.store.fill(b"q", *bodies)
        self.client.talk(b"monitor q 0\r\n")
        self.asks(b"get q/abort q/open\r\n", value(b"q/open", b"0") + END)


class WaitTests(TwoClientsTestCase):
    """A client that waits for several queues."""

    def test_together(self) -> None:
        """They wait for as long as the longest, and not one after the other."""
        self.client.talk(b"get a/t=1000 b/t=3000/open c/t=2000/peek\r\nversion\r\n")
        self.harness.pass_(2.9)
        self.assertEqual(self.client.read(), b"")
        self.harness.pass_(0.2)
        self.assertEqual(self.client.read(), END + VERSION)
        self.assertEqual(self.harness.reactor.calls, [])

    def test_answers(self) -> None:
        """Messages are sent in the order of the words, as soon as they can be."""
        self.client.talk(b"get a/t=2000 b/t=2000/open c\r\n")
        self.other.talk(put(b"b", b"2") + put(b"c", b"3"))
        self.assertEqual(self.client.read(), b"")
        self.harness.pass_(1.0)
        self.other.talk(put(b"a", b"1"))
        self.assertEqual(
            self.client.read(),
            value(b"a/t=2000", b"1")
            + value(b"b/t=2000/open", b"2")
            + value(b"c", b"3")
            + END,
        )

    def test_first(self) -> None:
        """The message that the first word finds is sent while others wait."""
        self.store.fill(b"a", b"1")
        self.asks(b"get a/open b/t=1000/open\r\n", value(b"a/open", b"1"))
        self.other.talk(put(b"b", b"2"))
        self.assertEqual(self.client.read(), value(b"b/t=1000/open", b"2") + END)

    def test_lateOnes(self) -> None:
        """A message that came while another word waited is had when the time is up."""
        self.client.talk(b"get a/t=1000 b/t=1000\r\n")
        self.other.talk(put(b"b", b"2"))
        self.harness.pass_(1.0)
        self.assertEqual(self.client.read(), value(b"b/t=1000", b"2") + END)

    def test_notKept(self) -> None:
        """It keeps nobody else from a message that it cannot be told of yet."""
        self.client.talk(b"get a/t=1000 b/t=1000\r\n")
        self.other.talk(put(b"b", b"2"))
        self.assertEqual(self.other.talk(b"get b\r\n"), value(b"b", b"2") + END)
        self.harness.pass_(1.1)
        self.assertEqual(self.client.read(), END)

    def test_gone(self) -> None:
        """Open reads of a client go back when it leaves while it waits."""
        self.store.fill(b"a", b"1")
        self.client.talk(b"get a/open b/t=1000 c\r\n")
        self.client.end()
        self.assertEqual(self.other.talk(b"get a\r\n"), value(b"a", b"1") + END)
        self.assertEqual(self.harness.broker.waiters(b"b"), 0)
        self.assertEqual(self.harness.reactor.calls, [])
        self.assertEqual(self.harness.factory.lingering, 0)

    def test_goneBeforeSent(self) -> None:
        """So does what it had taken, and was not sent."""
        self.store.fill(b"a", b"1")
        self.client.send(b"get a/t=5 b/t=1000\r\n")
        self.runTurns()
        self.client.end()
        self.assertEqual(self.store.dump(), "a 1/0: 1")

    def test_stop(self) -> None:
        """When the server stops, none waits any longer."""
        self.client.talk(b"get a/t=1000 b/t=1000/open\r\n" + put(b"c", b"3"))
        done = self.harness.factory.finish()
        self.harness.settle()
        self.assertEqual(self.client.read(), END + STORED)
        for client in (self.client, self.other):
            client.leave()
        self.assertIsNone(self.successResultOf(done))

    def test_ordered(self) -> None:
        """A wait whose time was over before its turn still looks."""
        self.client.talk(b"get a/t=2000 b/t=1\r\n")
        self.harness.pass_(1.0)
        self.other.talk(put(b"b", b"2"))
        self.harness.pass_(1.0)
        self.assertEqual(self.client.read(), value(b"b/t=1", b"2") + END)
