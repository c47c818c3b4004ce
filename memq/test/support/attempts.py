"""Attempts: each command, in each protocol and by each way, and what it needs.

What is here is written down once more, and not taken from memq.access.needs, which is
tested with it.  Queues ``a`` and ``b`` have messages, ``dead`` has a dead letter; the
first message of ``a`` is open where that is needed.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple

from memq.access.rights import ROLES, Rights
from memq.message import PART_SIZE
from memq.test.support.packets import OPCODES, packet
from memq.wire.extensions import _TOGETHER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: What a body of more than one part has.
LARGE = b"x" * (PART_SIZE + 500)
#: Rights for queues, and those for the server.
QUEUE_RIGHTS = ("write", "read", "manage")
SERVER_RIGHTS = ("monitor", "admin")


class Attempt(NamedTuple):
    """A command as it is sent.

    :ivar needs: each right with the queue that it is for, b"" for the server.  SEE is
        there with any right, and is called ``see``.
    :ivar opens: whether a message has to be open.
    :ivar varies: whether the answer tells of time, or of the connection.
    :ivar filters: whether it tells of the queues only that its user sees.
    :ivar isSilent: whether it is answered nothing at all.
    """

    way: str
    sent: bytes
    needs: frozenset[tuple[str, bytes]]
    opens: bool = False
    varies: bool = False
    filters: bool = False
    isSilent: bool = False

    @property
    def shown(self) -> str:
        """Return it in short."""
        return f"{self.way}: {self.sent[:80]!r}"

    @property
    def refusal(self) -> bytes:
        """Return what somebody is answered who may not do this."""
        if self.way == "binary":
            opcode = self.sent[1]
            return packet(
                opcode, value=b"not allowed", opaque=7, status=0x20, magic=0x81
            )
        return b"" if self.isSilent else b"CLIENT_ERROR not allowed\r\n"

    def enough(self) -> Rights:
        """Return rights that are just enough."""
        return rightsOf(self.needs)

    def almost(self) -> Iterator[tuple[str, Rights]]:
        """Yield rights that lack one thing each, and have everything else."""
        for right, queue in sorted(self.needs):
            if right in SERVER_RIGHTS:
                # An admin is a monitor, too.
                role = "monitor" if right == "admin" else None
                yield f"not {right}", everything(role)
                continue
            patterns = {each: [b"*"] for each in QUEUE_RIGHTS}
            # The names have one letter more or less.
            others = [b"[!%c]*" % queue[:1]]
            if right == "see":
                patterns = dict.fromkeys(QUEUE_RIGHTS, others)
            else:
                patterns[right] = others
            write, read, manage = patterns.values()
            yield f"not {right} {queue.decode()}", Rights(write, read, manage)


def everything(role: str | None) -> Rights:
    """Return all rights for queues, and those of a role."""
    server = ROLES[role] if role else 0
    return Rights([b"*"], [b"*"], [b"*"], server)


def rightsOf(needs: Iterable[tuple[str, bytes]]) -> Rights:
    """Return rights that are just that."""
    patterns: dict[str, list[bytes]] = {each: [] for each in QUEUE_RIGHTS}
    server = 0
    for right, queue in needs:
        if right in SERVER_RIGHTS:
            server |= ROLES[right]
        else:
            # Whoever may do something may see it.
            patterns["manage" if right == "see" else right].append(queue)
    write, read, manage = patterns.values()
    return Rights(write, read, manage, server)


#: Lines of text with what each needs; a body follows behind ``|``.
_TEXT = """
set a 0 0 2|hi                      write a
set a 7 60 2 noreply|hi             write a
set a/delay=5 0 0 2|hi              write a
set a/delay=5 0 0 2 noreply|hi      write a
set new 0 0 2|hi                    write new
SET a 0 0 2|hi                      write a
add new 0 0 1|5                     write new
add new 0 0 1 noreply|5             write new
get a                               read a
gets a                              read a
get none                            read none
get a b                             read a, read b
get a a b                           read a, read b
gets b a                            read a, read b
get a b none none                   read a, read b, read none
delete a                            manage a
delete a 0                          manage a
delete a noreply                    manage a
delete a/open=0                     read a
delete a/open=0 noreply             read a
touch a/open=0 5                    read a
touch a/open=0 5 noreply            read a
flush a                             manage a
flush_all                           admin
flush_all noreply                   admin
flush_all 0                         admin
pause a                             manage a
pause a reads                       manage a
pause a writes                      manage a
resume a                            manage a
monitor a 0                         read a
monitor a 1 2                       read a
confirm a 1                         read a
tail a                              -
peek a                              read a
peek a 2                            read a
kill 2                              admin
move a b                            manage a, write b
move a new 1                        manage a, write new
redrive dead                        manage dead
redrive dead 1                      manage dead
stats                               -
stats items                         -
stats queue                         -
stats detail                        -
stats detail a*                     -
stats peek a                        see a
stats settings                      monitor
stats conns                         monitor
stats reset                         admin
dump_stats                          -
version                             -
verbosity 1                         -
verbosity 1 noreply                 -
reload                              admin
rule set a max_items 5              admin
rule try a max_items 5              admin
rule unset a                        admin
rule unset a max_items              admin
rule list                           monitor
rule show a                         see a
db_checkpoint                       admin
db_archive                          admin
quit                                -
import begin 00000000000000000000000000000000   admin
import put YQ==                     admin
lru_crawler metadump all            -
"""
_META = """
mg a v                              read a
mg a v q O9                         read a
mg a                                read a
mg a s c t k                        read a
mg a/close q                        read a
mg YQ== b v                         read a
ms a 2|hi                           write a
ms a 2 c                            write a
ms a 2 q O9 k|hi                    write a
ms YQ== 2 b|hi                      write a
ms a/delay=5 2 T60|hi               write a
md a                                manage a
md a q                              manage a
md a/open=0 q O9                    read a
me a                                see a
me none                             see none
me YQ== b                           see a
mn                                  -
"""
#: Names of opcodes, each with key, value and extras.
_BINARY = """
Get a                               read a
GetQ a                              read a
GetK a                              read a
GetKQ a                             read a
Set a hi 0000000700000000           write a
SetQ a hi 0000000700000000          write a
Set a/delay=5 hi 0000000000000000   write a
Delete a                            manage a
DeleteQ a                           manage a
Delete a/open=0                     read a
DeleteQ a/open=0                    read a
Flush                               admin
FlushQ                              admin
Flush - - 00000000                  admin
Quit                                -
QuitQ                               -
Stat                                -
Stat items                          -
Stat queue                          -
Stat detail                         -
Stat peek_a                         see a
Stat settings                       monitor
Stat conns                          monitor
Stat reset                          admin
Noop                                -
SASLList                            -
SASLAuth PLAIN \\x00me\\x00secret     -
SASLStep PLAIN \\x00me\\x00secret     -
Version                             -
Verbosity - - 00000001              -
"""
_OPENS = (b"close", b"abort", b"/open=", b"confirm")
_VARY = (b"conns", b"settings")
_FILTER = (b"stats queue", b"stats detail", b"queue", b"detail", b"dump_stats", b"tail")


def _needs(said: str) -> frozenset[tuple[str, bytes]]:
    found = []
    for each in said.split(", "):
        right, _, queue = each.partition(" ")
        if right != "-":
            found.append((right, queue.encode()))
    return frozenset(found)


def _rows(table: str) -> Iterator[tuple[str, frozenset[tuple[str, bytes]]]]:
    for line in table.strip().splitlines():
        said, _, needs = line.rpartition("  ")
        yield said.strip(), _needs(needs.strip())


def _lines() -> Iterator[Attempt]:
    """Yield those in text and meta, as they stand above, and with large bodies."""
    for way, table in (("text", _TEXT), ("meta", _META)):
        for said, needs in _rows(table):
            line, bar, body = said.encode().partition(b"|")
            sent = line + b"\r\n" + (body or b"hi" * line.startswith(b"ms ")) + b"\r\n"
            if not bar and not line.startswith(b"ms "):
                sent = line + b"\r\n"
            yield _attempt(way, sent, needs)
    write = _needs("write a")
    for way, line in (
        ("text", b"set a 0 0 %d"),
        ("text", b"set a 0 0 %d noreply"),
        ("meta", b"ms a %d"),
        ("meta", b"ms a %d q"),
    ):
        yield _attempt(way, line % len(LARGE) + b"\r\n" + LARGE + b"\r\n", write)


def _attempt(way: str, sent: bytes, needs: frozenset[tuple[str, bytes]]) -> Attempt:
    isAll = sent == b"stats\r\n" or (sent[:2] == b"\x80\x10" and len(sent) == 24)
    return Attempt(
        way,
        sent,
        needs,
        opens=any(word in sent[:100] for word in _OPENS),
        varies=any(word in sent[:100] for word in _VARY) or isAll,
        filters=any(word in sent[:100] for word in _FILTER) or isAll,
        isSilent=b"noreply\r\n" in sent,
    )


def keys() -> Iterator[bytes]:
    """Yield keys of ``a`` with all options that a read may have together."""
    values = {b"t=": b"1", b"close=": b"0", b"abort=": b"0", b"delay=": b"5"}
    for together in sorted(map(sorted, _TOGETHER)):
        words = [each + values.get(each, b"") for each in together]
        yield b"/".join([b"a", *words])


def _reads() -> Iterator[Attempt]:
    """Yield reads with options: of one queue in each protocol, and of two in text."""
    one, two = _needs("read a"), _needs("read a, read b")
    for key in keys():
        second = b"b" + key[1:]
        # Of another queue nothing is open.
        isPlain = not any(word in key for word in (b"close", b"abort"))
        for verb in (b"get", b"gets"):
            yield _attempt("text", b"%b %b\r\n" % (verb, key), one)
            if isPlain:
                yield _attempt("text", b"%b %b %b\r\n" % (verb, key, second), two)
        yield _attempt("meta", b"mg %b v\r\n" % key, one)
        coded = _attempt("meta", b"mg %b v q k b\r\n" % b64encode(key), one)
        yield coded._replace(opens=not isPlain)
        for name in ("Get", "GetQ", "GetK", "GetKQ"):
            yield _attempt("binary", packet(OPCODES[name], key, opaque=7), one)


def _packets() -> Iterator[Attempt]:
    for said, needs in _rows(_BINARY):
        name, *rest = said.split()
        fields = [b"" if word == "-" else word.encode() for word in rest]
        key, value, extras = [*fields, b"", b"", b""][:3]
        key = key.replace(b"_", b" ")
        sent = packet(OPCODES[name], key, value, bytes.fromhex(extras.decode()), 7)
        yield _attempt("binary", sent, needs)
    for name in ("Set", "SetQ"):
        sent = packet(OPCODES[name], b"a", LARGE, bytes(8), 7)
        yield _attempt("binary", sent, _needs("write a"))


#: All of them.
ATTEMPTS = (*_lines(), *_reads(), *_packets())
