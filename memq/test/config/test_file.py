"""A configuration file says what the command line can, and a mistake is one line."""

from __future__ import annotations

import re
from typing import Any

from memq.config import file
from memq.config.file import NAMES, WEB_NAMES, Config, findConfig, readConfig
from memq.config.settings import KEYS, LIST, SERVER, WEB
from memq.errors import ConfigError
from memq.policy.rule import FIELDS, READS, WRITES, Rule
from memq.test.config.test_toml import TOMLTestCase
from memq.test.pages.pages import SKIP, readPage

PORT = "must be a whole number from 0 to 65535"


class ConfigTestCase(TOMLTestCase):
    """Has a configuration file to write to."""

    def read(self, text: str | bytes) -> Config:
        """Return what a file with this text says."""
        self.write(text)
        return readConfig(self.path)

    def refused(self, text: str | bytes) -> str:
        """Return why a file with this text is refused, without its path."""
        return self.why(self.assertRaises(ConfigError, self.read, text))


class ReadTests(ConfigTestCase):
    """Files that can be read."""

    def test_values(self) -> None:
        """Every kind of value becomes what the command line makes of it."""
        text = (
            'port = 0\nhome = "/h"\nsocket-mode = "0770"\nmax-body = "4M"\n'
            "min-free = 1_000\ntrickle = 0.25\ncheckpoint = 9\nno-sync = true\n"
            'keep-logs = false\nverbose = 2\nendpoint = [\n  "tcp:1",\n  "tcp:2",\n]\n'
            '[web]\nlisten = ""\nmetrics-listen = "unix:/s"\nhosts = ["A"]\n'
            'queue-metrics = ["a", "b*"]\nqueue-metrics-max = 0\n'
            'actions = "anyone"\nbodies = true\n'
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
            "web-listen": None,
            "web-metrics-listen": ("", 0, "/s"),
            "web-hosts": ("a",),
            "web-queue-metrics": (b"a", b"b*"),
            "web-queue-metrics-max": 0,
            "web-actions": "anyone",
            "web-bodies": True,
        }
        found = self.read("[server]\n" + text)
        self.assertEqual(found, Config(self.path, expected))

    def test_secret(self) -> None:
        """A value that may have a password in it is not told."""
        for value in ('"amqp://u:secret@a/v/w"', "1"):
            refusal = self.refused(f"[server]\nrabbitmq = {value}\n")
            self.assertIn("line 2: rabbitmq = ...: must be amqp:", refusal)

    def test_empty(self) -> None:
        """A file may say nothing."""
        for text in ("", "[server]\n", "# port = 1\n"):
            self.assertEqual(self.read(text), Config(self.path))

    def test_bytes(self) -> None:
        """Other line ends and a byte order mark are no matter."""
        found = self.read(b'\xef\xbb\xbf[server]\r\nhome = "/\xc3\xa9"\r\n')
        self.assertEqual(found.server, {"home": "/é"})

    def test_immutable(self) -> None:
        """Values that were read stay so."""
        server: object = self.read("[server]\nport = 1\n").server
        self.assertFalse(hasattr(server, "__setitem__"))

    def test_default(self) -> None:
        """Without a path the default is read, if it is there."""
        self.patch(file, "DEFAULT", self.path)
        self.assertEqual(findConfig(None), Config())
        self.read("[server]\nport = 1\n")
        self.assertEqual(findConfig(None), Config(self.path, {"port": 1}))
        self.assertEqual(findConfig("/dev/null"), Config("/dev/null"))
        self.assertRaises(ConfigError, findConfig, self.path + ".none")

    def test_unreadable(self) -> None:
        """The default is refused where nobody can tell what it says."""
        self.read("")
        self.patch(file, "DEFAULT", self.path + "/memq.toml")
        error = self.assertRaises(ConfigError, findConfig, None)
        self.assertEqual(self.why(error), "/memq.toml: Not a directory")


