"""Users stand in several files, which are taken together or not at all."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.access.rights import ADMIN
from memq.access.secrets import TokenHash
from memq.access.sources import UserSources
from memq.config.file import Config, UserTables
from memq.config.toml import TOMLFile
from memq.errors import ConfigError

TOKEN = f'token = "{TokenHash.of(b"t")}"\n'


class SourcesTests(SynchronousTestCase):
    """Files of users."""

    def setUp(self) -> None:
        """Name the file of users, which is not there yet."""
        self.path = os.path.abspath(self.mktemp())
        self.sources = UserSources(self.path)

    def write(self, text: str, mode: int = 0o640, path: str = "") -> None:
        """Write a file, the one of users if no other is named."""
        with open(path or self.path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path or self.path, mode)

    def config(self, text: str, mode: int) -> Config:
        """Return a configuration file with [user] tables."""
        file = TOMLFile("/etc/memq.toml", text, mode)
        return Config(users=UserTables(file, file.parse()["user"]))

    def names(self, users: Any) -> list[bytes]:
        """Return the names of users."""
        return sorted(users.names)

    def refused(self, config: Config | None = None, hadUsers: bool = False) -> str:
        """Return why users cannot be taken."""
        read = self.sources.read
        error = self.assertRaises(ConfigError, read, config or Config(), hadUsers)
        return str(error)

    def test_none(self) -> None:
        """No file is needed, and no name of one."""
        self.assertEqual(self.names(self.sources.read(Config())), [])
        self.assertEqual(self.names(UserSources("").read(Config())), [])

    def test_together(self) -> None:
        """Users of all files are there."""
        self.write("[user.a]\n")
        authFile = os.path.abspath(self.mktemp())
        self.write("b:secret\n", path=authFile)
        self.sources = UserSources(self.path, True, authFile)
        config = self.config("[user.c]\n", 0o644)
        users = self.sources.read(config)
        self.assertEqual(self.names(users), [b"a", b"b", b"c"])
        self.assertTrue(users.names[b"b"].rights.server & ADMIN)
        why = self.refused(self.config("[user.a]\n", 0))
        self.assertEqual(why, "user a: stands in two files")

    def test_named(self) -> None:
        """A file that is named has to be there, and one that was there, too."""
        missing = f"{self.path}: No such file or directory"
        self.sources = UserSources(self.path, True)
        self.assertEqual(self.refused(), missing)
        self.sources = UserSources(self.path)
        self.write("[user.a]\n")
        self.sources.read(Config())
        os.unlink(self.path)
        self.assertEqual(self.refused(), missing)

    def test_unreadable(self) -> None:
        """A file that is there, and cannot be read, is refused."""
        self.sources = UserSources("/dev/null/users.toml")
        self.assertEqual(self.refused(), "/dev/null/users.toml: Not a directory")

    def test_private(self) -> None:
        """Others may read neither file, if that has a secret."""
        self.write("", 0o644)
        self.assertIn(f"opens it to others; chmod o= {self.path}", self.refused())
        self.write("", 0o640)
        secret = "[user.a]\n" + TOKEN
        why = "/etc/memq.toml: has secrets, and its mode 0644 opens it to others"
        self.assertIn(why, self.refused(self.config(secret, 0o100644)))
        self.sources.read(self.config(secret, 0o100640))
        self.sources.read(self.config("[user.a]\nunix = [0]\n", 0o100644))

    def test_others(self) -> None:
        """The file of users has nothing else, and says its line."""
        for text, what in (
            ("\n[server]\n", "[server]"),
            ("\nport = 1\n", "port = ..."),
        ):
            self.write(text)
            why = f"{self.path} line 2: {what}: is not known here; there are [user."
            self.assertIn(why, self.refused())
        self.write("[user.a]\nrole = 'x'\n")
        self.assertIn(f"{self.path} line 2: role = ", self.refused())

    def test_last(self) -> None:
        """The last user cannot be taken away while the server runs."""
        why = "reload: there would be no users, and everybody could do everything; "
        self.assertEqual(self.refused(hadUsers=True), why + "restart memq for that")

    def test_empty(self) -> None:
        """A file of users that has none opens nothing, also at the start."""
        why = " has no users, and everybody could do everything; do without the file"
        config = self.config("[user.a]\n", 0)
        self.write("")
        self.assertIn(f"{self.path}:{why}", self.refused())
        self.assertEqual(self.names(self.sources.read(config)), [b"a"])
        os.unlink(self.path)
        authFile = os.path.abspath(self.mktemp())
        self.write("", path=authFile)
        self.sources = UserSources(self.path, False, authFile)
        self.assertIn(f"{authFile}:{why}", self.refused())
        self.assertEqual(self.names(self.sources.read(config)), [b"a"])
