"""Real servers whose queues have rules: what outlives them, and rules that change."""

from __future__ import annotations

import os
from signal import SIGHUP, SIGKILL

from twisted.trial.unittest import SynchronousTestCase

from testkit.servers import Server


class RuledServerTestCase(SynchronousTestCase):
    """A server with a configuration file."""

    def setUp(self) -> None:
        """Write one that has no rules, and start."""
        self.path = os.path.abspath(self.mktemp())
        self.write("")
        self.server = Server(self.mktemp(), "--config", self.path).start()
        self.addCleanup(self.server.stop)

    def write(self, text: str) -> None:
        """Put another file in its place, whole: it may be read at any moment."""
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(file.name, self.path)

    def talk(self, *lines: bytes) -> list[bytes]:
        """Send lines on a connection of their own; return those that are answered."""
        request = b"".join(line + b"\r\n" for line in (*lines, b"quit"))
        return self.server.talk(request).splitlines()


class PauseTests(RuledServerTestCase):
    """What clients have paused."""

    def test_restarts(self) -> None:
        """It is paused after the end of the server, whatever that was."""
        self.talk(b"set q 0 0 1", b"a", b"set r 0 0 1", b"b")
        self.assertEqual(self.talk(b"pause q", b"pause r writes"), [b"OK"] * 2)
        self.server.stop(SIGKILL)
        self.server.start()
        self.assertEqual(
            self.talk(b"get q", b"set q 0 0 1", b"x", b"get r/peek"),
            [b"END", b"NOT_STORED", b"VALUE r/peek 0 1", b"b", b"END"],
        )
        self.assertEqual(self.talk(b"resume q"), [b"OK"])
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.assertEqual(
            self.talk(b"get q", b"set r 0 0 1", b"x"),
            [b"VALUE q 0 1", b"a", b"END", b"NOT_STORED"],
        )


class ReloadTests(RuledServerTestCase):
    """Rules that are read again."""

    def test_reload(self) -> None:
        """A client has them read; one that waited for the end of a pause gets it."""
        self.talk(b"set q 0 0 1", b"a")
        self.write('[queue.q]\npaused = "reads"\n')
        self.assertEqual(self.talk(b"reload", b"get q"), [b"OK", b"END"])
        with self.server.connect() as waiting:
            waiting.sendall(b"get q/t=60000\r\nquit\r\n")
            self.write("")
            self.assertEqual(self.talk(b"reload"), [b"OK"])
            told = b"".join(iter(lambda: waiting.recv(65536), b""))
        self.assertEqual(told, b"VALUE q/t=60000 0 1\r\na\r\nEND\r\n")

    def test_mistake(self) -> None:
        """A mistake is answered with file, line and reason, and changes nothing."""
        self.write("[queue.q]\nmax_items = 1\n")
        self.assertEqual(self.talk(b"reload"), [b"OK"])
        self.write("[queue.q]\nmax_items = 2\nmax_age = -1\n")
        (told,) = self.talk(b"reload")
        begin = f"SERVER_ERROR {self.path} line 3: max_age = -1: "
        self.assertTrue(told.startswith(begin.encode()), told)
        self.assertEqual(
            self.talk(b"set q 0 0 1", b"a", b"set q 0 0 1", b"b"),
            [b"STORED", b"NOT_STORED"],
        )

    def test_signal(self) -> None:
        """On SIGHUP they are read as well: a mistake is logged, and changes nothing."""
        self.write("[queue.q]\nmax_items = 1\n")
        os.kill(self.server.pid, SIGHUP)
        self.server.waitForLine("is read again: 1 [queue] tables")
        self.write("[queue.q]\nmax_items = 2\n[queue\n")
        os.kill(self.server.pid, SIGHUP)
        line = self.server.waitForLine("the rules stay as they were")
        self.assertIn(f"{self.path} line 3: ", line)
        self.assertEqual(
            self.talk(b"set q 0 0 1", b"a", b"set q 0 0 1", b"b"),
            [b"STORED", b"NOT_STORED"],
        )

    def test_wakes(self) -> None:
        """Whoever waits on a queue that a rule has paused is woken by SIGHUP."""
        self.write('[queue.q]\npaused = "reads"\n')
        self.talk(b"reload", b"set q 0 0 1", b"a")
        with self.server.connect() as waiting:
            waiting.sendall(b"get q/t=60000\r\nquit\r\n")
            self.write("")
            os.kill(self.server.pid, SIGHUP)
            told = b"".join(iter(lambda: waiting.recv(65536), b""))
        self.assertEqual(told, b"VALUE q/t=60000 0 1\r\na\r\nEND\r\n")


class RuleTests(RuledServerTestCase):
    """Rules at work."""

    def test_deadLetter(self) -> None:
        """Readers that die wear a message out; that is counted across restarts."""
        self.write('[queue.q]\nmax_deliveries = 2\ndead_letter = "dead"\n')
        self.talk(b"reload", b"set q 0 0 1", b"a")
        self.talk(b"get q/open")
        # What is synced behind it tells that it is synced.
        self.talk(b"set other 0 0 1", b"b")
        self.server.stop(SIGKILL)
        self.server.start()
        opened = [b"VALUE q/open 0 1", b"a", b"END"]
        self.assertEqual(self.talk(b"get q/open"), opened)
        self.assertEqual(
            self.talk(b"get q", b"get dead"), [b"END", b"VALUE dead 0 1", b"a", b"END"]
        )

    def test_expires(self) -> None:
        """What nobody reads moves to expired_to by itself."""
        self.write('[queue.q]\nmax_age = 0.001\nexpired_to = "old"\n')
        self.talk(b"reload", b"set q 0 0 1", b"a")
        self.assertEqual(
            self.talk(b"get old/t=60000"), [b"VALUE old/t=60000 0 1", b"a", b"END"]
        )
        self.assertEqual(self.server.counts(), {b"q": (1, 1), b"old": (1, 1)})
