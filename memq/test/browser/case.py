"""What tests in a browser share: a server with a page, and a browser on it."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from memq.test.browser.browser import Browser
from testkit.servers import Server
from testkit.wire import sets

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Commands of one piece when many queues are made.
_PIECE = 500


def freePort() -> int:
    """Return a port that was free a moment ago, for a server that comes back to it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def fill(server: Server, names: Iterable[bytes]) -> None:
    """Set a message in each of many queues."""
    commands = [sets(name, b"x") for name in names]
    with server.wire() as wire:
        for start in range(0, len(commands), _PIECE):
            piece = commands[start : start + _PIECE]
            wire.send(b"".join(piece))
            for _ in piece:
                assert wire.line() == b"STORED"


class BrowserTestCase(SynchronousTestCase):
    """Has a server that lets everybody do all, and a browser.

    :cvar options: of the server.
    :cvar isClean: whether the page must say nothing in the browser's console.
    """

    options: ClassVar[tuple[str, ...]] = ("--web-actions=anyone", "--web-bodies")
    isClean = True

    def setUp(self) -> None:
        """Start both."""
        self.server = Server(
            self.home(),
            f"--web-listen=127.0.0.1:{freePort()}",
            *self.options,
            *self.moreOptions(),
        )
        self.addCleanup(self.server.stop)
        self.server.start()
        line = self.server.waitForLine("The web is on ")
        self.base = f"http://{line.rpartition(' ')[2]}"
        self.prepare()
        self.browser = Browser(self.base)
        self.addCleanup(self.browser.quit)
        self.addCleanup(self.check)

    def home(self) -> str:
        """Return the server's directory; empty for one that has none."""
        path: str = os.path.abspath(self.mktemp())
        return path

    def moreOptions(self) -> tuple[str, ...]:
        """Return options that a test makes."""
        return ()

    def prepare(self) -> None:
        """Put into the queues what the test needs."""

    def check(self) -> None:
        """Check that nothing happened behind the page."""
        if self.isClean:
            self.assertEqual(self.browser.bad(), [])
