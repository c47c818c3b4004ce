"""Any sequence of transactions of a store, against the model's queues."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from memq.figures import Kept
from memq.message import Reason, Trace
from memq.test.support.homes import details, dump
from memq.test.support.model.queues import Item, Queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.message import Message

#: A message that was taken or is open: the name of its queue, the queue, and itself.
Taken = tuple[bytes, Queue, Item, "Message"]


@dataclass
class Model:
    """The expected store, and what was taken or read of which queue of a name."""

    queues: dict[bytes, Queue] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    read: list[Taken] = field(default_factory=list)

    def restart(self) -> None:
        """Show what is hidden."""
        self.read.clear()
        for queue in self.queues.values():
            queue.restart()

    def dump(self) -> str:
        """Return what :func:`dump` should say of the store."""
        lines = []
        for name, queue in sorted(self.queues.items()):
            detail = queue.details()
            lines.append(f"{name.decode('latin-1')} {queue.pushed}/{detail['taken']}")
            lines += [f"  {it.number} {it.flags} {it.body!r}" for it in queue.ready]
        return "\n".join(lines)


def kept(queue: Queue) -> Kept:
    """Return what a queue should keep."""
    sizes = [len(item.body) for item in queue.kept()]
    ready = [len(item.body) for item in queue.ready]
    return Kept(len(sizes), sum(sizes), len(ready), sum(ready))


#: What became of some messages before.
DEAD = Trace(1, b"a", Reason.EXPIRED, 5, 3)


def item(flags: int, body: bytes, trace: Trace | None) -> Item:
    """Return a message of the model; the trace is the store's own here."""
    kept: Any = trace
    return Item(flags, body, 0, trace=kept)


def isDead(item: Any) -> bool:
    """Tell whether it has an origin."""
    return item.trace is not None and bool(item.trace.origin)


# When rules may run: inside a transaction or outside, and with messages to give back.
within = precondition(lambda self: self.open)
between = precondition(lambda self: not self.open)
hasRead = precondition(lambda self: self.seen.read)
hasTaken = precondition(lambda self: self.seen.taken)


