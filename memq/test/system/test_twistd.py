"""The real thing: twistd as people start it, its ends and its exit statuses."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGUSR1

from twisted.trial.unittest import SynchronousTestCase

from testkit.servers import PATIENCE, TWISTD, Server, environment, runToEnd

#: Runs memcacheq with the Python that runs the tests.
MEMCACHEQ = (sys.executable, "-c", "from memq.memcacheq.cli import main; main()")


def waitForEnd(pid: int) -> None:
    """Wait until a process has ended that is not this one's child."""
    descriptor = os.pidfd_open(pid)
    try:
        ready, _, _ = select.select([descriptor], [], [], PATIENCE)
    finally:
        os.close(descriptor)
    assert ready, f"process {pid} goes on"


class Follower:
    """Reads a log file as it grows."""

    def __init__(self, path: str) -> None:
        """Follow the file at ``path``, which may not be there yet."""
        self._path = path

    def waitFor(self, pattern: str) -> re.Match[str]:
        """Wait until the log has what the pattern matches."""
        end = time.monotonic() + PATIENCE
        found = None
        while found is None:
            assert time.monotonic() < end, f"{pattern} is not in {self.text()}"
            found = re.search(pattern, self.text())
            os.sched_yield()
        return found

    def text(self) -> str:
        """Return what is there."""
        try:
            with open(self._path, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""


def answer(port: int, request: bytes) -> bytes:
    """Return all that a server answers to a request that ends in quit."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


class ForegroundTests(SynchronousTestCase):
    """``twistd -n memq``."""

    def setUp(self) -> None:
        """Name a home."""
        self.home = os.path.abspath(self.mktemp())

    def start(self, *options: str, before: str = "") -> Server:
        """Start a server, which is stopped at the end if it still runs."""
        server = Server(self.home, *options, before=before).start()
        self.addCleanup(server.stop)
        return server

    def test_stopsOnSigterm(self) -> None:
        """SIGTERM ends it with status 0, and what was set is kept."""
        server = self.start()
        self.assertEqual(server.talk(b"set q 5 0 1\r\nx\r\nquit\r\n"), b"STORED\r\n")
        self.assertEqual(server.stop(SIGTERM), 0)
        server.start()
        self.assertEqual(
            server.talk(b"get q\r\nquit\r\n"), b"VALUE q 5 1\r\nx\r\nEND\r\n"
        )

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

    def test_sighupReadsRules(self) -> None:
        """SIGHUP reads the rules again; a mistake is logged, and the server goes on."""
        path = os.path.abspath(self.mktemp())
        open(path, "w").close()
        server = self.start("--config", path)
        for text, line in (
            ("[queue.q]\nmax_items = 1\n", f"{path} is read again: 1 [queue] tables"),
            ("[queue.q]\n\nmax-items = 1\n", f"SIGHUP: {path} line 3: max-items = 1: "),
        ):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.kill(server.pid, SIGHUP)
            server.waitForLine(line)
        self.assertIn(b"END", server.talk(b"get q\r\nquit\r\n"))

    def test_journal(self) -> None:
        """Where systemd's journal reads the log, lines begin with their level."""
        server = self.start(
            before=(
                "import os\n"
                "output = os.fstat(1)\n"
                "stream = f'{output.st_dev}:{output.st_ino}'\n"
                "os.environ['JOURNAL_STREAM'] = stream\n"
            )
        )
        self.assertEqual(server.stop(), 0)
        self.assertEqual([line for line in server.log if line[:4] != "<6>["], [])

    def test_secondServer(self) -> None:
        """A second server in the same home is refused; the first does not notice."""
        server = self.start()
        command = (*TWISTD, "-n", "--pidfile=", "memq", "--home", self.home, "-p0")
        second = runToEnd(*command)
        self.assertEqual(second.returncode, 1)
        self.assertEqual(
            second.stderr,
            f"memq: --home {self.home}: held by another server (pid {server.pid})\n",
        )
        self.assertIn(b"END", server.talk(b"get q\r\nquit\r\n"))

        def took(*words: str) -> float:
            before = time.monotonic()
            self.assertEqual(runToEnd(*command, *words).returncode, 1)
            return time.monotonic() - before

        # A machine that is busy may need more than one try to be as quick as it is.
        quick = (took() < took("--bogus") + 1 for _ in range(5))
        self.assertTrue(any(quick), "the refusal takes more than a second")

    def test_killedServer(self) -> None:
        """The lock of a server that was killed is no obstacle."""
        server = self.start()
        server.talk(b"set q 0 0 1\r\nx\r\nquit\r\n")
        self.assertEqual(server.stop(SIGKILL), -SIGKILL)
        server.start()
        self.assertIn(b"STAT q 1/0", server.talk(b"stats queue\r\nquit\r\n"))

    def test_staleLock(self) -> None:
        """Nor is a lock that says anything else, the id of a living process too."""
        server = self.start()
        server.talk(b"set q 0 0 1\r\nx\r\nquit\r\n")
        lock = os.path.join(self.home, "memq", "lock")
        for text in (f"{os.getpid()}\n", "garbage\0\n\n", "9" * 100_000):
            self.assertEqual(server.stop(SIGKILL), -SIGKILL)
            with open(lock, "w", encoding="ascii") as file:
                file.write(text)
            server.start()
            with open(lock, encoding="ascii") as file:
                self.assertEqual(file.read(), f"{server.pid}\n")
        self.assertIn(b"STAT q 1/0", server.talk(b"stats queue\r\nquit\r\n"))

    def test_sameDirectory(self) -> None:
        """Servers share a directory and its pid file, which goes with the last one."""
        directory = os.path.abspath(self.mktemp())
        os.mkdir(directory)
        path = os.path.join(directory, "twistd.pid")
        with open(path, "w", encoding="ascii") as file:
            # A process that lives, as in a container where each server is process 1.
            file.write(f"{os.getpid()}\n")
        here = f"import os; os.chdir({directory!r})\n"
        # What a test's server says on the matter is that it wants none.
        default = here + "import sys; sys.argv.remove('--pidfile=')\n"
        first = self.start(before=default)
        second = Server(self.home + ".2", before=default).start()
        self.addCleanup(second.stop)

        def written() -> str:
            with open(path, encoding="ascii") as file:
                return file.read()

        self.assertEqual(written(), f"{second.pid}\n")
        self.assertEqual(first.stop(), 0)
        self.assertEqual(written(), f"{second.pid}\n")
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
            self.assertIn(b"END", server.talk(b"get q\r\nquit\r\n"))
            self.assertEqual(server.stop(), 0)
            self.assertNotIn("Traceback", "\n".join(server.log))

    def test_names(self) -> None:
        """Names are in the log as they are written, and bodies are not."""
        server = self.start("-vv")
        name = "队列\x9b[2J".encode()
        server.talk(b"set %b 0 0 6\r\nsecret\r\nget %b \xff\r\nquit\r\n" % (name, name))
        server.waitForLine(r" set 队列\x9b[2J flags=0 size=6")
        server.waitForLine(r" get 队列\x9b[2J \xff")
        self.assertEqual(server.stop(), 0)
        self.assertNotIn("secret", "\n".join(server.log))

    def test_settings(self) -> None:
        """Options reach the server, and ``stats settings`` shows them."""
        server = self.start("-N", "--max-body", "100", "--page-size", "8192")
        settings = server.talk(b"stats settings\r\nquit\r\n")
        for line in (b"no-sync yes", b"max-body 100", b"page-size 8192"):
            self.assertIn(b"STAT %b\r\n" % line, settings)
        self.assertNotIn(b"min-free none", settings)
        server.waitForLine("--page-size 8192: a power cut can tear pages")

    def test_queueStats(self) -> None:
        """What stats tells of each queue can be left out."""
        request = b"set q 0 0 1\r\nx\r\nstats\r\nstats settings\r\nquit\r\n"
        told = self.start("--no-queue-stats").talk(request)
        self.assertIn(b"STAT curr_items 1\r\n", told)
        self.assertIn(b"STAT maxconns 1024\r\n", told)
        self.assertNotIn(b"queue_q", told)

    def test_memory(self) -> None:
        """With --store=memory there is no home at all."""
        server = self.start("--store=memory", "--min-free", "5", "--max-body", "2")
        self.assertIn(b"STORED", server.talk(b"set q 0 0 1\r\nx\r\nquit\r\n"))
        self.assertFalse(os.path.exists(self.home))

    def test_otherListeners(self) -> None:
        """A UNIX socket and an endpoint can stand beside the port."""
        path = os.path.join(os.getcwd(), "s")
        server = self.start("--socket", path, "--endpoint", "tcp:0:interface=\\:\\:1")
        server.waitForLine("Listening on [::1]:")
        server.waitForLine(f"Listening on {path}")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b"set q 0 0 1\r\nx\r\n")
            self.assertEqual(client.recv(100), b"STORED\r\n")
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(path))

    def test_endpointInUse(self) -> None:
        """An endpoint that is taken ends the start with one line and status 1."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            ended = runToEnd(
                *TWISTD,
                *("-n", "--pidfile=", "memq", "--home", self.home),
                *("--endpoint", f"tcp:{port}:interface=127.0.0.1"),
            )
        self.assertEqual(ended.returncode, 1)
        self.assertIn(f"--endpoint tcp:{port}", ended.stdout)
        self.assertNotIn("Traceback", ended.stdout + ended.stderr)

    def test_config(self) -> None:
        """What stands in its configuration file holds, and it tells which that is."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write("[server]\nmax-connections = 7\nno-sync = true\nport = 1\n")
        server = self.start("--config", path)
        told = server.talk(b"stats settings\r\nquit\r\n").decode().splitlines()
        for line in (f"config {path}", "max-connections 7", "no-sync yes", "port 0"):
            self.assertIn(f"STAT {line}", told)

    def test_damagedHome(self) -> None:
        """A home that is damaged ends the start with one line and status 78."""
        server = self.start()
        server.talk(b"set q 0 0 1\r\nx\r\nquit\r\n")
        self.assertEqual(server.stop(), 0)
        log = os.path.join(self.home, "memq", "log.0000000001")
        os.unlink(log)
        ended = runToEnd(
            *TWISTD, "-n", "--pidfile=", "memq", "--home", self.home, "-p0"
        )
        self.assertEqual(ended.returncode, 78)
        self.assertIn(f"{log} is missing", ended.stdout)
        self.assertNotIn("Traceback", ended.stdout + ended.stderr)

    def test_storeFails(self) -> None:
        """When a sync fails, nothing is acknowledged, and it ends with status 1."""
        server = Server(
            self.home,
            before=(
                "from memq.storage.bdb.store import BDBStore\n"
                "from memq.storage.engine.binding import db\n"
                "class Broken:\n"
                "    def __init__(self, real): self._real = real\n"
                "    def __getattr__(self, name): return getattr(self._real, name)\n"
                "    def log_flush(self): raise db.DBError(5, 'Input/output error')\n"
                "load = BDBStore._load\n"
                "def loadAndBreak(self):\n"
                "    load(self)\n"
                "    self.checkpoint()\n"
                "    self.environment._handle = Broken(self.environment._handle)\n"
                "    self.checkpoint = lambda: None\n"
                "BDBStore._load = loadAndBreak\n"
            ),
        ).start()
        told = b"SERVER_ERROR the log cannot be synced: Input/output error\r\n"
        with server.connect() as other:
            self.assertEqual(server.talk(b"set q 0 0 1\r\nx\r\n"), told)
            # Whoever has nothing to be told is let go.
            self.assertEqual(other.recv(100), b"")
        self.assertEqual(server.wait(), 1)
        critical = [line for line in server.log if "#critical" in line]
        self.assertEqual(len(critical), 1, server.log)
        self.assertIn("the log cannot be synced: Input/output error", critical[0])
        self.assertNotIn("Traceback", "\n".join(server.log))


