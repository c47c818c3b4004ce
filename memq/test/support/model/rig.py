"""The server beside the model, on a home that it may be killed on.

Protocol, broker, policies and store are the real ones, on a real Berkeley DB, and the
rules are read from a file; reactor, pools and sockets are stepped.  One clock is that
of all: it is moved from one event to the next, so that each is seen when it happens.
A kill is what it is on a machine: the server goes on with what its files hold at that
moment, and all that was only in memory is lost.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import execute

from memq.config.file import readConfig
from memq.config.reload import PolicyReloader
from memq.message import Message
from memq.policy.rules import Rules
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.storage.engine.binding import StoreSettings
from memq.test.support.harness import Harness, QuickTransport
from memq.test.support.homes import details
from memq.test.support.model.commands import MAX_BODY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.message import Trace
    from memq.test.support.harness import Client
    from memq.test.support.model import queues

#: The figures of each queue, and what can be read of it: flags, body, deliveries, and
#: of a dead letter what the model has of it.
Contents = dict[bytes, tuple[dict[str, int], list[tuple[int, bytes, int, Any]]]]


def written(rules: queues.Rules) -> str:
    """Return rules as TOML."""
    lines = []
    for name, table in rules.items():
        lines.append(f"[queue.{name.decode()}]")
        for key, value in table.items():
            shown = str(value).lower() if isinstance(value, bool) else repr(value)
            lines.append(f"{key} = {shown}")
    return "\n".join(lines) + "\n"


def whole(store: BDBStore, message: Message) -> bytes:
    """Return the body of a message, of however many parts."""
    large = message.large
    if large is None:
        return message.body
    return b"".join(store.part(large.id, number) for number in range(large.parts))


def plain(trace: Trace | None) -> queues.Trace | None:
    """Return what became of a message before as the model has it."""
    if trace is None:
        return None
    assert trace.reason is not None
    return trace.deliveries, trace.origin, trace.reason.name.lower(), trace.since


def contents(store: BDBStore) -> Contents:
    """Return what is in a store: it is taken out in a transaction that is undone."""
    found: dict[bytes, tuple[dict[str, int], list[tuple[Message, bytes]]]] = {}
    store.begin()
    for detail in details(store):
        figures = detail._asdict()
        for untold in ("name", "headTime", "lastUsed"):
            del figures[untold]
        items = []
        for item in store.popAll(detail.name, detail.items):
            assert isinstance(item, Message), item
            items.append((item, whole(store, item)))
        found[detail.name] = (figures, items)
    store.abort()
    return {
        name: (
            figures,
            [
                (item.flags, body, store.deliveries(item), plain(item.trace))
                for item, body in items
            ],
        )
        for name, (figures, items) in found.items()
    }


class Rig:
    """A server, its files and its clients.

    :ivar time: what all clocks say, in seconds since 1970.
    """

    def __init__(self, directory: str, noSync: bool, leastPacked: int) -> None:
        self.settings = StoreSettings(
            cacheSize=1024 * 1024,
            logBuffer=65536,
            noSync=noSync,
            logFile=1024 * 1024,
            leastPacked=leastPacked,
        )
        self._directory = directory
        self._config = os.path.join(directory, "memq.toml")
        self._path = self._newPath()

    def _newPath(self) -> str:
        """Name a home that is not there yet."""
        return os.path.join(tempfile.mkdtemp(dir=self._directory), "home")

    def write(self, rules: queues.Rules) -> None:
        """Write the file with the rules."""
        with open(self._config, "w", encoding="utf-8") as file:
            file.write(written(rules))

    def open(self, now: float) -> None:
        """Open the home."""
        self.home = Home(self._path)
        self.home.prepare()
        self._began = self.time = now
        self.store = BDBStore(self.home, self.settings, seconds=lambda: self.time)
        self.store.open()

    def serve(self) -> None:
        """Start a server on the home that is open."""
        config = readConfig(self._config)
        self.harness = Harness(
            store=self.store,
            rules=Rules(config.queues),
            maxBody=MAX_BODY,
            flushAllEnabled=True,
        )
        self.harness.timeOfDay = self.time
        broker, replace = self.harness.broker, self.harness.policies.replace
        broker.durable = not self.settings.noSync
        self._reloader = PolicyReloader(config, execute, replace)
        broker.start()
        self.harness.sweeper.start()
        self.clients: dict[int, Client] = {}
        self.harness.settle()

    def client(self, number: int) -> Client:
        """Return a client, connected when it is first needed."""
        if number not in self.clients:
            # One has a transport of its own kind.
            transport = None if number else QuickTransport()
            self.clients[number] = self.harness.connect(transport)
        return self.clients[number]

    def passTime(self, seconds: float) -> Iterator[float]:
        """Let time pass, and yield what time it is after each event."""
        reactor = self.harness.reactor
        end = reactor.seconds() + seconds
        while reactor.seconds() < end:
            times = [call.getTime() for call in reactor.getDelayedCalls()]
            at = min([end, *times])
            self.time = self.harness.timeOfDay = self._began + at
            reactor.advance(at - reactor.seconds())
            self.harness.settle()
            yield self.time

    def reload(self) -> list[Any]:
        """Read the file again, and return what is wrong with it."""
        mistakes: list[Any] = []
        self._reloader.reload().addErrback(mistakes.append)
        return mistakes

    def stop(self) -> None:
        """Stop the server in order."""
        self.harness.sweeper.stop()
        drained = self.harness.broker.drain()
        self.harness.settle()
        assert drained.called

    def kill(self, isFlushed: bool) -> None:
        """Kill the server: all that is left is what the files hold.

        :param isFlushed: whether all that was committed is in them.
        """
        if isFlushed:
            self.store.flush()
        copy = self._newPath()
        shutil.copytree(self._path, copy)
        self.close()
        shutil.rmtree(self._path)
        self._path = copy

    def close(self) -> None:
        """Close the home."""
        self.store.close()
        self.home.release()

    def remove(self) -> None:
        """Remove the home."""
        self.home.release()
        shutil.rmtree(self._path)
