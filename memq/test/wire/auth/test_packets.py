"""Packets in which a client says who it is, in pieces of any size."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import QueueError
from memq.test.support.packets import packet, request
from memq.wire.auth.ascii import MAX_TOKEN, Credentials
from memq.wire.auth.packets import PacketReader
from memq.wire.auth.refusals import AuthFailed, Unauthenticated
from memq.wire.auth.sasl import AUTH, LIST, MAX_MECHANISM, STEP, Begun, Listed
from memq.wire.commands import Version
from memq.wire.foreign import OUT_OF_STEP
from memq.wire.words import Refused

SAID = b"\0user\0pass"
LONG = b"x" * (MAX_TOKEN + MAX_MECHANISM)

#: Requests, and what each of them is: credentials, a reply, or a class.
TABLE: tuple[tuple[bytes, list[Any]], ...] = (
    (packet(AUTH, b"PLAIN", SAID), [(b"user", b"pass")]),
    (packet(LIST) + packet(AUTH, b"PLAIN", SAID), [Listed, (b"user", b"pass")]),
    (
        packet(AUTH, b"PLAIN") + packet(STEP, b"PLAIN", SAID),
        [Begun, (b"user", b"pass")],
    ),
    (request("Version"), [Version]),
    (request("Version key=x") + packet(LIST), [Refused, Listed]),
    (packet(AUTH, b"PLAIN", b"\0user"), [AuthFailed]),
    (packet(AUTH, b"CRAM-MD5", b"x"), [AuthFailed]),
    # Too large for any of them: forgotten, and the next one is found.
    (packet(AUTH, b"PLAIN", LONG) + packet(LIST), [b"auth token too long", Listed]),
    (
        packet(AUTH, b"P" * (MAX_MECHANISM + 1), LONG) + packet(LIST),
        [b"bad command line format", Listed],
    ),
    (packet(LIST, LONG, b"x") + packet(LIST), [b"bad command line format", Listed]),
    (
        packet(AUTH, b"PLAIN", SAID, b"1234") + packet(LIST),
        [b"bad command line format", Listed],
    ),
    # It is not asked for twice.
    (
        packet(AUTH, b"PLAIN") + packet(STEP, b"PLAIN", LONG) + packet(STEP, b"PLAIN"),
        [Begun, b"auth token too long", AuthFailed],
    ),
    (b"\x80\x21" + bytes(2) + b"\x09" + bytes(19), [type(OUT_OF_STEP)]),
)


def toldOf(said: Any) -> Any:
    """Return what stands for something said."""
    if isinstance(said, Credentials):
        return tuple(said)
    if isinstance(said, QueueError) and not isinstance(said, AuthFailed):
        return said.reply.removeprefix(b"CLIENT_ERROR ")
    return type(said)


def readAll(reader: PacketReader) -> list[Any]:
    """Return all that is said by now."""
    found: list[Any] = []
    while True:
        said = reader.next()
        if said is not None:
            found.append(toldOf(said))
        if said is None or said is OUT_OF_STEP:
            return found


class PacketReaderTests(SynchronousTestCase):
    """Bytes of a client."""

    def test_table(self) -> None:
        """Each is understood whole, byte by byte, and in pieces."""
        for data, expected in TABLE:
            for size in (len(data), 1, 7, 1013):
                reader = PacketReader()
                found = []
                for at in range(0, len(data), size):
                    reader.feed(data[at : at + size])
                    found += readAll(reader)
                self.assertEqual(found[: len(expected)], expected, data[:40])

    def test_rest(self) -> None:
        """What comes behind is left for those who read on, as it is."""
        reader = PacketReader()
        reader.feed(packet(AUTH, b"PLAIN", SAID) + b"\x80abc")
        self.assertEqual(reader.next(), (b"user", b"pass"))
        self.assertEqual(reader.rest(), b"\x80abc")

    def test_others(self) -> None:
        """Any other request closes, in the words of memcached, with its opaque."""
        for opcode in (0x00, 0x01, 0x0A, 0x11, 0x99):
            reader = PacketReader()
            reader.feed(packet(opcode, b"q", opaque=7))
            said = reader.next()
            assert isinstance(said, Unauthenticated)
            self.assertTrue(said.closes)
            expected = packet(opcode, b"", b"Auth failure.", b"", 7, 0, 0x20, 0x81)
            self.assertEqual(reader.form.error(said), expected)

    def test_bounded(self) -> None:
        """What is too long is not held."""
        reader = PacketReader()
        reader.feed(b"\x80\x21\0\5" + bytes(4) + b"\xff" * 4 + bytes(12))
        for _ in range(100):
            self.assertIsNone(reader.next())
            reader.feed(b"x" * 65536)
        self.assertIsNone(reader.next())
        self.assertEqual(reader.rest(), b"")
