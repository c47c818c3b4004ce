"""Faults that the fuzzer of the binary protocol would notice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from memq.connection import connection
from memq.connection.packets import PacketReceiver
from memq.errors import QueueError
from memq.storage.memory import MemoryStore
from memq.test.support.packets import request
from memq.test.support.packettargets import PACKETS, packets, packetTwins
from memq.test.support.stepped import SteppedTestCase
from memq.wire import binary

if TYPE_CHECKING:
    from memq.message import Message

SET = "extras=0000000500000000"


class PacketFuzzingTests(SteppedTestCase):
    """The functions that the fuzzer calls."""

    def test_everyPiece(self) -> None:
        """Every beginning of a short input keeps what is promised, in any pieces."""
        for data in PACKETS:
            if len(data) < 60:
                for size in range(len(data)):
                    packets(bytes([size]) + data[1:])
                    packets(data[: size + 1])

    def test_outOfStep(self) -> None:
        """A server that takes a byte too much is noticed."""

        class Greedy(PacketReceiver):
            def _begin(self, command: Any, size: int) -> None:
                super()._begin(command, size + 1)

        self.patch(connection, "PacketReceiver", Greedy)
        data = b"\1" + request(f"Set key=q {SET} value=x") + request("Noop")
        self.assertRaises(AssertionError, packets, data)

    def test_opaque(self) -> None:
        """An opaque that is another request's is noticed."""

        def join(form: binary.Packets, opaques: object) -> None:
            """Forget them."""

        self.patch(binary.Packets, "join", join)
        data = request("Get key=q opaque=1") + request("Get key=q opaque=2")
        self.assertRaises(AssertionError, packets, b"\1" + data)

    def test_loggedError(self) -> None:
        """An error that is only logged is noticed."""

        def pushAll(store: MemoryStore, *_: object, **__: object) -> int:
            Logger().error("out of order")
            raise QueueError

        self.patch(MemoryStore, "pushAll", pushAll)
        data = b"\0" + request(f"Set key=q {SET} value=x")
        self.assertRaises(AssertionError, packets, data)

    def test_twins(self) -> None:
        """A server that says something else in packets is noticed."""

        def value(form: binary.Found, key: bytes, message: Message, _: object) -> bytes:
            return form.head(key, message) + message.body.upper()

        self.patch(binary.Found, "value", value)
        self.assertRaises(AssertionError, packetTwins, b"\0\0\0q hi\n\1\0q\n")
