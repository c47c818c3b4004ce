"""Headers that say who asks, and those that do not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.web.http.authorization import Token, said
from memq.wire.auth.ascii import Credentials


class SaidTests(SynchronousTestCase):
    """Basic and Bearer."""

    def test_said(self) -> None:
        """Both are read, in any letters, and with the colons of a password."""
        for value, expected in (
            (b"Basic dTpw", Credentials(b"u", b"p")),
            (b" basic  dTpw ", Credentials(b"u", b"p")),
            (b"BASIC dTpwOnE=", Credentials(b"u", b"p:q")),
            (b"Basic Og==", Credentials(b"", b"")),
            (b"Bearer abc", Token(b"abc")),
            (b"bearer  a b ", Token(b"a b")),
        ):
            self.assertEqual(said(value), expected, value)

    def test_neither(self) -> None:
        """All else is nothing."""
        for value in (
            *(b"", b"Basic", b"Bearer", b"Bearer ", b"Digest dTpw", b"dTpw"),
            *(b"Basic dXA=", b"Basic d", b"Basic \xff", b"Basic dT*w"),
        ):
            self.assertIsNone(said(value), value)

    def test_unseen(self) -> None:
        """A token shows nothing of itself."""
        self.assertEqual(f"{Token(b'abc')} {Token(b'abc')!r}", "Token Token")
