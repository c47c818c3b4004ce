"""Tables of listeners and of TLS, and what is refused of them."""

from __future__ import annotations

from memq.config.listening import Listen, Place
from memq.net.certificates import TLSSettings
from memq.test.config.test_file import ConfigTestCase

TLS = '[tls]\ncertificate = "c.pem"\nkey = "/k.pem"\n'
CLIENTS = TLS + 'client-ca = "a/b.pem"\n'


class ListenTests(ConfigTestCase):
    """[[listen]] tables."""

    def tables(self, text: str) -> tuple[Listen, ...]:
        """Return those of a file."""
        return self.read(text).listens

    def place(self, text: str) -> Place:
        """Return what an address in quotes is."""
        [table] = self.tables(f"[[listen]]\naddress = {text}\n")
        assert table.place is not None
        return table.place

    def wrong(self, text: str, more: str = "") -> str:
        """Return why the second table is refused."""
        first = '# one\n[[listen]]\naddress = "tcp:1"\nname = "a"\n'
        return self.refused(f"{first}[[listen]]\n{text}\n{more}")

    def test_values(self) -> None:
        """Each has its place, and the line on which it begins."""
        first, second, third = self.tables(
            '[[listen]]\naddress = "tcp:1"\nauth = "password|certificate"\n'
            'tls = true\n\n[[ "listen" ]]\nname = "a"\nuser = "shop"\n'
            f'[[\'listen\']]\naddress = "unix:s"\nauth = "none"\n{CLIENTS}'
        )
        ways = frozenset({"password", "certificate"})
        place = Place("tcp:1", "0.0.0.0", 1)
        line = f"{self.path} line"
        self.assertEqual(first, Listen(f"{line} 1", place, "", "", ways, True))
        self.assertEqual(second, Listen(f"{line} 6", None, "a", "shop"))
        self.assertEqual((third.line, third.ways), (f"{line} 9", frozenset()))
        self.assertEqual([each.tls for each in (second, third)], [False, False])

    def test_inline(self) -> None:
        """They can be a list, too."""
        text = 'listen = [\n{name = "a"},\n{name = "b", auth = "peer"}]\n'
        lines = [table.line for table in self.tables(text)]
        self.assertEqual(lines, [f"{self.path} line 1"] * 2)
        self.assertIn(" line 1: ", self.refused(text.replace("peer", "x")))
        self.assertEqual(self.tables("listen = []\n"), ())

    def test_places(self) -> None:
        """An address is a port, a path, or an endpoint of Twisted's."""
        for text, host, port in (
            ("tcp:22201", "0.0.0.0", 22201),
            ("tcp:port=7:interface=10.0.0.5", "10.0.0.5", 7),
            (r"tcp:0:interface=\:\:1", "::1", 0),
            ("10.0.0.5:22211", "10.0.0.5", 22211),
            ("[::1]:65535", "::1", 65535),
        ):
            found = self.place(f"'{text}'")
            self.assertEqual(found, Place(text, host, port))
            self.assertFalse(found.isUNIX)
        for text, path, mode in (
            ("unix:/run/s", "/run/s", None),
            ("unix:address=s:mode=660", "s", 0o660),
            (r"unix:/a\:b\\:mode=0777", "/a:b\\", 0o777),
        ):
            found = self.place(f"'{text}'")
            self.assertEqual(found, Place(text, path=path, mode=mode))
            self.assertTrue(found.isUNIX)
        for text in ("tcp6:1", "tcp:1:backlog=9", "localhost:99999"):
            self.assertEqual(self.place(f"'{text}'"), Place(text))

    def test_noPlace(self) -> None:
        """Anything else is refused, and told what is right."""
        for text in (
            '""',
            '"22201"',
            '"tcp:65536"',
            '"unix:/s:wantPID=1"',
            '"a:\\u0000"',
        ):
            why = self.wrong(f"address = {text}")
            self.assertIn(" line 6: address = ", why)
            self.assertIn("must be a Twisted server endpoint, such as tcp:22201:", why)
        self.assertIn("to 0777", self.wrong('address = "unix:/s:mode=999"'))
        self.assertIn("PATH:mode=660, in quotes", self.wrong("address = 1"))

    def test_wrong(self) -> None:
        """Keys that cannot be are named, with their line."""
        for text, why in (
            ("", " line 5: [[listen]]: needs an address or a name"),
            ('name = "a"', ' line 6: name = "a": is that of another [[listen]]'),
            ('name = "a:b"', ' line 6: name = "a:b": must be a name that File'),
            ('nam = "b"', " line 6: nam = ...: is no key; the nearest is name"),
            ('name = "b"\nuser = ""', ' line 7: user = "": must be the name of a user'),
            ('name = "b"\nauth = "any"', ' line 7: auth = "any": must be none, or som'),
            ('name = "b"\ntls = 1', " line 7: tls = 1: must be false or true"),
            (
                'name = "b"\nuser = "u"\nauth = "password"',
                ' line 8: auth = "password": does not go with user',
            ),
            (
                'name = "b"\nauth = "certificate"',
                ' line 7: auth = "certificate": certificate needs tls = true',
            ),
            (
                'address = "tcp:1"\nauth = "peer|password"',
                ' line 7: auth = "peer|password": peer needs a UNIX socket',
            ),
            (
                'name = "b"\ntls = true',
                " line 7: tls = true: needs a table [tls] with certificate and key",
            ),
        ):
            self.assertIn(why, self.wrong(text))
        tls = 'name = "b"\nauth = "certificate"\ntls = true'
        why = " line 7: auth = ...: certificate needs a client-ca in [tls]"
        self.assertEqual(self.wrong(tls, TLS), why)

    def test_notTables(self) -> None:
        """Something else of that name is refused."""
        for text, what in (
            ("listen = 1", "1"),
            ("[listen]", "{...}"),
            ("listen = [1]", "[...]"),
            ("[[listen.a]]", "{...}"),
        ):
            why = f" line 1: listen = {what}: must be tables, [[listen]]"
            self.assertEqual(self.refused(text + "\n"), why)
        why = self.wrong('name = "b"\n[listen.x]\ny = 1')
        self.assertIn(" line 7: x = {...}: is no key; there are address, name", why)


