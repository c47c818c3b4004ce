"""A full disk, for real: a server that is filled, drained and filled again.

These are shown for every kind of disk, small and large bodies, synced and not, with and
without another program that takes the last bytes, and whatever is given back:

- sets are refused with SERVER_ERROR out of disk space;
- every message that was STORED can be taken out, once, in its order;
- a refused message never comes back, and a get that was answered an error took nothing;
- sets are taken again when enough was taken out, without a restart;
- a server that is killed on a full disk starts again, or says how much room it needs
  if another program has taken all, and starts then;
- the log, and stats, tell when it begins and when it ends.
"""

from __future__ import annotations

import os
import random
import threading
from functools import partial
from signal import SIGKILL, SIGTERM
from time import monotonic

from twisted.trial.unittest import SynchronousTestCase

from memq.test.support.disks.smalldisks import (
    Eater,
    SmallDisk,
    limitedDisk,
    mountDisk,
    startOnFull,
)
from memq.test.support.servers import started, together
from memq.test.support.torture import report, rounds, told
from testkit.servers import PATIENCE, Server
from testkit.wire import Wire, sets

FULL = b"SERVER_ERROR out of disk space"
QUEUES = [b"q%d" % number for number in range(4)]
#: Sets in a row that are refused before a producer believes it.
REFUSED = 8


