"""The file of users: changed, and whole."""

from __future__ import annotations

import grp
import os
import stat
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from memq.access.secrets import TokenHash
from memq.access.userfile import added, listed, readFile, removed, writeFile
from memq.errors import CommandError, ConfigError

TOKEN = str(TokenHash.of(b"token"))
TEXT = f"""# Ours.

[user.a] # the first
token = "{TOKEN}"
write = [
    "q",
]

# The second one.
# It reads.
[user."b.c"]
read = ["*"]
unix = [0]
role = "monitor"
[other]
x = 1
"""


class TextTests(SynchronousTestCase):
    """Texts become other texts."""

    def refused(self, *arguments: object) -> str:
        """Return why a user is not added or removed."""
        call = removed if len(arguments) == 2 else added
        return str(self.assertRaises(CommandError, call, *arguments))

    def test_listed(self) -> None:
        """Users are told without what is secret."""
        a, b = listed(TEXT)
        self.assertEqual(a, ("a", "", ("token",), ["q"], (), ()))
        self.assertEqual(b, ("b.c", "monitor", ("unix",), (), ["*"], ()))
        self.assertNotIn(TOKEN, repr(listed(TEXT)))
        self.assertEqual(listed(""), [])

    def test_added(self) -> None:
        """A user stands at the end, and all else stays as it is."""
        values = {"write": ["q*", "队"], "token": TOKEN, "unix": [0], "role": "admin"}
        made = added(TEXT, "x@y", values)
        self.assertEqual(
            made.removeprefix(TEXT),
            f'\n[user."x@y"]\nunix = [0]\ntoken = "{TOKEN}"\nwrite = ["q*", "队"]\n'
            'role = "admin"\n',
        )
        self.assertEqual(removed(made, "x@y"), TEXT + "\n")
        self.assertTrue(added("", "x", {}).startswith("# Users of memq."))
        self.assertTrue(added("[user.a]", "x", {}).endswith("[user.a]\n\n[user.x]\n"))

    def test_refused(self) -> None:
        """One that is there, or cannot be, is not added."""
        self.assertIn("there is a user a; remove it", self.refused(TEXT, "a", {}))
        self.assertIn("'a b' is no name of a user", self.refused(TEXT, "a b", {}))
        said = self.refused(TEXT, "x", {"write": ["a b"]})
        self.assertIn("write must be named by a queue or a pattern", said)
        self.assertIn("role must be admin or", self.refused("", "x", {"role": "root"}))

    def test_removed(self) -> None:
        """A table goes with what is in it; comments above others stay."""
        self.assertEqual(
            removed(TEXT, "a"), "# Ours.\n\n" + TEXT[TEXT.index("# The second") :]
        )
        self.assertEqual(
            removed(TEXT, "b.c"),
            TEXT[: TEXT.index("# The second")]
            + "# The second one.\n# It reads.\n[other]\nx = 1\n",
        )
        last = "[user.a]\n[user.b]\nwrite = []\n# the end"
        self.assertEqual(removed(last, "b"), "[user.a]\n")
        error = self.assertRaises(CommandError, removed, TEXT, "z")
        self.assertEqual((str(error), error.status), ("there is no user z", 3))

    def test_ownWay(self) -> None:
        """What stands in no table of its own, a person has to edit."""
        for text in (
            "user.a.write = []\n",
            "[user]\na = {}\n",
            "user = { a = {} }\n",
            "[user.a]\nx = [\n[\n]\n]\n",
            "[user.a]\nx = '''\n[user.b]\n'''\n",
            "[user.a]\n[user.a.x]\n",
        ):
            self.assertIn("a way of its own", self.refused(text, "a"), text)
        self.assertIn("a way of its own", self.refused("user = {}\n", "a", {}))


class FileTests(SynchronousTestCase):
    """The file is whole, and nobody's but its owner's."""

    def setUp(self) -> None:
        """Write one."""
        self.directory = os.path.abspath(self.mktemp())
        os.mkdir(self.directory)
        self.path = os.path.join(self.directory, "users.toml")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(TEXT)
        os.chmod(self.path, 0o600)

    def mode(self) -> int:
        """Return the mode of the file."""
        return stat.S_IMODE(os.stat(self.path).st_mode)

    def test_read(self) -> None:
        """It is read as the server reads it; one that is not there is empty."""
        self.assertEqual(readFile(self.path), TEXT)
        self.assertEqual(readFile(self.path + "x"), "")
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("[user.z]\nrole = 'root'\n")
        error = self.assertRaises(ConfigError, readFile, self.path)
        self.assertIn("users.toml line 18: role", str(error))

    def test_written(self) -> None:
        """It is written with the mode that it has, also through a link."""
        link = self.path + "-link"
        os.symlink(self.path, link)
        # Left by a crash.
        with open(self.path + ".new", "w", encoding="utf-8"):
            pass
        writeFile(link, "[user.z]\n")
        self.assertTrue(os.path.islink(link))
        self.assertEqual((readFile(self.path), self.mode()), ("[user.z]\n", 0o600))
        self.assertEqual(len(os.listdir(self.directory)), 2)

    def test_owner(self) -> None:
        """It keeps its owner, or is not written."""
        owners = []
        self.patch(os, "fchown", lambda _, user, group: owners.append((user, group)))
        writeFile(self.path, "")
        now = os.stat(self.path)
        self.assertEqual(owners, [(now.st_uid, now.st_gid)])

    def test_new(self) -> None:
        """A new one is for the group of the server, where there is such a group."""
        groups = []
        self.patch(os, "fchown", lambda _, user, group: groups.append((user, group)))
        self.patch(grp, "getgrnam", lambda name: SimpleNamespace(gr_gid=77))
        os.unlink(self.path)
        writeFile(self.path, "[user.z]\n")
        self.assertEqual((groups, self.mode()), ([(-1, 77)], 0o640))

        def none(name: str) -> None:
            raise KeyError(name)

        self.patch(grp, "getgrnam", none)
        os.unlink(self.path)
        writeFile(self.path, "[user.z]\n")
        self.assertEqual((len(groups), self.mode()), (1, 0o640))

    def test_refused(self) -> None:
        """The old one stays when the new one is wrong, or cannot be written."""
        self.assertRaises(ConfigError, writeFile, self.path, "[user.z]\nx = 1\n")

        def full(file: int) -> None:
            raise OSError(28, "No space left on device")

        self.patch(os, "fsync", full)
        self.assertRaises(OSError, writeFile, self.path, "[user.z]\n")
        os.chmod(self.path, 0o644)
        self.assertRaises(ConfigError, writeFile, self.path, "[user.z]\n")
        self.assertEqual(os.listdir(self.directory), ["users.toml"])
        with open(self.path, encoding="utf-8") as file:
            self.assertEqual(file.read(), TEXT)
