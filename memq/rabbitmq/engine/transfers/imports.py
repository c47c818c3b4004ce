"""Imports: exports that are brought into the queues of a cluster.

The chunks are those of a store of its own (:mod:`memq.operations.imports.chunks`), but
there is nothing that nobody sees: messages can be taken as soon as they are set.  A
chunk is told as imported when a majority has each of its messages, and after them a
mark of how far it is.  Before them, a mark tells that they are coming.  So who goes on
with an import that broke off in the middle of a chunk is told that messages of that may
be there already; and nothing else comes twice.

Before each chunk the mark has to be as this import has left it, or else another client
imports the same through another front end.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from memq.config.cluster import MOST_BODY
from memq.display import shownName
from memq.errors import ImportRefused, NotStored, QueueError
from memq.figures import NOTHING_KEPT, Kept
from memq.message import PART_SIZE, Message
from memq.operations.imports.chunks import ROW
from memq.rabbitmq import names
from memq.rabbitmq.asking.base import nameOf
from memq.rabbitmq.asking.bounds import ending, opening
from memq.rabbitmq.course import together
from memq.rabbitmq.engine.transfers.marks import SAME, Mark, Marks
from memq.wire.imports.items import Finished, QueueBegins, QueueEnds, Reached

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memq.operations.base import Client, Operation
    from memq.operations.imports.chunks import BeginImport, DiscardImport, PutChunk
    from memq.policy.effective import Policies
    from memq.rabbitmq.asking.queues import Queues
    from memq.rabbitmq.asking.spread import SpreadOpenReads
    from memq.rabbitmq.course import Steps
    from memq.rabbitmq.engine.sets import Publisher
    from memq.rabbitmq.engine.view import View
    from memq.rabbitmq.shared.pauses import Pauses
    from memq.wire.imports.items import AnyItem, Item

#: What is said of a body that queue servers may not take.
TOO_LARGE = f"a body has more than {MOST_BODY} bytes"

_TELLS_LINE = Reached, QueueEnds, Finished


class _There(NamedTuple):
    """A queue that has messages."""

    kept: Kept


class Loader:
    """What a chunk finds, and what it sets.

    :ivar row: how far the import is.
    :ivar lengths: how many messages queues have that begin; None for no such queue.
    :ivar begun: those that begin.
    :ivar puts: the messages, each with its queue.
    """

    translated = nullcontext()

    def __init__(self, row: bytes | None) -> None:
        self.row = row
        self.lengths: dict[bytes, int | None] = {}
        self.begun: list[bytes] = []
        self.puts: list[tuple[bytes, Item]] = []

    def find(self, name: bytes) -> _There | None:
        """Return a queue that has messages; None for others."""
        items = self.lengths.get(name)
        return _There(NOTHING_KEPT._replace(items=items)) if items else None

    def hide(self, name: bytes) -> None:
        """Note that a queue begins: everybody sees it."""
        self.begun.append(name)

    def append(self, name: bytes, items: Sequence[Item]) -> None:
        """Note messages."""
        self.puts += [(name, item) for item in items]

    def importRow(self, token: bytes) -> bytes | None:
        """Return how far the import is."""
        return self.row

    def setImportRow(self, token: bytes, row: bytes) -> None:
        """Note how far it is."""
        self.row = row

    @property
    def line(self) -> int:
        """The line up to which all is imported."""
        return 0 if self.row is None else int(ROW.unpack(self.row)[1])


def _lineOf(items: Sequence[AnyItem]) -> int:
    """Return the line up to which all is imported with a chunk; 0 if it tells none."""
    lines = [each.line for each in items if isinstance(each, _TELLS_LINE)]
    return lines[-1] if lines else 0


class _Owner:
    """Who imports.

    :ivar seen: the mark as it was left, None for none.
    """

    __slots__ = "client", "name", "seen"

    def __init__(self, client: Client) -> None:
        self.client = client
        self.name = os.urandom(8)
        self.seen: Mark | None = None


class Imports:
    """Carries out imports.

    :ivar view: returns a view with nothing in it.
    :ivar runOn: runs an operation on a view.
    :ivar isSet: is told of each message that is set.
    :ivar onWay: is told how many bytes of large bodies are on their way.
    """

    view: Callable[[], View]
    runOn: Callable[[Operation, View], object]
    isSet: Callable[[bytes], object]
    onWay: Callable[[int], object]

    def __init__(
        self,
        publisher: Publisher,
        openReads: SpreadOpenReads,
        queues: Queues,
        policies: Policies,
        pauses: Pauses,
    ) -> None:
        """Begin with none."""
        self._publisher = publisher
        self._openReads = openReads
        self._queues = queues
        self._policies = policies
        self._pauses = pauses
        self._marks = Marks(publisher, openReads, queues, policies)
        #: Who imports here, by the token.
        self._owners: dict[bytes, _Owner] = {}

    def begin(self, operation: BeginImport) -> Steps:
        """Look how far an import is."""
        token, view = operation.token, self.view()
        if token in self._owners:
            operation.fail(ImportRefused(SAME))
            return
        owner = self._owners[token] = _Owner(operation.client)
        mark = yield from self._marks.read(token)
        if isinstance(mark, QueueError):
            operation.fail(mark)
            return
        owner.seen = mark
        view.loader = Loader(None if mark is None else mark.row())
        self.runOn(operation, view)
        if mark is not None and mark.isUnsure:
            operation.result += b" unsure"

    def discard(self, operation: DiscardImport) -> Steps:
        """Let an import end here."""
        owner = self._owners.get(operation.token)
        if owner is not None and owner.client is operation.client:
            del self._owners[operation.token]
        self.runOn(operation, self.view())
        return
        yield

    def put(self, operation: PutChunk) -> Steps:
        """Import a chunk."""
        error = yield from self._put(operation)
        if error is not None:
            operation.fail(error)

    def _put(self, operation: PutChunk) -> Steps:
        """Import a chunk; return an error if that is not sure."""
        before, view = operation.before, self.view()
        assert before is not None
        if isinstance(before.result, QueueError):
            return before.result
        owner = self._owners[operation.token]
        loader = view.loader = Loader(before.after.row)
        error = yield from self._look(operation, loader, owner.seen)
        if error is not None:
            return error
        lineBefore = loader.line
        self.runOn(operation, view)
        if isinstance(operation.result, QueueError):
            return operation.result
        messages = [(queue, self._whole(view, item)) for queue, item in loader.puts]
        if any(message.size > MOST_BODY for _, message in messages):
            return ImportRefused(TOO_LARGE)
        error = yield from self._open(operation, loader)
        if error is None and messages:
            error = yield from self._claim(operation, owner, lineBefore, loader.line)
            error = error or (yield from self._set(messages))
        if error is None and loader.row != before.after.row:
            assert loader.row is not None
            _, line, isFinished = ROW.unpack(loader.row)
            mark = Mark(owner.name, line, line, bool(isFinished))
            error = yield from self._mark(operation, owner, mark)
        return error

    def _look(self, operation: PutChunk, loader: Loader, mark: Mark | None) -> Steps:
        """Fetch what queues have that begin; return an error if that cannot be."""
        if mark is not None and mark.isUnsure and mark.upTo == _lineOf(operation.items):
            # It is the chunk that was being set: these queues were begun by it.
            return None
        for item in operation.items:
            if not isinstance(item, QueueBegins) or item.goesOn:
                continue
            queue = item.name
            length = yield partial(self._queues.length, queue)
            if isinstance(length, QueueError):
                return length
            if length == 0:
                # A node may say so of a queue whose leader is gone.
                found = yield opening(self._openReads, queue)
                if isinstance(found, QueueError):
                    return found
                if found is not None:
                    yield ending(self._openReads.giveBack, queue, [found.sequence])
                    length = 1
            loader.lengths[queue] = length
        return None

    def _open(self, operation: PutChunk, loader: Loader) -> Steps:
        """Make queues that are not there, paused as they were."""
        for item in operation.items:
            if not isinstance(item, QueueBegins) or item.name not in loader.begun:
                continue
            queue = item.name
            if loader.lengths.get(queue) is not None:
                continue
            if item.paused:
                error = yield partial(self._pauses.pause, queue, item.paused)
                if error is not None:
                    return error
            made = yield partial(self._publisher.make, nameOf(queue), item.limit)
            if isinstance(made, QueueError):
                return made
        return None

    def _claim(self, operation: PutChunk, owner: _Owner, line: int, upTo: int) -> Steps:
        """Tell that messages are coming; return an error if another client's are."""
        mark = yield from self._marks.read(operation.token)
        if isinstance(mark, QueueError):
            return mark
        if mark != owner.seen:
            return ImportRefused(SAME)
        return (yield from self._mark(operation, owner, Mark(owner.name, line, upTo)))

    def _mark(self, operation: PutChunk, owner: _Owner, mark: Mark) -> Steps:
        error = yield from self._marks.write(operation.token, mark)
        if error is None:
            owner.seen = mark
        return error

    @staticmethod
    def _whole(view: View, item: Item) -> Message:
        """Return a message with its body."""
        flags, time, body, expires, deliveries, due, trace, _ = item
        tries = deliveries if trace is None else deliveries + trace.counted
        told = Message(0, 0, flags, time, b"", trace=trace).retried(tries)
        whole = view.whole(body)
        return Message(0, due or 0, flags, time, whole, None, expires, told)

    def _set(self, messages: list[tuple[bytes, Message]]) -> Steps:
        """Set messages; return an error if one is not set, or perhaps not."""
        size = sum(each.size for _, each in messages if each.size > PART_SIZE)
        self.onWay(size)
        asks = [partial(self._publish, *each) for each in messages]
        errors = yield partial(together, asks)
        self.onWay(-size)
        if isinstance(errors, QueueError):
            return errors
        failure = None
        for (queue, _), error in zip(messages, errors, strict=True):
            if error is None:
                self.isSet(queue)
            elif isinstance(error, NotStored):
                failure = failure or ImportRefused(f"queue {shownName(queue)} is full")
            else:
                failure = failure or error
        return failure

    def _publish(
        self,
        queue: bytes,
        message: Message,
        told: Callable[[QueueError | None], object],
    ) -> None:
        now = self._policies.now()
        # Its number is the time when it is due.
        delay = max(0, -((now - message.sequence) // 1000))
        expires = 0 if delay else message.expires
        headers = names.headers(message.flags, message.time, expires, message.trace)
        expiration = names.expiration(expires, now)
        name = nameOf(queue)
        self._publisher.publish(name, message.body, headers, told, expiration, delay)
