"""What a client tells its caller when it is refused."""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from twisted.trial.unittest import TestCase

from memq.test.clients.access import users
from memq.test.clients.client import PATIENCE, ClientFailure
from memq.test.support.servers import started

if TYPE_CHECKING:
    from memq.test.clients.client import Client, Message
    from memq.test.clients.drivers import Driver

#: Seconds that one waits which tries again and again.
SHORT = 3.0
#: Is raised by one that takes a refusal for an empty queue.
NOTHING = "nothing"
#: No user has it.
WRONG = "token-of-nobody-1"


class Told(NamedTuple):
    """Words of what a client raises; docs/security.md says the same.

    :ivar unknown: when its secret is wrong.
    :ivar notAllowed: when it has not the right to take a message; nothing, where that
        is the same as an empty queue.
    """

    unknown: str
    notAllowed: str = ""


#: libmemcached's own words, and those of memjs, which tells the two apart by nothing.
_SASL, _MEMJS = "AUTHENTICATION FAILURE", "authentication failed"
TABLE: dict[type[Driver], Told] = {
    users.Emcache: Told("AuthenticationError", "not allowed"),
    users.AiskMemcache: Told("authentication failure", "not allowed"),
    users.Bmemcached: Told("Auth failure", "not allowed"),
    users.Memjs: Told(_MEMJS, _MEMJS),
    users.PHPMemcached: Told(_SASL),
    users.Pylibmc: Told(_SASL),
    # It tries again until its time-out.
    users.Spymemcached: Told("OperationTimeoutException"),
}


class RefusalsTests(TestCase):
    """Each client, refused."""

    async def connect(
        self, clientClass: type[Driver], user: str, secret: str
    ) -> Client:
        """Return a client that says that it is somebody."""
        client = clientClass()
        client.user, client.secret = user, secret
        if secret == WRONG and clientClass is users.Spymemcached:
            client.patience = SHORT
        await client.connect(users.server().port)
        self.addCleanup(client.close)
        return client

    async def raised(self, client: Client, queue: str) -> str:
        """Return what a client raises that asks for a message."""
        try:
            popped = await client.pop(queue)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        self.assertIsNone(popped)
        return NOTHING

    async def test_unknown(self) -> None:
        """A wrong secret is told, and nothing is taken."""
        users.server().put(b"unknown", b"1")
        for clientClass, told in TABLE.items():
            client = await self.connect(clientClass, "shop", WRONG)
            found = await self.raised(client, "unknown")
            self.assertIn(told.unknown, found, clientClass.__name__)
        self.assertEqual(users.server().take(b"unknown"), [b"1"])

    async def test_notAllowed(self) -> None:
        """A missing right is told, nothing is changed, and the client goes on."""
        users.server().put(b"orders", b"1")
        for clientClass, told in TABLE.items():
            client = await self.connect(clientClass, "buyer", users.BUYER)
            users.server().put(users.MAILS.encode(), b"hello")
            found = await self.raised(client, "orders")
            expected = told.notAllowed or NOTHING
            self.assertIn(expected, found, clientClass.__name__)
            stored = await client.push(users.MAILS, b"2")
            self.assertFalse(stored, clientClass.__name__)
            message = await self.again(client)
            assert message is not None
            self.assertEqual(message.body, b"hello", clientClass.__name__)
        self.assertEqual(users.server().take(b"orders"), [b"1"])

    async def test_authFile(self) -> None:
        """A server with memcached's file of users knows them, and nobody else."""
        path = os.path.abspath(self.mktemp())
        users.OpsServer.write(path, "old:swordfish\n")
        server = started(self, "--auth-file", path)
        for clientClass in (users.Emcache, users.PHPMemcached):
            for secret, stored in (("swordfish", True), ("catfish", False)):
                client = clientClass()
                client.user, client.secret = "old", secret
                await client.connect(server.port)
                self.addCleanup(client.close)
                self.assertEqual(await client.push("q", b"1"), stored)

    async def again(self, client: Client) -> Message | None:
        """Return the message that it may take; libmemcached leaves the server alone."""
        limit = monotonic() + PATIENCE
        while True:
            try:
                return await client.pop(users.MAILS)
            except ClientFailure:
                assert monotonic() < limit
