"""Tests for memq.rabbitmq.names."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from memq.message import Reason, Trace
from memq.policy.patterns import Pattern
from memq.rabbitmq.names import (
    LONGEST,
    NAME_ARGUMENT,
    decode,
    encode,
    expression,
    headers,
    literal,
    message,
)

#: Few letters, so that many match, with all that is special in a pattern or a name.
_LETTERS = "aaamq..*?[]!^-%é"
_PATTERNS = st.text(_LETTERS, min_size=1, max_size=8).map(str.encode)
_NAMES = st.lists(st.sampled_from((_LETTERS * 3).encode() + b"\xff\xc3"), min_size=1)


def isMatched(pattern: bytes, queue: bytes) -> bool:
    """Tell whether a pattern's expression matches the name of a queue in RabbitMQ."""
    whole = re.compile(b"^%s$" % expression(pattern).encode())
    return whole.match(encode(queue).queue.encode()) is not None


class NameTests(SynchronousTestCase):
    """Queues by RabbitMQ's names."""

    @given(st.binary(min_size=1, max_size=250).filter(lambda name: b"/" not in name))
    def test_thereAndBack(self, queue: bytes) -> None:
        """Whatever a queue is called, it is found again, by a name that is allowed."""
        name = encode(queue)
        self.assertLessEqual(len(name.queue.encode()), LONGEST)
        self.assertEqual(decode(*name), queue)

    def test_plain(self) -> None:
        """UTF-8 stays as it is."""
        self.assertEqual(encode(b"jobs"), ("jobs", {}))
        self.assertEqual(encode("žluť".encode()), ("žluť", {}))

    def test_escaped(self) -> None:
        """The rest is escaped: no UTF-8, the sign for that, RabbitMQ's own prefix."""
        self.assertEqual(encode(b"50%\xff").queue, "50%25%ff")
        self.assertEqual(encode(b"amq.jobs").queue, "%61mq.jobs")

    def test_long(self) -> None:
        """What is too long then has a digest as its name, and the whole beside it."""
        queue = b"\xff" * 100
        name = encode(queue)
        self.assertEqual((name.queue[:2], len(name.queue)), ("%%", 66))
        self.assertEqual(name.arguments, {NAME_ARGUMENT: "%ff" * 100})
        self.assertEqual(encode(b"a" * 250), ("a" * 250, {}))

    @settings(max_examples=500)
    @given(_PATTERNS, _NAMES.map(bytes))
    def test_expressions(self, pattern: bytes, queue: bytes) -> None:
        """An expression matches the queues that its pattern does."""
        for name in (queue, b"amq." + queue, pattern):
            self.assertEqual(
                isMatched(pattern, name), Pattern(pattern).matches(name), name
            )

    def test_expression(self) -> None:
        """An expression is short, where it can be, and says nothing of memq's own."""
        any_ = "(?:[^%/]|%[0-9a-f]{2})"
        for pattern, told in (
            (b"jobs.*", r"jobs\.[^/]*"),
            (b"*.eu", r"(?!amq\.)[^/]*\.eu"),
            (b"a*", r"(?!amq\.)(?:a|%61)[^/]*"),
            (b"*a", rf"(?!amq\.){any_}*(?:a|%61)"),
            (b"a?b**%", f"a{any_}b{any_}*[^/]*%25"),
            ("é?%".encode(), f"é{any_}%25"),
            (b"[!a%]x", f"(?!(?:a|%25)){any_}x"),
            ("[é-]".encode(), r"(?:[\x2d\xa9\xc3]|%a9|%c3)"),
            (b"[b-a]", "(?!)"),
            (b"[%]", "%25"),
        ):
            self.assertEqual(expression(pattern), told)
        for other in ("memq/delay/1", "amq.gen-1"):
            self.assertIsNone(re.match(expression(b"*") + "$", other))

    def test_literal(self) -> None:
        """An expression of one name matches that alone."""
        self.assertEqual(literal("a.b[é]-1{"), r"a\.b\[é]-1\{")
        self.assertEqual(literal(r"^a|b\$(c)*+?"), r"\^a\|b\\\$\(c\)\*\+\?")

    def test_others(self) -> None:
        """Queues of other programs are told apart: nobody could ask for them."""
        names = "memq/delay/5", "%%ab", "50%", "%4", "%zz", "%\xe94", "%  ", "amq.gen"
        for name in names:
            self.assertIsNone(decode(name, {}), name)


