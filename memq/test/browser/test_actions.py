"""What is done to queues from the page, and what it says when that fails."""

from __future__ import annotations

from memq.test.browser.case import BrowserTestCase
from testkit.wire import readAll


class ActionTests(BrowserTestCase):
    """Where actions are allowed."""

    def prepare(self) -> None:
        """Have messages to act on."""
        self.server.put(b"jobs", b"1", b"2", b"3")

    def ask(self, action: str, **values: object) -> None:
        """Open the dialog of an action, fill it, and send it."""
        browser = self.browser
        browser.one(f"[data-action={action}]").click()
        for name, value in values.items():
            field = browser.one(f"dialog [name={name}]")
            if isinstance(value, bool):
                if field.is_selected() != value:
                    field.click()
            else:
                field.clear()
                field.send_keys(value)
        browser.one("dialog .solid").click()

    def done(self, words: str) -> None:
        """Wait until the page says that it is done."""
        self.browser.untilText(".toasts", words)
        self.browser.until(lambda: not self.browser.all("dialog"), "the dialog is gone")

    def test_all(self) -> None:
        """Push, pause, resume, move, flush and delete do what they say."""
        browser = self.browser
        browser.open("#/queue/jobs")
        self.ask("push", text="four\n<b>", flags="7")
        self.done("pushed")
        browser.untilText(".figures dd", "4")
        # Both are ticked at first, as memq pause stops both.
        self.ask("pause")
        self.done("paused")
        browser.untilText(".title .badges", "paused")
        self.assertFalse(browser.all("[data-action=pause]"))
        self.assertEqual(self.server.take(b"jobs"), [])
        refused = self.server.ask(b"set jobs 0 0 1", b"x")
        self.assertEqual(refused, b"NOT_STORED\r\n")
        self.ask("resume")
        self.done("resumed")
        self.ask("move", to="others", max="2")
        self.done("moved 2")
        self.assertEqual(self.server.counts()[b"others"], (2, 0))
        self.ask("flush", confirm="jobs")
        self.done("flushed")
        self.assertEqual(self.server.take(b"jobs"), [])
        self.server.put(b"jobs", b"5")
        self.ask("delete", confirm="jobs")
        self.done("deleted")
        self.assertNotIn(b"jobs", self.server.counts())
        # That the queue is gone is told by 404, which the console shows.
        self.isClean = False
        browser.untilText(".note", "There is no such queue")

    def test_refused(self) -> None:
        """A wrong name is not sent; what the server refuses stays in its words."""
        browser = self.browser
        browser.open("#/queue/jobs")
        self.ask("delete", confirm="other")
        browser.untilText("dialog [role=alert]", "not the name")
        browser.press("ESCAPE")
        browser.until(lambda: not browser.all("dialog"), "the dialog is gone")
        self.ask("move", to="jobs")
        browser.until(lambda: browser.text("dialog [role=alert]"), "a refusal")
        self.assertTrue(browser.one("dialog .solid").is_enabled())
        self.assertEqual(self.server.counts()[b"jobs"], (3, 0))
        self.isClean = False  # The console shows the status of the refusal.

    def test_lost(self) -> None:
        """An action that finds no server says so, and the dialog stays."""
        browser = self.browser
        browser.open("#/queue/jobs")
        browser.one("[data-action=push]").click()
        self.server.stop()
        browser.one("dialog textarea").send_keys("x")
        browser.one("dialog .solid").click()
        browser.untilText("dialog [role=alert]", "No connection")
        self.isClean = False

    def test_kill(self) -> None:
        """A connection is ended from its row."""
        browser = self.browser
        with self.server.wire() as wire:
            wire.send(b"get empty/t=60000\r\n")
            browser.open("#/connections")
            browser.untilText("table.connections", "empty")
            browser.one("td.kill button").click()
            browser.one("dialog .solid").click()
            self.done("disconnected")
            self.assertEqual(readAll(wire.socket), b"")


class ReadOnlyTests(BrowserTestCase):
    """Where nothing may be done, which is the default."""

    options = ()

    def prepare(self) -> None:
        """Have a message."""
        self.server.put(b"jobs", b"secret")

    def test_readOnly(self) -> None:
        """There is nothing to press, and no body."""
        browser = self.browser
        browser.open("#/queue/jobs")
        browser.untilText(".actions", "Read only")
        browser.untilText("div.messages", "Bodies are not shown")
        self.assertFalse(browser.all("[data-action]"))
        self.assertNotIn("secret", browser.text("body"))


class DeadLetterTests(BrowserTestCase):
    """Dead letters: where they came from, why, and how they go back."""

    def moreOptions(self) -> tuple[str, ...]:
        """Have a rule that sends what fails once to another queue."""
        path = self.mktemp()
        with open(path, "w", encoding="utf-8") as file:
            file.write(
                '[queue.jobs]\nmax_deliveries = 1\ndead_letter = "jobs.failed"\n'
                "max_items = 10\n"
            )
        return (f"--config={path}",)

    def prepare(self) -> None:
        """Have a message that failed."""
        self.server.put(b"jobs", b"bad <b>")
        with self.server.wire() as wire:
            for line in (b"get jobs/open\r\n", b"get jobs/abort\r\n"):
                wire.send(line)
                while wire.line() != b"END":
                    pass

    def test_redriven(self) -> None:
        """Its origin and reason are shown; it goes back; the rules tell their place."""
        browser = self.browser
        browser.open("#/queue/jobs.failed")
        browser.untilText(".messages pre", "bad <b>")
        browser.untilText(".messages .origin", "jobs")
        browser.untilText(".messages .badge", "failed")
        browser.one("[data-action=redrive]").click()
        browser.one("dialog .solid").click()
        browser.untilText(".toasts", "redriven 1")
        self.assertEqual(self.server.counts()[b"jobs"][0], 2)
        browser.open("#/queue/jobs")
        browser.untilText("table.rules", "max_deliveries")
        browser.untilText("table.rules", "jobs.failed")
