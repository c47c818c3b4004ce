"""A home that an older memq wrote is read, and becomes this one's."""

from __future__ import annotations

import errno
import os
from typing import Any

from memq.errors import HomeError, OutOfSpace
from memq.message import LargeBody, Trace
from memq.storage.datadir.home import Home
from memq.storage.engine.binding import db
from memq.storage.engine.environment import Environment
from memq.storage.record import ID, KEY, NEXT_ID, PART, packLarge, packPart, packRecord
from memq.storage.row import unpackQueue
from memq.test.support.homes import SMALL, BDBTestCase, details, refusing

#: Rows of version 1: id 1, next sequence 4, 4 pushed, 1 taken; and an empty queue.
FULL = bytes.fromhex("01 00000001 0000000000000004 0000000000000004 0000000000000001")
EMPTY = bytes.fromhex("01 00000002 0000000000000009 0000000000000009 0000000000000009")


class UpgradeTests(BDBTestCase):
    """Rows of version 1 become rows of the present version."""

    def setUp(self) -> None:
        """Make a home of format 2 with such rows."""
        self.path = os.path.abspath(self.mktemp())
        home = Home(self.path)
        home.prepare()
        environment = Environment(home, SMALL)
        environment.open()
        queues = environment.openTable("queues", db.DB_CREATE)
        messages = environment.openTable("messages", db.DB_CREATE)
        for key, row in ((b"e", EMPTY), (b"q", FULL), (NEXT_ID, ID.pack(3))):
            queues.put(key, row)
        messages.put(KEY.pack(1, 1), packRecord(0, 5, b"four"))
        messages.put(KEY.pack(1, 2), packLarge(0, 5, LargeBody(7, 600, 1)))
        messages.put(KEY.pack(1, 3), b"damaged")
        messages.put(PART.pack(0, 7, 0), packPart(bytes(600)))
        environment.close()
        home.release()
        self.write("2\n")

    def write(self, text: str) -> None:
        """Write VERSION."""
        with open(os.path.join(self.path, "memq", "VERSION"), "w") as file:
            file.write(text)

    def version(self) -> str:
        """Return VERSION."""
        with open(os.path.join(self.path, "memq", "VERSION")) as file:
            return file.read()

    def opened(self) -> Any:
        """Return an open store, and note what it says."""
        store = self.storeAt(self.path)
        self.said: list[str] = []
        store.say = self.said.append
        store.open()
        return store

    def test_counted(self) -> None:
        """Bytes are counted once, and the home is one that an older memq refuses."""
        store = self.opened()
        self.assertEqual(
            self.said, ["The bytes of 3 messages of an older memq are counted, once"]
        )
        e, q = details(store)
        self.assertEqual((e.bytes, e.pushed, q.bytes, q.items), (0, 9, 604, 3))
        self.assertGreater(min(e.lastUsed, q.lastUsed), 1_700_000_000)
        self.assertEqual(self.version(), "5\n")
        rows = [store.transaction.queues.get(key) for key in (b"e", b"q")]
        found = [unpackQueue(b"", row) for row in rows]
        self.assertEqual([queue.bytes for queue in found], [0, 604])
        store = self.reopened(store)
        self.assertEqual(details(store), [e, q])
        with store.transaction.run():
            self.assertEqual(len(store.popAll(b"q", 9)), 3)
        self.assertEqual(details(store)[1].bytes, 0)

    def test_format1(self) -> None:
        """A home of format 1 is read as well."""
        self.write("1\n")
        self.assertEqual(details(self.opened())[1].bytes, 604)
        self.assertEqual(self.version(), "5\n")

    def test_format4(self) -> None:
        """A home without traces is one whose messages may have some from now on."""
        store = self.opened()
        self.write("4\n")
        store = self.reopened(store)
        self.assertEqual(self.version(), "5\n")
        store.begin()
        store.push(b"q", 0, b"again", trace=Trace(2))
        store.commit()
        store = self.reopened(store)
        store.begin()
        found = store.popAll(b"q", 9)
        self.assertEqual(
            [getattr(m, "trace", 0) for m in found], [None, None, 0, Trace(2)]
        )
        store.abort()

    def test_interrupted(self) -> None:
        """A home of format 3 may have rows of version 1, after a crash."""
        self.write("3\n")
        self.assertEqual(details(self.opened())[1].bytes, 604)
        self.assertEqual(len(self.said), 1)

    def test_versionWithoutRoom(self) -> None:
        """No row is written before an older memq refuses the home."""
        patch = self.patch(os, "replace", refusing(errno.ENOSPC))
        store = self.storeAt(self.path)
        error = self.assertRaises(HomeError, store.open)
        self.assertIn("No space left on device", str(error))
        patch.restore()
        store.home.release()
        self.assertEqual(self.version(), "2\n")
        self.opened()
        self.assertEqual(len(self.said), 1)

    def test_rowsWithoutRoom(self) -> None:
        """Without room for the rows it opens, and they are counted again later."""
        store = self.storeAt(self.path)
        transaction: Any = store.transaction
        commit = transaction.commit

        def fail() -> None:
            store.abort()
            raise OutOfSpace

        transaction.commit = fail
        store.open()
        transaction.commit = commit
        self.assertEqual(details(store)[1].bytes, 604)
        store.close()
        store.home.release()
        self.assertEqual(details(self.opened())[1].bytes, 604)
        self.assertEqual(len(self.said), 1)
