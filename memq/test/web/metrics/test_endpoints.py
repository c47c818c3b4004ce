"""What /metrics and /metrics/queues tell, and how they are asked."""

from __future__ import annotations

import re
from typing import Any

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parseOpen,
)
from prometheus_client.parser import text_string_to_metric_families as parseText
from twisted.logger import capturedLogs, formatEvent

from memq.errors import StoreFailed
from memq.policy.rule import READS, WRITES
from memq.policy.rules import Rules, Table
from memq.server.histogram import BOUNDS
from memq.test.pages.pages import SKIP, readPage
from memq.test.web.base import WebTestCase
from memq.web.http.streaming import PATIENCE
from memq.web.metrics.endpoints import REPLIES, weight
from memq.web.metrics.exposition import OPENMETRICS, TEXT, queueLabel
from memq.web.metrics.queuefigures import METRICS
from memq.web.metrics.serverfigures import openFiles, residentBytes
from memq.web.metrics.survey import AT_ONCE

ASK_OPEN = "Accept: application/openmetrics-text"
#: A metric in a table of docs/operation.md, and its labels.
LISTED = re.compile(r"`(\w+)(?:{([^}]*)})?`")
#: What a scrape itself changes, or the time between two.
MOVING = re.compile("process_|memq_(scrape|http|reactor|transactions)_")
#: Names that a label or a line could be broken with.
HOSTILE = [
    *(b'"', b"\\", b"%", b"%41", b'a"} 1', b"\\n", b"x" * 250, b"\xff" * 250),
    *(b"\xc3\x28", b"hex:ff", "死".encode(), b"{", b"#", "\u2028\u0085".encode()),
]


def parsed(text: str, isOpen: bool) -> dict[tuple[str, Any], float]:
    """Return the samples that prometheus_client's parser finds."""
    parse = parseOpen if isOpen else parseText
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(text)
        for sample in family.samples
    }


