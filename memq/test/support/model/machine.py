"""A server beside its model: each step is done to both, and then they are compared.

The steps are no rules yet: memq.test.system.test_model says what is drawn for each.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from hypothesis.stateful import RuleBasedStateMachine

from memq.errors import ConfigError
from memq.test.support.model.commands import Set, StatsDetail, Word
from memq.test.support.model.draws import BEGIN
from memq.test.support.model.reads import AnyOf, Get, Monitor, Read
from memq.test.support.model.rig import Rig, contents
from memq.test.support.model.server import Server

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

    from memq.test.support.model.commands import Command
    from memq.test.support.model.queues import Rules
    from memq.test.support.model.rig import Contents
    from memq.test.support.model.server import Operation

#: Seconds that pass before each command.  All other times are multiples of half a
#: second, so that no event falls together with another command: there are less than 256
#: in an example.  A float has all of them without rounding.
TICK = 1 / 512
#: A message that has expired is gone after so many seconds at the latest.
LATE = 2.0

#: Commands that may take something.
READS = (AnyOf, Get, Read, Monitor)

Move = tuple[int, "Command | float | None"]


def expected(server: Server) -> Contents:
    """Return what should be in the store, as the model has it."""
    return {
        name: (
            queue.details(),
            [
                (item.flags, item.body, item.deliveries, item.trace)
                for item in queue.ready
            ],
        )
        for name, queue in server.queues.named.items()
    }


class Machine(RuleBasedStateMachine):
    """A server with rules, its clients, and the time."""

    #: A directory for homes.
    directory: str
    #: How often each rule ran, over all examples.
    ran: Counter[str]

    def begin(self, rules: Rules, noSync: bool, leastPacked: int = 2) -> None:
        """Start a server on a new home."""
        self.model = Server(BEGIN)
        #: Whether all was right at the last look.
        self.isRight = True
        #: Whether anybody waited: what expired then is flushed with something else.
        self.anyWaited = False
        self.rig = Rig(self.directory, noSync, leastPacked)
        self.rig.write(rules)
        self.model.queues.rules = rules
        self.rig.open(BEGIN)
        self.serve()

    def serve(self) -> None:
        """Start a server on the home that is open."""
        self.rig.serve()
        self.anyWaited = False
        self.reconcile()

    def operations(self, what: Iterable[Command]) -> list[Operation]:
        """Return what commands consist of."""
        return [each for command in what for each in command.operations(self.model)]

    # Time.

    def passTime(self, seconds: float) -> None:
        """Let time pass, one event after the other."""
        for now in self.rig.passTime(seconds):
            self.model.reach(now)
            self.reconcile()

    def reconcile(self) -> None:
        """Let that go from the model which expired, and of which nobody asked."""
        self.anyWaited |= bool(self.model.lines)
        held = self.model.queues
        # In the order of the sweep, for some move to the same queue.
        for name in self.rig.store.names():
            queue = held.named[name]
            detail = self.rig.store.detail(name)
            assert detail is not None, name
            count = detail.expired - queue.counts["expired"]
            assert held.expireHeads(name, count) == count, (name, count)
        self.model.settle()

    # The comparison.

    def check(self) -> None:
        """Find that everybody heard what the model says, and that all is there."""
        self.isRight = False
        self.reconcile()
        for who, client in list(self.model.clients.items()):
            found = self.rig.client(who).read()
            if client.mayBeCut and self.rig.client(who).isClosed:
                assert client.said.startswith(found), (who, found)
                self.end(who)
            else:
                assert found == client.said, f"{who}: {found!r} is not {client.said!r}"
            client.said = b""
            client.mayBeCut = False
        there, told = contents(self.rig.store), expected(self.model)
        assert there == told, f"{there} is not {told}"
        held = self.model.queues
        for name in filter(held.canBeRead, held.named):
            # Or it would wait until the next message comes, if one does.
            assert not self.rig.harness.broker.waiters(name), name
        self.isRight = True

    # The moves of clients.

    def go(self, moves: list[Move]) -> None:
        """Let clients send commands, or leave, and time pass."""
        for who, what in moves:
            self.passTime(TICK)
            self.ran[type(what).__name__] += 1
            if isinstance(what, float):
                self.wait(what)
            elif what is None:
                if who in self.rig.clients:
                    self.end(who)
                    self.check()
            elif self.isOrdered(who, what := self.chosen(who, what)):
                self.talk(who, [what])

    def chosen(self, who: int, what: Command) -> Command:
        """Return what a client sends, who has something open perhaps."""
        client = self.model.clients.get(who)
        return what if client is None else what.chosen(self.model, client)

    def isOrdered(self, who: int, what: Any) -> bool:
        """Tell whether it is promised what is answered.

        It is not how many still wait when the first of them goes on.  And a delete that
        waits may cut off its client before a later read is answered: then that gives
        back what it took.
        """
        clients = self.model.clients
        isBehind = who in clients and clients[who].waits
        if isBehind and isinstance(what, StatsDetail):
            return False
        inbox = clients[who].inbox if isBehind else []
        isDeleted = any(isinstance(each, Word) for each in inbox)
        return not (isDeleted and isinstance(what, READS))

    def talk(
        self,
        who: int,
        what: list[Command],
        cuts: Iterable[float] = (),
        naps: bool = False,
    ) -> None:
        """Send some commands, in any pieces, and read all replies, perhaps late."""
        self.ran["talk"] += 1
        client = self.rig.client(who)
        data = b"".join(command.wire() for command in what)
        places = sorted(int(cut * len(data)) for cut in cuts)
        for start, end in zip([0, *places], [*places, len(data)], strict=True):
            client.send(data[start:end])
            self.rig.harness.reactor.iterate()
        if naps:
            client.stopReading()
            self.rig.harness.settle()
            client.startReading()
        self.rig.harness.settle()
        self.model.send(who, self.operations(what))
        self.check()

    def together(self, one: list[Command], two: list[Command]) -> None:
        """Let two clients talk at once, of queues of their own."""
        self.ran["together"] += 1
        for turn in range(max(len(one), len(two))):
            for who, what in enumerate((one, two)):
                for command in what[turn : turn + 1]:
                    self.rig.client(who).send(command.wire())
            self.rig.harness.reactor.iterate()
        self.rig.harness.settle()
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
        broker = self.rig.harness.broker
        wasDurable, broker.durable = broker.durable, True
        self.rig.client(who).send(b"".join(command.wire() for command in what))
        for _ in range(turns):
            self.rig.harness.reactor.iterate()
        self.end(who, what)
        broker.durable = wasDurable
        self.check()

    def breakOff(self, who: int, name: bytes, cut: float, size: int) -> None:
        """Leave in the middle of a set, which then never was."""
        self.ran["breakOff"] += 1
        data = Set(name, size, 0).wire()
        self.rig.client(who).send(data[: int(cut * (len(data) - 1))])
        self.rig.harness.settle()
        self.end(who)
        self.check()

    def end(self, who: int, what: Iterable[Command] = ()) -> None:
        """End a connection; what it had open goes back.

        :param what: what was not answered before.
        """
        self.rig.clients.pop(who).leave()
        self.rig.harness.settle()
        self.model.leave(who, self.operations(what))
        self.reconcile()

    # Rules.

    def reload(self, moves: list[Move], rules: Rules, isMistaken: bool) -> None:
        """Go on, and read the file again, which holds others, or has a mistake."""
        self.go(moves)
        self.ran["reload"] += 1
        self.passTime(TICK)
        before = self.model.queues.rules
        self.rig.write({**rules, b"w": {"max_items": -1}} if isMistaken else rules)
        mistakes = self.rig.reload()
        if isMistaken:
            assert [each.type for each in mistakes] == [ConfigError]
            self.rig.write(before)
        else:
            assert not mistakes
            self.model.queues.rules = rules
        self.rig.harness.settle()
        if isMistaken:
            self.model.settle()
        else:
            self.model.wakeAll()
        self.check()

    # Ends.

    def restart(self, isKilled: bool, moves: Iterable[Move] = (), gap: int = 0) -> None:
        """Go on, stop in order or in the middle, and start after a while."""
        self.go(list(moves))
        self.ran["kill" if isKilled else "stop"] += 1
        self.passTime(TICK)
        if isKilled:
            self.rig.kill(self.anyWaited)
        else:
            self.stop()
        self.startAgain([self.model], gap)

    def stop(self) -> None:
        """Stop the server in order."""
        # In which order their other commands are carried out is nobody's promise.
        busy = [who for who, each in self.model.clients.items() if len(each.inbox) > 1]
        for who in busy[1:]:
            self.end(who)
            self.check()
        self.rig.stop()
        self.model.stop()
        self.check()
        self.rig.close()

    def startAgain(self, outcomes: list[Server], gap: int = 0) -> None:
        """Start with what the files hold: that is one of some outcomes."""
        # So that what was done at the end is due at no moment of the new sweeper.
        self.rig.open(self.model.queues.now + gap + TICK)
        found = contents(self.rig.store)
        for each in outcomes:
            each.crash()
        there = [each for each in outcomes if expected(each) == found]
        assert there, f"{found} is none of {list(map(expected, outcomes))}"
        self.model = there[0]
        self.model.reach(self.rig.time)
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
        what = [self.chosen(who, each) for each in what]
        client = self.rig.client(who)
        client.send(b"".join(command.wire() for command in what))
        for step in range(steps):
            if step % 3 < 2:
                self.rig.harness.reactor.iterate()
            else:
                self.rig.harness.flushPool.step()
        got = client.read()
        outcomes = self.outcomes(who, what, got)
        self.rig.kill(self.anyWaited)
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
            self.rig.remove()
