"""Blocks of pages that no test can run: Debian's packages, services and files.

Each name in such a block is looked up in debian/ and etc/, and what memq's own commands
are given is parsed.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import ClassVar

from memq.cli import makeAdoptParser, makeParser
from memq.config.settings import OPTIONS
from memq.test.pages.pages import PAGES, PageTestCase, readPage, words
from memq.web.service import PATHS
from testkit.servers import ROOT

#: Where a file of etc/ lies on a machine, if that is not the same place.
_MOVED = {"/etc/memq/memq.toml": "etc/memq.toml"}

#: Files of the user's own, each made like one of etc/.
_INSTANCE = re.compile(r"/etc/(memq/[A-Za-z]+\.(toml|password)|default/memq@[A-Za-z]+)")

#: Files of other programs, which the recipes of docs/security.md are for.
_OTHERS = (
    "/etc/letsencrypt/renewal-hooks/deploy/memq",
    "/etc/nftables.conf",
    "/etc/stunnel/memq.conf",
)

#: Words that are not of memq's own: verbs of systemctl, and a path.
_VERBS = "status|start|stop|restart|reload|enable --now|edit"
_PATH = r"/\S*"


def _found(pattern: str, path: str) -> str:
    """Return what a pattern finds in the lines of a file, as alternatives."""
    return "|".join(re.findall(pattern, readPage(path), re.M))


def _shapes() -> str:
    """Return what commands may look like: with memq's own packages, units and users."""
    package = _found("^Package: (.*)$", "debian/control")
    user = _found(r"^u (\S+) ", "etc/sysusers.d/memq.conf")
    units = os.listdir(os.path.join(ROOT, "etc/systemd"))
    names = {*units, *(name.removesuffix(".service") for name in units)}
    unit = "|".join(re.escape(name).replace("@", "@[a-z0-9]+") for name in names)
    return "|".join(
        (
            rf"apt install( \./({package})_\*\.deb)+",
            rf"systemctl ({_VERBS}) ({unit})",
            rf"journalctl -u ({unit})",
            r"pipx install --include-deps \.",
            r"(pgrep|pkill) -x memcacheq",
            rf"chown -R ({user}): {_PATH}",
            rf"install -d -o (?P<user>{user}) -g (?P=user) -m 750 {_PATH}",
            rf"(cp|mv)( -a)?( {_PATH}){{2}}",
            rf"(-u ({user}) )?(?P<own>memq(-adopt)? .*)",
            rf"curl http://{OPTIONS['web-listen'].default}({'|'.join(PATHS)})",
            rf"curl -N '?http://{OPTIONS['web-listen'].default}"
            r"/api/v1/(log|events\?queues=[a-z,]+)'?",
        )
    )


def isShipped(path: str) -> bool:
    """Return whether a path below /etc is one that memq brings or tells of."""
    if path in ("/etc/systemd/system", "/etc/memq", "/etc/memq/tls", *_OTHERS):
        return True
    file = os.path.join(ROOT, _MOVED.get(path, path[1:]))
    return os.path.exists(file) or bool(_INSTANCE.fullmatch(path))


class CommandsTests(PageTestCase):
    """The commands that want root, or another system."""

    #: Parsers of the words of memq's own commands.
    parsers: ClassVar = {"memq": makeParser, "memq-adopt": makeAdoptParser}

    def check(self, line: str) -> None:
        """Check a line of a block."""
        self.assertEqual(line[:2], "$ ")
        command = line[2:].removeprefix("sudo ")
        shape = re.fullmatch(_shapes(), command)
        assert shape is not None, line
        if shape["own"]:
            program, *words = shlex.split(shape["own"])
            self.parsers[program]().parse_args(words)

    def test_commands(self) -> None:
        """Each name in them is there, and memq's own commands take their words."""
        for text in self.ofKind("console debian"):
            for line in text.splitlines():
                self.check(line)

    def test_wrong(self) -> None:
        """A command that nobody said how to check fails, and a name that is not there.

        So do words that memq does not take.
        """
        for line in (
            "$ sudo rm -rf /data1/memcacheq",
            "$ sudo apt install ./memcacheq_*.deb",
            "$ sudo apt install memq",
            "$ systemctl status memcacheq",
            "$ sudo systemctl start memq.timer",
            "$ sudo -u nobody memq-adopt /data1/memcacheq",
            "$ curl http://127.0.0.1:22281/metrics",
            "$ curl http://127.0.0.1:22280/none",
        ):
            self.assertRaises(AssertionError, self.check, line)
        self.assertRaises(SystemExit, self.check, "$ sudo memq restore /data1/memq")


class FilesTests(PageTestCase):
    """The files of a service."""

    def test_drop_ins(self) -> None:
        """Each setting of a drop-in is set, or told of, in the unit that it changes."""
        units = {"Service": "memq.service", "Socket": "memq.socket"}
        for text in self.ofKind("ini"):
            section, *lines = text.splitlines()
            unit = readPage(f"etc/systemd/{units[section.strip('[]')]}")
            for line in lines:
                self.assertRegex(unit, rf"(?m)^(# )?{line.split('=')[0]}=")

    def test_environment(self) -> None:
        """Each setting for /etc/default/memq stands there, ready to be used."""
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
        """A file that memq does not bring is found."""
        self.assertFalse(isShipped("/etc/memq/memq.conf"))
        self.assertFalse(isShipped("/etc/default/memcacheq"))

    def test_build(self) -> None:
        """The packages that memq needs to be built are those of the Makefile."""
        build = re.search(r"^BUILD_PACKAGES := (.*)$", readPage("Makefile"), re.M)
        assert build is not None
        (debian,) = (word for word in words(self.readme) if "libdb5.3-dev" in word)
        self.assertEqual(set(debian.split()) - set(build[1].split()), set())
