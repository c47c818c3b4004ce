"""The figures that stats tells."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from memq import __version__
from memq.commands.details import TOLD
from memq.errors import StoreError
from memq.policy.rules import Rules, Table
from memq.test.support.harness import Harness
from memq.test.support.stepped import SteppedTestCase
from memq.wire.figures import KESTREL

#: The original's figures, in its order, which scripts rely on.
ORIGINAL = [
    *("pid", "uptime", "time", "version", "pointer_size", "rusage_user"),
    *("rusage_system", "curr_connections", "total_connections"),
    *("connection_structures", "get_cmds", "get_hits", "set_cmds", "set_hits"),
    *("bytes_read", "bytes_written", "threads"),
]
OWN = [
    *("durability", "sets_refused", "disk_full_from", "disk_full_until"),
    *("refused_full", "refused_paused", "refused_fanout", "refused_disk_full"),
    *("queues", "messages", "bytes_on_disk", "turns", "flushes", "waiting"),
    *("bytes_buffered", "bytes_reserved", "limit_buffered", "waiting_for_room"),
]
#: Memcached's, each of which some tool cannot do without.
MEMCACHED = [
    *("curr_items", "total_items", "bytes", "limit_maxbytes", "cmd_get", "cmd_set"),
    *("cmd_flush", "get_misses", "get_expired", "delete_hits", "delete_misses"),
    *("evictions", "max_connections", "rejected_connections"),
    *("auth_cmds", "auth_errors", "accepting_conns"),
    *("cmd_touch", "cmd_meta", "get_flushed", "incr_misses", "incr_hits"),
    *("decr_misses", "decr_hits", "cas_misses", "cas_hits", "cas_badval"),
    *("touch_hits", "touch_misses", "reclaimed"),
    *("expired_unfetched", "evicted_unfetched", "conn_yields"),
    *("listen_disabled_num", "time_in_listen_disabled_us", "hash_power_level"),
    *("hash_bytes", "hash_is_expanding"),
]


class StatsTestCase(SteppedTestCase):
    """A client that asks for figures."""

    options: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        """Connect."""
        self.harness = Harness(**self.options)
        self.harness.timeOfDay = 1.6e9
        self.harness.reactor.advance(1000.5)
        self.client = self.harness.connect()

    def lines(self) -> list[list[str]]:
        """Return names and values as a client sees them."""
        lines = self.client.talk(b"stats\r\n").decode().split("\r\n")
        self.assertEqual(lines[-2:], ["END", ""])
        words = [line.split(" ") for line in lines[:-2]]
        self.assertEqual({line[0] for line in words}, {"STAT"})
        return [line[1:] for line in words]

    def figures(self, *names: str) -> list[Any]:
        """Return some figures, numbers where they are."""
        figures = {name: value for name, value in self.lines() if name in names}
        return [
            int(figures[name]) if figures[name].isdigit() else figures[name]
            for name in names
        ]

    def store(self, queue: bytes, times: int = 1) -> None:
        """Send messages."""
        self.client.talk(b"set %b 0 0 1\r\nx\r\n" % queue * times)


class StatisticsTests(StatsTestCase):
    """The figures."""

    def test_names(self) -> None:
        """There are the original's figures in its order, then memq's own."""
        names = [name for name, _ in self.lines()]
        self.assertEqual(names[:17], ORIGINAL)
        self.assertEqual(names[17:], OWN + MEMCACHED)

    def test_process(self) -> None:
        """They tell about the process."""
        self.assertEqual(
            self.figures("pid", "version", "pointer_size"),
            [os.getpid(), __version__, 64],
        )
        for used in self.figures("rusage_user", "rusage_system"):
            self.assertRegex(used, r"\A\d+\.\d{6}\Z")
        self.assertGreaterEqual(self.figures("threads")[0], 1)

    def test_time(self) -> None:
        """They tell the time in seconds, and since when the server runs."""
        self.assertEqual(self.figures("uptime", "time"), [1000, 1600000000])
        self.harness.reactor.advance(3)
        self.assertEqual(self.figures("uptime", "time"), [1003, 1600000000])
        # When the clock of the machine is set, only the time of day is another.
        self.harness.timeOfDay = 1e9
        self.assertEqual(self.figures("uptime", "time"), [1003, 1000000000])

    def test_connections(self) -> None:
        """They tell how many connections there are and were."""
        self.harness.connect()
        self.harness.connect().leave()
        self.assertEqual(
            self.figures(
                "curr_connections", "total_connections", "connection_structures"
            ),
            [2, 3, 2],
        )

    def test_commands(self) -> None:
        """They tell how often was set and got, and with what success."""
        self.store(b"q", 3)
        # A body that is not as long as announced closes its connection.
        self.harness.connect().talk(b"set q 0 0 1\r\nxyz\r\n")
        self.client.talk(b"get q\r\nget q none q q\r\nget none\r\n")
        self.assertEqual(
            self.figures("set_cmds", "set_hits", "get_cmds", "get_hits"),
            [4, 3, 6, 3],
        )

    def test_bytes(self) -> None:
        """They tell the bytes that came and went."""
        request = b"set q 0 0 5\r\nhello\r\nget q\r\n"
        answer = self.client.talk(request)
        self.assertEqual(
            self.figures("bytes_read", "bytes_written"),
            [len(request + b"stats\r\n"), len(answer)],
        )

    def test_store(self) -> None:
        """They tell what is stored, and how."""
        self.store(b"q", 3)
        self.store(b"r", 2)
        self.client.talk(b"get r\r\n")
        self.harness.statistics.bytesOnDisk = 12345
        self.assertEqual(
            self.figures("queues", "messages", "bytes_on_disk", "durability"),
            [2, 4, 12345, "synced"],
        )
        self.harness.broker.durable = False
        self.assertEqual(self.figures("durability"), ["no-sync"])

    def test_broker(self) -> None:
        """They tell what the broker does."""
        self.store(b"q", 3)
        other = self.harness.connect()
        other.send(b"set q 0 0 1\r\nx\r\n")
        self.harness.reactor.advance(0)
        self.client.send(b"stats\r\n")
        self.harness.reactor.advance(0)
        self.harness.settle()
        figures = dict(
            line.split()[1:3] for line in self.client.read().splitlines()[:-1]
        )
        self.assertEqual(
            [figures[name] for name in (b"turns", b"flushes", b"waiting")],
            [b"3", b"2", b"1"],
        )

    def test_full(self) -> None:
        """They tell whether sets are refused, why, and since when on the wall."""
        names = ("sets_refused", "disk_full_from", "disk_full_until")
        self.assertEqual(self.figures(*names), ["no", 0, 0])
        self.harness.reactor.advance(5)
        self.harness.fillDisk()
        self.assertEqual(self.figures(*names), ["disk_full", 1600000000, 0])
        self.harness.pass_(5)
        self.harness.makeRoom()
        self.assertEqual(self.figures(*names), ["no", 1600000000, 1600000005])
        self.harness.fillDisk()
        self.assertEqual(self.figures("disk_full_until"), [0])

    def test_reset(self) -> None:
        """A reset zeroes counters; what is stored and open stays."""
        self.store(b"q", 2)
        self.client.talk(b"get q\r\n")
        self.assertEqual(self.client.talk(b"stats reset\r\n"), b"RESET\r\n")
        self.assertEqual(
            self.figures(
                *("total_connections", "set_cmds", "set_hits", "get_cmds", "get_hits"),
                *("bytes_read", "bytes_written", "curr_connections", "messages"),
            ),
            [0] * 5 + [7, 7, 1, 1],
        )
        self.assertEqual(self.client.talk(b"stats queue\r\n"), b"STAT q 2/1\r\nEND\r\n")
        self.assertEqual(
            self.figures("cmd_get", "cmd_set", "total_items", "curr_items"),
            [0, 0, 0, 1],
        )

    def test_settings(self) -> None:
        """Settings are those given, and how many bytes there may be."""
        self.assertEqual(
            self.client.talk(b"stats settings\r\n"),
            b"STAT port 22201\r\nSTAT maxbytes %d\r\nEND\r\n"
            % self.figures("limit_maxbytes")[0],
        )


class LikeMemcachedTests(StatsTestCase):
    """Figures that memcached's tools read, of a server that takes three clients."""

    options: ClassVar[dict[str, Any]] = {
        "rules": Rules([Table(b"full", {"max_items": 1, "overflow": True})]),
        "maxConnections": 3,
        "flushAllEnabled": True,
    }

    def test_words(self) -> None:
        """Each line has three words, whatever is to be told, and each name once."""
        self.harness.fillDisk()
        lines = self.lines()
        self.assertEqual({len(line) for line in lines}, {2})
        self.assertEqual(len({line[0] for line in lines}), len(lines))

    def test_items(self) -> None:
        """Items are messages that wait, and bytes those of their bodies."""
        self.client.talk(b"set q 0 0 3\r\nabc\r\n" * 3 + b"set r 0 0 1\r\na\r\n")
        self.client.talk(b"get q\r\nget none\r\nget q none\r\n")
        names = ("curr_items", "total_items", "bytes", "cmd_get", "cmd_set")
        self.assertEqual(self.figures(*names), [2, 4, 4, 4, 4])
        self.assertEqual(self.figures("get_hits", "get_misses"), [2, 2])

    def test_evictions(self) -> None:
        """A message that was dropped for another one is evicted."""
        self.store(b"full", 3)
        self.assertEqual(self.figures("evictions", "curr_items"), [2, 1])

    def test_expired(self) -> None:
        """Messages that were too old count, as long as their queue is there."""
        self.store(b"q")
        self.harness.store.countExpired(b"q", 7)
        self.assertEqual(self.figures("get_expired"), [7])

    def test_deletes(self) -> None:
        """Deletes count, with what they found, also those that want no answer."""
        self.store(b"q", 2)
        self.client.talk(b"delete q\r\ndelete q\r\ndelete q noreply\r\n")
        self.client.talk(b"set q 0 0 1\r\na\r\ndelete q noreply\r\n")
        names = ("delete_hits", "delete_misses")
        self.assertEqual(self.figures(*names), [2, 2])
        self.harness.store.refuse("delete", StoreError("bad page"))
        self.client.talk(b"delete q\r\ndelete q noreply\r\n")
        self.assertEqual(self.figures(*names), [2, 2])
        self.client.talk(b"stats reset\r\n")
        self.assertEqual(self.figures(*names), [0, 0])

    def test_flushes(self) -> None:
        """A command that empties one queue or all counts."""
        self.client.talk(b"flush q\r\nflush_all\r\nflush_all noreply\r\n")
        self.assertEqual(self.figures("cmd_flush"), [3])
        self.client.talk(b"stats reset\r\n")
        self.assertEqual(self.figures("cmd_flush"), [0])

    def test_connections(self) -> None:
        """It is known how many there may be, and how many were refused."""
        for _ in range(4):
            self.harness.connect()
        names = ("max_connections", "rejected_connections", "accepting_conns")
        self.assertEqual(self.figures(*names), [3, 2, 1])

    def test_authentications(self) -> None:
        """Those that failed are some of all; they begin anew as the others do."""
        authenticator = self.harness.access.authenticator
        for isKnown in (True, False, True):
            authenticator.noteShown("somebody", isKnown)
        names = ("auth_cmds", "auth_errors")
        self.assertEqual(self.figures(*names), [3, 1])
        self.client.talk(b"stats reset\r\n")
        authenticator.noteShown("somebody", False)
        self.assertEqual(self.figures(*names), [1, 1])
        self.assertEqual(authenticator.attempts, 4)

    def test_limit(self) -> None:
        """The limit is what the disk can take, and never 0: tools divide by it."""
        statistics = self.harness.statistics
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self.assertEqual(self.figures("limit_maxbytes"), [memory])
        statistics.bytesOnDisk = 1000
        self.harness.broker.room.looked(500)
        self.assertEqual(self.figures("limit_maxbytes"), [1500])
        statistics.bytesOnDisk = 0
        self.harness.broker.room.looked(0)
        self.assertEqual(self.figures("limit_maxbytes"), [1])


