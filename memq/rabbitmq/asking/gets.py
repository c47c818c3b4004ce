"""Plain gets: each takes the message at the head of a queue, for good.

A pool of channels has one ``basic.get`` each under way; queues take turns.  The answer
is one of consensus, so there is nothing to acknowledge: *at most once*.

- A queue is empty only if the cluster says so, or says that there is none.  Such an
  answer ends every get of that queue that had been asked for before its own was sent.
- A get whose channel or link ends was answered or not: it fails, and may have taken one
  message, which is lost then.
- A get that is not answered in time, as of a queue without a leader, has its channel
  for itself until it is: others get another one.
- A message that comes for nobody any more is given to the next in line for that queue;
  without one it is a *stray*, which somebody has to set again.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from memq.errors import StoreError
from memq.rabbitmq import names
from memq.rabbitmq.asking.base import Deadlines, Request, isMissing, nameOf
from memq.rabbitmq.asking.holds import Holds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.interfaces import IReactorTime

    from memq.message import Message
    from memq.rabbitmq.asking.base import ILink

#: Channels with one get each: 32 took 6,900 messages a second, 64 took 5,200.
CHANNELS = 32
#: Channels that may be late, and are there besides.
LATE = 128
#: Seconds for which a queue that was not there is taken as empty without a question,
#: since that costs a channel, and the node a line of its log.
MISSING = 0.05
#: Queues of which that is remembered.
_MOST_MISSING = 10_000
#: Seconds between two looks whether there is room for more.
SHORT = 0.05
#: What is said where there was none in time.
TOO_MUCH = "clients have yet to take what there is: nothing is done"


class Room(Protocol):
    """Room for what is asked for."""

    def ask(self, queue: bytes) -> int | None:
        """Return how many bytes a message counts for; None if there is no room."""

    def found(self, queue: bytes, size: int, found: int | None = None) -> object:
        """Note that nothing more comes of it, and how many bytes it had."""


class AnyRoom:
    """Room without an end."""

    def ask(self, queue: bytes) -> int | None:
        """Return that it counts for nothing."""
        return 0

    def found(self, queue: bytes, size: int, found: int | None = None) -> None:
        """Do nothing."""


class _Get(Request):
    """A get.

    :ivar asked: when it was asked for, counted in questions.
    :ivar late: is called when its time is over and it is sent; set before it is.
    :ivar room: bytes that are kept free for its answer.
    :ivar isHeld: whether there was no room for that.
    """

    __slots__ = ("asked", "isHeld", "late", "room")

    late: Callable[[], object]

    def __init__(self, queue: bytes, done: Callable[[Any], object], asked: int) -> None:
        # As the one above does, but for a call: every get comes through here.
        self.queue, self._done = queue, done
        self.isSent = False
        self.asked = asked
        self.room = 0
        self.isHeld = False

    def expire(self) -> None:
        """Let others be asked, too."""
        if self.isHeld and not self.isSent:
            self.answer(StoreError(TOO_MUCH))
        elif self.fail() and self.isSent:
            self.late()


class _Channel:
    """A channel, and the get that is under way on it.

    :ivar cbFound: is called with a message; ``cbEmpty``, when there is none; ``late``,
        when the time of the get is over.
    :ivar sent: when that was sent, counted in questions.
    :ivar isLate: whether the time of that is over.
    """

    __slots__ = (
        *("amqp", "cbEmpty", "cbFound", "get"),
        *("isLate", "isOpen", "late", "sent"),
    )

    cbFound: Callable[[int, Mapping[str, Any], bytes], object]
    cbEmpty: Callable[[], object]
    late: Callable[[], object]

    def __init__(self) -> None:
        self.amqp: Any = None
        self.isOpen = self.isLate = False
        self.get: _Get | None = None
        self.sent = 0


class Gets:
    """The plain gets of one link.

    :ivar link: what they go over; set before the first one.
    :ivar missing: queues that were not there, and until when that is taken for granted.
    """

    link: ILink

    def __init__(
        self,
        clock: IReactorTime,
        number: Callable[[], int],
        stray: Callable[[bytes, Message], object],
        timeout: float = 5.0,
        room: Room | None = None,
    ) -> None:
        """Begin with none.

        :param number: returns what the next message is counted as.
        :param stray: is given each message that nobody here wants, with its queue.
        :param room: says how much may be asked for; None for any.
        :param timeout: seconds after which a get fails.
        """
        self._clock = clock
        self._seconds = clock.seconds
        self._number = number
        self._stray = stray
        self._room = room or AnyRoom()
        #: Whether it is looked for room some time later.
        self._isShort = False
        self._deadlines = Deadlines(clock, timeout)
        self._questions = 0
        #: How many gets are not sent, and how many channels are not open yet.
        self._waiting = self._opening = 0
        #: How many channels are late.
        self._late = 0
        #: The gets that are not sent, by queue, and the queues in turn.
        self._lines: dict[bytes, deque[_Get]] = {}
        self.deleting = Holds(clock, self._lines, self._release)
        self._turns: deque[bytes] = deque()
        #: Those that are open or are to be, by pika's channel.
        self._channels: dict[Any, _Channel] = {}
        self._idle: list[_Channel] = []
        self.missing: dict[bytes, float] = {}

    def get(self, queue: bytes, done: Callable[[Any], object]) -> None:
        """Take a message.

        :param done: called once with it, None if there is none, or a QueueError; None
            may be told at once, before this returns.
        """
        if self.missing and self._isMissing(queue):
            done(None)
            return
        get = _Get(queue, done, self._questions)
        self._questions += 1
        self._deadlines.add(get)
        if self._idle and not (self._turns or self.deleting.bounds):
            # Nobody is before it.
            room = self._room.ask(queue) if self.link.isUp else None
            if room is not None:
                get.room = room
                self._send(self._idle.pop(), get)
                return
        line = self._lines.get(queue)
        if line is None:
            line = self._lines[queue] = deque()
            self._turns.append(queue)
        line.append(get)
        self._waiting += 1
        self._goOn()

    def isThere(self, queue: bytes) -> None:
        """Note that a queue is there: something was set."""
        self.missing.pop(queue, None)

    def giveAway(self, queue: bytes, message: Message) -> None:
        """Give a message that was taken to whoever is next."""
        for get in self._lines.get(queue, ()):
            if get.answer(message):
                return
        self._stray(queue, message)

    def _isMissing(self, queue: bytes) -> bool:
        until = self.missing.get(queue)
        if until is None:
            return False
        if self._seconds() < until:
            return True
        del self.missing[queue]
        return False

    # The link.

    def linkUp(self) -> None:
        """Begin with what waits."""
        self._goOn()

    def linkDown(self, why: str) -> None:
        """Do nothing: each channel has told its end."""

    def linkBlocked(self, why: str | None) -> None:
        """Do nothing: nothing is set here."""

    # Channels.

    def _goOn(self) -> None:
        """Send what can be sent, and open a channel for each get that waits."""
        if not (self._turns and self.link.isUp):
            return
        while self._turns and self._idle:
            room = self._room.ask(self._turns[0])
            if room is None:
                self._waitForRoom()
                return
            get = self._next()
            if get is None:
                self._room.found(b"", room)
            else:
                get.room = room
                self._send(self._idle.pop(), get)
        if self._waiting > self._opening:
            most = CHANNELS + min(self._late, LATE)
            more = min(self._waiting - self._opening, most - len(self._channels))
            while more > 0 and self.link.hasRoom():
                self._open()
                more -= 1

    def _waitForRoom(self) -> None:
        if not self._isShort:
            self._isShort = True
            for line in self._lines.values():
                for get in line:
                    get.isHeld = True
            self._clock.callLater(SHORT, self._lookForRoom)

    def _lookForRoom(self) -> None:
        self._isShort = False
        self._goOn()

    def _next(self) -> _Get | None:
        """Return the next get; None if that is over by now, or has to wait."""
        queue = self._turns.popleft()
        if queue in self.deleting:
            return None
        line = self._lines[queue]
        get = line.popleft()
        self._waiting -= 1
        if line:
            self._turns.append(queue)
        else:
            del self._lines[queue]
        return None if get.isOver else get

    def _release(self, queue: bytes) -> None:
        """Let the gets of a queue be sent that had to wait."""
        if queue not in self._turns:
            self._turns.append(queue)
        self._goOn()

    def _open(self) -> None:
        channel = _Channel()
        self._opening += 1
        channel.amqp = self.link.channel(self._opened, self._closed)
        self._channels[channel.amqp] = channel

    def _opened(self, amqp: Any) -> None:
        channel = self._channels[amqp]
        channel.isOpen = True
        self._opening -= 1
        channel.cbFound = partial(self._cbFound, channel)
        channel.cbEmpty = partial(self._cbEmpty, channel)
        channel.late = partial(self._isLate, channel)
        self._idle.append(channel)
        self._goOn()

    def _send(self, channel: _Channel, get: _Get) -> None:
        channel.get = get
        get.late = channel.late
        channel.sent = self._questions
        self._questions += 1
        get.isSent = True
        queue = nameOf(get.queue).queue
        channel.amqp.get(queue, channel.cbFound, channel.cbEmpty, isTaken=True)

    def _cbFound(
        self, channel: _Channel, _: int, headers: Mapping[str, Any], body: bytes
    ) -> None:
        get = channel.get
        assert get is not None
        self._room.found(get.queue, get.room, len(body))
        message = names.message(self._number(), headers, body)
        self._free(channel)
        if not get.answer(message):
            self.giveAway(get.queue, message)
        if self._turns:
            self._goOn()

    def _isLate(self, channel: _Channel) -> None:
        channel.isLate = True
        self._late += 1
        self._goOn()

    def _free(self, channel: _Channel) -> None:
        channel.get = None
        if channel.isLate:
            channel.amqp.close()
        else:
            self._idle.append(channel)

    def _cbEmpty(self, channel: _Channel) -> None:
        get = channel.get
        assert get is not None
        self._room.found(get.queue, get.room)
        self._free(channel)
        self._endAll(get, channel.sent)
        self._goOn()

    def _endAll(self, get: _Get, sent: int) -> None:
        """Answer that there is none: to a get, and to all that were asked before."""
        get.answer(None)
        for other in list(self._lines.get(get.queue, ())):
            if other.asked < sent:
                other.answer(None)

    def _closed(self, amqp: Any, why: str) -> None:
        channel = self._channels.pop(amqp)
        self._opening -= not channel.isOpen
        self._late -= channel.isLate
        if channel in self._idle:
            self._idle.remove(channel)
        get = channel.get
        if get is not None:
            self._room.found(get.queue, get.room)
        if get is not None and isMissing(why):
            self._noteMissing(get.queue)
            self._endAll(get, channel.sent)
        elif get is not None:
            get.fail()
        self._goOn()

    def _noteMissing(self, queue: bytes) -> None:
        if len(self.missing) >= _MOST_MISSING:
            self.missing.clear()
        self.missing[queue] = self._seconds() + MISSING
