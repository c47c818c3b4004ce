"""The page lives: figures come by themselves, and it says when they do not."""

from __future__ import annotations

from http.client import HTTPConnection

from memq.admin.exportformat import Begin, Body, End, QueueBegin, QueueEnd, packLine
from memq.test.browser.case import BrowserTestCase
from memq.test.support.commandline import command
from memq.web.live.viewers import MOST as VIEWERS


class LiveTests(BrowserTestCase):
    """One queue, and a server that goes and comes."""

    def prepare(self) -> None:
        """Have a queue."""
        self.server.put(b"jobs", b"1")

    def test_ticks(self) -> None:
        """What is set shows in the list and on the queue's view without a hand."""
        browser = self.browser
        browser.open()
        browser.untilText("td.messages", "1")
        self.server.put(b"jobs", b"2", b"3")
        browser.untilText("td.messages", "3")
        browser.untilText(".tile.messages dd", "3")
        browser.open("#/queue/jobs")
        browser.untilText(".figures dd", "3")
        browser.one(".plot polyline")
        self.server.take(b"jobs")
        browser.untilText(".figures dd", "0")

    def test_stalled(self) -> None:
        """A queue whose head is old is the first by age, and says how old that is."""
        lines = Begin(), QueueBegin(b"old", 1, 0), Body(0, 1, b"x"), QueueEnd(1, 0)
        text = b"".join([packLine(line) for line in (*lines, End(1))])
        place = f"127.0.0.1:{self.server.port}"
        done = command(self.server, "import", "--server", place, stdin=text)
        self.assertEqual(done.status, 0, done.err)
        browser = self.browser
        browser.open("#/queues?sort=age&order=desc")
        browser.untilText("tbody tr:first-child .name", "old")
        self.assertRegex(browser.text("tbody tr:first-child td.age"), r"^\d{5} d")
        browser.open("#/queue/old")
        browser.untilText(".messages pre", "x")

    def test_restart(self) -> None:
        """A server that stops is told of; one that starts again is found."""
        browser = self.browser
        browser.open()
        browser.untilText(".state", "live")
        self.server.stop()
        browser.untilText(".state", "no connection")
        self.server.start()
        browser.untilText(".state", "live")
        self.server.put(b"jobs", b"2")
        browser.untilText("td.messages", "2")
        self.isClean = False  # The console shows each try.

    def test_full(self) -> None:
        """Where the server has no room for a viewer, figures come all the same."""
        browser = self.browser
        for _ in range(VIEWERS):
            connection = HTTPConnection(self.base.removeprefix("http://"))
            self.addCleanup(connection.close)
            connection.request("GET", "/api/v1/events")
            self.assertEqual(connection.getresponse().status, 200)
        browser.open()
        browser.untilText(".state", "every 5 s")
        self.server.put(b"jobs", b"2", b"3")
        browser.untilText("td.messages", "3")
        browser.untilText(".tile.messages dd", "3")
        self.isClean = False  # The console shows each 503.

    def test_hidden(self) -> None:
        """A page that nobody sees asks for nothing, and goes on when it is seen."""
        browser = self.browser
        browser.open()
        browser.untilText(".state", "live")
        browser.run(
            "Object.defineProperty(document, 'hidden', {value: true, writable: true});"
            "document.dispatchEvent(new Event('visibilitychange'));"
        )
        browser.untilText(".state", "paused")
        browser.run(
            "document.hidden = false;"
            "document.dispatchEvent(new Event('visibilitychange'));"
        )
        browser.untilText(".state", "live")

    def test_log(self) -> None:
        """The log shows what was logged, and can be filtered."""
        browser = self.browser
        browser.open("#/log")
        browser.untilText(".log", "Listening on")
        browser.press("/", "L", "i", "s", "t", "e", "n", "i", "n", "g")
        browser.until(
            lambda: all("Listening" in line for line in browser.texts(".log li")),
            "only lines with that",
        )

    def test_server(self) -> None:
        """The server's view has its figures."""
        browser = self.browser
        browser.open("#/server")
        browser.untilText(".ready", "Ready")
        browser.untilText(".facts-list", "5.3")
        browser.untilText(".meter", "free")
