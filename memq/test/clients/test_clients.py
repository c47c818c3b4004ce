"""Each client, through the cases."""

from memq.test.clients import cases, drivers, fetched, libraries, tools
from memq.test.clients.client import Message

cases.define(
    globals(),
    libraries.Pymemcache,
    libraries.PythonMemcached,
    libraries.TwistedClient,
    drivers.PHPMemcache,
    drivers.PHPMemcached,
    drivers.CacheMemcached,
    drivers.CacheMemcachedFast,
    drivers.NetMemcacheQ,
    fetched.Gomemcache,
)


class NoreplyPymemcacheTests(cases.ReaderCase):
    """pymemcache, with the noreply that is its default."""

    clientClass = libraries.NoreplyPymemcache
    client: libraries.NoreplyPymemcache

    async def test_refusedInSilence(self) -> None:
        """A command refused silently costs no message of the get behind it."""
        library = self.client.client
        for refused in (library.append, library.prepend, library.replace):
            refused("other", b"delete " + self.queue.encode())
            await self.comesBack(b"precious")
        library.touch("other")
        await self.comesBack(b"precious")
        library.incr("other", 1, noreply=True)
        await self.comesBack(b"precious")

    async def test_openOfTwo(self) -> None:
        """Two queues are opened with one get_many."""
        names = [self.queue + "-a", self.queue + "-b"]
        for name in names:
            await self.client.push(name, name.encode())
        found = await self.client.popEach([name + "/open" for name in names])
        self.assertEqual(found, {name + "/open": name.encode() for name in names})


class PylibmcTests(cases.ReaderCase):
    """pylibmc."""

    clientClass = libraries.Pylibmc

    async def test_stats(self) -> None:
        """The general statistics arrive; of others it only returns names it knows."""
        counts = await self.client.stats()
        self.assertEqual(counts["pid"], str(cases.server().pid))


class ToolsTests(cases.ClientCase):
    """libmemcached's tools."""

    clientClass = tools.Tools
    client: tools.Tools

    async def test_ping(self) -> None:
        """Memcping finds the server, whose version it can parse."""
        self.assertEqual(self.client.run("memcping").returncode, 0)

    async def test_generalStats(self) -> None:
        """Memcstat prints the general statistics."""
        asked = self.client.run("memcstat")
        self.assertEqual(asked.returncode, 0)
        self.assertIn(b"\tpid: %d\n" % cases.server().pid, asked.stdout)

    async def test_load(self) -> None:
        """Memcslap's load is all stored."""
        before = sum(int(counts.split("/")[0]) for counts in await self.taken())
        load = self.client.run(
            "memcslap", "--test=set", "--concurrency=4", "--execute-number=100"
        )
        self.assertEqual(load.returncode, 0)
        after = sum(int(counts.split("/")[0]) for counts in await self.taken())
        self.assertEqual(after - before, 400)

    async def taken(self) -> list[str]:
        """Return the counts of all queues."""
        return list((await self.client.stats()).values())

    async def test_open(self) -> None:
        """Each run of memccat is a connection, with whose end a message goes back."""
        await self.client.pushAll(self.queue, [b"1", b"2"])
        first = Message(0, b"1")
        for _ in range(2):
            self.assertEqual(await self.client.pop(f"{self.queue}/open"), first)
        self.assertEqual(await self.client.pop(f"{self.queue}/t=1/peek"), first)
        self.assertEqual(await self.client.popAll(self.queue, 2), [b"1", b"2"])

    async def test_close(self) -> None:
        """One run may open a message, close it, and open the next one."""
        await self.client.pushAll(self.queue, [b"1", b"2"])
        keys = [f"{self.queue}/{word}" for word in ("open", "close", "open", "abort")]
        found = self.client.run("memccat", *keys)
        # It does not find the keys that end a read.
        self.assertEqual((found.returncode, found.stdout), (1, b"1\n2\n"))
        self.assertEqual((await self.client.stats())[self.queue], "2/1")
        self.assertEqual(await self.client.pop(self.queue), Message(0, b"2"))

    async def test_notForAQueue(self) -> None:
        """A tool whose command a queue does not have fails at once, and pushes nothing.

        memcexist sends an add of nothing, which is no number, memctouch a touch, and
        memcflush a flush_all.  memcdump asks for the names in memcached's slabs, of
        which there are none.
        """
        before = await self.client.stats()
        for tool in ("memcexist", "memctouch"):
            self.assertEqual(self.client.run(tool, self.queue).returncode, 1)
        self.assertEqual(self.client.run("memcflush").returncode, 1)
        dumped = self.client.run("memcdump")
        self.assertEqual((dumped.returncode, dumped.stdout), (0, b""))
        self.assertEqual(await self.client.stats(), before)


class ZendQueueTests(cases.ReaderCase):
    """The commands that ZendQueue's adapter sends."""

    clientClass = drivers.ZendQueue

    async def test_create(self) -> None:
        """A queue is made by a message that is taken at once."""
        self.assertTrue(await self.client.push(self.queue, b"creating queue"))
        await self.client.pop(self.queue)
        self.assertEqual((await self.client.stats())[self.queue], "1/1")
        await self.comesBack(b"the first")


cases.define(globals(), drivers.BinaryPHPMemcache, drivers.BinaryPHPMemcached)


class BinaryPylibmcTests(cases.ReaderCase):
    """pylibmc."""

    clientClass = libraries.BinaryPylibmc

    async def test_stats(self) -> None:
        """The general statistics arrive, as in text."""
        counts = await self.client.stats()
        self.assertEqual(counts["pid"], str(cases.server().pid))


class BinaryToolsTests(cases.ClientCase):
    """libmemcached's tools; memcping knows text alone."""

    clientClass = tools.BinaryTools
