"""Moves, redrives and what is told of a dead letter, as a client sees them."""

from __future__ import annotations

from memq.errors import DamagedMessage, StoreError
from memq.operations.moves import _Moving
from memq.test.commands.test_protocol import END, STORED, ProtocolTestCase, put, value
from memq.test.support.harness import Harness
from memq.test.support.readers import rules
from memq.test.support.sessions import SessionTestCase, sessions


@sessions(
    {
        "A move takes all, or so many.": """
            > set q 0 0 1 | a -> STORED
            > set q 0 0 1 | b -> STORED
            > set q 0 0 1 | c -> STORED
            > move q r 1 -> MOVED 1
            > move q r -> MOVED 2
            > move q r -> MOVED 0
            > gets r r r
            < VALUE r 0 1 0
            < a
            < VALUE r 0 1 1
            < b
            < VALUE r 0 1 2
            < c
            < END
            > stats queue -> STAT q 3/3 | STAT r 3/3 | END
        """,
        "A target that is full or paused is told when it took nothing.": """
            > set q 0 0 1 | a -> STORED
            > set q 0 0 1 | b -> STORED
            > add r 0 0 1 | 1 -> STORED
            > move q r -> MOVED 1
            > move q r -> NOT_STORED
            > pause p writes -> OK
            > move q p -> NOT_STORED
            > get q -> VALUE q 0 1 | b | END
            > move q r -> MOVED 0
        """,
        "A queue without dead letters has nothing to redrive.": """
            > set q 0 0 1 | a -> STORED
            > redrive q -> MOVED 0
            > redrive none -> MOVED 0
            > get q -> VALUE q 0 1 | a | END
        """,
        "What is told of no message is nothing.": """
            > stats peek none -> END
            > stats peek -> ERROR
            > stats peek a/b -> CLIENT_ERROR bad command line format
        """,
    }
)
class MoveSessions(SessionTestCase):
    """Sessions with a server that has no rules."""


class DeadLetterTests(ProtocolTestCase):
    """The way of a dead letter, there and back."""

    def setUp(self) -> None:
        """Have rules: q gives up after two deliveries, and old messages go as well."""
        super().setUp()
        self.harness = Harness(
            rules=rules(
                q={"max_deliveries": 2, "dead_letter": b"failed"},
                old={"max_age": 1000, "expired_to": b"failed"},
            )
        )
        self.client = self.harness.connect()

    def bury(self, *bodies: bytes) -> None:
        """Let messages of q fail for good."""
        for body in bodies:
            self.client.talk(put(b"q", body))
            for _ in range(2):
                self.client.talk(b"get q/open\r\nget q/abort\r\n")

    def test_thereAndBack(self) -> None:
        """It is told where it came from, and comes back behind the others, as new."""
        self.harness.timeOfDay = 5.0
        self.bury(b"a", b"b")
        self.asks(put(b"q", b"c") + put(b"failed", b"own"), STORED * 2)
        told = self.client.talk(b"stats peek failed\r\n").split(b"\r\n")
        self.assertEqual(
            told[5:],
            [
                b"STAT deliveries 0",
                b"STAT origin q",
                b"STAT reason deliveries",
                b"STAT since 5000",
                b"STAT deliveries_before 2",
                b"END",
                b"",
            ],
        )
        self.asks(b"redrive failed 1\r\nredrive failed\r\n", b"MOVED 1\r\nMOVED 1\r\n")
        found = value(b"q", b"c") + value(b"q", b"a")
        self.asks(
            b"get q q\r\nget failed\r\n", found + END + value(b"failed", b"own") + END
        )
        # It has two tries again.
        self.client.talk(b"get q/open\r\nget q/abort\r\n")
        self.asks(b"get q\r\n", value(b"q", b"b") + END)

    def test_expired(self) -> None:
        """So does one that was too old, which then has its time again."""
        self.client.talk(put(b"old", b"a"))
        self.harness.store.seconds = lambda: self.harness.timeOfDay
        self.harness.timeOfDay = 1.5
        self.asks(b"get old\r\n", END)
        told = self.client.talk(b"stats peek failed\r\n")
        self.assertIn(b"STAT reason expired\r\nSTAT since 1500\r\n", told)
        self.asks(
            b"redrive failed\r\nget old\r\n", b"MOVED 1\r\n" + value(b"old", b"a") + END
        )

    def test_pausedOrigin(self) -> None:
        """While its first queue takes nothing, it stays, and that is told."""
        self.bury(b"a")
        self.asks(b"pause q\r\nredrive failed\r\n", b"OK\r\nNOT_STORED\r\n")
        self.asks(b"resume q\r\nredrive failed\r\n", b"OK\r\nMOVED 1\r\n")

    def test_deliveries(self) -> None:
        """How often a message was tried is told while it is in its queue."""
        self.client.talk(put(b"q", b"a") + b"get q/open\r\nget q/abort\r\n")
        told = self.client.talk(b"stats peek q\r\n")
        self.assertTrue(told.endswith(b"STAT deliveries 1\r\n" + END), told)

    def test_many(self) -> None:
        """One answer adds up what all slices have moved, and comes in its place."""
        self.harness.store.fill(b"m", *[b""] * 1000)
        told = self.client.talk(b"move m n\r\nstats queue\r\nversion\r\n")
        self.assertTrue(told.startswith(b"MOVED 1000\r\nSTAT m 1000/1000\r\n"), told)

    def test_failed(self) -> None:
        """A store that fails is told, whatever has moved before."""
        self.harness.store.fill(b"m", *[b"%d" % n for n in range(300)])
        self.harness.store.refuse("push", StoreError("no"), b"n", b"250")
        self.asks(b"move m n\r\n", b"SERVER_ERROR no\r\n")
        self.asks(b"stats queue\r\n", b"STAT m 300/224\r\nSTAT n 224/0\r\n" + END)

    def test_stop(self) -> None:
        """A stop ends it, and the answer says how many have moved."""
        self.harness.store.fill(b"m", *[b"%d" % n for n in range(300)])
        broker = self.harness.broker
        goOn = _Moving._goOn

        def stop(move: _Moving) -> None:
            goOn(move)
            broker.isStopping = True

        self.patch(_Moving, "_goOn", stop)
        told = self.client.talk(b"move m n\r\n")
        moved = self.harness.store.kept(b"n").items
        self.assertTrue(0 < moved < 300)
        words = b"SERVER_ERROR the server is stopping, moved %d\r\n"
        self.assertEqual(told, words % moved)
        self.asks(b"move m n\r\nredrive m\r\n", 2 * (words % 0))
        broker.isStopping = False

    def test_fullDisk(self) -> None:
        """A full disk refuses it."""
        self.harness.fillDisk()
        self.asks(b"move m n\r\n", b"SERVER_ERROR out of disk space\r\n")

    def test_damaged(self) -> None:
        """A damaged head is told as an error."""
        self.client.talk(put(b"m", b"a"))
        error = DamagedMessage("number 0")
        self.patch(self.harness.store, "peek", lambda queue: error)
        told = self.client.talk(b"stats peek m\r\n")
        self.assertEqual(told, error.reply + b"\r\n")
