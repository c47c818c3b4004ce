"""The clients that are Python libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import memcache
import pylibmc
from pymemcache.client.base import Client as PymemcacheClient
from pymemcache.exceptions import MemcacheServerError
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import connectionDone
from twisted.protocols.memcache import MemCacheProtocol, ServerError

from memq.test.clients.client import PATIENCE, Client, Message

if TYPE_CHECKING:
    from twisted.python.failure import Failure


class Library(Client):
    """A library that blocks, and whose functions are named as the commands are.

    Libraries differ in how a message becomes a value of theirs.
    """

    client: Any
    #: The exceptions that it raises when a message is refused.
    refusal: ClassVar[tuple[type[Exception], ...]] = ()
    #: The functions of others that are named otherwise: close and get of many names.
    closing, getting = "disconnect_all", "get_multi"

    async def close(self) -> None:
        """Disconnect."""
        getattr(self.client, self.closing)()

    def _set(self, queue: str, message: Message) -> object:
        return self.client.set(queue, message)

    def _message(self, value: Any) -> Message:
        return cast("Message", value)

    async def push(self, queue: str, body: bytes, flags: int = 0) -> bool:
        """Set a key."""
        try:
            return bool(self._set(queue, Message(flags, body)))
        except self.refusal:
            return False

    async def pop(self, queue: str) -> Message | None:
        """Get a key."""
        value = self.client.get(queue)
        return None if value is None else self._message(value)

    async def popEach(self, queues: list[str]) -> dict[str, bytes]:
        """Get several keys at once."""
        found = getattr(self.client, self.getting)(queues)
        return {queue: self._message(value).body for queue, value in found.items()}

    async def delete(self, queue: str) -> bool:
        """Delete a key."""
        return bool(self.client.delete(queue))


class AsMessages:
    """Serialisation for pymemcache: bytes as they are, with their flags."""

    def serialize(self, key: bytes, value: bytes) -> tuple[bytes, int]:
        """Return what is sent of a value; set has flags of its own."""
        return value, 0

    def deserialize(self, key: bytes, value: bytes, flags: int) -> Message:
        """Return what get is to return."""
        return Message(flags, value)


class Pymemcache(Library):
    """pymemcache, told to read every reply."""

    noreply = False
    refusal = (MemcacheServerError,)
    closing, getting = "close", "get_many"

    async def connect(self, port: int) -> None:
        """Connect."""
        self.client = PymemcacheClient(
            ("127.0.0.1", port),
            serde=AsMessages(),
            timeout=PATIENCE,
            default_noreply=self.noreply,
        )

    def _set(self, queue: str, message: Message) -> object:
        return self.client.set(queue, message.body, flags=message.flags)

    async def stats(self) -> dict[str, str]:
        """Ask for ``stats queue``."""
        found = self.client.stats("queue")
        return {queue.decode(): counts.decode() for queue, counts in found.items()}


class NoreplyPymemcache(Pymemcache):
    """pymemcache as it comes: set and delete say noreply, and hear nothing."""

    noreply = True
    reads = False


class PythonMemcached(Library):
    """python-memcached, whose flags are the types that it takes and returns.

    Bytes are 0, an int is 2, a str is 16.
    """

    flags = (0, 2, 16)

    async def connect(self, port: int) -> None:
        """Connect."""
        server = f"127.0.0.1:{port}"
        self.client = memcache.Client([server], socket_timeout=PATIENCE)

    def _set(self, queue: str, message: Message) -> object:
        types: dict[int, Any] = {0: bytes, 2: int, 16: bytes.decode}
        return self.client.set(queue, types[message.flags](message.body))

    def _message(self, value: Any) -> Message:
        if isinstance(value, bytes):
            return Message(0, value)
        return Message(2 if isinstance(value, int) else 16, str(value).encode())

    async def stats(self) -> dict[str, str]:
        """Ask for ``stats queue``."""
        [(_, found)] = self.client.get_stats("queue")
        return dict(found)


class _BytesAndFlags(pylibmc.Client):  # type: ignore[misc] # has no types
    """pylibmc's client without its serialisation."""

    def serialize(self, value: Message) -> tuple[bytes, int]:
        """Return what is sent of a value."""
        return value.body, value.flags

    def deserialize(self, value: bytes | None, flags: int) -> Message:
        """Return what get is to return; a value without a byte comes as None."""
        return Message(flags, value or b"")


class Pylibmc(Library):
    """pylibmc, the binding of libmemcached; 8 among its flags is "compressed"."""

    flags = (0, 1, 65535 - 8, 65536, 0x7FFFFFFF - 8, 0x80000000, 0xFFFFFFFF - 8)
    refusal = (pylibmc.TooBig,)

    async def connect(self, port: int) -> None:
        """Connect."""
        binary = self.protocol == "binary"
        self.client = _BytesAndFlags([f"127.0.0.1:{port}"], binary=binary)

    async def stats(self) -> dict[str, str]:
        """Ask for ``stats``: it keeps the names it knows, and no queue's."""
        [(_, found)] = self.client.get_stats()
        return {name: value.decode() for name, value in found.items()}


class BinaryPylibmc(Pylibmc):
    """pylibmc, told binary=True."""

    protocol = "binary"


class _Connection(MemCacheProtocol):
    """Twisted's protocol, and its end as a Deferred."""

    def __init__(self) -> None:
        super().__init__(PATIENCE)
        self.ended: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End."""
        super().connectionLost(reason)
        self.ended.callback(None)


class TwistedClient(Client):
    """Twisted's MemCacheProtocol."""

    async def connect(self, port: int) -> None:
        """Connect."""
        from twisted.internet import reactor

        endpoint = HostnameEndpoint(cast("Any", reactor), "127.0.0.1", port)
        self.connection = await connectProtocol(endpoint, _Connection())

    async def close(self) -> None:
        """Disconnect."""
        self.connection.transport.loseConnection()
        await self.connection.ended

    async def push(self, queue: str, body: bytes, flags: int = 0) -> bool:
        """Set a key."""
        try:
            return bool(await self.connection.set(queue.encode(), body, flags))
        except ServerError:
            return False

    async def pop(self, queue: str) -> Message | None:
        """Get a key."""
        flags, body = await self.connection.get(queue.encode())
        return None if body is None else Message(flags, body)

    async def popEach(self, queues: list[str]) -> dict[str, bytes]:
        """Get several keys at once."""
        names = [queue.encode() for queue in queues]
        found = await self.connection.getMultiple(names)
        return {
            queue.decode(): body
            for queue, (_, body) in found.items()
            if body is not None
        }

    async def delete(self, queue: str) -> bool:
        """Delete a key."""
        return bool(await self.connection.delete(queue.encode()))

    async def stats(self) -> dict[str, str]:
        """Ask for ``stats queue``."""
        found = await self.connection.stats(b"queue")
        return {queue.decode(): counts.decode() for queue, counts in found.items()}
