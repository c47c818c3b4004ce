"""Chunks of an import: queues are filled where nobody sees them, and shown whole.

A queue that is not there, or is empty, is filled unseen, and shown by the chunk with
its end.  One that has messages is refused, or appended to where that is asked for; then
the messages of each chunk are to be seen at once.  No rule of a queue is asked: what is
imported is what the export says.

How far an import is stands in a row of its own, under its token, which each chunk
writes that makes something visible, in the same transaction.  It was as this import has
left it, or else another client imports the same: so nothing is imported twice, whenever
a client or the server is killed.

What a chunk changes in memory is a new state behind that of the chunk before it, so a
turn that is undone needs no more than to forget that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.display import shownName
from memq.errors import BadLine, ImportRefused, OutOfSpace, QueueError
from memq.message import LargeBody
from memq.operations.base import MESSAGE_COST, Operation, roomFor
from memq.wire.imports.items import (
    Finished,
    Item,
    Part,
    QueueBegins,
    QueueEnds,
    Reached,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from memq.interfaces import IQueueStore
    from memq.operations.base import Client
    from memq.wire.imports.items import AnyItem

#: The row of an import: when it was written, in milliseconds since 1970, the line that
#: it has reached, and whether that is the last one.
ROW = Struct(">QQB")


class State(NamedTuple):
    """The state of an import behind a chunk.

    :ivar row: what its row was, None if there was none.
    :ivar queue: the queue that is being imported; None between two.
    :ivar unseen: the same in the store while nobody sees it; None if everybody does.
    :ivar first: the number that its first message has.
    :ivar messages: those in it, but for those that are delayed.
    :ivar deliveries: how often messages of it were given back, by their numbers.
    :ivar body: the body whose parts come; None when none does.
    """

    row: bytes | None = None
    queue: QueueBegins | None = None
    unseen: Any = None
    first: int = 0
    messages: int = 0
    deliveries: dict[int, int] = {}  # noqa: RUF012
    body: LargeBody | None = None


class ImportOperation(Operation, ABC):
    """A part of an import; see the module.

    :ivar before: the one before it; None for the first one, and once that is done.
    :ivar after: the state behind it.
    """

    __slots__ = ("after", "before", "shown", "token")

    def __init__(self, client: Client, token: bytes) -> None:
        super().__init__(client)
        self.token = token
        self.before: ImportOperation | None = None
        self.after = State()
        #: Messages that it has made visible, by their queues.
        self.shown: dict[bytes, int] = {}

    def run(self, store: IQueueStore) -> int:
        """Run, if the one before it could."""
        self._reset()
        loader = getattr(store, "loader", None)
        if loader is None:
            self.result = ImportRefused("a store in memory imports nothing")
        elif self.before is not None and isinstance(self.before.result, QueueError):
            self.result = self.before.result
        else:
            with loader.translated:
                return self._run(store, loader)
        return 0

    @abstractmethod
    def _run(self, store: IQueueStore, loader: Any) -> int:
        """Run; what raises is undone."""

    def _reset(self) -> None:
        self.result = None
        self.shown = {}
        if self.before is not None:
            self.after = self.before.after

    def undo(self) -> None:
        """Forget what it did."""
        self._reset()

    def forgetBefore(self) -> None:
        """Let the one before it go: it is done, and so is this one."""
        self.before = None

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell how many messages are to be seen now, and where."""
        return self.shown.items()


class BeginImport(ImportOperation):
    """Begin; the result is the line that it had reached, and ``all`` if that is all."""

    __slots__ = ()

    def _run(self, store: IQueueStore, loader: Any) -> int:
        row = loader.importRow(self.token)
        self.after = State(row)
        _, line, isFinished = ROW.unpack(row or bytes(ROW.size))
        self.result = b"%d%b" % (line, b" all" * isFinished)
        return 0


