"""Queues and their rules in the model: lists, and a clock that is a number.

The model leaves one thing open, for the protocol does: when exactly a message goes that
has expired and that nobody asks for.  ``Queues.expireHeads`` is told how many did.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from math import inf
from operator import attrgetter, itemgetter
from typing import Any

READS, WRITES = 1, 2
#: Seconds up to which an exptime counts from now on.
RELATIVE = 30 * 24 * 3600

#: How often a dead letter was given back, its first queue, a reason, and when.
Trace = tuple[int, bytes, str, int]
#: The rules in the file for each queue, by its full name.
Rules = dict[bytes, dict[str, Any]]


@dataclass(eq=False)
class Item:
    """A message.

    :ivar number: its place in the queue; -1 as long as it is not due.
    :ivar time: when it was set, in milliseconds.
    :ivar expires: when it expires, 0 for never.
    :ivar deliveries: how often it was given back.
    :ivar trace: of a dead letter, how often it was given back before, its first queue,
        the reason why it left that, and when, in milliseconds.
    :ivar since: when it could be read last after it could not, in milliseconds.
    """

    flags: int
    body: bytes
    time: int
    expires: int = 0
    number: int = -1
    deliveries: int = 0
    trace: Trace | None = None
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

    def delay(self, item: Item, due: int) -> None:
        """Keep a message until it is due."""
        self.delayed.append((due, item))
        self.delayed.sort(key=itemgetter(0))

    def back(self, item: Item) -> None:
        """Put an open message back in its place."""
        self.open.remove(item)
        insort(self.ready, item, key=attrgetter("number"))

    def restart(self) -> None:
        """Put all that is open back."""
        for item in list(self.open):
            self.back(item)

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


def expiry(exptime: int, now: int) -> int | None:
    """Return when a message expires by memcached's rule: 0 never, None at once."""
    if exptime == 0:
        return 0
    at = exptime * 1000 + (now if exptime <= RELATIVE else 0)
    return at if exptime > 0 and at > now else None


