"""All clients at one server, one after the other."""

from __future__ import annotations

import os
import socket
import sys
from time import monotonic
from typing import TYPE_CHECKING

from twisted.trial.unittest import TestCase

from memq.test.clients import cases, drivers, fetched, libraries, tools
from memq.test.clients.client import PATIENCE, ClientFailure
from memq.test.net.test_activation import GIVE
from testkit.servers import Server

if TYPE_CHECKING:
    from memq.test.clients.client import Client, Message

CLIENTS: tuple[type[Client], ...] = (
    libraries.Pymemcache,
    libraries.NoreplyPymemcache,
    libraries.PythonMemcached,
    libraries.Pylibmc,
    libraries.BinaryPylibmc,
    libraries.TwistedClient,
    tools.Tools,
    tools.BinaryTools,
    drivers.PHPMemcache,
    drivers.BinaryPHPMemcache,
    drivers.PHPMemcached,
    drivers.BinaryPHPMemcached,
    drivers.CacheMemcached,
    drivers.CacheMemcachedFast,
    drivers.NetMemcacheQ,
    drivers.ZendQueue,
    fetched.Memjs,
    fetched.NodeMemcached,
    fetched.MemcacheClient,
    fetched.Dalli,
    fetched.BinaryDalli,
    fetched.MetaDalli,
    fetched.Spymemcached,
    fetched.BinarySpymemcached,
    fetched.Gomemcache,
    fetched.Aiomcache,
    fetched.Emcache,
    fetched.Bmemcached,
    fetched.MetaMemcache,
    fetched.AiskMemcache,
)

#: A body that all of them can carry to themselves, and one that they can to each other.
BODY, TEXT = b"\r\nEND\r\n" + bytes(range(256)), b"The text of a message, in ASCII"
#: Seconds that a driver's library is told to wait for an answer here.
BRIEF = 5.0


class TogetherTests(TestCase):
    """Messages that one client pushes and another pops."""

    async def connect(self, server: Server) -> list[Client]:
        """Return all the clients, connected."""
        return [await self.connectOne(each, server) for each in CLIENTS]

    async def connectOne(self, clientClass: type[Client], server: Server) -> Client:
        """Return a client that is connected until the test ends."""
        client = clientClass()
        if isinstance(client, drivers.Driver):
            # One does not notice that its connection has ended, and waits on.
            client.patience = BRIEF
        await client.connect(server.port)
        self.addCleanup(client.close)
        return client

    async def test_eachToEach(self) -> None:
        """Each client pops what each of the others pushed."""
        clients = await self.connect(cases.server())
        names = [type(client).__name__ for client in clients]

        def body(one: Client, other: Client) -> bytes:
            alike = one is other or (one.exact and other.exact)
            return BODY if alike and one.lines and other.lines else TEXT

        def flags(one: Client, other: Client) -> int:
            # The flags of their own that some give bytes are others' of numbers.
            return int(not one.exact and one is not other)

        for pusher, name in zip(clients, names, strict=True):
            for other, to in zip(clients, names, strict=True):
                queue = f"{name}-{to}"
                stored = await pusher.push(
                    queue, body(pusher, other), flags(pusher, other)
                )
                self.assertTrue(stored, f"from {name} to {to}")
        for popper, name in zip(clients, names, strict=True):
            for other, by in zip(clients, names, strict=True):
                message = await popper.pop(f"{by}-{name}")
                assert message is not None
                self.assertEqual(message.body, body(other, popper), f"{by} to {name}")
                if popper.exact and other.exact:
                    self.assertEqual(message.flags, 0, f"{by} to {name}")

    async def test_restart(self) -> None:
        """Pushed messages are there after a restart, in order, for other clients.

        Those that can go on by themselves, in the middle of a queue.
        """
        # The port stays where it is, as with a service manager.
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = Server(os.path.abspath(self.mktemp()))
        server.under = (sys.executable, "-c", GIVE, str(listener.fileno()))
        server.passed = (listener.fileno(),)
        server.port = listener.getsockname()[1]
        self.addCleanup(server.stop)
        server.launch().waitForLine("Listening on ")
        queues = [f"queue-{clientClass.__name__}" for clientClass in CLIENTS]
        bodies = [TEXT + b"%d" % number for number in range(10)]
        clients = await self.connect(server)
        for queue, client in zip(queues, clients, strict=True):
            for body in bodies:
                self.assertTrue(await client.push(queue, body, int(not client.exact)))
            self.assertEqual(await client.popAll(queue, 3), bodies[:3])

        self.assertEqual(server.stop(), 0)
        server.launch().waitForLine("Listening on ")

        counts = await (await self.connectOne(CLIENTS[0], server)).stats()
        self.assertEqual(counts, dict.fromkeys(queues, "10/3"))
        clients = [
            client if client.reconnects else await self.connectOne(type(client), server)
            for client in clients
        ]
        for queue, client in zip(queues, clients, strict=True):
            message = await self.again(client, queue)
            self.assertEqual(message.body, bodies[3], queue)
        # Each takes what its neighbour left.
        neighbours = [*clients[1:], clients[0]]
        for queue, client in zip(queues, neighbours, strict=True):
            self.assertEqual(await client.popAll(queue, 6), bodies[4:])
            self.assertIsNone(await client.pop(queue))

    async def again(self, client: Client, queue: str) -> Message:
        """Return a message that a client pops after it has found the server again."""
        errors: list[object] = []
        limit = monotonic() + PATIENCE
        while monotonic() < limit:
            try:
                message = await client.pop(queue)
            except ClientFailure as error:
                errors.append(error)
                continue
            if message is not None:
                return message
            errors.append("none")
        raise AssertionError(f"{queue}: {errors[:3]} and so on")