class RefusalTests(SynchronousTestCase):
    """Mistakes on the command line, in the foreground and as a daemon."""

    def assertRefused(self, *words: str, says: str) -> None:
        """Assert that it is refused in one line, with status 1."""
        home = os.path.abspath(self.mktemp())
        for daemon in ([], ["-n"]):
            ended = runToEnd(*TWISTD, *daemon, "--pidfile=", "memq", "-H", home, *words)
            self.assertEqual(ended.returncode, 1, words)
            self.assertEqual(ended.stdout, "")
            self.assertEqual(ended.stderr.count("\n"), 1, ended.stderr)
            self.assertIn(says, ended.stderr)

    def test_config(self) -> None:
        """A configuration file that is not there."""
        says = "memq: /none.toml: No such file or directory"
        self.assertRefused("--config", "/none.toml", says=says)

    def test_pageSize(self) -> None:
        """A bad page size."""
        self.assertRefused("--page-size", "1000", says="--page-size (-A) 1000: must")

    def test_maxBody(self) -> None:
        """A bad size of bodies."""
        self.assertRefused("--max-body", "1T", says="--max-body (-B) 1T: must be bytes")

    def test_home(self) -> None:
        """A home that cannot be made."""
        self.assertRefused("--home", "/proc/none", says="--home /proc/none")

    def test_port(self) -> None:
        """A port in use."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            self.assertRefused("--port", port, says=f"--port {port}: in use")

    def test_unknown(self) -> None:
        """An unknown option."""
        self.assertRefused("--bogus", says="--bogus")


class DaemonTests(SynchronousTestCase):
    """twistd and memcacheq in the background."""

    def setUp(self) -> None:
        """Name home, log and pid file."""
        # Another user, as the servers change to, must get there.
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        os.chmod(self.directory, 0o777)
        self.home = os.path.join(self.directory, "home")
        self.pidFile = os.path.join(self.directory, "pid")
        self.logPath = os.path.join(self.directory, "log")
        self.log = Follower(self.logPath)

    def started(self) -> tuple[int, int]:
        """Wait until the daemon listens; return its pid and its port."""
        found = self.log.waitFor(r"Listening on (127\.0\.0\.1|0\.0\.0\.0):(\d+)\n")
        with open(self.pidFile, encoding="ascii") as file:
            pid = int(file.read())
        self.addCleanup(self.end, pid)
        return pid, int(found[2])

    def end(self, pid: int) -> None:
        """Kill a daemon that the test has not ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, SIGKILL)

    def test_twistd(self) -> None:
        """``twistd memq`` goes into the background, and reopens its log on SIGHUP."""
        ended = runToEnd(
            *TWISTD,
            *("--pidfile", self.pidFile, "--logfile", self.logPath),
            *("memq", "--port", "0", "--home", self.home),
        )
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "", ""))
        pid, port = self.started()
        self.assertEqual(answer(port, b"set q 0 0 1\r\nx\r\nquit\r\n"), b"STORED\r\n")

        os.rename(self.logPath, self.logPath + ".1")
        os.kill(pid, SIGHUP)
        self.log.waitFor("SIGHUP: opened the log file again")
        os.kill(pid, SIGTERM)
        waitForEnd(pid)
        self.log.waitFor("Stopped")
        self.assertFalse(os.path.exists(self.pidFile))

    def test_memcacheq(self) -> None:
        """MemcacheQ's line of old starts a daemon that logs where it was told to."""
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        with open(self.logPath, "w", encoding="utf-8") as log:
            line = f"-d -r -H {self.home} -N -R -v -L 1024 -B 1024"
            status = subprocess.run(
                [*MEMCACHEQ, *line.split(), "-p", "0", "-P", self.pidFile, *user],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE,
                check=False,
            ).returncode
        self.assertEqual(status, 0)
        pid, port = self.started()
        request = b"set q 0 0 1025\r\n%b\r\nset q 0 0 1024\r\n%b\r\n" % (
            b"x" * 1025,
            b"y" * 1024,
        )
        self.assertEqual(
            answer(port, request + b"quit\r\n"),
            b"SERVER_ERROR object too large for cache\r\nSTORED\r\n",
        )
        # With -v it is in the log, although the daemon has closed its terminal.
        self.log.waitFor("is told: SERVER_ERROR object too large for cache")
        os.kill(pid, SIGTERM)
        waitForEnd(pid)
        self.log.waitFor("Stopped")

    def test_pidFileOfRoot(self) -> None:
        """A pid file that the daemon's user may not remove is emptied in the end."""
        private = os.path.join(self.directory, "private")
        os.mkdir(private, 0o755)
        self.pidFile = os.path.join(private, "pid")
        with open(self.pidFile, "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        line = f"-d -v -N -H {self.home} -p 0"
        with open(self.logPath, "w", encoding="utf-8") as log:
            status = subprocess.run(
                [*MEMCACHEQ, *line.split(), "-P", self.pidFile, *user],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE,
                check=False,
            ).returncode
        self.assertEqual(status, 0)
        pid, _ = self.started()
        os.chmod(private, 0o555)
        self.addCleanup(os.chmod, private, 0o755)
        os.kill(pid, SIGTERM)
        waitForEnd(pid)
        self.log.waitFor("Stopped")
        with open(self.pidFile, encoding="ascii") as file:
            self.assertEqual(file.read(), "")
        self.assertNotIn("pidfile", self.log.text())

    def test_usage(self) -> None:
        """Each command says its usage once, and on one line."""
        run_ = "from memq.cli import {0}; {0}()"
        for command in (
            (*TWISTD, "memq"),
            MEMCACHEQ,
            (sys.executable, "-c", run_.format("run")),
            (sys.executable, "-c", run_.format("runAdopt")),
        ):
            ended = runToEnd(*command, "--help")
            self.assertEqual((ended.returncode, ended.stderr), (0, ""))
            first = ended.stdout.lstrip().splitlines()[0]
            self.assertLessEqual(ended.stdout.lower().count("usage: "), 1, ended.stdout)
            self.assertLessEqual(first.count("[options]"), 2, first)
            self.assertLessEqual(first.count("memq"), 1, first)

    def test_memcacheqHelp(self) -> None:
        """``memcacheq -h`` begins as MemcacheQ's did."""
        ended = runToEnd(*MEMCACHEQ, "-h")
        self.assertEqual(ended.returncode, 0)
        self.assertTrue(ended.stdout.startswith("memcacheq 0.2.1\n"))
