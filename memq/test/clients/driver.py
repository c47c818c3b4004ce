"""The fetched clients of Python, driven: driver.py PORT PROTOCOL LIBRARY.

drivers.py says what comes in and goes out.  They are in a directory of their own, since
one of them has the name of python-memcached's module.  Each is told to wait longer than
any answer takes, and to keep one connection.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import ssl
import sys
import traceback
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = float(os.environ["PATIENCE"])
#: Who this is to say that it is; nothing for one that says nothing.
USER, SECRET = (os.environ[name] or None for name in ("CLIENT_USER", "CLIENT_SECRET"))
#: The authority of the server, where that speaks TLS, and what this is to show.
CA, *SHOWN = (
    os.environ[name] for name in ("CLIENT_CA", "CLIENT_CERTIFICATE", "CLIENT_KEY")
)
#: Flags and body.
Message = tuple[int, bytes]


def secured() -> ssl.SSLContext | None:
    """Return what a library speaks TLS with, if it is to do that."""
    if not CA:
        return None
    context = ssl.create_default_context(cafile=CA)
    if SHOWN[0]:
        context.load_cert_chain(*SHOWN)
    return context


class Library(ABC):
    """A library: its commands are asynchronous, as some of the libraries are."""

    def __init__(self, module: Any, port: int) -> None:
        self.module = module
        self.port = port
        self.client: Any = None

    @abstractmethod
    async def connect(self) -> None:
        """Make the client."""

    @abstractmethod
    async def push(self, queue: str, flags: int, body: bytes) -> bool:
        """Return whether a message was stored."""

    @abstractmethod
    async def pop(self, queue: str) -> Message | None:
        """Return a message, if there is one."""

    @abstractmethod
    async def delete(self, queue: str) -> bool:
        """Return whether there was such a queue."""

    async def popEach(self, queues: list[str]) -> dict[str, bytes]:
        """Return the body of a message of each queue that has one."""
        popped = {queue: await self.pop(queue) for queue in queues}
        return {queue: message[1] for queue, message in popped.items() if message}

    async def stats(self) -> dict[str, str]:
        """Return the counts of the queues, by those who have no stats of their own."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=secured()
        )
        if USER:
            said = f"{USER} {SECRET}".encode()
            writer.write(b"set auth 0 0 %d\r\n%b\r\n" % (len(said), said))
        writer.write(b"stats queue\r\nquit\r\n")
        lines = (await reader.read()).decode().splitlines()
        writer.close()
        return dict(line.split()[1:] for line in lines if line.startswith("STAT "))


class Aiomcache(Library):
    """aiomcache: what is no bytes goes through the handlers, with its flags."""

    async def connect(self) -> None:
        """Make the client."""

        async def dump(value: Message) -> tuple[bytes, int]:
            return value[1], value[0]

        async def load(body: bytes, flags: int) -> Message:
            return flags, body

        self.client = self.module.FlagClient(
            *("127.0.0.1", self.port),
            pool_size=int(os.environ.get("POOL", "1")),
            conn_args={"ssl": secured()},
            set_flag_handler=dump,
            get_flag_handler=load,
        )

    async def push(self, queue: str, flags: int, body: bytes) -> bool:
        """Set a key."""
        value = (flags, body) if flags else body
        return bool(await self.client.set(queue.encode(), value))

    async def pop(self, queue: str) -> Message | None:
        """Get a key."""
        value = await self.client.get(queue.encode())
        return (0, value) if isinstance(value, bytes) else value

    async def popEach(self, queues: list[str]) -> dict[str, bytes]:
        """Get several keys."""
        found = await self.client.multi_get(*map(str.encode, queues))
        pairs = zip(queues, found, strict=True)
        return {queue: value for queue, value in pairs if value is not None}

    async def delete(self, queue: str) -> bool:
        """Delete a key."""
        return bool(await self.client.delete(queue.encode()))

    async def stats(self) -> dict[str, str]:
        """Ask for ``stats queue``."""
        found = await self.client.stats(b"queue")
        return {name.decode(): value.decode() for name, value in found.items()}


