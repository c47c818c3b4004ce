"""The lines of an export."""

from __future__ import annotations

import json
from base64 import b64encode

from hypothesis import example, given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.admin.exportformat import (
    MAX_BODY,
    MAX_LINE,
    BadExport,
    Begin,
    Body,
    End,
    QueueBegin,
    QueueEnd,
    packLine,
    parseLine,
)
from memq.display import shownName
from memq.message import Reason, Trace

BODY = b'{"flags": 7, "time": 5, "crc": 907060870, "body": "aGVsbG8="}\n'

counts = some.integers(0, (1 << 64) - 1)
tries = some.integers(0, (1 << 32) - 1)
#: Any name that a client can give to a queue.
names = some.binary(min_size=1, max_size=250).filter(
    lambda name: not any(byte < 0x21 or byte in b"\x7f/" for byte in name)
)
#: Traces of messages that were retried later, and of dead letters.
traces = some.one_of(
    some.none(),
    tries.filter(bool).map(Trace),
    some.builds(Trace, tries, names, some.sampled_from(Reason), counts, tries),
)
lines = some.one_of(
    some.builds(Begin),
    some.builds(
        lambda name, one, two, *more: QueueBegin(
            name, max(one, two), min(one, two), *more
        ),
        names,
        counts,
        counts,
        counts,
        counts,
        some.integers(0, 3),
    ),
    some.builds(
        Body,
        some.integers(0, (1 << 32) - 1),
        some.none() | counts,
        some.binary(),
        counts,
        tries,
        some.none() | some.integers(0, (1 << 47) - 1),
        traces,
    ),
    some.builds(QueueEnd, counts, counts, counts),
    some.builds(End, counts),
)


class LineTests(SynchronousTestCase):
    """A packed line is parsed again."""

    @example(Begin(False))
    @example(Begin(True))
    @given(lines)
    def test_roundTrip(self, line: Begin | QueueBegin | Body | QueueEnd | End) -> None:
        """Whatever a line says comes back, of the same kind."""
        packed = packLine(line)
        self.assertEqual(
            (type(parseLine(packed)), parseLine(packed)), (type(line), line)
        )
        self.assertTrue(packed.isascii())
        self.assertEqual(packed.index(b"\n"), len(packed) - 1)

    def test_version1(self) -> None:
        """Lines of version 1 are read as they were written."""
        for text, line in (
            (b'{"format": "memq export", "version": 1}\n', Begin()),
            (
                b'{"queue": "cTQ=", "name": "q4", "set": 2, "taken": 1}\n',
                QueueBegin(b"q4", 2, 1),
            ),
            (BODY, Body(7, 5, b"hello")),
            (b'{"messages": 1, "damaged": 0}\n', QueueEnd(1, 0)),
            (b'{"queues": 1}\n', End(1)),
        ):
            self.assertEqual((parseLine(text), packLine(line)), (line, text))

    def test_written(self) -> None:
        """A queue has a name for a reader if that is UTF-8."""
        name = json.loads(packLine(QueueBegin("käse".encode(), 0, 0)))["name"]
        self.assertEqual(name, "käse")
        self.assertNotIn(b"name", packLine(QueueBegin(b"\xff", 0, 0)))

    def test_more(self) -> None:
        """Fields that came later are written only where they say something."""
        self.assertEqual(
            packLine(QueueBegin(b"q4", 2, 1, 3, 4, 2)),
            b'{"queue": "cTQ=", "name": "q4", "set": 2, "taken": 1, "delayed": 3, '
            b'"limit": 4, "paused": 2}\n',
        )
        self.assertEqual(
            packLine(Body(7, 5, b"hello", 6, 2, 0)),
            b'{"flags": 7, "time": 5, "expires": 6, "tries": 2, "due": 0, '
            b'"crc": 907060870, "body": "aGVsbG8="}\n',
        )
        self.assertEqual(
            packLine(Body(7, 5, b"hello", trace=Trace(2))),
            b'{"flags": 7, "time": 5, "tries_before": 2, '
            b'"crc": 907060870, "body": "aGVsbG8="}\n',
        )
        trace = Trace(3, b"q4", Reason.EXPIRED, 6, 1)
        self.assertEqual(
            packLine(Body(7, 5, b"hello", trace=trace)),
            b'{"flags": 7, "time": 5, "tries_before": 3, "since": 6, '
            b'"tries_again": 1, "origin": "cTQ=", "reason": "expired", '
            b'"crc": 907060870, "body": "aGVsbG8="}\n',
        )
        self.assertEqual(
            packLine(QueueEnd(1, 0, 3)),
            b'{"messages": 1, "damaged": 0, "delayed": 3}\n',
        )

    def test_missing(self) -> None:
        """Time and CRC may be missing."""
        line = parseLine(b'{"flags": 0, "body": ""}\n')
        self.assertEqual(line, Body(0, None, b""))