class ServerTests(WebTestCase):
    """The figures of the server."""

    def talk(self, data: bytes) -> None:
        """Let a client say something."""
        self.harness.connect().talk(data)

    def test_commands(self) -> None:
        """Commands are counted, and those that did what they are for."""
        self.talk(b"set q 0 0 1\r\nx\r\n" * 3 + b"get q\r\nget r\r\nget q r\r\n")
        self.talk(b"delete q\r\ndelete q\r\nflush q\r\n")
        expected = {
            'memq_commands_total{command="get"}': "4",
            'memq_commands_total{command="set"}': "3",
            'memq_commands_total{command="delete"}': "2",
            'memq_commands_total{command="flush"}': "1",
            'memq_commands_successful_total{command="get"}': "2",
            'memq_commands_successful_total{command="set"}': "3",
            'memq_commands_successful_total{command="delete"}': "1",
            "memq_messages_set_total": "3",
            "memq_messages_taken_total": "2",
            "memq_connections_opened_total": "2",
            "memq_connections": "2",
        }
        self.checkSamples(expected)
        self.talk(b"stats reset\r\n")
        expected |= {"memq_connections_opened_total": "3", "memq_connections": "3"}
        self.checkSamples(expected)
        self.talk(b"get q\r\n")
        self.checkSamples({'memq_commands_total{command="get"}': "5"})

    def counters(self) -> dict[str, float]:
        """Return all counters of the server."""
        found = self.samples()
        names = [key for key in found if key.partition("{")[0].endswith("_total")]
        return {key: float(found[key]) for key in names if "{queue=" not in key}

    def test_neverFall(self) -> None:
        """No counter falls when a queue is deleted, nor by stats reset."""
        self.harness.policies.replace(
            Rules([Table(b"q", {"max_items": 3, "overflow": False})])
        )
        self.talk(
            b"set q 0 0 1\r\nx\r\n" * 4 + b"get q\r\nget q/open\r\nget q/close\r\n"
        )
        self.talk(b"get q/open\r\nget q/abort\r\nget q none\r\n")
        before = self.counters()
        for name in ("set", "taken", "returned"):
            self.assertGreater(
                max(before[key] for key in before if f"messages_{name}_" in key), 0
            )
        for line in (b"delete q\r\n", b"stats reset\r\n"):
            self.talk(line)
            after = self.counters()
            fallen = {key for key in before if after.get(key, -1) < before[key]}
            self.assertEqual(fallen, set())
            before = after

    def test_refused(self) -> None:
        """Refused sets are counted by reason, whatever stats reset forgets."""
        self.harness.policies.replace(
            Rules(
                [
                    Table(b"full", {"max_items": 1, "overflow": False}),
                    Table(b"paused", {"paused": WRITES}),
                ]
            )
        )
        set_ = b"set %b 0 0 1\r\nx\r\n"
        self.talk(set_ % b"full" * 3 + set_ % b"paused")
        self.talk(b"stats reset\r\n")
        self.talk(set_ % b"paused")
        self.harness.fillDisk()
        self.talk(set_ % b"q" * 4)
        self.checkSamples(
            {
                'memq_auth_attempts_total{result="failure"}': "0",
                "memq_commands_not_allowed_total": "0",
                'memq_sets_refused_total{reason="full"}': "2",
                'memq_sets_refused_total{reason="paused"}': "2",
                'memq_sets_refused_total{reason="fanout"}': "0",
                'memq_sets_refused_total{reason="disk_full"}': "4",
                "memq_disk_full": "1",
            }
        )

    def test_queues(self) -> None:
        """What all queues have is told, and the oldest message of them."""
        found = self.samples()
        self.assertNotIn("memq_oldest_message_timestamp_seconds", found)
        self.push(b"q", b"12", b"3")
        self.talk(b"get q/open\r\nset r/delay=9 0 0 1\r\nx\r\n")
        self.harness.connect().send(b"get none/t=9000\r\n")
        self.checkSamples(
            {
                "memq_queues": "2",
                "memq_messages": "1",
                "memq_messages_bytes": "3",
                "memq_messages_open": "1",
                "memq_messages_delayed": "1",
                "memq_waiters": "1",
                "memq_operations_waiting": "0",
            }
        )

    def test_syncs(self) -> None:
        """How long syncs took is told in classes, each with those below it."""
        for seconds in (0.0001, 0.0005, 0.0006, 3.0):
            self.syncs.note(seconds)
        found = self.samples()
        name = "memq_sync_duration_seconds"
        counts = [found[f'{name}_bucket{{le="{bound!r}"}}'] for bound in BOUNDS]
        self.assertEqual(counts, ["2", *["3"] * 11])
        self.assertEqual(found[f'{name}_bucket{{le="+Inf"}}'], "4")
        self.assertEqual(found[f"{name}_count"], "4")
        self.assertAlmostEqual(float(found[f"{name}_sum"]), 3.0012)

    def test_disk(self) -> None:
        """The disk is told of, as it was looked at last, and checkpoints."""
        self.assertNotIn("memq_disk_free_bytes", self.samples())
        self.assertNotIn("memq_last_checkpoint_timestamp_seconds", self.samples())
        self.assertNotIn("memq_last_backup_timestamp_seconds", self.samples())
        self.backup = 1.5e9
        self.store.free = 1 << 40
        self.harness.maintenance.start()
        self.harness.pass_(2)
        self.harness.maintenance.checkpoint()
        self.harness.settle()
        self.checkSamples(
            {
                "memq_disk_free_bytes": str(1 << 40),
                "memq_disk_min_free_bytes": str(64 << 20),
                "memq_disk_full": "0",
                "memq_last_checkpoint_timestamp_seconds": "1600000002.0",
                "memq_last_backup_timestamp_seconds": "1500000000.0",
            }
        )

    def test_rules(self) -> None:
        """It is told whether the rules in force are those of the file."""
        name = "memq_rules_reload"
        expected = {f"{name}_successful": "1", f"{name}_timestamp_seconds": "7.0"}
        self.checkSamples(expected)
        self.reloads.isCurrent = False
        self.checkSamples(expected | {f"{name}_successful": "0"})

    def test_delay(self) -> None:
        """The worst delay since the last scrape is told."""
        self.lateness.start()
        self.harness.reactor.advance(5)
        delay = float(self.samples()["memq_reactor_delay_seconds"])
        self.assertAlmostEqual(delay, 4.9)
        self.checkSamples({"memq_reactor_delay_seconds": "0.0"})

    def test_process(self) -> None:
        """The process is told of, by the names that all use."""
        found = self.samples()
        self.assertEqual(found["process_start_time_seconds"], "0.0")
        self.assertGreater(float(found["process_cpu_seconds_total"]), 0)
        for name in ("resident_memory_bytes", "open_fds", "max_fds"):
            self.assertGreater(int(found[f"process_{name}"]), 0)
        self.assertGreater(residentBytes(), 1 << 20)
        before = openFiles()
        with open("/dev/null"):
            self.assertEqual(openFiles(), before + 1)

    def test_build(self) -> None:
        """The versions are told, and whether sets are synced."""
        (name,) = [
            name for name in self.samples() if name.startswith("memq_build_info")
        ]
        for word in ("version=", "python=", "twisted=", 'berkeleydb="none"', "synced"):
            self.assertIn(word, name)
        self.harness.broker.durable = False
        self.assertIn('durability="no-sync"', " ".join(self.samples()))


