"""Every option is checked, and a mistake is one line."""

from __future__ import annotations

import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq import __version__
from memq.options import FLAGS, MEGABYTE, OPTIONS, Options

SHORT = "-p 1 -l ::1 -c 2 -H /h -m 3 -L 4 -A 512 -B 5 -C 6"
#: The same in long names.
LONG = (
    "--port 1 --listen ::1 --max-connections 2 --home /h --cache-size 3 "
    "--log-buffer 4 --page-size 512 --max-body 5 --checkpoint 6"
)


def parsed(*words: str) -> Options:
    """Return the options of a command line."""
    options = Options()
    options.parseOptions(list(words))
    return options


class DefaultTests(SynchronousTestCase):
    """What holds when nothing is said."""

    def test_defaults(self) -> None:
        """Each option has the default that is documented."""
        options = parsed()
        expected: dict[str, Any] = {
            "port": 22201,
            "listen": "127.0.0.1",
            "socket": None,
            "socket-mode": 0o700,
            "max-connections": 1024,
            "home": "/var/lib/memq",
            "store": "bdb",
            "cache-size": 64,
            "log-buffer": 1024,
            "page-size": 4096,
            "max-body": MEGABYTE,
            "max-buffered": 256 * MEGABYTE,
            "body-timeout": 60.0,
            "idle-timeout": 0.0,
            "min-free": None,
            "checkpoint": 300.0,
            "trickle": 0.5,
            "trickle-percent": 60,
            "no-sync": 0,
            "auto-remove-logs": True,
            "keep-logs": 0,
            "enable-flush-all": 0,
            "endpoint": [],
            "verbose": 0,
        }
        self.assertEqual({name: options[name] for name in expected}, expected)

    def test_letters(self) -> None:
        """Letters are MemcacheQ's."""
        letters = [each.short for each in (*OPTIONS, *FLAGS) if each.short]
        self.assertEqual("".join(sorted(letters)), "ABCHLNRTacelmps")

    def test_given(self) -> None:
        """It is known which options were given."""
        self.assertEqual(parsed("-p", "22201").given, {"port"})


class ValueTests(SynchronousTestCase):
    """What values are allowed."""

    def refused(self, *words: str) -> str:
        """Return the line that refuses a command line."""
        line = str(self.assertRaises(SystemExit, parsed, *words))
        self.assertNotIn("\n", line)
        self.assertTrue(line.startswith("memq: "), line)
        return line

    def test_longAndShort(self) -> None:
        """Long and short names do the same."""
        short = parsed(*SHORT.split())
        long = parsed(*LONG.split())
        self.assertEqual(short, long)
        self.assertEqual(parsed("-N", "-R", "-v"), parsed("--no-sync", "-R", "-v"))

    def test_bytes(self) -> None:
        """Bytes may have K or M behind them."""
        for text, value in (("7", 7), ("3k", 3072), ("64M", 64 * MEGABYTE)):
            self.assertEqual(parsed("--max-body", text)["max-body"], value)
        for text in ("0", "65M", "-1", "1G", "1.5M", "M", "1_0"):
            self.assertIn(
                f"--max-body (-B) {text}: must be bytes, from 1 to 67108864",
                self.refused(f"--max-body={text}"),
            )

    def test_minFree(self) -> None:
        """The room to keep free may be none at all."""
        self.assertEqual(parsed("--min-free", "0")["min-free"], 0)
        self.assertIn("--min-free x: must be bytes", self.refused("--min-free", "x"))

    def test_pageSize(self) -> None:
        """A page is a power of two from 512 to 65536."""
        self.assertEqual(parsed("--page-size", "65536")["page-size"], 65536)
        for text in ("256", "1000", "131072", "x", ""):
            self.assertIn(
                f"--page-size (-A) {text or repr('')}: must be a power of two",
                self.refused(f"--page-size={text}"),
            )

    def test_numbers(self) -> None:
        """A number has a range."""
        for text in ("-1", "65536", "x", "1" * 5000):
            self.assertIn(
                "must be a whole number from 0 to 65535", self.refused("-p", text)
            )

    def test_seconds(self) -> None:
        """Seconds may have a fraction."""
        self.assertEqual(parsed("--trickle", "0.25")["trickle"], 0.25)
        for text in ("-1", "86401", "1e3", "nan", "x"):
            self.assertIn("must be seconds, from 0", self.refused(f"--trickle={text}"))

    def test_permissions(self) -> None:
        """Permissions are octal."""
        self.assertEqual(parsed("-a", "666")["socket-mode"], 0o666)
        self.assertIn("in octal", self.refused("-a", "999"))

    def test_store(self) -> None:
        """There are two stores."""
        self.assertEqual(parsed("--store=memory")["store"], "memory")
        self.assertIn(
            "--store redis: must be bdb or memory", self.refused("--store=redis")
        )

    def test_paths(self) -> None:
        """A path is not empty."""
        self.assertIn("--home (-H) '': must be a path", self.refused("--home="))
        self.assertIn("must be a path", self.refused("--socket=a\0b"))

    def test_unknown(self) -> None:
        """An unknown option is named, and so is a word too many."""
        self.assertIn("--bogus", self.refused("--bogus"))
        self.assertIn("extra is not an option", self.refused("extra"))

    def test_keepLogs(self) -> None:
        """Logs are removed unless they are to be kept."""
        self.assertTrue(parsed("-R")["auto-remove-logs"])
        self.assertFalse(parsed("-R", "--keep-logs")["auto-remove-logs"])

    def test_repeated(self) -> None:
        """Verbose and endpoint may be repeated."""
        options = parsed("-v", "-v", "--endpoint", "tcp:1", "--endpoint", "tcp:2")
        self.assertEqual(options["verbose"], 2)
        self.assertEqual(options["endpoint"], ["tcp:1", "tcp:2"])

    def test_version(self) -> None:
        """--version tells memq's."""
        lines: list[str] = []
        self.patch(sys.stdout, "write", lines.append)
        self.assertRaises(SystemExit, parsed, "--version")
        self.assertEqual("".join(lines), f"memq {__version__}\n")


class SettingsTests(SynchronousTestCase):
    """What ``stats settings`` shows."""

    def test_all(self) -> None:
        """Every option is there with its value, one word each."""
        rows = parsed("-a", "666", "--endpoint", "tcp:1", "-N").settings()
        found = dict(rows)
        self.assertEqual(
            set(found),
            {option.name for option in OPTIONS}
            | {flag.name for flag in FLAGS}
            | {"verbose", "endpoint"},
        )
        self.assertEqual(
            [found[name] for name in ("port", "socket", "socket-mode", "trickle")],
            ["22201", "none", "0666", "0.5"],
        )
        self.assertEqual(
            [found[name] for name in ("no-sync", "keep-logs", "endpoint")],
            ["yes", "no", "tcp:1"],
        )
        self.assertEqual(dict(parsed().settings())["endpoint"], "none")
