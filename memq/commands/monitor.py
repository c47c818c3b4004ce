"""Monitors: many open reads with one command, each answered as soon as it is there.

Each message is an open read of its own, and has the next one as its rest.  So a monitor
waits in the line of its queue like any other read, and stands at its end again once it
has got something; what its client sent behind it is not run before the monitor is over.
A client that does not read what is sent to it gets no more for now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.commands.gets import renderRest
from memq.commands.largevalues import renderValue
from memq.errors import QueueError
from memq.operations.base import Slice
from memq.operations.openreads.closes import CloseRead
from memq.operations.openreads.openread import OpenRead

if TYPE_CHECKING:
    from memq.commands.dialogue import Dialogue
    from memq.interfaces import IQueueStore
    from memq.operations.base import Client
    from memq.wire.extensions import Confirm
    from memq.wire.extensions import Monitor as Command


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

        :param seconds: how long the monitor goes on; 0 as long as there is something.
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
        if not self._seconds:
            return False
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
        read = MonitorRead(session, command.queue, command.seconds, command.most)
        session.submit(read)
        dialogue.expect(read, self._render)

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

    def render(closing: CloseRead) -> bytes:
        closing.release()
        if isinstance(closing.result, QueueError):
            return dialogue.renderError(closing.result, command.form)
        return renderRest(dialogue, closing, render, command.form.done)

    closing = CloseRead(dialogue.session, command.queue, command.most)
    dialogue.session.submit(closing)
    dialogue.expect(closing, render)
