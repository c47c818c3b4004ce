"""Sets to queues with rules: refused, dropped for, handed on, expired or delayed."""

from __future__ import annotations

import contextlib
import os
from signal import SIGKILL, SIGTERM, Signals
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from memq.errors import DamagedMessage, OutOfSpace, StoreError, StoreFailed
from memq.message import PART_SIZE
from memq.operations import routing
from memq.operations.base import Upload
from memq.operations.pushes import Push, PushLarge
from memq.operations.routing import SetRequest
from memq.policy.rules import WRITES, Rules, Table
from memq.test.commands.test_protocol import END, NO_SPACE, STORED, put, value
from memq.test.support.fakes import FakeStore
from memq.test.support.harness import Harness
from memq.test.support.homes import BDBTestCase, dump
from memq.test.support.sessions import SessionTestCase, sessions
from memq.test.support.stepped import SteppedTestCase
from memq.wire.forms import SETS
from testkit.servers import Server

if TYPE_CHECKING:
    from socket import socket

NOT_STORED = b"NOT_STORED\r\n"

#: A body in three parts, and another one.
LARGE = bytes(2 * PART_SIZE + 9)
OTHER = b"x" * (PART_SIZE + 1)

_FIELDS = {
    "dropOldest": "overflow",
    "fanoutOnly": "fanout_only",
    "maxBytes": "max_bytes",
    "maxItems": "max_items",
    "honorExptime": "honor_exptime",
}


def rules(**queues: dict[str, Any]) -> Rules:
    """Return rules, each queue's with the names of the fields of a Rule."""
    return Rules(
        [
            Table(
                name.encode(),
                {_FIELDS.get(field, field): value for field, value in values.items()},
            )
            for name, values in queues.items()
        ]
    )


@sessions(
    {
        "A full queue refuses, and takes again when there is room.": """
            > set two 0 0 1 | a -> STORED
            > set two 0 0 1 | b -> STORED
            > set two 0 0 1 | c -> NOT_STORED
            > set two 0 0 1 noreply | d
            > get two/open -> VALUE two/open 0 1 | a | END
            > set two 0 0 1 | e -> NOT_STORED
            > get two/close -> END
            > set two/delay=9 0 0 1 | f -> STORED
            > set two 0 0 1 | g -> NOT_STORED
            > stats queue -> STAT two 2/1 | END
        """,
        "Bytes are limited as well, an empty body needs none.": """
            > set bytes 0 0 4 | four -> STORED
            > set bytes 0 0 2 | of -> NOT_STORED
            > set bytes 0 0 1 | 5 -> STORED
            > set bytes 0 0 0
            | \\r\\n -> STORED
        """,
        "A queue that drops its oldest takes all but what is too large by itself.": """
            > set last 0 0 1 | a -> STORED
            > set last 0 0 1 | b -> STORED
            > set last 0 0 1 | c -> STORED
            > set last 0 0 6 | longer -> NOT_STORED
            > get last -> VALUE last 0 1 | b | END
            > set last 0 0 5 | large -> STORED
            > get last -> VALUE last 0 5 | large | END
            > stats queue -> STAT last 4/4 | END
        """,
        "What is open is not dropped.": """
            > set last 0 0 1 | a -> STORED
            > get last/open -> VALUE last/open 0 1 | a | END
            > set last 0 0 5 | large -> NOT_STORED
            > set last 0 0 1 | b -> STORED
            > set last 0 0 1 | c -> STORED
            > get last/abort -> END
            > get last last last
            < VALUE last 0 1
            < a
            < VALUE last 0 1
            < c
            < END
        """,
        "A set goes to all queues that its own hands on to.": """
            > set all 7 0 2 | hi -> STORED
            > get all near far only
            < VALUE all 7 2
            < hi
            < VALUE near 7 2
            < hi
            < VALUE far 7 2
            < hi
            < END
        """,
        "To all of them, or to none.": """
            > set only 0 0 1 | a -> STORED
            > set only 0 0 1 | b -> STORED
            > set only 0 0 1 | c -> NOT_STORED
            > set all 0 0 1 | d -> STORED
            > stats queue
            < STAT all 1/0
            < STAT far 1/0
            < STAT near 1/0
            < STAT two 2/0
            < END
        """,
        "A queue paused for writes refuses, and so does one that hands on to it.": """
            > set paused 0 0 1 | a -> NOT_STORED
            > set topaused 0 0 1 | b -> NOT_STORED
            > set pausedonly 0 0 1 | c -> NOT_STORED
            > stats queue -> END
        """,
        "A message that has expired when it comes is stored nowhere.": """
            > set expires 0 -1 1 | a -> STORED
            > set two 0 -1 1 | b -> STORED
            > stats queue -> STAT two 1/0 | END
        """,
        "Sets of queues without rules are what they are without any.": """
            > set plain 0 0 1 | a -> STORED
            > set plain 7 -1 1 noreply | b
            > get plain plain
            < VALUE plain 0 1
            < a
            < VALUE plain 7 1
            < b
            < END
        """,
    }
)
class RuleSessions(SessionTestCase):
    """Whole sessions."""

    options: ClassVar[dict[str, Any]] = {
        "rules": rules(
            two={"maxItems": 2},
            bytes={"maxBytes": 5},
            last={"maxItems": 2, "maxBytes": 5, "dropOldest": True},
            all={"fanout": (b"near",)},
            near={"fanout": (b"far",)},
            only={"fanout": (b"two",), "fanoutOnly": True},
            paused={"paused": WRITES},
            topaused={"fanout": (b"paused",)},
            pausedonly={"fanout": (b"x",), "fanoutOnly": True, "paused": WRITES},
            expires={"honorExptime": True},
        )
    }


