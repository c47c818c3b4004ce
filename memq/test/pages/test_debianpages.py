"""What the pages show that no test can run: Debian's packages, services and files.

Each name in such a block is looked up in debian/ and etc/, and what memq's own commands
are given is parsed.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING

from memq.cli import makeAdoptParser, makeParser
from memq.test.pages.pages import PAGES, PageTestCase, readPage, words
from testkit.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

#: Where a file of etc/ lies on a machine, if that is not the same place.
_MOVED = {"/etc/memq/memq.toml": "etc/memq.toml"}

#: Files of the user's own, each made like one of etc/.
_INSTANCE = re.compile(r"/etc/(memq/[A-Za-z]+\.toml|default/memq@[A-Za-z]+)")

_VERBS = {"status", "start", "stop", "restart", "enable --now", "edit"}


def _sources(directory: str) -> list[str]:
    return os.listdir(os.path.join(ROOT, directory))


def _packages() -> set[str]:
    """Return the packages that debian/control makes."""
    return set(re.findall(r"^Package: (.*)$", readPage("debian/control"), re.M))


def _users() -> set[str]:
    """Return the users that the service brings."""
    return set(re.findall(r"^u (\S+) ", readPage("etc/sysusers.d/memq.conf"), re.M))


def isUnit(name: str) -> bool:
    """Return whether there is a unit of a name, as systemctl takes it."""
    if "." not in name:
        name += ".service"
    return re.sub("@.+[.]", "@.", name) in _sources("etc/systemd")


def isShipped(path: str) -> bool:
    """Return whether a path below /etc is one that memq brings or tells of."""
    if path in ("/etc/systemd/system", "/etc/memq"):
        return True
    file = os.path.join(ROOT, _MOVED.get(path, path[1:]))
    return os.path.exists(file) or bool(_INSTANCE.fullmatch(path))


class CommandsTests(PageTestCase):
    """The commands that want root, or another system."""

    def setUp(self) -> None:
        """Name what checks a program's words."""
        super().setUp()
        self.programs: dict[str, Callable[[list[str]], object]] = {
            "apt": self.checkApt,
            "systemctl": self.checkSystemctl,
            "journalctl": self.checkJournalctl,
            "pipx": self.checkPipx,
            "memq": makeParser().parse_args,
            "memq-adopt": makeAdoptParser().parse_args,
            "pgrep": self.checkProcess,
            "pkill": self.checkProcess,
            "chown": self.checkOwner,
            "install": self.checkInstall,
            "cp": self.checkCopy,
            "mv": self.checkCopy,
        }

    def check(self, line: str) -> None:
        """Check a line of a block."""
        self.assertEqual(line[:2], "$ ")
        program, *rest = shlex.split(line[2:])
        if program == "sudo":
            program, *rest = rest
        if program == "-u":
            user, program, *rest = rest
            self.assertIn(user, _users())
        self.programs[program](rest)

    def checkApt(self, words: list[str]) -> None:
        """Packages are memq's own, from files."""
        verb, *names = words
        self.assertEqual(verb, "install")
        for name in names:
            file = re.fullmatch(r"\./(.*)_\*\.deb", name)
            self.assertIn(file[1] if file else "", _packages(), name)

    def checkSystemctl(self, words: list[str]) -> None:
        """Units are memq's own."""
        *verb, unit = words
        self.assertIn(" ".join(verb), _VERBS)
        self.assertTrue(isUnit(unit), unit)

    def checkJournalctl(self, words: list[str]) -> None:
        """The journal is that of a unit."""
        option, unit = words
        self.assertEqual(option, "-u")
        self.assertTrue(isUnit(unit), unit)

    def checkPipx(self, words: list[str]) -> None:
        """A checkout is installed, with the programs of Twisted."""
        self.assertEqual(words, ["install", "--include-deps", "."])

    def checkProcess(self, words: list[str]) -> None:
        """The process that is looked for is the original's."""
        self.assertEqual(words, ["-x", "memcacheq"])

    def checkOwner(self, words: list[str]) -> None:
        """Files get the service's user."""
        option, owner, path = words
        self.assertEqual((option, owner[-1]), ("-R", ":"))
        self.assertIn(owner[:-1], _users())
        self.assertEqual(path[0], "/")

    def checkInstall(self, words: list[str]) -> None:
        """A directory is made for the service's user."""
        options, directory = words[:-1], words[-1]
        user = options[options.index("-o") + 1]
        self.assertEqual(options, ["-d", "-o", user, "-g", user, "-m", "750"])
        self.assertIn(user, _users())
        self.assertEqual(directory[0], "/")

    def checkCopy(self, words: list[str]) -> None:
        """Files go from one place to another."""
        self.assertEqual([word[0] for word in words if word != "-a"], ["/", "/"])

    def test_commands(self) -> None:
        """Each name in them is there, and memq's own commands take their words."""
        for text in self.ofKind("console debian"):
            for line in text.splitlines():
                self.check(line)

    def test_unknown(self) -> None:
        """A command that nobody said how to check fails the test."""
        self.assertRaises(KeyError, self.check, "$ sudo rm -rf /data1/memcacheq")

    def test_wrong(self) -> None:
        """So does a name that is not there."""
        for line in (
            "$ sudo apt install ./memcacheq_*.deb",
            "$ sudo apt install memq",
            "$ systemctl status memcacheq",
            "$ sudo systemctl start memq.timer",
            "$ sudo -u nobody memq-adopt /data1/memcacheq",
        ):
            self.assertRaises(AssertionError, self.check, line)
        self.assertRaises(SystemExit, self.check, "$ sudo memq restore /data1/memq")


class FilesTests(PageTestCase):
    """The files of a service."""

    def test_drop_ins(self) -> None:
        """What a drop-in says is said, or told of, in the unit that it changes."""
        units = {"Service": "memq.service", "Socket": "memq.socket"}
        for text in self.ofKind("ini"):
            section, *lines = text.splitlines()
            unit = readPage(f"etc/systemd/{units[section.strip('[]')]}")
            for line in lines:
                self.assertRegex(unit, rf"(?m)^(# )?{line.split('=')[0]}=")

    def test_environment(self) -> None:
        """What is to be said in /etc/default/memq stands there, ready to be used."""
        lines = readPage("etc/default/memq").splitlines()
        for text in self.ofKind("sh"):
            for line in text.splitlines():
                self.assertIn(f"#{line}", lines)

    def test_paths(self) -> None:
        """Each file below /etc, or etc/, that a page names is one that memq brings."""
        for path in PAGES:
            for word in words(readPage(path)):
                if word.startswith("/etc/"):
                    self.assertTrue(isShipped(word), f"{path}: {word}")
                if word.startswith("etc/"):
                    file = os.path.join(ROOT, word)
                    self.assertTrue(os.path.exists(file), f"{path}: {word}")

    def test_unknown(self) -> None:
        """One that it does not bring is found."""
        self.assertFalse(isShipped("/etc/memq/memq.conf"))
        self.assertFalse(isShipped("/etc/default/memcacheq"))

    def test_build(self) -> None:
        """The packages that memq needs to be built are those of the Makefile."""
        build = re.search(r"^BUILD_PACKAGES := (.*)$", readPage("Makefile"), re.M)
        assert build is not None
        (debian,) = (word for word in words(self.readme) if "libdb5.3-dev" in word)
        self.assertEqual(set(debian.split()) - set(build[1].split()), set())
