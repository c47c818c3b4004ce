"""Tests for memq.rabbitmq.engine.transfers.imports and its marks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.errors import ImportRefused, NotStored, Refusing, StoreError
from memq.message import Reason, Trace
from memq.rabbitmq import names
from memq.rabbitmq.asking.base import UNANSWERED
from memq.rabbitmq.engine.transfers import imports
from memq.rabbitmq.engine.transfers.marks import ARGUMENTS, SAME, UNKNOWN, Mark
from memq.rabbitmq.errors import Unsure
from memq.test.rabbitmq.engine.front import Front, FrontTestCase
from memq.wire.imports.grammar import beginLine, putLine
from memq.wire.imports.items import (
    Finished,
    Item,
    Part,
    QueueBegins,
    QueueEnds,
    Reached,
    packItem,
)

if TYPE_CHECKING:
    from memq.errors import QueueError


class _Imported:
    """What is answered, by lines."""

    def __getitem__(self, lines: int | tuple[int, ...]) -> list[str]:
        """Return the replies."""
        several = lines if isinstance(lines, tuple) else (lines,)
        return [f"IMPORTED {line}" for line in several]


IMPORTED = _Imported()
TOKEN = bytes(15) + b"1"
MARK = f"memq/import/{TOKEN.hex()}"
THERE = (
    "SERVER_ERROR import: queue q is there and has messages; "
    "append (--append) was not asked for"
)
BAD = "CLIENT_ERROR bad command line format"


def begin(append: bool = False) -> str:
    """Return the line of a beginning."""
    return beginLine(TOKEN, append).decode().strip()


def put(*items: Any) -> str:
    """Return the line of a chunk."""
    return putLine(b"".join(map(packItem, items))).decode().strip()


def first(*items: Any, **values: Any) -> str:
    """Return the line of the first chunk of a queue."""
    return put(QueueBegins(b"q", 3, 0, **values), *items)


A, B = Item(7, 1, b"a"), Item(8, 2, b"b")
ALL = put(QueueEnds(5)), put(Finished(6))


def refused(error: object) -> str:
    """Return what is answered for an error."""
    if isinstance(error, ImportRefused):
        return error.reply.decode()
    return f"SERVER_ERROR {error}"


class ImportTestCase(FrontTestCase):
    """A test with imports."""

    def mark(self) -> Mark:
        """Return how far the import is, as the cluster has it."""
        ((_, body),) = self.cluster.queues[MARK]
        mark = Mark.unpack(body)
        assert mark is not None
        return mark._replace(owner=b"")

    def told(self, line: int, upTo: int = 0, isFinished: bool = False) -> None:
        """See what that is."""
        self.assertEqual(self.mark(), Mark(b"", line, upTo or line, isFinished))

    def failAt(self, place: int, error: QueueError) -> None:
        """Let something that is set fail, after some that do not."""
        self.front.publisher.errors = [*[None] * place, error]


class WholeTests(ImportTestCase):
    """Queues that are not there before."""

    def test_whole(self) -> None:
        """Messages can be taken when a chunk is told, and come as they were."""
        self.assertEqual(self.ask(begin(), first(A, B, Reached(4))), IMPORTED[0, 4])
        self.told(4)
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"b"])
        self.assertEqual([each["t"] for each, _ in self.cluster.queues["q"]], [1, 2])
        self.assertEqual(self.ask(*ALL), IMPORTED[5, 6])
        self.told(6, isFinished=True)
        self.assertEqual(self.ask("get q"), ["VALUE q 7 1", "a", "END"])
        self.assertEqual(self.front.engine.counts.of(b"q"), (2, 1, 0, 0))
        self.client.leave()
        again = self.front.client().ask(begin())
        self.assertEqual(again, ["IMPORTED 6 all"])

    def test_order(self) -> None:
        """A mark tells of a chunk before it, and again behind it."""
        self.ask(begin())
        self.cluster.log.clear()
        self.ask(first(A, B, Reached(4)))
        queue = f"set {MARK}"
        asked = [each for each in self.cluster.log if each[:3] in ("mak", "set")]
        self.assertEqual(asked, ["make q", queue, "set q", "set q", queue])

    def test_settings(self) -> None:
        """A queue has its limit and is paused before it has messages."""
        self.ask(begin(), first(A, Reached(3), limit=9, paused=3))
        self.assertEqual(self.front.publisher.limits["q"], 9)
        self.assertEqual(self.ask("get q"), ["END"])
        self.assertEqual(self.ask("resume q", "get q")[:2], ["OK", "VALUE q 7 1"])

    def test_empty(self) -> None:
        """An empty queue is there as well, and one that was there stays as it was."""
        self.cluster.make("there")
        queues = QueueBegins(b"q", 0, 0), QueueEnds(3)
        others = QueueBegins(b"there", 0, 0, 9, 3), QueueEnds(5), Finished(6)
        self.assertEqual(self.ask(begin(), put(*queues, *others)), IMPORTED[0, 6])
        self.assertEqual(set(self.cluster.queues), {"q", "there", MARK})
        self.assertNotIn("there", self.front.publisher.limits)

    def test_traces(self) -> None:
        """How often they were tried, where they are from, and their ends come along."""
        died = Trace(2, b"first", Reason.EXPIRED, 5, 1)
        items = (
            A._replace(deliveries=3),
            A._replace(deliveries=3, trace=Trace(1)),
            A._replace(deliveries=3, trace=died),
            A._replace(expires=9000),
            A,
        )
        self.ask(begin(), first(*items, Reached(7)))
        queue = self.cluster.queues["q"]
        found = [names.message(1, headers, body) for headers, body in queue]
        wanted = [Trace(3), Trace(4), died._replace(again=4), None, None]
        self.assertEqual([each.trace for each in found], wanted)
        self.assertEqual([each.expires for each in found], [0, 0, 0, 9000, 0])
        self.assertEqual(self.front.publisher.expirations, ["9000"])

    def test_delayed(self) -> None:
        """What is delayed is so still, unless it is due."""
        self.front.clock.advance(10)
        due = [A._replace(due=each, expires=99_000) for each in (5_000, 11_500)]
        self.ask(begin(), first(*due, Reached(4)))
        self.assertEqual(self.front.publisher.delays, [2])
        self.assertEqual(self.front.publisher.expirations, ["89000"])
        self.assertEqual(self.cluster.bodies("q"), [b"a"])

    def test_large(self) -> None:
        """A body in parts is one again."""
        part = b"x" * 40_000
        self.assertEqual(self.ask(begin(), first(Part(part))), IMPORTED[0, 0])
        self.assertNotIn(MARK, self.cluster.queues)
        self.ask(put(Part(part)), put(A._replace(body=b"", isLarge=True), Reached(3)))
        self.assertEqual(self.cluster.bodies("q"), [part + part])
        self.assertEqual(self.front.engine.budget.large.reserved, 0)

    def test_tooLarge(self) -> None:
        """One that the nodes may not take is refused, and nothing is set."""
        self.patch(imports, "MOST_BODY", 1)
        error = ImportRefused(imports.TOO_LARGE)
        said = self.ask(begin(), first(A, A._replace(body=b"xx"), Reached(4)))
        self.assertEqual(said, ["IMPORTED 0", refused(error)])
        self.assertEqual(list(self.cluster.queues), [])

    def test_cut(self) -> None:
        """Parts of a body go with their connection."""
        self.ask(begin(), first(Part(b"x")))
        self.assertEqual(len(self.front.engine._parts), 1)
        self.client.leave()
        self.front.settle()
        self.assertEqual(len(self.front.engine._parts), 0)

    def test_waits(self) -> None:
        """Those that wait get messages."""
        other = self.front.client()
        other.send("get q/t=60000")
        self.front.settle()
        self.ask(begin(), first(A, Reached(3)))
        self.front.pass_(0.5)
        self.assertEqual(other.replies(), ["VALUE q/t=60000 7 1", "a", "END"])


class AgainTests(ImportTestCase):
    """Imports that broke off."""

    def setUp(self) -> None:
        """Begin with one that had one chunk."""
        super().setUp()
        self.ask(begin(), first(A, Reached(3)))

    def goOn(self, append: bool = False) -> list[str]:
        """Return what a new client is answered."""
        self.client.leave()
        self.client = self.front.client()
        self.ask = self.client.ask
        return self.ask(begin(append))

    def test_goesOn(self) -> None:
        """It goes on behind its mark, though its queue has messages."""
        self.assertEqual(self.goOn(), IMPORTED[3])
        said = self.ask(first(B, Reached(4), goesOn=True), *ALL)
        self.assertEqual(said, IMPORTED[4, 5, 6])
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"b"])

    def test_unsure(self) -> None:
        """If it broke off within a chunk, that is told."""
        self.failAt(2, Unsure())
        more = put(B, B, Reached(5))
        self.assertEqual(self.ask(more, *ALL), [refused(Unsure())] * 3)
        self.told(3, 5)
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"b"])
        self.assertEqual(self.goOn(), ["IMPORTED 3 unsure"])
        said = self.ask(first(B, B, Reached(5), goesOn=True))
        self.assertEqual(said, IMPORTED[5])
        self.told(5)

    def test_unmarked(self) -> None:
        """So it is if only the mark behind it is not sure."""
        self.failAt(2, Unsure())
        self.assertEqual(self.ask(put(B, Reached(4))), [refused(Unsure())])
        self.assertEqual(self.goOn(), ["IMPORTED 3 unsure"])

    def test_marked(self) -> None:
        """Nothing is set if it cannot be told before."""
        self.failAt(0, Unsure())
        self.assertEqual(self.ask(put(B, Reached(4))), [refused(Unsure())])
        self.assertEqual(self.cluster.bodies("q"), [b"a"])

    def test_late(self) -> None:
        """A chunk that is not answered in time is refused, and those behind it."""
        self.client.send(put(B, Reached(4)), *ALL)
        self.front.clock.advance(0)
        while f"set {MARK}" not in list(self.cluster.log)[-1:]:
            self.cluster.events.popleft()()
            self.front.clock.advance(0)
        self.cluster.stuck.add("q")
        self.front.pass_(7)
        self.assertEqual(self.client.replies(), [refused(UNANSWERED)] * 3)
        self.assertEqual(self.front.engine.budget.large.reserved, 0)

    def test_full(self) -> None:
        """A queue that is full refuses it in words."""
        self.failAt(1, NotStored(b"", b"", Refusing.FULL))
        self.failAt(2, NotStored(b"", b"", Refusing.FULL))
        error = ImportRefused("queue q is full")
        self.assertEqual(self.ask(put(B, B, Reached(5))), [refused(error)])
        self.assertEqual(self.goOn(), ["IMPORTED 3 unsure"])

    def test_fullAll(self) -> None:
        """The first cause is told, of several."""
        full = NotStored(b"", b"", Refusing.FULL)
        self.front.publisher.errors = [None, Unsure(), full, StoreError("x")]
        said = self.ask(put(B, B, B, Reached(6)))
        self.assertEqual(said, [refused(Unsure())])

    def test_there(self) -> None:
        """A queue that has messages is refused, unless it is to be appended to."""
        self.assertEqual(self.goOn(), IMPORTED[3])
        self.assertEqual(self.ask(first(A, Reached(3))), [THERE])
        self.goOn(append=True)
        self.assertEqual(self.ask(first(A, Reached(3))), IMPORTED[3])
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"a"])

    def test_wrong(self) -> None:
        """What is no chunk of an import is refused as such."""
        self.assertEqual(self.ask(put(Finished(9))), [BAD])
        self.assertEqual(self.ask(put(A, Reached(4))), [BAD])
        self.assertEqual(self.goOn(), IMPORTED[3])


class BegunTests(ImportTestCase):
    """Imports that broke off within the first chunk of a queue."""

    def setUp(self) -> None:
        """Begin with one that did so."""
        super().setUp()
        self.failAt(3, Unsure())
        said = self.ask(begin(), first(A, B, Reached(4), paused=1))
        self.assertEqual(said, ["IMPORTED 0", refused(Unsure())])
        self.client.leave()
        self.client = self.front.client()
        self.ask = self.client.ask
        self.assertEqual(self.ask(begin()), ["IMPORTED 0 unsure"])

    def test_again(self) -> None:
        """The same chunk is set again, though its queue has messages."""
        self.assertEqual(self.ask(first(A, B, Reached(4), paused=1)), IMPORTED[4])
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"a", b"b"])
        self.assertEqual(self.ask(*ALL), IMPORTED[5, 6])

    def test_other(self) -> None:
        """Another one is not."""
        self.assertEqual(self.ask(first(A, Reached(3))), [THERE])

    def test_part(self) -> None:
        """Nor is one that tells no line."""
        self.assertEqual(self.ask(first(Part(b"x"))), [THERE])


class NoAnswerTests(ImportTestCase):
    """What is asked and not answered."""

    def test_begin(self) -> None:
        """An import does not begin as long as nobody knows how far it is."""
        self.cluster.stuck.add(MARK)
        self.client.send(begin(), first(A, Reached(3)))
        self.front.pass_(6)
        self.assertEqual(self.client.replies(), [refused(UNANSWERED)] * 2)

    def test_read(self) -> None:
        """Nor when the mark itself is not to be had, or is none."""
        self.cluster.make(MARK, b"x")
        unknown = refused(ImportRefused(UNKNOWN))
        self.assertEqual(self.ask(begin()), [unknown])
        self.stuckAt(f"declare {MARK}", MARK)
        self.client.send(begin())
        self.front.pass_(6)
        self.assertEqual(self.client.replies(), [refused(UNANSWERED)])

    def test_looked(self) -> None:
        """Another one may look at the mark meanwhile: it is looked for again."""
        self.ask(begin(), first(A, Reached(3)))
        self.client.leave()
        self.front.settle()
        queue = self.cluster.queues[MARK]
        mark = queue.popleft()
        self.client = self.front.client()
        self.client.send(begin())
        self.front.pass_(0.3)
        queue.append(mark)
        self.front.pass_(0.2)
        self.assertEqual(self.client.replies(), IMPORTED[3])

    def test_noMark(self) -> None:
        """Nothing is imported if there is no mark though there is a queue for it."""
        self.cluster.make(MARK)
        self.client.send(begin(), first(A, Reached(3)))
        self.front.pass_(2.2)
        self.assertEqual(self.client.replies(), IMPORTED[0, 3])
        self.told(3)

    def stuckAt(self, asked: str, queue: str) -> None:
        """Let a queue answer nothing any more once it was asked something."""
        ask = self.cluster.ask

        def _ask(what: str, name: str, answer: Any) -> None:
            ask(what, name, answer)
            if f"{what} {name}" == asked:
                self.cluster.stuck.add(queue)

        self.patch(self.cluster, "ask", _ask)

    def test_length(self) -> None:
        """A queue that tells nothing is not filled."""
        self.ask(begin())
        self.cluster.stuck.add("q")
        self.client.send(first(A, Reached(3)))
        self.front.pass_(6)
        self.assertEqual(self.client.replies(), [refused(UNANSWERED)])

    def test_open(self) -> None:
        """Nor is one that says to have none, and does not give the first."""
        self.cluster.make("q")
        self.ask(begin())
        self.stuckAt("declare q", "q")
        self.client.send(first(A, Reached(3)))
        self.front.pass_(6)
        self.assertEqual(self.client.replies(), [refused(UNANSWERED)])

    def test_liar(self) -> None:
        """One that has messages though a node says none is found out."""
        self.cluster.make("q", b"x")
        self.ask(begin())
        asked = self.front.engine.asked.queues
        self.patch(asked, "length", lambda queue, done: done(0))
        self.assertEqual(self.ask(first(A, Reached(3))), [THERE])
        self.assertEqual(self.cluster.bodies("q"), [b"x"])

    def test_make(self) -> None:
        """Nothing is set in one that cannot be made, or paused."""
        self.ask(begin())
        self.failAt(0, StoreError("no"))
        self.assertEqual(self.ask(first(A, Reached(3))), [refused("no")])
        self.client.leave()
        self.client = self.front.client()
        self.client.ask(begin())
        pauses = self.front.engine.asked.pauses
        no = StoreError("no")
        self.patch(pauses, "pause", lambda queue, bits, done: done(no))
        said = self.client.ask(first(A, Reached(3), paused=1))
        self.assertEqual(said, [refused("no")])
        self.assertEqual(list(self.cluster.queues), [])


class TogetherTests(ImportTestCase):
    """Several who import the same."""

    def test_here(self) -> None:
        """One at a time does."""
        self.ask(begin(), first(A, Reached(3)))
        other = self.front.client()
        same = refused(ImportRefused(SAME))
        self.assertEqual(other.ask(begin(), first(A, Reached(3))), [same] * 2)
        other.leave()
        self.assertEqual(self.ask(put(B, Reached(4))), IMPORTED[4])
        self.assertEqual(self.ask(begin()), IMPORTED[4])

    def test_elsewhere(self) -> None:
        """One at a time does, also of several front ends."""
        other = Front(cluster=self.cluster).client()
        self.ask(begin(), first(A, Reached(3)))
        self.assertEqual(other.ask(begin()), IMPORTED[3])
        goOn = first(B, Reached(4), goesOn=True)
        self.assertEqual(other.ask(goOn), IMPORTED[4])
        same = refused(ImportRefused(SAME))
        self.assertEqual(self.ask(put(B, Reached(4))), [same])
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"b"])

    def test_claimUnanswered(self) -> None:
        """Nothing is set if nobody tells who does."""
        self.ask(begin(), first(A, Reached(3)))
        self.cluster.stuck.add(MARK)
        self.client.send(put(B, Reached(4)))
        self.front.pass_(7)
        self.assertEqual(self.client.replies(), [refused(UNANSWERED)])
        self.assertEqual(self.cluster.bodies("q"), [b"a"])

    def test_mark(self) -> None:
        """A mark is one message, which goes some time after its import."""
        self.assertEqual(ARGUMENTS["x-max-length"], 1)
        self.assertLess(ARGUMENTS["x-expires"], 1 << 32)