class RuledTestCase(SteppedTestCase):
    """A server whose queues have rules, with one client."""

    def begin(self, store: Any = None, **queues: dict[str, Any]) -> None:
        """Start it."""
        self.harness = Harness(
            store=store, rules=rules(**queues), maxBody=4 * PART_SIZE, verbosity=2
        )
        self.store: Any = self.harness.store
        self.client = self.harness.connect()

    def talk(self, *requests: bytes) -> bytes:
        """Send them at once; return what is answered."""
        return self.client.talk(b"".join(requests))

    def detail(self, queue: bytes = b"q") -> Any:
        """Return what the store says of a queue."""
        return self.store.detail(queue)

    def sweep(self) -> None:
        """Let all be removed that is to be."""
        self.harness.broker.sweep()
        self.harness.settle()


class LimitTests(RuledTestCase):
    """Queues that are full."""

    def test_pipelined(self) -> None:
        """Of sets in one packet as many are stored as there is room for."""
        self.begin(q={"maxItems": 3})
        expected = STORED * 3 + NOT_STORED * 7
        self.assertEqual(self.talk(put(b"q", b"x") * 10), expected)
        self.assertEqual(self.detail().items, 3)
        self.assertEqual(self.client.protocol.outstanding.load, 0)
        answer = self.talk(b"stats\r\n")
        self.assertIn(b"STAT set_cmds 10\r\n", answer)
        self.assertIn(b"STAT set_hits 3\r\n", answer)

    def test_addThenSet(self) -> None:
        """A limit holds from the command on that comes behind it in one packet."""
        self.begin()
        self.harness.policies.isActive = False
        request = b"add q 0 0 1\r\n1\r\n"
        answer = self.talk(put(b"q2", b"x"), request, put(b"q", b"x") * 2)
        self.assertEqual(answer, STORED * 3 + NOT_STORED)

    def test_lowered(self) -> None:
        """A queue that has too many takes none, and loses none."""
        self.begin()
        self.talk(put(b"q", b"x") * 5)
        self.harness.policies.replace(rules(q={"maxItems": 2}))
        self.assertEqual(self.talk(put(b"q", b"y")), NOT_STORED)
        self.assertEqual(self.detail().items, 5)

    def test_comesDown(self) -> None:
        """A queue that drops its oldest reaches its limit by a part with each set."""
        self.patch(routing, "DROP_COST", 3 * 1025)
        self.begin()
        self.talk(put(b"q", b"x") * 10)
        self.harness.policies.replace(rules(q={"maxItems": 2, "dropOldest": True}))
        items = []
        for _ in range(5):
            self.talk(put(b"q", b"y"))
            items.append(self.detail().items)
        self.assertEqual(items, [8, 6, 4, 2, 2])
        detail = self.detail()
        self.assertEqual((detail.discarded, detail.pushed, detail.taken), (13, 15, 13))

    def test_dropped(self) -> None:
        """Dropped messages are counted, and taken for stats queue; room is counted."""
        self.begin(q={"maxItems": 2, "dropOldest": True})
        gains: list[int] = []
        self.patch(self.harness.broker.room, "changed", lambda g, _: gains.append(g))
        self.assertEqual(self.talk(put(b"q", b"x") * 5), STORED * 5)
        self.assertEqual(dump(self.store), "q 5/3\n  3 0 b'x'\n  4 0 b'x'")
        self.assertEqual(self.detail().discarded, 3)
        self.assertEqual(sum(gains), 3 - 5 * 65)

    def test_damagedOldest(self) -> None:
        """A damaged message that is to be dropped is set aside, and that is logged."""
        self.begin(q={"maxItems": 1, "dropOldest": True})
        pop = self.store.pop
        self.store.fill(b"q", b"a", b"b")

        def damaged(queue: bytes) -> Any:
            message = pop(queue)
            if message.sequence:
                return message
            return DamagedMessage("number 0")

        self.patch(self.store, "pop", damaged)
        with capturedLogs() as events:
            self.assertEqual(self.talk(put(b"q", b"c")), STORED)
        [why] = [event["why"] for event in events if "why" in event]
        self.assertIn("number 0", str(why))
        self.assertEqual((self.detail().discarded, self.detail().items), (1, 1))

    def test_both(self) -> None:
        """Of a rule's limit and that of an add the smaller one counts."""
        self.begin(q={"maxItems": 5}, r={"maxItems": 1, "dropOldest": True})
        self.talk(b"add q 0 0 1\r\n2\r\nadd r 0 0 1\r\n2\r\n")
        answer = self.talk(put(b"q", b"x") * 3, put(b"r", b"x") * 3)
        self.assertEqual(answer, STORED * 2 + NOT_STORED + STORED * 3)
        self.assertEqual(self.detail(b"r").items, 1)

    def test_large(self) -> None:
        """Bodies in parts are limited like others; those refused leave nothing."""
        self.begin(q={"maxBytes": len(LARGE) + 5})
        answer = self.talk(put(b"q", LARGE), put(b"q", OTHER), put(b"q", b"12345"))
        self.assertEqual(answer, STORED + NOT_STORED + STORED)
        self.assertEqual(len(self.store.parts), 1)
        quiet = put(b"q", OTHER).replace(b"\r\n", b" noreply\r\n", 1)
        self.assertEqual(self.talk(quiet), b"")
        self.assertEqual(self.talk(b"get q\r\n"), value(b"q", LARGE) + END)
        self.assertEqual(self.talk(quiet, put(b"r", OTHER)), STORED)
        self.assertEqual(len(self.store.parts), 2)
        self.assertEqual(self.client.protocol.outstanding.load, 0)

    def test_largeDropped(self) -> None:
        """The parts of a message that is dropped go, once that is certain."""
        self.begin(q={"maxItems": 1, "dropOldest": True})
        self.assertEqual(self.talk(put(b"q", LARGE)), STORED)
        self.client.send(put(b"q", b"x"))
        self.harness.reactor.advance(0)
        self.assertEqual(len(self.store.parts), 1)
        self.harness.settle()
        self.assertEqual(len(self.store.parts), 0)
        self.assertEqual(self.talk(put(b"q", LARGE), put(b"q", OTHER)), STORED * 3)
        self.assertEqual(len(self.store.parts), 1)

    def test_gone(self) -> None:
        """So do they when the client is gone before it was told."""
        self.begin(q={"maxItems": 1, "dropOldest": True}, r={"maxBytes": 5})
        self.talk(put(b"q", LARGE))
        for body in (b"x", OTHER, b"y"):
            client = self.harness.connect()
            client.send(put(b"q", body) + put(b"r", OTHER))
            self.harness.reactor.advance(0)
            client.end()
        self.assertEqual(dump(self.store), "q 4/3\n  3 0 b'y'")
        self.assertEqual(len(self.store.parts), 0)


