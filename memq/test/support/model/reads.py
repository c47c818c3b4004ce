"""Reads of the model: plain ones, open ones, and those that wait."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from memq.test.support.model.commands import PART, Command, Simple
from memq.test.support.model.server import END

if TYPE_CHECKING:
    from memq.test.support.model.queues import Item
    from memq.test.support.model.server import Client, Operation, Server


NOT_OPEN = b"CLIENT_ERROR not open on this connection\r\n"
#: The least number that is sent as it is; a lower one stands for an open read.
LITERAL = 6


def chosen(command: Any, client: Client) -> Any:
    """Return a command with the number of an open read of its client, if it has any."""
    reads = client.reads.get(command.queue)
    if command.number >= LITERAL or not reads:
        return command
    return replace(command, number=reads[command.number % len(reads)].item.number)


def value(key: bytes, item: Item, number: bool = False) -> bytes:
    """Return the block of a message, without END."""
    rest = b" %d" % item.number if number else b""
    head = b"VALUE %b %d %d%b\r\n" % (key, item.flags, len(item.body), rest)
    return head + item.body + b"\r\n"


@dataclass(frozen=True)
class Get(Simple):
    """A plain get or gets of some names."""

    queues: tuple[bytes, ...]
    number: bool = False

    def wire(self) -> bytes:
        """Return the line."""
        return b"get%b %b\r\n" % (b"s" * self.number, b" ".join(self.queues))

    def run(self, server: Server, client: Client) -> bytes:
        """Take the heads."""
        reply = b""
        for name in self.queues:
            item = server.queues.take(name)
            if item is not None:
                reply += value(name, item, self.number)
        return reply + END


@dataclass(frozen=True)
class Read(Simple):
    """A get with options.

    :ivar kind: ``open``, ``close``, ``close/open``, ``abort``, ``peek`` or nothing,
        with ``more``, ``=N`` and ``delay=D``.
    :ivar wait: milliseconds, None for no such option.
    :ivar number: what N stands for.
    :ivar delay: what D stands for.
    """

    queue: bytes
    kind: bytes
    wait: int | None = None
    number: int = LITERAL
    delay: int = 0

    def chosen(self, server: Server, client: Client) -> Read:
        """Return the one that ends what the client has open."""
        return cast("Read", chosen(self, client)) if b"N" in self.kind else self

    @property
    def key(self) -> bytes:
        """The key, as it is sent."""
        time = b"" if self.wait is None else b"t=%d" % self.wait
        kind = self.kind.replace(b"N", b"%d" % self.number)
        kind = kind.replace(b"D", b"%d" % self.delay)
        return b"/".join(filter(None, [self.queue, kind, time]))

    def wire(self) -> bytes:
        """Return the line."""
        return b"get %b\r\n" % self.key

    def operations(self, server: Server) -> list[Operation]:
        """Return what it consists of."""
        if not self.kind.startswith((b"close", b"abort")):
            return [self]
        number = self.number if b"N" in self.kind else None
        delay = self.delay if b"D" in self.kind else 0
        if b"open" not in self.kind:
            return [End(self.queue, self.kind, END, number=number, delay=delay)]
        return [End(self.queue, self.kind, b"", number=number, then=self), self]

    def run(self, server: Server, client: Client) -> bytes | None:
        """Read, or wait."""
        wait = 0 if client.isHurried else self.wait or 0
        reply = look(server, client, self, bool(wait))
        if reply is not None or not wait:
            return END if reply is None else reply
        server.wait(client, {self.queue: wait / 1000})
        return None


def look(server: Server, client: Client, read: Read, waits: bool) -> bytes | None:
    """Return what is answered to a read; None when there is nothing.

    :param waits: whether it may wait, and so does not look while others are before it.
    """
    name, kind = read.queue, read.kind
    opens, more = b"open" in kind, b"more" in kind
    isPeek = kind.endswith(b"peek")
    if opens and not more and client.reads.get(name):
        return b"CLIENT_ERROR close current item first\r\n"
    if more and server.hasMost(client, name):
        return b"CLIENT_ERROR too many open, close or abort some first\r\n"
    if waits and not isPeek and server.isBehind(client, name):
        return None
    if opens:
        item = server.open(client, name)
    else:
        item = (server.queues.head if isPeek else server.queues.take)(name)
    if item is None:
        return None
    client.mayBeCut |= (opens or isPeek) and len(item.body) > PART
    return value(read.key, item) + END


@dataclass(frozen=True)
class AnyOf(Simple):
    """A get of the first of some queues that has a message.

    :ivar queues: each with how long it is waited for, as in a Read; none twice.
    """

    kind: bytes
    queues: tuple[tuple[bytes, int | None], ...]

    def _reads(self) -> list[Read]:
        """Return the words of the line."""
        kind = b"/".join(filter(None, [b"any", self.kind]))
        return [Read(name, kind, wait) for name, wait in self.queues]

    def wire(self) -> bytes:
        """Return the line."""
        return b"get %b\r\n" % b" ".join(each.key for each in self._reads())

    def run(self, server: Server, client: Client) -> bytes | None:
        """Look in each queue, or wait for those that are still waited for."""
        waits = {name: wait / 1000 for name, wait in self.queues if wait}
        if client.ticket is not None:
            waits = {name: waits[name] for name in client.untils}
        if client.isHurried:
            waits.clear()
        for read in self._reads():
            if client.ticket is None or read.queue in client.untils:
                reply = look(server, client, read, read.queue in waits)
                if reply is not None:
                    return reply
        if not waits:
            return END
        server.wait(client, waits)
        return None


@dataclass(frozen=True)
class End:
    """The end of open reads: close or abort.

    :ivar then: what does not run if there is none of a number.
    """

    queue: bytes
    kind: bytes
    reply: bytes
    most: int = 1
    number: int | None = None
    delay: int = 0
    then: Read | None = None
    missing: bytes = NOT_OPEN
    outlives = True

    def run(self, server: Server, client: Client) -> bytes:
        """End them."""
        if self.kind.startswith(b"abort"):
            isThere = server.abort(client, self.queue, self.number, self.delay)
        else:
            isThere = server.close(client, self.queue, self.most, self.number)
        if self.number is None or isThere:
            return self.reply
        if client.inbox[1:2] == [self.then]:
            del client.inbox[1]
        return self.missing


@dataclass(frozen=True)
class Delete(Command):
    """A delete of an open message."""

    queue: bytes
    number: int
    noreply: bool = False

    def chosen(self, server: Server, client: Client) -> Delete:
        """Return the one of what the client has open."""
        return cast("Delete", chosen(self, client))

    def wire(self) -> bytes:
        """Return the line."""
        rest = b" noreply" * self.noreply
        return b"delete %b/open=%d%b\r\n" % (self.queue, self.number, rest)

    def operations(self, server: Server) -> list[Operation]:
        """Return the closing."""
        replies = (b"", b"") if self.noreply else (b"DELETED\r\n", b"NOT_FOUND\r\n")
        reply, missing = replies
        number = self.number
        return [End(self.queue, b"close", reply, number=number, missing=missing)]


@dataclass(frozen=True)
class Touch(Simple):
    """A touch of an open message."""

    queue: bytes
    number: int
    seconds: int
    line = b"touch %(queue)b/open=%(number)d %(seconds)d"

    def chosen(self, server: Server, client: Client) -> Touch:
        """Return the one of what the client has open."""
        return cast("Touch", chosen(self, client))

    def run(self, server: Server, client: Client) -> bytes:
        """Let it last longer."""
        there = server.touch(client, self.queue, self.number, self.seconds)
        return b"TOUCHED\r\n" if there else b"NOT_FOUND\r\n"


@dataclass(frozen=True)
class Monitor(Command):
    """A monitor."""

    queue: bytes
    seconds: int
    most: int
    line = b"monitor %(queue)b %(seconds)d %(most)d"

    def operations(self, server: Server) -> list[Operation]:
        """Return one that has not begun."""
        return [Monitoring(self.queue, self.seconds, self.most)]


@dataclass
class Monitoring:
    """A monitor that goes on."""

    queue: bytes
    seconds: int
    left: int
    until: float | None = None
    outlives = False

    def run(self, server: Server, client: Client) -> bytes | None:
        """Open what there is; then it is over, or waits."""
        now = server.queues.now
        if self.until is None:
            self.until = now + self.seconds
        wait = self.until - now
        if client.isHurried and self.seconds:
            return END
        isFull = server.hasMost(client, self.queue)
        while self.left and not (
            isFull or (wait > 0 and server.isBehind(client, self.queue))
        ):
            item = server.open(client, self.queue)
            if item is None:
                break
            # It is behind all others after that.
            client.forget()
            client.said += value(self.queue, item)
            client.mayBeCut |= len(item.body) > PART
            self.left -= 1
            isFull = server.hasMost(client, self.queue)
        if not self.left or isFull or wait <= 0:
            return END
        server.wait(client, {self.queue: wait})
        return None


@dataclass(frozen=True)
class Confirm(Command):
    """A confirm."""

    queue: bytes
    most: int
    line = b"confirm %(queue)b %(most)d"

    def operations(self, server: Server) -> list[Operation]:
        """Return the closing."""
        return [End(self.queue, b"close", END, self.most)]
