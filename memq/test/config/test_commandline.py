"""Every option is checked, and a mistake is one line."""

from __future__ import annotations

import os
import re
import sys
from time import time
from typing import Any

from twisted.scripts import twistd as script
from twisted.trial.unittest import SynchronousTestCase

from memq import __version__
from memq.config import commandline, file
from memq.config.cluster import meaningless
from memq.config.commandline import Options
from memq.config.settings import SERVER
from memq.config.values import MEGABYTE
from memq.daemon import signals

SHORT = "-p 1 -l ::1 -c 2 -H /h -m 3 -L 4 -A 512 -B 5 -C 6"
#: The same in long names.
LONG = (
    "--port 1 --listen ::1 --max-connections 2 --home /h --cache-size 3 "
    "--log-buffer 4 --page-size 512 --max-body 5 --checkpoint 6"
)
#: Options that are sizes, and their units.
SIZES = ("cache-size", "log-buffer", "max-body", "max-buffered", "min-free")
UNITS = {"kilobytes": 1024, "megabytes": MEGABYTE}
#: The options of a file, typed.
TYPED = "-p 7 -B 2K -N -vv --endpoint tcp:1 --keep-logs"


def parsed(*words: str) -> Options:
    """Return the options of a command line, whatever this machine's file says."""
    options = Options()
    options.parseOptions(["--no-config", *words])
    return options


class DefaultTests(SynchronousTestCase):
    """Options that hold when nothing is said."""

    def test_defaults(self) -> None:
        """Each option has the default that is documented."""
        expected: dict[str, Any] = {
            "config": None,
            "port": 22201,
            "listen": "127.0.0.1",
            "socket": None,
            "socket-mode": 0o700,
            "max-connections": 1024,
            "home": "/var/lib/memq",
            "store": "bdb",
            "rabbitmq": None,
            "rabbitmq-password-file": None,
            "rabbitmq-ca": None,
            "rabbitmq-management": None,
            "store-timeout": 5,
            "accept-mnesia": False,
            "cache-size": 64,
            "log-buffer": 1024,
            "page-size": 4096,
            "max-body": MEGABYTE,
            "max-buffered": 256 * MEGABYTE,
            "body-timeout": 60.0,
            "idle-timeout": 0.0,
            "keepalive": 60,
            "min-free": None,
            "checkpoint": 300.0,
            "trickle": 0.5,
            "trickle-percent": 60,
            "no-config": True,
            "no-sync": False,
            "auto-remove-logs": True,
            "keep-logs": False,
            "enable-flush-all": False,
            "no-queue-stats": False,
            "skip-damaged": False,
            "log-stderr": False,
            "log-format": "text",
            "audit-log": None,
            "users": None,
            "auth-file": None,
            "slow": 0.5,
            "endpoint": [],
            "verbose": 0,
            "web-listen": ("127.0.0.1", 22280, ""),
            "web-metrics-listen": None,
            "web-hosts": [],
            "web-queue-metrics": [b"*"],
            "web-queue-metrics-max": 1000,
            "web-actions": "users",
            "web-bodies": False,
            "web-tls": False,
        }
        self.assertEqual(dict(parsed()), expected)

    def test_letters(self) -> None:
        """Letters are MemcacheQ's."""
        letters = [each.letter for each in SERVER if each.letter]
        self.assertEqual("".join(sorted(letters)), "ABCHLNRTYacelmpsv")

    def test_given(self) -> None:
        """It is known which options were given."""
        self.assertEqual(parsed("-p", "22201").given, {"no-config", "port"})


