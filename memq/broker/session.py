"""Session: one client, as the broker sees it.

What the client asks for waits in the inbox, in order, until the broker takes it
into a turn.  The session knows when its client cannot be given more: when it
stopped reading, or when much was taken for it that is not delivered yet.  And it knows
what the client has open.
"""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, cast

from memq.errors import OutOfSpace
from memq.operations.base import Operation, Upload
from memq.operations.openreads import AbortRead, CloseRead, OpenRead
from memq.operations.outstanding import Outstanding
from memq.operations.pops import Pop, SetAside
from memq.operations.pushes import AddPart, Push, PushLarge, Release
from memq.operations.reads import Read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall

    from memq.broker.broker import Broker
    from memq.errors import NotStored, QueueError
    from memq.message import LargeBody, Message
    from memq.operations.openreads import Opened
    from memq.policy.effective import Policies

#: Bytes taken for a session and not delivered yet, at which it is left out.
UNDELIVERED_BYTES = 1024 * 1024


class Session:
    """One client, as the broker sees it.

    :ivar inbox: operations that did not run yet.
    :ivar outstanding: what is charged to the client.
    :ivar open: the open reads of each queue, the oldest first; None before the first.
    :ivar openReads: how many they are.
    :ivar sendsNoMore: whether nothing is to come of the client behind the inbox.
    :ivar parked: the read that waits for a message, with the inbox behind it, or that
        is to try again; None most of the time.
    """

    __slots__ = (
        "_broker",
        "blocked",
        "deliver",
        "gone",
        "inbox",
        "open",
        "openReads",
        "outstanding",
        "parked",
        "sendsNoMore",
        "waits",
    )

    def __init__(self, broker: Broker, deliver: Callable[[], None]) -> None:
        """Make a session.

        :param deliver: called when operations are done.
        """
        self._broker = broker
        self.deliver = deliver
        self.inbox: deque[Operation] = deque()
        self.outstanding = Outstanding(broker.budget.count)
        #: Whether the client has stopped reading.
        self.blocked = False
        #: Whether the session stands in the broker's rotation, or in a line.
        self.waits = False
        self.gone = False
        self.sendsNoMore = False
        self.open: dict[bytes, deque[Opened]] | None = None
        self.openReads = 0
        self.parked: Read | None = None

    def submit(self, operation: Operation) -> None:
        """Ask for an operation; it runs after those submitted before it."""
        self.inbox.append(operation)
        if not self.waits:
            self._broker.enqueue(self)

    def goOn(self, rest: Operation) -> None:
        """Let the rest of an operation run next, before what was submitted behind."""
        self.inbox.appendleft(rest)
        self.catchUp()

    def push(self, queue: bytes, flags: int, body: bytes, noreply: bool) -> Push:
        """Ask to append a message, and return the operation; more may join it.

        :param noreply: whether the client wants to hear nothing of it.
        """
        operation = Push(self, queue, flags, body, noreply)
        if self._broker.room.isFull:
            operation.fail(OutOfSpace())
            operation.done = True
        else:
            # As submit does, but for a call: every message comes through here.
            self.inbox.append(operation)
            if not self.waits:
                self._broker.enqueue(self)
        return operation

    @property
    def isFull(self) -> bool:
        """Whether the disk is too full to store anything."""
        return self._broker.room.isFull

    def submitPush(self, operation: Push) -> None:
        """Ask for a push of any kind, unless the disk is too full."""
        if self.isFull:
            operation.fail(OutOfSpace())
            operation.done = True
        else:
            self.submit(operation)

    def expectDue(self, due: int) -> None:
        """Note that a message is to be seen at a time, in ms since 1970."""
        self._broker.expectDue(due)

    def addPart(self, upload: Upload, data: bytes) -> Operation:
        """Ask to keep the next part of a body, and return the operation."""
        if self._broker.room.isFull:
            upload.error = OutOfSpace()
        operation = AddPart(self, upload, data)
        self.submit(operation)
        return operation

    def pushLarge(self, queue: bytes, flags: int, upload: Upload) -> Operation:
        """Ask to append a message whose parts were added, and return the operation."""
        operation = PushLarge(self, queue, flags, upload)
        self.submit(operation)
        return operation

    def refusePushes(self) -> list[Operation]:
        """Take the pushes out of the inbox, for there is no room, and return them."""
        refused: list[Operation] = []
        for operation in self.inbox:
            if isinstance(operation, Push):
                refused.append(operation)
                operation.fail(OutOfSpace())
            elif type(operation) is AddPart:
                operation.fail(OutOfSpace())
        if refused:
            self.inbox = deque(
                each for each in self.inbox if not isinstance(each, Push)
            )
        return refused

    def refused(self, error: QueueError) -> None:
        """Note that a set is refused."""
        self._broker.refusals.note(error)

    def unrefused(self, error: NotStored) -> None:
        """Forget that: its turn is undone."""
        self._broker.refusals.forget(error)

    def release(self, body: Upload | LargeBody) -> None:
        """Ask to forget the parts of a body that no message has."""
        self.submit(Release(self, body))

    def pop(self, queue: bytes) -> Pop:
        """Ask for a message, and return the operation; more may join it."""
        operation = Pop(self, queue)
        self.inbox.append(operation)
        if not self.waits:
            self._broker.enqueue(self)
        return operation

    def part(self, large: LargeBody, number: int) -> bytes:
        """Return a part of a message that was taken.

        :raise memq.errors.QueueError: when that cannot be had.
        """
        return self._broker.part(large, number)

    def setAside(self, message: Message) -> None:
        """Ask to keep a damaged message out of the way."""
        self.outstanding.refund(message)
        self.submit(SetAside(self, message))

    def giveBack(self, queue: bytes, message: Message) -> None:
        """Return a message to its old place that was taken and is not sent."""
        self.outstanding.refund(message)
        self.putBack(queue, message)

    def putBack(self, queue: bytes, message: Message) -> None:
        """Return a message to its old place that was sent and has not arrived."""
        self._broker.putBack(queue, message)

    def opened(self, queue: bytes) -> Sequence[Opened]:
        """Return what is open on a queue, the oldest first."""
        return () if self.open is None else self.open.get(queue, ())

    def overdue(self, opened: Opened) -> None:
        """Note that an open read took too long: it goes back."""
        self._broker.giveBack(opened)

    def giveBackLater(self, opened: Sequence[Opened]) -> None:
        """Note that open reads could not go back; they have to, some time."""
        self._broker.giveBackLater(opened)

    def isBehind(self, queue: bytes) -> bool:
        """Return whether somebody else waits for a message of a queue."""
        return self._broker.isAwaited(queue)

    def isHeldUp(self, queue: bytes) -> bool:
        """Return whether somebody else is about to get to a message of a queue."""
        return self._broker.isUnfinished(queue)

    def seconds(self) -> float:
        """Return the time, by a clock that is never set."""
        return self._broker.seconds()

    def later(self, call: Callable[[], None]) -> None:
        """Call something once everybody else had a turn."""
        self._broker.later(call)

    def after(self, seconds: float, call: Callable[[], None]) -> IDelayedCall:
        """Call something after so many seconds."""
        return self._broker.after(seconds, call)

    def answered(self, result: object) -> Operation:
        """Return an operation that is done, for what needs no store."""
        operation = Operation(self)
        operation.result = result
        operation.done = True
        return operation

    def catchUp(self) -> None:
        """Note that what was taken has been given to the client."""
        if not self.waits:
            self._broker.enqueue(self, True)

    def block(self) -> None:
        """Note that the client does not read."""
        self.blocked = True
        self._broker.withdraw(self)

    def unblock(self) -> None:
        """Note that the client reads again."""
        self.blocked = False
        self.catchUp()

    @property
    def policies(self) -> Policies:
        """Return what holds for which queue."""
        return self._broker.policies

    @property
    def mayWait(self) -> bool:
        """Whether the client has asked to wait for a message."""
        return any(isinstance(each, Read) and each.wait for each in self.inbox)

    def hurry(self) -> None:
        """Wait for no message any longer."""
        for operation in self.inbox:
            if isinstance(operation, Read):
                operation.wait = 0.0
        if self.parked is not None:
            self._broker.endWait(self.parked)

    def receiveNoMore(self) -> None:
        """Note that all was received that the client sends; it may be gone.

        To open something later is of no use to it; and what it has open and was sent
        goes back before it waits, unless it has sent what closes that.
        """
        self.sendsNoMore = True
        read = self.parked
        if isinstance(read, OpenRead):
            self._broker.endWait(read)
        if not (self.open and self.mayWait):
            return
        closing = {each.queue for each in self.inbox if isinstance(each, CloseRead)}
        for opened in chain.from_iterable(self.open.values()):
            if opened.isSeen and opened.queue not in closing:
                self._broker.giveBack(opened)

    def leave(self) -> None:
        """Note that the client is gone: what it sent counts, what it asks does not.

        What it has open goes back before anybody else gets something.
        """
        self.gone = True
        if self.parked is not None:
            self._broker.withdraw(self)
        inbox, self.inbox = self.inbox, deque()
        for operation in inbox:
            if operation.outlivesSession:
                self.inbox.append(operation)
            else:
                # It found nothing, and nobody is to wait for it.
                operation.done = True
        if self.open:
            self._leaveOpen(self.open)
        self.catchUp()

    def _leaveOpen(self, reads: dict[bytes, deque[Opened]]) -> None:
        if self._broker.isStopping:
            # The next start has them all, and nobody was at fault.
            for opened in chain.from_iterable(reads.values()):
                opened.forget()
            return
        for queue in reads:
            self.inbox.append(AbortRead(self, queue))
        self._broker.enqueueFirst(self)


def sessionOf(operation: Operation) -> Session:
    """Return who asked for an operation: to the broker, each client is a session."""
    return cast("Session", operation.session)
