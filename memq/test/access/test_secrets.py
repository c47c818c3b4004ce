"""Hashes of secrets, and files that others must not read."""

from __future__ import annotations

import hashlib
import hmac
import os

from twisted.trial.unittest import SynchronousTestCase

from memq.access.secrets import (
    LONGEST,
    PasswordHash,
    TokenHash,
    checkPrivate,
    newToken,
    readPrivate,
)
from memq.errors import ConfigError

#: A cost that takes no time.
CHEAP = (2, 1, 1)


class TokenTests(SynchronousTestCase):
    """Tokens."""

    def test_new(self) -> None:
        """A new token has 32 random bytes, in letters that any client can say."""
        tokens = {newToken() for _ in range(9)}
        self.assertEqual(len(tokens), 9)
        for token in tokens:
            self.assertRegex(token, "^[A-Za-z0-9_-]{43}$")

    def test_matches(self) -> None:
        """The hash is SHA-256, and is read as it is written."""
        made = TokenHash.of(b"abc")
        self.assertEqual(str(made), f"sha256:{hashlib.sha256(b'abc').hexdigest()}")
        for each in (made, TokenHash.parse(str(made))):
            self.assertTrue(each.matches(b"abc"))
            self.assertFalse(each.matches(b"abd"))
            self.assertFalse(each.matches(b""))

    def test_wrong(self) -> None:
        """Nothing else is taken for one."""
        right = "a" * 64
        for text in ("", right, "sha256:", f"sha256:{right}0", f"sha256:{right}\n"):
            self.assertRaises(ValueError, TokenHash.parse, text)

    def test_constantTime(self) -> None:
        """Digests are compared by what takes as long whatever differs."""
        compared = []
        self.patch(hmac, "compare_digest", lambda *both: compared.append(both))
        TokenHash.of(b"a").matches(b"b")
        PasswordHash.of(b"a", CHEAP).matches(b"b")
        self.assertEqual([list(map(len, both)) for both in compared], [[32, 32]] * 2)


class PasswordTests(SynchronousTestCase):
    """Passwords."""

    def test_matches(self) -> None:
        """The hash is that of scrypt, and is read as it is written."""
        made = PasswordHash.of(b"secret", CHEAP)
        kind, n, r, p, salt, hashed = str(made).split(":")
        self.assertEqual((kind, n, r, p), ("scrypt", "2", "1", "1"))
        expected = hashlib.scrypt(
            b"secret", salt=bytes.fromhex(salt), n=2, r=1, p=1, dklen=32
        )
        self.assertEqual(hashed, expected.hex())
        for each in (made, PasswordHash.parse(str(made))):
            self.assertTrue(each.matches(b"secret"))
            self.assertFalse(each.matches(b"Secret"))
            self.assertFalse(each.matches(b""))

    def test_salted(self) -> None:
        """Two hashes of one password differ."""
        first, second = (str(PasswordHash.of(b"x", CHEAP)) for _ in range(2))
        self.assertNotEqual(first, second)

    def test_long(self) -> None:
        """What is too long matches nothing, and takes no longer."""
        made = PasswordHash.of(b"x" * LONGEST, CHEAP)
        self.assertTrue(made.matches(b"x" * LONGEST))
        self.assertFalse(made.matches(b"x" * (LONGEST + 1)))

    def test_decoy(self) -> None:
        """A decoy costs as much as a new hash, and is read as one."""
        self.assertRegex(str(PasswordHash.decoy()), "^scrypt:16384:8:5:")
        PasswordHash.parse(str(PasswordHash.decoy()))

    def test_wrong(self) -> None:
        """Nothing else is taken for one, and none that takes too much memory."""
        rest = f"{'ab' * 16}:{'cd' * 32}"
        for cost in ("2:1:1", "65536:8:1", "16384:8:16"):
            PasswordHash.parse(f"scrypt:{cost}:{rest}")
        for text in (
            *("", "secret", "scrypt:2:1:1:ab:cd", f"scrypt:2:1:1:{rest}\n"),
            *(f"scrypt:{cost}:{rest}" for cost in ("3:1:1", "1:1:1", "0:1:1")),
            *(f"scrypt:{cost}:{rest}" for cost in ("2:0:1", "2:1:0", "2:1:17")),
            f"scrypt:131072:8:1:{rest}",
        ):
            self.assertRaises(ValueError, PasswordHash.parse, text)


class FileTests(SynchronousTestCase):
    """Files that have secrets."""

    def setUp(self) -> None:
        """Make one."""
        self.path = os.path.abspath(self.mktemp())
        with open(self.path, "wb") as file:
            file.write(b"secret")

    def test_private(self) -> None:
        """One that others cannot read is read, up to a byte more than asked for."""
        for mode in (0o600, 0o640, 0o660, 0o400):
            os.chmod(self.path, mode)
            self.assertEqual(readPrivate(self.path, 9), b"secret")
        self.assertEqual(readPrivate(self.path, 2), b"sec")

    def test_open(self) -> None:
        """One that others can read or write is refused, with what to do."""
        for mode in (0o644, 0o602, 0o606):
            os.chmod(self.path, mode)
            error = self.assertRaises(ConfigError, readPrivate, self.path, 9)
            self.assertEqual(
                str(error),
                f"{self.path}: has secrets, and its mode {mode:04o} opens it to "
                f"others; chmod o= {self.path}",
            )
        checkPrivate(self.path, 0o751)

    def test_missing(self) -> None:
        """One that is not there is told in one line."""
        error = self.assertRaises(ConfigError, readPrivate, self.path + "x", 9)
        self.assertEqual(str(error), f"{self.path}x: No such file or directory")
