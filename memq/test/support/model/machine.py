"""A server beside its model: each step is done to both, and then they are compared.

Protocol, broker, policies and store are the real ones, on a real Berkeley DB, and the
rules are read from a file; reactor, pools and sockets are stepped.  One clock is that
of all: it is moved from one event to the next, so that each is seen when it happens.
A kill is what it is on a machine: the server goes on with what its files hold at that
moment, and all that was only in memory is lost.

The steps are no rules yet: memq.test.system.test_model says what is drawn for each.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from hypothesis.stateful import RuleBasedStateMachine
from twisted.internet.defer import execute

from memq.broker.sweeper import PolicySweeper
from memq.config.file import readConfig
from memq.config.reload import PolicyReloader
from memq.errors import ConfigError
from memq.message import Message
from memq.policy import rules as policies
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.storage.engine.binding import StoreSettings
from memq.test.support.harness import Harness, QuickTransport
from memq.test.support.homes import details
from memq.test.support.model.commands import MAX_BODY, Set
from memq.test.support.model.draws import BEGIN
from memq.test.support.model.server import Server

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

    from memq.test.support.harness import Client
    from memq.test.support.model.commands import Command
    from memq.test.support.model.queues import Rules
    from memq.test.support.model.server import Operation

#: What passes before each command, in seconds.  All other times are multiples of half a
#: second, so that no event falls together with another command: there are less than 256
#: in an example.  A float has all of them without rounding.
TICK = 1 / 512
#: A message that has expired is gone after so many seconds at the latest.
LATE = 2.0

Move = tuple[int, "Command | float | None"]
#: The figures of each queue, and what can be read of it: flags, body, deliveries.
Contents = dict[bytes, tuple[dict[str, int], list[tuple[int, bytes, int]]]]


def written(rules: Rules) -> str:
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
            [(item.flags, body, store.deliveries(item)) for item, body in items],
        )
        for name, (figures, items) in found.items()
    }


def expected(server: Server) -> Contents:
    """Return what should be in the store, as the model has it."""
    return {
        name: (
            queue.details(),
            [(item.flags, item.body, item.deliveries) for item in queue.ready],
        )
        for name, queue in server.queues.named.items()
    }


class Machine(RuleBasedStateMachine):
    """A server with rules, its clients, and the time."""

    #: A directory for homes.
    directory: str
    #: How often each rule ran, over all examples.
    ran: Counter[str]

    def begin(self, rules: Rules, noSync: bool) -> None:
        """Start a server on a new home."""
        self.settings = StoreSettings(1024 * 1024, 65536, 4096, noSync, 1024 * 1024)
        self.model = Server(BEGIN)
        #: Whether all was right at the last look.
        self.isRight = True
        self.path = self.newPath()
        self.write(rules)
        self.model.queues.rules = rules
        self.open(BEGIN)
        self.serve()

    def newPath(self) -> str:
        """Name a home that is not there yet."""
        return os.path.join(tempfile.mkdtemp(dir=self.directory), "home")

    @property
    def config(self) -> str:
        """The file with the rules."""
        return os.path.join(self.directory, "memq.toml")

    def write(self, rules: Rules) -> None:
        """Write the file."""
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(written(rules))

    def open(self, now: float) -> None:
        """Open the home."""
        self.home = Home(self.path)
        self.home.prepare()
        self.began = self.time = now
        self.store = BDBStore(self.home, self.settings, seconds=lambda: self.time)
        self.store.open()

    def serve(self) -> None:
        """Start a server on the home that is open."""
        config = readConfig(self.config)
        #: Whether anybody waited: what expired then is flushed with something else.
        self.anyWaited = False
        self.harness = Harness(
            store=self.store,
            rules=policies.Rules(config.queues),
            maxBody=MAX_BODY,
            flushAllEnabled=True,
        )
        self.harness.timeOfDay = self.time
        broker = self.harness.broker
        broker.durable = not self.settings.noSync
        self.policyReloader = PolicyReloader(
            config, execute, self.harness.policies.replace
        )
        self.sweeper = PolicySweeper(broker, self.harness.factory.holds)
        broker.start()
        self.sweeper.start()
        self.clients: dict[int, Client] = {}
        self.harness.settle()
        self.reconcile()

    def client(self, number: int) -> Client:
        """Return a client, connected when it is first needed."""
        if number not in self.clients:
            # One has a transport of its own kind.
            transport = None if number else QuickTransport()
            self.clients[number] = self.harness.connect(transport)
        return self.clients[number]

    def operations(self, what: Iterable[Command]) -> list[Operation]:
        """Return what commands consist of."""
        return [each for command in what for each in command.operations(self.model)]

    # Time.

    def passTime(self, seconds: float) -> None:
        """Let time pass, one event after the other."""
        reactor = self.harness.reactor
        end = reactor.seconds() + seconds
        while True:
            times = [call.getTime() for call in reactor.getDelayedCalls()]
            at = min([end, *times])
            self.time = self.harness.timeOfDay = self.began + at
            reactor.advance(at - reactor.seconds())
            self.harness.settle()
            self.model.reach(self.time)
            self.reconcile()
            if at >= end:
                return

    def reconcile(self) -> None:
        """Let that go from the model which expired, and of which nobody asked."""
        self.anyWaited |= bool(self.model.lines)
        told = {detail.name: detail for detail in details(self.store)}
        held = self.model.queues
        for name, queue in sorted(held.named.items()):
            if name in told:
                count = told[name].expired - queue.counts["expired"]
                assert held.expireHeads(name, count) == count, (name, count)
        self.model.settle()

    # What is compared.

    def check(self) -> None:
        """Find that everybody heard what the model says, and that all is there."""
        self.isRight = False
        self.reconcile()
        for who, client in list(self.model.clients.items()):
            found = self.client(who).read()
            if client.mayBeCut and self.client(who).isClosed:
                assert client.said.startswith(found), (who, found)
                self.end(who)
            else:
                assert found == client.said, f"{who}: {found!r} is not {client.said!r}"
            client.said = b""
            client.mayBeCut = False
        there, told = contents(self.store), expected(self.model)
        assert there == told, f"{there} is not {told}"
        self.isRight = True

    # What clients do.

    def go(self, moves: list[Move]) -> None:
        """Let clients send commands, or leave, and time pass."""
        for who, what in moves:
            self.passTime(TICK)
            self.ran[type(what).__name__] += 1
            if isinstance(what, float):
                self.wait(what)
            elif what is None:
                if who in self.clients:
                    self.end(who)
                    self.check()
            elif self.isOrdered(who, what):
                self.talk(who, [what])

    def isOrdered(self, who: int, what: Any) -> bool:
        """Tell whether it is said in which order those go on who wait by then.

        In which order those go on that waited for different queues is nobody's promise.
        So when something stands behind a read that waits, all wait for the same queue.
        """
        lines, clients = self.model.lines, self.model.clients
        isBehind = who in clients and clients[who].waits
        if not isBehind and all(len(each.inbox) <= 1 for each in clients.values()):
            return True
        return len({*lines, what.queue} if what.waits else lines) <= 1

    def talk(
        self,
        who: int,
        what: list[Command],
        cuts: Iterable[float] = (),
        naps: bool = False,
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
        self.model.send(who, self.operations(what))
        self.check()

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
            self.model.send(who, self.operations(what))
        self.check()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.passTime(seconds)
        self.check()
        if seconds > LATE:
            held = self.model.queues
            held.now -= LATE
            for name, queue in held.named.items():
                for item in queue.ready[:1]:
                    isOld = held.hasExpired(name, item)
                    assert not isOld or item.since > held.ms, (name, item)
            held.now += LATE

    def leave(self, who: int, what: list[Command], turns: int) -> None:
        """Leave before anything was answered: what was set stays, no get counts."""
        self.ran["leave"] += 1
        # So nothing is answered before the flush, which does not come.
        self.harness.broker.durable = True
        self.client(who).send(b"".join(command.wire() for command in what))
        for _ in range(turns):
            self.harness.reactor.iterate()
        self.end(who, what)
        self.harness.broker.durable = not self.settings.noSync
        self.check()

    def breakOff(self, who: int, name: bytes, cut: float, size: int) -> None:
        """Leave in the middle of a set, which then never was."""
        self.ran["breakOff"] += 1
        data = Set(name, size, 0).wire()
        self.client(who).send(data[: int(cut * (len(data) - 1))])
        self.harness.settle()
        self.end(who)
        self.check()

    def end(self, who: int, what: Iterable[Command] = ()) -> None:
        """End a connection; what it had open goes back.

        :param what: what was not answered before.
        """
        self.clients.pop(who).leave()
        self.harness.settle()
        self.model.leave(who, self.operations(what))
        self.reconcile()

    # Rules.

    def reload(self, moves: list[Move], rules: Rules, isMistaken: bool) -> None:
        """Go on, and read the file again, which holds others, or has a mistake."""
        self.go(moves)
        self.ran["reload"] += 1
        self.passTime(TICK)
        before = self.model.queues.rules
        self.write({**rules, b"w": {"max_items": -1}} if isMistaken else rules)
        mistakes: list[Any] = []
        self.policyReloader.reload().addErrback(mistakes.append)
        if isMistaken:
            assert mistakes.pop().check(ConfigError)
            self.write(before)
        else:
            assert not mistakes
            self.model.queues.rules = rules
        self.harness.settle()
        self.model.settle()
        self.check()

    # Ends.

    def restart(self, isKilled: bool, moves: Iterable[Move] = (), gap: int = 0) -> None:
        """Go on, stop in order or in the middle, and start after a while."""
        self.go(list(moves))
        self.ran["kill" if isKilled else "stop"] += 1
        self.passTime(TICK)
        if isKilled:
            self.kill()
        else:
            self.stop()
        self.startAgain([self.model], gap)

    def stop(self) -> None:
        """Stop the server in order."""
        # In which order they go on that waited is nobody's promise.
        busy = [who for who, each in self.model.clients.items() if len(each.inbox) > 1]
        for who in busy[1:]:
            self.end(who)
            self.check()
        self.sweeper.stop()
        drained = self.harness.broker.drain()
        self.harness.settle()
        assert drained.called
        self.model.stop()
        self.check()
        self.close()

    def close(self) -> None:
        """Close the home."""
        self.store.close()
        self.home.release()

    def kill(self) -> None:
        """Kill the server: all that is left is what the files hold."""
        if self.anyWaited:
            self.store.flush()
        copy = self.newPath()
        shutil.copytree(self.path, copy)
        self.close()
        shutil.rmtree(self.path)
        self.path = copy

    def startAgain(self, outcomes: list[Server], gap: int = 0) -> None:
        """Start with what the files hold: that is one of some outcomes."""
        self.open(self.model.queues.now + gap)
        found = contents(self.store)
        for each in outcomes:
            each.crash()
        there = [each for each in outcomes if expected(each) == found]
        assert there, f"{found} is none of {list(map(expected, outcomes))}"
        self.model = there[0]
        self.model.reach(self.time)
        self.serve()
        self.passTime(TICK)
        self.check()

    def killBusy(
        self, who: int, what: list[Command], steps: int, moves: Iterable[Move] = ()
    ) -> None:
        """Go on, and kill it with commands under way: it is as after some of them.

        All those are among them that were answered.
        """
        self.go(list(moves))
        self.ran["killBusy"] += 1
        self.passTime(TICK)
        # Or they might have got something, or not yet.
        for each in [each for each, it in self.model.clients.items() if it.waits]:
            self.end(each)
            self.check()
        client = self.client(who)
        client.send(b"".join(command.wire() for command in what))
        for step in range(steps):
            if step % 3 < 2:
                self.harness.reactor.iterate()
            else:
                self.harness.flushPool.step()
        got = client.read()
        outcomes = self.outcomes(who, what, got)
        self.kill()
        self.startAgain(outcomes)

    def outcomes(self, who: int, what: list[Command], got: bytes) -> list[Server]:
        """Return what may be there after a kill: so many commands, or more."""
        outcomes = [deepcopy(self.model)]
        said = b""
        for command in what:
            before = said
            self.model.send(who, self.operations([command]))
            said = self.model.clients[who].said
            if said != before and len(said) <= len(got):
                outcomes.clear()
            outcomes.append(deepcopy(self.model))
        assert said.startswith(got), f"{got!r} is not the beginning of {said!r}"
        return outcomes

    def teardown(self) -> None:
        """Find what is promised, and stop."""
        try:
            if self.isRight:  # pragma: no branch - it is, unless the test fails
                self.passTime(TICK)
                self.check()
                self.stop()
        finally:
            self.home.release()
            shutil.rmtree(self.path)