class PutChunk(ImportOperation):
    """Import a chunk; the result is the line that is imported for good, 0 for none.

    :ivar items: what is in it.
    """

    __slots__ = ("_cost", "_isUnmarked", "append", "bytesFreed", "items")

    #: Bytes of the largest body: the most that --max-body allows.
    mostBody = 64 * 1024 * 1024

    def __init__(
        self, client: Client, token: bytes, append: bool, items: Sequence[AnyItem]
    ) -> None:
        """Begin.

        :param append: whether queues that have messages are appended to.
        """
        super().__init__(client, token)
        self.append = append
        self.items = items
        self._cost = self.bytesFreed = 0
        #: Whether messages are visible behind the line that is reached.
        self._isUnmarked = False

    @property
    def isLast(self) -> bool:
        """Whether it says that all is there."""
        return isinstance(self.items[-1], Finished)

    def _run(self, store: IQueueStore, loader: Any) -> int:
        if self.client.isFull:
            self.fail(OutOfSpace())
            return 0
        self._cost = self.bytesFreed = 0
        self._isUnmarked = False
        state = self.after
        try:
            for item in self._joined():
                state = self._take(store, loader, state, item)
            if self._isUnmarked:
                raise BadLine
        except QueueError as error:
            if self._cost:
                # What was done before it is to be undone.
                raise
            self.result = error
            return 0
        self.after = state
        row = state.row
        self.result = b"%d" % (0 if row is None else ROW.unpack(row)[1])
        return self._cost

    def _joined(self) -> Iterable[AnyItem | list[Item]]:
        """Yield items, but messages that follow each other as one."""
        messages: list[Item] = []
        for item in self.items:
            if isinstance(item, Item):
                messages.append(item)
                continue
            if messages:
                yield messages
                messages = []
            yield item
        if messages:
            yield messages

    def _take(
        self, store: IQueueStore, loader: Any, state: State, item: AnyItem | list[Item]
    ) -> State:
        match item:
            case QueueBegins() if state.queue is None:
                return self._begin(loader, state, item)
            case list() if state.queue is not None:
                return self._add(loader, state, state.queue, item)
            case Part(data) if state.queue is not None:
                return self._addPart(store, state, data)
            case _ if state.body is not None:
                raise BadLine
            case Reached(line) if state.queue is not None:
                if state.unseen is None:
                    return self._reach(loader, state, line)
                return state
            case QueueEnds(line) if state.queue is not None:
                return self._end(loader, state, state.queue, line)
            case Finished(line) if state.queue is None:
                return self._reach(loader, state, line, True)
        raise BadLine

    def _begin(self, loader: Any, state: State, queue: QueueBegins) -> State:
        there = loader.find(queue.name)
        if there is None or not there.kept.items:
            if not queue.goesOn:
                unseen = loader.hide(queue.name)
                # Queue servers have nothing that nobody sees.
                if unseen is not None:
                    self._cost += MESSAGE_COST
                    first = unseen.nextSequence
                    return State(state.row, queue, unseen, first, deliveries={})
        elif not self.append:
            raise ImportRefused(
                f"queue {shownName(queue.name)} is there and has messages; "
                "append (--append) was not asked for"
            )
        return State(state.row, queue)

    def _add(
        self, loader: Any, state: State, queue: QueueBegins, items: list[Item]
    ) -> State:
        if items[0].isLarge:
            if state.body is None:
                raise BadLine
            items[0] = items[0]._replace(body=state.body)  # type: ignore[arg-type]
        elif state.body is not None:
            raise BadLine
        if any(item.isLarge for item in items[1:]):
            raise BadLine
        size = sum(len(item.body) for item in items if isinstance(item.body, bytes))
        self._cost += MESSAGE_COST * len(items) + size
        self.bytesFreed -= roomFor(len(items), size)
        ready = sum(item.due is None for item in items)
        if state.unseen is not None:
            state.deliveries.update(loader.putUnseen(state.unseen, items))
        else:
            loader.append(queue.name, items)
            self._isUnmarked = True
            self._show(queue.name, ready, len(items) - ready)
        return state._replace(messages=state.messages + ready, body=None)

    def _show(self, queue: bytes, ready: int, delayed: int) -> None:
        self.shown[queue] = self.shown.get(queue, 0) + ready
        if delayed:
            # Perhaps one of them is due already.
            self.client.expectDue(self.client.policies.now())

    def _addPart(self, store: IQueueStore, state: State, data: bytes) -> State:
        body = state.body or LargeBody(store.newBody(), 0, 0)
        if body.size + len(data) > self.mostBody:
            raise BadLine
        self._cost += MESSAGE_COST + len(data)
        self.bytesFreed -= roomFor(1, len(data))
        store.addPart(body.id, body.parts, data)
        return state._replace(
            body=LargeBody(body.id, body.size + len(data), body.parts + 1)
        )

    def _end(self, loader: Any, state: State, queue: QueueBegins, line: int) -> State:
        if state.unseen is not None:
            self._publish(loader, state, queue)
        return State(self._reach(loader, state, line).row)

    def _publish(self, loader: Any, state: State, queue: QueueBegins) -> None:
        """Let everybody see a queue, unless somebody has used its name meanwhile."""
        name, unseen = queue.name, state.unseen
        there = loader.find(name)
        pushed, taken = queue.pushed, queue.pushed - state.messages
        if there is not None:
            if there.kept.items or there.nextSequence != state.first:
                raise ImportRefused(
                    f"queue {shownName(name)} was used meanwhile, and is not imported"
                )
            pushed, taken = there.pushed + state.messages, there.taken
        elif taken < 0:
            raise BadLine
        if queue.limit or queue.paused:
            self.client.policies.activate()
        settings = queue.limit, queue.paused
        loader.show(unseen, pushed, taken, *settings, state.deliveries)
        self._cost += MESSAGE_COST
        self._show(name, state.messages, unseen.rest.delayed)

    def _reach(
        self, loader: Any, state: State, line: int, isFinished: bool = False
    ) -> State:
        """Write how far it is."""
        if loader.importRow(self.token) != state.row:
            raise ImportRefused("another client imports the same")
        now = self.client.policies.now()
        row = ROW.pack(now, line, isFinished)
        loader.setImportRow(self.token, row)
        self._isUnmarked = False
        self._cost += MESSAGE_COST
        return state._replace(row=row)


class DiscardImport(ImportOperation):
    """Let go what an import has left that nobody sees, whether it failed or not."""

    __slots__ = ()

    def run(self, store: IQueueStore) -> int:
        """Let it go, once the last chunk has run."""
        self._reset()
        return self._run(store, getattr(store, "loader", None))

    def _run(self, store: IQueueStore, loader: Any) -> int:
        unseen, body = self.after.unseen, self.after.body
        if unseen is not None:
            loader.discardUnseen(unseen)
        if body is not None:
            store.release(body.id)
        self.result = True
        return MESSAGE_COST
