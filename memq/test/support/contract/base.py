"""How the tests of the contract call a store."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from memq.message import LargeBody
from memq.test.support.homes import dump
from memq.test.support.stepped import collect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.trial.unittest import SynchronousTestCase as Base

    from memq.figures import QueueDetail
else:
    # Trial would run it by itself if it were a test case.
    Base = object


class OneByOne:
    """The verbs of a store for one queue, each call in a transaction of its own."""

    def __init__(self, store: Any, queue: bytes) -> None:
        self._store = store
        self._queue = queue

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        """Return a verb."""

        def call(*arguments: Any, **options: Any) -> Any:
            self._store.begin()
            result = getattr(self._store, verb)(self._queue, *arguments, **options)
            self._store.commit()
            return result

        return call


class StoreContract(Base):
    """A store, and short words for what is done with it; mixed into a test case.

    :ivar q: the queue q, ``r`` and ``none`` others.
    """

    store: Any
    q: OneByOne
    r: OneByOne
    none: OneByOne

    def setUp(self: Any) -> None:
        """Open what makeStore, the test case's own, makes."""
        self.store = self.makeStore()
        self.store.open()
        self.q, self.r, self.none = map(self.on, (b"q", b"r", b"none"))

    def tearDown(self) -> None:
        """Close it, and let lost failures blame their own test."""
        self.store.close()
        collect()

    def on(self, queue: bytes) -> OneByOne:
        """Return the verbs for a queue."""
        return OneByOne(self.store, queue)

    @contextmanager
    def done(self) -> Iterator[Any]:
        """Have a transaction, and commit it."""
        self.store.begin()
        yield self.store
        self.store.commit()

    @contextmanager
    def undone(self) -> Iterator[Any]:
        """Have a transaction, and undo it."""
        self.store.begin()
        yield self.store
        self.store.abort()

    def push(self, queue: bytes, *bodies: bytes) -> None:
        """Append messages in a transaction."""
        with self.done() as store:
            for body in bodies:
                store.push(queue, 0, body)

    def bodies(self, queue: bytes) -> list[bytes]:
        """Take all messages of a queue."""
        return [message.body for message in iter(self.on(queue).pop, None)]

    def assertHolds(self, text: str) -> None:
        """Check what dump says."""
        self.assertEqual(dump(self.store), text)

    def detail(self) -> QueueDetail:
        """Return the details of q, without times."""
        found = self.store.detail(b"q")
        detail: QueueDetail = found._replace(headTime=0, lastUsed=0)
        return detail

    # Bodies in parts.

    def upload(self, *parts: bytes) -> LargeBody:
        """Add the parts of a body, each in a transaction of its own."""
        body = self.store.newBody()
        for number, data in enumerate(parts):
            with self.done() as store:
                store.addPart(body, number, data)
        return LargeBody(body, sum(map(len, parts)), len(parts))

    def pushLarge(self, queue: bytes, *parts: bytes) -> LargeBody:
        """Append a message whose body has these parts."""
        large = self.upload(*parts)
        self.on(queue).pushLarge(3, large)
        return large

    def parts(self, large: LargeBody) -> list[bytes]:
        """Return the parts of a body."""
        return [self.store.part(large.id, number) for number in range(large.parts)]

    def sweepAll(self) -> None:
        """Remove all that nobody can read."""
        while self.store.hasGarbage():
            self.store.sweep(1)

    # Delays.

    def delay(self, queue: bytes, due: int, *bodies: bytes) -> None:
        """Keep messages until a time."""
        with self.done() as store:
            for body in bodies:
                store.pushDelayed(queue, 7, body, due)

    def promoteDue(self, now: int, limit: int = 100) -> Any:
        """Append what is due, in a transaction."""
        with self.done() as store:
            return store.promoteDue(now, limit)

    def settle(self) -> int | None:
        """Return when the next message is due, once nothing is told too early."""
        due: int | None = self.store.nextDue()
        while due is not None and not self.promoteDue(due):
            later = self.store.nextDue()
            assert later is None or later > due
            due = later
        return due
