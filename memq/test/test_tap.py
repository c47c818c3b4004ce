"""The composition root refuses in one line, and holds nothing afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import tempfile
from functools import partial
from signal import SIGHUP, SIGINT, SIGTERM, SIGUSR1
from types import SimpleNamespace
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.internet.defer import execute
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from memq import tap
from memq.broker.broker import Broker
from memq.config import file
from memq.config.file import readConfig
from memq.config.reload import PolicyReloader
from memq.daemon import signals as held
from memq.daemon.process import ExitStatus
from memq.daemon.resources import takeResources
from memq.daemon.sdnotify import Notifier
from memq.logs.audit import Audit
from memq.logs.logfile import LogFile
from memq.logs.outputs import Outputs
from memq.policy.rules import Rule, Rules
from memq.storage.datadir.home import Home
from memq.storage.memory import MemoryStore
from memq.tap import Options, _say, _settled, _signals, makeService
from memq.web.health import Readiness


class FakeReactor:
    """A reactor that keeps a call for the test."""

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        """Keep it."""
        self.call = partial(function, *arguments)


class MakeServiceTests(SynchronousTestCase):
    """Refusals of makeService."""

    def setUp(self) -> None:
        """Name a home that is not there yet."""
        self.home = os.path.abspath(self.mktemp())

    def refused(self, *words: str, **twistd: Any) -> str:
        """Return the one line that a command line is refused with.

        The home is then free for another server.
        """
        options: Any = Options()
        options.parseOptions(["--no-config", "-H", self.home, "-p", "0", *words])
        options.parent = twistd
        line = str(self.assertRaises(SystemExit, makeService, options))
        self.assertNotIn("\n", line)
        self.assertTrue(line.startswith("memq: "), line)
        return line

    def test_plugin(self) -> None:
        """Twistd finds memq among its plugins; what it is asked first is to hold on."""
        [plugin] = [
            each for each in getPlugins(IServiceMaker) if each.tapname == "memq"
        ]
        done: list[str] = []
        self.patch(held, "holdRequests", lambda: done.append("held"))
        self.assertEqual(done, [])
        self.assertIs(plugin.options, Options)
        self.assertEqual(done, ["held"])
        self.assertIs(plugin.makeService, makeService)

    def test_outdated(self) -> None:
        """A file rotated or changed during the start is looked at when it is over."""
        path = os.path.abspath(self.mktemp())
        log = LogFile.open(path, (os.geteuid(), os.getegid()))
        self.addCleanup(log.close)
        sent: list[int] = []
        self.patch(tap, "raise_signal", sent.append)
        self.patch(tap, "sparePermanent", lambda: None)
        notifier = Notifier(Clock(), None)
        backing: Any = SimpleNamespace(there=lambda: "2 queues")
        for isChanged, isMoved, given, signals in (
            (False, False, log, []),
            (True, False, log, [SIGHUP]),
            (True, False, None, [SIGHUP]),
            (False, False, None, []),
            (False, True, log, [SIGHUP]),
        ):
            if isMoved:
                os.unlink(path)
            readiness = Readiness(Broker(MemoryStore(), Clock()))
            outputs = Outputs(given)
            _settled(backing, notifier, partial(bool, isChanged), outputs, readiness)
            self.assertTrue(readiness.isListening)
            self.assertEqual(sent, signals)
            sent.clear()

    def test_portInUse(self) -> None:
        """A port in use is named, and the home is let go."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            self.assertIn(f"--port {port}: in use", self.refused("--port", str(port)))
        home = Home(self.home)
        home.prepare()
        home.release()

    def test_cacheSize(self) -> None:
        """A cache for which the machine has no memory is no damage of the home."""
        sizes = {"SC_PHYS_PAGES": 25_600, "SC_PAGE_SIZE": 4096}
        self.patch(os, "sysconf", sizes.__getitem__)
        self.assertEqual(
            self.refused("--cache-size", "101"),
            "memq: --cache-size (-m) 101: this machine has no more than 100 megabytes "
            "of memory",
        )
        self.assertIn("--home /proc/none", self.refused("-m100", "-H", "/proc/none"))

    def test_homeHeld(self) -> None:
        """A home that another server holds is named, and the server too."""
        home = Home(self.home)
        home.prepare()
        self.addCleanup(home.release)
        self.assertIn(f"held by another server (pid {os.getpid()})", self.refused())

    def test_named(self) -> None:
        """A refused resource is named: a home, an endpoint, a socket, a log file."""
        foreground = {"nodaemon": True, "syslog": False, "logger": None}
        for words, twistd, why in (
            (["-H", "/proc/none"], {}, "--home /proc/none"),
            (["--endpoint", "tcpp:1"], {}, "--endpoint tcpp:1"),
            (["--socket=/proc/none"], {}, "--socket /proc/none: cannot listen"),
            ([], {**foreground, "logfile": "/proc/none/log"}, "--logfile /proc/none/l"),
        ):
            self.assertIn(why, self.refused(*words, **twistd))

    def test_addresses(self) -> None:
        """Beside a socket or an endpoint, only a port that is given is listened on."""
        for words, count in (
            (["--endpoint", "tcp:0"], 1),
            (["--endpoint", "tcp:0", "--port", "0", "--listen", "127.0.0.1"], 2),
        ):
            options = Options()
            options.parseOptions(["--no-config", "--store", "memory", *words])
            listeners = takeResources(options, Clock(), {}, lambda path: None).listeners
            self.assertEqual(len(listeners), count)
            for listener in listeners:
                listener.close()

    def test_homeOfMemcacheQ(self) -> None:
        """A home with what MemcacheQ's list has lost is refused, and left as it is."""
        os.mkdir(self.home)
        with open(os.path.join(self.home, "__db.001"), "w"):
            pass
        self.assertIn(f"{self.home}/queue.list is missing, but", self.refused())
        self.assertEqual(os.listdir(self.home), ["__db.001"])

    def test_say(self) -> None:
        """A takeover's words are in the log, and the service manager shows them."""
        path = os.path.join(tempfile.mkdtemp(), "notify")
        self.addCleanup(shutil.rmtree, os.path.dirname(path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            with capturedLogs() as events:
                _say(Notifier(Clock(), path), "half of it")
            self.assertEqual(manager.recv(100), b"STATUS=half of it")
        self.assertEqual([formatEvent(event) for event in events], ["half of it"])

    def test_ownerOfTheHome(self) -> None:
        """The home belongs to the user that the server will run as."""
        uid, gid = os.getuid(), os.getgid()
        self.refused("--endpoint", "tcpp:1", uid=uid, gid=gid)
        status = os.stat(os.path.join(self.home, "memq"))
        self.assertEqual((status.st_uid, status.st_gid), (uid, gid))
        self.assertEqual(stat.S_IMODE(status.st_mode), 0o700)


class SignalTests(SynchronousTestCase):
    """SIGHUP and SIGUSR1."""

    def setUp(self) -> None:
        """Have a log and rules."""
        self.path = os.path.abspath(self.mktemp())
        self.write(1)
        self.log = LogFile.open(self.mktemp(), (os.geteuid(), os.getegid()))
        self.addCleanup(self.log.close)
        self.audit = Audit(Clock().seconds)
        for number in (SIGHUP, SIGINT, SIGTERM, SIGUSR1):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        #: The rules that were let hold, one behind the other.
        self.held: list[Rules] = []
        config = readConfig(self.path)
        self.reloader = PolicyReloader(config, execute, self.held.append)

    def write(self, limit: int) -> None:
        """Write rules into the file."""
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(f"[queue.q]\nmax_items = {limit}\n")

    def send(self, number: int) -> list[tuple[str, str]]:
        """Do what is done on a signal; return level and text of what is logged."""
        reactor: Any = FakeReactor()
        parts = Outputs(self.log), self.reloader, self.audit
        _signals(reactor, ExitStatus(reactor), *parts).install()
        signal.raise_signal(number)
        with capturedLogs() as events:
            reactor.call()
        return [(each["log_level"].name, str(formatEvent(each))) for each in events]

    def test_sighup(self) -> None:
        """SIGHUP opens the log again and reads the rules again."""
        self.write(2)
        logged = self.send(SIGHUP)
        self.assertEqual(logged[0], ("info", "SIGHUP: opened the log file again"))
        self.assertIn("is read again", logged[1][1])
        [rules] = self.held
        self.assertEqual(rules.of(b"q"), Rule(maxItems=2))
        self.assertEqual(logged[2:], [("info", "SIGHUP (signal) reload: OK")])

    def test_mistake(self) -> None:
        """A mistake is one line with the file's line, and the old rules stay."""
        self.write(-1)
        _, (level, line), (_, audited) = self.send(SIGHUP)
        self.assertEqual(level, "error")
        self.assertIn(f"SIGHUP: {self.path} line 2: max_items = -1: must be a wh", line)
        self.assertTrue(line.endswith("; all stays as it was"), line)
        self.assertEqual(self.held, [])
        self.assertTrue(audited.startswith(f"SIGHUP (signal) reload: {self.path}"))

    def test_unforeseen(self) -> None:
        """An unforeseen error is logged as that, and the server goes on."""
        self.patch(file, "readConfig", None)
        self.assertEqual(self.send(SIGHUP)[-2][0], "critical")
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_sigusr1(self) -> None:
        """SIGUSR1 only opens the log again."""
        self.write(-1)
        logged = self.send(SIGUSR1)
        self.assertEqual(logged, [("info", "SIGUSR1: opened the log file again")])
