"""The cases behind a proxy, and what each connection to it shares."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ClassVar

from memq.test.clients import cases
from memq.test.clients.client import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.test.clients import proxies
    from testkit.servers import Server


def servers() -> tuple[Server, Server]:
    """Return the two servers."""
    return cases.server(), cases.server("--no-sync")


@functools.cache
def running(start: Callable[[int, int], proxies.Proxy]) -> proxies.Proxy:
    """Return a proxy for all tests, which ends with the process's reactor."""
    from twisted.internet import reactor

    one, two = servers()
    proxy = start(one.port, two.port)
    reactor.addSystemEventTrigger("before", "shutdown", proxy.stop)
    return proxy


class ProxyCase(cases.ClientCase):
    """What holds behind any proxy, and what each connection to it shares."""

    clientClass: ClassVar[type[proxies.Throughs]]
    #: How a queue is called, so that its options go where it goes.
    pattern: ClassVar[str] = "%s"

    async def setUp(self) -> None:  # type: ignore[override] # trial waits for it
        """Connect."""
        await super().setUp()
        self.queue = self.pattern % self.queue

    async def connect(self, to: Server) -> proxies.Throughs:
        """Return a client of the proxy, whichever server is asked for."""
        client = self.clientClass()
        client.connectTo(running(self.clientClass.proxy).place)
        self.addCleanup(client.close)
        return client

    async def test_stats(self) -> None:
        """A queue is on one of the servers, and queues are on both."""
        queues = [self.pattern % f"stats-{number}" for number in range(20)]
        for queue in queues:
            await self.client.push(queue, b"1")
        counts = [server.counts() for server in servers()]
        for queue in queues:
            found = [each[queue.encode()] for each in counts if queue.encode() in each]
            self.assertEqual(found, [(1, 0)])
        for each in counts:
            self.assertTrue({queue.encode() for queue in queues} & set(each))

    async def test_openAndClose(self) -> None:
        """A message that is opened is gone once it is closed, and may go back."""
        await self.client.pushAll(self.queue, [b"1", b"2"])
        for end, body in (("abort", b"1"), ("close", b"1"), ("close", b"2")):
            opened = await self.client.pop(f"{self.queue}/t=100/open")
            self.assertEqual(opened, Message(0, body))
            self.assertIsNone(await self.client.pop(f"{self.queue}/{end}"))
        self.assertIsNone(await self.client.pop(self.queue))

    async def test_shares(self) -> None:
        """Clients share a connection: one ends another's read, and nobody's leaves."""
        leaving = await self.connect(cases.server())
        await self.client.pushAll(self.queue, [b"1", b"2"])
        await leaving.pop(f"{self.queue}/open")
        await leaving.close()
        self.assertEqual(await self.client.pop(f"{self.queue}/peek"), Message(0, b"2"))
        self.assertIsNone(await self.client.pop(f"{self.queue}/abort"))
        self.assertEqual(await self.client.popAll(self.queue, 2), [b"1", b"2"])