class RefusalTests(SynchronousTestCase):
    """Lines that are no lines of an export are refused."""

    def refused(self, text: bytes) -> str:
        """Return why a line is refused."""
        return str(self.assertRaises(BadExport, parseLine, text))

    def test_cut(self) -> None:
        """A line that is cut anywhere is refused."""
        for end in range(len(BODY)):
            self.assertEqual(self.refused(BODY[:end]), "it is cut")

    def test_tooLong(self) -> None:
        """So is one that goes on and on, and a body that is too large."""
        self.assertEqual(self.refused(b"x" * (MAX_LINE + 1)), "the line is too long")
        body = b64encode(bytes(MAX_BODY + 1))
        why = self.refused(b'{"flags": 0, "body": "%b"}\n' % body)
        self.assertEqual(why, f"a body of {MAX_BODY + 1} bytes is too large")

    def test_refused(self) -> None:
        """So is what is no line, has a wrong CRC or number, or a name that none has.

        An export of a newer memq is refused in clear words.
        """
        noLine = "not a line that memq export writes"
        for text, why in (
            (b"hello", "not JSON: "),
            (b"\xff", "not JSON: "),
            (b"[" * 100_000, "not JSON: "),
            (BODY[:40], "not JSON: "),
            (b"[]", "not an object"),
            (b"{}", noLine),
            (b'{"format": "other", "version": 1}', noLine),
            (
                b'{"format": "memq export", "version": 2}',
                "version 2, and this memq reads version 1",
            ),
            (BODY.strip().replace(b"aGVs", b"bGVs"), "the CRC of the body is wrong"),
            (b'{"messages": 1}', '"damaged" is not a whole number from 0 to '),
            (
                b'{"queue": "cQ==", "set": 0, "taken": 0, "paused": 4}',
                '"paused" is not a whole number from 0 to 3',
            ),
            (
                b'{"queue": "cQ==", "set": 1, "taken": 2}',
                "2 messages are taken, of 1",
            ),
        ):
            self.assertEqual(self.refused(text + b"\n")[: len(why)], why)

    def test_fields(self) -> None:
        """So is a body that is no base64, and a number that is none, or too large."""
        for body in (b'"aGVsbG8"', b'"aG VsbG8="', b"5", b"null", '"ä"'.encode()):
            why = self.refused(b'{"flags": 0, "body": %b}\n' % body)
            self.assertEqual(why, '"body" is not base64')
        numbers = [(b"flags", bad) for bad in (b"1.0", b"true", b'"1"', b"null")]
        for field, bad in (
            *numbers,
            (b"flags", b"-1"),
            (b"flags", b"4294967296"),
            (b"tries", b"4294967296"),
            (b"due", b"140737488355328"),
            (b"expires", b"-1"),
            (b"tries_before", b"4294967296"),
            (b"tries_again", b"-1"),
            (b"since", b"-1"),
        ):
            text = b'{"flags": 0, "%b": %b, "body": ""}\n' % (field, bad)
            why = f'"{field.decode()}" is not a whole number from 0 to '
            self.assertIn(why, self.refused(text))

    def test_traces(self) -> None:
        """So is a dead letter without a reason, or with one that is not known."""
        for reason in (b"", b', "reason": "age"', b', "reason": 1'):
            text = b'{"flags": 0, "origin": "cTQ="%b, "body": ""}\n' % reason
            why = '"reason" is not one that this memq knows'
            self.assertEqual(self.refused(text), why)
        text = b'{"flags": 0, "origin": "", "reason": "expired", "body": ""}\n'
        self.assertIn("is no name of a queue", self.refused(text))

    def test_names(self) -> None:
        """So is a name that no queue has."""
        for name in (b"", b"a b", b"\0next-id", b"a/b", b"x" * 251, b"a\n"):
            line = b'{"queue": "%b", "set": 0, "taken": 0}\n' % b64encode(name)
            why = f"{shownName(name)} is no name of a queue"
            self.assertEqual(self.refused(line), why)