class StoreMachine(RuleBasedStateMachine):
    """Any sequence of transactions, against lists in memory."""

    #: Makes a store, not open.
    make: Callable[[], Any]

    def __init__(self) -> None:
        super().__init__()
        self.store = type(self).make()
        self.store.open()
        #: The store as committed, and as the transaction sees it.
        self.committed = Model()
        self.now = Model()
        self.open = False

    traces = some.sampled_from([None, Trace(2), DEAD, DEAD])
    names = some.sampled_from([b"a", b"b"])
    times = some.integers(0, 4)

    @property
    def seen(self) -> Model:
        """The store as it is seen now."""
        return self.now if self.open else self.committed

    def begin(self) -> dict[bytes, Queue]:
        """Begin a transaction, if none is under way, and return its queues."""
        if not self.open:
            self.store.begin()
            self.now = deepcopy(self.committed)
            self.open = True
        return self.now.queues

    def queue(self, name: bytes) -> Queue:
        """Return a queue, made if need be, in the transaction."""
        return self.begin().setdefault(name, Queue())

    @rule(
        name=names,
        flags=some.integers(0, 2**32 - 1),
        body=some.binary(max_size=9),
        expires=times,
        trace=traces,
    )
    def push(
        self, name: bytes, flags: int, body: bytes, expires: int, trace: Trace | None
    ) -> None:
        """Append."""
        queue = self.queue(name)
        found = self.store.push(name, flags, body, expires=expires, trace=trace)
        assert found == queue.pushed
        queue.push(item(flags, body, trace))

    @rule(
        name=names, bodies=some.lists(some.binary(max_size=9), min_size=1, max_size=6)
    )
    def pushAll(self, name: bytes, bodies: list[bytes]) -> None:
        """Append messages that come together."""
        queue = self.queue(name)
        found = self.store.pushAll(name, [(7, body) for body in bodies])
        assert found == queue.pushed
        for body in bodies:
            queue.push(Item(7, body, 0))

    @rule(
        name=names,
        body=some.binary(max_size=3),
        due=times,
        expires=times,
        trace=traces,
    )
    def pushDelayed(
        self, name: bytes, body: bytes, due: int, expires: int, trace: Trace | None
    ) -> None:
        """Append later."""
        delayed = self.queue(name).delayed
        self.store.pushDelayed(name, 5, body, due, expires=expires, trace=trace)
        delayed.append((due, item(5, body, trace)))
        delayed.sort(key=itemgetter(0))

    @rule(now=times, limit=some.integers(1, 4))
    def promoteDue(self, now: int, limit: int) -> None:
        """Append what is due."""
        queues = self.begin()
        due = sorted(due for queue in queues.values() for due, _ in queue.delayed)
        expected = [each for each in due if each <= now][:limit]
        found = []
        for name in self.store.promoteDue(now, limit):
            time, item = queues[name].delayed.pop(0)
            queues[name].push(item)
            found.append(time)
        assert found == expected

    @rule(name=names, bits=some.integers(0, 3))
    def pause(self, name: bytes, bits: int) -> None:
        """Pause."""
        queues = self.begin()
        if self.store.setPaused(name, bits):
            self.queue(name).paused = bits
        else:
            assert bits == 0
            assert name not in queues

    @rule(name=names)
    def pop(self, name: bytes) -> None:
        """Look at the head, and take it."""
        found = self.head(name, self.store.pop)
        if found is not None:
            found[2].deliveries = 0
            self.now.taken.append(found)

    @rule(name=names, most=some.integers(1, 6))
    def popAll(self, name: bytes, most: int) -> None:
        """Take some messages at once."""
        queue = self.begin().get(name)
        messages = self.store.popAll(name, most)
        items = queue.ready[:most] if queue else []
        found = [(each.sequence, each.flags, each.body) for each in messages]
        assert found == [(item.number, item.flags, item.body) for item in items]
        for item, message in zip(items, messages, strict=True):
            assert queue is not None
            queue.ready.remove(item)
            item.deliveries = 0
            self.now.taken.append((name, queue, item, message))

    @rule(name=names, to=names, first=times, every=some.integers(1, 2))
    def redrive(self, name: bytes, to: bytes, first: int, every: int) -> None:
        """Find the dead letters from a number on, and move some of them."""
        queue = self.begin().get(name, Queue())
        end = self.store.nextNumber(name)
        expected = [it for it in queue.ready if it.number >= first and isDead(it)]
        letters: list[Message] = []
        while first < end:
            some, first = self.store.deadLetters(name, first, end, 2000)
            letters += some
        found = [(each.sequence, each.flags, each.body) for each in letters]
        assert found == [(it.number, it.flags, it.body) for it in expected]
        for it, letter in list(zip(expected, letters, strict=True))[::every]:
            self.store.takeOut(name, letter)
            queue.ready.remove(it)
            self.push(to, it.flags, it.body, 0, None)

    @rule(name=names, first=times, most=some.integers(1, 3))
    def look(self, name: bytes, first: int, most: int) -> None:
        """Look at all messages from a number on, some at a time."""
        queue = self.begin().get(name, Queue())
        found: list[tuple[int, int, bytes]] = []
        reached: int | None = first
        while reached is not None:
            some, reached = self.store.peekMany(name, reached, most, 2000)
            found += [(each.sequence, each.flags, each.body) for each in some]
        items = [it for it in queue.ready if it.number >= first]
        assert found == [(it.number, it.flags, it.body) for it in items]

    @rule(name=names)
    def openRead(self, name: bytes) -> None:
        """Hide the head."""
        found = self.head(name, self.store.openRead)
        if found is not None:
            _, queue, item, message = found
            queue.open.append(item)
            counted = 0 if message.trace is None else message.trace.counted
            assert self.store.deliveries(message) == item.deliveries + counted
            self.now.read.append(found)

    def head(self, name: bytes, take: Callable[[bytes], Any]) -> Taken | None:
        """Take the head, and check that it is."""
        queue = self.begin().get(name)
        seen = self.store.peek(name)
        message = take(name)
        assert seen == message
        if queue is None or not queue.ready:
            assert message is None
            return None
        item = queue.ready.pop(0)
        found = (message.sequence, message.flags, message.body, message.trace)
        assert found == (item.number, item.flags, item.body, item.trace)
        return name, queue, item, message

    @hasRead
    @rule(number=some.integers(0, 9))
    def closeRead(self, number: int) -> None:
        """Take a message that is hidden."""
        name, queue, item, message = self.chosen("read", number)
        there = self.now.queues.get(name) is queue
        assert self.store.closeRead(name, message) == there
        if there:
            queue.open.remove(item)
            queue.counts["closed"] += 1
            assert not self.store.closeRead(name, message)

    @hasRead
    @rule(number=some.integers(0, 9), isCounted=some.booleans())
    def abortRead(self, number: int, isCounted: bool) -> None:
        """Give a message back that is hidden."""
        name, queue, item, message = self.chosen("read", number)
        there = self.now.queues.get(name) is queue
        assert self.store.abortRead(name, message, isCounted) == there
        if there:
            queue.back(item)
            item.deliveries += isCounted
            queue.counts["returns"] += isCounted
            assert not self.store.abortRead(name, message, isCounted)

    @hasTaken
    @rule(number=some.integers(0, 9))
    def putBack(self, number: int) -> None:
        """Return a message that was taken, perhaps in an earlier transaction."""
        name, queue, item, message = self.chosen("taken", number)
        there = self.now.queues.get(name) is queue
        assert self.store.putBack(name, message) == there
        if there:
            queue.open.append(item)
            queue.back(item)

    @rule(
        name=names,
        bodies=some.lists(some.binary(max_size=3), min_size=4, max_size=9),
        counts=some.tuples(some.integers(1, 3), some.integers(1, 9)),
        isCommitted=some.booleans(),
    )
    def giveBackSome(
        self,
        name: bytes,
        bodies: list[bytes],
        counts: tuple[int, int],
        isCommitted: bool,
    ) -> None:
        """Return one of some messages that came together, and take it with others."""
        self.pushAll(name, bodies)
        self.popAll(name, counts[0])
        if isCommitted:
            self.commit()
        self.putBack(len(self.seen.taken) - 1)
        self.popAll(name, counts[1])

    def chosen(self, kind: str, number: int) -> Taken:
        """Return a message that was taken or read, which is not any more."""
        self.begin()
        found: list[Taken] = getattr(self.now, kind)
        return found.pop(number % len(found))

    @rule(name=names)
    def delete(self, name: bytes) -> None:
        """Delete a queue."""
        there = self.begin().pop(name, None) is not None
        assert self.store.delete(name) == there

    @rule(name=names)
    def empty(self, name: bytes) -> None:
        """Empty a queue; what was taken from it before cannot go back."""
        queue = self.begin().get(name)
        assert self.store.empty(name) == (len(queue.kept()) if queue else 0)
        if queue:
            self.now.queues[name] = Queue(
                pushed=queue.pushed, counts=queue.counts, paused=queue.paused
            )

    @within
    @rule()
    def commit(self) -> None:
        """Commit."""
        self.store.commit()
        self.committed = self.now
        self.open = False

    @within
    @rule()
    def abort(self) -> None:
        """Undo."""
        self.store.abort()
        self.open = False

    @between
    @rule(limit=some.integers(1, 3))
    def sweep(self, limit: int) -> None:
        """Remove some of what was deleted."""
        assert self.store.sweep(limit) == self.store.hasGarbage()

    @between
    @rule()
    def compare(self) -> None:
        """Find what the model says, and nothing else."""
        found = dump(self.store).partition("\n  later")[0]
        assert found == self.committed.dump()
        queues = sorted(self.committed.queues.items())
        told = [each._asdict() for each in details(self.store)]
        for detail in told:
            del detail["headTime"], detail["lastUsed"]
        assert told == [{"name": n, **queue.details()} for n, queue in queues]
        assert [self.store.kept(n) for n, _ in queues] == [kept(q) for _, q in queues]

    @between
    @rule()
    def next(self) -> None:
        """Tell when the next one is due, or earlier, but not again."""
        queues = self.committed.queues.values()
        times = [due for queue in queues for due, _ in queue.delayed]
        first = min(times, default=None)
        told = Counter[int]()
        while (due := self.store.nextDue()) is not None and due != first:
            assert first is None or due < first
            told[due] += 1
            assert told[due] == 1
            self.store.begin()
            assert self.store.promoteDue(due, 1) == []
            self.store.commit()
        assert due == first

    def teardown(self) -> None:
        """Undo what is open, promote and remove all that is to be, and close."""
        self.store.abort()
        self.open = False
        self.compare()
        self.next()
        self.promoteDue(4, 1000)
        self.commit()
        self.compare()
        while self.store.hasGarbage():
            self.store.sweep(1)
        self.compare()
        self.store.close()


MACHINE_SETTINGS = settings(
    max_examples=100,
    stateful_step_count=60,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def machineTest(
    make: Callable[[], Any], machine: type[Any] = StoreMachine
) -> type[SynchronousTestCase]:
    """Return a test case that runs the machine on stores that ``make`` makes."""

    class Machine(machine):  # type: ignore[misc]
        """The machine, on these stores."""

    Machine.make = staticmethod(make)
    case = Machine.TestCase
    case.settings = MACHINE_SETTINGS

    class MachineTests(SynchronousTestCase):
        """Any sequence of transactions does what the model says."""

        def test_machine(self) -> None:
            """Any sequence of transactions does what the model says."""
            case("runTest").runTest()

        def test_deleted(self) -> None:
            """What was read openly of a queue that is deleted cannot be taken."""
            steps = Machine()
            steps.push(b"a", 0, b"body", 0, None)
            steps.openRead(b"a")
            steps.delete(b"a")
            steps.closeRead(0)
            steps.commit()
            steps.teardown()

    return MachineTests
