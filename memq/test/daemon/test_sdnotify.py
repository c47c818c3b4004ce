"""Notifications to the service manager: when, and in which words."""

from __future__ import annotations

import os
import socket
import tempfile
import time

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from memq.daemon.sdnotify import EXTENSION, LONGEST, TICK, Notifier
from testkit.servers import PATIENCE, Server

OPENING = "STATUS=Opening the store; after a crash, this recovers it"
STOPPING = "STATUS=Stopping: answering what was taken, then closing the store"
MORE_TIME = f"EXTEND_TIMEOUT_USEC={EXTENSION}"


class Manager:
    """A service manager that hears, on a real socket.

    :ivar path: where it listens.
    """

    def __init__(self, path: str) -> None:
        """Listen at a path, or an abstract name that begins with @."""
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path.replace("@", "\0"))
        self._socket.settimeout(PATIENCE)

    def wait(self) -> list[str]:
        """Return the lines of the next datagram, when it comes."""
        return self._socket.recv(4096).decode("utf-8").split("\n")

    def waitFor(self, line: str) -> list[str]:
        """Return all lines up to one that begins so."""
        heard: list[str] = []
        end = time.monotonic() + PATIENCE
        while not any(said.startswith(line) for said in heard):
            assert time.monotonic() < end, f"no {line} in {heard}"
            heard += self.wait()
        return heard

    def heard(self) -> list[str]:
        """Return the lines that wait to be read."""
        self._socket.setblocking(False)
        lines = []
        try:
            while True:
                lines += self.wait()
        except BlockingIOError:
            self._socket.settimeout(PATIENCE)
        return lines

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


