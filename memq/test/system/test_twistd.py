"""The real thing: twistd as people start it, its ends and its exit statuses."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from signal import SIGHUP, SIGINT, SIGKILL, SIGUSR1
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from memq.test.support.servers import Daemon, ended, started
from testkit.servers import PATIENCE, TWISTD, environment, runToEnd
from testkit.wire import sets

if TYPE_CHECKING:
    from testkit.servers import Server

#: Runs memcacheq with the Python that runs the tests.
MEMCACHEQ = (sys.executable, "-c", "from memq.memcacheq.cli import main; main()")
#: Has a server believe that systemd's journal reads what it prints.
JOURNAL = """
import os
output = os.fstat(1)
os.environ['JOURNAL_STREAM'] = f'{output.st_dev}:{output.st_ino}'
"""


def write(path: str, text: str) -> str:
    """Write a file, and return its path."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def read(path: str) -> str:
    """Return what is in a file."""
    with open(path, encoding="utf-8") as file:
        return file.read()


class ForegroundTests(SynchronousTestCase):
    """``twistd -n memq``."""

    def setUp(self) -> None:
        """Name a home."""
        self.home = os.path.abspath(self.mktemp())

    def start(self, *options: str, before: str = "") -> Server:
        """Start a server, which is stopped at the end if it still runs."""
        return started(self, *options, home=self.home, before=before)

    def assertServes(self, server: Server) -> None:
        """It answers."""
        self.assertEqual(server.take(b"none"), [])

    def test_stopsOnSigint(self) -> None:
        """SIGINT does the same, and twice is no harm."""
        server = self.start()
        os.kill(server.pid, SIGINT)
        self.assertEqual(server.stop(SIGINT), 0)
        self.assertTrue(any("Stopped" in line for line in server.log))

    def test_sighupInTheForeground(self) -> None:
        """SIGHUP and SIGUSR1 are no harm where the log is no file."""
        server = self.start()
        for number in (SIGHUP, SIGUSR1):
            os.kill(server.pid, number)
            server.waitForLine(f"{number.name}: this log has no file name")
        self.assertEqual(server.stop(), 0)

    def test_journal(self) -> None:
        """Where systemd's journal reads the log, lines begin with their level."""
        server = self.start(before=JOURNAL)
        self.assertEqual(server.stop(), 0)
        self.assertEqual([line for line in server.log if line[:4] != "<6>["], [])

    def test_secondServer(self) -> None:
        """A second server in the same home is refused; the first does not notice."""
        server = self.start()
        second = ended(self.home)
        self.assertEqual(second.returncode, 1)
        self.assertEqual(
            second.stderr,
            f"memq: --home {self.home}: held by another server (pid {server.pid})\n",
        )
        self.assertServes(server)

        def took(*words: str) -> float:
            before = time.monotonic()
            self.assertEqual(ended(self.home, *words).returncode, 1)
            return time.monotonic() - before

        # A machine that is busy may need more than one try to be as quick as it is.
        quick = (took() < took("--bogus") + 1 for _ in range(5))
        self.assertTrue(any(quick), "the refusal takes more than a second")

    def test_staleLock(self) -> None:
        """Nor is a lock that says anything else, the id of a living process too."""
        server = self.start()
        server.put(b"q", b"x")
        lock = os.path.join(self.home, "memq", "lock")
        for text in (f"{os.getpid()}\n", "garbage\0\n\n", "9" * 100_000):
            self.assertEqual(server.stop(SIGKILL), -SIGKILL)
            write(lock, text)
            server.start()
            self.assertEqual(read(lock), f"{server.pid}\n")
        self.assertEqual(server.counts(), {b"q": (1, 0)})

    def test_sameDirectory(self) -> None:
        """Servers share a directory and its pid file, which goes with the last one."""
        directory = os.path.abspath(self.mktemp())
        os.mkdir(directory)
        # A process that lives, as in a container where each server is process 1.
        path = write(os.path.join(directory, "twistd.pid"), f"{os.getpid()}\n")
        here = f"import os; os.chdir({directory!r})\n"
        # The option of a test's server for the matter says that it wants none.
        default = here + "import sys; sys.argv.remove('--pidfile=')\n"
        first = self.start(before=default)
        second = started(self, home=self.home + ".2", before=default)
        self.assertEqual(read(path), f"{second.pid}\n")
        self.assertEqual(first.stop(), 0)
        self.assertEqual(read(path), f"{second.pid}\n")
        self.assertEqual(second.stop(), 0)
        self.assertEqual(os.listdir(directory), [])

    def test_noPidFile(self) -> None:
        """Where a pid file cannot be written it is one line, and the server starts."""
        for path, why in (
            ("/proc/none/pid", "No such file or directory"),
            (os.getcwd(), "there is something that is no file"),
        ):
            named = f"import sys; sys.argv[sys.argv.index('--pidfile=')] += {path!r}\n"
            server = self.start(before=named)
            server.waitForLine(f"--pidfile {path}: {why}; the server goes without")
            self.assertServes(server)
            self.assertEqual(server.stop(), 0)
            self.assertNotIn("Traceback", "\n".join(server.log))

    def test_names(self) -> None:
        """Names are in the log as they are written, and bodies are not."""
        server = self.start("-vv")
        name = "队列\x9b[2J".encode()
        server.ask(sets(name, b"secret") + b"get %b \xff" % name)
        server.waitForLine(r" set 队列\x9b[2J flags=0 size=6")
        server.waitForLine(r" get 队列\x9b[2J \xff")
        self.assertEqual(server.stop(), 0)
        self.assertNotIn("secret", "\n".join(server.log))

    def test_settings(self) -> None:
        """Options reach the server, and ``stats settings`` shows them."""
        server = self.start("-N", "--max-body", "100", "--page-size", "8192")
        settings = server.figures(b"settings")
        names = (b"no-sync", b"max-body", b"page-size")
        self.assertEqual([settings[n] for n in names], [b"yes", b"100", b"8192"])
        self.assertNotEqual(settings[b"min-free"], b"none")
        server.waitForLine("--page-size 8192: a power cut can tear pages")

    def test_queueStats(self) -> None:
        """The figures of each queue can be left out of stats."""
        told = self.start("--no-queue-stats").ask(
            sets(b"q", b"x") + b"stats", b"stats settings"
        )
        self.assertIn(b"STAT curr_items 1\r\n", told)
        self.assertIn(b"STAT maxconns 1024\r\n", told)
        self.assertNotIn(b"queue_q", told)

    def test_memory(self) -> None:
        """With --store=memory there is no home at all."""
        server = self.start("--store=memory", "--min-free", "5", "--max-body", "2")
        server.put(b"q", b"x")
        self.assertFalse(os.path.exists(self.home))

    def test_otherListeners(self) -> None:
        """A UNIX socket and an endpoint can stand beside the port."""
        path = os.path.join(os.getcwd(), "s")
        server = self.start("--socket", path, "--endpoint", "tcp:0:interface=\\:\\:1")
        server.waitForLine("Listening on [::1]:")
        server.waitForLine(f"Listening on {path}")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(sets(b"q", b"x"))
            self.assertEqual(client.recv(100), b"STORED\r\n")
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(path))

    def test_endpointInUse(self) -> None:
        """An endpoint that is taken ends the start with one line and status 1."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            endpoint = f"tcp:{other.getsockname()[1]}"
            told = ended(self.home, "--endpoint", f"{endpoint}:interface=127.0.0.1")
        self.assertEqual(told.returncode, 1)
        self.assertIn(f"--endpoint {endpoint}", told.stdout)
        self.assertNotIn("Traceback", told.stdout + told.stderr)

    def test_config(self) -> None:
        """The settings in its configuration file hold, and it tells which that is."""
        text = "[server]\nmax-connections = 7\nno-sync = true\nport = 1\n"
        path = write(os.path.abspath(self.mktemp()), text)
        told = self.start("--config", path).figures(b"settings")
        names = (b"config", b"max-connections", b"no-sync", b"port")
        expected = [path.encode(), b"7", b"yes", b"0"]
        self.assertEqual([told[name] for name in names], expected)


class RefusalTests(SynchronousTestCase):
    """Mistakes on the command line, in the foreground and as a daemon."""

    def assertRefused(self, says: str, *words: str) -> None:
        """Assert that it is refused in one line, with status 1."""
        home = os.path.abspath(self.mktemp())
        for twistd in ((), ("-n",)):
            told = ended(home, *words, twistd=twistd)
            self.assertEqual((told.returncode, told.stdout), (1, ""), words)
            self.assertEqual(told.stderr.count("\n"), 1, told.stderr)
            self.assertIn(says, told.stderr)

    def test_mistakes(self) -> None:
        """A file that is not there, bad sizes, a bad home, an option that is none."""
        for says, *words in (
            ("memq: /none.toml: No such file or directory", "--config", "/none.toml"),
            ("--page-size (-A) 1000: must", "--page-size", "1000"),
            ("--max-body (-B) 1T: must be bytes", "--max-body", "1T"),
            ("--home /proc/none", "--home", "/proc/none"),
            ("--bogus", "--bogus"),
        ):
            self.assertRefused(says, *words)

    def test_port(self) -> None:
        """A port in use."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            self.assertRefused(f"--port {port}: in use", "--port", port)


