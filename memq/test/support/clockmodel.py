"""What a server with rules, waiting clients and a clock does, as plain Python.

Nothing of memq takes part in it: the queues are lists, and the clock is a number.  Each
client has an inbox of *operations*, what its commands consist of.  All that can run is
run in rounds: one client after the other, each until its inbox is empty or a read has
to wait; whoever waits for a message that came in a round is first in the next one.

One thing the model leaves open, for the protocol does: when exactly a message goes that
has expired and that nobody asks for.  ``Server.expireHeads`` is told how many did.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from math import inf
from operator import attrgetter
from typing import Any, Protocol

END = b"END\r\n"
READS, WRITES = 1, 2
#: Bytes of the largest body that is sent at once.
PART = 65536
#: Seconds up to which an exptime counts from now on.
RELATIVE = 30 * 24 * 3600

#: What a rule can say, in the order in which it is told.
KEYS = [
    "max_items",
    "max_bytes",
    "overflow",
    "max_age",
    "honor_exptime",
    "open_timeout",
    "max_deliveries",
    "dead_letter",
    "expired_to",
    "fanout",
    "fanout_only",
    "paused",
]

Rules = dict[bytes, dict[str, Any]]

_number = attrgetter("number")


@dataclass(eq=False)
class Item:
    """A message.

    :ivar number: its place in the queue; -1 as long as it is not due.
    :ivar time: when it was set, in milliseconds.
    :ivar expires: when it expires, 0 for never.
    :ivar deliveries: how often it was given back.
    :ivar since: when it could be read last after it could not, in milliseconds.
    """

    flags: int
    body: bytes
    time: int
    expires: int = 0
    number: int = -1
    deliveries: int = 0
    since: int = 0


@dataclass
class Queue:
    """A queue.

    :ivar ready: what can be read, in order.
    :ivar open: what somebody has open.
    :ivar delayed: what is not due, and when it will be, in order.
    :ivar counts: closed, expired, discarded, returns.
    """

    ready: list[Item] = field(default_factory=list)
    open: list[Item] = field(default_factory=list)
    delayed: list[tuple[int, Item]] = field(default_factory=list)
    pushed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    limit: int = 0
    paused: int = 0

    def push(self, item: Item) -> None:
        """Append."""
        item.number = self.pushed
        self.pushed += 1
        self.ready.append(item)

    def kept(self) -> list[Item]:
        """Return all messages."""
        return [*self.ready, *self.open, *(item for _, item in self.delayed)]

    def clear(self) -> None:
        """Discard all messages."""
        for items in (self.ready, self.open, self.delayed):
            items.clear()

    def details(self) -> dict[str, int]:
        """Return the figures."""
        names = ("closed", "expired", "discarded", "returns")
        return {
            "items": len(self.ready),
            "bytes": sum(len(item.body) for item in (*self.ready, *self.open)),
            "open": len(self.open),
            "delayed": len(self.delayed),
            "pushed": self.pushed,
            "taken": self.pushed - len(self.ready) - len(self.open),
            **{name: self.counts[name] for name in names},
            "limit": self.limit,
            "paused": self.paused,
        }


@dataclass(eq=False)
class Opened:
    """An open read.

    :ivar until: when it goes back by itself.
    """

    item: Item
    until: float


class Operation(Protocol):
    """Something that a client waits for.

    :ivar outlives: whether it is carried out though the client is gone.
    """

    outlives: bool

    def run(self, server: Server, client: Client) -> bytes | None:
        """Carry it out; return what is answered, None if it has to wait."""


@dataclass(eq=False)
class Client:
    """A connection.

    :ivar reads: its open reads of each queue, the oldest first.
    :ivar ticket: its place in a line, None if it stands in none.
    :ivar until: when the time of its read is over.
    :ivar isHurried: whether no read of it waits any more.
    :ivar mayBeCut: whether it was shown a body in parts that may have gone meanwhile.
    """

    inbox: list[Operation] = field(default_factory=list)
    said: bytes = b""
    reads: dict[bytes, list[Opened]] = field(default_factory=dict)
    ticket: int | None = None
    until: float = inf
    isHurried: bool = False
    mayBeCut: bool = False

    @property
    def waits(self) -> bool:
        """Whether it stands in a line."""
        return bool(self.inbox) and self.ticket is not None


def expiry(exptime: int, now: int) -> int | None:
    """Return when a message expires by memcached's rule: 0 never, None at once."""
    if exptime == 0:
        return 0
    at = exptime * 1000 + (now if exptime <= RELATIVE else 0)
    return at if exptime > 0 and at > now else None


