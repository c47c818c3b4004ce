"""Factories of listeners: what they ask of clients, and what they count together."""

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent

from memq.access.admission import Admission
from memq.access.rights import Rights
from memq.access.secrets import TokenHash
from memq.access.users import User, Users
from memq.server import entrances
from memq.test.support.harness import Harness
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedTestCase

SHOP = User("shop", Rights(), (TokenHash.of(b"abc"),), unix=frozenset([5]))
ASKS = Admission(ways=frozenset(["password"]))
UNAUTHENTICATED = b"CLIENT_ERROR unauthenticated\r\n"
LATE = Admission(ways=frozenset(["peer"]), whenUsers=True)


class StrangerTests(SteppedTestCase):
    """Clients that have still to say who they are."""

    def setUp(self) -> None:
        """Let the bound be small."""
        self.patch(entrances, "MOST_STRANGERS", 3)

    def test_most(self) -> None:
        """The oldest ends for the newest, and the log says so once a minute."""
        harness = Harness()
        harness.access.replace(Users([SHOP]))
        with capturedLogs() as events:
            clients = [harness.connect(admission=ASKS) for _ in range(6)]
        self.assertEqual([each.isClosed for each in clients], [True] * 3 + [False] * 3)
        expected = (
            "1 clients are cut off that did not say who they are, the last one "
            "192.168.1.1:54321: there are too many of them"
        )
        self.assertEqual([formatEvent(event) for event in events], [expected])
        for client in clients:
            client.end()

    def test_known(self) -> None:
        """Those who are known, or have left, are not counted."""
        harness = Harness()
        harness.access.replace(Users([SHOP]))
        oldest = harness.connect(admission=ASKS)
        for _ in range(4):
            harness.connect(admission=ASKS).end()
            known = harness.connect(admission=ASKS)
            self.assertEqual(known.talk(b"set a 0 0 8\r\nshop abc\r\n"), b"STORED\r\n")
        self.assertFalse(oldest.isClosed)

    def test_full(self) -> None:
        """Where all connections are open, the oldest ends for anybody."""
        harness = Harness(maxConnections=2)
        harness.access.replace(Users([SHOP]))
        known, stranger = harness.connect(), harness.connect(admission=ASKS)
        last = harness.connect()
        self.assertTrue(stranger.isClosed)
        self.assertEqual(last.talk(b"version\r\n"), VERSION)
        self.assertIn(b"too many", harness.connect().read())
        self.assertFalse(known.isClosed)


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
        harness.access.replace(Users([SHOP]))
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
        harness.access.replace(Users([SHOP]))
        harness.settle()
        self.assertTrue(late.isClosed)
        self.assertEqual(always.talk(b"version\r\n"), VERSION)

    def test_usersGo(self) -> None:
        """A client gets the rights that its user has by now, or is cut off."""
        harness = Harness()
        access = harness.access
        access.replace(Users([SHOP]))
        refused = harness.connect(admission=LATE)
        client = harness.connect(admission=Admission("shop"))
        user = SHOP._replace(rights=Rights(write=[b"*"]))
        access.replace(Users([user]))
        self.assertIs(client.protocol.user, user)
        access.replace(Users())
        harness.settle()
        self.assertTrue(client.isClosed)
        self.assertTrue(refused.isClosed)