class FanOutTests(RuledTestCase):
    """Queues that hand on."""

    def test_limits(self) -> None:
        """Each queue's own limits count, and its own overflow."""
        self.begin(
            q={"fanout": (b"a", b"b")},
            a={"maxItems": 1, "dropOldest": True},
            b={"maxItems": 3},
        )
        self.assertEqual(self.talk(put(b"q", b"x") * 4), STORED * 3 + NOT_STORED)
        counts = [tuple(count) for count in self.store.counts()]
        self.assertEqual(counts, [(b"a", 3, 2), (b"b", 3, 0), (b"q", 3, 0)])

    def test_error(self) -> None:
        """When one of them cannot be stored, none is."""
        self.begin(q={"fanout": (b"a", b"b")})
        self.store.refuse("push", StoreError("bad page"), b"b", b"x")
        answer = self.talk(put(b"q", b"x"), put(b"q", b"y"), put(b"c", b"z"))
        self.assertEqual(answer, b"SERVER_ERROR bad page\r\n" + STORED * 2)
        for queue in (b"q", b"a", b"b"):
            self.assertEqual(self.detail(queue).pushed, 1)

    def test_waiters(self) -> None:
        """A waiter for one of these queues is served."""
        self.begin(q={"fanout": (b"a",), "fanoutOnly": True})
        other = self.harness.connect()
        self.assertEqual(other.talk(b"get a/t=5000\r\n"), b"")
        self.assertEqual(self.talk(put(b"q", b"x") * 2), STORED * 2)
        self.assertEqual(other.read(), value(b"a/t=5000", b"x") + END)
        self.assertEqual(self.detail(b"a").items, 1)

    def test_expires(self) -> None:
        """Each queue has its own way with the exptime, and needs room accordingly."""
        self.begin(
            q={"fanout": (b"a", b"b")},
            a={"honorExptime": True},
            b={"honorExptime": True, "maxItems": 1},
        )
        self.harness.timeOfDay = 1000.0
        self.talk(b"set q 0 5 1\r\nx\r\nset q 0 -5 1\r\ny\r\n")
        self.assertEqual([self.detail(n).items for n in (b"q", b"a", b"b")], [2, 1, 1])
        self.store.begin()
        expires = [self.store.pop(name).expires for name in (b"q", b"a", b"b")]
        self.assertEqual(expires, [0, 1005000, 1005000])

    def test_large(self) -> None:
        """Each queue has parts of its own."""
        self.begin(q={"fanout": (b"a", b"b"), "fanoutOnly": True})
        self.assertEqual(self.talk(put(b"q", LARGE)), STORED)
        self.assertEqual(self.talk(b"get a\r\n"), value(b"a", LARGE) + END)
        self.assertEqual(self.talk(b"delete a\r\n"), b"DELETED\r\n")
        self.sweep()
        self.assertEqual(self.talk(b"get b\r\n"), value(b"b", LARGE) + END)
        self.assertEqual(len(self.store.parts), 0)

    def test_largeRefused(self) -> None:
        """A large set that is refused, or does not come, leaves nothing."""
        self.begin(q={"fanout": (b"a", b"b")}, b={"maxBytes": 5})
        self.assertEqual(self.talk(put(b"q", LARGE)), NOT_STORED)
        bad = put(b"q", LARGE)[:-2] + b"xx\r\n"
        self.assertIn(b"bad data chunk", self.talk(bad))
        another = self.harness.connect()
        another.send(put(b"q", LARGE)[:-9])
        self.harness.settle()
        another.end()
        self.assertEqual((dump(self.store), self.store.parts), ("", {}))

    def test_largeHere(self) -> None:
        """A queue that keeps none of it needs no parts."""
        self.begin(q={"fanout": (b"a",)}, a={"honorExptime": True})
        request = put(b"q", LARGE).replace(b" 0 0 ", b" 0 -1 ", 1)
        self.assertEqual(self.talk(request), STORED)
        self.assertEqual(len(self.store.parts), 1)
        self.assertEqual(self.talk(b"get q a\r\n"), value(b"q", LARGE) + END)

    def test_largeRulesChange(self) -> None:
        """The queues are those of when the body began, whatever the rules become."""
        self.begin(q={"fanout": (b"a",)})
        request = put(b"q", LARGE)
        self.client.send(request[:-9])
        self.harness.policies.replace(rules(q={"fanout": (b"b", b"c")}))
        self.assertEqual(self.client.talk(request[-9:]), STORED)
        self.assertEqual(self.talk(b"get q b c a\r\n").count(b"VALUE"), 2)

    def test_largeRulesCome(self) -> None:
        """A large set that began without rules goes to its own queue."""
        self.begin()
        request = put(b"q", LARGE)
        self.client.send(request[:-9])
        self.harness.policies.replace(rules(q={"fanout": (b"b",)}))
        self.assertEqual(self.client.talk(request[-9:]), STORED)
        self.assertEqual(self.talk(b"get q b\r\n"), value(b"q", LARGE) + END)

    def test_largeError(self) -> None:
        """A part that cannot be kept is told, and nothing is stored."""
        self.begin(q={"fanout": (b"a",)})
        addPart = self.store.addPart

        def failing(body: int, number: int, data: bytes) -> None:
            if (body, number) == (2, 1):
                raise StoreError("bad page")
            addPart(body, number, data)

        self.patch(self.store, "addPart", failing)
        self.assertEqual(self.talk(put(b"q", LARGE)), b"SERVER_ERROR bad page\r\n")
        self.assertEqual((dump(self.store), self.store.parts), ("", {}))


