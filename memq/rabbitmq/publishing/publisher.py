"""Publishes messages: each is told once what became of it, whatever dies meanwhile.

A message is sent to the queue of its name, and is stored when the node confirms it: a
majority has synced it then.  Any number is under way.  What else can happen to one:

- It is returned: there is no such queue.  It is confirmed as well, by which nothing is
  stored.  A second node is asked (:mod:`memq.rabbitmq.publishing.declaring`), the queue
  is declared, and it is sent again.  A queue that has confirmed a message is never
  declared: it is gone, and that is told.
- It is refused (nack): the queue is full, or the channel has lost the queue's leader,
  and refuses for good.  These cannot be told apart.  So it is sent again, on a channel
  opened since, for a second; then the queue is full.
- It is too large for the nodes, which costs its channel: it is not stored.  What was
  published behind it is sent again.  How large one may be is known then.
- Its channel or connection is lost, or nothing comes in time: it may be stored or not.
- It was not sent in time, or was returned or refused last: nothing is stored.

Order.  Messages of a queue are stored in the order in which they came.  A lane
(:mod:`memq.rabbitmq.publishing.lanes`) holds those of a queue that are under way.  It
changes its channel only while nothing of it is.

Ownership.  A message is in one place at a time: unsettled on an outlet (a channel that
confirms), or held by its lane.  One whose time is over has been told so and stays where
it is until it would be moved; what is then said of it is dropped.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import gatherResults

from memq.errors import StoreError
from memq.rabbitmq.errors import ClusterFull, QueueGone
from memq.rabbitmq.links.connections import Timer
from memq.rabbitmq.links.link import Link
from memq.rabbitmq.publishing.declaring import Declaring
from memq.rabbitmq.publishing.delays import Delays
from memq.rabbitmq.publishing.deletes import Deletes
from memq.rabbitmq.publishing.lanes import Lane
from memq.rabbitmq.publishing.making import Making
from memq.rabbitmq.publishing.message import Message, place
from memq.rabbitmq.publishing.outlet import Outlet, limitIn
from memq.rabbitmq.publishing.questions import MOST_CHANNELS, Answer, Questions

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from memq.errors import QueueError
    from memq.figures import LinkState
    from memq.rabbitmq.links.connections import Cluster
    from memq.rabbitmq.names import Name
    from memq.rabbitmq.publishing.message import Sender

#: Seconds between two looks at what is late.
TICK = 0.25
#: Seconds before a channel that the node has closed is opened again.
AGAIN = 0.05


class Publisher:
    """What publishes; see above.

    :ivar known: the names of queues that have confirmed a message; and ``deleting``, of
        those that are being deleted.
    :ivar limit: how many bytes a message may have; None if nothing is known.
    """

    def __init__(
        self,
        clock: IReactorTime,
        cluster: Cluster,
        timeout: float,
        randomly: Callable[[], float] = random.random,
        making: Callable[[Name, bool], object] = lambda _, __: None,
    ) -> None:
        """Begin nothing yet.

        :param timeout: seconds within which each message is told.
        :param making: is called with each queue that is made, and whether that begins.
        """
        self.known: set[str] = set()
        self.limit: int | None = None
        self._clock, self._timeout = clock, timeout
        self._link = Link(clock, cluster, "sets", self, randomly)
        self._declaring = Declaring(clock, cluster, self._nodeName, randomly)
        self._isDeclaring = False
        self._questions = Questions(clock, self._link, isBounded=False)
        asks = self._questions, self._declaring
        self._making = Making(clock, *asks, self.known, making)
        self._delays = Delays(self._making, self.known, self._lane)
        self._lanes: dict[str, Lane] = {}
        self._deletes = Deletes(clock, self._lanes)
        self.deleting = self._deletes.queues
        #: The one that was opened last, or is being opened; and those before it on
        #: which something is under way.
        self._outlet: Outlet | None = None
        self._former: set[Outlet] = set()
        #: All that are not told, and some that are, in the order of their deadlines.
        self._due: deque[Message] = deque()
        self._number = 0
        self._tick: IDelayedCall | None = None
        #: Whether what is held is sent some time later.
        self._isWaiting = False
        self._full: dict[str, float] = {}

    def states(self) -> list[LinkState]:
        """Return the states of its links."""
        return [*self._link.states(), *self._declaring.states()]

    @property
    def unconfirmed(self) -> int:
        """How many messages are not told yet."""
        return sum(not message.isTold for message in self._due)

    def start(self) -> None:
        """Begin to connect."""
        self._link.start()

    def stop(self) -> Deferred[Any]:
        """End the connections; what is under way is told in time all the same."""
        return gatherResults([self._link.stop(), self._declaring.stop()])

    def _nodeName(self) -> str | None:
        return self._link.node

    @property
    def isUp(self) -> bool:
        """Whether it is connected."""
        return self._link.isUp

    @property
    def trouble(self) -> str:
        """Why it is not; empty if nothing is known."""
        return self._link.trouble

    @property
    def isUnfit(self) -> bool:
        """Whether no node offers what is needed."""
        return self._link.isUnfit

    @property
    def isBlocked(self) -> bool:
        """Whether the nodes take no messages for now."""
        return self._link.isBlocked

    def publish(
        self,
        name: Name,
        body: bytes,
        headers: dict[str, Any] | None,
        told: Callable[[QueueError | None], object],
        expiration: str | None = None,
        delay: int = 0,
        *,
        makes: bool = True,
        spent: float = 0.0,
    ) -> None:
        """Publish a message.

        :param name: the queue's.
        :param told: is called once, at the latest a tick after the timeout: with None
            when a majority has the message, else with the error.
        :param expiration: milliseconds after which it is dropped, None for never, as
            with a delay.
        :param delay: seconds after which it is in the queue; from 1,000 on they are
            rounded up to three digits.
        :param makes: whether its queue is made for it, if there is none.
        :param spent: seconds of its timeout that are over.
        """
        if self._link.isBlocked:
            told(ClusterFull())
            return
        lane: Any = self._delays.lane(delay) if delay else self._lanes.get(name.queue)
        if lane is None:
            lane = self._lane(name, None)
        number = self._number = self._number + 1
        deadline = self._clock.seconds() + self._timeout - spent
        message = Message(lane, body, headers, expiration, told, number, deadline)
        message.makes = makes
        (place if spent else deque.append)(self._due, message)
        if self._tick is None:
            self._tick = self._clock.callLater(TICK, self._lookAtDue)
        if delay:
            self._delays.add(message, name)
        else:
            lane.add(message)

    def _lane(self, name: Name, binding: dict[str, str] | None) -> Lane:
        lane = self._lanes.get(name.queue)
        if lane is None:
            lane = self._lanes[name.queue] = Lane(self, name, binding)
        return lane

    def make(self, name: Name, limit: int, told: Callable[[Any], object]) -> None:
        """Make a queue if there is none.

        :param limit: how many messages it has at most; 0 for any number.
        :param told: is called once, in the time of a message: with whether it is new,
            or with an error.
        """
        if limit:
            bounds: dict[str, Any] = {
                "x-max-length": limit,
                "x-overflow": "reject-publish",
            }
            name = name._replace(arguments={**name.arguments, **bounds})
        isTold = False

        def _tell(found: object) -> None:
            nonlocal isTold
            if not isTold:
                isTold = True
                Timer(bound).cancel()
                told(found)

        def _cbMade(answer: Answer, why: str) -> None:
            if answer is Answer.MISSING:
                _tell(QueueGone())
            elif answer is Answer.REFUSED:
                _tell(StoreError(f"the queue cannot be made ({why})"))
            else:
                _tell(answer is Answer.MADE)

        late = StoreError("the queue servers did not make the queue in time")
        bound = self._clock.callLater(self._timeout, _tell, late)
        self._making.make(name, _cbMade, lambda: not isTold)

    def beginDelete(self, queue: str, ready: Callable[[Any], object]) -> None:
        """Hold what is set to a queue that is to be deleted from here.

        :param queue: its name in RabbitMQ.
        :param ready: is called once, when that may be.
        """
        self._deletes.begin(queue, ready)
        self.forget(queue)

    def endDelete(self, queue: str) -> None:
        """Take note that this is answered: what is held makes the queue anew."""
        self._deletes.end(queue)

    def expectDelete(self, queue: str) -> None:
        """Take note that a queue is about to be deleted, by some front end."""
        self._deletes.expect(queue)
        self.known.discard(queue)

    def confirmed(self, queue: str) -> None:
        """Note that a queue is there, and is not to be made again in silence."""
        if queue not in self.deleting:
            self.known.add(queue)

    def forget(self, queue: str) -> None:
        """Take note that a queue was deleted: it may be declared again."""
        self._deletes.over(queue)
        self.known.discard(queue)
        self._delays.forget(queue)

    def emptied(self, queue: str) -> None:
        """Take note that a queue has room again."""
        self._full.pop(queue, None)

    def _lookAtDue(self) -> None:
        """Tell what is late, and let go of what was told."""
        self._tick = self._clock.callLater(TICK, self._lookAtDue)
        now, due = self._clock.seconds(), self._due
        late: set[Sender] = set()
        while due and (due[0].isTold or due[0].deadline <= now):
            message = due.popleft()
            if not message.isTold:
                late.add(message.lane)
                message.expire()
        for lane in late:
            lane.prune()
        if not due:
            self._tick.cancel()
            self._tick = None

    # What lanes ask; see their Host.

    def seconds(self) -> float:
        """Return the time."""
        return self._clock.seconds()

    def later(self, seconds: float, call: Callable[[], object]) -> None:
        """Call something some time later."""
        self._clock.callLater(seconds, call)

    def outlet(self, since: float) -> Outlet | None:
        """Return an outlet that was asked for after a time; None if none is open."""
        outlet = self._outlet
        if self._link.isUp and (outlet is None or outlet.bornAt < since):
            if outlet is not None:
                if not self._link.hasRoom(MOST_CHANNELS):
                    self._flushLater(TICK)
                    return None
                self._retire(outlet)
            now = self._clock.seconds()
            self._outlet = Outlet(self._link, now, self._opened, self._closed)
        return self._outlet

    def _retire(self, outlet: Outlet) -> None:
        if outlet.isIdle:
            outlet.close()
        else:
            self._former.add(outlet)

    def ask(self, lane: Lane) -> None:
        """Ask a second node for the queue, and make it if it may be."""
        self._making.second(
            lane.name,
            lane.missingAt,
            lane.answered,
            lane.isWaiting,
            lane.mayMake,
            lane.binding,
        )

    def mistrust(self, lane: Lane, other: str) -> None:
        """Leave the node: it does not know a queue that another node has."""
        self._link.leave(f"it does not know the queue {lane.queue!r}, {other} does")

    def disagree(self, lane: Lane) -> None:
        """Leave the node that made a queue of which this one knows nothing."""
        why = f"it made the queue {lane.queue!r}, which {self._link.node} does not know"
        self._declaring.leave(why)

    def isDone(self, lane: Lane) -> None:
        """Forget a lane that has nothing under way."""
        if self._lanes.get(lane.queue) is lane:
            del self._lanes[lane.queue]
        for outlet in [each for each in self._former if each.isIdle]:
            self._former.remove(outlet)
            outlet.close()

    def isFull(self, queue: str) -> bool:
        """Return whether a queue counts as full without another trial."""
        until = self._full.get(queue)
        if until is not None and until <= self._clock.seconds():
            del self._full[queue]
            until = None
        return until is not None

    def noteFull(self, queue: str, until: float) -> None:
        """Note until when a queue counts as full."""
        self._full[queue] = until

    # What outlets and the link tell.

    def _opened(self, outlet: Outlet) -> None:
        if outlet is self._outlet:
            self._flush()
        else:
            outlet.close()

    def _flushLater(self, seconds: float) -> None:
        if not self._isWaiting:
            self._isWaiting = True
            self._clock.callLater(seconds, self._cbLater)

    def _cbLater(self) -> None:
        self._isWaiting = False
        self._flush()

    def _flush(self) -> None:
        for lane in list(self._lanes.values()):
            lane.flush()

    def _closed(self, outlet: Outlet, why: str) -> None:
        self._former.discard(outlet)
        self.limit = limitIn(why) or self.limit
        if outlet is self._outlet:
            self._outlet = None
            if self._link.isUp:
                self._flushLater(AGAIN)

    def linkUp(self) -> None:
        """Open a channel, for what is held and what comes."""
        self.outlet(0.0)
        self._questions.go()
        if not self._isDeclaring:
            # Not before: the second node is another one.
            self._isDeclaring = True
            self._declaring.start()

    def linkDown(self, why: str) -> None:
        """Wait: what was sent is told, what is held is sent on the next connection."""
        # That may be to a node with another one.
        self.limit = None
        self._questions.down()

    def linkBlocked(self, why: str | None) -> None:
        """Refuse what is held; what was sent waits for its confirm."""
        if why is not None:
            for lane in list(self._lanes.values()):
                lane.refuse()
