"""The wire: one way to speak to a server, what is sent and what has to come back."""

from __future__ import annotations

import struct
from contextlib import suppress
from socket import SHUT_WR, SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socket import socket

END = b"END\r\n"
#: Makes a socket end at once, with a reset.
_RESET = struct.pack("ii", 1, 0)


def sets(queue: bytes, *bodies: bytes, flags: int = 0) -> bytes:
    """Return the commands that set messages."""
    return b"".join(
        b"set %b %d 0 %d\r\n%b\r\n" % (queue, flags, len(body), body) for body in bodies
    )


def found(key: bytes, body: bytes, flags: int = 0) -> bytes:
    """Return the reply to a get of one message."""
    return b"VALUE %b %d %d\r\n%b\r\n%b" % (key, flags, len(body), body, END)


def cut(connection: socket) -> None:
    """End a connection with a reset; it may have ended already."""
    with suppress(OSError):
        connection.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
    connection.close()


def readAll(connection: socket) -> bytes:
    """Return the bytes that come before the end, whichever end that is."""
    pieces = []
    with suppress(ConnectionError):
        while piece := connection.recv(1 << 18):
            pieces.append(piece)
    return b"".join(pieces)


class Value(NamedTuple):
    """A message as a get gives it out."""

    key: bytes
    flags: int
    body: bytes


class Wire:
    """A connection whose answers are read to their end.

    Methods that read raise ConnectionError when the connection ended before.

    :ivar socket: the connection.
    """

    def __init__(self, connection: socket) -> None:
        self.socket = connection
        self._file: Any = connection.makefile("rb", 256 * 1024)

    def __enter__(self) -> Wire:
        """Disconnect in the end."""
        return self

    def __exit__(self, *error: object) -> None:
        """Disconnect."""
        self.close()

    def send(self, data: bytes) -> None:
        """Send as it is."""
        self.socket.sendall(data)

    def ask(self, line: bytes) -> bytes:
        """Send a line, and return the line that is answered."""
        self.send(line + b"\r\n")
        return self.line()

    def line(self) -> bytes:
        """Return the next line without its end."""
        line: bytes = self._file.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the server closed the connection")
        return line.removesuffix(b"\r\n")

    def read(self, size: int) -> bytes:
        """Return so many bytes."""
        data: bytes = self._file.read(size)
        if len(data) < size:
            raise ConnectionError("the server closed the connection in a body")
        return data

    def body(self, size: int) -> bytes:
        """Return a body of so many bytes; its line end is taken as well."""
        return self.read(size + 2)[:-2]

    def block(self) -> Value | None:
        """Return the next message of a reply, None at END."""
        line = self.line()
        if line == b"END":
            return None
        word, key, flags, size = line.split(b" ")[:4]
        assert word == b"VALUE", line
        return Value(key, int(flags), self.body(int(size)))

    def value(self) -> Value | None:
        """Return the message that a get of one is answered, None without any."""
        value = self.block()
        if value is not None:
            end = self.line()
            assert end == b"END", end
        return value

    def take(self, key: bytes) -> bytes | None:
        """Get a message; return its body, None without any."""
        self.send(b"get %b\r\n" % key)
        value = self.value()
        return value.body if value else None

    def drain(self, queue: bytes) -> Iterator[bytes]:
        """Get the messages of a queue one after the other, until there is none."""
        while (body := self.take(queue)) is not None:
            yield body

    def lines(self) -> list[bytes]:
        """Return the lines that are answered, up to END."""
        return list(iter(self.line, b"END"))

    def figures(self, topic: bytes = b"") -> dict[bytes, bytes]:
        """Return the figures that stats tells of a topic, by their names."""
        self.send(b"stats %b\r\n" % topic)
        words = [line.split(b" ", 2) for line in self.lines()]
        return {name: figure for _, name, figure in words}

    def rest(self) -> bytes:
        """Send no more; return what comes before the end, whichever end that is."""
        self.socket.shutdown(SHUT_WR)
        pieces = []
        with suppress(ConnectionError):
            while piece := self._file.read1(1 << 18):
                pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Disconnect."""
        self._file.close()
        self.socket.close()

    def cut(self) -> None:
        """Disconnect with a reset."""
        self._file.close()
        cut(self.socket)