class NotifyTestCase(SynchronousTestCase):
    """A manager in a directory whose name is short enough for a socket."""

    def setUp(self) -> None:
        """Let it listen."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.manager = self.listening(os.path.join(directory.name, "notify"))

    def listening(self, path: str) -> Manager:
        """Return a manager, closed when the test is over."""
        manager = Manager(path)
        self.addCleanup(manager.close)
        return manager


class ClockTestCase(NotifyTestCase):
    """A notifier that has not started, and a clock."""

    def setUp(self) -> None:
        """Make them."""
        NotifyTestCase.setUp(self)
        self.clock = Clock()
        self.notifier = Notifier(self.clock, self.manager.path)

    def started(self, watchdog: float | None = None) -> Notifier:
        """Return one that is ready, with all that was heard of the start forgotten."""
        notifier = Notifier(self.clock, self.manager.path, watchdog)
        notifier.startService()
        notifier.ready("Listening")
        self.manager.heard()
        return notifier


class NotifierTests(ClockTestCase):
    """Notifications and their times."""

    def test_start(self) -> None:
        """A start says so, and asks for more time as long as it takes."""
        self.notifier.startService()
        self.assertEqual(self.manager.heard(), [OPENING, MORE_TIME])
        self.notifier.status("Half of it is done")
        self.assertEqual(self.manager.heard(), ["STATUS=Half of it is done"])
        self.clock.advance(TICK)
        self.assertEqual(self.manager.heard(), [MORE_TIME])
        self.notifier.ready("Listening")
        self.assertEqual(self.manager.heard(), ["READY=1", "STATUS=Listening"])
        self.clock.advance(TICK)
        self.assertEqual(self.manager.heard(), [])

    def test_stop(self) -> None:
        """So does a stop, until the reactor ends."""
        self.started().stopService()
        self.assertEqual(self.manager.heard(), ["STOPPING=1", STOPPING])
        for _ in range(3):
            self.clock.advance(TICK)
            self.assertEqual(self.manager.heard(), [MORE_TIME])

    def test_stoppedEarly(self) -> None:
        """A server that is stopped before it is ready never is."""
        self.notifier.startService()
        self.notifier.stopService()
        self.manager.heard()
        self.notifier.ready("Listening")
        self.assertEqual(self.manager.heard(), [])

    def test_failed(self) -> None:
        """The reason why it ends, or does not even start, is and stays the status."""
        self.notifier.fail("--port 1: in use")
        self.assertEqual(self.manager.heard(), ["STATUS=--port 1: in use"])
        notifier = self.started()
        notifier.fail("the log cannot be synced")
        notifier.stopService()
        self.assertEqual(
            self.manager.heard(), ["STATUS=the log cannot be synced", "STOPPING=1"]
        )

    def test_oneLine(self) -> None:
        """A status is a line of text that is not too long, whatever is in it."""
        self.notifier.status("a\nREADY=1 \udcff" + "\N{SNOWMAN}" * 5000)
        [line] = self.manager.heard()
        self.assertEqual(len(line), len("STATUS=") + LONGEST)
        self.assertTrue(line.startswith("STATUS=a READY=1 \\udcff\N{SNOWMAN}"))

    def test_watchdog(self) -> None:
        """The watchdog hears of the reactor at once, then twice in its time."""
        Notifier(Clock(), self.manager.path, 60.0).startService()
        self.assertEqual(self.manager.heard(), [OPENING, "WATCHDOG=1", MORE_TIME])
        notifier = self.started(watchdog=2.0)
        self.clock.advance(0.9)
        self.assertEqual(self.manager.heard(), [])
        self.clock.advance(0.1)
        self.assertEqual(self.manager.heard(), ["WATCHDOG=1"])
        notifier.stopService()
        self.manager.heard()
        self.clock.advance(1.0)
        self.assertEqual(self.manager.heard(), ["WATCHDOG=1", MORE_TIME])

    def test_abstract(self) -> None:
        """The manager may have an abstract socket."""
        manager = self.listening(f"@{self.manager.path}")
        Notifier(self.clock, manager.path).fail("so")
        self.assertEqual(manager.heard(), ["STATUS=so"])

    def test_nobody(self) -> None:
        """Without a manager nothing is told, and nothing ticks."""
        notifier = Notifier(self.clock)
        notifier.startService()
        notifier.ready("Listening")
        notifier.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TroubleTests(ClockTestCase):
    """A manager that cannot be told."""

    def test_gone(self) -> None:
        """Nothing fails when nobody listens; one line of the log says why."""
        self.manager.close()
        for path, why in (
            (self.manager.path, "Connection refused"),
            ("/" + "x" * 200, "AF_UNIX path too long"),
        ):
            notifier = Notifier(self.clock, path)
            with capturedLogs() as events:
                notifier.startService()
                notifier.ready("Listening")
                self.clock.advance(TICK)
            words = f"NOTIFY_SOCKET {path}: the service manager could not be told: "
            self.assertEqual([formatEvent(each) for each in events], [words + why])

    def test_back(self) -> None:
        """A status that it missed is told with the next tick, in its latest form."""
        notifier = self.started()
        os.rename(self.manager.path, self.manager.path + ".away")
        for line in ("one", "two"):
            notifier.status(line)
        os.rename(self.manager.path + ".away", self.manager.path)
        self.assertEqual(self.manager.heard(), [])
        self.clock.advance(TICK)
        self.assertEqual(self.manager.heard(), ["STATUS=two"])

    def test_busy(self) -> None:
        """A manager that reads nothing holds nothing up, and misses nothing."""
        notifier = Notifier(self.clock, self.manager.path)
        notifier.startService()
        with capturedLogs() as events:
            for number in range(1000):
                notifier.status(f"step {number}")
            notifier.ready("Listening")
        self.assertIn("temporarily unavailable", str(formatEvent(events[0])))
        self.assertNotIn("READY=1", self.manager.heard())
        self.clock.advance(TICK)
        self.assertEqual(self.manager.heard(), ["STATUS=Listening", "READY=1"])

    def test_bug(self) -> None:
        """If the ticks end, the log says so."""
        self.notifier.startService()
        self.patch(socket, "socket", None)
        with capturedLogs() as events:
            self.clock.advance(TICK)
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["The service manager is not told any more"],
        )
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)


class EnvironmentTests(NotifyTestCase):
    """Whom the environment names."""

    def told(self, **variables: str) -> list[str]:
        """Return what is told at a start, and half a second after it."""
        environment = {"NOTIFY_SOCKET": self.manager.path, "HOME": "/", **variables}
        clock = Clock()
        Notifier.fromEnvironment(clock, environment).startService()
        self.assertEqual(environment, {"HOME": "/"})
        clock.advance(0.5)
        return self.manager.heard()

    def test_socket(self) -> None:
        """NOTIFY_SOCKET is the manager; no other process inherits it."""
        self.assertEqual(self.told(), [OPENING, MORE_TIME])

    def test_none(self) -> None:
        """Without it, there is none."""
        self.assertEqual(self.told(NOTIFY_SOCKET=""), [])
        notifier = Notifier.fromEnvironment(Clock(), {})
        notifier.status("so")
        self.assertEqual(self.manager.heard(), [])

    def test_watchdog(self) -> None:
        """WATCHDOG_USEC is its time in microseconds, unless it is another process's."""
        for count, variables in (
            (2, {"WATCHDOG_USEC": "1000000"}),
            (2, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}),
            (0, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}),
            (0, {"WATCHDOG_USEC": "0"}),
            (0, {"WATCHDOG_USEC": "soon"}),
        ):
            said = self.told(**variables)
            self.assertEqual(said.count("WATCHDOG=1"), count)
            self.assertEqual(set(said) - {"WATCHDOG=1"}, {OPENING, MORE_TIME})