class DaemonTests(SynchronousTestCase):
    """twistd and memcacheq in the background."""

    def setUp(self) -> None:
        """Name home, log and pid file."""
        self.daemon = Daemon(self)

    def memcacheq(self, line: str) -> Server:
        """Start a daemon by MemcacheQ's name, as another user if that can be."""
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        files = ["-H", self.daemon.home, "-P", self.daemon.pidFile]
        with open(self.daemon.logPath, "w", encoding="utf-8") as log:
            subprocess.run(
                [*MEMCACHEQ, *line.split(), "-p", "0", *files, *user],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE,
                check=True,
            )
        return self.daemon.listening()

    def test_twistd(self) -> None:
        """``twistd memq`` goes into the background, and reopens its log on SIGHUP."""
        self.daemon.start().put(b"q", b"x")
        self.daemon.reopenLog()
        self.daemon.stop()
        self.assertFalse(os.path.exists(self.daemon.pidFile))

    def test_memcacheq(self) -> None:
        """MemcacheQ's line of old starts a daemon that logs where it was told to."""
        server = self.memcacheq("-d -r -N -R -v -L 1024 -B 1024")
        self.assertEqual(
            server.talk(sets(b"q", b"x" * 1025, b"y" * 1024) + b"quit\r\n"),
            b"SERVER_ERROR object too large for cache\r\nSTORED\r\n",
        )
        # With -v it is in the log, although the daemon has closed its terminal.
        self.daemon.waitFor("is told: SERVER_ERROR object too large for cache")
        self.daemon.stop()

    def test_pidFileOfRoot(self) -> None:
        """A pid file that the daemon's user may not remove is emptied in the end."""
        private = os.path.join(self.daemon.directory, "private")
        os.mkdir(private, 0o755)
        path = write(os.path.join(private, "pid"), str(os.getpid()))
        self.daemon.pidFile = path
        self.memcacheq("-d -v -N")
        os.chmod(private, 0o555)
        self.addCleanup(os.chmod, private, 0o755)
        self.daemon.stop()
        self.assertEqual(read(path), "")
        self.assertNotIn("pidfile", self.daemon.log())

    def test_usage(self) -> None:
        """Each command says its usage once, and on one line."""
        run_ = "from memq.cli import {0}; {0}()"
        for command in (
            (*TWISTD, "memq"),
            MEMCACHEQ,
            (sys.executable, "-c", run_.format("run")),
            (sys.executable, "-c", run_.format("runAdopt")),
        ):
            run = runToEnd(*command, "--help")
            told = run.stdout
            self.assertEqual((run.returncode, run.stderr), (0, ""))
            first = told.lstrip().splitlines()[0]
            self.assertLessEqual(told.lower().count("usage: "), 1, told)
            self.assertLessEqual(first.count("[options]"), 2, first)
            self.assertLessEqual(first.count("memq"), 1, first)

    def test_memcacheqHelp(self) -> None:
        """``memcacheq -h`` begins as MemcacheQ's did."""
        told = runToEnd(*MEMCACHEQ, "-h")
        self.assertEqual(told.returncode, 0)
        self.assertTrue(told.stdout.startswith("memcacheq 0.2.1\n"))
