"""Server figures: the metrics of the whole server, by their names.

docs/operation.md has a table of them all.  Each name is a promise to those who have
written rules with it.
"""

from __future__ import annotations

import os
import platform
from resource import RLIMIT_NOFILE, RUSAGE_SELF, getrlimit, getrusage
from typing import TYPE_CHECKING, NamedTuple, Protocol

import twisted
from memq import __version__
from memq.figures import Outcome
from memq.server.histogram import BOUNDS
from memq.web.metrics.clusterfigures import clusterFamilies
from memq.web.metrics.exposition import (
    Family,
    Sample,
    counter,
    counters,
    gauge,
    histogram,
    labels,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from memq.access.admission import AccessControl
    from memq.broker.interfaces import IEngine
    from memq.config.reload import PolicyReloader
    from memq.logs.audit import Audit
    from memq.server.factory import QueueFactory
    from memq.server.histogram import Histogram
    from memq.server.stats import Statistics
    from memq.web.metrics.lateness import Lateness
    from memq.web.metrics.survey import Picture

#: The counters of commands: those that came, and those that did what they are for.
_COMMANDS = {"get": "getCommands", "set": "setCommands", "flush": "flushes"}
_SUCCESSFUL = {"get": "getHits", "set": "setHits", "delete": "deletes"}
#: Why a set is refused, as statistics name it.
_REFUSED = ("full", "paused", "fanout", "disk_full")

_EVER = {
    "pushed": ("set", "Messages that came into queues, copies and due ones as well."),
    "taken": ("taken", "Messages that left queues, whatever the reason."),
    "closed": ("closed", "Of these, those whose open read was closed."),
    "expired": ("expired", "Messages that were too old."),
    "discarded": ("discarded", "Messages that a rule dropped: overflow, deliveries."),
}


#: Counters of outcomes, by the reasons that are their labels.
_OUTCOMES = {
    "memq_messages_returned": (
        "Open reads that were given back and count as deliveries, since the start.",
        (Outcome.ABORTED, Outcome.DISCONNECTED, Outcome.TIMED_OUT),
    ),
    "memq_messages_dead_lettered": (
        "Messages that a rule moved to another queue, since the start.",
        (Outcome.DEAD_DELIVERIES, Outcome.DEAD_EXPIRED),
    ),
}


class Reloads(Protocol):
    """The outcome of reading the rules; see memq.config.reload."""

    isCurrent: bool
    readAt: float


class Sources(NamedTuple):
    """Where the figures come from.

    :ivar syncs: how long syncs took.
    :ivar rules: those in force, and what changes them.
    :ivar audit: is told who did what.
    :ivar factory: has the connections.
    :ivar berkeleydb: the version of Berkeley DB, or "none".
    :ivar lastBackup: returns when a backup was made last, in seconds since 1970; None
        for never.
    :ivar certificateEnds: returns when the certificate of TLS ends, in seconds since
        1970; None without TLS.
    :ivar handshakesFailed: returns how many connections failed on ports with TLS.
    """

    broker: IEngine
    statistics: Statistics
    syncs: Histogram
    reloads: Reloads
    lateness: Lateness
    rules: PolicyReloader
    audit: Audit
    factory: QueueFactory
    berkeleydb: str = "none"
    lastBackup: Callable[[], float | None] = lambda: None
    certificateEnds: Callable[[], float | None] = lambda: None
    handshakesFailed: Callable[[], int] = lambda: 0


def serverFamilies(sources: Sources, picture: Picture | None) -> Iterator[Family]:
    """Yield the metrics of the server.

    :param picture: what the queues have; None if nobody tells.
    """
    lacks = sources.broker.lacks
    yield from _build(sources)
    yield from _process(sources.statistics)
    yield from _clients(sources.statistics, lacks)
    yield from _access(sources.factory.access)
    if picture is not None:
        yield from _messages(picture, lacks)
    yield from _outcomes(sources)
    yield from _work(sources)
    if "disk" not in lacks:
        yield from _disk(sources)
    yield from _memory(sources.broker)
    cluster = sources.broker.cluster()
    if cluster is not None:
        yield from clusterFamilies(cluster)


def _build(sources: Sources) -> Iterator[Family]:
    where = labels(
        version=__version__,
        python=platform.python_version(),
        twisted=twisted.__version__,
        berkeleydb=sources.berkeleydb,
        durability="synced" if sources.broker.durable else "no-sync",
    )
    samples = [Sample("_info", where, 1)]
    yield Family("memq_build", "info", "The versions that run.", samples)


def _process(statistics: Statistics) -> Iterator[Family]:
    usage = getrusage(RUSAGE_SELF)
    seconds = usage.ru_utime + usage.ru_stime
    yield counter("process_cpu_seconds", "Processor time that memq has used.", seconds)
    yield gauge(
        "process_resident_memory_bytes", "Memory that memq has now.", residentBytes()
    )
    yield gauge("process_open_fds", "Files and sockets that are open.", openFiles())
    soft, _ = getrlimit(RLIMIT_NOFILE)
    yield gauge("process_max_fds", "How many may be open.", soft)
    yield gauge(
        "process_start_time_seconds",
        "When memq was started, in seconds since 1970.",
        statistics.startedAt,
    )


def residentBytes() -> int:
    """Return the bytes of memory that the process has."""
    with open("/proc/self/statm", "rb") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def openFiles() -> int:
    """Return how many files the process has open."""
    # From Linux 6.2 on the size is the number; to list 10,000 takes 5 ms.
    return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))


