"""Users, and the tables that make them."""

from __future__ import annotations

import os
import pwd

from twisted.trial.unittest import SynchronousTestCase

from memq.access.rights import ADMIN, MANAGE, MONITOR, READ, SEE, WRITE, Rights
from memq.access.secrets import LONGEST, PasswordHash, TokenHash
from memq.access.users import User, Users, readUsers, together
from memq.config.toml import TOMLFile
from memq.errors import ConfigError

TOKEN = TokenHash.of(b"token")
WORD = TokenHash.of(b"word")
PASSWORD = PasswordHash.of(b"password", (2, 1, 1))
ROOT = pwd.getpwuid(0).pw_name


class TablesTestCase(SynchronousTestCase):
    """The text of a file."""

    def read(self, text: str) -> tuple[User, ...]:
        """Return the users of a file."""
        file = TOMLFile("/etc/users.toml", text)
        return readUsers(file, file.parse().get("user", {}))

    def one(self, *keys: str) -> User:
        """Return the user who has these keys."""
        (user,) = self.read("\n".join(["[user.shop]", *keys]))
        return user

    def refused(self, text: str) -> str:
        """Return what is said of a file, after its path."""
        error = self.assertRaises(ConfigError, self.read, text)
        return str(error).removeprefix("/etc/users.toml ")

    def wrong(self, key: str) -> str:
        """Return what is said of a key, after where it is."""
        said = self.refused(f"\n[user.shop]\n{key}\n")
        self.assertTrue(said.startswith("line 3: "), said)
        return said.removeprefix("line 3: ")


