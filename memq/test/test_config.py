"""A configuration file says what the command line can, and a mistake is one line."""

from __future__ import annotations

import builtins
import os
import re

from twisted.trial.unittest import SynchronousTestCase

from memq import config
from memq.config import LARGEST, SERVER, Config, findConfig, readConfig
from memq.errors import ConfigError
from memq.settings import FLAGS, OPTIONS
from memq.test.pages import SKIP, readPage

PORT = "must be a whole number from 0 to 65535"


class ConfigTestCase(SynchronousTestCase):
    """Has a file to write to."""

    def setUp(self) -> None:
        """Name it."""
        self.path = os.path.abspath(self.mktemp())

    def read(self, text: str | bytes) -> Config:
        """Return what a file with this text says."""
        with open(self.path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return readConfig(self.path)

    def refused(self, text: str | bytes) -> str:
        """Return why a file with this text is refused, without its path."""
        return self.why(self.assertRaises(ConfigError, self.read, text))

    def why(self, error: ConfigError) -> str:
        """Return what an error says, in one line, behind the path."""
        line = str(error)
        self.assertTrue(line.isprintable(), line)
        self.assertTrue(line.startswith(self.path), line)
        return line.removeprefix(self.path)


class ReadTests(ConfigTestCase):
    """What a file can say."""

    def test_values(self) -> None:
        """Every kind of value becomes what the command line makes of it."""
        text = (
            'port = 0\nhome = "/h"\nsocket-mode = "0770"\nmax-body = "4M"\n'
            "min-free = 1_000\ntrickle = 0.25\ncheckpoint = 9\nno-sync = true\n"
            'keep-logs = false\nverbose = 2\nendpoint = [\n  "tcp:1",\n  "tcp:2",\n]\n'
        )
        expected = {
            "port": 0,
            "home": "/h",
            "socket-mode": 0o770,
            "max-body": 4 * 1024 * 1024,
            "min-free": 1000,
            "trickle": 0.25,
            "checkpoint": 9.0,
            "no-sync": True,
            "keep-logs": False,
            "verbose": 2,
            "endpoint": ("tcp:1", "tcp:2"),
        }
        found = self.read("[server]\n" + text)
        self.assertEqual(found, Config(self.path, expected))

    def test_empty(self) -> None:
        """A file may say nothing."""
        for text in ("", "[server]\n", "# port = 1\n"):
            self.assertEqual(self.read(text), Config(self.path))

    def test_bytes(self) -> None:
        """Other line ends and a byte order mark are no matter."""
        found = self.read(b'\xef\xbb\xbf[server]\r\nhome = "/\xc3\xa9"\r\n')
        self.assertEqual(found.server, {"home": "/é"})

    def test_immutable(self) -> None:
        """What was read stays so."""
        server: object = self.read("[server]\nport = 1\n").server
        self.assertFalse(hasattr(server, "__setitem__"))

    def test_default(self) -> None:
        """Without a path the default is read, if it is there."""
        self.patch(config, "DEFAULT", self.path)
        self.assertEqual(findConfig(None), Config())
        self.read("[server]\nport = 1\n")
        self.assertEqual(findConfig(None), Config(self.path, {"port": 1}))
        self.assertEqual(findConfig("/dev/null"), Config("/dev/null"))
        self.assertRaises(ConfigError, findConfig, self.path + ".none")


class FileTests(ConfigTestCase):
    """Files that cannot be read."""

    def test_missing(self) -> None:
        """A file that is not there, or is a directory, is named."""
        error = self.assertRaises(ConfigError, readConfig, self.path)
        self.assertEqual(self.why(error), ": No such file or directory")
        os.mkdir(self.path)
        error = self.assertRaises(ConfigError, readConfig, self.path)
        self.assertEqual(self.why(error), ": Is a directory")

    def test_unreadable(self) -> None:
        """The default is refused where nobody can tell what it says."""
        self.read("")
        self.patch(config, "DEFAULT", self.path + "/memq.toml")
        error = self.assertRaises(ConfigError, findConfig, None)
        self.assertEqual(self.why(error), "/memq.toml: Not a directory")

    def test_permission(self) -> None:
        """So is a file that may not be read."""

        def refuse(path: str, mode: str) -> None:
            raise PermissionError(13, "Permission denied", path)

        self.patch(builtins, "open", refuse)
        error = self.assertRaises(ConfigError, readConfig, self.path)
        self.assertEqual(self.why(error), ": Permission denied")

    def test_large(self) -> None:
        """What is far too large is not read to its end."""
        error = self.assertRaises(ConfigError, readConfig, "/dev/zero")
        self.assertIn(f"more than {LARGEST} bytes", str(error))

    def test_notUTF8(self) -> None:
        """What is not UTF-8 is told with its line."""
        self.assertEqual(self.refused(b"a\nb\n\xff\n"), " line 3: is not UTF-8")

    def test_notTOML(self) -> None:
        """What is not TOML is told in TOML's words, with the line."""
        for text, line in (
            ("[server]\nhome = /h\n", " line 2: Invalid value (column 8)"),
            ("[server]\nport = 1\nport = 2\n", " line 3: Cannot overwrite a value"),
            ('[server]\nhome = "/\n', " line 2: Illegal character"),
            ("[server", ": Expected ']' at the end of a table declaration"),
            ("[server]\nport = " + "1" * 5000, ": Exceeds the limit"),
            ("a = " + "[" * 100_000, ": is nested too deeply"),
        ):
            self.assertIn(line, self.refused(text))


class ValueTests(ConfigTestCase):
    """What is not allowed in a file."""

    def wrong(self, text: str) -> str:
        """Return why a line of [server] is refused; all behind the line is."""
        found = self.refused(f"# A comment.\n[server]\n\n{text}\n\nlog-stderr = true\n")
        self.assertTrue(found.startswith(" line 4: "), found)
        return found.removeprefix(" line 4: ")

    def test_ranges(self) -> None:
        """A value has the range that it has on the command line."""
        for value in ("99999999", "-1"):
            self.assertEqual(self.wrong(f"port = {value}"), f"port = {value}: {PORT}")
        self.assertIn("from 0 (off) to 86400", self.wrong("trickle = nan"))
        self.assertIn("must be seconds", self.wrong("trickle = 0.0000001"))
        self.assertIn('max-body = "1G": must be bytes', self.wrong('max-body = "1G"'))
        self.assertIn('home = "": must be a path', self.wrong('home = ""'))
        self.assertIn("from 0 to 2", self.wrong("verbose = 3"))
        self.assertIn("a huge number: ", self.wrong("port = 0x" + "f" * 9999))

    def test_types(self) -> None:
        """A value of a wrong type is told what is right."""
        for text, why in (
            ('port = "1"', f'port = "1": {PORT}, without quotes'),
            ("port = true", f"port = true: {PORT}"),
            ("port = 1.0", f"port = 1.0: {PORT}"),
            ("port.a = 1", f"port = {{...}}: {PORT}"),
            ("home = [1]", "home = [...]: must be a path, in quotes"),
            ("socket-mode = 0o700", "must be permissions in octal, from 0 to 0777, in"),
            ("max-body = 1.5", "max-body = 1.5: must be bytes, from"),
            ("trickle = 1979-05-27", "trickle = 1979-05-27: must be seconds"),
            ("no-sync = 1", "no-sync = 1: must be true or false"),
            ('endpoint = "tcp:1"', 'endpoint = "tcp:1": must be a list of texts'),
            ("endpoint = [1]", "endpoint = [...]: must be a list of texts"),
        ):
            self.assertIn(why, self.wrong(text))

    def test_names(self) -> None:
        """An unknown name is told the nearest, or all there are."""
        self.assertEqual(
            self.wrong("max_body = 1"),
            "max_body = 1: is no option; the nearest is max-body",
        )
        self.assertIn(
            f"x = 1: is no option; there are {SERVER[0]}, {SERVER[1]},",
            self.wrong("x = 1"),
        )
        self.assertIn("the nearest is port", self.wrong("[server.prot]"))

    def test_commandLineOnly(self) -> None:
        """What is about the command line does not stand in a file."""
        for name in ("config", "no-config", "help", "version"):
            self.assertNotIn(name, SERVER)
            self.assertEqual(
                self.wrong(f"{name} = true"),
                f"{name} = true: can be given on the command line only",
            )

    def test_tables(self) -> None:
        """There is one table, and nothing above it."""
        for text, why in (
            ("\n[serve]\n", " line 2: [serve]: is not known here; there is [server]"),
            ("port = 1\n", " line 1: port = 1: is not known here; options stand below"),
            ("server = 1\n", " line 1: server = 1: must be one table"),
            ("\n[[server]]\n", " line 2: server = [...]: must be one table"),
        ):
            self.assertIn(why, self.refused(text))

    def test_shown(self) -> None:
        """What is shown is short, and fits into a line."""
        self.assertIn('store = "a\\nb": must be', self.wrong(r'store = "a\nb"'))
        self.assertIn('store = "数据": must be', self.wrong('store = "数据"'))
        self.assertIn("x" * 60 + '...": must', self.wrong(f'store = "{"x" * 999}"'))
        self.assertIn('"a\\u0001 b" = 1: is', self.wrong(r'"a\u0001 b" = 1'))


class LineTests(ConfigTestCase):
    """The line on which a mistake stands."""

    def line(self, text: str) -> int:
        """Return the line that is told."""
        found = re.match(r" line (\d+): port = ", self.refused(text))
        assert found is not None
        return int(found[1])

    def test_spellings(self) -> None:
        """It is found however the key is written."""
        for text in (
            "server.port = -1\n",
            "[server]\nport = -1",
            '[ "server" ]\n\t"port" = -1 # port = 5\n',
            '[server]\n"p\\u006frt" = -1\n',
            "server = { no-sync = true, port = -1 }\n",
        ):
            lines = 1 + text.rstrip().count("\n")
            self.assertEqual(self.line(text), lines, text)
            self.assertEqual(self.line("#\r\n\r\n" + text), lines + 2, text)

    def test_lookalikes(self) -> None:
        """What only looks like the key is passed over."""
        text = (
            '[server]\n# port = -1\nhome = """\nport = -1\n[server]\n"""\n'
            'endpoint = [\n  "port = -1",\n  # port = -1\n]\nport = -1\n'
        )
        self.assertEqual(self.line(text), 11)

    def test_severalLines(self) -> None:
        """Of a value of several lines it is the first."""
        self.assertEqual(self.line("[server]\n#\n\nport = [\n1,\n2,\n]\n#\n"), 4)


class SampleTests(ConfigTestCase):
    """etc/memq.toml, which is installed."""

    skip = SKIP

    def setUp(self) -> None:
        """Read it."""
        super().setUp()
        self.sample = readPage("etc/memq.toml")

    def test_silent(self) -> None:
        """As it is, it changes nothing."""
        self.assertEqual(self.read(self.sample).server, {})
        bare = [line for line in self.sample.splitlines() if line[:1] not in ("", "#")]
        self.assertEqual(bare, ["[server]"])

    def test_complete(self) -> None:
        """It has every option, with its default or an example."""
        text = re.sub(r"^#(?=[a-z-]+ = )", "", self.sample, flags=re.M)
        found = dict(self.read(text).server)
        self.assertEqual(sorted(found), SERVER)
        for option in OPTIONS:
            if option.default is not None:
                value = option.parse(option.default)
                self.assertEqual(found[option.name], value, option.name)
        flags = {flag.name for flag in FLAGS} - {"no-config"}
        self.assertEqual([found[name] for name in flags], [False] * len(flags))
        self.assertEqual(found["verbose"], 0)