class ServerTests(NotifyTestCase):
    """A real server, with this test for a service manager."""

    def launched(self, before: str = "", *options: str) -> Server:
        """Launch a server that is to tell this test how it is."""
        home = os.path.join(self.directory, "home")
        server = Server(home, *options, before=before)
        server.variables = {
            "NOTIFY_SOCKET": self.manager.path,
            "WATCHDOG_USEC": "200000",
        }
        self.addCleanup(server.stop)
        return server.launch()

    def test_life(self) -> None:
        """It is ready when clients are answered, and not before; then it stops."""
        gate, path = (os.path.join(self.directory, name) for name in ("gate", "s"))
        os.mkfifo(gate)
        server = self.launched(
            "from memq.storage.bdb.store import BDBStore\n"
            "load = BDBStore._load\n"
            "def loadLate(self):\n"
            f"    open({gate!r}).close()\n"
            "    load(self)\n"
            "BDBStore._load = loadLate\n",
            "--socket",
            path,
        )
        heard = self.manager.waitFor("STATUS=Opening")
        for _ in range(3):
            heard += self.manager.waitFor("WATCHDOG=1")
        self.assertNotIn("READY=1", heard)
        self.assertFalse(os.path.exists(path))
        with open(gate, "w"):
            pass
        heard = self.manager.waitFor("READY=1")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        server.waitForLine("Listening on ")
        status = "STATUS=Listening; at the start 0 queues with 0 messages"
        self.assertIn(status, heard)
        self.manager.waitFor("WATCHDOG=1")
        self.assertEqual(server.stop(), 0)
        self.assertIn(STOPPING, self.manager.waitFor("STOPPING=1"))
        self.assertNotIn("READY=1", self.manager.heard())

    def test_damaged(self) -> None:
        """A home that is damaged is never ready, and the status says why."""
        server = self.launched()
        self.manager.waitFor("READY=1")
        self.assertEqual(server.stop(), 0)
        self.manager.heard()
        log = os.path.join(server.home, "memq", "log.0000000001")
        os.unlink(log)
        self.assertEqual(server.launch().wait(), 78)
        heard = self.manager.heard()
        self.assertNotIn("READY=1", heard)
        [*_, status] = [line for line in heard if line.startswith("STATUS=")]
        self.assertIn(f"{log} is missing", status)

    def test_refused(self) -> None:
        """So it is with a start that is refused at once."""
        server = self.launched("", "--endpoint", "bogus:1")
        self.assertEqual(server.wait(), 1)
        [status] = self.manager.heard()
        self.assertTrue(status.startswith("STATUS=--endpoint bogus:1: must be"), status)
