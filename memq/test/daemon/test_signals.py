"""Signals: held until the server can act on them, and carried out then."""

from __future__ import annotations

import os
import signal
import sys
from signal import SIGHUP, SIGINT, SIGUSR1
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from memq.daemon.signals import REQUESTS, Signals, holdRequests
from testkit.servers import ROOT, Server, runToEnd

if TYPE_CHECKING:
    import subprocess


class HoldTests(SynchronousTestCase):
    """Signals held back in this process."""

    def setUp(self) -> None:
        """Put back what a test changes."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        self.addCleanup(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        self.addCleanup(signal.signal, SIGINT, signal.getsignal(SIGINT))

    def test_requests(self) -> None:
        """A request waits, and is still there when there is a handler for it."""
        for number in REQUESTS:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
            # As nohup, and the units, have it.
            signal.signal(number, signal.SIG_IGN)
        holdRequests()
        came: list[int] = []
        for number in REQUESTS:
            signal.raise_signal(number)
            signal.signal(number, lambda number, frame: came.append(number))
        self.assertEqual(came, [])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, REQUESTS)
        self.assertEqual(sorted(came), sorted(REQUESTS))

    def test_interrupt(self) -> None:
        """SIGINT ends the process without a traceback, unless something handles it."""
        signal.signal(SIGINT, signal.default_int_handler)
        holdRequests()
        self.assertIs(signal.getsignal(SIGINT), signal.SIG_DFL)
        for handler in (signal.SIG_IGN, print):
            signal.signal(SIGINT, handler)
            holdRequests()
            self.assertIs(signal.getsignal(SIGINT), handler)


class StartTests(SynchronousTestCase):
    """Real starts, in which signals come at once."""

    def test_requests(self) -> None:
        """SIGHUP and SIGUSR1 from the first moment on are acted on in the end."""
        for number in (SIGHUP, SIGUSR1):
            # The plugin is what holds them; before it, whoever starts memq does.
            send = f"import os; os.kill(os.getpid(), {number.value})"
            server = Server(
                os.path.abspath(self.mktemp()),
                before=(
                    "from memq.daemon import signals\n"
                    "hold = signals.holdRequests\n"
                    f"def holdAndSend(): hold(); {send}\n"
                    "signals.holdRequests = holdAndSend\n"
                ),
            )
            server.start()
            self.addCleanup(server.stop)
            server.waitForLine(f"{number.name}: this log has no file name")
            self.assertEqual(server.stop(), 0)

    def test_ignored(self) -> None:
        """The prefix of the units makes a start safe from its first moment on."""
        prefix = ("/usr/bin/env", "--ignore-signal=HUP,USR1")
        for unit in ("memq.service", "memq@.service"):
            with open(
                os.path.join(ROOT, "etc/systemd", unit), encoding="utf-8"
            ) as file:
                self.assertIn(f"\nExecStart={' '.join(prefix)} /", file.read())
        for number in (SIGHUP, SIGUSR1):
            send = f"import os; os.kill(os.getpid(), {number.value})\n"
            server = Server(os.path.abspath(self.mktemp()), before=send)
            server.under = prefix
            server.start()
            self.addCleanup(server.stop)
            self.assertIn(b"END", server.talk(b"get q\r\nquit\r\n"))
            self.assertEqual(server.stop(), 0)

    def memcacheq(self, number: int, *words: str) -> subprocess.CompletedProcess[str]:
        """Run memcacheq, to which a signal comes before Twisted is there."""
        send = (
            "from memq.daemon import signals\n"
            "from memq.memcacheq import cli as memcacheq\n"
            "hold = memcacheq.holdRequests\n"
            "def holdAndSend():\n"
            "    hold()\n"
            "    import os, sys\n"
            "    assert 'twisted' not in sys.modules\n"
            f"    os.kill(os.getpid(), {number})\n"
            "memcacheq.holdRequests = holdAndSend\n"
            "memcacheq.main()\n"
        )
        return runToEnd(sys.executable, "-c", send, *words)

    def test_memcacheq(self) -> None:
        """Memcacheq holds requests before anything that takes time to import."""
        for number in REQUESTS:
            ended = self.memcacheq(number, "--help")
            self.assertEqual((ended.returncode, ended.stderr), (0, ""))
            self.assertIn("-H <dir>", ended.stdout)

    def test_interrupted(self) -> None:
        """Ctrl-C in the first moment ends it with the signal and without a word."""
        ended = self.memcacheq(SIGINT, "--help")
        self.assertEqual(
            (ended.returncode, ended.stdout, ended.stderr), (-SIGINT, "", "")
        )


class FakeReactor:
    """A reactor that keeps what is called in its thread."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def callFromThread(self, *call: Any) -> None:
        """Keep it."""
        self.calls.append(call)


class SignalTests(SynchronousTestCase):
    """Signals carried out."""

    def setUp(self) -> None:
        """Take a signal that nobody else uses."""
        self.number = signal.SIGUSR2
        self.addCleanup(signal.signal, self.number, signal.getsignal(self.number))
        self.reactor, self.action = FakeReactor(), object()
        actions: Any = {self.number: self.action}
        self.signals = Signals(self.reactor, actions)

    def test_handled(self) -> None:
        """A signal is carried out by the reactor, which is told its name."""
        self.signals.install()
        signal.raise_signal(self.number)
        self.assertEqual(self.reactor.calls, [(self.action, "SIGUSR2")])

    def test_held(self) -> None:
        """A signal that comes before the handlers stand is handled by them."""
        self.signals.hold()
        signal.raise_signal(self.number)
        self.assertEqual(self.reactor.calls, [])
        self.signals.install()
        self.assertEqual(self.reactor.calls, [(self.action, "SIGUSR2")])
