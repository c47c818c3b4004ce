"""What stats tells."""

from __future__ import annotations

import os

from memq import __version__
from memq.test.harness import Harness
from memq.test.stepped import SteppedTestCase

#: The original's figures, in its order, which scripts rely on.
ORIGINAL = [
    "pid",
    "uptime",
    "time",
    "version",
    "pointer_size",
    "rusage_user",
    "rusage_system",
    "curr_connections",
    "total_connections",
    "connection_structures",
    "get_cmds",
    "get_hits",
    "set_cmds",
    "set_hits",
    "bytes_read",
    "bytes_written",
    "threads",
]
OWN = [
    "durability",
    "sets_refused",
    "disk_full_from",
    "disk_full_until",
    "refused_full",
    "refused_paused",
    "refused_fanout",
    "refused_disk_full",
    "queues",
    "messages",
    "bytes_on_disk",
    "turns",
    "flushes",
    "waiting",
    "bytes_buffered",
    "bytes_reserved",
    "limit_buffered",
    "waiting_for_room",
]


class StatisticsTests(SteppedTestCase):
    """The figures."""

    def setUp(self) -> None:
        """Connect."""
        self.harness = Harness()
        self.harness.timeOfDay = 1.6e9
        self.harness.reactor.advance(1000.5)
        self.client = self.harness.connect()

    def lines(self) -> list[tuple[str, str]]:
        """Return names and values as a client sees them."""
        lines = self.client.talk(b"stats\r\n").decode().split("\r\n")
        self.assertEqual(lines[-2:], ["END", ""])
        found = []
        for line in lines[:-2]:
            word, name, figure = line.split(" ", 2)
            self.assertEqual(word, "STAT")
            found.append((name, figure))
        return found

    def figures(self, *names: str) -> list[str]:
        """Return some figures."""
        figures = dict(self.lines())
        return [figures[name] for name in names]

    def test_names(self) -> None:
        """There are the original's figures in its order, then memq's own."""
        names = [name for name, _ in self.lines()]
        self.assertEqual(names[:17], ORIGINAL)
        self.assertEqual(names[17:], OWN)

    def test_process(self) -> None:
        """They tell about the process."""
        self.assertEqual(
            self.figures("pid", "version", "pointer_size"),
            [str(os.getpid()), __version__, "64"],
        )
        for used in self.figures("rusage_user", "rusage_system"):
            self.assertRegex(used, r"\A\d+\.\d{6}\Z")
        self.assertGreaterEqual(int(self.figures("threads")[0]), 1)

    def test_time(self) -> None:
        """They tell the time in seconds, and since when the server runs."""
        self.assertEqual(self.figures("uptime", "time"), ["1000", "1600000000"])
        self.harness.reactor.advance(3)
        self.assertEqual(self.figures("uptime", "time"), ["1003", "1600000000"])

    def test_clockIsSet(self) -> None:
        """When the clock of the machine is set, only the time of day is another."""
        self.harness.timeOfDay = 1e9
        self.assertEqual(self.figures("uptime", "time"), ["1000", "1000000000"])

    def test_connections(self) -> None:
        """They tell how many connections there are and were."""
        self.harness.connect()
        self.harness.connect().leave()
        self.assertEqual(
            self.figures(
                "curr_connections", "total_connections", "connection_structures"
            ),
            ["2", "3", "2"],
        )

    def test_commands(self) -> None:
        """They tell how often was set and got, and with what success."""
        self.client.talk(b"set q 0 0 1\r\nx\r\n" * 3)
        # One that is not as long as announced closes its connection.
        self.harness.connect().talk(b"set q 0 0 1\r\nxyz\r\n")
        self.client.talk(b"get q\r\nget q none q q\r\nget none\r\n")
        self.assertEqual(
            self.figures("set_cmds", "set_hits", "get_cmds", "get_hits"),
            ["4", "3", "6", "3"],
        )

    def test_bytes(self) -> None:
        """They tell the bytes that came and went."""
        request = b"set q 0 0 5\r\nhello\r\nget q\r\n"
        answer = self.client.talk(request)
        self.assertEqual(
            self.figures("bytes_read", "bytes_written"),
            [str(len(request + b"stats\r\n")), str(len(answer))],
        )

    def test_store(self) -> None:
        """They tell what is stored, and how."""
        self.store(b"q", 3)
        self.store(b"r", 2)
        self.client.talk(b"get r\r\n")
        self.harness.statistics.bytesOnDisk = 12345
        self.assertEqual(
            self.figures("queues", "messages", "bytes_on_disk", "durability"),
            ["2", "4", "12345", "synced"],
        )
        self.harness.broker.durable = False
        self.assertEqual(self.figures("durability"), ["no-sync"])

    def store(self, queue: bytes, times: int) -> None:
        """Send messages."""
        self.client.talk(b"set %b 0 0 1\r\nx\r\n" % queue * times)

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
        self.assertEqual(self.figures(*names), ["no", "0", "0"])
        self.harness.reactor.advance(5)
        self.harness.fillDisk()
        self.assertEqual(self.figures(*names), ["disk full", "1600000000", "0"])
        self.harness.pass_(5)
        self.harness.makeRoom()
        self.assertEqual(self.figures(*names), ["no", "1600000000", "1600000005"])
        self.harness.fillDisk()
        self.assertEqual(self.figures("disk_full_until"), ["0"])

    def test_reset(self) -> None:
        """A reset zeroes counters; what is stored and open stays."""
        self.store(b"q", 2)
        self.client.talk(b"get q\r\n")
        self.assertEqual(self.client.talk(b"stats reset\r\n"), b"RESET\r\n")
        self.assertEqual(
            self.figures(
                "total_connections",
                "set_cmds",
                "set_hits",
                "get_cmds",
                "get_hits",
                "bytes_read",
                "bytes_written",
                "curr_connections",
                "messages",
            ),
            ["0"] * 5 + ["7", "7", "1", "1"],
        )
        self.assertEqual(self.client.talk(b"stats queue\r\n"), b"STAT q 2/1\r\nEND\r\n")
