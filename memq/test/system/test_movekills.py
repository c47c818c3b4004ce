"""A server that is killed while messages move: each of them is in one queue."""

from __future__ import annotations

import shutil
import tempfile
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from memq.message import Message, Reason, Trace
from memq.test.support.disks.wrecks import pushLarge
from memq.test.support.homes import MEMORY
from memq.test.support.model.draws import BEGIN
from memq.test.support.model.rig import Rig, whole

if TYPE_CHECKING:
    from memq.storage.bdb.store import BDBStore

#: Some slices of messages, of which a few have bodies in parts.
NUMBERS = range(400)
LARGE = {3, 150, 151, 399}
STEPS = (*range(1, 14), 60)


def body(number: int) -> bytes:
    """Return the body of a message."""
    return b"%d " % number * (30_000 if number in LARGE else 1)


def fill(store: BDBStore, queue: bytes, trace: Trace | None = None) -> None:
    """Have all messages in a queue."""
    for number in NUMBERS:
        if number in LARGE:
            data = body(number)
            pushLarge(store, queue, data[:65536], data[65536:], trace=trace)
        else:
            store.begin()
            store.push(queue, 0, body(number), trace=trace)
            store.commit()


def found(store: BDBStore, queue: bytes) -> list[int]:
    """Take all messages of a queue; return which they are, with the whole body."""
    numbers = []
    store.begin()
    while isinstance(message := store.pop(queue), Message):
        data = whole(store, message)
        numbers.append(int(data.split(b" ", 1)[0]))
        assert data == body(numbers[-1])
    assert message is None
    store.commit()
    return numbers


class MoveKillTests(SynchronousTestCase):
    """Kills at any step of a move or a redrive."""

    def setUp(self) -> None:
        """Have a directory for homes."""
        self.directory = tempfile.mkdtemp(dir=MEMORY)
        self.addCleanup(shutil.rmtree, self.directory)

    def killed(
        self, line: bytes, trace: Trace | None, steps: int, isFlushed: bool
    ) -> tuple[list[int], list[int]]:
        """Return what is in q and r when the server was killed within a command."""
        rig = Rig(self.directory, noSync=False, leastPacked=2)
        rig.write({})
        rig.open(BEGIN)
        fill(rig.store, b"q", trace)
        rig.store.flush()
        rig.serve()
        client = rig.client(1)
        client.send(line)
        for step in range(steps):
            rig.harness.reactor.iterate()
            if step % 3 == 2:
                rig.harness.flushPool.step()
        answer = client.read()
        rig.kill(isFlushed)
        rig.open(BEGIN)
        self.assertFalse(rig.store.hasGarbage())
        left, moved = found(rig.store, b"q"), found(rig.store, b"r")
        if answer:
            self.assertEqual(answer, b"MOVED %d\r\n" % len(NUMBERS))
            self.assertEqual(left, [])
        rig.close()
        rig.remove()
        return left, moved

    def check(self, line: bytes, trace: Trace | None = None) -> None:
        """Find each message in one queue, in order, however many have moved."""
        counts = set()
        for steps in STEPS:
            left, moved = self.killed(line, trace, steps, isFlushed=bool(steps % 2))
            self.assertEqual(moved + left, [*NUMBERS])
            counts.add(len(moved))
        self.assertGreater(len(counts), 3)
        self.assertIn(len(NUMBERS), counts)

    def test_move(self) -> None:
        """A move that is cut short has moved the first ones, whole."""
        self.check(b"move q r\r\n")

    def test_redrive(self) -> None:
        """So has a redrive."""
        self.check(b"redrive q\r\n", Trace(1, b"r", Reason.DELIVERIES, 5))
