"""The cases that every client goes through, and the server they share."""

from __future__ import annotations

import functools
import shutil
from concurrent.futures import ThreadPoolExecutor
from tempfile import mkdtemp
from time import monotonic
from typing import Any, ClassVar

from twisted.trial.unittest import TestCase

from memq.test.clients.client import MEGABYTE, PATIENCE, Client, Message
from memq.test.support.servers import started
from testkit.servers import Server


@functools.cache
def server(*options: str) -> Server:
    """Return a server for all tests, which ends with the process's reactor.

    Trial has nothing that lasts longer than a test, and a server each would take
    longer than the tests.  So their queues must have names of their own.
    """
    return lasting(Server(mkdtemp(prefix="memq-clients-"), *options))


def lasting(server: Server, folder: str = "") -> Server:
    """Start a server that ends with the process's reactor, and its home with it.

    :param folder: where its home is, if there is more in that.
    """
    from twisted.internet import reactor

    # The server's reader is a thread that Python waits for before atexit.
    reactor.addSystemEventTrigger("before", "shutdown", server.stop)
    reactor.addSystemEventTrigger(
        "after", "shutdown", shutil.rmtree, folder or server.home
    )
    return server.start()


class ClientCase(TestCase):
    """Promises that a client can rely on; its own tests say what it cannot do."""

    #: The class of the client.
    clientClass: ClassVar[type[Client]]

    def server(self, *options: str) -> Server:
        """Return the server that has further options."""
        return server(*options)

    async def setUp(self) -> None:  # type: ignore[override] # trial waits for it
        """Connect; each test has queues of its own."""
        self.client = await self.connect(self.server())
        self.queue = "-".join(self.id().split(".")[-2:])

    async def connect(self, to: Server) -> Client:
        """Return a client that is connected until the test ends."""
        client = self.clientClass()
        await client.connect(to.port)
        self.addCleanup(client.close)
        return client

    async def comesBack(self, body: bytes) -> None:
        """Push a message, pop the same, and find nothing after it."""
        self.assertTrue(await self.client.push(self.queue, body))
        popped = await self.client.pop(self.queue)
        # Not assertEqual: nobody wants to see a megabyte twice.
        self.assertIsNotNone(popped)
        assert popped is not None
        self.assertEqual(len(popped.body), len(body))
        self.assertTrue(popped.body == body)
        self.assertIsNone(await self.client.pop(self.queue))

    async def test_bodies(self) -> None:
        """A message of any bytes is popped as it was; what never was has none."""
        self.assertIsNone(await self.client.pop(self.queue))
        for body in self.client.bodies:
            await self.comesBack(body)

    async def test_tooLarge(self) -> None:
        """A message over --max-body is refused, and the client goes on."""
        stored = await self.client.push(self.queue, bytes(MEGABYTE + 1))
        # A client that does not read replies takes it for stored.
        self.assertNotEqual(stored, self.client.reads)
        await self.comesBack(b"after")

    async def test_flags(self) -> None:
        """A message keeps its flags."""
        for flags in self.client.flags:
            self.assertTrue(await self.client.push(self.queue, b"7", flags))
        for flags in self.client.flags:
            self.assertEqual(await self.client.pop(self.queue), Message(flags, b"7"))

    async def test_order(self) -> None:
        """A thousand messages come out in the order they went in.

        From a server that does not sync, or the disk would take most of the time.
        """
        client = await self.connect(self.server("--no-sync"))
        bodies = [b"message %d" % number for number in range(1000)]
        await client.pushAll(self.queue, bodies)
        self.assertEqual(await client.popAll(self.queue, len(bodies)), bodies)
        self.assertIsNone(await client.pop(self.queue))

    async def test_twoQueues(self) -> None:
        """Two queues do not see each other, and can be asked together."""
        one, two, none = (f"{self.queue}-{name}" for name in ("one", "two", "none"))
        for body in (b"1", b"2", b"3"):
            await self.client.push(one, b"one " + body)
            await self.client.push(two, b"two " + body)
        self.assertEqual(await self.client.popAll(two, 2), [b"two 1", b"two 2"])
        found = await self.client.popEach([one, none, two])
        self.assertEqual(found, {one: b"one 1", two: b"two 3"})
        self.assertEqual(await self.client.popEach([two, one]), {one: b"one 2"})

    async def test_delete(self) -> None:
        """A queue that is deleted is gone with its messages, and can be anew."""
        await self.client.pushAll(self.queue, [b"1", b"2", b"3"])
        self.assertTrue(await self.client.delete(self.queue))
        self.assertIsNone(await self.client.pop(self.queue))
        again = await self.client.delete(self.queue)
        self.assertNotEqual(again, self.client.reads and self.client.misses)
        await self.comesBack(b"new")

    async def test_stats(self) -> None:
        """The counts of a queue are the messages ever pushed, and ever popped."""
        client = self.client
        if not client.topics:
            # A server with few queues tells of each among its general figures.
            client = await self.connect(started(self))
        await client.pushAll(self.queue, [b"1", b"2"])
        await client.pop(self.queue)
        counts = await client.stats()
        self.assertEqual(counts[self.queue], "2/1")


