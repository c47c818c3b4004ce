"""Framing: bytes of a connection become commands, bodies included.

Commands that are whole in the data at hand are taken from it directly, which is what
makes it fast.  A line in pieces is kept until its end comes; a body in pieces is
collected.  Both end in the same methods of a sink.

A body of more than PART_SIZE is never in memory as a whole: it is handed over in
parts, as they come.  A body that comes in pieces is announced by ``reserve`` before its
first byte, and its room given back by ``release``; in between, ``reserve`` may have
paused the receiver.

A receiver that is paused keeps what it got, unread; one that is closing drops it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone

from memq.errors import BodyTooLarge, LineTooLong, OutOfMemory, QueueError
from memq.message import PART_SIZE
from memq.wire.extensions import Add
from memq.wire.foreign import begins
from memq.wire.text import KEPT_LINE, MAX_LINE, Get, Refused, Set, parse, parseShort

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from memq.connection.interfaces import Counters
    from memq.wire.text import Command

_CRLF = b"\r\n"


def _isTooLong(line: bytes) -> bool:
    return len(line) - line.endswith(b"\r") > MAX_LINE


class CommandSink(Protocol):
    """Carries out the commands of a client."""

    def execute(self, command: Command) -> None:
        """Carry out a command that has no body, or one that was thrown away."""

    def executeWithBody(self, command: Set, body: bytes, complete: bool) -> None:
        """Carry out a set.

        :param complete: whether CR LF came after the body.
        """

    def executeAdd(self, command: Add, body: bytes, complete: bool) -> None:
        """Carry out an add.

        :param complete: whether CR LF came after the body.
        """

    def reserve(self, size: int) -> bool:
        """Find room for a body that comes in pieces, or pause until there is.

        :return: False when the body is to be refused.
        """

    def release(self) -> None:
        """Give that room back, or wait for it no longer."""

    def beginBody(self, command: Set) -> None:
        """Make ready for a body in parts."""

    def addPart(self, data: bytes) -> None:
        """Take the next part of a body, 1 to PART_SIZE bytes."""

    def executeInParts(self, command: Set, complete: bool) -> None:
        """Carry out a set whose body came in parts."""

    def abandonBody(self) -> None:
        """Forget the parts that came."""

    def refuse(self, error: QueueError, noreply: bool = False) -> None:
        """Answer an error that is no command's."""

    def allReceived(self) -> None:
        """Do what is to be done once after all commands of a packet."""