class FullDiskTests(RuledTestCase):
    """Sets when there is no room on the disk."""

    def test_refused(self) -> None:
        """Sets of every kind are told that, and adds."""
        self.begin(q={"maxItems": 5})
        self.harness.fillDisk()
        answer = self.talk(
            put(b"q", b"x") * 2,
            put(b"q", LARGE),
            b"set q/delay=5 0 0 1\r\nx\r\n",
            b"add n 0 0 1\r\n5\r\n",
        )
        self.assertEqual(answer, NO_SPACE * 5)
        self.assertEqual((dump(self.store), self.store.parts), ("", {}))
        self.harness.makeRoom()
        self.assertEqual(self.talk(put(b"q", b"x")), STORED)

    def test_waiting(self) -> None:
        """Those that wait already are told so too, and nothing of them is stored."""
        self.begin(q={"maxItems": 5})
        self.client.send(put(b"q", b"x") * 2 + put(b"q", LARGE))
        self.harness.fillDisk()
        self.harness.settle()
        self.assertEqual(self.client.read(), NO_SPACE * 3)
        self.assertEqual((dump(self.store), self.store.parts), ("", {}))

    def test_met(self) -> None:
        """A turn that meets it drops nothing for the message that was to come."""
        self.begin(q={"maxItems": 1, "dropOldest": True})
        self.talk(put(b"q", LARGE))
        self.store.refuse("push", OutOfSpace())
        self.assertEqual(self.talk(put(b"q", b"x")), NO_SPACE)
        self.assertEqual(self.talk(b"get q\r\n"), value(b"q", LARGE) + END)
        self.assertEqual(self.detail().discarded, 0)

    def test_failed(self) -> None:
        """When the store fails for good, nothing of it is told as stored."""
        self.begin(q={"maxItems": 1, "dropOldest": True})
        self.talk(put(b"q", LARGE))
        self.client.send(put(b"q", b"x") + put(b"q", OTHER))
        self.harness.reactor.advance(0)
        self.harness.broker.fail(StoreFailed("bad disk"))
        self.harness.settle()
        self.assertEqual(self.client.read(), b"SERVER_ERROR bad disk\r\n" * 2)


