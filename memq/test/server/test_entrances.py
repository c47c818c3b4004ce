"""Factories of listeners: what they ask of clients, and what they count together."""

from __future__ import annotations

from memq.access.admission import Admission
from memq.access.rights import Rights
from memq.access.users import User, Users
from memq.test.support.harness import Harness
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedTestCase

SHOP = User("shop", Rights(), unix=frozenset([5]))
UNAUTHENTICATED = b"CLIENT_ERROR unauthenticated\r\n"
LATE = Admission(ways=frozenset(["peer"]), whenUsers=True)


class EntranceTests(SteppedTestCase):
    """Clients that come by listeners."""

    def test_together(self) -> None:
        """All listeners have one bound."""
        harness = Harness(maxConnections=1)
        harness.connect(admission=LATE)
        self.assertIn(b"too many", harness.connect().read())
        self.assertEqual(harness.statistics.connections, 1)

    def test_user(self) -> None:
        """A listener is a user; whoever comes while there is none is refused."""
        harness = Harness()
        harness.factory.access.replace(Users([SHOP]))
        client = harness.connect(admission=Admission("shop"))
        self.assertEqual(client.talk(b"version\r\n"), VERSION)
        self.assertIs(client.protocol.user, SHOP)
        other = harness.connect(admission=Admission("other"))
        self.assertEqual(other.read(), UNAUTHENTICATED)
        self.assertTrue(other.isClosed)

    def test_usersCome(self) -> None:
        """A listener that is open without users cuts its clients off with the first."""
        harness = Harness()
        late, always = harness.connect(admission=LATE), harness.connect()
        self.assertIsNone(late.protocol.user)
        harness.factory.access.replace(Users([SHOP]))
        self.assertTrue(late.isClosed)
        self.assertEqual(always.talk(b"version\r\n"), VERSION)

    def test_usersGo(self) -> None:
        """A client gets the rights that its user has by now, or is cut off."""
        harness = Harness()
        access = harness.factory.access
        access.replace(Users([SHOP]))
        refused = harness.connect(admission=LATE)
        client = harness.connect(admission=Admission("shop"))
        user = SHOP._replace(rights=Rights(write=[b"*"]))
        access.replace(Users([user]))
        self.assertIs(client.protocol.user, user)
        access.replace(Users())
        self.assertTrue(client.isClosed)
        self.assertTrue(refused.isClosed)
