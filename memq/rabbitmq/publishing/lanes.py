"""Lanes: the messages of one queue that are under way, in order.

A lane sends what comes at once.  When a message is returned or refused, it waits until
all that it has sent are settled (GATHERING), and keeps what comes.  Then it asks for
the queue (ASKING), or lets some time pass (PAUSING), and sends all again in order.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

from twisted.logger import Logger

from memq.errors import NotStored, Refusing
from memq.rabbitmq.errors import (
    ClusterFull,
    Disagreed,
    QueueGone,
    TooLarge,
    Unreachable,
    Unsure,
)
from memq.rabbitmq.names import decode
from memq.rabbitmq.publishing.message import Fate
from memq.rabbitmq.publishing.questions import Answer

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from memq.errors import QueueError
    from memq.rabbitmq.names import Name
    from memq.rabbitmq.publishing.message import Message
    from memq.rabbitmq.publishing.outlet import Outlet

#: Seconds for which a refused message is sent again before its queue counts as full;
#: and for which it is full then without that.
TRIAL, FULL = 1.0, 2.0
#: Seconds before it is sent again, after the first refusal; they double.  Without a
#: leader there is nothing for 0.25 to 0.6 s.
SOONEST, LATEST = 0.02, 0.3
#: Seconds for which nodes may be of two minds: they hear one after the other that a
#: queue is made or deleted.  Then one is left, which costs all sets their connection.
DOUBT = 0.25

_log = Logger()


class State(Enum):
    """What a lane does; see above."""

    SENDING = auto()
    GATHERING = auto()
    ASKING = auto()
    PAUSING = auto()


#: As names of this module, since the way through the class takes longer.
SENDING, STORED = State.SENDING, Fate.STORED


class Host(Protocol):
    """What a lane asks of who publishes.

    :ivar limit: how many bytes a message may have; None if nothing is known.
    :ivar known: the names of queues that are there, as far as that is known.
    :ivar deleting: those of queues that are being deleted.
    """

    limit: int | None
    known: set[str]
    deleting: Counter[str]

    def confirmed(self, queue: str) -> None:
        """Note that a queue is there, and is not to be made again in silence."""

    def seconds(self) -> float:
        """Return the time."""

    def later(self, seconds: float, call: Callable[[], object]) -> None:
        """Call something some time later."""

    def outlet(self, since: float) -> Outlet | None:
        """Return an outlet that was asked for after a time; None if none is open."""

    def ask(self, lane: Lane) -> None:
        """Ask a second node for the queue, and make it if it may be."""

    def mistrust(self, lane: Lane, other: str) -> None:
        """Leave the node: it does not know a queue that another node has."""

    def disagree(self, lane: Lane) -> None:
        """Leave the node that made a queue of which this one knows nothing."""

    def isDone(self, lane: Lane) -> None:
        """Forget a lane that has nothing under way."""

    def isFull(self, queue: str) -> bool:
        """Return whether a queue counts as full without another trial."""

    def noteFull(self, queue: str, until: float) -> None:
        """Note until when a queue counts as full."""


class Lane:
    """The messages of a queue that are under way.

    :ivar name: its name.
    :ivar queue: the name in RabbitMQ.
    :ivar binding: see below.
    :ivar missingAt: when a message was returned, for want of the queue.
    """

    def __init__(
        self, host: Host, name: Name, binding: dict[str, str] | None = None
    ) -> None:
        """Begin with nothing.

        :param binding: what messages have in their headers that come by the exchange of
            delays; None for those that are sent to the queue itself.
        """
        self.name, self.queue, self.binding = name, name.queue, binding
        self._host = host
        self._state = State.SENDING
        self._outlet: Outlet | None = None
        #: What is called when all that was sent is settled.
        self._settling: list[Callable[[], object]] = []
        #: How many are sent and not settled.
        self._underWay = 0
        #: What is to be sent, in order; what came back, in any.
        self._held: deque[Message] = deque()
        self._back: list[Message] = []
        self._isMissing = False
        self.missingAt = 0.0
        #: When outlets have to be asked for, to be good enough.
        self._since = 0.0
        #: How often it was refused, and was not known to a node though it is there,
        #: one after the other.
        self._refusals = self._doubts = 0
        #: Since when it is not known to a node though it is there.
        self._doubtedAt = 0.0
        #: Whether it was made for what is held.
        self._isMade = False

    def add(self, message: Message) -> None:
        """Send a message, or hold it if others wait."""
        outlet, host = self._outlet, self._host
        if (
            self._underWay
            and outlet is not None
            and outlet.isOpen
            and self._state is SENDING
            and not (self._held or host.deleting)
            and message.told is not None
        ):
            self._send(outlet, message)
            return
        self._held.append(message)
        if len(self._held) == 1:
            self.flush()

    def flush(self) -> None:
        """Send what is held, if it may be."""
        if self._state is not SENDING or self.queue in self._host.deleting:
            return
        while self._held:
            if self._underWay == 0:
                self._outlet = self._host.outlet(self._since)
            outlet = self._outlet
            if outlet is None or not outlet.isOpen:
                return
            message = self._held.popleft()
            # It may be late, behind one with more time: its own queue was made first.
            if message.told is not None:
                self._send(outlet, message)
        self._end()

    def _send(self, outlet: Outlet, message: Message) -> None:
        limit = self._host.limit
        if limit is not None and message.size > limit:
            message.tell(TooLarge(limit))
            return
        try:
            outlet.send(message)
        except Exception:
            # What cannot be encoded is not sent; what is behind it is.
            _log.failure("A message cannot be sent")
            message.tell(Unreachable("the message cannot be sent"))
            return
        message.isSent = True
        self._underWay += 1

    def late(self) -> str:
        """Return why a message that waits was not sent in time, in words."""
        if self.queue in self._host.deleting:
            return "the queue is being deleted"
        if self._state is State.ASKING:
            # 3.10.8 makes 40 quorum queues a second on two busy cores.
            return "the queue servers did not make the queue in time"
        if self._state is State.SENDING:
            return "the queue servers cannot be reached"
        return "the queue servers did not take it in time"

    def prune(self) -> None:
        """Let go of messages that are held and were told: those that came first."""
        while self._held and self._held[0].isTold:
            self._held.popleft()
        self._end()

    def isWaiting(self) -> bool:
        """Return whether messages wait for something."""
        return bool(self._held)

    def mayMake(self) -> bool:
        """Return whether a message waits that the queue is to be made for."""
        return any(message.makes for message in self._held)

    def refuse(self) -> None:
        """Tell all that is held that the nodes take nothing."""
        self._tellHeld(ClusterFull())

    def _tellHeld(self, error: QueueError) -> None:
        held, self._held = self._held, deque()
        for message in held:
            message.tell(error)
        self._end()

    def _end(self) -> None:
        """Be forgotten if nothing is under way."""
        if not (self._underWay or self._held or self._back) and (
            self._state is State.SENDING
        ):
            self._host.isDone(self)

    def settled(self, message: Message, fate: Fate, why: str = "") -> None:
        """Take note of what became of a message that was sent."""
        message.isSent = False
        self._underWay -= 1
        if fate is STORED:
            self._refusals = self._doubts = 0
            self._isMade = False
            if self.queue not in self._host.known:
                self._host.confirmed(self.queue)
            message.tell(None)
        elif fate is Fate.LOST:
            message.tell(Unsure(f"the queue server was lost ({why})"))
        elif fate is Fate.TOO_LARGE:
            message.tell(TooLarge(int(why)))
        elif fate is Fate.UNSEEN:
            self._gather(message)
        elif fate is Fate.RETURNED:
            self._gather(message)
            self._isMissing = True
            self.missingAt = self._host.seconds()
        elif self._host.isFull(self.queue):
            message.tell(self._full())
        else:
            self._gather(message)
        if self._underWay == 0:
            self._resolve()
            if self._settling:
                settling, self._settling = self._settling, []
                for call in settling:
                    call()

    def whenSettled(self, call: Callable[[], object]) -> None:
        """Call something when all that was sent is settled."""
        if self._underWay:
            self._settling.append(call)
        else:
            call()

    def _full(self) -> NotStored:
        name = decode(*self.name) or self.queue.encode()
        return NotStored(name, name, Refusing.FULL)

    def _gather(self, message: Message) -> None:
        self._state = State.GATHERING
        self._back.append(message)

    def _resolve(self) -> None:
        """Go on, when all that was sent is settled."""
        if self._state is not State.GATHERING:
            self._end()
            return
        back = [message for message in self._back if not message.isTold]
        self._back = []
        isMissing, self._isMissing = self._isMissing, False
        # What is held came after all that was sent.
        back.sort(key=attrgetter("number"))
        if isMissing:
            self._held.extendleft(reversed(back))
            if self.queue in self._host.deleting:
                # It is sent again, and returned again, at the end of that.
                self._state = State.SENDING
            else:
                self._state = State.ASKING
                self._host.ask(self)
        else:
            self._pause(back)

    def answered(self, answer: Answer, why: str) -> None:
        """Send again, or tell that there is no queue, as a second node says."""
        self._state = State.SENDING
        if answer is Answer.MISSING:
            self._tellHeld(QueueGone())
        elif answer is Answer.REFUSED:
            self._tellHeld(Unreachable(f"the queue cannot be made ({why})"))
        elif answer is Answer.STALE:
            self.flush()
        else:
            if answer is Answer.MADE:
                self._dropOld()
            self._isMade |= answer is Answer.MADE
            now = self._host.seconds()
            if answer is Answer.THERE:
                self._doubts += 1
                self._doubtedAt = now if self._doubts == 1 else self._doubtedAt
            if self._doubts < 2:
                self.flush()
                return
            if now - self._doubtedAt < DOUBT:
                self._state = State.PAUSING
                self._host.later(DOUBT / 4, self._again)
                return
            self._doubts = 0
            if self._isMade:
                # Either may be wrong.  A queue on the wrong one would be lost.
                self._isMade = False
                self._host.disagree(self)
                self._tellHeld(Disagreed())
            else:
                # What is held is sent on the next connection.
                self._host.mistrust(self, why)

    def _dropOld(self) -> None:
        """Tell what was in a queue that is deleted that it has none: this is new."""
        for message in [each for each in self._held if not each.makes]:
            self._held.remove(message)
            message.tell(QueueGone())

    def _pause(self, back: list[Message]) -> None:
        """Send again some time later what was refused, but for what was too often."""
        now = self._host.seconds()
        for message in reversed(back):
            if message.refusedAt is None:
                message.refusedAt = now
            if now - message.refusedAt < TRIAL:
                self._held.appendleft(message)
            else:
                self._host.noteFull(self.queue, now + FULL)
                message.tell(self._full())
        if not self._held:
            self._state = State.SENDING
            self._end()
            return
        self._state, self._since = State.PAUSING, now
        delay = min(LATEST, SOONEST * 2.0 ** min(self._refusals, 8))
        self._refusals += 1
        self._host.later(delay, self._again)

    def _again(self) -> None:
        self._state = State.SENDING
        self.flush()
