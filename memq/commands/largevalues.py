"""Large values: replies of many pieces, to a get of many names or of a large body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from memq.display import shownName
from memq.errors import DamagedMessage, QueueError
from memq.message import PART_SIZE
from memq.operations.base import Spent
from memq.operations.pops import NamedPop
from memq.operations.reads import Taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from memq.commands.dialogue import Dialogue
    from memq.message import Message
    from memq.operations.base import Operation
    from memq.operations.pops import Pop
    from memq.operations.reads import Read
    from memq.wire.forms import Form

#: Parts of a body that are sent before others have their turn.
PARTS_AT_ONCE = 16

_log = Logger()


class MultiGet:
    """A get of several names: VALUE blocks, then END or the first error.

    :ivar isOver: whether all was asked for, the end too.
    """

    __slots__ = ("_dialogue", "_error", "_form", "_names", "_next", "_spent", "isOver")

    def __init__(self, dialogue: Dialogue, queues: Iterable[bytes], form: Form) -> None:
        """Begin to get a message from each of these queues."""
        self._dialogue = dialogue
        # A name by itself takes 35 bytes more, and a line may have 32,000 names.
        self._names = b" ".join(queues)
        #: Where the next name begins.
        self._next = 0
        self._form = form
        self._spent = Spent()
        self._error: QueueError | None = None
        self.isOver = False

    @property
    def queues(self) -> Sequence[bytes]:
        """Return the names that were not asked for so far."""
        return self._names[self._next :].split(b" ")

    def ask(self) -> tuple[Operation, Callable[[Any], bytes]]:
        """Ask for the next message, or the end; return that, and what renders it."""
        dialogue, queue = self._dialogue, self._nextName()
        session = dialogue.session
        if queue is None:
            self.isOver = True
            return session.answered(b""), self._renderEnd
        pop = NamedPop(session, queue, self._form, self._spent)
        session.submit(pop)
        return pop, self._render

    def _nextName(self) -> bytes | None:
        start = self._next
        if self._error is not None or start > len(self._names):
            return None
        end = self._names.find(b" ", start)
        if end < 0:
            end = len(self._names)
        self._next = end + 1
        return self._names[start:end]

    def _render(self, operation: Pop) -> bytes:
        """Return the block of one message, which may be none."""
        found = operation.results[0]
        if found is None:
            return b""
        if isinstance(found, QueueError):
            self._error = self._error or found
            return b""
        if self._error is not None:
            # The reply has ended in an error: this message must not be lost.
            self._dialogue.session.giveBack(operation.queue, found)
            return b""
        form = self._form.inner
        return renderValue(self._dialogue, operation.queue, found, form)

    def _renderEnd(self, operation: Operation) -> bytes:
        """Return what ends the reply."""
        if self._error is None:
            return self._form.none
        return self._dialogue.renderError(self._error, self._form)


class LargeValue:
    """A message that is being sent in parts.

    Its head leaves with the first part, and what ends it with the last one.

    :ivar key: the name of its queue, as it was asked for.
    :ivar source: is told whether the message was sent.
    """

    __slots__ = (
        "_dialogue",
        "_head",
        "_isSending",
        "_message",
        "_next",
        "_setAside",
        "_tail",
        "_waits",
        "key",
        "source",
    )

    def __init__(
        self,
        dialogue: Dialogue,
        key: bytes,
        message: Message,
        head: bytes,
        tail: bytes,
        source: Read | Taken,
    ) -> None:
        """Begin with the first part.

        :param head: what comes before the body.
        :param tail: what comes after it.
        """
        self.source: Any = source
        self._dialogue = dialogue
        self.key = key
        self._message = message
        self._head = head
        self._tail = tail
        self._next = 0
        #: Whether the message has turned out to be damaged.
        self._setAside = False
        #: Whether others have their turn before it goes on.
        self._waits = False
        self._isSending = False

    @property
    def left(self) -> int:
        """Return how many bytes are to be sent, but for the last part and the end."""
        large = self._message.large
        assert large is not None
        parts = large.parts - 1 - self._next
        return len(self._head) + PART_SIZE * parts if parts > 0 else 0

    def send(self) -> bool:
        """Send as many parts as the client takes; return whether that was all."""
        if self._isSending:
            # A write that filled the transport's buffer and sent all of it at once says
            # in the end, from within, that the client reads again.
            return False
        self._isSending = True
        try:
            return self._send()
        finally:
            self._isSending = False

    def _send(self) -> bool:
        dialogue, large = self._dialogue, self._message.large
        assert large is not None
        most = self._next + PARTS_AT_ONCE
        while not dialogue.session.blocked and not self._waits:
            if self._next == most:
                self._waits = True
                dialogue.session.later(self._goOn)
                break
            try:
                part = dialogue.session.part(large, self._next)
            except QueueError as error:
                self._giveUp(error)
                break
            self._next += 1
            data, self._head = self._head + part, b""
            if self._next == large.parts:
                dialogue.replies.sending = None
                # It leaves in one write with all that is ready behind it.
                last = dialogue.session.answered(data + self._tail)
                dialogue.goOn(last, self._renderLast)
                return True
            dialogue.replies.send(data)
        return False

    def _renderLast(self, operation: Operation) -> bytes:
        self.source.sent()
        last: bytes = operation.result
        return last

    def _goOn(self) -> None:
        self._waits = False
        self._dialogue.connection.deliver()

    def _giveUp(self, error: QueueError) -> None:
        """Cut the connection: there is no other way to tell that no more will come."""
        dialogue = self._dialogue
        _log.error(
            "A message of {size} bytes of queue {queue} breaks off: {error}",
            size=self._message.size,
            queue=shownName(self.key),
            error=error,
        )
        # Nothing of the next replies may follow: they would pass for the rest.
        self._waits = True
        if isinstance(error, DamagedMessage):
            self._setAside = True
            self.source.damaged()
        dialogue.connection.transport.abortConnection()

    def giveBack(self) -> None:
        """Put the message back, unless it is damaged: its reader is gone."""
        self._dialogue.replies.sending = None
        if not self._setAside:
            self.source.unsent()


def renderValue(
    dialogue: Dialogue,
    key: bytes,
    message: Message,
    form: Form,
    read: Read | None = None,
) -> bytes:
    """Return the reply that shows a message, or nothing yet if that is a large one.

    :param key: the name of its queue, as it was asked for.
    :param read: what found it, and is told how it went; None if it was taken.
    """
    dialogue.statistics.getHits += 1
    details = None
    if read is not None:
        dialogue.statistics.opens += read.opens
        dialogue.statistics.looks += not read.takes
        details = read.details
    if message.large is None:
        dialogue.outstanding.undelivered -= len(message.body)
        return form.value(key, message, details)
    head = form.head(key, message, details)
    if not form.showsBody:
        dialogue.outstanding.refund(message)
        return head
    source = read.source if read else Taken(dialogue.session, key, message)
    value = LargeValue(dialogue, key, message, head, form.tail, source)
    dialogue.replies.sending = value
    return b""