class ValueTests(SynchronousTestCase):
    """Values that are allowed."""

    def refused(self, *words: str) -> str:
        """Return the line that refuses a command line."""
        line = str(self.assertRaises(SystemExit, parsed, *words))
        self.assertNotIn("\n", line)
        self.assertTrue(line.startswith("memq: "), line)
        return line

    def test_longAndShort(self) -> None:
        """Long and short names do the same."""
        self.assertEqual(parsed(*SHORT.split()), parsed(*LONG.split()))
        self.assertEqual(parsed("-N", "-R", "-v"), parsed("--no-sync", "-R", "-v"))

    def test_allowed(self) -> None:
        """Each kind of value has its forms.

        Bytes may have K, M, G or T behind them, in whatever unit the option is, and the
        rest is cut; seconds may have a fraction, in any form and of any length.
        """
        table: dict[str, dict[str, Any]] = {
            "max-body": {"7": 7, "3k": 3072, "64M": 64 * MEGABYTE},
            "min-free": {"0": 0, "1g": 1 << 30, "1T": 1 << 40, "0T": 0},
            "cache-size": {"1g": 1024, "1536K": 1, "2097152k": 2048},
            "log-buffer": {"16M": 16384},
            "page-size": {"4K": 4096, "65536": 65536},
            "port": {"65535": 65535, "00000065535": 65535},
            "trickle": {
                "0.25": 0.25,
                "0.30000000000000004": 0.30000000000000004,
                ".5": 0.5,
                "5.": 5.0,
                "1e-7": 1e-7,
                "8.64E4": 86400.0,
                "0086400.0": 86400.0,
            },
            "socket-mode": {"666": 0o666, "0666": 0o666, "0000666": 0o666},
            "store": {"memory": "memory"},
            "web-listen": {
                "": None,
                "0.0.0.0:0": ("0.0.0.0", 0, ""),
                "localhost:1": ("127.0.0.1", 1, ""),
                "[::1]:065535": ("::1", 65535, ""),
                "unix:/a b": ("", 0, "/a b"),
            },
            "web-hosts": {"Memq.Example": ["memq.example"]},
            "web-queue-metrics": {"jobs.*": [b"jobs.*"], "死": ["死".encode()]},
        }
        for name, values in table.items():
            for text, value in values.items():
                self.assertEqual(parsed(f"--{name}={text}")[name], value, text)

    def test_refused(self) -> None:
        """A wrong value is refused with the option, the value and the reason."""
        for option, texts, why in (
            (
                "--max-body (-B)",
                ("0", "65M", "-1", "1G", "1.5M", "M", "1_0"),
                "must be bytes, from 1 to 67108864",
            ),
            (
                "--cache-size (-m)",
                ("1000K",),
                "must be megabytes, from 1 to 1000000, or as much with K, M, G or T "
                "after the digits (1024K is 1M)",
            ),
            ("--min-free", ("x",), "must be bytes"),
            (
                "--page-size (-A)",
                ("256", "1000", "131072", "x", ""),
                "must be a power of two",
            ),
            (
                "--port (-p)",
                ("-1", "65536", "x", "1" * 5000),
                "must be a whole number from 0 to 65535",
            ),
            (
                "--trickle (-T)",
                ("-1", "86401", "1e9", "1e999", "nan", "x", ".", "e3"),
                "must be seconds, from 0",
            ),
            ("--socket-mode (-a)", ("999",), "must be permissions in octal"),
            ("--store", ("redis",), "must be bdb, memory or rabbitmq"),
            ("--home (-H)", ("",), "must be a path"),
            ("--socket (-s)", ("a\0b",), "must be a path"),
            (
                "--web-listen",
                (
                    *("1", "22280", ":1", "[::1]", "::1:1", "1.2.3:1", "host:1"),
                    *("127.0.0.1:65536", "127.0.0.1:x", "unix:a", "unix:/a\0"),
                    *("127.0.0.1:", "[1::1::1]:1", "1.2.3.4:" + "1" * 5000),
                ),
                "must be an address and a port, such as 127.0.0.1:22280 or ",
            ),
            ("--web-hosts", ("", "a:1", "a b", "a" * 254), "must be the name of a h"),
            ("--web-queue-metrics", ("", "a/b"), "must be named by a queue or a pat"),
        ):
            for text in texts:
                shown = text.replace("\0", "\\x00") or "''"
                self.assertIn(
                    f"{option} {shown}: {why}",
                    self.refused(f"{option.split()[0]}={text}"),
                )

    def test_together(self) -> None:
        """Options that exclude each other are refused."""
        line = self.refused("--store-timeout=3")
        self.assertEqual(line, "memq: --store-timeout: only with --store rabbitmq")

    def test_secret(self) -> None:
        """A value that may have a password in it is not told."""
        line = self.refused("--rabbitmq=amqp://u:secret@a/v/w")
        self.assertTrue(line.startswith("memq: --rabbitmq ...: must be amqp:"), line)

    def test_borders(self) -> None:
        """The borders that a refusal names are allowed, in every unit they can have."""
        for name in SIZES:
            refusal = self.refused(f"--{name}=x")
            low, high = map(int, re.findall("from ([0-9]+) to ([0-9]+)", refusal)[0])
            unit = next((u for w, u in UNITS.items() if w in refusal), 1)
            for border, beyond in ((low, low - 1), (high, high + 1)):
                texts = [f"{border}", f"000{border}"]
                for power, letter in enumerate("KMGT", 1):
                    count, rest = divmod(border * unit, 1024**power)
                    if not rest:
                        texts += [f"{count}{letter}", f"{count}{letter.lower()}"]
                for text in texts:
                    self.assertEqual(parsed(f"--{name}={text}")[name], border, text)
                self.assertIn(f" {beyond}: must", self.refused(f"--{name}={beyond}"))

    def test_shownAddresses(self) -> None:
        """An address is told as it can be given."""
        for given, shown in (
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("unix:/s", "unix:/s"),
            ("", "none"),
        ):
            options = parsed(f"--web-listen={given}", "--web-hosts=b", "--web-hosts=a")
            told = options.settings()
            self.assertIn(("web-listen", shown), told)
            self.assertIn(("web-queue-metrics", "*"), told)
            hosts = [value for name, value in told if name == "web-hosts"]
            self.assertEqual(hosts, ["b", "a"])

    def test_unknown(self) -> None:
        """An unknown option is named, and so is a word too many."""
        self.assertIn("--bogus", self.refused("--bogus"))
        self.assertIn("extra is not an option", self.refused("extra"))

    def test_oneLine(self) -> None:
        """A mistake is one line that does nothing to a terminal, whatever was typed."""
        for words in (("--port", "1\n2"), ("--a\nb",), ("a\x1b[2J\n",)):
            line = self.refused(*words)
            self.assertTrue(line.isprintable(), line)

    def test_keepLogs(self) -> None:
        """Logs are removed unless they are to be kept."""
        self.assertTrue(parsed("-R")["auto-remove-logs"])
        self.assertFalse(parsed("-R", "--keep-logs")["auto-remove-logs"])

    def test_version(self) -> None:
        """--version tells memq's."""
        lines: list[str] = []
        self.patch(sys.stdout, "write", lines.append)
        self.assertRaises(SystemExit, parsed, "--version")
        self.assertEqual("".join(lines), f"memq {__version__}\n")