class DelayTests(RuledTestCase):
    """Sets with a delay."""

    def test_due(self) -> None:
        """A message is there when it is due, behind what came before that."""
        self.begin()
        self.talk(b"set q/delay=5 3 0 1\r\na\r\nset q/delay=4 0 0 1\r\nb\r\n")
        self.talk(put(b"q", b"c"))
        self.harness.pass_(3.9)
        self.assertEqual(self.talk(b"get q q\r\n"), value(b"q", b"c") + END)
        self.harness.pass_(0.2)
        self.assertEqual(self.talk(b"get q q\r\n"), value(b"q", b"b") + END)
        self.harness.pass_(1)
        self.assertEqual(self.talk(b"get q\r\n"), b"VALUE q 3 1\r\na\r\n" + END)

    def test_waiter(self) -> None:
        """A waiter gets it then."""
        self.begin()
        self.talk(b"set q/delay=5 0 0 1\r\na\r\n")
        self.assertEqual(self.talk(b"get q/t=60000\r\n"), b"")
        self.harness.pass_(5)
        self.assertEqual(self.client.read(), value(b"q/t=60000", b"a") + END)

    def test_large(self) -> None:
        """A body in parts can be delayed, and refused."""
        self.begin(r={"maxItems": 1})
        request = put(b"q/delay=2", LARGE), put(b"r/delay=2", LARGE) * 2
        self.assertEqual(self.talk(*request), STORED * 2 + NOT_STORED)
        self.assertEqual(self.talk(b"get q r\r\n"), END)
        self.harness.pass_(2)
        answer = value(b"q", LARGE) + value(b"r", LARGE) + END
        self.assertEqual(self.talk(b"get q r\r\n"), answer)
        self.assertEqual(self.store.parts, {})

    def test_largePlain(self) -> None:
        """Also where nothing else has rules, and with noreply."""
        self.begin()
        request = put(b"q/delay=2", LARGE).replace(b"\r\n", b" noreply\r\n", 1)
        self.assertEqual(self.talk(request), b"")
        self.harness.pass_(2)
        self.assertEqual(self.talk(b"get q\r\n"), value(b"q", LARGE) + END)
        self.assertFalse(self.harness.policies.isActive)

    def test_limits(self) -> None:
        """Limits count what is not due; what is due comes in any case."""
        self.begin(q={"maxItems": 2}, r={"maxItems": 2, "dropOldest": True})
        for queue in (b"q", b"r"):
            request = put(b"%b/delay=5" % queue, b"a"), put(queue, b"b")
            self.assertEqual(self.talk(*request), STORED * 2)
        answer = self.talk(put(b"q", b"c"), put(b"r", b"c"))
        self.assertEqual(answer, NOT_STORED + STORED)
        self.harness.policies.replace(rules(q={"maxItems": 1}))
        self.harness.pass_(5)
        found = self.talk(b"get q q r r r\r\n")
        bodies = [line for line in found.split(b"\r\n") if len(line) == 1]
        self.assertEqual(bodies, [b"b", b"a", b"c", b"a"])

    def test_fanout(self) -> None:
        """It goes to all queues when it is due, and not before."""
        self.begin(q={"fanout": (b"a",)})
        self.talk(b"set q/delay=5 0 0 1\r\nx\r\n")
        self.assertEqual(self.talk(b"get q a\r\n"), END)
        self.harness.pass_(5)
        answer = value(b"q", b"x") + value(b"a", b"x") + END
        self.assertEqual(self.talk(b"get q a\r\n"), answer)

    def test_apart(self) -> None:
        """Of several sets of which one fails the others are stored."""
        self.begin(other={"maxItems": 1})
        self.store.refuse("push", StoreError("bad page"), b"q", b"b")
        answer = self.talk(put(b"q", b"a"), put(b"q", b"b"), put(b"q", b"c"))
        self.assertEqual(answer, STORED + b"SERVER_ERROR bad page\r\n" + STORED)
        self.assertEqual(dump(self.store), "q 2/0\n  0 0 b'a'\n  1 0 b'c'")

    def test_apartDropped(self) -> None:
        """So it is where one was dropped to make room for the first."""
        self.begin(other={"maxItems": 1})
        self.talk(put(b"q", LARGE))
        self.client.send(put(b"q", b"a") + put(b"q", b"b"))
        self.harness.policies.replace(rules(q={"maxItems": 1, "dropOldest": True}))
        self.store.refuse("push", StoreError("bad page"), b"q", b"b")
        self.harness.settle()
        answer = STORED + b"SERVER_ERROR bad page\r\n"
        self.assertEqual(self.client.read(), answer)
        self.assertEqual(self.store.parts, {})


