"""Tests for memq.memcacheq.staging."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import StoreError
from memq.memcacheq.directory import OldFile
from memq.memcacheq.queuefile import OldMessage
from memq.memcacheq.staging import (
    AdoptionState,
    Counts,
    Staged,
    Staging,
    packState,
    unpackState,
)
from memq.message import Message
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.storage.engine.binding import StoreSettings
from memq.storage.row import DamagedRow
from memq.test.support.disks.wrecks import take
from memq.test.support.foreign.memcacheqdirs import scratch
from memq.test.support.homes import NO_SPACE, Failing, details, push

FINGERPRINT = bytes(range(32))
FILES = [OldFile(b"queue.list", 8192, 1700000000123456789), OldFile(b"\xff q", 0, 0)]


class StateTests(SynchronousTestCase):
    """The row that tells how far an adoption is."""

    def test_states(self) -> None:
        """Each state is read as it was written."""
        for state in (
            AdoptionState(False, False, FINGERPRINT, []),
            AdoptionState(True, False, FINGERPRINT, FILES),
            AdoptionState(True, True, FINGERPRINT, FILES[:1]),
        ):
            self.assertEqual(unpackState(packState(state)), state)

    def test_version1(self) -> None:
        """Bytes of version 1 are read."""
        row = b"\1\2" + FINGERPRINT + bytes(7) + b"\5" + bytes(7) + b"\6\0\1q"
        state = AdoptionState(True, False, FINGERPRINT, [OldFile(b"q", 5, 6)])
        self.assertEqual(unpackState(row), state)
        self.assertEqual(packState(state), row)

    def test_damaged(self) -> None:
        """A row that makes no sense is refused."""
        row = packState(AdoptionState(True, False, FINGERPRINT, FILES))
        for bad in (
            b"",
            row[:20],
            row[:-1],
            row + b"x",
            b"\2" + row[1:],
            b"\1\0" + row[2:],
            b"\1\4" + row[2:],
        ):
            self.assertRaises(DamagedRow, unpackState, bad)


class StagingTestCase(SynchronousTestCase):
    """A store in a home of its own."""

    def setUp(self) -> None:
        """Open it."""
        self.home = Home(os.path.join(scratch(self), "home"))
        self.home.prepare()
        self.addCleanup(self.home.release)
        self.store = BDBStore(self.home, StoreSettings(cacheSize=1 << 20))
        self.staging = Staging(self.store)
        self.store.open()
        self.addCleanup(self.store.close)

    def reopen(self) -> None:
        """Close the store, and open it again."""
        self.store.close()
        self.store.open()

    def stage(self, queue: bytes, *bodies: bytes, first: int = 0) -> None:
        """Stage messages, which are all that the queue had."""
        staged = self.staging.stageQueue(queue)
        messages = [OldMessage(n, n, body) for n, body in enumerate(bodies)]
        count = len(messages)
        staged = staged._replace(offset=count, messages=count)
        self.staging.stage(queue, staged, first, messages)

    def counts(self) -> list[tuple[bytes, int, int]]:
        """Return the counts of all queues."""
        return [(name, pushed, taken) for name, pushed, taken in self.store.counts()]

    def sizes(self) -> list[int]:
        """Return the bytes of all queues."""
        return [detail.bytes for detail in details(self.store)]

    def drain(self, queue: bytes) -> list[tuple[int, int, bytes]]:
        """Take all messages of a queue; return number, flags and body of each."""
        found = []
        self.store.begin()
        while isinstance(message := self.store.pop(queue), Message):
            found.append((message.sequence, message.flags, message.body))
        self.store.commit()
        return found

    def sweep(self) -> int:
        """Sweep everything; return how many records of messages are left."""
        self.assertFalse(self.store.sweep(100))
        return int(self.store.transaction.messages.stat()["ndata"])


class StagingTests(StagingTestCase):
    """Queues are not there until they are complete."""

    def test_nothing(self) -> None:
        """At first nothing is taken over."""
        self.assertIsNone(self.staging.adoption())
        self.assertEqual(self.staging.staged(), {})

    def test_unseen(self) -> None:
        """Staged messages are not seen; how far staging is outlives the process."""
        self.staging.beginAdoption(FINGERPRINT)
        self.stage(b"q", b"a", b"b")
        self.stage(b"r")
        self.reopen()
        self.assertEqual(
            self.staging.adoption(), AdoptionState(False, False, FINGERPRINT, [])
        )
        self.assertEqual(
            self.staging.staged(), {b"q": Staged(1, 2, 2), b"r": Staged(2)}
        )
        self.assertEqual(self.counts(), [])
        self.assertEqual(self.drain(b"q"), [])

    def test_seen(self) -> None:
        """They are seen all at once, with their counts, and go on from there."""
        self.staging.beginAdoption(FINGERPRINT)
        self.stage(b"q", b"a", b"b", first=7)
        self.stage(b"r")
        counts = {b"q": Counts(9, 7), b"r": Counts(3, 3)}
        self.staging.finishAdoption(counts, FILES, isKept=False)
        for _ in range(2):
            self.assertEqual(self.counts(), [(b"q", 9, 7), (b"r", 3, 3)])
            self.assertEqual(self.sizes(), [2, 0])
            self.assertEqual(self.staging.staged(), {})
            self.assertEqual(
                self.staging.adoption(), AdoptionState(True, False, FINGERPRINT, FILES)
            )
            self.reopen()
        self.staging.endAdoption()
        self.assertIsNone(self.staging.adoption())
        push(self.store, b"q", 0, b"c")
        self.assertEqual(self.drain(b"q"), [(7, 0, b"a"), (8, 1, b"b"), (9, 0, b"c")])

    def test_discarded(self) -> None:
        """Messages staged before are swept when it begins again."""
        self.staging.beginAdoption(FINGERPRINT)
        self.stage(b"q", b"a", b"b")
        self.staging.beginAdoption(bytes(32))
        self.assertEqual(self.staging.staged(), {})
        self.stage(b"q", b"c")
        self.assertEqual(self.sweep(), 1)
        self.staging.finishAdoption({b"q": Counts(1, 0)}, [], isKept=True)
        self.assertEqual(self.drain(b"q"), [(0, 0, b"c")])

    def test_ids(self) -> None:
        """Queues that are made later do not meet what is staged."""
        self.staging.beginAdoption(FINGERPRINT)
        self.stage(b"q", b"a")
        self.reopen()
        push(self.store, b"other", 0, b"x")
        self.staging.finishAdoption({b"q": Counts(1, 0)}, [], isKept=False)
        self.assertEqual(self.drain(b"other"), [(0, 0, b"x")])
        self.assertEqual(self.drain(b"q"), [(0, 0, b"a")])


class MergeTests(StagingTestCase):
    """A queue that is here keeps its messages, and those that come stand behind."""

    def merge(self, limit: int) -> int:
        """Move what is to be moved; return how many transactions that took."""
        count = 0
        for name, staged in self.staging.staged().items():
            while self.staging.mergeSome(name, staged, limit):
                count += 1
                self.reopen()
            count += 1
        return count

    def test_behind(self) -> None:
        """Counts are added, and no message is met twice in between."""
        push(self.store, b"q", 0, b"1", b"2", b"3")
        take(self.store, b"q", 1)
        self.staging.beginAdoption(FINGERPRINT)
        self.stage(b"q", b"a", b"b", b"c", first=40)
        self.staging.finishAdoption({b"q": Counts(43, 40)}, FILES, isKept=False)
        self.assertEqual(self.counts(), [(b"q", 43, 41)])
        self.assertEqual(self.merge(2), 2)
        self.assertEqual(self.staging.staged(), {})
        self.assertEqual(self.counts(), [(b"q", 46, 41)])
        self.assertEqual(self.sizes(), [5])
        self.assertEqual(
            [body for _, _, body in self.drain(b"q")], b"2 3 a b c".split()
        )
        self.assertEqual(self.sweep(), 0)

    def test_newQueue(self) -> None:
        """A queue that has no counts is made of its messages."""
        self.staging.beginAdoption(FINGERPRINT)
        self.stage(b"q", b"a", b"b", first=40)
        self.stage(b"r", b"x")
        self.staging.finishAdoption({}, [], isKept=False)
        self.assertEqual(self.merge(100), 2)
        self.assertEqual(self.counts(), [(b"q", 2, 0), (b"r", 1, 0)])
        self.assertEqual(self.drain(b"q"), [(0, 0, b"a"), (1, 1, b"b")])


class FailingTests(StagingTestCase):
    """A failed change is undone."""

    def test_store(self) -> None:
        """An error of the store's is raised as one, and nothing was done."""
        self.staging.beginAdoption(FINGERPRINT)
        messages = self.store.transaction.messages
        self.store.transaction.messages = Failing(messages, NO_SPACE, "put")
        self.assertRaises(StoreError, self.stage, b"q", b"a")
        self.store.transaction.messages = messages
        self.assertEqual(self.staging.staged()[b"q"].offset, 0)

    def test_row(self) -> None:
        """A row that makes no sense is refused."""
        self.store.transaction.queues.put(b"\0stagedq", b"x")
        self.assertRaises(DamagedRow, self.staging.staged)
        self.store.transaction.queues.delete(b"\0stagedq")
        self.assertEqual(self.staging.staged(), {})
