"""Replies: they leave in the order of a client's commands.

Each command appends an operation and the function that will render its result;
whenever operations are done, all that stands ready at the front is sent in one write.

A large body leaves in parts as fast as the client reads them; nothing else is sent in
between.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from memq.connection.arrivals import Arrivals
from memq.connection.interfaces import Witness
from memq.operations.outstanding import COMMAND_LOAD

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.broker.memorybudget import Budget
    from memq.broker.session import Session
    from memq.connection.interfaces import PartialGet, Render, ValueInParts
    from memq.operations.base import Operation
    from memq.operations.pops import Pop
    from memq.operations.pushes import Push


def _ignore(data: bytes = b"") -> None:
    """Send nothing to a client that is gone."""


class Replies:
    """The replies to one client.

    :ivar queue: operations, each with what renders its result, in order.
    :ivar arrivals: the same, once the client sends no more.
    :ivar pushes: the last of them, if another set of the same packet may join.
    :ivar pops: the same for gets.
    :ivar getting: a get whose names have not all been asked for.
    :ivar sending: the message whose body is being sent in parts.
    :ivar witnesses: how many of those that render are Witnesses.
    :ivar send: sends bytes; nothing else may be due before them.
    """

    __slots__ = (
        "_budget",
        "_catchUp",
        "_outstanding",
        "_session",
        "arrivals",
        "getting",
        "pops",
        "pushes",
        "queue",
        "send",
        "sending",
        "witnesses",
    )

    def __init__(
        self,
        session: Session,
        budget: Budget,
        send: Callable[[bytes], None],
        catchUp: Callable[[], None],
    ) -> None:
        """Begin with nothing to answer.

        :param catchUp: called when too much is under way.
        """
        self._session = session
        self._outstanding = session.outstanding
        self._budget = budget
        self._catchUp = catchUp
        self.send = send
        self.queue: deque[tuple[Operation, Render]] = deque()
        self.arrivals: Arrivals | None = None
        self.pushes: Push | None = None
        self.pops: Pop | None = None
        self.getting: PartialGet | None = None
        self.sending: ValueInParts | None = None
        self.witnesses = 0

    def expect(self, operation: Operation, render: Render) -> None:
        """Answer with what an operation will find, after all replies before it."""
        self.pushes = self.pops = None
        self.queue.append((operation, render))
        outstanding = self._outstanding
        outstanding.load += COMMAND_LOAD
        if outstanding.load >= self._budget.window:
            self._catchUp()

    def goOn(self, rest: Operation, render: Render) -> None:
        """Answer with what the rest of an operation will find, before all others."""
        self.queue.appendleft((rest, render))
        self._outstanding.load += COMMAND_LOAD

    def askForMore(self) -> None:
        """Ask for the messages of a get of many names, a slice at a time."""
        self.pushes = self.pops = None
        getting = self.getting
        while getting is not None and self._outstanding.load < self._budget.window:
            self.queue.append(getting.ask())
            self._outstanding.load += COMMAND_LOAD
            if getting.isOver:
                getting = self.getting = None

    def drain(self) -> None:
        """Send all that are ready, in order."""
        queue, session = self.queue, self._session
        while self.sending is None or self.sending.send():
            ready: list[bytes] = []
            while queue and queue[0][0].done and self.sending is None:
                operation, render = queue.popleft()
                self._outstanding.load -= COMMAND_LOAD
                ready.append(render(operation))
            data = b"".join(ready)
            # Some commands have no reply.
            if data:
                self.send(data)
            if session.inbox:
                session.catchUp()
            if self.sending is None:
                break
        else:
            if self.witnesses:
                self._showWitnesses()

    def _showWitnesses(self) -> None:
        """Let those look that wait behind a body that the client does not read."""
        for operation, render in self.queue:
            if operation.done and isinstance(render, Witness):
                render.look(operation)

    @property
    def isOver(self) -> bool:
        """Whether everything is answered."""
        return not self.queue and self.sending is None

    @property
    def owes(self) -> bool:
        """Whether something is still to be answered, or has to arrive."""
        arrivals = self.arrivals
        return not self.isOver or (arrivals is not None and not arrivals.look())

    def foreseeEnd(self, transport: Any) -> None:
        """Remember what is sent until it has arrived: the client may be gone."""
        if self.arrivals is None and self.owes:
            self.queue = self.arrivals = Arrivals(self, transport)
            transport.keepLittle()

    def giveBack(self) -> bool:
        """Give back what is done, whatever stands before it: the client is gone.

        :return: whether anything is under way; that is looked at when it is done.
        """
        self.arrivals = None
        if self.sending is not None:
            self.sending.giveBack()
        # Not as arrivals, which look at each message.
        queue, self.queue = deque(self.queue), deque()
        while queue:
            operation, render = queue.popleft()
            if not operation.done:
                self.queue.append((operation, render))
                continue
            operation.abandon()
            if isinstance(render, Witness):
                render.abandon(operation)
            if operation.rest is not None:
                queue.appendleft((operation.rest, render))
                # It knows what it is the rest of.  Only what may have one comes here.
                operation.rest = None  # type: ignore[misc]
        return bool(self.queue)

    def release(self) -> None:
        """Know the connection no more: it has ended, and owes nothing."""
        self.send = self._catchUp = _ignore
        self.pushes = self.pops = self.getting = None

    def holds(self, queue: bytes) -> bool:
        """Return whether a message that was taken from a queue may go back to it."""
        sending, arrivals = self.sending, self.arrivals
        if sending is not None and sending.key.partition(b"/")[0] == queue:
            return True
        if arrivals is not None and arrivals.holds(queue):
            return True
        return any(getattr(each, "queue", None) == queue for each, _ in self.queue)
