"""MemcacheQ's own command line starts memq."""

from __future__ import annotations

import os
import pwd
import resource
import sys
from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from memq import __version__
from memq.memcacheq import cli
from memq.memcacheq.cli import main

#: The command line of old, for a user that every Debian has.
SEED = "-d -r -H /data1/memcacheq -N -R -v -L 1024 -B 1024"


class CommandTests(SynchronousTestCase):
    """The command line of twistd that a command line becomes."""

    def setUp(self) -> None:
        """Be a common user, whose standard error is a file."""
        self.patch(sys, "argv", ["memcacheq"])
        self.patch(cli, "holdRequests", lambda: None)
        self.terminal = False
        self.patch(os, "isatty", lambda descriptor: self.terminal)
        self.user = 1000
        self.patch(os, "getuid", lambda: self.user)
        self.patch(os, "geteuid", lambda: self.user)
        self.limits: list[Any] = []
        self.patch(resource, "setrlimit", lambda *limit: self.limits.append(limit))
        self.started: list[list[str]] = []

    def start(self, line: str) -> list[str]:
        """Return what twistd is called with."""
        main(line.split(), run=lambda: self.started.append(sys.argv))
        return self.started.pop()

    def refused(self, line: str) -> str:
        """Return the line that refuses a command line."""
        words = str(self.assertRaises(SystemExit, main, line.split(), self.fail))
        self.assertEqual(self.started, [])
        self.assertTrue(words.startswith("memcacheq: "), words)
        return words

    def printed(self, line: str) -> str:
        """Return what a command line prints, without starting anything."""
        words: list[str] = []
        self.patch(sys.stdout, "write", words.append)
        main(line.split(), self.fail)
        return "".join(words)

    def logged(self, line: str) -> list[str]:
        """Return what starting with a command line logs."""
        with capturedLogs() as events:
            self.start(line)
        return [formatEvent(event) for event in events]

    def test_lines(self) -> None:
        """Letters that mean the same are handed on; the rest is said in other words.

        Without options it runs in the foreground with MemcacheQ's defaults; the line of
        old is a daemon that logs to the file it was given; a UNIX socket takes the
        place of TCP.
        """
        home = "--no-config --home=/data1/memcacheq --web-listen="
        everywhere = f"{home} --listen=0.0.0.0 --port=22201"
        front = "--nodaemon --pidfile= memq"
        for line, expected in (
            ("", f"{front} {everywhere}"),
            (SEED, f"--pidfile= memq {everywhere} -N -R -v -L 1024 -B 1024"),
            ("-s /run/mq -a 770", f"{front} {home} --socket=/run/mq -a 770"),
            ("-l ::1 -p 1", f"{front} {home} --listen=::1 --port=1"),
            (
                "-vv -c 9 -m 8 -A 512 -C 1 -T 2 -e 3",
                f"{front} {everywhere} -v -v -c 9 -m 8 -A 512 -C 1 -T 2 -e 3",
            ),
        ):
            words = ["memcacheq", *expected.split(), "--log-stderr"]
            self.assertEqual(self.start(line), words)
        self.assertNotEqual(self.limits, [])

    def test_fromTheProcess(self) -> None:
        """Without arguments it takes the process's."""
        self.patch(sys, "argv", ["memcacheq", "-p", "7"])
        main(run=lambda: self.started.append(sys.argv))
        self.assertIn("--port=7", self.started[0])

    def test_quietDaemon(self) -> None:
        """A daemon without -v that was started from a terminal keeps silent."""
        self.terminal = True
        line = self.start("-d")
        self.assertIn("--logfile=/dev/null", line)
        self.assertIn("--rundir=/", line)
        self.assertNotIn("--log-stderr", line)
        self.assertIn("--log-stderr", self.start("-d -v"))

    def test_paths(self) -> None:
        """Paths are made absolute, for a daemon goes elsewhere; -P is for a daemon."""
        here = os.getcwd()
        line = self.start("-d -H mq -P pid -s sock")
        self.assertIn(f"--home={here}/mq", line)
        self.assertIn(f"--pidfile={here}/pid", line)
        self.assertIn(f"--socket={here}/sock", line)
        self.assertIn("--pidfile=", self.start("-P /run/mq.pid"))
        self.assertIn(f"{here}/auth", self.start("-d -Y auth"))

    def test_emptyPath(self) -> None:
        """A path that is empty stays so, to be refused."""
        main(["-H", ""], run=lambda: self.started.append(sys.argv))
        self.assertIn("--home=", self.started[0])

    def test_log(self) -> None:
        """The log says what is not used, and where it listens if nobody said so."""
        for line, logged in (
            ("", "listening on all addresses"),
            ("-s /run/mq -p 1", "-s /run/mq: only there"),
            ("-l ::1 word", "word: not an option, ignored"),
            ("-l ::1 -u nobody", "-u nobody: only root can change users"),
            ("-l ::1 -P /run/mq.pid", "-P /run/mq.pid: only used with -d"),
        ):
            [words] = self.logged(line)
            self.assertTrue(words.startswith(logged), words)
        self.assertEqual(self.logged("-l 127.0.0.1"), [])

    def test_meaningless(self) -> None:
        """Letters that mean nothing any more are accepted, and the log says why."""
        logged = self.logged("-l ::1 -t 4 -D 10 -E 16 -S 30 -b 1024 -U 0")
        self.assertEqual(len(logged), 6)
        for letter in ("-t 4", "-D 10", "-E 16", "-S 30", "-b 1024", "-U 0"):
            self.assertTrue(any(line.startswith(letter) for line in logged), letter)

    def test_refused(self) -> None:
        """UDP is refused, and a letter that there is not; root has to say as whom."""
        for user, line, why in (
            (1000, "-U 11211", "-U 11211: must be 0"),
            (1000, "-Z", "-Z"),
            (0, "-d", "can't run as root without the -u switch"),
            (0, "-u no-such", "can't find the user no-such"),
        ):
            self.user = user
            self.assertIn(why, self.refused(line))

    def test_rootWithUser(self) -> None:
        """Root becomes the user that was named, and the user's group."""
        self.user = 0
        nobody = pwd.getpwnam("nobody")
        line = self.start("-u nobody")
        self.assertIn(f"--uid={nobody.pw_uid}", line)
        self.assertIn(f"--gid={nobody.pw_gid}", line)

    def test_rootAsRoot(self) -> None:
        """Root may say that it is to be root."""
        self.user = 0
        self.assertNotIn("--uid=0", self.start("-u root"))

    def test_help(self) -> None:
        """-h begins with MemcacheQ's version, and tells what this is."""
        text = self.printed("-d -h")
        self.assertTrue(text.startswith("memcacheq 0.2.1\n"))
        self.assertIn(f"This is memq {__version__}", text)
        for letter in "pldPurcvhiHmALBCTeNRsa":
            self.assertIn(f"\n-{letter}", text)

    def test_licence(self) -> None:
        """-i tells the licence."""
        self.assertIn("MIT", self.printed("-i"))
