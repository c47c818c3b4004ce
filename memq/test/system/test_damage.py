"""Disks that fail and files that rot: nothing is acknowledged that is not there.

Each fault is done to a real server's files or system calls.  It is either survived, or
refused in one line, with a status that tells whether a restart may help.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import NEEDS_A_PERSON, DamagedHome, DamagedStore
from memq.storage.datadir.damage import noteDamage, refuseDamaged
from memq.storage.datadir.home import FORMAT
from memq.storage.engine import failstop
from memq.storage.engine.binding import damageIn
from memq.test.support.disks.faultydisk import FaultyDisk
from memq.test.support.disks.wrecks import (
    OVERFLOW,
    closedHome,
    contents,
    fileIn,
    flip,
    pagesOf,
)
from memq.test.support.homes import BDBTestCase, opened, push
from memq.test.support.servers import ended, scratch, started
from testkit.servers import TWISTD, runToEnd
from testkit.wire import found, sets

if TYPE_CHECKING:
    from memq.test.support.disks.wrecks import Contents
    from testkit.servers import Server


class ServerTestCase(BDBTestCase):
    """Has a server whose disk can fail."""

    def setUp(self) -> None:
        """Name a home; nothing is started."""
        self.home = os.path.abspath(self.mktemp())

    def server(self, *options: str) -> Server:
        """Start a server on a disk that can fail, which is stopped at the end."""
        directory = self.mktemp()
        os.mkdir(directory)
        self.disk = FaultyDisk(directory)
        return started(self, *options, home=self.home, before=self.disk.before)

    def refused(self, *options: str) -> str:
        """Return the line that a start is refused with, by status 78."""
        told = ended(self.home, *options)
        self.assertEqual(told.returncode, NEEDS_A_PERSON, told.stdout)
        self.assertNotIn("Traceback", told.stdout + told.stderr)
        lines = (told.stdout + told.stderr).splitlines()
        critical = [n for n in lines if "#critical" in n or n.startswith("memq: ")]
        self.assertEqual(len(critical), 1, lines)
        return critical[0]

    def found(self) -> Contents:
        """Return what is in the home, opened as it is, once the disk works again."""
        with opened(self.home) as store:
            return contents(store)

    def assertFailed(self, server: Server, status: int) -> str:
        """Assert that a server ended with a status, and one line; return that."""
        self.assertEqual(server.wait(), status, server.log)
        critical = [line for line in server.log if "#critical" in line]
        self.assertEqual(len(critical), 1, server.log)
        self.assertNotIn("Traceback", "\n".join(server.log))
        return critical[0]


class FailingDiskTests(ServerTestCase):
    """System calls that fail."""

    def sync(self, times: int) -> None:
        """Let the sync of the log fail so often, 0 for always."""
        server = self.server()
        stored = server.ask(sets(b"q", b"1", b"2") + b"get q")
        self.assertEqual(stored, b"STORED\r\n" * 2 + found(b"q", b"1"))
        with server.wire() as other:
            self.assertIsNone(other.take(b"none"))
            self.disk.fail("sync", "log.", errno.EIO, times)
            told = server.talk(sets(b"q", b"3", b"4"))
            self.assertIn(b"SERVER_ERROR the log cannot be synced", told)
            self.assertNotIn(b"STORED", told)
            self.assertRaises(ConnectionError, other.line)
        line = self.assertFailed(server, 1)
        self.assertIn("Input/output error", line)
        # A refused message may be there: the system had it when the sync failed.
        bodies = [body for _, _, body in self.found()[b"q"]]
        self.assertIn(bodies, ([b"2"], [b"2", b"3"], [b"2", b"3", b"4"]))

    def test_syncFails(self) -> None:
        """A sync that fails for good ends the server; what was stored is there."""
        self.sync(0)

    def test_syncFailsOnce(self) -> None:
        """So does one that fails once: the next one is not believed."""
        self.sync(1)

    def test_readOnly(self) -> None:
        """A file system that becomes read-only is a disk that failed."""
        server = self.server("--no-sync")
        server.put(b"q", b"1")
        self.disk.fail("write", "log.", errno.EROFS)
        told = server.talk(sets(b"q", b"2") + b"quit\r\n")
        self.assertTrue(told.startswith(b"SERVER_ERROR"), told)
        self.assertIn("Read-only file system", self.assertFailed(server, 1))
        self.assertEqual(self.found(), {b"q": [(0, 0, b"1")]})

    def test_pageNotWritten(self) -> None:
        """A page that cannot be written ends the server; what was stored is there."""
        server = self.server("--trickle", "0.1", "--trickle-percent", "100")
        stored, told = -1, b"STORED\r\n"
        while told == b"STORED\r\n":
            stored += 1
            told = b""
            # It may have ended before anybody asks.  (trial has a suppress of its own.)
            with contextlib.suppress(ConnectionError):
                told = server.talk(sets(b"q", b"%d" % stored) + b"quit\r\n")
            self.disk.fail("write", "messages", errno.EIO)
        self.assertIn("Input/output error", self.assertFailed(server, 1))
        expected = [(n, 0, b"%d" % n) for n in range(stored)]
        self.assertEqual(self.found()[b"q"][:stored], expected)

    def test_pageNotRead(self) -> None:
        """A page that cannot be read ends the server; nothing is told from it."""
        with opened(self.home) as store:
            push(store, b"q", 0, *[b"x" * 500] * 500)
        server = self.server()
        self.disk.fail("read", "messages", errno.EIO)
        told = server.talk(b"get q\r\n")
        self.assertTrue(told.startswith(b"SERVER_ERROR the store cannot"), told)
        self.assertIn("Input/output error", self.assertFailed(server, 1))
        self.assertEqual(len(self.found()[b"q"]), 500)


class RottenPageTests(ServerTestCase):
    """A page that is not what was written."""

    def test_page(self) -> None:
        """It ends the server with status 78, and so does each start without an option.

        With that, what can be read is there; the damaged files are kept.
        """
        closedHome(self.home)
        path = fileIn(self.home, "messages")
        # That is the first one of the queue called long.
        page = pagesOf(path, OVERFLOW)[0]
        flip(path, page * 4096 + 100)
        server = self.server()
        self.assertIn(b"VALUE b 1 48", server.ask(b"get b"))
        what = f"page {page} of the file messages is damaged"
        with server.wire() as client:
            told = client.ask(b"get long").decode()
        self.assertEqual(told, f"SERVER_ERROR the store cannot go on: {what}")
        self.assertIn(what, self.assertFailed(server, NEEDS_A_PERSON))
        for _ in range(2):
            line = self.refused()
            self.assertIn(f"{fileIn(self.home, 'damaged')} says: ", line)
            self.assertIn(what, line)
            self.assertIn("--skip-damaged", line)
        server = self.server("--skip-damaged")
        server.waitForLine("queue long: 1 of 12 messages are missing")
        server.waitForLine(f"are in {self.home}/memq.damaged; UNREADABLE there")
        self.assertIn(b"VALUE b 1 ", server.ask(b"get b"))
        self.assertEqual(server.stop(), 0)
        server = self.server("--skip-damaged")
        server.waitForLine("--skip-damaged: no page of a table is damaged")
        self.assertEqual(server.figures(b"settings")[b"skip-damaged"], b"yes")
        self.assertEqual(server.stop(), 0)
        self.assertEqual(sorted(os.listdir(self.home)), ["memq", "memq.damaged"])


class RefusalTests(ServerTestCase):
    """A start that a restart does not help: status 78, and what to do."""

    def test_newer(self) -> None:
        """A home of a newer memq."""
        closedHome(self.home)
        with open(fileIn(self.home, "VERSION"), "w") as file:
            file.write(f"{FORMAT + 1}\n")
        for options in ((), ("--skip-damaged",)):
            line = self.refused(*options)
            self.assertTrue(line.startswith("memq: --home"), line)
            self.assertIn(f"written by a newer memq (format {FORMAT + 1}", line)

    def test_daemon(self) -> None:
        """A daemon is refused the same way, before the forks and behind them."""
        closedHome(self.home)
        line = [*TWISTD, "--pidfile=p", "--logfile=log", "memq", "-H", self.home, "-p0"]
        script = (
            "import ctypes, os, subprocess, sys\n"
            # A process that a daemon leaves behind becomes this one's child.
            "assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0\n"
            "first = subprocess.run(sys.argv[1:]).returncode\n"
            "print(first)\n"
            "while True:\n"
            "    try: print(os.waitstatus_to_exitcode(os.wait()[1]))\n"
            "    except ChildProcessError: break\n"
        )
        os.unlink(fileIn(self.home, "safe"))
        told = runToEnd(TWISTD[0], "-c", script, *line)
        # Two that forked, and what was left.
        self.assertEqual(sorted(told.stdout.split()), ["0", "0", "78"], told.stderr)
        with open("log") as file:
            self.assertIn(f"{fileIn(self.home, 'safe')} is missing", file.read())
        with open(fileIn(self.home, "VERSION"), "w") as file:
            file.write("x\n")
        told = runToEnd(TWISTD[0], "-c", script, *line)
        self.assertEqual(told.stdout.split(), ["78"])
        self.assertEqual(told.stderr.count("\n"), 1, told.stderr)


class ReadOnlyHomeTests(SynchronousTestCase):
    """A home that its user may not write."""

    def test_start(self) -> None:
        """It is refused with its path, with status 78."""
        # Another user must get there, and root may write everywhere.
        home = os.path.join(scratch(self, 0o755), "home")
        os.makedirs(os.path.join(home, "memq"), 0o555)
        os.chmod(os.path.join(home, "memq"), 0o555)
        user = "--uid=nobody" if os.getuid() == 0 else "--umask=022"
        told = ended(home, twistd=("-n", user))
        self.assertEqual(told.returncode, NEEDS_A_PERSON, told.stdout)
        self.assertEqual(told.stderr.count("\n"), 1, told.stderr)
        self.assertIn(f"{home}/memq/lock: Permission denied", told.stderr)


class UnnotedTests(BDBTestCase):
    """A disk so bad that not even that can be written down."""

    def test_words(self) -> None:
        """The failure says so, and clients are told the damage only."""

        def fail(*arguments: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        store = self.openStore()
        self.patch(failstop, "noteDamage", fail)
        error = store.environment.fail(DamagedStore("page 5"))
        self.assertEqual(error.status, NEEDS_A_PERSON)
        self.assertIn("it cannot be written down: [Errno 5]", str(error))
        self.assertEqual(error.reply, b"SERVER_ERROR page 5")


class NoteTests(SynchronousTestCase):
    """The note of damage that is written down for the next start."""

    def setUp(self) -> None:
        """Make a directory."""
        self.directory = self.mktemp()
        os.mkdir(self.directory)

    def test_words(self) -> None:
        """Berkeley DB's words are told from those of other errors."""
        for words, meaning in {
            "BDB3016 messages.2: pgin failed for page 70": (
                "page 70 of the file messages.2 is damaged"
            ),
            "BDB0210 /x/messages: metadata page checksum error": (
                "a file is damaged: BDB0210 /x/messages: metadata page checksum error"
            ),
            "BDB0060 PANIC: fatal region error": None,
            "Input/output error": None,
        }.items():
            self.assertEqual(damageIn(words), meaning)

    def test_noted(self) -> None:
        """A home with a note is refused from then on; without a note none is."""
        refuseDamaged(self.directory)
        noteDamage(self.directory, DamagedStore("page 5\nis damaged"))
        error = self.assertRaises(DamagedHome, refuseDamaged, self.directory)
        self.assertIn("damaged says: page 5 is damaged; restore HOME", str(error))
