"""Foreign protocols: recognised to be refused, with the bodies that they announce.

The text of a message must never become commands.  So a line that announces a body, in
whatever protocol, is refused with its body where the length of that is known, and else
the connection is closed.  A line that is plainly not memcached's text protocol is
:class:`Foreign`, and closes the connection without a word.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from memq.errors import UnknownCommand
from memq.wire.forms import PLAIN, spoken
from memq.wire.words import (
    MAX_NUMBER,
    MAX_SIZE,
    NEVER,
    NOREPLY,
    Refused,
    number,
    unsized,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_BINARY = "memcached's binary protocol behind text"
_BROKEN = "memcached's binary protocol out of step"
_TLS = "TLS"
_HTTP = "HTTP"
_PROXY = "the PROXY protocol"
_REDIS = "Redis's protocol"
_STOMP = "STOMP or NATS"
_AMQP = "AMQP"
_MQTT = "MQTT"
_SSH = "SSH"
_OTHER = "a binary protocol"

#: Advice about each protocol, for the log.
ADVICE = {
    _BINARY: "a connection that begins in text goes on in text",
    _BROKEN: "a packet begins with 80 and has room for its extras and key: no other "
    "one is found behind one that does not",
    _TLS: "switch TLS off in the client, or give it a [[listen]] with tls = true",
    _HTTP: "let health checks only connect, or send version; web pages are kept out",
    _PROXY: "switch it off in the proxy (HAProxy's send-proxy, nginx's proxy_protocol)",
    _SSH: "this port is not sshd's",
    **dict.fromkeys(
        (_REDIS, _STOMP, _AMQP, _MQTT, _OTHER), "use a client of memcached's"
    ),
}


class Foreign(NamedTuple):
    """Close the connection without a word: its client speaks another protocol.

    :ivar name: which one, a key of ADVICE.
    """

    name: str


#: Packets of which nobody knows where the next one begins.
OUT_OF_STEP = Foreign(_BROKEN)

_FIRST_BYTES = {0x80: _BINARY, 0x16: _TLS, 0x10: _MQTT, 0x00: _OTHER}
#: The second version of the PROXY protocol begins with two empty lines and this one.
_PROXY_2 = (b"\0", b"\0\r")

#: A last word HTTP/x.y, or an answer.
_isHTTP = re.compile(
    rb"HTTP/\d[^ ]* |(?:.*\s)?HTTP/\d+(?:\.\d+)?\s*\Z", re.IGNORECASE | re.DOTALL
).match
_isHeader = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:").match
_isRedis = re.compile(rb"[*$]-?\d+\s*").fullmatch
_FIRST_WORDS = {b"PROXY": _PROXY, b"STOMP": _STOMP, b"CONNECT": _STOMP}

#: A word that may be the length of a body.
_hasNumber = re.compile(rb"(?:.*[\s,])?[{(]?-?\d+[+)}]*(?:\s|\Z)", re.DOTALL).match
#: Commands of others that a body follows whose length may not be told.
_WITH_BODY = frozenset(b"data dpub hpub message mpub msg pub publish send".split())


def begins(data: bytes) -> Foreign | None:
    """Return the protocol in which a line begins so, if that tells.

    :param data: one byte of the line at least, not necessarily its end.
    """
    name = _FIRST_BYTES.get(data[0])
    if data.startswith(b"AMQP"):
        name = _AMQP
    elif data in _PROXY_2:
        name = _PROXY
    return None if name is None else Foreign(name)


def known(line: bytes) -> Foreign | None:
    """Return the protocol of which a line is, though it may begin as a command does."""
    if not line:
        return None
    return Foreign(_HTTP) if _isHTTP(line) else begins(line)


def parseUnknown(line: bytes, words: list[bytes]) -> Foreign | Refused:
    """Return what a line is that is no command of anybody's.

    :param words: those of the line, one at least.
    """
    first = words[0]
    name = _FIRST_WORDS.get(first)
    if _isHeader(line.lstrip()):
        name = _HTTP
    elif _isRedis(line):
        name = _REDIS
    elif first.startswith(b"SSH-"):
        name = _SSH
    if name is not None:
        return Foreign(name)
    if first.lower() in _WITH_BODY or _hasNumber(line):
        return unsized(UnknownCommand())
    return Refused(UnknownCommand())


def _parsePut(words: list[bytes]) -> Refused:
    """Refuse beanstalkd's put <priority> <delay> <time to run> <size>."""
    numbers = [number(word, MAX_NUMBER) for word in words[1:]]
    size = number(words[-1], MAX_SIZE)
    if len(numbers) != 4 or None in numbers:
        size = None
    return unsized(UnknownCommand(), size)


def _parseWithoutBody(silentFrom: int, words: list[bytes]) -> Refused:
    """Refuse a command without a body.

    :param silentFrom: words from which on the last one may be noreply.
    """
    noreply = len(words) >= silentFrom and words[-1] == NOREPLY
    return Refused(UnknownCommand(), form=spoken(PLAIN, noreply))


#: Words of a line, the command first, are refused.
PARSERS: dict[bytes, Callable[[list[bytes]], Refused]] = {
    b"put": _parsePut,
    **{
        command: partial(_parseWithoutBody, silentFrom)
        for silentFrom, commands in (
            (3, b"touch incr decr cache_memlimit slabs lru extstore"),
            # The words before are an expiry time and a key.
            (4, b"gat gats"),
            (NEVER, b"watch shutdown misbehave"),
        )
        for command in commands.split()
    },
}