class TwistdTests(SynchronousTestCase):
    """The interplay of twistd and memq."""

    def parsed(self, *words: str) -> tuple[Options, Any]:
        """Return the options of a command line, and those of twistd."""
        twistd: Any = script.ServerOptions()  # type: ignore[attr-defined]
        twistd.parseOptions([*words, "memq", "--no-config"])
        return twistd.subOptions, twistd

    def setUp(self) -> None:
        """Leave signals alone, which the plugin holds."""
        self.patch(signals, "holdRequests", lambda: None)

    def test_pidFile(self) -> None:
        """The pid file is taken out of twistd's hands, which would stop at it."""
        for words, path in (
            ((), os.path.abspath("twistd.pid")),
            (("--pidfile", "/run/pid"), "/run/pid"),
            (("--pidfile=",), ""),
        ):
            options, twistd = self.parsed(*words)
            self.assertEqual((options.pidFile, twistd["pidfile"]), (path, ""))
        self.assertEqual(parsed().pidFile, "")

    def test_noDirectory(self) -> None:
        """Without a current directory the start goes on."""

        def gone() -> str:
            raise FileNotFoundError(2, "No such file or directory")

        twistd: Any = {"pidfile": "twistd.pid"}
        options = Options()
        options.parent = twistd
        self.patch(os, "getcwd", gone)
        options.parseOptions(["--no-config"])
        self.assertEqual(options.pidFile, "twistd.pid")

    def test_usage(self) -> None:
        """The help says its usage once."""
        options, _ = self.parsed()
        usage = str(options).strip().splitlines()[0]
        self.assertTrue(usage.startswith("Usage: "), usage)
        self.assertTrue(usage.endswith(" memq [options]"), usage)
        self.assertEqual(usage.count("memq"), 1, usage)
        self.assertEqual(usage.count("Usage"), 1, usage)