class Queues:
    """All queues, and the rules that hold for them.

    :ivar now: seconds since 1970.
    :ivar named: the queues that there are, by name.
    :ivar refused: sets refused since the start, by queue and reason.
    """

    def __init__(self, now: float) -> None:
        self.now = now
        self.rules: Rules = {}
        self.named: dict[bytes, Queue] = {}
        self.refused: Counter[tuple[bytes, str]] = Counter()

    @property
    def ms(self) -> int:
        """The time in milliseconds."""
        return int(self.now * 1000)

    def find(self, name: bytes) -> Queue:
        """Return a queue, an empty one if there is none."""
        return self.named.get(name, Queue())

    def make(self, name: bytes) -> Queue:
        """Return a queue, made if there is none."""
        return self.named.setdefault(name, Queue())

    # Rules.

    def rule(self, name: bytes) -> dict[str, Any]:
        """Return the rule of a queue."""
        return self.rules.get(name, {})

    def isPaused(self, name: bytes, bit: int) -> bool:
        """Tell whether reads or writes of a queue are paused."""
        words = {"reads": READS, "writes": WRITES, "both": READS | WRITES}
        bits = words.get(self.rule(name).get("paused", ""), 0)
        return bool((bits | self.find(name).paused) & bit)

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
        limit, rule = self.find(name).limit, self.rule(name)
        most = min(limit or inf, rule.get("max_items") or inf)
        bytes = sum(len(item.body) for item in items) + size
        return len(items) < most and bytes <= (rule.get("max_bytes") or inf)

    # Writing.

    def set(
        self,
        name: bytes,
        item: Item,
        delay: int,
        exptime: int,
        destinations: list[bytes],
    ) -> bool:
        """Store a message wherever it goes, or refuse it."""
        if self.isPaused(name, WRITES):
            return self._refuse(name, name, "paused")
        targets = {}
        for each in destinations:
            if self.isPaused(each, WRITES):
                return self._refuse(name, each, "paused")
            rule, queue = self.rule(each), self.find(each)
            expires = expiry(exptime, self.ms) if rule.get("honor_exptime") else 0
            if expires is None:
                continue
            drops = queue.ready if rule.get("overflow") == "drop-oldest" else []
            stays = [kept for kept in queue.kept() if kept not in drops]
            if not self.hasRoom(each, stays, len(item.body)):
                return self._refuse(name, each, "full")
            targets[each] = Item(item.flags, item.body, self.ms, expires)
        for each, new in targets.items():
            self._put(each, new, delay)
        return True

    def _refuse(self, name: bytes, by: bytes, why: str) -> bool:
        """Count a set that is refused because of a queue that it would go to."""
        for each, reason in {name: "fanout", by: why}.items():
            self.refused[each, reason] += 1
        return False

    def _put(self, name: bytes, item: Item, delay: int) -> None:
        queue = self.make(name)
        while not self.hasRoom(name, queue.kept(), len(item.body)):
            del queue.ready[0]
            queue.counts["discarded"] += 1
        if delay:
            queue.delay(item, self.ms + delay * 1000)
        else:
            queue.push(item)

    def _bury(self, name: bytes, item: Item, reason: str, target: str | None) -> None:
        """Push a message to another queue, or let it go."""
        before, *first = item.trace or (0, name, reason, self.ms)
        trace: Any = (before + item.deliveries, *first)
        if target is not None:
            dead = Item(item.flags, item.body, self.ms, trace=trace)
            self.make(target.encode()).push(dead)

    def takes(self, name: bytes, item: Item) -> bool:
        """Tell whether a queue takes a message that moves, and drops none for it."""
        kept = self.find(name).kept()
        isPaused = self.isPaused(name, WRITES)
        return not isPaused and self.hasRoom(name, kept, len(item.body))

    def move(self, name: bytes, item: Item, target: bytes) -> None:
        """Move a message that can be read to the end of another queue."""
        self.named[name].ready.remove(item)
        moved = Item(item.flags, item.body, self.ms, item.expires)
        self.make(target).push(moved)

    def delete(self, name: bytes) -> bool:
        """Delete a queue with all its messages."""
        queue = self.named.pop(name, None)
        if queue is not None:
            queue.clear()
        return queue is not None

    # Reading.

    def expireHeads(self, name: bytes, most: float = inf) -> int:
        """Let some heads of a queue go that have expired; return how many did."""
        queue = self.find(name)
        count = 0
        while count < most and queue.ready and self.hasExpired(name, queue.ready[0]):
            target = self.rule(name).get("expired_to")
            self._bury(name, queue.ready.pop(0), "expired", target)
            queue.counts["expired"] += 1
            count += 1
        return count

    def head(self, name: bytes) -> Item | None:
        """Return what can be read next."""
        # Also when it is paused: it makes no difference to the one who asks.
        self.expireHeads(name)
        ready = self.find(name).ready
        return ready[0] if ready and not self.isPaused(name, READS) else None

    def canBeRead(self, name: bytes) -> bool:
        """Tell whether there is a message for who asks now; nothing expires by that."""
        ready = self.find(name).ready
        isOld = all(self.hasExpired(name, item) for item in ready)
        return not isOld and not self.isPaused(name, READS)

    def take(self, name: bytes) -> Item | None:
        """Take the head."""
        item = self.head(name)
        if item is not None:
            self.named[name].ready.remove(item)
        return item

    def hide(self, name: bytes) -> Item | None:
        """Open the head."""
        item = self.take(name)
        if item is not None:
            self.named[name].open.append(item)
        return item

    def close(self, name: bytes, item: Item) -> None:
        """Delete a message that is open, if it is there."""
        queue = self.find(name)
        if item in queue.open:
            queue.open.remove(item)
            queue.counts["closed"] += 1

    def isOpen(self, name: bytes, item: Item) -> bool:
        """Tell whether a message is open."""
        return item in self.find(name).open

    def giveBack(self, name: bytes, item: Item, delay: int = 0) -> None:
        """Return an open message to its old place, or bury it, if it is there.

        :param delay: seconds after which it goes to the end instead.
        """
        queue, rule = self.find(name), self.rule(name)
        if item not in queue.open:
            return
        item.deliveries += 1
        queue.counts["returns"] += 1
        if 0 < rule.get("max_deliveries", 0) <= item.deliveries:
            queue.open.remove(item)
            target = rule.get("dead_letter")
            self._bury(name, item, "deliveries", target)
            queue.counts["discarded"] += target is None
        elif delay:
            queue.open.remove(item)
            queue.delay(item, self.ms + delay * 1000)
        else:
            item.since = self.ms
            queue.back(item)

    # Time, and the end.

    def ripen(self, now: int) -> None:
        """Let those be ready that are due at a time."""
        for queue in self.named.values():
            while queue.delayed and queue.delayed[0][0] <= now:
                item = queue.delayed.pop(0)[1]
                item.since = self.ms
                queue.push(item)

    def crash(self) -> None:
        """End; what is open is there again."""
        self.refused.clear()
        for queue in self.named.values():
            queue.restart()
