"""Targets of a fuzzer: functions that take any bytes and assert what holds.

``fuzz.py`` calls them with whatever reaches new branches, as fast as it can;
test_fuzzing.py calls them with CORPUS, which is where the fuzzer begins, and what it
once found is kept.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING

from twisted.logger import LogLevel, capturedLogs

from memq.connection.receiver import CommandReceiver
from memq.errors import HomeError
from memq.message import LargeBody, Message, Reason, Trace
from memq.policy.rule import WRITES
from memq.storage.engine.logfile import logName
from memq.storage.engine.marker import readMarker, writeMarker
from memq.storage.memory import MemoryStore
from memq.storage.record import (
    DamagedRecord,
    packAny,
    packExpiring,
    packLarge,
    packMessage,
    packPart,
    packRecord,
    unpackPart,
    unpackRecord,
)
from memq.storage.row import UNCOUNTED, DamagedRow, Queue, unpackQueue
from memq.storage.row import VERSION as VERSION_OF_ROWS
from memq.test.support import authtargets, logintargets, packettargets
from memq.test.support.harness import Harness, QuickTransport, Transport
from memq.test.support.homes import MEMORY
from memq.test.support.readers import rules
from memq.test.support.sessions import VERSION, GeneralPath
from memq.test.support.twins import answer, talk, twins

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.logger import LogEvent

    from memq.test.support.harness import Client

#: A small server: bodies of up to three parts.
MAX_BODY = 150_000
#: Bytes of a body that are made up to come to its end.
PATIENCE = 400_000

#: Stands for many bytes of a body: what is made up is to be short.
MANY = b"\xff\xff"
_MANY = b"x" * 35000

_LINE = re.compile(
    rb"STORED|NOT_STORED|DELETED|NOT_FOUND|TOUCHED|MOVED \d+|END|OK|ERROR|RESET"
    rb"|VERSION \d+\.\d+\.\d+"
    rb"|STAT [^\x00-\x20\x7f]+ [^\r\n]*|(CLIENT|SERVER)_ERROR [a-zA-Z0-9 ,=]+"
    rb"|(HD|EN|NS|NF|MN|ME)( [^\n]*)?"
    rb"|queue '[^\x00-\x20\x7f]{1,250}' \{|  \w+=[^\r\n]*|\}"
)
_VALUE = re.compile(
    rb"(?:VALUE [^\x00-\x20\x7f]{1,250} \d{1,10}|VA) (\d{1,6})( [^\n]*)?"
)
#: Figures that tell by which way the same commands came.
_FIGURE = re.compile(
    rb"STAT (turns|flushes|waiting|threads|rusage_\w+|bytes_\w+|\w+_hits) [^\r\n]*"
)
#: Set in the first byte of an input when queues have rules.
_RULED = 128
#: Rules of all kinds; those of q are what a fuzzer is likely to find.
_RULES = rules(
    q={
        "max_items": 3,
        "overflow": True,
        "max_age": 5_000_000,
        "expired_to": b"old",
        "max_deliveries": 2,
        "dead_letter": b"dead",
    },
    f={
        "fanout": (b"q", b"r"),
        "honor_exptime": True,
        "open_timeout": 10.0,
        "max_open": 2,
    },
    r={"fanout": (b"s",), "fanout_only": True},
    s={"max_bytes": 100_000, "remove_when_idle": 60.0, "honor_exptime": True},
    p={"paused": WRITES},
)

#: Bytes of the longest marker that is looked at: that takes files.
_MARKER = 120

#: Words that a fuzzer would be long to find.
WORDS = (
    *(b"set ", b"get ", b"gets ", b"delete ", b"flush_all", b"stats", b" queue"),
    *(b" settings", b" reset", b"version", b"verbosity ", b"quit", b"noreply"),
    *(b"db_checkpoint", b"db_archive", b"add ", b"cas ", b"incr ", b"GET ", b"Host:"),
    *(b"flush ", b"pause ", b" writes", b"resume ", b"reload", b"monitor "),
    *(b"tail ", b"peek ", b"kill ", b" conns"),
    *(b"confirm ", b"dump_stats", b" detail", b"/open", b"/close", b"/abort"),
    *(b"/any", b"get q/any/t=9 r/any"),
    *(b"/more", b"/open=0", b"/close=0", b"/abort=1", b"/open=1", b"gets q/open/more"),
    *(b"/peek", b"/t=1", b"/delay=1", b" reads", b"\x80", b" 10 5\r\n", b"\r\n"),
    *(b" 0 0 1\r\n", b" 0 0 70000\r\n", b"move ", b"redrive ", b" peek "),
    *(b" 4294967295 ", b"2147483645"),
    *(b"SET ", b"ms ", b"put ", b" S5", b"append ", b"touch ", b" HTTP/1.1", b"host:"),
    *(b"\x16\x03", b"\x80\x0b", b"*2\r\n", b"$5\r\n", b"AMQP", b"PROXY ", b"CONNECT"),
    *(b"mg ", b"md ", b"me ", b"mn", b" v f", b" k O1 q", b" t h l", b" s c", b"cQ== "),
    *(b"ms q 1 ", b" b", b" ME", b" T5", b" F7", b"/more", b"/open=0", b"/close=0"),
    *packettargets.WORDS,
    *authtargets.WORDS,
    *logintargets.WORDS,
    *(b"\x01\0\0\0", b"\x02\0\0\0", b"\0" * 8, b"1 50 ", MANY),
)


def _typed(text: str) -> bytes:
    """Return an input: the first byte as a number, then text.

    ``;`` stands for the end of a line, and ``**`` for MANY.
    """
    first, _, rest = text.partition(" ")
    sent = rest.encode().replace(b";", b"\r\n").replace(b"**", MANY)
    return bytes([int(first)]) + sent


#: Where the fuzzer begins, by target; 128 is _RULED.
CORPUS: dict[str, tuple[bytes, ...]] = {
    "protocol": (
        *map(
            _typed,
            (
                "0 set q 0 0 5;hello;get q;",
                "1 set q 7 -1 2 noreply;hi;gets q q none;stats queue;",
                "2 set q 0 0 2;hiho;version;delete q 0;get q;",
                "0 stats;stats settings;stats reset;flush_all noreply;flush_all\n",
                "7 verbosity 1 noreply;db_checkpoint;db_archive;quit;version;",
                "0 add q 0 0 3;abc;cas q 0 0 1 9;x;incr q 1;touch q 0;",
                "3 set q/o 0 0 3;abc;set q x 0 3;abc;set q 0 0 -1;",
                "0 set q 0 0 70000;****;get q;",
                "0 set q 0 0 140000;********;set q 0 0 70001;****y;get q q;",
                "0 set q 0 0 200000;to be swallowed",
                "0 set q 0 0 2000000000;set q 0 0 1;x;",
                "0 GET / HTTP/1.1;Host: localhost;;",
                "0 get ****;",
                "5 set q 0 0 1;x;set q 0 0 1;y;get q;get q;get q",
                "0 set q 0 0 2;hi;get q/open;get q/open;get q/close/open;",
                "2 set q 0 0 1;x;get q/open;get q/abort;get q/t=9/open;quit;",
                "0 get q/t=60000;set q 0 0 1;x;get q/peek;get q/t=5/close/open;",
                "0 SET q 0 0 1;x;Get q;ADD l 0 0 1 noreply;5;STATS;",
                "3 ms q 7 T0;version;put 0 0 60 7;version;mn;",
                "0 touch q 0 noreply;append q 0 0 1 noreply;x;cas q 0 0 5;",
                "2 set q x 0 2;longer;set q 0 0;version;",
                "0 delete q HTTP/1.1;host: x;;delete q;",
                "2 *2;$3;GET;$8;delete q;",
                "0 set q 0 0 1;x;set q 0 0 1;x;"
                "get q/open r/t=9 q/close/open q/t=60000 none;",
                "0 get q/any/t=9 r/any/t=60000;set r 0 0 1;x;"
                "get r/any/open q/any/open;get q/any r;",
                "2 set q 0 0 1;x;gets q/open q/open q;get r/t=9 q/abort q/peek;quit;",
                "0 get q/open r;get q/t=x;get q/open/open;get q/;get q/peek/abort;",
                "1 get q/t=9/peek;set q 0 0 1;x;get q/open/t=1;flush q;get q/close;",
                "0 set q 0 0 140000;********;get q/open;get q/abort;"
                "get q/close/open;get q/peek;get q/close;",
                # It is gone before it is sent.
                "0 set q 0 0 140000;********;get q/open;flush q;get q;",
                "3 add q 0 0 1;1;set q 0 0 1;x;set q 0 0 1;x;add q 0 0 1;x;",
                "0 set q/delay=9 0 0 1;x;set q/delay=x 0 0 1;x;get q/t=60000;",
                "4 pause q reads;set q 0 0 1;x;get q/t=1;resume q;get q;reload;",
                "0 set q 0 0 1;x;monitor q 9 3;confirm q 2;monitor q 0;version;",
                "0 set q 0 0 1;x;stats detail;stats detail q*;dump_stats;",
                "128 set f 0 5 1;x;get f/open;get s/t=1;get r;",
                "130 set q 0 0 1;x;get q/open;get q/abort;get q/open;"
                "get q/abort;get dead;get q;",
                "130 set q 0 0 1;x;get q/open;get q/abort;get q/open;get q/abort;"
                "stats peek dead;redrive dead 5;stats peek q;move q dead;get dead;",
                "0 set q 0 0 1;x;set q 7 0 70000;****;set q 0 0 1;y;move q r 2;"
                "move r p;move q q;move p;redrive r;get q r r p;",
                "128 set q 0 0 1;x;move q p;move q s;move q f;redrive f;",
                "128 set q 0 0 1;x;get none/t=60000;get none/t=60000;get old;",
                "128 set f 0 0 70000;****;get q;get s;set p 0 0 1;x;set s 0 -1 1;x;",
                "0 set q 0 0 1;x;set q 0 0 1;y;gets q/open/more q/open/more;"
                "delete q/open=1;touch q/open=0 9;get q/abort=0/delay=5;get q/t=9000;",
                "3 set q 0 0 1;x;get q/open;get q/close=0/open/more/t=1;"
                "delete q/open=0 noreply;touch q/open=x 1;touch q/open=0;get q/more;",
                "0 set q 0 0 140000;********;get q/open;get q/abort/delay=1;"
                "get q/t=2000/open/more;delete q/open=1;",
                "128 set f 0 0 1;x;set f 0 0 1;x;set f 0 0 1;x;monitor f 0;"
                "get f/open/more;touch f/open=0 0;monitor f 15 1;get f/abort/delay=1;",
                "131 set q 0 0 1;x;set q 0 0 1;x;set q 0 0 1;x;set q 0 0 1;x;"
                "set q 0 0 1;x;dump_stats;get q q q q;",
            ),
        ),
        *map(
            _typed,
            (
                "0 ms q 2 k O1 s F7;hi;mg q s f c t h l k;mg q v k O%d;mg q v k q;mn;",
                "3 ms cQ== 2 b q;hi;mg cQ== b k;me q;md q q;md q k;ma q;",
                "0 ms q 70000 q;****;mg q s;mg q v t;ms q 70000;****;mg q/open v;",
                "0 ms q 1 ME;x;ms q 1 T0 T0;x;ms q S1;x;ms q 1;xx",
                "128 ms q 1;x;mg q/open v;mg q/abort;mg q/open/more v h;mg q/close=0 k;"
                "me dead;md q/open=0;mg q/t=60000;",
            ),
        ),
        # More commands than are read at once, in pieces.
        b"\3" + b"stats queue\r\n" * 1100,
        b"\1\x80\x0b\0\0flush_all\n",
        b"\0\x16\x03\x01\0\xc8",
    ),
    "packets": packettargets.PACKETS,
    "packettwins": packettargets.TWINS,
    "authtext": authtargets.TEXTS,
    "authpackets": authtargets.PACKETS,
    "logins": authtargets.LOGINS,
    "tls": logintargets.SECURED,
    "twins": (
        b"",
        b"\0\0\0q hi\n\1\0q\n\2\2q\n",
        b"\0\0\1q a\n\0\3q/delay=5 b\n\3\0q\n\4\1q\n\4\0q\n\3\2none\n",
        b"\1\0\0q a\n\0\0q b\n\1\0q/open\n\1\0q/abort\n\2\4q/open\n\1\1q/abort\n"
        b"\1\0q/close\n\1\0dead\n\0\0p x\n\0\1p x\n\0\2r x\n\1\0r/t=9\n",
        b"\1\0\0q a\n\1\2q/open\n\2\0q/open/more\n\4\6q/open=0\n\4\0q/open=0\n"
        b"\1\0q/close=7\n\1\0q/t=x\n\0\0q/x version\n\0\4\x7f version\n",
        b"\0\1\0 no key\n\1\0http/1.1\n\3\0q/peek\n",
    ),
    "records": (
        b"",
        packRecord(7, 1_700_000_000_000, b"body"),
        packLarge(1, 2, LargeBody(3, 70000, 2)),
        packExpiring(7, 1_700_000_000_000, b"body", 1_800_000_000_000),
        packLarge(1, 2, LargeBody(3, 70000, 2), 1_800_000_000_000),
        packAny(7, 1_700_000_000_000, b"body", 0, Trace(3, b"q", Reason.EXPIRED, 9)),
        packAny(1, 2, LargeBody(3, 70000, 2), 1_800_000_000_000, Trace(2)),
        Queue(b"q", 5, 9, 8, 3, 100).pack(),
        b"\1\0\0\0\5" + b"\0" * 7 + b"\x09" + b"\0" * 7 + b"\x08" + b"\0" * 7 + b"\3",
        packPart(b"part"),
        packPart(b"a longer part, " * 10),
        b"\1\0\0\0\7" + b"\0" * 24,
        b"1 50 4294967295\n",
        b"1 500 7\n",
        b"2 50 7\n",
        b"1 50\n",
        b"9" * 100,
    ),
}


def protocol(data: bytes) -> None:
    """Send bytes to a server, in pieces of as many bytes as the first one says.

    MANY stands for many of them; 0 pieces are all at once.  With _RULED in that byte,
    queues have rules.  Time passes when somebody waits for it.

    It answers what can be parsed, logs no error, is in step afterwards, and answers
    the same when the bytes come at once and all go through LineReceiver.
    """
    size, data = data[0] if data else 0, data[1:].replace(MANY, _MANY, 8)
    # What begins so are packets, which have a target of their own.
    data = data.lstrip(b"\x80")
    isRuled, size = divmod(size, _RULED)
    # Not so many that it takes long.
    size = max(size, len(data) // 100 - 20, 1) if size else max(len(data), 1)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    with capturedLogs() as events:
        answered = _converse(CommandReceiver, pieces, Transport(), isRuled)
        plainly = _converse(GeneralPath, [data], QuickTransport(), isRuled)
    assert answered == plainly, (answered, plainly)
    errors = [
        event
        for event in events
        if event["log_level"] >= LogLevel.error and not _isCut(event)
    ]
    assert not errors, errors


def _isCut(event: LogEvent) -> bool:
    """Return whether an event tells of a message that was gone before it was sent."""
    return "breaks off" in str(event.get("log_format"))


def _converse(
    kind: type[CommandReceiver], pieces: list[bytes], transport: Transport, isRuled: int
) -> tuple[bytes, bool]:
    """Return what is answered, but for some figures, and whether that was the end."""
    store = MemoryStore()
    harness = Harness(
        receiver=kind,
        store=store,
        maxBody=MAX_BODY,
        flushAllEnabled=True,
        rules=_RULES if isRuled else None,
    )
    store.seconds = lambda: harness.timeOfDay
    client = harness.connect(transport)
    for piece in pieces:
        client.send(piece)
    answered = answer(client)
    closed = client.isClosed
    checkReplies(answered, closed)
    if not closed:
        checkInStep(client)
    client.leave()
    harness.settle()
    return _FIGURE.sub(rb"STAT \1", answered), closed


def checkReplies(answer: bytes, mayBeCut: bool = False) -> None:
    """Assert that all that is answered are whole replies.

    :param mayBeCut: whether the last one may end in the body of a message: that was
        flushed, or taken, while it was sent.
    """
    at = 0
    while at < len(answer):
        end = answer.find(b"\r\n", at)
        assert end >= 0, answer[at:]
        line = answer[at:end]
        value = _VALUE.fullmatch(line)
        assert value or _LINE.fullmatch(line), line
        at = end + 2
        if value:
            at += int(value[1]) + 2
            if mayBeCut and at > len(answer):
                return
            assert answer[at - 2 : at] == b"\r\n", answer[end:at]


def checkInStep(client: Client) -> None:
    """Assert that the next command is answered, once a line or a body is over."""
    receiver = client.protocol.receiver
    if receiver.line_mode:
        talk(client, b"\n")
    if receiver.missing > PATIENCE:
        return
    if not receiver.line_mode:
        talk(client, b"." * receiver.missing)
    if not client.isClosed:
        got = talk(client, b"version\r\n")
        assert got == VERSION, got


def records(data: bytes) -> None:
    """Read bytes as each kind of record there is.

    Only what is declared is raised, what can be read is written again as it was, and
    what is written of these bytes can be read.
    """
    with suppress(DamagedRecord):
        message = unpackRecord(1, 2, data)
        assert (message.queueId, message.sequence) == (1, 2)
        assert packMessage(message) == data
    with suppress(DamagedRecord):
        assert packPart(unpackPart(data)) == data
    with suppress(DamagedRow):
        _row(data)
    if len(data) <= _MARKER:
        _marker(data)
    _written(data)


def _row(data: bytes) -> None:
    queue = unpackQueue(b"q", data)
    if queue.bytes == UNCOUNTED:
        queue.bytes = 0
    again = unpackQueue(b"q", queue.pack())
    assert queue.pack() == again.pack()
    if data[0] == VERSION_OF_ROWS:
        assert queue.pack() == data


_NUMBERS = Struct(">IIQQIIQ")


def _written(data: bytes) -> None:
    """Pack these bytes, and find them again; and not if one bit is another."""
    assert unpackPart(packPart(data)) == data
    numbers = data[: _NUMBERS.size].ljust(_NUMBERS.size, b"\0")
    flags, time, *where, deliveries, since = _NUMBERS.unpack(numbers)
    small = Message(1, 2, flags, time, data)
    large = Message(1, 2, flags, time, b"", LargeBody(*where))
    trace = Trace(deliveries, data[-255:], Reason.EXPIRED, since, flags)
    both = small, large
    messages = (
        *both,
        *[message._replace(expires=time + 1) for message in both],
        *[message._replace(trace=trace) for message in both],
    )
    for message in messages:
        assert unpackRecord(1, 2, packMessage(message)) == message
    for record, unpack in (
        (packPart(data), unpackPart),
        (packMessage(large), lambda record: unpackRecord(1, 2, record)),
        (packMessage(messages[-2]), lambda record: unpackRecord(1, 2, record)),
    ):
        damaged = bytearray(record)
        damaged[sum(data) % len(record)] ^= 1 << len(data) % 8
        assert _isRefused(unpack, bytes(damaged))


def _isRefused(unpack: Callable[[bytes], object], record: bytes) -> bool:
    try:
        unpack(record)
    except DamagedRecord:
        return True
    return False


def _marker(data: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        with open(os.path.join(directory, logName(1)), "wb") as log:
            log.truncate(100)
        with open(os.path.join(directory, "safe"), "wb") as file:
            file.write(data)
        with suppress(HomeError):
            marker = readMarker(directory)
            assert marker is not None
            writeMarker(directory, marker)
            assert readMarker(directory) == marker


TARGETS: dict[str, Callable[[bytes], None]] = {
    "protocol": protocol,
    "records": records,
    "twins": twins,
    "packets": packettargets.packets,
    "packettwins": packettargets.packetTwins,
    "authtext": authtargets.texts,
    "authpackets": authtargets.packets,
    "logins": authtargets.logins,
    "tls": logintargets.secured,
}
