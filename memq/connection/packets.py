"""PacketReceiver: bytes of a connection become commands, in the binary protocol.

It stands where a :class:`memq.connection.receiver.CommandReceiver` stands on other
connections, and hands the same commands to the same sink, under the same bounds: a body
that comes in pieces is announced by ``reserve`` before its first byte, and one of more
than PART_SIZE is handed over in parts.

A packet says where it ends, so one that is refused is thrown away whole and the next
one is found.  Only a header that is no request's, or whose lengths contradict each
other, leaves nothing to go on with: nobody knows where the next packet begins.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import connectionDone

from memq.errors import BodyTooLarge
from memq.message import PART_SIZE
from memq.wire.binary import (
    KEPT_REST,
    MAX_KEY,
    Packets,
    parse,
    parseShort,
)
from memq.wire.foreign import OUT_OF_STEP
from memq.wire.packets import CAS, HEADER_SIZE, OPAQUE, readHead
from memq.wire.text import Get, Set
from memq.wire.words import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.python.failure import Failure

    from memq.connection.interfaces import Counters
    from memq.connection.receiver import CommandSink
    from memq.wire.forms import Form
    from memq.wire.text import Command

#: How many layouts are kept: bytes of key and body of sets that are often the same.
_KEPT_LAYOUTS = 256


@lru_cache(_KEPT_LAYOUTS)
def _layoutOf(rest: int, body: int, count: int) -> Struct:
    """Return the layout of requests: of each its first, opaque, rest and body."""
    return Struct(f"{OPAQUE}s{CAS - OPAQUE}s{rest}s{body}s" * count)


def _join(form: Form, opaques: Sequence[bytes]) -> None:
    assert isinstance(form, Packets)
    form.join(opaques)


class PacketReceiver:
    """Make commands of the packets that a client sends, and hand them to a sink."""

    transport: Any

    def __init__(self, sink: CommandSink, maxBody: int, counters: Counters) -> None:
        """Begin with nothing received; see CommandReceiver."""
        self._sink = sink
        self._maxBody = maxBody
        #: Bytes of the largest body that is taken straight from the data.
        self._largestWhole = min(maxBody, PART_SIZE)
        self._counters = counters
        #: What came of the next packet, before its value; or is behind a pause.
        self._kept = b""
        #: The command whose body is being received, and the bytes kept of that.
        self.command: Command | None = None
        self._collected = bytearray()
        self._missing = 0
        self.paused = False
        #: Whether no more commands are taken, for good.
        self.closing = False
        #: Whether anything came since somebody set it to False.
        self.heard = True

    def makeConnection(self, transport: Any) -> None:
        """Take the transport, which is paused and resumed."""
        self.transport = transport

    @property
    def missing(self) -> int:
        """Return how many bytes of a body are still to come."""
        return self._missing if self.command is not None else 0

    def pauseProducing(self) -> None:
        """Take no more for now, and read no more."""
        self.paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on with what was kept, and read on."""
        self.paused = False
        self.transport.resumeProducing()
        self.dataReceived(b"")

    def close(self) -> None:
        """Take no more commands, and forget what came of the next one."""
        self._forget()
        if not self.paused:
            self.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget what came of the next command."""
        self._forget()

    def _forget(self) -> None:
        self.closing = True
        self._kept = b""
        self._collected = bytearray()
        command, self.command = self.command, None
        if type(command) is Set:
            self._sink.release()
            if command.size > PART_SIZE:
                self._sink.abandonBody()

    def dataReceived(self, data: bytes) -> None:
        """Take the packets, or a piece of one."""
        self._counters.bytesRead += len(data)
        self.heard = True
        if self.closing:
            return
        if self._kept:
            data, self._kept = self._kept + data, b""
        if self.paused:
            self._kept = data
        else:
            self._takePackets(data)

    def _takePackets(self, data: bytes) -> None:
        length = len(data)
        start = 0
        while start < length and not self.paused:
            if self.command is not None:
                start = self._collect(data, start)
                continue
            after = self._takePacket(data, start)
            if after == start:
                break
            start = after
        if start < length and not self.closing:
            self._kept = data[start:]
        self._sink.allReceived()

    def _takePacket(self, data: bytes, start: int) -> int:
        """Carry out a request, or begin to receive its value.

        :return: where what is not taken begins; ``start`` if more has to come first.
        """
        value = start + HEADER_SIZE
        if len(data) < value:
            return start
        first = data[start : start + OPAQUE]
        head = readHead(first)
        if not head.isSound:
            self._sink.execute(OUT_OF_STEP)
            return start
        if head.keySize <= MAX_KEY:
            value += head.before
            if len(data) < value:
                return start
        rest = data[start + CAS : value]
        make = (parseShort if len(rest) <= KEPT_REST else parse)(first, rest)
        command = make(data[start + OPAQUE : start + CAS])
        after = start + HEADER_SIZE + head.size
        if type(command) is Set:
            if after > len(data) or command.size > self._largestWhole:
                self._begin(command, command.size)
                return value
            self._sink.executeWithBody(command, data[value:after], True)
            if data.startswith(first, after):
                return self._takeSets(command, data, start, rest)
        elif after > len(data):
            self._begin(command, after - value)
            return value
        else:
            self._sink.execute(command)
            if type(command) is Get and data.startswith(first, after):
                return self._takeGets(command, data, start, rest)
        return after

    def _takeSets(self, command: Set, data: bytes, start: int, rest: bytes) -> int:
        """Take sets at once that say the same as the one before them.

        :param start: where that begins.
        :param rest: its header behind the opaque, extras and key.
        :return: where what is not taken begins.
        """
        opaques, bodies = self._alike(command, command.size, data, start, rest)
        if opaques:
            _join(command.form, opaques)
            self._sink.joinSets(command, bodies)
        return start + (1 + len(opaques)) * (CAS + len(rest) + command.size)

    def _takeGets(self, command: Get, data: bytes, start: int, rest: bytes) -> int:
        """Take gets at once that say the same as the one before; see ``_takeSets``."""
        opaques, _ = self._alike(command, 0, data, start, rest)
        if opaques:
            _join(command.form, opaques)
            self._sink.joinGets(len(opaques))
        return start + (1 + len(opaques)) * (CAS + len(rest))

    def _alike(
        self, command: Set | Get, size: int, data: bytes, start: int, rest: bytes
    ) -> tuple[Sequence[bytes], Sequence[bytes]]:
        """Return the requests behind one that say the same, as far as they are to join.

        :param size: bytes of the body of each.
        :return: the opaques and the bodies.
        """
        first = data[start : start + OPAQUE]
        period = CAS + len(rest) + size
        after = start + period
        count = min(self._joinable(command), (len(data) - after) // period)
        fields = _layoutOf(len(rest), size, count).unpack_from(data, after)
        firsts, rests = fields[::4], fields[2::4]
        # Two long comparisons are faster than many short ones.
        if b"".join(firsts) != first * count or b"".join(rests) != rest * count:
            alike = zip(firsts, rests, strict=True)
            count = next(i for i, each in enumerate(alike) if each != (first, rest))
        return fields[1 : 4 * count : 4], fields[3 : 4 * count : 4]

    def _joinable(self, command: Set | Get) -> int:
        return 0 if self.paused else self._sink.joinable(command)

    def _begin(self, command: Command, size: int) -> None:
        """Begin to receive a value: a body to keep, or what is thrown away."""
        if type(command) is Set:
            error = (
                BodyTooLarge() if size > self._maxBody else self._sink.reserve(command)
            )
            if error is not None:
                command = Refused(error, form=command.form)
            elif size > PART_SIZE:
                self._sink.beginBody(command)
        self.command = command
        self._missing = size

    def _collect(self, data: bytes, start: int) -> int:
        """Take a piece of the value; carry out its command at its end.

        :return: where what is not taken begins.
        """
        command = self.command
        assert command is not None
        end = min(len(data), start + self._missing)
        self._missing -= end - start
        if type(command) is Set:
            self._collected += data[start:end]
            if command.size > PART_SIZE:
                self._takeParts()
        if not self._missing:
            self.command = None
            if type(command) is Set:
                self._executeCollected(command)
            else:
                self._sink.execute(command)
        return end

    def _executeCollected(self, command: Set) -> None:
        rest, self._collected = bytes(self._collected), bytearray()
        self._sink.release()
        if command.size > PART_SIZE:
            if rest:
                self._sink.addPart(rest)
            self._sink.executeInParts(command, True)
        else:
            self._sink.executeWithBody(command, rest, True)

    def _takeParts(self) -> None:
        """Hand over what was collected of a body, a part at a time."""
        collected = self._collected
        whole = len(collected) // PART_SIZE * PART_SIZE
        for start in range(0, whole, PART_SIZE):
            self._sink.addPart(bytes(collected[start : start + PART_SIZE]))
        del collected[:whole]
