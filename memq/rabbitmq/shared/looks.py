"""Looks: questions of pauses, and what waits for their answers.

TOGETHER are asked at a time, and the others when these are answered: so an answer is
as new when it comes as a node is quick, however many are asked for.  What waits does so
as long as the nodes go on answering, for a part of a command's time.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from memq.rabbitmq.asking.base import Deadlines, Request, nameOf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.interfaces import IReactorTime

    from memq.rabbitmq.shared.news import News

#: Seconds that a node has for an answer, and after which one is left that gives none.
BOUND, SILENCE = 0.5, 2.0
#: How many questions are asked at a time.
TOGETHER = 32
#: Seconds in which what has come is read.
MOMENT = 0.001
#: The part of a command's time that it waits for an answer, at most.
SHARE = 0.6
#: What is asked for instead of a queue: whether any is paused.
ANY = b""


class _Wait(Request):
    """Something that needs to know of a queue.

    :ivar look: what it waits for.
    :ivar most: until when it waits at most.
    """

    __slots__ = ("late", "look", "most")

    def __init__(
        self,
        queue: bytes,
        done: Callable[[Any], object],
        late: Callable[[_Wait], object],
        most: float,
    ) -> None:
        super().__init__(queue, done)
        self.late = late
        self.most = most
        self.look: _Look

    def expire(self) -> None:
        """Look whether its time is over."""
        if not self.isOver:
            self.late(self)


class _Look:
    """A question.

    :ivar at: when it was sent; None if it stands in line for that, or nothing can be.
    :ivar bits: what was answered.
    :ivar left: how many answers are to come.
    :ivar isOld: whether there was news of the queue since.
    """

    __slots__ = "at", "bits", "isOld", "left", "waits"

    def __init__(self) -> None:
        self.at: float | None = None
        self.bits = self.left = 0
        self.isOld = False
        self.waits: list[_Wait] = []


class Looks:
    """All that is asked.

    :ivar heardAt: when the last question was asked that is answered.
    """

    def __init__(
        self,
        clock: IReactorTime,
        news: News,
        exchanges: Mapping[int, str],
        some: str,
        told: Callable[[bytes, float, int], bool],
        timeout: float,
    ) -> None:
        """Begin with none.

        :param news: what they go over.
        :param exchanges: what is asked for a queue: each exchange, by the bit that its
            binding is.
        :param some: the exchange that is asked for ANY.
        :param told: is called with each answer: the queue or ANY, when that was asked
            for, and bits.  It returns whether that is an answer to who waits for it; if
            not, they wait for their own queues.
        :param timeout: seconds that a command has.
        """
        self.heardAt = 0.0
        self._clock, self._news, self._told = clock, news, told
        self._exchanges, self._some = exchanges, {1: some}
        self._most = SHARE * timeout
        self._waits = Deadlines(clock, min(BOUND, self._most))
        self._looks: dict[bytes, _Look] = {}
        #: How many more can be asked now, and those that are to be: for something that
        #: waits, and ahead of time.  Some are asked already.
        self._room = TOGETHER
        self._urgent: deque[bytes] = deque()
        self._ahead: deque[bytes] = deque()
        #: When something was answered last, or first asked since.
        self._silentSince = 0.0

    def wait(self, key: bytes, queue: bytes, done: Callable[[Any], object]) -> None:
        """Ask.

        :param key: the queue, or ANY.
        :param done: called once with None when the queue is known, else with an error:
            then the cluster did not answer in time.
        """
        wait = _Wait(queue, done, self._late, self._clock.seconds() + self._most)
        self._waits.add(wait)
        self._stand(key, wait)
        self._sendNext()

    def _stand(self, key: bytes, wait: _Wait) -> None:
        look = self._looks.get(key)
        if look is None:
            look = self._looks[key] = _Look()
        if look.at is None and not look.waits:
            self._urgent.append(key)
        look.waits.append(wait)
        wait.look = look

    def ahead(self, key: bytes) -> None:
        """Ask, though nobody waits for it."""
        if key not in self._looks:
            self._looks[key] = _Look()
            self._ahead.append(key)
            self._sendNext()

    def outdate(self, key: bytes) -> None:
        """Note news of a queue: what is answered now was so before."""
        look = self._looks.get(key)
        if look is not None:
            look.isOld = True

    def _sendNext(self) -> None:
        """Ask as many as can be asked now."""
        while self._room and self._news.isReady and (self._urgent or self._ahead):
            key = (self._urgent or self._ahead).popleft()
            look = self._looks.get(key)
            if look is not None and look.at is None:
                if self._room == TOGETHER:
                    self._silentSince = self._clock.seconds()
                self._room -= 1
                self._send(key, look)

    def _send(self, key: bytes, look: _Look) -> None:
        look.at = self._clock.seconds()
        exchanges = self._some if key == ANY else self._exchanges
        look.bits, look.left, look.isOld = 0, len(exchanges), False
        name = nameOf(key).queue
        for bit, exchange in exchanges.items():
            self._news.ask(exchange, name, partial(self._cbTold, key, look, bit))

    def _cbTold(self, key: bytes, look: _Look, bit: int, isThere: bool) -> None:
        look.bits |= bit if isThere else 0
        look.left -= 1
        if look.left:
            return
        at = look.at
        assert at is not None
        self.heardAt = max(self.heardAt, at)
        self._silentSince = self._clock.seconds()
        if look.isOld:
            # A channel that is being closed takes no more: it is asked on the next.
            look.at = None
            if self._news.isReady:
                self._send(key, look)
            return
        self._room += 1
        del self._looks[key]
        isKnown = self._told(key, at, look.bits)
        for wait in look.waits:
            if isKnown:
                wait.answer(None)
            elif not wait.isOver:
                self._stand(wait.queue, wait)
        self._sendNext()

    def _late(self, wait: _Wait) -> None:
        """See about one that waits, once what has come by now is read.

        A burst of questions takes the process itself some time.
        """
        self._clock.callLater(MOMENT, self._lateStill, wait)

    def _lateStill(self, wait: _Wait) -> None:
        """Let one wait on whose node has time yet; leave a node that says nothing."""
        if wait.isOver:
            return
        now, at = self._clock.seconds(), wait.look.at
        silence = now - self._silentSince
        isLate = (silence if at is None else now - at) >= BOUND
        if not isLate and now < wait.most:
            self._waits.add(wait)
            return
        wait.fail()
        if self._room < TOGETHER and silence > SILENCE:
            self._news.link.leave("it tells nothing of pauses")

    # The channel.

    def up(self) -> None:
        """Ask what is waited for still."""
        for key, look in list(self._looks.items()):
            if all(wait.isOver for wait in look.waits):
                del self._looks[key]
            else:
                self._urgent.append(key)
        self._sendNext()

    def down(self) -> None:
        """Note that nothing is answered that was asked."""
        self._room = TOGETHER
        self._urgent.clear()
        self._ahead.clear()
        for look in self._looks.values():
            look.at = None

    def letGo(self) -> None:
        """Let nobody wait."""
        for look in list(self._looks.values()):
            for wait in look.waits:
                wait.answer(None)
