"""The interface that the cases ask of a client."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

#: Seconds that any answer may take.
PATIENCE = 30

MEGABYTE = 1024 * 1024
#: Flags at the edges of what memq takes, 32 bits unsigned.
ALL_FLAGS = (0, 1, 65535, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
#: Nothing, a byte, all bytes, replies, more than MemcacheQ could, nearly --max-body.
BODIES = (
    *(b"", b"x", bytes(range(256))),
    b"\r\nEND\r\nVALUE a 0 1\r\nx\r\nSTORED\r\n\nEND\r\n",
    bytes(range(256)) * 256,
    (bytes(range(256)) * 4096)[:-1],
)


class Message(NamedTuple):
    """A message as a client gives it out."""

    flags: int
    body: bytes


class ClientFailure(Exception):
    """A client said that it could not do something."""


class Client(ABC):
    """A client that is to be connected, used and closed.

    Its methods are asynchronous, since one of the clients is; the others just
    block, which they may: the server is a process of its own.
    """

    #: The protocol that it speaks, one of memcached's three.
    protocol: ClassVar[str] = "text"
    #: Values that it can send as flags, and read.
    flags: ClassVar[tuple[int, ...]] = ALL_FLAGS
    #: Bodies that it can push.
    bodies: ClassVar[tuple[bytes, ...]] = BODIES
    #: Whether it can read a body with line ends in it.
    lines: ClassVar[bool] = True
    #: Whether it and the others find in each other's messages the same bytes.
    exact: ClassVar[bool] = True
    #: Whether it tells a delete of a queue that was not there from another one.
    misses: ClassVar[bool] = True
    #: Whether it can ask for ``stats queue``, rather than for ``stats``.
    topics: ClassVar[bool] = True
    #: Whether it goes on by itself when the server was started anew.
    reconnects: ClassVar[bool] = False
    #: Whether it reads what a push and a delete are answered.
    reads: ClassVar[bool] = True

    @abstractmethod
    async def connect(self, port: int) -> None:
        """Connect to a port of 127.0.0.1."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect; nothing is left behind."""

    @abstractmethod
    async def push(self, queue: str, body: bytes, flags: int = 0) -> bool:
        """Put a message into a queue, and return whether it was stored."""

    @abstractmethod
    async def pop(self, queue: str) -> Message | None:
        """Take a message from a queue, None when there is none."""

    @abstractmethod
    async def delete(self, queue: str) -> bool:
        """Delete a queue, and return whether there was one."""

    @abstractmethod
    async def stats(self) -> dict[str, str]:
        """Return the counts of the queues by their names, as in ``2/1``."""

    async def pushAll(self, queue: str, bodies: list[bytes]) -> None:
        """Put messages into a queue, in order."""
        for body in bodies:
            if not await self.push(queue, body):
                raise AssertionError(f"{body!r} was not stored")

    async def popAll(self, queue: str, count: int) -> list[bytes]:
        """Take so many messages from a queue, in order; all must be there."""
        bodies = []
        for number in range(count):
            message = await self.pop(queue)
            if message is None:
                raise AssertionError(f"{number} messages instead of {count}")
            bodies.append(message.body)
        return bodies

    async def popEach(self, queues: list[str]) -> dict[str, bytes]:
        """Take a message from each queue that has one.

        Clients that know a get of several names send that.
        """
        found = {}
        for queue in queues:
            message = await self.pop(queue)
            if message is not None:
                found[queue] = message.body
        return found
