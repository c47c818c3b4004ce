"""Blocking client connection: commands of the text protocol and their replies.

Nothing is tried again here.  A command whose reply did not come may have been carried
out or not; :class:`ConnectionLost` says that, and the caller knows what it means.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from memq.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socket import socket

END = b"END\r\n"
STORED = b"STORED\r\n"
#: Bytes that are read from the system at a time.
_BUFFER = 1 << 18


#: Replies to somebody unknown; a set is a login there, and its body who one says to be.
_STRANGER = frozenset(
    f"CLIENT_ERROR {why}"
    for why in (
        "unauthenticated",
        "authentication failure",
        "bad authentication token format",
        "auth token too long",
    )
)

#: The reply to somebody who has not the right, and the exit status of that.
_FORBIDDEN = "CLIENT_ERROR not allowed"
_REFUSED = 3


class ConnectionLost(CommandError):
    """The connection ended before a reply had come."""


class ServerRefused(CommandError):
    """The server answered an error, or a word that was not asked for.

    :ivar why: why it refuses, in its words; empty if it says no more than that.
    :ivar asksWho: whether it wants to know who the client is, and was not told.
    """

    why = ""
    asksWho = False


class Message(NamedTuple):
    """A message as it was given out.

    :ivar number: its number in the queue, if that was asked for.
    """

    key: bytes
    flags: int
    body: bytes
    number: int | None = None


class Connection:
    """A connection to a server.

    Methods raise :class:`ConnectionLost`, and :class:`ServerRefused` at an error.
    """

    def __init__(self, connection: socket) -> None:
        self._socket = connection
        self._replies = connection.makefile("rb", _BUFFER)

    def __enter__(self) -> Connection:
        """Disconnect in the end."""
        return self

    def __exit__(self, *error: object) -> None:
        """Disconnect: open reads go back."""
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._replies.close()
        self._socket.close()

    def send(self, *pieces: bytes) -> None:
        """Send pieces, one after the other, as they are."""
        try:
            self._socket.sendall(b"".join(pieces))
        except OSError as error:
            _lost(error)

    def line(self) -> bytes:
        """Return the next line, without its end."""
        return self._line()[:-2]

    def _line(self) -> bytes:
        try:
            line = self._replies.readline()
        except OSError as error:
            _lost(error)
        if not line.endswith(b"\n"):
            _lost(None)
        return line

    def ask(self, command: bytes) -> bytes:
        """Send a command, and return the line that it is answered, but no error."""
        self.send(command, b"\r\n")
        return self.answer()

    def answer(self) -> bytes:
        """Return the line that a command is answered, but no error."""
        line = self.line()
        if line.partition(b" ")[0].endswith(b"ERROR"):
            raise refusal(line)
        return line

    def message(self) -> Message | None:
        """Return the next message of a reply, None at its end."""
        line = self._line()
        return None if line == END else self.shown(line)

    def shown(self, line: bytes) -> Message:
        """Return the message that begins with a line that was read."""
        word, *rest = line.split()
        if word != b"VALUE":
            raise refusal(line)
        key, flags, size, *number = rest
        told = int(number[0]) if number else None
        return Message(key, int(flags), self.body(int(size)), told)

    def body(self, size: int) -> bytes:
        """Return a body of so many bytes; the end of its line is read, too."""
        try:
            body: bytes = self._replies.read(size + 2)
        except OSError as error:
            _lost(error)
        if len(body) != size + 2:
            _lost(None)
        return body[:-2]

    def messages(self) -> Iterator[Message]:
        """Yield the messages of a reply."""
        while (message := self.message()) is not None:
            yield message

    def figures(self, topic: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield names and values that ``stats`` tells of a topic."""
        for told in self.told(b"stats %b" % topic if topic else b"stats"):
            name, _, value = told.partition(b" ")
            yield name, value

    def told(self, command: bytes) -> Iterator[bytes]:
        """Yield what a command is answered line by line, each behind ``STAT``."""
        self.send(command, b"\r\n")
        while (line := self._line()) != END:
            word, _, rest = line[:-2].partition(b" ")
            if word != b"STAT":
                raise refusal(line)
            yield rest

    def replies(self, count: int) -> Iterator[bytes]:
        """Yield the lines that so many commands are answered, with their ends."""
        try:
            for line in islice(self._replies, count):
                if not line.endswith(b"\n"):
                    break
                count -= 1
                yield line
        except OSError as error:
            _lost(error)
        if count:
            _lost(None)


def advised(line: bytes) -> str:
    """Return a reply as text, with what it means where that is about who one is."""
    words = line.decode("utf-8", "backslashreplace").rstrip()
    if words in _STRANGER:
        words += "; say who you are: --user, --password-file"
    if words == _FORBIDDEN:
        words += "; this user has not the right to do that"
    return words


def refusal(line: bytes) -> ServerRefused:
    """Return the error that a reply is."""
    words = line.decode("utf-8", "backslashreplace").rstrip()
    status = _REFUSED if words in {*_STRANGER, _FORBIDDEN} else 1
    words = advised(line)
    if words.startswith("HTTP/"):
        words += "; this is a port of the web, and messages have another (22201)"
    error = ServerRefused(f"the server answered: {words}", status)
    error.asksWho = line.rstrip() == b"CLIENT_ERROR unauthenticated"
    kind, _, why = words.partition(" ")
    if kind == "SERVER_ERROR" and why != "internal error":
        error.why = why
    return error


def _lost(error: OSError | None) -> NoReturn:
    why = "" if error is None or error.strerror is None else f": {error.strerror}"
    raise ConnectionLost(f"the server closed the connection{why}") from None
