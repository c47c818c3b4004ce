"""Words of a line."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import UnknownCommand
from memq.wire.forms import PLAIN, SILENT
from memq.wire.words import MAX_NUMBER, Refused, isName, number, syntax


class WordTests(SynchronousTestCase):
    """Names, numbers and arguments."""

    def test_names(self) -> None:
        """A name has 1 to 250 bytes, and neither blank, control byte nor slash."""
        for name in (b"q", b"n" * 250, b"..", "队列".encode(), b"noreply", b"\xff"):
            self.assertTrue(isName(name), name)
        for name in (b"", b"n" * 251, b"a b", b"a\tb", b"a\n", b"\x7f", b"a/b", b"/"):
            self.assertFalse(isName(name), name)

    def test_numbers(self) -> None:
        """A number is up to ten digits and no more than it may be."""
        for word, most, expected in (
            (b"0", 0, 0),
            (b"007", 7, 7),
            (b"8", 7, None),
            (b"9999999999", MAX_NUMBER, MAX_NUMBER),
            (b"00000000001", MAX_NUMBER, None),
            (b"", 5, None),
            (b"-1", 5, None),
            (b"+1", 5, None),
            (b"1.0", 5, None),
            ("٣".encode(), 5, None),
        ):
            self.assertEqual(number(word, most), expected, word)
        self.assertEqual(number(b"6", 7, 6), 6)
        self.assertIsNone(number(b"5", 7, 6))

    def test_syntax(self) -> None:
        """A command takes its arguments, and perhaps noreply, and nothing else."""
        parse = syntax(dict, least=1, silentFrom=2)
        self.assertEqual(parse([b"word"]), {})
        self.assertEqual(parse([b"word", b"noreply"]), {"form": SILENT})
        parse = syntax(dict)
        for words in ([b"word", b"noreply"], [b"word", b"more"]):
            refused = parse(words)
            assert isinstance(refused, Refused)
            self.assertIsInstance(refused.error, UnknownCommand)
            self.assertEqual((refused.size, refused.form), (None, PLAIN))
