"""memcached's command by which a client says who it is."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import QueueError
from memq.wire.auth.ascii import (
    MAX_LINE,
    MAX_TOKEN,
    AuthReader,
    Credentials,
    parseBody,
    parseLine,
)
from memq.wire.auth.refusals import LineTooLong

#: What is said, and what that is: a user and a password, or a reply.
TABLE: tuple[tuple[bytes, list[tuple[bytes, bytes] | bytes]], ...] = (
    (b"set foo 0 0 7\r\nfoo bar\r\n", [(b"foo", b"bar")]),
    # What clients send in practice, and in place of flags.
    (b"set _ _ _ 9\r\nuser pass\r\n", [(b"user", b"pass")]),
    (b"set auth x 0 9\r\nuser pass\r\n", [(b"user", b"pass")]),
    (b"set a/b/c - - 3 noreply x\na b\r\n", [(b"a", b"b")]),
    (b"  set  a  0  0  3 \r\na b\r\n", [(b"a", b"b")]),
    # The rest is the password, whatever it is.
    (b"set a 0 0 9\r\na b c \r\nd\r\n", [(b"a", b"b c \r\nd")]),
    (b"set a 0 0 2\r\na \r\n", [(b"a", b"")]),
    (b"set a 0 0 2\r\n b\r\n", [(b"", b"b")]),
    (b"set a 0 0 3\r\na\0 \r\n", [(b"a\0", b"")]),
    # Two in one go.
    (b"set a 0 0 3\r\na b\r\nset a 0 0 3\r\nc d\r\n", [(b"a", b"b"), (b"c", b"d")]),
    # What is refused, in the words of memcached.
    (b"get foo\r\n", [b"CLIENT_ERROR unauthenticated"]),
    (b"\r\n", [b"CLIENT_ERROR unauthenticated"]),
    (b"\n", [b"CLIENT_ERROR unauthenticated"]),
    (b"SET foo 0 0 7\r\n", [b"CLIENT_ERROR unauthenticated"]),
    (b"set foo 0 0\r\n", [b"CLIENT_ERROR unauthenticated"]),
    (b"set foo 0 0 x\r\n", [b"CLIENT_ERROR unauthenticated"]),
    (b"set foo 0 0 -1\r\n", [b"CLIENT_ERROR unauthenticated"]),
    (b"set foo 0 0 4294967296\r\n", [b"CLIENT_ERROR unauthenticated"]),
    (b"ms foo 2\r\nhi\r\n", [b"CLIENT_ERROR unauthenticated"] * 2),
    (b"set foo 0 0 2\r\nhi\r\n", [b"CLIENT_ERROR bad authentication token format"]),
    (b"set foo 0 0 0\r\n\r\n", [b"CLIENT_ERROR bad authentication token format"]),
    (b"set foo 0 0 7\r\nfoo barxx", [b"CLIENT_ERROR bad command line termination"]),
    (b"set foo 0 0 2\r\nab c", [b"CLIENT_ERROR bad command line termination"]),
    (
        b"set a 0 0 %d\r\na %b\r\n" % (MAX_TOKEN, b"b" * (MAX_TOKEN - 2)),
        [(b"a", b"b" * (MAX_TOKEN - 2))],
    ),
    (
        b"set a 0 0 %d\r\n%b\r\nget x\r\n" % (MAX_TOKEN + 1, b" " * (MAX_TOKEN + 1)),
        [b"CLIENT_ERROR auth token too long", b"CLIENT_ERROR unauthenticated"],
    ),
)


def readAll(reader: AuthReader) -> list[Any]:
    """Return all that is said by now."""
    found: list[Any] = []
    while True:
        said = reader.next()
        if said is None:
            return found
        found.append(said.reply if isinstance(said, QueueError) else tuple(said))


class AuthReaderTests(SynchronousTestCase):
    """Bytes of a client, in pieces of any size."""

    def test_table(self) -> None:
        """Each is understood whole, byte by byte, and with bytes to spare."""
        for data, expected in TABLE:
            for size in (len(data), 1, 7):
                reader = AuthReader()
                found = []
                for at in range(0, len(data), size):
                    reader.feed(data[at : at + size])
                    found += readAll(reader)
                self.assertEqual(found, expected, data[:40])
                self.assertEqual(reader.rest(), b"")

    def test_rest(self) -> None:
        """What comes behind is left for those who read on, as it is."""
        reader = AuthReader()
        reader.feed(b"set a 0 0 3\r\na b\r\nget q\r\nget")
        self.assertEqual(reader.next(), (b"a", b"b"))
        self.assertEqual(reader.rest(), b"get q\r\nget")
        self.assertEqual(reader.rest(), b"")

    def test_longLine(self) -> None:
        """A line without an end is no line: the connection ends without a word."""
        reader = AuthReader()
        reader.feed(b"x" * MAX_LINE)
        self.assertIsNone(reader.next())
        reader.feed(b"x")
        other = AuthReader()
        other.feed(b"x" * (MAX_LINE + 1) + b"\n")
        for said in (reader.next(), other.next()):
            assert isinstance(said, LineTooLong)
            self.assertEqual((said.reply, said.closes), (b"", True))

    def test_bounded(self) -> None:
        """What is too long is not held."""
        reader = AuthReader()
        reader.feed(b"set a 0 0 4294967295\r\n")
        for _ in range(100):
            reader.feed(b"x" * 65536)
            self.assertIsNone(reader.next())
            self.assertEqual(reader.rest(), b"")

    def test_parts(self) -> None:
        """A line has a size, a body has what it says; neither shows it."""
        self.assertEqual(parseLine(b"set a b c 5"), 5)
        said = parseBody(b"a secret\r\n")
        self.assertEqual(said, Credentials(b"a", b"secret"))
        self.assertEqual(f"{said} {said!r} {[said]}".count("secret"), 0)
