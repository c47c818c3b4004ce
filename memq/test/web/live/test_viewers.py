"""Viewers come, read or do not, and go."""

from __future__ import annotations

from memq.test.web.live.base import Event, LiveTestCase, Watcher
from memq.web.http.site import CONNECTIONS
from memq.web.live.viewers import KEEP, MOST, PATIENCE, event

THERE = Event(":", "there")


class ViewersTests(LiveTestCase):
    """Streams of nothing."""

    def sendAll(self, data: bytes) -> None:
        """Send something to all."""
        for viewer in self.came:
            viewer.send(data)

    def test_begins(self) -> None:
        """A reply says what it is, and when to come again, and does not end."""
        visitor = self.visitor()
        visitor.send(b"GET /stream HTTP/1.0\r\n\r\n")
        head, _, body = visitor.read().partition(b"\r\n\r\n")
        self.assertIn(b" 200 OK", head)
        self.assertIn(b"Content-Type: text/event-stream; charset=utf-8", head)
        self.assertIn(b"Cache-Control: no-store", head)
        self.assertIn(b"X-Accel-Buffering: no", head)
        self.assertEqual(body, b"retry: 3000\n\n")
        self.assertEqual(len(self.viewers), 1)
        self.assertEqual(len(self.site.busy), 1)

    def test_comments(self) -> None:
        """A comment comes every now and then, and no call is left behind."""
        watcher = self.watcher()
        self.pass_(2 * KEEP)
        self.assertEqual(watcher.read(), [THERE, THERE])
        watcher.visitor.leave()
        self.pass_(KEEP)
        self.assertEqual(self.harness.reactor.getDelayedCalls(), [])

    def test_events(self) -> None:
        """An event has a name, and data in a line."""
        watcher = self.watcher()
        self.sendAll(event("x", b'{"a":1}'))
        self.assertEqual(watcher.read(), [Event("x", {"a": 1})])

    def test_gone(self) -> None:
        """Who left is forgotten, and is sent nothing."""
        watcher = self.watcher()
        self.assertEqual(len(self.viewers), 1)
        watcher.visitor.leave()
        self.assertEqual(len(self.viewers), 0)
        self.sendAll(b"x")
        (viewer,) = self.came
        viewer.end()
        self.assertEqual((watcher.read(), self.site.busy), ([], set()))

    def test_stopsReading(self) -> None:
        """Who does not read misses what comes meanwhile, and nothing is kept."""
        watcher = self.watcher()
        watcher.stopReading()
        self.sendAll(event("x", b"1"))
        self.pass_(KEEP)
        self.assertEqual(watcher.read(), [])
        watcher.startReading()
        self.sendAll(event("x", b"2"))
        self.assertEqual(watcher.read(), [Event("x", 2)])
        self.pass_(PATIENCE)
        self.assertFalse(watcher.isGone)

    def test_stuck(self) -> None:
        """Who does not read for long is cut off."""
        watcher = self.watcher()
        watcher.stopReading()
        self.pass_(PATIENCE - 1)
        self.assertFalse(watcher.isGone)
        self.pass_(KEEP)
        self.assertTrue(watcher.isGone)
        self.assertEqual(len(self.viewers), 0)

    def test_didNotReadBefore(self) -> None:
        """Who has not read earlier replies is sent nothing."""
        visitor = self.visitor()
        visitor.transport.producer.pauseProducing()
        watcher = Watcher(visitor, "/stream")
        self.assertEqual(watcher.read(), [])
        self.sendAll(b"x")
        self.assertEqual(watcher.read(), [])
        self.assertEqual(watcher.head, [""])
        watcher.startReading()
        self.sendAll(event("x", b"1"))
        head, _, body = visitor.read().partition(b"\r\n\r\n")
        self.assertIn(b"text/event-stream", head)
        self.assertEqual(body, event("x", b"1"))

    def test_most(self) -> None:
        """There is a limit, beside which others are served; a place is free again."""
        watchers = [self.watcher() for _ in range(MOST)]
        self.assertIn("there are 16 viewers already", self.ask("/stream").text)
        self.assertEqual(self.ask("/healthz").code, 200)
        self.assertLess(MOST, CONNECTIONS // 2)
        watchers[3].visitor.leave()
        self.watcher()
        self.assertEqual(len(self.viewers), MOST)

    def test_stop(self) -> None:
        """All end at the stop, who reads with a whole reply; nobody comes then."""
        visitor = self.visitor()
        visitor.request("/stream")
        visitor.read()
        stuck = self.watcher()
        stuck.stopReading()
        self.viewers.stop()
        self.assertEqual(visitor.read(), b"0\r\n\r\n")
        self.assertTrue(visitor.transport.disconnecting)
        self.assertTrue(stuck.visitor.isGone)
        self.assertEqual(len(self.viewers), 0)
        late = self.visitor()
        self.assertEqual(late.ask("/stream").text, "the server is stopping")
        late.leave()
        self.viewers.stop()
        visitor.leave()
        self.assertEqual(self.harness.reactor.getDelayedCalls(), [])
