"""The tables of settings."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.config.settings import (
    DECIMAL,
    HELP,
    KEYS,
    LIST,
    OPTIONS,
    QUEUE,
    SERVER,
    inForce,
)
from memq.policy.rule import FIELDS, READS, WRITES, Rule


class TableTests(SynchronousTestCase):
    """Promises of every row; test_commandline and test_file have those of one."""

    def test_names(self) -> None:
        """No two have a name or a letter in common."""
        letters = [each.letter for each in SERVER if each.letter]
        self.assertEqual(len(letters), len(set(letters)))
        self.assertEqual((len(OPTIONS), len(KEYS)), (len(SERVER), len(QUEUE)))

    def test_help(self) -> None:
        """Each option that usage.Options does not describe by itself has its help."""
        lists = {each.name for each in SERVER if each.kind is LIST}
        described = set(OPTIONS) - {"verbose"} - lists
        self.assertEqual(set(HELP), described)

    def test_nothing(self) -> None:
        """None allows a NUL, so that each can say what it allows."""
        for setting in (*SERVER, *QUEUE):
            if setting.name != "endpoint":
                error = self.assertRaises(ValueError, setting.parse, "\0")
                self.assertTrue(str(error).startswith("must be "), setting.name)


class KeyTests(SynchronousTestCase):
    """The keys of a [queue] table; the words they refuse with are in test_file."""

    def test_same(self) -> None:
        """There is a key for each field that a table can say, in the same order."""
        self.assertEqual(list(KEYS), list(FIELDS))

    def test_settings(self) -> None:
        """The options in force are shown as they stand in the file, nothing else."""
        self.assertEqual(inForce(Rule()), [])
        rule = Rule(
            maxItems=9,
            maxBytes=1024,
            dropOldest=True,
            maxAgeMs=1500,
            honorExptime=True,
            openSeconds=31_536_000.0,
            maxOpen=10_000,
            maxDeliveries=3,
            deadLetter=b"dead",
            expiredTo="死".encode(),
            fanout=(b"a", b"b"),
            fanoutOnly=True,
            paused=WRITES,
            idleSeconds=0.000001,
            reaches=(b"a", b"b"),
        )
        expected = [
            ("max_items", "9"),
            ("max_bytes", "1024"),
            ("overflow", "drop-oldest"),
            ("max_age", "1.5"),
            ("honor_exptime", "true"),
            ("open_timeout", "31536000"),
            ("max_open", "10000"),
            ("max_deliveries", "3"),
            ("dead_letter", "dead"),
            ("expired_to", "死"),
            ("fanout", "a,b"),
            ("fanout_only", "true"),
            ("paused", "writes"),
            ("remove_when_idle", "0.000001"),
        ]
        self.assertEqual(inForce(rule), expected)
        self.assertEqual(inForce(Rule(paused=READS | WRITES)), [("paused", "both")])

    def test_thereAndBack(self) -> None:
        """The text that is shown of a value makes that value."""
        for name, texts in (
            ("max_bytes", ("0", "10")),
            ("overflow", ("reject", "drop-oldest")),
            ("max_age", ("0", "0.001", "4.1", "31536000")),
            ("fanout_only", ("false", "true")),
            ("paused", ("no", "reads", "writes", "both")),
            ("open_timeout", ("0", "0.5", "86400.25")),
            ("dead_letter", ("a.b", "é]!")),
        ):
            for text in texts:
                self.assertEqual(KEYS[name].show(KEYS[name].parse(text)), text)

    def test_shortTimes(self) -> None:
        """No time but 0 becomes none."""
        self.assertEqual(KEYS["max_age"].parse("0.000001"), 1)
        for key in KEYS.values():
            if key.kind is DECIMAL:
                self.assertGreater(key.parse("0.000001"), 0)
