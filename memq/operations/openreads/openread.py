"""Open a message: hide the head of a queue from all but its reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import AlreadyOpen, QueueError, TooManyOpen
from memq.message import Message
from memq.operations.openreads.closes import SetReadAside
from memq.operations.openreads.opened import Opened
from memq.operations.reads import Read
from memq.policy.effective import PLAIN
from memq.policy.rule import MOST_OPEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.interfaces import IQueueStore
    from memq.operations.base import Client
    from memq.operations.openreads.closes import CloseRead


class OpenRead(Read):
    """Hide the head of a queue until it is closed or goes back.

    :ivar opened: the open read, None as long as there is none.
    :ivar several: whether its client may have others open on the queue.
    """

    __slots__ = ("_undo", "opened", "several")

    opens = True

    def __init__(
        self,
        client: Client,
        queue: bytes,
        wait: float = 0.0,
        after: CloseRead | None = None,
        several: bool = False,
    ) -> None:
        """Remember where from.

        :param after: what has to succeed before, in whose place this one answers.
        :param several: whether there may be open ones already, as many as the queue's
            rule and MOST_OPEN allow, and TooManyOpen is the result beyond.  If not,
            AlreadyOpen is the result with one.
        """
        super().__init__(client, queue, wait)
        self.opened: Opened | None = None
        self.previous = after
        self.several = several
        self._undo: Callable[[], None] | None = None

    @classmethod
    def of(cls, opened: Opened) -> OpenRead:
        """Return one that is done, of what is open and charged already."""
        read = cls(opened.reader, opened.queue, several=True)
        read.opened, read.result, read.done = opened, opened.message, True
        return read

    def find(self, store: IQueueStore) -> Message | QueueError | None:
        """Open it."""
        found = store.openRead(self.queue)
        if type(found) is Message:
            timeout = (self.policy() or PLAIN).rule.openSeconds
            self.opened = Opened(self.client, self.queue, found, timeout)
            self._undo = self.opened.begin()
        return found

    def run(self, store: IQueueStore) -> int:
        """Open it, unless there are as many as may be."""
        if self.client.sendsNoMore:
            # Nobody could close what comes later.
            self.wait = 0.0
        if self.hasFailed():
            return 0
        if not self.several and self.client.opened(self.queue):
            self.fail(AlreadyOpen())
            return 0
        if self.several and self.hasMost():
            self.fail(TooManyOpen())
            return 0
        return super().run(store)

    def hasMost(self) -> bool:
        """Return whether the client has as many open as it may have."""
        client = self.client
        if client.openReads >= MOST_OPEN:
            return True
        most = (self.policy() or PLAIN).rule.maxOpen
        return 0 < most <= len(client.opened(self.queue))

    def undo(self) -> None:
        """Forget the open read as well."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()
            self.opened = None
        super().undo()

    def seen(self) -> None:
        """From now on it is a delivery."""
        assert self.opened is not None
        self.opened.see()

    def lost(self) -> None:
        """Count it as no delivery."""
        assert self.opened is not None
        self.opened.unsee()

    def damaged(self) -> None:
        """Close it, and keep it out of the way."""
        assert self.opened is not None
        self.client.outstanding.refund(self.opened.message)
        self.client.submit(SetReadAside(self.client, self.opened))
