"""Targets of a fuzzer for authentication: any text, any packets, and any connection.

Whatever bytes come, they become credentials or refusals, the same in any pieces, and no
more is held than a line and a body.
"""

from __future__ import annotations

from memq.access.admission import Admission
from memq.access.authenticator import DELAY
from memq.access.rights import ADMIN, Rights
from memq.access.secrets import TokenHash
from memq.access.users import User, Users
from memq.errors import QueueError
from memq.test.support.harness import Harness
from memq.test.support.packets import packet
from memq.wire.auth.ascii import MAX_LINE, MAX_TOKEN, AuthReader, Credentials
from memq.wire.auth.refusals import LineTooLong
from memq.wire.auth.sasl import (
    AUTH,
    LIST,
    STEP,
    Begun,
    Exchange,
    Listed,
    formatRefused,
)
from memq.wire.packets import HEADER_SIZE

#: Words that a fuzzer would be long to find.
WORDS = (b"set a 0 0 3\r\n", b"a b\r\n", b"set _ _ _ ", b"PLAIN", b"\0user\0pass")

#: Where the fuzzer begins: the first byte is the size of the pieces.
TEXTS = (
    b"",
    b"\0set foo 0 0 7\r\nfoo bar\r\nget q\r\n",
    b"\1set _ _ _ 9\r\nuser pass\r\nset auth x 0 9\nuser passxx\n",
    b"\3get q\r\nset q 0 0 5\r\nhello\r\nset a 0 0 0\r\n\r\n",
    b"\7set a 0 0 20000\r\n" + b"a b " * 5000 + b"\r\nversion\r\n",
    b"\0set a 0 0 4294967295\r\n" + b"x" * 999,
    b"\x09set a 0 0 99999999999 x\r\n" + b"x" * (MAX_LINE + 9),
)
#: The same for packets: opcode, extras, bytes of the key, of the value, and those.
PACKETS = (
    b"",
    b"\x20\0\0\0\x21\0\5\x0aPLAIN\0user\0pass",
    b"\x21\0\5\0PLAIN\x22\0\5\x0aPLAIN\0user\0pass\x22\0\5\0PLAIN",
    b"\x21\0\x08\0CRAM-MD5\x21\4\5\0PLAIN\x23\0\0\0",
    b"\x21\0\5\5PLAINa\0b\0c\x21\0\5\5PLAINa\0a\0c",
)


#: The same for a connection, which may be text or packets.
LOGINS = (
    b"",
    b"\0set a 0 0 9\r\nuser pass\r\nset q 0 0 1\r\nx\r\nget q\r\n",
    b"\2set a 0 0 3\r\na b\r\nget q\r\nset a 0 0 9\r\nuser pass\r\nget q\r\n",
    b"\1" + packet(LIST) + packet(AUTH, b"PLAIN", b"\0user\0pass") + packet(0x0A),
    b"\5" + packet(AUTH, b"PLAIN") + packet(STEP, b"PLAIN", b"\0user\0pass"),
    b"\7" + packet(AUTH, b"PLAIN", b"x" * 17000) + packet(0x0B) + packet(0x0A),
    b"\0\x16\x03\x01",
)
_USER = User("user", Rights(server=ADMIN), (TokenHash.of(b"pass"),))
_ASKS = Admission(ways=frozenset(["password"]))


def logins(data: bytes) -> None:
    """Say bytes to a server that asks for a password, in pieces and at once."""
    size, data = data[0] if data else 0, data[1:]
    whole = _answered(data, max(len(data), 1))
    pieces = _answered(data, size or 1)
    assert whole == pieces, (whole, pieces)


def _answered(data: bytes, size: int) -> tuple[bytes, bool]:
    """Return what a client is told, and whether it is closed."""
    harness = Harness()
    harness.access.replace(Users([_USER]))
    client = harness.connect(admission=_ASKS)
    got = b""
    for at in range(0, len(data), size):
        got += client.talk(data[at : at + size])
        while client.protocol.user is None and client.isPaused and not client.isClosed:
            harness.pass_(DELAY)
            got += client.read()
    if client.protocol.user is None:
        assert harness.store.dump() == ""
    isClosed = client.isClosed
    client.end()
    return got, isClosed


def texts(data: bytes) -> None:
    """Say bytes as a client that has not said who it is, in pieces and at once."""
    size, data = data[0] if data else 0, data[1:]
    whole = _said(data, max(len(data), 1))
    pieces = _said(data, size or 1)
    assert whole == pieces, (whole, pieces)


def _said(data: bytes, size: int) -> list[object]:
    """Return what is understood of bytes that come in pieces."""
    reader = AuthReader()
    found: list[object] = []
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
        while (said := reader.next()) is not None:
            if isinstance(said, LineTooLong):
                return [*found, "too long"]
            found.append(_told(said))
        held = len(reader.rest()) if at + size >= len(data) else 0
        assert held <= max(MAX_LINE, MAX_TOKEN + 2) + size, held
    return found


def _told(said: Credentials | QueueError) -> object:
    """Return what stands for something said, and see that no text shows it."""
    if isinstance(said, QueueError):
        assert said.reply.startswith(b"CLIENT_ERROR "), said.reply
        return said.reply
    assert str(said) == repr(said) == "Credentials"
    assert b" " not in said.user
    assert len(said.user) + len(said.secret) < MAX_TOKEN
    return tuple(said)


def packets(data: bytes) -> None:
    """Say what is in packets, one after the other."""
    exchange = Exchange()
    mayStep = False
    while len(data) >= 4:
        opcode, extras, keySize, size = data[:4]
        key, value = data[4 : 4 + keySize], data[4 + keySize : 4 + keySize + size]
        data = data[4 + keySize + size :]
        said = exchange.take(opcode, extras, key, value)
        assert not isinstance(said, Listed) or opcode == LIST
        assert not isinstance(said, Begun) or (opcode == AUTH and not value)
        if isinstance(said, Credentials):
            assert opcode == AUTH or (opcode == STEP and mayStep)
            assert b"\0" not in said.user + said.secret
            assert value.endswith(b"\0%b\0%b" % said)
        elif isinstance(said, QueueError):
            refused = formatRefused(opcode, bytes(4), said)
            assert len(refused) > HEADER_SIZE
            assert refused[7]
        mayStep = isinstance(said, Begun)