class PlaceTests(ConfigTestCase):
    """Where rules come from."""

    def test_lines(self) -> None:
        """Each value has its line, and a table may be locked."""
        text = (
            "[queue.a]\n\nmax_items = 1\nlocked = true\nmax_age = 2\n"
            '[queue."b*"]\nfanout = [\n"x",\n"y"]\npaused = "no"\nlocked = false\n'
        )
        first, second = self.read(text).queues
        self.assertEqual((first.locked, second.locked), (True, False))
        self.assertEqual(first.place("max_age"), f"{self.path}:5")
        self.assertEqual((first.lines, second.lines), ((3, 5), (7, 10)))
        self.assertEqual([*first.values], ["max_items", "max_age"])

    def test_locked(self) -> None:
        """It is locked or not."""
        why = self.refused('[queue.a]\nlocked = "yes"\n')
        self.assertIn(' line 2: locked = "yes": must be false or true', why)


class ValueTests(ConfigTestCase):
    """Values that are not allowed in a file."""

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
        self.assertIn("must be seconds", self.wrong("trickle = -0.0000001"))
        self.assertIn('max-body = "1G": must be bytes', self.wrong('max-body = "1G"'))
        self.assertIn('home = "": must be a path', self.wrong('home = ""'))
        self.assertIn("from 0 to 2", self.wrong("verbose = 3"))
        self.assertIn("a huge number: ", self.wrong("port = 0x" + "f" * 9999))

    def test_sizes(self) -> None:
        """A size is a number, or a text with a letter; its borders are allowed."""
        for text, name, value in (
            ("max-buffered = 1099511627776", "max-buffered", 1 << 40),
            ('min-free = "1t"', "min-free", 1 << 40),
            ('cache-size = "1G"', "cache-size", 1024),
            ("cache-size = 1000000", "cache-size", 1_000_000),
            ('log-buffer = "16M"', "log-buffer", 16384),
            ('page-size = "64k"', "page-size", 65536),
            ("trickle = 1e-7", "trickle", 1e-7),
            ("trickle = 0.30000000000000004", "trickle", 0.30000000000000004),
        ):
            self.assertEqual(self.read(f"[server]\n{text}\n").server, {name: value})
        for text in ("1099511627776", '"1T"', '"1024G"'):
            [table] = self.read(f"[queue.q]\nmax_bytes = {text}\n").queues
            self.assertEqual(table.values, {"max_bytes": 1 << 40})

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
            f"x = 1: is no option; there are {NAMES[0]}, {NAMES[1]},",
            self.wrong("x = 1"),
        )
        self.assertIn("the nearest is port", self.wrong("[server.prot]"))
        self.assertEqual(
            self.wrong("web-listen = 1"), "web-listen = 1: is listen below [web]"
        )
        self.assertEqual(
            self.refused("[web]\nlisen = 1\n"),
            " line 2: lisen = 1: is no option; the nearest is listen",
        )

    def test_commandLineOnly(self) -> None:
        """An option about the command line does not stand in a file."""
        for name in ("config", "no-config", "help", "version"):
            self.assertNotIn(name, NAMES)
            self.assertEqual(
                self.wrong(f"{name} = true"),
                f"{name} = true: can be given on the command line only",
            )

    def test_tables(self) -> None:
        """There are three kinds of tables, and nothing above them."""
        for text, why in (
            (
                "\n[serve]\n",
                " line 2: [serve]: is not known here; there are [serv",
            ),
            ("port = 1\n", " line 1: port = 1: is not known here; options stand below"),
            ("token = 'x'\n", " line 1: token = ...: is not known here; options stand"),
            ("[server]\nword = 'x'\n", " line 2: word = ...: is no option; there are"),
            ("server = 1\n", " line 1: server = 1: must be one table"),
            ("web = 1\n", " line 1: web = 1: must be one table"),
            ("\n[[server]]\n", " line 2: server = [...]: must be one table"),
            ("queue = 1\n", ' line 1: queue = 1: must be tables, [queue."NAME"]'),
            ("[[queue]]\n", ' line 1: queue = [...]: must be tables, [queue."NAME"]'),
            ("[queue]\n\npaused = 1\n", " line 3: paused = 1: must stand below [que"),
            ("[[queue.q]]\n", ' line 1: q = [...]: must stand below [queue."NAME"]'),
        ):
            self.assertIn(why, self.refused(text))

    def test_shown(self) -> None:
        """A value that is shown is short, and fits into a line."""
        self.assertIn('store = "a\\nb": must be', self.wrong(r'store = "a\nb"'))
        self.assertIn('store = "数据": must be', self.wrong('store = "数据"'))
        self.assertIn("x" * 60 + '...": must', self.wrong(f'store = "{"x" * 999}"'))
        self.assertIn('"a\\u0001 b" = 1: is', self.wrong(r'"a\u0001 b" = 1'))


