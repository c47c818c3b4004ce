"""Tests for testkit.workers: the ledger hears of every answer."""

from __future__ import annotations

from contextlib import closing
from socket import socketpair

from twisted.trial.unittest import SynchronousTestCase

from testkit.ledger import Ledger
from testkit.servers import PATIENCE
from testkit.wire import Wire
from testkit.workers import (
    Command,
    DeleteOne,
    GetSome,
    Load,
    OpenSome,
    SetOne,
    exchange,
)


class WorkersTests(SynchronousTestCase):
    """Commands, and servers that answer this and that."""

    #: That of the first message, and its line end.
    body = b"q 0 0 ".ljust(60, b".") + b"\n\r\n"

    def setUp(self) -> None:
        """Begin with nothing."""
        self.ledger = Ledger()
        self.producer = self.ledger.producer()

    def answer(self, command: Command, answer: bytes) -> bytes:
        """Send a command to whoever answers so and leaves; return what was sent."""
        ours, theirs = socketpair()
        theirs.sendall(answer)
        with closing(theirs), closing(Wire(ours)) as wire:
            exchange(wire, [command])
            return theirs.recv(1000)

    def set(self, queue: bytes = b"q") -> SetOne:
        """Return a set."""
        return SetOne(self.ledger, queue, self.producer, 0)

    def test_messages(self) -> None:
        """Messages are set and got, and the ledger is content."""
        body = self.body
        sent = self.answer(self.set(), b"STORED\r\n")
        self.assertEqual(sent, b"set q 0 0 61\r\n" + body)
        get = GetSome(self.ledger, [b"p", b"q", b"r"])
        sent = self.answer(get, b"VALUE q 0 61\r\n" + body + b"END\r\n")
        self.assertEqual(sent, b"get p q r\r\n")
        self.assertEqual((self.ledger.stored, self.ledger.given), (1, 1))
        self.ledger.check({b"q": (1, 1)})
        self.assertEqual(self.ledger.complaints, [])

    def test_waits(self) -> None:
        """A message that was waited for is got."""
        self.answer(self.set(), b"STORED\r\n")
        get = GetSome(self.ledger, [b"q"], options=b"/t=5")
        value = b"VALUE q/t=5 0 61\r\n" + self.body + b"END\r\n"
        self.assertEqual(self.answer(get, value), b"get q/t=5\r\n")
        self.ledger.check({b"q": (1, 1)})
        self.assertEqual(self.ledger.complaints, [])

    def test_opens(self) -> None:
        """What was opened is got once it is closed, and not if it goes back."""
        value = b"VALUE q/open 0 61\r\n" + self.body + b"END\r\n"
        self.answer(self.set(), b"STORED\r\n")
        for end, taken in ((b"abort", 0), (b"close", 1)):
            opened = OpenSome(self.ledger, b"q", 2, end)
            sent = self.answer(opened, b"END\r\n" * 3)
            self.assertEqual(
                sent, b"get q/open\r\nget q/close/open\r\nget q/%b\r\n" % end
            )
            self.answer(OpenSome(self.ledger, b"q", 1, end), value + b"END\r\n")
            self.assertEqual(self.ledger.given, taken)
        self.ledger.check({b"q": (1, 1)})
        self.assertEqual(self.ledger.complaints, [])

    def test_deletes(self) -> None:
        """A queue that is deleted is not expected any more."""
        self.answer(self.set(), b"STORED\r\n")
        sent = self.answer(DeleteOne(self.ledger, b"q"), b"DELETED\r\n")
        self.assertEqual(sent, b"delete q\r\n")
        self.ledger.check({})
        self.assertEqual(self.ledger.complaints, [])

    def test_errors(self) -> None:
        """Every answer that is none is complained of."""
        commands: list[Command] = [
            self.set(),
            GetSome(self.ledger, [b"q"]),
            DeleteOne(self.ledger, b"q"),
        ]
        for command in commands:
            self.answer(command, b"SERVER_ERROR no\r\n")
        self.assertEqual(
            self.ledger.complaints,
            [
                f"a {what} was answered b'SERVER_ERROR no'"
                for what in ("set", "get", "delete")
            ],
        )

    def test_ends(self) -> None:
        """An answer that breaks off is no answer."""
        cases: list[tuple[Command, bytes]] = [
            (self.set(), b"STO"),
            (GetSome(self.ledger, [b"q"]), b"VALUE q 0 61\r\nq 0 0 "),
        ]
        for command, answer in cases:
            ours, theirs = socketpair()
            with closing(Wire(ours)) as wire:
                theirs.sendall(answer)
                theirs.close()
                self.assertRaises(ConnectionError, command.read, wire)
        self.assertEqual((self.ledger.stored, self.ledger.given), (0, 0))

    def load(self, answer: bytes, ends: bool) -> None:
        """Let a worker send sets to whoever answers so and leaves."""
        ours, theirs = socketpair()
        theirs.sendall(answer)
        load = Load(self.ledger, lambda: ours)
        if ends:
            load.ends()
        load.start([lambda: [self.set()]], 1)
        self.assertTrue(load.enough.wait(PATIENCE))
        theirs.close()
        load.join()

    def test_endOfTheServer(self) -> None:
        """A connection that ends with its server is as it should be."""
        self.load(b"STORED\r\n", True)
        self.assertEqual(self.ledger.complaints, [])

    def test_endOfAConnection(self) -> None:
        """One that ends before is complained of."""
        self.load(b"STORED\r\n", False)
        (complaint,) = self.ledger.complaints
        self.assertIn("a client met ", complaint)
