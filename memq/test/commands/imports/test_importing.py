"""Imports beside other clients: whole, exact, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.message import Reason, Trace
from memq.operations.imports.chunks import PutChunk
from memq.storage.bdb import bulkloader
from memq.storage.engine.binding import ERRORS
from memq.test.support.harness import Harness
from memq.test.support.homes import NO_SPACE, BDBTestCase, Failing, dump
from memq.test.support.readers import rules
from memq.wire.imports.grammar import beginLine, putLine
from memq.wire.imports.items import (
    Finished,
    Item,
    Part,
    QueueBegins,
    QueueEnds,
    Reached,
    packItem,
)

if TYPE_CHECKING:
    from memq.policy.rules import Rules

TOKEN = bytes(15) + b"1"
BEGIN = beginLine(TOKEN, False)
APPEND = beginLine(TOKEN, True)
DEAD = Trace(2, b"first", Reason.EXPIRED, 5)
BAD = b"CLIENT_ERROR bad command line format\r\n"
USED = b"SERVER_ERROR import: queue q was used meanwhile, and is not imported\r\n"
THERE = (
    b"SERVER_ERROR import: queue q is there and has messages; "
    b"append (--append) was not asked for\r\n"
)


def put(*items: Any) -> bytes:
    """Return the line of a chunk."""
    return putLine(b"".join(map(packItem, items)))


def reached(line: int) -> bytes:
    """Return the answer that says how far an import is."""
    return b"IMPORTED %d\r\n" % line


class ImportingTestCase(BDBTestCase):
    """A server on a store, and clients."""

    queues: Rules | None = None

    def setUp(self) -> None:
        """Start it."""
        self.start(self.openStore())

    def start(self, store: Any) -> None:
        """Let a server have a store."""
        self.store = store
        self.harness = Harness(store=store, rules=self.queues, flushAllEnabled=True)
        self.client = self.harness.connect()
        self.other = self.harness.connect()

    def sweep(self) -> None:
        """Remove what is to be removed."""
        while self.store.hasGarbage():
            self.store.sweep(100)

    def again(self) -> str:
        """Let a new server find what a crash leaves; return what is in the store."""
        self.start(self.reopened(self.store))
        self.sweep()
        return dump(self.store)


class WholeTests(ImportingTestCase):
    """Queues that are not there before."""

    def test_whole(self) -> None:
        """A queue is seen when all of it is there, as it was."""
        said = self.client.talk(
            BEGIN
            + put(QueueBegins(b"q", 5, 3), Item(7, 1, b"a"))
            + put(Item(8, 2, b"b", deliveries=3, trace=DEAD))
        )
        self.assertEqual(said, reached(0) * 3)
        self.assertEqual(self.other.talk(b"get q\r\nstats queue\r\n"), b"END\r\n" * 2)
        said = self.client.talk(put(QueueEnds(4)) + put(Finished(5)))
        self.assertEqual(said, reached(4) + reached(5))
        seen = self.other.talk(b"stats peek q\r\nget q\r\nget q/open\r\n")
        self.assertIn(b"VALUE q 7 1\r\na\r\nEND\r\nVALUE q/open 8 1\r\nb\r\n", seen)
        peeked = self.other.talk(b"get q/abort\r\nstats peek q\r\n")
        self.assertIn(b"first", peeked)
        self.assertEqual(self.again(), "q 5/4\n  1 8 b'b'")

    def test_counters(self) -> None:
        """What was set elsewhere is not counted as set here."""
        before = self.store.gone()
        self.client.talk(BEGIN + put(QueueBegins(b"q", 5, 5), QueueEnds(3)))
        after = self.store.gone()
        self.assertEqual((before.pushed - after.pushed, after.taken), (5, -5))

    def test_waits(self) -> None:
        """Those that wait get messages when they are there, and delayed ones later."""
        self.harness.timeOfDay = 1000.0
        self.other.send(b"get q/t=60000\r\n")
        self.client.talk(
            BEGIN + put(QueueBegins(b"q", 0, 0), Item(0, 1, b"late", due=1_002_000))
        )
        self.harness.pass_(3)
        self.assertEqual(self.client.talk(put(QueueEnds(3))), reached(3))
        self.harness.pass_(1)
        self.assertIn(b"late", self.other.talk(b""))

    def test_large(self) -> None:
        """A body in parts is one again."""
        body = b"x" * 40_000
        self.client.talk(BEGIN + put(QueueBegins(b"q", 1, 0), Part(body)))
        self.client.talk(put(Part(body)) + put(Item(0, 1, b"", isLarge=True)))
        self.assertEqual(self.client.talk(put(QueueEnds(3))), reached(3))
        found = self.other.talk(b"get q\r\n")
        self.assertEqual(found, b"VALUE q 0 80000\r\n" + body * 2 + b"\r\nEND\r\n")

    def test_instead(self) -> None:
        """One that is there and empty keeps its counts, and its settings."""
        self.other.talk(b"set q 0 0 1\r\nx\r\nget q\r\npause q writes\r\n")
        first = QueueBegins(b"q", 9, 8, 3, 1)
        chunk = put(first, Item(0, 1, b"a", deliveries=1), QueueEnds(4))
        self.assertEqual(self.client.talk(BEGIN + chunk), reached(0) + reached(4))
        told = self.other.talk(b"stats queue\r\nset q 0 0 1\r\nx\r\nget q\r\n")
        expected = b"STAT q 2/1\r\nEND\r\nNOT_STORED\r\nVALUE q 0 1\r\na\r\nEND\r\n"
        self.assertEqual(told, expected)

    def test_settings(self) -> None:
        """Limit and pauses come with a queue that is not there, and hold at once."""
        chunk = put(QueueBegins(b"q", 1, 0, 1, 1), Item(0, 1, b"a"), QueueEnds(4))
        self.client.talk(BEGIN + chunk)
        told = self.other.talk(b"set q 0 0 1\r\nx\r\nget q\r\n")
        self.assertEqual(told, b"NOT_STORED\r\nEND\r\n")


class RuleTests(ImportingTestCase):
    """Queues with rules."""

    queues = rules(q={"max_items": 1, "fanout": ("f",), "max_body": 1})

    def test_rules(self) -> None:
        """No rule changes what is imported."""
        chunk = put(QueueBegins(b"q", 3, 0), *[Item(0, 1, b"long")] * 3, QueueEnds(4))
        self.assertEqual(self.client.talk(BEGIN + chunk), reached(0) + reached(4))
        self.assertIn(b"q 3/0", self.other.talk(b"stats queue\r\n"))
        self.assertNotIn(b"STAT f", self.other.talk(b"stats queue\r\n"))


class RefusedTests(ImportingTestCase):
    """What is not imported."""

    def test_there(self) -> None:
        """A queue that has messages is refused, and all behind it; nothing stays."""
        self.other.talk(b"set q 0 0 1\r\nx\r\n")
        chunks = (
            put(QueueBegins(b"p", 1, 0), Item(0, 1, b"a", due=7)),
            put(*(Item(0, 1, b"b"), QueueEnds(4)), QueueBegins(b"q", 0, 0)),
        )
        said = self.client.talk(BEGIN + b"".join(chunks) + put(Finished(9)))
        self.assertEqual(said, reached(0) * 2 + THERE * 2)
        self.client.leave()
        self.harness.settle()
        self.sweep()
        self.assertEqual(dump(self.store), "q 1/0\n  0 0 b'x'")
        self.assertEqual(self.store.transaction.messages.stat()["nkeys"], 1)

    def test_meanwhile(self) -> None:
        """One whose name was used meanwhile is refused, even if it is empty again."""
        for used in (b"", b"get q\r\n"):
            self.start(self.openStore())
            self.client.talk(BEGIN + put(QueueBegins(b"q", 1, 0), Item(0, 1, b"a")))
            self.other.talk(b"set q 0 0 1\r\nx\r\n" + used)
            self.assertEqual(self.client.talk(put(QueueEnds(3))), USED)

    def test_grammar(self) -> None:
        """Items in another order are refused, and what is no item."""
        queue = QueueBegins(b"q", 1, 0)
        item, large = Item(0, 1, b"a"), Item(0, 1, b"", isLarge=True)
        for items in (
            (item,),
            (Part(b"a"),),
            (QueueEnds(1),),
            (Reached(1),),
            (queue, queue),
            (queue, large),
            (queue, item, large),
            (queue, Part(b"a"), item),
            (queue, Part(b"a"), QueueEnds(2)),
            (queue, Finished(2)),
            (queue, item, item, QueueEnds(2)),
        ):
            self.start(self.openStore())
            said = self.client.talk(BEGIN + put(*items))
            self.assertEqual(said, reached(0) + BAD, items)
        self.assertEqual(self.other.talk(put(queue)), BAD)
        said = self.other.talk(BEGIN + putLine(b"?"))
        self.assertEqual(said, reached(0) + BAD)

    def test_bounded(self) -> None:
        """A body has no more bytes than any other may have."""
        self.patch(PutChunk, "mostBody", 5)
        said = self.client.talk(
            BEGIN + put(QueueBegins(b"q", 1, 0), Part(b"abc"), Part(b"def"))
        )
        self.assertEqual(said, reached(0) + BAD)

    def test_full(self) -> None:
        """On a full disk nothing is imported, and nothing of it stays."""
        self.harness.fillDisk()
        chunk = put(QueueBegins(b"q", 1, 0), Item(0, 1, b"a"))
        full = b"SERVER_ERROR out of disk space\r\n"
        self.assertEqual(self.client.talk(BEGIN + chunk), reached(0) + full)
        self.harness.makeRoom()
        self.assertEqual(self.client.talk(put(QueueEnds(3))), full)
        self.assertEqual(self.client.talk(BEGIN + chunk), reached(0) * 2)
        messages = self.store.transaction.messages
        self.store.transaction.messages = Failing(messages, NO_SPACE, "put")
        self.assertEqual(self.client.talk(put(Item(0, 1, b"b"))), full)
        self.store.transaction.messages = messages
        self.assertEqual(self.again(), "")

    def test_undone(self) -> None:
        """A turn that is undone and run again imports each message once."""
        self.client.talk(BEGIN + put(QueueBegins(b"q", 2, 0), Item(0, 1, b"a")))
        commit = self.store.commit
        failed: list[bool] = []

        def failing() -> None:
            if not failed:
                failed.append(True)
                raise ERRORS[0]("no")
            commit()

        self.store.commit = failing
        chunk = put(Item(0, 2, b"b", deliveries=2), QueueEnds(4))
        self.assertEqual(self.client.talk(chunk), reached(4))
        self.assertTrue(failed)
        self.assertEqual(dump(self.store), "q 2/0\n  0 0 b'a'\n  1 0 b'b'")


class AgainTests(ImportingTestCase):
    """An import that is interrupted."""

    def test_gone(self) -> None:
        """What nobody sees goes with the client, parts of a body as well."""
        self.client.talk(BEGIN + put(QueueBegins(b"p", 1, 0), Item(0, 1, b"a")))
        self.client.talk(put(QueueEnds(3), QueueBegins(b"q", 1, 0), Item(0, 1, b"b")))
        self.client.talk(put(Item(0, 1, b"c", due=1 << 40), Part(b"d" * 40_000)))
        self.assertEqual(self.store.transaction.messages.stat()["nkeys"], 4)
        self.client.leave()
        self.harness.settle()
        self.sweep()
        self.assertEqual(self.store.transaction.messages.stat()["nkeys"], 1)
        self.assertEqual(self.other.talk(BEGIN), reached(3))
        self.assertEqual(self.again(), "p 1/0\n  0 0 b'a'")

    def test_audited(self) -> None:
        """Its end is told of once, whether its client hears of it or not."""
        events: list[Any] = []
        self.patch(self.harness.factory.audit, "_publish", events.append)
        for leaves, queue, count in (
            (False, b"p", 1),
            (True, b"q", 1),
            (True, b"p", 0),
        ):
            client = self.harness.connect()
            whole = put(QueueBegins(queue, 1, 0), Item(0, 1, b"a"), QueueEnds(3))
            token = beginLine(queue * 16, False)
            client.send(token + whole + put(Finished(4)))
            if leaves:
                client.leave()
            self.harness.settle()
            results = [each["result"] for each in events]
            events.clear()
            self.assertEqual(results.count("IMPORTED all"), count, results)

    def test_refusalAudited(self) -> None:
        """The first chunk that is refused is told of once, heard or not."""
        events: list[Any] = []
        self.patch(self.harness.factory.audit, "_publish", events.append)
        self.other.talk(b"set q 0 0 1\r\nx\r\n")
        for leaves in (False, True):
            client = self.harness.connect()
            client.send(BEGIN + 2 * put(QueueBegins(b"q", 0, 0)) + put(Finished(9)))
            if leaves:
                client.leave()
            self.harness.settle()
            told = [each for each in events if each["error"]]
            events.clear()
            why = THERE.decode().rstrip()
            self.assertEqual([each["result"] for each in told], [why])
            self.assertEqual([each["error"] for each in told], [why])

    def test_killed(self) -> None:
        """So it does with the server; how far it was is known to the next one."""
        self.client.talk(BEGIN + put(QueueBegins(b"p", 1, 0), Item(0, 1, b"a")))
        self.client.talk(put(QueueEnds(3), QueueBegins(b"q", 1, 0), Item(0, 1, b"b")))
        self.start(self.crashed(self.store))
        self.sweep()
        self.assertEqual(dump(self.store), "p 1/0\n  0 0 b'a'")
        self.assertEqual(self.client.talk(BEGIN), reached(3))
        rest = put(QueueBegins(b"q", 1, 0), Item(0, 1, b"b"), QueueEnds(6))
        self.assertEqual(
            self.client.talk(rest + put(Finished(7))), reached(6) + reached(7)
        )
        self.assertEqual(self.other.talk(BEGIN), b"IMPORTED 7 all\r\n")

    def test_twice(self) -> None:
        """Two that import the same do not do it twice."""
        self.other.talk(b"set q 0 0 1\r\nx\r\n")
        self.assertEqual(self.client.talk(APPEND), reached(0))
        self.assertEqual(self.other.talk(APPEND), reached(0))
        chunk = put(QueueBegins(b"q", 1, 0), Item(0, 1, b"a"), Reached(3))
        self.assertEqual(self.client.talk(chunk), reached(3))
        refused = b"SERVER_ERROR import: another client imports the same\r\n"
        self.assertEqual(self.other.talk(chunk), refused)
        self.assertIn(b"q 2/0", self.other.talk(b"stats queue\r\n"))

    def test_append(self) -> None:
        """Messages behind others are seen at once, and it goes on behind the last."""
        self.other.talk(b"set q 0 0 1\r\nx\r\n")
        queue = QueueBegins(b"q", 3, 0)
        said = self.client.talk(
            APPEND + put(queue, Item(0, 1, b"a", deliveries=1), Reached(3))
        )
        self.assertEqual(said, reached(0) + reached(3))
        self.client.leave()
        self.other.talk(b"get q\r\nget q\r\n")
        later = Item(0, 2, b"b", due=1000)
        self.harness.timeOfDay = 5.0
        said = self.other.talk(
            APPEND + put(queue._replace(goesOn=True), later, Reached(4), QueueEnds(5))
        )
        self.assertEqual(said, reached(3) + reached(5))
        self.harness.pass_(1)
        self.assertIn(b"VALUE q 0 1\r\nb\r\n", self.other.talk(b"get q\r\n"))

    def test_unmarked(self) -> None:
        """Messages that are seen at once come with the line that they reach."""
        self.other.talk(b"set q 0 0 1\r\nx\r\n")
        chunk = put(QueueBegins(b"q", 1, 0), Item(0, 1, b"a"))
        self.assertEqual(self.client.talk(APPEND + chunk), reached(0) + BAD)
        self.assertIn(b"q 1/0", self.other.talk(b"stats queue\r\n"))

    def test_unseenIsNot(self) -> None:
        """Of a queue that nobody sees no line counts before its end."""
        chunk = put(QueueBegins(b"q", 1, 0), Item(0, 1, b"a"), Reached(3))
        self.assertEqual(self.client.talk(APPEND + chunk), reached(0) * 2)

    def test_rows(self) -> None:
        """Of many imports the last ones are known."""
        self.patch(bulkloader, "_IMPORTS", 2)
        for number in range(4):
            self.harness.timeOfDay += 1
            token = bytes(15) + bytes([number])
            said = self.client.talk(beginLine(token, False) + put(Finished(number)))
            self.assertEqual(said, reached(0) + reached(number))
        told = [
            self.client.talk(beginLine(bytes(15) + bytes([number]), False))
            for number in range(4)
        ]
        self.assertEqual(told[:2], [reached(0)] * 2)
        self.assertEqual(told[2:], [b"IMPORTED 2 all\r\n", b"IMPORTED 3 all\r\n"])


class MemoryTests(ImportingTestCase):
    """A store in memory."""

    def setUp(self) -> None:
        """Start a server."""
        self.harness = Harness()

    def test_refused(self) -> None:
        """It refuses an import."""
        events: list[Any] = []
        self.patch(self.harness.factory.audit, "_publish", events.append)
        said = self.harness.connect().talk(BEGIN + put(Finished(1)))
        self.assertEqual(len([each for each in events if each["error"]]), 1)
        refused = b"SERVER_ERROR import: a store in memory imports nothing\r\n"
        self.assertEqual(said, refused * 2)
