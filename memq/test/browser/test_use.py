"""The page by keyboard, in both languages and schemes, and where there is nothing."""

from __future__ import annotations

from memq.test.browser.case import BrowserTestCase, fill
from memq.test.browser.views import VIEWS

NAMES = [f"q{number:03d}".encode() for number in range(250)]


class KeyTests(BrowserTestCase):
    """Nothing needs a mouse."""

    def prepare(self) -> None:
        """Have more queues than a page of the list."""
        fill(self.server, NAMES)

    def test_list(self) -> None:
        """Keys go down and up the list, open a queue, come back, filter and page."""
        browser = self.browser
        browser.open("#/queues?sort=name&order=asc")
        browser.one("tbody tr")
        browser.press("j", "j", "ARROW_DOWN", "k")
        self.assertEqual(browser.focused(), "q001")
        browser.press("ENTER")
        browser.untilText("h1", "q001")
        browser.press("ESCAPE")
        browser.until(
            lambda: browser.focused() == "q001", "the row has the focus again"
        )
        browser.driver.back()
        browser.untilText("h1", "q001")
        browser.open("#/queues?sort=name&order=asc")
        browser.one("tbody tr")
        browser.press("n")
        browser.untilText("tbody .name", "q100")
        browser.untilText(".pager", "101\u2013200 of 250")
        browser.press("p")
        browser.untilText("tbody .name", "q000")
        browser.press("/", "2", "4")
        browser.untilText(".count", "queues: 13")
        browser.press("ENTER")
        self.assertEqual(browser.focused(), "q024")
        browser.press("/", "ESCAPE", "ESCAPE")
        browser.untilText(".count", "250")

    def test_views(self) -> None:
        """Digits go to views, and ? tells all keys."""
        browser = self.browser
        browser.open()
        for number, name in enumerate(VIEWS, 1):
            browser.press(str(number))
            browser.untilText("[aria-current]", name.capitalize())
        browser.press("?")
        browser.untilText("dialog", "next queue")
        browser.press("ESCAPE")
        browser.until(lambda: not browser.all("dialog"), "the help is closed")

    def test_sort(self) -> None:
        """A heading sorts, then turns the order, and the address keeps both."""
        browser = self.browser
        browser.open()
        browser.one("tbody tr")
        browser.run("document.querySelector('th.queue button').focus()")
        browser.press("ENTER")
        browser.untilText("tbody .name", "q000")
        browser.until(lambda: browser.focused() == "Queue", "the focus stays")
        browser.press("ENTER")
        browser.untilText("tbody .name", "q249")
        self.assertEqual(
            browser.one("th.queue").get_attribute("aria-sort"), "descending"
        )
        browser.driver.back()
        browser.untilText("tbody .name", "q000")

    def test_focus(self) -> None:
        """The focus is seen, and Tab reaches one row of all, not each."""
        browser = self.browser
        browser.open()
        browser.one("tbody tr")
        reached = browser.run(
            "return [...document.querySelectorAll('tbody a')]"
            ".filter((each) => each.tabIndex === 0).length"
        )
        self.assertEqual(reached, 1)
        browser.press("j")
        style = browser.run(
            "return getComputedStyle(document.activeElement).outlineStyle"
        )
        self.assertEqual(style, "solid")


class LookTests(BrowserTestCase):
    """Languages, schemes, and a server without queues."""

    def test_empty(self) -> None:
        """Where there is nothing, the page says what to type."""
        browser = self.browser
        browser.open()
        browser.untilText(".note code", "memq push jobs hello")
        browser.open("#/queues?match=nothing")
        browser.untilText(".note", "No queue matches")
        browser.one(".note button").click()
        browser.untilText(".note", "No queue yet")
        browser.open("#/connections")
        browser.untilText(".note", "No client is connected")

    def test_languages(self) -> None:
        """The browser's language is taken, and another one by a button, for good."""
        browser = self.browser
        browser.speak("zh-CN,zh,en")
        browser.open()
        browser.untilText("nav", "队列")
        self.assertEqual(browser.one("html").get_attribute("lang"), "zh-CN")
        browser.one("#language").click()
        browser.untilText("nav", "Queues")
        browser.open("#/server")
        browser.untilText("nav", "Queues")
        browser.one("#language").click()
        for place in VIEWS.values():
            browser.open(place)
            browser.untilText("nav", "队列")
            browser.untilText(".state", "实时")

    def test_schemes(self) -> None:
        """The page is light or dark as the system is, or as somebody chooses."""
        browser = self.browser
        browser.prefer(scheme="light", motion="reduce")
        browser.open()
        light = self.ground()
        browser.prefer(scheme="dark", motion="reduce")
        dark = self.ground()
        self.assertNotEqual(light, dark)
        browser.one("#scheme").click()
        self.assertEqual(self.ground(), light)
        browser.open()
        self.assertEqual(self.ground(), light)
        browser.one("#scheme").click()
        browser.prefer(scheme="light", motion="reduce")
        self.assertEqual(self.ground(), dark)
        self.assertEqual(
            browser.run(
                "return getComputedStyle(document.querySelector('button'))"
                ".transitionDuration"
            ),
            "0s",
        )

    def ground(self) -> str:
        """Return the colour of the ground."""
        script = "return getComputedStyle(document.documentElement).backgroundColor"
        return str(self.browser.run(script))
