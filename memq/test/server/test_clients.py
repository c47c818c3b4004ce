"""The figures of each connection, and its end by somebody's word."""

from __future__ import annotations

from memq.access.admission import Admission
from memq.access.rights import Rights
from memq.access.users import User, Users
from memq.server.clients import ClientFigures, figuresOf, kill
from memq.test.support.harness import Harness, Transport
from memq.test.support.stepped import SteppedTestCase

PEER = "192.168.1.1:54321"


class _Counted(Transport):
    """A transport whose kernel counts."""

    def traffic(self) -> tuple[int, int]:
        """Return how many bytes came and went."""
        return 7, 9

    def abortConnection(self) -> None:
        """Note it."""
        self.aborting = True


class ClientTestCase(SteppedTestCase):
    """Has a server."""

    def setUp(self) -> None:
        """Have no connection yet."""
        self.harness = Harness()
        self.connections = self.harness.factory.connections

    def one(self) -> ClientFigures:
        """Return the figures of the only connection."""
        (found,) = figuresOf(self.connections)
        return found


class FigureTests(ClientTestCase):
    """What is told of connections."""

    def test_new(self) -> None:
        """One that has said nothing yet."""
        self.harness.timeOfDay = 12.5
        self.harness.connect()
        expected = (1, PEER, None, 12.5, "text", None, None, 0, None, 0)
        self.assertEqual(self.one(), expected)

    def test_binary(self) -> None:
        """One that speaks the binary protocol."""
        self.harness.connect().talk(bytes([0x80, 0x0A]) + bytes(22))
        self.assertEqual(self.one().protocol, "binary")

    def test_user(self) -> None:
        """One whose user is known, and one that is about to say it in packets."""
        asks = Admission(ways=frozenset(["password"]))
        self.harness.access.replace(Users([User("a shop\r", Rights())]))
        self.harness.connect(admission=Admission("a shop\r"))
        self.harness.connect(admission=asks).send(b"\x80")
        users = [(each.user, each.protocol) for each in figuresOf(self.connections)]
        self.assertEqual(users, [("a shop\\r", "text"), (None, "binary")])
        told = self.harness.connect().talk(b"stats conns\r\n")
        self.assertIn(b"STAT 1:user a_shop\\r\r\n", told)
        self.assertNotIn(b"STAT 2:user", told)

    def test_traffic(self) -> None:
        """Bytes are those that the kernel has counted."""
        self.harness.connect(_Counted())
        self.assertEqual((self.one().received, self.one().sent), (7, 9))

    def test_open(self) -> None:
        """What it has open, and waits for, and is not answered."""
        client = self.harness.connect()
        client.talk(b"set q 0 0 1\r\nx\r\n" * 2 + b"get q/open\r\nget r/t=9000\r\n")
        client.send(b"get q\r\nversion\r\n")
        found = self.one()
        self.assertEqual((found.open, found.waits, found.outstanding), (1, b"r", 3))

    def test_waitsForSeveral(self) -> None:
        """Of several queues that it waits for, one is told."""
        self.harness.connect().talk(b"get a/any/t=9000 b/any/t=9000\r\n")
        self.assertIn(self.one().waits, (b"a", b"b"))
        self.assertEqual(self.one().outstanding, 1)

    def test_some(self) -> None:
        """They are told in the order in which they came, some at a time."""
        clients = [self.harness.connect() for _ in range(4)]
        clients[1].leave()
        found = [each.id for each in figuresOf(self.connections, 0, 2)]
        self.assertEqual(found, [1, 3])
        found = [each.id for each in figuresOf(self.connections, 3, 2)]
        self.assertEqual(found, [4])
        self.assertEqual(figuresOf(self.connections, 4), [])


class KillTests(ClientTestCase):
    """Connections are cut off."""

    def test_kill(self) -> None:
        """One is, and no other."""
        first, second = [self.harness.connect(_Counted()) for _ in range(2)]
        self.assertEqual(kill(self.connections, 2), PEER)
        isCut = [hasattr(each.transport, "aborting") for each in (first, second)]
        self.assertEqual(isCut, [False, True])

    def test_none(self) -> None:
        """There has to be one."""
        self.harness.connect(_Counted())
        self.assertIsNone(kill(self.connections, 2))
