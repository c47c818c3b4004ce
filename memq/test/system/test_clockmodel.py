"""Any sequence of all that queues can do, time passing included, against a model.

Protocol, broker, plans and store are the real ones, on a real Berkeley DB, and the
rules are read from a file; reactor, pools and sockets are stepped.  One clock is that
of all: it is moved from one event to the next, so that each is seen when it happens.

In CI the same examples run each time; ``make torture`` draws others.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from copy import deepcopy
from itertools import count
from random import randrange
from typing import Any, cast

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import execute
from twisted.trial.unittest import SynchronousTestCase

from memq.config.file import readConfig
from memq.config.reload import PolicyReloader
from memq.errors import ConfigError
from memq.message import Message
from memq.policy.rules import Rules
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.storage.engine.binding import StoreSettings
from memq.test.support import clockmodel as model
from memq.test.support.harness import Client, Harness
from memq.test.support.homes import details
from memq.test.support.model import MEMORY
from memq.test.support.torture import report, rounds
from memq.test.system.test_model import whole

EXAMPLES = 100
STEPS = 6
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
STORE = StoreSettings(1024 * 1024, 65536, 4096, logFile=1024 * 1024)

#: When it begins; a whole second.
BEGIN = 1_700_000_000.0
#: What passes before each command, in seconds.  All other times are multiples of half a
#: second, so that no event falls together with another command: there are less than 256
#: in an example.  A float has all of them without rounding.
TICK = 1 / 512
#: A message that has expired is gone after so many seconds at the latest.
LATE = 2.0

#: What rules hand on goes to later ones of these only.
NAMES = [b"w", b"x", b"y", b"z"]

queues = some.sampled_from([b"w", b"w", b"w", b"x", b"y", b"z"])
people = some.integers(0, 3)
#: Milliseconds that a float has without rounding as seconds.
waits = some.sampled_from([None, 0, 500, 1500, 2500, 6500])
serials = count(1)


def sets() -> some.SearchStrategy[model.Set]:
    """Return sets."""
    return some.builds(
        model.Set,
        queues,
        some.sampled_from([0, 7]),
        some.sampled_from([0, 0, 2, 5, -1, int(BEGIN) + 9, int(BEGIN) - 9]),
        some.sampled_from([0, 0, 0, 1, 3]),
        some.sampled_from([6, 6, 30, 70000]),
        some.sampled_from([False, False, False, True]),
        some.builds(lambda: next(serials)),
    )


def reads() -> some.SearchStrategy[Any]:
    """Return gets of all kinds, and ends of open reads."""
    kinds = some.sampled_from([b"open", b"open", b"close/open", b"peek", b""])
    return some.one_of(
        some.builds(model.Get, some.tuples(queues), some.booleans()),
        some.builds(model.Get, some.tuples(queues, queues), some.booleans()),
        some.builds(model.Read, queues, kinds, waits),
        some.builds(model.Read, queues, kinds, waits),
        some.builds(model.Read, queues, some.sampled_from([b"close", b"abort"])),
    )


def others() -> some.SearchStrategy[Any]:
    """Return the rest."""
    words = [b"delete", b"flush", b"resume", b"resume"]
    return some.one_of(
        some.builds(model.Word, some.sampled_from(words), queues),
        some.builds(model.Word, some.just(b"pause"), queues, some.integers(1, 3)),
        some.builds(model.Add, queues, some.integers(0, 3)),
        some.just(model.StatsQueue()),
        some.builds(model.StatsDetail, some.sampled_from([b"*", b"w", b"y"])),
    )


def monitors() -> some.SearchStrategy[Any]:
    """Return monitors and confirms."""
    seconds, most = some.sampled_from([0, 1, 4]), some.integers(1, 3)
    return some.one_of(
        some.builds(model.Monitor, queues, seconds, most),
        some.builds(model.Confirm, queues, most),
    )


commands = some.one_of(sets(), sets(), sets(), reads(), reads(), others(), monitors())
#: Of a client: a command, or its end; or that time passes, in seconds.
move = some.tuples(
    people,
    some.one_of(
        *[commands] * 6,
        some.sampled_from([0.5, 1.0, 2.0, 5.0]),
        some.sampled_from([None, 1.0]),
    ),
)
# Hypothesis likes lists that are shorter.
moves = some.integers(1, 36).flatmap(
    lambda most: some.lists(move, min_size=most, max_size=most)
)


def ruled(later: list[str]) -> some.SearchStrategy[dict[str, Any]]:
    """Return what can be said of a queue.

    :param later: the queues that it may hand on to.
    """
    keys: dict[str, some.SearchStrategy[Any]] = {
        "max_items": some.integers(1, 3),
        "max_bytes": some.sampled_from([20, 50]),
        "overflow": some.sampled_from(["reject", "drop-oldest"]),
        "max_age": some.sampled_from([1.5, 4.5]),
        "honor_exptime": some.just(True),
        "open_timeout": some.sampled_from([1.5, 3.5]),
        "max_deliveries": some.integers(1, 2),
        "paused": some.sampled_from(["reads", "writes", "both"]),
    }
    if later:
        keys["dead_letter"] = some.sampled_from(later)
        keys["expired_to"] = some.sampled_from(later)
        keys["fanout"] = some.lists(some.sampled_from(later), min_size=1, unique=True)
        keys["fanout_only"] = some.booleans()
    return some.fixed_dictionaries({}, optional=keys).map(together)


def together(table: dict[str, Any]) -> dict[str, Any]:
    """Leave out what does not go with the rest of a table."""
    if "max_items" not in table and "max_bytes" not in table:
        table.pop("overflow", None)
    if "fanout" not in table:
        table.pop("fanout_only", None)
    return table


tables = some.fixed_dictionaries(
    {b"w": ruled(["x", "y", "z"])},
    optional={b"x": ruled(["y", "z"]), b"y": ruled(["z"]), b"z": ruled([])},
)


def written(rules: model.Rules) -> str:
    """Return rules as TOML."""
    lines = []
    for name, table in rules.items():
        lines.append(f"[queue.{name.decode()}]")
        for key, value in table.items():
            shown = str(value).lower() if isinstance(value, bool) else repr(value)
            lines.append(f"{key} = {shown}")
    return "\n".join(lines) + "\n"


Contents = dict[bytes, list[tuple[int, bytes, int]]]


def contents(store: BDBStore) -> Contents:
    """Return what can be read of a store, in order, and how often it went back."""
    found: dict[bytes, list[tuple[Message, bytes]]] = {}
    store.begin()
    for detail in details(store):
        items = found[detail.name] = []
        for item in store.popAll(detail.name, detail.items):
            assert isinstance(item, Message), item
            items.append((item, whole(store, item)))
    store.abort()
    return {
        name: [(item.flags, body, store.deliveries(item)) for item, body in items]
        for name, items in found.items()
    }


class ClockMachine(RuleBasedStateMachine):
    """A server with rules, its clients, and the time."""

    #: A directory for homes.
    directory: str
    #: How often each rule ran, over all examples.
    ran: Counter[str]

    @initialize(rules=tables)
    def begin(self, rules: model.Rules) -> None:
        """Start a server on a new home."""
        self.model = model.Server(BEGIN)
        #: Whether all was right at the last look.
        self.isRight = True
        self.path = self.newPath()
        self.write(rules)
        self.model.rules = rules
        self.start(self.path)

    def newPath(self) -> str:
        """Name a home that is not there yet."""
        return os.path.join(tempfile.mkdtemp(dir=self.directory), "home")

    @property
    def config(self) -> str:
        """The file with the rules."""
        return os.path.join(self.directory, "memq.toml")

    def write(self, rules: model.Rules) -> None:
        """Write the file."""
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(written(rules))

    def start(self, path: str) -> None:
        """Start a server on a home."""
        self.home = Home(path)
        self.home.prepare()
        config = readConfig(self.config)
        self.began = self.time = self.model.now
        self.store = BDBStore(self.home, STORE, seconds=lambda: self.time)
        self.store.open()
        #: Whether anybody waited: what expired then is flushed with something else.
        self.anyWaited = False
        self.harness = Harness(store=self.store, rules=Rules(config.queues))
        self.harness.timeOfDay = self.time
        self.policyReloader = PolicyReloader(
            config, execute, self.harness.policies.replace
        )
        self.harness.broker.start()
        self.harness.sweeper.start()
        self.clients: dict[int, Client] = {}
        self.harness.settle()
        self.reconcile()

    def client(self, number: int) -> Client:
        """Return a client, connected when it is first needed."""
        if number not in self.clients:
            self.clients[number] = self.harness.connect()
        return self.clients[number]

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
        for name, queue in sorted(self.model.queues.items()):
            if name in told:
                count = told[name].expired - queue.counts["expired"]
                assert self.model.expireHeads(name, count) == count, (name, count)
        self.model.settle()

    # What is compared.

    def check(self) -> None:
        """Find that everybody heard what the model says, and that all is there."""
        self.isRight = False
        for who, client in list(self.model.clients.items()):
            found = self.client(who).read()
            if client.mayBeCut and self.client(who).isClosed:
                assert client.said.startswith(found), (who, found)
                self.end(who)
            else:
                assert found == client.said, f"{who}: {found!r} is not {client.said!r}"
            client.said = b""
            client.mayBeCut = False
        self.checkStore()
        self.isRight = True

    def readable(self, server: model.Server) -> Contents:
        """Return what can be read, as the model has it."""
        return {
            name: [(item.flags, item.body, item.deliveries) for item in queue.ready]
            for name, queue in server.queues.items()
        }

    def figures(self) -> dict[bytes, dict[str, int]]:
        """Return the store's figures."""
        left = ("name", "headTime", "lastUsed")
        return {
            detail.name: {
                key: value for key, value in detail._asdict().items() if key not in left
            }
            for detail in details(self.store)
        }

    def checkStore(self) -> None:
        """Find in the store what the model says, and nothing else."""
        found = self.figures()
        told = {name: queue.details() for name, queue in self.model.queues.items()}
        assert found == told, f"{found} is not {told}"
        there, expected = contents(self.store), self.readable(self.model)
        assert there == expected, f"{there} is not {expected}"

    # What happens.

    def go(self, moves: list[tuple[int, Any]]) -> None:
        """Let clients send commands, or leave, and time pass."""
        for who, what in moves:
            self.passTime(TICK)
            self.ran[type(what).__name__] += 1
            if isinstance(what, float):
                self.wait(what)
            elif what is None:
                self.leave(who)
            else:
                self.talk(who, what)

    def talk(self, who: int, what: Any) -> None:
        """Let a client send a command, perhaps while it waits.

        In which order those go on that waited for different queues is nobody's promise.
        So when something stands behind a read that waits, all wait for the same queue.
        """
        lines, client = self.model.lines, self.model.clients.get(who)
        isBehind = client is not None and client.waits
        if isBehind or any(len(each.inbox) > 1 for each in self.model.clients.values()):
            queues = {*lines, what.queue} if what.waits else {*lines}
            if len(queues) > 1:
                return
        self.client(who).send(what.wire())
        self.harness.settle()
        self.model.send(who, what.operations(self.model))
        self.reconcile()
        self.check()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.passTime(seconds)
        self.check()
        if seconds > LATE:
            self.model.now -= LATE
            for name, queue in self.model.queues.items():
                for item in queue.ready[:1]:
                    isOld = self.model.hasExpired(name, item)
                    assert not isOld or item.since > self.model.ms, (name, item)
            self.model.now += LATE

    def leave(self, who: int) -> None:
        """Let a client be gone; what it had open goes back."""
        if who in self.clients:
            self.end(who)
            self.check()

    def end(self, who: int) -> None:
        """End a connection."""
        self.clients.pop(who).leave()
        self.harness.settle()
        self.model.leave(who)
        self.reconcile()

    @rule(
        moves=moves,
        rules=tables,
        isMistaken=some.sampled_from([False, False, False, True]),
    )
    def reload(
        self, moves: list[tuple[int, Any]], rules: model.Rules, isMistaken: bool
    ) -> None:
        """Go on, and read the file again, which holds others, or has a mistake."""
        self.go(moves)
        self.ran["reload"] += 1
        self.passTime(TICK)
        before = written(self.model.rules)
        self.write({**rules, b"w": {"max_items": -1}} if isMistaken else rules)
        mistakes: list[Any] = []
        self.policyReloader.reload().addErrback(mistakes.append)
        if isMistaken:
            assert mistakes.pop().check(ConfigError)
            with open(self.config, "w", encoding="utf-8") as file:
                file.write(before)
        else:
            assert not mistakes
            self.model.rules = rules
        self.harness.settle()
        self.model.settle()
        self.reconcile()
        self.check()

    # Ends.

    @rule(moves=moves, gap=some.sampled_from([0, 1, 5]), isKilled=some.booleans())
    def restart(self, moves: list[tuple[int, Any]], gap: int, isKilled: bool) -> None:
        """Go on, stop in order or in the middle, and start after a while."""
        self.go(moves)
        self.ran["kill" if isKilled else "stop"] += 1
        self.passTime(TICK)
        if isKilled:
            self.kill(gap)
            self.check()
            return
        self.stop()
        self.model.crash()
        self.model.reach(self.model.now + gap)
        self.start(self.path)
        self.passTime(TICK)
        self.check()

    def stop(self) -> None:
        """Stop the server in order."""
        # In which order they go on that waited is nobody's promise.
        busy = [who for who, each in self.model.clients.items() if len(each.inbox) > 1]
        for who in busy[1:]:
            self.leave(who)
        self.harness.sweeper.stop()
        drained = self.harness.broker.drain()
        self.harness.settle()
        assert drained.called
        self.model.stop()
        self.reconcile()
        self.check()
        self.close()

    def close(self) -> None:
        """Close the home."""
        self.store.close()
        self.home.release()

    def kill(self, gap: int = 0) -> None:
        """Start again with what the files hold."""
        if self.anyWaited:
            self.store.flush()
        copy = self.newPath()
        shutil.copytree(self.path, copy)
        self.close()
        shutil.rmtree(self.path)
        self.path = copy
        self.model.crash()
        self.model.reach(self.model.now + gap)
        self.start(copy)
        self.passTime(TICK)

    @rule(moves=moves, who=people, what=commands, steps=some.integers(0, 6))
    def crashBusy(
        self, moves: list[tuple[int, Any]], who: int, what: Any, steps: int
    ) -> None:
        """Go on, and end while a command is under way: it ran, or it did not.

        Once it is answered it ran.
        """
        self.go(moves)
        self.passTime(TICK)
        # Or they might have got something, or not yet.
        waiting = [each for each, it in self.model.clients.items() if it.waits]
        for each in waiting:
            self.leave(each)
        client = self.client(who)
        self.ran["crashBusy"] += 1
        client.send(what.wire())
        for step in range(steps):
            if step % 3 < 2:
                self.harness.reactor.iterate()
            else:
                self.harness.flushPool.step()
        got = client.read()
        before = deepcopy(self.model)
        self.model.send(who, what.operations(self.model))
        after = self.model
        assert after.clients[who].said.startswith(got)
        if not got:
            self.model = before
        self.kill()
        told = {name: queue.details() for name, queue in before.queues.items()}
        if not got and self.figures() != told:
            after.crash()
            after.reach(before.now)
            self.model = after
            self.reconcile()
        self.check()

    def teardown(self) -> None:
        """Stop, drain every queue, and find what is promised."""
        try:
            if self.isRight:  # pragma: no branch - it is, unless the test fails
                self.passTime(TICK)
                self.check()
                self.stop()
        finally:
            self.home.release()
            shutil.rmtree(self.path)


