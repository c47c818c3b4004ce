"""Sessions that wait for messages: who is served, in which order, and when not."""

from __future__ import annotations

from memq.broker.session import UNDELIVERED_BYTES
from memq.errors import DamagedMessage, StoreError, StoreFailed
from memq.message import LargeBody, Message
from memq.operations.base import MESSAGE_COST, Upload
from memq.operations.pushes import AddPart, PushLarge
from memq.operations.routing import SetRequest
from memq.policy.rules import Rules
from memq.storage.memory import MemoryStore
from memq.test.support.readers import Reader, ReaderTestCase
from memq.wire.forms import SETS


class WaitTests(ReaderTestCase):
    """A read that waits."""

    def test_there(self) -> None:
        """A message that is there already is had at once."""
        self.push(b"a")
        reader = self.waiter()
        self.assertEqual(reader.told, ["a"])
        self.assertEqual(self.reactor.calls, [])

    def test_comes(self) -> None:
        """A new message is had in the turn after it, and told when that is durable."""
        reader = self.reader()
        reader.take(5.0)
        self.turn()
        self.assertEqual((reader.told, self.broker.waiters(b"q")), ([], 1))
        self.asker.push(b"a")
        self.turn()
        self.assertEqual(self.store.dump(), "q 1/0: a")
        self.turn()
        self.assertEqual((self.store.dump(), reader.told), ("q 1/1:", []))
        self.settle()
        self.assertEqual(reader.told, ["a"])
        self.assertEqual((self.reactor.calls, self.broker.waiters(b"q")), ([], 0))

    def test_late(self) -> None:
        """When its time is over it has nothing, and no turn is run for that."""
        reader = self.waiter()
        turns = self.broker.turns
        self.reactor.advance(4.9)
        self.assertEqual(reader.told, [])
        self.reactor.advance(0.2)
        self.assertEqual(reader.told, ["None"])
        self.assertEqual((self.broker.turns, self.reactor.calls), (turns, []))

    def test_idle(self) -> None:
        """As long as it waits nothing is done."""
        self.reader().take(5.0)
        self.settle()
        self.assertEqual(self.broker.turns, 1)
        self.assertEqual(len(self.reactor.calls), 1)
        self.push(b"of another queue")
        turns = self.broker.turns
        self.waiter(b"r")
        self.assertEqual(self.broker.turns, turns + 1)

    def test_behind(self) -> None:
        """Commands behind it are not run before it, and are run after it in order."""
        reader = self.reader()
        reader.take(5.0)
        reader.push(b"own")
        reader.pop()
        self.settle()
        self.assertEqual((reader.told, self.store.dump()), ([], ""))
        self.push(b"a")
        self.assertEqual(reader.told, ["a", "1", "own"])

    def test_behindLate(self) -> None:
        """So when it had nothing."""
        reader = self.reader()
        reader.take(5.0)
        reader.push(b"own")
        reader.take(5.0)
        reader.take(5.0)
        self.settle()
        self.reactor.advance(5.0)
        self.settle()
        self.assertEqual(reader.told, ["None", "0", "own"])
        self.reactor.advance(4.9)
        self.assertEqual(len(reader.told), 3)
        self.reactor.advance(0.2)
        self.assertEqual(reader.told[3:], ["None"])

    def test_before(self) -> None:
        """Commands before it are told while it waits."""
        reader = self.reader()
        reader.push(b"a")
        reader.pop()
        reader.take(5.0)
        self.settle()
        self.assertEqual(reader.told, ["0", "a"])

    def test_noPlaceInTurn(self) -> None:
        """A read that waits counts in a turn, like one that finds nothing."""
        self.bound(2 * MESSAGE_COST, MESSAGE_COST)
        readers = [self.reader() for _ in range(3)]
        for reader in readers:
            reader.take(5.0)
        self.turn()
        self.assertEqual(self.broker.waiters(b"q"), 2)
        self.settle()
        self.assertEqual(self.broker.waiters(b"q"), 3)

    def test_damaged(self) -> None:
        """A damaged message ends the waiting with its error."""
        reader = self.waiter()
        self.store.damaged[b"q"] = DamagedMessage("number 0")
        self.push(b"a")
        self.assertEqual(reader.told, ["damaged message set aside: number 0"])

    def test_large(self) -> None:
        """A large message is waited for as well."""
        reader = self.reader()
        read = reader.take(5.0)
        self.settle()
        upload = Upload([b"q"])
        session = self.asker.session
        self.asker.submit(AddPart(session, upload, b"x" * 100))
        self.asker.submit(PushLarge(session, SetRequest(b"q"), 0, upload))
        self.settle()
        message = read.result
        self.assertEqual(message.large, LargeBody(1, 100, 1))
        self.assertTrue(reader.session.outstanding.isSettled)

    def test_putBack(self) -> None:
        """A message that goes back is one."""
        self.store.fill(b"q", b"a")
        message = MemoryStore.pop(self.store, b"q")
        assert isinstance(message, Message)
        reader = self.waiter()
        self.broker.putBack(b"q", message)
        self.settle()
        self.assertEqual(reader.told, ["a"])


