"""The clients that can tell who they are, through the cases, while they are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.test.clients import cases
from memq.test.clients.access import users

if TYPE_CHECKING:
    from memq.test.clients.client import Client
    from testkit.servers import Server


class TLSPymemcacheTests(users.KnownCase):
    """pymemcache over TLS, with a certificate."""

    clientClass = users.TLSPymemcache

    async def connect(self, to: Server) -> Client:
        """Return a client that is connected to the port with TLS."""
        assert isinstance(to, users.GuardedServer)
        client = self.clientClass()
        await client.connect(to.tlsPort)
        self.addCleanup(client.close)
        return client


class PylibmcTests(users.KnownCase):
    """pylibmc."""

    clientClass = users.Pylibmc

    async def test_stats(self) -> None:
        """The general statistics arrive."""
        counts = await self.client.stats()
        self.assertEqual(counts["pid"], str(self.server().pid))


cases.define(
    globals(),
    users.Emcache,
    users.AiskMemcache,
    users.Bmemcached,
    users.Memjs,
    users.PHPMemcached,
    users.Spymemcached,
    case=users.KnownCase,
)
