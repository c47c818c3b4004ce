"""A target of a fuzzer for clients that have to say who they are over TLS.

Whatever bytes come in the place of TLS, within it or behind it, what is said within is
answered as it is without; nothing is done for a client that is not known, no error is
logged, and nothing is kept of one that is gone.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from twisted.logger import LogLevel, capturedLogs

from memq.access.admission import Admission
from memq.access.authenticator import DELAY
from memq.access.rights import ROLES, Rights
from memq.access.secrets import PasswordHash, TokenHash
from memq.access.users import User, Users
from memq.net.certificates import TLSSettings, load
from memq.net.tls import TLSFactory
from memq.test.support.certificates import files
from memq.test.support.harness import Harness
from memq.test.support.tlspeers import Pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.logger import LogEvent

_CHEAP = (2, 1, 1)
_EVERYTHING = Rights(server=ROLES["admin"])
#: Who there is: one with a token, one with a password.
USERS = (
    User("shop", _EVERYTHING, (TokenHash.of(b"token"),)),
    User("ops", _EVERYTHING, password=PasswordHash.of(b"password", _CHEAP)),
)
_ASKS = Admission(ways=frozenset(["password"]))

#: Words that a fuzzer would be long to find.
WORDS = (b"shop token", b"ops password", b"\0shop\0token", b"\0ops\0password")

_TEXT = b"set auth 0 0 10\r\nshop token\r\n"
_PACKET = b"\x80\x21\0\5\0\0\0\0\0\0\0\x10\0\0\0\7" + bytes(8) + b"PLAIN\0shop\0token"
#: Where the fuzzer begins.  The first byte says how: 0 bytes in the place of TLS, 1 a
#: greeting some of whose bytes are others, 2 bytes in the place of records, 3 bytes in
#: records.
SECURED = (
    b"",
    b"\0\x16\x03\x01\0\5\1\0\0\1\0",
    b"\0" + _TEXT,
    b"\1\0\0\0\0\0\0\0\0\1",
    b"\1" + b"\0" * 50 + b"\xff\x80\1",
    b"\2\x17\x03\x03\0\x13" + b"x" * 19,
    b"\2" + _TEXT,
    b"\3\0get q\r\n" + _TEXT + b"set q 0 0 1\r\na\r\nget q\r\nquit\r\n",
    b"\3\2" + _PACKET + b"\x80\x0b" + bytes(22),
    b"\3\7" + _PACKET.replace(b"token", b"wrong") * 4,
)


def secured(data: bytes) -> None:
    """Say bytes to a server that wants TLS, in its place, within it or behind it."""
    mode, data = data[0] % 4 if data else 0, data[1:]
    with capturedLogs() as events:
        harness = _harness()
        factory = TLSFactory(harness.factory.through(_ASKS), _context, harness.reactor)
        pair = Pair(factory)
        if mode == 0:
            pair.send(data)
        elif mode == 1:
            hello = pair.hello()
            other = bytes(a ^ b for a, b in zip(hello, data, strict=False))
            pair.send(other + hello[len(other) :])
        else:
            pair.shake()
        if mode == 2:
            pair.send(data)
        for _ in range(8):
            harness.settle()
            harness.pass_(DELAY)
        if mode == 3:
            _within(harness, pair, data)
        elif mode < 2 or not data.startswith(b"\x17"):
            assert not harness.store.names()
        pair.lose()
        harness.settle()
        assert not factory.handshakes.pending
    _check(events)


def _within(harness: Harness, pair: Pair, data: bytes) -> None:
    """Check that TLS answers as none does."""
    size, data = data[0] if data else 0, data[1:]
    pair.say(data, size or len(data) + 1)
    heard = b""
    for _ in range(8):
        harness.settle()
        with suppress(ssl.SSLError):
            heard += pair.hear()
        harness.pass_(DELAY)
    told = _plainly(data)
    assert heard == told, (heard, told)


@cache
def _context() -> ssl.SSLContext:
    return load(TLSSettings(*files().server)).context


def _harness() -> Harness:
    harness = Harness()
    harness.access.replace(Users(USERS))
    harness.access.authenticator._decoy = PasswordHash.of(b"-", _CHEAP)
    return harness


def _plainly(data: bytes) -> bytes:
    """Return what is answered without TLS."""
    harness = _harness()
    client = harness.connect(admission=_ASKS)
    answered = client.talk(data)
    while client.isPaused and not client.isClosed:
        harness.pass_(DELAY)
        answered += client.read()
    client.end()
    return answered


def _check(events: Sequence[LogEvent]) -> None:
    errors = [each for each in events if each["log_level"] >= LogLevel.error]
    assert not errors, errors