class Server:
    """A server.

    :ivar now: seconds since 1970.
    :ivar rules: what is in the file for each queue, by its full name.
    :ivar lines: who waits for a queue, in order.
    :ivar refused: sets refused since the start, by queue and reason.
    """

    def __init__(self, now: float) -> None:
        self.now = now
        self.rules: Rules = {}
        self.queues: dict[bytes, Queue] = {}
        self.clients: dict[int, Client] = {}
        self.lines: dict[bytes, list[Client]] = {}
        self.refused: Counter[tuple[bytes, str]] = Counter()
        self._tickets = 0
        self._round: list[Client] = []

    # What holds for a queue.

    @property
    def ms(self) -> int:
        """The time in milliseconds."""
        return int(self.now * 1000)

    def rule(self, name: bytes) -> dict[str, Any]:
        """Return the rule of a queue."""
        return self.rules.get(name, {})

    def queue(self, name: bytes) -> Queue:
        """Return a queue, made if there is none."""
        return self.queues.setdefault(name, Queue())

    def isPaused(self, name: bytes, bit: int) -> bool:
        """Tell whether reads or writes of a queue are paused."""
        words = {"reads": READS, "writes": WRITES, "both": READS | WRITES}
        bits = words.get(self.rule(name).get("paused", ""), 0)
        return bool((bits | self.queues.get(name, Queue()).paused) & bit)

    def hasExpired(self, name: bytes, item: Item) -> bool:
        """Tell whether a message is too old."""
        rule = self.rule(name)
        honored = rule.get("honor_exptime") and 0 < item.expires <= self.ms
        age = rule.get("max_age", 0) * 1000
        return bool(honored or (age and self.ms - item.time >= age))

    def destinations(self, name: bytes) -> list[bytes]:
        """Return the queues that a set goes to."""
        seen = [name]
        for each in seen:
            more = [other.encode() for other in self.rule(each).get("fanout", [])]
            seen += [other for other in more if other not in seen]
        return [each for each in seen if not self.rule(each).get("fanout_only")]

    def hasRoom(self, name: bytes, items: list[Item], size: int) -> bool:
        """Tell whether a queue that has these may have one more."""
        limit, rule = self.queues.get(name, Queue()).limit, self.rule(name)
        most = min(limit or inf, rule.get("max_items") or inf)
        bytes = sum(len(item.body) for item in items) + size
        return len(items) < most and bytes <= (rule.get("max_bytes") or inf)

    # Writing.

    def set(self, what: Set, destinations: list[bytes] | None) -> bool:
        """Store a message wherever it goes, or refuse it."""
        name, body = what.queue, what.body
        if self.isPaused(name, WRITES):
            return self.refuse(name, name, "paused")
        targets = []
        for each in self.destinations(name) if destinations is None else destinations:
            if self.isPaused(each, WRITES):
                return self.refuse(name, each, "paused")
            honors = self.rule(each).get("honor_exptime")
            expires = expiry(what.exptime, self.ms) if honors else 0
            if expires is None:
                continue
            queue = self.queues.get(each, Queue())
            drops = self.rule(each).get("overflow") == "drop-oldest"
            ready = queue.ready if drops else []
            stays = [item for item in queue.kept() if item not in ready]
            if not self.hasRoom(each, stays, len(body)):
                return self.refuse(name, each, "full")
            targets.append((each, Item(what.flags, body, self.ms, expires)))
        for each, item in targets:
            self._put(each, item, what.delay)
        return True

    def refuse(self, name: bytes, by: bytes, why: str) -> bool:
        """Count a set that is refused because of a queue that it would go to."""
        for each, reason in {name: "fanout", by: why}.items():
            self.refused[each, reason] += 1
        return False

    def _put(self, name: bytes, item: Item, delay: int) -> None:
        queue = self.queue(name)
        while not self.hasRoom(name, queue.kept(), len(item.body)):
            del queue.ready[0]
            queue.counts["discarded"] += 1
        if delay:
            queue.delayed.append((self.ms + delay * 1000, item))
            queue.delayed.sort(key=lambda pair: pair[0])
        else:
            queue.push(item)

    def move(self, item: Item, target: str | None) -> None:
        """Push a message to another queue, or let it go."""
        if target is not None:
            self.queue(target.encode()).push(Item(item.flags, item.body, self.ms))

    def delete(self, name: bytes) -> bool:
        """Delete a queue with all its messages."""
        queue = self.queues.pop(name, None)
        if queue is None:
            return False
        queue.clear()
        return True

    # Reading.

    def expireHeads(self, name: bytes, most: float = inf) -> int:
        """Let some heads of a queue go that have expired; return how many did."""
        queue = self.queues.get(name, Queue())
        count = 0
        while count < most and queue.ready and self.hasExpired(name, queue.ready[0]):
            self.move(queue.ready.pop(0), self.rule(name).get("expired_to"))
            queue.counts["expired"] += 1
            count += 1
        return count

    def head(self, name: bytes) -> Item | None:
        """Return what can be read next."""
        # Also when it is paused: it makes no difference to the one who asks.
        self.expireHeads(name)
        queue = self.queues.get(name, Queue())
        if self.isPaused(name, READS) or not queue.ready:
            return None
        return queue.ready[0]

    def take(self, name: bytes) -> Item | None:
        """Take the head."""
        item = self.head(name)
        if item is not None:
            self.queues[name].ready.remove(item)
        return item

    def open(self, client: Client, name: bytes) -> Item | None:
        """Hide the head."""
        item = self.take(name)
        if item is not None:
            self.queues[name].open.append(item)
            until = self.now + (self.rule(name).get("open_timeout") or inf)
            client.reads.setdefault(name, []).append(Opened(item, until))
        return item

    def close(self, client: Client, name: bytes, most: int = 1) -> None:
        """Delete what is open, the oldest first."""
        reads = client.reads.get(name, [])
        for opened in reads[:most]:
            reads.remove(opened)
            queue = self.queues.get(name, Queue())
            if opened.item in queue.open:
                queue.open.remove(opened.item)
                queue.counts["closed"] += 1

    def abort(self, client: Client, name: bytes) -> None:
        """Give back all that is open."""
        for opened in client.reads.pop(name, []):
            self.giveBack(name, opened.item)

    def giveBack(self, name: bytes, item: Item) -> None:
        """Return a message to its old place, or bury it."""
        queue = self.queues.get(name, Queue())
        if item not in queue.open:
            return
        queue.open.remove(item)
        rule = self.rule(name)
        item.deliveries += 1
        queue.counts["returns"] += 1
        if 0 < rule.get("max_deliveries", 0) <= item.deliveries:
            target = rule.get("dead_letter")
            self.move(item, target)
            queue.counts["discarded"] += target is None
        else:
            item.since = self.ms
            insort(queue.ready, item, key=_number)

    # Waiting.

    def isBehind(self, client: Client, name: bytes) -> bool:
        """Tell whether somebody else is before a client that comes anew."""
        return client.ticket is None and bool(self.lines.get(name))

    def wait(self, client: Client, name: bytes, seconds: float) -> None:
        """Let a client stand in line: at the end, or where it was."""
        if client.ticket is None:
            self._tickets += 1
            client.ticket = self._tickets
            client.until = self.now + seconds
        insort(self.lines.setdefault(name, []), client, key=attrgetter("ticket"))

    def _leaveLine(self, client: Client) -> None:
        for name, line in list(self.lines.items()):
            if client in line:
                line.remove(client)
                if not line:
                    del self.lines[name]

    def send(self, number: int, operations: list[Operation]) -> None:
        """Let a client ask for something, and everything happen that follows."""
        client = self.clients.setdefault(number, Client())
        client.inbox += operations
        if not client.waits:
            self._round.append(client)
        self.settle()

    def settle(self) -> None:
        """Run all that can."""
        self._wake()
        while self._round:
            clients, self._round = self._round, []
            for client in clients:
                self._run(client)
            self._wake()

    def _run(self, client: Client) -> None:
        while client.inbox:
            reply = client.inbox[0].run(self, client)
            if reply is None:
                return
            client.said += reply
            client.inbox.pop(0)
            client.ticket = None

    def _wake(self) -> None:
        """Let as many try as there are messages."""
        woken = []
        for name in list(self.lines):
            if self.isPaused(name, READS) or self.head(name) is None:
                continue
            for client in self.lines[name][: len(self.queues[name].ready)]:
                self._leaveLine(client)
                woken.append(client)
        self._round[:0] = woken

    def leave(self, number: int) -> None:
        """Let a client be gone: what it asks does not count, what it changes does."""
        client = self.clients.pop(number, Client())
        self._leaveLine(client)
        client.ticket = None
        client.inbox = [each for each in client.inbox if each.outlives]
        self._run(client)
        for name in list(client.reads):
            self.abort(client, name)
        self.settle()

    # Time.

    def events(self) -> list[tuple[float, Any]]:
        """Return what happens by itself, and when."""
        found: list[tuple[float, Any]] = []
        for queue in self.queues.values():
            for due, _ in queue.delayed[:1]:
                found.append((due / 1000, (self._ripen, due)))
        for client in self.clients.values():
            if client.waits:
                found.append((client.until, (self._endWait, client)))
            for name, reads in client.reads.items():
                for opened in reads:
                    call = (self._overdue, client, name, opened)
                    found.append((opened.until, call))
        return found

    def reach(self, now: float) -> None:
        """Let time pass up to a moment, and all happen in its order."""
        while True:
            events = [event for event in self.events() if event[0] <= now]
            if not events:
                break
            at, (call, *arguments) = min(events, key=lambda event: event[0])
            self.now = max(self.now, at)
            call(*arguments)
            self.settle()
        self.now = now

    def _ripen(self, now: int) -> None:
        for queue in self.queues.values():
            while queue.delayed and queue.delayed[0][0] <= now:
                item = queue.delayed.pop(0)[1]
                item.since = self.ms
                queue.push(item)

    def _endWait(self, client: Client) -> None:
        self._leaveLine(client)
        client.said += END
        client.inbox.pop(0)
        client.ticket = None
        self._round.append(client)

    def _overdue(self, client: Client, name: bytes, opened: Opened) -> None:
        client.reads[name].remove(opened)
        self.giveBack(name, opened.item)

    # Ends.

    def stop(self) -> None:
        """Stop in order: nobody waits any more."""
        waiting = [client for line in list(self.lines.values()) for client in line]
        for client in waiting:
            client.isHurried = True
            self._endWait(client)
        self.settle()

    def crash(self) -> None:
        """End; what is open is there again, and nobody is connected."""
        self.clients.clear()
        self.lines.clear()
        self.refused.clear()
        for queue in self.queues.values():
            for item in queue.open:
                insort(queue.ready, item, key=_number)
            queue.open.clear()


