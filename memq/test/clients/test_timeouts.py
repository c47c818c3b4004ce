"""Clients whose own time-out is over before a read that waits is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import TestCase

from memq.test.clients import cases, drivers, fetched
from memq.test.clients.client import ClientFailure

if TYPE_CHECKING:
    from memq.test.clients.client import Message

#: What becomes of the next message; docs/clients.md says the same.
KEEPS, LOSES = "keeps", "loses"
TABLE: dict[type[drivers.Driver], str] = {
    drivers.CacheMemcachedFast: KEEPS,
    fetched.Bmemcached: KEEPS,
    fetched.Dalli: KEEPS,
    fetched.Emcache: KEEPS,
    fetched.Gomemcache: KEEPS,
    fetched.MemcacheClient: KEEPS,
    fetched.Memjs: LOSES,
    fetched.MetaDalli: KEEPS,
    fetched.MetaMemcache: KEEPS,
    fetched.Spymemcached: LOSES,
    fetched.BinarySpymemcached: LOSES,
}
#: Seconds that they wait, and milliseconds in which a closed connection is noticed.
SHORT, NOTICED = 0.3, 500


class TimeoutTests(TestCase):
    """Reads that a client gives up."""

    async def outcome(self, clientClass: type[drivers.Driver]) -> str:
        """Return what becomes of the message that comes after a client gave up."""
        queue = f"given-up-{clientClass.__name__}"
        client = clientClass()
        client.patience = SHORT
        await client.connect(cases.server().port)
        self.addCleanup(client.close)
        await client.push(queue, b"so that there is a queue")
        await client.pop(queue)
        try:
            given: Message | None = await client.pop(f"{queue}/t=20000")
        except ClientFailure:
            given = None
        self.assertIsNone(given)
        # A message that comes now goes where nobody reads it, unless the client's
        # system says that the connection is closed: then it goes back.
        cases.server().put(queue.encode(), b"late")
        left = cases.server().ask(b"get %b/t=%d" % (queue.encode(), NOTICED))
        return KEEPS if b"late" in left else LOSES

    async def test_table(self) -> None:
        """Those that close their connection keep it in its queue; others lose it."""
        for clientClass, told in TABLE.items():
            found = await self.outcome(clientClass)
            self.assertEqual(found, told, clientClass.__name__)