class Emcache(Library):
    """emcache."""

    async def connect(self) -> None:
        """Make the client."""
        place = self.module.MemcachedHostAddress("127.0.0.1", self.port)
        self.client = await self.module.create_client(
            [place],
            timeout=PATIENCE,
            max_connections=1,
            username=USER,
            password=SECRET,
            ssl=bool(CA),
            ssl_extra_ca=CA or None,
        )

    async def push(self, queue: str, flags: int, body: bytes) -> bool:
        """Set a key, or raise."""
        await self.client.set(queue.encode(), body, flags=flags)
        return True

    async def pop(self, queue: str) -> Message | None:
        """Get a key."""
        item = await self.client.get(queue.encode(), return_flags=True)
        return item and (item.flags, item.value)

    async def popEach(self, queues: list[str]) -> dict[str, bytes]:
        """Get several keys."""
        found = await self.client.get_many([queue.encode() for queue in queues])
        return {queue.decode(): item.value for queue, item in found.items()}

    async def delete(self, queue: str) -> bool:
        """Delete a key."""
        try:
            await self.client.delete(queue.encode())
        except self.module.NotFoundCommandError:
            return False
        return True


class Bmemcached(Library):
    """python-binary-memcached in raw data mode: bytes with flags 0."""

    async def connect(self) -> None:
        """Make the client."""
        self.client = self.module.Client(
            [f"127.0.0.1:{self.port}"],
            username=USER,
            password=SECRET,
            socket_timeout=PATIENCE,
            raw_data=True,
            tls_context=secured(),
        )
        self.client.enable_retry_delay(False)

    async def push(self, queue: str, flags: int, body: bytes) -> bool:
        """Set a key."""
        return bool(self.client.set(queue, body))

    async def pop(self, queue: str) -> Message | None:
        """Get a key."""
        value = self.client.get(queue)
        return None if value is None else (0, value)

    async def popEach(self, queues: list[str]) -> dict[str, bytes]:
        """Get several keys."""
        return dict(self.client.get_multi(queues))

    async def delete(self, queue: str) -> bool:
        """Delete a key."""
        return bool(self.client.delete(queue))

    async def stats(self) -> dict[str, str]:
        """Ask for ``stats queue``."""
        [found] = self.client.stats("queue").values()
        return {
            (name if isinstance(name, str) else name.decode()): (
                value if isinstance(value, str) else value.decode()
            )
            for name, value in found.items()
        }


class MetaMemcache(Library):
    """meta-memcache, with a serializer that leaves bytes and flags alone."""

    async def connect(self) -> None:
        """Make the client."""
        base = importlib.import_module("meta_memcache.base.base_serializer")

        class Plain(base.BaseSerializer):  # type: ignore[misc, name-defined]
            def serialize(self, key: Any, value: Message) -> Any:
                return base.EncodedValue(data=value[1], encoding_id=value[0])

            def unserialize(self, data: Any, encoding_id: int) -> Message:
                return encoding_id, bytes(data)

        self.client = self.module.CacheClient.cache_client_from_servers(
            servers=[self.module.ServerAddress(host="127.0.0.1", port=self.port)],
            connection_pool_factory_fn=self.module.connection_pool_factory_builder(
                max_pool_size=1,
                mark_down_period_s=0.01,
                connection_timeout=PATIENCE,
                recv_timeout=PATIENCE,
                read_buffer_size=1 << 20,
            ),
            serializer=Plain(),
        )

    async def push(self, queue: str, flags: int, body: bytes) -> bool:
        """Set a key."""
        return bool(self.client.set(queue, (flags, body), ttl=0))

    async def pop(self, queue: str) -> Message | None:
        """Get a key."""
        found = self.client.get(queue)
        # Nothing goes past the serializer.
        return found if isinstance(found, tuple | None) else (0, bytes(found))

    async def popEach(self, queues: list[str]) -> dict[str, bytes]:
        """Get several keys."""
        found = self.client.multi_get(queues)
        return {key.key: value[1] for key, value in found.items() if value is not None}

    async def delete(self, queue: str) -> bool:
        """Delete a key."""
        return bool(self.client.delete(queue))


