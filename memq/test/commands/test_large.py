"""Bodies that come, stay and leave in parts."""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from memq.commands.largevalues import PARTS_AT_ONCE
from memq.errors import (
    DamagedMessage,
    QueueError,
    StoreError,
    StoreFailed,
)
from memq.message import PART_SIZE, LargeBody, Message
from memq.storage.record import (
    DamagedRecord,
    packLarge,
    packPart,
    unpackPart,
    unpackRecord,
)
from memq.test.support.harness import Client, Harness
from memq.test.support.homes import DEADLOCK, BDBTestCase, Failing, dump
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedTestCase

#: A record of version 2, as it was written.
LARGE_2 = bytes.fromhex(
    "02 00000007 0000019b7c72d22e 0000000000000005 0000000000030d40 00000004 905cf0c7"
)
MESSAGE_2 = Message(5, 9, 7, 0x19B7C72D22E, b"", LargeBody(5, 200000, 4))


def body(size: int) -> bytes:
    """Return bytes of which no two parts are alike."""
    return b"".join(b"%07d " % number for number in range(size // 8 + 1))[:size]


class LargeRecordTests(SynchronousTestCase):
    """The records of large bodies and their parts."""

    def test_layout(self) -> None:
        """A record of version 2 is what it was when it was first written."""
        large = MESSAGE_2.large
        assert large is not None
        self.assertEqual(packLarge(7, MESSAGE_2.time, large), LARGE_2)
        self.assertEqual(unpackRecord(5, 9, LARGE_2), MESSAGE_2)

    def test_everyBit(self) -> None:
        """A flipped bit anywhere is damage."""
        for bit in range(len(LARGE_2) * 8):
            record = bytearray(LARGE_2)
            record[bit // 8] ^= 1 << bit % 8
            self.assertRaises(DamagedRecord, unpackRecord, 5, 9, bytes(record))

    def test_part(self) -> None:
        """A part comes back as it was, or as damaged."""
        record = packPart(b"hello")
        self.assertEqual(unpackPart(record), b"hello")
        for length in range(len(record)):
            self.assertRaises(DamagedRecord, unpackPart, record[:length])


class LargeTests(SteppedTestCase):
    """Large bodies of clients."""

    def setUp(self) -> None:
        """Connect."""
        self.harness = Harness(maxBody=64 << 20)
        self.store = self.harness.store
        self.client = self.harness.connect()

    def set(self, size: int, client: Client | None = None) -> bytes:
        """Set a body, and return it."""
        whole = body(size)
        data = b"set q 5 0 %d\r\n%b\r\n" % (size, whole)
        reply = (client or self.client).talk(data)
        self.assertEqual(reply, b"STORED\r\n")
        return whole

    def swept(self) -> bool:
        """Return whether no part is left."""
        self.harness.settle()
        return not self.store.parts

    def test_roundTrip(self) -> None:
        """A large body comes back as it was, and leaves nothing behind."""
        for size in (PART_SIZE, PART_SIZE + 1, 40 * PART_SIZE + 7):
            whole = self.set(size)
            reply = self.client.talk(b"get q\r\nget q\r\n")
            expected = b"VALUE q 5 %d\r\n%b\r\nEND\r\nEND\r\n" % (size, whole)
            self.assertTrue(reply == expected)
            self.assertTrue(self.swept())

    def test_several(self) -> None:
        """Large and small ones come in the order that they were asked for."""
        whole = self.set(70000)
        self.client.talk(b"set r 0 0 1\r\nx\r\n")
        self.set(70000)
        reply = self.client.talk(b"gets q r q\r\nversion\r\n")
        large = b"VALUE q 5 70000 %d\r\n%b\r\n"
        self.assertTrue(
            reply.startswith(
                large % (0, whole)
                + b"VALUE r 0 1 0\r\nx\r\n"
                + large % (1, whole)
                + b"END\r\nVERSION"
            )
        )

    def test_amongOthers(self) -> None:
        """So among gets, or sets, that come in one packet."""
        whole = body(70000)
        small = b"set q 0 0 1\r\n%b\r\n"
        large = b"set q 5 0 70000\r\n%b\r\n" % whole
        data = small % b"a" + large + large + small % b"b" + small % b"c"
        self.assertEqual(self.client.talk(data), b"STORED\r\n" * 5)
        value = b"VALUE q 0 1\r\n%b\r\nEND\r\n"
        largeValue = b"VALUE q 5 70000\r\n%b\r\nEND\r\n" % whole
        expected = value % b"a" + largeValue * 2 + value % b"b" + value % b"c"
        reply = self.client.talk(b"get q\r\n" * 6 + b"version\r\n")
        self.assertTrue(reply.startswith(expected + b"END\r\nVERSION"))
        self.assertEqual(self.client.protocol.outstanding.load, 0)
        self.assertTrue(self.swept())

    def test_leavesAmongOthers(self) -> None:
        """A client that leaves then gives back that one and those behind it."""
        self.client.talk(b"set q 0 0 1\r\na\r\n")
        self.set((PARTS_AT_ONCE + 2) * PART_SIZE)
        self.client.talk(b"set q 0 0 1\r\nb\r\n")
        self.client.send(b"get q\r\n" * 4)
        self.harness.reactor.iterate()
        self.harness.flushPool.step()
        self.harness.reactor.iterate()
        self.assertTrue(self.client.read().startswith(b"VALUE q 0 1\r\na\r\nEND"))
        self.client.end()
        self.assertEqual(self.store.dump(), "q 3/1:  b")

    def test_noreply(self) -> None:
        """So is one that nobody wants to hear of."""
        written: list[bytes] = []
        self.patch(self.client.transport, "write", written.append)
        self.client.talk(b"set q 0 0 70000 noreply\r\n" + body(70000) + b"\r\n")
        self.assertEqual(self.store.dump(), "q 1/0: ")
        self.assertEqual(written, [])

    def test_badChunk(self) -> None:
        """A body that does not end as announced is refused, and not kept."""
        reply = self.client.talk(b"set q 0 0 70000\r\n" + body(70000) + b"xx")
        self.assertEqual(reply, b"CLIENT_ERROR bad data chunk\r\n")
        self.assertTrue(self.swept())

    def test_gone(self) -> None:
        """The parts of a body that came are forgotten with its client."""
        self.client.talk(b"set q 0 0 300000\r\n" + body(150000))
        self.assertEqual(len(self.store.parts), 1)
        self.client.leave()
        self.assertTrue(self.swept())
        self.assertEqual(self.store.dump(), "")

    def test_goneAtOnce(self) -> None:
        """So is one of which nothing was kept yet."""
        self.client.send(b"set q 0 0 300000\r\n" + body(1500))
        self.client.leave()
        self.assertTrue(self.swept())

    def test_logged(self) -> None:
        """With -vv a set in parts is logged like any other."""
        client = Harness(verbosity=2).connect()
        with capturedLogs() as events:
            client.talk(b"set q 0 0 70000\r\n" + bytes(70000) + b"\r\n")
        texts = [formatEvent(event) for event in events]
        self.assertEqual(sum(" set q flags=" in text for text in texts), 1)

    def test_full(self) -> None:
        """A full disk refuses it, at its beginning or later."""
        self.harness.fillDisk()
        whole = body(200000)
        reply = self.client.talk(b"set q 0 0 200000\r\n" + whole + b"\r\n")
        self.assertEqual(reply, b"SERVER_ERROR out of disk space\r\n")
        self.harness.makeRoom()
        self.client.talk(b"set q 0 0 200000\r\n" + whole[:100000])
        self.harness.fillDisk()
        reply = self.client.talk(whole[100000:] + b"\r\n")
        self.assertEqual(reply, b"SERVER_ERROR out of disk space\r\n")
        self.assertTrue(self.swept())

    def test_partFails(self) -> None:
        """A part that cannot be kept refuses the whole body."""
        self.patch(self.store, "addPart", self.failing(StoreError("no room")))
        data = b"set q 0 0 200000\r\n" + body(200000) + b"\r\nversion\r\n"
        reply = self.client.talk(data)
        self.assertEqual(reply.split(b"\r\n")[0], b"SERVER_ERROR no room")
        self.assertTrue(self.swept())

    def failing(self, error: QueueError) -> Any:
        """Return a function that raises an error."""

        def fail(*arguments: object) -> None:
            raise error

        return fail

    def test_othersBetween(self) -> None:
        """Nobody waits for a whole large body."""
        self.set((PARTS_AT_ONCE + 2) * PART_SIZE)
        other = self.harness.connect()
        self.client.send(b"get q\r\n")
        while not self.client.transport.value():
            self.harness.reactor.iterate()
            self.harness.flushPool.step()
        self.assertLess(
            len(self.client.transport.value()), (PARTS_AT_ONCE + 1) * PART_SIZE
        )
        other.send(b"version\r\n")
        self.assertTrue(other.read())
        self.harness.settle()
        self.assertTrue(self.client.read().endswith(b"\r\nEND\r\n"))

    def test_slowReader(self) -> None:
        """A client that does not read gets no more until it does."""
        whole = self.set(4 * PART_SIZE)
        real = self.client.transport.write

        def write(data: bytes) -> None:
            real(data)
            if len(data) == PART_SIZE:
                self.client.stopReading()

        self.patch(self.client.transport, "write", write)
        reply = self.client.talk(b"get q\r\n")
        self.assertLess(len(reply), 3 * PART_SIZE)
        while not reply.endswith(b"END\r\n"):
            self.client.startReading()
            self.harness.settle()
            reply += self.client.read()
        self.assertTrue(whole in reply)

    def test_fewWrites(self) -> None:
        """No write begins or ends where a body does: some clients stumble there."""
        bodies = [self.set(count * PART_SIZE) for count in (2, 3)]
        writes: list[bytes] = []
        self.patch(self.client.transport, "write", writes.append)
        self.client.talk(b"get q q\r\nget q\r\nversion\r\n")
        whole = b"".join(writes)
        offset = 0
        ends = [offset := offset + len(write) for write in writes]
        self.assertEqual(len(ends), 5)
        for body in bodies:
            self.assertNotIn(whole.index(body), ends)
            self.assertNotIn(whole.index(body) + len(body), ends)
        self.assertTrue(writes[-1].endswith(b"\r\nEND\r\nEND\r\n" + VERSION))

    def test_catchesUpAtOnce(self) -> None:
        """A client that is behind, and reads again within the same write, is in step.

        That is what a transport tells whose buffer is full and sent at once.
        """
        sizes = (4 * PART_SIZE, 70000, PART_SIZE, (PARTS_AT_ONCE + 2) * PART_SIZE)
        expected = b""
        for size in sizes:
            expected += b"VALUE q 5 %d\r\n%b\r\n" % (size, self.set(size))
        real = self.client.transport.write

        def write(data: bytes) -> None:
            real(data)
            self.client.stopReading()
            self.client.startReading()

        self.patch(self.client.transport, "write", write)
        reply = self.client.talk(b"get q q q q\r\nget q\r\n")
        self.assertTrue(reply == expected + b"END\r\nEND\r\n")
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 0)
        self.assertTrue(self.swept())

    def test_leavesWithin(self) -> None:
        """A client that leaves within a body did not get it: it goes back."""
        self.set((PARTS_AT_ONCE + 2) * PART_SIZE)
        self.client.send(b"get q\r\nget q\r\n")
        self.harness.reactor.iterate()
        self.harness.flushPool.step()
        self.harness.reactor.iterate()
        self.client.end()
        self.assertEqual(self.store.dump(), "q 1/0: ")

    def test_damaged(self) -> None:
        """A damaged part cuts the connection, and the message is set aside."""
        self.set(3 * PART_SIZE)
        self.patch(self.store, "part", self.failing(DamagedMessage("rotten")))
        self.client.send(b"get q\r\nversion\r\n")
        self.harness.settle()
        self.assertTrue(self.client.transport.disconnecting)
        # The next reply would pass for the body.
        self.assertEqual(self.client.read(), b"")
        self.client.protocol.unblock()
        self.assertEqual(self.client.read(), b"")
        self.client.leave()
        self.assertTrue(self.swept())
        self.assertEqual(self.store.dump(), "q 1/1:")

    def test_unreadable(self) -> None:
        """A body that cannot be read now goes back."""
        self.set(3 * PART_SIZE)
        self.patch(self.store, "part", self.failing(StoreError("not now")))
        self.client.talk(b"get q\r\n")
        self.client.end()
        self.assertEqual(self.store.dump(), "q 1/0: ")

    def test_storeFails(self) -> None:
        """A store that fails for good while parts are read ends the broker."""
        failures: list[StoreFailed] = []
        self.harness.onFailure = failures.append
        self.set(3 * PART_SIZE)
        self.patch(self.store, "part", self.failing(StoreFailed("gone")))
        self.client.talk(b"get q\r\n")
        self.client.end()
        self.assertEqual(len(failures), 1)


class LargeBDBTests(BDBTestCase):
    """Large bodies in Berkeley DB, where it fails."""

    def setUp(self) -> None:
        """Begin with a message of two parts."""
        super().setUp()
        self.store: Any = self.openStore()
        self.large = LargeBody(self.store.newBody(), 6, 2)
        self.store.begin()
        self.store.addPart(self.large.id, 0, b"one")
        self.store.addPart(self.large.id, 1, b"two")
        self.store.pushLarge(b"q", 0, self.large)
        self.store.commit()

    def failing(self, part: str, *names: str) -> None:
        """Let methods of a table fail."""
        real = getattr(self.store.transaction, part)
        setattr(self.store.transaction, part, Failing(real, DEADLOCK, *names))
        self.addCleanup(setattr, self.store.transaction, part, real)

    def fails(self, work: Any) -> None:
        """Assert that something in a transaction fails."""
        self.store.begin()
        self.assertRaises(StoreError, work)
        self.store.abort()

    def pop(self) -> Message:
        """Take the message."""
        self.store.begin()
        message: Message = self.store.pop(b"q")
        self.store.commit()
        return message

    def test_reopened(self) -> None:
        """After a start it is there; what nobody can read is removed."""
        lost = self.store.newBody()
        self.store.begin()
        self.store.addPart(lost, 0, b"lost")
        self.store.commit()
        store: Any = self.reopened(self.store)
        self.store = store
        self.assertEqual(store.part(lost, 0), b"lost")
        while store.hasGarbage():
            store.sweep(1)
        self.assertRaises(DamagedMessage, store.part, lost, 0)
        self.assertEqual(self.pop().large, self.large)
        self.assertEqual(store.part(self.large.id, 1), b"two")
        # Taken, and never released.
        store = self.reopened(store)
        self.assertTrue(store.hasGarbage())
        self.assertEqual(store.status()["queues_being_removed"], 0)
        store.sweep(9)
        self.assertRaises(DamagedMessage, store.part, self.large.id, 1)

    def test_damagedPart(self) -> None:
        """A part that is not what was added says so."""
        key = b"\0" * 4 + self.large.id.to_bytes(8, "big") + b"\0" * 4
        self.store.transaction.messages.put(key, packPart(b"one")[:-1] + b"E")
        self.assertRaises(DamagedMessage, self.store.part, self.large.id, 0)

    def test_partFails(self) -> None:
        """A part that cannot be kept or read says why."""
        self.failing("messages", "put", "get")
        self.fails(lambda: self.store.addPart(7, 0, b"x"))
        self.assertRaises(StoreError, self.store.part, self.large.id, 0)

    def test_tombstoneFails(self) -> None:
        """So does what cannot change its tombstone."""
        message = self.pop()
        self.failing("queues", "put", "delete")
        self.fails(lambda: self.store.putBack(b"q", message))
        self.fails(lambda: self.store.setAside(message))

    def test_setAsideFails(self) -> None:
        """So does a message that cannot be set aside."""
        message = self.pop()
        self.failing("queues", "put")
        self.fails(lambda: self.store.setAside(message))
        self.assertEqual(dump(self.store), "q 1/1")

    def test_sweepDamaged(self) -> None:
        """A damaged record of a deleted queue is removed like the others."""
        self.store.transaction.messages.put(b"\0\0\0\1" + b"\0" * 8, b"\2 rubbish")
        self.store.begin()
        self.store.delete(b"q")
        self.store.commit()
        while self.store.hasGarbage():
            self.store.sweep(1)
        self.assertEqual(dump(self.store), "")

    def test_ids(self) -> None:
        """Ids of bodies go on from anywhere, and fit their key."""
        first = self.store.newBody()
        second = self.store.newBody()
        self.assertEqual(second, first + 1)
        self.assertLess(second, 2**57)
