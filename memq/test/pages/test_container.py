"""The container image, as the pages tell of it: blocks of the kind "console container".

No container runs here: `make test-container` builds and runs one.  What the pages say
is what is built and tried there.
"""

from __future__ import annotations

import re
import shlex

from memq.cli import makeParser
from memq.test.pages.pages import PageTestCase, readPage

_LIFE = "tools/container-life"
_FILE = "contrib/container/Containerfile"


def _said(word: str) -> list[str]:
    """Return the words behind one of the Containerfile's."""
    return re.findall(rf"(?m)^{word} (.*)$", readPage(_FILE))


class CommandsTests(PageTestCase):
    """The commands that build, run and stop a container."""

    def setUp(self) -> None:
        """Read them all."""
        super().setUp()
        lines = "".join(self.ofKind("console container")).splitlines()
        self.commands = [shlex.split(line.removeprefix("$ ")) for line in lines]

    def _behind(self, *words: str) -> list[list[str]]:
        """Return what stands behind words at the begin of a command."""
        size = len(words)
        return [c[size:] for c in self.commands if c[:size] == list(words)]

    def test_known(self) -> None:
        """Each command is one that a test here, or of containers, knows."""
        for program, verb, *_ in self.commands:
            known = {"make": ("container",), "podman": ("run", "exec", "logs", "stop")}
            self.assertIn(verb, known[program])

    def test_make(self) -> None:
        """The Makefile makes an image under the name that is run."""
        makefile = readPage("Makefile")
        self.assertIn("\ncontainer: ", makefile)
        ((*_, image),) = self._behind("podman", "run")
        self.assertIn(f"\nIMAGE ?= {image}\n", makefile)

    def test_run(self) -> None:
        """What takes privileges away is what containers are tried with."""
        ((*options, _),) = self._behind("podman", "run")
        life = readPage(_LIFE)
        for option in ("--read-only", "--read-only-tmpfs=false", "--cap-drop all"):
            self.assertIn(f" {option} ", f" {' '.join(options)} ")
            self.assertIn(f" {option} ", life)
        self.assertIn("--security-opt no-new-privileges ", life)
        self.assertIn("no-new-privileges", options)

    def test_image(self) -> None:
        """The volume and the port are the image's."""
        ((*options, _),) = self._behind("podman", "run")
        volume = options[options.index("--volume") + 1].partition(":")[2]
        self.assertEqual(_said("VOLUME"), [volume])
        published = options[options.index("--publish") + 1].rpartition(":")[2]
        self.assertIn(published, _said("EXPOSE")[0].split())

    def test_memq(self) -> None:
        """What is run inside are commands of memq."""
        for _, program, *words in self._behind("podman", "exec"):
            self.assertEqual(program, "memq")
            makeParser().parse_args(words)

    def test_user(self) -> None:
        """The page names the user that the image has."""
        (user,) = _said("USER")
        name, _, group = user.partition(":")
        self.assertEqual(name, group)
        self.assertIn(f"user and group {name}", readPage("docs/operation.md"))
        self.assertIn(f"--uid {name} ", readPage(_FILE))
