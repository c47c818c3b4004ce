"""Clients whose own time-out is over before a read that waits is answered."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from twisted.trial.unittest import TestCase

from memq.test.clients import cases, drivers, fetched
from memq.test.clients.client import SPOKEN, ClientFailure

if TYPE_CHECKING:
    from memq.test.clients.client import Message

#: What becomes of the connection; docs/clients.md says the same.
CLOSES, STAYS = "closes", "stays"
TABLE: dict[type[drivers.Driver], str] = {
    drivers.CacheMemcachedFast: CLOSES,
    fetched.Bmemcached: CLOSES,
    fetched.Dalli: CLOSES,
    fetched.Emcache: STAYS,
    fetched.Gomemcache: CLOSES,
    fetched.MemcacheClient: STAYS,
    fetched.Memjs: CLOSES,
    fetched.MetaDalli: CLOSES,
    fetched.MetaMemcache: CLOSES,
    fetched.Spymemcached: STAYS,
    fetched.BinarySpymemcached: STAYS,
}
#: Seconds that they wait, and then those in which a closed connection is noticed.
SHORT, NOTICED = 0.3, 0.5


class TimeoutTests(TestCase):
    """Reads that a client gives up."""

    async def outcome(self, clientClass: type[drivers.Driver]) -> str:
        """Return what becomes of a connection, and check what of a message."""
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
        found = CLOSES if self.isLeft(queue.encode()) else STAYS
        # A message that comes now goes where nobody reads it, or waits for the next.
        cases.server().put(queue.encode(), b"late")
        left = cases.server().take(queue.encode())
        self.assertEqual(left, [b"late"] if found == CLOSES else [], clientClass)
        return found

    def isLeft(self, queue: bytes) -> bool:
        """Return whether nobody waits for a queue's messages any more, or soon."""
        limit = monotonic() + NOTICED
        with cases.server().wire() as wire:
            while monotonic() < limit:
                if (
                    wire.figures(b"detail " + queue)[b"queue_%b_waiters" % queue]
                    == b"0"
                ):
                    return True
        return False

    async def test_table(self) -> None:
        """Some close their connection and lose nothing, others stay and lose one."""
        table = {each: told for each, told in TABLE.items() if each.protocol in SPOKEN}
        found = {each: await self.outcome(each) for each in table}
        self.assertEqual(found, table)
