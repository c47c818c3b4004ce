"""A home is exported as far as it can be read; the rest is told."""

from __future__ import annotations

import os
import random
import shutil
from contextlib import closing
from functools import partial
from io import BytesIO
from itertools import count
from typing import Any

from memq.admin.exporter import OfflineReader, Unreadable, exportHome, settle
from memq.admin.exportformat import Begin, Body, End, QueueBegin, QueueEnd, parseLine
from memq.errors import HomeError
from memq.message import PART_SIZE, Reason, Trace
from memq.ratelimit import Progress
from memq.storage.datadir.home import Home
from memq.storage.delays import firstAt
from memq.storage.record import KEY, PART
from memq.test.storage.bdb.test_compaction import make
from memq.test.support.disks.wrecks import flip, pushLarge, take
from memq.test.support.homes import SHARED, BDBTestCase, contents, push

DEAD = Trace(3, "käse".encode(), Reason.DELIVERIES, 5, 1)
#: Names that queues may have, and that are easily got wrong.
NAMES = (
    b"q",
    b"\xff\xfe",
    b"{}",
    "käse".encode(),
    b'"\\',
    b"x" * 250,
)


def inParts(body: bytes) -> list[bytes]:
    """Return the parts of a large body."""
    return [body[n : n + PART_SIZE] for n in range(0, len(body), PART_SIZE)]


def bodies(lines: list[Any]) -> list[Body]:
    """Return those lines that are messages."""
    return [line for line in lines if isinstance(line, Body)]


def timeless(lines: list[Any]) -> list[Any]:
    """Return lines as if all messages were set at 0."""
    return [line._replace(time=0) if isinstance(line, Body) else line for line in lines]


