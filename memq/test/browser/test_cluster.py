"""The page of a front end: whose it is, what a cluster tells, and what none does."""

from __future__ import annotations

import os

from memq.test.browser.case import BrowserTestCase
from memq.test.browser.views import VIEWS
from memq.test.support.rabbitserver import Nodes

#: What a figure is that nobody tells.
UNTOLD = "\u2013"
FRONT_END = "Front end of a cluster: rates and totals are of this one"


class ClusterTests(BrowserTestCase):
    """A front end, over fake nodes."""

    def home(self) -> str:
        """Have none."""
        return ""

    def moreOptions(self) -> tuple[str, ...]:
        """Start the nodes, and name them."""
        self.nodes = Nodes()
        self.addCleanup(self.nodes.stop)
        return (*self.nodes.options(os.path.abspath(self.mktemp())),)

    def prepare(self) -> None:
        """Have a queue."""
        self.server.put(b"jobs", b"1", b"2")

    def fact(self, label: str) -> str:
        """Return what the page says behind a label; nothing where there is none."""
        script = (
            "return [...document.querySelectorAll('dt')]"
            ".find((each) => each.textContent === arguments[0])"
            "?.parentNode.querySelector('dd').textContent ?? ''"
        )
        return str(self.browser.run(script, label))

    def untilFact(self, label: str, text: str) -> None:
        """Wait until the page says something behind a label."""
        self.browser.until(
            lambda: self.fact(label) == text, f"{label!r} {text!r}: {self.fact(label)}"
        )

    def test_server(self) -> None:
        """It says which cluster, and what it knows of it; there is no disk here."""
        browser = self.browser
        browser.open("#/server")
        browser.untilText(".clustered:not([hidden])", FRONT_END)
        browser.one(".cluster:not([hidden])")
        self.untilFact("Nodes that run", "3 of 3")
        self.untilFact("RabbitMQ", "4.0.5")
        at = set(self.fact("Connected to").split(", "))
        self.assertLessEqual(at, {*self.nodes.places.split(",")})
        self.assertNotEqual(at, set())
        self.untilFact("Sets refused by the cluster", "no")
        self.untilFact("Messages", "2")
        self.assertRegex(self.fact("Connections to it"), r"^(\d+) of \1; 0 lost")
        self.assertEqual(self.fact("Berkeley DB"), "none")
        self.assertEqual(self.fact("Delayed"), UNTOLD)
        self.assertEqual(self.fact("Oldest"), UNTOLD)
        meters = browser.texts(".meter:not([hidden]) b")
        self.assertEqual(meters, ["Memory for clients", "Connections"])

    def test_queues(self) -> None:
        """What waits is told, and what no cluster tells is a dash, never 0."""
        browser = self.browser
        browser.open()
        browser.untilText("td.messages", "2")
        for column in "age", "delayed":
            self.assertEqual(browser.text(f"td.{column}"), UNTOLD)
        self.assertEqual(browser.text("td.open"), "0")
        browser.open("#/queue/jobs")
        self.untilFact("Messages", "2")
        self.untilFact("Set", "2")
        for label in "Oldest", "Delayed", "Expired", "Discarded":
            self.assertEqual(self.fact(label), UNTOLD, label)
        browser.untilText(".messages pre", "1")
        browser.untilText("main", "Rules of a front end stand in memq.toml.")

    def test_views(self) -> None:
        """Each view lives, in both languages."""
        browser = self.browser
        for language, note in ("en", "Front end"), ("zh-CN", "集群的前端"):
            browser.speak(language)
            for name, place in VIEWS.items():
                browser.open(place)
                browser.one(".state.live")
                if name in ("queues", "server"):
                    browser.untilText(".clustered:not([hidden])", note)
