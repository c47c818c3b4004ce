"""New tables are made to fit what could be read."""

from __future__ import annotations

import os
from typing import Any

from memq.admin.rebuild import Rebuild
from memq.message import LargeBody, Reason, Trace
from memq.storage.bdb.compaction import ROW, filesOf
from memq.storage.datadir.home import Home
from memq.storage.delays import firstAt
from memq.storage.engine.btreefile import Record
from memq.storage.engine.environment import Environment
from memq.storage.packed import packMessages
from memq.storage.record import (
    DAMAGED,
    DELIVERIES,
    DELIVERIES_ROW,
    ID,
    KEY,
    NEXT_ID,
    PART,
    TOMBSTONE,
    packAny,
    packExpiring,
    packLarge,
    packPart,
    packRecord,
)
from memq.storage.row import Queue, Rest
from memq.test.support.homes import SMALL, BDBTestCase, details, dump, storeAt

LSN = (1, 28)


class RebuildTests(BDBTestCase):
    """Results of records."""

    def setUp(self) -> None:
        """Make an environment in a new home."""
        self.home = Home(os.path.abspath(self.mktemp()))
        self.home.prepare()
        self.addCleanup(self.home.release)
        self.environment = Environment(self.home, SMALL)
        self.environment.open()
        self.addCleanup(self.environment.letGo)
        self.rebuild = Rebuild(self.environment, 0)

    def rows(self, rows: dict[bytes, Any], isSound: bool = True) -> None:
        """Take rows; a queue is packed."""
        for key, value in rows.items():
            row = value.pack() if isinstance(value, Queue) else value
            self.rebuild.addRow(Record(key, row, LSN), isSound)

    def allRows(self, rows: dict[bytes, Any]) -> None:
        """Take rows, which are all that there are."""
        self.rows(rows)
        self.rebuild.closeRows()

    def messages(self, *records: tuple[bytes, bytes | None]) -> None:
        """Take records of messages."""
        found = [Record(key, value, LSN) for key, value in records]
        self.rebuild.addMessages(found, lambda count: None)

    def finished(self) -> Any:
        """Return an open store on what was made."""
        self.rebuild.finish()
        self.environment.close()
        self.home.writeVersion()
        self.home.release()
        store = storeAt(self.home.path)
        self.addCleanup(store.home.release)
        self.addCleanup(store.close)
        store.open()
        return store

    def assertLost(self, *words: str) -> None:
        """Assert that there is one line for each of these words, in order."""
        self.assertEqual(len(self.rebuild.lost), len(words), self.rebuild.lost)
        for line, each in zip(self.rebuild.lost, words, strict=True):
            self.assertIn(each, line)

    def test_counts(self) -> None:
        """Counts fit what is there, and order and numbers are what they were."""
        self.allRows({b"q": Queue(b"q", 1, 7, 7, 2), NEXT_ID: ID.pack(9)})
        for sequence in (6, 2, 4):
            key, value = KEY.pack(1, sequence), packRecord(3, 0, b"%d" % sequence)
            self.messages((key, value), (key, value))
        store = self.finished()
        lines = ["q 7/4", "  2 3 b'2'", "  4 3 b'4'", "  6 3 b'6'"]
        self.assertEqual(dump(store), "\n".join(lines))
        self.assertLost("queue q: 2 of 5 messages are missing")
        self.fill(store, b"q", b"next")
        self.assertIn("7 0 b'next'", dump(store))
        self.assertEqual(store.index.nextId, 9)

    def test_packed(self) -> None:
        """Messages that shared a record stand by themselves, from the head on."""
        queue = Queue(b"q", 1, 6, 6, 2)
        queue.packHead = 2
        self.allRows({b"q": queue})
        some = packMessages(0, [(3, b"%d" % number) for number in range(4)])
        self.messages((KEY.pack(1, 3), some), (KEY.pack(1, 3), some))
        # So it does where one was split, and both are found.
        self.messages((KEY.pack(1, 4), packRecord(3, 0, b"4")))
        self.messages((KEY.pack(1, 5), packMessages(0, [(3, b"-"), (3, b"5")])))
        lines = ["q 6/2", *[f"  {n} 3 b'{n}'" for n in range(2, 6)]]
        self.assertEqual(dump(self.finished()), "\n".join(lines))
        self.assertEqual(self.rebuild.lost, [])

    def test_traced(self) -> None:
        """Messages keep their traces, and bodies in parts theirs."""
        self.allRows({b"q": Queue(b"q", 1, 2, 2, 0)})
        dead, large = Trace(3, b"w", Reason.EXPIRED, 5), LargeBody(5, 3, 1)
        parts = [(PART.pack(0, 5, 0), packPart(b"abc"))]
        kept = packAny(3, 0, large, 0, Trace(2))
        self.messages(
            (KEY.pack(1, 0), packAny(3, 0, b"x", 0, dead)), (KEY.pack(1, 1), kept)
        )
        self.messages(*parts)
        record = Record(KEY.pack(1, 1), kept, LSN)
        self.assertTrue(self.rebuild.isPlausible(record))
        self.assertFalse(self.rebuild.isPlausible(record._replace(value=kept[:-1])))
        store = self.finished()
        store.begin()
        messages = store.popAll(b"q", 2)
        self.assertEqual([m.trace for m in messages], [dead, Trace(2)])
        self.assertEqual(store.part(5, 0), b"abc")
        store.abort()

    def test_damagedPack(self) -> None:
        """A shared record that is damaged is set aside, and hides no other message."""
        self.allRows({b"q": Queue(b"q", 1, 3, 3, 0)})
        damaged = packMessages(0, [(0, b"1"), (0, b"2")])[:9]
        self.messages(
            (KEY.pack(1, 1), damaged), (KEY.pack(1, 2), packRecord(0, 0, b"3"))
        )
        self.messages((KEY.pack(8, 1), packMessages(0, [(0, b"other")])))
        store = self.finished()
        self.assertEqual(
            dump(store), "q 3/2\n  2 0 b'3'\nunknown.8 1/0\n  1 0 b'other'"
        )
        self.assertIn("messages up to 1 of queue q are set aside", self.rebuild.lost[0])
        aside = store.transaction.queues.get(DAMAGED + KEY.pack(1, 1))
        self.assertEqual(aside, damaged)

    def test_more(self) -> None:
        """More messages than a row counts are there all the same."""
        self.allRows({b"q": Queue(b"q", 1, 1, 1, 1)})
        self.messages(*[(KEY.pack(1, n), packRecord(0, 0, b"x")) for n in (0, 5)])
        self.assertTrue(dump(self.finished()).startswith("q 2/0\n  0 0"))
        self.assertLost("queue q has 2 messages more than its row says")

    def test_rows(self) -> None:
        """Of a row that was found twice the better one counts."""
        self.rows({b"q": Queue(b"q", 1, 9, 9, 9)}, isSound=False)
        self.rows({b"q": Queue(b"q", 2, 5, 5, 5)})
        self.rows({b"other": Queue(b"other", 2, 5, 5, 5)}, isSound=False)
        self.rows({b"r": Queue(b"r", 3, 5, 5, 5)}, isSound=False)
        self.rows({b"s": b"garbage", b"\0what": b"", ROW: b"row", NEXT_ID: b"x"})
        self.rebuild.addRow(Record(b"t", None, LSN), True)
        self.rebuild.closeRows()
        self.assertEqual(self.rebuild.row(ROW), b"row")
        self.assertIsNone(self.rebuild.row(b"none"))
        self.assertEqual(dump(self.finished()), "q 5/5\nr 5/5")
        self.assertEqual(len(self.rebuild.lost), 6, self.rebuild.lost)
        for words in (
            "the row t of the queues cannot be read",
            r"the row \x00next-id of the queues says nothing",
            r"the row \x00what of the queues says nothing",
            "the row of queue other has an id that is not its own",
            "the row of queue r stood on a damaged page",
            "the row of queue s cannot be read",
        ):
            self.assertIn(words, "\n".join(self.rebuild.lost))

    def test_files(self) -> None:
        """The row of the messages names files, if it can be read."""
        self.assertEqual(filesOf(None), {"messages"})
        self.assertEqual(filesOf(b"\1\0\0\0\2\0\0\0\0"), {"messages", "messages.2"})
        self.assertIsNone(filesOf(b"\2\0\0\0\2\0\0\0\0"))

    def test_unknown(self) -> None:
        """Messages without a row get a queue, under a name that is free."""
        self.allRows({b"unknown.7": Queue(b"unknown.7", 1, 0, 0, 0)})
        self.messages((KEY.pack(7, 3), packRecord(0, 0, b"x")))
        self.assertEqual(
            dump(self.finished()), "unknown.7 0/0\nunknown.7x 1/0\n  3 0 b'x'"
        )
        self.assertLost("its 1 messages are in queue unknown.7x")

    def test_deleted(self) -> None:
        """A queue that is deleted stays so, and its id is not used again."""
        self.rows({TOMBSTONE + ID.pack(7): b"", TOMBSTONE + ID.pack(1): b""})
        self.allRows({b"q": Queue(b"q", 1, 1, 1, 0)})
        for id in (1, 7):
            self.messages((KEY.pack(id, 0), packRecord(0, 0, b"x")))
        store = self.finished()
        self.assertEqual(dump(store), "q 1/0\n  0 0 b'x'")
        self.assertEqual(store.status()["queues_being_removed"], 1)
        self.assertEqual(store.index.nextId, 8)
        self.assertLost()

    def test_large(self) -> None:
        """A large message without all of its parts is set aside, with those it has."""
        self.rows({b"q": Queue(b"q", 1, 2, 2, 0)})
        self.allRows({TOMBSTONE + KEY.pack(0, 5): b"", TOMBSTONE + KEY.pack(0, 9): b""})
        for sequence, body in enumerate((5, 6)):
            large = LargeBody(body, 6, 2)
            self.messages((KEY.pack(1, sequence), packLarge(0, 0, large)))
        parts = [(5, 0), (5, 1), (6, 1), (8, 0)]
        for body, number in parts:
            self.messages((PART.pack(0, body, number), packPart(b"one")))
        self.messages((PART.pack(0, 6, 0), None), (b"strange key", b"x"))
        store = self.finished()
        self.assertLost(
            "the key 737472616e6765206b6579 of a message says nothing",
            "message 1 of queue q lacks 1 of its 2 parts",
            "queue q: 1 of 2 messages are missing",
        )
        self.assertIsNotNone(store.transaction.queues.get(DAMAGED + KEY.pack(1, 1)))
        # One was a tombstone before; the other body belongs to nothing.
        self.assertEqual(set(store.tombstones.left), {KEY.pack(0, 8), KEY.pack(0, 9)})
        while store.hasGarbage():
            store.sweep(10)
        self.assertEqual([store.part(5, n) for n in (0, 1)], [b"one", b"one"])
        self.assertEqual(store.part(6, 1), b"one")

    def test_delayed(self) -> None:
        """Delayed messages stay so, and are counted apart; bytes are counted again."""
        rest = Rest(expired=4, delayId=2, delayed=3, limit=9)
        self.rows({b"q": Queue(b"q", 1, 2, 2, 1, 999, rest)})
        more = Rest(delayId=4, delayed=0)
        self.allRows(
            {b"r": Queue(b"r", 3, 0, 0, 0, 0, more), TOMBSTONE + ID.pack(4): b""}
        )
        self.messages((KEY.pack(1, 1), packRecord(0, 0, b"four")))
        for id, due in ((2, 20), (2, 10), (4, 30)):
            key = KEY.pack(id, firstAt(due))
            self.messages((key, packExpiring(due, 0, b"x", 1)))
        store = self.finished()
        self.assertLost(
            "queue r has 1 delayed messages more than its row says",
            "queue q: 1 of 3 delayed messages are missing",
        )
        later = ["  later q 10 b'x'", "  later q 20 b'x'", "  later r 30 b'x'"]
        lines = ["q 2/1", "  1 0 b'four'", "r 0/0", *later]
        self.assertEqual(dump(store), "\n".join(lines))
        q, _ = details(store)
        self.assertEqual((q.bytes, q.expired, q.limit, q.delayed), (4, 4, 9, 2))
        self.assertEqual(store.kept(b"q"), (3, 6, 1, 4))
        self.assertFalse(store.hasGarbage())
        self.assertEqual(store.index.nextId, 5)

    def test_delayIds(self) -> None:
        """No id is a queue's and another one's."""
        ids = {b"q": (1, 2), b"r": (2, 0), b"s": (3, 1), b"t": (5, 5)}
        self.allRows(
            {
                name: Queue(name, id, 0, 0, 0, 0, Rest(delayId=delayId))
                for name, (id, delayId) in ids.items()
            }
        )
        self.assertEqual(len(self.rebuild.lost), 2)
        self.assertEqual(dump(self.finished()).count("0/0"), 2)

    def test_delayedUnknown(self) -> None:
        """Without its row a delayed message is in a queue at once."""
        self.allRows({})
        self.messages((KEY.pack(7, firstAt(20)), packRecord(0, 0, b"x")))
        self.assertEqual(
            dump(self.finished()), f"unknown.7 1/0\n  {firstAt(20)} 0 b'x'"
        )

    def test_delayedLarge(self) -> None:
        """A delayed one without all of its parts is set aside like others."""
        rest = Rest(delayId=2, delayed=1)
        self.allRows({b"q": Queue(b"q", 1, 0, 0, 0, 0, rest)})
        self.messages((KEY.pack(2, 5), packLarge(0, 0, LargeBody(5, 3, 1))))
        self.assertEqual(dump(self.finished()), "q 0/0")
        self.assertLost("message 5 of queue q lacks 1", "1 of 1 delayed messages")

    def test_setAside(self) -> None:
        """A record that was set aside before stays, whatever it is."""
        good = packLarge(0, 0, LargeBody(5, 3, 1))
        rows = {KEY.pack(1, 0): good, KEY.pack(1, 1): b"bad", b"odd": b""}
        self.allRows({DAMAGED + key: value for key, value in rows.items()})
        self.messages((PART.pack(0, 5, 0), packPart(b"one")))
        store = self.finished()
        for key, value in rows.items():
            self.assertEqual(store.transaction.queues.get(DAMAGED + key), value)
        self.assertFalse(store.hasGarbage())

    def test_lackingInNoQueue(self) -> None:
        """A large message without its parts and without a row is listed, too."""
        self.rebuild.closeRows()
        self.messages((KEY.pack(4, 0), packLarge(0, 0, LargeBody(5, 3, 1))))
        self.assertEqual(dump(self.finished()), "")
        self.assertLost("message 0 of the queue with the id 4 lacks 1 of its 1 parts")

    def test_plausible(self) -> None:
        """On a damaged page only that is believed which is certainly a message."""
        self.allRows({b"q": Queue(b"q", 1, 5, 5, 0, 0, Rest(delayId=9))})
        record = packRecord(0, 0, b"x")
        for key, value, believed in (
            (KEY.pack(1, 4), record, True),
            (KEY.pack(1, 5), record, False),
            (KEY.pack(2, 4), record, False),
            (KEY.pack(9, 1 << 60), record, True),
            (KEY.pack(1, 4), record + b"y", False),
            (KEY.pack(1, 4), None, False),
            (b"key", record, False),
            (PART.pack(0, 1, 2), packPart(b"x"), True),
            (PART.pack(0, 1, 2), record, False),
            (KEY.pack(1, 3), packMessages(0, [(0, b"x")]), True),
            (KEY.pack(1, 3), packMessages(0, [(0, b"x")])[:12], False),
            (PART.pack(1, 1, 2), packPart(b"x"), False),
        ):
            found = self.rebuild.isPlausible(Record(key, value, LSN))
            self.assertEqual(found, believed, (key, value))

    def test_batches(self) -> None:
        """Many records are put in batches, told of, and their log does not pile up."""
        self.allRows({b"q": Queue(b"q", 1, 50_000, 50_000, 0)})
        records = [
            Record(KEY.pack(1, n), packRecord(0, 0, b"x" * 1000), LSN)
            for n in range(40_000)
        ]
        told: list[int] = []
        self.assertEqual(self.rebuild.addMessages(records, told.append), 40_000)
        self.assertEqual(told[:2], [1000, 2000])
        names = os.listdir(self.home.directory)
        self.assertLess(sum(name.startswith("log.") for name in names), 45)

    def test_tries(self) -> None:
        """How often a message was given back is kept, if it is there."""
        key = KEY.pack(1, 0)
        rows = {DELIVERIES + KEY.pack(1, n): DELIVERIES_ROW.pack(3) for n in (0, 1)}
        cut = {DELIVERIES + KEY.pack(1, 2): b"x"}
        self.allRows(
            {b"q": Queue(b"q", 1, 3, 2, 0), NEXT_ID: ID.pack(2), **rows, **cut}
        )
        records = [(KEY.pack(1, n), packRecord(0, 0, b"x")) for n in (0, 2)]
        self.messages(*records)
        store = self.finished()
        self.assertLost()
        store.begin()
        deliveries = []
        while (message := store.openRead(b"q")) is not None:
            deliveries.append((message.sequence, store.deliveries(message)))
        store.abort()
        self.assertEqual(deliveries, [(0, 3), (2, 0)])
        self.assertIsNotNone(store.transaction.queues.get(DELIVERIES + key))
        self.assertIsNone(store.transaction.queues.get(DELIVERIES + KEY.pack(1, 1)))