class ExportTestCase(BDBTestCase):
    """Has homes to export."""

    def setUp(self) -> None:
        """Listen to what is told."""
        self.told: list[str] = []
        self.progress = Progress(self.told.append)

    def letGo(self, store: Any) -> Home:
        """Close a store, and return its home, held for a reader."""
        store.close()
        store.home.release()
        home = Home(store.home.path)
        home.prepare()
        self.addCleanup(home.release)
        return home

    def export(self, home: Home, *names: bytes) -> tuple[bool, bytes]:
        """Return whether all of a home could be read, and its export."""
        output = BytesIO()
        complete = exportHome(home, names, output, self.progress)
        return complete, output.getvalue()

    def lines(self, home: Home, *names: bytes, complete: bool = True) -> list[Any]:
        """Return the lines of the export of a home."""
        found, text = self.export(home, *names)
        self.assertEqual(found, complete)
        return [parseLine(line) for line in text.splitlines(keepends=True)]

    def fillAnyhow(self, store: Any, seed: int, messages: int) -> None:
        """Put anything into some queues, and take some of it out."""
        some = random.Random(seed)
        for _ in range(messages // 10):
            store.begin()
            for _ in range(10):
                name = some.choice(NAMES)
                size = some.choice((0, 1, 30, 300, 1500, 10_000))
                store.push(name, some.getrandbits(32), some.randbytes(size))
            for _ in range(some.randrange(6)):
                store.pop(some.choice(NAMES))
            store.commit()
        for size in (PART_SIZE + 1, 3 * PART_SIZE, 1_000_000):
            body = some.randbytes(size)
            name, flags = some.choice(NAMES), some.getrandbits(32)
            pushLarge(store, name, *inParts(body), flags=flags)
        self.fillMore(store, some)

    def fillMore(self, store: Any, some: random.Random) -> None:
        """Put what expires, and what is delayed, and give something back."""
        store.begin()
        store.setLimit(b"limited", 7)
        store.setPaused(b"limited", 2)
        for _ in range(50):
            name, body = some.choice(NAMES), some.randbytes(9)
            trace = some.choice((None, Trace(3), DEAD))
            store.push(name, 0, body, expires=some.choice((0, 5)), trace=trace)
            due, expires = some.randrange(9), some.randrange(2)
            store.pushDelayed(name, 3, body, due, expires=expires, trace=trace)
            for _ in range(some.randrange(3)):
                store.abortRead(name, store.openRead(name), True)
        store.commit()


class ExportTests(ExportTestCase):
    """Lines that an export writes."""

    def test_lines(self) -> None:
        """Queues come in the order of their names, messages in theirs."""
        store: Any = self.openStore()
        push(store, b"r", 7, b"hello")
        self.fill(store, b"q", b"1", b"", b"3")
        large = b"x" * (PART_SIZE + 5)
        pushLarge(store, b"q", *inParts(large), flags=9)
        push(store, b"s", 0, b"x")
        take(store, b"q", 1)
        take(store, b"s", 1)
        store.begin()
        store.push(b"t", 0, b"x")
        store.delete(b"t")
        store.commit()
        last = store.transaction.now
        lines = self.lines(self.letGo(store))
        for time in [line.time for line in bodies(lines)]:
            self.assertTrue(last - 60_000 < time <= last)
        self.assertEqual(
            timeless(lines),
            [
                Begin(),
                QueueBegin(b"q", 4, 1),
                Body(0, 0, b""),
                Body(0, 0, b"3"),
                Body(9, 0, large),
                QueueEnd(3, 0),
                QueueBegin(b"r", 1, 0),
                Body(7, 0, b"hello"),
                QueueEnd(1, 0),
                QueueBegin(b"s", 1, 1),
                QueueEnd(0, 0),
                End(3),
            ],
        )
        self.assertEqual(self.told, ["exported 3 queues, 4 messages, 0.1 MB"])

    def test_more(self) -> None:
        """Delayed messages come last; limits, pauses and tries are told."""
        store: Any = self.openStore()
        store.begin()
        store.setLimit(b"q", 9)
        store.setPaused(b"q", 1)
        store.pushDelayed(b"q", 2, b"later", 30)
        store.pushDelayed(b"q", 1, b"earlier", 20, expires=40)
        store.push(b"q", 3, b"now", expires=50)
        store.abortRead(b"q", store.openRead(b"q"), True)
        store.commit()
        self.assertEqual(
            timeless(self.lines(self.letGo(store))),
            [
                Begin(),
                QueueBegin(b"q", 1, 0, delayed=2, limit=9, paused=1),
                Body(3, 0, b"now", expires=50, deliveries=1),
                Body(1, 0, b"earlier", expires=40, due=20),
                Body(2, 0, b"later", due=30),
                QueueEnd(1, 0, delayed=2),
                End(1),
            ],
        )

    def test_traces(self) -> None:
        """What became of messages before is told, of large and delayed ones too."""
        store: Any = self.openStore()
        large = b"x" * (PART_SIZE + 5)
        pushLarge(store, b"q", *inParts(large), flags=0, trace=DEAD)
        store.begin()
        store.push(b"q", 3, b"now", trace=Trace(4))
        store.pushDelayed(b"q", 2, b"later", 30, trace=Trace(5))
        store.commit()
        self.assertEqual(
            timeless(self.lines(self.letGo(store)))[2:5],
            [
                Body(0, 0, large, trace=DEAD),
                Body(3, 0, b"now", trace=Trace(4)),
                Body(2, 0, b"later", due=30, trace=Trace(5)),
            ],
        )

    def test_nothing(self) -> None:
        """A home without queues has an export without any."""
        self.assertEqual(self.lines(self.letGo(self.openStore())), [Begin(), End(0)])

    def test_some(self) -> None:
        """Only the queues that are named are exported; each has to be there."""
        store = self.openStore()
        for name in (b"a", b"b", b"\xff"):
            self.fill(store, name, b"x")
        home = self.letGo(store)
        lines = self.lines(home, b"\xff", b"a")
        queues = [line.queue for line in lines if isinstance(line, QueueBegin)]
        self.assertEqual(queues, [b"a", b"\xff"])
        error = self.assertRaises(HomeError, self.export, home, b"a", b"\xfe")
        self.assertIn("there is no queue \\xfe", str(error))

    def test_progress(self) -> None:
        """How far it is is told, with the rate and the time that is left."""
        store = self.openStore()
        self.fill(store, b"q", b"a", b"b")
        # A second goes by with each look at the clock.
        self.progress = Progress(self.told.append, partial(next, count()))
        self.export(self.letGo(store))
        self.assertEqual(
            self.told,
            [
                "1 messages, 0.0 MB, 0/s, 1 s left",
                "2 messages, 0.0 MB, 0/s, 0 s left",
                "exported 1 queue, 2 messages, 0.0 MB",
            ],
        )

    def test_changesNothing(self) -> None:
        """In a home that was closed in order, not a byte is changed."""
        store = self.openStore()
        self.fillAnyhow(store, 1, 200)
        home = self.letGo(store)
        before = contents(home.path)
        self.assertTrue(self.export(home)[0])
        self.assertEqual(contents(home.path), before)

    def test_killed(self) -> None:
        """A home whose server was killed is recovered, and exported as a whole."""
        store = self.openStore()
        self.fill(store, b"q", b"1")
        store.flush()
        path = self.mktemp()
        shutil.copytree(store.home.path, path)
        home = Home(path)
        home.prepare()
        self.addCleanup(home.release)
        self.assertEqual(self.lines(home)[1], QueueBegin(b"q", 1, 0))
        before = contents(path)
        self.export(home)
        self.assertEqual(contents(path), before)

    def test_moving(self) -> None:
        """In the middle of a move to another file nothing is missing or double."""
        store: Any = self.openStore()
        self.fill(store, b"q", *[b"%d" % number for number in range(100)])
        make(store)
        for _ in range(4):
            store.sweep(10)
        found = [line.body for line in bodies(self.lines(self.letGo(store)))]
        self.assertEqual(found, [b"%d" % number for number in range(100)])


class DamageTests(ExportTestCase):
    """Damage is told, and the rest is exported."""

    def broken(self, store: Any, *places: int, name: str = "messages") -> Home:
        """Return the home of a store, with bytes of a file changed."""
        home = self.letGo(store)
        for place in places:
            flip(os.path.join(home.directory, name), place, 1)
        return home

    def damaged(self, home: Home) -> list[Any]:
        """Return the lines of the export of a home that cannot be read as a whole."""
        return self.lines(home, complete=False)

    def pageOf(self, store: Any, body: bytes) -> int:
        """Return where a body is in the file of the messages."""
        store.checkpoint()
        with open(os.path.join(store.home.directory, "messages"), "rb") as file:
            return file.read().index(body)

    def test_record(self) -> None:
        """A record whose CRC is wrong is left out, and counted."""
        store: Any = self.openStore()
        self.fill(store, b"q", b"1", b"2", b"3")
        self.fill(store, b"r", b"4")
        store.transaction.messages.put(KEY.pack(1, 1), b"rotten")
        lines = self.damaged(self.letGo(store))
        self.assertEqual(lines[1], QueueBegin(b"q", 3, 0))
        self.assertEqual([line.body for line in bodies(lines)], [b"1", b"3", b"4"])
        self.assertIn(QueueEnd(2, 1), lines)
        self.assertEqual(
            self.told,
            [
                "queue q: message 1 cannot be read: 6 bytes are too few for a record",
                "exported 2 queues, 3 messages, 0.0 MB",
                "1 messages could not be read",
            ],
        )

    def test_delayed(self) -> None:
        """So is a delayed one."""
        store: Any = self.openStore()
        store.begin()
        for due in (10, 20, 30):
            store.pushDelayed(b"q", 0, b"%d" % due, due)
        store.commit()
        id = store.index.queues[b"q"].rest.delayId
        store.transaction.messages.put(KEY.pack(id, firstAt(20)), b"rotten")
        lines = self.damaged(self.letGo(store))
        self.assertEqual(lines[1], QueueBegin(b"q", 0, 0, delayed=3))
        self.assertEqual(lines[-2], QueueEnd(0, 1, delayed=2))
        self.assertIn(f"message {firstAt(20)} cannot be read", self.told[0])

    def test_delayedPage(self) -> None:
        """A damaged page of them costs those in it."""
        store: Any = self.openStore()
        store.begin()
        for due in range(1000):
            store.pushDelayed(b"q", 0, b"number %05d" % due, due)
        store.commit()
        lines = self.damaged(self.broken(store, self.pageOf(store, b"number 00999")))
        found = [line.due for line in bodies(lines)]
        self.assertEqual(found, list(range(len(found))))
        self.assertGreater(len(found), 700)
        self.assertEqual(lines[-2], QueueEnd(0, 1000 - len(found), len(found)))

    def test_part(self) -> None:
        """So is a large body that lacks a part, or has a damaged one."""
        for record in (None, b"rotten"):
            store: Any = self.openStore()
            large = pushLarge(store, b"q", *inParts(b"x" * 3 * PART_SIZE))
            self.fill(store, b"q", b"next")
            key = PART.pack(0, large.id, 1)
            store.transaction.messages.delete(key)
            if record is not None:
                store.transaction.messages.put(key, record)
            (line,) = bodies(self.damaged(self.letGo(store)))
            self.assertEqual(line.body, b"next")
            self.assertIn("queue q: message 0 cannot be read: ", self.told[0])
            self.told.clear()

    def test_page(self) -> None:
        """A damaged page costs the messages in it, and no other."""
        store = self.openStore()
        was = [b"number %05d" % number for number in range(2000)]
        self.fill(store, b"q", *was)
        take(store, b"q", 500)
        numbers = (500, 1000, 1100, 1999)
        places = [self.pageOf(store, was[number]) for number in numbers]
        home = self.broken(store, *places)
        lines = self.damaged(home)
        found = [line.body for line in bodies(lines)]
        self.assertEqual(found, sorted({*found} & {*was[500:]}))
        self.assertGreater(len(found), 1500 - 4 * 150)
        self.assertLess(len(found), 1500 - 4)
        self.assertEqual(lines[-2], QueueEnd(len(found), 1500 - len(found)))
        # It goes on just behind the page that has 1000.
        ranges = [line for line in self.told if "cannot be read" in line]
        self.assertGreaterEqual(len(ranges), 3)
        self.assertIn("queue q: messages from 0 to ", ranges[0])
        with closing(OfflineReader(home)) as reader:
            (queue,) = reader.queues()
            for what in reader.messages(queue):
                if isinstance(what, Unreadable) and what.last < 1999:
                    self.assertTrue(was[what.last + 1] in found, what)

    def test_largeBody(self) -> None:
        """A damaged page of a large body costs that message."""
        store = self.openStore()
        self.fill(store, b"q", b"before")
        self.fill(store, b"q", b"x" * 9000 + b"here" + b"x" * 3000)
        self.fill(store, b"q", b"behind")
        lines = self.damaged(self.broken(store, self.pageOf(store, b"here")))
        found = [line.body for line in bodies(lines)]
        self.assertEqual(found, [b"before", b"behind"])
        self.assertRegex(
            self.told[0], "^queue q: message 1 cannot be read: .*page [0-9]+$"
        )

    def test_root(self) -> None:
        """When no page leads to the messages, none is exported, and that is told."""
        store = self.openStore()
        self.fill(store, b"q", *[b"x"] * 1000)
        self.fill(store, b"r", b"x")
        self.damaged(self.broken(store, 4096 + 60))
        self.assertIn("queue q: messages from 0 to 999 cannot be read", self.told[0])
        self.assertEqual(self.told[-1], "1001 messages could not be read")

    def test_queues(self) -> None:
        """Without the table of queues there is no export."""
        for place in (4096 + 60, 100):
            store = self.openStore()
            self.fill(store, b"q", b"x")
            home = self.broken(store, place, name="queues")
            error = self.assertRaises(HomeError, self.export, home)
            self.assertIn(home.directory, str(error))

    def test_row(self) -> None:
        """A row that cannot be read is no reason to leave its queue out."""
        store: Any = self.openStore()
        self.fill(store, b"q", b"x")
        store.transaction.queues.put(b"r", b"rotten")
        error = self.assertRaises(HomeError, self.export, self.letGo(store))
        self.assertIn("the row of queue r cannot be read", str(error))

    def test_marker(self) -> None:
        """Without a marker the home is not read."""
        store = self.openStore()
        self.fill(store, b"q", b"1")
        home = self.letGo(store)
        os.unlink(os.path.join(home.directory, "safe"))
        error = self.assertRaises(HomeError, settle, home)
        self.assertIn("safe is missing", str(error))


class PackedTests(ExportTestCase):
    """Messages that share a record."""

    def setUp(self) -> None:
        """Make a home where q has the messages 2 to 5 left of such a record."""
        super().setUp()
        self.store: Any = self.openStore(SHARED)
        with self.store.transaction.run():
            self.store.pushAll(b"q", [(0, b"%d" % number) for number in range(6)])
        with self.store.transaction.run():
            self.store.popAll(b"q", 2)

    def exported(self, damaged: int | None = None) -> list[bytes]:
        """Return the bodies of an export, perhaps with a byte of the record damaged."""
        if damaged is not None:
            table, key = self.store.transaction.messages, KEY.pack(1, 5)
            record = bytearray(table.get(key))
            record[damaged] ^= 1
            table.put(key, bytes(record))
        lines = self.lines(self.letGo(self.store), complete=damaged is None)
        return [line.body for line in bodies(lines)]

    def test_partly(self) -> None:
        """Messages that were taken from a record are not exported."""
        self.assertEqual(self.exported(), [b"2", b"3", b"4", b"5"])

    def test_damagedBody(self) -> None:
        """A damaged body costs one message."""
        self.assertEqual(self.exported(-1), [b"2", b"3", b"4"])

    def test_damagedFields(self) -> None:
        """Damaged fields cost those of the record."""
        self.assertEqual(self.exported(20), [])
