"""Statistics: counters, and the figures that ``stats`` tells.

The first 17 figures are MemcacheQ's, by name and in its order, since monitoring
scripts read them; memq's own follow, then memcached's, then Kestrel's of each queue.
"""

from __future__ import annotations

import os
import threading
from resource import RUSAGE_SELF, getrusage
from time import time
from typing import TYPE_CHECKING

from memq import __version__
from memq.commands.access.seen import SeenSummary
from memq.commands.details import Details, Summary
from memq.wire.figures import (
    formatCounts,
    formatFigures,
    formatStats,
    memcachedFigures,
)
from memq.wire.forms import END, RESET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from twisted.internet.interfaces import IReactorTime

    from memq.access.rights import Rights
    from memq.broker.interfaces import IEngine
    from memq.commands.details import Telling
    from memq.figures import Sums
    from memq.interfaces import IQueueStore


#: Counters that ``stats reset`` lets begin at 0 again.
COUNTERS = (
    *("totalConnections", "rejected", "getCommands", "getHits", "setCommands"),
    *("setHits", "bytesRead", "bytesWritten", "deletes", "deleteMisses", "flushes"),
    *("opens", "looks"),
)


class Statistics:
    """Count what happens, and tell it.

    :ivar timeOfDay: tells the time, in seconds since 1970-01-01 UTC.
    :ivar connections: connections that are open.
    :ivar totalConnections: connections ever taken.
    :ivar getCommands: queues asked for a message; ``getHits`` had one.
    :ivar opens: of those, how many opened it; ``looks`` left it where it was.
    :ivar setCommands: messages sent; ``setHits`` were stored.
    :ivar deletes: commands that deleted a queue; ``deleteMisses`` found none.
    :ivar flushes: commands that emptied a queue, or all of them.
    :ivar rejected: connections that were refused.
    :ivar maxConnections: how many may be open at a time.
    :ivar details: what is told of each queue.
    :ivar bytesOnDisk: bytes that the store occupied when last looked at.
    :ivar startedAt: when this began, in seconds since 1970.
    :ivar checkpointed: when the last checkpoint was made, in seconds since 1970.
    :ivar authentications: returns how many there were, and how many failed, ever.
    :ivar ofEach: whether ``stats`` tells of each queue, too, if there are not too many.
    """

    def __init__(
        self,
        clock: IReactorTime,
        broker: IEngine,
        settings: Sequence[tuple[str, str]] = (),
        timeOfDay: Callable[[], float] = time,
    ) -> None:
        """Start to count.

        :param clock: counts seconds, and is never set.
        :param settings: every option of the server with its value.
        :param timeOfDay: tells the time, in seconds since 1970-01-01 UTC.
        """
        self.timeOfDay = timeOfDay
        self._clock = clock
        self._broker = broker
        self._settings = settings
        self._started = clock.seconds()
        #: What was counted before the counters began anew.
        self._past: dict[str, int] = {}
        self.startedAt, self.checkpointed = timeOfDay(), 0.0
        #: When the disk was full last, from and until, in seconds since 1970; 0 for
        #: never.
        self._fullFrom = self._fullUntil = 0
        self.details = Details(
            *(broker.policies, broker.waiters, broker.refusals.of, timeOfDay),
            *(broker.lacks, clock.seconds),
        )
        self.connections = 0
        self.bytesOnDisk = 0
        self.maxConnections = 0
        self.ofEach = True
        self.authentications: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self._begin()

    def seconds(self) -> float:
        """Return the time."""
        return self._clock.seconds()

    def zero(self) -> None:
        """Begin to count anew."""
        self._past = self.ever()
        self._begin()

    def ever(self) -> dict[str, int]:
        """Return what was counted since the start, whatever began anew meanwhile.

        :return: COUNTERS by their names, and ``refused_`` with each reason of sets.
        """
        refusals = self._broker.refusals
        counted = {name: getattr(self, name) for name in COUNTERS}
        for reason, count in refusals.sums.items():
            counted[f"refused_{reason.value}"] = count
        counted["refused_disk_full"] = refusals.diskFull
        past = self._past
        return {name: past.get(name, 0) + count for name, count in counted.items()}

    def refusedEver(self) -> int:
        """Return how many sets were refused since the start, for whatever reason."""
        ever = self.ever()
        return sum(ever[name] for name in ever if name.startswith("refused_"))

    def noteCheckpoint(self) -> None:
        """Note that a checkpoint is made; from any thread."""
        self.checkpointed = self.timeOfDay()

    def _begin(self) -> None:
        self.totalConnections = self.rejected = 0
        self.getCommands = self.getHits = self.opens = self.looks = 0
        self.setCommands = self.setHits = 0
        self.bytesRead = self.bytesWritten = 0
        self.deletes = self.deleteMisses = self.flushes = 0
        self._broker.refusals.reset()
        self._authenticated = self.authentications()

    def diskFull(self, isFull: bool) -> None:
        """Note when it begins, or ends, that sets are refused."""
        now = int(self.timeOfDay())
        if isFull:
            self._fullFrom, self._fullUntil = now, 0
        else:
            self._fullUntil = now

    def asked(self, topic: bytes) -> Callable[[IQueueStore], bytes]:
        """Return the function that answers ``stats <topic>`` from a store."""
        return {
            b"queue": lambda store: formatCounts(store.counts()),
            b"items": lambda store: END,
            b"settings": self._options,
            b"reset": self._reset,
        }[topic]

    def summary(self, rights: Rights | None = None) -> Telling:
        """Return the answer to ``stats``, of the queues that somebody sees."""
        if rights is None or rights.seesAll:
            return Summary(self.details, self._general, self.ofEach)
        return SeenSummary(self.details, self._general, self.ofEach, rights)

    def _general(
        self, store: IQueueStore, sums: Sums, leftOut: int, queues: int | None = None
    ) -> bytes:
        lines = [*self._figures(store, sums, queues), *self._likeMemcached(sums)]
        if leftOut:
            lines.append(("queues_left_out", leftOut))
        return formatFigures(lines)

    def _options(self, store: IQueueStore) -> bytes:
        return formatStats([*self._settings, ("maxbytes", self._limit)])

    def _reset(self, store: IQueueStore) -> bytes:
        self.zero()
        return RESET

    def _figures(
        self, store: IQueueStore, sums: Sums, seen: int | None
    ) -> Iterator[tuple[str, object]]:
        usage = getrusage(RUSAGE_SELF)
        yield "pid", os.getpid()
        yield "uptime", int(self._clock.seconds() - self._started)
        yield "time", int(self.timeOfDay())
        yield "version", __version__
        yield "pointer_size", 64
        yield "rusage_user", f"{usage.ru_utime:.6f}"
        yield "rusage_system", f"{usage.ru_stime:.6f}"
        yield "curr_connections", self.connections
        yield "total_connections", self.totalConnections
        yield "connection_structures", self.connections
        yield "get_cmds", self.getCommands
        yield "get_hits", self.getHits
        yield "set_cmds", self.setCommands
        yield "set_hits", self.setHits
        yield "bytes_read", self.bytesRead
        yield "bytes_written", self.bytesWritten
        yield "threads", threading.active_count()
        broker = self._broker
        yield "durability", "synced" if broker.durable else "no-sync"
        why = "disk full" if broker.room.isFull else broker.refusing
        yield "sets_refused", why or "no"
        hasDisk = "disk" not in broker.lacks
        if hasDisk:
            yield "disk_full_from", self._fullFrom
            yield "disk_full_until", self._fullUntil
        for reason, count in broker.refusals.sums.items():
            yield f"refused_{reason.value}", count
        if hasDisk:
            yield "refused_disk_full", broker.refusals.diskFull
        queues = store.figures()
        total = queues.pop("queues")
        yield "queues", total if seen is None else seen
        yield "messages", sums.messages
        yield from queues.items()
        if hasDisk:
            yield "bytes_on_disk", self.bytesOnDisk
        yield "turns", broker.turns
        if hasDisk:
            yield "flushes", broker.flushes
        yield "waiting", broker.waiting
        budget = broker.budget
        yield "bytes_buffered", budget.held + budget.reserved
        yield "bytes_reserved", budget.reserved
        yield "limit_buffered", budget.limit
        yield "waiting_for_room", budget.waiting

    @property
    def _limit(self) -> int:
        """Return how many bytes the store can take, or the machine's memory."""
        free = self._broker.room.free
        if free is None:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return max(1, self.bytesOnDisk + free)

    def _authentications(self) -> dict[str, int]:
        now, past = self.authentications(), self._authenticated
        names = "auth_cmds", "auth_errors"
        return {name: now[i] - past[i] for i, name in enumerate(names)}

    def _likeMemcached(self, sums: Sums) -> Iterator[tuple[str, object]]:
        return memcachedFigures(
            {
                "curr_items": sums.messages,
                "total_items": self.setHits,
                "bytes": sums.bytes,
                "limit_maxbytes": self._limit,
                "cmd_get": self.getCommands,
                "cmd_set": self.setCommands,
                "cmd_flush": self.flushes,
                "get_misses": self.getCommands - self.getHits,
                "get_expired": sums.expired,
                "delete_hits": self.deletes,
                "delete_misses": self.deleteMisses,
                "evictions": sums.discarded,
                "max_connections": self.maxConnections,
                "rejected_connections": self.rejected,
                **self._authentications(),
            }
        )
