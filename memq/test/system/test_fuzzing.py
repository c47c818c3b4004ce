"""The fuzzer's corpus, its past findings, and faults that it would notice."""

from __future__ import annotations

from twisted.logger import Logger

from memq.connection.receiver import CommandReceiver
from memq.errors import QueueError
from memq.storage.memory import MemoryStore
from memq.storage.record import packPart
from memq.test.support import fuzztargets
from memq.test.support.fuzztargets import (
    CORPUS,
    TARGETS,
    checkReplies,
    protocol,
    records,
)
from memq.test.support.stepped import SteppedTestCase
from memq.test.support.twins import twins


class FuzzingTests(SteppedTestCase):
    """The functions that the fuzzer calls."""

    def test_corpus(self) -> None:
        """Everything in the corpus keeps what is promised."""
        for name, target in TARGETS.items():
            for data in CORPUS[name]:
                target(data)

    def test_everyPiece(self) -> None:
        """So does every beginning of a short input, in pieces of every size."""
        for data in CORPUS["protocol"]:
            if len(data) < 100:
                for size in range(len(data)):
                    protocol(bytes([size]) + data[1:])
                    protocol(data[: size + 1])

    def test_nothing(self) -> None:
        """No bytes at all are no harm."""
        protocol(b"")
        records(b"")
        twins(b"")

    def test_replies(self) -> None:
        """Output that is no whole reply is noticed."""
        checkReplies(b"VALUE q 0 2\r\nhi\r\nEND\r\nSTAT q 1/0\r\n")
        for broken in (
            b"STORED",
            b"STORE\r\n",
            b"VALUE q 0 2\r\nhiEND\r\n",
            b"VALUE q 0 3\r\nhi\r\nEND\r\n",
            b"SERVER_ERROR Traceback (most recent call last):\r\n",
        ):
            self.assertRaises(AssertionError, checkReplies, broken)
        checkReplies(b"END\r\nVALUE q 0 200\r\nhi", mayBeCut=True)

    def test_outOfStep(self) -> None:
        """A server that takes a byte too much is noticed."""

        class Greedy(CommandReceiver):
            def setRawMode(self) -> None:
                self._missing += 1
                super().setRawMode()

        self.patch(fuzztargets, "CommandReceiver", Greedy)
        self.assertRaises(
            AssertionError, protocol, b"\1set q 0 0 1\r\nx\r\nversion\r\n"
        )

    def test_loggedError(self) -> None:
        """An error that is only logged is noticed."""

        def pushAll(store: MemoryStore, *_: object, **__: object) -> int:
            Logger().error("out of order")
            raise QueueError

        self.patch(MemoryStore, "pushAll", pushAll)
        self.assertRaises(AssertionError, protocol, b"\0set q 0 0 1\r\nx\r\n")

    def test_unreadable(self) -> None:
        """A record that passes for another one is noticed."""
        self.patch(fuzztargets, "unpackPart", lambda record: record[5:])
        for data in (b"", packPart(b"")):
            self.assertRaises(AssertionError, records, data)
