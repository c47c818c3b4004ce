"""Waiters: very many connections that wait for a message, and how soon they have one.

All of them live in one thread.  They are answered in the order in which they came, or
there is an AssertionError.
"""

from __future__ import annotations

import resource
from collections import deque
from selectors import EVENT_READ, DefaultSelector
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from testkit.servers import PATIENCE
from testkit.wire import Wire, found, sets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import socket

#: Milliseconds that they wait, which is longer than anything here takes.
_LONG = 3_600_000
#: The pattern of all their queues.
EVERYBODY = b"waited*"


def openFiles(wanted: int) -> int:
    """Let this process open so many files, or as many as it may; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    return allowed


class _Waiter(NamedTuple):
    """One of them."""

    queue: bytes
    socket: socket

    def wait(self) -> None:
        """Ask for a message."""
        self.socket.sendall(b"get %b/t=%d\r\n" % (self.queue, _LONG))


class Waiters:
    """Connections that wait, and one that sets.

    :ivar queues: the names of their queues.
    :ivar early: how many were served before it was their turn.
    """

    def __init__(self, connect: Callable[[], socket], count: int, queues: int) -> None:
        """Connect, and let all wait.

        :param count: how many there are, on so many queues in turns.
        """
        self.early = 0
        self.queues = [b"waited%d" % number for number in range(queues)]
        self._selector = DefaultSelector()
        self._lines: dict[bytes, deque[_Waiter]] = {q: deque() for q in self.queues}
        self._wire = Wire(connect())
        for queue in self.queues:
            # The server tells of no queue that it never had.
            self._wire.send(sets(queue, b"") + b"flush %b\r\n" % queue)
            answers = [self._wire.line(), self._wire.line()]
            assert answers == [b"STORED", b"END"], answers
        for number in range(count):
            queue = self.queues[number % queues]
            if number and queue == self.queues[0]:
                self.settle(EVERYBODY)
            waiter = _Waiter(queue, connect())
            self._selector.register(waiter.socket, EVENT_READ, waiter)
            self._wait(waiter)
        self.settle(EVERYBODY)

    def _wait(self, waiter: _Waiter) -> None:
        self._lines[waiter.queue].append(waiter)
        waiter.wait()

    def settle(self, pattern: bytes) -> None:
        """Wait until the server knows of everybody who waits for some queues.

        Commands of different connections may be handed to it in another order.
        """
        late = perf_counter() + PATIENCE
        waiting = self._lines.get(pattern)
        expected = sum(map(len, self._lines.values() if waiting is None else [waiting]))
        while self.countWaiters(pattern) != expected:
            assert perf_counter() < late, f"{pattern!r}: not all of them wait"

    def countWaiters(self, pattern: bytes) -> int:
        """Return how many the server says to wait for some queues."""
        figures = self._wire.figures(b"detail " + pattern)
        return sum(int(f) for name, f in figures.items() if name.endswith(b"_waiters"))

    def reach(self, queues: Sequence[bytes]) -> list[float]:
        """Set a message in each queue, all at once; who has it waits again.

        :return: after how many seconds each was with its waiter.
        """
        took = self.serve(queues)
        self.settle(queues[0] if len(queues) == 1 else EVERYBODY)
        return took

    def serve(self, queues: Sequence[bytes]) -> list[float]:
        """Do that, and do not wait until the server knows who waits again."""
        began = perf_counter()
        self.sendTo(queues)
        took = self.gather(len(queues), began)
        assert not self.early, "somebody was served before it was their turn"
        lines = self.told(len(queues))
        assert lines == [b"STORED"] * len(queues), lines
        return took

    def sendTo(self, queues: Sequence[bytes]) -> None:
        """Set a message in each queue, and wait for nothing."""
        self._wire.send(b"".join(sets(queue, b"hello") for queue in queues))

    def told(self, count: int) -> list[bytes]:
        """Return what is told of so many sets."""
        return [self._wire.line() for _ in range(count)]

    def gather(self, count: int, began: float) -> list[float]:
        """Wait for so many messages; return how long after a moment each was there."""
        took: list[float] = []
        while len(took) < count:
            destinations = self._selector.select(PATIENCE)
            took += [perf_counter() - began] * len(destinations)
            assert destinations, f"{len(took)} of {count} came"
            for key, _ in destinations:
                self._take(key.data)
        return took

    def _take(self, waiter: _Waiter) -> None:
        line = self._lines[waiter.queue]
        self.early += waiter is not line[0]
        line.remove(waiter)
        value = found(b"%b/t=%d" % (waiter.queue, _LONG), b"hello")
        got = waiter.socket.recv(65536)
        assert got == value, got
        self._wait(waiter)

    def busy(self, milliseconds: int) -> float:
        """Return what part of a processor the server takes while nothing happens."""
        before, began = self.processorSeconds(), perf_counter()
        end = self._wire.ask(b"get none/t=%d" % milliseconds)
        assert end == b"END", end
        seconds = perf_counter() - began
        return (self.processorSeconds() - before) / seconds

    def processorSeconds(self) -> float:
        """Return what the server has used."""
        figures = self._wire.figures()
        return sum(float(f) for name, f in figures.items() if name[:7] == b"rusage_")

    def close(self) -> None:
        """Disconnect all."""
        for key in self._selector.get_map().values():
            key.data.socket.close()
        self._selector.close()
        self._wire.close()


def percentile(seconds: Sequence[float], share: float) -> float:
    """Return what this share of them takes at most, in milliseconds."""
    return 1000 * sorted(seconds)[int(len(seconds) * share)]
