"""Push: set messages from the command line, from files or from a pipe.

Sets are pipelined: up to two batches are on their way, each of at most BATCH messages
and _BYTES, so no more replies wait than the sockets hold.  A message counts when its
STORED has been read.  At the first refusal no more are sent.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections import deque
from typing import TYPE_CHECKING

from memq.client.connection import STORED, advised
from memq.commandline.arguments import REFUSED, addCommand, connected, whole
from memq.commandline.formats import LINE, NUL, Splitter, unpackMessage
from memq.commandline.terminal import Meter
from memq.errors import CommandError
from memq.wire.extensions import MAX_DELAY
from memq.wire.words import MAX_FLAGS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from memq.client.connection import Connection
    from memq.commandline.arguments import Add, Tell

#: Messages, and bytes of bodies unless one alone has more, that are sent at a time.
BATCH = 1000
_BYTES = 256 << 10
#: Bytes that are read at a time.
_PIECE = 256 << 10
#: Parts of a second in which --rate spreads messages.
_PARTS = 10


def addCommands(add: Add) -> None:
    """Add the subcommand."""
    does = "Set messages; without TEXT and --file, standard input is one."
    parser = addCommand(add, "push", _push, does, queues="")
    parser.rest = "text"
    parser.add_argument("text", nargs="*", default=[], metavar="TEXT", help="a message")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--lines", action="store_true", help="each line of standard input is one"
    )
    source.add_argument(
        "--null", "-0", action="store_true", help="so is what a zero byte ends"
    )
    source.add_argument(
        "--json", action="store_true", help="so is each line, as pop --json writes it"
    )
    source.add_argument(
        "--file",
        action="append",
        metavar="FILE",
        help="its contents are one; may be repeated",
    )
    parser.add_argument(
        "--delay",
        type=whole(0, MAX_DELAY),
        metavar="SECONDS",
        help="invisible for so long",
    )
    parser.add_argument(
        "--flags",
        type=whole(0, MAX_FLAGS),
        default=0,
        metavar="NUMBER",
        help="the client's flags (default: 0)",
    )
    parser.add_argument(
        "--rate",
        type=whole(1, 10**9),
        metavar="NUMBER",
        help="at most so many messages a second",
    )


class Pipeline:
    """Sets on their way to the server, and the count of those that it has stored.

    :ivar stored: how many were acknowledged.
    """

    def __init__(self, connection: Connection, key: bytes, flags: int) -> None:
        """Begin with none.

        :param key: the queue, with options if there are any.
        """
        self._connection = connection
        self._key, self._flags = key, flags
        self._batches: deque[int] = deque()
        self._sent = self.stored = 0
        self._refused: list[bytes] = []
        self._firstRefused = 0

    @property
    def unknown(self) -> int:
        """How many were sent and not answered."""
        return self._sent - self.stored - len(self._refused)

    def put(self, bodies: list[bytes], flags: Iterable[int] | None = None) -> None:
        """Send messages; read replies to earlier ones."""
        key = self._key
        if flags is None:
            head = b"set %b %d 0 " % (key, self._flags)
            pieces = [b"%b%d\r\n%b\r\n" % (head, len(each), each) for each in bodies]
        else:
            pieces = [
                b"set %b %d 0 %d\r\n%b\r\n" % (key, flag, len(body), body)
                for body, flag in zip(bodies, flags, strict=True)
            ]
        self._batches.append(len(bodies))
        self._sent += len(bodies)
        self._connection.send(*pieces)
        while len(self._batches) > 1:
            self._read()

    def settle(self) -> None:
        """Read all replies.

        :raise memq.errors.CommandError: when messages were refused.
        """
        while self._batches:
            self._read()
        if self._refused:
            why = advised(self._refused[0])
            if why == "NOT_STORED":
                why = "the queue is full or paused, or one that gets a copy is"
            raise CommandError(
                f"{self.stored} messages stored, {len(self._refused)} refused: {why}; "
                f"message {self._firstRefused} was the first of these",
                REFUSED,
            )

    def _read(self) -> None:
        """Read the replies to a batch; at a refusal, to all others, too."""
        for line in self._connection.replies(self._batches.popleft()):
            if line == STORED:
                self.stored += 1
                continue
            if not self._refused:
                self._firstRefused = self.stored + 1
            self._refused.append(line[:-2])
        if self._refused:
            self.settle()


def batches(bodies: list[bytes], most: int) -> Iterator[list[bytes]]:
    """Cut messages into batches."""
    batch: list[bytes] = []
    size = 0
    for body in bodies:
        if batch and (len(batch) == most or size + len(body) > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += len(body)
    if batch:
        yield batch


class Pace:
    """Send no more than so many messages a second.

    :ivar most: how many at a time.
    """

    def __init__(
        self,
        rate: int | None,
        seconds: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Begin to count the seconds; None is no limit."""
        self._rate = rate
        self.most = BATCH if rate is None else max(1, min(BATCH, rate // _PARTS))
        self._seconds, self._sleep = seconds, sleep
        self._nextAt = seconds()

    def keep(self, count: int) -> None:
        """Wait until so many may be sent."""
        if self._rate is not None:
            now = self._seconds()
            if self._nextAt > now:
                self._sleep(self._nextAt - now)
            self._nextAt = max(now, self._nextAt) + count / self._rate


def _push(options: argparse.Namespace, tell: Tell) -> int:
    key = options.queue
    if options.delay is not None:
        key += b"/delay=%d" % options.delay
    many = options.lines or options.null or options.json
    if options.text and (many or options.file):
        raise CommandError("TEXT, and messages from elsewhere: choose one", 2)
    with connected(options) as connection, Meter(tell) as meter:
        pipeline = Pipeline(connection, key, options.flags)
        pace = Pace(options.rate)
        try:
            for bodies, part in _pieces(options, pipeline):
                for batch in batches(bodies, pace.most):
                    pace.keep(len(batch))
                    if options.json:
                        pairs = [unpackMessage(line) for line in batch]
                        found, flags = zip(*pairs, strict=True)
                        pipeline.put(list(found), flags)
                    else:
                        pipeline.put(batch)
                    meter.reach(pipeline.stored, part)
            pipeline.settle()
        except BaseException as error:
            if getattr(error, "status", None) != REFUSED:
                tell(f"{pipeline.stored} messages stored{_doubt(pipeline)}")
            raise
    if many:
        tell(f"{pipeline.stored} messages stored")
    return 0


def _doubt(pipeline: Pipeline) -> str:
    """Return what is not known of the rest."""
    return f", and perhaps {n} more" if (n := pipeline.unknown) else ""


def _pieces(
    options: argparse.Namespace, pipeline: Pipeline
) -> Iterator[tuple[list[bytes], float | None]]:
    """Yield messages as they come, and how much of all was read by then, if known."""
    if options.text:
        yield [os.fsencode(text) for text in options.text], None
    elif options.file:
        for done, path in enumerate(options.file, 1):
            with open(path, "rb") as file:
                yield [file.read()], done / len(options.file)
    elif options.lines or options.null or options.json:
        yield from _stream(Splitter(NUL if options.null else LINE), pipeline)
    else:
        with open(0, "rb", closefd=False) as file:
            yield [file.read()], None


def _stream(
    splitter: Splitter, pipeline: Pipeline
) -> Iterator[tuple[list[bytes], float | None]]:
    status = os.fstat(0)
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    done = 0
    while True:
        # All that was sent is stored before there is a wait for more to send.
        if not select.select([0], [], [], 0)[0]:
            pipeline.settle()
        data = os.read(0, _PIECE)
        if not data:
            break
        done += len(data)
        yield splitter.feed(data), done / size if size else None
    yield splitter.last(), None
