"""Queues that real nodes do not have: what is returned is never told as stored."""

from __future__ import annotations

from memq.test.cluster.nodes import ClusterTestCase
from testkit.wire import sets

#: Sets that come together; each of so many is to a queue that is not there.
SETS, EACH = 300, 10
GONE = b"SERVER_ERROR the queue servers do not know the queue any more"


class MissingTests(ClusterTestCase):
    """One set in ten is returned, under load."""

    def told(self, *queues: bytes) -> list[bytes]:
        """Return what is told of sets that come together, one to each queue."""
        data = b"".join(sets(each, b"%d" % n) for n, each in enumerate(queues))
        return self.one.talk(data + b"quit\r\n").split(b"\r\n")[:-1]

    def test_missing(self) -> None:
        """New queues are made; one that was there, and is gone, is not made anew."""
        self.one, other = self.front(), self.front()
        fresh = [b"missing.%d" % n for n in range(SETS // EACH)]
        queues = [b"missing" if n % EACH else fresh[n // EACH] for n in range(SETS)]
        self.assertEqual(self.told(*queues), [b"STORED"] * SETS)
        for n, each in enumerate(fresh):
            self.assertEqual(other.take(each), [b"%d" % (n * EACH)])
        expected = [b"%d" % n for n in range(SETS) if n % EACH]
        self.assertEqual(other.take(b"missing"), expected)
        self.nodes().run("ctl", "1", "delete_queue", "-p", "memq", "missing.7")
        queues = [b"missing" if n % EACH else b"missing.7" for n in range(SETS)]
        told = self.told(*queues)
        self.assertEqual(set(told[::EACH]), {GONE})
        del told[::EACH]
        self.assertEqual(set(told), {b"STORED"})
        self.assertEqual(other.take(b"missing"), expected)
        self.assertEqual(other.take(b"missing.7"), [])
        self.one.ask(*(b"delete " + each for each in (b"missing", *fresh)))
