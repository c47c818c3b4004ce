"""Write pictures of the page: python -m memq.test.browser.pictures DIRECTORY.

A real server is kept busy for WARM seconds, so that there is something to see; then
each view is taken in both schemes, wide and narrow, and in Chinese.
"""

from __future__ import annotations

import base64
import os
import random
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from memq.test.browser.browser import Browser
from memq.test.browser.case import freePort
from memq.test.browser.test_login import users
from testkit.servers import Server
from testkit.wire import Wire, sets

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds of work before the first picture; and between two pieces of work.
WARM, STEP = 70.0, 0.1
#: Of WebP, 0 to 100: text stays sharp.
QUALITY = 30
#: Widths and heights in pixels.
WIDE, NARROW = (1280, 800), (400, 860)

RULES = """
[queue."*"]
max_deliveries = 3
[queue."orders.*"]
max_items = 100000
dead_letter = "orders.failed"
[queue."orders.failed"]
max_items = 0
dead_letter = ""
[queue.thumbnails]
max_items = 1500
overflow = "drop-oldest"
[queue."mail.out"]
max_age = 86400
open_timeout = 30
"""


class Work(NamedTuple):
    """What is done to a queue: messages set and taken a second, and set at first."""

    name: bytes
    set: float
    taken: float
    first: int = 0


WORKS = (
    Work(b"orders.new", 84, 80, 412),
    Work(b"orders.paid", 41, 43, 260),
    Work("订单.上海".encode(), 23, 22.5, 96),
    Work(b"mail.out", 12, 6, 1830),
    Work(b"mail.bounced", 0.3, 0, 57),
    Work(b"thumbnails", 30, 29, 1420),
    Work(b"search.index", 130, 131, 800),
    Work(b"webhooks.eu", 8, 8),
    Work(b"webhooks.us", 5, 5, 1105),
    Work(b"reports.nightly", 0, 0, 12),
    Work(b"audit", 210, 209, 35),
    Work(b"sms", 2, 2, 3),
    Work(b"<img_src=x_onerror=alert(1)>", 0, 0, 1),
    Work(b"invoices.pdf", 1, 0.6, 24),
)
BODY = b'{"order": %d, "customer": "c-%d", "total": "%d.90", "currency": "EUR"}'

PLACES = {
    "queues": "#/queues",
    "queue": "#/queue/orders.new",
    "server": "#/server",
    "connections": "#/connections",
    "log": "#/log",
}


def bodies(count: int) -> list[bytes]:
    """Return some bodies."""
    number = random.randrange
    return [BODY % (number(10**5), number(10**4), number(300)) for _ in range(count)]


class Load:
    """Producers and consumers, each with a connection of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=[work], daemon=True)
            for work in WORKS
            if work.set
        ]
        self._others = [
            threading.Thread(target=each, daemon=True)
            for each in (self._wait, self._hold)
        ]

    def start(self) -> None:
        """Fill the queues and begin."""
        for work in WORKS:
            if work.first:
                self._server.put(work.name, *bodies(work.first))
        self._server.ask(b"pause webhooks.us")
        self._fail()
        for thread in (*self._threads, *self._others):
            thread.start()

    def stop(self) -> None:
        """End it."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _fail(self) -> None:
        """Have some orders fail until they are dead letters."""
        with self._server.wire() as wire:
            for _ in range(3 * 5):
                wire.ask(b"get orders.paid/open")
                wire.line()
                wire.line()
                wire.ask(b"get orders.paid/abort")

    def _wait(self) -> None:
        with self._server.wire() as wire:
            wire.send(b"get jobs.urgent/t=600000\r\n")
            self._over.wait()

    def _hold(self) -> None:
        """Have open some messages, as a worker does."""
        with self._server.wire() as wire:
            wire.send(b"gets search.index/open/more\r\n" * 6)
            self._over.wait()

    def _work(self, work: Work) -> None:
        due = taken = 0.0
        with self._server.wire() as wire:
            while not self._over.wait(STEP):
                share = STEP * random.uniform(0.4, 1.6)
                due += work.set * share
                taken += work.taken * STEP * random.uniform(0.4, 1.6)
                self._set(wire, work.name, int(due))
                for _ in range(int(taken)):
                    wire.take(work.name)
                due %= 1
                taken %= 1

    def _set(self, wire: Wire, name: bytes, count: int) -> None:
        wire.send(sets(name, *bodies(count)))
        for _ in range(count):
            wire.line()