class OrderTests(ReaderTestCase):
    """Several that wait."""

    def waiting(self, count: int) -> list[Reader]:
        """Return clients that wait."""
        return [self.waiter() for _ in range(count)]

    def told(self, readers: list[Reader]) -> str:
        """Return what each was told, in a word."""
        return " ".join("".join(reader.told) or "-" for reader in readers)

    def test_firstCome(self) -> None:
        """Waiters are served in the order they came, however the messages come."""
        readers = self.waiting(5)
        self.push(b"a")
        self.assertEqual(self.told(readers), "a - - - -")
        self.push(b"b", b"c")
        self.assertEqual(self.told(readers), "a b c - -")
        self.push(b"d", b"e", b"f")
        self.assertEqual(self.told(readers), "a b c d e")
        self.assertEqual(self.store.dump(), "q 6/5: f")

    def test_newcomer(self) -> None:
        """A newcomer in the turn of the message does not get before those that wait."""
        readers = self.waiting(1)
        self.asker.push(b"a")
        newcomer = self.waiter()
        self.assertEqual(self.told([*readers, newcomer]), "a -")
        self.push(b"b")
        self.assertEqual(self.told([*readers, newcomer]), "a b")

    def test_enough(self) -> None:
        """A newcomer gets a message when there are more than the waiters can take."""
        readers = self.waiting(2)
        self.asker.push(b"a", b"b", b"c")
        self.turn()
        newcomer = self.waiter()
        self.assertEqual(self.told([*readers, newcomer]), "a b c")

    def test_oldPlace(self) -> None:
        """A waiter that was to have a message and found it taken keeps its place."""
        readers = self.waiting(3)
        self.asker.push(b"a", b"b")
        self.asker.pop()
        self.settle()
        self.assertEqual(self.told(readers), "b - -")
        self.push(b"c")
        self.assertEqual(self.told(readers), "b c -")

    def test_stolen(self) -> None:
        """So one that would have been the only one."""
        readers = self.waiting(2)
        self.asker.push(b"a")
        self.asker.pop()
        self.settle()
        self.assertEqual(self.told(readers), "- -")
        self.push(b"b")
        self.assertEqual(self.told(readers), "b -")

    def test_plain(self) -> None:
        """A get that does not wait takes what is there, whoever waits."""
        readers = self.waiting(1)
        self.asker.push(b"a")
        self.asker.pop()
        self.settle()
        self.assertEqual(self.asker.told, ["0", "a"])
        self.assertEqual(self.told(readers), "-")

    def test_queues(self) -> None:
        """Those of other queues do not hear of it."""
        readers = self.waiting(2)
        other = self.waiter(b"r")
        self.push(b"a", b"b", b"c")
        self.assertEqual(self.told([*readers, other]), "a b -")

    def test_peek(self) -> None:
        """A peek lets the next waiter have the message."""
        first, second = self.reader(), self.reader()
        first.peek(5.0)
        self.settle()
        second.take(5.0)
        self.settle()
        self.push(b"a")
        self.assertEqual(self.told([first, second]), "a a")

    def unpause(self, *bodies: bytes) -> None:
        """Let all that wait try, for there are messages since the rules are read."""
        self.store.fill(b"q", *bodies)
        self.broker.policies.replace(Rules([]))
        self.reactor.advance(0)
        self.settle()

    def test_behindWoken(self) -> None:
        """A read that comes while all that wait are woken is behind each of them."""
        first, second = self.reader(), self.reader()
        first.peek(5.0)
        first.take(5.0)
        self.settle()
        second.take(5.0)
        self.settle()
        self.unpause(b"a")
        self.assertEqual(self.told([first, second]), "a a")
        self.assertEqual(self.broker.waiters(b"q"), 1)
        self.push(b"b")
        self.assertEqual(first.told, ["a", "b"])

    def test_behindWokenOwed(self) -> None:
        """It has what they leave, at once."""
        first, second = self.reader(), self.reader()
        first.peek(5.0)
        first.take(5.0)
        self.settle()
        second.take(5.0)
        self.settle()
        self.unpause(b"a", b"b", b"c")
        self.assertEqual((first.told, second.told), (["a", "b"], ["a"]))
        self.assertEqual(self.store.dump(), "q 3/2: c")

    def test_behindWokenFull(self) -> None:
        """So when a turn has no room for those that were woken."""
        first, second = self.reader(), self.reader()
        first.peek(5.0)
        first.take(5.0)
        self.settle()
        second.take(5.0)
        self.settle()
        self.bound(2 * MESSAGE_COST, 2 * MESSAGE_COST)
        self.unpause(b"a", b"b")
        self.assertEqual((first.told, second.told), (["a", "b"], ["a"]))

    def test_behindWokenGone(self) -> None:
        """So it has when one that was woken leaves without a try."""
        first, second = self.waiting(2)
        second.session.outstanding.undelivered = UNDELIVERED_BYTES
        self.asker.push(b"a", b"b")
        self.turn()
        newcomer = self.reader()
        self.bound(MESSAGE_COST, MESSAGE_COST)
        newcomer.take(5.0)
        first.leave()
        self.settle()
        self.assertEqual(self.told([first, newcomer]), "- a")
        second.session.outstanding.undelivered = 0
        second.session.catchUp()
        self.settle()
        self.assertEqual(second.told, ["b"])

    def test_inOneTurn(self) -> None:
        """Of two that come in one turn, and a message between, the first has it."""
        first, second = self.reader(), self.reader()
        first.take(5.0)
        self.asker.push(b"a")
        second.take(5.0)
        self.settle()
        self.assertEqual(self.told([first, second]), "a -")
        self.push(b"b")
        self.assertEqual(self.told([first, second]), "a b")

    def test_peekDoesNotQueue(self) -> None:
        """Nor does it queue for what is there."""
        readers = self.waiting(1)
        self.asker.push(b"a")
        looker = self.reader()
        looker.peek(5.0)
        self.settle()
        self.assertEqual(self.told([*readers, looker]), "a a")

    def test_gone(self) -> None:
        """A waiter whose client is gone leaves the line, and costs nothing."""
        readers = self.waiting(3)
        readers[0].leave()
        readers[1].leave()
        self.assertEqual(self.broker.waiters(b"q"), 1)
        self.push(b"a")
        self.assertEqual(self.told(readers), "- - a")
        self.assertEqual(self.reactor.calls, [])

    def test_goneNext(self) -> None:
        """A waiter whose client is gone when it is next hands that on."""
        readers = self.waiting(3)
        self.asker.push(b"a")
        self.turn()
        readers[0].leave()
        self.settle()
        self.assertEqual(self.told(readers), "- a -")

    def test_goneBehind(self) -> None:
        """Sets that its client sent behind the read count."""
        readers = self.waiting(1)
        readers[0].push(b"own")
        readers[0].leave()
        self.settle()
        self.assertEqual(self.store.dump(), "q 1/0: own")

    def test_blocked(self) -> None:
        """A blocked waiter is passed over, and stands in its old place afterwards."""
        readers = self.waiting(3)
        readers[0].session.block()
        self.push(b"a")
        self.assertEqual(self.told(readers), "- a -")
        readers[0].session.unblock()
        self.settle()
        self.push(b"b")
        self.assertEqual(self.told(readers), "b a -")
        self.push(b"c")
        self.assertEqual(self.told(readers), "b a c")

    def test_blockedNext(self) -> None:
        """So when it is next."""
        readers = self.waiting(2)
        self.asker.push(b"a")
        self.turn()
        readers[0].session.block()
        self.settle()
        self.assertEqual(self.told(readers), "- a")
        readers[0].session.unblock()
        self.push(b"b")
        self.assertEqual(self.told(readers), "b a")

    def test_blockedBriefly(self) -> None:
        """One that could not be written to for a moment is before who came later."""
        readers = self.waiting(2)
        self.asker.push(b"a")
        self.turn()
        readers[0].session.block()
        readers[0].session.unblock()
        self.settle()
        self.assertEqual(self.told(readers), "a -")
        self.push(b"b")
        self.assertEqual(self.told(readers), "a b")

    def test_blockedLate(self) -> None:
        """While it is blocked its time goes on."""
        reader = self.waiter()
        self.reactor.advance(3.0)
        reader.session.block()
        self.reactor.advance(1.0)
        reader.session.unblock()
        self.settle()
        self.reactor.advance(0.9)
        self.assertEqual(reader.told, [])
        self.reactor.advance(0.2)
        self.assertEqual((reader.told, self.reactor.calls), (["None"], []))

    def test_blockedAgain(self) -> None:
        """Blocked again and again, it gets no more until it has what was taken."""
        reader = self.waiting(1)[0]
        reader.session.outstanding.undelivered = UNDELIVERED_BYTES
        for _ in range(2):
            reader.session.block()
            reader.session.unblock()
        self.push(b"a")
        self.assertEqual(reader.told, [])
        reader.session.outstanding.undelivered = 0
        reader.session.catchUp()
        self.settle()
        self.assertEqual(reader.told, ["a"])

    def test_undelivered(self) -> None:
        """A waiter that has not got what was taken before gets no more until it has."""
        reader = self.waiting(1)[0]
        reader.session.outstanding.undelivered = UNDELIVERED_BYTES
        self.push(b"a")
        self.assertEqual(reader.told, [])
        reader.session.outstanding.undelivered = 0
        reader.session.catchUp()
        self.settle()
        self.assertEqual(reader.told, ["a"])

    def test_many(self) -> None:
        """Of a thousand on ten queues each is served in its turn."""
        readers = [self.reader() for _ in range(1000)]
        for number, reader in enumerate(readers):
            reader.take(5.0, b"q%d" % (number % 10))
        self.settle()
        self.assertEqual(self.broker.waiters(b"q3"), 100)
        for number in range(100):
            for queue in range(10):
                self.asker.session.push(b"q%d" % queue, 0, b"%d" % number, SETS)
        self.settle()
        for number, reader in enumerate(readers):
            self.assertEqual(reader.told, [str(number // 10)])
        self.assertEqual(self.broker.waiters(b"q3"), 0)


class ErrorTests(ReaderTestCase):
    """Turns that are undone while somebody waits."""

    def test_undone(self) -> None:
        """A read that found nothing in a turn that was undone waits all the same."""
        self.store.refuse("push", StoreError("bad page"), b"q", b"bad")
        reader = self.reader()
        reader.take(5.0)
        reader.push(b"own")
        self.asker.push(b"bad")
        self.settle()
        self.assertEqual(self.asker.told, ["bad page"])
        self.assertEqual((reader.told, self.broker.waiters(b"q")), ([], 1))
        self.push(b"a")
        self.assertEqual(reader.told, ["a", "1"])

    def test_foundNoMore(self) -> None:
        """A read whose message is gone the second time waits; so do those behind it."""
        reader = self.reader()
        self.asker.push(b"a")
        reader.take(5.0)
        reader.push(b"own")
        reader.pop()
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.store.refuse("push", StoreError("bad page"), b"q", b"a", after=1, times=1)
        self.settle()
        self.assertEqual(self.asker.told, ["bad page"])
        self.assertEqual((reader.told, self.broker.waiters(b"q")), ([], 1))
        self.push(b"b")
        self.assertEqual(reader.told, ["b", "1", "own"])

    def test_foundAgain(self) -> None:
        """A read that finds its message again has it, once."""
        reader = self.reader()
        self.asker.push(b"a")
        reader.take(5.0)
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.settle()
        self.assertEqual(reader.told, ["a"])
        self.assertEqual(reader.session.outstanding.undelivered, 0)

    def test_nextUndone(self) -> None:
        """A waiter that is next in a turn that is undone finds it when run again."""
        reader = self.waiter()
        self.asker.push(b"a")
        self.turn()
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.settle()
        self.assertEqual(reader.told, ["a"])
        self.assertFalse(reader.session.isWaiting)

    def test_commit(self) -> None:
        """If no turn can be committed, it is told instead of waiting."""
        self.store.refuse("commit", StoreError("no room"))
        reader = self.waiter()
        self.assertEqual(reader.told, ["no room"])
        self.assertEqual(self.reactor.calls, [])

    def test_begin(self) -> None:
        """So if no transaction begins when it is next."""
        readers = [self.waiter(), self.waiter()]
        self.asker.push(b"a")
        self.turn()
        self.store.refuse("begin", StoreError("no memory"), times=2)
        self.settle()
        self.assertEqual([reader.told for reader in readers], [["no memory"], ["a"]])

    def test_pop(self) -> None:
        """A pop that fails hands on the message that it was to have."""
        readers = [self.waiter(), self.waiter()]
        self.store.refuse("pop", StoreError("bad page"), times=2)
        self.push(b"a")
        self.assertEqual([reader.told for reader in readers], [["bad page"], ["a"]])

    def test_abort(self) -> None:
        """A message that could not go back is nobody's, until it can."""
        self.push(b"a")
        one, other = self.reader(), self.reader()
        one.open()
        other.take(5.0)
        self.settle()
        self.store.refuse("abortRead", StoreError("bad page"), times=3)
        one.abort()
        self.settle()
        self.assertEqual((one.told, other.told), (["a", "bad page"], []))
        one.abort()
        self.settle()
        self.assertEqual((one.told[2:], other.told), (["1"], ["a"]))

    def test_failed(self) -> None:
        """When the store fails for good everybody who waits is told so."""
        reader = self.reader()
        reader.take(5.0)
        reader.push(b"own")
        self.settle()
        self.broker.fail(StoreFailed("gone"))
        self.settle()
        self.assertEqual(reader.told, ["gone", "gone"])
        self.assertEqual(self.reactor.calls, [])

    def test_failedInTurn(self) -> None:
        """So who is run alone then, and who stands in line."""
        waiting = self.waiter(b"r")
        reader = self.reader()
        reader.take(5.0)
        self.store.refuse("push", StoreFailed("gone"), b"q", b"bad")
        self.asker.push(b"bad")
        self.settle()
        self.assertEqual(self.asker.told, ["gone"])
        self.assertEqual(reader.told, ["gone"])
        self.assertEqual(waiting.told, ["gone"])


class EndTests(ReaderTestCase):
    """How waiting ends early."""

    def test_hurry(self) -> None:
        """A client that is to end waits no more: neither this read nor the next."""
        reader = self.reader()
        reader.take(5.0)
        reader.push(b"a")
        reader.take(5.0)
        reader.take(5.0)
        self.settle()
        reader.session.hurry()
        self.settle()
        self.assertEqual(reader.told, ["None", "0", "a", "None"])
        self.assertEqual(self.reactor.calls, [])

    def test_hurryNext(self) -> None:
        """A waiter that is next has its try."""
        reader = self.waiter()
        self.asker.push(b"a")
        self.turn()
        reader.session.hurry()
        self.settle()
        self.assertEqual(reader.told, ["a"])

    def test_hurryNobody(self) -> None:
        """A session that does not wait can be hurried."""
        reader = self.reader()
        reader.push(b"a")
        reader.session.hurry()
        self.settle()
        self.assertEqual(reader.told, ["0"])

    def test_drain(self) -> None:
        """The end of the broker answers all."""
        readers = [self.waiter() for _ in range(3)]
        done = self.broker.drain()
        self.settle()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual([reader.told for reader in readers], [["None"]] * 3)
