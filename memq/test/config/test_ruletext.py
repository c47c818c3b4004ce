"""Values of rules as words and as TOML are read as what they were made of."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.config.file import ruleValue
from memq.config.ruletext import readName, readWord, tableText, tomlValue, word
from memq.policy.rule import FIELDS
from memq.policy.rules import Table
from memq.wire.words import isName

#: All that a name may have and that means something elsewhere.
_LETTERS = some.sampled_from("a,.\"'[]{}#=\\-*?!%\u00a0\u0085\u2028é队\U0001f600\ufeff")
_NAMES = some.text(_LETTERS, min_size=1, max_size=8).map(str.encode)
_QUEUES = _NAMES.filter(lambda name: not {*name} & {*b"*?["})
_VALUES: dict[str, some.SearchStrategy[Any]] = {
    "max_items": some.integers(0, 9_999_999_999),
    "max_bytes": some.integers(0, 1 << 40),
    "overflow": some.booleans(),
    "max_age": some.integers(0, 31_536_000_000),
    "honor_exptime": some.booleans(),
    "open_timeout": some.floats(0, 31_536_000, allow_subnormal=False),
    "max_open": some.integers(0, 10_000),
    "max_deliveries": some.integers(0, 1_000_000),
    "dead_letter": some.none() | _QUEUES,
    "expired_to": some.none() | _QUEUES,
    "fanout": some.lists(_QUEUES, max_size=4).map(tuple),
    "fanout_only": some.booleans(),
    "paused": some.integers(0, 3),
    "remove_when_idle": some.floats(0, 31_536_000, allow_subnormal=False),
}
_TABLES = some.builds(Table, _NAMES, some.fixed_dictionaries({}, optional=_VALUES))


class ThereAndBackTests(SynchronousTestCase):
    """Whatever a table says."""

    def test_keys(self) -> None:
        """All keys are tried."""
        self.assertEqual({*_VALUES}, {*FIELDS})

    @given(_TABLES)
    def test_toml(self, table: Table) -> None:
        """A table that is written down means what it meant."""
        found = tomllib.loads(tableText(table).decode())
        self.assertEqual([*found], ["queue"])
        ((name, keys),) = found["queue"].items()
        values = {key: ruleValue(key, value) for key, value in keys.items()}
        self.assertEqual((name.encode(), values), (table.name, table.values))

    @given(_TABLES)
    def test_words(self, table: Table) -> None:
        """A value as a word is read as that value, and a word it is."""
        for key, value in table.values.items():
            said = word(key, value)
            self.assertNotRegex(said.encode(), rb"[\x00-\x20\x7f]")
            self.assertEqual(readWord(key, said), value, said)

    def test_longestName(self) -> None:
        """The longest name is no matter, nor the oddest."""
        for name in (b'"' * 250, b"'" * 250, b"\\" * 250, b"]#" * 125):
            table = Table(name, {"dead_letter": name.replace(b"]", b".")})
            found = tomllib.loads(tableText(table).decode())["queue"]
            self.assertEqual([*found], [name.decode()])


class WordTests(SynchronousTestCase):
    """Words, as people write them."""

    def test_plain(self) -> None:
        """They have no quotes where none are needed."""
        for key, value, said in (
            ("max_items", 5, "5"),
            ("open_timeout", 60.0, "60"),
            ("open_timeout", 0.5, "0.5"),
            ("max_age", 1500, "1.5"),
            ("overflow", True, "drop-oldest"),
            ("paused", 3, "both"),
            ("dead_letter", b"dead", "dead"),
            ("dead_letter", None, '""'),
            ("dead_letter", b'""', r'"\"\""'),
            ("fanout", (b"a", b"b"), "a,b"),
            ("fanout", (), "[]"),
            ("fanout", (b"a,b",), '["a,b"]'),
            ("fanout", (b'"',), r'["\""]'),
        ):
            self.assertEqual((word(key, value), readWord(key, said)), (said, value))

    def test_sizes(self) -> None:
        """A size may have a letter, with quotes or without."""
        for said in ("1024", "1K", "1k", '"1K"'):
            self.assertEqual(readWord("max_bytes", said), 1024)
        self.assertEqual(tomlValue("max_bytes", 1024), "1024")

    def test_wrong(self) -> None:
        """What cannot be is refused in the words of the configuration file."""
        for key, said, why in (
            ("max_item", "5", "is no key; the nearest is max_items"),
            ("max-items", "5", "is written max_items here"),
            ("locked", "true", "stands in the configuration file only"),
            ("max_items", "-1", "must be a whole number from 0 to 9999999999"),
            ("max_items", '"5"', "without quotes"),
            ("paused", "yes", "must be no, reads, writes or both"),
            ("dead_letter", '"', "is not TOML"),
            ("dead_letter", "a*", "must be the name of a queue"),
            ("dead_letter", "[" * 5000, "is not TOML"),
            ("fanout", "a,,b", "must be the name of a queue"),
            ("fanout", '""', "must be a list of texts"),
            ("honor_exptime", "1", "must be false or true"),
        ):
            error = self.assertRaises(ValueError, readWord, key, said)
            self.assertIn(why, str(error))

    def test_names(self) -> None:
        """A name has to be UTF-8, since a file has to have it."""
        for name in (b"a", "队*".encode(), b"[a-c]?"):
            self.assertEqual(readName(name), name)
            self.assertTrue(isName(name))
        error = self.assertRaises(ValueError, readName, b"a\xff")
        self.assertIn("is not UTF-8", str(error))
        self.assertRaises(ValueError, readName, b"a/b")
