"""The command memq check."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.commandline.check import FORMATS, KINDS, UNKNOWN, Bound, Result
from memq.commandline.check import _hold as hold
from memq.test.support.commandline import MEMQ, command, ended
from memq.test.support.servers import started
from memq.wire.figures import FIGURES, QueueFigures, formatDetails
from testkit.servers import runToEnd


class CheckTests(SynchronousTestCase):
    """Bounds that hold, and that do not."""

    def setUp(self) -> None:
        """Have a server with a queue."""
        self.server = started(self)
        self.server.put(b"q", b"a", b"b")

    def check(self, *words: str) -> tuple[int, str]:
        """Return the status and the line of a check."""
        done = command(self.server, "check", *words)
        self.assertEqual(done.err, "")
        return done.status, done.out.decode()

    def test_there(self) -> None:
        """A server that answers is OK."""
        status, line = self.check()
        self.assertEqual(status, 0)
        self.assertRegex(line, r"^MEMQ OK - memq \S+, up \d+ s \| 'uptime'=\d+s\n$")

    def test_users(self) -> None:
        """One that asks who this is answers; whoever wants more has to say it."""
        path = self.mktemp()
        with open(path, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write("ops:secret\n")
        self.server = started(self, "--auth-file", path)
        line = "MEMQ OK - memq answers, and asks who this is | 'server'=1\n"
        self.assertEqual(self.check(), (0, line))
        for words in (["--ready"], ["--max-age", "q=1"]):
            status, line = self.check(*words)
            self.assertEqual(status, 3)
            self.assertIn("UNKNOWN - the server answered: CLIENT_ERROR unauth", line)

    def test_bounds(self) -> None:
        """Statuses are 0, 1 and 2, with what is wrong, and figures with bounds."""
        for words, status, said, figures in (
            (
                "--max-messages q=2",
                0,
                r"OK - memq .*; q messages 2",
                "'q_messages'=2;;2",
            ),
            (
                "--max-messages q=1:2",
                1,
                r"WARNING - q messages 2 \(more than 1\)",
                "'q_messages'=2;1;2",
            ),
            (
                "--max-messages q=0:1",
                2,
                r"CRITICAL - q messages 2 \(more than 1\)",
                "'q_messages'=2;0;1",
            ),
            (
                "--min-waiters q=2:1",
                2,
                r"CRITICAL - q waiters 0 \(less than 1\)",
                "'q_waiters'=0;2;1",
            ),
            ("--max-age none=0", 0, r"OK - .*; none age 0s", "'none_age'=0s;;0"),
            (
                "--max-age q=0",
                2,
                r"CRITICAL - q age \d\S*s \(more than 0\)",
                r"'q_age'=\d\S*s;;0",
            ),
        ):
            found, line = self.check(*words.split())
            self.assertEqual(found, status, line)
            self.assertRegex(line, rf"^MEMQ {said} \| 'uptime'=\d+s {figures}\n$")

    def test_several(self) -> None:
        """Of several bounds the worst says the status, and all that are broken."""
        status, line = self.check(
            *("--max-messages", "q=1:9", "--max-messages", "r=5"),
            *("--min-waiters", "q=1", "--ready"),
        )
        self.assertEqual(status, 2)
        self.assertRegex(
            line,
            r"CRITICAL - q messages 2 \(more than 1\); q waiters 0 \(less than 1\) ",
        )
        self.assertIn("'refuses'=0", line)

    def test_formats(self) -> None:
        """The same as JSON, and as lines for a person."""
        status, line = self.check("--max-messages", "q=1", "--format=json")
        told = json.loads(line)
        self.assertEqual((status, told["status"]), (2, "CRITICAL"))
        self.assertEqual(
            [each["status"] for each in told["checks"]], ["OK", "CRITICAL"]
        )
        self.assertEqual(told["checks"][1]["value"], 2)
        _, lines = self.check("--max-messages", "q=1", "--format=text")
        self.assertRegex(
            lines, r"^OK: memq .*\nCRITICAL: q messages 2 \(more than 1\)\n$"
        )

    def test_full(self) -> None:
        """A server that refuses messages is not ready."""
        server = started(self, "--min-free", "1T")
        done = command(server, "check", "--ready")
        self.assertEqual(done.status, 2)
        self.assertIn(b"CRITICAL - refuses messages: disk_full | ", done.out)

    def test_unknown(self) -> None:
        """Mistakes are UNKNOWN, a server that is not there is CRITICAL."""
        for words in (
            "--max-age q",
            "--max-age q=x",
            "--max-age q=1:2:3",
            "--max-age =1",
        ):
            done = command(self.server, "check", *words.split())
            self.assertEqual(done.status, 3)
            self.assertIn("is not QUEUE=[WARNING:]CRITICAL", done.err)
        for bound, which in (
            ("--max-age=q=2:1", "more"),
            ("--min-waiters=q=1:2", "less"),
        ):
            done = command(self.server, "check", bound)
            self.assertEqual(done.status, 3)
            self.assertIn(f"is {which} than the critical one", done.err)
        done = command(self.server, "check", "q")
        why = "memq check: unrecognized arguments: q (see memq check --help)\n"
        self.assertEqual(done, (3, b"", why))
        self.server.stop()
        status, line = self.check()
        self.assertEqual(status, 2)
        self.assertRegex(line, "^MEMQ CRITICAL - no server: .* refused | 'server'=0\n$")
        mistaken = runToEnd(*MEMQ, "check", MEMQ_SERVER="a:b")
        self.assertEqual(mistaken.returncode, 3, mistaken)
        self.assertIn("MEMQ UNKNOWN - MEMQ_SERVER: 'a:b' is neither", mistaken.stdout)

    def test_other(self) -> None:
        """A server that speaks otherwise is UNKNOWN."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            where = str(listening.getsockname()[1])
            process = subprocess.Popen(
                [*MEMQ, "check", "--server", where], stdout=subprocess.PIPE
            )
            client, _ = listening.accept()
            with client:
                client.recv(100)
                client.sendall(b"ERROR\r\n")
                done = ended(process)
        self.assertEqual(done.status, 3)
        self.assertIn(b"MEMQ UNKNOWN - the server answered: ERROR", done.out)


class UntoldTests(SynchronousTestCase):
    """Figures that a front end of a cluster does not tell."""

    def test_untold(self) -> None:
        """A bound of one cannot be looked at, and nobody says that it holds."""
        known = FIGURES[:2] + FIGURES[3:]
        rows = [QueueFigures(b"q", range(len(known)), (), known)]
        lines = [line.split(b" ") for line in formatDetails(rows).splitlines()]
        connection: Any = SimpleNamespace(
            figures=lambda _: [(name, value) for _, name, value in lines]
        )
        bound = Bound(b"q", None, 5)
        result = hold(connection, KINDS["max_age"], bound)
        self.assertEqual(result.status, UNKNOWN)
        self.assertIn("does not tell the age of q", result.words)
        result = hold(connection, KINDS["max_messages"], bound)
        self.assertEqual((result.status, result.value), (0, 0))


class FormatTests(SynchronousTestCase):
    """Lines for a plugin's reader."""

    def test_letters(self) -> None:
        """Letters that mean something there are others."""
        result = Result(1, "a'b=c|d", "x | y", 1.5, "s", None, 2)
        self.assertEqual(
            FORMATS["nagios"]([result]),
            "MEMQ WARNING - x / y | 'a''b_c/d'=1.5s;;2",
        )
