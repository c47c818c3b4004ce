"""The head of a queue is found, or it is told what is wrong with it."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from memq.errors import DamagedMessage, StoreError, StoreFailed
from memq.figures import Outcome
from memq.message import Message
from memq.storage.record import packRecord
from memq.test.support.homes import BDBTestCase, dump


class DamageTests(BDBTestCase):
    """Messages that are not what was written."""

    def setUp(self) -> None:
        """Make a queue whose second message has another body than its CRC says."""
        self.store = self.openStore()
        for body in (b"1", b"2", b"3"):
            self.fill(self.store, b"q", body)
        self.key = b"\0\0\0\1" + b"\0" * 7 + b"\1"
        record = self.store.transaction.messages.get(self.key)
        self.store.transaction.messages.put(self.key, record[:-1] + b"X")

    def pop(self) -> Any:
        """Take the head."""
        with self.store.transaction.run():
            return self.store.pop(b"q")

    def test_setAside(self) -> None:
        """A damaged message is told once, kept aside, and the queue goes on."""
        damaged = self.store.transaction.messages.get(self.key)
        self.assertEqual(self.pop().body, b"1")
        with self.store.transaction.run():
            self.assertIsInstance(self.store.peek(b"q"), DamagedMessage)
        error = self.pop()
        self.assertIsInstance(error, DamagedMessage)
        self.assertIn("message 1 of its queue", str(error))
        self.assertEqual(self.pop().body, b"3")
        self.assertEqual(self.store.outcomes()[Outcome.DAMAGED], 1)
        again = self.reopened(self.store)
        self.assertEqual(dump(again), "q 3/3")
        self.assertEqual(again.transaction.queues.get(b"\0damaged" + self.key), damaged)

    def test_amongMany(self) -> None:
        """A look at many tells it in its place, and goes on."""
        self.store.begin()
        found, reached = self.store.peekMany(b"q", 0, 9, 9999)
        self.store.abort()
        kinds = [type(each) for each in found]
        self.assertEqual((kinds, reached), ([Message, DamagedMessage, Message], None))

    def test_withinRun(self) -> None:
        """So in the middle of a run."""
        with self.store.transaction.run():
            found: list[Any] = self.store.popAll(b"q", 5)
        self.assertEqual([type(each) for each in found[:2]], [Message, DamagedMessage])
        self.assertEqual(found[2].body, b"3")
        self.assertEqual(len(found), 3)
        self.assertEqual(dump(self.reopened(self.store)), "q 3/3")

    def test_besideReads(self) -> None:
        """So beside open reads, and a read that meets it goes on behind it."""
        self.store.begin()
        read: Any = self.store.openRead(b"q")
        self.assertIsInstance(self.store.peek(b"q"), DamagedMessage)
        self.assertIsInstance(self.store.openRead(b"q"), DamagedMessage)
        self.store.abort()
        self.assertEqual(list(self.store.counts()), [(b"q", 3, 0)])
        with self.store.transaction.run():
            read = self.store.openRead(b"q")
            found: list[Any] = self.store.popAll(b"q", 5)
            self.assertIsInstance(found[0], DamagedMessage)
            self.assertEqual([message.body for message in found[1:]], [b"3"])
            self.assertTrue(self.store.closeRead(b"q", read))
        again = self.reopened(self.store)
        self.assertEqual(dump(again), "q 3/3")
        self.assertIsNotNone(again.transaction.queues.get(b"\0damaged" + self.key))

    def test_popReadOfDamaged(self) -> None:
        """A message damaged while it is open is set aside when it is to be moved."""
        self.pop()
        self.store.transaction.messages.put(self.key, packRecord(0, 0, b"2"))
        with self.store.transaction.run():
            read: Any = self.store.openRead(b"q")
            record = self.store.transaction.messages.get(self.key)
            self.store.transaction.messages.put(self.key, record[:-1] + b"X")
            error = self.store.popRead(b"q", read)
        self.assertIsInstance(error, DamagedMessage)
        self.assertIn("message 1 of its queue", str(error))
        again = self.reopened(self.store)
        self.assertEqual(dump(again), "q 3/2\n  2 0 b'3'")
        self.assertIsNotNone(again.transaction.queues.get(b"\0damaged" + self.key))

    def test_popReadOfLost(self) -> None:
        """A message that is gone altogether is an error, which changes nothing."""
        self.store.begin()
        read: Any = self.store.openRead(b"q")
        self.store.transaction.messages.delete(b"\0\0\0\1" + b"\0" * 8)
        error = self.assertRaises(StoreError, self.store.popRead, b"q", read)
        self.assertIn("queue q has lost messages", str(error))
        self.store.abort()

    def test_readOfDamaged(self) -> None:
        """A damaged message is set aside by a read, durably, and counts as taken."""
        self.pop()
        with self.store.transaction.run():
            error = self.store.openRead(b"q")
        self.assertIsInstance(error, DamagedMessage)
        self.assertEqual(dump(self.reopened(self.store)), "q 3/2\n  2 0 b'3'")

    def test_pageDamaged(self) -> None:
        """A page that rots on the disk is noticed, and nothing is told from it."""
        self.fill(self.store, b"r", b"a body that is easy to find")
        self.store.close()
        path = os.path.join(self.store.home.directory, "messages")
        with open(path, "r+b") as file:
            place = file.read().index(b"easy")
            os.pwrite(file.fileno(), b"hard", place)
        self.store.open()
        self.store.begin()
        error = self.assertRaises(StoreFailed, self.store.pop, b"r")
        self.assertIn("the store cannot go on", str(error))
        self.assertRaises(StoreFailed, self.store.abort)

    def test_lostMessages(self) -> None:
        """A queue whose counts have no messages behind them says so."""
        self.fill(self.store, b"r", b"1")
        self.fill(self.store, b"s", b"another queue's")
        self.store.transaction.messages.delete(b"\0\0\0\2" + b"\0" * 8)
        self.store.begin()
        store = self.store
        many = partial(store.peekMany, first=0, most=1, limit=1)
        for look in (store.peek, many, store.pop, store.openRead):
            error = self.assertRaises(StoreError, look, b"r")
            self.assertIn("queue r has lost messages", str(error))
        self.store.abort()
        self.assertEqual(self.pop().body, b"1")

    def test_lostReturned(self) -> None:
        """So does one whose message is gone that was given back."""
        for body in (b"1", b"2", b"3"):
            self.fill(self.store, b"r", body)
        self.store.begin()
        reads: list[Any] = [self.store.openRead(b"r") for _ in range(2)]
        self.store.abortRead(b"r", reads[0], False)
        self.store.transaction.messages.delete(b"\0\0\0\2" + b"\0" * 8)
        error = self.assertRaises(StoreError, self.store.pop, b"r")
        self.assertIn("queue r has lost messages", str(error))
        self.store.abort()