class DiskTests(BDBTestCase):
    """The same on Berkeley DB: what a restart finds."""

    def start(self, store: Any, **queues: dict[str, Any]) -> Harness:
        """Return a server."""
        return Harness(store=store, rules=rules(**queues), maxBody=4 * PART_SIZE)

    def test_kept(self) -> None:
        """Limits, delays and all that they count are there after a crash."""
        store = self.openStore()
        harness = self.start(store)
        harness.timeOfDay = 1000.0
        client = harness.connect()
        request = b"add q 0 0 1\r\n3\r\n" + put(b"q/delay=60", LARGE) + put(b"q", b"a")
        self.assertEqual(client.talk(request), STORED * 3)
        again = self.start(self.crashed(store))
        again.timeOfDay = 1030.0
        again.broker.start()
        self.assertTrue(again.policies.isActive)
        client = again.connect()
        answer = client.talk(put(b"q", b"b") * 2 + b"get q\r\n")
        self.assertEqual(answer, STORED + NOT_STORED + value(b"q", b"a") + END)
        again.pass_(31)
        answer = client.talk(b"get q q\r\n")
        self.assertEqual(answer, value(b"q", b"b") + value(b"q", LARGE) + END)

    def test_dueMeanwhile(self) -> None:
        """A message that became due while there was no server is there at its start."""
        store = self.openStore()
        harness = self.start(store)
        harness.connect().talk(put(b"q/delay=60", b"a") + put(b"q/delay=50", b"b"))
        again = self.start(self.reopened(store))
        again.timeOfDay = 100.0
        again.broker.start()
        again.pass_(0.1)
        answer = again.connect().talk(b"get q q\r\n")
        self.assertEqual(answer, value(b"q", b"b") + value(b"q", b"a") + END)

    def test_dropped(self) -> None:
        """Large messages that are dropped leave nothing behind, nor do refused ones."""
        store = self.openStore()
        harness = self.start(
            store,
            q={"maxItems": 1, "dropOldest": True, "fanout": (b"r",)},
            r={"maxBytes": 2 * len(LARGE)},
        )
        client = harness.connect()
        self.assertEqual(client.talk(put(b"q", LARGE) * 3), STORED * 2 + NOT_STORED)
        harness.settle()
        self.assertEqual(len(store.transaction.messages), 3 + 2 * 3 + 3)
        self.assertEqual(client.talk(b"get q\r\n"), value(b"q", LARGE) + END)
        self.assertEqual(client.talk(b"get r r\r\n").count(b"VALUE"), 2)
        harness.broker.sweep()
        harness.settle()
        self.assertEqual(len(store.transaction.messages), 0)


