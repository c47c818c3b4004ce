"""The command that prints policies."""

from __future__ import annotations

import contextlib
import io
import os
import sys

from twisted.trial.unittest import SynchronousTestCase

import memq.config.file
from memq.cli import main


class PoliciesTests(SynchronousTestCase):
    """A configuration file with rules."""

    def printed(self, *words: str) -> tuple[int, str, str]:
        """Return the status of the command, and what it prints and tells."""
        out, said = io.StringIO(), io.StringIO()
        self.patch(sys, "stderr", said)
        with contextlib.redirect_stdout(out):
            status = main(("rabbitmq-policies", *words))
        return status, out.getvalue(), said.getvalue()

    def written(self, text: str) -> str:
        """Return the path of a file with a text."""
        path: str = os.path.abspath(self.mktemp())
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_printed(self) -> None:
        """Each policy is a line for a shell."""
        path = self.written("[queue.'a*']\nmax_age = 1\n[queue.b]\nmax_open = 3\n")
        line = (
            "rabbitmqctl set_policy {}--priority 1 --apply-to queues 'memq a*' "
            "'^(?!amq\\.)(?:a|%61)[^/]*$' '{{\"message-ttl\":1000}}'\n"
        )
        there = (0, line.format("-p v "), "")
        self.assertEqual(self.printed("--config", path, "--vhost", "v"), there)
        self.patch(memq.config.file, "DEFAULT", path)
        self.assertEqual(self.printed(), (0, line.format(""), ""))

    def test_host(self) -> None:
        """The virtual host is that of the URL in the file, if none is named."""
        url = "rabbitmq = 'amqp://u@a,b,c/x%2Fy'"
        path = self.written(f"[server]\n{url}\n[queue.q]\nmax_age = 1\n")
        for words, host in (((), " -p x/y "), (("--vhost", "/"), " -p / ")):
            _, out, said = self.printed("--config", path, *words)
            self.assertIn(host, out)
            self.assertEqual(said, "")

    def test_none(self) -> None:
        """Without rules there is nothing to print."""
        path = self.written("[queue.b]\nmax_open = 3\n")
        self.assertEqual(self.printed("--config", path), (0, "", ""))

    def test_refused(self) -> None:
        """A rule that cannot be kept is refused, and nothing is printed."""
        path = self.written("[queue.a]\nmax_age = 1\n[queue.b]\nremove_when_idle = 5")
        status, out, said = self.printed("--config", path)
        self.assertEqual((status, out, said.count("\n")), (1, "", 1))
        self.assertTrue(
            said.startswith(
                f"memq rabbitmq-policies: {path} line 4: remove_when_idle = 5.0 of b: "
            ),
            said,
        )
