"""The clients of Python, in a directory of their own, through the cases."""

from memq.test.clients import cases, fetched
from memq.test.clients.client import Message

cases.define(
    globals(),
    fetched.Aiomcache,
    fetched.Emcache,
    fetched.Bmemcached,
    fetched.MetaMemcache,
    fetched.AiskMemcache,
)


class PooledAiomcacheTests(cases.ClientCase):
    """aiomcache with its pool, which takes its connections in turn."""

    clientClass = fetched.PooledAiomcache

    async def test_closesElsewhere(self) -> None:
        """A close on another connection than the open deletes nothing, in silence."""
        await self.client.pushAll(self.queue, [b"1", b"2"])
        opened = await self.client.pop(f"{self.queue}/open")
        self.assertEqual(opened, Message(0, b"1"))
        self.assertIsNone(await self.client.pop(f"{self.queue}/close"))
        self.assertEqual((await self.client.stats())[self.queue], "2/0")
        # On the first one again.
        self.assertIsNone(await self.client.pop("another"))
        self.assertIsNone(await self.client.pop(f"{self.queue}/close"))
        self.assertEqual((await self.client.stats())[self.queue], "2/1")