class Run:
    """A server on a disk, what it was given, and what it has to give back."""

    def __init__(
        self, disk: SmallDisk, size: int, *options: str, eater: str = "none"
    ) -> None:
        """Start it.

        :param size: the bytes of each body.
        :param eater: whether another program takes room: none, once or forEver.
        """
        self.disk = disk
        self.size = size
        home = os.path.join(disk.path, "home")
        options = ("--max-body", "4M", *options)
        self.server = Server(home, *options, before=disk.before)
        self.server.start()
        self._wantsEater = eater
        self._eater: Eater | None = None
        self._total = disk.free()
        self._lock = threading.Lock()
        #: Messages that were STORED and are to be taken out, by queue, in order.
        self.stored: dict[bytes, list[bytes]] = {queue: [] for queue in QUEUES}
        self.sets = dict.fromkeys(QUEUES, 0)
        self.refused: set[bytes] = set()
        self._number = 0

    def _body(self) -> bytes:
        with self._lock:
            self._number += 1
            head = b"%d " % self._number
        return head + bytes([65 + self._number % 26]) * (self.size - len(head))

    def fill(self) -> None:
        """Send messages until sets are refused, from several clients."""
        together(*[partial(self._fill, queue) for queue in QUEUES])

    def _fill(self, queue: bytes) -> None:
        end = monotonic() + PATIENCE
        pipeline = max(1, min(50, 200_000 // self.size))
        refused = 0
        with self.server.wire() as client:
            while refused < REFUSED:
                assert monotonic() < end, "the disk does not become full"
                bodies = [self._body() for _ in range(pipeline)]
                client.send(sets(queue, *bodies))
                replies = [client.line() for _ in bodies]
                for body, reply in zip(bodies, replies, strict=True):
                    assert reply in (b"STORED", FULL), reply
                    if reply == b"STORED":
                        self.stored[queue].append(body)
                        self.sets[queue] += 1
                    else:
                        self.refused.add(body)
                refused = refused + 1 if replies[-1] == FULL else 0
                self._callEater()

    def _callEater(self) -> None:
        with self._lock:
            half = self.disk.free() < self._total // 2
            if half and self._eater is None and self._wantsEater != "none":
                self._eater = Eater(self.disk, self._wantsEater == "forEver")

    def stopEater(self) -> None:
        """Let the other program give everything back, if there is one."""
        eater, self._eater = self._eater, None
        self._wantsEater = "none"
        if eater is not None:
            eater.stop()

    def drain(self) -> bool:
        """Take everything out; return whether sets were taken again before the end."""
        again = False
        end = monotonic() + PATIENCE
        most = max(1, min(20, 300_000 // self.size))
        with self.server.wire() as client:
            while any(self.stored.values()):
                assert monotonic() < end, "messages cannot be taken"
                for queue, bodies in self.stored.items():
                    self._take(client, queue, bodies, most)
                again = again or self._probe(client) == b"STORED"
            for queue in QUEUES:
                assert client.take(queue) is None, "more is there than was STORED"
        return again

    def _take(self, client: Wire, queue: bytes, bodies: list[bytes], most: int) -> None:
        client.send(b"get %b\r\n" % queue * most)
        for _ in range(most):
            line = client.line()
            if line.startswith(b"VALUE "):
                body = client.body(int(line.split()[3]))
                assert client.line() == b"END"
                assert body not in self.refused, "a set that was refused came back"
                assert bodies and body == bodies.pop(0), "another message was due"
            else:
                assert line == FULL or (line == b"END" and not bodies), line

    def _probe(self, client: Wire) -> bytes:
        client.send(sets(b"probe", b"x"))
        return client.line()

    def waitForRoom(self) -> None:
        """Wait until sets are taken."""
        end = monotonic() + PATIENCE
        with self.server.wire() as client:
            replies = iter(lambda: self._probe(client), b"STORED")
            assert all(monotonic() < end for _ in replies), "sets are refused still"

    def checkCounts(self) -> None:
        """Check that ``stats queue`` says what was stored and taken."""
        counts = self.server.counts()
        for queue, pushed in self.sets.items():
            taken = pushed - len(self.stored[queue])
            assert counts.get(queue, (0, 0)) == (pushed, taken), queue

    def kill(self) -> None:
        """Kill the server and start it again."""
        self.server.stop(SIGKILL)
        isEaten = self._wantsEater == "forEver"
        startOnFull(self.server.start, self.stopEater if isEaten else None)


class FullTests(SynchronousTestCase):
    """A server on a full disk."""

    def run_(
        self,
        disk: SmallDisk,
        size: int,
        *options: str,
        eater: str = "none",
        kill: bool = False,
    ) -> None:
        """Fill it, kill it perhaps, drain it, and fill it again."""
        run = Run(disk, size, *options, eater=eater)
        self.addCleanup(run.server.stop)
        self.addCleanup(run.stopEater)
        run.fill()
        run.server.waitForLine("Sets are refused")
        run.checkCounts()
        if kill:
            run.kill()
            run.checkCounts()
        else:
            # A start removes log files, which may be room enough.
            figures = run.server.figures()
            self.assertEqual(figures[b"sets_refused"], b"disk_full")
            self.assertNotEqual(figures[b"disk_full_from"], b"0")
            self.assertEqual(figures[b"disk_full_until"], b"0")
        run.drain()
        run.checkCounts()
        run.stopEater()
        run.waitForRoom()
        if not kill:
            run.server.waitForLine("Sets are taken again")
            self.assertNotEqual(run.server.figures()[b"disk_full_until"], b"0")
        run.fill()
        self.assertEqual(run.server.stop(SIGTERM), 0)
        run.server.start()
        run.checkCounts()
        run.drain()
        self.assertEqual(run.server.stop(SIGTERM), 0)
        self.assertFalse([line for line in run.server.log if "Traceback" in line])

    def test_synced(self) -> None:
        """Small bodies, synced, in memory; nobody else takes room."""
        self.run_(mountDisk(self, "tmpfs", 40), 200)

    def test_notSynced(self) -> None:
        """Bodies of 20 KB, not synced, while another program takes all that it can."""
        disk = mountDisk(self, "tmpfs", 50)
        self.run_(disk, 20_000, "--no-sync", eater="forEver")

    def test_inParts(self) -> None:
        """Bodies in parts, synced, on ext4, the last bytes taken, and killed."""
        self.run_(mountDisk(self, "ext4", 64), 500_000, eater="once", kill=True)

    def test_killed(self) -> None:
        """Small bodies, not synced, on ext4, all taken that can be, and killed."""
        disk = mountDisk(self, "ext4", 60)
        self.run_(disk, 1500, "--no-sync", eater="forEver", kill=True)

    def test_anything(self) -> None:
        """Any of these together."""
        count = 0
        for _ in rounds(1):
            seed = random.randrange(1 << 32)
            choose = random.Random(seed).choice
            options = choose([(), ("--no-sync",)])
            kind = choose(["tmpfs", "ext4"])
            size = choose([30, 200, 900, 3000, 20_000, 60_000, 400_000, 1_500_000])
            # A million messages would take a minute.
            megabytes = choose([30, 60, 150] if size > 1000 else [30])
            eater = choose(["none", "once", "forEver"])
            kill = choose([False, True])
            words = f"seed {seed}: {options} {kind} {megabytes} {size} {eater} {kill}"
            with told(words):
                disk = mountDisk(self, kind, megabytes)
                self.run_(disk, size, *options, eater=eater, kill=kill)
            self.doCleanups()
            count += 1
        report("full disks", filled=2 * count)


class LimitTests(SynchronousTestCase):
    """Where no disk can be mounted."""

    def test_limit(self) -> None:
        """A limit on the size of files refuses sets; all that was STORED comes out."""
        run = Run(limitedDisk(self), 20_000, "--min-free", "8M")
        self.addCleanup(run.server.stop)
        run.fill()
        run.drain()
        run.checkCounts()
        run.server.stop(SIGKILL)
        run.server = started(self, home=run.server.home)
        run.checkCounts()
        run.waitForRoom()

    def test_instead(self) -> None:
        """It is what a disk is when mounting is forbidden."""
        disk = mountDisk(self, "tmpfs", 20, mount="false")
        self.assertFalse(disk.isMounted)
        self.assertGreater(disk.free(), 0)
