"""Each name of a queue has one text, and each text is one name."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from memq.web.api.names import named, namedField, shown
from memq.wire.words import isName

NAMES = st.binary(min_size=1, max_size=250).filter(isName)


class NameTests(SynchronousTestCase):
    """Names, and what is none."""

    @given(NAMES)
    def test_all(self, name: bytes) -> None:
        """Every name comes back, from JSON and from a path."""
        told = shown(name)
        self.assertEqual(namedField(told), name)
        self.assertEqual(named(unquote_to_bytes(quote(told, safe=""))), name)

    def test_bytes(self) -> None:
        """A path may also have the bytes of a name as they are."""
        for text, name in (
            (b"\xff", b"\xff"),
            (b"hex:ff", b"\xff"),
            (b"hex:6865783a61", b"hex:a"),
            (b"Hex:a", b"Hex:a"),
            (b"a" * 250, b"a" * 250),
        ):
            self.assertEqual(named(text), name)

    def test_wrong(self) -> None:
        """What is no name is refused."""
        for text in (
            *(b"", b"a/b", b"a b", b"\x7f", b"\0", b"a" * 251, b"hex:", b"hex:f"),
            *(b"hex:2f", b"hex:xx", b"hex:\xff", b"hex:" + b"61" * 251),
        ):
            error = self.assertRaises(ValueError, named, text)
            self.assertIn("must be the name of a queue", str(error))
        for value in (None, 1, "\ud800", "", ["a"]):
            error = self.assertRaises(ValueError, namedField, value)
            self.assertIn("must be the name of a queue", str(error))