class CommandReceiver(TwistedProtocol):
    """Make commands of what a client sends, and hand them to a sink.

    :ivar command: the command whose body is being collected.
    :ivar collected: the bytes of that body which are kept.
    :ivar rest: a line in pieces, or everything behind a pause.
    :ivar paused: whether nothing is taken, for a while.
    :ivar closing: whether no more commands are taken, for good.
    :ivar heard: whether anything came since somebody set it to False.
    """

    transport: Any

    def __init__(self, sink: CommandSink, maxBody: int, counters: Counters) -> None:
        """Begin with nothing received.

        :param sink: carries out what comes.
        :param maxBody: bytes of the largest body; a larger one is thrown away.
        :param counters: count the bytes that come.
        """
        self.paused = False
        self._sink = sink
        self.rest = b""
        self._counters = counters
        self._maxBody = maxBody
        #: Bytes of the largest body that is taken straight from the data.
        self._largestWhole = min(maxBody, PART_SIZE)
        self.command: Set | Add | Refused | None = None
        self.collected = bytearray()
        self._missing = 0
        self.closing = False
        self.heard = True

    @property
    def missing(self) -> int:
        """Return how many bytes of a body are still to come."""
        return self._missing if self.command is not None else 0

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
        self.collected = bytearray()
        self.rest = b""
        command, self.command = self.command, None
        if type(command) is Set:
            self._sink.release()
            if command.size > PART_SIZE:
                self._sink.abandonBody()

    def pauseProducing(self) -> None:
        """Take nothing until ``resumeProducing``."""
        self.paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on, with what is kept first."""
        self.paused = False
        self.transport.resumeProducing()
        self.dataReceived(b"")

    def dataReceived(self, data: bytes) -> None:
        """Take what is whole from the data; keep or collect the rest."""
        self._counters.bytesRead += len(data)
        self.heard = True
        if self.rest:
            data = self.rest + data
            self.rest = b""
        if self.paused:
            if not self.closing:
                self.rest = data
        elif self.command is None:
            self._takeCommands(data, 0)
        else:
            start = self._collect(data, 0)
            if start is not None:
                self._takeCommands(data, start)

    def _takeCommands(self, data: bytes, start: int) -> None:
        sink, find = self._sink, data.find
        length = len(data)
        largest = self._largestWhole
        while not self.paused:
            newline = find(b"\n", start)
            if newline < 0:
                break
            line = data[start:newline]
            if newline - start <= KEPT_LINE:
                command = parseShort(line)
            elif _isTooLong(line):
                break
            else:
                command = parse(line)
            body = newline + 1
            if type(command) is Set:
                after = body + command.size
                if after + 2 <= length and command.size <= largest:
                    start = after + 2
                    complete = data[after:start] == _CRLF
                    sink.executeWithBody(command, data[body:after], complete)
                    continue
            elif type(command) is Get:
                start = body
                sink.execute(command)
                continue
            behind = self._takeOdd(command, data, body)
            start = length if behind is None else behind
        if start < length and not self.closing:
            self._keep(data[start:])
        sink.allReceived()

    def _takeOdd(self, command: Command, data: bytes, start: int) -> int | None:
        """Take a command that is no get, and whose body may not be whole.

        :param start: where its line has ended.
        :return: where its body ends, None when some of that is missing.
        """
        if not isinstance(command, Set | Add | Refused) or command.size is None:
            self._sink.execute(command)
            return start
        size = command.size
        if type(command) is Set:
            if size > self._maxBody:
                command = Refused(BodyTooLarge(), size, command.noreply)
            elif not self._sink.reserve(size):
                command = Refused(OutOfMemory(), size, command.noreply)
            elif size > PART_SIZE:
                self._sink.beginBody(command)
        self.command = command
        self._missing = size + 2
        if self.paused:
            self.rest = data[start:]
            return None
        return self._collect(data, start)

    def _keep(self, data: bytes) -> None:
        """Keep a line in pieces, or what is behind a pause.

        A line that begins as none of ours does, or is too long, is not waited for.
        """
        other = None if self.paused else begins(data)
        if other is not None:
            self._sink.execute(other)
        elif self.paused or len(data) <= MAX_LINE + 1:
            self.rest = data
        else:
            self._sink.refuse(LineTooLong())

    def _collect(self, data: bytes, start: int) -> int | None:
        """Collect a body, or throw it away; execute its command at its end.

        :return: where the body ends, None when some of it is missing.
        """
        command = self.command
        assert command is not None
        piece = data[start : start + self._missing]
        self._missing -= len(piece)
        # A list of pieces of a byte or two would take many times their size.
        self.collected += piece
        if type(command) is Refused:
            del self.collected[:-2]
        if type(command) is Set and command.size > PART_SIZE:
            self._takeParts()
        if self._missing:
            return None
        self.command = None
        rest, self.collected = bytes(self.collected), bytearray()
        self._execute(command, rest[:-2], rest.endswith(_CRLF))
        return start + len(piece)

    def _execute(
        self, command: Set | Add | Refused, body: bytes, complete: bool
    ) -> None:
        """Carry out a command whose body was collected.

        :param body: the last of it, if that came in parts or was thrown away.
        """
        sink = self._sink
        if isinstance(command, Add):
            sink.executeAdd(command, body, complete)
        elif isinstance(command, Refused):
            sink.execute(command if complete else command._replace(closes=True))
        else:
            sink.release()
            if command.size > PART_SIZE:
                self._addParts(body)
                sink.executeInParts(command, complete)
            else:
                sink.executeWithBody(command, body, complete)

    def _takeParts(self) -> None:
        """Hand over what was collected of a body, once that is a part."""
        # The last two bytes that are missing are not the body's.
        if len(self.collected) < PART_SIZE or self._missing < 2:
            return
        whole = len(self.collected) // PART_SIZE * PART_SIZE
        data = bytes(self.collected[:whole])
        self.collected = self.collected[whole:]
        self._addParts(data)

    def _addParts(self, data: bytes) -> None:
        for start in range(0, len(data), PART_SIZE):
            self._sink.addPart(data[start : start + PART_SIZE])
