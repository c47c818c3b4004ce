"""What can be set: one table of options, with what makes values of texts.

The command line (commandline.py) and the configuration file (file.py) have this table
in common, so that each allows what the other one does, in the same words. A parser
returns the value or raises ValueError with the words that say what is allowed; which
option it was, and where, is added by who calls it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

MEGABYTE = 1024 * 1024
#: The least of --max-buffered: 16 bodies of either kind, whole or in parts, can come at
#: once, and 8 can wait.
LEAST_LIMIT = 4 * MEGABYTE

Parser = Callable[[str], Any]

#: What the letters behind a size stand for.
_LETTERS = {"K": 1024, "M": MEGABYTE, "G": 1024 * MEGABYTE, "T": MEGABYTE * MEGABYTE}
#: A number that need not be a whole one, also as Python writes what TOML has.
_DECIMAL = r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?"

#: What an option may be in a configuration file.
TEXT = (str,)
WHOLE = (int,)
DECIMAL = (int, float)
TRUTH = (bool,)
LIST = (list,)
BYTES = (int, str)


class Option(NamedTuple):
    """An option that takes a value.

    :ivar name: without the dashes.
    :ivar short: its letter, MemcacheQ's where it had one; None for none.
    :ivar default: its value when it is not given, as typed; None for none.
    :ivar parse: what makes the value of what was typed.
    :ivar help: what it is, for --help; the default is added.
    :ivar kinds: what it may be in a configuration file.
    """

    name: str
    short: str | None
    default: str | None
    parse: Parser
    help: str
    kinds: tuple[type, ...] = TEXT


class Flag(NamedTuple):
    """An option that is there or not."""

    name: str
    short: str | None
    help: str


def number(low: int, high: int) -> Parser:
    """Return a parser of whole numbers from ``low`` to ``high``."""

    def parse(text: str) -> int:
        if re.fullmatch("0*[0-9]{1,10}", text) and low <= int(text[-10:]) <= high:
            return int(text[-10:])
        raise ValueError(f"must be a whole number from {low} to {high}")

    return parse


def size(low: int, high: int, unit: int = 1) -> Parser:
    """Return a parser of sizes in bytes, KB or MB, and with a letter in any unit.

    :param low: the least in units, as the value is; ``high`` is the most.
    :param unit: 1, 1024 or MEGABYTE.  What is less than one is left out.
    """
    name = {1: "bytes", 1024: "kilobytes", MEGABYTE: "megabytes"}[unit]

    def parse(text: str) -> int:
        match = re.fullmatch("0*([0-9]{1,20})([KMGT]?)", text.upper())
        if match:
            value = int(match[1]) * _LETTERS.get(match[2], unit) // unit
            if low <= value <= high:
                return value
        raise ValueError(
            f"must be {name}, from {low} to {high}, or as much with K, M, G or T after "
            "the digits (1024K is 1M)"
        )

    return parse


def secondsUpTo(high: int) -> Parser:
    """Return a parser of seconds from 0 to ``high``, perhaps with a fraction."""

    def parse(text: str) -> float:
        if re.fullmatch(_DECIMAL, text) and float(text) <= high:
            return float(text)
        raise ValueError(f"must be seconds, from 0 (off) to {high}, such as 30 or 0.5")

    return parse


seconds = secondsUpTo(86400)


def powerOfTwo(low: int, high: int) -> Parser:
    """Return a parser of powers of two from ``low`` to ``high``."""
    allowed = size(low, high)

    def parse(text: str) -> int:
        try:
            value: int = allowed(text)
        except ValueError:
            value = 0
        if value.bit_count() == 1:
            return value
        raise ValueError(f"must be a power of two from {low} to {high}")

    return parse


def permissions(text: str) -> int:
    """Return permissions, given in octal."""
    if re.fullmatch("0*[0-7]{1,3}", text):
        return int(text, 8)
    raise ValueError("must be permissions in octal, from 0 to 0777")


def oneOf(*words: str) -> Parser:
    """Return a parser of one of some words."""

    def parse(text: str) -> str:
        if text in words:
            return text
        raise ValueError(f"must be {' or '.join(words)}")

    return parse


def something(what: str) -> Parser:
    """Return a parser of any text but none, and none with a NUL in it."""

    def parse(text: str) -> str:
        if text and "\0" not in text:
            return text
        raise ValueError(f"must be {what}")

    return parse


OPTIONS = (
    Option(
        "config",
        None,
        None,
        something("a path"),
        "configuration file [default: /etc/memq/memq.toml when it is there]",
    ),
    Option(
        "port", "p", "22201", number(0, 65535), "TCP port; 0 takes a free one", WHOLE
    ),
    Option(
        "listen",
        "l",
        "127.0.0.1",
        something("an address or the name of one"),
        "address to listen on; 0.0.0.0 or :: for all of this machine's",
    ),
    Option(
        "socket",
        "s",
        None,
        something("a path"),
        "path of a UNIX socket, instead of TCP unless --port is given as well",
    ),
    Option("socket-mode", "a", "0700", permissions, "its permissions, in octal"),
    Option(
        "max-connections",
        "c",
        "1024",
        number(1, 1_000_000),
        "most clients at once; the next one is told so and closed",
        WHOLE,
    ),
    Option("home", "H", "/var/lib/memq", something("a path"), "directory of the data"),
    Option("store", None, "bdb", oneOf("bdb", "memory"), "memory keeps nothing"),
    Option(
        "cache-size",
        "m",
        "64",
        size(1, 1_000_000, MEGABYTE),
        "page cache, in megabytes (or with K, M, G, T)",
        BYTES,
    ),
    Option(
        "log-buffer",
        "L",
        "1024",
        size(1, 16384, 1024),
        "transaction log buffer, in KB (or with K, M, G, T)",
        BYTES,
    ),
    Option(
        "page-size",
        "A",
        "4096",
        powerOfTwo(512, 65536),
        "bytes of a page, for a new home; above 4096 a power cut can tear them",
        BYTES,
    ),
    Option(
        "max-body",
        "B",
        "1M",
        size(1, 64 * MEGABYTE),
        "largest message, in bytes (K, M, G, T), up to 64M",
        BYTES,
    ),
    Option(
        "max-buffered",
        None,
        "256M",
        size(LEAST_LIMIT, 1 << 40),
        "memory for bodies and replies under way, of all clients, in bytes "
        "(K, M, G, T)",
        BYTES,
    ),
    Option(
        "body-timeout",
        None,
        "60",
        seconds,
        "seconds without a byte after which a body is given up; 0 = off",
        DECIMAL,
    ),
    Option(
        "idle-timeout",
        None,
        "0",
        seconds,
        "seconds of silence after which a client is closed; 0 = off",
        DECIMAL,
    ),
    Option(
        "keepalive",
        None,
        "60",
        number(0, 32767),
        "seconds after which a client whose machine vanished is cut off; 0 = the "
        "system's",
        WHOLE,
    ),
    Option(
        "min-free",
        None,
        None,
        size(0, 1 << 40),
        "free disk space in bytes (K, M, G, T) below which sets are refused, "
        "0 = never; when not given, it fits the file system",
        BYTES,
    ),
    Option(
        "checkpoint",
        "C",
        "300",
        seconds,
        "seconds between checkpoints; 0 = off",
        DECIMAL,
    ),
    Option(
        "trickle",
        "T",
        "0.5",
        seconds,
        "seconds between writing changed pages ahead; 0 = off",
        DECIMAL,
    ),
    Option(
        "trickle-percent",
        "e",
        "60",
        number(0, 100),
        "percent of the cache kept clean",
        WHOLE,
    ),
)

FLAGS = (
    Flag("no-config", None, "read no configuration file"),
    Flag("no-sync", "N", "faster: a power cut may cost the last second"),
    Flag("auto-remove-logs", "R", "remove log files that are done with (the default)"),
    Flag("keep-logs", None, "keep them, whatever else is said"),
    Flag("enable-flush-all", None, "let clients empty all queues with flush_all"),
    Flag("no-queue-stats", None, "tell nothing of each queue in stats"),
    Flag(
        "skip-damaged",
        None,
        "start with what can be read of a damaged home, and list what could not",
    ),
    Flag("log-stderr", None, "log to standard error, as a daemon too"),
)
