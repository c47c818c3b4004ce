"""The command ``memq adopt``, and its old name ``memq-adopt``."""

from __future__ import annotations

import os
import signal
import sys
from io import StringIO
from signal import SIGINT, SIGTERM
from typing import Any

from memq import __version__, cli
from memq.cli import main, makeAdoptParser
from memq.memcacheq import adoptcli as module
from memq.memcacheq.directory import MOVED, makeWay
from memq.storage.datadir.home import Home
from memq.storage.datadir.sizing import DiskSpace
from memq.test.memcacheq.test_copy import contents
from memq.test.support.foreign.adopting import AdoptionTestCase
from memq.test.support.foreign.memcacheqdirs import MemcacheQ, scratch


class CommandTestCase(AdoptionTestCase):
    """Runs the command, and reads what it prints."""

    def setUp(self) -> None:
        """Keep the handlers of signals that the test has."""
        AdoptionTestCase.setUp(self)
        for number in (SIGINT, SIGTERM):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def command(self, *words: str) -> tuple[int, list[str], str]:
        """Run it; return its status, its lines, and what it complains of."""
        output, complaint = StringIO(), StringIO()
        self.patch(sys, "stdout", output)
        self.patch(sys, "stderr", complaint)
        status = main(words, makeAdoptParser())
        return status, output.getvalue().splitlines(), complaint.getvalue()

    def run_(self, *words: str) -> list[str]:
        """Run it to its good end; return the lines."""
        status, lines, complaint = self.command(*words)
        self.assertEqual((status, complaint), (0, ""))
        return lines

    def refused(self, *words: str) -> str:
        """Run it; return the line with which it refuses."""
        status, _, complaint = self.command(*words)
        self.assertEqual((status, complaint.count("\n")), (1, 1))
        self.assertTrue(complaint.startswith("memq-adopt: "), complaint)
        return complaint.removeprefix("memq-adopt: ").rstrip("\n")


class AdoptTests(CommandTestCase):
    """``memq-adopt DIR``."""

    def test_adopts(self) -> None:
        """It does what the first start would, and lets the home go."""
        want = self.stopped()
        lines = self.run_(self.path)
        self.assertIn("6 queues with 9 messages are taken over", lines)
        self.checkGone(self.path)
        self.assertEqual(self.adopt(), want)
        self.assertEqual(self.lines, [])

    def test_interrupted(self) -> None:
        """A signal interrupts it, with status 1; the next one goes on."""
        want = self.stopped()
        with self.atBegin(lambda: os.kill(os.getpid(), SIGTERM)):
            status, lines, complaint = self.command(self.path)
        self.assertEqual((status, complaint), (1, ""))
        self.assertIn("Taking over is interrupted", lines[-1])
        self.run_(self.path)
        self.assertEqual(self.adopt(), want)

    def test_damaged(self) -> None:
        """A damaged queue is refused in one line, or skipped."""
        want = self.stopped()
        os.remove(self.at("q"))
        del want[b"q"]
        self.assertIn(f"{self.path}/q is missing; put that", self.refused(self.path))
        self.run_("--skip-damaged", self.path)
        self.assertEqual(self.adopt(), want)

    def test_held(self) -> None:
        """A home that a server holds is left to it."""
        self.stopped()
        home = Home(self.path)
        home.prepare(makeWay=makeWay)
        self.addCleanup(home.release)
        self.assertEqual(
            self.refused(self.path),
            f"{self.path}: held by another server (pid {os.getpid()})",
        )

    def test_nothing(self) -> None:
        """A directory that is not MemcacheQ's is refused."""
        self.assertEqual(
            self.refused(self.path),
            f"{self.path} is no directory of MemcacheQ's: there is no queue.list in it",
        )

    def test_otherUser(self) -> None:
        """Root would leave files that the server's user cannot use."""
        self.stopped()
        self.patch(os, "geteuid", lambda: 0)
        stat = os.stat

        def foreign(path: str, **named: Any) -> Any:
            fields = list(stat(path, **named))
            fields[4] = 12345
            return os.stat_result(fields)

        patched = self.patch(os, "stat", foreign)
        line = self.refused(self.path)
        patched.restore()
        self.assertEqual(
            line, f"{self.path} belongs to user 12345: run this as that user"
        )

    def test_system(self) -> None:
        """A refusal of the system is one line."""
        error = PermissionError(13, "Permission denied", self.path)
        with self.failing(module, "findOld", error):
            self.assertEqual(self.refused(self.path), f"{self.path}: Permission denied")

    def test_usage(self) -> None:
        """Anything but one directory is a mistake; the version is told."""
        for words, status, line in (
            ((), 2, r"memq-adopt: .* \(see memq-adopt --help\)"),
            (("a", "b"), 2, r"memq-adopt: .* b \(see memq-adopt --help\)"),
            (("--dry", "a"), 2, r"memq-adopt: .* --dry \(see memq-adopt --help\)"),
            (("--version",), 0, f"memq {__version__}"),
        ):
            output = StringIO()
            self.patch(sys, "stderr" if status else "stdout", output)
            end = self.assertRaises(SystemExit, main, words, makeAdoptParser())
            self.assertEqual(end.code, status)
            self.assertRegex(output.getvalue(), f"^{line}\n$")

    def test_names(self) -> None:
        """It is a subcommand of memq, and has its old name as well."""
        complaint = StringIO()
        self.patch(sys, "stderr", complaint)
        self.patch(sys, "argv", ["memq-adopt", self.path])
        self.assertEqual(cli.runAdopt(), 1)
        self.assertEqual(main(["adopt", self.path]), 1)
        old, new = complaint.getvalue().splitlines()
        self.assertEqual(old.replace("memq-adopt: ", "memq adopt: "), new)


