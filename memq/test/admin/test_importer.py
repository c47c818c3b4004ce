"""Queues of an export are brought into a home, whole or not at all."""

from __future__ import annotations

import os
import shutil
from io import BytesIO
from typing import TYPE_CHECKING, Any

from memq.admin import importer
from memq.admin.exportformat import Begin, Body, End, QueueBegin, QueueEnd, packLine
from memq.admin.importer import Import, ImportRefused
from memq.errors import StoreError
from memq.message import PART_SIZE
from memq.storage.record import DELIVERIES, NEXT_ID
from memq.test.admin.test_exporter import ExportTestCase
from memq.test.support.disks.wrecks import take
from memq.test.support.homes import NO_SPACE, Failing, dump
from memq.test.support.homes import details as everyDetail

if TYPE_CHECKING:
    from memq.figures import QueueDetail


def details(store: Any) -> list[QueueDetail]:
    """Return what an import keeps of the details of all queues."""
    return [
        detail._replace(returns=0, lastUsed=0, headTime=0)
        for detail in everyDetail(store)
    ]


def packed(*lines: Any) -> bytes:
    """Return lines as they are in a file."""
    return b"".join(map(packLine, lines))


def oneQueue(begin: QueueBegin, *bodies: Body) -> bytes:
    """Return an export of a queue, in which the other messages are damaged."""
    count = len(bodies)
    end = QueueEnd(count, begin.pushed - begin.taken - count)
    return packed(Begin(), begin, *bodies, end, End(1))


class ImportTestCase(ExportTestCase):
    """Has homes to import into."""

    def restoring(self) -> Any:
        """Return an open store on a new home."""
        return self.openStore()

    def bring(self, store: Any, text: bytes, append: bool = False) -> Import:
        """Import lines, and return who did."""
        work = Import(store, append, self.progress)
        work.run(BytesIO(text))
        return work

    def refused(self, store: Any, text: bytes, append: bool = False) -> str:
        """Return why lines are not imported."""
        work = Import(store, append, self.progress)
        return str(self.assertRaises(ImportRefused, work.run, BytesIO(text)))

    def asServer(self, store: Any) -> Any:
        """Return what a server finds in the home, without what it sweeps."""
        server: Any = self.reopened(store)
        while server.hasGarbage():
            server.sweep(100)
        return server


class RoundTripTests(ImportTestCase):
    """Exported messages are there again."""

    def test_roundTrip(self) -> None:
        """Names, counts, order, flags, times and bodies are the same."""
        for seed in range(2):
            store = self.openStore()
            self.fillAnyhow(store, seed, 1000)
            before, was = sorted(store.counts()), details(store)
            complete, text = self.export(self.letGo(store))
            self.assertTrue(complete)
            other = self.restoring()
            work = self.bring(other, text)
            self.assertEqual(work.queues, len(before))
            self.assertEqual(work.messages, other.index.stored())
            server = self.asServer(other)
            self.assertEqual(sorted(server.counts()), before)
            keys = server.transaction.queues.keys()
            rows = [key for key in keys if not key.startswith(DELIVERIES)]
            self.assertEqual(len(rows), len(before) + 1)
            self.assertEqual(details(server), was)
            self.assertEqual(self.export(self.letGo(server)), (True, text))

    def test_many(self) -> None:
        """Thousands of messages are imported in batches, with checkpoints."""
        bodies = [Body(0, 1, b"%d" % number * 20) for number in range(5000)]
        text = oneQueue(QueueBegin(b"q", 5000, 0), *bodies)
        store = self.restoring()
        checkpoints: list[None] = []
        real = store.checkpoint

        def checkpoint() -> None:
            checkpoints.append(None)
            real()

        store.checkpoint = checkpoint
        Import(store, False, self.progress, volume=200_000).run(BytesIO(text))
        self.assertGreater(len(checkpoints), 2)
        self.assertEqual(self.export(self.letGo(store)), (True, text))

    def test_largest(self) -> None:
        """A body of many parts comes through, in more than one transaction."""
        body = os.urandom(1 << 20) * 9
        text = oneQueue(QueueBegin(b"q", 1, 0), Body(0, 1, body))
        store = self.restoring()
        self.bring(store, text)
        self.assertEqual(self.export(self.letGo(store)), (True, text))

    def test_damaged(self) -> None:
        """A message that was damaged at the export counts as taken."""
        text = oneQueue(QueueBegin(b"q", 9, 5), Body(0, 1, b"x"))
        store = self.restoring()
        self.bring(store, text)
        self.assertEqual(dump(store), "q 9/8\n  0 0 b'x'")

    def test_noTime(self) -> None:
        """A message without a time was set now."""
        store = self.restoring()
        self.bring(store, oneQueue(QueueBegin(b"q", 1, 0), Body(0, None, b"x")))
        store.begin()
        self.assertGreater(store.pop(b"q").time, 1_700_000_000_000)
        store.abort()