class QueueTests(ConfigTestCase):
    """The tables of queues."""

    def values(self, text: str) -> dict[str, Any]:
        """Return what the keys of a table become."""
        return dict(self.read(f"[queue.q]\n{text}").queues[0].values)

    def wrong(self, text: str, name: str = "q") -> str:
        """Return why a line of a table is refused."""
        found = self.refused(f'[server]\n[queue."{name}"]\n\n{text}\n\n#\n')
        self.assertTrue(found.startswith(" line 4: "), found)
        return found.removeprefix(" line 4: ")

    def test_values(self) -> None:
        """Every key becomes what a rule has."""
        found = self.values(
            'max_items = 10\nmax_bytes = "10M"\noverflow = "drop-oldest"\n'
            "max_age = 1.5\nhonor_exptime = true\nopen_timeout = 30\n"
            "max_open = 7\n"
            'max_deliveries = 3\ndead_letter = "dead"\nexpired_to = "死"\n'
            'fanout = ["a", "b.c"]\nfanout_only = true\npaused = "both"\n'
            "remove_when_idle = 0.25\n"
        )
        expected = {
            "max_items": 10,
            "max_bytes": 10 * 1024 * 1024,
            "overflow": True,
            "max_age": 1500,
            "honor_exptime": True,
            "open_timeout": 30.0,
            "max_open": 7,
            "max_deliveries": 3,
            "dead_letter": b"dead",
            "expired_to": "死".encode(),
            "fanout": (b"a", b"b.c"),
            "fanout_only": True,
            "paused": READS | WRITES,
            "remove_when_idle": 0.25,
        }
        self.assertEqual(found, expected)
        self.assertEqual(sorted(found), sorted(KEYS))

    def test_nothing(self) -> None:
        """Every key can be set back to nothing."""
        nothing = (
            'max_items = 0\nmax_bytes = 0\noverflow = "reject"\nmax_age = 0\n'
            "honor_exptime = false\nopen_timeout = 0\nmax_open = 0\n"
            'max_deliveries = 0\ndead_letter = ""\nexpired_to = ""\n'
            "fanout = []\nfanout_only = false\n"
            'paused = "no"\nremove_when_idle = 0\n'
        )
        limit = '[queue."*"]\nmax_items = 1\n'
        found = self.read(f"[queue.q]\n{nothing}{limit}").queues[0].values
        self.assertEqual(list(found), list(KEYS))
        for name, value in found.items():
            default = Rule._field_defaults[FIELDS[name]]
            self.assertEqual(value, default, name)

    def test_order(self) -> None:
        """Tables keep the order of the file, under the bytes of their names."""
        found = self.read('[queue."b*"]\n[server]\n[queue.a]\n[queue."é.x"]\n').queues
        names = [table.name for table in found]
        self.assertEqual(names, [b"b*", b"a", "é.x".encode()])

    def test_names(self) -> None:
        """A table is named by what can be a queue's name."""
        for name in ("", " ", "a b", "a/b", "x" * 251, r"\u0000", r"\u007f", "é" * 126):
            found = self.refused(f'\n[queue."{name}"]\n')
            self.assertTrue(found.startswith(" line 2: [queue."), found)
            self.assertIn("must be named by a queue or a pattern, 1 to 250", found)
        for name in ("x" * 250, "é*"):
            (table,) = self.read(f'[queue."{name}"]\n').queues
            self.assertEqual(table.name, name.encode())

    def test_dots(self) -> None:
        """A name whose dots are not in quotes is told what to do."""
        self.assertEqual(
            self.refused("[queue.a.b]\npaused = true\n"),
            " line 1: b = {...}: is no key; a name with a dot stands in quotes, as in "
            '[queue."a.b"]',
        )

    def test_keys(self) -> None:
        """A key that there is not is told the nearest, or how it is written."""
        for text, why in (
            ("max-items = 1", "max-items = 1: is written max_items here"),
            ("maxitems = 1", "maxitems = 1: is no key; the nearest is max_items"),
            ("port = 1", "port = 1: is no key; there are max_items, max_bytes, "),
        ):
            self.assertIn(why, self.wrong(text))

    def test_ranges(self) -> None:
        """A value is told what is allowed."""
        for text, why in (
            ("max_items = -1", "max_items = -1: must be a whole number from 0 to"),
            ("max_items = true", "must be a whole number from 0 to 9999999999"),
            ('max_items = "1"', "must be a whole number from 0 to 9999999999, without"),
            ('max_bytes = "2T"', 'max_bytes = "2T": must be bytes, from 0 to'),
            ("max_age = 31536001", "must be seconds, from 0 (off) to 31536000"),
            ("open_timeout = -1", "must be seconds"),
            ("remove_when_idle = inf", "must be seconds"),
            ("max_open = 10001", "must be a whole number from 0 to 10000"),
            ("max_deliveries = 1.0", "must be a whole number from 0 to 1000000"),
            ('overflow = "drop"', 'overflow = "drop": must be reject or drop-oldest'),
            ("honor_exptime = 1", "honor_exptime = 1: must be false or true"),
            ('fanout_only = "true"', "must be false or true, without quotes"),
            ('paused = "write"', "must be no, reads, writes or both"),
            ("paused = true", "must be no, reads, writes or both, in quotes"),
            ('dead_letter = "a b"', 'dead_letter = "a b": must be the name of a queue'),
            ('dead_letter = "a*"', '/, *, ? and [; or "" for none'),
            ('expired_to = "a/b"', "must be the name of a queue, 1 to 250 bytes"),
            ('fanout = "a"', 'fanout = "a": must be a list of texts in quotes, [...]'),
            ('fanout = ["a", ""]', "fanout = [...]: must be the name of a queue"),
            ('fanout = ["a?"]', "without blanks, control bytes, /, *, ? and ["),
        ):
            self.assertIn(why, self.wrong(text))

    def test_together(self) -> None:
        """A conflict of tables is told with the line of the key."""
        self.assertEqual(
            self.wrong('overflow = "reject"'),
            'overflow = "reject": there is no max_items and no max_bytes for it',
        )
        self.assertEqual(
            self.wrong("fanout_only = true"),
            "fanout_only = true: there is no fanout for it",
        )
        self.assertEqual(
            self.wrong('fanout = ["a", "q"]'),
            "fanout = [...]: a queue would hand on to itself: q -> q",
        )
        self.assertEqual(
            self.wrong(r'dead_letter = "x\u200b"', "*"),
            'dead_letter = "x\\u200b": a queue would hand on to itself: "x\\u200b" -> '
            '"x\\u200b"; a table further down can say otherwise for one queue',
        )


