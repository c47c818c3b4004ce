"""The clients of a soak, all at once, until their server ends.

The mix of the kill tests at an even pace, and beside it a backlog that grows and
drains, a client that reads slowly, and visitors: connections that are cut, that bring
rubbish, or that are short.  All but rubbish is in a ledger, see testkit.ledger.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING

from testkit.mix import PIPELINE, plans
from testkit.wire import Wire
from testkit.workers import (
    DeleteOne,
    GetSome,
    Load,
    SetOne,
    exchange,
    gets,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from testkit.ledger import Ledger
    from testkit.workers import Command

    Plan = Callable[[], list[Command]]
    Connect = Callable[[], socket.socket]
    Visit = Callable[[Connect], None]

#: Seconds between two goes of each client of the mix, on average.
PAUSES = {"setLarge": 0.2, "getLarge": 0.15, "delete": 0.05}
PAUSE = 0.02
#: Messages that the backlog grows to, their bytes: a file that is worth moving.
DEPTH, SIZE = 60_000, 300
#: Bytes that a slow client reads at once, seconds between reads, bytes sent to it.
PIECE, REST, SLOW_SIZE = 16 * 1024, 0.01, 1024 * 1024
#: Seconds between two visits of each kind, on average, and for an answer to rubbish.
VISIT, ANSWER = 0.15, 0.5

#: Closes a connection with a reset instead of an end.
_RESET = struct.pack("ii", 1, 0)


class Tide:
    """A backlog that grows and drains."""

    def __init__(self, ledger: Ledger, depth: int) -> None:
        """Begin to grow.

        :param depth: messages at which it drains.
        """
        self._ledger = ledger
        self._depth = depth
        self._producer = ledger.producer()
        self._level = 0
        self._grows = True

    def plan(self) -> list[Command]:
        """Set some messages, or get some."""
        if self._grows:
            self._level += PIPELINE
            self._grows = self._level < self._depth
            return [
                SetOne(self._ledger, b"tide", self._producer, SIZE)
                for _ in range(PIPELINE)
            ]
        # A kill leaves it to guess how many there are; so a few more are asked for.
        self._level -= PIPELINE
        self._grows = self._level < -self._depth // 20
        if self._grows:
            self._level = 0
        return gets(self._ledger, [b"tide"] * PIPELINE)


class SlowWire(Wire):
    """A connection that reads bodies slowly."""

    def __init__(self, connection: socket.socket) -> None:
        """Let little of what was sent be on the way."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * PIECE)
        super().__init__(connection)

    def body(self, size: int) -> bytes:
        """Return a body, after a while."""
        pieces = []
        left = size + 2
        while left:
            pieces.append(self.read(min(left, PIECE)))
            left -= len(pieces[-1])
            time.sleep(REST)
        return b"".join(pieces)[:-2]


