"""The forms of the text protocol."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.errors import UnknownCommand
from memq.message import LargeBody, Message
from memq.test.wire.test_text import names
from memq.wire.forms import GETS, NUMBERED, PLAIN, SETS, SILENT, Form


class FormTests(SynchronousTestCase):
    """Forms."""

    @given(names, some.integers(0, 2**32 - 1), some.binary())
    def test_anyValue(self, name: bytes, flags: int, body: bytes) -> None:
        """Whatever the message, its bytes are where the line says."""
        message = Message(1, 2, flags, 0, body)
        line, rest = GETS.value(name, message).split(b"\r\n", 1)
        self.assertEqual(
            line.split(b" "), [b"VALUE", name, b"%d" % flags, b"%d" % len(body)]
        )
        self.assertEqual(rest, body + b"\r\nEND\r\n")
        self.assertEqual(
            GETS.inner.value(name, message), b"%b\r\n%b\r\n" % (line, body)
        )

    def test_numbered(self) -> None:
        """For a gets there is a fourth number."""
        message = Message(1, 9, 0, 0, b"")
        self.assertEqual(NUMBERED.value(b"q", message), b"VALUE q 0 0 9\r\n\r\nEND\r\n")
        self.assertEqual(NUMBERED.inner.value(b"q", message), b"VALUE q 0 0 9\r\n\r\n")

    def test_inParts(self) -> None:
        """A body in parts stands between a head and a tail of the same bytes."""
        large = Message(1, 9, 7, 0, b"", LargeBody(1, 70_000, 2))
        self.assertEqual(GETS.head(b"q", large), b"VALUE q 7 70000\r\n")
        self.assertEqual(NUMBERED.head(b"q", large), b"VALUE q 7 70000 9\r\n")
        self.assertEqual((GETS.tail, GETS.inner.tail), (b"\r\nEND\r\n", b"\r\n"))

    def test_error(self) -> None:
        """An error is its line, and with noreply nothing."""
        self.assertEqual(SETS.error(UnknownCommand()), b"ERROR\r\n")
        self.assertEqual(SILENT.error(UnknownCommand()), b"")

    def test_nothing(self) -> None:
        """A form shows no message unless it says how, and has no end inside."""
        self.assertIs(PLAIN.inner, PLAIN)
        with self.assertRaises(NotImplementedError):
            Form().head(b"q", Message(1, 9, 0, 0, b""))

    def test_shown(self) -> None:
        """The log names a form that is not as any other, and a test each."""
        self.assertEqual((str(SETS), str(SILENT)), ("", "noreply"))
        self.assertEqual(repr(SILENT), "<Silent noreply>")
