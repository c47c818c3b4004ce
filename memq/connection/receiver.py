"""CommandReceiver: bytes of a connection become commands, bodies included.

A LineReceiver that changes into raw mode for a body that arrives in pieces.
Commands that are whole in the data at hand are taken from it directly, which is
what makes it fast; only what is left over, a line or a body in pieces, goes
through LineReceiver's buffers.  Both ways lead through the same grammar and end
in the same methods of a sink.

A command that says the same, byte by byte, as the one before it in the data is not
parsed: those that the sink can join to that are handed over in one run.

A body of more than PART_SIZE is never in memory as a whole: it is handed over in
parts, as they come.  A body that comes in pieces is announced by ``reserve`` before its
first byte, and its room given back by ``release``; in between, ``reserve`` may have
paused the receiver.

A receiver that is paused keeps what it got, unread; one that is closing drops it.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver

from memq.errors import BodyTooLarge, LineTooLong, QueueError
from memq.message import PART_SIZE
from memq.wire.extensions import Add
from memq.wire.foreign import begins
from memq.wire.forms import PLAIN
from memq.wire.text import KEPT_LINE, MAX_LINE, Get, Refused, Set, parse, parseShort

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.python.failure import Failure

    from memq.connection.interfaces import Counters
    from memq.wire.forms import Form
    from memq.wire.text import Command

_CRLF = b"\r\n"


def _isTooLong(line: bytes) -> bool:
    return len(line) - line.endswith(b"\r") > MAX_LINE


def _bodySize(command: Command) -> int | None:
    """Return the bytes of the body that follows a command's line, None if none does."""
    return command.size if isinstance(command, Set | Add | Refused) else None


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

    def reserve(self, command: Set) -> QueueError | None:
        """Find room for a body that comes in pieces, or pause until there is.

        :return: why the body is to be refused; None when it is not.
        """

    def release(self) -> None:
        """Give that room back, or wait for it no longer."""

    def joinable(self, command: Set | Get) -> int:
        """Return how many like the command just carried out can be joined to it.

        So many have no effect but to be joined: not even on whether more is read.
        """

    def joinSets(self, command: Set, bodies: Sequence[bytes]) -> None:
        """Carry out sets like the last; at least one, at most as many as joinable."""

    def joinGets(self, count: int) -> None:
        """Carry out gets like the last; at least one, at most as many as joinable."""

    def beginBody(self, command: Set) -> None:
        """Make ready for a body in parts."""

    def addPart(self, data: bytes) -> None:
        """Take the next part of a body, 1 to PART_SIZE bytes."""

    def executeInParts(self, command: Set, complete: bool) -> None:
        """Carry out a set whose body came in parts."""

    def abandonBody(self) -> None:
        """Forget the parts that came."""

    def refuse(self, error: QueueError, form: Form = PLAIN) -> None:
        """Answer an error that is no command's."""

    def allReceived(self) -> None:
        """Do what is to be done once after all commands of a packet."""


