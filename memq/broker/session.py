"""Session: one client, as the broker sees it.

Operations of the client wait in the inbox, in order, until a turn takes them.  Only
its scheduler writes ``state``, which tells where the session stands: that of the broker
is :mod:`memq.broker.rotation`.  The session also has what its client has open.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from itertools import chain
from typing import TYPE_CHECKING, cast

from memq.errors import OutOfSpace
from memq.operations.base import Operation, Upload
from memq.operations.openreads.aborts import AbortRead
from memq.operations.openreads.ending import Ending
from memq.operations.openreads.opened import NOTHING_OPEN
from memq.operations.openreads.openread import OpenRead
from memq.operations.pops import Pop, SetAside
from memq.operations.pushes import AddPart, Push, Release
from memq.operations.reads import Read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall

    from memq.broker.interfaces import IEngine, Scheduler
    from memq.errors import NotStored, QueueError
    from memq.message import LargeBody, Message
    from memq.operations.openreads.opened import Opened, OpenReads
    from memq.operations.outstanding import Outstanding
    from memq.wire.forms import Form

#: Bytes taken for a session and not delivered yet, at which it is left out.
UNDELIVERED_BYTES = 1024 * 1024


class State(Enum):
    """Where a session stands; the transitions are drawn in memq.broker.rotation."""

    IDLE = auto()  # its inbox is empty, or too much is undelivered
    RUNNABLE = auto()  # in the rotation, among those that come anew
    BEHIND = auto()  # in the rotation, among those that have had a share
    SUSPENDED = auto()  # it has run, and the end of the turn says where it stands
    WAITING = auto()  # the read at the head of its inbox waits for a message
    WOKEN = auto()  # in the rotation: that read was promised a message
    HELD = auto()  # that read was, but too much is undelivered
    BLOCKED = auto()  # its client does not read


#: As names of this module, since the way through the class takes longer.
IDLE, BLOCKED = State.IDLE, State.BLOCKED


class Session:
    """One client, as the broker sees it.

    :ivar inbox: operations that did not run yet.
    :ivar state: where it stands.
    :ivar gone: whether the client is gone; its pushes run all the same.
    :ivar outstanding: what is charged to the client.
    :ivar open: the open reads of each queue, the oldest first; None before the first.
    :ivar openReads: how many they are.
    :ivar sendsNoMore: whether nothing is to come of the client behind the inbox.
    """

    __slots__ = (
        "_scheduler",
        "_server",
        "deliver",
        "gone",
        "inbox",
        "open",
        "openReads",
        "outstanding",
        "policies",
        "sendsNoMore",
        "state",
    )

    def __init__(
        self,
        server: IEngine,
        scheduler: Scheduler,
        deliver: Callable[[], None],
        outstanding: Outstanding,
    ) -> None:
        """Make a session.

        :param deliver: called when operations are done.
        """
        self._server = server
        self._scheduler = scheduler
        self.policies = server.policies
        self.deliver = deliver
        self.inbox: deque[Operation] = deque()
        self.outstanding = outstanding
        self.state = IDLE
        self.gone = False
        self.sendsNoMore = False
        self.open: dict[bytes, OpenReads] | None = None
        self.openReads = 0

    def submit(self, operation: Operation) -> None:
        """Ask for an operation; it runs after those submitted before it."""
        self.inbox.append(operation)
        if self.state is IDLE:
            self._scheduler.enqueue(self)

    def goOn(self, rest: Operation) -> None:
        """Let the rest of an operation run next, before what was submitted behind."""
        self.inbox.appendleft(rest)
        self.catchUp()

    def push(
        self,
        queue: bytes,
        flags: int,
        body: bytes,
        form: Form,
        exptime: int = 0,
        delay: int = 0,
    ) -> Push:
        """Ask to append a message, and return the operation; more may join it.

        :param form: how it is answered.
        :param exptime: as it was sent.
        :param delay: seconds until the message can be seen.
        """
        operation = Push(self, queue, flags, body, form, exptime, delay)
        if self._server.room.isFull:
            operation.fail(OutOfSpace())
            operation.done = True
        else:
            # As submit does, but for a call: every message comes through here.
            self.inbox.append(operation)
            if self.state is IDLE:
                self._scheduler.enqueue(self)
        return operation

    @property
    def isFull(self) -> bool:
        """Whether the disk is too full to store anything."""
        return self._server.room.isFull

    @property
    def isStopping(self) -> bool:
        """Whether the process is about to end."""
        return self._server.isStopping

    def expectDue(self, due: int) -> None:
        """Note that a delayed message is due at a time, in ms since 1970."""
        self._server.expectDue(due)

    def addPart(self, upload: Upload, data: bytes) -> Operation:
        """Ask to keep the next part of a body, and return the operation."""
        if self.isFull:
            upload.error = OutOfSpace()
        operation = AddPart(self, upload, data)
        self.submit(operation)
        return operation

    def refusePushes(self) -> list[Operation]:
        """Take the pushes out of the inbox, for there is no room, and return them."""
        for operation in self.inbox:
            if isinstance(operation, Push | AddPart):
                operation.fail(OutOfSpace())
        inbox, self.inbox = self.inbox, deque()
        refused: list[Operation] = []
        for operation in inbox:
            (refused if isinstance(operation, Push) else self.inbox).append(operation)
        return refused

    def refused(self, error: QueueError) -> None:
        """Note that a set is refused."""
        self._server.refusals.note(error)

    def unrefused(self, error: NotStored) -> None:
        """Forget that: its turn is undone."""
        self._server.refusals.forget(error)

    def release(self, body: Upload | LargeBody) -> None:
        """Ask to forget the parts of a body that no message has."""
        self.submit(Release(self, body))

    def pop(self, queue: bytes, form: Form) -> Pop:
        """Ask for a message, and return the operation; more may join it."""
        operation = Pop(self, queue, form)
        self.inbox.append(operation)
        if self.state is IDLE:
            self._scheduler.enqueue(self)
        return operation

    def part(self, large: LargeBody, number: int) -> bytes:
        """Return a part of a message that was taken.

        :raise memq.errors.QueueError: when that cannot be had.
        """
        return self._server.part(large, number)

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
        self._server.putBack(queue, message)

    def opened(self, queue: bytes) -> OpenReads:
        """Return what is open on a queue, the oldest first."""
        reads = self.open
        return NOTHING_OPEN if reads is None else reads.get(queue, NOTHING_OPEN)

    def overdue(self, opened: Opened) -> None:
        """Note that an open read took too long: it goes back."""
        self._server.giveBack(opened)

    def giveBackLater(self, opened: Sequence[Opened]) -> None:
        """Note that open reads could not go back; they have to, some time."""
        self._server.giveBackLater(opened)

    def isBehind(self, read: Read) -> bool:
        """Return whether somebody else is before a read that may wait."""
        return self._scheduler.lines.isBehind(read)

    def tries(self, read: Read) -> None:
        """Note that a read runs that was promised a message."""
        self._scheduler.lines.tries(read)

    def seconds(self) -> float:
        """Return the time, by a clock that is never set."""
        return self._server.clock.seconds()

    def later(self, call: Callable[[], None]) -> None:
        """Call something once everybody else had a turn."""
        self._server.clock.callLater(0, call)

    def after(self, seconds: float, call: Callable[[], None]) -> IDelayedCall:
        """Call something after so many seconds."""
        return self._server.clock.callLater(seconds, call)

    def answered(self, result: object) -> Operation:
        """Return an operation that is done, for what needs no store."""
        operation = Operation(self)
        operation.result = result
        operation.done = True
        return operation

    def catchUp(self) -> None:
        """Note that what was taken has been given to the client."""
        self._scheduler.enqueue(self, True)

    @property
    def blocked(self) -> bool:
        """Whether the client has stopped reading."""
        return self.state is BLOCKED

    def block(self) -> None:
        """Note that the client does not read."""
        self._scheduler.block(self)

    def unblock(self) -> None:
        """Note that the client reads again."""
        self._scheduler.unblock(self)

    @property
    def isWaiting(self) -> bool:
        """Whether a read waits for a message, or is to try again."""
        return self.state in (State.WAITING, State.WOKEN, State.HELD)

    @property
    def mayWait(self) -> bool:
        """Whether the client has asked to wait for a message."""
        return any(isinstance(each, Read) and each.wait for each in self.inbox)

    def hurry(self) -> None:
        """Wait for no message any longer."""
        for operation in self.inbox:
            if isinstance(operation, Read):
                operation.wait = 0.0
        self._scheduler.endWait(self)

    def receiveNoMore(self) -> None:
        """Note that all was received that the client sends; it may be gone.

        To open something later is of no use to it; and what it has open and was sent
        goes back before it waits, unless it has sent what ends that.
        """
        self.sendsNoMore = True
        first = self.inbox[0] if self.inbox else None
        if isinstance(first, Read) and isinstance(first.parts[0], OpenRead):
            self._scheduler.endWait(self)
        if not (self.open and self.mayWait):
            return
        ending = {
            (each.queue, each.number) for each in self.inbox if isinstance(each, Ending)
        }
        for opened in chain.from_iterable(self.open.values()):
            which = {(opened.queue, None), (opened.queue, opened.number)}
            if opened.isSeen and ending.isdisjoint(which):
                self._server.giveBack(opened)

    def leave(self) -> None:
        """Note that the client is gone: what it sent counts, what it asks does not.

        Its open reads go back before anybody else gets something.
        """
        self.gone = True
        self._scheduler.leave(self)
        for operation in self.inbox:
            # Its reads have found nothing, and nobody is to wait for them.
            operation.done = not operation.outlivesSession
        self.inbox = deque(each for each in self.inbox if each.outlivesSession)
        if self.open:
            self._leaveOpen(self.open)
        self.catchUp()

    def _leaveOpen(self, reads: dict[bytes, OpenReads]) -> None:
        if self._server.isStopping:
            # The next start has them all, and nobody was at fault.
            for opened in chain.from_iterable(reads.values()):
                opened.forget()
            return
        for queue in reads:
            self.inbox.append(AbortRead(self, queue))
        self._scheduler.enqueueFirst(self)


def sessionOf(operation: Operation) -> Session:
    """Return who asked for an operation: to the broker, each client is a session."""
    return cast("Session", operation.client)