class Memcache(Library):
    """memcache, told to leave bytes and flags alone."""

    async def connect(self) -> None:
        """Make the client."""
        self.client = self.module.Memcache(
            ("127.0.0.1", self.port),
            dump_func=lambda key, value: value,
            load_func=lambda key, body, flags: (flags, body),
            username=USER,
            password=SECRET,
        )

    async def push(self, queue: str, flags: int, body: bytes) -> bool:
        """Set a key, which returns nothing, or raises."""
        self.client.set(queue, (body, flags))
        return True

    async def pop(self, queue: str) -> Message | None:
        """Get a key."""
        found: Message | None = self.client.get(queue)
        return found

    async def delete(self, queue: str) -> bool:
        """Delete a key, which returns nothing."""
        self.client.delete(queue)
        return True


class Pylibmc(Library):
    """pylibmc, told binary=True, without its serialisation."""

    async def connect(self) -> None:
        """Make the client."""

        class Plain(self.module.Client):  # type: ignore[misc, name-defined]
            def serialize(self, value: Message) -> tuple[bytes, int]:
                return value[1], value[0]

            def deserialize(self, body: bytes | None, flags: int) -> Message:
                return flags, body or b""

        self.client = Plain(
            [f"127.0.0.1:{self.port}"], binary=True, username=USER, password=SECRET
        )

    async def push(self, queue: str, flags: int, body: bytes) -> bool:
        """Set a key, or raise."""
        return bool(self.client.set(queue, (flags, body)))

    async def pop(self, queue: str) -> Message | None:
        """Get a key."""
        found: Message | None = self.client.get(queue)
        return found

    async def popEach(self, queues: list[str]) -> dict[str, bytes]:
        """Get several keys."""
        found = self.client.get_multi(queues)
        return {queue: value[1] for queue, value in found.items()}

    async def delete(self, queue: str) -> bool:
        """Delete a key."""
        return bool(self.client.delete(queue))

    async def stats(self) -> dict[str, str]:
        """Ask for ``stats``: it keeps the names it knows, and no queue's."""
        [(_, found)] = self.client.get_stats()
        return {name: value.decode() for name, value in found.items()}


LIBRARIES: dict[str, Callable[[Any, int], Library]] = {
    "aiomcache": Aiomcache,
    "emcache": Emcache,
    "bmemcached": Bmemcached,
    "meta_memcache": MetaMemcache,
    "memcache": Memcache,
    "pylibmc": Pylibmc,
}


async def answer(client: Library, name: str, *words: str) -> list[str]:
    """Return the words of the reply to a request."""
    if name == "push":
        queue, flags, text = words
        stored = await client.push(queue, int(flags), b64decode(text))
        return ["yes" if stored else "no"]
    if name == "pop":
        message = await client.pop(words[0])
        if message is None:
            return ["none"]
        return ["message", str(message[0]), b64encode(message[1]).decode()]
    if name == "delete":
        return ["yes" if await client.delete(words[0]) else "no"]
    if name == "stats":
        found = await client.stats()
    else:
        bodies = await client.popEach(list(words))
        found = {queue: b64encode(body).decode() for queue, body in bodies.items()}
    return ["found", *(word for pair in found.items() for word in pair)]


def main() -> None:
    """Carry out requests until there are none."""
    port, _, library = sys.argv[1:]
    client = LIBRARIES[library](importlib.import_module(library), int(port))
    loop = asyncio.new_event_loop()
    for line in sys.stdin:
        name, *words = line.rstrip("\n").split(" ")
        try:
            if client.client is None:
                loop.run_until_complete(client.connect())
            reply = loop.run_until_complete(answer(client, name, *words))
        except Exception as error:
            traceback.print_exc()
            reply = ["error", *f"{type(error).__name__}: {error}".split()]
        print(*reply, flush=True)


if __name__ == "__main__":
    main()