# What clients ask for.


def value(key: bytes, item: Item, number: bool = False) -> bytes:
    """Return the block of a message, without END."""
    rest = b" %d" % item.number if number else b""
    head = b"VALUE %b %d %d%b\r\n" % (key, item.flags, len(item.body), rest)
    return head + item.body + b"\r\n"


@dataclass(frozen=True)
class Set:
    """A set."""

    queue: bytes
    flags: int
    exptime: int
    delay: int
    size: int
    noreply: bool
    serial: int
    waits = False
    outlives = True

    @property
    def body(self) -> bytes:
        """The body: as no other."""
        return (b"%06d " % self.serial * (self.size // 7 + 1))[: max(self.size, 6)]

    def wire(self) -> bytes:
        """Return line and body."""
        key = self.queue + b"/delay=%d" % self.delay * bool(self.delay)
        words = (key, self.flags, self.exptime, len(self.body))
        end = b" noreply\r\n" if self.noreply else b"\r\n"
        return b"set %b %d %d %d" % words + end + self.body + b"\r\n"

    def operations(self, server: Server) -> list[Operation]:
        """Return a set whose queues are known: of a body in parts, already now."""
        isInParts = len(self.body) > PART
        return [Setting(self, server.destinations(self.queue) if isInParts else None)]


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
        fits = server.set(self.what, self.destinations)
        if self.what.noreply:
            return b""
        return b"STORED\r\n" if fits else b"NOT_STORED\r\n"


@dataclass(frozen=True)
class Get:
    """A plain get."""

    queues: tuple[bytes, ...]
    number: bool = False
    waits = False
    outlives = False

    def wire(self) -> bytes:
        """Return the line."""
        return b"get%b %b\r\n" % (b"s" * self.number, b" ".join(self.queues))

    def operations(self, server: Server) -> list[Operation]:
        """Return itself."""
        return [self]

    def run(self, server: Server, client: Client) -> bytes:
        """Take the heads."""
        reply = b""
        for name in self.queues:
            item = server.take(name)
            if item is not None:
                reply += value(name, item, self.number)
        return reply + END


@dataclass(frozen=True)
class Read:
    """A get with options.

    :ivar kind: ``open``, ``close``, ``close/open``, ``abort``, ``peek`` or nothing.
    :ivar wait: milliseconds, None for no such option.
    """

    queue: bytes
    kind: bytes
    wait: int | None = None
    outlives = False

    @property
    def waits(self) -> bool:
        """Whether it may have to wait."""
        return bool(self.wait)

    @property
    def key(self) -> bytes:
        """The key, as it is sent."""
        options = [self.kind] if self.kind else []
        if self.wait is not None:
            options.append(b"t=%d" % self.wait)
        return b"/".join([self.queue, *options])

    def wire(self) -> bytes:
        """Return the line."""
        return b"get %b\r\n" % self.key

    def operations(self, server: Server) -> list[Operation]:
        """Return what it consists of."""
        if self.kind in (b"close", b"abort"):
            return [End(self.queue, self.kind, END)]
        if self.kind == b"close/open":
            return [End(self.queue, b"close", b""), self]
        return [self]

    def run(self, server: Server, client: Client) -> bytes | None:
        """Read, or wait."""
        opens = self.kind.endswith(b"open")
        if opens and client.reads.get(self.queue):
            return b"CLIENT_ERROR close current item first\r\n"
        wait = 0 if client.isHurried else self.wait or 0
        isPeek = self.kind == b"peek"
        item = None
        if not (wait and not isPeek and server.isBehind(client, self.queue)):
            if opens:
                item = server.open(client, self.queue)
            else:
                item = (server.head if isPeek else server.take)(self.queue)
        if item is not None:
            client.mayBeCut |= (opens or isPeek) and len(item.body) > PART
            return value(self.key, item) + END
        if not wait:
            return END
        server.wait(client, self.queue, wait / 1000)
        return None


@dataclass(frozen=True)
class End:
    """The end of open reads: close or abort."""

    queue: bytes
    kind: bytes
    reply: bytes
    most: int = 1
    outlives = True

    def run(self, server: Server, client: Client) -> bytes:
        """End them."""
        if self.kind == b"abort":
            server.abort(client, self.queue)
        else:
            server.close(client, self.queue, self.most)
        return self.reply


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
        if self.until is None:
            self.until = server.now + self.seconds
        wait = self.until - server.now
        if client.isHurried and self.seconds:
            return END
        while self.left and not (wait > 0 and server.isBehind(client, self.queue)):
            item = server.open(client, self.queue)
            if item is None:
                break
            # It is behind all others after that.
            client.ticket = None
            client.said += value(self.queue, item)
            client.mayBeCut |= len(item.body) > PART
            self.left -= 1
        if not self.left or wait <= 0:
            return END
        server.wait(client, self.queue, wait)
        return None


@dataclass(frozen=True)
class Monitor:
    """A monitor."""

    queue: bytes
    seconds: int
    most: int

    @property
    def waits(self) -> bool:
        """Whether it may have to wait."""
        return self.seconds > 0

    def wire(self) -> bytes:
        """Return the line."""
        return b"monitor %b %d %d\r\n" % (self.queue, self.seconds, self.most)

    def operations(self, server: Server) -> list[Operation]:
        """Return one that has not begun."""
        return [Monitoring(self.queue, self.seconds, self.most)]


@dataclass(frozen=True)
class Confirm:
    """A confirm."""

    queue: bytes
    most: int
    waits = False

    def wire(self) -> bytes:
        """Return the line."""
        return b"confirm %b %d\r\n" % (self.queue, self.most)

    def operations(self, server: Server) -> list[Operation]:
        """Return the closing."""
        return [End(self.queue, b"close", END, self.most)]


@dataclass(frozen=True)
class Word:
    """A command of a verb and a queue: delete, flush, pause or resume.

    :ivar bits: what is paused.
    """

    verb: bytes
    queue: bytes
    bits: int = READS | WRITES
    waits = False
    outlives = True

    def wire(self) -> bytes:
        """Return the line."""
        words = {READS: b" reads", WRITES: b" writes"}
        return b"%b %b%b\r\n" % (self.verb, self.queue, words.get(self.bits, b""))

    def operations(self, server: Server) -> list[Operation]:
        """Return itself."""
        return [self]

    def run(self, server: Server, client: Client) -> bytes:
        """Do it."""
        name = self.queue
        if self.verb == b"pause":
            server.queue(name).paused |= self.bits
            return b"OK\r\n"
        queue = server.queues.get(name)
        if self.verb == b"delete":
            return b"DELETED\r\n" if server.delete(name) else b"NOT_FOUND\r\n"
        if self.verb == b"flush":
            if queue is not None:
                queue.clear()
            return END
        if queue is None:
            return b"NOT_FOUND\r\n"
        queue.paused = 0
        return b"OK\r\n"


@dataclass(frozen=True)
class Add:
    """An add."""

    queue: bytes
    limit: int
    waits = False
    outlives = True

    def wire(self) -> bytes:
        """Return line and body."""
        return b"add %b 0 0 1\r\n%d\r\n" % (self.queue, self.limit)

    def operations(self, server: Server) -> list[Operation]:
        """Return itself."""
        return [self]

    def run(self, server: Server, client: Client) -> bytes:
        """Make the queue, unless it is there."""
        if self.queue in server.queues:
            return b"NOT_STORED\r\n"
        server.queue(self.queue).limit = self.limit
        return b"STORED\r\n"


@dataclass(frozen=True)
class StatsQueue:
    """A ``stats queue``."""

    waits = False
    outlives = False

    def wire(self) -> bytes:
        """Return the line."""
        return b"stats queue\r\n"

    def operations(self, server: Server) -> list[Operation]:
        """Return itself."""
        return [self]

    def run(self, server: Server, client: Client) -> bytes:
        """Tell the counts."""
        rows = []
        for name, queue in sorted(server.queues.items()):
            detail = queue.details()
            rows.append(b"STAT %b %d/%d\r\n" % (name, queue.pushed, detail["taken"]))
        return b"".join(rows) + END


@dataclass(frozen=True)
class StatsDetail:
    """A ``stats detail`` of one queue, or all."""

    queue: bytes
    waits = False
    outlives = False

    def wire(self) -> bytes:
        """Return the line."""
        return b"stats detail %b\r\n" % self.queue

    def operations(self, server: Server) -> list[Operation]:
        """Return itself."""
        return [self]

    def run(self, server: Server, client: Client) -> bytes:
        """Tell the figures and the rules."""
        reply = b""
        for name, queue in sorted(server.queues.items()):
            if self.queue in (b"*", name):
                told = {**self._figures(server, name, queue), **_inForce(server, name)}
                for key, each in told.items():
                    words = (name, key.encode(), str(each).encode())
                    reply += b"STAT queue_%b_%b %b\r\n" % words
        return reply + END

    def _figures(self, server: Server, name: bytes, queue: Queue) -> dict[str, Any]:
        detail = queue.details()
        return {
            "items": detail["items"],
            "bytes": detail["bytes"],
            "age": server.ms - queue.ready[0].time if queue.ready else 0,
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
                f"refused_{why}": server.refused[name, why]
                for why in ("full", "paused", "fanout")
            },
        }


def _inForce(server: Server, name: bytes) -> dict[str, Any]:
    """Return what the rule of a queue says, with its limit and what is paused."""
    rule, queue = dict(server.rule(name)), server.queues[name]
    if queue.limit:
        rule["max_items"] = min(queue.limit, rule.get("max_items") or queue.limit)
    bits = [server.isPaused(name, bit) for bit in (READS, WRITES)]
    if any(bits):
        rule["paused"] = "both" if all(bits) else "reads" if bits[0] else "writes"
    if "honor_exptime" in rule:
        rule["honor_exptime"] = "true"
    if "fanout" in rule:
        rule["fanout"] = ",".join(rule["fanout"])
    told = {"overflow": "drop-oldest", "fanout_only": True}
    for key, wanted in told.items():
        if rule.get(key, wanted) != wanted:
            del rule[key]
    if "fanout_only" in rule:
        rule["fanout_only"] = "true"
    return {key: rule[key] for key in KEYS if key in rule}
