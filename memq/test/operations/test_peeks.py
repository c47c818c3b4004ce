"""A look at many messages changes nothing, and is bounded."""

from __future__ import annotations

from typing import Any

from memq.errors import DamagedMessage, StoreError
from memq.message import LargeBody, Reason, Trace
from memq.operations.expiry import LOOK_COST
from memq.operations.peeks import Peeked, PeekMany, Shown
from memq.test.support.readers import RuledTestCase

#: Messages without a body in a slice.
SLICE = LOOK_COST // 1024


class PeekTestCase(RuledTestCase):
    """A broker whose client looks at messages."""

    def setUp(self) -> None:
        """Have a client."""
        super().setUp()
        self.client = self.reader()

    def ask(self, most: int = 999, each: int = 9, total: int = 999) -> PeekMany:
        """Ask for a look at q."""
        peek = PeekMany(self.client.session, b"q", most, Shown(each, total))
        self.client.submit(peek)
        return peek

    def found(self, first: PeekMany) -> list[Any]:
        """Let it happen; return what was found, in as many slices as it took."""
        self.settle()
        found: list[Any] = []
        part: Any = first
        self.slices = 0
        while part is not None:
            self.assertTrue(part.done)
            self.slices += 1
            found += part.result
            part.settle()
            part = part.follow()
        self.assertEqual(self.client.session.outstanding.undelivered, 0)
        return found

    def bodies(self, most: int = 999, each: int = 9, total: int = 999) -> list[bytes]:
        """Return what is told of bodies."""
        return [found.body for found in self.found(self.ask(most, each, total))]


class PeekTests(PeekTestCase):
    """What is found."""

    def test_nothing(self) -> None:
        """There may be nothing."""
        self.assertEqual(self.bodies(), [])
        self.store.fill(b"q", b"x")
        self.store.pop(b"q")
        self.store.commit()
        self.assertEqual(self.bodies(), [])

    def test_order(self) -> None:
        """Messages are told in their order, so many as are asked for."""
        self.store.fill(b"q", b"a", b"b", b"c")
        self.assertEqual(self.bodies(), [b"a", b"b", b"c"])
        self.assertEqual(self.bodies(2), [b"a", b"b"])
        self.assertEqual(self.store.dump(), "q 3/0: a b c")

    def test_message(self) -> None:
        """All that is known of a message is told, but for its body."""
        trace = Trace(3, b"work", Reason.DELIVERIES, 5)
        self.store.push(b"q", 7, b"abc", expires=99, trace=trace)
        self.store.commit()
        (found,) = self.found(self.ask(1, 2))
        self.assertEqual((found.size, found.deliveries, found.body), (3, 0, b"ab"))
        message = found.message
        told = message.flags, message.expires, message.trace, message.body
        self.assertEqual(told, (7, 99, trace, b""))

    def test_large(self) -> None:
        """Of a body in parts the first one is told, if anything is."""
        body = self.store.newBody()
        for number, data in enumerate((b"first", b"second")):
            self.store.addPart(body, number, data)
        self.store.pushLarge(b"q", 0, LargeBody(body, 11, 2))
        self.store.commit()
        for each, expected in ((9, b"first"), (2, b"fi"), (0, b"")):
            (found,) = self.found(self.ask(1, each))
            self.assertEqual((found.size, found.body), (11, expected))

    def test_bounded(self) -> None:
        """Bodies are told up to a bound, each and all together."""
        self.store.fill(b"q", b"abcd", b"efgh", b"ijkl")
        self.assertEqual(self.bodies(9, 3), [b"abc", b"efg", b"ijk"])
        self.assertEqual(self.bodies(9, 3, 5), [b"abc", b"ef", b""])
        self.assertEqual(self.bodies(9, 0), [b"", b"", b""])

    def test_damaged(self) -> None:
        """A damaged one is told as that."""
        error = DamagedMessage("1")
        self.patch(self.store, "peekMany", lambda *given: ([error], None))
        self.assertEqual(self.found(self.ask()), [error])


class SliceTests(PeekTestCase):
    """It goes on in slices."""

    def setUp(self) -> None:
        """Have messages for three."""
        super().setUp()
        self.count = 2 * SLICE + 1
        self.store.fill(b"q", *[b"%d" % number for number in range(self.count)])

    def test_slices(self) -> None:
        """Each message is told once."""
        expected = [b"%d" % number for number in range(self.count)]
        self.assertEqual(self.bodies(), expected)
        self.assertEqual(self.slices, 3)
        self.assertEqual(self.bodies(SLICE + 5), expected[: SLICE + 5])
        self.assertEqual(self.slices, 2)

    def test_total(self) -> None:
        """The bound of all bodies holds for all slices."""
        self.assertEqual(len(b"".join(self.bodies(total=300))), 300)

    def test_undone(self) -> None:
        """A turn that is undone runs it again."""
        self.store.refuse("commit", StoreError("no"), times=1)
        self.assertEqual(len(self.bodies()), self.count)

    def test_over(self) -> None:
        """A slice behind one that failed finds nothing to do."""
        first = PeekMany(self.client.session, b"q", 999)
        first.run(self.store)
        rest = first.rest
        assert rest is not None
        first.fail(StoreError("no"))
        rest.run(self.store)
        self.assertEqual((rest.result, rest.hasMore), ([], False))

    def test_abandoned(self) -> None:
        """What was found for a client that is gone is held no longer."""
        first = PeekMany(self.client.session, b"q", 999, Shown(9, 99))
        first.run(self.store)
        self.assertGreater(self.client.session.outstanding.undelivered, 0)
        first.abandon()
        self.assertEqual(self.client.session.outstanding.undelivered, 0)

    def test_gone(self) -> None:
        """It ends with its client."""
        first = self.ask()
        self.client.session.leave()
        self.settle()
        self.assertIsInstance(first, PeekMany)
        self.assertEqual(self.client.session.outstanding.undelivered, 0)

    def test_type(self) -> None:
        """What is found is Peeked."""
        self.assertEqual({type(each) for each in self.found(self.ask())}, {Peeked})