TWO = (
    Begin(),
    QueueBegin(b"q", 3, 1),
    Body(5, 1, b"1"),
    Body(5, 1, b"2"),
    QueueEnd(2, 0),
    QueueBegin(b"r", 2, 0),
    Body(5, 1, b"3"),
    Body(5, 1, b"y" * (PART_SIZE + 1)),
    QueueEnd(2, 0),
    End(2),
)
Q = "q 3/1\n  0 5 b'1'\n  1 5 b'2'"


class AgainTests(ImportTestCase):
    """A home that has queues already."""

    def test_notEmpty(self) -> None:
        """A queue that has messages is refused, and what came before is there."""
        store = self.restoring()
        self.fill(store, b"r", b"old")
        self.assertEqual(
            self.refused(store, packed(*TWO)),
            "line 6: queue r is there and has messages; "
            "with --append these are appended",
        )
        self.assertEqual(dump(self.asServer(store)), f"{Q}\nr 1/0\n  0 0 b'old'")

    def test_names(self) -> None:
        """A refusal shows a name as it is written, and escapes for what is no text."""
        store = self.restoring()
        for name, shown in (("队列".encode(), "队列"), (b"\xff\xc2\x9b", r"\xff\x9b")):
            self.fill(store, name, b"old")
            text = packed(Begin(), QueueBegin(name, 1, 0), Body(0, None, b"x"))
            self.assertIn(f"line 2: queue {shown} is", self.refused(store, text))
        text = packed(Begin(), QueueBegin(b"a b\n\x1b", 0, 0))
        self.assertEqual(
            self.refused(store, text),
            r'line 2: "a b\n\x1b" is no name of a queue',
        )

    def test_append(self) -> None:
        """When it is asked for, they are appended, and counted as set."""
        store = self.restoring()
        self.fill(store, b"q", b"old", b"older")
        take(store, b"q", 1)
        work = self.bring(store, packed(*TWO[:5], End(1)), append=True)
        self.assertEqual((work.queues, work.messages), (1, 2))
        self.assertEqual(
            dump(self.asServer(store)),
            "q 4/1\n  1 0 b'older'\n  2 5 b'1'\n  3 5 b'2'",
        )

    def test_appendCut(self) -> None:
        """Messages appended before a file ends too early are there, and counted."""
        store = self.restoring()
        self.fill(store, b"q", b"old")
        bodies = [Body(0, 1, b"x" * 1000) for _ in range(2500)]
        work = Import(store, True, self.progress)
        text = packed(Begin(), QueueBegin(b"q", 2500, 0), *bodies)
        self.assertRaises(ImportRefused, work.run, BytesIO(text))
        self.assertEqual((work.queues, work.messages), (0, 2000))
        self.assertEqual(store.status()["messages"], 2001)

    def test_emptyQueue(self) -> None:
        """An empty queue takes the messages; its counts and numbers go on."""
        store = self.restoring()
        self.fill(store, b"q", b"old")
        take(store, b"q", 1)
        self.bring(store, packed(*TWO[:5], End(1)))
        self.assertEqual(dump(self.asServer(store)), "q 3/1\n  1 5 b'1'\n  2 5 b'2'")


