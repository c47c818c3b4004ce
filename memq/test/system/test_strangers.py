"""Clients that do not come in, however many, do not hurt those that have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.test.support.certificates import files
from memq.test.support.load.hostile import staged
from memq.test.support.servers import scratch, started
from memq.test.system.test_hostile import MEGABYTE, HostileTestCase
from testkit.strangers import (
    PASSWORD,
    TOKEN,
    Flood,
    configuration,
    enter,
    hello,
    inPacket,
    inText,
    portsOf,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from memq.test.support.load.hostile import Scene

#: What an honest client is told.
SERVED = b"STORED\r\nSTORED\r\nVALUE honest 0 1\r\nx\r\nEND\r\n"
#: Clients of each attack.
COUNT = 1500


class StrangersTestCase(HostileTestCase):
    """A server that asks some who they are, and not others."""

    def attack(
        self,
        entrance: str,
        pieces: Callable[[int], Sequence[bytes]],
        limit: int,
        then: Callable[[Scene, Flood], object] = lambda *_: None,
    ) -> Flood:
        """Let clients attack an entrance; others are served, and honest ones enter.

        :param entrance: a field of Ports.
        :param limit: the most memory that it may cost.
        :param then: is done while all are still there.
        """
        where = configuration(scratch(self), *files().server)
        server = started(self, "--no-sync", "--config", where)
        self.ports = portsOf(server)
        server.port = self.ports.free
        self.server = server
        with staged(self, server) as scene:
            flood = Flood(getattr(self.ports, entrance), COUNT, pieces, COUNT)
            self.addCleanup(flood.close)
            scene.othersAreServed(lambda: flood.goOn(10))
            scene.waitFor(lambda: flood.goOn(10))
            self.honest()
            then(scene, flood)
            flood.close()
            self.assertLess(scene.growth(), limit)
        self.assertNotIn("Traceback", "\n".join(server.log))
        return flood

    def honest(self) -> None:
        """An honest client comes in, with TLS and without."""
        context = files().clientContext()
        said = inText(b"shop", TOKEN)
        self.assertEqual(enter(self.ports.secured, context, said), SERVED)
        self.assertEqual(enter(self.ports.asks, None, said), SERVED)
        wrong = enter(self.ports.asks, None, inText(b"shop", b"wrong"))
        self.assertEqual(wrong, b"CLIENT_ERROR authentication failure\r\n")


class HandshakeTests(StrangersTestCase):
    """Handshakes whose end does not come."""

    def test_halfDone(self) -> None:
        """Those that stop in the middle take no more than a bounded number does."""
        first = hello()
        self.attack("secured", lambda number: [first], 96 * MEGABYTE)

    def test_partial(self) -> None:
        """So do those that stop at once, in the middle of what they say, or never."""
        first = hello()
        sizes = 0, 1, 5, 100, len(first) - 1
        self.attack(
            "secured", lambda number: [first[: sizes[number % 5]]], 64 * MEGABYTE
        )

    def test_wrong(self) -> None:
        """What is no TLS is ended at once, and costs next to nothing."""

        def ended(scene: Scene, flood: Flood) -> None:
            scene.waitFor(lambda: flood.goOn(0) and flood.isOver)

        said = b"get q\r\n"
        flood = self.attack("secured", lambda number: [said], 32 * MEGABYTE, ended)
        self.assertEqual(flood.ended, COUNT)


class LoginTests(StrangersTestCase):
    """Logins that fail."""

    def test_tokens(self) -> None:
        """Wrong secrets, in text and by SASL, cost others nothing."""
        ways = inText, inPacket

        def answered(scene: Scene, flood: Flood) -> None:
            scene.waitFor(lambda: flood.goOn(0) and flood.answers > 0)

        self.attack(
            "asks",
            lambda number: [ways[number % 2](b"shop", b"wrong-%d" % number)] * 3,
            48 * MEGABYTE,
            answered,
        )
        figures = self.server.figures()
        self.assertGreater(int(figures[b"auth_errors"]), 0)

    def test_unfinished(self) -> None:
        """Those that do not say all that they announced are ended for others."""
        self.attack(
            "asks",
            lambda number: [b"set auth 0 0 16000\r\nshop " + b"x" * 9000],
            64 * MEGABYTE,
        )

    def test_password(self) -> None:
        """Whoever has a password comes in when the attack is over."""
        flood = self.attack(
            "asks", lambda number: [inText(b"ops", b"%d" % number)] * 3, 96 * MEGABYTE
        )
        self.assertGreater(flood.begun, 0)
        said = inText(b"ops", PASSWORD)
        answers: Iterator[bytes] = iter(lambda: enter(self.ports.asks, None, said), b"")
        self.assertIn(SERVED, answers)