class ClockModelTests(SynchronousTestCase):
    """The server and the model, with a clock."""

    def machine(self, number: int) -> type[ClockMachine]:
        """Return a machine whose failures say with which seed it began."""
        name = f"ClockWithSeed{number}"
        ran: Counter[str] = Counter()
        directory = tempfile.mkdtemp(dir=MEMORY)
        self.addCleanup(shutil.rmtree, directory)
        made = type(name, (ClockMachine,), {"directory": directory, "ran": ran})
        return cast("type[ClockMachine]", seed(number)(made))

    def test_rare(self) -> None:
        """What comes about rarely does so too."""
        w, large = b"w", 70000
        machine = self.machine(0)()
        machine.begin(rules={})
        put = model.Set(w, 0, 0, 0, 6, False, 1)
        wait = model.Read(w, b"", 6500)
        moves = [
            # What is closed is gone already.
            (0, put),
            (0, model.Read(w, b"open")),
            (1, model.Word(b"flush", w)),
            (0, model.Read(w, b"close")),
            # The second one that waits is to have one, and the first one takes it.
            (0, model.Word(b"pause", w, model.READS)),
            (1, wait),
            (1, model.Get((w,))),
            (2, wait),
            (0, put),
            (0, put),
            (0, model.Word(b"resume", w)),
            (0, put),
            # A body in parts is deleted before it was sent.
            (1, model.Read(w, b"open", 6500)),
            (1, model.Word(b"delete", w)),
            (0, model.Set(w, 0, 0, 1, large, False, 2)),
            (0, 2.0),
            (0, put),
        ]
        machine.go(moves)
        # It is flushed, and not answered.
        machine.crashBusy([], 0, model.Word(b"delete", w), 3)
        machine.go([(0, wait), (0, model.Monitor(w, 1, 1))])
        machine.teardown()

    def test_dropped(self) -> None:
        """A full queue drops its oldest message for a new one, if it is to."""
        machine = self.machine(0)()
        machine.begin(rules={b"w": {"max_items": 1, "overflow": "drop-oldest"}})
        moves = [
            (0, model.Set(b"w", 0, 0, 0, 6, False, number)) for number in (1, 2, 3)
        ]
        machine.go([*moves, (0, model.Get((b"w", b"w")))])
        machine.teardown()

    def test_anySequence(self) -> None:
        """Any sequence of all that queues can do does what the model says."""
        ran: Counter[str] = Counter()
        for number in rounds(1):
            # The first ones are always the same.
            machine = self.machine(number and randrange(1 << 32))
            run_state_machine_as_test(machine, settings=SETTINGS)
            ran += machine.ran
            examples = EXAMPLES * (number + 1)
        report("clockmodel", examples=examples, rules=ran)
        self.assertGreater(min(ran.values()), EXAMPLES // 20, ran)