class ReadTests(TablesTestCase):
    """What a table can say."""

    def test_all(self) -> None:
        """All keys together."""
        user = self.one(
            f'unix = ["{ROOT}", 5]',
            'certificate = ["CN=shop-1", "DNS:shop.internal"]',
            f'token = ["{TOKEN}"]',
            f'password = "{PASSWORD}"',
            'write = ["orders.*"]\nread = ["mails"]\nmanage = ["orders.x"]',
            'role = "monitor"',
        )
        self.assertEqual(user.name, "shop")
        self.assertEqual(user.unix, {0, 5})
        self.assertEqual(user.certificates, {"CN=shop-1", "DNS:shop.internal"})
        self.assertTrue(user.hasSecret(b"token"))
        assert user.password is not None
        self.assertTrue(user.password.matches(b"password"))
        self.assertEqual(user.rights[b"orders.x"], WRITE | MANAGE | SEE)
        self.assertEqual(user.rights[b"mails"], READ | SEE)
        self.assertEqual(user.rights[b"other"], SEE)
        self.assertEqual(user.rights.server, MONITOR)

    def test_none(self) -> None:
        """A user of whom nothing is said may nothing, and nobody can be it."""
        user = self.one()
        self.assertEqual((user.rights[b"q"], user.rights.server), (0, 0))
        self.assertFalse(user.hasSecret(b""))
        self.assertEqual(self.read(""), ())

    def test_roles(self) -> None:
        """There are two roles."""
        self.assertEqual(self.one('role = "admin"').rights.server, ADMIN | MONITOR)
        self.assertEqual(
            self.wrong('role = "root"'), 'role = "root": must be admin or monitor'
        )
        self.assertIn("must be admin or", self.wrong("role = 1"))

    def test_lists(self) -> None:
        """Patterns are names with perhaps a star, and stand in lists."""
        for key in ("write", "read", "manage"):
            why = f"{key} = [...]: must be named by a queue or a pattern"
            self.assertIn(why, self.wrong(f'{key} = ["a b"]'))
            why = "must be a list of texts in quotes, [...]"
            self.assertEqual(self.wrong(f'{key} = "q"'), f'{key} = "q": {why}')
            self.assertIn(why, self.wrong(f"{key} = [1]"))

    def test_unix(self) -> None:
        """Names are those of the system, and uids are numbers."""
        for value, why in (
            ('"root"', 'must be a list of names or uids, ["www-data", 33]'),
            ('["nobody-there"]', '"nobody-there" is no user of this system'),
            (r'["a\u0000"]', "is no user of this system"),
            ("[-1]", "must have names in quotes, and uids as numbers"),
            ("[4294967295]", "must have names in quotes"),
            ("[true]", "must have names in quotes"),
            ("[65534]", "must not have nobody"),
            ('["nobody"]', "must not have nobody, who may be anybody in a container"),
        ):
            self.assertIn(why, self.wrong(f"unix = {value}"))

    def test_certificate(self) -> None:
        """Names of certificates say what they are."""
        for name in ("shop", "CN=", "cn=shop", "CN= x", "DNS:x ", "DNS:ü"):
            why = f'certificate = [...]: "{name}" must be "CN=..." or "DNS:..."'
            self.assertEqual(self.wrong(f'certificate = ["{name}"]'), why)
        self.assertIn("list of texts", self.wrong('certificate = "CN=x"'))
        self.one('certificate = ["CN=Shop One, Inc."]')

    def test_secrets(self) -> None:
        """What may be a secret is not shown, however wrong it is."""
        self.assertTrue(self.one(f'token = "{TOKEN}"').hasSecret(b"token"))
        for key, why in (
            ('token = "hunter2"', 'token = ...: must be "sha256:" and 64 digits'),
            ("token = 7771888177718881", "token = ...: must be a list of texts"),
            (f"token = {[str(TOKEN)] * 9}", "token = ...: must be no more than 8"),
            (
                'password = "hunter2"',
                'password = ...: must be "scrypt:n:r:p:salt:hash"',
            ),
            ("password = 7771888177718881", "password = ...: must be a text in quotes"),
            (
                'pasword = "hunter2"',
                "pasword = ...: is no key; the nearest is password",
            ),
            ('x = "hunter2"', "x = ...: is no key; there are unix, certificate, token"),
        ):
            said = self.wrong(key)
            self.assertIn(why, said)
            self.assertNotIn("hunter2", said)
            self.assertNotIn("7771888177718881", said)

    def test_hidden(self) -> None:
        """The text of a user shows no hash."""
        user = self.one(f'token = "{TOKEN}"', f'password = "{PASSWORD}"')
        self.assertNotIn(TOKEN.digest.hex(), repr(user))
        self.assertNotIn(str(PASSWORD).rpartition(":")[2], repr(user))

    def test_tables(self) -> None:
        """Users are tables below user, with names that any way can say."""
        for text, why in (
            ("user = 1", "line 1: user = 1: must be tables, [user.NAME]"),
            ("[user]\nx = 1", "line 2: x = ...: must stand below [user.NAME]"),
        ):
            self.assertEqual(self.refused(text), why)
        for name in ("a b", "a:b", "", "x" * 65, "ü", "a'b", "a\\\\b", 'a\\"b'):
            self.assertIn("must be 1 to 64 letters", self.refused(f'[user."{name}"]'))
        self.read(f'[user."shop@example.org"]\n[user.{"x" * 64}]')

    def test_same(self) -> None:
        """No two users have the same uid, or the same certificate."""
        for key, why in (
            ("unix = [5]", "unix = ...: uid 5 is that of [user.a]"),
            ('certificate = ["CN=x"]', "certificate = ...: CN=x is that of [user.a]"),
            (f'token = "{TOKEN}"', "token = ...: a token is that of [user.a]"),
        ):
            said = self.refused(f"[user.a]\n{key}\n[user.b]\n{key}\n")
            self.assertEqual(said, f"line 4: {why}")


