"""Clients that misbehave, and one that does not: for tests of real servers.

All of them live in one thread of the test: what is measured is the server, and not who
of its clients runs when.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager, suppress
from itertools import cycle
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from memq.test.support.torture import report
from testkit.servers import PATIENCE
from testkit.wire import cut, found, readAll, sets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.trial.unittest import TestCase

    from testkit.servers import Server

#: Seconds that 99 of 100 commands of another client take at most.
PROMISE = 0.1
#: How often that is measured again when it was more: others use the machine as well.
TRIES = 5
#: Pairs of set and get in one measurement.
PAIRS = 150

_BODY = b"hello"


class Crowd:
    """Many connections that do the same."""

    def __init__(self, server: Server, count: int, path: str = "") -> None:
        """Connect, by TCP or to the UNIX socket at ``path``.

        The system takes megabytes for a TCP client that does not read, and 200 KB for
        one of a UNIX socket.
        """
        self.sockets: list[socket.socket] = []
        for _ in range(count):
            client = socket.socket(socket.AF_UNIX) if path else socket.socket()
            self.sockets.append(client)
            client.settimeout(PATIENCE)
            client.connect(path or ("127.0.0.1", server.port))
        self._inTurn = cycle(self.sockets)

    def send(self, data: bytes) -> None:
        """Send to each as much as goes at once; it may have been closed, too."""
        self.dribble(data, len(self.sockets))

    def dribble(self, data: bytes, count: int) -> None:
        """Send to the next few of them; a full socket, or a closed one, is left out."""
        for _ in range(count):
            client = next(self._inTurn)
            client.setblocking(False)
            with suppress(OSError):
                client.sendall(data)
            client.settimeout(PATIENCE)

    def replies(self) -> list[bytes]:
        """Return what each is told up to its end, when the server ends it."""
        return [readAll(client) for client in self.sockets]

    def close(self) -> None:
        """Cut all connections; the system is to forget them at once."""
        for client in self.sockets:
            cut(client)


class Scene:
    """A server, those who attack it, and another client who must not notice.

    :ivar polite: the other client.
    """

    def __init__(self, case: TestCase, server: Server) -> None:
        self._case = case
        self.server = server
        self.polite = server.wire()
        self._crowds: list[Crowd] = []
        #: The largest p99 of the attack, and how often it was measured for that.
        self._p99 = 0.0
        self._tries = 0
        self._before = self._census()
        # The most that was resident is measured anew.
        with open(f"/proc/{server.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        self._resident = server.residentNow()

    def crowd(self, count: int, path: str = "") -> Crowd:
        """Return new connections, by TCP or to a UNIX socket, closed at the end."""
        crowd = Crowd(self.server, count, path)
        self._crowds.append(crowd)
        return crowd

    def _census(self) -> dict[str, int]:
        """Return what must not grow."""
        figures = self.polite.figures()
        names = (b"curr_connections", b"bytes_buffered", b"waiting_for_room")
        found = {name.decode(): int(figures[name]) for name in names}
        found["files"] = len(os.listdir(f"/proc/{self.server.pid}/fd"))
        return found

    def waitFor(
        self, isSo: Callable[[], bool], what: Callable[[], object] = lambda: ""
    ) -> None:
        """Ask the server for figures until something is so."""
        end = monotonic() + PATIENCE
        while not isSo():
            assert monotonic() < end, f"{what()}, and not {self._before}"

    def waitForFigure(self, name: bytes, value: int) -> None:
        """Wait until the server tells this figure."""
        self.waitFor(lambda: self.polite.figures()[name] == b"%d" % value)

    def growth(self) -> int:
        """Return how much more was resident at any time than at the beginning."""
        return self.server.residentBytes() - self._resident

    def othersAreServed(self, attack: Callable[[], object] = lambda: None) -> None:
        """Check that another client's commands take no longer than is promised.

        :param attack: done before each of its commands.
        """
        found: list[float] = []
        while len(found) < TRIES and min(found, default=PROMISE) >= PROMISE:
            times = sorted(self._time(attack) for _ in range(PAIRS))
            found.append(times[len(times) * 99 // 100])
        self._p99 = max(self._p99, min(found))
        self._tries = max(self._tries, len(found))
        self._case.assertLess(min(found), PROMISE, f"p99 of {len(found)} runs: {found}")

    def _time(self, attack: Callable[[], object]) -> float:
        """Return how long a set, or a get, takes at most."""
        attack()
        request, value = sets(b"polite", _BODY), found(b"polite", _BODY)
        began = perf_counter()
        self.polite.send(request)
        told = self.polite.read(len(b"STORED\r\n"))
        middle = perf_counter()
        self.polite.send(b"get polite\r\n")
        told += self.polite.read(len(value))
        ended = perf_counter()
        self._case.assertEqual(told, b"STORED\r\n" + value)
        return max(middle - began, ended - middle)

    def end(self) -> None:
        """Send the attackers away, and see whether everything is as it was."""
        self.sendAway()
        report(self._case.id(), p99=self._p99, tries=self._tries, growth=self.growth())
        self.waitFor(lambda: self._census() == self._before, self._census)

    def sendAway(self) -> None:
        """Cut the attackers' connections."""
        for crowd in self._crowds:
            crowd.close()

    def close(self) -> None:
        """Leave, whatever happened."""
        self.sendAway()
        self.polite.close()


@contextmanager
def staged(case: TestCase, server: Server) -> Iterator[Scene]:
    """Give a scene, at the end of which nothing may be left of the attack."""
    scene = Scene(case, server)
    try:
        yield scene
        scene.end()
    finally:
        scene.close()
