"""The servers that are measured, and how each starts and ends.

A server has a port of its own on loopback and a home that goes with it.  It is
stopped by its own process, within a bounded time, and dies with the runner.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds until a server has to answer, and until it has to have ended.
START, STOP = 60.0, 30.0

#: Most connections that any workload opens, with some to spare.
CONNECTIONS = 12000

_PR_SET_PDEATHSIG = 1


class Kind(NamedTuple):
    """A server and the options that it is measured with.

    :ivar name: as it stands in tables, the same for both settings.
    :ivar setting: how it treats the disk, as it stands in tables.
    :ivar durable: whether a reply waits for the disk.
    :ivar protocol: what the load generator calls its protocol.
    :ivar command: the command line, from a port and a home.
    :ivar largest: the largest body that it takes, in bytes.
    :ivar many: whether it is measured with more than one queue.
    """

    name: str
    setting: str
    durable: bool
    protocol: str
    command: Callable[[int, str], list[str]]
    largest: int = 64 << 20
    many: bool = True

    @property
    def title(self) -> str:
        """Return the name with the setting."""
        return f"{self.name} {self.setting}".strip()

    @property
    def disk(self) -> str:
        """Return in words how it treats the disk."""
        return "durable" if self.durable else "not synced"


class Server:
    """One running server of a kind."""

    def __init__(self, kind: Kind, root: Path, words: tuple[str, ...] = ()) -> None:
        """Make a home for it below a directory; words end its command line."""
        self.kind = kind
        self.home = tempfile.mkdtemp(prefix=f"{kind.name}-", dir=root)
        self.port = 0
        self._words = words
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process id of the server, which has to run."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> float:
        """Start it; return the seconds until it answered.

        :raise RuntimeError: it ended, or did not answer in time.
        """
        self.port = freePort()
        began = time.monotonic()
        with open(os.path.join(self.home, "output"), "ab") as output:
            self._process = subprocess.Popen(
                [*self.kind.command(self.port, self.home), *self._words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_dieWithParent,
            )
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() - began > START:
                raise RuntimeError(f"{self.kind.title} did not start: {self._said()}")
            time.sleep(0.02)
        return time.monotonic() - began

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process if it runs; the home stays."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP)

    def close(self) -> None:
        """End the process, and remove the home."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def resident(self) -> int:
        """Return its resident memory in bytes."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            found = re.search(r"^VmRSS:\s+(\d+) kB", file.read(), re.MULTILINE)
        return int(found[1]) * 1024 if found else 0

    def connect(self, timeout: float = 60.0) -> socket.socket:
        """Open a connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def ask(self, command: bytes, end: bytes = b"\n") -> bytes:
        """Send a command on a connection of its own; return the reply to its end."""
        said = b""
        with self.connect() as wire:
            wire.sendall(command)
            while not said.endswith(end) and (some := wire.recv(1 << 16)):
                said += some
        return said

    def stats(self) -> dict[str, str]:
        """Return what a memcache server tells of itself, by name."""
        lines = self.ask(b"stats\r\n", b"END\r\n").decode().splitlines()
        return dict(line.split(" ", 2)[1:] for line in lines[:-1])

    def _answers(self) -> bool:
        ask = {"memcache": b"version\r\n", "redis": b"PING\r\n"}
        try:
            with self.connect(5) as wire:
                wire.sendall(ask.get(self.kind.protocol, b"stats\r\n"))
                return wire.recv(1) in (b"V", b"+", b"O")
        except OSError:
            return False

    def _said(self) -> str:
        with open(os.path.join(self.home, "output"), errors="replace") as file:
            return file.read()[-500:]


class Fleet:
    """All servers that run, each started when it is first asked for."""

    def __init__(self, root: Path) -> None:
        """Let their homes be below a directory."""
        self._root = root
        self._servers: dict[tuple[str, str], Server] = {}

    def server(self, kind: Kind, instance: str = "") -> Server:
        """Return the server of a kind; instances of one kind share nothing."""
        key = kind.title, instance
        if key not in self._servers:
            self._servers[key] = Server(kind, self._root)
            self._servers[key].start()
        return self._servers[key]

    def close(self) -> None:
        """End all of them."""
        while self._servers:
            self._servers.popitem()[1].close()

    def __enter__(self) -> Fleet:
        """Return the fleet, which is closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all of them."""
        self.close()


def memqCommand(port: int, home: str, *words: str) -> list[str]:
    """Return the command line of this project's memq, by the Python that runs."""
    twistd = os.path.join(os.path.dirname(sys.executable), "twistd")
    command = [twistd, "-n", "--pidfile=", *words, "memq", "--port", str(port)]
    command += ["--no-config", "--home", home]
    command += ["--max-connections", str(CONNECTIONS)]
    return [*command, "--max-body", "64M"]


