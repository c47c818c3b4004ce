"""The command ``memq`` as a process: beside pipes, or on a terminal of some size."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
from signal import SIGINT
from socket import socketpair
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.client.connection import Connection
from testkit.servers import PATIENCE, environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

    from twisted.trial.unittest import SynchronousTestCase

    from testkit.servers import Server

#: Seconds after which a signal is sent again.
AGAIN = 15.0
#: Runs the command with the Python that runs the tests.
MEMQ = (sys.executable, "-c", "import sys; from memq.cli import run; sys.exit(run())")


class Ended(NamedTuple):
    """The end of a command: its exit status, and all that it has said."""

    status: int
    out: bytes
    err: str


def variables(server: Server, **more: str) -> dict[str, str]:
    """Return the environment of a command that finds this server."""
    where = {"MEMQ_SERVER": f"127.0.0.1:{server.port}"}
    return environment() | where | more


def launched(server: Server, *words: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a command, with pipes where nothing else is said."""
    pipes: dict[str, Any] = dict.fromkeys(
        ("stdin", "stdout", "stderr"), subprocess.PIPE
    )
    return subprocess.Popen(
        [*MEMQ, *words], **{**pipes, "env": variables(server), **options}
    )


def ended(process: subprocess.Popen[bytes], stdin: bytes | None = None) -> Ended:
    """Wait for the end of a command."""
    out, err = process.communicate(stdin, PATIENCE)
    return Ended(process.returncode, out or b"", (err or b"").decode())


def signalled(process: subprocess.Popen[bytes], number: int) -> int:
    """Send a signal to a command; return the status with which it ends.

    Python misses a signal that comes just before it waits for something, until that is
    there.  So it is sent again, as by somebody who presses Ctrl-C again.
    """
    again = threading.Timer(AGAIN, process.send_signal, (number,))
    again.start()
    process.send_signal(number)
    try:
        return process.wait(PATIENCE)
    finally:
        again.cancel()


def command(server: Server, *words: str, stdin: bytes = b"", **options: Any) -> Ended:
    """Run a command to its end."""
    return ended(launched(server, *words, **options), stdin)


class Terminal:
    """A command on a terminal."""

    def __init__(
        self,
        server: Server,
        *words: str,
        columns: int = 80,
        lines: int = 24,
        **more: str,
    ) -> None:
        """Start it."""
        self.shown = ""
        self._master, slave = pty.openpty()
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        self._process = subprocess.Popen(
            [*MEMQ, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=variables(server, TERM="xterm-256color", COLUMNS="", LINES="") | more,
            start_new_session=True,
        )
        os.close(slave)

    def _read(self) -> bool:
        """Read what is shown next; return whether there was something."""
        assert select.select([self._master], [], [], PATIENCE)[0], self.shown
        try:
            data = os.read(self._master, 65536)
        except OSError:
            # The last one that had it open is gone.
            return False
        self.shown += data.decode("utf-8", "replace")
        return True

    def waitFor(self, pattern: str) -> re.Match[str]:
        """Wait until a pattern matches what is shown; begin anew then."""
        end = monotonic() + PATIENCE
        while (found := re.search(pattern, self.text)) is None:
            assert monotonic() < end and self._read(), self.text
        self.shown = ""
        return found

    @property
    def text(self) -> str:
        """What is shown, without the escapes that drive a terminal."""
        return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", self.shown)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def interrupt(self) -> None:
        """Do what Ctrl-C does where a terminal is the one that controls a process."""
        self._process.send_signal(SIGINT)

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit status and what was shown."""
        while self._read():
            pass
        os.close(self._master)
        return self._process.wait(PATIENCE), self.shown


class Script:
    """A server that answers as it is told, on a socket of its own.

    :ivar sent: the bytes that came.
    """

    def __init__(self, test: SynchronousTestCase, *answers: bytes) -> None:
        """Answer each line with the next of the answers; close when there is none."""
        ours, self.theirs = socketpair()
        self.sent = b""
        self._thread = threading.Thread(target=self._serve, args=(ours, answers))
        self._thread.start()
        test.addCleanup(self._thread.join, PATIENCE)

    def _serve(self, ours: socket, answers: tuple[bytes, ...]) -> None:
        with ours, ours.makefile("rb") as lines:
            for answer in answers:
                self.sent += lines.readline()
                ours.sendall(answer)

    def connection(self) -> Connection:
        """Return what speaks to it."""
        return Connection(self.theirs)


def ticking(*times: float) -> Callable[[], float]:
    """Return a clock that tells these times, one after the other."""
    return iter(times).__next__
