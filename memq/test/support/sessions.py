"""Sessions as a person would type them, each run in every way that bytes can come.

A session is text, a line a step:

    > line      the client sends this line, with CR LF
    | bytes     the client sends these bytes as they are; Python's escapes count
    < line      the server answers this line, with CR LF
    > line | line -> reply | reply
                the same in one line: some are sent, then some are answered
    closed      the server has closed the connection

``N250`` and ``N251`` stand for names of so many bytes, and ``#`` for the three
numbers of the version.  The expected replies come from docs/protocol.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from twisted.protocols.basic import LineReceiver

from memq import __version__
from memq.connection.receiver import CommandReceiver
from memq.test.support.harness import Harness
from memq.test.support.stepped import SteppedTestCase
from memq.wire import text as wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: The reply to the command version.
VERSION = b"VERSION %b\r\n" % wire.versionNumbers(__version__)

_MACROS = (
    ("N250", "n" * 250),
    ("N251", "n" * 251),
    ("VERSION #", VERSION.decode().rstrip()),
)
#: Sessions of up to so many bytes are cut in two at each place.
_SHORT = 120


class Step(NamedTuple):
    """Bytes that are sent, and the answer before anything else is sent."""

    sent: bytes
    answered: bytes
    closed: bool


def parseSession(text: str) -> list[Step]:
    """Return the steps of a session."""
    steps = [Step(b"", b"", False)]
    for line in filter(None, map(str.strip, text.splitlines())):
        for word, meaning in _MACROS:
            line = line.replace(word, meaning)
        line, *answer = line.split(" -> ")
        kind, _, rest = line.partition(" ")
        sent, answered, closed = steps[-1]
        if kind == "<":
            steps[-1] = Step(sent, answered + _lines(rest), closed)
        elif kind == "closed":
            steps[-1] = Step(sent, answered, True)
        elif kind == "|":
            steps.append(Step(_unescape(rest), b"", False))
        else:
            steps += [Step(_lines(each), b"", False) for each in rest.split(" | ")]
        if answer:
            steps[-1] = steps[-1]._replace(answered=_lines(*answer[0].split(" | ")))
    return steps


def _lines(*lines: str) -> bytes:
    return "".join(line + "\r\n" for line in lines).encode()


def _unescape(text: str) -> bytes:
    return text.encode().decode("unicode_escape").encode("latin-1")


class GeneralPath(CommandReceiver):
    """A receiver that has LineReceiver take every command apart."""

    def dataReceived(self, data: bytes) -> None:
        """Take commands as they come."""
        super().dataReceived(data)
        self._sink.allReceived()

    def _takeCommands(self, data: bytes) -> None:
        LineReceiver.dataReceived(self, data)
        if self.line_mode and not self.closing:
            rest = self.clearLineBuffer()
            if rest:
                self._keep(rest)


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _ways(data: bytes) -> Iterable[tuple[str, list[bytes]]]:
    """Yield ways in which the same bytes may come."""
    yield "whole", [data]
    yield "byte by byte", _pieces(data, 1)
    yield "in threes", _pieces(data, 3)
    if len(data) <= _SHORT:
        for place in range(1, len(data)):
            yield f"cut at {place}", [data[:place], data[place:]]


_PROBE = b"version\r\n"


class SessionTestCase(SteppedTestCase):
    """Run sessions; ``options`` are those of the server."""

    options: ClassVar[dict[str, Any]] = {}

    def harness(self, receiver: type[CommandReceiver] = CommandReceiver) -> Harness:
        """Return a new server."""
        return Harness(receiver=receiver, **self.options)

    def runSession(self, text: str) -> None:
        """Check a session, in every way."""
        steps = parseSession(text)
        self.converse(steps)
        sent = b"".join(step.sent for step in steps)
        answered = b"".join(step.answered for step in steps)
        closed = steps[-1].closed
        for receiver in (CommandReceiver, GeneralPath):
            for way, pieces in _ways(sent):
                client = self.harness(receiver).connect()
                got = b"".join([client.talk(piece) for piece in pieces])
                self.assertEqual(
                    (got, client.isClosed),
                    (answered, closed),
                    f"{way}, {receiver.__name__}",
                )
            self.pipeline(receiver, sent, answered, closed)

    def converse(self, steps: list[Step]) -> None:
        """Check each answer before the next line is sent."""
        client = self.harness().connect()
        for step in steps:
            got = client.talk(step.sent)
            self.assertEqual((got, client.isClosed), (step.answered, step.closed))

    def pipeline(
        self,
        receiver: type[CommandReceiver],
        sent: bytes,
        answered: bytes,
        closed: bool,
    ) -> None:
        """Check a session between other commands, all sent at once."""
        client = self.harness(receiver).connect()
        got = client.talk(_PROBE * 2 + sent + _PROBE)
        expected = VERSION * 2 + answered + (b"" if closed else VERSION)
        self.assertEqual((got, client.isClosed), (expected, closed))


_Class = type[SessionTestCase]


def sessions(texts: dict[str, str]) -> Callable[[_Class], _Class]:
    """Return a decorator that adds a test for each session.

    :param texts: what each shows, in words, and the session.
    """

    def decorate(case: _Class) -> _Class:
        for words, text in texts.items():
            name, method = _test(words, text)
            assert not hasattr(case, name), name
            setattr(case, name, method)
        return case

    return decorate


def _test(words: str, text: str) -> tuple[str, Callable[[SessionTestCase], None]]:
    def test(self: SessionTestCase) -> None:
        self.runSession(text)

    first, *rest = re.findall(r"[A-Za-z0-9]+", words)
    test.__name__ = "test_" + first.lower() + "".join(map(str.title, rest))
    test.__doc__ = words
    return test.__name__, test
