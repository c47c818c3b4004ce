"""Real servers for a test: they run until it ends, in the background too."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from signal import SIGHUP, SIGKILL, SIGTERM
from typing import TYPE_CHECKING

from testkit.servers import PATIENCE, RUN_TWISTD, TWISTD, Server, runToEnd

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from twisted.trial.unittest import SynchronousTestCase


def started(
    test: SynchronousTestCase, *options: str, home: str = "", before: str = ""
) -> Server:
    """Return a server that listens, on a home of its own if none is named."""
    home = home or os.path.abspath(test.mktemp())
    server = Server(home, *options, before=before)
    test.addCleanup(server.stop)
    return server.start()


def ended(
    home: str, *options: str, before: str = "", twistd: tuple[str, ...] = ("-n",)
) -> subprocess.CompletedProcess[str]:
    """Run a server that does not come so far as to listen.

    :param twistd: the options of twistd itself.
    """
    return runToEnd(
        *(sys.executable, "-c", f"{before}\n{RUN_TWISTD}", *twistd, "--pidfile="),
        *("memq", "--home", home, "--port=0", "--web-listen=", *options),
    )


def scratch(test: SynchronousTestCase, mode: int = 0o700) -> str:
    """Return a directory with a short name, for sockets and for other users."""
    path = tempfile.mkdtemp()
    test.addCleanup(shutil.rmtree, path)
    os.chmod(path, mode)
    return path


def together(*works: Callable[[], object]) -> None:
    """Do things at the same time, and fail as the first of them fails."""
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result()


class Daemon:
    """A server in the background: its home, its pid file and its log.

    :ivar directory: has all three; another user gets there, as servers change to one.
    """

    def __init__(self, test: SynchronousTestCase) -> None:
        self._test = test
        self.directory = scratch(test, 0o777)
        self.home = os.path.join(self.directory, "home")
        self.pidFile = os.path.join(self.directory, "pid")
        self.logPath = os.path.join(self.directory, "log")
        self.pid = 0

    def start(self) -> Server:
        """Start it with twistd, which has to end well, and wait until it listens."""
        ended = runToEnd(
            *TWISTD,
            *("--pidfile", self.pidFile, "--logfile", self.logPath),
            *("memq", "--port=0", "--web-listen=", "--home", self.home),
        )
        assert not (ended.returncode or ended.stdout or ended.stderr), ended
        return self.listening()

    def listening(self) -> Server:
        """Wait until it listens; return what speaks to it, which cannot stop it."""
        found = self.waitFor(r"Listening on (?:127\.0\.0\.1|0\.0\.0\.0):(\d+)\n")
        with open(self.pidFile, encoding="ascii") as file:
            self.pid = int(file.read())
        self._test.addCleanup(self._kill)
        server = Server(self.home)
        server.port = int(found[1])
        return server

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, SIGKILL)

    def log(self) -> str:
        """Return what it has logged."""
        try:
            with open(self.logPath, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def waitFor(self, pattern: str) -> re.Match[str]:
        """Wait until the log has what the pattern matches."""
        end = time.monotonic() + PATIENCE
        while (found := re.search(pattern, self.log())) is None:
            assert time.monotonic() < end, f"{pattern} is not in {self.log()}"
            os.sched_yield()
        return found

    def reopenLog(self) -> None:
        """Move the log away, and have it opened again."""
        os.rename(self.logPath, f"{self.logPath}.{time.monotonic_ns()}")
        os.kill(self.pid, SIGHUP)
        self.waitFor("SIGHUP: opened the log file again")

    def stop(self) -> None:
        """Stop it; it is not this process's child."""
        descriptor = os.pidfd_open(self.pid)
        try:
            os.kill(self.pid, SIGTERM)
            ready, _, _ = select.select([descriptor], [], [], PATIENCE)
        finally:
            os.close(descriptor)
        assert ready, f"process {self.pid} goes on"
        self.waitFor("Stopped")
