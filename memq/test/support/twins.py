"""Twin servers: one is asked in classic text, the other in the meta protocol.

They are asked for the same, and must find the same, each in its words.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple

from memq.policy.rule import WRITES
from memq.storage.memory import MemoryStore
from memq.test.support.harness import Harness
from memq.test.support.readers import rules

if TYPE_CHECKING:
    from memq.test.support.harness import Client

#: Commands of one input, at most.
_MOST = 40
_RULES = rules(
    q={"max_items": 3, "max_deliveries": 2, "dead_letter": b"dead"},
    p={"paused": WRITES},
    r={"honor_exptime": True, "max_age": 5_000_000, "expired_to": b"old"},
)
#: The bits of a command: it is quiet, has more flags, and its key is in base64.
_QUIET, _MORE, _BASE64 = 1, 2, 4
_OPAQUE = b" Oa%b/c k"

_VALUE = re.compile(rb"VALUE \S+ (\d+) (\d+)(?: (\d+))?\r\n(.*)\r\nEND\r\n", re.DOTALL)
_FOUND = re.compile(rb"VA (\d+) f(\d+)(?: c(\d+))?( [^\n]*)?\r\n(.*)\r\n", re.DOTALL)
_SHOWN = re.compile(rb"HD s(\d+) f(\d+)( [^\n]*)?\r\n")
_WORDS = {
    b"STORED": b"done",
    b"DELETED": b"done",
    b"HD": b"done",
    b"END": b"none",
    b"NOT_FOUND": b"none",
    b"EN": b"none",
    b"NF": b"none",
    b"NOT_STORED": b"refused",
    b"NS": b"refused",
}
_NOT_OPEN = b"CLIENT_ERROR not open on this connection\r\n"


class Asked(NamedTuple):
    """A command, in both protocols."""

    classic: bytes
    meta: bytes
    isQuiet: bool = False


def answer(client: Client) -> bytes:
    """Let everything happen, and time pass as long as the client waits for it."""
    harness = client.harness
    harness.settle()
    reactor = harness.reactor
    while client.protocol.session.isWaiting:
        # Not beyond what happens next: something else may be due before the wait ends.
        passing = min(call.getTime() for call in reactor.calls) - reactor.seconds()
        harness.timeOfDay += passing
        reactor.advance(passing)
        harness.settle()
    return client.read()


def talk(client: Client, data: bytes) -> bytes:
    """Send, and return what is answered in the end."""
    client.send(data)
    return answer(client)


def _commands(line: bytes) -> Asked | None:
    """Return what a line of an input asks for; None for nothing."""
    verb, bits, rest = line[0] % 5, line[1], line[2:]
    key, _, body = rest.partition(b" ")
    # At the end of a line of text it would be HTTP.
    if not key or key.upper().startswith(b"HTTP/"):
        return None
    isQuiet = bool(bits & _QUIET)
    flags = (b" q" if isQuiet else b"") + (_OPAQUE if bits & _MORE else b"")
    noreply = b" noreply" if isQuiet else b""
    token = key
    if bits & _BASE64:
        token, flags = b64encode(key), flags + b" b"
    if verb == 0:
        number, time = bits * 1000, bits % 7 - 1
        return Asked(
            b"set %b %d %d %d%b\r\n%b\r\n"
            % (key, number, time, len(body), noreply, body),
            b"ms %b %d F%d T%d%b\r\n%b\r\n"
            % (token, len(body), number, time, flags, body),
            isQuiet,
        )
    if verb == 1:
        return Asked(b"get %b\r\n" % key, b"mg %b v f%b\r\n" % (token, flags))
    if verb == 2:
        return Asked(b"gets %b\r\n" % key, b"mg %b v f c%b\r\n" % (token, flags))
    if verb == 3:
        if b"/" in key:
            return None
        return Asked(b"get %b/peek\r\n" % key, b"mg %b s f%b\r\n" % (token, flags))
    return Asked(
        b"delete %b%b\r\n" % (key, noreply), b"md %b%b\r\n" % (token, flags), isQuiet
    )


def _meaning(reply: bytes, isLook: bool) -> tuple[bytes | None, ...]:
    """Return what a reply says, in whichever protocol."""
    if value := _VALUE.fullmatch(reply):
        flags, size, sequence, body = value.groups()
        assert int(size) == len(body), reply
        return (flags, size) if isLook else (flags, size, sequence, body)
    if found := _FOUND.fullmatch(reply):
        size, flags, sequence, _, body = found.groups()
        return flags, size, sequence, body
    if isLook and (shown := _SHOWN.fullmatch(reply)):
        size, flags, _ = shown.groups()
        return flags, size
    word = reply.split(b" ", 1)[0].strip()
    return (_WORDS.get(word, reply),)


def _isSame(asked: Asked, classic: bytes, meta: bytes) -> bool:
    """Return whether two replies say the same, as far as they can."""
    if asked.isQuiet:
        # Only meta tells an error then.
        return not classic and not meta.startswith(b"HD")
    isLook = asked.meta.startswith(b"mg") and b" v" not in asked.meta
    one, other = _meaning(classic, isLook), _meaning(meta, isLook)
    if asked.classic.startswith(b"get") and one == (b"none",):
        # Text cannot tell whether something was closed, and a quiet get is silent.
        return other in ((b"none",), (b"done",), (b"",))
    if classic == _NOT_OPEN:
        return other in ((b"none",), (b"",))
    return one == other


def _client(hasRules: bool) -> Client:
    store = MemoryStore()
    harness = Harness(store=store, maxBody=1000, rules=_RULES if hasRules else None)
    store.seconds = lambda: harness.timeOfDay
    return harness.connect()


def twins(data: bytes) -> None:
    """Ask for what each line of an input says; the first byte says whether with rules.

    Both servers have the same figures after each command, and the same messages.
    """
    hasRules = bool(data[:1] and data[0] & 1)
    classic, meta = _client(hasRules), _client(hasRules)
    for line in data[1:].split(b"\n")[:_MOST]:
        asked = _commands(line) if len(line) > 2 else None
        if asked is None:
            continue
        replies = talk(classic, asked.classic), talk(meta, asked.meta)
        assert _isSame(asked, *replies), (asked, replies)
        assert not classic.isClosed and not meta.isClosed, asked
        told = [talk(each, b"stats detail\r\n") for each in (classic, meta)]
        assert told[0] == told[1], (asked, told)
    queues = re.findall(
        rb"STAT queue_(\S+)_items [1-9]", talk(classic, b"stats detail\r\n")
    )
    for queue in queues:
        taken = [talk(each, b"gets %b\r\n" % queue * 9) for each in (classic, meta)]
        assert taken[0] == taken[1], taken