class ReaderCase(ClientCase):
    """Promises to a client that stays connected: reads that survive it."""

    async def test_openAndClose(self) -> None:
        """A message is opened, and gone once it is closed, not before."""
        other = await self.connect(self.server())
        await self.client.pushAll(self.queue, [b"1", b"2"])
        opened = Message(0, b"1")
        self.assertEqual(await self.client.pop(f"{self.queue}/open"), opened)
        self.assertEqual(await other.pop(f"{self.queue}/peek"), Message(0, b"2"))
        self.assertIsNone(await self.client.pop(f"{self.queue}/close"))
        self.assertIsNone(await self.client.pop(f"{self.queue}/abort"))
        await self.isLeft([b"2"])

    async def test_openAndAbort(self) -> None:
        """A message that goes back is the next one, and may be opened again."""
        await self.client.pushAll(self.queue, [b"1", b"2"])
        for _ in range(3):
            message = await self.client.pop(f"{self.queue}/t=100/open")
            self.assertEqual(message, Message(0, b"1"))
            self.assertIsNone(await self.client.pop(f"{self.queue}/abort"))
        await self.isLeft([b"1", b"2"])

    async def test_closeAndOpen(self) -> None:
        """A consumer closes one message and opens the next, until there is none."""
        bodies = [b"%d" % number for number in range(10)]
        await self.client.pushAll(self.queue, bodies)
        key = f"{self.queue}/close/open/t=1"
        for body in bodies:
            self.assertEqual(await self.client.pop(key), Message(0, body))
        self.assertIsNone(await self.client.pop(key))
        await self.isLeft([])

    async def test_waits(self) -> None:
        """A read that waits gets the message that comes meanwhile, and no sooner."""
        await self.comesBack(b"so that there is a queue")
        # A client that blocks leaves no room for a reactor.
        with ThreadPoolExecutor(1) as pool:
            pushed = pool.submit(self.pushToWaiter, b"late")
            message = await self.client.pop(f"{self.queue}/t=20000/open")
            pushed.result()
        assert message is not None
        self.assertEqual(message.body, b"late")
        self.assertIsNone(await self.client.pop(f"{self.queue}/close/open/t=1"))
        await self.isLeft([])

    def pushToWaiter(self, body: bytes) -> None:
        """Push a message once somebody waits for it."""
        queue = self.queue.encode()
        limit = monotonic() + PATIENCE
        with self.server().wire() as wire:
            while wire.figures(b"detail " + queue)[b"queue_%b_waiters" % queue] != b"1":
                # The figures are the only sign.
                assert monotonic() < limit, "nobody waits"
        self.server().put(queue, body)

    async def test_openLarge(self) -> None:
        """A message that comes in parts is opened, goes back, and is closed."""
        body = bytes(range(256)) * 1024
        await self.client.push(self.queue, body)
        for end in ("abort", "close"):
            message = await self.client.pop(f"{self.queue}/open")
            assert message is not None
            self.assertTrue(message.body == body)
            self.assertIsNone(await self.client.pop(f"{self.queue}/{end}"))
        await self.isLeft([])

    async def test_openMany(self) -> None:
        """A get of many names, which is of one, finds the key with its options."""
        await self.client.push(self.queue, b"1")
        key = f"{self.queue}/open"
        self.assertEqual(await self.client.popEach([key]), {key: b"1"})
        self.assertIsNone(await self.client.pop(f"{self.queue}/close"))
        await self.isLeft([])

    async def test_leaves(self) -> None:
        """A client that leaves gives back what it has open."""
        leaving = await self.connect(self.server())
        await self.client.pushAll(self.queue, [b"1", b"2"])
        opened = await leaving.pop(f"{self.queue}/open")
        self.assertEqual(opened, Message(0, b"1"))
        await leaving.close()
        await self.isLeft([b"1", b"2"])

    async def isLeft(self, bodies: list[bytes]) -> None:
        """Check what is left, and take it."""
        client = await self.connect(self.server())
        self.assertEqual(await client.popAll(self.queue, len(bodies)), bodies)
        self.assertIsNone(await client.pop(self.queue))


def define(
    module: dict[str, Any],
    *clientClasses: type[Client],
    case: type[ClientCase] = ReaderCase,
) -> None:
    """Put into a module the tests of clients of which there is nothing else to say."""
    for clientClass in clientClasses:
        name = f"{clientClass.__name__}Tests"
        body = {
            "clientClass": clientClass,
            "__doc__": clientClass.__doc__,
            "__module__": module["__name__"],
        }
        module[name] = type(name, (case,), body)