class MessageTests(SynchronousTestCase):
    """Messages by their headers."""

    @given(st.integers(0, (1 << 32) - 1), st.integers(0, 1 << 48), st.binary())
    def test_thereAndBack(self, flags: int, time: int, body: bytes) -> None:
        """Flags, time and body are those of the set."""
        found = message(7, headers(flags, time), body)
        self.assertEqual(found[1:5], (7, flags, time, body))

    def test_deliveries(self) -> None:
        """How often it was given back is told, once it was."""
        self.assertIsNone(message(1, headers(1, 2), b"x").trace)
        trace = message(1, {"x-delivery-count": 3}, b"x").trace
        assert trace is not None
        self.assertEqual(trace.counted, 3)

    def test_again(self) -> None:
        """What is set again tells what became of it before, in any queue."""
        gone = Reason.EXPIRED
        traces = [
            Trace(3),
            Trace(2, b"q", gone, 5),
            Trace(0, b"amq.\xff%", None, 0, 4),
            Trace(-1, b"x" * 300, gone, 1),
        ]
        for trace in traces:
            found = message(1, headers(1, 2, 0, trace), b"x")
            self.assertEqual(found.trace, trace)
            counted = trace.counted + 2
            again = headers(1, 2, 0, trace) | {"x-delivery-count": 2}
            told = message(1, again, b"x").trace
            assert told is not None
            self.assertEqual(told.counted, counted)
        self.assertEqual(headers(1, 2, 0, Trace(0)), headers(1, 2))

    def test_againDied(self) -> None:
        """What it was tried before counts only where that was."""
        death = {"queue": "q", "reason": "delivery_limit"}
        delayed = {"queue": "memq/delay/5", "reason": "expired"}
        told = headers(1, 2, 0, Trace(3))
        told |= {"x-delivery-count": 1, "x-first-death-queue": "memq/delay/5"}
        found = message(1, told | {"x-death": [delayed]}, b"x").trace
        self.assertEqual(found, Trace(4))
        found = message(1, told | {"x-death": [death, delayed]}, b"x").trace
        self.assertEqual(found, Trace(-1, b"q", Reason.DELIVERIES, 0, 1))
        told = headers(1, 2, 0, Trace(3, b"first", None, 0, 7)) | {"x-death": [death]}
        found = message(1, told, b"x").trace
        self.assertEqual(found, Trace(3, b"first"))

    def test_againStrange(self) -> None:
        """What no front end would tell is nothing."""
        for origin in "", 5, "a/b", "%zz":
            self.assertIsNone(message(1, {"o": origin}, b"x").trace)
        strange = {"o": "q", "r": 9, "s": -1, "b": "x"}
        self.assertEqual(message(1, strange, b"x").trace, Trace(0, b"q"))

    def test_died(self) -> None:
        """A dead letter has the queue that it left first, and why and when."""

        def death(queue: object, reason: str = "expired", time: object = None) -> Any:
            return {"queue": queue, "reason": reason, "time": time}

        at = datetime(2024, 1, 1)
        since = 1_704_067_200_000
        gone = Reason.DELIVERIES
        cases: list[tuple[Any, Any, Any]] = [
            ([death("q", "delivery_limit", at)], "q", (b"q", gone, since)),
            ([death("q", "expired", at.replace(tzinfo=UTC))], "q", (b"q", 2, since)),
            ([death("r"), death("a%25")], "a%25", (b"a%", 2, 0)),
            ([death("a", "rejected"), death("r")], "a", (b"a", None, 0)),
            ([death("q"), death("memq/delay/5")], "memq/delay/5", (b"q", 2, 0)),
            ([death("memq/delay/5")], "memq/delay/5", None),
            ([death("q"), death("%%0a")], "%%0a", None),
            ([death(5), 7], None, (b"5", 2, 0)),
            ([], "q", None),
            ("strange", "q", None),
        ]
        for deaths, first, trace in cases:
            told = {"e": 9, "x-death": deaths, "x-first-death-queue": first}
            found = message(1, told, b"x")
            self.assertEqual(found.expires, 0)
            wanted = None if trace is None else Trace(-1, *trace)
            self.assertEqual(found.trace, wanted, deaths)
        again: dict[str, Any] = {"x-death": [], "x-delivery-count": 3}
        self.assertEqual(message(1, again, b"x").trace, Trace(3))
        again["x-death"] = [death("q")]
        kept = message(1, again, b"x").trace
        assert kept is not None
        self.assertEqual((kept.counted, kept.origin), (3, b"q"))

    def test_long(self) -> None:
        """Numbers may be of a class of their own, as pika has one for long ones."""

        class _Long(int):
            pass

        strange = {"f": _Long(1), "t": _Long(2), "x-delivery-count": _Long(3)}
        found = message(1, strange, b"x")
        self.assertEqual((found.flags, found.time), (1, 2))
        assert found.trace is not None
        self.assertEqual(found.trace.counted, 3)

    def test_others(self) -> None:
        """A message of another program has flags 0, and no time."""
        for strange in None, {}, {"f": "x", "t": None}, {"f": -1, "t": 1 << 63}:
            found = message(1, strange, b"x")
            self.assertEqual((found.flags, found.time, found.body), (0, 0, b"x"))
