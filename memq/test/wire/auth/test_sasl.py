"""SASL PLAIN in packets."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import BadLine, UnknownCommand
from memq.wire.auth.ascii import MAX_TOKEN, Credentials
from memq.wire.auth.refusals import AuthFailed, TokenTooLong, Unauthenticated
from memq.wire.auth.sasl import (
    AUTH,
    LIST,
    MAX_MECHANISM,
    STEP,
    Begun,
    Exchange,
    Listed,
    formatBegun,
    formatDone,
    formatListed,
    formatRefused,
    parsePlain,
)

PAYLOAD = b"\0user\0pass"
OPAQUE = b"abcd"


class ExchangeTests(SynchronousTestCase):
    """What packets say."""

    def setUp(self) -> None:
        """Begin."""
        self.exchange = Exchange()

    def kind(
        self,
        opcode: int,
        key: bytes = b"PLAIN",
        value: bytes = PAYLOAD,
        extras: int = 0,
    ) -> type:
        """Return what kind of answer a packet has."""
        return type(self.exchange.take(opcode, extras, key, value))

    def test_atOnce(self) -> None:
        """Most clients say it all in one packet."""
        said = self.exchange.take(AUTH, 0, b"PLAIN", PAYLOAD)
        self.assertEqual(said, Credentials(b"user", b"pass"))
        self.assertEqual(self.kind(AUTH, b"plain"), Credentials)

    def test_steps(self) -> None:
        """A client that begins with nothing is asked, and says it in a step."""
        self.assertIs(self.kind(AUTH, value=b""), Begun)
        self.assertIs(self.kind(STEP), Credentials)
        # It is asked once.
        self.assertIs(self.kind(STEP), AuthFailed)
        self.assertIs(self.kind(AUTH, value=b""), Begun)
        self.assertIs(self.kind(LIST, b"", b""), Listed)
        self.assertIs(self.kind(STEP), AuthFailed)

    def test_refused(self) -> None:
        """Other mechanisms fail, and what is no such packet is wrong."""
        self.assertIs(self.kind(AUTH, b"CRAM-MD5"), AuthFailed)
        self.assertIs(self.kind(AUTH, b""), AuthFailed)
        self.assertIs(self.kind(AUTH, b"x" * (MAX_MECHANISM + 1)), BadLine)
        self.assertIs(self.kind(AUTH, extras=4), BadLine)
        self.assertIs(self.kind(AUTH, value=b"x" * (MAX_TOKEN + 1)), TokenTooLong)
        self.assertIs(self.kind(LIST, b"PLAIN", b""), BadLine)
        self.assertIs(self.kind(LIST, b"", b"x"), BadLine)
        self.assertIs(self.kind(LIST, b"", b"", 1), BadLine)
        self.assertIs(self.kind(0x23), UnknownCommand)

    def test_plain(self) -> None:
        """There are three texts, of which the first is empty or the second."""
        for value, expected in (
            (PAYLOAD, (b"user", b"pass")),
            (b"user\0user\0pass", (b"user", b"pass")),
            (b"\0\0", (b"", b"")),
            (b"\0a b\0c d", (b"a b", b"c d")),
        ):
            self.assertEqual(parsePlain(value), Credentials(*expected))
        for value in (b"", b"x", b"\0user", b"a\0b\0c", b"\0a\0b\0", b"\0a\0b\0c"):
            self.assertIsInstance(parsePlain(value), AuthFailed)

    def test_replies(self) -> None:
        """Responses are those of memcached, to the byte."""
        for packet, opcode, status, value in (
            (formatListed(OPAQUE), 0x20, 0, b"PLAIN "),
            (formatBegun(AUTH, OPAQUE), 0x21, 0x21, b""),
            (formatDone(AUTH, OPAQUE), 0x21, 0, b"Authenticated"),
            (formatDone(STEP, OPAQUE), 0x22, 0, b"Authenticated"),
            (formatRefused(AUTH, OPAQUE, AuthFailed()), 0x21, 0x20, b"Auth failure."),
            (formatRefused(0, OPAQUE, Unauthenticated()), 0, 0x20, b"Auth failure."),
            (
                formatRefused(LIST, OPAQUE, BadLine()),
                0x20,
                4,
                b"bad command line format",
            ),
            (
                formatRefused(AUTH, OPAQUE, TokenTooLong()),
                0x21,
                4,
                b"auth token too long",
            ),
        ):
            header = bytes((0x81, opcode, 0, 0, 0, 0, 0, status, 0, 0, 0, len(value)))
            self.assertEqual(packet, header + OPAQUE + bytes(8) + value)
