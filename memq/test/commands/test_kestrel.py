"""The options of Kestrel and Darner, each set of them in each situation.

A situation is a word: ``a`` is a message that waits, ``(a)`` one that the client has
open who asks, ``[a]`` one that somebody else has open; ``-`` is no queue.  They stand
in the order in which they were set.  An outcome is an answer and a situation.
"""

from __future__ import annotations

import os
import re
import struct
from itertools import combinations, permutations
from signal import SIGKILL, SIGTERM
from socket import SHUT_WR, SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING

from twisted.trial.unittest import TestCase

from testkit.servers import Server
from testkit.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from socket import socket

#: Which situation is what after which options, whatever their order.
TABLE = """
|                | -      |      | a      | ab      | [a]      | [a]b      |
|----------------|--------|------|--------|---------|----------|-----------|
|                | END: - | END: | a:     | a: b    | END: [a] | b: [a]    |
| t=1            | END: - | END: | a:     | a: b    | END: [a] | b: [a]    |
| open           | END: - | END: | a: (a) | a: (a)b | END: [a] | b: [a](b) |
| open t=1       | END: - | END: | a: (a) | a: (a)b | END: [a] | b: [a](b) |
| close          | END: - | END: | END: a | END: ab | END: [a] | END: [a]b |
| close open     | END: - | END: | a: (a) | a: (a)b | END: [a] | b: [a](b) |
| close open t=1 | END: - | END: | a: (a) | a: (a)b | END: [a] | b: [a](b) |
| abort          | END: - | END: | END: a | END: ab | END: [a] | END: [a]b |
| peek           | END: - | END: | a: a   | a: ab   | END: [a] | b: [a]b   |
| peek t=1       | END: - | END: | a: a   | a: ab   | END: [a] | b: [a]b   |

|                | (a)        | (a)b        | [a](b)        |
|----------------|------------|-------------|---------------|
|                | END: (a)   | b: (a)      | END: [a](b)   |
| t=1            | END: (a)   | b: (a)      | END: [a](b)   |
| open           | FIRST: (a) | FIRST: (a)b | FIRST: [a](b) |
| open t=1       | FIRST: (a) | FIRST: (a)b | FIRST: [a](b) |
| close          | END:       | END: b      | END: [a]      |
| close open     | END:       | b: (b)      | END: [a]      |
| close open t=1 | END:       | b: (b)      | END: [a]      |
| abort          | END: a     | END: ab     | END: [a]b     |
| peek           | END: (a)   | b: (a)b     | END: [a](b)   |
| peek t=1       | END: (a)   | b: (a)b     | END: [a](b)   |

|                | (a)[b]c        | a(b)        | [a]b(c)        |
|----------------|----------------|-------------|----------------|
|                | c: (a)[b]      | a: (b)      | b: [a](c)      |
| t=1            | c: (a)[b]      | a: (b)      | b: [a](c)      |
| open           | FIRST: (a)[b]c | FIRST: a(b) | FIRST: [a]b(c) |
| open t=1       | FIRST: (a)[b]c | FIRST: a(b) | FIRST: [a]b(c) |
| close          | END: [b]c      | END: a      | END: [a]b      |
| close open     | c: [b](c)      | a: (a)      | b: [a](b)      |
| close open t=1 | c: [b](c)      | a: (a)      | b: [a](b)      |
| abort          | END: a[b]c     | END: ab     | END: [a]bc     |
| peek           | c: (a)[b]c     | a: a(b)     | b: [a]b(c)     |
| peek t=1       | c: (a)[b]c     | a: a(b)     | b: [a]b(c)     |
"""