CONFIG = """
[queue.all]
fanout = ["left", "right"]

[queue.right]
max_items = 1_000_000

[queue.few]
max_items = 2
"""


class ServerTests(SynchronousTestCase):
    """Real servers that read rules from a file, are stopped, and are killed."""

    def setUp(self) -> None:
        """Start one."""
        self.path = os.path.abspath(self.mktemp())
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(CONFIG)
        self.home = os.path.abspath(self.mktemp())
        self.server = self.start()

    def start(self) -> Server:
        """Start one on the same home."""
        server = Server(self.home, "--config", self.path).start()
        self.addCleanup(server.stop)
        return server

    def restart(self, number: Signals) -> None:
        """End it with a signal, and start another one."""
        self.server.stop(number)
        self.server = self.start()

    def talk(self, *requests: bytes) -> bytes:
        """Return what is answered."""
        return self.server.talk(b"".join([*requests, b"quit\r\n"]))

    def test_restart(self) -> None:
        """Limits, delays and what rules made of them outlive the server."""
        add = b"add added 0 0 1\r\n2\r\n"
        delayed = put(b"added/delay=2", b"later") + put(b"few/delay=9999", b"never")
        self.assertEqual(self.talk(add, delayed, put(b"added", b"now")), STORED * 4)
        for number in (SIGTERM, SIGKILL):
            answer = self.talk(add, put(b"added", b"x"), put(b"few", b"x"))
            expected = STORED if number == SIGTERM else NOT_STORED
            self.assertEqual(answer, NOT_STORED * 2 + expected)
            self.restart(number)
        self.assertEqual(self.talk(b"get added\r\n"), value(b"added", b"now") + END)
        answer = self.talk(b"get added/t=60000\r\n")
        self.assertEqual(answer, value(b"added/t=60000", b"later") + END)
        self.assertEqual(self.talk(b"get few few\r\n"), value(b"few", b"x") + END)

    def test_killed(self) -> None:
        """A set that goes to three queues is in all or none of them after a kill."""
        queues = (b"all", b"left", b"right")
        for _ in range(3):
            before = self.server.counts().get(b"all", (0, 0))[0]
            with self.server.connect() as client:
                sets = [put(b"all", b"%d" % number) for number in range(2000)]
                client.sendall(b"".join(sets))
                answered = b""
                while answered.count(b"\n") < 200:
                    answered += client.recv(65536)
                self.server.stop(SIGKILL)
                answered += _rest(client)
            self.server = self.start()
            counts = self.server.counts()
            self.assertEqual(len({counts[queue] for queue in queues}), 1)
            self.assertGreaterEqual(counts[b"all"][0] - before, answered.count(STORED))
        total = counts[b"all"][0]
        bodies = {queue: self.talk(b"get %b\r\n" % queue * total) for queue in queues}
        told = {found.replace(queue, b"") for queue, found in bodies.items()}
        self.assertEqual(len(told), 1)
        self.assertEqual(bodies[b"all"].count(b"VALUE"), total)


