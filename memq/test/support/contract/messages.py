"""The contract of a store: messages go in and out, one by one and in runs."""

from __future__ import annotations

from memq.test.support.contract.base import StoreContract
from memq.test.support.homes import dump

MEGABYTE = 1024 * 1024


class MessagesContract(StoreContract):
    """Push, pop, peek and putting back."""

    def test_order(self) -> None:
        """Messages come out in the order in which they went in."""
        bodies = [b"%d" % number for number in range(300)]
        self.push(b"q", *bodies)
        self.assertEqual(self.bodies(b"q"), bodies)

    def test_runs(self) -> None:
        """Runs of messages go in and come out as they would one by one."""
        self.assertEqual(self.q.pushAll([(7, b"a"), (8, b"b")]), 0)
        self.assertEqual(self.q.push(9, b"c"), 2)
        self.push(b"r", b"x")
        self.assertEqual(self.q.pushAll([(1, b"d")]), 3)
        with self.done() as store:
            one = store.pop(b"q")
            two = store.popAll(b"q", 2)
            other = store.popAll(b"r", 16)
            found = [one, *two, *store.popAll(b"q", 16), *other]
        self.assertEqual(
            [(m.sequence, m.flags, m.body) for m in found],
            [(0, 7, b"a"), (1, 8, b"b"), (2, 9, b"c"), (3, 1, b"d"), (0, 0, b"x")],
        )
        for queue in (self.q, self.none):
            self.assertEqual(queue.popAll(3), [])
        self.assertEqual(list(self.store.counts()), [(b"q", 4, 4), (b"r", 1, 1)])

    def test_runsUndone(self) -> None:
        """An undone run is as if it had never been."""
        self.push(b"q", b"a", b"b")
        before = dump(self.store)
        with self.undone() as store:
            store.pushAll(b"q", [(0, b"c"), (0, b"d")])
            store.pushAll(b"new", [(0, b"e")])
            store.popAll(b"q", 3)
        self.assertHolds(before)
        self.assertEqual(self.bodies(b"q"), [b"a", b"b"])

    def test_places(self) -> None:
        """A push tells the message's place; places only go up."""
        self.push(b"q", b"0", b"1")
        self.q.pop()
        self.assertEqual(self.q.push(0, b"2"), 2)

    def test_message(self) -> None:
        """A message has its flags, time, place and body."""
        sequence = self.q.push(4294967295, b"x")
        message = self.q.pop()
        self.assertEqual(
            (message.sequence, message.flags, message.body),
            (sequence, 4294967295, b"x"),
        )
        self.assertGreater(message.time, 1_700_000_000_000)

    def test_expires(self) -> None:
        """A message carries when it expires, out and in again."""
        large = self.upload(b"one", b"two")
        self.q.push(1, b"a", expires=5)
        self.q.pushAll([(2, b"b"), (3, b"")], expires=6)
        self.q.pushLarge(4, large, expires=7)
        self.push(b"q", b"c")
        messages = [self.q.pop() for _ in range(5)]
        self.assertEqual(
            [(m.flags, m.body, m.large, m.expires) for m in messages],
            [
                (1, b"a", None, 5),
                (2, b"b", None, 6),
                (3, b"", None, 6),
                (4, b"", large, 7),
                (0, b"c", None, 0),
            ],
        )
        for message in messages:
            self.q.putBack(message)
        self.assertEqual([self.q.pop() for _ in range(5)], messages)

    def test_bodies(self) -> None:
        """Bodies are any bytes, from none to 64 MiB, and come back whole."""
        most = b"0123456789abcdef" * (4 * MEGABYTE)
        some = (b"", b"\0", bytes(range(256)), b"\r\nEND\r\n", b"x" * MEGABYTE, most)
        for body in some:
            self.push(b"q", body)
            self.assertTrue(self.q.pop().body == body, body[:9])

    def test_names(self) -> None:
        """Queues keep apart, however alike their names are."""
        names = [b"q", b"q1", b"Q", b"..", b"messages", b"\xff" * 250, b"!"]
        for name in names:
            self.push(name, name)
        for name in names:
            self.assertEqual(self.bodies(name), [name])

    def test_nothing(self) -> None:
        """There is nothing in a queue that is empty, or is not there."""
        self.push(b"q", b"x")
        self.q.pop()
        for queue in (self.q, self.none):
            for look in (queue.pop, queue.peek, queue.openRead):
                self.assertIsNone(look())
        self.assertHolds("q 1/1")

    def test_peek(self) -> None:
        """A peek shows the head and leaves it there."""
        self.push(b"q", b"1", b"2")
        self.assertEqual(self.q.peek().body, b"1")
        self.assertEqual(self.bodies(b"q"), [b"1", b"2"])

    def seen(
        self, first: int = 0, most: int = 99, limit: int = 99_999
    ) -> tuple[list[bytes], int | None]:
        """Look at messages of q; return their bodies, and where to go on."""
        found, reached = self.q.peekMany(first, most, limit)
        return [message.body for message in found], reached

    def test_peekMany(self) -> None:
        """So does a look at many, from a number on, some at a time."""
        self.assertEqual(self.none.peekMany(0, 9, 9999), ([], None))
        self.push(b"q", b"0", b"1", b"2", b"3")
        self.push(b"r", b"other")
        self.assertEqual(self.seen(), ([b"0", b"1", b"2", b"3"], None))
        self.assertEqual(self.seen(2), ([b"2", b"3"], None))
        self.assertEqual(self.seen(0, 2), ([b"0", b"1"], 2))
        self.assertEqual(self.seen(1, 9, 2000), ([b"1", b"2"], 3))
        self.assertEqual(self.seen(1, 9, 1), ([b"1"], 2))
        self.assertEqual(self.seen(4), ([], None))
        self.assertEqual(self.bodies(b"q"), [b"0", b"1", b"2", b"3"])
        self.assertEqual(self.seen(), ([], None))

    def test_peekManyOpen(self) -> None:
        """Those that are open are left out, and those given back are in their place."""
        self.push(b"q", b"0", b"1", b"2", b"3")
        first, second = self.q.openRead(), self.q.openRead()
        self.assertEqual(self.seen(), ([b"2", b"3"], None))
        self.q.abortRead(first, False)
        self.assertEqual(self.seen(), ([b"0", b"2", b"3"], None))
        self.assertEqual(self.seen(0, 1), ([b"0"], 1))
        self.assertEqual(self.seen(1, 1), ([b"2"], 3))
        self.q.abortRead(second, True)
        self.assertEqual(self.seen(), ([b"0", b"1", b"2", b"3"], None))
        self.assertEqual([self.q.openRead().body for _ in range(4)][:1], [b"0"])
        self.assertEqual(self.seen(), ([], None))

    def test_putBack(self) -> None:
        """Messages that are put back stand in their old places."""
        self.push(b"q", b"0", b"1", b"2", b"3", b"4")
        taken = [self.q.pop() for _ in range(4)]
        for message in (taken[2], taken[0], taken[3]):
            self.assertTrue(self.q.putBack(message))
        self.assertEqual(dump(self.store).split("\n")[0], "q 5/1")
        self.assertEqual(self.bodies(b"q"), [b"0", b"2", b"3", b"4"])

    def test_putBackAfterDelete(self) -> None:
        """A message whose queue was deleted goes with it, even into a new one."""
        self.push(b"q", b"old")
        message = self.q.pop()
        self.q.delete()
        self.assertFalse(self.q.putBack(message))
        self.push(b"q", b"new")
        self.assertFalse(self.q.putBack(message))
        self.assertEqual(self.bodies(b"q"), [b"new"])

    def test_abort(self) -> None:
        """An abort leaves everything as it was, and can be repeated."""
        self.push(b"q", b"1", b"2")
        self.push(b"r", b"3")
        before = dump(self.store)
        for _ in range(2):
            with self.undone() as store:
                message = store.pop(b"q")
                store.push(b"q", 0, b"x")
                store.push(b"new", 0, b"y")
                store.pop(b"q")
                store.putBack(b"q", message)
                store.delete(b"r")
                store.push(b"r", 0, b"z")
                store.empty(b"q")
            store.abort()
            self.assertHolds(before)
            self.assertFalse(store.hasGarbage())
