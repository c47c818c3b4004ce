"""Authentication in packets: what a client of the binary protocol says at first.

As in memcached, it may ask for the mechanisms and for the version, and say who it is;
any other request is refused, and closes the connection.
"""

from __future__ import annotations

from memq.errors import BadLine, QueueError
from memq.wire.auth.ascii import MAX_TOKEN
from memq.wire.auth.refusals import TokenTooLong, Unauthenticated
from memq.wire.auth.sasl import (
    AUTH,
    LIST,
    MAX_MECHANISM,
    STEP,
    Answer,
    Exchange,
    SASLForm,
)
from memq.wire.binary import VERSION, parse
from memq.wire.commands import Version
from memq.wire.foreign import OUT_OF_STEP, Foreign
from memq.wire.packets import CAS, HEADER_SIZE, OPAQUE, readHead
from memq.wire.words import Refused

#: Bytes of the largest packet that is looked at, but for its header.
_LARGEST = MAX_MECHANISM + MAX_TOKEN

Said = Answer | Version | Refused | Foreign


class PacketReader:
    """Takes the bytes of a client until it has said who it is.

    It holds no more than a packet with a password and what came with its end, and
    forgets a packet that is larger as it comes.

    :ivar form: that of the responses to the packet that was returned last.
    """

    form: SASLForm

    def __init__(self) -> None:
        self._data = bytearray()
        self._exchange = Exchange()
        #: Bytes of a packet that are to be forgotten, and what it is told then.
        self._missing = 0
        self._refusal: QueueError | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes.  ``next`` has to be called before more are."""
        self._data += data

    def next(self) -> Said | None:
        """Return what the client says next; None when more bytes have to come.

        After an error that closes, or another protocol, there is nothing more.
        """
        if self._refusal is not None:
            return self._forget(self._refusal)
        if len(self._data) < HEADER_SIZE:
            return None
        first = bytes(self._data[:OPAQUE])
        head = readHead(first)
        if not head.isSound:
            return OUT_OF_STEP
        self.form = SASLForm(head.opcode, bytes(self._data[OPAQUE:CAS]))
        if head.opcode not in (LIST, AUTH, STEP, VERSION):
            return Unauthenticated(closes=True)
        size = HEADER_SIZE + head.size
        if head.size > _LARGEST:
            self._exchange = Exchange()
            self._missing = size
            isLong = head.opcode in (AUTH, STEP) and head.before <= MAX_MECHANISM
            self._refusal = TokenTooLong() if isLong else BadLine()
            return self._forget(self._refusal)
        if len(self._data) < size:
            return None
        packet = self._take(size)
        value = HEADER_SIZE + head.before
        if head.opcode == VERSION:
            command = parse(first, packet[CAS:value])(packet[OPAQUE:CAS])
            assert isinstance(command, Version | Refused)
            return command
        key = packet[HEADER_SIZE + head.extrasSize : value]
        return self._exchange.take(head.opcode, head.extrasSize, key, packet[value:])

    def _forget(self, refusal: QueueError) -> QueueError | None:
        """Return what a packet is told of which all has come and is forgotten."""
        self._missing -= len(self._take(self._missing))
        if self._missing:
            return None
        self._refusal = None
        return refusal

    def rest(self) -> bytes:
        """Return what came behind, and forget it."""
        return self._take(len(self._data))

    def _take(self, size: int) -> bytes:
        """Return the first bytes, as many as there are of these, and forget them."""
        found = bytes(self._data[:size])
        del self._data[:size]
        return found
