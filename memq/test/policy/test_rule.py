"""A rule has a default for everything, and shows what differs from it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.config.options import DECIMAL, LIST
from memq.policy.rule import KEYS, READS, WRITES, Rule, isPattern, quoted, tableName


class RuleTests(SynchronousTestCase):
    """What holds for a queue."""

    def test_nothing(self) -> None:
        """By default nothing holds, and nothing is shown."""
        self.assertFalse(any(Rule()))
        self.assertEqual(Rule().settings(), [])

    def test_settings(self) -> None:
        """What is in force is shown as it stands in the file."""
        rule = Rule(
            maxItems=9,
            maxBytes=1024,
            dropOldest=True,
            maxAgeMs=1500,
            honorExptime=True,
            openSeconds=31_536_000.0,
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
            ("max_deliveries", "3"),
            ("dead_letter", "dead"),
            ("expired_to", "死"),
            ("fanout", "a,b"),
            ("fanout_only", "true"),
            ("paused", "writes"),
            ("remove_when_idle", "0.000001"),
        ]
        self.assertEqual(rule.settings(), expected)
        self.assertEqual(Rule(paused=READS | WRITES).settings(), [("paused", "both")])

    def test_keys(self) -> None:
        """Every field can be said in a file but the one that is worked out."""
        fields = [key.field for key in KEYS.values()]
        self.assertEqual([*fields, "reaches"], list(Rule._fields))


class KeyTests(SynchronousTestCase):
    """The parsers of the keys; the words they refuse with are in test_config."""

    def test_nothing(self) -> None:
        """No key allows a NUL, so that each can say what it allows."""
        for name, key in KEYS.items():
            error = self.assertRaises(ValueError, key.parse, "\0")
            self.assertTrue(str(error).startswith("must be "), name)

    def test_thereAndBack(self) -> None:
        """What is shown of a value is what makes it."""
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
            if key.kinds == DECIMAL:
                self.assertGreater(key.parse("0.000001"), 0)

    def test_lists(self) -> None:
        """Of a list each text is parsed for itself."""
        lists = [name for name, key in KEYS.items() if key.kinds == LIST]
        self.assertEqual(lists, ["fanout"])
        self.assertEqual(KEYS["fanout"].parse("a"), b"a")
        self.assertRaises(ValueError, KEYS["fanout"].parse, "")


class NameTests(SynchronousTestCase):
    """Names of tables and queues."""

    def test_patterns(self) -> None:
        """A pattern has a star, a question mark or a bracket in it."""
        for name in (b"*", b"a?", b"[a]", b"a["):
            self.assertTrue(isPattern(name))
        for name in (b"a", b"a]", b"!-", "é".encode()):
            self.assertFalse(isPattern(name))

    def test_tables(self) -> None:
        """A table can have a name that a queue can have."""
        self.assertEqual(tableName("é*"), "é*".encode())
        for text in ("", " ", "a/b", "\x7f", "x" * 251):
            self.assertRaises(ValueError, tableName, text)

    def test_quoted(self) -> None:
        """A name is shown in one line, whatever is in it."""
        self.assertEqual(quoted(b"a-1"), "a-1")
        self.assertEqual(quoted("é\u200b".encode()), r'"\u00e9\u200b"')
        self.assertEqual(quoted(b"\xff"), r'"\\xff"')
