"""Peek: many messages are looked at."""

from __future__ import annotations

from unittest.mock import patch

from memq.errors import DamagedMessage, StoreError
from memq.message import PART_SIZE, Message
from memq.operations import peeks
from memq.test.commands.looks.test_tail import copy
from memq.test.commands.test_protocol import END, ProtocolTestCase


class PeekTests(ProtocolTestCase):
    """A client that looks."""

    def test_some(self) -> None:
        """So many are shown as are asked for, and nothing changes."""
        self.store.fill(b"q", b"a", b"b", b"c")
        a, b, c = (copy(b"q", body, n) for n, body in enumerate((b"a", b"b", b"c")))
        for words, expected in ((b"", a), (b" 2", a + b), (b" 9", a + b + c)):
            self.asks(b"peek q" + words + b"\r\n", expected + END)
        self.asks(b"peek none 5\r\n", END)
        self.assertEqual(self.store.dump(), "q 3/0: a b c")

    def test_slices(self) -> None:
        """A look at many goes on in slices, in order, before what is sent behind it."""
        bodies = [b"%d" % number for number in range(50)]
        self.store.fill(b"q", *bodies)
        blocks = [copy(b"q", body, number) for number, body in enumerate(bodies)]
        with patch.object(peeks, "LOOK_COST", 9000):
            self.asks(
                b"peek q 100\r\npeek q\r\n", b"".join([*blocks, END, blocks[0], END])
            )
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 0)

    def test_large(self) -> None:
        """Of a body in parts the size is shown."""
        body = b"x" * (PART_SIZE + 1)
        self.client.talk(b"set q 3 0 %d\r\n%b\r\n" % (len(body), body))
        self.asks(b"peek q 2\r\n", b"LARGE q 3 %d 0\r\n" % len(body) + END)

    def test_damaged(self) -> None:
        """The first error stands at the end, behind the others."""
        self.store.fill(b"q", b"a", b"b", b"c")
        real = self.store.peekMany

        def damaged(*words: int) -> tuple[list[Message | DamagedMessage], int | None]:
            found, more = real(*words)  # type: ignore[arg-type]
            first, *_, last = found
            bad = [DamagedMessage("number 1"), DamagedMessage("number 2")]
            return [first, *bad, last], more  # type: ignore[list-item]

        self.patch(self.store, "peekMany", damaged)
        self.asks(
            b"peek q 9\r\n",
            copy(b"q", b"a", 0)
            + copy(b"q", b"c", 2)
            + b"SERVER_ERROR damaged message set aside: number 1\r\n",
        )

    def test_error(self) -> None:
        """What the store cannot do is told."""
        self.store.fill(b"q", b"a")

        def fails(*words: object) -> None:
            raise StoreError("bad page")

        self.patch(self.store, "peekMany", fails)
        self.asks(b"peek q\r\n", b"SERVER_ERROR bad page\r\n")
