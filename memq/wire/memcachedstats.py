"""What memcached's tools read: its figures and settings by its names, for queues.

No I/O, no state, no Twisted.  Each name means what comes nearest to it in a queue, and
is 0 where nothing does: some tools give up when one is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What memcached tells under ``stats <topic>`` of items in memory: here there are none.
EMPTY_TOPICS = frozenset(
    (
        b"cachedump",
        b"conns",
        b"extstore",
        b"items",
        b"malloc",
        b"maps",
        b"proxy",
        b"proxybe",
        b"proxyfuncs",
        b"sizes",
        b"sizes_disable",
        b"sizes_enable",
        b"slabs",
    )
)

#: What never happens to a queue.
_NEVER = (
    "cmd_touch",
    "cmd_meta",
    "get_flushed",
    "incr_misses",
    "incr_hits",
    "decr_misses",
    "decr_hits",
    "cas_misses",
    "cas_hits",
    "cas_badval",
    "touch_hits",
    "touch_misses",
    "auth_cmds",
    "auth_errors",
    "reclaimed",
    "expired_unfetched",
    "evicted_unfetched",
    "conn_yields",
    "listen_disabled_num",
    "time_in_listen_disabled_us",
    "hash_power_level",
    "hash_bytes",
    "hash_is_expanding",
)


def figures(known: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Yield those of ``stats``: what is known, then what is always the same."""
    yield from known.items()
    yield "accepting_conns", 1
    for name in _NEVER:
        yield name, 0


def settings(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield those of ``stats settings``, made of the options of the command line."""
    yield "maxconns", str(options["max-connections"])
    yield "tcpport", str(options["port"])
    yield "udpport", "0"
    yield "inter", options["listen"]
    yield "domain_socket", options["socket"] or "NULL"
    yield "verbosity", str(options["verbose"])
    yield "oldest", "0"
    yield "evictions", "off"
    yield "num_threads", "1"
    yield "item_size_max", str(options["max-body"])
    yield "idle_timeout", f"{options['idle-timeout']:g}"
    yield "flush_enabled", "yes" if options["enable-flush-all"] else "no"
    yield "cas_enabled", "no"
    yield "detail_enabled", "no"
    yield "dump_enabled", "no"
    yield "auth_enabled_sasl", "no"
    yield "binding_protocol", "ascii"
    yield "lru_crawler", "no"
