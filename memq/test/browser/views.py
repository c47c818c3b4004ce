"""The views of the page, by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memq.test.browser.browser import Browser

VIEWS = {
    "queues": "#/queues",
    "server": "#/server",
    "connections": "#/connections",
    "log": "#/log",
}


def overflow(browser: Browser) -> int:
    """Return how many pixels the page is wider than the window."""
    width = browser.run("return document.documentElement.scrollWidth - innerWidth")
    return int(width)
