"""Whole programs that people run against a queue."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import ClassVar

from twisted.trial.unittest import TestCase

from memq.test.clients import cases
from memq.test.clients.client import PATIENCE
from memq.test.clients.drivers import PHP, SCRIPTS
from memq.test.support.servers import started
from testkit.servers import outputOf


class ProgramTests(TestCase):
    """Programs that push and pop."""

    def setUp(self) -> None:
        """Have a server."""
        self.port = str(cases.server().port)

    def test_page(self) -> None:
        """The PHP page of MemcacheQ's first users counts in, and counts out."""
        sessions = self.mktemp()
        os.mkdir(sessions)

        def visit(*query: str) -> str:
            page = os.path.join(SCRIPTS, "page.php")
            return outputOf(*PHP, page, self.port, sessions, *query)

        for number in (1, 2, 3):
            self.assertEqual(visit("s"), f"加入消息队列(入栈):{number}")
        for number in (1, 2, 3):
            self.assertEqual(visit(), f"读出消息队列(出栈){number}")
        self.assertEqual(visit(), "读出消息队列(出栈)")

    def test_pushAndPop(self) -> None:
        """Mqpop pops what mqpush pushed, and the counts say so."""
        script = os.path.join(SCRIPTS, "mq.py")
        printed = [
            outputOf(sys.executable, script, word, self.port, "1000")
            for word in ("push", "pop")
        ]
        self.assertEqual(printed, ["1000/0\n", "1000/1000\n"])


class CapableTests(TestCase):
    """memccapable's tests of the ASCII protocol, and of the binary one.

    They want flush_all, so they have a server to themselves.
    """

    #: Those that a queue passes: what they set they get once, or delete, or empty.
    queue: ClassVar[set[str]] = {
        "ascii version",
        "ascii quit",
        "ascii verbosity",
        "ascii set",
        "ascii set noreply",
        "ascii get",
        "ascii gets",
        "ascii mget",
        "ascii flush",
        "ascii flush noreply",
        "ascii delete",
        "ascii delete noreply",
        "ascii stat",
        # In these nothing is asked for but silence.
        "ascii add noreply",
        "ascii replace noreply",
        "ascii cas noreply",
    }
    #: Those that ask for what a queue has no command for: to store under a
    #: condition (replace, cas), or to change what is stored (incr, decr, append,
    #: prepend), or to add what is no number.  A queue answers each with one error, or
    #: with nothing where noreply is said.
    cache: ClassVar[set[str]] = {
        f"ascii {command}{noreply}"
        for command in ("add", "replace", "cas", "incr", "decr", "append", "prepend")
        for noreply in ("", " noreply")
    } - queue

    def capable(self, protocol: str) -> tuple[set[str], set[str]]:
        """Return the tests of a protocol, an option of its own, that pass and fail."""
        server = started(self, "--enable-flush-all")
        place = ("-h", "127.0.0.1", "-p", str(server.port))
        ended = subprocess.run(
            ["memccapable", *place, protocol, "-t", "5"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        # Failures are on standard error.
        found = re.findall(
            r"((?:ascii|binary) \w+(?: noreply)?) +(\[pass\])?", ended.stdout
        )
        return {n for n, passed in found if passed}, {n for n, p in found if not p}

    def test_capable(self) -> None:
        """Those that make sense for a queue pass; the others fail without a hang."""
        self.assertEqual(self.capable("-a"), (self.queue, self.cache))

    def test_binary(self) -> None:
        """In binary those pass that store nothing; the others do not hang.

        The others want a CAS.  A memq that speaks text alone closes at once.
        """
        passed, failed = self.capable("-b")
        words = ("noop", "quit", "quitq", "stat", "version")
        self.assertEqual(len(passed | failed), 27)
        self.assertLessEqual({f"binary {word}" for word in words}, passed)