class DryRunTests(CommandTestCase):
    """``memq-adopt --dry-run DIR`` reads everything and writes nothing."""

    def show(self, *words: str) -> list[str]:
        """Return the lines, and see that the directory is as it was."""
        before = contents(self.path)
        lines = self.run_("--dry-run", self.path)
        self.assertEqual(contents(self.path), before)
        return lines

    def test_shown(self) -> None:
        """It shows queues, counts, bytes and room, whether it was stopped or killed."""
        for end in (self.stopped, self.killed):
            self.path = os.path.join(scratch(self), "home")
            end()
            lines = self.show()
            self.assertEqual(lines[0], "drained: 1 set, 1 taken, 0 waiting, 0 bytes")
            self.assertIn("memq: 1 set, 0 taken, 1 waiting, 7 bytes", lines)
            self.assertIn("q: 46 set, 41 taken, 5 waiting, 8 bytes", lines)
            self.assertEqual(lines[6], "6 queues with 9 messages")
            room = "^room needed: about [0-9.]+ MB, there are [0-9.]+ MB$"
            self.assertRegex(lines[7], room)
            self.assertEqual(len(lines), 8)
            self.assertNotIn(os.fsdecode(MOVED), os.listdir(self.path))

    def test_refused(self) -> None:
        """It tells all that would be refused, with status 1."""
        with MemcacheQ(self.path) as old:
            old.push(b"gone", b"x")
            old.push(b"q", b"1")
            old.append(b"q", b"\xff" * 50)
        os.remove(self.at("gone"))
        before = contents(self.path)
        status, lines, complaint = self.command("-n", self.path)
        self.assertEqual(contents(self.path), before)
        self.assertEqual((status, complaint), (1, ""))
        self.assertIn("q: 2 set, 1 taken, 1 waiting, 1 bytes", lines)
        refused = [line for line in lines if line.startswith("refused without --skip-")]
        self.assertEqual(len(refused), 2)
        self.assertIn(f"{self.path}/gone is missing", refused[0])
        self.assertIn("record 2 is damaged: its lengths", refused[1])

    def test_noRoom(self) -> None:
        """Without room for a copy to look at, it says where to have one."""
        self.killed()
        self.patch(module, "diskSpace", lambda directory: DiskSpace(1 << 40, 1000))
        line = self.refused("--dry-run", self.path)
        self.assertIn("set TMPDIR to a directory with more room", line)
