"""Targets of a fuzzer for the binary protocol: any packets, and twin servers.

Of the twins one is asked in classic text, the other in packets.  They are asked for the
same, and must find the same, each in its words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import LogLevel, capturedLogs

from memq.policy.rule import WRITES
from memq.storage.memory import MemoryStore
from memq.test.support.harness import Harness, QuickTransport, Transport
from memq.test.support.packets import OPCODES, PROBE, PROBED, packet, request, split
from memq.test.support.readers import rules
from memq.test.support.twins import answer, talk

if TYPE_CHECKING:
    from twisted.logger import LogEvent

    from memq.test.support.harness import Client

#: A small server: bodies of up to three parts.
_MAX_BODY = 150_000
#: Bytes of a value that are made up to come to its end.
_PATIENCE = 400_000
#: Stands for many bytes of a value: what is made up is to be short.
MANY = b"\xff\xff"
_MANY = b"x" * 35000
#: Set in the first byte of an input when queues have rules.
_RULED = 128
#: Commands of one input, at most.
_MOST = 40

_RULES = rules(
    q={"max_items": 3, "max_deliveries": 2, "dead_letter": b"dead"},
    f={"fanout": (b"q", b"r"), "honor_exptime": True, "open_timeout": 10.0},
    p={"paused": WRITES},
    r={"honor_exptime": True, "max_age": 5_000_000, "expired_to": b"old"},
)
#: Figures that tell by which way the same requests came.
_FIGURES = (b"turns", b"flushes", b"waiting", b"threads", b"pid")

_SET = "extras=0000000500000000"

#: Words that a fuzzer would be long to find: headers, and keys with options.
WORDS = (
    *(packet(opcode, b"q")[:8] for opcode in (0x00, 0x09, 0x0C, 0x0D, 0x04, 0x14)),
    *(packet(opcode, b"q", b"", bytes(8))[:8] for opcode in (0x01, 0x11)),
    *(b"\0\0\0\x01", b"\0\0\0\x09", b"\0\x01\x11\x7a", b"\xff\xff\xff\xff", PROBE),
)

#: Where the fuzzer begins.
PACKETS: tuple[bytes, ...] = (
    b"",
    *(
        bytes([size]) + b"".join(map(request, words))
        for size, words in (
            (0, (f"Set key=q {_SET} value=hello", "Get key=q", "GetK key=q")),
            (1, (f"SetQ key=q {_SET} value=a", "GetQ key=q", "GetKQ key=q", "Noop")),
            (3, (f"SetQ key=q {_SET} value=a opaque=1",) * 3 + ("GetQ key=q",) * 4),
            (
                0,
                tuple(f"SetQ key=q {_SET} value=a opaque={n}" for n in range(20))
                + tuple(f"GetQ key=q opaque={n}" for n in range(20)),
            ),
            (0, (f"Set key=q {_SET} value=x", "Get key=q/open", "Get key=q/close")),
            (7, ("Get key=q/t=9/open", f"Set key=q {_SET} value=x", "QuitQ", "Noop")),
            (0, ("Delete key=q", "DeleteQ key=q", "Flush", "FlushQ", "Version")),
            (0, ("Stat", "Stat key=queue", "Stat key=detail", "Stat key=x", "Quit")),
            (2, ("Verbosity extras=00000001", "Add key=q value=5", "Touch", "0xee")),
            (128, (f"SetQ key=f {_SET} value=x", "Get key=q/open", "Get key=r/t=9")),
            (131, (f"Set key=q {_SET} value=x",) * 5 + ("Get key=q/open/more",)),
            (0, (f"Set key=q {_SET} value=x cas=1", "Get", "Noop value=x")),
        )
    ),
    b"\0" + packet(0x01, b"q", _MANY * 4, bytes(8))[:33] + MANY * 4,
    b"\0" + packet(0x11, b"q", _MANY * 5, bytes(8))[:33] + MANY * 5,
    b"\3" + packet(0x01, b"q", bytes(70001), bytes(8))[:33] + MANY * 2 + b"y" + PROBE,
    b"\0" + b"\x80\x01\xff\xff\x08" + b"\xff" * 19,
    b"\0version\r\n",
    # Bodies that do not come to their end, one of them longer than it is waited for.
    b"\0" + packet(0x01, b"q", b"x" * 100, bytes(8))[:-50],
    b"\0" + packet(0x77, b"q")[:8] + b"\xff\xfe\xff\xfe" + bytes(20),
)

#: The same for the twins: lines of a verb, bits, a key and a body.
TWINS: tuple[bytes, ...] = (
    b"",
    b"\0\0\0q hi\n\1\0q\n\2\2q\n",
    b"\0\0\1q a\n\0\3q/delay=5 b\n\3\0q\n\4\1q\n\4\0q\n\3\2none\n\5\0\n",
    b"\1\0\0q a\n\0\0q b\n\1\0q/open\n\1\0q/abort\n\2\4q/open\n\1\1q/abort\n"
    b"\1\0q/close\n\1\0dead\n\0\0p x\n\0\1p x\n\0\2r x\n\1\0r/t=9\n",
    b"\1\0\0q a\n\1\2q/open\n\2\0q/open/more\n\4\6q/open=0\n\4\0q/open=0\n"
    b"\1\0q/close=7\n\1\0q/t=x\n\0\0q/x version\n\0\4\x7f version\n",
    b"\0\1\0 no key\n\1\0http/1.1\n\3\0q/peek\n\0\0q" + b"x" * 1001 + b"\n",
)


def packets(data: bytes) -> None:
    """Send bytes to a server, in pieces of as many bytes as the first one says.

    MANY stands for many of them; 0 pieces are all at once.  With _RULED in that byte,
    queues have rules.  Time passes when somebody waits for it.

    It answers whole packets, logs no error, is in step afterwards, and answers the same
    when the bytes come at once.
    """
    size, data = data[0] if data else 0, data[1:].replace(MANY, _MANY, 8)
    isRuled, size = divmod(size, _RULED)
    # Not so many that it takes long.
    size = max(size, len(data) // 100 - 20, 1) if size else max(len(data), 1)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    with capturedLogs() as events:
        answered = _converse(pieces, Transport(), bool(isRuled))
        at_once = _converse([data], QuickTransport(), bool(isRuled))
    assert answered == at_once, (answered, at_once)
    errors = [each for each in events if _isError(each)]
    assert not errors, errors


def _isError(event: LogEvent) -> bool:
    """Return whether an event is an error, but of a message gone before it was sent."""
    isCut = "breaks off" in str(event.get("log_format"))
    return event["log_level"] >= LogLevel.error and not isCut


def _connect(isRuled: bool, maxBody: int, transport: Transport | None = None) -> Client:
    store = MemoryStore()
    harness = Harness(
        store=store,
        maxBody=maxBody,
        flushAllEnabled=True,
        rules=_RULES if isRuled else None,
    )
    store.seconds = lambda: harness.timeOfDay
    return harness.connect(transport)


def _converse(
    pieces: list[bytes], transport: Transport, isRuled: bool
) -> tuple[list[tuple[object, ...]], bool]:
    """Return what is answered, but for some figures, and whether that was the end."""
    client = _connect(isRuled, _MAX_BODY, transport)
    assert talk(client, PROBE) == PROBED
    for piece in pieces:
        client.send(piece)
    answered, closed = answer(client), client.isClosed
    told = [_told(each) for each in split(answered, mayBeCut=closed)]
    if not closed:
        _checkInStep(client)
    client.leave()
    client.harness.settle()
    return told, closed


def _told(
    each: tuple[tuple[int, ...], bytes, bytes, bytes],
) -> tuple[object, ...]:
    """Return what a response says, but for a figure that need not be the same."""
    head, extras, key, value = each
    assert head[0] == 0x81, head
    isFigure = head[1] == OPCODES["Stat"] and (
        key in _FIGURES
        or key.startswith((b"rusage_", b"bytes_"))
        or key.endswith(b"_hits")
    )
    return (head[1], head[5], head[7]) if isFigure else (head, extras, key, value)


def _checkInStep(client: Client) -> None:
    """Assert that a request is answered, once the last one is over."""
    receiver = client.protocol.receiver
    if receiver.command is None:
        # There may be half a header, or more: what is behind it, nobody asked for.
        return
    if receiver.missing > _PATIENCE:
        return
    talk(client, b"." * receiver.missing)
    # Nothing that is thrown away, or stored, closes the connection.
    got = talk(client, PROBE)
    assert got.endswith(PROBED), got


def _requests(line: bytes) -> tuple[bytes, bytes] | None:
    """Return what a line of an input asks for, in text and in packets."""
    verb, bits, rest = line[0] % 5, line[1], line[2:]
    key, _, body = rest.partition(b" ")
    # At the end of a line of text it would be HTTP.
    if not key or key.upper().startswith(b"HTTP/"):
        return None
    isQuiet, opaque = bits & 1, bits * 0x01010101
    if verb == 0:
        flags = bits * 1000
        extras = flags.to_bytes(4, "big") + (bits % 7).to_bytes(4, "big")
        return (
            b"set %b %d %d %d\r\n%b\r\n" % (key, flags, bits % 7, len(body), body),
            packet(0x11 if isQuiet else 0x01, key, body, extras, opaque),
        )
    if verb == 4:
        asked = packet(0x14 if isQuiet else 0x04, key, opaque=opaque)
        return b"delete %b\r\n" % key, asked
    if verb == 3:
        topic = b"queue" if isQuiet else b"detail"
        return b"stats %b\r\n" % topic, packet(0x10, topic, opaque=opaque)
    opcode = (0x0C, 0x0D) if verb == 2 else (0x00, 0x09)
    return b"gets %b\r\n" % key, packet(opcode[isQuiet], key, opaque=opaque)


def _meaningOfText(reply: bytes) -> tuple[object, ...]:
    """Return what a reply in text says: a kind, and what it tells."""
    if reply.startswith(b"VALUE "):
        line, _, rest = reply.partition(b"\r\n")
        _, _, flags, size, number = line.split(b" ")
        assert rest[int(size) :] == b"\r\nEND\r\n", reply
        return "found", int(flags), int(number), rest[: int(size)]
    lines = reply.split(b"\r\n")[:-1]
    if lines[0].startswith(b"STAT "):
        return "figures", [tuple(line.split(b" ", 2)[1:]) for line in lines[:-1]]
    word = lines[0]
    if word in (b"STORED", b"DELETED"):
        return ("done",)
    if word in (b"END", b"NOT_FOUND"):
        return ("none",)
    words = {b"NOT_STORED": b"not stored", b"ERROR": b"unknown command"}
    return "error", words.get(word) or word.split(b"_ERROR ")[1]


def _meaning(reply: bytes, asked: bytes) -> tuple[object, ...]:
    """Return what a response says, or several, which answer one request."""
    opcode, opaque = asked[1], int.from_bytes(asked[12:16], "big")
    if not reply:
        return ("none",) if opcode in (0x09, 0x0D) else ("done",)
    found = [*split(reply)]
    for head, *_ in found:
        assert (head[0], head[1], head[7]) == (0x81, opcode, opaque), reply
    head, extras, key, value = found[0]
    if opcode == 0x10 and (key or len(found) == 1):
        figures = [(key, value) for _, _, key, value in found[:-1]]
        assert found[-1][2:] == (b"", b""), reply
        return ("figures", figures) if figures else ("none",)
    assert len(found) == 1, reply
    if head[5] == 0:
        return (
            ("found", int.from_bytes(extras, "big"), head[8], value)
            if extras
            else ("done",)
        )
    if head[5] == 1:
        return ("none",)
    return "error", value


def packetTwins(data: bytes) -> None:
    """Ask for what each line of an input says; the first byte says whether with rules.

    Both servers have the same figures after each command, and the same messages.
    """
    isRuled = bool(data[:1] and data[0] & 1)
    text, binary = _connect(isRuled, 1000), _connect(isRuled, 1000)
    assert talk(binary, PROBE) == PROBED
    for line in data[1:].split(b"\n")[:_MOST]:
        asked = _requests(line) if len(line) > 2 else None
        if asked is None:
            continue
        replies = talk(text, asked[0]), talk(binary, asked[1])
        one, other = _meaningOfText(replies[0]), _meaning(replies[1], asked[1])
        isSame = one == other or one == ("error", b"not open on this connection")
        assert isSame, (asked, replies)
        assert not text.isClosed and not binary.isClosed, asked
        _compare(text, binary)


def _compare(text: Client, binary: Client) -> None:
    """Assert that two servers have the same figures."""
    asked = packet(0x10, b"detail")
    told = _meaning(talk(binary, asked), asked)
    assert told == _meaningOfText(talk(text, b"stats detail\r\n")), told