#: The same for those that wait when something happens, in a situation.
WAITS = """
|                 | t        | open t       | close open t | peek t     |
|-----------------|----------|--------------|--------------|------------|
| set in          | x:       | x: (x)       | x: (x)       | x: x       |
| set in (a)      | x: (a)   | FIRST: (a)x  | x: (x)       | x: (a)x    |
| set in [a]      | x: [a]   | x: [a](x)    | x: [a](x)    | x: [a]x    |
| abort in [a]    | a:       | a: (a)       | a: (a)       | a: a       |
| abort in [a](b) | a: (b)   | FIRST: a(b)  | a: (a)       | a: a(b)    |
| leave in [a]    | a:       | a: (a)       | a: (a)       | a: a       |
| leave in [a](b) | a: (b)   | FIRST: a(b)  | a: (a)       | a: a(b)    |
| close in [a]    | END:     | END:         | END:         | END:       |
| flush in [a]    | END:     | END:         | END:         | END:       |
| flush in (a)    | END:     | FIRST:       | END:         | END:       |
| delete in [a]   | END: -   | END: -       | END: -       | END: -     |
| delete in (a)   | END: -   | FIRST: -     | END: -       | END: -     |
| nothing in      | END:     | END:         | END:         | END:       |
| nothing in [a]  | END: [a] | END: [a]     | END: [a]     | END: [a]   |
| nothing in (a)  | END: (a) | FIRST: (a)   | END:         | END: (a)   |
"""
#: Bytes that a client may have sent when its connection ends.
ENDS = (
    b"",
    b"get q/close/op",
    b"set q 0 0 5\r\nhel",
    b"set q 0 0 100000\r\n" + b"x" * 70_000,
    b"get q/peek\r\n" * 3,
    b"get q/abort\r\n",
    b"get q/abort\r\nget q/open\r\n",
    b"get none/open/t=60000\r\n",
)
OPTIONS = ("t=1", "open", "close", "abort", "peek")
WORDS = {
    b"CLIENT_ERROR close current item first": "FIRST",
    b"CLIENT_ERROR these options do not go together": "APART",
}
_RESET = struct.pack("ii", 1, 0)


