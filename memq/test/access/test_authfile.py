"""memcached's file of users."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from memq.access.authfile import readAuthFile
from memq.access.rights import ADMIN, EVERYTHING, MONITOR
from memq.access.users import User, Users
from memq.errors import ConfigError


class AuthFileTests(SynchronousTestCase):
    """Files, as memcached takes them or does not."""

    def read(self, data: bytes, mode: int = 0o600) -> tuple[User, ...]:
        """Return the users of a file that has this."""
        self.path = os.path.abspath(self.mktemp())
        with open(self.path, "wb") as file:
            file.write(data)
        os.chmod(self.path, mode)
        return readAuthFile(self.path)

    def refused(self, data: bytes, mode: int = 0o600) -> str:
        """Return what is said of one, after its path."""
        error = self.assertRaises(ConfigError, self.read, data, mode)
        return str(error).removeprefix(self.path)

    def test_memcached(self) -> None:
        """The file of memcached's own tests; all may do everything."""
        users = self.read(b"foo:bar\nbaaaz:quux\n")
        self.assertEqual([user.name for user in users], ["foo", "baaaz"])
        for user, password in zip(users, (b"bar", b"quux"), strict=True):
            self.assertTrue(user.hasSecret(password))
            self.assertFalse(user.hasSecret(password + b"\n"))
            self.assertEqual(user.rights[b"q"], EVERYTHING)
            self.assertEqual(user.rights.server, ADMIN | MONITOR)
        self.assertFalse(Users(users).hasPasswords)

    def test_odd(self) -> None:
        """Colons in a password, CR LF, nothing at all, no LF at the end."""
        for data, name, password in (
            (b"a:b:c\n", "a", b"b:c"),
            (b"a:b\r\n", "a", b"b"),
            (b"a:b\rc\n", "a", b"b"),
            (b"a:b", "a", b"b"),
            (b"a:\n", "a", b""),
            (b":b\n", "", b"b"),
            (b"\xff: b \n", "\udcff", b" b "),
        ):
            (user,) = self.read(data)
            self.assertEqual(user.name, name)
            self.assertTrue(user.hasSecret(password), data)
        self.assertEqual(self.read(b""), ())

    def test_severalPasswords(self) -> None:
        """A user who has two lines has two passwords."""
        (user,) = self.read(b"a:b\na:c\n")
        self.assertEqual(
            list(map(user.hasSecret, (b"b", b"c", b"d"))), [True, True, False]
        )

    def test_bounds(self) -> None:
        """There are 8 lines at most, of 255 bytes; none is dropped in silence."""
        longest = b"a:" + b"x" * 252 + b"\n"
        self.assertEqual(len(self.read(longest * 8)), 1)
        why = " line 1: memcached takes no more than 255 bytes a line, its end counted"
        self.assertEqual(self.refused(b"a:" + b"x" * 253), why)
        why = " line 9: memcached takes no more than 8 lines"
        self.assertEqual(self.refused(b"a:b\n" * 9), why)
        self.assertEqual(self.refused(longest * 9), why)

    def test_malformed(self) -> None:
        """A line without a colon is refused, also an empty one; none is shown."""
        for data, line in (
            (b"secret\n", 1),
            (b"a:b\n\nc:d\n", 2),
            (b"a:b\n#x", 2),
            (b"a\0:b\n", 1),
            (b"a:b\0\n", 1),
        ):
            why = f" line {line}: must be user:password"
            self.assertEqual(self.refused(data), why)

    def test_open(self) -> None:
        """A file that others can read is refused."""
        self.assertIn("mode 0644 opens it", self.refused(b"a:b\n", 0o644))