class TLSTests(ConfigTestCase):
    """[tls] and [web] tls."""

    def tls(self, text: str) -> TLSSettings | None:
        """Return what a file says."""
        return self.read(text).tls

    def test_values(self) -> None:
        """Paths begin beside the file; what is not said is by default."""
        beside = self.path.rpartition("/")[0]
        certificate = f"{beside}/c.pem"
        self.assertEqual(self.tls(TLS), TLSSettings(certificate, "/k.pem"))
        found = self.tls(CLIENTS + 'minimum = "1.3"\n')
        authority = f"{beside}/a/b.pem"
        expected = TLSSettings(certificate, "/k.pem", authority, "optional", "1.3")
        self.assertEqual(found, expected)
        for word in ("none", "required"):
            found = self.tls(CLIENTS + f'client-certificate = "{word}"\n')
            assert found is not None
            self.assertEqual(found.clientCertificate, word)
        found = self.tls(TLS.replace("/k.pem", "credential:key"))
        assert found is not None
        self.assertEqual(found.key, "credential:key")
        self.assertIsNone(self.tls("[tls]\n"))

    def test_wrong(self) -> None:
        """What cannot be is named, with its line."""
        for text, why in (
            ('[tls]\nkey = "k"\n', " line 1: [tls]: needs a certificate"),
            ('[tls]\ncertificate = "c"\n', " line 1: [tls]: needs a key"),
            (TLS + 'minimum = "1.1"\n', ' line 4: minimum = "1.1": must be 1.2 or 1.3'),
            (TLS + 'passphrase = "secret"\n', " line 4: passphrase = ...: is no key"),
            (
                TLS + "ca = 1\n",
                " line 4: ca = 1: is no key; there are certificate, key",
            ),
            (
                TLS + 'client-certificate = "required"\n',
                ' line 4: client-certificate = "required": needs a client-ca',
            ),
            ("tls = 1\n", " line 1: tls = 1: must be one table, [tls]"),
            (
                "[web]\ntls = true\n",
                " line 2: tls = true: needs a table [tls] with certificate and key",
            ),
        ):
            self.assertIn(why, self.refused(text))

    def test_web(self) -> None:
        """The page may have TLS."""
        config = self.read(f"{TLS}[web]\ntls = true\n")
        self.assertIs(config.server["web-tls"], True)


class UserTests(ConfigTestCase):
    """[user] tables are kept as they are."""

    def test_kept(self) -> None:
        """There are some, or none; what they mean is not known here."""
        self.assertIsNone(self.read("[user]\n").users)
        users = self.read("[user.a]\nx = 1\n").users
        assert users is not None
        self.assertEqual(users.tables, {"a": {"x": 1}})
        self.assertEqual(users.file.path, self.path)
