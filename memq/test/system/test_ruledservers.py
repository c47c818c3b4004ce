"""Real servers whose queues have rules: what outlives them, and rules that change."""

from __future__ import annotations

import os
from signal import SIGHUP, SIGKILL
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from memq.test.support.servers import started
from testkit.wire import END, found, readAll

if TYPE_CHECKING:
    from collections.abc import Callable

SET = b"set q 0 0 1\r\n%b"


class RuledServerTestCase(SynchronousTestCase):
    """A server with a configuration file."""

    def setUp(self) -> None:
        """Write one that has no rules, and start."""
        self.path = os.path.abspath(self.mktemp())
        self.write("")
        self.server = started(self, "--config", self.path)

    def write(self, text: str) -> None:
        """Put another file in its place, whole: it may be read at any moment."""
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(file.name, self.path)

    def reload(self, text: str) -> None:
        """Write another file, and have it read."""
        self.write(text)
        self.told(b"OK\r\n", b"reload")

    def told(self, answer: bytes, *lines: bytes) -> None:
        """Send lines on a connection of their own; compare what is answered."""
        self.assertEqual(self.server.ask(*lines), answer)

    def kill(self) -> None:
        """Kill the server, and start it again."""
        self.server.stop(SIGKILL)
        self.server.start()


class PauseTests(RuledServerTestCase):
    """Pauses that clients make."""

    def test_restarts(self) -> None:
        """It is paused after the end of the server, whatever that was."""
        self.server.put(b"q", b"a")
        self.server.put(b"r", b"b")
        self.told(b"OK\r\nOK\r\n", b"pause q", b"pause r writes")
        self.kill()
        peeked = found(b"r/peek", b"b")
        refused = b"NOT_STORED\r\n"
        self.told(END + refused + peeked, b"get q", SET % b"x", b"get r/peek")
        self.told(b"OK\r\n", b"resume q")
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.told(found(b"q", b"a") + refused, b"get q", b"set r 0 0 1\r\nx")


class ReloadTests(RuledServerTestCase):
    """Rules that are read again."""

    def woken(self, wake: Callable[[], object]) -> None:
        """A waiter of a paused queue has its message when the pause is over."""
        self.reload('[queue.q]\npaused = "reads"\n')
        self.told(b"STORED\r\n" + END, SET % b"a", b"get q")
        with self.server.connect() as waiting:
            waiting.sendall(b"get q/t=60000\r\nquit\r\n")
            self.write("")
            wake()
            self.assertEqual(readAll(waiting), found(b"q/t=60000", b"a"))

    def test_reload(self) -> None:
        """A client has them read; one that waited for the end of a pause gets it."""
        self.woken(lambda: self.told(b"OK\r\n", b"reload"))

    def test_wakes(self) -> None:
        """SIGHUP ends a pause for a client that waits, too."""
        self.woken(lambda: os.kill(self.server.pid, SIGHUP))

    def isLimited(self) -> None:
        """Of two messages one is stored."""
        self.told(b"STORED\r\nNOT_STORED\r\n", SET % b"a", SET % b"b")

    def test_mistake(self) -> None:
        """A mistake is answered with file, line and reason, and changes nothing."""
        self.reload("[queue.q]\nmax_items = 1\n")
        self.write("[queue.q]\nmax_items = 2\nmax_age = -1\n")
        told = self.server.ask(b"reload")
        begin = f"SERVER_ERROR {self.path} line 3: max_age = -1: "
        self.assertTrue(told.startswith(begin.encode()), told)
        self.assertEqual(told.count(b"\n"), 1)
        self.isLimited()

    def test_signal(self) -> None:
        """On SIGHUP they are read as well: a mistake is logged, and changes nothing."""
        self.write("[queue.q]\nmax_items = 1\n")
        os.kill(self.server.pid, SIGHUP)
        self.server.waitForLine("is read again: 1 [queue] tables")
        self.write("[queue.q]\nmax_items = 2\n[queue\n")
        os.kill(self.server.pid, SIGHUP)
        line = self.server.waitForLine("all stays as it was")
        self.assertIn(f"{self.path} line 3: ", line)
        self.isLimited()


class RuleTests(RuledServerTestCase):
    """Rules at work."""

    def test_deadLetter(self) -> None:
        """Readers that die wear a message out; that is counted across restarts."""
        self.reload('[queue.q]\nmax_deliveries = 2\ndead_letter = "dead"\n')
        self.server.put(b"q", b"a")
        opened = found(b"q/open", b"a")
        self.told(opened, b"get q/open")
        # A set that is synced behind it tells that it is synced.
        self.server.put(b"other", b"b")
        self.kill()
        self.told(opened, b"get q/open")
        self.told(END + found(b"dead", b"a"), b"get q", b"get dead")

    def test_expires(self) -> None:
        """A message that nobody reads moves to expired_to by itself."""
        self.reload('[queue.q]\nmax_age = 0.001\nexpired_to = "old"\n')
        self.server.put(b"q", b"a")
        self.told(found(b"old/t=60000", b"a"), b"get old/t=60000")
        self.assertEqual(self.server.counts(), {b"q": (1, 1), b"old": (1, 1)})
