"""Requests of the binary protocol become the commands that they are in text."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.display import shownCommand
from memq.errors import (
    BadLine,
    BadPacket,
    Meaningless,
    OptionsApart,
    QueueError,
    UnknownCommand,
    UnknownOption,
)
from memq.message import LargeBody, Message
from memq.test.support.packets import OPCODES, request, response, split
from memq.wire import text
from memq.wire.binary import MAX_KEY, parse, parseShort
from memq.wire.extensions import Read
from memq.wire.packets import CAS, HEADER_SIZE, OPAQUE, readHead
from memq.wire.words import Refused

SET = "extras=0000000500000007"


def command(words: str) -> Any:
    """Return the command of a request in words."""
    data = request(words)
    head = readHead(data[:OPAQUE])
    rest = data[CAS : HEADER_SIZE + head.before]
    return parse(data[:OPAQUE], rest)(data[OPAQUE:CAS])


class CommandTests(SynchronousTestCase):
    """Commands."""

    def test_same(self) -> None:
        """A request is the command that a line is; only their forms are not."""
        for words, line in (
            (f"Set key=q {SET} value=hello", b"set q 5 7 5"),
            (f"SetQ key=q {SET}", b"set q 5 7 0"),
            (f"SetQ key=q/delay=9 {SET} value=x", b"set q/delay=9 5 7 1"),
            ("Get key=q", b"get q"),
            ("GetQ key=q", b"get q"),
            ("GetK key=q/open/t=500", b"get q/open/t=500"),
            ("GetKQ key=q/close", b"get q/close"),
            ("Get key=q/peek", b"get q/peek"),
            ("Delete key=q", b"delete q"),
            ("DeleteQ key=q", b"delete q"),
            ("Flush", b"flush_all"),
            ("FlushQ extras=00000009", b"flush_all 9"),
            ("Stat", b"stats"),
            ("Stat key=queue", b"stats queue"),
            ("Stat key=settings", b"stats settings"),
            ("Stat key=detail\\sq*", b"stats detail q*"),
            ("Stat key=\\sreset\\s", b"stats reset"),
            ("Version", b"version"),
            ("Verbosity extras=00000001", b"verbosity 1"),
            ("Quit", b"quit"),
            ("QuitQ", b"quit"),
        ):
            expected: Any = text.parse(line)
            made = command(words)
            self.assertIs(type(made), type(expected), words)
            if type(made) is Read:
                # That is what clients look for their answer by.
                self.assertEqual(made.key, expected.key)
            self.assertEqual(made._replace(form=None), expected._replace(form=None))

    def refused(self, words: str, error: type[QueueError]) -> None:
        """Assert that a request is refused, and told why with its opaque."""
        made = command(words)
        assert isinstance(made, Refused), words
        self.assertIs(type(made.error), error, words)
        [(head, _, _, value)] = split(made.form.error(made.error))
        self.assertEqual(head[:2], (0x81, OPCODES[words.split()[0]]))
        self.assertNotEqual(head[5], 0)
        self.assertNotEqual(value, b"")

    def test_refused(self) -> None:
        """A request with more or less than its opcode takes is refused."""
        for words in (
            *("Get", "GetQ key=q value=x", "Set key=q value=x", "SetQ extras=00"),
            *(f"Set {SET} value=x", "Delete", "DeleteQ key=q extras=00", "Quit key=q"),
            *("Flush extras=00", "FlushQ key=q", "Noop value=x", "Version extras=00"),
            *("Stat extras=00", "Stat value=x", "Verbosity", "QuitQ value=x"),
        ):
            self.refused(words, BadPacket)
        for words, error in (
            ("Get key=a\\sb", BadLine),
            ("Set key=/ extras=0000000000000000", BadLine),
            ("Delete key=q/open", UnknownOption),
            ("DeleteQ key=a\\sb", BadLine),
            ("Get key=q/what", UnknownOption),
            ("GetKQ key=q/peek/open", OptionsApart),
            (f"Set key=q {SET} cas=1", Meaningless),
            ("DeleteQ key=q cas=1", Meaningless),
            ("Stat key=everything", UnknownCommand),
        ):
            self.refused(words, error)

    def test_noHTTP(self) -> None:
        """A key is no line of another protocol, whatever it looks like."""
        self.assertEqual(command("Stat key=queue\\s/\\sHTTP/1.1").topic, b"queue")

    def test_unknown(self) -> None:
        """All opcodes but those that a queue has a meaning for are unknown."""
        known = {
            *("Get", "GetQ", "GetK", "GetKQ", "Set", "SetQ", "Delete", "DeleteQ"),
            *("Flush", "FlushQ", "Quit", "QuitQ", "Noop", "Version", "Stat"),
            *("Verbosity", "SASLList", "SASLAuth", "SASLStep"),
        }
        for opcode in range(256):
            made = command(f"0x{opcode:x} key=queue")
            isUnknown = isinstance(made, Refused) and isinstance(
                made.error, UnknownCommand
            )
            self.assertIs(isUnknown, opcode not in {OPCODES[name] for name in known})

    def test_longKeys(self) -> None:
        """Of a key that is too long nothing is needed."""
        data = request(f"Get key=n*{MAX_KEY + 1} opaque=7")
        made = parse(data[:OPAQUE], data[CAS:HEADER_SIZE])(data[OPAQUE:CAS])
        assert isinstance(made, Refused)
        self.assertIsInstance(made.error, BadLine)

    def test_kept(self) -> None:
        """A parsed request that is kept is the same, with another opaque."""
        one, other = (request(f"GetK key=q opaque={number}") for number in (1, 2))
        for data in (one, other, one):
            made: Any = parseShort(data[:OPAQUE], data[CAS:])(data[OPAQUE:CAS])
            [(head, *_)] = split(made[-1].none)
            self.assertEqual(head[7], int.from_bytes(data[OPAQUE:CAS], "big"))

    @given(some.binary(min_size=8, max_size=60), some.integers(0, 255))
    def test_anyBytes(self, rest: bytes, opcode: int) -> None:
        """Whatever bytes come, they are a command, which can be shown."""
        for extras in range(len(rest) - 7):
            size = len(rest) - 8
            first = bytes([0x80, opcode, 0, size - extras, extras, 0, 0, 0])
            made = parse(first + size.to_bytes(4, "big"), rest)(b"1234")
            self.assertNotEqual(shownCommand(made), "")


class FormTests(SynchronousTestCase):
    """The forms of responses."""

    small = Message(1, 6, 7, 0, b"hello")
    large = Message(1, 6, 7, 0, b"", LargeBody(1, 70000, 2))

    def test_found(self) -> None:
        """A response has flags, number and body, and the key if it was asked for."""
        for words, told in (
            ("Get key=q opaque=9", "Get"),
            ("GetQ key=q opaque=9", "GetQ"),
            ("GetK key=q opaque=9", "GetK key=q"),
            ("GetKQ key=q opaque=9", "GetKQ key=q"),
        ):
            told += " extras=00000007 opaque=9 cas=6"
            form = command(words)[-1]
            for _ in range(2):
                got = form.value(b"q", self.small)
                self.assertEqual(got, response(f"{told} value=hello"))
            self.assertEqual(form.tail, b"")
            head = form.head(b"q", self.large)
            self.assertEqual(head + b"x" * 70000, response(f"{told} value=x*70000"))

    def test_joined(self) -> None:
        """Each response has the opaque of its own request, whatever it is."""
        form = command("GetQ key=q opaque=1")[-1]
        form.join([bytes([0, 0, 0, number]) for number in (2, 3, 4, 5)])
        self.assertEqual(form.none, b"")
        got = form.value(b"q", self.small) + form.head(b"q", self.small)
        got += b"hello" + form.error(BadLine())
        got += form.value(b"q", self.small)
        self.assertEqual([head[7] for head, *_ in split(got)], [2, 3, 4, 5])