class FileTests(SynchronousTestCase):
    """The configuration file and the command line."""

    def setUp(self) -> None:
        """Have no file but the test's."""
        self.path = os.path.abspath(self.mktemp())
        self.patch(file, "DEFAULT", self.path)

    def options(self, text: str, *words: str) -> Options:
        """Return the options of a file and a command line."""
        with open(self.path, "w") as file:
            file.write("[server]\n" + text)
        options = Options()
        options.parseOptions(list(words))
        return options

    def places(self, *words: str) -> list[Any]:
        """Return where to listen, when a file names every place."""
        text = 'port = 1\nlisten = "::1"\nsocket = "/f"\nendpoint = ["tcp:1"]\n'
        options = self.options(text, *words)
        port = options["port"] if "port" in options.given else None
        return [port, *(options[name] for name in ("listen", "socket", "endpoint"))]

    def test_values(self) -> None:
        """An option in the file is as if it were typed."""
        text = 'port = 7\nmax-body = "2K"\nno-sync = true\nverbose = 2\n'
        options = self.options(text + 'endpoint = ["tcp:1"]\nkeep-logs = true\n')
        expected = parsed(*TYPED.split())
        self.assertEqual(options.given | {"no-config"}, expected.given)
        expected["config"], expected["no-config"] = self.path, False
        self.assertEqual(options, expected)

    def test_commandLineWins(self) -> None:
        """An option that is typed goes before the same in the file."""
        text = 'cache-size = 7\nverbose = 2\nno-sync = false\nhome = "/f"\n'
        options = self.options(text, "-m", "8", "-v", "-N")
        names = ("cache-size", "verbose", "no-sync", "home")
        self.assertEqual([options[name] for name in names], [8, 1, 1, "/f"])
        self.assertEqual(options.given, set(names))

    def test_places(self) -> None:
        """A socket or endpoint that is typed stands for every place in the file."""
        self.assertEqual(self.places(), [1, "::1", "/f", ["tcp:1"]])
        self.assertEqual(self.places("-s", "/c"), [None, "127.0.0.1", "/c", []])
        line = ("--endpoint", "tcp:2", "--endpoint", "tcp:3")
        expected: list[Any] = [None, "127.0.0.1", None, ["tcp:2", "tcp:3"]]
        self.assertEqual(self.places(*line), expected)
        self.assertEqual(self.places("-p", "2"), [2, "::1", "/f", ["tcp:1"]])
        expected = [2, "::1", "/f", ["tcp:2"]]
        self.assertEqual(self.places("-p", "2", "--endpoint", "tcp:2"), expected)

    def test_named(self) -> None:
        """--config names another file, and --no-config reads none."""
        self.options("port = 7\n")
        for words, port in (
            (["--config", self.path], 7),
            (["--config", "/dev/null"], 22201),
            (["--no-config"], 22201),
        ):
            options = Options()
            options.parseOptions(words)
            self.assertEqual(options["port"], port)
            shown = dict(options.settings())["config"]
            self.assertEqual(shown, words[1] if len(words) == 2 else "none")

    def test_outdated(self) -> None:
        """It is known whether the file changed, or came, since it was read."""
        outdated = self.options("port = 7\n")
        self.assertTrue(outdated.isOutdated())
        patched = self.patch(commandline, "time", lambda: time() + 3600)
        self.assertFalse(self.options("port = 7\n").isOutdated())
        patched.restore()
        os.unlink(self.path)
        self.assertFalse(outdated.isOutdated())
        options = Options()
        options.parseOptions([])
        self.assertFalse(options.isOutdated())
        self.options("port = 7\n")
        self.assertTrue(options.isOutdated())
        self.assertFalse(parsed().isOutdated())
        self.assertFalse(parsed().isOutdated([self.path + ".none"]))
        before = parsed()
        os.utime(self.path)
        self.assertTrue(before.isOutdated([self.path + ".none", self.path]))

    def test_refused(self) -> None:
        """A mistake in the file is one line, and so are two wills about it."""
        error = self.assertRaises(SystemExit, self.options, "\nport = 99999\n")
        self.assertEqual(
            str(error),
            f"memq: {self.path} line 3: port = 99999: "
            "must be a whole number from 0 to 65535",
        )
        error = self.assertRaises(SystemExit, parsed, "--config", "/dev/null")
        self.assertIn("--config and --no-config exclude each other", str(error))


class SettingsTests(SynchronousTestCase):
    """The settings that ``stats settings`` shows."""

    def test_all(self) -> None:
        """Every option of the store is there with its value, one word each."""
        rows = parsed("-a", "666", "--endpoint", "tcp:1", "-N").settings()
        found = dict(rows)
        without = meaningless("bdb")
        names = [each.name for each in SERVER if each.name not in without]
        self.assertEqual(list(found), names)
        self.assertEqual(
            [found[name] for name in ("port", "socket", "socket-mode", "trickle")],
            ["22201", "none", "0666", "0.5"],
        )
        self.assertEqual(
            [found[name] for name in ("no-sync", "keep-logs", "endpoint")],
            ["yes", "no", "tcp:1"],
        )
        self.assertEqual(dict(parsed().settings())["endpoint"], "none")

    def test_cluster(self) -> None:
        """Of a cluster there is no password among them."""
        address = "--rabbitmq=amqp://u:secret@a/v"
        found = dict(parsed("--store=rabbitmq", address).settings())
        self.assertEqual(found["rabbitmq"], "amqp://u@a:5672/v")
        self.assertNotIn("home", found)
        self.assertNotIn("secret", str(found))