def _clients(statistics: Statistics, lacks: Collection[str]) -> Iterator[Family]:
    ever = statistics.ever()
    yield gauge("memq_connections", "Clients that are there.", statistics.connections)
    yield gauge("memq_connections_limit", "How many may be.", statistics.maxConnections)
    yield counter(
        "memq_connections_opened",
        "Clients that came, since the start.",
        ever["totalConnections"],
    )
    yield counter(
        "memq_connections_refused",
        "Clients too many, since the start.",
        ever["rejected"],
    )
    came = {labels(command=name): ever[key] for name, key in _COMMANDS.items()}
    came[labels(command="delete")] = ever["deletes"] + ever["deleteMisses"]
    yield counters(
        "memq_commands",
        "Commands that came, since the start; a get counts once a queue.",
        came,
    )
    done = {labels(command=name): ever[key] for name, key in _SUCCESSFUL.items()}
    yield counters(
        "memq_commands_successful",
        "Gets that found a message, sets that were stored, deletes of a queue.",
        done,
    )
    reasons = [name for name in _REFUSED if not ("disk" in lacks and "disk" in name)]
    refused = {labels(reason=name): ever[f"refused_{name}"] for name in reasons}
    yield counters(
        "memq_sets_refused", "Sets that were refused, since the start.", refused
    )
    yield counter("memq_received_bytes", "Bytes that clients sent.", ever["bytesRead"])
    yield counter(
        "memq_sent_bytes", "Bytes that clients were sent.", ever["bytesWritten"]
    )


def _access(access: AccessControl) -> Iterator[Family]:
    results = access.authenticator.results
    attempts = {labels(result=result): count for result, count in results.items()}
    yield counters(
        "memq_auth_attempts",
        "Clients that said or showed who they are, since the start.",
        attempts,
    )
    yield counter(
        "memq_commands_not_allowed",
        "Commands that were refused for want of a right, since the start.",
        access.notAllowed,
    )


def _messages(picture: Picture, lacks: Collection[str]) -> Iterator[Family]:
    for field, (name, help) in _EVER.items():
        if field not in lacks:
            value = getattr(picture.ever, field)
            yield counter(f"memq_messages_{name}", f"{help} Since the start.", value)
    yield gauge("memq_queues", "Queues that there are.", picture.queues)
    yield gauge("memq_messages", "Messages that can be taken.", picture.messages)
    yield gauge("memq_messages_open", "Messages that are read openly.", picture.open)
    if "delayed" not in lacks:
        yield gauge("memq_messages_delayed", "Messages not due yet.", picture.delayed)
    yield gauge("memq_messages_bytes", "Bytes of the bodies that wait.", picture.bytes)
    if "headTime" not in lacks:
        yield gauge(
            "memq_oldest_message_timestamp_seconds",
            "When the oldest message was set that can be taken, in seconds since 1970.",
            picture.oldest / 1000 if picture.oldest else None,
        )


