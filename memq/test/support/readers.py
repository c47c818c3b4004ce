"""Clients without a wire that wait for messages, and keep them open; with rules too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from memq.message import Message
from memq.operations.openreads import AbortRead, CloseRead, OpenRead
from memq.operations.reads import Peek, Take
from memq.policy.rules import Rules, Table
from memq.test.broker.test_broker import Asker, BrokerTestCase

if TYPE_CHECKING:
    from memq.figures import QueueDetail
    from memq.operations.base import Operation

_Asked = TypeVar("_Asked", bound="Operation")
_Result = TypeVar("_Result")


def rules(**tables: dict[str, Any]) -> Rules:
    """Return rules: what the tables of queues say, as Rule has it."""
    return Rules([Table(name.encode(), values) for name, values in tables.items()])


class Reader(Asker):
    """A client that reads with options, from q if nothing else is said."""

    def take(self, wait: float = 0.0, queue: bytes = b"q") -> Take:
        """Take a message, or wait for one."""
        return self._ask(Take(self.session, queue, wait))

    def open(self, wait: float = 0.0, **options: Any) -> OpenRead:
        """Open a message, or wait for one."""
        return self._ask(OpenRead(self.session, b"q", wait, **options))

    def close(self, most: int = 1) -> CloseRead:
        """Close the oldest open reads."""
        return self._ask(CloseRead(self.session, b"q", most))

    def abort(self) -> AbortRead:
        """Give back what is open."""
        return self._ask(AbortRead(self.session, b"q"))

    def peek(self, wait: float = 0.0) -> Peek:
        """Look at the head, or wait for one."""
        return self._ask(Peek(self.session, b"q", wait))

    def _ask(self, operation: _Asked) -> _Asked:
        self.submit(operation)
        return operation

    def leave(self) -> None:
        """Disconnect; what was not told goes back."""
        self.session.leave()

    def words(self, operation: Operation) -> str:
        """Return what came of an operation, as a client sees it."""
        result = operation.result
        if isinstance(result, Message):
            seen: Any = operation
            seen.seen()
            self.session.outstanding.refund(result)
            return result.body[:10].decode()
        return str(result)


class ReaderTestCase(BrokerTestCase):
    """A broker with readers."""

    def reader(self) -> Reader:
        """Return a new client."""
        return Reader(self.broker)

    def done(self, operation: _Result) -> _Result:
        """Let all happen that was asked for until now; return the last of it."""
        self.settle()
        return operation

    def waiter(self, queue: bytes = b"q") -> Reader:
        """Return a new client that waits for 5 seconds, or has what is there."""
        reader = self.reader()
        reader.take(5.0, queue)
        self.settle()
        return reader

    def push(self, *bodies: bytes) -> None:
        """Push to q, and let that be durable."""
        self.asker.push(*bodies)
        self.settle()

    def deliveries(self, sequence: int) -> int:
        """Return how often a message of q was given back."""
        queue = self.store.index.queues[b"q"]
        return self.store.deliveries(Message(queue.id, sequence, 0, 0, b""))


class RuledTestCase(ReaderTestCase):
    """A broker, a store and plans that go by the reactor's time."""

    def setUp(self) -> None:
        """Let them."""
        super().setUp()
        self.store.seconds = self.broker.policies.seconds = self.reactor.seconds

    def rule(self, **values: Any) -> None:
        """Let q have a rule, and no other queue."""
        self.broker.policies.replace(rules(q=values))

    def wait(self, seconds: float) -> None:
        """Let time pass, and everything happen."""
        self.reactor.advance(seconds)
        self.settle()

    def detail(self, queue: bytes = b"q") -> QueueDetail:
        """Return what the store tells of a queue."""
        found = self.store.detail(queue)
        assert found is not None
        return found