def _rest(client: socket) -> bytes:
    """Return all that comes until the end of a connection, however that ends."""
    pieces: list[bytes] = []
    with contextlib.suppress(ConnectionResetError):
        pieces.extend(iter(lambda: client.recv(65536), b""))
    return b"".join(pieces)


class OperationTests(SteppedTestCase):
    """The operations by themselves."""

    def test_undone(self) -> None:
        """A push that was undone has shown and dropped nothing."""
        harness = Harness(rules=rules(q={"maxItems": 1, "dropOldest": True}))
        session = harness.broker.session(lambda: None)
        store = harness.store
        assert isinstance(store, FakeStore)
        store.fill(b"q", b"a")
        push = Push(session, b"q", 0, b"b", SETS)
        push.run(store)
        self.assertEqual(list(push.madeVisible()), [(b"q", 1)])
        store.abort()
        push.undo()
        self.assertEqual(list(push.madeVisible()), [(b"q", 0)])
        push.release()
        self.assertEqual(len(session.inbox), 0)

    def test_undoneLarge(self) -> None:
        """Nor has one with a body in parts."""
        harness = Harness()
        session = harness.broker.session(lambda: None)
        upload = Upload([b"q"])
        session.addPart(upload, b"x")
        push = PushLarge(session, SetRequest(b"q"), 0, upload)
        session.inbox[0].run(harness.store)
        push.run(harness.store)
        self.assertEqual(list(push.madeVisible()), [(b"q", 1)])
        push.undo()
        self.assertEqual(list(push.madeVisible()), [])
