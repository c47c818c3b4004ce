"""A store that fails when it is told to, and shows what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.figures import AS_THEY_ARE
from memq.message import Message
from memq.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memq.errors import QueueError
    from memq.figures import Columns, Heads


class _Refusal:
    """Calls that are to fail."""

    def __init__(
        self,
        verb: str,
        error: Exception,
        arguments: tuple[Any, ...],
        after: int,
        times: int,
    ) -> None:
        """Say which, and how often; see ``FakeStore.refuse``."""
        self._verb = verb
        self._error = error
        self._arguments = arguments
        self._fails = range(after, after + times)
        self._calls = 0

    def called(self, verb: str, arguments: tuple[Any, ...]) -> None:
        """Raise the error, if it is the time for that."""
        if verb == self._verb and arguments[: len(self._arguments)] == self._arguments:
            self._calls += 1
            if self._calls - 1 in self._fails:
                raise self._error


def _noting(verb: str, result: Any = None) -> Callable[..., Any]:
    """Return a method that is noted, and fails if it is to; it does nothing."""

    def method(self: FakeStore) -> Any:
        self._noted(verb)
        return result

    return method


def _refusable(verb: str) -> Callable[..., Any]:
    """Return a method of a queue that fails if it is to."""
    real: Callable[..., Any] = getattr(MemoryStore, verb)

    def method(self: FakeStore, queue: bytes, *arguments: Any) -> Any:
        self._called(verb, queue)
        return real(self, queue, *arguments)

    return method


class FakeStore(MemoryStore):
    """A MemoryStore that keeps a journal and can be made to fail.

    :ivar journal: the calls of maintenance and transactions, in order.
    :ivar damaged: what ``pop`` and ``peek`` return instead of a queue's head.
    :ivar free: what ``freeBytes`` says.
    :ivar log: what ``logged`` says.
    :ivar tidied: what the next calls of ``tidy`` return; noted as long as there is any.
    :ivar doubt: what ``checkHome`` says.
    :ivar unswept: how many more slices there are to sweep, beside what was deleted.
    """

    def __init__(self, seconds: Callable[[], float] = lambda: 0.0) -> None:
        """Make an empty store that works.

        :param seconds: tells the time, in seconds since 1970.
        """
        super().__init__(seconds)
        self.journal: list[str] = []
        self.damaged: dict[bytes, QueueError] = {}
        self.free: int | None = None
        self.log = 0
        self.tidied: list[int] = []
        self.unswept = 0
        self.doubt: OSError | None = None
        self._refusals: list[_Refusal] = []

    def refuse(
        self,
        verb: str,
        error: Exception,
        *arguments: Any,
        after: int = 0,
        times: int = 1 << 30,
    ) -> None:
        """Let calls fail from now on.

        :param verb: the name of the method.
        :param arguments: the first arguments of those calls that fail.
        :param after: how many of them succeed before.
        :param times: how many of them fail.
        """
        self._refusals.append(_Refusal(verb, error, arguments, after, times))

    def forgive(self) -> None:
        """Let all calls succeed again."""
        self._refusals.clear()

    def _called(self, verb: str, *arguments: Any) -> None:
        for refusal in self._refusals:
            refusal.called(verb, arguments)

    def _noted(self, verb: str, *arguments: Any) -> None:
        self.journal.append(verb)
        self._called(verb, *arguments)

    def fill(self, queue: bytes, *bodies: bytes) -> None:
        """Put messages into a queue."""
        for body in bodies:
            MemoryStore.push(self, queue, 0, body)
        MemoryStore.commit(self)

    def dump(self) -> str:
        """Return what is stored: a line a queue, with its counts and bodies."""
        lines = []
        for name, pushed, taken in self.counts():
            words = [name, b"%d/%d:" % (pushed, taken)]
            while isinstance(message := MemoryStore.pop(self, name), Message):
                words.append(message.body)
            lines.append(b" ".join(words).decode("latin-1"))
        MemoryStore.abort(self)
        return "\n".join(lines)

    def begin(self) -> None:
        """Note it."""
        self._noted("begin")
        super().begin()

    def commit(self) -> None:
        """Note it; a commit that fails leaves it to ``abort`` to undo."""
        self._noted("commit")
        super().commit()

    def abort(self) -> None:
        """Note it."""
        self._noted("abort")
        super().abort()

    open, close = _noting("open"), _noting("close")
    flush, checkpoint = _noting("flush"), _noting("checkpoint")
    removeLogs = _noting("removeLogs", 1)

    putBack, closeRead = _refusable("putBack"), _refusable("closeRead")
    abortRead, popRead = _refusable("abortRead"), _refusable("popRead")
    delete, empty = _refusable("delete"), _refusable("empty")

    def details(self, queues: Iterable[bytes], heads: Heads = AS_THEY_ARE) -> Columns:
        """Return details of queues, unless that is to fail for the first one."""
        names = list(queues)
        self._called("details", *names)
        return super().details(names, heads)

    def push(self, queue: bytes, flags: int, body: bytes, **rest: Any) -> int:
        """Append a message, unless that is to fail for this body."""
        self._called("push", queue, body)
        return super().push(queue, flags, body, **rest)

    def pushDelayed(self, queue: bytes, *arguments: Any, **rest: Any) -> None:
        """Delay a message, then fail if that is to fail."""
        super().pushDelayed(queue, *arguments, **rest)
        self._called("pushDelayed", queue)

    def pop(self, queue: bytes) -> Message | QueueError | None:
        """Take the head, then fail if that is to fail."""
        message = self.damaged.get(queue) or super().pop(queue)
        self._called("pop", queue)
        return message

    def peek(self, queue: bytes) -> Message | QueueError | None:
        """Return the head, or what is there instead."""
        return self.damaged.get(queue) or super().peek(queue)

    def openRead(self, queue: bytes) -> Message | QueueError | None:
        """Hide the head, then fail if that is to fail."""
        message = self.damaged.get(queue) or super().openRead(queue)
        self._called("openRead", queue)
        return message

    def sweep(self, limit: int) -> bool:
        """Note it."""
        self._noted(f"sweep {limit}")
        self._called("sweep")
        if self.unswept:
            self.unswept -= 1
            return self.hasGarbage()
        return super().sweep(limit)

    def hasGarbage(self) -> bool:
        """Return what the test says."""
        return self.unswept > 0 or super().hasGarbage()

    def checkHome(self) -> OSError | None:
        """Return what the test says."""
        self._called("checkHome")
        return self.doubt

    def trickle(self, percent: int) -> int:
        """Note it."""
        self.journal.append(f"trickle {percent}")
        self._called("trickle")
        return 0

    def tidy(self) -> int:
        """Return what the test says, and note it if it says something."""
        self._called("tidy")
        if not self.tidied:
            return 0
        self.journal.append("tidy")
        return self.tidied.pop(0)

    def logged(self) -> int:
        """Return what the test says."""
        return self.log

    def reserveSpace(self) -> bool:
        """Return that there is room."""
        self._called("reserveSpace")
        return True

    def freeBytes(self) -> int | None:
        """Return what the test says."""
        self._called("freeBytes")
        return self.free

    def bytesOnDisk(self) -> int:
        """Return something."""
        return 4096
