"""The command that adds, lists and removes users."""

from __future__ import annotations

import io
import json
import os
import sys

from twisted.trial.unittest import SynchronousTestCase

from memq.access.secrets import PasswordHash
from memq.access.userfile import readFile
from memq.access.users import User, readUsers
from memq.cli import main
from memq.commandline.users import users as module
from memq.config.toml import TOMLFile


def ended(words: str) -> str:
    """Be somebody who types an end instead of a password."""
    raise EOFError


class Terminal(io.StringIO):
    """Text that somebody types."""

    def isatty(self) -> bool:
        """Return what a terminal does."""
        return True


class UserTests(SynchronousTestCase):
    """A file, and the command."""

    def setUp(self) -> None:
        """Name the file; hashes take no time."""
        self.path = os.path.abspath(self.mktemp())
        make = PasswordHash.of
        self.patch(PasswordHash, "of", lambda password: make(password, (2, 1, 1)))

    def run_(self, *words: str, typed: io.StringIO | None = None) -> tuple[int, str]:
        """Run it; return its exit status and what it wrote."""
        out, self.err = io.StringIO(), io.StringIO()
        for name, file in (("stdin", typed or io.StringIO()), ("stdout", out)):
            self.patch(sys, name, file)
        self.patch(sys, "stderr", self.err)
        status = main(["user", *words, "--file", self.path])
        return status, out.getvalue()

    def refused(self, *words: str, status: int = 2) -> str:
        """Return what it says, when it does nothing."""
        self.assertEqual(self.run_(*words), (status, ""))
        self.assertEqual(self.err.getvalue().count("\n"), 1)
        return self.err.getvalue()

    def users(self) -> dict[str, User]:
        """Return the users of the file."""
        file = TOMLFile(self.path, readFile(self.path))
        return {user.name: user for user in readUsers(file, file.parse()["user"])}

    def test_token(self) -> None:
        """A token is written once, and only its hash is kept."""
        status, out = self.run_("add", "shop", "--token", "--write", "a*", "--write=b")
        self.assertEqual(status, 0)
        told = f"memq: user shop stands in {self.path}; "
        self.assertIn("the server knows it after memq reload", self.err.getvalue())
        self.assertTrue(
            self.err.getvalue().startswith(told.replace("memq:", "memq user:"))
        )
        token = out.removesuffix("\n")
        self.assertNotIn(token, readFile(self.path) + self.err.getvalue())
        user = self.users()["shop"]
        self.assertTrue(user.hasSecret(token.encode()))
        self.assertTrue(user.rights[b"ab"] and user.rights[b"b"])

    def test_nobody(self) -> None:
        """Where nothing tells who is a user, that is told."""
        self.run_("add", "a", "--read", "*")
        self.assertIn(": only a listener is it\n", self.err.getvalue())
        self.run_("add", "b", "--unix", "0")
        self.assertNotIn("listener", self.err.getvalue())

    def test_others(self) -> None:
        """Uids, certificates and roles stand as they were said."""
        words = ("--unix", "0", "--unix", "root", "--certificate", "CN=x")
        self.assertEqual(self.run_("add", "ops", *words, "--role", "admin"), (0, ""))
        user = self.users()["ops"]
        self.assertEqual((user.unix, user.certificates), ({0}, {"CN=x"}))
        self.assertEqual(user.rights.server, 3)

    def test_password(self) -> None:
        """A password is a line of standard input, or is asked for twice."""
        typed = io.StringIO("pass word\nmore\n")
        self.assertEqual(self.run_("add", "a", "--password", typed=typed), (0, ""))
        answers = ["geheim", "geheim", "one", "other"]
        self.patch(module, "getpass", lambda words: answers.pop(0))
        self.run_("add", "b", "--password", typed=Terminal())
        for name, password in (("a", b"pass word"), ("b", b"geheim")):
            found = self.users()[name].password
            assert found is not None
            self.assertTrue(found.matches(password))
        status, _ = self.run_("add", "c", "--password", typed=Terminal())
        self.assertEqual(
            (status, self.err.getvalue()), (1, "memq user: the two differ\n")
        )
        self.patch(module, "getpass", ended)
        status, _ = self.run_("add", "c", "--password", typed=Terminal())
        self.assertEqual(
            (status, self.err.getvalue()), (1, "memq user: no password was typed\n")
        )
        for line in ("", "x" * 1025):
            status, _ = self.run_("add", "c", "--password", typed=io.StringIO(line))
            self.assertEqual(status, 1)
            self.assertIn("has 1 to 1024 bytes", self.err.getvalue())
        self.assertEqual(list(self.users()), ["a", "b"])

    def test_list(self) -> None:
        """Users are told in lines, without secrets."""
        self.assertEqual(self.run_(), (0, ""))
        self.run_("add", "a", "--token", "--write", "q", "--write", "队*")
        self.run_("add", "b", "--role", "monitor")
        lines = "a proofs=token write=q,队*\nb role=monitor\n"
        for words in ((), ("list",)):
            self.assertEqual(self.run_(*words), (0, lines))
        _, out = self.run_("--json")
        told = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([each["name"] for each in told], ["a", "b"])
        self.assertEqual(told[0]["proofs"], ["token"])
        self.assertEqual((told[0]["write"], told[0]["read"]), (["q", "队*"], []))

    def test_remove(self) -> None:
        """A user is removed; one who is not there is not."""
        self.run_("add", "a", "--token")
        self.assertEqual(self.run_("remove", "a"), (0, ""))
        self.assertIn(f"user a is gone from {self.path}; ", self.err.getvalue())
        self.assertEqual(self.run_(), (0, ""))
        self.assertIn("there is no user a", self.refused("remove", "a", status=3))

    def test_wrong(self) -> None:
        """A mistake is told in one line, and nothing is written."""
        for words, said in (
            (("add",), "user add takes NAME"),
            (("remove",), "user remove takes NAME"),
            (("list", "a"), "user list takes no more words"),
            (("remove", "a", "--token"), "--token goes with add"),
            (("--role", "admin"), "--role goes with add"),
            (("add", "a", "--token", "--password"), "does not go with --password"),
            (("add", "a b"), "is no name of a user"),
            (("add", "a", "--read", "x y"), "read must be named by"),
            (("add", "a", "--unix", "nobody-there"), "is no user of this system"),
        ):
            self.assertIn(said, self.refused(*words))
        self.assertFalse(os.path.exists(self.path))

    def test_typed(self) -> None:
        """A password that somebody types behind its option is shown nowhere."""
        for words in (("--password", "sesame"), ("--password=sesame",)):
            error = self.assertRaises(SystemExit, self.run_, "add", "a", *words)
            self.assertEqual(error.code, 2)
            told = self.err.getvalue()
            self.assertIn(", which may be a secret (see memq user --help)\n", told)
            self.assertNotIn("sesame", told)

    def test_open(self) -> None:
        """A file that others can read is refused."""
        with open(self.path, "w", encoding="utf-8"):
            pass
        os.chmod(self.path, 0o644)
        self.assertIn("opens it to others", self.refused("list", status=1))
