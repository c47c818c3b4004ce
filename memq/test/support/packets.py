r"""Packets of the binary protocol in words, and conversations of them in every way.

``Get key=q opaque=7`` is a packet: the name of its opcode, or its number in hexadecimal
(``0x3f``), and what else it has: ``key`` and ``value`` as text, in which ``\s`` is a
blank and Python's escapes count, ``extras`` and ``status`` in hexadecimal, ``opaque``
and ``cas`` as numbers.  ``*`` behind a value, ``x*70000``, repeats it.

A conversation has a line a step, ``request | request -> response | response``; with
``closed`` in place of the last response the server has closed the connection.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import TYPE_CHECKING, Any, ClassVar

from memq.test.support.harness import Harness
from memq.test.support.stepped import SteppedTestCase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: The layout of a header, once more: that in memq.wire.packets is tested with it.
HEADER = Struct(">BBHBBHIIQ")

#: Opcodes by name, those that memq refuses among them.
OPCODES = {
    "Get": 0x00,
    "Set": 0x01,
    "Add": 0x02,
    "Replace": 0x03,
    "Delete": 0x04,
    "Increment": 0x05,
    "Decrement": 0x06,
    "Quit": 0x07,
    "Flush": 0x08,
    "GetQ": 0x09,
    "Noop": 0x0A,
    "Version": 0x0B,
    "GetK": 0x0C,
    "GetKQ": 0x0D,
    "Append": 0x0E,
    "Prepend": 0x0F,
    "Stat": 0x10,
    "SetQ": 0x11,
    "AddQ": 0x12,
    "ReplaceQ": 0x13,
    "DeleteQ": 0x14,
    "IncrementQ": 0x15,
    "DecrementQ": 0x16,
    "QuitQ": 0x17,
    "FlushQ": 0x18,
    "AppendQ": 0x19,
    "PrependQ": 0x1A,
    "Verbosity": 0x1B,
    "Touch": 0x1C,
    "GAT": 0x1D,
    "GATQ": 0x1E,
    "SASLList": 0x20,
    "SASLAuth": 0x21,
    "SASLStep": 0x22,
    "GATK": 0x23,
    "GATKQ": 0x24,
}
_NAMES = {opcode: name for name, opcode in OPCODES.items()}

#: Up to so many bytes are cut in two at each place.
_SHORT = 160


def _bytes(text: str) -> bytes:
    repeated = re.fullmatch(r"(.*)\*(\d+)", text, re.DOTALL)
    text, count = repeated.groups() if repeated else (text, "1")
    text = text.replace("\\s", " ").encode().decode("unicode_escape")
    return text.encode("latin-1") * int(count or 1)


def packet(
    opcode: int,
    key: bytes = b"",
    value: bytes = b"",
    extras: bytes = b"",
    opaque: int = 0,
    cas: int = 0,
    status: int = 0,
    magic: int = 0x80,
) -> bytes:
    """Return a packet: a request, unless ``magic`` says otherwise."""
    size = len(extras) + len(key) + len(value)
    header = HEADER.pack(
        magic, opcode, len(key), len(extras), 0, status, size, opaque, cas
    )
    return header + extras + key + value


def spelled(words: str, magic: int = 0x80) -> bytes:
    """Return the packet that words stand for."""
    name, *rest = words.split()
    opcode = int(name, 16) if name.startswith("0x") else OPCODES[name]
    given: dict[str, Any] = {}
    for word in rest:
        field, _, text = word.partition("=")
        if field in ("key", "value"):
            given[field] = _bytes(text)
        elif field == "extras":
            given[field] = bytes.fromhex(text)
        else:
            given[field] = int(text, 16 if field == "status" else 10)
    return packet(opcode, magic=magic, **given)


def request(words: str) -> bytes:
    """Return the request that words stand for."""
    return spelled(words)


def response(words: str) -> bytes:
    """Return the response that words stand for."""
    return spelled(words, 0x81)


def split(
    data: bytes, mayBeCut: bool = False
) -> Iterator[tuple[tuple[int, ...], bytes, bytes, bytes]]:
    """Yield header, extras, key and value of each packet; all are whole.

    :param mayBeCut: whether the value of the last may not be.
    """
    at = 0
    while at < len(data):
        head = HEADER.unpack_from(data, at)
        _, _, keySize, extrasSize, _, _, size, _, _ = head
        rest = data[at + HEADER.size : at + HEADER.size + size]
        assert len(rest) == size or mayBeCut, data[at:]
        before = extrasSize + keySize
        assert before <= size, data[at:]
        yield head, rest[:extrasSize], rest[extrasSize:before], rest[before:]
        at += HEADER.size + size


def shown(data: bytes) -> list[str]:
    """Return packets in words, as far as they are needed to tell them apart."""
    lines = []
    for head, extras, key, value in split(data):
        _, opcode, _, _, _, status, _, opaque, cas = head
        line = _NAMES.get(opcode, hex(opcode))
        for field, told in (
            ("extras", extras.hex()),
            ("key", key),
            ("value", value[:60]),
            ("status", f"{status:04x}" if status else ""),
            ("opaque", opaque),
            ("cas", cas),
        ):
            line += f" {field}={told!r}" if told else ""
        lines.append(line)
    return lines


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def ways(data: bytes) -> Iterator[list[bytes]]:
    """Yield the ways in which bytes may come."""
    yield [data]
    yield _pieces(data, 1 if len(data) < 5000 else 1013)
    yield _pieces(data, 7 if len(data) < 5000 else 4099)
    if len(data) <= _SHORT:
        for place in range(1, len(data)):
            yield [data[:place], data[place:]]


PROBE = request("Noop opaque=4294967295")
PROBED = response("Noop opaque=4294967295")


class ConversationTestCase(SteppedTestCase):
    """Have conversations; ``options`` are those of the server."""

    options: ClassVar[dict[str, Any]] = {}

    def converse(self, text: str) -> None:
        """Check a conversation, step by step, and then in every way at once."""
        sent, answered, closed = b"", b"", False
        client = Harness(**self.options).connect()
        for line in filter(None, map(str.strip, text.splitlines())):
            asked, _, told = line.partition(" -> ")
            requests = b"".join(map(request, asked.split(" | ")))
            replies = [each for each in told.split(" | ") if each]
            closed = replies[-1:] == ["closed"]
            responses = b"".join(map(response, replies[: len(replies) - closed]))
            self.check(client, [requests], responses, closed)
            sent += requests
            answered += responses
        for pieces in ways(sent):
            client = Harness(**self.options).connect()
            self.check(client, pieces, answered, closed)
        client = Harness(**self.options).connect()
        after = b"" if closed else PROBED
        self.check(
            client, [PROBE * 2 + sent + PROBE], PROBED * 2 + answered + after, closed
        )

    def check(
        self, client: Any, pieces: Iterable[bytes], answered: bytes, closed: bool
    ) -> None:
        """Send pieces, and compare."""
        got = b"".join([client.talk(piece) for piece in pieces])
        self.assertEqual(shown(got), shown(answered))
        self.assertEqual((got, client.isClosed), (answered, closed))


_Class = type[ConversationTestCase]


def conversations(texts: dict[str, str]) -> Callable[[_Class], _Class]:
    """Return a decorator that adds a test for each conversation.

    :param texts: by the name of the test: the first line is what it shows.
    """

    def decorate(case: _Class) -> _Class:
        for name, text in texts.items():
            words, _, lines = text.strip().partition("\n")
            setattr(case, f"test_{name}", _test(name, words, lines))
        return case

    return decorate


def _test(name: str, words: str, lines: str) -> Callable[[ConversationTestCase], None]:
    def test(self: ConversationTestCase) -> None:
        self.converse(lines)

    test.__name__ = f"test_{name}"
    test.__doc__ = words
    return test
