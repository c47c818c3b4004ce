"""SASL PLAIN in packets: opcodes 20, 21 and 22 (hexadecimal) of the binary protocol.

    20  no key, no value: list mechanisms; the value of the response is ``PLAIN``
    21  key: a mechanism; value: what it begins with
    22  key: the mechanism; value: what was asked for

What PLAIN says (RFC 4616) are three texts with a NUL between: whom to act as, which is
empty or the same as who this is; who this is; and the password.  A client may begin
without it; then it is asked for.
"""

from __future__ import annotations

from memq.errors import BadLine, QueueError, UnknownCommand
from memq.wire.auth.ascii import MAX_TOKEN, Credentials
from memq.wire.auth.refusals import AuthFailed, TokenTooLong, Unauthenticated
from memq.wire.forms import Form
from memq.wire.packets import FORBIDDEN, formatError, formatPacket

#: Opcodes.
LIST, AUTH, STEP = 0x20, 0x21, 0x22
#: The mechanism that there is.
PLAIN = b"PLAIN"
#: As it is listed.  Some builds of libmemcached read on behind what was sent, in their
#: own memory, up to a blank or a NUL: without the blank they do not find PLAIN.
_LISTED = PLAIN + b" "
#: Bytes of the name of any.
MAX_MECHANISM = 32
#: The status that asks for more; FORBIDDEN tells of a failure.
CONTINUE = 0x21
_AUTHENTICATED = b"Authenticated"
_FAILED = b"Auth failure."


class Begun:
    """The client has begun, and is asked for what PLAIN says."""


class Listed:
    """The client asks which mechanisms there are."""


Answer = Credentials | Begun | Listed | QueueError


class Exchange:
    """What a client says in packets until it has said who it is."""

    def __init__(self) -> None:
        self._isBegun = False

    def take(self, opcode: int, extras: int, key: bytes, value: bytes) -> Answer:
        """Return what a packet says.

        :param opcode: LIST, AUTH or STEP.
        :param extras: bytes of extras, of which none may be.
        """
        isBegun, self._isBegun = self._isBegun, False
        if opcode == LIST:
            return BadLine() if extras or key or value else Listed()
        if opcode not in (AUTH, STEP):
            return UnknownCommand()
        if extras or len(key) > MAX_MECHANISM:
            return BadLine()
        if len(value) > MAX_TOKEN:
            return TokenTooLong()
        if key.upper() != PLAIN or (opcode == STEP and not isBegun):
            return AuthFailed()
        if opcode == AUTH and not value:
            self._isBegun = True
            return Begun()
        return parsePlain(value)


def parsePlain(value: bytes) -> Credentials | AuthFailed:
    """Return what PLAIN says."""
    texts = value.split(b"\0")
    if len(texts) != 3 or texts[0] not in (b"", texts[1]):
        return AuthFailed()
    return Credentials(texts[1], texts[2])


def formatListed(opaque: bytes) -> bytes:
    """Return the response that lists the mechanism that there is."""
    return formatPacket(LIST, opaque, value=_LISTED)


def formatBegun(opcode: int, opaque: bytes) -> bytes:
    """Return the response that asks for more."""
    return formatPacket(opcode, opaque, CONTINUE)


def formatDone(opcode: int, opaque: bytes) -> bytes:
    """Return the response to somebody who is who it says."""
    return formatPacket(opcode, opaque, value=_AUTHENTICATED)


def formatRefused(opcode: int, opaque: bytes, error: QueueError) -> bytes:
    """Return the response to anybody else, and to any packet before."""
    if isinstance(error, AuthFailed | Unauthenticated):
        return formatPacket(opcode, opaque, FORBIDDEN, value=_FAILED)
    return formatError(opcode, opaque, error)


class SASLForm(Form):
    """The form of the response to one request of SASL.

    :ivar done: the one to somebody who is who it says, or who has asked what there is.
    :ivar begun: the one that asks for more.
    """

    __slots__ = ("_opaque", "_opcode", "begun")

    way = "binary"

    def __init__(self, opcode: int, opaque: bytes) -> None:
        done = formatListed(opaque) if opcode == LIST else formatDone(opcode, opaque)
        super().__init__(done)
        self._opcode = opcode
        self._opaque = opaque
        self.begun = formatBegun(opcode, opaque)

    def error(self, error: QueueError) -> bytes:
        """Return the response that tells an error."""
        return formatRefused(self._opcode, self._opaque, error)