def take(browser: Browser, path: str) -> int:
    """Write a picture of what is shown, and return its bytes."""
    told = browser.command("Page.captureScreenshot", format="webp", quality=QUALITY)
    data = base64.b64decode(told["data"])
    with open(path, "wb") as file:
        file.write(data)
    return len(data)


def looks(browser: Browser) -> Iterator[str]:
    """Let the browser be one after the other, and yield how each is called."""
    for language in ("en", "zh"):
        browser.speak(language)
        for scheme in ("light", "dark"):
            for size in (WIDE, NARROW):
                if language == "zh" and (scheme, size) != ("light", WIDE):
                    continue
                browser.resize(*size)
                browser.prefer(scheme=scheme)
                yield f"{language}-{scheme}-{size[0]}.webp"


def takeAll(browser: Browser, directory: str) -> int:
    """Write all pictures; return how many bytes they have."""
    total = 0
    for look in looks(browser):
        for view, place in PLACES.items():
            browser.open(place)
            browser.one(".state.live")
            browser.until(lambda: settled(browser), "a settled view")
            total += take(browser, os.path.join(directory, f"{view}-{look}"))
    return total


def takeUsers(browser: Browser, directory: str) -> None:
    """Write the pictures of a page with users: the login, and somebody who is in."""
    for look in looks(browser):
        browser.open("#/queue/orders.us")
        browser.one("form.login [name=user]").send_keys("shop")
        browser.one("form.login [name=secret]").send_keys("wrong")
        browser.one("form.login .solid").click()
        browser.one("form.login [role=alert]:not([hidden])")
        take(browser, os.path.join(directory, f"login-{look}"))
        browser.one("form.login [name=secret]").send_keys("pass shop")
        browser.one("form.login .solid").click()
        browser.one("[data-action=push]")
        browser.one("#who").click()
        browser.one(".state.live")
        take(browser, os.path.join(directory, f"user-{look}"))
        browser.one("#logout").click()
        browser.one("form.login")


def withUsers(directory: str) -> None:
    """Start a server with users, and write its pictures."""
    base = f"127.0.0.1:{freePort()}"
    # users.toml would be that of the other server as well.
    with open(os.open("known.toml", os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(users())
    server = Server(
        os.path.abspath("users"), "--users=known.toml", f"--web-listen={base}"
    )
    server.start()
    try:
        with server.wire() as wire:
            wire.send(b"set auth 0 0 10\r\nops opsops\r\n")
            wire.line()
            wire.send(sets(b"orders.us", *bodies(40)))
            for _ in range(40):
                wire.line()
        browser = Browser(f"http://{base}")
        try:
            takeUsers(browser, directory)
        finally:
            browser.quit()
    finally:
        server.stop()


def settled(browser: Browser) -> bool:
    """Return whether the view has lived for some ticks."""
    return bool(browser.run("return performance.now() > 4500"))


def main(directory: str) -> None:
    """Write them."""
    os.makedirs(directory, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="memq-pictures-") as scratch:
        # A short path looks better.
        directory = os.path.abspath(directory)
        os.chdir(scratch)
        withUsers(directory)
        with open("memq.toml", "w", encoding="utf-8") as file:
            file.write(RULES)
        base = f"127.0.0.1:{freePort()}"
        server = Server(
            os.path.join(scratch, "home"),
            *("--config=memq.toml", f"--web-listen={base}"),
            *("--web-actions=anyone", "--web-bodies"),
        )
        server.start()
        load = Load(server)
        try:
            load.start()
            browser = Browser(f"http://{base}")
            try:
                browser.open()
                time.sleep(WARM)
                print(f"{takeAll(browser, directory) / 1000:.0f} KB in {directory}")
            finally:
                browser.quit()
        finally:
            load.stop()
            server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
