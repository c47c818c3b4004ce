"""Formats of bodies: how messages stand in a stream or in a directory.

Lines and NUL: each body, and then a line feed or a zero byte.  JSON: a line for each
message, an object with ``body``, a string, where the body is UTF-8, else ``base64``,
and with ``flags`` where these are not 0.  A directory: a file for each message.

A :class:`Sink` is settled when what was written to it is in safe hands: on the disk,
where it is a file; read, where it is a pipe.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import stat
import struct
import termios
from base64 import b64decode, b64encode
from binascii import Error
from typing import TYPE_CHECKING, Any

from memq.commandline.terminal import brokenPipe, isTerminal, shownBody, writeAll
from memq.errors import CommandError
from memq.wire.words import MAX_FLAGS

if TYPE_CHECKING:
    from memq.client.connection import Message

LINE = b"\n"
NUL = b"\0"
#: Bytes that one message of a stream may have: memq takes no larger ones.
LARGEST = 64 << 20
#: Bytes that are collected before they are written.
_CHUNK = 64 << 10
#: Seconds between two looks at a pipe that is being read, first and at most.
_LOOK, _LONGEST_LOOK = 0.0002, 0.02


class Splitter:
    """Cut a stream into its messages."""

    def __init__(self, end: bytes) -> None:
        self._end = end
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are whole now.

        :raise memq.errors.CommandError: when one is larger than any that memq takes.
        """
        bodies = (self._rest + data).split(self._end)
        self._rest = bodies.pop()
        if len(self._rest) > LARGEST:
            raise CommandError(f"a message has more than {LARGEST} bytes")
        return bodies

    def last(self) -> list[bytes]:
        """Return the last message, if the end of the stream is its only end."""
        return [self._rest] if self._rest else []


def packMessage(message: Message, queue: str | None = None) -> bytes:
    """Return a message as a line of JSON, without its end.

    :param queue: what stands for its queue's name; None to leave that out.
    """
    told: dict[str, Any] = {} if queue is None else {"queue": queue}
    try:
        told["body"] = message.body.decode("utf-8")
    except UnicodeDecodeError:
        told["base64"] = b64encode(message.body).decode("ascii")
    if message.number is not None:
        told["number"] = message.number
    if message.flags:
        told["flags"] = message.flags
    return json.dumps(told, ensure_ascii=False).encode("utf-8")


def unpackMessage(line: bytes) -> tuple[bytes, int]:
    """Return body and flags of a line of JSON; raise CommandError when it is none."""
    try:
        told = json.loads(line)
        flags = told.get("flags", 0)
        if type(flags) is not int or not 0 <= flags <= MAX_FLAGS:
            raise ValueError("flags")
        if "base64" in told:
            return b64decode(told["base64"], validate=True), flags
        return told["body"].encode("utf-8"), flags
    except (ValueError, Error, KeyError, TypeError, AttributeError):
        start = line[:40].decode("utf-8", "backslashreplace")
        raise CommandError(f"no message in JSON: {start}") from None


class Sink:
    """A stream to which messages go, each with an end behind it."""

    def __init__(self, file: int, end: bytes, json: bool = False) -> None:
        """Write to a descriptor.

        :param json: whether each is a line of JSON.
        """
        self._file, self._end, self._json = file, end, json
        self._mode = os.fstat(file).st_mode
        self._shows = isTerminal(file)
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, message: Message) -> None:
        """Write a message, or keep it to be written with others."""
        body = packMessage(message) if self._json else message.body
        if self._shows:
            body = shownBody(body).encode("utf-8")
        self._pieces += (body, b"\n" if self._shows else self._end)
        self._size += len(body)
        if self._size >= _CHUNK:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        writeAll(self._file, data)

    def settle(self) -> None:
        """Return when all that was written is on the disk, or was read.

        :raise memq.errors.CommandError: when a reader is gone before it has read all.
        """
        self._flush()
        if stat.S_ISREG(self._mode):
            os.fdatasync(self._file)
        elif stat.S_ISFIFO(self._mode):
            self._drain()

    def _drain(self) -> None:
        """Wait until a pipe is empty: bytes that are left in one are lost with it."""
        poll = select.poll()
        poll.register(self._file, 0)
        pause = _LOOK
        while _unread(self._file):
            if poll.poll(pause * 1000):
                raise brokenPipe()
            pause = min(2 * pause, _LONGEST_LOOK)

    def close(self) -> None:
        """Do nothing: the stream is somebody else's."""


def _unread(pipe: int) -> int:
    """Return how many bytes of a pipe nobody has read yet."""
    told = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
    size: int = struct.unpack("i", told)[0]
    return size


class Directory:
    """A directory to which messages go, each as a file of its own.

    Names are numbers, from the next one on that is free.  A file has its name when it
    is whole and synced.
    """

    def __init__(self, path: str) -> None:
        """Find the number to begin with; make the directory if it is missing."""
        os.makedirs(path, exist_ok=True)
        self._path = path
        numbers = [int(name) for name in os.listdir(path) if name.isdecimal()]
        self._next = max(numbers, default=0) + 1
        self._unfinished = os.path.join(path, f".memq-{os.getpid()}")
        self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def write(self, message: Message) -> None:
        """Write a message to a file."""
        with open(self._unfinished, "wb") as file:
            file.write(message.body)
            file.flush()
            os.fdatasync(file.fileno())
        while not self._named():
            self._next += 1
        os.unlink(self._unfinished)
        self._next += 1

    def _named(self) -> bool:
        """Give the file its name, and say whether that was free."""
        try:
            os.link(self._unfinished, os.path.join(self._path, f"{self._next:010}"))
        except FileExistsError:
            return False
        return True

    def settle(self) -> None:
        """Return when the names are on the disk."""
        os.fsync(self._directory)

    def close(self) -> None:
        """Keep no descriptor."""
        os.close(self._directory)
