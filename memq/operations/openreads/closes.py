"""Close: delete what a client has open, because it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import NotOpen
from memq.operations.base import MESSAGE_COST
from memq.operations.openreads.ending import ENDED_AT_ONCE, Ending

if TYPE_CHECKING:
    from memq.interfaces import IQueueStore
    from memq.message import Message
    from memq.operations.base import Client
    from memq.operations.openreads.opened import Opened


class CloseRead(Ending):
    """Delete what is open; the result is how many messages that were.

    With a number it is 1, or NotOpen: its time was up, or it was flushed, or never open
    here.

    :ivar most: how many at most, in it and its rest.
    :ivar bytesFreed: the bytes of their bodies.
    :ivar closed: the messages that were deleted.
    """

    __slots__ = ("bytesFreed", "closed", "most")

    def __init__(
        self, client: Client, queue: bytes, most: int = 1, number: int | None = None
    ) -> None:
        """Remember which: the oldest ones, up to ``most``, or that of a number."""
        super().__init__(client, queue, number)
        self.bytesFreed = 0
        self.most = most
        self.closed: list[Message] = []

    def run(self, store: IQueueStore) -> int:
        """Delete them; what went back or was flushed meanwhile is not there."""
        self.closed = []
        if self.hasFailed():
            return 0
        most = 0 if self.isOver else self.most
        if most > ENDED_AT_ONCE and self.rest is None:
            self.divide(CloseRead(self.client, self.queue, most - ENDED_AT_ONCE))
        meant = self.meant(self.client, min(most, ENDED_AT_ONCE))
        for opened in meant:
            self.end(opened)
        self.closed = store.closeAll(self.queue, [each.message for each in meant])
        self.result = len(self.closed)
        if self.number is not None and not self.closed:
            self.result = NotOpen()
        self.bytesFreed = sum([message.size for message in self.closed])
        return MESSAGE_COST * len(self.closed)

    def release(self) -> None:
        """Let the parts of bodies go; none is being sent any more."""
        for message in self.closed:
            if message.large is not None:
                self.client.release(message.large)

    abandon = release

    def undo(self) -> None:
        """Forget them."""
        super().undo()
        self.closed = []


class SetReadAside(Ending):
    """Keep a message out of the way that is open and has a damaged part."""

    __slots__ = ("_opened",)

    def __init__(self, client: Client, opened: Opened) -> None:
        super().__init__(client, opened.queue, opened.number)
        self._opened = opened

    def run(self, store: IQueueStore) -> int:
        """Keep it, unless it is open no longer: its parts may be gone then."""
        opened = self._opened
        if not opened.isOpen:
            return 0
        self.end(opened)
        if not store.closeRead(self.queue, opened.message):
            return 0
        store.setAside(opened.message)
        return MESSAGE_COST
