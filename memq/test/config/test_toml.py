"""A TOML file is read as a whole, and a mistake is told with its line."""

from __future__ import annotations

import builtins
import os
import re
import tomllib
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.config.toml import LARGEST, TOMLFile, keyLines
from memq.errors import ConfigError


class TOMLTestCase(SynchronousTestCase):
    """Has a file to write to."""

    def setUp(self) -> None:
        """Name it."""
        self.path = os.path.abspath(self.mktemp())

    def write(self, text: str | bytes) -> None:
        """Let the file have this text."""
        with open(self.path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    def written(self, text: str | bytes) -> TOMLFile:
        """Return a file with this text."""
        self.write(text)
        return TOMLFile.read(self.path)

    def why(self, error: ConfigError) -> str:
        """Return what an error says, in one line, behind the path."""
        line = str(error)
        self.assertTrue(line.isprintable(), line)
        self.assertTrue(line.startswith(self.path), line)
        return line.removeprefix(self.path)

    def unread(self) -> str:
        """Return why the file cannot be read."""
        return self.why(self.assertRaises(ConfigError, TOMLFile.read, self.path))

    def refused(self, text: str | bytes) -> str:
        """Return why a file with this text is refused."""
        error = self.assertRaises(ConfigError, lambda: self.written(text).parse())
        return self.why(error)


class FileTests(TOMLTestCase):
    """Files that cannot be read."""

    def test_missing(self) -> None:
        """A file that is not there, or is a directory, is named."""
        self.assertEqual(self.unread(), ": No such file or directory")
        os.mkdir(self.path)
        self.assertEqual(self.unread(), ": Is a directory")

    def test_permission(self) -> None:
        """So is one that may not be read."""

        def refuse(path: str, mode: str) -> None:
            raise PermissionError(13, "Permission denied", path)

        self.patch(builtins, "open", refuse)
        self.assertEqual(self.unread(), ": Permission denied")

    def test_large(self) -> None:
        """A file that is far too large is not read to its end."""
        error = self.assertRaises(ConfigError, TOMLFile.read, "/dev/zero")
        self.assertIn(f"more than {LARGEST} bytes", str(error))

    def test_notUTF8(self) -> None:
        """A byte that is not UTF-8 is told with its line."""
        self.assertEqual(self.refused(b"a\nb\n\xff\n"), " line 3: is not UTF-8")

    def test_notTOML(self) -> None:
        """A text that is not TOML is told in TOML's words, with the line."""
        for text, line in (
            ("[server]\nhome = /h\n", " line 2: Invalid value (column 8)"),
            ("[server]\nport = 1\nport = 2\n", " line 3: Cannot overwrite a value"),
            ('[server]\nhome = "/\n', " line 2: Illegal character"),
            ("[server", ": Expected ']' at the end of a table declaration"),
            ("[server]\nport = " + "1" * 5000, ": Exceeds the limit"),
            ("a = " + "[" * 100_000, ": is nested too deeply"),
        ):
            self.assertIn(line, self.refused(text))


class LineTests(TOMLTestCase):
    """The line on which a mistake stands."""

    def line(self, text: str) -> int:
        """Return the line that is told."""
        file = self.written(text)
        error = self.assertRaises(
            ConfigError, file.refuse, "port = -1", "no", "server", "port"
        )
        found = re.fullmatch(r" line (\d+): port = -1: no", self.why(error))
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
        """Text that only looks like the key is passed over."""
        text = (
            '[server]\n# port = -1\nhome = """\nport = -1\n[server]\n"""\n'
            'endpoint = [\n  "port = -1",\n  # port = -1\n]\nport = -1\n'
        )
        self.assertEqual(self.line(text), 11)

    def test_severalLines(self) -> None:
        """Of a value of several lines it is the first."""
        self.assertEqual(self.line("[server]\n#\n\nport = [\n1,\n2,\n]\n#\n"), 4)

    def test_large(self) -> None:
        """Each statement is read once, however large the file is."""
        value = "[\n" + "'a', # ]\n" * 1000 + "]"
        tables = "".join(f"[queue.q{number}]\nx = 1\n" for number in range(1000))
        text = f"[server]\nz = {value}\n{tables}port = -1\n[server.port]\n"
        read: list[str] = []
        loads = tomllib.loads

        def counted(part: str) -> Any:
            read.append(part)
            return loads(part)

        self.patch(tomllib, "loads", counted)
        self.assertEqual(self.line(text), text.count("\n"))
        self.assertLess(sum(map(len, read)), len(text))

    def test_strings(self) -> None:
        """The text in strings and comments ends no statement."""
        for value in (
            '"""\n[x]\n"" \\""" { """""',
            "'''\n# [\n'' \\'''''",
            '"# [ \\" {"',
            "'{ # \\'",
            "{ a = [1, 2], b = '}' } # ]",
            '""',
            "[[1], # [\n[2]]",
        ):
            text = f"[server]\nz = {value}\nport = -1\n"
            self.assertEqual(self.line(text), text.count("\n"), value)

    def test_lists(self) -> None:
        """A table in a list is another one."""
        self.assertEqual(self.line("[[a]]\nport = 1\n[server]\nport = 1"), 4)

    def test_tables(self) -> None:
        """A key is found in a table of a table, and so is the table itself."""
        file = self.written("[queue.a]\npaused = 1\n[queue.b]\n\npaused = 1\n")
        for keys, line in (
            (("queue",), 1),
            (("queue", "b"), 3),
            (("queue", "b", "paused"), 5),
        ):
            error = self.assertRaises(ConfigError, file.refuse, "x", "y", *keys)
            self.assertEqual(self.why(error), f" line {line}: x: y")


class KeyLinesTests(SynchronousTestCase):
    """The lines on which keys stand."""

    def test_spellings(self) -> None:
        """They are found however tables and keys are written."""
        text = (
            '[queue.a]\nx = 1\n"y" = """\nx = 3\n"""\nz = 1 # z = 2\n\n'
            '[ queue . "b c" ] # x\n\tx=[\n1,\n]\ny = {x = 1}\n'
            "[queue.'d\"']\nx = 1\n"
            '[queue."\\u0065"]\nx = 1\n'
            "[server]\nx = 1\n[queue]\nf.x = 1\nf.y = 1\ng = {x = 1, y = 1}\nh = 1\n"
            "[queue.i.j]\nx = 1\nx1 = 2\n[other.k]\nx = 1\n"
        )
        expected = {
            "a": {"x": 2, "y": 3, "z": 6},
            "b c": {"x": 9, "y": 12},
            'd"': {"x": 14},
            "e": {"x": 16},
            "f": {"x": 20, "y": 21},
            "g": {"x": 22, "y": 22},
            "i": {"j": 25},
        }
        self.assertEqual(keyLines(text, "queue"), expected)

    def test_above(self) -> None:
        """Also where no table begins before them."""
        self.assertEqual(keyLines("queue.a.x = 1\n", "queue"), {"a": {"x": 1}})
        found = keyLines("x = 1\nqueue = { a = { x = 1 } }\n", "queue")
        self.assertEqual(found, {"a": {"x": 2}})
        self.assertEqual(keyLines("queue = 1\n", "queue"), {})
