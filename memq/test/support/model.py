"""What a server holds, in ten lines, and the commands that clients send it.

A command knows its bytes, and what a server answers that holds what the model says.
None of memq's own code takes part in that.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from hypothesis import strategies as some

from memq.test.support.sessions import VERSION

#: Where files cost least, if there is such a place: of what is not about a disk.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

#: The largest body that is taken.
MAX_BODY = 200_000
#: Bodies are of one record, of parts, or too large.
SIZES = [0, 1, 2, 100, 1100, 65536, 65537, 131072, MAX_BODY, MAX_BODY + 1]
NAMES = [b"a", b"lock", b"\xc3\xa9" * 125, b"messages"]


@dataclass
class Queue:
    """A queue: its messages, and how many were ever pushed."""

    messages: deque[tuple[int, bytes]] = field(default_factory=deque)
    pushed: int = 0

    @property
    def taken(self) -> int:
        """How many were ever taken; also the number of the next one."""
        return self.pushed - len(self.messages)


Model = dict[bytes, Queue]


class Command(Protocol):
    """Something that a client sends."""

    #: Whether it is carried out although the client has gone.
    outlives: bool

    def wire(self) -> bytes:
        """Return its bytes."""

    def run(self, model: Model) -> bytes:
        """Carry it out, and return what is answered."""


@dataclass(frozen=True)
class Set:
    """A set; each has a body of its own, full of what looks like commands."""

    queue: bytes
    flags: int
    size: int
    mark: int
    noreply: bool
    outlives = True

    def body(self) -> bytes:
        """Return the body."""
        pattern = b"%d\r\nget %b\r\nEND\r\n" % (self.mark, self.queue)
        return (pattern * (self.size // len(pattern) + 1))[: self.size]

    def wire(self) -> bytes:
        """Return line and body."""
        line = b"set %b %d 0 %d" % (self.queue, self.flags, self.size)
        return line + b" noreply" * self.noreply + b"\r\n" + self.body() + b"\r\n"

    def run(self, model: Model) -> bytes:
        """Append the message."""
        if self.size > MAX_BODY:
            reply = b"SERVER_ERROR object too large for cache\r\n"
        else:
            queue = model.setdefault(self.queue, Queue())
            queue.messages.append((self.flags, self.body()))
            queue.pushed += 1
            reply = b"STORED\r\n"
        return b"" if self.noreply else reply


@dataclass(frozen=True)
class Get:
    """A get or gets of some names."""

    queues: tuple[bytes, ...]
    withSequence: bool
    outlives = False

    def wire(self) -> bytes:
        """Return the line."""
        verb = b"gets" if self.withSequence else b"get"
        return b" ".join([verb, *self.queues]) + b"\r\n"

    def run(self, model: Model) -> bytes:
        """Take the heads."""
        reply = b""
        for name in self.queues:
            queue = model.get(name, Queue())
            if queue.messages:
                sequence = b" %d" % queue.taken if self.withSequence else b""
                flags, body = queue.messages.popleft()
                head = b"VALUE %b %d %d%b\r\n" % (name, flags, len(body), sequence)
                reply += head + body + b"\r\n"
        return reply + b"END\r\n"


@dataclass(frozen=True)
class Delete:
    """A delete."""

    queue: bytes
    noreply: bool
    outlives = True

    def wire(self) -> bytes:
        """Return the line."""
        return b"delete %b%b\r\n" % (self.queue, b" noreply" * self.noreply)

    def run(self, model: Model) -> bytes:
        """Delete the queue."""
        there = model.pop(self.queue, None) is not None
        reply = b"DELETED\r\n" if there else b"NOT_FOUND\r\n"
        return b"" if self.noreply else reply


@dataclass(frozen=True)
class FlushAll:
    """A flush_all."""

    noreply: bool
    outlives = True

    def wire(self) -> bytes:
        """Return the line."""
        return b"flush_all%b\r\n" % (b" noreply" * self.noreply)

    def run(self, model: Model) -> bytes:
        """Empty all queues."""
        for queue in model.values():
            queue.messages.clear()
        return b"" if self.noreply else b"OK\r\n"


@dataclass(frozen=True)
class StatsQueue:
    """A ``stats queue``."""

    outlives = False

    def wire(self) -> bytes:
        """Return the line."""
        return b"stats queue\r\n"

    def run(self, model: Model) -> bytes:
        """Tell the counts."""
        rows = [
            b"STAT %b %d/%d\r\n" % (name, queue.pushed, queue.taken)
            for name, queue in sorted(model.items())
        ]
        return b"".join(rows) + b"END\r\n"


@dataclass(frozen=True)
class Constant:
    """A line that is always answered the same."""

    line: bytes
    reply: bytes
    outlives = False

    def wire(self) -> bytes:
        """Return the line."""
        return self.line + b"\r\n"

    def run(self, model: Model) -> bytes:
        """Change nothing."""
        return self.reply


CONSTANTS = [
    Constant(b"version", VERSION),
    Constant(b"db_checkpoint", b"OK\r\n"),
    Constant(b"db_archive", b"OK\r\n"),
    Constant(b"verbosity 1", b"OK\r\n"),
    Constant(b"nonsense", b"ERROR\r\n"),
    Constant(b"get a/b", b"CLIENT_ERROR unknown option\r\n"),
    Constant(b"replace a 0 0 8\r\nget lock", b"ERROR\r\n"),
]


def commands(names: list[bytes], ofAll: bool = True) -> some.SearchStrategy[Command]:
    """Return commands on queues of these names.

    :param ofAll: whether there are some that concern all queues.
    """
    queue = some.sampled_from(names)
    rarely = some.sampled_from([False, False, False, True])
    sets = some.builds(
        Set,
        queue,
        some.sampled_from([0, 1, 2**32 - 1]),
        some.sampled_from(SIZES),
        some.integers(0, 999_999),
        rarely,
    )
    gets = some.builds(
        Get, some.lists(queue, min_size=1, max_size=4).map(tuple), some.booleans()
    )
    kinds: list[some.SearchStrategy[Command]] = [sets, gets, sets, gets]
    kinds.append(some.builds(Delete, queue, rarely))
    if ofAll:
        others = [FlushAll(False), FlushAll(True), *[StatsQueue()] * 4, *CONSTANTS]
        kinds.append(some.sampled_from(others))
    return some.one_of(kinds)


def pipelines(
    names: list[bytes], ofAll: bool = True
) -> some.SearchStrategy[list[Command]]:
    """Return what a client sends at once: a bit of everything, or much of one kind."""
    name = some.sampled_from(names)
    # Such as are carried out together, and such as come and leave in parts.
    small = name.flatmap(lambda one: some.lists(_plain(one, 40), min_size=4))
    large = name.flatmap(
        lambda one: some.lists(_plain(one, 70000), min_size=2, max_size=8)
    )
    mixed = some.lists(commands(names, ofAll), min_size=1, max_size=6)
    return some.one_of(mixed, small, large)


def _plain(name: bytes, size: int) -> some.SearchStrategy[Command]:
    """Return sets and gets of one queue."""
    get = some.just(Get((name,), False))
    marks = some.integers(0, 999_999)
    put = marks.map(lambda mark: Set(name, 0, size, mark, False))
    return some.one_of(put, put, get, get)
