r"""Authentication in text, as memcached has it: the first thing that a client says.

    set <any> <any> <any> <bytes> [...]\r\n
    <user> <password>\r\n

Only the word ``set``, in small letters, and the number of bytes are looked at.  The
user ends at the first blank; all the rest is the password.  The line ends with LF, or
CR LF; the body with CR LF.  Whatever else a client says is a line too, and refused, so
that a body behind it is lines as well.  memcached's proto_text.c has all that, but for
the bound of a body, which newer ones have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from memq.wire.auth.refusals import (
    BadTermination,
    BadToken,
    LineTooLong,
    TokenTooLong,
    Unauthenticated,
)
from memq.wire.words import number

if TYPE_CHECKING:
    from memq.errors import QueueError

#: Bytes of a line, and of a body, at most, each without its end.
MAX_LINE, MAX_TOKEN = 2048, 16_384
_MAX_SIZE = (1 << 32) - 1
_END = b"\r\n"


class Credentials(NamedTuple):
    """Who a client says that it is, and what is to prove it; no log shows them."""

    user: bytes
    secret: bytes

    def __repr__(self) -> str:
        """Return nothing of it."""
        return "Credentials"

    def __str__(self) -> str:
        """Return nothing of it."""
        return repr(self)


def parseLine(line: bytes) -> int | Unauthenticated:
    """Return how many bytes the body of a line has, without its end.

    :param line: without its LF.
    """
    words = [word for word in line.removesuffix(b"\r").split(b" ") if word]
    size = None
    if len(words) >= 5 and words[0] == b"set":
        size = number(words[4], _MAX_SIZE)
    return Unauthenticated() if size is None else size


def parseBody(body: bytes) -> Credentials | BadToken | BadTermination:
    """Return what a body says.

    :param body: as many bytes as the line said, and two more.
    """
    if not body.endswith(_END):
        return BadTermination()
    user, blank, secret = body[: -len(_END)].partition(b" ")
    return Credentials(user, secret) if blank else BadToken()


class AuthReader:
    """Takes the bytes of a client until it has said who it is.

    It holds no more than a body and what came with its end, and forgets a body that is
    too long as it comes.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        #: Bytes of the body with its end, None in a line; and whether it is too long.
        self._missing: int | None = None
        self._isLong = False

    def feed(self, data: bytes) -> None:
        """Take bytes.  ``next`` has to be called before more are."""
        self._data += data

    def next(self) -> Credentials | QueueError | None:
        """Return what the client says next; None when more bytes have to come.

        After an error that closes there is nothing more.
        """
        if self._missing is None:
            end = self._data.find(b"\n")
            if (len(self._data) if end < 0 else end) > MAX_LINE:
                return LineTooLong()
            if end < 0:
                return None
            size = parseLine(self._take(end + 1)[:-1])
            if not isinstance(size, int):
                return size
            self._missing = size + len(_END)
            self._isLong = size > MAX_TOKEN
        if self._isLong:
            self._missing -= len(self._take(self._missing))
            if self._missing:
                return None
            self._missing = None
            self._isLong = False
            return TokenTooLong()
        if len(self._data) < self._missing:
            return None
        body, self._missing = self._take(self._missing), None
        return parseBody(body)

    def rest(self) -> bytes:
        """Return what came behind, and forget it."""
        return self._take(len(self._data))

    def _take(self, size: int) -> bytes:
        """Return the first bytes, as many as there are of these, and forget them."""
        found = bytes(self._data[:size])
        del self._data[:size]
        return found