class QueueTests(WebTestCase):
    """The figures of each queue."""

    def test_names(self) -> None:
        """Whatever the names, the parsers of both formats read them as they are."""
        for number, name in enumerate(HOSTILE, 1):
            self.push(name, *[b"x"] * number)
        expected = {
            ("memq_queue_messages", (("queue", queueLabel(name)),)): number
            for number, name in enumerate(HOSTILE, 1)
        }
        for lines, isOpen in (((), False), ((ASK_OPEN,), True)):
            reply = self.ask("/metrics", "GET", *lines)
            found = parsed(reply.text, isOpen)
            told = {key: found[key] for key in found if key[0] == "memq_queue_messages"}
            self.assertEqual(told, expected)

    def test_formats(self) -> None:
        """Both formats tell the same."""
        self.push(b"q", b"x")
        self.harness.connect().talk(b"add r 0 0 1\r\n5\r\npause q\r\n")
        for path in ("/metrics/queues", "/metrics"):
            text = parsed(self.ask(path).text, False)
            found = parsed(self.ask(path, "GET", ASK_OPEN).text, True)
            kept = [
                {key for key in told if key[0] != "memq_http_requests_total"}
                for told in (text, found)
            ]
            self.assertEqual(*kept)
            self.assertGreater(len(kept[0]), 20)
            for key in kept[0]:
                if not MOVING.match(key[0]):
                    self.assertEqual(found[key], text[key], key)

    def test_figures(self) -> None:
        """Each figure has its name; one that says nothing is left out."""
        self.push(b"q", b"12", b"3")
        self.store.index.queues[b"q"].change(paused=READS | WRITES, limit=5)
        self.harness.policies.look()
        found = self.ask("/metrics/queues").samples()
        names = {name.partition("{")[0] for name in found}
        absent = {"memq_queue_oldest_message_timestamp_seconds"}
        told = {
            f"memq_queue_{metric.name}{'_total' * (metric.kind == 'counter')}"
            for metric in METRICS.values()
        }
        self.assertEqual(names, told - absent)
        for name, value in (
            ('messages{queue="q"}', "2"),
            ('bytes{queue="q"}', "3"),
            ('set_total{queue="q"}', "2"),
            ('max_messages{queue="q"}', "5"),
            ('paused{queue="q",op="reads"}', "1"),
            ('paused{queue="q",op="writes"}', "1"),
        ):
            self.assertEqual(found[f"memq_queue_{name}"], value)

    def test_oldest(self) -> None:
        """The time of a head is in seconds, with its milliseconds."""
        self.patch(self.store, "seconds", lambda: 1.25)
        self.harness.connect().talk(b"set q 0 0 1\r\nx\r\n")
        name = "oldest_message_timestamp_seconds"
        self.checkSamples(
            {f'memq_queue_{name}{{queue="q"}}': "1.25", f"memq_{name}": "1.25"}
        )

    def test_asked(self) -> None:
        """A job can ask for some queues, and for some figures of them."""
        for name in (b"a", b"b.1", b"b.2"):
            self.push(name, b"x")
        for query, queues, figures in (
            ("", 3, 11),
            ("match=*", 3, 11),
            ("match=b.*&figure=messages", 2, 1),
            ("match=a&match=b.1&figure=set&figure=taken", 2, 2),
            ("match=%62.1&figure=waiters", 1, 1),
            ("match=none", 0, 11),
            ("match=", 0, 11),
            ("figure=limit", 0, 1),
        ):
            found = self.ask(f"/metrics/queues?{query}").samples()
            self.assertEqual(len(found), queues * figures, query)

    def test_wrong(self) -> None:
        """A figure that there is not is told which there are."""
        for query in ("figure=x", "figure=", "match=a&" * 33, "figure=set&" * 33):
            reply = self.ask(f"/metrics/queues?{query}")
            self.assertEqual(reply.code, 400)
            self.assertTrue(reply.text.startswith("there are messages, bytes, "))


