"""Messages that share a record are popped, read, given back and lost one by one."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from memq.errors import DamagedMessage
from memq.message import Message
from memq.storage.bdb import packs as module
from memq.storage.engine.binding import scan
from memq.storage.packed import MOST, SMALL
from memq.storage.record import DAMAGED, KEY
from memq.test.support.homes import SHARED, BDBTestCase, dump

#: The id of the first queue of a store.
ID = 1


class PackTestCase(BDBTestCase):
    """Has a store whose queue q has the messages 0 to 5 in one record."""

    settings = SHARED

    def setUp(self) -> None:
        """Make it."""
        self.store: Any = self.openStore()
        self.push(b"q", *[b"%d" % number for number in range(6)])
        self.assertEqual(self.records(), [5])

    def push(self, queue: bytes, *bodies: bytes) -> None:
        """Append messages that come together."""
        with self.store.transaction.run():
            self.store.pushAll(queue, [(0, body) for body in bodies])

    def records(self, id: int = ID) -> list[int]:
        """Return the numbers that records stand under."""
        cursor = self.store.transaction.messages.cursor()
        found = list(scan(cursor, b"", b""))
        cursor.close()
        keys = [KEY.unpack(key) for key, _ in found]
        return [number for queue, number in keys if queue == id]

    def pop(self, count: int = 1, queue: bytes = b"q") -> list[Any]:
        """Return the bodies of messages that are popped, or the errors."""
        with self.store.transaction.run():
            found = self.store.popAll(queue, count)
        return [getattr(each, "body", each) for each in found]

    def damage(self, at: int) -> None:
        """Change a byte of the record."""
        table, key = self.store.transaction.messages, KEY.pack(ID, 5)
        record = bytearray(table.get(key))
        record[at] ^= 1
        table.put(key, bytes(record))

    def restart(self) -> None:
        """Go on with what a restart finds."""
        self.store = self.reopened(self.store)


class HeadTests(PackTestCase):
    """The head within a record."""

    def test_popped(self) -> None:
        """A popped message stays so after any end; the record goes with its last."""
        self.assertEqual(self.pop(2), [b"0", b"1"])
        self.assertEqual(self.pop(), [b"2"])
        self.store.flush()
        self.store = self.crashed(self.store)
        self.assertEqual(dump(self.store), "q 6/3\n  3 0 b'3'\n  4 0 b'4'\n  5 0 b'5'")
        self.assertEqual(self.records(), [5])
        self.assertEqual(self.pop(9), [b"3", b"4", b"5"])
        self.assertEqual(self.records(), [])
        self.restart()
        self.assertEqual(dump(self.store), "q 6/6")

    def test_undone(self) -> None:
        """A pop that is undone leaves the head where it was, in memory and on disk."""
        self.pop()
        for count in (1, 5):
            self.store.begin()
            self.store.popAll(b"q", count)
            self.store.abort()
        self.assertEqual(self.pop(5), [b"1", b"2", b"3", b"4", b"5"])

    def test_undonePush(self) -> None:
        """A message pushed and popped in a turn that is undone is not met again."""
        self.pop(6)
        self.store.begin()
        self.store.pushAll(b"q", [(0, b"old"), (0, b"old")])
        self.assertEqual(len(self.store.popAll(b"q", 1)), 1)
        self.store.abort()
        self.push(b"q", b"new", b"new")
        self.assertEqual(self.pop(2), [b"new", b"new"])

    def test_acrossRecords(self) -> None:
        """A pop goes on from record to record, of whatever kind."""
        self.push(b"q", b"6")
        self.push(b"q", b"7", b"8")
        self.push(b"q", bytes(SMALL + 1), bytes(SMALL + 1))
        self.assertEqual(self.records(), [5, 6, 8, 9, 10])
        self.pop()
        self.assertEqual(self.pop(7), [b"%d" % number for number in range(1, 8)])
        self.assertEqual(self.pop(9), [b"8", bytes(SMALL + 1), bytes(SMALL + 1)])

    def test_peek(self) -> None:
        """A look at the head leaves it within its record."""
        self.pop(2)
        self.assertEqual(self.store.peek(b"q").body, b"2")
        with self.store.transaction.run():
            self.store.pushAll(b"new", [(0, b"a"), (0, b"b")])
            self.assertEqual(self.store.peek(b"new").body, b"a")
        self.assertEqual(self.records(), [5])

    def test_peekMany(self) -> None:
        """A look at many begins within a record, and goes on from one to the next."""
        self.push(b"q", b"6")
        self.pop(2)
        for first, most, numbers, reached in (
            (0, 9, (2, 3, 4, 5, 6), None),
            (4, 9, (4, 5, 6), None),
            (3, 2, (3, 4), 5),
            (6, 1, (6,), 7),
        ):
            found, there = self.store.peekMany(b"q", first, most, 99_999)
            bodies = [b"%d" % number for number in numbers]
            self.assertEqual([each.body for each in found], bodies)
            self.assertEqual(there, reached)
        self.assertEqual(self.records(), [5, 6])

    def test_peekManyDamaged(self) -> None:
        """Damaged bodies, or fields, are told in their places."""
        self.damage(-5)
        found, _ = self.store.peekMany(b"q", 0, 9, 99_999)
        kinds = [type(each) is Message for each in found]
        self.assertEqual(kinds, [True, False, True, True, True, True])
        self.damage(20)
        found, _ = self.store.peekMany(b"q", 0, 9, 99_999)
        self.assertEqual([type(each) for each in found], [DamagedMessage])

    def test_manyQueues(self) -> None:
        """Heads within more records than are kept are found again."""
        self.patch(module, "KEPT", 2)
        queues = [b"%d" % number for number in range(5)]
        for queue in queues:
            self.push(queue, b"1", b"2", b"3")
        for body in (b"1", b"2", b"3"):
            for queue in queues:
                self.assertEqual(self.pop(1, queue), [body])

    def test_deleted(self) -> None:
        """A record goes with its queue."""
        self.pop()
        with self.store.transaction.run():
            self.store.delete(b"q")
        while self.store.hasGarbage():
            self.store.sweep(1)
        self.assertEqual(self.records(), [])


class ShareTests(PackTestCase):
    """Messages that share a record."""

    def test_bounds(self) -> None:
        """A record has so many messages at most, and so many bytes of bodies."""
        self.push(b"many", *[b""] * (MOST + 1))
        self.assertEqual(self.records(2), [MOST - 1, MOST])
        for queue, count, sizes in (
            (b"3", 16, [8, 8]),
            (b"4", 30, [30]),
            (b"5", 40, [35, 5]),
            (b"6", 130, [64, 64, 2]),
        ):
            self.push(queue, *[bytes(100)] * count)
            ends = [-1, *self.records(int(queue))]
            self.assertEqual([b - a for a, b in pairwise(ends)], sizes)

    def test_turn(self) -> None:
        """The first one of a turn that comes alone has its own; later ones share."""
        with self.store.transaction.run():
            for body in (b"a", b"b", b"c"):
                self.store.push(b"turn", 0, body)
        self.assertEqual(self.records(2), [0, 2])
        self.assertEqual(self.pop(9, b"turn"), [b"a", b"b", b"c"])

    def test_between(self) -> None:
        """A message between them in a record of its own ends the shared one."""
        with self.store.transaction.run():
            self.store.pushAll(b"turn", [(0, b"a"), (0, b"b")])
            self.store.push(b"turn", 0, b"c", expires=1 << 45)
            self.store.pushAll(b"turn", [(0, b"d"), (0, b"e")])
        self.assertEqual(self.records(2), [1, 2, 4])
        self.assertEqual(self.pop(9, b"turn"), [b"a", b"b", b"c", b"d", b"e"])


class SplitTests(PackTestCase):
    """Changes to one message of a record, and to no other."""

    def test_givenBack(self) -> None:
        """A message that is given back is the head again, wherever the head is."""
        for isFound in (True, False):
            with self.store.transaction.run():
                first, second = self.store.popAll(b"q", 2)
            if not isFound:
                self.restart()
            with self.store.transaction.run():
                self.store.putBack(b"q", second)
                self.store.putBack(b"q", first)
            self.assertEqual(self.records(), [0, 1, 2, 3, 4, 5])
            lines = [f"  {number} 0 b'{number}'" for number in range(6)]
            self.assertEqual(dump(self.store), "\n".join(["q 6/0", *lines]))
        self.restart()
        self.assertEqual(self.pop(6), [b"%d" % number for number in range(6)])

    def test_givenBackAndTaken(self) -> None:
        """A message that is given back and taken in one turn hides no other."""
        with self.store.transaction.run():
            _, second = self.store.popAll(b"q", 2)
        with self.store.transaction.run():
            self.store.putBack(b"q", second)
            found = [self.store.pop(b"q").body for _ in range(3)]
        self.assertEqual(found, [b"1", b"2", b"3"])
        self.assertEqual(self.pop(9), [b"4", b"5"])

    def test_openReads(self) -> None:
        """Those that are open are neither seen nor lost."""
        self.pop()
        looks: list[None] = []
        self.patch(self.store.transaction, "lookAgain", lambda: looks.append(None))
        self.store.begin()
        one, two = (self.store.openRead(b"q") for _ in range(2))
        self.assertEqual(len(looks), 1)
        self.store.commit()
        self.assertEqual(self.records(), [1, 2, 3, 4, 5])
        with self.store.transaction.run():
            self.store.closeRead(b"q", one)
            self.store.abortRead(b"q", two, True)
        self.assertEqual(self.store.deliveries(two), 1)
        self.restart()
        self.assertEqual(self.pop(9), [b"2", b"3", b"4", b"5"])

    def test_damagedBody(self) -> None:
        """A damaged message is set aside by itself, and the others come."""
        self.damage(-5)
        self.assertEqual(self.pop(), [b"0"])
        self.assertIsInstance(self.store.peek(b"q"), DamagedMessage)
        error, *bodies = self.pop(9)
        self.assertIn("message 1 of its queue: the CRC of its body", str(error))
        self.assertIsInstance(error, DamagedMessage)
        self.assertEqual(bodies, [b"2", b"3", b"4", b"5"])
        aside = self.store.transaction.queues.get(DAMAGED + KEY.pack(ID, 1))
        self.assertEqual(aside[-1:], b"0")
        self.assertEqual(dump(self.store), "q 6/6")

    def test_damagedFields(self) -> None:
        """Damaged fields cost the messages of the record, and no other."""
        self.damage(20)
        self.push(b"q", b"next")
        was = self.store.transaction.messages.get(KEY.pack(ID, 5))
        error, body = self.pop(2)
        self.assertIsInstance(error, DamagedMessage)
        self.assertEqual(body, b"next")
        aside = self.store.transaction.queues.get(DAMAGED + KEY.pack(ID, 5))
        self.assertEqual(aside, was)
        self.assertEqual(dump(self.store), "q 7/7")

    def test_damagedWhenRead(self) -> None:
        """So they do for an open read."""
        self.damage(20)
        self.push(b"q", b"next")
        with self.store.transaction.run():
            self.assertIsInstance(self.store.openRead(b"q"), DamagedMessage)
            self.assertEqual(self.store.openRead(b"q").body, b"next")

    def test_damagedBeside(self) -> None:
        """So they do for a get beside an open read."""
        with self.store.transaction.run():
            self.store.openRead(b"q")
        self.push(b"q", b"6", b"7")
        table, key = self.store.transaction.messages, KEY.pack(ID, 7)
        table.put(key, table.get(key)[:20])
        self.push(b"q", b"next")
        bodies = self.pop(7)
        self.assertEqual(bodies[:5], [b"1", b"2", b"3", b"4", b"5"])
        self.assertIsInstance(bodies[5], DamagedMessage)
        self.assertEqual(bodies[6:], [b"next"])

    def test_damagedWithin(self) -> None:
        """A message is given back to a place within a record that is damaged since."""
        with self.store.transaction.run():
            [first] = self.store.popAll(b"q", 1)
        self.push(b"q", b"next")
        self.damage(20)
        self.restart()
        with self.store.transaction.run():
            self.store.putBack(b"q", first)
        self.assertEqual(self.pop(9), [b"0", b"next"])
        self.assertEqual(dump(self.store), "q 7/7")

    def test_damagedHead(self) -> None:
        """A record that does not tell how many it had counts as one: none is lost."""
        self.damage(2)
        self.push(b"q", b"next")
        first, second = self.pop(2)
        self.assertIsInstance(first, DamagedMessage)
        self.assertEqual(second, b"next")