def _outcomes(sources: Sources) -> Iterator[Family]:
    """Yield what became of messages, by the reason."""
    ever = sources.statistics.ever()
    taken = ever["getHits"] - ever["opens"] - ever["looks"]
    given = {labels(how="taken"): taken, labels(how="opened"): ever["opens"]}
    yield counters(
        "memq_messages_given",
        "Messages that clients were sent, since the start.",
        given,
    )
    outcomes = sources.broker.outcomes()
    for name, (help, reasons) in _OUTCOMES.items():
        known = [each for each in reasons if each in outcomes]
        values = {labels(reason=each.value): outcomes[each] for each in known}
        if known:
            yield counters(name, help, values)
    if Outcome.DAMAGED in outcomes:
        yield counter(
            "memq_messages_damaged",
            "Records that were found damaged and set aside, since the start.",
            outcomes[Outcome.DAMAGED],
        )


def _work(sources: Sources) -> Iterator[Family]:
    broker = sources.broker
    yield gauge("memq_waiters", "Reads that wait for a message.", broker.readers)
    yield gauge(
        "memq_operations_waiting", "Commands that are not answered.", broker.waiting
    )
    yield counter("memq_transactions", "Turns, since the start.", broker.turns)
    if "disk" not in broker.lacks:
        yield _syncs(sources.syncs)
    yield gauge(
        "memq_reactor_delay_seconds",
        "How late a timed call came at worst since the last scrape.",
        sources.lateness.take(),
    )
    reloads = sources.reloads
    yield gauge(
        "memq_rules_reload_successful",
        "1 if the rules were read well the last time, else 0.",
        int(reloads.isCurrent),
    )
    yield gauge(
        "memq_rules_reload_timestamp_seconds",
        "When the rules in force were read, in seconds since 1970.",
        reloads.readAt,
    )
    yield gauge(
        "memq_tls_certificate_expiry_timestamp_seconds",
        "When the certificate of TLS ends, in seconds since 1970.",
        sources.certificateEnds(),
    )
    yield counter(
        "memq_tls_handshakes_failed",
        "Connections that failed on ports with TLS, since the start.",
        sources.handshakesFailed(),
    )


def _syncs(syncs: Histogram) -> Family:
    syncs.sort()
    return histogram(
        "memq_sync_duration_seconds",
        "How long the log took to be synced, while clients waited for it.",
        BOUNDS,
        list(syncs.counts),
        syncs.sum,
    )


def _disk(sources: Sources) -> Iterator[Family]:
    room, statistics = sources.broker.room, sources.statistics
    yield gauge("memq_store_bytes", "Bytes on disk.", statistics.bytesOnDisk)
    yield gauge("memq_disk_free_bytes", "Bytes free on the disk.", room.free)
    yield gauge("memq_disk_min_free_bytes", "The least, --min-free.", room.least)
    yield gauge(
        "memq_disk_full", "1 while sets are refused for that, else 0.", int(room.isFull)
    )
    yield gauge(
        "memq_last_checkpoint_timestamp_seconds",
        "When the last checkpoint was made, in seconds since 1970.",
        statistics.checkpointed or None,
    )
    yield gauge(
        "memq_last_backup_timestamp_seconds",
        "When the last backup was made, in seconds since 1970.",
        sources.lastBackup(),
    )


def _memory(broker: IEngine) -> Iterator[Family]:
    budget = broker.budget
    kinds = {"held": budget.held, "reserved": budget.reserved}
    samples = [Sample("", labels(kind=name), value) for name, value in kinds.items()]
    yield Family("memq_buffer_bytes", "gauge", "Memory for what is under way.", samples)
    yield gauge("memq_buffer_limit_bytes", "The most, --max-buffered.", budget.limit)
    yield gauge(
        "memq_clients_waiting_for_room", "Clients that wait for some.", budget.waiting
    )