class PageTests(WebTestCase):
    """docs/operation.md."""

    skip = SKIP

    def test_table(self) -> None:
        """It has a row for every metric, with its labels, and for no other."""
        self.patch(self.store, "seconds", lambda: 1.25)
        self.harness.connect().talk(b"set q 0 0 1\r\nx\r\n")
        self.store.index.queues[b"q"].change(paused=READS, limit=5)
        self.harness.policies.look()
        self.store.free = 1
        self.harness.maintenance.checkpoint()
        self.harness.broker.room.looked(1)
        self.harness.settle()
        self.backup = self.certificateEnds = 1.0
        self.ask("/metrics")
        _, _, page = readPage("docs/operation.md").partition("| metric |")
        table, _, _ = page.partition("\n\n")
        rows = re.findall("^\\| ([^|]*) \\|", table, re.M)
        told = {name: labels for row in rows for name, labels in LISTED.findall(row)}
        found = {}
        for metric in parseText(self.ask("/metrics").text):
            keys = {key for sample in metric.samples for key in sample.labels}
            keys -= {"queue", "le"}
            if metric.name != "memq_build_info":
                suffix = "_total" if metric.type == "counter" else ""
                found[metric.name + suffix] = keys
        named = {
            name: set(filter(None, keys.split(","))) for name, keys in told.items()
        }
        del named["memq_build_info"]
        self.maxDiff = None
        self.assertEqual(named, found)

    def test_figures(self) -> None:
        """It has every figure that can be asked for."""
        page = readPage("docs/operation.md")
        told = "".join(re.findall("figures? (.*?) \\|", page))
        self.assertEqual(sorted(re.findall("`(\\w+)`", told)), sorted(METRICS))


class LimitTests(WebTestCase):
    """More queues than are told one by one."""

    settings = {"mostQueues": 2, "queues": [b"a*", b"b"]}  # noqa: RUF012 - as above

    def told(self) -> tuple[int, str]:
        """Return how many queues are told, and whether they are suppressed."""
        found = self.samples()
        count = sum(name.startswith("memq_queue_messages{") for name in found)
        return count, found["memq_queue_metrics_suppressed"]

    def test_limit(self) -> None:
        """Of more, none is told, with one warning, until the rules are read again."""
        for name in (b"a1", b"b", b"c", b"d"):
            self.push(name, b"x")
        self.assertEqual(self.told(), (2, "0"))
        self.push(b"a2", b"x")
        with capturedLogs() as events:
            self.assertEqual([self.told() for _ in range(3)], [(0, "1")] * 3)
            self.harness.connect().talk(b"delete b\r\n")
            self.assertEqual(self.told(), (0, "1"))
        lines = [formatEvent(event) for event in events]
        warned = [line for line in lines if "queues match queue-metrics" in line]
        self.assertEqual([line[:11] for line in warned], ["More than 2"])
        self.harness.policies.replace(Rules())
        self.assertEqual(self.told(), (2, "0"))

    def test_elsewhere(self) -> None:
        """/metrics/queues tells of any number."""
        for number in range(9):
            self.push(b"a%d" % number, b"x")
        self.assertEqual(self.told(), (0, "1"))
        found = self.ask("/metrics/queues?figure=messages").samples()
        self.assertEqual(len(found), 9)