def rows(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the first column and the others by their heads, of several tables."""
    for table in text.strip().split("\n\n"):
        head, *lines = (
            [cell.strip() for cell in line.split("|")[1:-1]]
            for line in table.splitlines()
        )
        for first, *cells in lines:
            if not first.startswith("--"):
                yield first, dict(zip(head[1:], cells, strict=True))


def sets() -> list[tuple[str, ...]]:
    """Return no option, every one, and every two, three, four and five of them."""
    return [
        some
        for count in range(len(OPTIONS) + 1)
        for some in combinations(OPTIONS, count)
    ]


class Asker(Wire):
    """A client of one queue after the other."""

    def __init__(self, connection: socket) -> None:
        super().__init__(connection)
        self.socket = connection

    def answer(self, key: bytes) -> str:
        """Return a body, or what else a get is answered."""
        line = self.line()
        if line == b"END":
            return "END"
        kind, *words = line.split(b" ")
        if kind != b"VALUE":
            return WORDS[line]
        assert words[:2] == [key, b"7"], line
        body = self.body(int(words[2]))
        end = self.line()
        assert end == b"END", end
        return body[:1].decode()

    def get(self, key: bytes) -> str:
        """Ask for a message."""
        self.send(b"get %b\r\n" % key)
        return self.answer(key)

    def all(self, queue: bytes) -> str:
        """Take all that waits."""
        return "".join(iter(lambda: self.get(queue).replace("END", ""), ""))

    def say(self, line: bytes) -> bytes:
        """Send a line, and return one."""
        self.send(line + b"\r\n")
        return self.line()


class KestrelTestCase(TestCase):
    """One server; a client, somebody else, and one who looks."""

    def setUp(self) -> None:
        """Start it, and connect."""
        home = os.path.abspath(self.mktemp())
        self.server = Server(home, "--no-sync").start()
        self.addCleanup(self.server.stop)
        self.here, self.elsewhere, self.other = (self.connect() for _ in range(3))
        self.count = 0

    def connect(self) -> Asker:
        """Return a new client."""
        asker = Asker(self.server.connect())
        self.addCleanup(asker.close)
        return asker

    def arrange(self, situation: str, size: int = 1) -> bytes:
        """Make a queue of such a situation, and return its name."""
        self.count += 1
        queue = b"q%d" % self.count
        if not situation:
            # It was not always empty.
            self.set(queue, "x")
            self.assertEqual(self.other.get(queue), "x")
        before = []
        tokens = re.findall(r"\w|\(\w\)|\[\w\]", situation)
        for token in tokens:
            self.set(queue, token.strip("()[]"), size)
        last = max((n for n, each in enumerate(tokens) if len(each) > 1), default=-1)
        for token in tokens[: last + 1]:
            asker = {"(": self.here, "[": self.elsewhere}.get(token[0])
            if asker is None:
                # Somebody has it until all is in its place.
                asker = self.connect()
                before.append(asker)
            self.assertEqual(asker.get(queue + b"/open"), token.strip("()[]"))
        for asker in before:
            self.assertEqual(asker.get(queue + b"/abort"), "END")
        return queue

    def set(self, queue: bytes, letter: str, size: int = 1) -> None:
        """Set a message."""
        line = b"set %b 7 0 %d\r\n%b" % (queue, size, letter.encode() * size)
        self.assertEqual(self.other.say(line), b"STORED")

    def situation(self, queue: bytes) -> str:
        """Return what the situation of a queue is, and remove it."""
        counts = self.server.counts()
        if queue not in counts:
            return "-"
        found = {letter: letter for letter in self.other.all(queue)}
        for asker, form in ((self.here, "(%s)"), (self.elsewhere, "[%s]")):
            asker.get(queue + b"/abort")
            found |= {letter: form % letter for letter in self.other.all(queue)}
        pushed, taken = counts[queue]
        self.assertEqual(pushed - taken, len(found), "messages that are counted")
        self.assertEqual(self.other.say(b"delete " + queue), b"DELETED")
        return "".join(form for _, form in sorted(found.items()))

    def asked(self, situation: str, options: Iterable[str]) -> str:
        """Return the outcome of a get."""
        queue = self.arrange(situation)
        answer = self.here.get("/".join([queue.decode(), *options]).encode())
        return f"{answer}: {self.situation(queue)}".rstrip()


class OptionTests(KestrelTestCase):
    """Every set of options, in every situation."""

    def test_together(self) -> None:
        """Options that go together do what the table says, in any order."""
        for words, outcomes in rows(TABLE):
            for order in permutations(words.split()):
                found = {each: self.asked(each, order) for each in outcomes}
                self.assertEqual(found, outcomes, order)

    def test_apart(self) -> None:
        """Options that do not go together are refused, and change nothing."""
        together = {frozenset(words.split()) for words, _ in rows(TABLE)}
        split = [each for each in sets() if frozenset(each) not in together]
        situations = [each for _, outcomes in rows(TABLE) for each in outcomes]
        self.assertEqual((len(split), len(set(situations))), (22, 12))
        for options in split:
            for situation in set(situations):
                outcome = f"APART: {situation}".rstrip()
                self.assertEqual(self.asked(situation, options), outcome, options)


class WaitTests(KestrelTestCase):
    """Those that wait when something happens."""

    def test_waiting(self) -> None:
        """A waiter is answered when there is something, and only then."""
        for what, outcomes in rows(WAITS):
            happens, _, situation = what.partition(" in")
            found = {
                options: self.waited(situation.strip(), options, happens, outcome)
                for options, outcome in outcomes.items()
            }
            self.assertEqual(found, outcomes, what)

    def waited(self, situation: str, options: str, happens: str, outcome: str) -> str:
        """Return the outcome of a get behind which something happens."""
        queue = self.arrange(situation)
        wait = "t=20" if "END" in outcome else "t=60000"
        words = [wait if word == "t" else word for word in options.split()]
        key = "/".join([queue.decode(), *words]).encode()
        self.here.send(b"get %b\r\n" % key)
        # It waits when this is answered.
        self.assertEqual(self.other.get(b"none/peek"), "END")
        getattr(self, f"happens_{happens}")(queue)
        answer = self.here.answer(key)
        return f"{answer}: {self.situation(queue)}".rstrip()

    def happens_set(self, queue: bytes) -> None:
        """Somebody sets a message."""
        self.set(queue, "x")

    def happens_abort(self, queue: bytes) -> None:
        """Somebody gives back what is open."""
        self.assertEqual(self.elsewhere.get(queue + b"/abort"), "END")

    def happens_close(self, queue: bytes) -> None:
        """Somebody closes what is open."""
        self.assertEqual(self.elsewhere.get(queue + b"/close"), "END")

    def happens_leave(self, queue: bytes) -> None:
        """Somebody who has a message open leaves."""
        self.elsewhere.close()
        self.elsewhere = self.connect()

    def happens_flush(self, queue: bytes) -> None:
        """Somebody empties the queue."""
        self.assertEqual(self.other.say(b"flush " + queue), b"END")

    def happens_delete(self, queue: bytes) -> None:
        """Somebody deletes the queue."""
        self.assertEqual(self.other.say(b"delete " + queue), b"DELETED")

    def happens_nothing(self, queue: bytes) -> None:
        """Nothing happens."""


class EndTests(KestrelTestCase):
    """Connections that end with a message open."""

    def test_ends(self) -> None:
        """However one ends, what it had open is the next that is given out."""
        for size in (1, 200_000):
            for sent in ENDS:
                for isReset in (False, True):
                    queue = self.arrange("(a)b", size)
                    self.here.send(sent.replace(b" q", b" " + queue))
                    self.end(isReset)
                    found = self.situation(queue)
                    self.assertEqual(found, "ab", (size, sent[:40], isReset))

    def end(self, isReset: bool = False) -> None:
        """End a connection, with a reset or without, and connect anew."""
        if isReset:
            self.here.socket.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        self.here.close()
        self.here = self.connect()

    def test_inBody(self) -> None:
        """So when it ends in the middle of a body."""
        for isReset in (False, True):
            queue = self.arrange("ab", 1_000_000)
            self.here.send(b"get %b/open\r\n" % queue)
            self.here.line()
            self.here.read(1000)
            self.end(isReset)
            self.assertEqual(self.situation(queue), "ab")

    def test_closeUnread(self) -> None:
        """A close that came counts, though nobody is there to be told."""
        for size, before in ((1, b""), (200_000, b""), (1, b"get none/t=60000\r\n")):
            queue = self.arrange("(a)b", size)
            self.here.send(before + b"get %b/close\r\n" % queue)
            self.end()
            if before:
                # A waiter may still read; a message that it is sent comes back, if not.
                self.set(b"none", "x")
                self.assertEqual(self.other.get(b"none/t=60000"), "x")
            self.assertEqual(self.situation(queue), "b")

    def test_noMore(self) -> None:
        """Open reads go back when the client quits, and when it sends no more."""
        for sent in (b"quit\r\n", b"version"):
            queue = self.arrange("(a)b")
            self.here.send(sent)
            self.here.socket.shutdown(SHUT_WR)
            self.assertRaises(ConnectionError, self.here.line)
            self.end()
            self.assertEqual(self.situation(queue), "ab")

    def test_serverEnds(self) -> None:
        """So when it is the server that is stopped, or killed."""
        for number in (SIGTERM, SIGKILL):
            queues = [self.arrange(each) for each in ("(a)b", "a(b)[c]d", "[a](b)c")]
            self.server.stop(number)
            self.server.start()
            self.here, self.elsewhere, self.other = (self.connect() for _ in range(3))
            found = [self.situation(queue) for queue in queues]
            self.assertEqual(found, ["ab", "abcd", "abc"])
