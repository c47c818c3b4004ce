"""Any sequence of commands, restarts and kills, against a model of ten lines.

Protocol, broker and store are the real ones, on a real Berkeley DB; reactor, pools
and sockets are stepped.  A kill is what it is on a machine: the server goes on with
what its files hold at that moment, and all that was only in memory is lost.

In CI the same hundred examples run each time; ``make torture`` draws others.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter, deque
from copy import deepcopy
from random import randrange
from typing import TYPE_CHECKING, cast

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from memq.broker import broker
from memq.message import Message
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.storage.engine.binding import StoreSettings
from memq.test.support.harness import Harness, QuickTransport
from memq.test.support.model import (
    MAX_BODY,
    MEMORY,
    NAMES,
    Command,
    Model,
    Queue,
    Set,
    pipelines,
)
from memq.test.support.torture import report, rounds

if TYPE_CHECKING:
    from memq.test.support.harness import Client

EXAMPLES = 100
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=12,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

anything = pipelines(NAMES)
clients = some.integers(0, 2)


def contents(store: BDBStore) -> Model:
    """Return what a store holds, by taking it out in a transaction that is undone."""
    model: Model = {}
    store.begin()
    for name, pushed, taken in store.counts():
        queue = model[name] = Queue(deque(), pushed)
        for found in store.popAll(name, pushed - taken):
            assert isinstance(found, Message), found
            queue.messages.append((found.flags, whole(store, found)))
        assert queue.taken == taken
    store.abort()
    return model


def whole(store: BDBStore, message: Message) -> bytes:
    """Return the body of a message, of however many parts."""
    large = message.large
    if large is None:
        return message.body
    return b"".join(store.part(large.id, number) for number in range(large.parts))


class ServerMachine(RuleBasedStateMachine):
    """A server and its clients."""

    #: A directory for homes.
    directory: str
    #: How often each rule ran, over all examples.
    ran: Counter[str]

    @initialize(noSync=some.booleans())
    def begin(self, noSync: bool) -> None:
        """Start a server on a new home."""
        self.settings = StoreSettings(1024 * 1024, 65536, 4096, noSync, 1024 * 1024)
        self.model: Model = {}
        self.store: BDBStore | None = None
        self.start(self.newPath())

    def newPath(self) -> str:
        """Name a home that is not there yet."""
        return os.path.join(tempfile.mkdtemp(dir=self.directory), "home")

    def start(self, path: str) -> None:
        """Start a server on a home, and find there what was promised."""
        self.home = Home(path)
        self.home.prepare()
        store = self.store = BDBStore(self.home, self.settings)
        store.open()
        self.harness = Harness(store=store, maxBody=MAX_BODY, flushAllEnabled=True)
        self.harness.broker.durable = not self.settings.noSync
        self.clients: dict[int, Client] = {}

    def client(self, number: int) -> Client:
        """Return a client, connected when it is first needed."""
        if number not in self.clients:
            # One has a transport of its own kind.
            transport = None if number else QuickTransport()
            self.clients[number] = self.harness.connect(transport)
        return self.clients[number]

    def end(self) -> None:
        """Stop the server in good order."""
        assert self.store is not None
        drained = self.harness.broker.drain()
        self.harness.settle()
        assert drained.called
        self.store.close()
        self.home.release()
        self.store = None

    def kill(self) -> None:
        """Kill the server, and start another one on what the files hold."""
        copy = self.newPath()
        shutil.copytree(self.home.path, copy)
        assert self.store is not None
        self.store.close()
        self.home.release()
        shutil.rmtree(self.home.path)
        self.start(copy)

    def check(self) -> None:
        """Find in the store what the model says, and nothing else."""
        assert self.store is not None
        assert contents(self.store) == self.model

    @rule(
        who=clients,
        what=anything,
        cuts=some.lists(some.floats(0, 1)),
        naps=some.booleans(),
    )
    def talk(
        self, who: int, what: list[Command], cuts: list[float], naps: bool
    ) -> None:
        """Send some commands, in any pieces, and read all replies, perhaps late."""
        self.ran["talk"] += 1
        client = self.client(who)
        data = b"".join(command.wire() for command in what)
        places = sorted(int(cut * len(data)) for cut in cuts)
        for start, end in zip([0, *places], [*places, len(data)], strict=True):
            client.send(data[start:end])
            self.harness.reactor.iterate()
        if naps:
            client.stopReading()
            self.harness.settle()
            client.startReading()
        self.harness.settle()
        expected = b"".join([command.run(self.model) for command in what])
        assert client.read() == expected

    @rule(one=pipelines(NAMES[:2], ofAll=False), two=pipelines(NAMES[2:], ofAll=False))
    def together(self, one: list[Command], two: list[Command]) -> None:
        """Let two clients talk at once, of queues of their own."""
        self.ran["together"] += 1
        for turn in range(max(len(one), len(two))):
            for who, what in enumerate((one, two)):
                for command in what[turn : turn + 1]:
                    self.client(who).send(command.wire())
            self.harness.reactor.iterate()
        self.harness.settle()
        for who, what in enumerate((one, two)):
            expected = b"".join([command.run(self.model) for command in what])
            assert self.client(who).read() == expected

    @rule(who=clients, what=anything, turns=some.integers(0, 3))
    def leave(self, who: int, what: list[Command], turns: int) -> None:
        """Leave before anything was answered: what was set stays, no get counts."""
        self.ran["leave"] += 1
        client = self.client(who)
        # So nothing is answered before the flush, which does not come.
        self.harness.broker.durable = True
        client.send(b"".join(command.wire() for command in what))
        for _ in range(turns):
            self.harness.reactor.iterate()
        client.leave()
        del self.clients[who]
        self.harness.settle()
        self.harness.broker.durable = not self.settings.noSync
        for command in what:
            if command.outlives:
                command.run(self.model)

    @rule(who=clients, cut=some.floats(0, 1), size=some.integers(0, MAX_BODY))
    def breakOff(self, who: int, cut: float, size: int) -> None:
        """Leave in the middle of a set, which then never was."""
        self.ran["breakOff"] += 1
        data = Set(NAMES[0], 0, size, 0, noreply=False).wire()
        client = self.client(who)
        client.send(data[: int(cut * (len(data) - 1))])
        self.harness.settle()
        client.leave()
        del self.clients[who]
        self.harness.settle()

    @rule(isKilled=some.booleans())
    def restart(self, isKilled: bool) -> None:
        """Stop or kill the server when all is answered, and start it: all is there."""
        self.ran["kill" if isKilled else "stop"] += 1
        if isKilled:
            self.kill()
        else:
            self.end()
            self.start(self.home.path)
        self.check()

    @rule(who=clients, what=anything, steps=some.integers(0, 6))
    def killBusy(self, who: int, what: list[Command], steps: int) -> None:
        """Kill it with commands under way: what is there is as after some of them.

        All those are among them that were answered.
        """
        self.ran["killBusy"] += 1
        client = self.client(who)
        client.send(b"".join(command.wire() for command in what))
        for step in range(steps):
            if step % 3 < 2:
                self.harness.reactor.iterate()
            else:
                self.harness.flushPool.step()
        got = client.read()
        self.kill()
        assert self.store is not None
        found = contents(self.store)
        assert found in self.outcomes(what, got)
        self.model = found

    def outcomes(self, what: list[Command], got: bytes) -> list[Model]:
        """Return what may be there after a kill: so many commands, or more."""
        model = deepcopy(self.model)
        models = [deepcopy(model)]
        expected = b""
        for command in what:
            reply = command.run(model)
            expected += reply
            if reply and len(expected) <= len(got):
                models.clear()
            models.append(deepcopy(model))
        assert expected.startswith(got)
        return models

    def teardown(self) -> None:
        """Find what is promised, and stop."""
        try:
            self.harness.settle()
            self.check()
            self.end()
        finally:
            self.home.release()
            shutil.rmtree(self.home.path)


class ModelTests(SynchronousTestCase):
    """The server and the model."""

    def machine(self, number: int) -> type[ServerMachine]:
        """Return a machine whose failures say with which seed it began."""
        name = f"ServerWithSeed{number}"
        ran: Counter[str] = Counter()
        directory = tempfile.mkdtemp(dir=MEMORY)
        self.addCleanup(shutil.rmtree, directory)
        namespace = {"directory": directory, "ran": ran}
        made = type(name, (ServerMachine,), namespace)
        return cast("type[ServerMachine]", seed(number)(made))

    def test_anySequence(self) -> None:
        """Any sequence of commands, restarts and kills does what the model says."""
        # So that a kill often comes in the middle of a sweep.
        self.patch(broker, "SWEEP_MESSAGES", 1)
        ran: Counter[str] = Counter()
        for number in rounds(1):
            # The first ones are always the same.
            machine = self.machine(number and randrange(1 << 32))
            run_state_machine_as_test(machine, settings=SETTINGS)
            ran += machine.ran
            examples = EXAMPLES * (number + 1)
        report("model", examples=examples, rules=ran)
        self.assertEqual(len(ran), 7)
        self.assertGreater(min(ran.values()), EXAMPLES // 20, ran)
