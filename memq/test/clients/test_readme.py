"""README.md's blocks in PHP; memq.test.pages.test_readme runs the others."""

from __future__ import annotations

import os
import re
import shlex

from twisted.trial.unittest import SynchronousTestCase

from memq.test.pages.pages import SKIP, blocks, readPage
from memq.test.support.servers import started
from testkit.servers import outputOf


class PHPTests(SynchronousTestCase):
    """The PHP program, as README.md has it, and what it prints there."""

    skip = SKIP

    def setUp(self) -> None:
        """Start a server."""
        self.server = started(self)

    def ofKind(self, kind: str) -> str:
        """Return the one block of a kind."""
        (text,) = (b.text for b in blocks(readPage("README.md")) if b.kind == kind)
        return text

    def test_program(self) -> None:
        """It prints what it is said to print, on whatever port memq has."""
        program = os.path.abspath(self.mktemp())
        text, ports = re.subn(r"\b22201\b", str(self.server.port), self.ofKind("php"))
        self.assertEqual(ports, 1)
        with open(program, "w", encoding="utf-8") as file:
            file.write(text)
        prompt, *visits = re.split(r"^\$ ", self.ofKind("console php"), flags=re.M)
        self.assertEqual((prompt, bool(visits)), ("", True))
        for visit in visits:
            command, printed = visit.split("\n", 1)
            php, script, *words = shlex.split(command)
            self.assertEqual((php, script), ("php", "queue.php"))
            self.assertEqual(outputOf(php, program, *words), printed, command)
