"""A memq without sockets, threads and time, whose commands callgrind counts.

`python -m bench.inprocess [--user] VERB CLIENTS ROUNDS HOME LIBRARY HOW` is what
bench/costs.py runs under callgrind.  All is wired as memq.tap does, but for the clock,
which stands still, the transports, which keep nothing, and flushes, which are made at
once.  Maintenance is not started.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from memq.access.admission import Admission
from memq.access.rights import Rights
from memq.access.users import User, Users
from memq.broker.broker import Broker
from memq.daemon.maintenance import Maintenance, MaintenanceSettings
from memq.policy.effective import Policies
from memq.server.factory import FactorySettings, QueueFactory
from memq.server.slow import SlowCommands
from memq.server.stats import Statistics
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.storage.datadir.sizing import sizesFor
from memq.storage.engine.binding import StoreSettings

if TYPE_CHECKING:
    from collections.abc import Callable

#: Rounds before those that are counted: CPython has specialised its bytecode by then.
WARM = 50
#: Seconds from which on a command is slow, as by default.
SLOW = 0.5
_BODY = b"x" * 100
REQUESTS = {"set": b"set q 0 0 100\r\n" + _BODY + b"\r\n", "get": b"get q\r\n"}


class _Transport(StringTransport):
    """Keep nothing but the last reply."""

    last = b""

    def write(self, data: bytes) -> None:
        """Take a reply."""
        self.last = data


class Server:
    """A memq with clients, each of which sends a command a round."""

    def __init__(self, path: str, clients: int) -> None:
        """Make one whose home is new."""
        self._calls: list[Callable[[], None]] = []
        self._transports = [_Transport() for _ in range(clients)]
        clock: Any = Clock()
        # As memq.daemon.process.useSteadyClock does.
        clock.seconds = monotonic
        factory = self.factory(path, clock)
        entrance = self.entrance(factory)
        self._clients = [entrance.buildProtocol(None) for _ in range(clients)]
        for client, transport in zip(self._clients, self._transports, strict=True):
            client.makeConnection(transport)

    def entrance(self, factory: QueueFactory) -> Any:
        """Return what makes the connections of a listener, which is open."""
        return factory

    def factory(self, path: str, clock: Any) -> Any:
        """Return what makes connections, its store open."""
        home = Home(path)
        home.prepare()
        sizes = sizesFor(1 << 40, noSync=False)
        settings = StoreSettings(
            cacheSize=64 << 20,
            logBuffer=sizes.logBuffer,
            pageSize=4096,
            noSync=False,
            logFile=sizes.logFile,
            tableAhead=sizes.tableAhead,
            leastFile=sizes.leastFile,
        )
        store = BDBStore(home, settings, print, None)
        store.open()
        broker = Broker(
            store,
            clock,
            policies=Policies(store, None),
            persist=store.flush,
            later=self._calls.append,
        )
        broker.start()
        statistics = Statistics(clock, broker)
        maintenance = Maintenance(
            clock, store, broker, statistics, maybeDeferred, MaintenanceSettings()
        )
        factory = QueueFactory(broker, maintenance, statistics, FactorySettings())
        SlowCommands(clock, broker, factory.connections, SLOW).start()
        return factory

    def turn(self) -> None:
        """Make the calls that wait for the end of the sockets' sweep."""
        calls = self._calls[:]
        self._calls.clear()
        for call in calls:
            call()

    def round(self, request: bytes) -> None:
        """Let each client send a command, and all be answered."""
        for client in self._clients:
            client.dataReceived(request)
        self.turn()

    def check(self, answer: bytes) -> None:
        """See that the last round was answered so."""
        for transport in self._transports:
            if not transport.last.startswith(answer):
                raise SystemExit(f"bench: a wrong reply: {transport.last!r}")


class UserServer(Server):
    """One whose listener is a user that may do with some queues what it does."""

    def entrance(self, factory: QueueFactory) -> Any:
        """Return what makes the connections of that listener."""
        user = User("shop", Rights([b"orders.*", b"q"], [b"q", b"mails"]))
        factory.access.replace(Users([user]))
        return factory.through(Admission(user.name))


def nothing() -> None:
    """Do nothing, so that what a call costs can be told."""


def _callNothing(calls: int) -> None:
    for _ in range(calls):
        nothing()


def count(make: Callable[[str, int], Server], words: list[str]) -> None:
    """Count rounds, and end the process.

    :param make: returns a server, from its home and the number of its clients.
    :param words: the verb, or ``nothing``; clients, or calls of that; rounds; the home;
        the library of bench/frames.c; and ``warm``, ``cold`` for caches that are empty
        before each round, or ``divided`` by function.
    """
    verb, clients, rounds, home, library, how = words
    frames = ctypes.PyDLL(library)
    turns = int(rounds)
    call: Callable[[], None] = partial(_callNothing, int(clients))
    if verb != "nothing":
        server = make(home, int(clients))
        if verb == "get":
            for _ in range(2 * WARM + turns):
                server.round(REQUESTS["set"])
        call = partial(server.round, REQUESTS[verb])

    gc.collect()
    gc.freeze()
    gc.disable()
    frames.simulate(how == "divided")
    for _ in range(WARM):
        call()
    for batch in [1] * turns if how == "cold" else [turns]:
        if how == "cold":
            frames.simulate(0)
        frames.begin()
        for _ in range(batch):
            call()
        frames.end()
    if verb != "nothing":
        server.check({"set": b"STORED", "get": b"VALUE"}[verb])
    # Threads that Berkeley DB or memq may have started are not waited for.
    os._exit(0)


def main() -> None:
    """Count as the words of the command line say."""
    first, *rest = sys.argv[1:]
    if first == "--user":
        count(UserServer, rest)
    else:
        count(Server, [first, *rest])


if __name__ == "__main__":
    main()