class ReplyTests(WebTestCase):
    """Replies that take time, and may be long."""

    def fill(self, count: int) -> None:
        """Let there be so many queues."""
        for number in range(count):
            self.push(b"queue-%d" % number, b"x")

    def test_types(self) -> None:
        """A scraper gets the format that it likes best, and gzip if it likes that."""
        prometheus = (
            "application/openmetrics-text;version=1.0.0;q=0.6,"
            "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        )
        for accept, expected in (
            ("*/*", TEXT),
            ("text/plain", TEXT),
            ("application/openmetrics-text", OPENMETRICS),
            (prometheus, OPENMETRICS),
            (prometheus.replace("0.6", "0.1"), TEXT),
            ("application/openmetrics-text;q=0", TEXT),
            ("text/plain, Application/OpenMetrics-Text ; Q=0.5", TEXT),
        ):
            for method in ("GET", "HEAD"):
                headers = self.ask("/metrics", method, f"Accept: {accept}").headers
                self.assertEqual(headers["Content-Type"], expected.decode())
                self.assertEqual(headers["Vary"], "Accept, Accept-Encoding")

    def test_weight(self) -> None:
        """The weight of a coding is read, whatever stands there."""
        for header, expected in (
            (b"", 0),
            (b"gzip", 1),
            (b"deflate, GZIP;q=0.5", 0.5),
            (b"gzip;q=0", 0),
            (b"gzip;q=x", 0),
            (b"gzip;q=1.0.0", 0),
            (b"gzip;a=b;q=1", 1),
            (b"xgzip, gzip2", 0),
        ):
            self.assertEqual(weight(header, b"gzip"), expected, header)

    def test_gzip(self) -> None:
        """A reply in gzip's format is the same, and much shorter."""
        self.fill(100)
        visitor = self.visitor()
        plain = visitor.ask("/metrics/queues")
        visitor.request("/metrics/queues", "GET", "Accept-Encoding: gzip")
        data = visitor.read()
        self.assertLess(len(data), len(plain.body) // 8)
        packed = self.ask("/metrics/queues", "GET", "Accept-Encoding: br, gzip")
        self.assertEqual(packed.headers["Content-Encoding"], "gzip")
        self.assertEqual(packed.body, plain.body)

    def test_twoAtOnce(self) -> None:
        """Two scrapes at once get the same."""
        self.fill(200)
        first, second = self.visitor(), self.visitor()
        first.request("/metrics/queues")
        second.request("/metrics/queues")
        replies = first.read(), second.read()
        bodies = [each.partition(b"\r\n\r\n")[2] for each in replies]
        self.assertEqual(bodies[0], bodies[1])
        self.assertGreater(len(bodies[0]), 50_000)

    def test_tooMany(self) -> None:
        """Of more than some at once, the others are told to come again."""
        self.harness.broker.room.isHeld = True
        asking = [self.visitor() for _ in range(REPLIES)]
        for each in asking:
            each.request("/metrics")
        reply = self.ask("/metrics")
        self.assertEqual((reply.code, reply.headers["Retry-After"]), (503, "1"))
        asking[0].leave()
        last = self.visitor()
        last.request("/metrics")
        self.harness.broker.room.looked(None)
        for each in (*asking[1:], last):
            self.assertIn(b"200 OK", each.read())
        self.assertEqual(asking[0].transport.value(), b"")

    def test_stopsReading(self) -> None:
        """A scraper that stops reading has a piece made for it, and is cut off."""
        self.fill(20 * AT_ONCE)
        visitor = self.visitor()
        visitor.request("/metrics/queues")
        while not visitor.transport.value():
            self.harness.reactor.iterate()
            self.harness.flushPool.step()
        visitor.transport.producer.pauseProducing()
        there = len(visitor.read())
        self.assertLess(there, 64 * 1024)
        self.harness.pass_(PATIENCE - 1)
        self.assertFalse(visitor.isGone)
        self.harness.pass_(1)
        self.assertTrue(visitor.isGone)
        self.assertEqual(visitor.transport.value(), b"")
        self.assertEqual(self.ask("/metrics").code, 200)

    def test_leaves(self) -> None:
        """One that leaves before its reply costs nobody anything."""
        self.fill(3 * AT_ONCE)
        for path in ("/metrics", "/metrics/queues"):
            visitor = self.visitor()
            visitor.request(path)
            visitor.leave()
        self.assertEqual(self.ask("/metrics").code, 200)

    def test_notReady(self) -> None:
        """Before the store is open, and once it is about to close, it is not asked."""
        self.web.readiness.isListening = False
        for why in ("the server is starting\n", "the server is stopping\n"):
            for path in ("/metrics", "/metrics/queues"):
                reply = self.ask(path)
                self.assertEqual((reply.code, reply.text), (503, why))
            self.harness.broker.stop()
        self.assertEqual(self.harness.broker.turns, 0)

    def test_stops(self) -> None:
        """A reply that is under way then says so."""
        self.fill(3 * AT_ONCE)
        visitor, leaving = self.visitor(), self.visitor()
        for each in (visitor, leaving):
            each.request("/metrics/queues")
        leaving.leave()
        self.harness.broker.stop()
        reply = visitor.read()
        self.assertIn(b" 503 ", reply)
        self.assertIn(b"the server is stopping", reply)

    def test_storeFailed(self) -> None:
        """When the store has failed, that is the reply."""
        self.harness.broker.fail(StoreFailed("the disk is gone"))
        reply = self.ask("/metrics")
        self.assertEqual(reply.code, 503)
        self.assertIn("the disk is gone", reply.text)

    def test_unforeseen(self) -> None:
        """An error that nobody foresaw is logged, and ends the connection."""
        self.patch(type(self.reloads), "readAt", property(lambda _: 1 / 0))
        visitor = self.visitor()
        visitor.request("/metrics")
        self.harness.settle()
        self.assertTrue(visitor.transport.disconnecting)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        leaving = self.visitor()
        leaving.request("/metrics")
        leaving.leave()
        self.harness.settle()
        self.assertEqual(self.flushLoggedErrors(), [])