#: A queue with one of everything.
ALL = (
    Begin(),
    QueueBegin(b"q", 1, 0, delayed=2, limit=9, paused=1),
    Body(5, 1, b"1", expires=7, deliveries=2),
    Body(6, 1, b"y" * (PART_SIZE + 1), expires=8, due=20),
    Body(6, 1, b"3", due=30),
    QueueEnd(1, 0, delayed=2),
    End(1),
)


class DelayedTests(ImportTestCase):
    """Messages that are not due yet."""

    def test_roundTrip(self) -> None:
        """They are there again, with what came with them, and ripen."""
        store = self.restoring()
        work = self.bring(store, packed(*ALL))
        self.assertEqual((work.queues, work.messages), (1, 3))
        server = self.asServer(store)
        (detail,) = everyDetail(server)
        self.assertEqual((detail.limit, detail.paused, detail.bytes), (9, 1, 1))
        self.assertEqual(server.nextDue(), 20)
        server.begin()
        message = server.openRead(b"q")
        self.assertEqual((message.expires, server.deliveries(message)), (7, 2))
        self.assertEqual(server.promoteDue(40, 9), [b"q", b"q"])
        large = server.pop(b"q").large
        server.abort()
        self.assertEqual(server.part(large.id, 1), b"y")
        self.assertEqual(self.export(self.letGo(server)), (True, packed(*ALL)))

    def test_notEmpty(self) -> None:
        """A queue that has only these has messages."""
        store = self.restoring()
        self.bring(store, packed(*ALL[:2], *ALL[3:5], QueueEnd(0, 1, 2), ALL[-1]))
        self.assertIn("is there and has messages", self.refused(store, packed(*ALL)))
        self.bring(store, packed(*ALL), append=True)
        (detail,) = everyDetail(self.asServer(store))
        self.assertEqual((detail.items, detail.delayed), (1, 4))

    def test_there(self) -> None:
        """The limit and the pauses of a queue that is there stay."""
        store = self.restoring()
        store.begin()
        store.setPaused(b"q", 2)
        store.countExpired(b"q", 3)
        store.commit()
        self.bring(store, packed(*ALL))
        (detail,) = everyDetail(self.asServer(store))
        self.assertEqual((detail.limit, detail.paused, detail.expired), (0, 2, 3))
        self.assertEqual((detail.items, detail.delayed), (1, 2))

    def test_batches(self) -> None:
        """They come in as many batches as they need, and in their order."""
        bodies = [Body(0, 1, b"%d" % n, due=n // 2) for n in range(2500)]
        begin, end = QueueBegin(b"q", 0, 0, delayed=2500), QueueEnd(0, 0, 2500)
        text = packed(Begin(), begin, *bodies, end, End(1))
        store = self.restoring()
        self.bring(store, text)
        self.assertEqual(self.export(self.letGo(store)), (True, text))

    def test_counts(self) -> None:
        """If there are not as many as the counts say, the queue is refused."""
        for end in (QueueEnd(1, 0, 1), QueueEnd(3, 0), QueueEnd(1, 1, 2)):
            store = self.restoring()
            self.assertIn("had", self.refused(store, packed(*ALL[:5], end, ALL[-1])))
            self.assertEqual(dump(self.asServer(store)), "")

    def test_killed(self) -> None:
        """Wherever it is cut, there is the whole queue or nothing of it."""
        self.patch(importer, "BATCH_MESSAGES", 1)
        for end in range(2, 6):
            store = self.restoring()
            self.assertIn("the file is cut", self.refused(store, packed(*ALL[:end])))
            server = self.asServer(store)
            self.assertEqual((dump(server), len(server.transaction.messages)), ("", 0))
            self.assertEqual(server.transaction.queues.keys(), [NEXT_ID])


class RefusalTests(ImportTestCase):
    """A file that is cut or damaged."""

    def test_cut(self) -> None:
        """Wherever it is cut, the line is named, and whole queues are there."""
        text = packed(*TWO)
        for end in [*range(0, 900, 90), *range(len(text) - 150, len(text), 20)]:
            store = self.restoring()
            number = text[:end].count(b"\n") + 1
            self.assertIn(f"line {number}: ", self.refused(store, text[:end]))
            server = self.asServer(store)
            whole = {5: Q, 6: Q, 7: Q, 8: Q}.get(number - 1, "")
            if number <= 8:
                self.assertEqual(dump(server), whole, end)
                # Nothing of the others is left.
                self.assertEqual(len(server.transaction.messages), whole.count("\n"))
            server.close()
            server.home.release()
        self.assertEqual(text.count(b"\n"), 10)

    def test_noise(self) -> None:
        """A line that says something else, or stands elsewhere, is named."""
        store = self.restoring()
        elsewhere = "not a line that memq export writes here"
        for lines, why in (
            ([], "line 1: the file is cut, its last line is missing"),
            ([End(0)], f"line 1: {elsewhere}"),
            ([Begin(), Begin()], f"line 2: {elsewhere}"),
            ([Begin(), Body(0, 1, b"")], f"line 2: {elsewhere}"),
            ([Begin(), QueueEnd(0, 0)], f"line 2: {elsewhere}"),
            ([Begin(), QueueBegin(b"z", 0, 0), End(0)], f"line 3: {elsewhere}"),
            (
                [Begin(), QueueBegin(b"z", 0, 0), QueueBegin(b"y", 0, 0)],
                f"line 3: {elsewhere}",
            ),
            ([Begin(), End(0), End(0)], f"line 3: {elsewhere}"),
            ([Begin(), End(1)], "line 2: 1 queues, and here are 0"),
        ):
            self.assertEqual(self.refused(store, packed(*lines)), why)
        text = packed(Begin()) + b"hello\n"
        self.assertIn("line 2: not JSON", self.refused(store, text))
        self.assertEqual(dump(self.asServer(store)), "")

    def test_counts(self) -> None:
        """A queue whose messages are not as many as its counts say is refused."""
        for end, pushed in (
            (QueueEnd(2, 0), 2),
            (QueueEnd(1, 1), 1),
            (QueueEnd(1, 0), 2),
        ):
            store = self.restoring()
            text = packed(
                Begin(), QueueBegin(b"q", pushed, 0), Body(0, 1, b""), end, End(1)
            )
            self.assertIn("line 4: queue q had", self.refused(store, text))
            self.assertEqual(dump(self.asServer(store)), "")


class FailureTests(ImportTestCase):
    """A store that fails, or a process that is killed."""

    def test_storeFails(self) -> None:
        """A queue that the store could not keep is not there, and whole queues are."""
        large = packed(Begin(), QueueBegin(b"s", 1, 0), TWO[7])
        for table, verb, text in (
            ("messages", "put", packed(Begin(), *TWO[5:9], End(1))),
            ("messages", "put", packed(Begin(), QueueBegin(b"s", 2, 0), *TWO[2:5])),
            ("messages", "put", large),
            ("queues", "delete", packed(Begin(), *TWO[5:7], QueueEnd(1, 1), End(1))),
        ):
            store = self.restoring()
            self.bring(store, packed(*TWO[:5], End(1)))
            real = getattr(store.transaction, table)
            setattr(store.transaction, table, Failing(real, NO_SPACE, verb))
            work = Import(store, False, self.progress)
            error = self.assertRaises(StoreError, work.run, BytesIO(text))
            self.assertEqual(str(error), "out of disk space")
            setattr(store.transaction, table, real)
            self.assertEqual(dump(self.asServer(store)), Q)

    def test_killed(self) -> None:
        """After a kill at any moment, there are whole queues and nothing else."""
        store = self.restoring()
        copies: list[str] = []
        real = store.flush

        def flush() -> None:
            copies.append(self.mktemp())
            shutil.copytree(store.home.path, copies[-1])
            real()
            copies.append(self.mktemp())
            shutil.copytree(store.home.path, copies[-1])

        store.flush = flush
        self.bring(store, packed(*TWO))
        R = dump(store).removeprefix(Q)
        seen = set()
        for path in copies:
            server = self.storeAt(path)
            server.open()
            while server.hasGarbage():
                server.sweep(100)
            seen.add(dump(server))
            server.close()
            server.home.release()
        self.assertEqual(seen, {"", Q, Q + R})