class CommandReceiver(LineReceiver):
    """Make commands of what a client sends, and hand them to a sink."""

    delimiter = b"\n"
    #: LineReceiver counts a CR at the end of the line.
    MAX_LENGTH = MAX_LINE + 1

    def __init__(self, sink: CommandSink, maxBody: int, counters: Counters) -> None:
        """Begin with nothing received.

        :param sink: carries out what comes.
        :param maxBody: bytes of the largest body; a larger one is thrown away.
        :param counters: count the bytes that come.
        """
        # As of the class, but found faster: 700 instructions a packet.
        self.line_mode = 1
        self.paused = False
        self._sink = sink
        #: Whether LineReceiver may have kept something, in its buffer.
        self._keeps = False
        self._counters = counters
        self._maxBody = maxBody
        #: Bytes of the largest body that is taken straight from the data.
        self._largestWhole = min(maxBody, PART_SIZE)
        #: The command whose body is being received, and the bytes kept of that.
        self.command: Set | Add | Refused | None = None
        self.collected = bytearray()
        self._missing = 0
        #: Whether no more commands are taken, for good.
        self.closing = False
        #: Whether anything came since somebody set it to False.
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
        self.clearLineBuffer()
        command, self.command = self.command, None
        if type(command) is Set:
            self._sink.release()
            if command.size > PART_SIZE:
                self._sink.abandonBody()

    def dataReceived(self, data: bytes) -> None:
        """Take whole commands from the data; leave pieces to LineReceiver."""
        self._counters.bytesRead += len(data)
        self.heard = True
        if self.line_mode and not self.paused:
            if self._keeps:
                self._keeps = False
                data = self.clearLineBuffer() + data
            self._takeCommands(data)
        elif not self.closing:
            self._keeps = True
            super().dataReceived(data)

    def _takeCommands(self, data: bytes) -> None:
        sink, find, startswith = self._sink, data.find, data.startswith
        length = len(data)
        start = 0
        while start < length and not self.paused:
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
            if type(command) is Set:
                body = newline + 1
                after = body + command.size
                if after + 2 > length or command.size > self._largestWhole:
                    break
                start = after + 2
                complete = data[after:start] == _CRLF
                sink.executeWithBody(command, data[body:after], complete)
                if start < length and complete and startswith(line, start):
                    start = self._takeSets(command, line, data, start)
            elif type(command) is Get:
                start = newline + 1
                sink.execute(command)
                if start < length and startswith(line, start):
                    start = self._takeGets(command, line, data, start)
            else:
                after = self._takeOther(command, data, newline + 1)
                if after > length:
                    break
                start = after
        if start < length and not self.closing:
            self._keep(data[start:])
        sink.allReceived()

    def _takeSets(self, command: Set, line: bytes, data: bytes, start: int) -> int:
        """Take sets at once that say the same as the one before them.

        Where the line comes again at each place where it has to, no body has it.

        :param line: their line, without its LF.
        :param start: where they begin; CR LF is before that.
        :return: where what is not taken begins.
        """
        separator = b"%b%b\n" % (_CRLF, line)
        period = len(separator) + command.size
        count = min(self._joinable(command), (len(data) - start) // period)
        if not count or not data.startswith(separator, start - 2):
            return start
        end = start + count * period
        bodies = data[start - 2 : end - 2].split(separator)[1:]
        if data[end - 2 : end] != _CRLF or {*map(len, bodies)} != {command.size}:
            # Behind the last of these, something else than the line may come.
            bodies = [*takewhile(lambda body: len(body) == command.size, bodies[:-1])]
        if bodies:
            self._sink.joinSets(command, bodies)
        return start + len(bodies) * period

    def _takeGets(self, command: Get, line: bytes, data: bytes, start: int) -> int:
        """Take gets at once that say the same as the one before; see ``_takeSets``."""
        line += b"\n"
        period = len(line)
        most = min(self._joinable(command), (len(data) - start) // period)
        count = most if data.startswith(line * most, start) else 0
        while count < most and data.startswith(line, start + count * period):
            count += 1
        if count:
            self._sink.joinGets(count)
        return start + count * period

    def _joinable(self, command: Set | Get) -> int:
        return 0 if self.paused else self._sink.joinable(command)

    def _takeOther(self, command: Command, data: bytes, body: int) -> int:
        """Carry out a command other than a set or get, if its body is whole.

        :param body: where that begins, or what is behind the line.
        :return: where its end is, or would be.
        """
        size = _bodySize(command)
        after = body if size is None else body + size + 2
        if after <= len(data):
            self._take(command, data[body:after])
        return after

    def _take(self, command: Command, rest: bytes) -> None:
        """Carry out a command other than a set, with what came behind its line.

        :param rest: of a body that is thrown away, at least the end.
        """
        complete = rest.endswith(_CRLF)
        if type(command) is Add:
            self._sink.executeAdd(command, rest[:-2], complete)
            return
        if rest and type(command) is Refused and not complete:
            command = command._replace(closes=True)
        self._sink.execute(command)

    def _keep(self, data: bytes) -> None:
        """Leave a line or a body in pieces, or what is behind a pause, to LineReceiver.

        A line that begins as none of ours does is not waited for.
        """
        other = None if self.paused else begins(data)
        if other is None:
            self._keeps = True
            super().dataReceived(data)
        else:
            self._sink.execute(other)

    def lineReceived(self, line: bytes) -> None:
        """Carry out a line that came in pieces, or whose body does."""
        if _isTooLong(line):
            self.lineLengthExceeded(line)
            return
        command = self._parse(line)
        if not isinstance(command, Set | Add | Refused) or command.size is None:
            self._sink.execute(command)
            return
        self._missing = command.size + 2
        if type(command) is Set:
            error = self._sink.reserve(command)
            if error is not None:
                command = Refused(error, command.size, command.form)
            elif command.size > PART_SIZE:
                self._sink.beginBody(command)
        self.command = command
        self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        """Collect a body, or throw it away; execute its command at its end."""
        command = self.command
        assert command is not None
        piece = data[: self._missing]
        self._missing -= len(piece)
        # A list of pieces of a byte or two would take many times their size.
        self.collected += piece
        if type(command) is Refused:
            del self.collected[:-2]
        if type(command) is Set and command.size > PART_SIZE:
            self._takeParts()
        if self._missing:
            return
        self.command = None
        self.setLineMode()
        if type(command) is Set:
            self._executeCollected(command)
        else:
            rest, self.collected = bytes(self.collected), bytearray()
            self._take(command, rest)
        self._takeCommands(data[len(piece) :])

    def _executeCollected(self, command: Set) -> None:
        """Carry out a set whose body came in pieces."""
        rest = bytes(self.collected)
        self.collected = bytearray()
        self._sink.release()
        complete = rest.endswith(_CRLF)
        if command.size > PART_SIZE:
            self._addParts(rest[:-2])
            self._sink.executeInParts(command, complete)
        else:
            self._sink.executeWithBody(command, rest[:-2], complete)

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

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that is too long."""
        other = begins(line)
        if other is None:
            self._sink.refuse(LineTooLong())
        else:
            self._sink.execute(other)
        # It may stand behind a body, where no other end of the packet is seen.
        self._sink.allReceived()

    def _parse(self, line: bytes) -> Command:
        # As above: equal lines are to be one command, also where one comes in pieces.
        command = parseShort(line) if len(line) <= KEPT_LINE else parse(line)
        if type(command) is Set and command.size > self._maxBody:
            return Refused(BodyTooLarge(), command.size, command.form)
        return command
