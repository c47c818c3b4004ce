"""Names and bodies that want to be more than text."""

from __future__ import annotations

from urllib.parse import quote

from memq.test.browser.case import BrowserTestCase
from memq.test.browser.views import VIEWS, overflow

#: Names of queues, as bytes and as they are shown.
NAMES = {
    b"<img\xc2\xa0src=x\xc2\xa0onerror=alert(1)>": "<img\xa0src=x\xa0onerror=alert(1)>",
    b"<script>alert(1)<script>": "<script>alert(1)<script>",
    b"'\"><svg\xe2\x80\x8bonload=alert(1)>": "'\"><svg\\u{200b}onload=alert(1)>",
    "队列.订单".encode(): "队列.订单",
    "a\u202egnp.exe".encode(): "a\\u{202e}gnp.exe",
    b"javascript:alert(1)": "javascript:alert(1)",
    b"a,b%2Cc?d#e&f": "a,b%2Cc?d#e&f",
    b"..": "..",
    b"__proto__": "__proto__",
    b"\xff\x00\xfe".replace(b"\x00", b"\x80"): "hex:ff80fe",
    b"n" * 250: "n" * 250,
}
BODIES = (
    b"<img src=x onerror=alert(1)>",
    b"</pre><script>alert(1)</script>",
    b"\x1b[31mred\r\n\ttab \xe2\x80\xaetxt",
    b"\xff\xfe\x00\x80",
    b"",
)


class HostileTests(BrowserTestCase):
    """What comes from a client stays text."""

    def prepare(self) -> None:
        """Have a message in each queue, and the bodies in one."""
        for name in NAMES:
            self.server.put(name, b"one")
        self.server.put(b"bodies", *BODIES)

    def test_names(self) -> None:
        """Each name is shown as text in the list and on its own view, by its link."""
        browser = self.browser
        browser.open("#/queues?sort=name&order=asc")
        count = len(NAMES) + 1
        browser.until(
            lambda: len(browser.all("tbody .name")) == count, f"{count} queues"
        )
        self.assertEqual(
            sorted(browser.texts("tbody .name")), sorted([*NAMES.values(), "bodies"])
        )
        links = browser.run(
            "return [...document.querySelectorAll('tbody a')]"
            ".map((each) => [each.href, each.textContent])"
        )
        for link, shown in links:
            browser.run("location.href = arguments[0]", link)
            browser.until(lambda: browser.text("h1 .name") == shown, shown)  # noqa: B023
            browser.until(lambda: browser.text(".figures dd") in "15", f"{shown}: 1")
            if shown != "bodies":
                browser.untilText(".messages pre", "one")
        self.assertEqual(browser.all("main img, main script, main svg[onload]"), [])

    def test_bodies(self) -> None:
        """Bodies are text too; what is none is told as hex; nothing is hidden."""
        browser = self.browser
        browser.open("#/queue/bodies")
        browser.until(lambda: len(browser.all(".messages li")) == 5, "five messages")
        self.assertEqual(
            browser.texts(".messages pre"),
            [
                "<img src=x onerror=alert(1)>",
                "</pre><script>alert(1)</script>",
                "\\u{1b}[31mred\r\n\ttab \\u{202e}txt",
                "ff fe 00 80",
            ],
        )
        self.assertEqual(browser.all(".messages img, .messages script"), [])

    def test_narrow(self) -> None:
        """At 400 pixels nothing is wider than the screen, in any view."""
        browser = self.browser
        browser.resize(400, 860)
        for place in (*VIEWS.values(), f"#/queue/{'n' * 250}", "#/queue/bodies"):
            browser.open(place)
            browser.until(lambda: "live" in browser.text(".state"), "live")
            self.assertLessEqual(overflow(browser), 0, place)

    def test_address(self) -> None:
        """An address that names something else shows the queues."""
        for place in (
            *("#/<img src=x onerror=alert(1)>", "#/queue/%ff%", "#/queue/"),
            *("#/constructor", "#/__proto__"),
        ):
            self.browser.open(quote(place, safe="#/<>= %()"))
            self.browser.one("table.queues")