class OfEachTests(StatsTestCase):
    """Figures that Kestrel's and Starling's clients read."""

    def queues(self) -> list[bytes]:
        """Return what is told of queues."""
        lines = self.client.talk(b"stats\r\n").splitlines()
        self.assertEqual(lines[-1], b"END")
        return [line for line in lines if line.startswith(b"STAT queue_")]

    def test_figures(self) -> None:
        """They are Kestrel's by its names, of each queue, whatever its name."""
        name = b"\xff\xfe'_items"
        self.client.talk(b"set %b 0 0 2\r\nab\r\n" % name * 3)
        self.client.talk(b"get %b\r\nget %b/open\r\n" % (name, name))
        self.harness.connect().talk(b"get none/t=1000\r\n")
        found = [
            b"STAT queue_%b_%b" % (name, rest)
            for rest in (
                *(b"items 1", b"bytes 4", b"age 0", b"total_items 3"),
                *(b"expired_items 0", b"discarded 0", b"open_transactions 1"),
                b"waiters 0",
            )
        ]
        self.assertEqual(self.queues(), found)

    def test_order(self) -> None:
        """They come last, sorted by name."""
        for name in (b"b", b"a", b"c"):
            self.store(name)
        found = self.queues()
        self.assertEqual(
            [line.split(b"_")[1] for line in found if b"_waiters " in line],
            [b"a", b"b", b"c"],
        )
        told = self.client.talk(b"stats\r\n").splitlines()
        self.assertEqual(told[-len(found) - 1 : -1], found)

    def test_off(self) -> None:
        """They can be turned off, and nothing is said of that."""
        self.store(b"q")
        self.harness.statistics.ofEach = False
        self.assertEqual(self.queues(), [])
        self.assertNotIn(b"queues_left_out", self.client.talk(b"stats\r\n"))

    def test_many(self) -> None:
        """When there are too many, one line says how many are left out."""
        for number in range(TOLD):
            self.harness.store.fill(b"%d" % number, b"x")
        self.assertEqual(len(self.queues()), TOLD * len(KESTREL))
        self.harness.store.fill(b"more", b"x")
        self.assertEqual(self.queues(), [])
        line = b"STAT queues_left_out %d\r\nEND\r\n" % (TOLD + 1)
        self.assertTrue(self.client.talk(b"stats\r\n").endswith(line))
