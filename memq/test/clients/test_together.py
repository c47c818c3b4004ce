"""All clients at one server, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import TestCase

from memq.test.clients import cases, drivers, libraries, tools
from memq.test.support.servers import started

if TYPE_CHECKING:
    from memq.test.clients.client import Client
    from testkit.servers import Server

CLIENTS: tuple[type[Client], ...] = (
    libraries.Pymemcache,
    libraries.NoreplyPymemcache,
    libraries.PythonMemcached,
    libraries.Pylibmc,
    libraries.TwistedClient,
    tools.Tools,
    drivers.PHPMemcache,
    drivers.PHPMemcached,
    drivers.CacheMemcached,
    drivers.NetMemcacheQ,
    drivers.ZendQueue,
)

#: A body that all of them can carry.
BODY = b"\r\nEND\r\n" + bytes(range(256))


class TogetherTests(TestCase):
    """Messages that one client pushes and another pops."""

    async def connect(self, server: Server) -> list[Client]:
        """Return all the clients, connected."""
        clients = []
        for clientClass in CLIENTS:
            client = clientClass()
            await client.connect(server.port)
            self.addCleanup(client.close)
            clients.append(client)
        return clients

    async def test_eachToEach(self) -> None:
        """Each client pops what each of the others pushed."""
        clients = await self.connect(cases.server())
        names = [type(client).__name__ for client in clients]
        for pusher, name in zip(clients, names, strict=True):
            for other in names:
                self.assertTrue(await pusher.push(f"{name}-{other}", BODY))
        for popper, name in zip(clients, names, strict=True):
            for other in names:
                message = await popper.pop(f"{other}-{name}")
                self.assertEqual(message, (0, BODY), f"from {other} to {name}")

    async def test_restart(self) -> None:
        """Pushed messages are there after a restart, in order, for other clients."""
        server = started(self)
        queues = [f"queue-{clientClass.__name__}" for clientClass in CLIENTS]
        bodies = [BODY + b"%d" % number for number in range(10)]
        for queue, client in zip(queues, await self.connect(server), strict=True):
            await client.pushAll(queue, bodies)
            for body in bodies[:3]:
                self.assertEqual(await client.pop(queue), (0, body))

        self.assertEqual(server.stop(), 0)
        server.start()

        clients = await self.connect(server)
        self.assertEqual(await clients[0].stats(), dict.fromkeys(queues, "10/3"))
        # Each takes what its neighbour left.
        neighbours = [*clients[1:], clients[0]]
        for queue, client in zip(queues, neighbours, strict=True):
            for body in bodies[3:]:
                self.assertEqual(await client.pop(queue), (0, body))
            self.assertIsNone(await client.pop(queue))