def memq() -> list[Kind]:
    """Return both settings of memq."""

    def command(*words: str) -> Callable[[int, str], list[str]]:
        return lambda port, home: [*memqCommand(port, home), *words]

    return [
        Kind("memq", "", True, "memcache", command()),
        Kind("memq", "--no-sync", False, "memcache", command("--no-sync")),
    ]


def redis() -> list[Kind]:
    """Return both settings of redis-server, if it is installed."""
    path = shutil.which("redis-server")
    if not path:
        return []

    def command(sync: str) -> Callable[[int, str], list[str]]:
        words = f"--appendonly yes --appendfsync {sync} --save '' --bind 127.0.0.1"
        words += f" --auto-aof-rewrite-percentage 0 --maxclients {CONNECTIONS}"
        shared = [word.strip("'") for word in words.split()]
        return lambda port, home: [path, "--port", str(port), "--dir", home, *shared]

    return [
        Kind("redis", "AOF always", True, "redis", command("always")),
        Kind("redis", "AOF everysec", False, "redis", command("everysec")),
    ]


def beanstalkd() -> list[Kind]:
    """Return both settings of beanstalkd, if it is installed."""
    path = shutil.which("beanstalkd")
    if not path:
        return []

    def kind(letter: str, durable: bool) -> Kind:
        def command(port: int, home: str) -> list[str]:
            words = [path, "-l", "127.0.0.1", "-p", str(port), "-b", home]
            return [*words, "-z", str(64 << 20), letter]

        return Kind("beanstalkd", letter, durable, "beanstalk", command, many=False)

    return [kind("-f0", True), kind("-F", False)]


def memcacheq() -> list[Kind]:
    """Return both settings of MemcacheQ, if the C original is here."""
    path = _original()
    if not path:
        return []

    def kind(words: list[str], durable: bool) -> Kind:
        def command(port: int, home: str) -> list[str]:
            shared = [path, "-l", "127.0.0.1", "-p", str(port), "-H", home]
            shared += ["-c", str(CONNECTIONS), "-B", "1024", "-L", "1024", "-R"]
            user = ["-u", "root"] if os.geteuid() == 0 else []
            return [*shared, *user, *words]

        setting = " ".join(words)
        return Kind("MemcacheQ", setting, durable, "memcache", command, largest=900)

    return [kind([], True), kind(["-N"], False)]


def kinds() -> list[Kind]:
    """Return all that can be measured here, memq first."""
    return [*memq(), *redis(), *beanstalkd(), *memcacheq()]


def versions() -> list[str]:
    """Return a line for each server that can be measured here."""
    from memq import __version__
    from memq.storage.engine.binding import db

    below = [f"Python {sys.version.split()[0]}", f"Twisted {version('Twisted')}"]
    below.append(f"Berkeley DB {'.'.join(map(str, db.version()))}")
    found = [f"memq {__version__}{_commit()} on {', '.join(below)}"]
    if shutil.which("redis-server"):
        said = _output("redis-server", "--version")
        release = re.search(r"v=(\S+)", said)
        found.append(f"redis {release[1] if release else said.strip()}")
    if shutil.which("beanstalkd"):
        found.append(_output("beanstalkd", "-v").strip())
    if path := _original():
        found.append("MemcacheQ, " + _output(path, "-h").splitlines()[0])
    return found


def freePort() -> int:
    """Return a port of loopback that nobody has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _commit() -> str:
    """Return which commit of memq this is, in brackets; nothing outside of git."""
    git = ("git", "-C", str(Path(__file__).parent.parent))
    commit = _output(*git, "rev-parse", "--short", "HEAD").strip()
    if not re.fullmatch("[0-9a-f]+", commit):
        return ""
    changed = _output(*git, "status", "--porcelain", "memq").strip()
    return f" ({commit}{', changed' if changed else ''})"


def _original() -> str | None:
    """Return the path of MemcacheQ in C: ``MEMCACHEQ_BIN``, or else found in PATH.

    memq brings a command of the same name, whose help says so below its first line.

    :raise SystemExit: MEMCACHEQ_BIN names no program.
    """
    if path := os.environ.get("MEMCACHEQ_BIN"):
        if not os.access(path, os.X_OK):
            raise SystemExit(f"bench: MEMCACHEQ_BIN: {path} cannot be run")
        return path
    for directory in os.get_exec_path():
        path = os.path.join(directory, "memcacheq")
        if not os.access(path, os.X_OK):
            continue
        first, _, rest = _output(path, "-h").partition("\n")
        if first.startswith("memcacheq") and "memq" not in rest:
            return path
    return None


def _output(*command: str) -> str:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command, capture_output=True, timeout=20, stdin=subprocess.DEVNULL
        )
        return (done.stdout + done.stderr).decode(errors="replace")
    return ""


def _dieWithParent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
