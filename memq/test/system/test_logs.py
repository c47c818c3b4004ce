"""Logs of real servers: JSON in every line, an audit of all ways in, and no secrets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from signal import SIGHUP, SIGTERM
from time import monotonic
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.admin.exportformat import Begin, End, packLine
from memq.cli import MODULES
from memq.logs.lines import KEYS
from memq.test.support.commandline import command
from memq.test.support.servers import scratch, started
from testkit.servers import PATIENCE, TWISTD, environment

#: What no log may have.
SECRET = b"xyzzy-secret"
#: Names of queues as a client may send them.
NAMES = (
    b"plain",
    b"\xe9\xff",
    b"a\xc2\x9bb",
    "a\u2028b".encode(),
    "队列".encode(),
    b"{}",
)
#: Commands of ``memq`` with their exit status, and what the audit says of each.
COMMANDS = (
    ("pause q", 0, "pause", "OK"),
    ("resume q", 0, "resume", "OK"),
    ("rules set q max_items=5", 0, "rule set", "OK"),
    ("rules unset q", 0, "rule unset", "OK"),
    ("move q r", 0, "move", "MOVED 1"),
    ("redrive r", 0, "redrive", "MOVED 0"),
    ("flush r --yes", 0, "flush", "END"),
    ("delete r --yes", 0, "delete", "DELETED"),
    ("connections --kill 99", 3, "kill", "NOT_FOUND"),
    ("import --server {server} {export}", 0, "import", "IMPORTED"),
    ("reload", 0, "reload", "OK"),
)
#: The others, which manage nothing of a server.
OTHERS = {
    *("push", "pop", "work", "peek", "stat", "top", "tail", "check", "export"),
    *("user", "completion", "backup", "adopt", "rabbitmq-policies"),
}


class LogTests(SynchronousTestCase):
    """A server that logs JSON, with a file for the audit."""

    def setUp(self) -> None:
        """Start it; it logs all that it may."""
        self.path = os.path.join(scratch(self), "audit.log")
        options = ("--log-format=json", f"--audit-log={self.path}", "-vv")
        self.server = started(self, *options, "--enable-flush-all")

    def audited(self) -> list[dict[str, Any]]:
        """Return what the file of the audit says."""
        with open(self.path, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def test_all(self) -> None:
        """Every line has the same keys, whatever clients send; bodies are in none."""
        for name in NAMES:
            for line in (
                b"set %b 0 0 12\r\n%b" % (name, SECRET),
                b"ms %b 12 T0\r\n%b" % (name, SECRET),
                b"set %b 0 0 3\r\n%b" % (name, SECRET),
                b"set %b 0 0 70000\r\n%b" % (name, SECRET.ljust(70000, b"x")),
                b"add %b 0 0 12\r\n%b" % (name, SECRET),
                b"add new%b 0 0 12\r\n%b" % (name, SECRET),
                b"get %b/open" % name,
                b"delete %b" % name,
                b"%b %b" % (name, name),
            ):
                self.server.ask(line)
        # A body of binary's, one that does not come to its end among them.
        head = bytes.fromhex("80010001080000000000001500000000")
        for body in (SECRET, SECRET[:3]):
            with self.server.connect() as client:
                client.sendall(head + bytes(16) + b"q" + body)
        self.server.stop()
        with open(self.path, "rb") as file:
            told = file.read() + "\n".join(self.server.log).encode()
        self.assertNotIn(SECRET, told)
        self.assertNotIn(SECRET[:3] + b"\n", told)
        lines = [json.loads(line) for line in self.server.log] + self.audited()
        self.assertEqual({tuple(line) for line in lines}, {KEYS})
        deletes = [line for line in self.audited() if line["command"] == "delete"]
        self.assertEqual(
            [line["queue"] for line in deletes],
            ["plain", "hex:e9ff", "a\x9bb", "a\u2028b", "队列", "{}"],
        )

    def test_commandLine(self) -> None:
        """Each command of ``memq`` that manages leaves one line, and no other does."""
        self.server.put(b"q", b"a")
        self.assertEqual(
            {words.split()[0] for words, *_ in COMMANDS} | OTHERS, {*MODULES}
        )
        export = os.path.join(os.path.dirname(self.path), "export")
        with open(export, "wb") as file:
            file.write(packLine(Begin()) + packLine(End(0)))
        where = {"server": f"127.0.0.1:{self.server.port}", "export": export}
        expected = []
        for words, status, word, result in COMMANDS:
            ended = command(self.server, *words.format(**where).split())
            self.assertEqual(ended.status, status, (words, ended.err))
            expected.append((word, "text", result))
            if word == "import":
                expected.append((word, "text", "IMPORTED all"))
        for words in (
            "push q x",
            "peek q",
            "pop q",
            "stat",
            "check",
            "rules",
            "connections",
        ):
            self.assertEqual(command(self.server, *words.split()).status, 0, words)
        lines = self.audited()
        said = [(line["command"], line["way"], line["result"]) for line in lines]
        self.assertEqual(said, expected)
        self.assertTrue(all(line["peer"].startswith("127.0.0.1:") for line in lines))
        self.server.stop()
        log = [json.loads(line) for line in self.server.log]
        both = [line for line in log if line["source"] == "audit"]
        self.assertEqual(both, lines)

    def test_rotated(self) -> None:
        """SIGHUP opens the file again; it is not for everybody to read."""
        self.server.ask(b"delete one")
        os.rename(self.path, self.path + ".1")
        os.kill(self.server.pid, SIGHUP)
        self.server.waitForLine("SIGHUP: opened the audit's file again")
        self.server.waitForLine("(signal) reload: ")
        self.server.ask(b"delete two")
        (reload, delete) = self.audited()
        self.assertEqual((reload["peer"], reload["way"]), ("SIGHUP", "signal"))
        self.assertEqual(delete["queue"], "two")
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o640)


class FullTests(SynchronousTestCase):
    """Logs that cannot be written."""

    def test_audit(self) -> None:
        """Clients notice nothing; the log has the lines, and says so once."""
        server = started(self, "--audit-log=/dev/full")
        self.assertEqual(server.ask(*[b"delete q"] * 100), b"NOT_FOUND\r\n" * 100)
        server.stop()
        told = [line for line in server.log if "--audit-log /dev/full: 1 lines" in line]
        self.assertEqual(len(told), 1)
        lines = [line for line in server.log if "delete q: NOT_FOUND" in line]
        self.assertEqual(len(lines), 100)

    def test_log(self) -> None:
        """A log that nothing of can be written to stops nobody."""
        directory = scratch(self)
        path = os.path.join(directory, "s")
        process = subprocess.Popen(
            [
                *(*TWISTD, "-n", "--pidfile=", "--logfile=/dev/full"),
                *("memq", "--web-listen=", "--home", directory + "/home"),
                *("--socket", path, "--audit-log=/dev/full"),
            ],
            env=environment(),
        )
        self.addCleanup(process.kill)
        until = monotonic() + PATIENCE
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            while client.connect_ex(path):
                self.assertLess(monotonic(), until)
                os.sched_yield()
            client.sendall(b"set q 0 0 1\r\na\r\ndelete q\r\nget q\r\nquit\r\n")
            answer = b"".join(iter(lambda: client.recv(1000), b""))
        self.assertEqual(answer, b"STORED\r\nDELETED\r\nEND\r\n")
        process.send_signal(SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0)
