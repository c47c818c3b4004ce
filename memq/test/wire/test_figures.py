"""The replies to stats."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.figures import QueueCount
from memq.message import LargeBody, Message, Reason, Trace
from memq.test.config.test_commandline import parsed
from memq.wire.figures import (
    FIGURES,
    QueueFigures,
    formatCounts,
    formatDetails,
    formatDump,
    formatMessage,
    formatStats,
    memcachedFigures,
    memcachedSettings,
)

ROWS = [
    QueueFigures(b"w", range(len(FIGURES)), [("max_items", 5), ("fanout", "a,\udcff")]),
    QueueFigures("队列".encode(), [0] * len(FIGURES)),
]


class FiguresTests(SynchronousTestCase):
    """Figures of the server, and of each queue in two forms."""

    def test_details(self) -> None:
        """Details are a line a figure with the queue's name in it."""
        lines = formatDetails(ROWS).split(b"\r\n")
        self.assertEqual(
            lines[:4],
            [
                b"STAT queue_w_items 0",
                b"STAT queue_w_bytes 1",
                b"STAT queue_w_age 2",
                b"STAT queue_w_total_items 3",
            ],
        )
        self.assertEqual(
            lines[len(FIGURES) - 1 :][:4],
            [
                b"STAT queue_w_refused_fanout 14",
                b"STAT queue_w_max_items 5",
                b"STAT queue_w_fanout a,\xff",
                "STAT queue_队列_items 0".encode(),
            ],
        )
        self.assertEqual(len(lines), 2 * len(FIGURES) + 2 + 1)
        self.assertEqual(lines[-1], b"")

    def test_dump(self) -> None:
        """A dump is a block a queue, as Kestrel has them."""
        lines = formatDump(ROWS).split(b"\r\n")
        second = len(FIGURES) + 4
        self.assertEqual(lines[:3], [b"queue 'w' {", b"  items=0", b"  bytes=1"])
        self.assertEqual(
            lines[second - 4 : second + 2],
            [
                b"  refused_fanout=14",
                b"  max_items=5",
                b"  fanout=a,\xff",
                b"}",
                "queue '队列' {".encode(),
                b"  items=0",
            ],
        )
        self.assertEqual(lines[-2:], [b"}", b""])

    def test_none(self) -> None:
        """Without queues there is nothing."""
        self.assertEqual(formatDetails([]), b"")
        self.assertEqual(formatDump([]), b"")

    def test_numberOfFigures(self) -> None:
        """A figure more or less than there are names is a mistake."""
        self.assertRaises(ValueError, formatDump, [QueueFigures(b"q", [1])])

    def test_known(self) -> None:
        """Of memcached's, what is known comes first; what never happens is 0."""
        told = list(memcachedFigures({"bytes": 5}))
        self.assertEqual(told[:2], [("bytes", 5), ("accepting_conns", 1)])
        self.assertEqual({value for _, value in told[2:]}, {0})

    def test_stats(self) -> None:
        """Stats are a line a figure, then END; a value is one word.

        Some tools give up at a fourth one.
        """
        self.assertEqual(
            formatStats([("pid", 1), ("home", "/srv/a b  c\udcff")]),
            b"STAT pid 1\r\nSTAT home /srv/a_b__c\xff\r\nEND\r\n",
        )

    def test_message(self) -> None:
        """Of a message there is what it carries, and how old it is."""
        message = Message(1, 12, 7, 5000, b"hello", None, 9000)
        self.assertEqual(
            formatMessage(message, 6500, 2),
            b"STAT number 12\r\nSTAT bytes 5\r\nSTAT flags 7\r\nSTAT age 1500\r\n"
            b"STAT expires 9000\r\nSTAT deliveries 2\r\nEND\r\n",
        )
        again = message._replace(trace=Trace(2))
        self.assertEqual(formatMessage(again, 0, 2).count(b"STAT age 0\r\n"), 1)
        self.assertEqual(formatMessage(again, 0, 2).count(b"\r\n"), 7)

    def test_deadLetter(self) -> None:
        """Of a dead letter there is where it came from, and why and when."""
        trace = Trace(3, b"w\xff", Reason.DELIVERIES, 4000)
        message = Message(1, 0, 0, 0, b"", LargeBody(1, 70_000, 2), 0, trace)
        told = formatMessage(message, 0, 0)
        self.assertIn(b"STAT bytes 70000\r\n", told)
        self.assertTrue(
            told.endswith(
                b"STAT origin w\xff\r\nSTAT reason deliveries\r\nSTAT since 4000\r\n"
                b"STAT deliveries_before 3\r\nEND\r\n"
            )
        )

    def test_counts(self) -> None:
        """Queues are a line each, then END."""
        self.assertEqual(
            formatCounts([QueueCount(b"a", 2, 1), QueueCount(b"b", 0, 0)]),
            b"STAT a 2/1\r\nSTAT b 0/0\r\nEND\r\n",
        )


class SettingsTests(SynchronousTestCase):
    """memcached's settings."""

    def test_options(self) -> None:
        """They are made of the options."""
        told = dict(
            memcachedSettings(parsed("-p", "5", "-c", "7", "--idle-timeout", "1.5"))
        )
        names = ("maxconns", "tcpport", "inter", "domain_socket", "idle_timeout")
        self.assertEqual(
            [told[name] for name in names], ["7", "5", "127.0.0.1", "NULL", "1.5"]
        )
        self.assertEqual(told["flush_enabled"], "no")

    def test_others(self) -> None:
        """So they are when other ones are given."""
        told = dict(
            memcachedSettings(
                parsed("--socket", "/s", "--enable-flush-all", "-v", "-Y", "/a")
            )
        )
        names = ("domain_socket", "flush_enabled", "verbosity", "item_size_max")
        self.assertEqual([told[name] for name in names], ["/s", "yes", "1", "1048576"])
        self.assertEqual(told["auth_enabled_ascii"], "/a")

    def test_names(self) -> None:
        """None is that of an option, and each is there once."""
        names = [name for name, _ in memcachedSettings(parsed())]
        self.assertEqual(len(set(names)), len(names))
        own = {name for name, _ in parsed().settings()}
        self.assertEqual(own & set(names), set())
