"""Pop: take messages from the command line, into a pipe, a file or a directory.

Messages are opened in batches, written, settled (:mod:`memq.commandline.formats`), and
only then closed.  Whatever ends the command before, those that are not closed go back
to their places.  While a batch is written the server opens the next one, and while that
is written it closes the one before.  So none is lost, and at most two batches, MOST
messages, come twice.

--lossy takes messages for good before they are written: faster, and those on their way
are lost with the command.
"""

from __future__ import annotations

import math
from time import monotonic
from typing import TYPE_CHECKING

from memq.client.connection import ServerRefused
from memq.client.figures import detail
from memq.commandline.arguments import addCommand, connected, count, seconds
from memq.commandline.formats import LINE, NUL, Directory, Sink
from memq.commandline.manage import nothing
from memq.commandline.terminal import Meter, isTerminal
from memq.wire.extensions import MAX_WAIT

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from memq.client.connection import Connection, Message
    from memq.commandline.arguments import Add, Tell

#: Messages that are written and perhaps not closed, at most.
MOST = 1000
#: Messages of a batch.
BATCH = MOST // 2
#: Bytes of the names on one line: the longest line has 64 KiB.
_MOST_BYTES = 60_000


def addCommands(add: Add) -> None:
    """Add the subcommand."""
    does = "Take messages: each is closed when it has been written."
    parser = addCommand(add, "pop", _pop, does, queues="")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "-n",
        dest="count",
        type=count,
        default=1,
        metavar="NUMBER",
        help="how many, at most (default: 1)",
    )
    how.add_argument(
        "--all",
        dest="count",
        action="store_const",
        const=math.inf,
        help="until there is none",
    )
    parser.add_argument(
        "--wait",
        type=seconds,
        default=0.0,
        metavar="SECONDS",
        help="for a message when there is none; inf for ever",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--lines", action="store_true", help="a line end behind each, which is one body"
    )
    form.add_argument("--null", "-0", action="store_true", help="a zero byte instead")
    form.add_argument("--json", action="store_true", help="each as a line of JSON")
    form.add_argument("--to", metavar="DIR", help="each into a file of its own")
    parser.add_argument(
        "--lossy",
        action="store_true",
        help="take them before they are written: what is on its way can be lost",
    )


class Opened:
    """Messages that are opened, and closed when they are in safe hands."""

    def __init__(self, connection: Connection, queue: bytes) -> None:
        self._connection, self._queue = connection, queue

    def ask(self, most: int) -> None:
        """Ask for a batch, which ``messages`` yields."""
        self._connection.send(b"monitor %b 0 %d\r\n" % (self._queue, most))

    def messages(self) -> Iterator[Message]:
        """Yield the messages of what was asked for first."""
        return self._connection.messages()

    def wait(self, milliseconds: int) -> Iterator[Message]:
        """Yield the next message, if one comes in time."""
        self._connection.send(b"get %b/t=%d/open\r\n" % (self._queue, milliseconds))
        return self._connection.messages()

    def close(self, number: int) -> None:
        """Ask to delete so many of those that were yielded first."""
        self._connection.send(b"confirm %b %d\r\n" % (self._queue, number))

    def closed(self) -> None:
        """Wait until that is done, and synced."""
        self._connection.answer()


class Taken(Opened):
    """Messages that are gone when they are sent."""

    def ask(self, most: int) -> None:
        """Ask for a batch, which ``messages`` yields."""
        most = min(most, _MOST_BYTES // (len(self._queue) + 1))
        self._connection.send(b"get", most * (b" " + self._queue), b"\r\n")

    def wait(self, milliseconds: int) -> Iterator[Message]:
        """Yield the next message, if one comes in time."""
        self._connection.send(b"get %b/t=%d\r\n" % (self._queue, milliseconds))
        return self._connection.messages()

    def close(self, number: int) -> None:
        """Do nothing: they are closed."""

    def closed(self) -> None:
        """Do nothing."""


class Pop:
    """Moves messages from a source to a sink, and counts.

    :ivar moved: how many are closed.
    """

    def __init__(
        self,
        source: Opened,
        sink: Sink | Directory,
        most: float,
        meter: Meter,
        there: int = 0,
    ) -> None:
        """Begin with none.

        :param most: how many to move; inf for all.
        :param there: how many there are at first, if that is known.
        """
        self._source, self._sink, self._meter = source, sink, meter
        self._total = min(there, most)
        #: How many are to be asked for.
        self._left = most
        self.moved = 0

    def run(self, wait: float) -> None:
        """Move messages, until there is none for so many seconds."""
        while self._moveAll() or (self._left and self._wait(wait)):
            pass

    def _moveAll(self) -> int:
        """Move batches until one is empty; return how many messages they had.

        Messages before an error are moved, and those that were asked for behind it.
        There may be more than it finds, if no more can be open at a time.
        """
        before = self.moved
        failure: ServerRefused | None = None
        asked, written, goesOn = self._ask(), 0, True
        while asked:
            ahead = self._ask() if goesOn else 0
            number, error = self._write(self._source.messages())
            self._left += asked - number
            failure = failure or error
            goesOn = number > 0 and failure is None
            # The answer to the close before comes behind these messages.
            self._settled(written)
            asked, written = ahead, number
        self._settled(written)
        if failure is not None:
            raise failure
        return self.moved - before

    def _ask(self) -> int:
        """Ask for the next batch; return how many messages it has at most."""
        number = int(min(BATCH, self._left))
        if number:
            self._source.ask(number)
        self._left -= number
        return number

    def _wait(self, wait: float) -> bool:
        """Wait for a message, move it, and say whether there was one."""
        until = monotonic() + wait
        while (left := until - monotonic()) > 0:
            milliseconds = math.ceil(min(left * 1000, MAX_WAIT))
            number, failure = self._write(self._source.wait(milliseconds))
            self._left -= number
            self._settled(number)
            if failure is not None:
                raise failure
            if number:
                return True
        return False

    def _write(self, messages: Iterator[Message]) -> tuple[int, ServerRefused | None]:
        """Write messages, and ask to close them; return how many, and what failed."""
        number, failure = 0, None
        try:
            for message in messages:
                self._sink.write(message)
                number += 1
        except ServerRefused as error:
            failure = error
        if number:
            self._sink.settle()
            self._source.close(number)
        return number, failure

    def _settled(self, number: int) -> None:
        """Wait until so many that were written are closed."""
        if number:
            self._source.closed()
            self.moved += number
            part = min(1.0, self.moved / self._total) if self._total else None
            self._meter.reach(self.moved, part)


def _sink(options: argparse.Namespace) -> Sink | Directory:
    """Return where messages go."""
    if options.to is not None:
        return Directory(options.to)
    end = b""
    if options.null:
        end = NUL
    elif options.lines or options.json or options.count > 1:
        end = LINE
    return Sink(1, end, options.json)


def _pop(options: argparse.Namespace, tell: Tell) -> int:
    makes = Taken if options.lossy else Opened
    # A bar, and messages on the same terminal, would be in each other's way.
    bar = False if isTerminal(1) and options.to is None else None
    with connected(options) as connection, Meter(tell, bar=bar) as meter:
        sink = _sink(options)
        try:
            queue, most = options.queue, options.count
            there = detail(connection, queue).number("items") if most > 1 else 0
            pop = Pop(makes(connection, queue), sink, most, meter, there)
            pop.run(options.wait)
            if not pop.moved and most < math.inf:
                raise nothing(connection, queue)
        finally:
            sink.close()
    return 0
