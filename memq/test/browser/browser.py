"""A browser: chromium without a window, and a page that is looked at."""

from __future__ import annotations

import shutil
import tempfile
from typing import TYPE_CHECKING, Any

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Seconds that anything on the page may take.
PATIENCE = 20.0
#: Seconds between two looks.
_STEP = 0.05
CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"),
    "--disable-extensions",
)
#: Notes what must not happen, and which streams are asked for; before any script of the
#: page runs.
_WATCH = """
window.bad = [];
window.alert = (text) => window.bad.push(`alert: ${text}`);
addEventListener("error", (event) => window.bad.push(`error: ${event.message}`));
addEventListener("unhandledrejection", (event) => window.bad.push(`${event.reason}`));
document.addEventListener("securitypolicyviolation", (event) =>
  window.bad.push(`policy: ${event.violatedDirective} ${event.blockedURI}`));
window.streams = [];
const ask = window.fetch;
window.fetch = (url, options) => {
  if (url.includes("/events")) {
    window.streams.push(url);
  }
  return ask(url, options);
};
"""


class Browser:
    """A browser with one page.

    :ivar driver: selenium's own.
    """

    def __init__(self, base: str) -> None:
        """Start it.

        :param base: the address of the server's page, without a slash.
        """
        self.base = base
        self._directory = tempfile.mkdtemp(prefix="memq-browser-")
        options = Options()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS, f"--user-data-dir={self._directory}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver: Any = webdriver.Chrome(options, Service(DRIVER))
        self.command("Page.enable")
        self.command("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
        self.resize(1280)

    def quit(self) -> None:
        """End it."""
        self.driver.quit()
        shutil.rmtree(self._directory, ignore_errors=True)

    def command(self, name: str, **values: object) -> Any:
        """Send a command of Chrome's own protocol."""
        return self.driver.execute_cdp_cmd(name, values)

    def run(self, script: str, *values: object) -> Any:
        """Return what a script on the page returns."""
        return self.driver.execute_script(script, *values)

    def resize(self, width: int, height: int = 800) -> None:
        """Give the page another size, in pixels."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            mobile=False,
            deviceScaleFactor=1,
        )

    def prefer(self, **features: str) -> None:
        """Say what the person prefers, by the names of CSS: scheme, motion."""
        names = {"scheme": "prefers-color-scheme", "motion": "prefers-reduced-motion"}
        told = [{"name": names[key], "value": each} for key, each in features.items()]
        self.command("Emulation.setEmulatedMedia", features=told)

    def speak(self, languages: str) -> None:
        """Name the languages of the person, as in Accept-Language."""
        agent = self.run("return navigator.userAgent")
        self.command(
            "Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=languages
        )

    def open(self, place: str = "#/queues") -> None:
        """Load the page anew, and wait until it shows a view."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.base}/{place}")
        self.one("main > div")

    def all(self, selector: str) -> Sequence[Any]:
        """Return the elements that a selector finds now."""
        found: Sequence[Any] = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return found

    def one(self, selector: str) -> Any:
        """Return the first element that a selector finds, once there is one."""
        self.until(lambda: self.all(selector), selector)
        return self.all(selector)[0]

    def text(self, selector: str) -> str:
        """Return the text of the first element; nothing where there is none."""
        script = "return document.querySelector(arguments[0])?.textContent ?? ''"
        return str(self.run(script, selector))

    def texts(self, selector: str) -> list[str]:
        """Return the text of each element."""
        script = (
            "return [...document.querySelectorAll(arguments[0])]"
            ".map((each) => each.textContent)"
        )
        return [str(each) for each in self.run(script, selector)]

    def until(self, isSo: Callable[[], object], words: str) -> None:
        """Wait until something is so."""
        try:
            WebDriverWait(self.driver, PATIENCE, _STEP).until(lambda _: isSo())
        except TimeoutException:
            page = self.text("body")[:2000]
            raise AssertionError(f"not {words}: {page} {self.bad()}") from None

    def untilText(self, selector: str, text: str) -> None:
        """Wait until an element has a text somewhere in it."""
        self.until(lambda: text in self.text(selector), f"{text!r} in {selector}")

    def press(self, *keys: str) -> None:
        """Press keys, where the focus is; names are those of selenium's Keys."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(getattr(Keys, key, key))

    def focused(self) -> str:
        """Return the text of what has the focus."""
        return str(self.run("return document.activeElement.textContent"))

    def bad(self) -> list[str]:
        """Return what must not happen and did: errors, refusals of the policy."""
        lines = [line["message"] for line in self.driver.get_log("browser")]
        return [*self.run("return window.bad"), *lines]
