"""Monitors: many open reads with one command.

Without a time, a monitor opens what there is, many messages in one go.  Where it is to
go on for some time, each message is answered as soon as it is there: it is an open read
of its own, and has the next one as its rest.  So the monitor waits in the line of its
queue like any other read, and stands at its end again once it has got something; what
its client sent behind it is not run before the monitor is over.  A client that does not
read what is sent to it gets no more for now.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from memq.commands.gets import renderRest
from memq.commands.largevalues import renderValue
from memq.errors import QueueError
from memq.operations.base import Slice
from memq.operations.openreads.closes import CloseRead
from memq.operations.openreads.openmany import OpenMany
from memq.operations.openreads.openread import OpenRead

if TYPE_CHECKING:
    from memq.commands.dialogue import Dialogue
    from memq.interfaces import IQueueStore
    from memq.operations.base import Client, Operation
    from memq.operations.openreads.opened import Opened
    from memq.wire.extensions import Confirm
    from memq.wire.extensions import Monitor as Command
    from memq.wire.forms import Form


class MonitorRead(Slice, OpenRead):
    """Open the next message of a monitor; the result is None when the monitor is over.

    It is over, as well, when the connection has as many open reads as it may.
    """

    rest: MonitorRead | None

    def __init__(
        self,
        client: Client,
        queue: bytes,
        seconds: float,
        most: int,
        until: float | None = None,
    ) -> None:
        """Remember where from.

        :param seconds: how long the monitor goes on, more than 0.
        :param most: how many messages it opens at most, this one included.
        :param until: when the seconds are over; None for the first message, from whose
            first run they count.
        """
        super().__init__(client, queue, seconds, several=True)
        self._seconds = seconds
        self._most = most
        self._until = until

    @property
    def hasMore(self) -> bool:
        """Whether it found a message."""
        return self.message is not None

    def run(self, store: IQueueStore) -> int:
        """Open it, unless the monitor is over."""
        client = self.client
        if self.isOver or self.hasMost() or self._isLate():
            # Whatever an earlier run has left: it is not to go on.
            self.undo()
            return 0
        if self._most > 1 and self.rest is None:
            self.divide(
                MonitorRead(
                    client, self.queue, self._seconds, self._most - 1, self._until
                )
            )
        return super().run(store)

    def _isLate(self) -> bool:
        """Return whether the time is over, or the client was told not to wait."""
        now = self.client.seconds()
        if self._until is None:
            self._until = now + self._seconds
        if self.wait:
            self.wait = max(0.0, self._until - now)
        return not self.wait


class Monitor:
    """The reply to a monitor."""

    __slots__ = ("_dialogue", "_form", "_queue")

    def __init__(self, dialogue: Dialogue, command: Command) -> None:
        self._dialogue = dialogue
        self._queue = command.queue
        self._form = command.form
        session = dialogue.session
        if not command.seconds:
            many = OpenMany(session, command.queue, command.most)
            session.submit(many)
            dialogue.expect(many, self._renderMany)
            return
        read = MonitorRead(session, command.queue, command.seconds, command.most)
        session.submit(read)
        dialogue.expect(read, self._render)

    def _renderMany(self, many: OpenMany) -> bytes:
        """Return the blocks of messages, and what ends them, if they are the last.

        When one of them is large, or it has to be known of each when it has arrived,
        they leave by themselves.
        """
        dialogue, found = self._dialogue, many.opened
        dialogue.statistics.getCommands += len(found) + many.isShort
        rest = many.follow()
        apart = dialogue.replies.arrivals is not None
        if not apart and not (found and found[-1].message.large is not None):
            if rest is None:
                return self._renderAll(found) + self._renderEnd(many)
            dialogue.goOn(rest, self._renderMany)
            return self._renderAll(found)
        if rest is None:
            end = dialogue.session.answered(many.result)
            dialogue.goOn(end, self._renderEnd)
        else:
            dialogue.goOn(rest, self._renderMany)
        for read in reversed(list(many.reads())):
            dialogue.goOn(read, self._renderOne)
        return b""

    def _renderAll(self, found: list[Opened]) -> bytes:
        """Return the blocks of messages of which none is large."""
        dialogue, queue, value = self._dialogue, self._queue, self._form.inner.value
        dialogue.statistics.getHits += len(found)
        dialogue.statistics.opens += len(found)
        size = 0
        blocks = []
        for opened in found:
            message = opened.message
            size += len(message.body)
            blocks.append(value(queue, message))
            opened.see()
        dialogue.outstanding.undelivered -= size
        return b"".join(blocks)

    def _renderOne(self, read: OpenRead) -> bytes:
        message, form = read.result, self._form.inner
        reply = renderValue(self._dialogue, self._queue, message, form, read)
        read.seen()
        return reply

    def _renderEnd(self, operation: Operation) -> bytes:
        error = operation.result
        if error is None:
            return self._form.none
        return self._dialogue.renderError(error, self._form)

    def _render(self, read: MonitorRead) -> bytes:
        """Return the block of a message, or how a large one begins, or the end."""
        dialogue, found = self._dialogue, read.result
        dialogue.statistics.getCommands += 1
        if isinstance(found, QueueError):
            return dialogue.renderError(found, self._form)
        if found is None:
            return self._form.none
        rest = read.follow()
        form = self._form if rest is None else self._form.inner
        reply = renderValue(dialogue, self._queue, found, form, read)
        read.seen()
        if rest is not None:
            dialogue.goOn(rest, self._render)
        return reply


def confirm(dialogue: Dialogue, command: Confirm) -> None:
    """Close what a monitor has opened, the oldest first."""
    closing = CloseRead(dialogue.session, command.queue, command.most)
    dialogue.session.submit(closing)
    dialogue.expect(closing, partial(_renderConfirmed, dialogue, command.form))


def _renderConfirmed(dialogue: Dialogue, form: Form, closing: CloseRead) -> bytes:
    closing.release()
    if isinstance(closing.result, QueueError):
        return dialogue.renderError(closing.result, form)
    again = partial(_renderConfirmed, dialogue, form)
    return renderRest(dialogue, closing, again, form.done)
