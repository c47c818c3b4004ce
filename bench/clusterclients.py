"""The clients of bench.clusterledger, a thread each: producers, and three ways to read.

Each has one command under way at a time, and comes back when its connection or its
front end is gone.  All that it is told goes to its queue's account.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from bench.clusteraccount import CHAIN, PLAIN
from testkit.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import socket

    from bench.clusteraccount import Account

#: Seconds that a client waits for an answer before it goes.
PATIENCE = 30.0
#: Seconds to rest: between two sets, after a read that found nothing, after an error.
PACE, EMPTY, ERROR = 0.02, 0.02, 0.05
#: Bytes of a body.
SIZE = 100
#: What a set is told that is surely not stored.
REFUSALS = (b"nothing is stored", b"out of memory or disk space")


class Reply(NamedTuple):
    """What was answered: a message's number, an end, or an error in words."""

    number: int | None
    error: bytes


class Client(threading.Thread):
    """One of them, until it is told to stop."""

    def __init__(
        self, connects: Sequence[Callable[[], socket]], queue: bytes, account: Account
    ) -> None:
        """Begin nothing.

        :param connects: make connections to front ends; the first is preferred.
        """
        super().__init__(daemon=True)
        self._connects, self._queue, self._account = connects, queue, account
        self._wire: Wire | None = None
        self._isOver = threading.Event()

    def stop(self) -> None:
        """Have it end after the command that is under way."""
        self._isOver.set()

    def run(self) -> None:
        """Go on until it is told to stop."""
        try:
            while not self._isOver.is_set():
                self.go()
        except Exception as error:
            self._account.complain(f"a client has failed: {error!r}")
        finally:
            self.leave()

    def go(self) -> None:
        """Connect if need be, and do once what it does."""
        try:
            if self._connect():
                self.act()
        except OSError:
            self.leave()

    def act(self) -> None:
        """Send a command, and note what is answered.

        :raises OSError: the connection is gone.
        """
        raise NotImplementedError

    def _connect(self) -> bool:
        for connect in self._connects:
            if self._wire is None:
                with suppress(OSError):
                    connection = connect()
                    connection.settimeout(PATIENCE)
                    self._wire = Wire(connection)
        if self._wire is None:
            self._isOver.wait(ERROR)
        return self._wire is not None

    def leave(self) -> None:
        """Disconnect; what is open goes back."""
        if self._wire is not None:
            with suppress(OSError):
                self._wire.close()
            self._wire = None

    def rest(self, seconds: float) -> None:
        """Do nothing for a while."""
        self._isOver.wait(seconds)

    def exchange(self, request: bytes) -> Reply:
        """Send a command, and return what is answered.

        :raises OSError: the connection ended before; it is noted.
        """
        assert self._wire is not None
        began = time.monotonic()
        try:
            self._wire.send(request)
            reply = self._read(self._wire)
        except OSError:
            self._account.miss()
            raise
        finally:
            self._account.late(time.monotonic() - began)
        return reply

    def _read(self, wire: Wire) -> Reply:
        line = wire.line()
        if not line.startswith(b"VALUE "):
            return Reply(None, b"" if line in (b"END", b"STORED") else line)
        body = wire.body(int(line.split(b" ")[3]))
        last = wire.line()
        if last != b"END":
            self._account.complain(f"{last!r} behind a message")
        return Reply(int(body), b"")

    def failed(self, error: bytes) -> None:
        """Note that a read was answered with an error."""
        if not error.startswith(b"SERVER_ERROR "):
            self._account.complain(f"{error!r} to a read")
        self._account.fail()


class Producer(Client):
    """Sets messages."""

    def act(self) -> None:
        """Set one."""
        number = self._account.send()
        body = (b"%d" % number).ljust(SIZE)
        try:
            reply = self.exchange(
                b"set %b 0 0 %d\r\n%b\r\n" % (self._queue, len(body), body)
            )
        except OSError:
            self._account.tell(number, "unsure")
            raise
        error = reply.error
        if not error:
            self._account.tell(number, "stored")
        elif error == b"NOT_STORED" or any(words in error for words in REFUSALS):
            self._account.tell(number, "refused")
        else:
            self._account.tell(number, "unsure")
            if not error.startswith(b"SERVER_ERROR "):
                self._account.complain(f"{error!r} to a set")
        self.rest(ERROR if error else PACE)


class Taker(Client):
    """Takes messages with plain gets."""

    def act(self) -> None:
        """Take one."""
        askedAt = time.monotonic()
        try:
            reply = self.exchange(b"get %b\r\n" % self._queue)
        except OSError:
            self._account.fail()
            raise
        if reply.error:
            self.failed(reply.error)
            self.rest(ERROR)
        elif reply.number is None:
            self.rest(EMPTY)
        else:
            self._account.give(reply.number, askedAt)


class Opener(Client):
    """Opens messages, and closes each with a command of its own."""

    def act(self) -> None:
        """Open one, and close it."""
        number = self.open(b"get %b/open\r\n" % self._queue)
        if number is None:
            self.rest(EMPTY)
        else:
            self.close(number, b"get %b/close\r\n" % self._queue)

    def open(self, request: bytes) -> int | None:
        """Return the message that is opened, if there is one."""
        askedAt = time.monotonic()
        reply = self.exchange(request)
        if reply.error:
            self.failed(reply.error)
            self.rest(ERROR)
            raise ConnectionError("what is open is not known")
        if reply.number is not None:
            self._account.give(reply.number, askedAt)
        return reply.number

    def close(self, number: int, request: bytes) -> int | None:
        """End a message; return the next one, if there is one."""
        askedAt = time.monotonic()
        try:
            reply = self.exchange(request)
        except OSError:
            self._account.doubt(number)
            raise
        if reply.error:
            self._account.doubt(number)
            self.failed(reply.error)
            self.rest(ERROR)
            raise ConnectionError("what is open is not known")
        self._account.end(number)
        if reply.number is not None:
            self._account.give(reply.number, askedAt)
        return reply.number


class Chainer(Opener):
    """Opens messages, and ends each with the command that opens the next one."""

    def act(self) -> None:
        """Open one, and go on until there is none."""
        number = self.open(b"get %b/open\r\n" % self._queue)
        while number is not None and not self._isOver.is_set():
            number = self.close(number, b"get %b/close/open\r\n" % self._queue)
        self.leave()
        self.rest(EMPTY)


def readerOf(way: str) -> type[Client]:
    """Return what reads in a way."""
    if way == PLAIN:
        return Taker
    return Chainer if way == CHAIN else Opener


class Pulse(threading.Thread):
    """Measures how late the machine lets a thread go on that has slept.

    :ivar longest: the most seconds.
    """

    def __init__(self) -> None:
        """Begin nothing."""
        super().__init__(daemon=True)
        self.longest = 0.0
        self._isOver = threading.Event()

    def run(self) -> None:
        """Sleep again and again, until it is told to stop."""
        while True:
            began = time.monotonic()
            isOver = self._isOver.wait(EMPTY)
            self.note(time.monotonic() - began)
            if isOver:
                return

    def note(self, slept: float) -> None:
        """Note how long it has slept, in seconds."""
        self.longest = max(self.longest, slept - EMPTY)

    def stop(self) -> None:
        """Have it end."""
        self._isOver.set()
