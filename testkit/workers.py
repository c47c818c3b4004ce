"""Workers: clients in threads, that say to a ledger what they send and are answered.

A worker has a connection and a plan.  It sends what the plan gives, all at once, reads
the answers, and so on until the connection ends; nobody tells it to stop.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from typing import TYPE_CHECKING, Protocol

from testkit.ledger import makeBody
from testkit.wire import Value, Wire, sets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Future
    from socket import socket

    from testkit.account import Get
    from testkit.ledger import Ledger


class Command(Protocol):
    """Something that is sent, and its answer.

    :ivar request: its bytes.
    """

    request: bytes

    def read(self, wire: Wire) -> None:
        """Read the answer, and say it to the ledger."""


class SetOne:
    """A set of a new message."""

    def __init__(self, ledger: Ledger, queue: bytes, producer: int, size: int) -> None:
        self._ledger = ledger
        self.sent = ledger.set(queue, producer)
        body = makeBody(queue, self.sent.name, size)
        self.request = sets(queue, body, flags=self.sent.name.number)

    def read(self, wire: Wire) -> None:
        """Expect STORED."""
        line = wire.line()
        if line == b"STORED":
            self._ledger.isStored(self.sent)
        else:
            self._ledger.complain(f"a set was answered {line!r}")


class GetSome:
    """A get of one message of each of some queues, which all have another name."""

    def __init__(
        self,
        ledger: Ledger,
        queues: Sequence[bytes],
        before: GetSome | None = None,
        options: bytes = b"",
    ) -> None:
        """Prepare it.

        :param before: one that the same client sends just before.
        :param options: stand behind the name; then there is one.
        """
        self._ledger = ledger
        known = before.sent if before else {}
        self.sent: dict[bytes, Get] = {
            queue: ledger.get(queue, known.get(queue)) for queue in queues
        }
        self._options = options
        self.request = b"get %b%b\r\n" % (b" ".join(queues), options)

    def read(self, wire: Wire) -> None:
        """Expect values, and END."""
        left = dict(self.sent)
        while (line := wire.line()).startswith(b"VALUE "):
            _, key, flags, size = line.split(b" ")
            body = wire.body(int(size))
            queue = key.removesuffix(self._options)
            self._ledger.got(left.pop(queue), int(flags), body)
        if line != b"END":
            self._ledger.complain(f"a get was answered {line!r}")
        for get in left.values():
            self._ledger.gotNothing(get)


class OpenSome:
    """Open reads of one queue, one after the other, that are closed or given back."""

    def __init__(self, ledger: Ledger, queue: bytes, count: int, end: bytes) -> None:
        """Prepare it.

        :param end: what becomes of the last one: ``close`` or ``abort``.
        """
        self._ledger = ledger
        self._gets = [ledger.get(queue) for _ in range(count)]
        for get in self._gets:
            # Others get what is behind it meanwhile, and then it may go back.
            ledger.cut(get)
        self._end = end
        options = [b"open", *[b"close/open"] * (count - 1), end]
        self._keys = [b"%b/%b" % (queue, each) for each in options]
        self.request = b"".join(b"get %b\r\n" % key for key in self._keys)

    def read(self, wire: Wire) -> None:
        """Expect a value and END from each but the last one, or only END.

        An open message has not been got before its close is answered.
        """
        opened: Value | None = None
        last = len(self._gets)
        for number, key in enumerate(self._keys):
            value = wire.value()
            assert value is None or value.key == key, value
            if opened is not None and (number < last or self._end == b"close"):
                get = self._gets[number - 1]
                self._ledger.got(get, opened.flags, opened.body)
            elif number:
                self._ledger.gotNothing(self._gets[number - 1])
            opened = value


class DeleteOne:
    """A delete of a queue."""

    def __init__(self, ledger: Ledger, queue: bytes) -> None:
        self._ledger = ledger
        self._sent = ledger.delete(queue)
        self.request = b"delete %b\r\n" % queue

    def read(self, wire: Wire) -> None:
        """Expect DELETED or NOT_FOUND."""
        line = wire.line()
        if line not in (b"DELETED", b"NOT_FOUND"):
            self._ledger.complain(f"a delete was answered {line!r}")
        self._ledger.isDeleted(self._sent)


def gets(ledger: Ledger, queues: Iterable[bytes]) -> list[Command]:
    """Return gets of one message each, to be sent one behind the other."""
    last: dict[bytes, GetSome] = {}
    commands: list[Command] = []
    for queue in queues:
        last[queue] = GetSome(ledger, [queue], last.get(queue))
        commands.append(last[queue])
    return commands


def exchange(wire: Wire, commands: Sequence[Command]) -> None:
    """Send commands at once, and read the answers."""
    wire.send(b"".join(command.request for command in commands))
    for command in commands:
        command.read(wire)


class Load:
    """Workers at one server, until their connections end.

    :ivar enough: set when so many commands were answered as were asked for.
    """

    def __init__(
        self,
        ledger: Ledger,
        connect: Callable[[], socket],
        wire: Callable[[socket], Wire] = Wire,
    ) -> None:
        self._ledger = ledger
        self._connect = connect
        self._wire = wire
        self._lock = Lock()
        self._left = 0
        self.enough = Event()
        self._isEnding = False
        self._futures: list[Future[None]] = []

    def start(self, policies: Sequence[Callable[[], list[Command]]], goal: int) -> None:
        """Start a worker for each plan.

        :param goal: how many answers are enough.
        """
        self._left = goal
        self._pool = ThreadPoolExecutor(len(policies))
        self._futures = [self._pool.submit(self._work, policy) for policy in policies]

    def ends(self) -> None:
        """Expect connections to end from now on."""
        self._isEnding = True

    def join(self) -> None:
        """Wait for the end of all workers."""
        for future in self._futures:
            future.result()
        self._pool.shutdown()

    def _work(self, policy: Callable[[], list[Command]]) -> None:
        try:
            with self._wire(self._connect()) as wire:
                while True:
                    commands = policy()
                    exchange(wire, commands)
                    self._answered(len(commands))
        except Exception as error:
            if not (self._isEnding and isinstance(error, OSError)):
                self._ledger.complain(f"a client met {error!r}")

    def _answered(self, count: int) -> None:
        with self._lock:
            self._left -= count
            if self._left <= 0:
                self.enough.set()
