"""Looker: the figures of some queues, by their names, as a client would see them.

Some queues are an operation, and one operation is under way at a time.  So nobody waits
for more than AT_ONCE queues, and what is seen is durable.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from twisted.internet.defer import Deferred, fail, succeed

from memq.errors import QueueError
from memq.web.metrics.looks import Look
from memq.web.metrics.survey import NoSurvey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memq.broker.interfaces import IEngine
    from memq.figures import QueueDetail

    Found = dict[bytes, QueueDetail]

#: Queues that are looked at in one go, each with its head.
AT_ONCE = 32


class _Asked(NamedTuple):
    """What somebody has asked for; ``found`` is what is known of it."""

    names: Sequence[bytes]
    found: Found
    done: Deferred[Found]


class Looker:
    """Look at queues, for one after the other."""

    def __init__(self, broker: IEngine) -> None:
        """Begin with nothing.

        :param broker: it is not asked before the first look.
        """
        self._broker = broker
        self._session = broker.session(self._cbDone)
        self._asked: deque[_Asked] = deque()
        #: Where the first of them stands.
        self._place = 0
        self._operation: Look | None = None

    def look(self, names: Sequence[bytes]) -> Deferred[Found]:
        """Return the details of those queues that there are, by name, in this order.

        It fails with memq.errors.QueueError.  It must not be called before the store is
        open.
        """
        if self._broker.isStopping:
            return fail(NoSurvey("the server is stopping"))
        if not names:
            return succeed({})
        asked = _Asked(names, {}, Deferred())
        self._asked.append(asked)
        if self._operation is None:
            self._next()
        return asked.done

    def _next(self) -> None:
        if not self._asked:
            return
        names = self._asked[0].names[self._place : self._place + AT_ONCE]
        self._operation = Look(self._session, names)
        self._session.submit(self._operation)

    def _cbDone(self) -> None:
        operation, asked = self._operation, self._asked[0]
        assert operation is not None
        self._operation = None
        result = operation.result
        if self._broker.isStopping:
            # The end waits for those who want more, and then the store is closed.
            result = NoSurvey("the server is stopping")
        if isinstance(result, QueueError):
            self._end(asked)
            asked.done.errback(result)
            return
        asked.found.update((each.name, each) for each in result.rows())
        self._place += AT_ONCE
        if self._place < len(asked.names):
            self._next()
            return
        self._end(asked)
        asked.done.callback(asked.found)

    def _end(self, asked: _Asked) -> None:
        """Go on with the next one, before whoever asked hears of this one."""
        self._asked.popleft()
        self._place = 0
        if not self._broker.isStopping:
            self._next()
