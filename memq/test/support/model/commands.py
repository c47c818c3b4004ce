"""Commands of the model but for reads: their bytes, and what is answered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from memq.test.support.model.queues import READS, WRITES, Item, Queue
from memq.test.support.model.server import END
from memq.test.support.sessions import VERSION

if TYPE_CHECKING:
    from memq.test.support.model.server import Client, Operation, Server

#: Bytes of the largest body that is sent at once, and of the largest that is taken.
PART, MAX_BODY = 65536, 200_000

#: The keys of a rule, in the order in which they are told.
KEYS = [
    *("max_items", "max_bytes", "overflow", "max_age", "honor_exptime"),
    *("open_timeout", "max_open", "max_deliveries", "dead_letter", "expired_to"),
    *("fanout", "fanout_only", "paused"),
]


class Command(ABC):
    """Something that a client sends.

    :cvar line: the line, with the names of fields where those stand.
    """

    line: ClassVar[bytes]

    def chosen(self, server: Server, client: Client) -> Command:
        """Return the command that a client sends now."""
        return self

    def wire(self) -> bytes:
        """Return its bytes."""
        fields = {name.encode(): each for name, each in vars(self).items()}
        return self.line % fields + b"\r\n"

    @abstractmethod
    def operations(self, server: Server) -> list[Operation]:
        """Return what it consists of."""


class Simple(Command):
    """A command that consists of one operation, itself.

    :cvar outlives: whether it is carried out although the client has gone.
    """

    outlives: ClassVar[bool] = False

    def operations(self, server: Server) -> list[Operation]:
        """Return itself."""
        return [self]

    @abstractmethod
    def run(self, server: Server, client: Client) -> bytes | None:
        """Carry it out, and return what is answered."""


@dataclass(frozen=True)
class Set(Command):
    """A set.

    :ivar mark: makes the body one of its own, full of what looks like commands.
    """

    queue: bytes
    size: int
    mark: int
    flags: int = 0
    noreply: bool = False
    exptime: int = 0
    delay: int = 0

    @property
    def body(self) -> bytes:
        """The body."""
        pattern = b"%d\r\nget %b\r\nEND\r\n" % (self.mark, self.queue)
        return (pattern * (self.size // len(pattern) + 1))[: self.size]

    def wire(self) -> bytes:
        """Return line and body."""
        key = self.queue + b"/delay=%d" % self.delay * bool(self.delay)
        line = b"set %b %d %d %d" % (key, self.flags, self.exptime, self.size)
        return line + b" noreply" * self.noreply + b"\r\n" + self.body + b"\r\n"

    def operations(self, server: Server) -> list[Operation]:
        """Return a set whose queues are known: of a body in parts, already now."""
        if self.size <= PART:
            return [Setting(self, None)]
        return [Setting(self, server.queues.destinations(self.queue))]


@dataclass(frozen=True)
class Setting:
    """A set that is carried out.

    :ivar destinations: the queues that it goes to, None to decide that later.
    """

    what: Set
    destinations: list[bytes] | None
    outlives = True

    def run(self, server: Server, client: Client) -> bytes:
        """Store it."""
        reply = self._store(server)
        return b"" if self.what.noreply else reply

    def _store(self, server: Server) -> bytes:
        what, queues = self.what, server.queues
        if what.size > MAX_BODY:
            return b"SERVER_ERROR object too large for cache\r\n"
        targets = self.destinations
        if targets is None:
            targets = queues.destinations(what.queue)
        item = Item(what.flags, what.body, queues.ms)
        fits = queues.set(what.queue, item, what.delay, what.exptime, targets)
        return b"STORED\r\n" if fits else b"NOT_STORED\r\n"


@dataclass(frozen=True)
class Constant(Simple):
    """A line that is always answered the same."""

    words: bytes
    reply: bytes
    line = b"%(words)b"

    def run(self, server: Server, client: Client) -> bytes:
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
    Constant(b"mn", b"MN\r\n"),
    Constant(b"ms a 8 T0 T0\r\nget lock", b"CLIENT_ERROR duplicate flag\r\n"),
]


@dataclass(frozen=True)
class Word(Simple):
    """A verb and a queue, or all queues: delete, flush, flush_all, pause or resume.

    :ivar bits: what is paused.
    """

    verb: bytes
    queue: bytes = b""
    bits: int = READS | WRITES
    noreply: bool = False
    outlives = True

    def wire(self) -> bytes:
        """Return the line."""
        words = [
            self.verb,
            self.queue,
            {READS: b"reads", WRITES: b"writes"}.get(self.bits),
        ]
        words.append(b"noreply" if self.noreply else None)
        return b" ".join(filter(None, words)) + b"\r\n"

    def run(self, server: Server, client: Client) -> bytes:
        """Do it."""
        reply = getattr(self, "_" + self.verb.decode())(server)
        return b"" if self.noreply else bytes(reply)

    def _delete(self, server: Server) -> bytes:
        there = server.queues.delete(self.queue)
        return b"DELETED\r\n" if there else b"NOT_FOUND\r\n"

    def _flush(self, server: Server) -> bytes:
        server.queues.find(self.queue).clear()
        return END

    def _flush_all(self, server: Server) -> bytes:
        for queue in server.queues.named.values():
            queue.clear()
        return b"OK\r\n"

    def _pause(self, server: Server) -> bytes:
        server.queues.make(self.queue).paused |= self.bits
        return b"OK\r\n"

    def _resume(self, server: Server) -> bytes:
        server.queues.find(self.queue).paused = 0
        return b"OK\r\n" if self.queue in server.queues.named else b"NOT_FOUND\r\n"


@dataclass(frozen=True)
class Add(Simple):
    """An add."""

    queue: bytes
    limit: int
    line = b"add %(queue)b 0 0 1\r\n%(limit)d"
    outlives = True

    def run(self, server: Server, client: Client) -> bytes:
        """Make the queue, unless it is there."""
        if self.queue in server.queues.named:
            return b"NOT_STORED\r\n"
        server.queues.make(self.queue).limit = self.limit
        return b"STORED\r\n"


@dataclass(frozen=True)
class StatsQueue(Simple):
    """A ``stats queue``."""

    line = b"stats queue"

    def run(self, server: Server, client: Client) -> bytes:
        """Tell the counts."""
        rows = [
            b"STAT %b %d/%d\r\n" % (name, queue.pushed, queue.details()["taken"])
            for name, queue in sorted(server.queues.named.items())
        ]
        return b"".join(rows) + END


@dataclass(frozen=True)
class StatsDetail(Simple):
    """A ``stats detail`` of one queue, or all."""

    queue: bytes
    line = b"stats detail %(queue)b"

    def run(self, server: Server, client: Client) -> bytes:
        """Tell the figures and the rules."""
        reply = b""
        for name, queue in sorted(server.queues.named.items()):
            if self.queue in (b"*", name):
                told = {**_figures(server, name, queue), **_inForce(server, name)}
                for key, each in told.items():
                    words = (name, key.encode(), str(each).encode())
                    reply += b"STAT queue_%b_%b %b\r\n" % words
        return reply + END


def _figures(server: Server, name: bytes, queue: Queue) -> dict[str, Any]:
    detail, queues = queue.details(), server.queues
    return {
        "items": detail["items"],
        "bytes": detail["bytes"],
        "age": queues.ms - queue.ready[0].time if queue.ready else 0,
        "total_items": detail["pushed"],
        "taken": detail["taken"],
        "deleted": detail["closed"],
        "expired": detail["expired"],
        "discarded": detail["discarded"],
        "open_transactions": detail["open"],
        "waiters": len(server.lines.get(name, [])),
        "delayed": detail["delayed"],
        "deliveries": detail["returns"],
        **{
            f"refused_{w}": queues.refused[name, w]
            for w in ("full", "paused", "fanout")
        },
    }


def _inForce(server: Server, name: bytes) -> dict[str, Any]:
    """Return what the rule of a queue says, with its limit and what is paused."""
    queues = server.queues
    rule, queue = dict(queues.rule(name)), queues.find(name)
    if queue.limit:
        rule["max_items"] = min(queue.limit, rule.get("max_items") or queue.limit)
    bits = [queues.isPaused(name, bit) for bit in (READS, WRITES)]
    if any(bits):
        rule["paused"] = "both" if all(bits) else "reads" if bits[0] else "writes"
    if "fanout" in rule:
        rule["fanout"] = ",".join(rule["fanout"])
    # Told only when they change something.
    told = {"overflow": "drop-oldest", "fanout_only": True}
    shown = {k: v for k, v in rule.items() if told.get(k, v) == v}
    words = {k: "true" if v is True else v for k, v in shown.items()}
    return {key: words[key] for key in KEYS if key in words}
