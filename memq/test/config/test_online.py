"""Online rules are whole in their file, are read behind the other one, and are kept."""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from memq.config import online
from memq.config.file import readConfig
from memq.config.online import (
    Book,
    Change,
    OnlineFile,
    changed,
    openOnline,
    overruled,
    together,
)
from memq.config.ruletext import tableText
from memq.errors import (
    ConfigError,
    DamagedHome,
    HomeGone,
    RulesNotKept,
    RulesRefused,
)
from memq.policy.rules import Rules, Table
from memq.storage.datadir.home import Home


def table(name: bytes, **values: Any) -> Table:
    """Return a table that is in no file."""
    return Table(name, MappingProxyType(values))


class OnlineTestCase(SynchronousTestCase):
    """A home with online rules."""

    def setUp(self) -> None:
        """Make it."""
        self.home = Home(os.path.abspath(self.mktemp()))
        self.home.prepare()
        self.addCleanup(self.home.release)
        self.path = os.path.join(self.home.directory, "rules.toml")
        self.file = OnlineFile(self.home)
        self.book = self.file.read()

    def change(self, name: bytes, **values: Any) -> None:
        """Set keys, and write that down."""
        self.do(Change(name, values))

    def do(self, change: Change) -> None:
        """Make a change, and write that down."""
        tables = self.file.placed(changed(self.book.tables, change))
        self.book = self.file.write(self.book, tables, change.name)

    def text(self) -> str:
        """Return what is in the file."""
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    def write(self, text: str) -> None:
        """Let the file say something, as a person does."""
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def refused(self, name: bytes = b"r", **values: Any) -> str:
        """Return why a change cannot be; it leaves all as it is."""
        before = self.book, os.path.exists(self.path) and self.text()
        values = values or {"max_items": 2}
        error = self.assertRaises(RulesRefused, self.change, name, **values)
        now = self.book, os.path.exists(self.path) and self.text()
        self.assertEqual(now, before)
        self.assertFalse(os.path.exists(self.path + ".new"))
        return str(error)


