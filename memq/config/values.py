"""Parsers of values: texts become numbers, sizes, seconds, words and queue names.

A parser returns the value, or raises ValueError with the words that say what is
allowed; its caller adds which setting it was, and where.  Invariant: no parser allows a
NUL, so that each can be asked for these words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple

from memq.display import choice
from memq.policy.rule import isPattern
from memq.wire.words import isName

MEGABYTE = 1024 * 1024

Parser = Callable[[str], Any]

#: Units of the letters behind a size.
_LETTERS = {"K": 1024, "M": MEGABYTE, "G": 1024 * MEGABYTE, "T": MEGABYTE * MEGABYTE}
#: A number that need not be a whole one, also as Python writes what TOML has.
_DECIMAL = r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?"
#: Allowed in any name; each has further exceptions.
_ALLOWED = "1 to 250 bytes without blanks, control bytes"


class Address(NamedTuple):
    """An address that is listened on.

    :ivar host: an IPv4 or IPv6 address; empty for a UNIX socket.
    :ivar port: 0 to 65535; 0 for a free one.
    :ivar path: that of a UNIX socket, else empty.
    """

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        """Return it as a person writes it."""
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def address(text: str) -> Address | None:
    """Return an address; None for an empty text."""
    if not text:
        return None
    if text.startswith("unix:/") and "\0" not in text:
        return Address(path=text.removeprefix("unix:"))
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+|localhost)):([0-9]+)", text)
    try:
        if match and int(match[3][-6:]) < 65536:
            host = "127.0.0.1" if match[2] == "localhost" else match[1] or match[2]
            return Address(str(ip_address(host)), int(match[3][-6:]))
    except ValueError:
        pass
    raise ValueError(
        "must be an address and a port, such as 127.0.0.1:22280 or [::1]:22280, a UNIX "
        'socket, such as unix:/run/memq/web.sock, or "" for none'
    )


def hostName(text: str) -> str:
    """Return the name of a host, in small letters."""
    if re.fullmatch("[0-9A-Za-z._-]{1,253}", text):
        return text.lower()
    raise ValueError("must be the name of a host, without a port")


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
    :param unit: 1, 1024 or MEGABYTE.  A remainder is cut.
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


def seconds(high: int) -> Parser:
    """Return a parser of seconds from 0 to ``high``, perhaps with a fraction."""

    def parse(text: str) -> float:
        if re.fullmatch(_DECIMAL, text) and float(text) <= high:
            return float(text)
        raise ValueError(f"must be seconds, from 0 (off) to {high}, such as 30 or 0.5")

    return parse


def milliseconds(high: int) -> Parser:
    """Return a parser of seconds as milliseconds; only 0 becomes 0."""
    parse = seconds(high)

    def parsed(text: str) -> int:
        value: float = parse(text)
        return max(round(value * 1000), int(value > 0))

    return parsed


def permissions(text: str) -> int:
    """Return permissions, given in octal."""
    if re.fullmatch("0*[0-7]{1,3}", text):
        return int(text, 8)
    raise ValueError("must be permissions in octal, from 0 to 0777")


def oneOf(words: Mapping[str, Any]) -> Parser:
    """Return a parser of words that stand for values."""

    def parse(text: str) -> Any:
        if text in words:
            return words[text]
        raise ValueError(f"must be {choice(words)}")

    return parse


def something(what: str) -> Parser:
    """Return a parser of any text but none, and none with a NUL in it."""

    def parse(text: str) -> str:
        if text and "\0" not in text:
            return text
        raise ValueError(f"must be {what}")

    return parse


def tableName(text: str) -> bytes:
    """Return the name of a [queue] table: that of a queue, or a pattern."""
    name = text.encode()
    if isName(name):
        return name
    raise ValueError(f"must be named by a queue or a pattern, {_ALLOWED} and /")


def queueName(text: str) -> bytes:
    """Return the name of a queue."""
    name = text.encode()
    if isName(name) and not isPattern(name):
        return name
    raise ValueError(f"must be the name of a queue, {_ALLOWED}, /, *, ? and [")


def queueOrNone(text: str) -> bytes | None:
    """Return the name of a queue; None for an empty text."""
    if text == "":
        return None
    try:
        return queueName(text)
    except ValueError as error:
        raise ValueError(f'{error}; or "" for none') from None


def shownWord(words: Mapping[str, Any]) -> Callable[[Any], str]:
    """Return what makes the word of a value that ``oneOf`` has parsed."""
    return {value: word for word, value in words.items()}.__getitem__


def shownSeconds(seconds: float) -> str:
    """Return seconds as text, without needless digits."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")
