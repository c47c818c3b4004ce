"""Outstanding: the bytes that are charged to one client and not refunded yet.

A message is charged when it is taken or read for the client, the answer to a question
when it is found; each is refunded when it is sent, or will not be.  A command is
charged when it comes, and refunded when its reply is made.

Invariant: all of it is 0 when everything that a client asked for is answered, or the
client is gone and what it asked for is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.message import Message

#: Bytes that a client may always have outstanding; so much is not even counted.
ALLOWANCE = 32 * 1024
#: A command that is under way counts as so much, besides its body.
COMMAND_LOAD = 2048


class Outstanding:
    """The ledger of one client.

    A plain set or get writes in it without a call: one is 60 to 100 instructions.

    :ivar undelivered: bytes taken for the client and not given to it yet.
    :ivar onDisk: those among them that are not in memory: large bodies.
    :ivar load: what the commands under way count: COMMAND_LOAD each, and the bodies
        that came with them.
    :ivar unsent: bytes that the transport keeps for a client that does not read.
    :ivar counted: what is counted of that for all clients together.
    """

    __slots__ = ("_count", "counted", "load", "onDisk", "undelivered", "unsent")

    def __init__(self, count: Callable[[int], None]) -> None:
        """Begin with nothing.

        :param count: is told how many bytes of memory are held more, or fewer.
        """
        self._count = count
        self.undelivered = self.onDisk = self.load = self.unsent = self.counted = 0

    def charge(self, message: Message) -> None:
        """Note that a message is taken for the client."""
        size = message.size
        self.undelivered += size
        if message.large is not None:
            self.onDisk += size

    def refund(self, message: Message) -> None:
        """Note that a message is delivered, or will not be."""
        size = message.size
        self.undelivered -= size
        if message.large is not None:
            self.onDisk -= size

    def report(self) -> None:
        """Count what the client holds of the memory, if that is much."""
        held = self.load + self.unsent + self.undelivered - self.onDisk
        if held <= ALLOWANCE:
            held = 0
        if held != self.counted:
            self._count(held - self.counted)
            self.counted = held

    def clear(self) -> None:
        """Refund all that is no message: the client is gone."""
        self.load = self.unsent = 0
        self.report()

    @property
    def isSettled(self) -> bool:
        """Whether nothing is outstanding."""
        return not (
            self.undelivered or self.onDisk or self.load or self.unsent or self.counted
        )