class FileTests(OnlineTestCase):
    """The file."""

    def test_thereAndBack(self) -> None:
        """What is written is read again, with the lines on which it stands."""
        self.assertEqual(self.book, Book())
        self.change(b"q", max_items=1, paused=2)
        self.change("队".encode(), fanout=(b"a", b"b"))
        self.change(b"r*", dead_letter=None, open_timeout=0.5)
        self.change(b"q", max_items=7)
        found = self.file.read(self.book)
        lines = self.text().splitlines()
        for each, again in zip(self.book.tables, found.tables, strict=True):
            self.assertEqual((each.name, each.values), (again.name, again.values))
            for key in each.values:
                self.assertEqual(each.place(key), again.place(key))
                line = each.line(key)
                assert line is not None
                self.assertTrue(lines[line - 1].startswith(f"{key} = "))
        self.assertEqual(found.texts, self.book.texts)
        self.assertEqual(found.seen, self.book.seen)
        self.assertEqual([each.name for each in found.tables][:2], [b"r*", b"q"])

    def test_empty(self) -> None:
        """When the last rule is gone, the file stays, without any."""
        self.change(b"q", max_items=1)
        self.do(Change(b"q", removed=None))
        self.assertEqual(self.book.tables, ())
        self.assertNotIn("[queue", self.text())
        self.assertEqual(self.file.read(self.book).tables, ())

    def test_memory(self) -> None:
        """Without a home they are in no file, and are nowhere else."""
        self.file = OnlineFile(None)
        self.book = self.file.read()
        self.change(b"q", max_items=1)
        self.assertEqual(self.book.tables[0].place("max_items"), "memory")
        self.assertEqual(self.file.read(self.book), self.book)
        self.assertEqual(openOnline(None, (), False).book, Book())

    def test_full(self) -> None:
        """On a disk that is full nothing changes, and that is told."""
        self.change(b"q", max_items=1)

        def fail(path: str) -> None:
            raise OSError(28, "No space left on device", path)

        self.patch(os, "fsync", fail)
        self.assertEqual(self.refused(), f"{self.path}: No space left on device")

    def test_otherwise(self) -> None:
        """Nor when what can be read is not what was written."""
        compare = online._compare
        self.patch(online, "_compare", lambda path, data: compare(path, data + b"#"))
        self.assertIn("what was written is not what can be read", self.refused())

    def test_unwritable(self) -> None:
        """A table that would mean something else is not written."""
        wrong = tableText(table(b"r", max_items=3))
        self.patch(online, "tableText", lambda table: wrong)
        self.assertIn("[queue.r] cannot be written down", self.refused())

    def test_large(self) -> None:
        """There is an end of how many there may be: all have to be read again."""
        self.patch(online, "LARGEST", 300)
        self.change(b"q", max_items=1)
        self.assertIn("would have more than 300 bytes", self.refused(b"r" * 200))

    def test_byHand(self) -> None:
        """A file that was changed by hand is not written over, until it is read."""
        self.change(b"q", max_items=1)
        self.write("[queue.q]\nmax_items = 5\n")
        self.assertIn("was changed by hand: have it read first", self.refused())
        self.book = self.file.read(self.book)
        self.change(b"r", max_items=2)
        self.assertIn('[queue."q"]\nmax_items = 5\n', self.text())
        os.remove(self.path)
        self.assertIn("was changed by hand", self.refused())

    def test_gone(self) -> None:
        """A file that is gone is not taken for one without rules."""
        self.change(b"q", max_items=1)
        os.remove(self.path)
        error = self.assertRaises(ConfigError, self.file.read, self.book)
        self.assertIn(f"{self.path}: is gone", str(error))
        # At a start, nobody knows that there was one.
        self.assertEqual(self.file.read(), Book())

    def test_moved(self) -> None:
        """In a home that was moved away nothing is written down."""
        os.rename(self.home.path, self.home.path + ".moved")
        self.assertRaises(HomeGone, self.change, b"q", max_items=1)
        self.assertFalse(os.path.exists(f"{self.home.path}.moved/memq/rules.toml"))

    def test_unreadable(self) -> None:
        """What cannot be read is refused, with the name that a person knows."""
        os.mkdir(self.path)
        error = self.assertRaises(ConfigError, self.file.read)
        self.assertEqual(str(error), f"{self.path}: Is a directory")

        def refuse(path: str) -> None:
            raise PermissionError(13, "Permission denied", path)

        self.patch(os, "stat", refuse)
        error = self.assertRaises(ConfigError, self.file.read)
        self.assertEqual(str(error), f"{self.path}: Permission denied")
        self.patch(self.home, "check", lambda: None)
        error = self.assertRaises(RulesNotKept, self.change, b"q", max_items=1)
        self.assertEqual(str(error), f"{self.path}: Permission denied")

    def test_mistakes(self) -> None:
        """A mistake has file and line; there are rules of queues and nothing else."""
        for text, why in (
            ("[queue.q]\nmax_items = -1\n", " line 2: max_items = -1: must be"),
            ("[queue.q]\nlocked = true\n", " line 2: locked = true: stands in the c"),
            ("\n[server]\nport = 1\n", " line 2: [server]: is not known here"),
            ("port = 1\n", " line 1: port: is not known here; there is [queue"),
            ("[queue\n", " line 1: "),
        ):
            self.write(text)
            error = self.assertRaises(ConfigError, self.file.read)
            self.assertTrue(str(error).startswith(self.path + why), str(error))


