"""The meta protocol, as a client sees it.

Many of the sessions are memcached's own tests of it, as far as a queue can pass them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.logger import capturedLogs, formatEvent

from memq.errors import BodyTimedOut, DamagedMessage, OutOfSpace, StoreError
from memq.message import PART_SIZE
from memq.operations.openreads.ending import ENDED_AT_ONCE
from memq.policy.rule import READS, WRITES
from memq.test.commands.test_protocol import NO_SPACE, ProtocolTestCase, put
from memq.test.operations.test_pushes import RuledTestCase
from memq.test.support.harness import Harness
from memq.test.support.sessions import SessionTestCase, sessions


@sessions(
    {
        "A set is stored, and a get takes it.": """
            > ms foo 2 T90 | hi -> HD
            > mg foo v -> VA 2 | hi
            > mg foo v -> EN
        """,
        "A get without a value takes nothing.": """
            > ms foo 2 | ho -> HD
            > mg foo -> HD
            > mg foo s t f -> HD s2 t-1 f0
            > get foo -> VALUE foo 0 2 | ho | END
            > mg foo -> EN
            > mg foo s t f -> EN
        """,
        "Flags are told in the order in which they are asked for.": """
            > ms foo 3 F27 | bar -> HD
            > mg foo s f c t h l v k O7 -> VA 3 s3 f27 c0 t-1 h0 l0 kfoo O7 | bar
            > ms foo 0 F4294967295 |  -> HD
            > mg foo O%d k c f v s -> VA 0 O%d kfoo c1 f4294967295 s0
            <
        """,
        "A set tells its key, its opaque and its size.": """
            > ms foo 2 k O123 s F1 T0 MS I | hi -> HD kfoo O123 s2
            > ms foo 2 s O k | hi -> HD s2 O kfoo
            > get foo -> VALUE foo 1 2 | hi | END
        """,
        "A set tells the number of its message, 0 of one that has none yet.": """
            > ms foo 2 c k T0 MS | hi -> HD c0 kfoo
            > ms foo 2 c s | hi -> HD c1 s2
            > ms foo 2 s c O%d | hi -> HD s2 c2 O%d
            > ms foo 2 q c | hi
            > ms foo/delay=5 2 c | hi -> HD c0
            > mg foo v c k -> VA 2 c0 kfoo | hi
            > gets foo -> VALUE foo 0 2 1 | hi | END
        """,
        "Quiet sets and deletes are told nothing, a quiet get what it finds.": """
            > ms quiet 2 q | mo
            > ms quiet 2 k q O1 | my
            > mg quiet s v q -> VA 2 s2 | mo
            > mg quiet k O9 v q -> VA 2 kquiet O9 | my
            > mg quiet s v q
            > mg quiet q
            > md quiet q
            > md quiet q
            > mn -> MN
            > stats queue -> END
        """,
        "An error is told, quiet or not.": """
            > ms quiet S q -> CLIENT_ERROR bad command line format
            closed
        """,
        "A pipeline of quiet commands ends with a no-op.": r"""
            > ms foo 2 q | a1 | ms bar 2 q | b1 | mn -> MN
            | mg bar k v q\r\nmg none k v q\r\nmg foo k v q\r\nmn\r\n
            < VA 2 kbar
            < b1
            < VA 2 kfoo
            < a1
            < MN
        """,
        "Keys may be in base64, and are told as they came.": """
            > ms Zm9v 2 b | hi -> HD
            > mg Zm9v b k s -> HD kZm9v b s2
            > mg Zm9v k b v O1 -> VA 2 kZm9v b O1 | hi
            > mg Zm9v k b v O1 -> EN kZm9v b O1
            > ms Zm9vL2RlbGF5PTA= 1 b k | x -> HD kZm9vL2RlbGF5PTA= b
            > get foo -> VALUE foo 0 1 | x | END
            > md Zm9v k b -> HD kZm9v b
            > me Zm9v b -> EN
        """,
        "A key that is not base64 is none.": """
            > mg Zm9 b -> CLIENT_ERROR error decoding key
            > ms Zm9v!? 7 b | version -> CLIENT_ERROR error decoding key
            > md Z b -> CLIENT_ERROR error decoding key
            > mg IA== b v -> CLIENT_ERROR bad command line format
            > ms IA== 7 b | version -> CLIENT_ERROR bad command line format
        """,
        "A key has 250 bytes at most.": """
            > ms N250 2 | hi -> HD
            > mg N250 v -> VA 2 | hi
            > mg N251 v -> CLIENT_ERROR bad command line format
            > md N251 -> CLIENT_ERROR bad command line format
            > me N251 -> CLIENT_ERROR bad command line format
            > ms N251 7 | version -> CLIENT_ERROR bad command line format
        """,
        "A key is needed.": """
            > mg -> CLIENT_ERROR bad command line format
            > md -> CLIENT_ERROR bad command line format
            > me -> CLIENT_ERROR bad command line format
            > mn foo -> CLIENT_ERROR bad command line format
            > ma -> CLIENT_ERROR ma has no meaning for a queue
        """,
        "A flag is given once.": """
            > mg foo v k v -> CLIENT_ERROR duplicate flag
            > md foo q q -> CLIENT_ERROR duplicate flag
            > ms foo 7 T0 T0 | version -> CLIENT_ERROR duplicate flag
            > mg foo O1 O2 -> CLIENT_ERROR duplicate flag
        """,
        "A flag that nobody knows is invalid.": """
            > mg foo v z -> CLIENT_ERROR invalid flag
            > mg foo noreply -> CLIENT_ERROR invalid flag
            > mg foo 5 -> CLIENT_ERROR invalid flag
            > md foo 0 -> CLIENT_ERROR invalid flag
            > me foo v -> CLIENT_ERROR invalid flag
            > ms foo 7 S7 | version -> CLIENT_ERROR invalid flag
            > ms foo 7 noreply | version -> CLIENT_ERROR invalid flag
        """,
        "A flag that would do what a queue does not is refused.": """
            > mg foo v N30 -> CLIENT_ERROR flag N has no meaning for a queue
            > mg foo R30 -> CLIENT_ERROR flag R has no meaning for a queue
            > mg foo T30 -> CLIENT_ERROR flag T has no meaning for a queue
            > mg foo E5 -> CLIENT_ERROR flag E has no meaning for a queue
            > md foo I -> CLIENT_ERROR flag I has no meaning for a queue
            > md foo T30 -> CLIENT_ERROR flag T has no meaning for a queue
            > md foo C5 -> CLIENT_ERROR flag C has no meaning for a queue
            > md foo x -> CLIENT_ERROR flag x has no meaning for a queue
            > ms foo 7 C5 | version -> CLIENT_ERROR flag C has no meaning for a queue
            > ms foo 7 E5 | version -> CLIENT_ERROR flag E has no meaning for a queue
            > ms foo 7 D5 | version -> CLIENT_ERROR flag D has no meaning for a queue
            > ms foo 7 N0 q | version -> CLIENT_ERROR flag N has no meaning for a queue
            > ma foo N0 J13 v t -> CLIENT_ERROR ma has no meaning for a queue
            > stats queue -> END
        """,
        "So is a mode.": """
            > ms foo 7 ME | version -> CLIENT_ERROR mode E has no meaning for a queue
            > ms foo 7 MA | version -> CLIENT_ERROR mode A has no meaning for a queue
            > ms foo 7 MP | version -> CLIENT_ERROR mode P has no meaning for a queue
            > ms foo 7 MR | version -> CLIENT_ERROR mode R has no meaning for a queue
            > ms foo 7 MZ | version -> CLIENT_ERROR invalid mode for ms M token
            > ms foo 7 M | version -> CLIENT_ERROR invalid mode for ms M token
            > ms foo 7 MSS | version -> CLIENT_ERROR invalid mode for ms M token
            > stats queue -> END
        """,
        "What stands behind a letter has to be what it takes.": """
            > ms foo 7 F | version -> CLIENT_ERROR bad token in command line format
            > ms foo 7 F-1 | version -> CLIENT_ERROR bad token in command line format
            > ms foo 7 F4294967296 | version
            < CLIENT_ERROR bad token in command line format
            > ms foo 7 T | version -> CLIENT_ERROR bad token in command line format
            > ms foo 7 Tsoon | version -> CLIENT_ERROR bad token in command line format
            > ms foo 7 T--1 | version -> CLIENT_ERROR bad token in command line format
            > ms foo 2 T-1 | hi -> HD
            > mg foo t v -> VA 2 t-1 | hi
        """,
        "An opaque has 32 bytes at most.": """
            > mg foo O12345678901234567890123456789012
            < EN O12345678901234567890123456789012
            > mg foo O123456789012345678901234567890123
            < CLIENT_ERROR opaque token too long
            > ms foo 7 O123456789012345678901234567890123 | version
            < CLIENT_ERROR opaque token too long
        """,
        "A length is needed, and the connection is closed without.": """
            > ms foo -> CLIENT_ERROR bad command line format
            closed
        """,
        "So it is with one that is none.": """
            > ms foo -1 -> CLIENT_ERROR bad command line format
            closed
        """,
        "So it is where another word may be the length.": """
            > ms my foo 7 -> CLIENT_ERROR bad command line format
            closed
        """,
        "And where a word behind it is no flag.": """
            > ms foo 0 7 -> CLIENT_ERROR bad command line format
            closed
        """,
        "The first version had the length in a flag, and the body is thrown away.": """
            > ms foo S7 | version -> CLIENT_ERROR bad command line format
            > ms foo T0 S7 | version -> CLIENT_ERROR bad command line format
            > MS foo S7 q | version -> CLIENT_ERROR bad command line format
            > mn -> MN
        """,
        "A body that is longer than announced closes, quiet or not.": r"""
            | ms foo 2 q\r\nhiho\r\n -> CLIENT_ERROR bad data chunk
            closed
        """,
        "So does one of a line that is refused.": r"""
            | ms foo 2 J\r\nhiho\r\n -> CLIENT_ERROR flag J has no meaning for a queue
            closed
        """,
        "A proxy's flags are nobody's business.": """
            > ms foo 2 Lone Ptwo | hi -> HD
            > mg foo v P L u -> VA 2 | hi
            > md foo L P -> HD
        """,
        "A delete tells whether there was a queue.": """
            > ms foo 2 | hi -> HD
            > md foo k O1 -> HD kfoo O1
            > md foo k O1 -> NF kfoo O1
            > md foo -> NF
            > md foo/open -> CLIENT_ERROR unknown option
        """,
        "Text and meta are one server.": """
            > set foo 5 0 2 | hi -> STORED
            > mg foo f v -> VA 2 f5 | hi
            > MS foo 2 F6 | ho -> HD
            > Mg foo f v -> VA 2 f6 | ho
            > gets foo -> END
            > MN -> MN
        """,
        "Options stand in the key.": """
            > ms w 2 | a1 -> HD
            > ms w 2 | a2 -> HD
            > mg w/peek v k -> VA 2 kw/peek | a1
            > mg w/open v c h -> VA 2 c0 h0 | a1
            > mg w v k -> VA 2 kw | a2
            > mg w/t=0 v -> EN
            > mg w/open v -> CLIENT_ERROR close current item first
            > mg w/abort k -> HD kw/abort
            > mg w/abort k -> EN kw/abort
            > mg w/open/t=0 v h -> VA 2 h1 | a1
            > mg w/close O1 -> HD O1
            > mg w/close O1 -> EN O1
            > mg w/close O1 v -> EN O1
            > mg w/close v q
            > mg w/close q
            > mg w/close/open v -> EN
            > stats queue -> STAT w 2/2 | END
        """,
        "One of several open messages is told by its number.": """
            > ms w 1 q | a | ms w 1 q | b | ms w 1 q | c
            > mg w/open v c -> VA 1 c0 | a
            > mg w/open/more v c t h -> VA 1 c1 t-1 h0 | b
            > mg w/open/more v c q -> VA 1 c2 | c
            > md w/open=1 k -> HD kw/open=1
            > md w/open=1 k O1 -> NF kw/open=1 O1
            > md w/open=1 q
            > mg w/close=2 -> HD
            > mg w/close=2 k -> EN kw/close=2
            > mg w/abort=0 -> HD
            > mg w/abort=0 q
            > mg w/open v h -> VA 1 h1 | a
            > md w/open=0 q
            > stats queue -> STAT w 3/3 | END
        """,
        "Without a value they wait and look.": """
            > mg w/t=0 s -> EN
            > ms w 3 | a12 -> HD
            > mg w/t=0 s k -> HD s3 kw/t=0
            > mg w/peek s -> HD s3
            > mg w/peek/t=0 h l -> HD h0 l0
            > mg w/open -> CLIENT_ERROR open takes the flag v
            > mg w/close/open s -> CLIENT_ERROR open takes the flag v
            > mg w/what -> CLIENT_ERROR unknown option
            > mg w/abort/peek v -> CLIENT_ERROR these options do not go together
            > mg /peek v -> CLIENT_ERROR bad command line format
            > stats queue -> STAT w 1/0 | END
        """,
        "A set may be delayed.": """
            > ms d/delay=1000 2 k | hi -> HD kd/delay=1000
            > mg d v -> EN
            > ms d/delay=x 7 | version
            < CLIENT_ERROR delay= takes 0 to 31536000 seconds
            > ms d/open 7 | version -> CLIENT_ERROR unknown option
            > stats queue -> STAT d 0/0 | END
        """,
        "HTTP is none of it.": """
            > mg foo HTTP/1.1
            closed
        """,
        "What is counted is the same.": """
            > ms foo 2 | hi -> HD
            > mg foo -> HD
            > mg foo s t -> HD s2 t-1
            > mg foo v -> VA 2 | hi
            > mg foo v -> EN
        """,
    }
)
class MetaSessions(SessionTestCase):
    """Sessions in the meta protocol."""


class MetaTests(ProtocolTestCase):
    """The meta protocol, beside what a session can show."""

    def test_counts(self) -> None:
        """Commands count as those of the text protocol that they are like."""
        self.client.talk(b"ms q 1\r\na\r\nmg q v\r\nmg q\r\nmg q v h\r\n")
        self.client.talk(b"md q\r\nmd q\r\n")
        counters = self.harness.statistics
        self.assertEqual((counters.setCommands, counters.setHits), (1, 1))
        self.assertEqual((counters.getCommands, counters.getHits), (3, 1))
        self.assertEqual((counters.deletes, counters.deleteMisses), (1, 1))

    def test_joined(self) -> None:
        """Equal lines become one operation, others with another form do not."""
        session = self.client.protocol.session
        same = b"ms q 1 k\r\na\r\n" * 3
        for sent, operations in (
            *((same, 1), (same + b"ms q 1\r\na\r\n", 2), (same + put(b"q", b"a"), 2)),
            *((b"mg q v\r\n" * 3, 1), (b"mg q v\r\nmg q v k\r\nget q\r\n", 3)),
        ):
            self.client.send(sent)
            self.assertEqual(len(session.inbox), operations, sent)
            self.harness.settle()
        self.assertEqual(self.client.read().count(b"a\r\n"), 6)

    def test_diskFull(self) -> None:
        """On a full disk a quiet set is told so, too, and a get goes on."""
        self.client.talk(b"ms q 1\r\na\r\n")
        self.store.refuse("push", OutOfSpace())
        self.asks(
            b"ms q 1 q k\r\na\r\nmg q v q\r\nmn\r\n", NO_SPACE + b"VA 1\r\na\r\nMN\r\n"
        )

    def test_storeError(self) -> None:
        """Other errors of the store are told to quiet commands, too."""
        bad = b"SERVER_ERROR bad page\r\n"
        self.store.refuse("push", StoreError("bad page"))
        self.asks(b"ms q 1 q\r\na\r\nms q 1 k\r\na\r\nmn\r\n", bad * 2 + b"MN\r\n")
        self.client.talk(b"ms r 1\r\na\r\n")
        for verb in ("pop", "delete", "details"):
            self.store.refuse(verb, StoreError("bad page"))
        self.asks(b"mg r v q\r\nmd r q\r\nme r\r\nmg r v h\r\n", bad * 4)

    def test_damaged(self) -> None:
        """A damaged head is no figure of its queue."""
        self.client.talk(b"ms q 1\r\na\r\n")
        self.store.damaged[b"q"] = DamagedMessage("number 5")
        self.assertNotIn(b"head_", self.client.talk(b"me q\r\n"))
        self.assertIn(b"SERVER_ERROR damaged", self.client.talk(b"mg q v h\r\n"))

    def test_noted(self) -> None:
        """The log has the command, and the flags it came with."""
        harness = Harness(verbosity=2)
        client = harness.connect()
        with capturedLogs() as events:
            client.talk(b"ms q 1 k O\x1b\r\na\r\nmg q v f\r\nmn\r\n")
        told = [formatEvent(event).split(" ", 1)[1] for event in events]
        self.assertEqual(
            told,
            [
                "set q flags=0 size=1 ms k O\\x1b exptime=0 delay=0",
                "get q mg v f",
                "noop mn",
            ],
        )

    def test_gone(self) -> None:
        """A message that cannot be sent goes back, and one that was looked at stays."""
        self.client.talk(b"ms q 1\r\na\r\nms q 1\r\nb\r\n")
        self.client.send(b"mg q s h\r\nmg q v k\r\nmg q v t\r\n")
        self.client.leave()
        self.harness.settle()
        self.assertEqual(self.store.dump(), "q 2/0: a b")

    def test_closesMany(self) -> None:
        """It tells what was open, however many slices it takes to end that."""
        count = ENDED_AT_ONCE
        self.client.talk(put(b"q", b"x") * count)
        self.client.talk(b"monitor q 0\r\n")
        self.asks(b"mg q/abort k\r\nmg q/abort\r\n", b"HD kq/abort\r\nEN\r\n")


class LargeTests(ProtocolTestCase):
    """Bodies in parts."""

    options: ClassVar[dict[str, Any]] = {"maxBody": 4 * PART_SIZE}

    def test_large(self) -> None:
        """A body in parts comes in and goes out as any other."""
        body = bytes(range(256)) * 300
        size = len(body)
        request = b"ms q %d k O1 s F7\r\n%b\r\n" % (size, body)
        for pieces in (
            [request],
            [request[at : at + 9999] for at in range(0, size, 9999)],
        ):
            got = b"".join([self.client.talk(piece) for piece in pieces])
            self.assertEqual(got, b"HD kq O1 s%d\r\n" % size)
        self.asks(b"mg q s f\r\n", b"HD s%d f7\r\n" % size)
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 0)
        for flags, shown in ((b"", b""), (b" t h", b" t-1 h0")):
            reply = b"VA %d f7%b\r\n%b\r\n" % (size, shown, body)
            self.asks(b"mg q v f%b\r\nmn\r\n" % flags, reply + b"MN\r\n")
        self.asks(b"mg q v\r\n", b"EN\r\n")

    def test_quiet(self) -> None:
        """A large body of a quiet set, or of one that is refused, comes in as well."""
        line = b"ms q 70000 q\r\n"
        body = b"x" * 70000 + b"\r\n"
        self.asks(line + body + b"mn\r\n", b"MN\r\n")
        self.harness.broker.room.exhausted()
        self.asks(line + body + b"mn\r\n", NO_SPACE + b"MN\r\n")
        self.asks(b"ms q 300000 k\r\n", b"")
        self.asks(
            b"x" * 300000 + b"\r\n", b"SERVER_ERROR object too large for cache\r\n"
        )

    def test_timedOut(self) -> None:
        """A body that does not come is told so, quiet or not."""
        self.client.send(b"ms q 70000 q\r\nxx")
        self.client.protocol.giveUp(BodyTimedOut())
        self.harness.settle()
        self.assertEqual(self.client.read(), b"CLIENT_ERROR body timed out\r\n")


class RuledTests(RuledTestCase):
    """Queues with rules."""

    def test_refused(self) -> None:
        """A set that is refused is told NS, quiet or not, with what it asks for."""
        self.begin(q={"max_items": 1}, p={"paused": WRITES})
        self.assertEqual(
            self.talk(b"ms q 1 k O1\r\na\r\n" * 3, b"ms q 1 q O2\r\na\r\nmn\r\n"),
            b"HD kq O1\r\nNS kq O1\r\nNS kq O1\r\nNS O2\r\nMN\r\n",
        )
        large = b"ms p 70000 q s\r\n" + b"x" * 70000 + b"\r\n"
        self.assertEqual(self.talk(b"ms p 0\r\n\r\n", large), b"NS\r\nNS s70000\r\n")

    def test_numbers(self) -> None:
        """A set tells the number that its message has in the queue that it names."""
        self.begin(
            f={"fanout": (b"q", b"f")},
            o={"fanout": (b"q",), "fanout_only": True},
            e={"honor_exptime": True},
        )
        self.talk(put(b"q", b"a") * 5)
        same = b"ms f 1 c\r\nx\r\n" * 2
        self.assertEqual(self.talk(same), b"HD c0\r\nHD c1\r\n")
        large = b"ms f 70000 c k\r\n" + b"x" * 70000 + b"\r\n"
        self.assertEqual(self.talk(large), b"HD c2 kf\r\n")
        gone = b"ms o 1 c\r\nx\r\nms e 1 T-1 c\r\nx\r\n"
        self.assertEqual(self.talk(gone), b"HD c0\r\n" * 2)
        self.assertEqual(self.talk(b"ms q 1 c\r\nx\r\n" * 2), b"HD c9\r\nHD c10\r\n")

    def test_pausedReads(self) -> None:
        """A queue that is paused for reads looks empty."""
        self.begin(p={"paused": READS})
        self.talk(put(b"p", b"x"))
        self.assertEqual(self.talk(b"mg p v\r\nmg p\r\nmg p h\r\n"), b"EN\r\n" * 3)

    def test_timeLeft(self) -> None:
        """The time that is left goes by the message and the queue, rounded up."""
        self.begin(
            both={"honor_exptime": True, "max_age": 20_000},
            age={"max_age": 20_000},
            time={"honor_exptime": True},
        )
        for queue, times in (
            *((b"both", (b"T5", b"T30", b"T0")), (b"age", (b"T5",))),
            (b"time", (b"T30", b"T0")),
        ):
            for time in times:
                self.talk(b"ms %b 1 %b\r\nx\r\n" % (queue, time))
        self.harness.timeOfDay += 1.5
        got = self.talk(b"mg both v t l\r\n" * 3, b"mg age t l\r\n")
        told = b"VA 1 t4 l1\r\nx\r\n" + b"VA 1 t19 l1\r\nx\r\n" * 2
        self.assertEqual(got, told + b"HD t19 l1\r\n")
        got = self.talk(b"mg time v t\r\n" * 2)
        self.assertEqual(got, b"VA 1 t29\r\nx\r\nVA 1 t-1\r\nx\r\n")

    def test_figures(self) -> None:
        """The figures of a queue are words, and its rules, and those of its head."""
        self.begin(q={"max_items": 5, "fanout": (b"q", b"r")})
        self.harness.timeOfDay = 1000.0
        self.store.seconds = lambda: self.harness.timeOfDay
        self.talk(b"ms q 2 F7\r\nhi\r\n", b"get q/open\r\nget q/abort\r\n")
        self.harness.timeOfDay += 1.5
        verb, key, *words = self.talk(b"me q\r\n").split()
        figures = dict(word.split(b"=") for word in words)
        self.assertEqual((verb, key), (b"ME", b"q"))
        for name, figure in {
            b"items": b"1",
            b"bytes": b"2",
            b"age": b"1500",
            b"deliveries": b"1",
            b"max_items": b"5",
            b"head_number": b"0",
            b"head_bytes": b"2",
            b"head_flags": b"7",
            b"head_age": b"1500",
            b"head_deliveries": b"1",
        }.items():
            self.assertEqual(figures[name], figure, name)

    def test_deadLetter(self) -> None:
        """Those of a dead letter say where it comes from, and why."""
        self.begin(q={"max_deliveries": 1, "dead_letter": b"dead"})
        self.talk(put(b"q", b"x"), b"get q/open\r\nget q/abort\r\n")
        told = self.talk(b"me dead\r\n")
        self.assertIn(b" head_origin=q head_reason=deliveries head_since=", told)
        self.assertTrue(told.endswith(b" head_deliveries_before=1\r\n"), told)
