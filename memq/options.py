"""The options of ``twistd memq``: one table, checked before anything is done.

Each option has a parser for its value.  A parser returns the value or raises
ValueError with the words that say what is allowed; the option and the value are
added here.  Whatever is wrong ends the process with one line on standard error
and status 1: twistd by itself prints its whole help and, before Twisted 23,
ends with status 0.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from twisted.python import usage

from memq import __version__
from memq.errors import OptionError

MEGABYTE = 1024 * 1024

Parser = Callable[[str], Any]


class Option(NamedTuple):
    """An option that takes a value.

    :ivar name: without the dashes.
    :ivar short: its letter, MemcacheQ's where it had one; None for none.
    :ivar default: its value when it is not given, as typed; None for none.
    :ivar parse: what makes the value of what was typed.
    :ivar help: what it is, for --help; the default is added.
    """

    name: str
    short: str | None
    default: str | None
    parse: Parser
    help: str


class Flag(NamedTuple):
    """An option that is there or not."""

    name: str
    short: str | None
    help: str


def number(low: int, high: int) -> Parser:
    """Return a parser of whole numbers from ``low`` to ``high``."""

    def parse(text: str) -> int:
        if re.fullmatch("[0-9]{1,10}", text) and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"must be a whole number from {low} to {high}")

    return parse


def size(low: int, high: int) -> Parser:
    """Return a parser of bytes, from ``low`` to ``high``, with K or M for 1024s."""

    def parse(text: str) -> int:
        match = re.fullmatch("([0-9]{1,12})([KkMm]?)", text)
        if match:
            value = int(match[1]) * {"": 1, "K": 1024, "M": MEGABYTE}[match[2].upper()]
            if low <= value <= high:
                return value
        raise ValueError(
            f"must be bytes, from {low} to {high}; K and M after the digits stand "
            "for 1024 and 1024 * 1024"
        )

    return parse


def seconds(text: str) -> float:
    """Return a time of 0 to 86400 seconds, perhaps with a fraction."""
    if re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,6})?", text) and float(text) <= 86400:
        return float(text)
    raise ValueError("must be seconds, from 0 (off) to 86400, such as 30 or 0.5")


def powerOfTwo(low: int, high: int) -> Parser:
    """Return a parser of powers of two from ``low`` to ``high``."""
    allowed = number(low, high)

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
    if re.fullmatch("0?[0-7]{1,3}", text):
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
    Option("port", "p", "22201", number(0, 65535), "TCP port; 0 takes a free one"),
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
    ),
    Option("home", "H", "/var/lib/memq", something("a path"), "directory of the data"),
    Option("store", None, "bdb", oneOf("bdb", "memory"), "memory keeps nothing"),
    Option("cache-size", "m", "64", number(1, 1_000_000), "page cache, in megabytes"),
    Option(
        "log-buffer", "L", "1024", number(1, 16384), "transaction log buffer, in KB"
    ),
    Option(
        "page-size",
        "A",
        "4096",
        powerOfTwo(512, 65536),
        "bytes of a page, for a new home; above 4096 a power cut can tear them",
    ),
    Option(
        "max-body",
        "B",
        "1M",
        size(1, 64 * MEGABYTE),
        "largest message, in bytes (K, M), up to 64M",
    ),
    Option(
        "min-free",
        None,
        None,
        size(0, 1 << 40),
        "free disk space in bytes (K, M) below which sets are refused, 0 = never; "
        "when not given, it fits the file system",
    ),
    Option("checkpoint", "C", "300", seconds, "seconds between checkpoints; 0 = off"),
    Option(
        "trickle",
        "T",
        "0.5",
        seconds,
        "seconds between writing changed pages ahead; 0 = off",
    ),
    Option(
        "trickle-percent", "e", "60", number(0, 100), "percent of the cache kept clean"
    ),
)

FLAGS = (
    Flag("no-sync", "N", "faster: a power cut may cost the last second"),
    Flag("auto-remove-logs", "R", "remove log files that are done with (the default)"),
    Flag("keep-logs", None, "keep them, whatever else is said"),
    Flag("enable-flush-all", None, "let clients empty all queues with flush_all"),
    Flag("skip-damaged", None, "start with what can be read, and list what could not"),
    Flag("log-stderr", None, "log to standard error, as a daemon too"),
)


def _described(option: Option) -> str:
    """Return the help of an option with its default."""
    if option.default is None:
        return option.help
    return f"{option.help} [default: {option.default}]"


class Options(usage.Options):
    """What was asked for, checked; each value under its option's name.

    :ivar given: the names of the options that take a value and were given.
    """

    synopsis = "Usage: twistd [options] memq [options]"
    longdesc = "A persistent message queue behind the memcached protocol."
    optParameters = [  # noqa: RUF012 - this is how usage.Options wants it
        [option.name, option.short, None, _described(option)] for option in OPTIONS
    ]
    optFlags = [list(flag) for flag in FLAGS]  # noqa: RUF012 - and this

    def __init__(self) -> None:
        """Start with nothing given."""
        usage.Options.__init__(self)
        self.given: frozenset[str] = frozenset()
        self["verbose"] = 0
        self["endpoint"] = []

    def opt_endpoint(self, description: str) -> None:
        """Listen on a Twisted endpoint, instead of --port; may be repeated."""
        self["endpoint"].append(description)

    def opt_verbose(self) -> None:
        """Log errors; twice, every command."""
        self["verbose"] += 1

    opt_v = opt_verbose

    def opt_version(self) -> NoReturn:
        """Display memq's version and exit."""
        print(f"memq {__version__}")
        sys.exit(0)

    opt_h = usage.Options.opt_help

    def parseOptions(self, options: list[str] | None = None) -> None:
        """Parse a command line.

        :raise SystemExit: with one line that says what is wrong.
        """
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            raise SystemExit(f"memq: {error} (see twistd memq --help)") from None
        except OptionError as error:
            raise SystemExit(f"memq: {error}") from None

    def parseArgs(self, *words: str) -> None:
        """Refuse words that belong to no option."""
        if words:
            raise usage.UsageError(f"{words[0]} is not an option, nor its value")

    def postOptions(self) -> None:
        """Check the values, and put defaults where none were given."""
        typed = {option.name: self[option.name] for option in OPTIONS}
        self.given = frozenset(name for name in typed if typed[name] is not None)
        for option in OPTIONS:
            text = typed[option.name]
            if text is None:
                text = option.default
            self[option.name] = None if text is None else _parse(option, text)
        self["auto-remove-logs"] = not self["keep-logs"]

    def settings(self) -> list[tuple[str, str]]:
        """Return every option with its value, for ``stats settings``."""
        rows = [(option.name, _shown(option, self[option.name])) for option in OPTIONS]
        rows += [(flag.name, "yes" if self[flag.name] else "no") for flag in FLAGS]
        rows += [("verbose", str(self["verbose"]))]
        rows += [("endpoint", text) for text in self["endpoint"] or ["none"]]
        return rows


def _parse(option: Option, text: str) -> Any:
    """Return the value of an option.

    :raise memq.errors.OptionError: when it is not allowed.
    """
    try:
        return option.parse(text)
    except ValueError as error:
        name = f"--{option.name}"
        if option.short is not None:
            name += f" (-{option.short})"
        raise OptionError(name, text or "''", str(error)) from None


def _shown(option: Option, value: Any) -> str:
    """Return a value as one word."""
    if value is None:
        return "none"
    if option.parse is permissions:
        return f"{value:04o}"
    return f"{value:g}" if isinstance(value, float) else str(value)