class ChangedTests(SynchronousTestCase):
    """Where a change goes."""

    def test_order(self) -> None:
        """What is said of one queue stands behind all patterns, and so counts more."""
        tables: Any = ()
        for name in (b"b", b"a*", b"a", b"*", b"b", b"a*"):
            tables = changed(tables, Change(name, {"max_items": len(tables)}))
        self.assertEqual([each.name for each in tables], [b"a*", b"*", b"b", b"a"])

    def test_keys(self) -> None:
        """Keys are set, replaced and removed; without any the table goes."""
        tables: Any = [table(b"q", max_items=1, max_age=2), table(b"r", max_age=1)]
        for change, values in (
            (Change(b"q", {"max_items": 3}), {"max_items": 3, "max_age": 2}),
            (Change(b"q", removed=("max_age", "paused")), {"max_items": 3}),
            (
                Change(b"q", {"paused": 1, "max_age": 1}, None),
                {"paused": 1, "max_age": 1},
            ),
        ):
            tables = changed(tables, change)
            self.assertEqual(dict(tables[0].values), values)
        self.assertEqual(len(changed(tables, Change(b"q", removed=None))), 1)
        self.assertEqual(len(tables), 2)

    def test_nothing(self) -> None:
        """What changes nothing is told from what does."""
        tables = [table(b"q", max_items=1)]
        for change in (
            Change(b"q", {"max_items": 1}),
            Change(b"q", removed=("max_age",)),
            Change(b"r", removed=None),
        ):
            self.assertIs(changed(tables, change), tables)


class TogetherTests(OnlineTestCase):
    """Rules of both files."""

    def read(self, text: str) -> tuple[Table, ...]:
        """Return what a configuration file says."""
        self.config = os.path.abspath(self.mktemp())
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)
        return readConfig(self.config).queues

    def test_last(self) -> None:
        """The online ones count more, but for what is locked."""
        tables = self.read(
            "[queue.q]\nmax_items = 1\npaused = 'reads'\n[queue.r]\nlocked = true\n"
            "max_items = 1\n"
        )
        self.change(b"*", max_items=9, max_age=500)
        rules = together(tables, self.book.tables)
        told = {
            queue: {key: each.place(key) for key, each in rules.deciding(queue).items()}
            for queue in (b"q", b"r", b"s")
        }
        mine, theirs = self.path, self.config
        self.assertEqual(
            told,
            {
                b"q": {
                    "max_items": f"{mine}:5",
                    "paused": f"{theirs}:3",
                    "max_age": f"{mine}:6",
                },
                b"r": {"max_items": f"{theirs}:6", "max_age": f"{mine}:6"},
                b"s": {"max_items": f"{mine}:5", "max_age": f"{mine}:6"},
            },
        )
        (line,) = overruled(rules, self.book.tables)
        self.assertIn(f"{mine}:5: max_items has no effect where {theirs}:6", line)
        with capturedLogs() as events:
            openOnline(self.home, tables, False)
        self.assertEqual([formatEvent(event) for event in events], [line])

    def test_apart(self) -> None:
        """Rules that do not go together are refused, with the place of one."""
        self.change(b"q", dead_letter=b"dead")
        tables = self.read('[queue.dead]\ndead_letter = "q"\n')
        error = self.assertRaises(ConfigError, together, tables, self.book.tables)
        begin = f'{self.path} line 5: dead_letter = "dead": a queue would hand on to'
        self.assertTrue(str(error).startswith(begin), str(error))
        self.assertIsInstance(together(tables, ()), Rules)

    def test_start(self) -> None:
        """A start with a mistake is refused, and --skip-damaged sets the file aside."""
        for number in ("", ".2", ".3"):
            self.write("[queue.q]\nmax_items = -1\n")
            error = self.assertRaises(DamagedHome, openOnline, self.home, (), False)
            self.assertIn(f"{self.path} line 2: ", str(error))
            self.assertIn("--skip-damaged", str(error))
            with capturedLogs() as events:
                found = openOnline(self.home, (), True)
            self.assertEqual(found.book, Book())
            aside = f"{self.path}.damaged{number}"
            self.assertIn(f"{aside}: ", str(formatEvent(events[0])))
            self.assertTrue(os.path.exists(aside))
            self.assertFalse(os.path.exists(self.path))