class SampleTests(ConfigTestCase):
    """etc/memq.toml, which is installed."""

    skip = SKIP

    def setUp(self) -> None:
        """Read it."""
        super().setUp()
        self.sample = readPage("etc/memq.toml")

    def uncommented(self) -> Config:
        """Return what it would say without its comments."""
        return self.read(re.sub(r"^#(?=[a-z_-]+ = |\[)", "", self.sample, flags=re.M))

    def test_silent(self) -> None:
        """As it is, it changes nothing."""
        self.assertEqual(self.read(self.sample).server, {})
        bare = [line for line in self.sample.splitlines() if line[:1] not in ("", "#")]
        self.assertEqual(bare, ["[server]", "[web]"])
        self.assertEqual(self.read(self.sample).queues, ())

    def test_complete(self) -> None:
        """It has every option, with its default or an example."""
        found = dict(self.uncommented().server)
        web = [WEB + name for name in WEB_NAMES]
        self.assertEqual(sorted(found), sorted(NAMES + web))
        for setting in SERVER:
            if setting.default is not None and setting.name in found:
                value = setting.parse(setting.default)
                if setting.kind is LIST:
                    value = (value,)
                self.assertEqual(found[setting.name], value, setting.name)

    def test_queues(self) -> None:
        """It has a table with every key, which can be taken as it is."""
        (table,) = self.uncommented().queues
        self.assertEqual(list(table.values), list(KEYS))