class PasswordFileTests(TablesTestCase):
    """Passwords in files of their own."""

    def setUp(self) -> None:
        """Name one."""
        self.path = os.path.abspath(self.mktemp())

    def write(self, data: bytes, mode: int = 0o600) -> str:
        """Write the file, and return the key that names it."""
        with open(self.path, "wb") as file:
            file.write(data)
        os.chmod(self.path, mode)
        return f'password-file = "{self.path}"'

    def test_secret(self) -> None:
        """The line is the secret, or the hash of one."""
        for data in (b"token\n", b"token", b"token\r\n\n", f"{TOKEN}\n".encode()):
            user = self.one(self.write(data))
            self.assertTrue(user.hasSecret(b"token"))
            self.assertIsNone(user.password)
        user = self.one(self.write(f"{PASSWORD}\n".encode()))
        assert user.password is not None
        self.assertTrue(user.password.matches(b"password"))

    def test_withToken(self) -> None:
        """It stands beside a token, and not beside a password."""
        token = f'token = "{TokenHash.of(b"other")}"'
        user = self.one(token, self.write(b"token"))
        self.assertEqual(list(map(user.hasSecret, (b"token", b"other"))), [True, True])
        text = f'[user.shop]\npassword = "{PASSWORD}"\n{self.write(b"x")}'
        why = "line 3: password-file = ...: does not go with password"
        self.assertEqual(self.refused(text), why)

    def test_relative(self) -> None:
        """A path begins where the file of users is."""
        self.write(b"token")
        file = TOMLFile(
            os.path.join(os.path.dirname(self.path), "users.toml"),
            f'[user.a]\npassword-file = "{os.path.basename(self.path)}"\n',
        )
        (user,) = readUsers(file, file.parse()["user"])
        self.assertTrue(user.hasSecret(b"token"))

    def test_wrong(self) -> None:
        """What cannot be read, or others can, is refused."""
        for data, mode, why in (
            (b"hunter2", 0o644, "opens it to others"),
            (b"", 0o600, "must have a line of 1 to 1024 bytes"),
            (b"x" * (LONGEST + 1), 0o600, "must have a line of"),
            (b"sha256:hunter2", 0o600, "64 digits"),
            (b"scrypt:hunter2", 0o600, "scrypt:n:r"),
        ):
            said = self.wrong(self.write(data, mode))
            self.assertIn(why, said)
            self.assertNotIn("hunter2", said)
        self.assertIn("No such file", self.wrong('password-file = "/none/x"'))
        for value in ('""', r'"\u0000"'):
            self.assertIn("must be the path", self.wrong(f"password-file = {value}"))


class UsersTests(SynchronousTestCase):
    """Who is meant."""

    def setUp(self) -> None:
        """Make two users."""
        self.a = User(
            *("a", Rights(), (TOKEN,), (WORD,), None, frozenset([5])),
            frozenset(["CN=a", "DNS:a"]),
        )
        self.b = User(
            "b", Rights(), (), (WORD,), PASSWORD, frozenset(), frozenset(["CN=b"])
        )
        self.users = Users([self.a, self.b])

    def test_found(self) -> None:
        """Users are found by name, uid and token."""
        self.assertEqual(self.users.names, {b"a": self.a, b"b": self.b})
        self.assertIs(self.users.ofUid(5), self.a)
        self.assertIsNone(self.users.ofUid(6))
        self.assertIs(self.users.ofToken(b"token"), self.a)
        # A password needs its name, since both have this one.
        for secret in (b"other", b"word", b"password"):
            self.assertIsNone(self.users.ofToken(secret))
        for user in (self.a, self.b):
            self.assertTrue(user.hasSecret(b"word"))
        self.assertTrue(self.users.hasPasswords)
        self.assertFalse(Users([self.a]).hasPasswords)

    def test_certificates(self) -> None:
        """A certificate is a user's if a name is, and no other name another's."""
        for names, user in (
            (["CN=a"], self.a),
            (["CN=x", "DNS:a", "CN=a"], self.a),
            (["CN=x"], None),
            ([], None),
            (["CN=b", "DNS:a"], None),
        ):
            self.assertIs(self.users.ofCertificate(names), user, names)

    def test_together(self) -> None:
        """Users of several files have different names, uids and certificates."""
        users = together([self.a], [self.b])
        self.assertEqual(list(users.names), [b"a", b"b"])
        for other, why in (
            (self.a._replace(unix=frozenset()), "user a: stands in two files"),
            (
                User("c", Rights(), (TOKEN,), (WORD,)),
                "user c: a token is that of user a, too",
            ),
            (
                User("c", Rights(), unix=frozenset([5])),
                "user c: uid 5 is that of user a, too",
            ),
            (
                User("c", Rights(), certificates=frozenset(["CN=a"])),
                "user c: CN=a is that of user a, too",
            ),
        ):
            error = self.assertRaises(ConfigError, together, [self.a], [other])
            self.assertEqual(str(error), why)