class Clients:
    """All of them; they come back after each start."""

    def __init__(self, ledger: Ledger, seed: int, depth: int = DEPTH) -> None:
        """Prepare them.

        :param seed: what they do at random is by that.
        :param depth: messages that the backlog grows to.
        """
        self._ledger = ledger
        self._rng = Random(seed)
        mix = plans(ledger, lambda name: Random(f"{seed} {name}"))
        self._plans: list[Plan] = [
            *(self._paced(plan, PAUSES.get(plan.__name__, PAUSE)) for plan in mix),
            self._paced(Tide(ledger, depth).plan, PAUSE / 4),
            self._paced(self._leftovers, 4 * PAUSE),
            self._paced(self._forSlow(ledger.producer()), 0.8),
        ]
        self._slow: list[Plan] = [lambda: gets(ledger, [b"slow"])]
        self._shortProducer = ledger.producer()
        self._visits = [self._cut, self._rubbish, self._short]
        self._loads: list[Load] = []
        self._ending = threading.Event()
        self._visitors: list[Future[None]] = []

    def start(self, connect: Connect) -> None:
        """Start all of them at a server."""
        self._ending.clear()
        fast = Load(self._ledger, connect)
        fast.start(self._plans, 0)
        slow = Load(self._ledger, connect, SlowWire)
        slow.start(self._slow, 0)
        self._loads = [fast, slow]
        self._pool = ThreadPoolExecutor(len(self._visits))
        self._visitors = [
            self._pool.submit(self._keepVisiting, visit, connect)
            for visit in self._visits
        ]

    def ends(self) -> None:
        """Expect the end of the server from now on."""
        for load in self._loads:
            load.ends()
        self._ending.set()

    def join(self) -> None:
        """Wait until all have met the end of the server."""
        for load in self._loads:
            load.join()
        for visitor in self._visitors:
            visitor.result()
        self._pool.shutdown()

    def _paced(self, plan: Plan, pause: float) -> Plan:
        def paced() -> list[Command]:
            time.sleep(self._rng.uniform(0, 2 * pause))
            return plan()

        return paced

    def _leftovers(self) -> list[Command]:
        """Get what cut connections left, and what came back; delete it at times."""
        if self._rng.random() < 0.02:
            return [DeleteOne(self._ledger, b"cut"), DeleteOne(self._ledger, b"cutBig")]
        return gets(self._ledger, [b"cut"] * 20 + [b"cutBig"] * 2)

    def _forSlow(self, producer: int) -> Plan:
        return lambda: [SetOne(self._ledger, b"slow", producer, SLOW_SIZE)]

    def _keepVisiting(self, visit: Visit, connect: Connect) -> None:
        while not self._ending.wait(self._rng.uniform(0, 2 * VISIT)):
            try:
                visit(connect)
            except OSError as error:
                if not self._ending.is_set():
                    self._ledger.complain(f"a visitor met {error!r}")

    def _short(self, connect: Connect) -> None:
        """Set a message, get one, and quit."""
        with contextlib.closing(Wire(connect())) as wire:
            some = SetOne(self._ledger, b"short", self._shortProducer, 100)
            exchange(wire, [some, *gets(self._ledger, [b"short"])])
            wire.send(b"quit\r\n")

    def _cut(self, connect: Connect) -> None:
        """Leave in the middle of sets, gets, and bodies in both directions."""
        ledger, rng = self._ledger, self._rng
        # The sets of two connections have no order.
        producer = ledger.producer()
        big = rng.random() < 0.3
        name, size = (b"cutBig", 300_000) if big else (b"cut", 200)
        sets = [SetOne(ledger, name, producer, size) for _ in range(rng.randint(1, 4))]
        asked = [GetSome(ledger, [name]) for _ in range(rng.randint(0, 3))]
        for command in asked:
            for get in command.sent.values():
                ledger.cut(get)
        # This one never has its whole body, so nobody may ever get it.
        half = b"set rubbish 0 0 100000\r\n" + b"x" * rng.randrange(90_000)
        requests = [one.request for one in sets] + [one.request for one in asked]
        data = b"".join([*requests, half])
        with connect() as connection, contextlib.suppress(OSError):
            if rng.random() < 0.5:
                data = data[: rng.randrange(len(data))]
            connection.sendall(data)
            connection.recv(rng.randint(1, 1000))
            if rng.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _rubbish(self, connect: Connect) -> None:
        """Send what is no command; nothing may come of it."""
        rng = self._rng
        data = rng.choice(
            [
                rng.randbytes(rng.randrange(4000)),
                b"x" * 70_000,
                b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                b"set rubbish 0 0 5\r\nfar too long\r\n",
                b"set rubbish 0 0 -7\r\nset rubbish x y z\r\nget\r\n",
                b"set rubbish 0 0 2147483645\r\n" + b"x" * 10_000,
                b"\r\n" * 10_000,
            ]
        )
        with connect() as connection, contextlib.suppress(OSError):
            connection.settimeout(ANSWER)
            connection.sendall(data)
            while connection.recv(65536):
                pass
