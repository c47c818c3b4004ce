"""Completion in shells."""

from __future__ import annotations

import os
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from memq.cli import MODULES, makeParser
from memq.completion import SHELLS, commands
from memq.test.support.commandline import command, variables
from memq.test.support.servers import scratch, started
from testkit.servers import PATIENCE, ROOT


class CompletionTests(SynchronousTestCase):
    """Scripts, and what bash makes of one."""

    def setUp(self) -> None:
        """Make the scripts."""
        found = list(commands(makeParser()))
        self.scripts = {name: make(found) for name, make in SHELLS.items()}

    def complete(self, *words: str, **environment: str) -> list[str]:
        """Return what bash completes the last word to."""
        line = " ".join(f"'{word}'" for word in ("memq", *words))
        script = (
            f'{self.scripts["bash"]}\ncompopt() {{ echo "$@"; }}\n'
            f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; _memq\n"
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            ["bash", "--norc", "-c", script],
            env=environment or None,
            capture_output=True,
            check=True,
            timeout=PATIENCE,
        )
        self.assertEqual(done.stderr, b"")
        return done.stdout.decode().split()

    def test_words(self) -> None:
        """Subcommands, their options, choices, files and directories."""
        self.assertEqual(self.complete("p"), ["push", "pop", "peek", "pause"])
        self.assertEqual(self.complete("pop", "--a"), ["--all"])
        self.assertEqual(self.complete("push", "q", "--f"), ["--file", "--flags"])
        self.assertEqual(self.complete("check", "--format", "j"), ["json"])
        self.assertEqual(self.complete("completion", ""), ["bash", "zsh", "fish"])
        self.assertEqual(self.complete("push", "--file", "x"), ["-o", "default"])
        self.assertEqual(self.complete("pop", "--to", "x"), ["-o", "dirnames"])
        self.assertEqual(self.complete("push", "--delay", ""), [])

    def test_queues(self) -> None:
        """Queues are those of the server; no name is taken for a command."""
        server = started(self)
        directory = scratch(self)
        name = f"$(echo>{directory}/x)"
        path = os.path.join(directory, "memq")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nprintf 'queue\\tm\\n%s\\t1\\nq\\t2\\n' '{name}'\n")
        os.chmod(path, 0o755)
        where = f"{directory}:{os.environ['PATH']}"
        found = self.complete("pop", "", **variables(server, PATH=where))
        self.assertEqual(
            found, [name.translate({ord(c): f"\\{c}" for c in "$()>"}), "q"]
        )
        self.assertEqual(
            self.complete("pop", "q", **variables(server, PATH=where)), ["q"]
        )
        self.assertEqual(os.listdir(directory), ["memq"])

    def test_shipped(self) -> None:
        """The scripts that are shipped are these: `memq completion` prints them."""
        server = started(self)
        for shell, name in (("bash", "memq"), ("zsh", "_memq"), ("fish", "memq.fish")):
            with open(
                os.path.join(ROOT, "etc/completion", shell, name), encoding="utf-8"
            ) as file:
                self.assertEqual(file.read(), self.scripts[shell], shell)
        done = command(server, "completion", "fish")
        self.assertEqual(done, (0, self.scripts["fish"].encode(), ""))

    def test_all(self) -> None:
        """Each shell knows each subcommand and option."""
        for script in self.scripts.values():
            for name in MODULES:
                self.assertIn(name, script)
            for word in ("retry", "skip-damaged", "max-age", "lossy"):
                self.assertIn(word, script)
