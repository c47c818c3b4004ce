"""Tests for bench.clusterclients: what is answered is in the account."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from bench.clusteraccount import CHAIN, CLOSE, PLAIN, Account, Bounds, Figures, judge
from bench.clusterclients import EMPTY, Client, Producer, Pulse, readerOf

if TYPE_CHECKING:
    from collections.abc import Callable

UNSURE = (
    b"SERVER_ERROR the queue servers did not answer in time: it may be stored or not"
)
FAILED = b"SERVER_ERROR the queue servers did not answer in time"


def message(number: int) -> bytes:
    """Return the reply to a read of a message, without its last line end."""
    body = b"%d" % number
    return b"VALUE q 0 %d\r\n%b\r\nEND" % (len(body), body)


class ClientTests(SynchronousTestCase):
    """Clients of a server that answers as it is told."""

    def play(
        self, make: type[Client], way: str, *replies: bytes, times: int = 1
    ) -> Figures:
        """Let a client go on its way, and return its account's figures."""
        self.account = Account(way)
        for _ in range(3 * (make is not Producer)):
            self.account.tell(self.account.send(), "stored")
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        theirs.sendall(b"".join(reply + b"\r\n" for reply in replies))
        theirs.shutdown(socket.SHUT_WR)
        client = make([self._refuse, lambda: ours], b"q", self.account)
        # It rests for no time.
        client.stop()
        for _ in range(times):
            client.go()
        client.leave()
        self.sent = theirs.recv(4096)
        return self.account.figures()

    def _refuse(self) -> socket.socket:
        raise ConnectionRefusedError

    def read(self, way: str, *replies: bytes, times: int = 1) -> Figures:
        """Let a reader read, and return its account's figures."""
        return self.play(readerOf(way), way, *replies, times=times)

    def test_set(self) -> None:
        """A set is stored, refused or unsure."""
        nothing = b"SERVER_ERROR no node took it: nothing is stored"
        full = b"SERVER_ERROR the queue servers are out of memory or disk space"
        for reply, found in {
            b"STORED": (1, 0, 0),
            b"NOT_STORED": (0, 0, 1),
            nothing: (0, 0, 1),
            full: (0, 0, 1),
            UNSURE: (0, 1, 0),
        }.items():
            figures = self.play(Producer, PLAIN, reply)
            told = figures.stored, figures.unsure, figures.refused
            self.assertEqual((told, self.account.strange), (found, []), reply)
        self.assertTrue(self.sent.startswith(b"set q 0 0 100\r\n1   "), self.sent)

    def test_setStrange(self) -> None:
        """An answer that no set has is told."""
        self.play(Producer, PLAIN, b"ERROR")
        self.assertEqual(self.account.strange, ["b'ERROR' to a set"])

    def test_setUnanswered(self) -> None:
        """A set without an answer may be stored."""
        figures = self.play(Producer, PLAIN)
        self.assertEqual((figures.unsure, figures.unanswered), (1, 1))

    def test_get(self) -> None:
        """A plain get takes a message, or none."""
        figures = self.read(PLAIN, message(2), b"END", times=2)
        self.assertEqual((figures.given, figures.lost, figures.errors), (1, 2, 0))
        self.assertEqual(self.sent, b"get q\r\nget q\r\n")

    def test_getFailed(self) -> None:
        """One that fails may have taken a message."""
        figures = self.read(PLAIN, FAILED, times=2)
        self.assertEqual((figures.errors, figures.unanswered), (2, 1))
        self.assertEqual(self.account.strange, [])
        self.read(PLAIN, b"CLIENT_ERROR no")
        self.assertEqual(self.account.strange, ["b'CLIENT_ERROR no' to a read"])

    def test_getCut(self) -> None:
        """A message has an end behind it."""
        self.read(PLAIN, message(2)[:-3] + b"SERVER_ERROR")
        self.assertEqual(self.account.strange, ["b'SERVER_ERROR' behind a message"])

    def test_close(self) -> None:
        """A message is gone when its close says so."""
        figures = self.read(CLOSE, message(1), b"END", b"END", message(2), times=3)
        self.assertEqual((figures.given, self.account.missing), (2, [3]))
        self.assertEqual(
            self.sent,
            b"get q/open\r\nget q/close\r\nget q/open\r\nget q/open\r\nget q/close\r\n",
        )

    def test_closeFailed(self) -> None:
        """It may be gone when its close fails; the reader begins anew."""
        figures = self.read(CLOSE, message(1), FAILED)
        self.assertEqual((figures.given, self.account.missing), (1, [2, 3]))

    def test_openFailed(self) -> None:
        """A failed open takes nothing."""
        figures = self.read(CLOSE, FAILED, times=2)
        self.assertEqual((figures.errors, figures.lost), (1, 3))

    def test_chain(self) -> None:
        """Each is gone when the next one comes, or none."""

        class Endless(readerOf(CHAIN)):  # type: ignore[misc]
            def rest(self, seconds: float) -> None:
                self.stop()

            def stop(self) -> None:
                pass

        replies = message(1), message(2), b"END"
        figures = self.play(Endless, CHAIN, *replies)
        self.assertEqual((figures.given, self.account.missing), (2, [3]))
        self.assertEqual(self.sent, b"get q/open\r\n" + 2 * b"get q/close/open\r\n")

    def test_chainFailed(self) -> None:
        """Of the one that was open nothing is sure then."""

        class Endless(readerOf(CHAIN)):  # type: ignore[misc]
            def rest(self, seconds: float) -> None:
                pass

            def stop(self) -> None:
                pass

        self.play(Endless, CHAIN, message(1), message(2), FAILED)
        self.assertEqual(self.account.missing, [3])

    def test_broken(self) -> None:
        """A client that fails by itself says so."""
        account = Account(PLAIN)
        connect: list[Callable[[], socket.socket]] = [lambda: {}[0]]  # type: ignore[index]
        Producer(connect, b"q", account).run()
        told = ["a client has failed: KeyError(0)", "nothing was stored"]
        expected = [f"get: {words}" for words in told]
        self.assertEqual(judge(account, Bounds(6.0)), expected)

    def test_nowhere(self) -> None:
        """Where nothing listens, it waits."""
        account = Account(PLAIN)
        client = Producer([self._refuse], b"q", account)
        client.stop()
        client.go()
        self.assertEqual(account.figures().sent, 0)


class PulseTests(SynchronousTestCase):
    """How late the machine is."""

    def test_longest(self) -> None:
        """The longest sleep counts, but for what it was to be."""
        pulse = Pulse()
        pulse.note(EMPTY + 0.5)
        pulse.note(EMPTY + 0.25)
        self.assertAlmostEqual(pulse.longest, 0.5)
        pulse.stop()
        pulse.run()
        self.assertAlmostEqual(pulse.longest, 0.5)
