"""Real servers for tests: started as a person starts them, stopped by their pid.

A server takes a free port and says in its log which; nothing here sleeps or
guesses.  Every wait has a bound, after which the log is shown.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from itertools import islice
from signal import SIGTERM, Signals
from typing import IO

import memq
from testkit.wire import Wire, sets

#: Where the package lies: the first place that a server looks for it.
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(memq.__file__)))
#: Runs twistd with the Python that runs the tests.  The machine's own memq.toml is not
#: read; one that a test names with --config is.
RUN_TWISTD = (
    "import sys; from memq.config import file; file.DEFAULT = '/none/memq.toml'; "
    "from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
)
TWISTD = (sys.executable, "-c", RUN_TWISTD)
#: Keeps homes small: each takes 90 MB else, for a disk that is full.
SMALL = (
    "from memq.storage.datadir import sizing as sizes; "
    "sizes.LOG_FILES, sizes.TABLE_AHEAD = 16 * sizes.MEGABYTE, sizes.LEAST_AHEAD"
)
#: Seconds that anything a server does may take.
PATIENCE = 60.0


def environment() -> dict[str, str]:
    """Return the environment in which a server finds this memq."""
    path = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def runToEnd(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command that has nothing to read, within PATIENCE seconds.

    :param variables: what its environment has beside :func:`environment`.
    """
    return subprocess.run(
        command,
        env=environment() | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def outputOf(*command: str, **variables: str) -> str:
    """Return what a command prints that has to end well; see :func:`runToEnd`."""
    ended = runToEnd(*command, **variables)
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout


class Server:
    """A real ``twistd -n memq`` on a home of the test's.

    :ivar port: the TCP port, once it is started.
    :ivar log: the lines that it has logged.
    :ivar under: the command that runs it, if there is one, and stays its parent.
    :ivar variables: what its environment has beside the test's.
    :ivar passed: descriptors of the test that it gets under the same numbers.
    """

    under: tuple[str, ...] = ()

    def __init__(self, home: str, *options: str, before: str = "") -> None:
        """Name the home and the further options; nothing is started yet.

        :param home: empty for a server that has none.
        :param before: Python that the process runs first, to break something.
        """
        self._before = before
        self.variables: dict[str, str] = {}
        self.passed: tuple[int, ...] = ()
        self.home = home
        self._arguments = ["--port=0", "--web-listen=", *options]
        if home:
            self._arguments += ["--home", home]
        self.port = 0
        self.log: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Server:
        """Start it, and wait until it listens."""
        self.launch()
        where = "Listening on 127.0.0.1:"
        _, _, rest = self.waitForLine(where).partition(where)
        # A line of JSON goes on.
        self.port = int(rest.partition('"')[0])
        return self

    def launch(self) -> Server:
        """Start it, and wait for nothing."""
        self.log = []
        self._ended = False
        self._process = subprocess.Popen(
            [
                *self.under,
                sys.executable,
                "-c",
                f"{SMALL}\n{self._before}\n{RUN_TWISTD}",
                "-n",
                "--pidfile=",
                "memq",
                *self._arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment() | self.variables,
            pass_fds=self.passed,
            text=True,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=[self._process.stdout])
        self._reader.start()
        return self

    def _read(self, output: IO[str]) -> None:
        for line in output:
            with self._changed:
                self.log.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def waitForLine(self, words: str, nth: int = 1) -> str:
        """Wait for a line of the log that has these words, and return it.

        :param nth: which of them, from 1.
        """

        def find() -> str | None:
            lines = (line for line in self.log if words in line)
            return next(islice(lines, nth - 1, None), None)

        with self._changed:
            self._changed.wait_for(lambda: find() or self._ended, PATIENCE)
            found = find()
        assert found is not None, f"no line with {words!r} in:\n" + "\n".join(self.log)
        return found

    def connect(self) -> socket.socket:
        """Return a new connection."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def wire(self) -> Wire:
        """Return a new connection whose answers are read."""
        return Wire(self.connect())

    def talk(self, request: bytes) -> bytes:
        """Return all that is answered to a request that ends in quit."""
        with self.connect() as client:
            client.sendall(request)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def ask(self, *lines: bytes) -> bytes:
        """Return all that is answered to some lines."""
        return self.talk(b"\r\n".join([*lines, b"quit", b""]))

    def put(self, queue: bytes, *bodies: bytes) -> None:
        """Set messages, which have to be stored."""
        told = self.ask(sets(queue, *bodies)[:-2])
        assert told == b"STORED\r\n" * len(bodies), told

    def take(self, queue: bytes) -> list[bytes]:
        """Get all messages of a queue, and return their bodies."""
        with self.wire() as wire:
            return list(wire.drain(queue))

    def figures(self, topic: bytes = b"") -> dict[bytes, bytes]:
        """Return the figures that stats tells of a topic, by their names."""
        with self.wire() as wire:
            return wire.figures(topic)

    def counts(self) -> dict[bytes, tuple[int, int]]:
        """Return what ``stats queue`` says: messages set and taken, by queue."""
        counts = {}
        for queue, figures in self.figures(b"queue").items():
            pushed, taken = figures.split(b"/")
            counts[queue] = int(pushed), int(taken)
        return counts

    def wait(self) -> int:
        """Wait for the end, and return the exit status."""
        assert self._process is not None
        assert self._reader is not None
        status = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status

    def stop(self, number: Signals = SIGTERM) -> int:
        """End it with a signal if it runs still, and return the exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            os.kill(self.pid, number)
        return self.wait()

    def residentBytes(self) -> int:
        """Return the most memory that it ever had resident."""
        return self._memory("VmHWM")

    def residentNow(self) -> int:
        """Return the memory that it has resident."""
        return self._memory("VmRSS")

    def _memory(self, name: str) -> int:
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields[name].split()[0]) * 1024
