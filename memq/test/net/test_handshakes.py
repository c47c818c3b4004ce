"""Handshakes are bounded in number and in time."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol, ServerFactory

from memq.net.certificates import TLSSettings, load
from memq.net.handshakes import (
    BEGINNINGS,
    HANDSHAKES,
    INTERVAL,
    PENDING,
    SECONDS,
    STALLED,
    Handshakes,
)
from memq.net.tls import TLSFactory
from memq.test.support.certificates import files
from memq.test.support.stepped import SteppedReactor, SteppedTestCase
from memq.test.support.tlspeers import Beneath, Pair

#: Clients that begin, and do not go on.
MANY = 10_000


class Client:
    """A connection whose handshake is done when a test says so.

    :ivar cutAt: when it was cut off, None if it was not.
    """

    def __init__(self, handshakes: Handshakes, clock: SteppedReactor) -> None:
        """Connect."""
        self._handshakes = handshakes
        self._clock = clock
        self.cutAt: float | None = None
        self.hasBegun = False
        handshakes.arrive(self)

    def ask(self) -> bool:
        """Ask to begin, and return whether it did."""
        self.hasBegun = self._handshakes.ask(self)
        return self.hasBegun

    def begin(self) -> None:
        """Note it."""
        self.hasBegun = True

    def giveUp(self) -> None:
        """Note when."""
        self.cutAt = self._clock.seconds()
        self._handshakes.over(self)


class HandshakesTests(SteppedTestCase):
    """Connections that are not through."""

    def setUp(self) -> None:
        """Begin with none."""
        self.clock = SteppedReactor()
        self.handshakes = Handshakes(self.clock)

    def clients(self, number: int) -> list[Client]:
        """Return clients that have connected and asked."""
        clients = [Client(self.handshakes, self.clock) for _ in range(number)]
        for client in clients:
            client.ask()
        return clients

    def begun(self, clients: list[Client]) -> int:
        """Return how many have begun."""
        return sum(client.hasBegun for client in clients)

    def turn(self, seconds: float) -> None:
        """Let time go by, in small steps."""
        self.clock.pump([INTERVAL / 2] * round(seconds / INTERVAL * 2))

    def test_lone(self) -> None:
        """A lone client begins at once."""
        self.assertTrue(self.clients(1)[0].hasBegun)

    def test_rounds(self) -> None:
        """A few begin in each round of the reactor, until enough are under way."""
        clients = self.clients(HANDSHAKES + 3)
        for round in range(1, HANDSHAKES // BEGINNINGS + 1):
            self.assertEqual(self.begun(clients), round * BEGINNINGS)
            self.clock.iterate()
        self.assertEqual(self.begun(clients), HANDSHAKES)
        self.clock.iterate()
        self.assertEqual(self.begun(clients), HANDSHAKES)

    def test_turns(self) -> None:
        """All of many that are honest get their turn; the newest is the first."""
        clients = self.clients(PENDING)
        rounds = 0
        while self.handshakes.pending:
            for client in list(self.handshakes.shaking):
                self.handshakes.over(client)
            self.clock.iterate()
            rounds += 1
        self.assertEqual(rounds, PENDING // BEGINNINGS)
        self.assertEqual(self.begun(clients), PENDING)
        self.assertEqual({client.cutAt for client in clients}, {None})

    def test_newestFirst(self) -> None:
        """The newest of those that wait is the next."""
        clients = self.clients(BEGINNINGS + 5)
        self.clock.iterate()
        self.assertFalse(clients[BEGINNINGS].hasBegun)
        self.assertTrue(clients[-1].hasBegun)

    def test_notPast(self) -> None:
        """Nobody goes past those that wait."""
        self.clients(BEGINNINGS + 1)
        self.handshakes._begun = 0
        self.assertFalse(self.clients(1)[0].hasBegun)

    def test_time(self) -> None:
        """A client has 10 s, whether it says something or not."""
        silent = Client(self.handshakes, self.clock)
        [begun] = self.clients(1)
        self.turn(SECONDS - INTERVAL)
        self.assertIsNone(begun.cutAt)
        self.turn(INTERVAL)
        self.assertEqual((silent.cutAt, begun.cutAt), (SECONDS, SECONDS))
        self.assertEqual(self.handshakes.pending, {})
        self.turn(INTERVAL)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stalled(self) -> None:
        """Those that stand still make room for those that wait."""
        stalled = self.clients(HANDSHAKES)
        self.turn(STALLED * 2)
        self.assertEqual(self.begun(stalled), HANDSHAKES)
        self.assertEqual({client.cutAt for client in stalled}, {None})
        [waiting] = self.clients(1)
        self.assertFalse(waiting.hasBegun)
        self.turn(INTERVAL * 2)
        self.assertTrue(waiting.hasBegun)
        self.assertNotIn(None, {client.cutAt for client in stalled})
        self.assertIsNone(waiting.cutAt)

    def test_late(self) -> None:
        """One that is late and stands still is cut off once."""
        first = self.clients(HANDSHAKES)
        self.turn(SECONDS - INTERVAL)
        self.clients(1)
        self.turn(INTERVAL)
        self.assertEqual({client.cutAt for client in first}, {SECONDS})

    def test_tooMany(self) -> None:
        """The oldest is cut off when there are too many."""
        clients = self.clients(PENDING + 2)
        cut = [client.cutAt is not None for client in clients]
        self.assertEqual(cut, [True] * 2 + [False] * PENDING)
        self.assertEqual(len(self.handshakes.pending), PENDING)

    def test_failed(self) -> None:
        """One that failed leaves its place, and is still cut off if it does not go."""
        [client] = self.clients(1)
        self.handshakes.done(client)
        self.assertEqual(self.handshakes.shaking, {})
        self.turn(SECONDS)
        self.assertEqual(client.cutAt, SECONDS)


class HostileTests(SteppedTestCase):
    """Many clients that begin a handshake and do not go on."""

    def setUp(self) -> None:
        """Make a port."""
        self.clock = SteppedReactor()
        context = load(TLSSettings(*files().server)).context
        wrapped: Any = ServerFactory.forProtocol(Protocol)
        self.factory = TLSFactory(wrapped, lambda: context, self.clock)

    def test_halfDone(self) -> None:
        """10,000 hold no more than few; an honest one is served, and all end."""
        context = files().clientContext()
        hello = Pair(self.factory, context).hello()
        handshakes = self.factory.handshakes
        transports = []
        for number in range(MANY):
            transports.append(Beneath())
            server = self.factory.buildProtocol(None)
            server.makeConnection(transports[-1])
            # Every other one stops in the middle of what it says first.
            server.dataReceived(hello[: None if number % 2 else 100])
            self.assertLessEqual(len(handshakes.pending), PENDING)
            self.assertLessEqual(len(handshakes.shaking), HANDSHAKES)
            if not number % 64:
                self.clock.advance(0)
        honest = Pair(self.factory, context)
        honest.send(honest.hello())
        waited = 0.0
        while not honest.beneath.value():
            self.clock.advance(INTERVAL)
            waited += INTERVAL
        self.assertLessEqual(waited, 2 * STALLED)
        honest.take()
        honest.shake()
        self.assertIsNotNone(honest.above)
        self.clock.pump([INTERVAL] * round(SECONDS / INTERVAL))
        self.assertEqual(handshakes.pending, {})
        self.assertTrue(all(each.disconnecting for each in transports))
