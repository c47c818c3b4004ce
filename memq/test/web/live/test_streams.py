"""The routes of what is live."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger

from memq.test.web.base import WebTestCase
from memq.test.web.live.base import Watcher
from memq.web.history.series import SAMPLES
from memq.web.live.ticks import QUEUES, STEP
from memq.web.live.viewers import MOST

if TYPE_CHECKING:
    from memq.test.web.base import Reply


class StreamsTestCase(WebTestCase):
    """Has some queues."""

    def setUp(self) -> None:
        """Fill them."""
        super().setUp()
        for name in (b"a", b"a,b", b"\xff", "队列".encode()):
            self.push(name, b"x")
        self.addCleanup(self.web._streams.stop)

    def watcher(self, path: str) -> Watcher:
        """Return somebody who has asked for a stream."""
        return Watcher(self.visitor(), path)


class EventsTests(StreamsTestCase):
    """/api/v1/events."""

    def queues(self, query: str) -> list[str]:
        """Return the names of the queues in a first tick."""
        watcher = self.watcher(f"/api/v1/events{query}")
        ((name, data),) = watcher.read()
        watcher.visitor.leave()
        self.assertEqual(name, "tick")
        return [row["name"] for row in data["queues"]]

    def error(self, reply: Reply, code: int) -> str:
        """Return the words of a refusal."""
        self.assertEqual(reply.code, code)
        self.assertEqual(reply.headers["Content-Type"], "application/json")
        words: str = json.loads(reply.text)["error"]
        return words

    def test_figures(self) -> None:
        """A tick has what the server and the queues have elsewhere."""
        watcher = self.watcher("/api/v1/events?queues=a")
        self.harness.connect().talk(b"set a 0 0 1\r\nx\r\n")
        self.harness.pass_(STEP)
        _, (_, tick) = watcher.read()
        server = json.loads(self.ask("/api/v1/server").text)
        queue = json.loads(self.ask("/api/v1/queues/a").text)
        self.assertEqual(sorted(tick["server"]), sorted(server))
        self.assertEqual(tick["server"]["messages"], 5)
        (row,) = tick["queues"]
        self.assertEqual((row["messages"], row["in"], row["out"]), (2, 1, 0))
        self.assertEqual(set(row) - set(queue), set())

    def test_names(self) -> None:
        """Names are told apart by commas, and encoded each."""
        for query, expected in (
            ("", []),
            ("?queues=", []),
            ("?queues=a", ["a"]),
            ("?queues=a,none,a%2Cb", ["a", "a,b"]),
            ("?queues=hex:ff,%FF", ["hex:ff", "hex:ff"]),
            ("?queues=%E9%98%9F%E5%88%97", ["队列"]),
        ):
            self.assertEqual(self.queues(query), expected, query)

    def test_refused(self) -> None:
        """Names that are none, too many, and parameters that are none are refused."""
        for query, words in (
            ("?queues=a%20b", "each of queues must be the name of a queue"),
            ("?queues=" + "a" * 251, "each of queues must be the name of a queue"),
            ("?queues=" + ",".join("a" * (QUEUES + 1)), "queues may name 100 queues"),
            ("?queues=" + "," * QUEUES, "queues may name 100 queues"),
            ("?queues=,", "each of queues must be the name of a queue"),
            ("?queues=a,,b", "each of queues must be the name of a queue"),
            ("?queues=a,", "each of queues must be the name of a queue"),
            ("?queues=a&queues=b", "twice"),
            ("?queue=a", "queues"),
        ):
            words_ = self.error(self.ask(f"/api/v1/events{query}"), 400)
            self.assertIn(words, words_)

    def test_guarded(self) -> None:
        """No page of another site views."""
        cross = "Sec-Fetch-Site: cross-site"
        for path in ("/api/v1/events", "/api/v1/log"):
            self.error(self.ask(path, "GET", cross), 403)
            self.assertEqual(self.ask(path, "GET", "Host: evil.example").code, 421)
            self.assertEqual(self.ask(path, "POST").code, 405)

    def test_head(self) -> None:
        """HEAD is told what it would be."""
        reply = self.ask("/api/v1/events", "HEAD")
        self.assertEqual(reply.code, 200)
        expected = "text/event-stream; charset=utf-8"
        self.assertEqual(reply.headers["Content-Type"], expected)

    def test_notReady(self) -> None:
        """There are no ticks while the server is not ready."""
        self.web.readiness.isListening = False
        reply = self.ask("/api/v1/events")
        self.assertIn("starting", self.error(reply, 503))
        self.assertEqual(reply.headers["Retry-After"], "5")

    def test_most(self) -> None:
        """Viewers of both kinds are counted together; scrapes go on beside them."""
        watchers = [
            self.watcher("/api/v1/" + ("log" if number % 2 else "events"))
            for number in range(MOST)
        ]
        for path in ("/api/v1/events", "/api/v1/log"):
            reply = self.ask(path)
            self.assertIn("16 viewers already", self.error(reply, 503))
            self.assertEqual(reply.headers["Retry-After"], "5")
        self.assertEqual(self.ask("/metrics").code, 200)
        self.web._streams.stop()
        self.assertTrue(all(watcher.isGone for watcher in watchers))
        self.assertIn("stopping", self.error(self.ask("/api/v1/log"), 503))


class LogTests(StreamsTestCase):
    """/api/v1/log."""

    def lines(self, watcher: Watcher) -> list[str]:
        """Return what came."""
        return [data["text"] for _, data in watcher.read()]

    def test_lines(self) -> None:
        """What is logged while the web listens is told, also before it is ready."""
        reactor: Any = MemoryReactorClock()
        with patch.object(self.web._listeners[0], "_reactor", reactor):
            self.web.startService()
        self.web.readiness.isListening = False
        log = Logger("test")
        log.info("hello")
        watcher = self.watcher("/api/v1/log")
        lines = self.lines(watcher)
        self.assertIn("[test#info] hello", lines)
        self.assertTrue(any("The web is on" in line for line in lines), lines)
        log.info("more")
        self.harness.pass_(1)
        self.assertEqual(self.lines(watcher), ["[test#info] more"])
        self.web.stopService()
        self.assertTrue(watcher.isGone)
        log.info("unheard")
        self.assertNotIn("unheard", str(self.web._recent.since(0)))


class HistoryTests(StreamsTestCase):
    """history=1."""

    def told(self, path: str) -> dict[str, Any]:
        """Return what a route tells."""
        reply: dict[str, Any] = json.loads(self.ask(f"/api/v1/{path}").text)
        return reply

    def test_server(self) -> None:
        """The server has a history, which is told to who asks for it."""
        self.assertNotIn("history", self.told("server"))
        history = self.told("server?history=1")["history"]
        names = ["in", "messages", "open", "out", "refused", "step", "until", "waiters"]
        self.assertEqual(sorted(history), names)
        self.assertEqual(history["step"], 5)
        self.assertEqual(history["in"], [None] * SAMPLES)

    def test_queue(self) -> None:
        """So has a queue, from the first time on."""
        self.assertNotIn("history", self.told("queues/a"))
        history = self.told("queues/a?history=1")["history"]
        self.assertEqual(sorted(history), ["in", "messages", "out", "step", "until"])
        self.assertIn("error", self.told("queues/none?history=1"))
        self.assertEqual(list(self.web.recorder.queues), [b"a"])
        self.assertIn("error", self.told("queues/a?history=2"))

    def test_busiest(self) -> None:
        """The busiest have one although nobody has looked at them."""
        self.told("queues")
        self.harness.connect().talk(b"set a 0 0 1\r\nx\r\n")
        self.harness.pass_(2)
        self.told("queues")
        self.assertEqual(list(self.web.recorder.queues), [b"a"])
